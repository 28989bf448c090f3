//! `Kubernetes` of the simulated cloud: clusters that exist on paper only.

use async_trait::async_trait;
use cloud_core::{
    ClientToken, Cluster, ClusterSpec, Error, ErrorKind, Kubernetes, ListQuery, Page, PageRequest,
    ResourceId, ResourceKind, ResourceStatus, Result, SecretString,
};

use super::{
    SimCloud,
    entry::{Draft, Request},
    extra::Extra,
    offered,
    views::AnyView,
};

#[async_trait]
impl Kubernetes for SimCloud {
    async fn create_cluster(&self, spec: &ClusterSpec, token: &ClientToken) -> Result<Cluster> {
        let can = offered!(self, kubernetes, "kubernetes clusters")?;
        spec.check(can)?;
        self.region(&spec.region)?;
        let request = Request {
            region: &spec.region,
            name: &spec.name,
            tags: &spec.tags,
            spec,
            token,
            unique: true,
            needs: spec.network.iter().cloned().collect(),
            vcpu: 0,
        };
        self.create_one("kubernetes.create_cluster", request, |_, common| {
            let view = Cluster {
                endpoint: Some(format!("https://{}.sim.invalid", common.id.native())),
                id: common.id,
                name: common.name,
                status: ResourceStatus::Creating,
                version: spec.version.clone().or_else(|| can.versions.first().cloned()),
                node_pools: spec.node_pools.clone(),
                tags: common.tags,
                created_at: common.created_at,
            };
            Ok(Draft::new(view, Extra::Nothing))
        })
        .await
    }

    async fn get_cluster(&self, id: &ResourceId) -> Result<Cluster> {
        self.get_one("kubernetes.get_cluster", id).await
    }

    async fn list_clusters_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Cluster>> {
        self.list_page("kubernetes.list_clusters", query, page).await
    }

    async fn delete_cluster(&self, id: &ResourceId) -> Result<bool> {
        self.delete_one("kubernetes.delete_cluster", ResourceKind::Cluster, id).await
    }

    async fn set_node_count(&self, id: &ResourceId, pool: &str, count: u32) -> Result<()> {
        id.expect_kind(ResourceKind::Cluster)?;
        if count > 5_000 {
            return Err(Error::invalid("count", format_args!("is {count}"), "0 to 5000"));
        }
        self.call("kubernetes.set_node_count", Some(&id.region), |state, now| {
            if let AnyView::Cluster(cluster) = &mut state.find_mut(id, now)?.view
                && let Some(found) = cluster.node_pools.iter_mut().find(|p| p.name == pool)
            {
                found.count = count;
                return Ok(());
            }
            Err(Error::new(ErrorKind::NotFound, format!("{id} has no node pool '{pool}'")))
        })
        .await
    }

    async fn kubeconfig(&self, id: &ResourceId) -> Result<SecretString> {
        id.expect_kind(ResourceKind::Cluster)?;
        self.call("kubernetes.kubeconfig", Some(&id.region), |state, now| {
            let cluster: Cluster = state.ready(id, now)?.view(now).typed()?;
            let (name, server) = (&cluster.name, cluster.endpoint.unwrap_or_default());
            let text = format!(
                "apiVersion: v1\nkind: Config\nclusters:\n- name: {name}\n  cluster:\n    server: {server}\n\
                 contexts:\n- name: {name}\n  context:\n    cluster: {name}\n    user: sim\ncurrent-context: {name}\n\
                 users:\n- name: sim\n  user:\n    token: simulated\n"
            );
            Ok(SecretString::from(text))
        })
        .await
    }
}
