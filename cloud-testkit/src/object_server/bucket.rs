//! A bucket of a server, looked at and changed without a request.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use cloud_core::Error;
use md5::{Digest, Md5};

use super::content::Content;
use super::object::{ObjectAttributes, StoredObject, headers_of};
use super::refusal::Refusal;
use super::store::{BucketStore, Version, Writer};
use super::{Dialect, Shared, checksum};

/// A bucket or container of a server. What is done here is no request: it is neither counted, delayed nor broken.
#[derive(Clone)]
pub struct Bucket {
    pub(crate) name: String,
    pub(crate) shared: Arc<Shared>,
    pub(crate) store: Arc<BucketStore>,
}

impl Bucket {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts an object without attributes; returns its ETag.
    ///
    /// # Errors
    /// `quota_exceeded` beyond the server's capacity.
    pub fn put(&self, key: &str, body: impl Into<Bytes>) -> Result<String, Error> {
        self.put_with(key, body, ObjectAttributes::default())
    }

    /// Puts an object with attributes; returns its ETag.
    ///
    /// # Errors
    /// `invalid_input` for attributes that are no HTTP headers, `quota_exceeded` beyond the server's capacity.
    pub fn put_with(
        &self,
        key: &str,
        body: impl Into<Bytes>,
        with: ObjectAttributes,
    ) -> Result<String, Error> {
        let body = body.into();
        let md5 = checksum::md5(&body);
        self.store_content(key, body.into(), md5, with)
    }

    /// An object as it is now.
    pub fn get(&self, key: &str) -> Option<Arc<StoredObject>> {
        self.store.get(key).ok()
    }

    /// All keys, in the order of their bytes.
    pub fn keys(&self) -> Vec<String> {
        self.store.read().current.keys().map(|key| key.to_string()).collect()
    }

    /// All keys with their bytes, to compare two buckets.
    pub fn contents(&self) -> BTreeMap<String, Bytes> {
        self.store
            .read()
            .current
            .iter()
            .map(|(key, object)| (key.to_string(), object.body()))
            .collect()
    }

    /// How many objects it holds.
    pub fn len(&self) -> usize {
        self.store.read().current.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes an object; says whether there was one. A bucket that keeps versions gets a delete marker.
    pub fn delete(&self, key: &str) -> bool {
        let shared = &self.shared;
        let marker =
            || Version { id: shared.store.next(), modified: shared.clock.now(), object: None };
        let there = |current: Option<&StoredObject>| current.map(drop).ok_or(Refusal::NoKey);
        self.store.delete(key, marker, there).is_ok()
    }

    /// Removes all objects, versions and staged blocks.
    pub fn clear(&self) {
        self.store.clear();
    }

    /// From now on keeps what is overwritten and deleted; S3 only. It cannot be undone.
    pub fn keep_versions(&self) {
        self.store.keep_versions();
    }

    /// How many versions of a key are kept, delete markers included.
    pub fn version_count(&self, key: &str) -> usize {
        self.store.read().versions.as_ref().and_then(|all| all.get(key)).map_or(0, Vec::len)
    }

    /// Puts `count` objects of `size` bytes named `{prefix}00000000`, `{prefix}00000001` and so on.
    ///
    /// All share one block of memory but for their last 16 bytes, which are the object's number, so that a million cost
    /// little; each has its true MD5. Objects of fewer than 16 bytes hold the last digits only.
    ///
    /// # Errors
    /// `quota_exceeded` beyond the server's capacity; what was put till then stays.
    pub fn fill(&self, count: u64, size: usize, prefix: &str) -> Result<(), Error> {
        let shared = Bytes::from(filler(size.saturating_sub(TAIL)));
        let mut hasher = Md5::new();
        hasher.update(&shared);
        for number in 0..count {
            let tail = tail(number, size);
            let md5 = hasher.clone().chain_update(&tail).finalize().into();
            let mut content = Content::from(shared.clone());
            content.push(tail);
            self.store_content(
                &format!("{prefix}{number:08}"),
                content,
                md5,
                ObjectAttributes::default(),
            )?;
        }
        Ok(())
    }

    /// Gives `count` objects, spread evenly over the keys, other bytes of the same length.
    ///
    /// # Errors
    /// `quota_exceeded` if a bucket that keeps versions has no space for more.
    pub fn touch(&self, count: usize) -> Result<(), Error> {
        let objects: Vec<(String, Arc<StoredObject>)> = {
            let state = self.store.read();
            let total = state.current.len();
            let chosen = (0..count.min(total)).map(|n| n * total / count.min(total).max(1));
            let mut chosen = chosen.peekable();
            let is_chosen = |(at, _): &(usize, _)| chosen.next_if_eq(at).is_some();
            let entries = state.current.iter().enumerate().filter(is_chosen);
            entries.map(|(_, (key, object))| (key.to_string(), object.clone())).collect()
        };
        for (key, object) in objects {
            let position = object.size().saturating_sub(1);
            let content = object.content.corrupted(position);
            let md5 = checksum::md5(&content.to_bytes());
            self.store_content(
                &key,
                content,
                md5,
                ObjectAttributes { modified: None, ..object.attributes() },
            )?;
        }
        Ok(())
    }

    fn store_content(
        &self,
        key: &str,
        content: Content,
        md5: checksum::Md5Sum,
        with: ObjectAttributes,
    ) -> Result<String, Error> {
        let shared = &self.shared;
        let modified = with.modified.unwrap_or_else(|| shared.clock.now());
        let etag = match shared.dialect {
            Dialect::S3 => checksum::hex(&md5),
            Dialect::Azure => shared.dialect.opaque_etag(shared.store.next()),
        };
        let object = StoredObject {
            content,
            etag: checksum::quoted(&etag),
            md5: Some(md5),
            modified,
            created: modified,
            headers: headers_of(&with, shared.dialect)?,
            tags: with.tags,
            checksum: None,
            blocks: Vec::new(),
            version: None,
        };
        let full = |_| {
            Error::new(
                cloud_core::ErrorKind::QuotaExceeded,
                "the server holds all the bytes it may",
            )
        };
        self.store
            .put(Writer::Test, key, object, || shared.store.next(), |_| Ok(()))
            .map_err(full)?;
        Ok(etag)
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Bucket")
            .field("name", &self.name)
            .field("objects", &self.len())
            .finish_non_exhaustive()
    }
}

/// How many bytes of a filled object are its own.
const TAIL: usize = 16;

fn tail(number: u64, size: usize) -> Bytes {
    let digits = format!("{number:0TAIL$}");
    let digits = &digits.as_bytes()[digits.len() - TAIL..];
    Bytes::copy_from_slice(&digits[TAIL - size.min(TAIL)..])
}

/// Bytes that do not shrink much under compression, always the same.
fn filler(size: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        bytes.extend(next());
    }
    bytes.truncate(size);
    bytes
}
