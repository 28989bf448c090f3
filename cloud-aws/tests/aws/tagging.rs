//! Finding by tags over all services, also what no kind of resource here models.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{ConnectivityType, ResourceType, Tag, TagSpecification};
use cloud_aws::{AwsCloud, TagQuery, TaggedResource};
use cloud_core::{BucketSpec, ClientToken, ErrorKind, Ownership, ResourceId, Storage, Tags};

use cloud_rig::Kind;

use crate::harness::{Aws, REGIONS, region};

/// The SDK's client for a service whose feature is not switched on.
async fn ec2(aws: &Aws, place: &str) -> aws_sdk_ec2::Client {
    let keys = aws.emulator.keys();
    let keys = aws_sdk_ec2::config::Credentials::new(
        &keys.access_key_id,
        &keys.secret_access_key,
        None,
        None,
        "test",
    );
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .region(aws_config::Region::new(place.to_owned()))
        .credentials_provider(keys)
        .endpoint_url(aws.proxy.url())
        .load()
        .await;
    aws_sdk_ec2::Client::new(&config)
}

async fn bucket(cloud: &AwsCloud, place: &str, tags: &Tags) -> ResourceId {
    let name = format!("tagged-{}", uuid::Uuid::new_v4().simple());
    let mut spec = BucketSpec::new(name, region(place));
    spec.tags = tags.clone();
    cloud.aws_storage().create_bucket(&spec, &ClientToken::random()).await.unwrap().id
}

fn owned(deployment: &str) -> Tags {
    let mut tags = Tags::default();
    Ownership::new(deployment, "step-1", ClientToken::random()).unwrap().write(&mut tags).unwrap();
    tags
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_bears_our_tags_is_found() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let deployment = format!("shop-{}", uuid::Uuid::new_v4().simple());
    let tags = owned(&deployment);
    let near = bucket(&aws.cloud, REGIONS[0], &tags).await;
    let far = bucket(&aws.cloud, REGIONS[1], &tags).await;
    bucket(&aws.cloud, REGIONS[0], &Tags::new([("team", "orders")]).unwrap()).await;
    // A kind that no trait has.
    let pairs = tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
    let gateway = TagSpecification::builder()
        .resource_type(ResourceType::Natgateway)
        .set_tags(Some(pairs.collect()))
        .build();
    let client = ec2(&aws, REGIONS[0]).await;
    let made = client
        .create_nat_gateway()
        .subnet_id(&aws.emulator.network(REGIONS[0]).subnets[0])
        .connectivity_type(ConnectivityType::Private)
        .tag_specifications(gateway)
        .send()
        .await
        .unwrap();
    let gateway = made.nat_gateway().unwrap().nat_gateway_id().unwrap().to_owned();
    let s3 = |id: &ResourceId| format!("arn:aws:s3:::{}", id.native());

    let query = TagQuery {
        tags: Ownership::filter_deployment(&deployment).unwrap(),
        ..TagQuery::default()
    };
    let found = aws.cloud.tagged_resources(&query).complete().await.unwrap().into_items();
    assert!(found.iter().all(|found| found.tags == tags), "{found:?}");
    let of_ec2: Vec<_> = found.iter().filter(|found| found.arn.ends_with(&gateway)).collect();
    assert_eq!(of_ec2.len(), 1, "{found:?}");
    assert_eq!(
        (of_ec2[0].resource_type(), of_ec2[0].region.as_str()),
        ("ec2:natgateway".into(), REGIONS[0])
    );
    assert_eq!(of_ec2[0].ownership(), Ownership::read(&tags));
    // moto shows the buckets of every region in each: s3/models.py, iter_tagged_resources.
    let buckets = |found: &[TaggedResource]| -> BTreeSet<String> {
        let buckets = found.iter().filter(|found| found.resource_type() == "s3");
        buckets.map(|found| found.arn.clone()).collect()
    };
    assert_eq!(buckets(&found), BTreeSet::from([s3(&near), s3(&far)]));

    let only = |types: &[&str]| TagQuery {
        region: Some(region(REGIONS[0])),
        types: types.iter().map(|kind| (*kind).to_owned()).collect(),
        ..query.clone()
    };
    let found = aws.cloud.tagged_resources(&only(&["s3"])).complete().await.unwrap().into_items();
    assert_eq!((buckets(&found).len(), found.len()), (2, 2), "{found:?}");
    let found = aws.cloud.tagged_resources(&only(&["ec2:natgateway"])).complete().await.unwrap();
    assert_eq!(found.items().len(), 1, "{found:?}");

    // Orphans are those that nobody claims.
    let mine = |owner: &Ownership| owner.deployment == deployment;
    let orphans = aws.cloud.orphans(|owner| !mine(owner)).complete().await.unwrap();
    let arns: BTreeSet<_> = orphans.items().iter().map(|orphan| &orphan.arn).collect();
    assert_eq!(arns.len(), 3, "{orphans:?}");
    let others = aws.cloud.orphans(mine).complete().await.unwrap();
    let is_mine = |tags: &Tags| Ownership::read(tags).is_some_and(|owner| mine(&owner));
    assert!(!others.items().iter().any(|found| is_mine(&found.tags)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_aws_refuses_is_refused() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let before = aws.proxy.requests().len();
    for query in [
        TagQuery { region: Some(region("ap-south-1")), ..TagQuery::default() },
        TagQuery { types: vec!["s3".into(); 101], ..TagQuery::default() },
        TagQuery { keys: (0..51).map(|i| format!("k{i}")).collect(), ..TagQuery::default() },
    ] {
        let error = aws.cloud.tagged_resources(&query).complete().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.operation(), Some("tagging.tagged_resources"));
    }
    assert_eq!(aws.proxy.requests().len(), before);
}
