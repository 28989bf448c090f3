//! What a sync knows of an object: its key, size, time and tag on one side, and what was the same on both when last seen.

use cloud_core::{ContentMd5, ETagMeaning};
use jiff::Timestamp;
use object_store::ObjectMeta;
use serde::{Deserialize, Serialize};

/// An object on one side, its key relative to the location's prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key below the prefix.
    pub key: Box<str>,
    /// Bytes.
    pub size: u64,
    /// When it was last written, by the store's clock.
    pub modified: Timestamp,
    /// What changes when it is written.
    pub tag: Tag,
}

/// What tells one content of an object from another.
///
/// ```
/// use cloud_core::ETagMeaning;
/// use cloud_patterns::sync::Tag;
///
/// let a = Tag::new(Some("\"d41d8cd98f00b204e9800998ecf8427e\""), ETagMeaning::ContentMd5);
/// assert!(matches!(a, Tag::Md5(_)));
/// assert!(a.same_content(&a.clone()));
/// assert!(!Tag::Opaque("0x8D".into()).same_content(&Tag::Opaque("0x8D".into())));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Tag {
    /// The MD5 of the content.
    Md5([u8; 16]),
    /// Derived from the content, by a rule that both sides share only if the parts were the same (`…-12`).
    Content(Box<str>),
    /// Changes with every write and says nothing about the content. Without its quotes, which stores write in some answers only.
    Opaque(Box<str>),
    /// The store gave none: only size and time are known.
    None,
}

impl Tag {
    /// Reads an `ETag`.
    pub fn new(e_tag: Option<&str>, meaning: ETagMeaning) -> Self {
        let Some(e_tag) = e_tag.filter(|text| !text.is_empty()) else {
            return Self::None;
        };
        if meaning == ETagMeaning::Opaque {
            return Self::Opaque(e_tag.trim_matches('"').into());
        }
        match ContentMd5::from_e_tag(e_tag) {
            Some(md5) => Self::Md5(md5.0),
            None => Self::Content(e_tag.trim_matches('"').into()),
        }
    }

    /// Whether the contents are surely the same, by the tags alone. `false` says nothing.
    pub fn same_content(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Md5(a), Self::Md5(b)) => a == b,
            (Self::Content(a), Self::Content(b)) => a == b,
            _ => false,
        }
    }

    /// The MD5, if that is what it is.
    pub fn md5(&self) -> Option<ContentMd5> {
        match self {
            Self::Md5(md5) => Some(ContentMd5(*md5)),
            _ => None,
        }
    }
}

/// What was on a side when the two sides were last known to agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Bytes.
    pub size: u64,
    /// When it was written.
    pub modified: Timestamp,
    /// Its tag.
    pub tag: Tag,
}

impl Seen {
    /// Whether the object is still the one that was seen. Without a tag, size and time decide.
    pub fn is(&self, entry: &Entry) -> bool {
        self.size == entry.size
            && match (&self.tag, &entry.tag) {
                (Tag::None, Tag::None) => self.modified == entry.modified,
                (seen, now) => seen == now,
            }
    }
}

impl From<&Entry> for Seen {
    fn from(entry: &Entry) -> Self {
        Self { size: entry.size, modified: entry.modified, tag: entry.tag.clone() }
    }
}

/// Source and target of one key when they were last the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The key below the prefixes.
    pub key: Box<str>,
    /// What was at the source.
    pub source: Seen,
    /// What was at the target.
    pub target: Seen,
}

impl Entry {
    /// From a listing; `key` is the location below the prefix.
    pub fn new(key: &str, meta: &ObjectMeta, meaning: ETagMeaning) -> Self {
        // An object_store time is always in the range of a Timestamp: both are of the years -9999 to 9999.
        let nanos = i128::from(meta.last_modified.timestamp()) * 1_000_000_000
            + i128::from(meta.last_modified.timestamp_subsec_nanos());
        let modified = Timestamp::from_nanosecond(nanos).unwrap_or(Timestamp::MIN);
        Self {
            key: key.into(),
            size: meta.size,
            modified,
            tag: Tag::new(meta.e_tag.as_deref(), meaning),
        }
    }
}
