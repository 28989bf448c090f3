//! `Subject`: one kind of resource behind the few calls that all kinds have, so that a trial is written once.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use cloud_core::{
    BucketSpec, Capabilities, ClientToken, Cloud, CloudId, ClusterSpec, Compute, Database,
    DatabaseSpec, DeleteOptions, Dns, Engine, EngineCapabilities, Error, ErrorKind, FirewallSpec,
    FunctionSpec, Functions, HealthCheckSpec, InstanceSpec, Kubernetes, ListQuery, NameRule,
    Network, NetworkSpec, Page, PageRequest, PeeringSpec, Provider, Resource, ResourceId,
    ResourceKind, Result, SnapshotSpec, Storage, Tags, View, WaitOptions, ZoneSpec, wait_until,
};

use super::{Context, Failure};

/// One kind of resource of the cloud under test.
#[async_trait]
pub(super) trait Subject: Send + Sync {
    fn kind(&self) -> ResourceKind;
    async fn create(&self, name: &str, tags: &Tags, token: &ClientToken) -> Result<Resource>;
    async fn get(&self, id: &ResourceId) -> Result<Resource>;
    async fn list_page(&self, query: &ListQuery, page: &PageRequest) -> Result<Page<Resource>>;
    async fn delete(&self, id: &ResourceId) -> Result<bool>;
}

/// Whether a cloud offers this kind at all.
pub(super) fn offered(can: &Capabilities, kind: ResourceKind) -> bool {
    match kind {
        ResourceKind::Instance => can.compute.is_some(),
        ResourceKind::Bucket => can.storage.is_some(),
        ResourceKind::Database => can.database.as_ref().is_some_and(|c| !c.engines.is_empty()),
        ResourceKind::Snapshot => {
            can.database.as_ref().is_some_and(|c| c.engines.iter().any(|e| e.snapshots))
        }
        ResourceKind::Network => can.network.is_some(),
        ResourceKind::Firewall => can.network.as_ref().is_some_and(|c| c.firewalls),
        ResourceKind::Peering => can.network.as_ref().is_some_and(|c| c.peering),
        ResourceKind::Cluster => can.kubernetes.is_some(),
        ResourceKind::Function => can.functions.is_some(),
        ResourceKind::HealthCheck => can.dns.as_ref().is_some_and(|c| c.health_checks),
        ResourceKind::DnsZone => can.dns.is_some(),
        _ => false,
    }
}

/// The rule for names of this kind; zones have that of domains.
pub(super) fn name_rule(can: &Capabilities, kind: ResourceKind) -> Option<NameRule> {
    match kind {
        ResourceKind::Instance => can.compute.as_ref().map(|c| c.names),
        ResourceKind::Bucket => can.storage.as_ref().map(|c| c.names),
        ResourceKind::Database | ResourceKind::Snapshot => can.database.as_ref().map(|c| c.names),
        ResourceKind::Network | ResourceKind::Firewall | ResourceKind::Peering => {
            can.network.as_ref().map(|c| c.names)
        }
        ResourceKind::Cluster => can.kubernetes.as_ref().map(|c| c.names),
        ResourceKind::Function => can.functions.as_ref().map(|c| c.names),
        ResourceKind::HealthCheck => can.dns.as_ref().map(|c| c.names),
        _ => None,
    }
}

/// Whether two of this kind may not have one name; `None` where that is not declared.
pub(super) fn unique_names(can: &Capabilities, kind: ResourceKind) -> Option<bool> {
    match kind {
        ResourceKind::Instance => can.compute.as_ref().map(|c| c.unique_names),
        ResourceKind::DnsZone => can.dns.as_ref().map(|c| c.unique_names),
        ResourceKind::Network
        | ResourceKind::Firewall
        | ResourceKind::Peering
        | ResourceKind::HealthCheck => None,
        _ => Some(true),
    }
}

/// Networks of different addresses, one for each name and the same each time.
struct Blocks(Mutex<(Vec<NetworkSpec>, HashMap<String, NetworkSpec>)>);

impl Blocks {
    /// The most networks that one trial has.
    const MOST: u32 = 48;

    fn new(context: &Context<'_>) -> Result<Self, Failure> {
        let tags = context.tags(&[])?;
        let spec = |_| NetworkSpec {
            tags: tags.clone(),
            ..context.harness.network_spec("any", next_number())
        };
        Ok(Self(Mutex::new(((0..Self::MOST).map(spec).collect(), HashMap::new()))))
    }

