//! Counters of what a server did.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::faults::FaultKind;
use super::request::Operation;
use super::store::lock;

/// What a server did since it started or since [`reset_stats`](super::ObjectServer::reset_stats).
///
/// A request counts when it arrives, whatever becomes of it; [`writes`](Self::writes) counts what took effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests of all kinds but those under `/__`.
    pub requests: u64,
    /// Objects written by one request.
    pub puts: u64,
    /// Reads of an object or of a range of it.
    pub gets: u64,
    /// Reads of attributes.
    pub heads: u64,
    /// Pages of listings.
    pub lists: u64,
    /// Requests to delete, of one object or many.
    pub deletes: u64,
    /// Server-side copies.
    pub copies: u64,
    /// Multipart uploads started.
    pub starts: u64,
    /// Parts or blocks written.
    pub parts: u64,
    /// Multipart uploads or block lists completed.
    pub completes: u64,
    /// Multipart uploads given up.
    pub aborts: u64,
    /// Requests on buckets.
    pub buckets: u64,
    /// Bytes of request bodies, as announced by their length.
    pub bytes_in: u64,
    /// Bytes of answers' bodies.
    pub bytes_out: u64,
    /// How often each key was written by clients, by bucket: puts, copies and completed uploads that took effect.
    pub writes: BTreeMap<String, BTreeMap<String, u64>>,
    /// Faults injected, by kind.
    pub faults: BTreeMap<String, u64>,
}

impl Stats {
    /// Writes of keys that had been written before: transfers that a perfect client saves.
    pub fn redundant_writes(&self) -> u64 {
        self.writes.values().flat_map(BTreeMap::values).map(|times| times - 1).sum()
    }

    /// Keys that were written at least once.
    pub fn distinct_writes(&self) -> u64 {
        self.writes.values().map(|keys| keys.len() as u64).sum()
    }

    /// All faults injected.
    pub fn faults_injected(&self) -> u64 {
        self.faults.values().sum()
    }

    /// The totals as JSON; keys are left out, as there may be a million.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "requests": self.requests,
            "puts": self.puts,
            "gets": self.gets,
            "heads": self.heads,
            "lists": self.lists,
            "deletes": self.deletes,
            "copies": self.copies,
            "starts": self.starts,
            "parts": self.parts,
            "completes": self.completes,
            "aborts": self.aborts,
            "buckets": self.buckets,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "distinct_writes": self.distinct_writes(),
            "redundant_writes": self.redundant_writes(),
            "faults": self.faults,
        })
    }
}

/// The counters under way.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    operations: [AtomicU64; 13],
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    faults: Mutex<BTreeMap<String, u64>>,
}

impl Counters {
    pub(crate) fn request(&self, operation: Operation, bytes_in: u64) {
        self.operations[operation as usize].fetch_add(1, Relaxed);
        if bytes_in > 0 {
            self.bytes_in.fetch_add(bytes_in, Relaxed);
        }
    }

    pub(crate) fn answered(&self, bytes_out: u64) {
        if bytes_out > 0 {
            self.bytes_out.fetch_add(bytes_out, Relaxed);
        }
    }

    pub(crate) fn fault(&self, kind: FaultKind) {
        *lock(&self.faults).entry(kind.name()).or_default() += 1;
    }

    pub(crate) fn snapshot(&self, writes: BTreeMap<String, BTreeMap<String, u64>>) -> Stats {
        let of = |operation: Operation| self.operations[operation as usize].load(Relaxed);
        Stats {
            requests: self.operations.iter().map(|count| count.load(Relaxed)).sum(),
            puts: of(Operation::Put),
            gets: of(Operation::Get),
            heads: of(Operation::Head),
            lists: of(Operation::List),
            deletes: of(Operation::Delete) + of(Operation::DeleteMany),
            copies: of(Operation::Copy),
            starts: of(Operation::StartUpload),
            parts: of(Operation::PutPart),
            completes: of(Operation::Complete),
            aborts: of(Operation::Abort),
            buckets: of(Operation::Bucket),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            writes,
            faults: lock(&self.faults).clone(),
        }
    }

    pub(crate) fn reset(&self) {
        self.operations
            .iter()
            .chain([&self.bytes_in, &self.bytes_out])
            .for_each(|count| count.store(0, Relaxed));
        lock(&self.faults).clear();
    }
}
