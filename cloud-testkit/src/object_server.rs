//! `ObjectServer`: S3 or Azure Blob in memory behind a loopback port, to test and to measure what talks to object stores.
//!
//! It takes little CPU for a request, so that a benchmark measures the client; and it counts, delays and breaks requests,
//! so that a test can ask what a client does then.
//!
//! ```
//! # rustls::crypto::ring::default_provider().install_default().unwrap();
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use cloud_testkit::object_server::{Dialect, ObjectServer, ServerOptions};
//! use object_store::{ObjectStoreExt, aws::AmazonS3Builder};
//!
//! let server = ObjectServer::start(Dialect::S3, ServerOptions::default()).await.unwrap();
//! let bucket = server.bucket("photos");
//! bucket.put("cat.jpg", "meow").unwrap();
//!
//! let client = AmazonS3Builder::new()
//!     .with_endpoint(server.endpoint())
//!     .with_allow_http(true)
//!     .with_bucket_name("photos")
//!     .with_access_key_id("any")
//!     .with_secret_access_key("any")
//!     .build()
//!     .unwrap();
//! let read = client.get(&"cat.jpg".into()).await.unwrap().bytes().await.unwrap();
//! assert_eq!(read, "meow");
//! assert_eq!(server.stats().gets, 1);
//! # });
//! ```
//!
//! # Never expose it
//! No signature, token or account is checked: whoever reaches the port may do everything. It listens on 127.0.0.1 only.
//!
//! # What it holds to
//! - Keys are map keys, any UTF-8 up to 1,024 bytes; no file is ever touched.
//! - S3 (path style): objects with ranges, conditions, metadata, tags; multipart uploads; copies; both listings; bulk deletion;
//!   versions, once a bucket keeps them. ETags are MD5s, of the parts' MD5s after a multipart upload. `Content-MD5` and the
//!   CRC-64/NVME, CRC-32C, CRC-32 and SHA-256 checksums are checked; chunked (`aws-chunked`) bodies are decoded. Checksums of
//!   multipart uploads as a whole are neither checked nor answered, and `x-amz-content-sha256` is not checked.
//! - Azure (path style, `/ACCOUNT/CONTAINER/BLOB`, whatever the account): block blobs by Put Blob or block lists, ranges,
//!   conditions, metadata, tags, copies (done when they answer), listings, batch deletion. An ETag says nothing of the content.
//! - A server whose [capacity](ServerOptions::capacity_bytes) is used up answers as MinIO does (507 `XMinioStorageFull`), and
//!   on Azure, which documents no such error, 409 `AccountQuotaExceeded`. Parts and blocks count once they are an object.
//!
//! # Faults
//! [`Faults`] draws them by a seed, [`ObjectServer::on_request`] lets a test decide for each request. Both return a
//! [`FaultKind`].
//!
//! # In a process of its own
//! [`serve_blocking`] makes its own threads. Such a server is asked over HTTP: `GET /__stats`,
//! `POST /__fill?bucket=B&count=N&size=BYTES&prefix=P`, `POST /__touch?bucket=B&count=N` (changes N objects spread over the
//! bucket), `POST /__clear?bucket=B`, `POST /__reset` (the counters).

mod azure;
mod bucket;
mod checksum;
mod conditions;
mod content;
mod control;
mod faults;
mod inject;
mod listen;
mod listing;
mod object;
mod payload;
mod range;
mod refusal;
mod reply;
mod request;
mod s3;
mod service;
mod shared;
mod stats;
mod store;
mod time;
mod xml;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

pub use bucket::Bucket;
pub use faults::{FaultKind, Faults};
pub use object::{ObjectAttributes, StoredObject};
pub use request::{Operation, RequestInfo};
pub use stats::Stats;

use shared::Shared;

/// Which service a server looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Amazon S3, path style.
    S3,
    /// Azure Blob Storage, path style, with the account as the first segment.
    Azure,
}

impl Dialect {
    const fn metadata_prefix(self) -> &'static str {
        match self {
            Self::S3 => "x-amz-meta-",
            Self::Azure => "x-ms-meta-",
        }
    }

    /// An Azure path less its account.
    fn without_account(self, path: &str) -> &str {
        match self {
            Self::S3 => path,
            Self::Azure => {
                path.get(1..).and_then(|rest| rest.find('/')).map_or("", |at| &path[at + 1..])
            }
        }
    }

    fn opaque_etag(self, number: u64) -> String {
        format!("0x8D{number:013X}")
    }
}

