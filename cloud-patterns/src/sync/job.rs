//! Jobs: what is kept the same with what, by which policy; and the runs of a job, by any number of workers.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use async_trait::async_trait;
use cloud_core::{Error, ErrorKind, ObjectLocation, Result, Transport};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    policy::{Compression, SyncMode, SyncPolicy},
    progress::{SyncObserver, SyncProgress},
};

/// Opens the locations of jobs by the names that the jobs keep.
///
/// ```
/// use std::collections::BTreeMap;
/// use cloud_patterns::sync::OpenLocation;
/// # fn example(opened: BTreeMap<String, cloud_core::ObjectLocation>) -> impl OpenLocation {
/// opened // for tests: locations by name
/// # }
/// ```
#[async_trait]
pub trait OpenLocation: std::fmt::Debug + Send + Sync {
    /// Opens a location. A name never holds a secret.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a name that it cannot read, and any other that opening has.
    async fn open(&self, name: &str) -> Result<ObjectLocation>;
}

#[async_trait]
impl OpenLocation for BTreeMap<String, ObjectLocation> {
    async fn open(&self, name: &str) -> Result<ObjectLocation> {
        self.get(name).cloned().ok_or_else(|| {
            let known: Vec<_> = self.keys().map(String::as_str).collect();
            Error::invalid("location", format_args!("'{name}' is not known"), known.join(", "))
        })
    }
}

/// A job as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SyncJob {
    /// `sync-`, the providers of source and target, and a digest of their names: the same pair has the same id.
    pub id: String,
    /// The name of the source.
    pub source: String,
    /// The name of the target.
    pub target: String,
    /// Bodies and signatures are encrypted on their way. Always, unless the policy says otherwise by name.
    pub encryption_in_transit: bool,
    /// How it is kept the same.
    pub policy: SyncPolicy,
    /// The last keys of all key ranges but the last one.
    pub bounds: Vec<String>,
}

/// How one run goes.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Says what would be done, and does nothing.
    pub dry_run: bool,
    /// Hears of each object.
    pub observer: Option<Arc<dyn SyncObserver>>,
    /// Where the figures of the run are kept.
    pub progress: SyncProgress,
    /// Set it to end the run early: what is on its way is finished and taken down, the rest is left to the next run.
    pub stop: Arc<AtomicBool>,
    /// Begins with this shard: the index of a worker among several, to spread them.
    pub first_shard: u16,
    /// What a gigabyte (10⁹ bytes) out of the source's region costs, for the estimate and the report.
    pub egress_per_gb: Option<rust_decimal::Decimal>,
}

impl SyncJob {
    /// Checks the pair and the policy.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), naming the field, its problem and what is accepted.
    pub fn new(
        source: &ObjectLocation,
        target: &ObjectLocation,
        policy: &SyncPolicy,
    ) -> Result<Self> {
        policy.validate()?;
        check_pair(source, target)?;
        for (field, location) in [("source", source), ("target", target)] {
            check_transport(field, location, policy)?;
        }
        check_compression(target, policy)?;
        let name = format!("{}\n{}", source.name, target.name);
        let digest = Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).simple().to_string();
        let id =
            format!("sync-{}-{}-{}", source.traits.provider, target.traits.provider, &digest[..12]);
        let encrypted = |location: &ObjectLocation| location.traits.transport != Transport::Plain;
        Ok(Self {
            id,
            source: source.name.clone(),
            target: target.name.clone(),
            encryption_in_transit: encrypted(source) && encrypted(target),
            policy: policy.clone(),
            bounds: Vec::new(),
        })
    }

    /// The stream that holds it.
    pub(super) fn stream(id: &str) -> String {
        format!("sync/{id}/job")
    }
}

fn check_pair(source: &ObjectLocation, target: &ObjectLocation) -> Result<()> {
    let problem = if source.name == target.name {
        "is the source itself"
    } else if source.traits.copy_scope.is_some()
        && source.traits.copy_scope == target.traits.copy_scope
        && source.traits.bucket == target.traits.bucket
        && (within(source, target) || within(target, source))
        || folder_within(source, target)
        || folder_within(target, source)
    {
        "overlaps the source"
    } else {
        return Ok(());
    };
    Err(Error::invalid(
        "target",
        format_args!("'{}' {problem}", target.name),
        "a place outside of the source",
    ))
}

fn within(inner: &ObjectLocation, outer: &ObjectLocation) -> bool {
    inner.prefix.prefix_matches(&outer.prefix)
}

/// Folders have no prefix: their names say which is in which.
fn folder_within(inner: &ObjectLocation, outer: &ObjectLocation) -> bool {
    let outer = outer.name.trim_end_matches('/');
    outer.starts_with("file://")
        && inner.name.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
}

fn check_transport(field: &str, location: &ObjectLocation, policy: &SyncPolicy) -> Result<()> {
    if location.traits.transport != Transport::Plain {
        return Ok(());
    }
    if policy.allow_unencrypted_transport {
        tracing::warn!(location = %location.name, "{field} is reached WITHOUT ENCRYPTION, as the policy allows");
        return Ok(());
    }
    Err(Error::invalid(
        field,
        format_args!("'{}' is not known to be reached by TLS", location.name),
        "https, this machine, or a policy with allow_unencrypted_transport: true",
    ))
}

fn check_compression(target: &ObjectLocation, policy: &SyncPolicy) -> Result<()> {
    let (problem, accepted) = match policy.compression {
        Compression::None => return Ok(()),
        _ if policy.mode == SyncMode::Bidirectional => {
            ("does not go with a bidirectional sync", "none, or a one-way mode")
        }
        Compression::ContentEncoding if !target.traits.attributes => {
            ("needs a target that keeps attributes", "none or suffix")
        }
        _ => return Ok(()),
    };
    Err(Error::invalid("compression", problem, accepted))
}

/// How long a worker holds a shard without a sign of life.
pub(super) const LEASE: Duration = Duration::from_secs(30);

/// A run that began within this time is joined by a worker that comes later, instead of beginning another.
pub(super) const JOINED: Duration = Duration::from_secs(3600);

/// The beginning of a run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Begun {
    pub(super) at: Timestamp,
}

/// Refuses ids that are none, before they become names of streams.
pub(super) fn check_id(id: &str) -> Result<()> {
    let good = id.starts_with("sync-") && id.len() <= 100;
    match good && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        true => Ok(()),
        false => Err(Error::invalid(
            "job",
            format_args!("'{id}' is no id of a sync job"),
            "what the set-up returned",
        )),
    }
}

/// # Errors
/// [`NotFound`](ErrorKind::NotFound).
pub(super) fn unknown(id: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no sync job '{id}' in this store"))
        .with_hint("set it up first; jobs() lists those that there are")
}
