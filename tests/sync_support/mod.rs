//! What the tests of data sync share: places on servers in memory and on disk, jobs between them, contents by a seed.
// Each test program uses a part of it, and includes it as a module of its own.
#![allow(dead_code, unreachable_pub)]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use cloud_core::{ObjectLocation, Result, SystemClock};
use cloud_patterns::{
    engine::store::{SqliteStore, Store},
    sync::{
        Action, OpenLocation, Reason, RunOptions, SyncEvent, SyncPolicy, SyncReport, SyncService,
        sync_events,
    },
};
use cloud_testkit::object_server::{
    Bucket, Dialect, ObjectAttributes, ObjectServer, ServerOptions,
};
use futures::StreamExt;
use multicloud::objects::{Credentials, OpenOptions};
use object_store::{MultipartUpload as _, ObjectStoreExt as _};
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};
use serde_json::Value;
use tempfile::TempDir;

/// Opens locations with credentials that fit their scheme, and repeats requests quickly.
#[derive(Debug)]
pub struct Locations {
    pub ignores_case: bool,
    pub allow_http: bool,
    /// Id and secret.
    pub s3_key: (String, String),
    pub azure_key: String,
    /// How long an answer may take.
    pub patience: Duration,
}

impl Default for Locations {
    fn default() -> Self {
        Self {
            ignores_case: false,
            allow_http: false,
            s3_key: ("id".into(), "secret".into()),
            azure_key: "a2V5".into(),
            patience: Duration::from_secs(10),
        }
    }
}

#[async_trait]
impl OpenLocation for Locations {
    async fn open(&self, name: &str) -> Result<ObjectLocation> {
        let mut options = OpenOptions::default();
        options.allow_http = self.allow_http;
        options.credentials = match name.starts_with("az:") {
            true => Credentials::AccountKey(self.azure_key.as_str().into()),
            false => {
                let (id, secret) = &self.s3_key;
                Credentials::AccessKey {
                    id: id.clone(),
                    secret: secret.as_str().into(),
                    session: None,
                }
            }
        };
        options.first_byte_timeout = self.patience;
        options.idle_timeout = self.patience;
        options.retry.max_retries = 3;
        options.retry.backoff.init_backoff = Duration::from_millis(5);
        options.retry.backoff.max_backoff = Duration::from_millis(50);
        let mut location = multicloud::objects::open(name, &options).await?;
        location.traits.ignores_case = self.ignores_case;
        Ok(location)
    }
}

/// A place to sync from or to, looked at from behind.
pub enum Place {
    Server { server: ObjectServer, dialect: Dialect },
    Folder(TempDir),
}

const BUCKET: &str = "data";

impl Place {
    pub async fn s3() -> Self {
        Self::server(Dialect::S3, ServerOptions::default()).await
    }

    pub async fn azure() -> Self {
        Self::server(Dialect::Azure, ServerOptions::default()).await
    }

    pub async fn server(dialect: Dialect, options: ServerOptions) -> Self {
        let server = ObjectServer::start(dialect, options).await.unwrap();
        server.bucket(BUCKET);
        Self::Server { server, dialect }
    }

    pub fn folder() -> Self {
        Self::Folder(tempfile::tempdir().unwrap())
    }

    pub fn url(&self) -> String {
        self.at("")
    }

    /// The URL of a prefix.
    pub fn at(&self, prefix: &str) -> String {
        match self {
            Self::Server { server, dialect: Dialect::S3 } => {
                format!("s3://{BUCKET}/{prefix}?region=here&endpoint={}", server.endpoint())
            }
            Self::Server { server, .. } => {
                format!(
                    "az://{BUCKET}/{prefix}?account={}&endpoint={}",
                    ObjectServer::ACCOUNT,
                    server.endpoint()
                )
            }
            Self::Folder(folder) => format!("file://{}", folder.path().join(prefix).display()),
        }
    }

    pub fn remote(&self) -> &ObjectServer {
        match self {
            Self::Server { server, .. } => server,
            Self::Folder(_) => panic!("a folder has no server"),
        }
    }

    pub fn bucket(&self) -> Bucket {
        self.remote().bucket(BUCKET)
    }

    pub fn put(&self, key: &str, body: impl Into<Bytes>) {
        match self {
            Self::Server { .. } => drop(self.bucket().put(key, body).unwrap()),
            Self::Folder(folder) => {
                let path = folder.path().join(key);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, body.into()).unwrap();
            }
        }
    }

    /// An object that was written in parts of so many bytes.
    pub async fn put_parts(&self, key: &str, body: Bytes, part: usize) {
        let location = Locations::default().open(&self.url()).await.unwrap();
        let mut upload = location.store.put_multipart(&key.into()).await.unwrap();
        for start in (0..body.len()).step_by(part) {
            upload.put_part(body.slice(start..body.len().min(start + part)).into()).await.unwrap();
        }
        upload.complete().await.unwrap();
    }

    /// An object that was written so many seconds from now, by the server's clock.
    pub fn put_at(&self, key: &str, body: impl Into<Bytes>, seconds: i64) {
        let now = std::time::SystemTime::now();
        let shift = Duration::from_secs(seconds.unsigned_abs());
        let modified = Some(if seconds < 0 { now - shift } else { now + shift });
        self.bucket()
            .put_with(key, body, ObjectAttributes { modified, ..Default::default() })
            .unwrap();
    }

    pub fn fill(&self, contents: &BTreeMap<String, Bytes>) {
        contents.iter().for_each(|(key, body)| self.put(key, body.clone()));
    }

    pub fn remove(&self, key: &str) {
        match self {
            Self::Server { .. } => assert!(self.bucket().delete(key)),
            Self::Folder(folder) => std::fs::remove_file(folder.path().join(key)).unwrap(),
        }
    }

    pub fn contents(&self) -> BTreeMap<String, Bytes> {
        match self {
            Self::Server { .. } => self.bucket().contents(),
            Self::Folder(folder) => {
                let (mut found, mut open) = (BTreeMap::new(), vec![folder.path().to_owned()]);
                while let Some(path) = open.pop() {
                    for entry in std::fs::read_dir(path).unwrap() {
                        let path = entry.unwrap().path();
                        match path.is_dir() {
                            true => open.push(path),
                            false => {
                                let key =
                                    path.strip_prefix(folder.path()).unwrap().to_str().unwrap();
                                found.insert(key.to_owned(), std::fs::read(&path).unwrap().into());
                            }
                        }
                    }
                }
                found
            }
        }
    }

    pub fn keys(&self) -> Vec<String> {
        self.contents().into_keys().collect()
    }

    pub fn get(&self, key: &str) -> Bytes {
        self.contents().remove(key).unwrap_or_else(|| panic!("there is no '{key}'"))
    }
}

