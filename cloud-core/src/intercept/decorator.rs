//! The one decorator: every service trait, each call handed through the stack.
//!
//! A new method of a trait needs one line here. The line says what the call does ([`Access`]); what it is about is its first argument.

use std::{any::Any, future::Future, sync::Arc, sync::Mutex, sync::PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use object_store::ObjectStore;
use serde_json::Value;

use super::{Access, Context, Next, Operation, Stack, Target};
use crate::*;

/// A cloud, or one of its services, with a [`Stack`] around every call. See [`Stack::wrap`].
///
/// ```
/// # use cloud_core::{Cloud, intercept::{Intercepted, Stack}};
/// # use std::sync::Arc;
/// fn traced(cloud: Arc<dyn Cloud>) -> Intercepted<dyn Cloud> {
///     Intercepted::new(cloud, &Stack::builder().trace().build())
/// }
/// ```
#[derive(Debug)]
pub struct Intercepted<T: ?Sized> {
    pub(super) inner: Arc<T>,
    context: Arc<Context>,
}

impl Intercepted<dyn Cloud> {
    /// Puts a stack around a cloud and all its services.
    pub fn new(inner: Arc<dyn Cloud>, stack: &Stack) -> Self {
        let context = Arc::new(Context {
            stack: stack.clone(),
            cloud: inner.id().clone(),
            provider: inner.provider(),
            capabilities: inner.capabilities().clone(),
        });
        Self { inner, context }
    }
}

impl<T: ?Sized> Intercepted<T> {
    /// The same stack around what this one handed out.
    fn also<U: ?Sized>(&self, inner: Arc<U>) -> Arc<Intercepted<U>> {
        Arc::new(Intercepted { inner, context: Arc::clone(&self.context) })
    }

    /// Another handle to the same.
    pub(super) fn clone_handle(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), context: Arc::clone(&self.context) }
    }

    /// Hands a call through the stack. `call` may be made several times; the value of the last success is the result.
    pub(super) async fn run<'a, V, F, Fut>(&self, call: Described<'a>, make: F) -> Result<V>
    where
        V: Send,
        F: Fn() -> Fut + Send + Sync,
        Fut: Future<Output = Result<V>> + Send,
    {
        let operation = Operation {
            cloud: &self.context.cloud,
            provider: self.context.provider,
            name: call.name,
            access: call.access,
            region: call.region,
            target: call.target,
            token: call.token,
        };
        // The stack is the same for calls of any type because their values do not pass through it: they wait here.
        let value = Mutex::new(None);
        let attempt = || {
            let made = make();
            let value = &value;
            async move {
                let done = made.await?;
                *value.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
                Ok(())
            }
            .boxed()
        };
        let next = Next { rest: &self.context.stack.0, operation: &operation, call: &attempt };
        let result = next.run().await;
        match (result, value.into_inner().unwrap_or_else(PoisonError::into_inner)) {
            (Ok(()), Some(value)) => Ok(value),
            (Ok(()), None) => Err(Error::new(
                ErrorKind::Internal,
                "an interceptor answered for the cloud without calling it",
            )
            .with_operation(call.name)),
            (Err(error), _) => Err(complete(error, &operation)),
        }
    }
}

/// Adds to an error where it happened, unless whoever made it said so.
fn complete(error: Error, operation: &Operation<'_>) -> Error {
    let error = match error.cloud() {
        Some(_) => error,
        None => error.with_cloud(operation.cloud, operation.provider),
    };
    match error.operation() {
        Some(_) => error,
        None => error.with_operation(operation.name),
    }
}

/// What a call is, before it is known which cloud it goes to.
pub(super) struct Described<'a> {
    pub(super) name: &'static str,
    pub(super) access: Access,
    pub(super) region: Option<&'a Region>,
    pub(super) target: Target<'a>,
    pub(super) token: Option<&'a ClientToken>,
}

/// What the first argument of a call says of the call.
trait Subject {
    fn region(&self) -> Option<&Region> {
        None
    }
    fn target(&self) -> Target<'_> {
        Target::None
    }
}

