//! Keeps the objects of two locations in any clouds the same: what is compared, decided, copied and taken down.
//!
//! A [`SyncService`] sets up jobs and runs them over any two [`ObjectLocation`](cloud_core::ObjectLocation)s. A run is one pass over both sides:
//!
//! 1. *Observe*: both sides are listed in the order of their keys, and so is what they agreed on at the last sync. The three
//!    streams are merged as they come, so memory does not grow with the number of objects.
//! 2. *Decide*: [`decide`] says for each key what is done and why. It is a pure function.
//! 3. *Plan*: a dry run, or a [`Plan`](crate::engine::plan::Plan) by [`SyncService::plan`], shows it, with what it costs.
//! 4. *Apply*: objects are copied, as many at once as make it faster, and each is verified. When both listings have ended without an
//!    error, what is to be deleted is deleted, if it is within the policy's limits.
//! 5. *Record*: what both sides agree on now goes to the [`Store`](crate::engine::store::Store), window by window.
//!
//! # When two objects are the same
//! If their checksums are (an S3 `ETag` is mostly the MD5 of the content), or if neither has changed since the last sync, which the
//! store remembers by the tags that both sides gave. Never by time alone unless the policy asks for it. What cannot be told
//! is copied.
//!
//! # What is verified
//! Where both stores say the MD5 of what they have, comparing the two proves the copy end to end and costs nothing. Where one does,
//! it is computed from the bytes as they pass. The report counts how far each copy was [verified](Verified).
//!
//! # What is not carried over
//! Tags, access lists and versions: `object_store` has no words for them. Content type, encoding, cache control and user metadata are,
//! where the target keeps them; the report counts where it does not.
//!
//! # Caveats
//! - A store that does not list in the order of keys is walked folder by folder; a folder's entries are then in memory at once.
//! - Server-side copy is used within one bucket only: `object_store` cannot name another.
//! - With [`Compression::Suffix`] the names at the target are others than at the source, so the target is not compared but
//!   trusted to be what the last sync left.
//! - With several shards, the limits of deletions hold for each shard.
//! - A full copy that was broken off begins anew; every other mode goes on.
//! - To a target that ignores case, 8 bytes are held for each key.

mod block;
mod conflict_name;
mod decide;
mod deletion;
mod entry;
mod filter;
mod gates;
mod job;
mod kubernetes;
mod limiter;
mod listing;
mod merge;
mod plan;
mod policy;
mod progress;
mod range;
mod report;
mod scan;
mod schedule;
mod service;
mod shard;
mod split;
mod state;
mod transfer;
mod watch;

pub use block::{MAX_BLOCK_ENTRIES, decode as decode_block, encode as encode_block};
pub use conflict_name::{conflict_name, is_conflict_name};
pub use decide::{Action, Clocks, Decision, Reason, Rules, Sides, decide};
pub use entry::{Agreed, Entry, Seen, Tag};
pub use filter::{Filter, FilterSpec, Rejected};
pub use job::{OpenLocation, RunOptions, SyncJob};
pub use kubernetes::IndexedJob;
pub use plan::SyncObjects;
pub use policy::*;
pub use progress::{Snapshot, SyncEvent, SyncObserver, SyncProgress, sync_events};
pub use range::KeyRange;
pub use report::{Named, SideTotal, SyncReport, Verification};
pub use schedule::Frequency;
pub use service::SyncService;
pub use transfer::Verified;
pub use watch::ChangeEvents;
