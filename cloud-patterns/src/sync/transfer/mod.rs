//! One object from one side to the other: read, carried, written, verified; tried again where that can help.
//!
//! | how | when | memory |
//! |---|---|---|
//! | [`server_side`] | both are one bucket | none |
//! | [`whole`] | small objects, and stores that take no streams | the object |
//! | [`streamed`] | larger ones, if the target takes streams | a few read buffers |
//! | [`parts`] | the largest, and large ones for stores that take no streams | a few parts |
//! | [`compressed`] | the policy asks for it and it gets smaller | the object, or a few parts |

mod compressed;
mod parts;
mod resuming;
mod server_side;
mod streamed;
mod verify;
mod whole;

use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use cloud_core::{ContentMd5, ETagMeaning, Error, ErrorKind, ObjectLocation, Result, Retry};
use jiff::Timestamp;
use object_store::{
    Attribute, AttributeValue, Attributes, GetResult, ObjectMeta, ObjectStoreExt, PutOptions,
    PutResult, path::Path,
};

use super::{
    entry::{Entry, Seen, Tag},
    gates::Gates,
    listing::below,
    policy::{Comparison, Compression, SyncMode, SyncPolicy},
};
pub use verify::Verified;

/// Up to this size an object is read into memory as one piece.
const SMALL: u64 = 256 * 1024;

/// Up to this size an object is held in memory if the target takes no streams.
const HELD: u64 = 8 * 1024 * 1024;

/// From this size on, several connections are faster than one, unless the policy says otherwise.
pub(super) const MULTIPART: u64 = 64 * 1024 * 1024;

/// What a stream keeps in memory at most: the buffers of two connections, of 512 KiB each.
const STREAM: u64 = 1024 * 1024;

/// How often an object is tried in all.
const ATTEMPTS: usize = 6;

/// From where to where, and how.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) from: Arc<ObjectLocation>,
    pub(super) to: Arc<ObjectLocation>,
    pub(super) compression: Compression,
    pub(super) multipart: u64,
    pub(super) stall: Duration,
    pub(super) gates: Arc<Gates>,
    /// Whether it is looked again before an object is overwritten: both sides are written by others.
    careful: bool,
    /// Whether the time of what was written is needed to recognise it.
    by_time: bool,
    below: [String; 2],
}

/// What became of an object that was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) source: Seen,
    pub(super) target: Seen,
    /// Bytes that were written.
    pub(super) written: u64,
    pub(super) verified: Verified,
    /// Whether attributes of the source could not be kept.
    pub(super) lost_attributes: bool,
    /// How often it had to be tried again, and how often because a store asked for less.
    pub(super) repeated: u32,
    pub(super) throttled: u32,
}

/// What one attempt came to.
struct Written {
    source: Seen,
    result: PutResult,
    bytes: u64,
    verified: Verified,
    lost_attributes: bool,
}

impl Route {
    pub(super) fn new(
        from: Arc<ObjectLocation>,
        to: Arc<ObjectLocation>,
        policy: &SyncPolicy,
        gates: Arc<Gates>,
    ) -> Self {
        let limits = &policy.limits;
        let below = [below(&from.prefix), below(&to.prefix)];
        let multipart = limits.multipart_bytes.unwrap_or(MULTIPART);
        let stall = limits.stall_time_out.unwrap_or(Duration::from_secs(60));
        let careful = policy.mode == SyncMode::Bidirectional;
        let by_time = policy.comparison == Comparison::SizeAndTime;
        let compression = policy.compression;
        Self { from, to, compression, multipart, stall, gates, careful, by_time, below }
    }

    /// Keeps the target's object under another name as well.
    ///
    /// # Errors
    /// What the store answered.
    pub(super) async fn keep(&self, key: &str, name: &str) -> Result<()> {
        self.gates.request().await;
        Ok(self.to.store.copy(&self.target(key)?, &path(&self.below[1], name)?).await?)
    }