macro_rules! subjects {
    ($($ty:ty: $($method:ident = |$s:ident| $value:expr),*;)*) => {$(
        impl Subject for $ty {
            $(subjects! { @ $method $s $value })*
        }
    )*};
    (@ region $s:ident $value:expr) => {
        fn region(&self) -> Option<&Region> {
            let $s = self;
            $value
        }
    };
    (@ target $s:ident $value:expr) => {
        fn target(&self) -> Target<'_> {
            let $s = self;
            $value
        }
    };
}

subjects! {
    ResourceId: region = |s| Some(&s.region), target = |s| Target::Id(s);
    InstanceSpec: region = |s| Some(&s.region), target = |s| Target::Name(&s.name);
    BucketSpec: region = |s| Some(&s.region), target = |s| Target::Name(&s.name);
    DatabaseSpec: region = |s| Some(&s.region), target = |s| Target::Name(&s.name);
    ReplicaSpec: region = |s| Some(&s.region), target = |s| Target::Name(&s.name);
    SnapshotCopySpec: region = |s| Some(&s.region), target = |s| Target::Name(&s.name);
    SnapshotSpec: region = |s| Some(&s.source.region), target = |s| Target::Name(&s.name);
    NetworkSpec: region = |s| Some(&s.region), target = |s| Target::Name(&s.name);
    FirewallSpec: region = |s| Some(&s.network.region), target = |s| Target::Name(&s.name);
    PeeringSpec: region = |s| Some(&s.network.region), target = |s| Target::Name(&s.name);
    ClusterSpec: region = |s| Some(&s.region), target = |s| Target::Name(&s.name);
    FunctionSpec: region = |s| Some(&s.region), target = |s| Target::Name(&s.name);
    ZoneSpec: region = |s| Some(&s.region), target = |s| Target::Name(&s.name);
    HealthCheckSpec: region = |s| Some(&s.region), target = |s| Target::Name(&s.name);
    TableSpec: target = |s| Target::Name(&s.name);
    ListQuery: region = |s| s.region.as_ref();
    ResourceQuery: region = |s| s.list.region.as_ref();
    PriceQuery: region = |s| s.region.as_ref();
    CostQuery: ;
    Region: region = |s| Some(s);
    MetricQuery: region = |s| Some(&s.resource.region), target = |s| Target::Id(&s.resource);
    VersionQuery: region = |s| Some(&s.bucket.region), target = |s| Target::Id(&s.bucket);
    PresignRequest: region = |s| Some(&s.bucket.region), target = |s| Target::Id(&s.bucket);
    str: ;
}

/// Implements a service trait for `Intercepted`. A line is `Access method(first, others; token) -> value;`.
macro_rules! intercepted {
    ($trait:ident as $service:literal {
        $($access:ident $method:ident($first:ident: &$first_ty:ty $(, $arg:ident: $ty:ty)* $(; $token:ident)?) -> $out:ty $(, then $then:ident)?;)*
    } $($rest:tt)*) => {
        #[async_trait]
        impl $trait for Intercepted<dyn $trait> {
            $(async fn $method(&self, $first: &$first_ty $(, $arg: $ty)* $(, $token: &ClientToken)?) -> Result<$out> {
                let call = Described {
                    name: concat!($service, ".", stringify!($method)),
                    access: Access::$access,
                    region: Subject::region($first),
                    target: Subject::target($first),
                    token: intercepted!(@ token $($token)?),
                };
                let value = self.run(call, || self.inner.$method($first $(, $arg)* $(, $token)?)).await?;
                $(let value = self.$then(value);)?
                Ok(value)
            })*
            $($rest)*
        }
    };
    (@ token) => { None };
    (@ token $token:ident) => { Some($token) };
}