    fn spec(&self, name: &str) -> Result<NetworkSpec> {
        let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(spec) = blocks.1.get(name) {
            return Ok(spec.clone());
        }
        let fresh = blocks.0.pop();
        let fresh = fresh
            .ok_or_else(|| Error::new(ErrorKind::Internal, "the trial makes too many networks"))?;
        blocks.1.insert(name.to_owned(), fresh.clone());
        Ok(fresh)
    }
}

/// A number that no other network of this process has.
pub(super) fn next_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A network of the trial, in service.
pub(super) async fn network(context: &Context<'_>, suffix: &str) -> Result<ResourceId, Failure> {
    let mut spec = context.harness.network_spec(&context.name(suffix), next_number());
    spec.tags = context.tags(&[])?;
    let made = context.cloud.network()?.create_network(&spec, &ClientToken::random()).await?;
    Ok(context.ready(&made.id).await?.id)
}

/// Makes the other network of each peering, so that no two peerings join the same two.
struct Peers {
    service: Arc<dyn Network>,
    hub: ResourceId,
    blocks: Blocks,
    prefix: String,
    wait: WaitOptions,
}

impl Peers {
    /// The spec of the peering of this name. The token makes the network the same however often this is broken off.
    async fn spec(&self, name: &str) -> Result<PeeringSpec> {
        // A name that is refused everywhere is the peering's to refuse, not its network's.
        let mut network = self.blocks.spec(name)?;
        network.name =
            format!("{}-{}", self.prefix, network.cidr.addr().to_string().replace('.', "-"));
        let token = ClientToken::derive(&self.prefix, &network.name, 1);
        let made = self.service.create_network(&network, &token).await?;
        wait_until("the peer network", &self.wait, || async {
            let now = self.service.get_network(&made.id).await?;
            Ok(now.status.is_ready().then_some(()))
        })
        .await?;
        Ok(PeeringSpec::new(name, self.hub.clone(), made.id))
    }
}

/// Where the spec of each one comes from.
#[async_trait]
trait Source<S>: Send + Sync {
    async fn named(&self, name: &str) -> Result<S>;
}

macro_rules! subjects {
    ($($subject:ident: $kind:ident, $service:ident, $spec:ty, $create:ident, $get:ident, $list:ident, $delete:ident($($option:expr)?);)*) => {$(
        struct $subject {
            id: CloudId,
            provider: Provider,
            service: Arc<dyn $service>,
            source: Box<dyn Source<$spec>>,
        }

        impl $subject {
            fn of(
                cloud: &dyn Cloud,
                service: Arc<dyn $service>,
                source: impl Source<$spec> + 'static,
            ) -> Arc<dyn Subject> {
                Arc::new(Self {
                    id: cloud.id().clone(),
                    provider: cloud.provider(),
                    service,
                    source: Box::new(source),
                })
            }
        }

        #[async_trait]
        impl Subject for $subject {
            fn kind(&self) -> ResourceKind {
                ResourceKind::$kind
            }

            async fn create(&self, name: &str, tags: &Tags, token: &ClientToken) -> Result<Resource> {
                let mut spec = self.source.named(name).await?;
                spec.name = name.to_owned();
                spec.tags = tags.clone();
                let made = self.service.$create(&spec, token).await?;
                Ok(made.to_resource(&self.id, self.provider))
            }

            async fn get(&self, id: &ResourceId) -> Result<Resource> {
                Ok(self.service.$get(id).await?.to_resource(&self.id, self.provider))
            }

            async fn list_page(&self, query: &ListQuery, page: &PageRequest) -> Result<Page<Resource>> {
                let page = self.service.$list(query, page).await?;
                Ok(page.map(|view| view.to_resource(&self.id, self.provider)))
            }

            async fn delete(&self, id: &ResourceId) -> Result<bool> {
                self.service.$delete(id $(, &$option)?).await
            }
        }
    )*};
}

