//! `Kubernetes` by EKS: clusters and their node groups, tokens and kubeconfigs.

mod access;
mod create;
mod pools;
mod settings;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_eks::types::{Cluster as EksCluster, ClusterStatus};
use cloud_core::{
    ClientToken, Cluster, ClusterSpec, Error, ErrorKind, Kubernetes, KubernetesCapabilities,
    ListQuery, NameRule, Page, PageRequest, Region, ResourceId, ResourceKind, ResourceStatus,
    Result, Retry, SecretString, WaitOptions,
};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

pub use self::settings::AwsCluster;
use self::{pools::Pools, settings::Settings};
use crate::{
    account::Account,
    error::{reads, writes},
    listing, names, tags, time,
};

/// What EKS offers, newest first, in standard and then in extended support
/// ([Kubernetes version lifecycle](https://docs.aws.amazon.com/eks/latest/userguide/kubernetes-versions.html)).
/// One that is newer is asked for by [`AwsCluster::version`].
const VERSIONS: [&str; 6] = ["1.36", "1.35", "1.34", "1.33", "1.32", "1.31"];

/// How many clusters of a page are asked about at once.
const AT_ONCE: usize = 8;

/// Kubernetes clusters on EKS.
///
/// # Creating
/// A cluster needs a role, given by [`AwsCluster`]. EKS takes about 10 minutes for one, and takes no node pool before the cluster is
/// active. So a create **without** node pools returns at once, and a create **with** node pools returns when the cluster is active and
/// its node pools are asked for: allow it 15 minutes, above all in a time-out interceptor. A create that was abandoned is gone
/// on with by repeating it with its token, which asks for the pools that are missing; nothing is made twice. If EKS refuses a pool
/// for good, what this create made is deleted again.
///
/// The API server can be reached from within the network only, unless [`AwsCluster::public_access_cidrs`] says more. Access is by
/// EKS's access entries and the `aws-auth` map; who creates a cluster is its administrator.
///
/// # What is seen
/// Managed node groups are pools. A cluster that is active is [`Updating`](ResourceStatus::Updating) while a pool is made, changed
/// or deleted, and [`Failed`](ResourceStatus::Failed) if one could not be.
///
/// # Deleting
/// The node pools go first, which takes some minutes that the call waits for; then the deletion of the cluster is asked for. Repeated,
/// it goes on where it was. Fargate profiles are not deleted: EKS refuses to delete a cluster that has any.
///
/// ```no_run
/// # use cloud_core::{ResourceId, Result};
/// # use cloud_aws::AwsCloud;
/// # async fn example(aws: &AwsCloud, cluster: &ResourceId) -> Result<()> {
/// let (token, expires) = aws.aws_kubernetes().token(cluster).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AwsKubernetes {
    account: Arc<Account>,
}

impl AwsKubernetes {
    pub(crate) fn new(account: &Arc<Account>) -> Self {
        Self { account: account.clone() }
    }

    pub(crate) fn capabilities(&self) -> KubernetesCapabilities {
        KubernetesCapabilities {
            names: names::CLUSTER,
            versions: VERSIONS.map(str::to_owned).into(),
        }
    }