intercepted! {
    Cloud as "cloud" {
        Read list_resources_page(query: &ResourceQuery, page: &PageRequest) -> Page<Resource>;
        Read get_resource(id: &ResourceId) -> Resource;
        Update delete_resource(id: &ResourceId, options: &DeleteOptions) -> bool;
        Read quotas(region: &Region) -> Vec<Quota>;
    }

    fn id(&self) -> &CloudId {
        &self.context.cloud
    }

    fn provider(&self) -> Provider {
        self.context.provider
    }

    fn capabilities(&self) -> &Capabilities {
        &self.context.capabilities
    }

    fn native(&self) -> Arc<dyn Any + Send + Sync> {
        self.inner.native()
    }

    async fn regions(&self) -> Result<Vec<RegionInfo>> {
        let call = Described {
            name: "cloud.regions",
            access: Access::Read,
            region: None,
            target: Target::None,
            token: None,
        };
        self.run(call, || self.inner.regions()).await
    }

    fn compute(&self) -> Result<Arc<dyn Compute>> {
        Ok(self.also(self.inner.compute()?))
    }

    fn storage(&self) -> Result<Arc<dyn Storage>> {
        Ok(self.also(self.inner.storage()?))
    }

    fn database(&self) -> Result<Arc<dyn Database>> {
        Ok(self.also(self.inner.database()?))
    }

    fn network(&self) -> Result<Arc<dyn Network>> {
        Ok(self.also(self.inner.network()?))
    }

    fn kubernetes(&self) -> Result<Arc<dyn Kubernetes>> {
        Ok(self.also(self.inner.kubernetes()?))
    }

    fn functions(&self) -> Result<Arc<dyn Functions>> {
        Ok(self.also(self.inner.functions()?))
    }

    fn metrics(&self) -> Result<Arc<dyn Metrics>> {
        Ok(self.also(self.inner.metrics()?))
    }

    fn dns(&self) -> Result<Arc<dyn Dns>> {
        Ok(self.also(self.inner.dns()?))
    }

    fn billing(&self) -> Result<Arc<dyn Billing>> {
        Ok(self.also(self.inner.billing()?))
    }
}

intercepted! {
    Compute as "compute" {
        Create create_instance(spec: &InstanceSpec; token) -> Instance;
        Read get_instance(id: &ResourceId) -> Instance;
        Read list_instances_page(query: &ListQuery, page: &PageRequest) -> Page<Instance>;
        Update delete_instance(id: &ResourceId) -> bool;
        Update start_instance(id: &ResourceId) -> ();
        Update stop_instance(id: &ResourceId) -> ();
        Act reboot_instance(id: &ResourceId) -> ();
        Read console_output(id: &ResourceId) -> Bytes;
        Read list_instance_types_page(query: &ListQuery, page: &PageRequest) -> Page<InstanceType>;
    }
}

intercepted! {
    Storage as "storage" {
        Create create_bucket(spec: &BucketSpec; token) -> Bucket;
        Read get_bucket(id: &ResourceId) -> Bucket;
        Read list_buckets_page(query: &ListQuery, page: &PageRequest) -> Page<Bucket>;
        Update delete_bucket(id: &ResourceId, options: &DeleteOptions) -> bool;
        Read object_store(id: &ResourceId) -> Arc<dyn ObjectStore>, then wrap_objects;
        Read object_location(id: &ResourceId) -> ObjectLocation, then wrap_location;
        Read list_object_versions_page(query: &VersionQuery, page: &PageRequest) -> Page<ObjectVersion>;
        Update presign(request: &PresignRequest) -> SecretString;
    }
}

impl Intercepted<dyn Storage> {
    fn wrap_location(&self, location: ObjectLocation) -> ObjectLocation {
        ObjectLocation { store: self.wrap_objects(location.store), ..location }
    }

    fn wrap_objects(&self, objects: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        self.also(objects)
    }
}

intercepted! {
    Database as "database" {
        Create create_database(spec: &DatabaseSpec; token) -> DatabaseServer;
        Read get_database(id: &ResourceId) -> DatabaseServer;
        Read list_databases_page(query: &ListQuery, page: &PageRequest) -> Page<DatabaseServer>;
        Update delete_database(id: &ResourceId) -> bool;
        Read connection(id: &ResourceId) -> ConnectionInfo;
        Read sql(id: &ResourceId) -> Arc<dyn Sql>, then wrap_sql;
        Create create_snapshot(spec: &SnapshotSpec; token) -> Snapshot;
        Read get_snapshot(id: &ResourceId) -> Snapshot;
        Read list_snapshots_page(query: &ListQuery, page: &PageRequest) -> Page<Snapshot>;
        Update delete_snapshot(id: &ResourceId) -> bool;
        Create restore_snapshot(snapshot: &ResourceId, spec: &DatabaseSpec; token) -> DatabaseServer;
        Create copy_snapshot(spec: &SnapshotCopySpec; token) -> Snapshot;
        Create restore_to_time(source: &ResourceId, at: Option<jiff::Timestamp>, spec: &DatabaseSpec; token) -> DatabaseServer;
        Create create_replica(spec: &ReplicaSpec; token) -> DatabaseServer;
        Update promote_replica(id: &ResourceId) -> DatabaseServer;
    }
}