/// How a server behaves.
///
/// ```
/// use std::time::Duration;
/// use cloud_testkit::object_server::ServerOptions;
///
/// let far_away = ServerOptions { delay: Duration::from_millis(20), ..ServerOptions::default() };
/// assert_eq!(far_away.port, 0);
/// ```
#[derive(Debug)]
pub struct ServerOptions {
    /// Waited before each request is looked at; the timer rounds it up to whole milliseconds.
    pub delay: Duration,
    /// What goes wrong from the start.
    pub faults: Option<Faults>,
    /// The most bytes of objects, all buckets and versions together; a write beyond is refused.
    pub capacity_bytes: Option<u64>,
    /// How many seconds the server's clock is ahead of the machine's; shows in `Date` and `Last-Modified`.
    pub clock_offset: i64,
    /// The port; 0 for a free one.
    pub port: u16,
    /// Takes a given MD5 for right without computing it, which saves most of the CPU of a large write. For benchmarks.
    pub trust_content_md5: bool,
    /// The least bytes of a part of an S3 multipart upload, the last excepted. 5 MiB, as with S3; tests may want less.
    pub min_part_size: u64,
    /// Threads of [`serve_blocking`]; 0 counts as 1.
    pub threads: usize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            faults: None,
            capacity_bytes: None,
            clock_offset: 0,
            port: 0,
            trust_content_md5: false,
            min_part_size: 5 << 20,
            threads: 1,
        }
    }
}

/// A server on the current runtime, which stops when it is dropped. See the [module](self).
pub struct ObjectServer {
    shared: Arc<Shared>,
    port: u16,
    accepting: JoinHandle<()>,
}

impl ObjectServer {
    /// The account that [`endpoint`](Self::endpoint) names; any other does as well.
    pub const ACCOUNT: &'static str = "account";

    /// Starts a server on the current tokio runtime, which needs its I/O and time drivers.
    ///
    /// # Errors
    /// If the port cannot be bound.
    pub async fn start(dialect: Dialect, options: ServerOptions) -> std::io::Result<Self> {
        let (listener, port) = listen::bind(options.port).await?;
        let shared = Arc::new(Shared::new(dialect, options));
        let accepting = tokio::spawn(listen::accept(listener, shared.clone()));
        Ok(Self { shared, port, accepting })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What a client takes for its endpoint: the URL, for Azure with an account.
    pub fn endpoint(&self) -> String {
        match self.shared.dialect {
            Dialect::S3 => self.url(),
            Dialect::Azure => format!("{}/{}", self.url(), Self::ACCOUNT),
        }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A bucket, which is made if there is none of that name.
    pub fn bucket(&self, name: &str) -> Bucket {
        self.shared.bucket(name)
    }

    /// What it did so far.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Sets the counters of requests, bytes and faults to 0. Those of writes by key stay; [`Bucket::clear`] drops them.
    pub fn reset_stats(&self) {
        self.shared.counters.reset();
    }

    /// S3 multipart uploads that were neither completed nor given up.
    pub fn open_uploads(&self) -> usize {
        self.shared.store.uploads().len()
    }

    /// From now on breaks requests so, or no more.
    pub fn set_faults(&self, faults: impl Into<Option<Faults>>) {
        self.shared.set_faults(faults.into());
    }

    /// Calls `hook` before each request is done; what it returns befalls the request, and comes before any [`Faults`].
    ///
    /// The hook must not block. It may change buckets.
    pub fn on_request(
        &self,
        hook: impl Fn(&RequestInfo<'_>) -> Option<FaultKind> + Send + Sync + 'static,
    ) {
        self.shared.set_hook(Some(Arc::new(hook)));
    }

    /// Takes the hook away.
    pub fn clear_hook(&self) {
        self.shared.set_hook(None);
    }

    /// Serves until the future is dropped.
    pub async fn run_forever(self) {
        std::future::pending().await
    }
}

impl Drop for ObjectServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl fmt::Debug for ObjectServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ObjectServer")
            .field("dialect", &self.shared.dialect)
            .field("port", &self.port)
            .finish()
    }
}

/// Serves for ever from this thread and [`threads`](ServerOptions::threads) - 1 more, each with a runtime of its own;
/// calls `on_ready` with the port once it listens.
///
/// # Errors
/// If a runtime cannot be made or the port cannot be bound.
///
/// ```no_run
/// use cloud_testkit::object_server::{Dialect, ServerOptions, serve_blocking};
///
/// let options = ServerOptions { threads: 2, trust_content_md5: true, ..ServerOptions::default() };
/// serve_blocking(Dialect::S3, options, |port| println!("{port}")).unwrap();
/// ```
pub fn serve_blocking(
    dialect: Dialect,
    options: ServerOptions,
    on_ready: impl FnOnce(u16),
) -> std::io::Result<()> {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let main = runtime()?;
    let mut handles = vec![main.handle().clone()];
    for number in 1..options.threads {
        let runtime = runtime()?;
        handles.push(runtime.handle().clone());
        std::thread::Builder::new()
            .name(format!("object-server-{number}"))
            .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    }
    main.block_on(async {
        let (listener, port) = listen::bind(options.port).await?;
        on_ready(port);
        listen::accept_spread(listener, Arc::new(Shared::new(dialect, options)), &handles).await;
        Ok(())
    })
}
