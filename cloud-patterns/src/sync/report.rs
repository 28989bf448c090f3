//! What a run did, as JSON and as a table.

use std::{fmt, ops::AddAssign};

use cloud_core::Error;
use comfy_table::{Table, presets::NOTHING};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{decide::Reason, transfer::Verified};

/// How many of each kind are named; all are counted.
const NAMED: usize = 1000;

/// What a run did. A run of several shards is the sum of their reports.
///
/// ```
/// let report = cloud_patterns::sync::SyncReport::default();
/// assert!(report.is_success());
/// assert!(report.to_string().contains("copied"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SyncReport {
    /// The job.
    pub job: String,
    /// Whether nothing was changed because it was a dry run: then it says what would have been done.
    pub dry_run: bool,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Objects and bytes on each side when it began.
    pub source: SideTotal,
    /// As `source`.
    pub target: SideTotal,
    /// Objects that were the same already.
    pub unchanged: u64,
    /// Objects that the filter left out.
    pub filtered: u64,
    /// Objects copied from source to target.
    pub copied: u64,
    /// Objects copied from target to source.
    pub copied_back: u64,
    /// Objects that were deleted, or moved to the trash, on either side.
    pub deleted: u64,
    /// Bytes read for what was copied.
    pub bytes_read: u64,
    /// Bytes written; fewer than read where bodies are compressed.
    pub bytes_written: u64,
    /// Requests made for objects; those of listings are not counted.
    pub requests: u64,
    /// How far the copies were verified.
    pub verified: Verification,
    /// Attempts that were repeated, over all objects.
    pub repeated: u64,
    /// How often a store asked for fewer requests.
    pub throttled: u64,
    /// Objects of which content type, encoding or metadata could not be kept.
    pub attributes_lost: u64,
    /// Objects that went away before they were read.
    pub vanished: u64,
    /// Both sides changed, and the policy does not say who wins, or says that it fails.
    pub conflicts: Named,
    /// Objects that could not be copied or deleted, and why.
    pub failed: Named,
    /// Keys that were left as they are because one side cannot hold them unaltered.
    pub refused: Named,
    /// What the traffic out of the source's region costs, in the currency of the catalog, if it was given a rate.
    pub egress_cost: Option<rust_decimal::Decimal>,
}

/// Objects and bytes of one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideTotal {
    /// Number of objects.
    pub objects: u64,
    /// Bytes.
    pub bytes: u64,
}

/// How many copies were verified how far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// What the target says that it has is what the source says that it has.
    pub end_to_end: u64,
    /// Either side confirmed.
    pub one_side: u64,
    /// The number of bytes is right; neither side says more.
    pub length: u64,
}

/// Keys and what is to be said of each: the first 1,000, and how many there were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// How many there were.
    pub count: u64,
    /// The first of them.
    pub first: Vec<(String, String)>,
}

impl Named {
    pub(super) fn add(&mut self, key: &str, what: impl fmt::Display) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push((key.to_owned(), what.to_string()));
        }
    }
}

impl AddAssign for Named {
    fn add_assign(&mut self, other: Self) {
        self.count += other.count;
        let room = NAMED.saturating_sub(self.first.len());
        self.first.extend(other.first.into_iter().take(room));
    }
}

impl SyncReport {
    /// Whether source and target are what the policy wants them to be: nothing failed, no conflict is left open.
    /// Refused keys do not count: they are reported.
    pub fn is_success(&self) -> bool {
        self.failed.count == 0 && self.conflicts.count == 0
    }

    /// The report as an error, unless it is a success.
    ///
    /// # Errors
    /// [`Conflict`](cloud_core::ErrorKind::Conflict) or [`Internal`](cloud_core::ErrorKind::Internal), with the first key it concerns.
    pub fn check(&self) -> Result<(), Error> {
        use cloud_core::ErrorKind::{Conflict, Internal};
        let of = |named: &Named, kind, what: &str| {
            let first = named
                .first
                .first()
                .map_or(String::new(), |(key, why)| format!(", the first '{key}': {why}"));
            Error::new(kind, format!("{} {what}{first}", named.count))
        };
        match (self.failed.count, self.conflicts.count) {
            (0, 0) => Ok(()),
            (0, _) => Err(of(&self.conflicts, Conflict, "conflicts are open")),
            _ => Err(of(&self.failed, Internal, "objects could not be synced")),
        }
    }

