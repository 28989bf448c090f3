//! Records every call that may change anything.

use std::{
    fmt::Debug,
    fs::File,
    io::Write,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Interceptor, Next, Operation};
use crate::{ClientToken, Clock, CloudId, Error, ErrorKind, Region, Result, SystemClock};

/// One line of the audit log. It names what was done to what, and contains no argument of the call.
///
/// ```
/// # use cloud_core::intercept::AuditRecord;
/// fn failed(record: &AuditRecord) -> bool {
///     matches!(record.outcome, cloud_core::intercept::AuditOutcome::Failed { .. })
/// }
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditRecord {
    /// When.
    pub at: Timestamp,
    /// The cloud.
    pub cloud: CloudId,
    /// The call, as `service.method`.
    pub operation: String,
    /// The region, where the call names one.
    pub region: Option<Region>,
    /// What it was about: a name or an id; empty for nothing in particular.
    pub target: String,
    /// The client token of a create.
    pub token: Option<ClientToken>,
    /// How it stands.
    #[serde(flatten)]
    pub outcome: AuditOutcome,
}

/// How an audited call stands. A `Started` without an end is a call that was dropped or cut off by a crash.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum AuditOutcome {
    /// About to be made.
    Started,
    /// Made.
    Succeeded,
    /// Failed or refused.
    Failed {
        /// Why, with kind, scope and effect.
        error: Error,
    },
}

/// Where audit records go.
///
/// A call whose `Started` cannot be recorded is not made. If its end cannot be recorded, that is logged as a tracing event of
/// level `ERROR`: the call has been made, and its result is worth more to the caller.
///
/// ```
/// use cloud_core::{Result, intercept::{AuditRecord, AuditSink}};
/// #[derive(Debug)]
/// struct Print;
/// #[async_trait::async_trait]
/// impl AuditSink for Print {
///     async fn record(&self, record: AuditRecord) -> Result<()> {
///         println!("{} {} {}", record.at, record.operation, record.target);
///         Ok(())
///     }
/// }
/// ```
#[async_trait]
pub trait AuditSink: Debug + Send + Sync {
    /// Keeps a record.
    ///
    /// # Errors
    /// Any; see the trait for what follows.
    async fn record(&self, record: AuditRecord) -> Result<()>;
}

/// Keeps records in memory, for tests.
///
/// ```
/// let log = cloud_core::intercept::MemoryAudit::default();
/// assert!(log.records().is_empty());
/// ```
#[derive(Debug, Default)]
pub struct MemoryAudit(Mutex<Vec<AuditRecord>>);

impl MemoryAudit {
    /// What was recorded so far.
    pub fn records(&self) -> Vec<AuditRecord> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl AuditSink for MemoryAudit {
    async fn record(&self, record: AuditRecord) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(record);
        Ok(())
    }
}

/// Appends records to a file, one JSON object a line. Each line is handed to the operating system before the call goes on; it is not
/// flushed to the disk.
///
/// ```
/// # let path = std::env::temp_dir().join(format!("audit-doc-{}", std::process::id()));
/// let log = cloud_core::intercept::JsonLines::open(&path).unwrap();
/// # std::fs::remove_file(path).unwrap();
/// ```
#[derive(Debug)]
pub struct JsonLines(Arc<Mutex<File>>);

impl JsonLines {
    /// Opens the file, or makes it. Blocks while the file system does.
    ///
    /// # Errors
    /// What the file system answers.
    pub fn open(path: &Path) -> Result<Self> {
        let file =
            File::options().create(true).append(true).open(path).map_err(|e| {
                Error::from(e).context(format_args!("audit log {}", path.display()))
            })?;
        Ok(Self(Arc::new(Mutex::new(file))))
    }
}

#[async_trait]
impl AuditSink for JsonLines {
    async fn record(&self, record: AuditRecord) -> Result<()> {
        let mut line = serde_json::to_string(&record)
            .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
        line.push('\n');
        let file = Arc::clone(&self.0);
        let write = move || {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.write_all(line.as_bytes())
        };
        tokio::task::spawn_blocking(write)
            .await
            .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?
            .map_err(|e| Error::from(e).context("audit log"))
    }
}

/// Records each call that may change anything, before it is made and after.
///
/// ```
/// # use cloud_core::intercept::{MemoryAudit, Stack};
/// let log = std::sync::Arc::new(MemoryAudit::default());
/// let stack = Stack::builder().audit(log.clone()).build();
/// ```
#[derive(Debug)]
pub struct Audit(Arc<dyn AuditSink>);

impl Audit {
    /// Records into this sink.
    pub fn new(sink: Arc<dyn AuditSink>) -> Self {
        Self(sink)
    }
}

#[async_trait]
impl Interceptor for Audit {
    async fn around(&self, operation: &Operation<'_>, next: Next<'_>) -> Result<()> {
        if !operation.access.is_mutating() {
            return next.run().await;
        }
        let record = |outcome| AuditRecord {
            at: SystemClock.now(),
            cloud: operation.cloud.clone(),
            operation: operation.name.to_owned(),
            region: operation.region.cloned(),
            target: operation.target.to_string(),
            token: operation.token.cloned(),
            outcome,
        };
        self.0.record(record(AuditOutcome::Started)).await?;
        let result = next.run().await;
        let outcome = match &result {
            Ok(()) => AuditOutcome::Succeeded,
            Err(error) => AuditOutcome::Failed { error: error.clone() },
        };
        if let Err(error) = self.0.record(record(outcome)).await {
            tracing::error!(operation = operation.name, %error, "the end of a call was not audited");
        }
        result
    }
}
