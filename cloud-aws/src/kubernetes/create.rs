//! Creating clusters: the call, where the cluster is put, and the node pools once EKS takes them.

use aws_sdk_eks::{
    operation::create_cluster::{CreateClusterError, builders::CreateClusterFluentBuilder},
    types::{
        AuthenticationMode, Cluster as EksCluster, CreateAccessConfigRequest, EncryptionConfig,
        KubernetesNetworkConfigRequest, LogSetup, LogType, Logging, Provider as KeyProvider,
        VpcConfigRequest,
    },
};
use cloud_core::{
    Cluster, ClusterSpec, Effect, Error, ErrorKind, Region, ResourceStatus, Result, Retry,
    wait_until,
};

use super::{AwsKubernetes, being_deleted, pools, settings::Settings, status, wait};
use crate::{
    error::{has_code, writes},
    tags,
    tokens::Request,
};

/// A cluster that is asked for: the spec, and what is made of it before any change.
pub(super) struct Wanted<'a> {
    pub(super) spec: &'a ClusterSpec,
    pub(super) settings: Settings,
    /// Of the nodes, in the order of the pools.
    pub(super) types: Vec<String>,
    pub(super) tags: Vec<(String, String)>,
    pub(super) request: &'a Request,
}

impl AwsKubernetes {
    /// Makes a cluster and its node pools, or completes what an earlier call with this token began.
    pub(super) async fn create(&self, spec: &ClusterSpec, request: &Request) -> Result<Cluster> {
        let (region, name) = (&spec.region, &*spec.name);
        let settings = Settings::of(spec)?;
        // What is wrong with them is better known before a cluster is made for ten minutes.
        let types = pools::types(&self.account, region, &spec.node_pools, &settings.given).await?;
        let tags = tags::for_create(&spec.tags, request)?;
        let wanted = Wanted { spec, settings, types, tags, request };
        let (cluster, is_new) = match self.find(region, name).await? {
            Some(cluster) => (cluster, false),
            None => self.request(&wanted).await?,
        };
        let (_, made) = tags::read(cluster.tags.clone().unwrap_or_default());
        if !request.made(made.as_deref())? {
            let message = format!("there is a cluster '{name}' in {region} already");
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        if status(&cluster) == ResourceStatus::Deleting {
            return Err(being_deleted(name));
        }
        if spec.node_pools.is_empty() {
            return self.view(region, cluster).await;
        }
        if let Err(error) = self.complete(&wanted).await {
            let refused = error.effect() == Effect::None && error.retry() == Retry::Never;
            // What was there before is not taken away, and what may succeed when it is repeated is gone on with then.
            if !(is_new && refused) || self.remove(region, name).await.is_err() {
                return Err(error.with_effect(Effect::Unknown));
            }
            return Err(error);
        }
        self.view(region, self.describe(region, name).await?).await
    }

    /// Asks EKS for a cluster. If there is one of its name, that is the answer; the second says whether it is new.
    async fn request(&self, wanted: &Wanted<'_>) -> Result<(EksCluster, bool)> {
        let Wanted { spec, settings, .. } = wanted;
        let call = cluster_call(&self.account.eks(&spec.region)?, wanted);
        let mut subnets = self.subnets(spec, settings).await?;
        let mut answer = with_subnets(&call, settings, &subnets).send().await;
        // Some zones have no room for EKS; it says which have.
        if settings.given.subnet_ids.is_empty()
            && let Err(error) = &answer
            && let Some(CreateClusterError::UnsupportedAvailabilityZoneException(why)) =
                error.as_service_error()
        {
            let zones = why.valid_zones();
            subnets.retain(|subnet| zones.contains(&subnet.zone));
            check_zones(&subnets)?;
            answer = with_subnets(&call, settings, &subnets).send().await;
        }
        match answer.map_err(writes("eks")) {
            Ok(answer) => match answer.cluster {
                Some(cluster) => Ok((cluster, true)),
                None => Err(Error::new(ErrorKind::Internal, "EKS answers with no cluster")),
            },
            Err(error) if has_code(&error, &["ResourceInUseException"]) => {
                let found = self.find(&spec.region, &spec.name).await?.ok_or(error)?;
                Ok((found, false))
            }
            Err(error) => Err(error),
        }
    }

    /// The subnets to put a cluster into, in at least two zones.
    async fn subnets(&self, spec: &ClusterSpec, settings: &Settings) -> Result<Vec<Subnet>> {
        let given = &settings.given.subnet_ids;
        if !given.is_empty() {
            // EKS itself sees whether they lie in two zones.
            let subnet = |id: &String| Subnet { id: id.clone(), zone: String::new() };
            return Ok(given.iter().map(subnet).collect());
        }
        let subnets = self.network_subnets(spec).await?;
        check_zones(&subnets)?;
        Ok(subnets)
    }

    #[cfg(any(feature = "compute", feature = "network"))]
    async fn network_subnets(&self, spec: &ClusterSpec) -> Result<Vec<Subnet>> {
        let network = spec.network.as_ref();
        let subnets = crate::vpc::subnets(&self.account, &spec.region, network).await?;
        let subnet =
            |s: crate::vpc::SubnetOf| Subnet { id: s.id, zone: s.zone.unwrap_or_default() };
        Ok(subnets.into_iter().map(subnet).collect())
    }

    #[cfg(not(any(feature = "compute", feature = "network")))]
    async fn network_subnets(&self, _: &ClusterSpec) -> Result<Vec<Subnet>> {
        let rule = "subnets in two zones; to look them up, the feature 'network' or 'compute'";
        Err(Error::invalid("overrides.aws.subnet_ids", "is empty", rule))
    }

    /// Waits until the cluster is active, and asks for the node pools that are missing.
    async fn complete(&self, wanted: &Wanted<'_>) -> Result<()> {
        let spec = wanted.spec;
        let cluster = self.active(&spec.region, &spec.name).await?;
        let network = cluster.resources_vpc_config();
        let subnets = network.map(|network| network.subnet_ids()).unwrap_or_default();
        let pools = self.pools(&spec.region, &spec.name);
        let there = pools.names().await.map_err(on_its_way)?;
        let all = spec.node_pools.iter().zip(&wanted.types);
        for (pool, node_type) in all.filter(|(pool, _)| !there.contains(&pool.name)) {
            pools.create(pool, node_type, subnets, wanted).await?;
        }
        Ok(())
    }

    async fn active(&self, region: &Region, name: &str) -> Result<EksCluster> {
        let what = format!("the cluster '{name}' to be active");
        let options = wait();
        let active = wait_until(&what, &options, || async {
            let cluster = self.describe(region, name).await.map_err(on_its_way)?;
            match status(&cluster) {
                ResourceStatus::Running => Ok(Some(cluster)),
                ResourceStatus::Deleting => Err(being_deleted(name).with_retry(Retry::Never)),
                ResourceStatus::Failed => Err(failed(&cluster)),
                status => {
                    tracing::info!(cluster = name, %status, "waiting for the cluster");
                    Ok(None)
                }
            }
        });
        active.await.map_err(|error| match error.kind() {
            ErrorKind::Timeout => on_its_way(error).with_retry(Retry::Backoff),
            _ => error,
        })
    }
}

/// Not to see how a cluster does is no refusal of it.
fn on_its_way(error: Error) -> Error {
    error.with_effect(Effect::Unknown)
}

/// A subnet and its zone.
struct Subnet {
    id: String,
    zone: String,
}

fn check_zones(subnets: &[Subnet]) -> Result<()> {
    match subnets.iter().any(|subnet| subnet.zone != subnets[0].zone) {
        true => Ok(()),
        false => Err(Error::invalid(
            "network",
            format_args!("has {} subnets for EKS, not in two zones", subnets.len()),
            "a network with subnets in at least two zones, or overrides.aws.subnet_ids",
        )),
    }
}

fn failed(cluster: &EksCluster) -> Error {
    let issues = cluster.health().map(|health| health.issues()).unwrap_or_default();
    let issues: Vec<_> = issues.iter().filter_map(|issue| issue.message()).collect();
    let name = cluster.name().unwrap_or_default();
    let message = format!("the cluster '{name}' has failed: {}", issues.join("; "));
    Error::new(ErrorKind::Internal, message).with_effect(Effect::None)
}

/// All of the call but the network.
fn cluster_call(eks: &aws_sdk_eks::Client, wanted: &Wanted<'_>) -> CreateClusterFluentBuilder {
    let Wanted { spec, settings, tags, request, .. } = wanted;
    let given = &settings.given;
    let access = CreateAccessConfigRequest::builder()
        .authentication_mode(AuthenticationMode::ApiAndConfigMap)
        .bootstrap_cluster_creator_admin_permissions(true);
    let logging = (!given.log_types.is_empty()).then(|| {
        let types = given.log_types.iter().map(|name| LogType::from(name.as_str())).collect();
        let setup = LogSetup::builder().set_types(Some(types)).enabled(true).build();
        Logging::builder().cluster_logging(setup).build()
    });
    let encryption = given.secrets_kms_key_arn.as_ref().map(|key| {
        let provider = KeyProvider::builder().key_arn(key).build();
        vec![EncryptionConfig::builder().resources("secrets").provider(provider).build()]
    });
    let services = given.service_cidr.map(|cidr| {
        KubernetesNetworkConfigRequest::builder().service_ipv4_cidr(cidr.to_string()).build()
    });
    eks.create_cluster()
        .name(&spec.name)
        .role_arn(&settings.role_arn)
        .set_version(settings.version.clone())
        .access_config(access.build())
        .set_logging(logging)
        .set_encryption_config(encryption)
        .set_kubernetes_network_config(services)
        .set_deletion_protection(given.deletion_protection.then_some(true))
        .set_tags(Some(tags.iter().cloned().collect()))
        .client_request_token(request.token.as_str())
}

/// The call with its network. The API server is open to its network, and to whom the settings name.
fn with_subnets(
    call: &CreateClusterFluentBuilder,
    settings: &Settings,
    subnets: &[Subnet],
) -> CreateClusterFluentBuilder {
    let groups = &settings.given.security_group_ids;
    let public = &settings.public_access_cidrs;
    let network = VpcConfigRequest::builder()
        .set_subnet_ids(Some(subnets.iter().map(|subnet| subnet.id.clone()).collect()))
        .set_security_group_ids((!groups.is_empty()).then(|| groups.clone()))
        .endpoint_private_access(true)
        .endpoint_public_access(!public.is_empty())
        .set_public_access_cidrs((!public.is_empty()).then(|| public.clone()));
    call.clone().resources_vpc_config(network.build())
}
