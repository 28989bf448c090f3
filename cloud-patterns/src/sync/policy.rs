//! What a sync job does, how often, and what it may not do.

use std::time::Duration;

use cloud_core::{Error, Result};
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::{
    filter::{Filter, FilterSpec},
    schedule::Frequency,
};

/// The policy of a sync job. Every field has a default, so `{}` is a policy.
///
/// ```
/// use cloud_patterns::sync::{ConflictResolution, SyncMode, SyncPolicy};
///
/// let policy: SyncPolicy = serde_json::from_str(r#"{"mode": "mirror", "frequency": "30s"}"#).unwrap();
/// assert_eq!(policy.mode, SyncMode::Mirror);
/// assert_eq!(policy.conflict_resolution, ConflictResolution::LastModifiedWins);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyncPolicy {
    /// What is made the same.
    pub mode: SyncMode,
    /// How often a controller runs it: `30s`, `hourly`, a cron expression. `once` if it is run by hand only.
    pub frequency: Frequency,
    /// Whether and how bodies are compressed at the target.
    pub compression: Compression,
    /// What happens if both sides changed since they were last the same.
    pub conflict_resolution: ConflictResolution,
    /// How two objects of the same key are compared.
    pub comparison: Comparison,
    /// Which keys take part.
    pub filter: FilterSpec,
    /// What limits deletions.
    pub deletion: DeletionPolicy,
    /// Limits of bandwidth, requests and memory.
    pub limits: TransferLimits,
    /// Number of key ranges that workers can take separately. 1 for a single worker.
    pub shards: Shards,
    /// Allows plain HTTP to other machines. Bodies and signatures can then be read and changed on the way.
    pub allow_unencrypted_transport: bool,
}

impl SyncPolicy {
    /// Checks what the types leave open: patterns and limits.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](cloud_core::ErrorKind::InvalidInput), naming the field.
    ///
    /// ```
    /// use cloud_patterns::sync::SyncPolicy;
    ///
    /// let mut policy = SyncPolicy::default();
    /// assert!(policy.validate().is_ok());
    /// policy.deletion.max_share = 50.0;
    /// assert!(policy.validate().unwrap_err().to_string().contains("deletion.max_share is 50"));
    /// ```
    pub fn validate(&self) -> Result<()> {
        Filter::new(&self.filter)?;
        let DeletionPolicy { max_share, trash, .. } = &self.deletion;
        if !(0.0..=1.0).contains(max_share) {
            return Err(Error::invalid(
                "deletion.max_share",
                format_args!("is {max_share}"),
                "0 to 1; 0.5 is one half",
            ));
        }
        if let Some(trash) = trash
            && !Path::parse(trash).is_ok_and(|path| !path.as_ref().is_empty())
        {
            return Err(Error::invalid(
                "deletion.trash",
                format_args!("is '{}'", trash.escape_debug()),
                "a folder such as .trash, without empty, '.' and '..' segments",
            ));
        }
        let limits = &self.limits;
        let zeros = [
            ("limits.bytes_per_second", limits.bytes_per_second == Some(0)),
            ("limits.requests_per_second", limits.requests_per_second == Some(0)),
            ("limits.concurrency", limits.concurrency == Some(0)),
            ("limits.memory_bytes", limits.memory_bytes == Some(0)),
            ("limits.multipart_bytes", limits.multipart_bytes == Some(0)),
            ("limits.stall_time_out", limits.stall_time_out == Some(Duration::ZERO)),
            ("shards", self.shards.0 == 0),
        ];
        match zeros.into_iter().find(|(_, is_zero)| *is_zero) {
            Some((field, _)) => Err(Error::invalid(field, "is 0", "more than 0")),
            None => Ok(()),
        }
    }
}

/// What is made the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncMode {
    /// Every object of the source is copied, whatever the target has.
    Full,
    /// What is new or changed at the source is copied. Nothing is deleted.
    #[default]
    Incremental,
    /// As incremental; what the source does not have is deleted at the target.
    Mirror,
    /// Changes and deletions of either side are carried to the other.
    Bidirectional,
    /// As incremental, without end: a run follows the other, as often as the frequency says.
    Continuous,
}

/// What happens if both sides changed since they were last the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictResolution {
    /// The one that was written later stays. If the clocks leave open which one that is, the source's stays in a one-way mode, and else the
    /// conflict is reported and nothing is changed; see [`decide`](super::decide()).
    #[default]
    LastModifiedWins,
    /// The source's stays.
    SourceWins,
    /// The target's stays.
    TargetWins,
    /// Both stay: the target's under its name with `.conflict-TIME` before its extension.
    KeepBoth,
    /// Nothing is changed; the run reports it and ends as failed.
    Fail,
}