    /// A token to call the cluster's API with, and until when it is good: 14 minutes, or as long as the credentials that it proves.
    ///
    /// It is a presigned question to STS who we are, bound to this cluster
    /// ([format](https://github.com/kubernetes-sigs/aws-iam-authenticator#api-authorization-from-outside-a-cluster)). Nothing is asked
    /// of EKS: whether there is such a cluster is not seen.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an id that is none of a cluster,
    /// [`Unauthenticated`](ErrorKind::Unauthenticated) without credentials.
    ///
    /// ```no_run
    /// # use cloud_core::{ResourceId, Result};
    /// # use cloud_aws::AwsKubernetes;
    /// # async fn example(kubernetes: &AwsKubernetes, cluster: &ResourceId) -> Result<()> {
    /// let (token, expires) = kubernetes.token(cluster).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn token(&self, id: &ResourceId) -> Result<(SecretString, Timestamp)> {
        let token = async {
            let name = name_of(id)?;
            self.account.check_region(&id.region)?;
            access::token(&self.account, &id.region, name).await
        };
        token.await.map_err(self.account.in_call("kubernetes.token"))
    }

    fn pools<'a>(&'a self, region: &'a Region, cluster: &'a str) -> Pools<'a> {
        Pools { account: &self.account, region, cluster }
    }

    async fn find(&self, region: &Region, name: &str) -> Result<Option<EksCluster>> {
        let call = self.account.eks(region)?.describe_cluster().name(name);
        match call.send().await.map_err(reads("eks")) {
            Ok(answer) => Ok(answer.cluster),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn describe(&self, region: &Region, name: &str) -> Result<EksCluster> {
        let found = self.find(region, name).await?;
        found.ok_or_else(|| Error::not_found(format_args!("cluster/{region}/{name}")))
    }

    async fn view(&self, region: &Region, cluster: EksCluster) -> Result<Cluster> {
        let name = cluster.name().unwrap_or_default().to_owned();
        let status = status(&cluster);
        // One that is being made has none yet.
        let groups = match status {
            ResourceStatus::Creating => Vec::new(),
            _ => self.pools(region, &name).all().await?,
        };
        let status = match status {
            ResourceStatus::Running => pools::status(&groups),
            other => other,
        };
        let (tags, _) = tags::read(cluster.tags.unwrap_or_default());
        Ok(Cluster {
            id: listing::id(ResourceKind::Cluster, region, &name)?,
            name,
            status,
            version: cluster.version,
            endpoint: cluster.endpoint,
            node_pools: groups.iter().map(pools::pool).collect(),
            tags,
            created_at: cluster.created_at.as_ref().and_then(time::timestamp),
        })
    }

    async fn remove(&self, region: &Region, name: &str) -> Result<bool> {
        let Some(cluster) = self.find(region, name).await? else {
            return Ok(false);
        };
        if status(&cluster) == ResourceStatus::Deleting {
            return Ok(true);
        }
        // EKS would say so too, but only once the node pools are gone.
        if cluster.deletion_protection() == Some(true) {
            let message = format!("the cluster '{name}' is protected against deletion");
            return Err(Error::new(ErrorKind::Conflict, message)
                .with_hint("switch its deletion protection off in EKS"));
        }
        self.pools(region, name).delete_all(&wait()).await?;
        let call = self.account.eks(region)?.delete_cluster().name(name);
        match call.send().await.map_err(writes("eks")) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            // It cannot be deleted yet.
            Err(error)
                if error.kind() == ErrorKind::Conflict
                    && status(&cluster) != ResourceStatus::Running =>
            {
                Err(error.with_retry(Retry::Backoff))
            }
            answer => answer.map(|_| true),
        }
    }

    async fn list(
        &self,
        query: &ListQuery,
        region: Region,
        token: Option<String>,
        size: i32,
    ) -> Result<listing::NativePage<Cluster>> {
        let (names, next) = match &query.name {
            Some(name) if names::CLUSTER.check("name", name).is_err() => (Vec::new(), None),
            Some(name) => (vec![name.clone()], None),
            None => {
                let call = self.account.eks(&region)?.list_clusters().max_results(size);
                let page = call.set_next_token(token).send().await.map_err(reads("eks"))?;
                (page.clusters.unwrap_or_default(), page.next_token)
            }
        };
        let region = &region;
        let views =
            stream::iter(names).map(async |name: String| match self.find(region, &name).await? {
                Some(cluster) if wanted(query, &cluster) => {
                    self.view(region, cluster).await.map(Some)
                }
                _ => Ok(None),
            });
        let views: Vec<_> = views.buffered(AT_ONCE).try_collect().await?;
        Ok((views.into_iter().flatten().collect(), next.filter(|token| !token.is_empty())))
    }

    async fn config(&self, id: &ResourceId) -> Result<SecretString> {
        let name = name_of(id)?;
        let cluster = self.describe(&id.region, name).await?;
        let authority = cluster.certificate_authority().and_then(|ca| ca.data());
        let (Some(server), Some(authority)) = (cluster.endpoint(), authority) else {
            let message = format!("the cluster '{name}' has no endpoint yet");
            return Err(Error::new(ErrorKind::Conflict, message)
                .with_retry(Retry::Backoff)
                .with_hint("wait until it is running"));
        };
        let (token, expires) = access::token(&self.account, &id.region, name).await?;
        Ok(access::kubeconfig(name, server, authority, &token, expires))
    }
}

