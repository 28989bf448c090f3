//! A server of objects alone, without versions, tags or settings of buckets: its buckets are made by its own API and kept account of
//! here, so that the trials of the data plane run against it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use cloud_aws::AwsCloud;
use cloud_core::{
    Bucket, BucketSpec, Capabilities, ClientToken, Cloud, CloudId, DeleteOptions, Error, ErrorKind,
    ListQuery, Page, PageRequest, Provider, Quota, Region, RegionInfo, Resource, ResourceId,
    ResourceKind, ResourceQuery, ResourceStatus, Result, Storage, View,
};
use cloud_testkit::conformance::{Harness, run_named, trials};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;

use crate::harness::{Aws, Excluded, REGIONS, region};

/// Runs the trials of the data plane.
pub(super) async fn conform(aws: &Aws, excluded: Excluded) {
    for (name, _) in excluded {
        assert!(trials().iter().any(|trial| trial.name == *name), "{name} is no trial");
    }
    let harness = PlainHarness(Arc::new(Plain::new(&aws.cloud)));
    let picks = |name: &str| {
        name.starts_with("objects.") && !excluded.iter().any(|(known, _)| *known == name)
    };
    let report = run_named(&harness, picks).await;
    println!("{report}");
    for (name, why) in excluded {
        println!("excluded {name} at {}: {why}", aws.emulator.name());
    }
    report.assert_passed();
}

struct PlainHarness(Arc<Plain>);

impl Harness for PlainHarness {
    fn cloud(&self) -> Arc<dyn Cloud> {
        self.0.clone()
    }

    fn region(&self) -> Region {
        region(REGIONS[0])
    }
}

#[derive(Debug)]
struct Plain {
    capabilities: Capabilities,
    buckets: Arc<PlainBuckets>,
}

#[derive(Debug)]
struct PlainBuckets {
    aws: AwsCloud,
    made: Mutex<BTreeMap<ResourceId, Bucket>>,
}

fn internal(error: impl std::fmt::Debug) -> Error {
    Error::new(ErrorKind::Internal, format!("{error:?}"))
}

impl Plain {
    fn new(aws: &AwsCloud) -> Self {
        let mut storage = aws.capabilities().storage.clone().unwrap();
        storage.versioning = false;
        let capabilities = Capabilities { storage: Some(storage), ..Capabilities::none() };
        let buckets = PlainBuckets { aws: aws.clone(), made: Mutex::default() };
        Self { capabilities, buckets: Arc::new(buckets) }
    }
}

#[async_trait]
impl Storage for PlainBuckets {
    async fn create_bucket(&self, spec: &BucketSpec, _: &ClientToken) -> Result<Bucket> {
        let s3 = self.aws.s3(&spec.region)?;
        s3.create_bucket().bucket(&spec.name).send().await.map_err(internal)?;
        let id = ResourceId::new(ResourceKind::Bucket, spec.region.clone(), &spec.name)?;
        let bucket = Bucket {
            id: id.clone(),
            name: spec.name.clone(),
            status: ResourceStatus::Running,
            versioning: false,
            tags: spec.tags.clone(),
            created_at: None,
        };
        self.made.lock().unwrap().insert(id, bucket.clone());
        Ok(bucket)
    }

    async fn get_bucket(&self, id: &ResourceId) -> Result<Bucket> {
        self.made.lock().unwrap().get(id).cloned().ok_or_else(|| Error::not_found(id))
    }

    async fn list_buckets_page(&self, query: &ListQuery, _: &PageRequest) -> Result<Page<Bucket>> {
        let made = self.made.lock().unwrap();
        let found = made.values().filter(|bucket| query.matches(&bucket.name, &bucket.tags));
        Ok(Page::last(found.cloned().collect()))
    }

    async fn delete_bucket(&self, id: &ResourceId, options: &DeleteOptions) -> Result<bool> {
        if !self.made.lock().unwrap().contains_key(id) {
            return Ok(false);
        }
        let objects = self.object_store(id).await?;
        let keys: Vec<_> = objects.list(None).map_ok(|meta| meta.location).try_collect().await?;
        if !keys.is_empty() && !options.with_contents {
            return Err(Error::new(ErrorKind::Conflict, "it has objects"));
        }
        let keys = futures::stream::iter(keys.into_iter().map(Ok)).boxed();
        objects.delete_stream(keys).try_collect::<Vec<_>>().await?;
        let s3 = self.aws.s3(&id.region)?;
        s3.delete_bucket().bucket(id.native()).send().await.map_err(internal)?;
        Ok(self.made.lock().unwrap().remove(id).is_some())
    }

    async fn object_store(&self, id: &ResourceId) -> Result<Arc<dyn ObjectStore>> {
        self.aws.aws_storage().object_store(id).await
    }
}

#[async_trait]
impl Cloud for Plain {
    fn id(&self) -> &CloudId {
        self.buckets.aws.id()
    }

    fn provider(&self) -> Provider {
        Provider::Aws
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn regions(&self) -> Result<Vec<RegionInfo>> {
        Ok(vec![RegionInfo::new(region(REGIONS[0]))])
    }

    fn storage(&self) -> Result<Arc<dyn Storage>> {
        Ok(self.buckets.clone())
    }

    async fn list_resources_page(
        &self,
        query: &ResourceQuery,
        page: &PageRequest,
    ) -> Result<Page<Resource>> {
        let found = self.buckets.list_buckets_page(&query.list, page).await?;
        Ok(found.map(|bucket| bucket.to_resource(self.id(), Provider::Aws)))
    }

    async fn get_resource(&self, id: &ResourceId) -> Result<Resource> {
        Ok(self.buckets.get_bucket(id).await?.to_resource(self.id(), Provider::Aws))
    }

    async fn delete_resource(&self, id: &ResourceId, options: &DeleteOptions) -> Result<bool> {
        self.buckets.delete_bucket(id, options).await
    }

    async fn quotas(&self, _: &Region) -> Result<Vec<Quota>> {
        Ok(Vec::new())
    }
}
