//! What only Kubernetes clusters do: have nodes, and hand out a kubeconfig.

use cloud_core::{ClientToken, Cluster, ErrorKind, secret::ExposeSecret, wait_until};

use super::{Context, Failure, Trial, ensure, trial_list};

pub(super) fn trials() -> Vec<Trial> {
    trial_list! {
        "kubernetes.nodes": "a pool has as many nodes as it is set to; an unknown pool is NotFound", |can| can.kubernetes.is_some() => nodes;
        "kubernetes.kubeconfig": "a kubeconfig is a secret YAML document that names a server", |can| can.kubernetes.is_some() => kubeconfig;
        "kubernetes.version": "a version that is not on offer is refused with InvalidInput", |can| can.kubernetes.is_some() => version;
    }
}

async fn cluster(context: &Context<'_>, suffix: &str) -> Result<Cluster, Failure> {
    let mut spec = context.harness.cluster_spec(&context.name(suffix));
    spec.tags = context.tags(&[])?;
    let service = context.cloud.kubernetes()?;
    let made = service.create_cluster(&spec, &ClientToken::random()).await?;
    context.ready(&made.id).await?;
    Ok(service.get_cluster(&made.id).await?)
}

async fn nodes(context: &Context<'_>) -> Result<(), Failure> {
    let service = context.cloud.kubernetes()?;
    let cluster = cluster(context, "a").await?;
    let kind = service.set_node_count(&cluster.id, "no-such-pool", 1).await.err().map(|e| e.kind());
    ensure!(kind == Some(ErrorKind::NotFound), "an unknown pool answers {kind:?}, not NotFound");
    let Some(pool) = cluster.node_pools.first() else {
        return Ok(());
    };
    let wanted = pool.count + 1;
    service.set_node_count(&cluster.id, &pool.name, wanted).await?;
    wait_until("the pool to grow", &context.wait, || async {
        let now = service.get_cluster(&cluster.id).await?;
        Ok(now.node_pools.iter().any(|p| p.name == pool.name && p.count == wanted).then_some(()))
    })
    .await?;
    Ok(())
}

async fn kubeconfig(context: &Context<'_>) -> Result<(), Failure> {
    let cluster = cluster(context, "a").await?;
    let config = context.cloud.kubernetes()?.kubeconfig(&cluster.id).await?;
    let text = config.expose_secret();
    ensure!(
        text.contains("clusters:") && text.contains("server:"),
        "the kubeconfig names no server"
    );
    ensure!(!format!("{config:?}").contains("server:"), "the kubeconfig's Debug shows it");
    Ok(())
}

async fn version(context: &Context<'_>) -> Result<(), Failure> {
    let mut spec = context.harness.cluster_spec(&context.name("a"));
    (spec.version, spec.tags) = (Some("0.1".into()), context.tags(&[])?);
    let answer = context.cloud.kubernetes()?.create_cluster(&spec, &ClientToken::random()).await;
    let kind = answer.err().map(|e| e.kind());
    ensure!(
        kind == Some(ErrorKind::InvalidInput),
        "the version 0.1 answers {kind:?}, not InvalidInput"
    );
    Ok(())
}
