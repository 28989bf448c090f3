//! The node groups of clusters: one for each pool.

use aws_sdk_eks::types::{
    AmiTypes, CapacityTypes, Nodegroup, NodegroupScalingConfig, NodegroupStatus,
};
use cloud_core::{
    ClientToken, Effect, Error, ErrorKind, InstanceSize, NameRule, NodePoolSpec, Region,
    ResourceStatus, Result, Retry, WaitOptions, wait_until,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::{create::Wanted, settings::AwsCluster};
use crate::{
    account::Account,
    error::{has_code, reads, writes},
    names,
};

/// Of node groups ([CreateNodegroup](https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateNodegroup.html)).
pub(super) const POOL: NameRule = NameRule { max: 63, ..names::CLUSTER };

/// How many node groups are asked about at once.
const AT_ONCE: usize = 8;

/// The node groups of one cluster.
#[derive(Clone, Copy)]
pub(super) struct Pools<'a> {
    pub(super) account: &'a Account,
    pub(super) region: &'a Region,
    pub(super) cluster: &'a str,
}

impl Pools<'_> {
    fn eks(&self) -> Result<aws_sdk_eks::Client> {
        self.account.eks(self.region)
    }

    /// Their names.
    pub(super) async fn names(&self) -> Result<Vec<String>> {
        let call = self.eks()?.list_nodegroups().cluster_name(self.cluster);
        let mut pages = call.into_paginator().items().send();
        let mut names = Vec::new();
        while let Some(name) = pages.next().await {
            names.push(name.map_err(reads("eks"))?);
        }
        names.sort();
        Ok(names)
    }

    /// All, ordered by name. What is gone meanwhile, be it the cluster, is left out.
    pub(super) async fn all(&self) -> Result<Vec<Nodegroup>> {
        let names = match self.names().await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            answer => answer?,
        };
        let groups = stream::iter(names).map(async |name: String| match self.get(&name).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            answer => answer.map(Some),
        });
        let groups: Vec<_> = groups.buffered(AT_ONCE).try_collect().await?;
        Ok(groups.into_iter().flatten().collect())
    }

    /// One of them.
    pub(super) async fn get(&self, name: &str) -> Result<Nodegroup> {
        let call = self.eks()?.describe_nodegroup().cluster_name(self.cluster);
        let answer = call.nodegroup_name(name).send().await.map_err(reads("eks"))?;
        answer.nodegroup.ok_or_else(|| Error::not_found(format_args!("node pool '{name}'")))
    }

    /// Asks for the node group of a pool in these subnets. One that is there already is taken for it.
    pub(super) async fn create(
        &self,
        pool: &NodePoolSpec,
        node_type: &str,
        subnets: &[String],
        wanted: &Wanted<'_>,
    ) -> Result<()> {
        let Wanted { settings, tags, request, .. } = wanted;
        let given = &settings.given;
        let count = node_count(pool.count)?;
        let token = ClientToken::derive(request.token.as_str(), &pool.name, 1);
        let call = self
            .eks()?
            .create_nodegroup()
            .cluster_name(self.cluster)
            .nodegroup_name(&pool.name)
            .node_role(&settings.node_role_arn)
            .set_subnets(Some(subnets.to_vec()))
            .instance_types(node_type)
            .scaling_config(scaling(count, count, count))
            .set_ami_type(given.node_ami_type.as_deref().map(AmiTypes::from))
            .set_disk_size(given.node_disk_gib.map(i32::from))
            .set_capacity_type(given.spot_nodes.then_some(CapacityTypes::Spot))
            .set_tags(Some(tags.iter().cloned().collect()))
            .client_request_token(token.as_str());
        let refused = match call.send().await.map_err(writes("eks")) {
            Ok(_) => return Ok(()),
            Err(error) => error.context(format_args!("node pool '{}'", pool.name)),
        };
        if !has_code(&refused, &["ResourceInUseException"]) {
            return Err(refused);
        }
        // There is one of its name, or something else is under way.
        match self.get(&pool.name).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(refused.with_retry(Retry::Backoff))
            }
            answer => answer.map(drop).map_err(|e| e.with_effect(Effect::Unknown)),
        }
    }

    /// Sets how many nodes one has; its bounds give way.
    pub(super) async fn set_count(&self, pool: &str, count: u32) -> Result<()> {
        let count = node_count(count)?;
        let group = self.get(pool).await?;
        let now = group.scaling_config();
        if now.and_then(NodegroupScalingConfig::desired_size) == Some(count) {
            return Ok(());
        }
        let least = now.and_then(NodegroupScalingConfig::min_size).map_or(count, |n| n.min(count));
        let most = now.and_then(NodegroupScalingConfig::max_size).map_or(count, |n| n.max(count));
        let call = self.eks()?.update_nodegroup_config().cluster_name(self.cluster);
        let call = call.nodegroup_name(pool).scaling_config(scaling(least, count, most));
        call.send().await.map(drop).map_err(writes("eks"))
    }

    /// Asks for the deletion of all that are not on their way out yet, and waits until none is left.
    ///
    /// After an error some may be gone: that is its effect.
    pub(super) async fn delete_all(&self, wait: &WaitOptions) -> Result<()> {
        for group in self.all().await? {
            if group.status() != Some(&NodegroupStatus::Deleting) {
                self.delete(group.nodegroup_name().unwrap_or_default()).await?;
            }
        }
        let what = format!("the node pools of '{}' to be gone", self.cluster);
        let gone = wait_until(&what, wait, || async {
            let left = self.all().await?;
            left.iter().try_for_each(check_deletion)?;
            tracing::info!(cluster = self.cluster, left = left.len(), "deleting node pools");
            Ok(left.is_empty().then_some(()))
        });
        gone.await.map_err(|e| e.with_effect(Effect::Unknown))
    }

    async fn delete(&self, name: &str) -> Result<()> {
        let call = self.eks()?.delete_nodegroup().cluster_name(self.cluster).nodegroup_name(name);
        match call.send().await.map_err(writes("eks")) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            answer => answer.map(drop),
        }
    }
}