/// How long EKS may take for a cluster, or for the deletion of node pools.
fn wait() -> WaitOptions {
    WaitOptions {
        deadline: Duration::from_secs(40 * 60),
        first_pause: Duration::from_secs(1),
        longest_pause: Duration::from_secs(15),
        ..WaitOptions::default()
    }
}

/// The name that an id says, if it is one.
fn name_of(id: &ResourceId) -> Result<&str> {
    id.expect_kind(ResourceKind::Cluster)?;
    // Others may have made it: EKS lets a name end with a hyphen.
    NameRule { alphanumeric_ends: false, ..names::CLUSTER }.check("resource id", id.native())?;
    Ok(id.native())
}

fn wanted(query: &ListQuery, cluster: &EksCluster) -> bool {
    let (tags, _) = tags::read(cluster.tags.clone().unwrap_or_default());
    query.matches(cluster.name().unwrap_or_default(), &tags)
}

fn being_deleted(name: &str) -> Error {
    let message = format!("the cluster '{name}' is being deleted");
    Error::new(ErrorKind::Conflict, message).with_retry(Retry::Backoff)
}

fn status(cluster: &EksCluster) -> ResourceStatus {
    match cluster.status() {
        Some(ClusterStatus::Pending | ClusterStatus::Creating) => ResourceStatus::Creating,
        Some(ClusterStatus::Active) => ResourceStatus::Running,
        Some(ClusterStatus::Updating) => ResourceStatus::Updating,
        Some(ClusterStatus::Deleting) => ResourceStatus::Deleting,
        Some(ClusterStatus::Failed) => ResourceStatus::Failed,
        _ => ResourceStatus::Unknown,
    }
}

#[async_trait]
impl Kubernetes for AwsKubernetes {
    async fn create_cluster(&self, spec: &ClusterSpec, token: &ClientToken) -> Result<Cluster> {
        let create = async {
            spec.check(&self.capabilities())?;
            pools::check(&spec.node_pools)?;
            tags::check(&spec.tags)?;
            Settings::of(spec)?;
            let run = |request| async move { self.create(spec, &request).await };
            self.account.tokens.once(ResourceKind::Cluster, spec, token, run).await
        };
        create.await.map_err(self.account.in_call("kubernetes.create_cluster"))
    }

    async fn get_cluster(&self, id: &ResourceId) -> Result<Cluster> {
        let get = async {
            let cluster = self.describe(&id.region, name_of(id)?).await?;
            self.view(&id.region, cluster).await
        };
        get.await.map_err(self.account.in_call("kubernetes.get_cluster"))
    }

    async fn list_clusters_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Cluster>> {
        let size = listing::native_size(page, 1, 100);
        let listed = listing::regional(&self.account, query, page, |region, token| {
            self.list(query, region, token, size)
        });
        listed.await.map_err(self.account.in_call("kubernetes.list_clusters"))
    }

    async fn delete_cluster(&self, id: &ResourceId) -> Result<bool> {
        let delete = async { self.remove(&id.region, name_of(id)?).await };
        delete.await.map_err(self.account.in_call("kubernetes.delete_cluster"))
    }

    async fn set_node_count(&self, id: &ResourceId, pool: &str, count: u32) -> Result<()> {
        let set = async {
            let name = name_of(id)?;
            NameRule { alphanumeric_ends: false, ..pools::POOL }.check("pool", pool)?;
            self.pools(&id.region, name).set_count(pool, count).await
        };
        set.await.map_err(self.account.in_call("kubernetes.set_node_count"))
    }

    async fn kubeconfig(&self, id: &ResourceId) -> Result<SecretString> {
        self.config(id).await.map_err(self.account.in_call("kubernetes.kubeconfig"))
    }
}