    async fn still(&self, to: &Path, over: Option<&Entry>) -> Result<()> {
        self.gates.request().await;
        let now = match self.to.store.head(to).await {
            Ok(meta) => Some(seen(&meta, &self.to)),
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let same = match (&now, over) {
            (Some(now), Some(over)) => now.is(over),
            (now, over) => now.is_none() && over.is_none(),
        };
        match same {
            true => Ok(()),
            false => Err(Error::new(
                ErrorKind::Conflict,
                "it changed after it was listed, so it was not overwritten",
            )),
        }
    }

    /// Where a key is at the source.
    pub(super) fn source(&self, key: &str) -> Result<Path> {
        path(&self.below[0], key)
    }

    /// Where a key is to be at the target.
    pub(super) fn target(&self, key: &str) -> Result<Path> {
        match self.compression {
            Compression::Suffix => path(&self.below[1], &format!("{key}.zst")),
            _ => path(&self.below[1], key),
        }
    }

    /// Copies an object. Dropping the future leaves either the object that was there before or a whole new one at the
    /// target; parts of an unfinished multipart upload may stay until the bucket's own rule removes them.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the source is gone; what the stores answered to the last attempt;
    /// [`Corrupt`](ErrorKind::Corrupt) if what arrived is not what was sent.
    ///
    /// `over` is what was listed at the target. If the route is [careful](Self::careful), another object than that is not
    /// overwritten: [`Conflict`](ErrorKind::Conflict).
    pub(super) async fn copy(&self, entry: &Entry, over: Option<&Entry>) -> Result<Arrived> {
        let (from, to) = (self.source(&entry.key)?, self.target(&entry.key)?);
        if self.careful {
            self.still(&to, over).await?;
        }
        let mut delays = None;
        let (mut repeated, mut throttled, mut doubts) = (0, 0, 0);
        let mut size = entry.size;
        loop {
            let error = match self.attempt(&from, &to, size, &entry.tag, doubts).await {
                Ok(written) => return self.arrived(&to, written, repeated, throttled).await,
                Err(error) => error,
            };
            throttled += u32::from(error.kind() == ErrorKind::RateLimited);
            doubts += u32::from(error.kind() == ErrorKind::Corrupt);
            let Some(delay) =
                delays.get_or_insert_with(pauses).next().filter(|_| helps(error.kind()))
            else {
                return Err(error.context(format_args!("copying '{}'", entry.key)));
            };
            repeated += 1;
            tokio::time::sleep(match error.retry() {
                Retry::After(asked) => asked.max(delay),
                _ => delay,
            })
            .await;
            if error.kind() == ErrorKind::PreconditionFailed {
                // It changed while it was read: its new size decides how it is read now.
                // If it cannot be asked for, the next attempt will say why.
                if let Ok(meta) = self.from.store.head(&from).await {
                    size = meta.size;
                }
            }
        }
    }

    async fn attempt(
        &self,
        from: &Path,
        to: &Path,
        size: u64,
        tag: &Tag,
        doubts: u32,
    ) -> Result<Written> {
        let streams = self.to.traits.streamed_put;
        if self.compression != Compression::None {
            return compressed::copy(self, from, to, size).await;
        }
        if self.one_bucket() {
            return server_side::copy(self, from, to).await;
        }
        // A single put keeps the ETag of a single put, which verifies the object for nothing, now and at every later run.
        let keeps_md5 = streams && tag.md5().is_some() && size < self.multipart.saturating_mul(8);
        if size > SMALL && streams && (size < self.multipart || keeps_md5) {
            return streamed::copy(self, from, to, size).await;
        }
        if size <= HELD {
            return whole::copy(self, from, to, size).await;
        }
        parts::copy(self, from, to, size, Some(tag).filter(|_| doubts < parts::GUESSES)).await
    }

    fn one_bucket(&self) -> bool {
        let (from, to) = (&self.from.traits, &self.to.traits);
        from.copy_scope.is_some() && from.copy_scope == to.copy_scope && from.bucket == to.bucket
    }

    async fn arrived(
        &self,
        to: &Path,
        written: Written,
        repeated: u32,
        throttled: u32,
    ) -> Result<Arrived> {
        let tag = Tag::new(written.result.e_tag.as_deref(), self.to.traits.e_tag);
        let target = match tag {
            tag if self.by_time || tag == Tag::None => {
                seen(&self.to.store.head(to).await?, &self.to)
            }
            tag => Seen { size: written.bytes, modified: Timestamp::UNIX_EPOCH, tag },
        };
        Ok(Arrived {
            source: written.source,
            target,
            written: written.bytes,
            verified: written.verified,
            lost_attributes: written.lost_attributes,
            repeated,
            throttled,
        })
    }

    /// What the target can keep of the source's attributes, and whether that is not all.
    fn attributes(&self, got: &GetResult) -> (Attributes, bool) {
        if self.to.traits.attributes {
            return (got.attributes.clone(), false);
        }
        let matter = |(name, value): (&Attribute, &AttributeValue)| {
            let usual = ["application/octet-stream", "binary/octet-stream"];
            !(*name == Attribute::ContentType && usual.contains(&value.as_ref()))
        };
        (Attributes::new(), got.attributes.iter().any(matter))
    }

    /// The options of a put of a whole object.
    fn put_options(&self, attributes: Attributes, said: Option<ContentMd5>) -> PutOptions {
        let mut options = PutOptions { attributes, ..PutOptions::default() };
        if self.to.traits.put_checks_md5
            && let Some(md5) = said
        {
            options.extensions.insert(md5);
        }
        options
    }

    /// What is at the source, by the answer to a read.
    fn seen(&self, meta: &ObjectMeta) -> Seen {
        seen(meta, &self.from)
    }
}

/// The MD5 that the source says of the whole object, in its tag or beside it.
fn said(got: &GetResult, source: &Seen) -> Option<ContentMd5> {
    let tag = source.tag.md5().filter(|_| got.extensions.get() != Some(&ETagMeaning::Opaque));
    tag.or_else(|| got.extensions.get().copied())
}

fn seen(meta: &ObjectMeta, location: &ObjectLocation) -> Seen {
    Seen::from(&Entry::new("", meta, location.traits.e_tag))
}

/// The code of the error for a key that one side cannot hold unaltered.
pub(super) const UNNAMEABLE: &str = "unnameable_key";

fn path(below: &str, key: &str) -> Result<Path> {
    let whole = format!("{below}{key}");
    match Path::parse(&whole) {
        Ok(path) if path.as_ref() == whole => Ok(path),
        _ => Err(Error::invalid(
            "key",
            format_args!("'{key}' cannot be named without changing it"),
            "keys without empty, '.' and '..' segments",
        )
        .with_code(UNNAMEABLE)),
    }
}

/// The pauses between the attempts.
fn pauses() -> ExponentialBackoff {
    let pauses = ExponentialBuilder::default().with_min_delay(Duration::from_millis(50));
    let pauses = pauses.with_max_delay(Duration::from_secs(20)).with_factor(3.0).with_jitter();
    pauses.with_max_times(ATTEMPTS - 1).build()
}

/// Refuses an object of another size than the one by which it was decided how it is read, and how much memory that takes.
///
/// # Errors
/// [`PreconditionFailed`](ErrorKind::PreconditionFailed).
fn check_listed(listed: u64, now: &ObjectMeta) -> Result<()> {
    match now.size == listed {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::PreconditionFailed, "it changed since it was listed")),
    }
}

/// Whether another attempt can help.
fn helps(kind: ErrorKind) -> bool {
    use ErrorKind::*;
    matches!(kind, Unavailable | Timeout | RateLimited | Internal | Corrupt | PreconditionFailed)
}
