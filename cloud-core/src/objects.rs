//! A place in an object store as data sync and adapters hand it to each other: the handle, what it guarantees, and
//! what travels beside a request that [`ObjectStore`] has no word for.
//!
//! [`ObjectStore`] is the portable data plane and hides what stores differ in. A program that moves data has to know some
//! of it: whether an `ETag` is the MD5 of the content, whether a listing comes in order, whether two handles reach the
//! same account. [`ObjectTraits`] says it; what is not known is left at the value that is always safe.
//!
//! The [extensions](StreamedBody) are put into `PutOptions::extensions` and friends. A store that does not know them ignores
//! them, so they are only used where the traits declare them.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures::stream::BoxStream;
use jiff::SignedDuration;
use object_store::{ObjectStore, PutPayload, path::Path};
use serde::{Deserialize, Serialize};

use crate::Provider;

/// A folder (key prefix) of an object store.
///
/// ```
/// use std::sync::Arc;
/// use cloud_core::ObjectLocation;
/// use object_store::memory::InMemory;
///
/// let location = ObjectLocation::new("memory:///photos", Arc::new(InMemory::new()), "photos".into());
/// assert!(!location.traits.streamed_put);
/// ```
#[derive(Clone)]
pub struct ObjectLocation {
    /// How it is called in plans, reports and logs: a URL, without credentials.
    pub name: String,
    /// The handle.
    pub store: Arc<dyn ObjectStore>,
    /// The folder; empty is the whole bucket.
    pub prefix: Path,
    /// What the handle guarantees.
    pub traits: ObjectTraits,
    /// Keys that listings through the handle left out because [`Path`] cannot say them.
    pub refused: RefusedKeys,
}

impl ObjectLocation {
    /// A location of which nothing is known but what every [`ObjectStore`] guarantees.
    pub fn new(name: impl Into<String>, store: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        let (traits, refused) = (ObjectTraits::default(), RefusedKeys::default());
        Self { name: name.into(), store, prefix, traits, refused }
    }
}

impl fmt::Debug for ObjectLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The handle's own Debug may hold credentials.
        f.debug_struct("ObjectLocation").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a handle guarantees beyond the contract of [`ObjectStore`]. The default promises nothing.
///
/// ```
/// use cloud_core::{ETagMeaning, ObjectTraits};
/// assert_eq!(ObjectTraits::default().e_tag, ETagMeaning::Opaque);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectTraits {
    /// Whose it is.
    pub provider: Provider,
    /// Whether requests are encrypted on their way, or never leave this machine.
    pub transport: Transport,
    /// What an `ETag` says.
    pub e_tag: ETagMeaning,
    /// Listings come in the order of the keys' bytes.
    pub list_ordered: bool,
    /// `list_with_offset` starts at the store, not by throwing away what was listed.
    pub list_from: bool,
    /// Content type, encoding and user metadata are kept.
    pub attributes: bool,
    /// Keys that differ only in case are one object.
    pub ignores_case: bool,
    /// A put takes a [`StreamedBody`].
    pub streamed_put: bool,
    /// A put takes a [`ContentMd5`], which the store checks before it keeps the object.
    pub put_checks_md5: bool,
    /// The answer to a put of a whole object carries a [`ContentMd5`].
    pub put_answers_md5: bool,
    /// Two locations with the same value can copy to each other at the server, by the target's handle, which then reaches both.
    pub copy_scope: Option<String>,
    /// The bucket (container) in that scope.
    pub bucket: Option<String>,
    /// How far the store's clock was ahead of ours when it was last seen; `None` if it was never seen.
    pub clock: ClockSkew,
}

impl Default for ObjectTraits {
    fn default() -> Self {
        Self {
            provider: Provider::Other,
            transport: Transport::Plain,
            e_tag: ETagMeaning::Opaque,
            list_ordered: false,
            list_from: false,
            attributes: false,
            ignores_case: false,
            streamed_put: false,
            put_checks_md5: false,
            put_answers_md5: false,
            copy_scope: None,
            bucket: None,
            clock: ClockSkew::default(),
        }
    }
}

/// How requests reach a store.
///
/// ```
/// use cloud_core::Transport;
/// assert_ne!(Transport::Encrypted, Transport::Plain);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// TLS.
    Encrypted,
    /// They do not leave this machine: a folder, memory, a loopback address.
    Local,
    /// Neither, or not known.
    Plain,
}

/// What an `ETag` says of a content. As an extension of a result it is what the one in this answer says.
///
/// ```
/// use cloud_core::ETagMeaning;
/// assert_ne!(ETagMeaning::ContentMd5, ETagMeaning::Opaque);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ETagMeaning {
    /// 32 hexadecimal digits are the MD5 of the content unless the object was encrypted by a key of the customer, and other
    /// digits are the content's in some way: two objects with equal `ETag`s are equal, in this store and in any other with this meaning.
    ContentMd5,
    /// It changes when the object is written, and says no more.
    Opaque,
}

/// How far a store's clock is ahead of this machine's, as its last answer had it. Clones share the value.
///
/// ```
/// use cloud_core::ClockSkew;
/// use jiff::SignedDuration;
///
/// let skew = ClockSkew::default();
/// skew.set(SignedDuration::from_secs(-3));
/// assert_eq!(skew.clone().get(), Some(SignedDuration::from_secs(-3)));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ClockSkew(Arc<Mutex<Option<SignedDuration>>>);

