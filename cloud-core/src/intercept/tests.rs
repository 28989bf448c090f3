//! What each interceptor promises, driven through the decorator around a scripted cloud.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use object_store::{GetOptions, ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};
use tokio::time::Instant;

use super::*;
use crate::*;

/// A cloud whose bucket service answers what the script says, and counts its calls.
#[derive(Debug)]
struct Scripted {
    id: CloudId,
    capabilities: Capabilities,
    buckets: Arc<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    script: Mutex<VecDeque<Error>>,
    calls: AtomicUsize,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    takes: Mutex<Duration>,
    objects: Arc<InMemory>,
}

fn scripted(errors: impl IntoIterator<Item = Error>) -> Arc<Scripted> {
    let buckets = Buckets::default();
    buckets.script.lock().unwrap().extend(errors);
    Arc::new(Scripted {
        id: CloudId::new("test").unwrap(),
        capabilities: Capabilities::none(),
        buckets: Arc::new(buckets),
    })
}

#[async_trait]
impl Cloud for Scripted {
    fn id(&self) -> &CloudId {
        &self.id
    }
    fn provider(&self) -> Provider {
        Provider::Other
    }
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }
    async fn regions(&self) -> Result<Vec<RegionInfo>> {
        Ok(Vec::new())
    }
    fn storage(&self) -> Result<Arc<dyn Storage>> {
        Ok(self.buckets.clone())
    }
    async fn list_resources_page(
        &self,
        _: &ResourceQuery,
        _: &PageRequest,
    ) -> Result<Page<Resource>> {
        Ok(Page::last(Vec::new()))
    }
    async fn get_resource(&self, id: &ResourceId) -> Result<Resource> {
        Err(Error::not_found(id))
    }
    async fn delete_resource(&self, _: &ResourceId, _: &DeleteOptions) -> Result<bool> {
        self.buckets.answer(false).await
    }
    async fn quotas(&self, _: &Region) -> Result<Vec<Quota>> {
        Ok(Vec::new())
    }
}

impl Buckets {
    async fn answer<T>(&self, value: T) -> Result<T> {
        self.calls.fetch_add(1, SeqCst);
        let now = self.in_flight.fetch_add(1, SeqCst) + 1;
        self.most_in_flight.fetch_max(now, SeqCst);
        let takes = *self.takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        self.in_flight.fetch_sub(1, SeqCst);
        match self.script.lock().unwrap().pop_front() {
            Some(error) => Err(error),
            None => Ok(value),
        }
    }
}

fn bucket() -> Bucket {
    Bucket {
        id: "bucket/r/b".parse().unwrap(),
        name: "b".into(),
        status: ResourceStatus::Running,
        versioning: false,
        tags: Tags::default(),
        created_at: None,
    }
}

#[async_trait]
impl Storage for Buckets {
    async fn create_bucket(&self, _: &BucketSpec, _: &ClientToken) -> Result<Bucket> {
        self.answer(bucket()).await
    }
    async fn get_bucket(&self, _: &ResourceId) -> Result<Bucket> {
        self.answer(bucket()).await
    }
    async fn list_buckets_page(&self, _: &ListQuery, _: &PageRequest) -> Result<Page<Bucket>> {
        self.answer(Page::last(vec![bucket()])).await
    }
    async fn delete_bucket(&self, _: &ResourceId, _: &DeleteOptions) -> Result<bool> {
        self.answer(true).await
    }
    async fn object_store(&self, _: &ResourceId) -> Result<Arc<dyn ObjectStore>> {
        Ok(self.objects.clone())
    }
}

fn spec() -> BucketSpec {
    BucketSpec::new("b", Region::new("r").unwrap())
}

fn down() -> Error {
    Error::new(ErrorKind::Unavailable, "down")
}

async fn create(cloud: &Arc<dyn Cloud>) -> Result<Bucket> {
    let storage = cloud.storage()?;
    storage.create_bucket(&spec(), &ClientToken::random()).await
}

fn calls(cloud: &Scripted) -> usize {
    cloud.buckets.calls.load(SeqCst)
}

#[tokio::test(start_paused = true)]
async fn retry_repeats_what_is_safe_and_nothing_else() {
    let stack = Stack::builder().retry(RetryPolicy::default()).build();

    let passing = scripted([down(), down()]);
    assert!(create(&stack.wrap(passing.clone())).await.is_ok());
    assert_eq!(calls(&passing), 3);

    let lasting = scripted([Error::new(ErrorKind::PermissionDenied, "no")]);
    assert!(create(&stack.wrap(lasting.clone())).await.is_err());
    assert_eq!(calls(&lasting), 1);

    let forever = scripted((0..9).map(|_| down()));
    assert!(create(&stack.wrap(forever.clone())).await.is_err());
    assert_eq!(calls(&forever), 5);
}