subjects! {
    Instances: Instance, Compute, InstanceSpec, create_instance, get_instance, list_instances_page, delete_instance();
    Buckets: Bucket, Storage, BucketSpec, create_bucket, get_bucket, list_buckets_page, delete_bucket(DeleteOptions::default());
    Databases: Database, Database, DatabaseSpec, create_database, get_database, list_databases_page, delete_database();
    Snapshots: Snapshot, Database, SnapshotSpec, create_snapshot, get_snapshot, list_snapshots_page, delete_snapshot();
    Networks: Network, Network, NetworkSpec, create_network, get_network, list_networks_page, delete_network();
    Firewalls: Firewall, Network, FirewallSpec, create_firewall, get_firewall, list_firewalls_page, delete_firewall();
    Peerings: Peering, Network, PeeringSpec, create_peering, get_peering, list_peerings_page, delete_peering();
    Clusters: Cluster, Kubernetes, ClusterSpec, create_cluster, get_cluster, list_clusters_page, delete_cluster();
    FunctionsOf: Function, Functions, FunctionSpec, create_function, get_function, list_functions_page, delete_function();
    HealthChecks: HealthCheck, Dns, HealthCheckSpec, create_health_check, get_health_check, list_health_checks_page, delete_health_check();
    Zones: DnsZone, Dns, ZoneSpec, create_zone, get_zone, list_zones_page, delete_zone();
}

/// The same spec for every name.
struct Same<S>(S);

#[async_trait]
impl<S: Clone + Send + Sync> Source<S> for Same<S> {
    async fn named(&self, _: &str) -> Result<S> {
        Ok(self.0.clone())
    }
}

#[async_trait]
impl Source<NetworkSpec> for Blocks {
    async fn named(&self, name: &str) -> Result<NetworkSpec> {
        self.spec(name)
    }
}

#[async_trait]
impl Source<PeeringSpec> for Peers {
    async fn named(&self, name: &str) -> Result<PeeringSpec> {
        self.spec(name).await
    }
}

/// The first engine of the cloud that can do this.
fn engine(
    can: &Capabilities,
    wanted: impl Fn(&EngineCapabilities) -> bool,
) -> Result<Engine, Failure> {
    let engines = can.database.iter().flat_map(|can| &can.engines);
    let found = engines.filter(|engine| wanted(engine)).map(|engine| engine.engine).next();
    found.ok_or_else(|| Failure::new("no engine can do this"))
}

/// The subject for a kind, with what it depends on already there.
pub(super) async fn of_kind(
    context: &Context<'_>,
    kind: ResourceKind,
) -> Result<Arc<dyn Subject>, Failure> {
    let (cloud, harness) = (&*context.cloud, context.harness);
    Ok(match kind {
        ResourceKind::Instance => {
            Instances::of(cloud, cloud.compute()?, Same(harness.instance_spec("any")))
        }
        ResourceKind::Bucket => Buckets::of(
            cloud,
            cloud.storage()?,
            Same(BucketSpec::new("any", context.region.clone())),
        ),
        ResourceKind::Database => {
            let engine = engine(context.capabilities(), |_| true)?;
            Databases::of(cloud, cloud.database()?, Same(harness.database_spec("any", engine)))
        }
        ResourceKind::Snapshot => {
            let engine = engine(context.capabilities(), |engine| engine.snapshots)?;
            let mut spec = harness.database_spec(&context.name("source"), engine);
            spec.tags = context.tags(&[])?;
            let source = cloud.database()?.create_database(&spec, &ClientToken::random()).await?;
            context.ready(&source.id).await?;
            Snapshots::of(cloud, cloud.database()?, Same(SnapshotSpec::new("any", source.id)))
        }
        ResourceKind::Network => Networks::of(cloud, cloud.network()?, Blocks::new(context)?),
        ResourceKind::Firewall => {
            let network = network(context, "walled").await?;
            Firewalls::of(cloud, cloud.network()?, Same(FirewallSpec::new("any", network)))
        }
        ResourceKind::Peering => {
            let peers = Peers {
                service: cloud.network()?,
                hub: network(context, "hub").await?,
                blocks: Blocks::new(context)?,
                prefix: context.name("peer"),
                wait: context.wait.clone(),
            };
            Peerings::of(cloud, cloud.network()?, peers)
        }
        ResourceKind::Cluster => {
            Clusters::of(cloud, cloud.kubernetes()?, Same(harness.cluster_spec("any")))
        }
        ResourceKind::Function => {
            FunctionsOf::of(cloud, cloud.functions()?, Same(harness.function_spec("any")))
        }
        ResourceKind::HealthCheck => {
            HealthChecks::of(cloud, cloud.dns()?, Same(harness.health_check_spec("any")))
        }
        ResourceKind::DnsZone => {
            Zones::of(cloud, cloud.dns()?, Same(harness.zone_spec("any.example.com")))
        }
        other => return Err(Failure::new(format!("no trial knows the kind {other}"))),
    })
}
