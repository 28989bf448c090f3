//! What is recorded of an object: its contents' file, size, time and metadata.

use std::collections::BTreeMap;

use cloud_core::{Error, ErrorKind, Result};
use jiff::Timestamp;
use object_store::{Attribute, Attributes, ObjectMeta, path::Path};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One version of an object; in a bucket without versions, the only one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) key: String,
    /// A version 7 UUID, so that the versions of a key are ordered by age.
    pub(super) version: String,
    /// The file of its contents; another for every write.
    pub(super) contents: String,
    pub(super) size: u64,
    pub(super) modified: Timestamp,
    attributes: BTreeMap<String, String>,
    /// It records a deletion and has no contents.
    pub(super) delete_marker: bool,
}

/// Contents that are written and that no key names yet.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) key: Path,
    pub(super) contents: Uuid,
    pub(super) size: u64,
    pub(super) attributes: BTreeMap<String, String>,
}

impl Entry {
    pub(super) fn new(draft: Draft, version: Uuid) -> Self {
        Self {
            key: draft.key.to_string(),
            version: version.simple().to_string(),
            contents: draft.contents.simple().to_string(),
            size: draft.size,
            modified: Timestamp::now(),
            attributes: draft.attributes,
            delete_marker: false,
        }
    }

    pub(super) fn delete_marker(key: &Path, version: Uuid) -> Self {
        let nothing =
            Draft { key: key.clone(), contents: Uuid::nil(), size: 0, attributes: BTreeMap::new() };
        Self { delete_marker: true, ..Self::new(nothing, version) }
    }

    /// The same contents and metadata under another key.
    pub(super) fn copied(&self, key: &Path) -> Draft {
        Draft {
            key: key.clone(),
            contents: Uuid::new_v4(),
            size: self.size,
            attributes: self.attributes.clone(),
        }
    }

    /// A name of the contents: they never change under one.
    pub(super) fn e_tag(&self) -> String {
        format!("\"{}\"", self.contents)
    }

    pub(super) fn location(&self) -> Result<Path> {
        Path::parse(&self.key).map_err(|e| {
            Error::new(ErrorKind::Corrupt, format!("a bucket records an impossible key: {e}"))
        })
    }

    pub(super) fn meta(&self, versioned: bool) -> Result<ObjectMeta> {
        Ok(ObjectMeta {
            location: self.location()?,
            last_modified: std::time::SystemTime::from(self.modified).into(),
            size: self.size,
            e_tag: Some(self.e_tag()),
            version: versioned.then(|| self.version.clone()),
        })
    }

    pub(super) fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::new();
        for (name, value) in &self.attributes {
            attributes.insert(decode(name), value.clone().into());
        }
        attributes
    }
}

/// User metadata has this in front of its key.
const USER: &str = "user:";

/// Attributes as they are recorded.
pub(super) fn encode(attributes: &Attributes) -> Result<BTreeMap<String, String>> {
    attributes
        .iter()
        .map(|(attribute, value)| {
            let name = match attribute {
                Attribute::ContentDisposition => "content-disposition",
                Attribute::ContentEncoding => "content-encoding",
                Attribute::ContentLanguage => "content-language",
                Attribute::ContentType => "content-type",
                Attribute::CacheControl => "cache-control",
                Attribute::StorageClass => "storage-class",
                Attribute::Metadata(key) => return Ok((format!("{USER}{key}"), value.to_string())),
                other => return Err(Error::unsupported(format_args!("the attribute {other:?}"))),
            };
            Ok((name.to_owned(), value.to_string()))
        })
        .collect()
}

fn decode(name: &str) -> Attribute {
    match name {
        "content-disposition" => Attribute::ContentDisposition,
        "content-encoding" => Attribute::ContentEncoding,
        "content-language" => Attribute::ContentLanguage,
        "content-type" => Attribute::ContentType,
        "cache-control" => Attribute::CacheControl,
        "storage-class" => Attribute::StorageClass,
        other => {
            let key = other.strip_prefix(USER).unwrap_or(other).to_owned();
            Attribute::Metadata(key.into())
        }
    }
}