    pub(super) fn arrived(&mut self, back: bool, arrived: &super::transfer::Arrived) {
        *if back { &mut self.copied_back } else { &mut self.copied } += 1;
        self.bytes_written += arrived.written;
        self.attributes_lost += u64::from(arrived.lost_attributes);
        self.repeated += u64::from(arrived.repeated);
        self.throttled += u64::from(arrived.throttled);
        match arrived.verified {
            Verified::EndToEnd => self.verified.end_to_end += 1,
            Verified::OneSide => self.verified.one_side += 1,
            Verified::Length => self.verified.length += 1,
        }
    }

    pub(super) fn conflict(&mut self, key: &str, reason: Reason) {
        self.conflicts.add(key, reason);
    }

    pub(super) fn failure(&mut self, key: &str, error: &Error) {
        self.failed.add(key, error);
    }
}

impl AddAssign for SyncReport {
    fn add_assign(&mut self, other: Self) {
        self.started = self.started.into_iter().chain(other.started).min();
        self.ended = self.ended.max(other.ended);
        self.source.objects += other.source.objects;
        self.source.bytes += other.source.bytes;
        self.target.objects += other.target.objects;
        self.target.bytes += other.target.bytes;
        self.unchanged += other.unchanged;
        self.filtered += other.filtered;
        self.copied += other.copied;
        self.copied_back += other.copied_back;
        self.deleted += other.deleted;
        self.bytes_read += other.bytes_read;
        self.bytes_written += other.bytes_written;
        self.requests += other.requests;
        self.verified.end_to_end += other.verified.end_to_end;
        self.verified.one_side += other.verified.one_side;
        self.verified.length += other.verified.length;
        self.repeated += other.repeated;
        self.throttled += other.throttled;
        self.attributes_lost += other.attributes_lost;
        self.vanished += other.vanished;
        self.conflicts += other.conflicts;
        self.failed += other.failed;
        self.refused += other.refused;
        self.egress_cost = match (self.egress_cost, other.egress_cost) {
            (Some(a), Some(b)) => a.checked_add(b),
            (a, b) => a.or(b),
        };
    }
}

/// The table that a person reads.
impl fmt::Display for SyncReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(NOTHING);
        let mut row = |name: &str, value: String| {
            table.add_row([name.to_owned(), value]);
        };
        let side = |side: SideTotal| format!("{} objects, {} bytes", side.objects, side.bytes);
        row("source", side(self.source));
        row("target before", side(self.target));
        row("unchanged", self.unchanged.to_string());
        row(
            "copied",
            format!(
                "{} ({} bytes read, {} written)",
                self.copied, self.bytes_read, self.bytes_written
            ),
        );
        let some = [
            ("copied back", self.copied_back),
            ("deleted", self.deleted),
            ("left out by the filter", self.filtered),
            ("repeated attempts", self.repeated),
            ("asked to slow down", self.throttled),
            ("attributes not kept", self.attributes_lost),
            ("gone before they were read", self.vanished),
            ("conflicts", self.conflicts.count),
            ("refused", self.refused.count),
            ("failed", self.failed.count),
        ];
        some.into_iter().filter(|(_, n)| *n > 0).for_each(|(name, n)| row(name, n.to_string()));
        let Verification { end_to_end, one_side, length } = self.verified;
        row(
            "verified",
            format!("{end_to_end} end to end, {one_side} on one side, {length} by length"),
        );
        if let (Some(started), Some(ended)) = (self.started, self.ended) {
            row("took", format!("{:.3} s", ended.duration_since(started).as_secs_f64()));
        }
        if let Some(cost) = self.egress_cost {
            row("egress", cost.to_string());
        }
        write!(f, "{}", table.trim_fmt())?;
        for (title, named) in
            [("conflict", &self.conflicts), ("refused", &self.refused), ("failed", &self.failed)]
        {
            for (key, what) in named.first.iter().take(20) {
                let key = key.escape_debug();
                write!(f, "\n{title}: {key}: {what}")?;
            }
            if named.count > 20 {
                write!(f, "\n{title}: and {} more", named.count - 20)?;
            }
        }
        Ok(())
    }
}