#[tokio::test(start_paused = true)]
async fn retry_never_repeats_a_create_of_unknown_effect_but_repeats_a_delete() {
    let stack = Stack::builder().retry(RetryPolicy::default()).build();
    let lost = || Error::new(ErrorKind::Timeout, "no answer");
    assert_eq!(lost().effect(), Effect::Unknown);

    let cloud = scripted([lost()]);
    let error = create(&stack.wrap(cloud.clone())).await.unwrap_err();
    assert_eq!((error.effect(), calls(&cloud)), (Effect::Unknown, 1));

    let cloud = scripted([lost()]);
    let wrapped = stack.wrap(cloud.clone());
    let id = bucket().id;
    assert!(
        wrapped.storage().unwrap().delete_bucket(&id, &DeleteOptions::default()).await.unwrap()
    );
    assert_eq!(calls(&cloud), 2);
}

#[tokio::test(start_paused = true)]
async fn retry_waits_as_long_as_the_provider_asks() {
    let later = down().with_retry(Retry::After(Duration::from_secs(90)));
    let cloud = Stack::builder().retry(RetryPolicy::default()).build().wrap(scripted([later]));
    let start = Instant::now();
    create(&cloud).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(90));
}

#[tokio::test(start_paused = true)]
async fn timeout_limits_each_attempt_and_says_what_it_knows() {
    let cloud = scripted([]);
    *cloud.buckets.takes.lock().unwrap() = Duration::from_secs(60);
    let wrapped = Stack::builder().timeout(Duration::from_secs(5)).build().wrap(cloud);
    let error = create(&wrapped).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
    assert_eq!(error.operation(), Some("storage.create_bucket"));
    assert_eq!(error.cloud().unwrap().as_str(), "test");
    let storage = wrapped.storage().unwrap();
    let error = storage.get_bucket(&bucket().id).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::None));
}

#[tokio::test(start_paused = true)]
async fn rate_and_concurrency_are_limited() {
    let cloud = scripted([]);
    *cloud.buckets.takes.lock().unwrap() = Duration::from_millis(50);
    let wrapped = Stack::builder().rate_limit(10, 5).concurrency(3).build().wrap(cloud.clone());
    let start = Instant::now();
    futures::future::try_join_all((0..25).map(|_| create(&wrapped))).await.unwrap();
    // 5 at once, then 20 more at 10 a second.
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert!(cloud.buckets.most_in_flight.load(SeqCst) <= 3);
}

#[tokio::test]
async fn read_only_refuses_changes_the_data_plane_included() {
    let cloud = scripted([]);
    let wrapped = Stack::builder().read_only().build().wrap(cloud.clone());
    assert_eq!(create(&wrapped).await.unwrap_err().kind(), ErrorKind::PolicyDenied);
    let id = bucket().id;
    let gone = wrapped.delete_resource(&id, &DeleteOptions::default()).await;
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::PolicyDenied);
    assert_eq!(calls(&cloud), 0);

    let key = Path::from("k");
    cloud.buckets.objects.put(&key, "v".into()).await.unwrap();
    let objects = wrapped.storage().unwrap().object_store(&id).await.unwrap();
    let denied = Error::from(objects.put(&key, "w".into()).await.unwrap_err());
    assert_eq!(denied.kind(), ErrorKind::PolicyDenied);
    assert!(objects.delete(&key).await.is_err());
    assert!(objects.put_multipart(&key).await.is_err());
    assert!(objects.copy(&key, &Path::from("l")).await.is_err());
    assert_eq!(objects.get(&key).await.unwrap().bytes().await.unwrap(), "v");
}

#[tokio::test]
async fn the_data_plane_keeps_its_own_errors() {
    let cloud = scripted([]);
    let wrapped = Stack::builder().trace().retry(RetryPolicy::default()).build().wrap(cloud);
    let objects = wrapped.storage().unwrap().object_store(&bucket().id).await.unwrap();
    let key = Path::from("k");
    let missing = objects.get(&key).await.unwrap_err();
    assert!(matches!(missing, object_store::Error::NotFound { .. }), "{missing:?}");
    let put = objects.put(&key, "v".into()).await.unwrap();
    let same = GetOptions::new().with_if_none_match(put.e_tag);
    let unchanged = objects.get_opts(&key, same).await.unwrap_err();
    assert!(matches!(unchanged, object_store::Error::NotModified { .. }), "{unchanged:?}");
    let listed: Vec<_> = futures::TryStreamExt::try_collect(objects.list(None)).await.unwrap();
    let [listed]: [object_store::ObjectMeta; 1] = listed.try_into().unwrap();
    assert_eq!(listed.location, key);
}

