//! When it is not known what happened: the server does it and its answer comes too late or broken; the create is repeated with its token, and there is one.

use std::time::Duration;

use cloud_core::{
    BucketSpec, ClientToken, Cloud, CloudExt, DatabaseSpec, Effect, Engine, ErrorKind,
    FirewallSpec, InstanceSpec, NetworkSpec, Ownership, ResourceKind, ResourceQuery, Tags,
};

use cloud_rig::{Fault, Kind, Seen, What};

use crate::harness::{Aws, REGIONS, region};

/// The client gives up after this, and the server's answer comes later.
const PATIENCE: Duration = Duration::from_millis(1500);
const LATE: Duration = Duration::from_secs(20);

fn owned(token: &ClientToken) -> Tags {
    let mut tags = Tags::default();
    Ownership::new("ambiguity", "step", token.clone()).unwrap().write(&mut tags).unwrap();
    tags
}

/// How many there are that this token made, wherever they are.
async fn made(cloud: &dyn Cloud, token: &ClientToken, kind: ResourceKind) -> usize {
    let mut query = ResourceQuery::tagged(Ownership::filter_token(token));
    query.kind = Some(kind);
    let all = cloud.list_resources(&query).complete().await.unwrap();
    all.items().iter().filter(|resource| !resource.status.is_gone()).count()
}

/// The create is lost once in this way, then repeated: the first has an unknown effect, the second succeeds, there is one.
async fn one_of<T, F>(aws: &Aws, kind: ResourceKind, strikes: fn(&Seen) -> bool, create: F)
where
    F: AsyncFn(&dyn Cloud, &ClientToken) -> cloud_core::Result<T>,
{
    for what in [What::DelayAnswer(LATE), What::ForwardThenDrop, What::internal_error(), What::Drop]
    {
        let token = ClientToken::random();
        let cloud = aws.within(PATIENCE);
        let words = format!("{kind}, {what:?}");
        aws.proxy.inject(Fault::when(strikes, what));
        let lost = create(&*cloud, &token).await;
        let error = lost.err().unwrap_or_else(|| panic!("{words}: it succeeded"));
        assert_eq!(aws.proxy.faults_left(), 0, "{words}: nothing was struck");
        assert_eq!(error.effect(), Effect::Unknown, "{words}: {error:?}");
        let kinds = [ErrorKind::Timeout, ErrorKind::Unavailable];
        assert!(kinds.contains(&error.kind()), "{words}: {error:?}");
        create(&aws.cloud, &token).await.unwrap_or_else(|e| panic!("{words}, repeated: {e:?}"));
        assert_eq!(made(&aws.cloud, &token, kind).await, 1, "{words}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_is_started_once() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    one_of(
        &aws,
        ResourceKind::Instance,
        |seen| seen.is("ec2", "RunInstances"),
        async |cloud, token| {
            let mut spec = InstanceSpec::new("lost", region(REGIONS[0]));
            spec.tags = owned(token);
            cloud.compute()?.create_instance(&spec, token).await
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_is_made_once() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let create = async |cloud: &dyn Cloud, token: &ClientToken| {
        let mut spec = BucketSpec::new(format!("lost-{token}"), region(REGIONS[1]));
        spec.tags = owned(token);
        cloud.storage()?.create_bucket(&spec, token).await
    };
    one_of(
        &aws,
        ResourceKind::Bucket,
        |seen| {
            // The only request that puts a bucket itself.
            seen.service == "s3"
                && seen.method == "PUT"
                && (seen.query.is_empty() || seen.query.starts_with("x-id"))
        },
        create,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_is_made_once() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let create = async |cloud: &dyn Cloud, token: &ClientToken| {
        let name = format!("lost-{}", &token.as_str()[..8]);
        let mut spec = DatabaseSpec::new(name, region(REGIONS[0]), Engine::Postgres);
        spec.tags = owned(token);
        cloud.database()?.create_database(&spec, token).await
    };
    one_of(&aws, ResourceKind::Database, |seen| seen.is("rds", "CreateDBInstance"), create).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_is_made_once() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let create = async |cloud: &dyn Cloud, token: &ClientToken| {
        let mut spec =
            NetworkSpec::new("lost", region(REGIONS[0]), "10.77.0.0/16".parse().unwrap());
        spec.tags = owned(token);
        cloud.network()?.create_network(&spec, token).await
    };
    one_of(&aws, ResourceKind::Network, |seen| seen.is("ec2", "CreateVpc"), create).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_firewall_is_made_once() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let spec = NetworkSpec::new("walled", region(REGIONS[0]), "10.78.0.0/16".parse().unwrap());
    let network = aws.cloud.network().unwrap();
    let network = network.create_network(&spec, &ClientToken::random()).await.unwrap().id;
    let create = async |cloud: &dyn Cloud, token: &ClientToken| {
        let mut spec = FirewallSpec::new(format!("lost-{}", &token.as_str()[..8]), network.clone());
        spec.tags = owned(token);
        cloud.network()?.create_firewall(&spec, token).await
    };
    one_of(&aws, ResourceKind::Firewall, |seen| seen.is("ec2", "CreateSecurityGroup"), create)
        .await;
}

/// A delete that is lost is repeated: the second finds it gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_that_is_lost_is_repeated() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let spec = InstanceSpec::new("lost", region(REGIONS[0]));
    let compute = aws.cloud.compute().unwrap();
    let made = compute.create_instance(&spec, &ClientToken::random()).await.unwrap();
    aws.proxy.inject(Fault::on("ec2", "TerminateInstances", What::DelayAnswer(LATE)));
    let patient = aws.within(PATIENCE).compute().unwrap();
    let error = patient.delete_instance(&made.id).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
    assert!(!compute.delete_instance(&made.id).await.unwrap());
}