/// Says where two places differ, without printing their bytes.
#[track_caller]
pub fn assert_same(source: &Place, target: &Place) {
    assert_equal(&source.contents(), &target.contents());
}

#[track_caller]
pub fn assert_equal(expected: &BTreeMap<String, Bytes>, got: &BTreeMap<String, Bytes>) {
    let differ = |(key, body): &(&String, &Bytes)| got.get(*key) != Some(body);
    let differ: Vec<_> = expected.iter().filter(differ).map(|(key, _)| key).take(5).collect();
    let extra: Vec<_> = got.keys().filter(|key| !expected.contains_key(*key)).take(5).collect();
    assert!(
        differ.is_empty() && extra.is_empty(),
        "missing or different: {differ:?}; too many: {extra:?}"
    );
}

/// A job and who runs it.
pub struct Sync {
    pub service: SyncService,
    pub job: String,
}

/// A policy from its JSON.
pub fn policy(json: Value) -> SyncPolicy {
    serde_json::from_value(json).unwrap()
}

impl Sync {
    pub async fn new(source: &str, target: &str, json: Value) -> Self {
        Self::with(Locations::default(), source, target, json).await.unwrap()
    }

    pub async fn with(
        locations: Locations,
        source: &str,
        target: &str,
        json: Value,
    ) -> Result<Self> {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::in_memory(Arc::new(SystemClock)).await?);
        Self::on(store, locations, "worker", source, target, json).await
    }

    pub async fn on(
        store: Arc<dyn Store>,
        locations: Locations,
        worker: &str,
        source: &str,
        target: &str,
        json: Value,
    ) -> Result<Self> {
        let service = SyncService::new(store, Arc::new(locations), Arc::new(SystemClock), worker);
        let job = service.setup_cross_cloud_data_sync(source, target, &policy(json)).await?;
        Ok(Self { service, job })
    }

    pub async fn try_run(&self) -> Result<SyncReport> {
        self.service.run(&self.job, &RunOptions::default()).await
    }

    /// A run in which nothing goes wrong.
    #[track_caller]
    pub fn run(&self) -> impl Future<Output = SyncReport> {
        let at = std::panic::Location::caller();
        async move {
            let report = self.try_run().await.unwrap_or_else(|e| panic!("{at}: {e}"));
            assert!(report.is_success(), "{at}: {report}");
            report
        }
    }

    /// Runs until a run goes well; a run that ends with an error or failures is followed by another.
    pub async fn run_until_done(&self, most: usize) -> (SyncReport, usize) {
        for number in 1..=most {
            match self.try_run().await {
                Ok(report) if report.is_success() => return (report, number),
                Ok(report) => eprintln!("run {number}:\n{report}"),
                Err(error) => eprintln!("run {number}: {error}"),
            }
        }
        panic!("no run of {most} went well");
    }

    /// A dry run and what it decided.
    pub async fn dry_run(&self) -> (Result<SyncReport>, BTreeMap<String, (Action, Reason)>) {
        let (observer, events) = sync_events();
        let options =
            RunOptions { dry_run: true, observer: Some(observer), ..RunOptions::default() };
        let report = self.service.run(&self.job, &options).await;
        drop(options);
        let decided = events.filter_map(async |event| match event {
            SyncEvent::Decided { key, action, reason, .. } => {
                Some((key.into_string(), (action, reason)))
            }
            _ => None,
        });
        (report, decided.collect().await)
    }
}

/// A seed: that of the environment to repeat a failure, else a new one. It is printed; the test harness shows it of a
/// test that fails.
pub fn seed() -> u64 {
    let seed = match std::env::var("SYNC_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => rand::random::<u32>().into(),
    };
    println!("SYNC_SEED={seed}");
    seed
}

pub fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Bytes that do not get smaller.
pub fn noise(seed: u64, size: usize) -> Bytes {
    let mut bytes = vec![0; size];
    random(seed).fill(&mut bytes[..]);
    bytes.into()
}

/// Objects of many sizes, most of them small, some empty, some in each way that an object is transferred by.
pub fn contents(seed: u64, count: usize) -> BTreeMap<String, Bytes> {
    let mut random = random(seed);
    let object = |number: usize| {
        let folder = ["", "a/", "a/b/", "ü ö/"][random.random_range(0..4)];
        let most = if random.random_bool(0.05) { 600_000 } else { 3_000 };
        let size = random.random_range(0..most);
        let size = if random.random_bool(0.05) { 0 } else { size };
        (format!("{folder}{number:05}"), noise(seed ^ number as u64, size))
    };
    (0..count).map(object).collect()
}