#[tokio::test(start_paused = true)]
async fn audit_records_changes_before_and_after_and_no_reads() {
    let log = Arc::new(MemoryAudit::default());
    let cloud = scripted([down()]);
    let stack = Stack::builder().audit(log.clone()).retry(RetryPolicy::default()).build();
    let wrapped = stack.wrap(cloud);
    let token = ClientToken::random();
    let storage = wrapped.storage().unwrap();
    storage.create_bucket(&spec(), &token).await.unwrap();
    storage.get_bucket(&bucket().id).await.unwrap();
    let [started, ended]: [AuditRecord; 2] = log.records().try_into().unwrap();
    assert!(matches!(started.outcome, AuditOutcome::Started));
    assert!(matches!(ended.outcome, AuditOutcome::Succeeded));
    assert_eq!(ended.operation, "storage.create_bucket");
    assert_eq!((ended.target.as_str(), ended.token), ("b", Some(token)));
}

#[derive(Debug)]
struct FullDisk;

#[async_trait]
impl AuditSink for FullDisk {
    async fn record(&self, _: AuditRecord) -> Result<()> {
        Err(Error::new(ErrorKind::StorageFull, "no space left"))
    }
}

#[tokio::test]
async fn what_cannot_be_audited_is_not_done() {
    let cloud = scripted([]);
    let wrapped = Stack::builder().audit(Arc::new(FullDisk)).build().wrap(cloud.clone());
    assert_eq!(create(&wrapped).await.unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(calls(&cloud), 0);
}

#[tokio::test]
async fn the_audit_file_has_one_json_object_a_line() {
    let path = std::env::temp_dir().join(format!("audit-{}", ClientToken::random()));
    let stack = Stack::builder().audit(Arc::new(JsonLines::open(&path).unwrap())).build();
    let refused = scripted([Error::new(ErrorKind::QuotaExceeded, "full")]);
    create(&stack.wrap(refused)).await.unwrap_err();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    let lines: Vec<AuditRecord> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let AuditOutcome::Failed { error } = &lines[1].outcome else {
        panic!("{text}");
    };
    assert_eq!((lines.len(), error.kind()), (2, ErrorKind::QuotaExceeded));
}

#[tokio::test(start_paused = true)]
async fn chaos_is_the_same_for_a_seed_and_tells_the_truth_about_effects() {
    let rates = ChaosRates {
        before_effect: 0.2,
        after_effect: 0.2,
        ambiguous: 0.2,
        slow: 0.2,
        delay: Duration::from_secs(1),
    };
    let mut traces = Vec::new();
    for seed in [1, 1, 2] {
        let cloud = scripted([]);
        let wrapped = Stack::builder().chaos(Chaos::new(seed, rates)).build().wrap(cloud.clone());
        let mut trace = Vec::new();
        for _ in 0..200 {
            let before = calls(&cloud);
            let effect = create(&wrapped).await.err().map(|e| e.effect());
            let made = calls(&cloud) > before;
            assert_eq!(made, effect != Some(Effect::None), "seed {seed}");
            trace.push(effect);
        }
        for effect in [None, Some(Effect::None), Some(Effect::Done), Some(Effect::Unknown)] {
            assert!(trace.contains(&effect), "seed {seed}: never {effect:?}");
        }
        traces.push(trace);
    }
    assert_eq!(traces[0], traces[1]);
    assert_ne!(traces[0], traces[2]);
}

/// Notes the order in which interceptors are passed.
#[derive(Debug)]
struct Answers;

#[async_trait]
impl Interceptor for Answers {
    async fn around(&self, _: &Operation<'_>, _: Next<'_>) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_interceptor_cannot_answer_for_the_cloud() {
    let cloud = scripted([]);
    let wrapped = Stack::builder().guard(Answers).build().wrap(cloud);
    assert_eq!(create(&wrapped).await.unwrap_err().kind(), ErrorKind::Internal);
}

#[tokio::test(start_paused = true)]
async fn the_order_does_not_depend_on_the_builder_calls() {
    // Were the time-out outside retry, it would cut the pauses and the second attempt would never be made.
    let cloud = scripted([down().with_retry(Retry::After(Duration::from_secs(60)))]);
    let stack = Stack::builder()
        .timeout(Duration::from_secs(5))
        .retry(RetryPolicy::default())
        .trace()
        .metrics()
        .build();
    create(&stack.wrap(cloud.clone())).await.unwrap();
    assert_eq!(calls(&cloud), 2);
}

#[tokio::test]
async fn an_unsupported_service_stays_unsupported() {
    let wrapped = Stack::builder().trace().build().wrap(scripted([]));
    assert_eq!(wrapped.compute().unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(wrapped.quotas(&Region::new("r").unwrap()).await.unwrap().is_empty());
}