/// The types of the nodes, in the order of the pools.
pub(super) async fn types(
    account: &Account,
    region: &Region,
    pools: &[NodePoolSpec],
    given: &AwsCluster,
) -> Result<Vec<String>> {
    let mut types = Vec::new();
    for pool in pools {
        types.push(match &pool.size {
            InstanceSize::Exact(name) => name.clone(),
            size => at_least(account, region, size, given).await?,
        });
    }
    Ok(types)
}

#[cfg(not(feature = "compute"))]
async fn at_least(_: &Account, _: &Region, _: &InstanceSize, _: &AwsCluster) -> Result<String> {
    Err(Error::unsupported("node sizes by vCPU and memory without the feature 'compute'"))
}

/// Nodes with an image for ARM are of ARM.
#[cfg(feature = "compute")]
async fn at_least(
    account: &Account,
    region: &Region,
    size: &InstanceSize,
    given: &AwsCluster,
) -> Result<String> {
    let arm64 = given.node_ami_type.as_deref().is_some_and(|image| image.contains("ARM"));
    crate::compute::node_type(account, region, size, given.spot_nodes, arm64).await
}

/// EKS takes no upper bound of 0.
fn scaling(least: i32, count: i32, most: i32) -> NodegroupScalingConfig {
    let bounds = NodegroupScalingConfig::builder().min_size(least).max_size(most.max(1));
    bounds.desired_size(count).build()
}

fn node_count(count: u32) -> Result<i32> {
    i32::try_from(count)
        .map_err(|_| Error::invalid("count", format_args!("is {count}"), "0 to 5000"))
}

/// Why EKS could not delete a node group, if it could not.
fn check_deletion(group: &Nodegroup) -> Result<()> {
    if group.status() != Some(&NodegroupStatus::DeleteFailed) {
        return Ok(());
    }
    let issues = group.health().map(|health| health.issues()).unwrap_or_default();
    let issues: Vec<_> = issues.iter().filter_map(|issue| issue.message()).collect();
    let name = group.nodegroup_name().unwrap_or_default();
    let message = format!("the node pool '{name}' cannot be deleted: {}", issues.join("; "));
    Err(Error::new(ErrorKind::Conflict, message))
}

/// A node group as a pool. One whose nodes' type is in a launch template has none here.
pub(super) fn pool(group: &Nodegroup) -> NodePoolSpec {
    let size = group.instance_types().join(",");
    let count = group.scaling_config().and_then(NodegroupScalingConfig::desired_size);
    NodePoolSpec {
        name: group.nodegroup_name().unwrap_or_default().to_owned(),
        size: InstanceSize::Exact(size),
        count: count.and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
    }
}

/// What its node groups make of a cluster that is active.
pub(super) fn status(groups: &[Nodegroup]) -> ResourceStatus {
    use NodegroupStatus::{CreateFailed, Creating, DeleteFailed, Deleting, Updating};
    let any = |wanted: &[NodegroupStatus]| {
        groups.iter().filter_map(Nodegroup::status).any(|status| wanted.contains(status))
    };
    if any(&[CreateFailed, DeleteFailed]) {
        ResourceStatus::Failed
    } else if any(&[Creating, Updating, Deleting]) {
        ResourceStatus::Updating
    } else {
        ResourceStatus::Running
    }
}

/// Refuses pools that EKS does not take, before any call.
pub(super) fn check(pools: &[NodePoolSpec]) -> Result<()> {
    for (i, pool) in pools.iter().enumerate() {
        POOL.check(&format!("node_pools[{i}].name"), &pool.name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(status: NodegroupStatus) -> Nodegroup {
        let scaling = NodegroupScalingConfig::builder().desired_size(3).build();
        Nodegroup::builder()
            .nodegroup_name("a")
            .instance_types("t3.medium")
            .scaling_config(scaling)
            .status(status)
            .build()
    }

    #[test]
    fn a_cluster_is_as_well_as_its_worst_node_group() {
        use NodegroupStatus::{Active, CreateFailed, Creating, Degraded};
        let of =
            |all: &[NodegroupStatus]| status(&all.iter().cloned().map(group).collect::<Vec<_>>());
        assert_eq!(of(&[]), ResourceStatus::Running);
        assert_eq!(of(&[Active, Degraded]), ResourceStatus::Running);
        assert_eq!(of(&[Active, Creating]), ResourceStatus::Updating);
        assert_eq!(of(&[Creating, CreateFailed]), ResourceStatus::Failed);
    }

    #[test]
    fn a_node_group_is_a_pool() {
        let pool = pool(&group(NodegroupStatus::Active));
        assert_eq!((pool.name.as_str(), pool.count), ("a", 3));
        assert_eq!(pool.size, InstanceSize::Exact("t3.medium".into()));
        assert!(check(&[NodePoolSpec { name: "a.b".into(), ..pool }]).is_err());
    }
}