impl ClockSkew {
    /// What was measured last.
    pub fn get(&self) -> Option<SignedDuration> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a measurement down.
    pub fn set(&self, ahead: SignedDuration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
    }
}

impl PartialEq for ClockSkew {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for ClockSkew {}

/// Keys that a listing left out because [`Path`] cannot name them without changing them (`a//b`, `../c`, `folder/`).
/// They are reported, never altered. Clones share the list.
///
/// ```
/// use cloud_core::RefusedKeys;
/// let refused = RefusedKeys::default();
/// refused.add("a//b");
/// assert_eq!(refused.take().keys, ["a//b"]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct RefusedKeys(Arc<Mutex<Refused>>);

/// What [`RefusedKeys::take`] hands out.
///
/// ```
/// assert_eq!(cloud_core::Refused::default().count, 0);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// How many there were.
    pub count: u64,
    /// The first 1,000 of them.
    pub keys: Vec<String>,
}

impl RefusedKeys {
    const KEPT: usize = 1000;

    /// Takes one down.
    pub fn add(&self, key: impl Into<String>) {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refused.count += 1;
        if refused.keys.len() < Self::KEPT {
            refused.keys.push(key.into());
        }
    }

    /// What was taken down since the last time.
    pub fn take(&self) -> Refused {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The body of a put as a stream of known length: an extension of `PutOptions`, for stores whose traits say
/// [`streamed_put`](ObjectTraits::streamed_put). The put is given [`stand_in`](Self::stand_in) as its payload, which has the
/// same length and takes no memory; the store sends the stream in its place.
///
/// The stream can be sent once: an attempt that failed has used it up, so the whole put is to be repeated with a new
/// one. Whoever puts checks [`was_taken`](Self::was_taken) afterwards: a store that does not know this extension would have
/// written the stand-in.
///
/// ```
/// use bytes::Bytes;
/// use cloud_core::StreamedBody;
/// use futures::{StreamExt, stream};
///
/// let body = StreamedBody::new(3, stream::iter([Ok(Bytes::from_static(b"abc"))]).boxed());
/// assert_eq!(body.stand_in().content_length(), 3);
/// assert!(!body.was_taken());
/// let stream = body.take();
/// assert!(stream.is_some() && body.take().is_none() && body.was_taken());
/// ```
#[derive(Clone)]
pub struct StreamedBody {
    length: u64,
    stream: Arc<Mutex<Option<BoxStream<'static, io::Result<Bytes>>>>>,
}

impl StreamedBody {
    /// `stream` has to yield exactly `length` bytes, or fail.
    pub fn new(length: u64, stream: BoxStream<'static, io::Result<Bytes>>) -> Self {
        Self { length, stream: Arc::new(Mutex::new(Some(stream))) }
    }

    /// Number of bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// A payload of zeros of the same length, made of one static block many times.
    pub fn stand_in(&self) -> PutPayload {
        const BLOCK: u64 = 1 << 20;
        static ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];
        let block = Bytes::from_static(&ZEROS);
        // Less than a block, so it fits.
        let rest = (self.length % BLOCK) as usize;
        let whole = std::iter::repeat_n(block.clone(), (self.length / BLOCK) as usize);
        whole.chain((rest > 0).then(|| block.slice(..rest))).collect()
    }

    /// The stream, for the store that sends it; `None` if it was taken before.
    pub fn take(&self) -> Option<BoxStream<'static, io::Result<Bytes>>> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether a store took the stream.
    pub fn was_taken(&self) -> bool {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

impl fmt::Debug for StreamedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamedBody").field("length", &self.length).finish_non_exhaustive()
    }
}

/// The MD5 of a content. As an extension of `PutOptions` it asks the store to refuse any other content
/// ([RFC 1864](https://www.rfc-editor.org/rfc/rfc1864)), where the traits say [`put_checks_md5`](ObjectTraits::put_checks_md5);
/// as an extension of a result it is what the store says that the content has.
///
/// ```
/// use cloud_core::ContentMd5;
/// let md5 = ContentMd5::from_e_tag("\"d41d8cd98f00b204e9800998ecf8427e\"").unwrap();
/// assert_eq!(md5.0[0], 0xd4);
/// assert!(ContentMd5::from_e_tag("\"0x8DC\"").is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentMd5(pub [u8; 16]);

impl ContentMd5 {
    /// Reads an `ETag` of 32 lower-case hexadecimal digits, in quotes or not.
    pub fn from_e_tag(e_tag: &str) -> Option<Self> {
        let text = e_tag.trim_matches('"').as_bytes();
        if text.len() != 32 {
            return None;
        }
        let mut md5 = [0; 16];
        for (byte, digits) in md5.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(digits[0])? << 4 | digit(digits[1])?;
        }
        Some(Self(md5))
    }
}

fn digit(text: u8) -> Option<u8> {
    match text {
        b'0'..=b'9' => Some(text - b'0'),
        b'a'..=b'f' => Some(text - b'a' + 10),
        _ => None,
    }
}