/// How two objects of the same key are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// Size and checksum where the stores give one that both share; else what was recorded at the last sync. What cannot be decided so is copied.
    #[default]
    Checksum,
    /// Size and time: an object is taken for unchanged if the target's is of the same size and not older.
    SizeAndTime,
    /// Size alone.
    Size,
}

/// Whether and how bodies are compressed at the target, by zstd. What does not get smaller is stored as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Bodies are stored as they are.
    #[default]
    None,
    /// Under the same key, with `Content-Encoding: zstd`. The target has to keep attributes.
    ContentEncoding,
    /// Under the key with `.zst` appended.
    Suffix,
}

/// What limits deletions of a mirror or a bidirectional sync. If a run would delete more, it deletes nothing and ends as failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeletionPolicy {
    /// The greatest share of a side's objects, from 0 to 1. One object may always be deleted unless it is the last.
    pub max_share: f64,
    /// The greatest number of objects.
    pub max_count: u64,
    /// A prefix below the target's to which objects are moved instead of being deleted, under the time of the run.
    pub trash: Option<String>,
}

impl Default for DeletionPolicy {
    fn default() -> Self {
        Self { max_share: 0.5, max_count: 10_000, trash: None }
    }
}

/// Limits of a run. What is absent is found by the run itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransferLimits {
    /// Bytes per second, read and written together counted once.
    pub bytes_per_second: Option<u64>,
    /// Requests per second, to both sides together.
    pub requests_per_second: Option<u32>,
    /// Most objects on their way at once. Absent: as many as make it faster, up to 512.
    pub concurrency: Option<usize>,
    /// Bytes of bodies held in memory at once. Absent: 32 MiB.
    pub memory_bytes: Option<u64>,
    /// From this size on, an object is sent in parts. Absent: 64 MiB.
    pub multipart_bytes: Option<u64>,
    /// How long an object may take without a byte moving before it is tried again. Absent: 60 s.
    #[serde(with = "super::schedule::optional_duration")]
    pub stall_time_out: Option<Duration>,
}

/// Number of key ranges of a job, fixed when it first runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shards(pub u16);

impl Default for Shards {
    fn default() -> Self {
        Self(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_can_keep_is_refused() {
        assert!(SyncPolicy::default().validate().is_ok());
        for (text, field) in [
            (r#"{"filter": {"include": ["a**"]}}"#, "filter.include[0]"),
            (r#"{"deletion": {"max_share": 1.01}}"#, "deletion.max_share is 1.01"),
            (r#"{"deletion": {"max_share": -0.1}}"#, "deletion.max_share is -0.1"),
            (r#"{"deletion": {"trash": ""}}"#, "deletion.trash is ''"),
            (r#"{"deletion": {"trash": "../x"}}"#, "deletion.trash is '../x'"),
            (r#"{"limits": {"concurrency": 0}}"#, "limits.concurrency is 0"),
            (r#"{"limits": {"stall_time_out": "0s"}}"#, "limits.stall_time_out is 0"),
            (r#"{"shards": 0}"#, "shards is 0"),
        ] {
            let policy: SyncPolicy = serde_json::from_str(text).unwrap();
            let message = policy.validate().unwrap_err().to_string();
            assert!(message.contains(field), "{message}");
        }
        let nan = DeletionPolicy { max_share: f64::NAN, ..DeletionPolicy::default() };
        assert!(SyncPolicy { deletion: nan, ..SyncPolicy::default() }.validate().is_err());
        let trash = DeletionPolicy { trash: Some(".trash/".into()), ..DeletionPolicy::default() };
        assert!(SyncPolicy { deletion: trash, ..SyncPolicy::default() }.validate().is_ok());
    }

    #[test]
    fn a_policy_is_read_as_written() {
        let text = r#"{"mode": "mirror", "frequency": "0 3 * * *", "compression": "suffix", "limits": {"stall_time_out": "2m"}}"#;
        let policy: SyncPolicy = serde_json::from_str(text).unwrap();
        assert_eq!(policy.limits.stall_time_out, Some(Duration::from_secs(120)));
        let written = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<SyncPolicy>(&written).unwrap(), policy);
        assert!(serde_json::from_str::<SyncPolicy>(r#"{"modus": "full"}"#).is_err());
    }
}