impl Intercepted<dyn Database> {
    fn wrap_sql(&self, sql: Arc<dyn Sql>) -> Arc<dyn Sql> {
        self.also(sql)
    }
}

intercepted! {
    Sql as "sql" {
        Update create_table(spec: &TableSpec) -> bool;
        Act query(statement: &str, parameters: &[SqlValue]) -> Vec<Row>;
        Act execute(statement: &str, parameters: &[SqlValue]) -> u64;
        Act insert(table: &str, row: &Row) -> i64;
    }
}

intercepted! {
    Network as "network" {
        Create create_network(spec: &NetworkSpec; token) -> VirtualNetwork;
        Read get_network(id: &ResourceId) -> VirtualNetwork;
        Read list_networks_page(query: &ListQuery, page: &PageRequest) -> Page<VirtualNetwork>;
        Update delete_network(id: &ResourceId) -> bool;
        Create create_firewall(spec: &FirewallSpec; token) -> Firewall;
        Read get_firewall(id: &ResourceId) -> Firewall;
        Read list_firewalls_page(query: &ListQuery, page: &PageRequest) -> Page<Firewall>;
        Update delete_firewall(id: &ResourceId) -> bool;
        Create create_peering(spec: &PeeringSpec; token) -> Peering;
        Read get_peering(id: &ResourceId) -> Peering;
        Read list_peerings_page(query: &ListQuery, page: &PageRequest) -> Page<Peering>;
        Update delete_peering(id: &ResourceId) -> bool;
    }
}

intercepted! {
    Kubernetes as "kubernetes" {
        Create create_cluster(spec: &ClusterSpec; token) -> Cluster;
        Read get_cluster(id: &ResourceId) -> Cluster;
        Read list_clusters_page(query: &ListQuery, page: &PageRequest) -> Page<Cluster>;
        Update delete_cluster(id: &ResourceId) -> bool;
        Update set_node_count(id: &ResourceId, pool: &str, count: u32) -> ();
        Read kubeconfig(id: &ResourceId) -> SecretString;
    }
}

intercepted! {
    Functions as "functions" {
        Create create_function(spec: &FunctionSpec; token) -> Function;
        Read get_function(id: &ResourceId) -> Function;
        Read list_functions_page(query: &ListQuery, page: &PageRequest) -> Page<Function>;
        Update delete_function(id: &ResourceId) -> bool;
        Act invoke(id: &ResourceId, input: &Value, mode: InvokeMode) -> Invocation;
    }
}

intercepted! {
    Metrics as "metrics" {
        Read query_metrics(query: &MetricQuery) -> Vec<MetricPoint>;
    }
}

intercepted! {
    Dns as "dns" {
        Create create_zone(spec: &ZoneSpec; token) -> DnsZone;
        Read get_zone(id: &ResourceId) -> DnsZone;
        Read list_zones_page(query: &ListQuery, page: &PageRequest) -> Page<DnsZone>;
        Update delete_zone(id: &ResourceId) -> bool;
        Update set_record(zone: &ResourceId, record: &RecordSet) -> ();
        Read list_records_page(zone: &ResourceId, page: &PageRequest) -> Page<RecordSet>;
        Update delete_record(zone: &ResourceId, record: &RecordSet) -> bool;
        Create create_health_check(spec: &HealthCheckSpec; token) -> HealthCheck;
        Read get_health_check(id: &ResourceId) -> HealthCheck;
        Read list_health_checks_page(query: &ListQuery, page: &PageRequest) -> Page<HealthCheck>;
        Update delete_health_check(id: &ResourceId) -> bool;
    }
}

intercepted! {
    Billing as "billing" {
        Read list_prices_page(query: &PriceQuery, page: &PageRequest) -> Page<Price>;
        Read query_costs(query: &CostQuery) -> Vec<CostItem>;
    }
}
