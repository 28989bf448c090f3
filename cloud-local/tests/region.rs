//! Outages: a region goes down for every process, and comes back with its data.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use cloud_core::{
    BucketSpec, ClientToken, Cloud, CloudExt, ComputeExt, Effect, Error, ErrorKind, ListQuery,
    ResourceQuery, ResourceStatus, Retry, Scope,
};
use cloud_local::LocalCloud;
use common::{Folder, region, sleeper, until_status};
use object_store::{ObjectStoreExt, path::Path};

#[track_caller]
fn is_outage(error: Error) {
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(error.scope(), Scope::Region);
    assert_eq!(error.effect(), Effect::None);
    assert_eq!(error.retry(), Retry::Backoff);
    assert!(error.to_string().contains("eu-1"), "{error}");
}

#[tokio::test]
async fn an_outage_is_seen_by_all_and_loses_no_data() {
    let folder = Folder::new();
    let (cloud, other) = (folder.open().await, folder.open().await);
    let down = region("eu-1");
    let (compute, storage) = (other.compute().unwrap(), other.storage().unwrap());
    let token = ClientToken::random();
    let instance = compute.create_instance(&sleeper("i"), &token).await.unwrap();
    let bucket = storage.create_bucket(&BucketSpec::new("b", down.clone()), &token).await.unwrap();
    let far = storage.create_bucket(&BucketSpec::new("b", region("us-1")), &token).await.unwrap();
    let objects = storage.object_store(&bucket.id).await.unwrap();
    let key = Path::from("k");
    objects.put(&key, "v".into()).await.unwrap();

    let native = cloud.native().downcast::<LocalCloud>().unwrap();
    native.take_down(&down).await.unwrap();
    native.take_down(&down).await.unwrap();
    assert!(folder.processes().is_empty());
    assert!(other.is_down(&down).unwrap() && !other.is_down(&region("us-1")).unwrap());
    let available: Vec<_> = other.regions().await.unwrap().iter().map(|r| r.available).collect();
    assert_eq!(available, [false, true]);
    is_outage(compute.get_instance(&instance.id).await.unwrap_err());
    is_outage(compute.create_instance(&sleeper("j"), &ClientToken::random()).await.unwrap_err());
    is_outage(compute.delete_instance(&instance.id).await.unwrap_err());
    is_outage(compute.start_instance(&instance.id).await.unwrap_err());
    is_outage(storage.object_store(&bucket.id).await.unwrap_err());
    is_outage(objects.get(&key).await.unwrap_err().into());
    is_outage(objects.put(&key, "w".into()).await.unwrap_err().into());
    is_outage(objects.delete(&key).await.unwrap_err().into());
    let listed = compute.list_instances(&ListQuery::in_region(down.clone())).complete().await;
    is_outage(listed.unwrap_err());
    is_outage(other.list_resources(&ResourceQuery::default()).complete().await.unwrap_err());
    // The other region works.
    let here = ListQuery::in_region(region("us-1"));
    assert!(compute.list_instances(&here).complete().await.unwrap().items().is_empty());
    storage.object_store(&far.id).await.unwrap().put(&key, "far".into()).await.unwrap();

    other.bring_up(&down).await.unwrap();
    other.bring_up(&down).await.unwrap();
    let after = compute.get_instance(&instance.id).await.unwrap();
    assert_eq!(after.status, ResourceStatus::Failed);
    assert_eq!(objects.get(&key).await.unwrap().bytes().await.unwrap(), "v");
    compute.start_instance(&instance.id).await.unwrap();
    until_status(&other, &instance.id, ResourceStatus::Running).await;
    let error = cloud.take_down(&region("mars-1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}
