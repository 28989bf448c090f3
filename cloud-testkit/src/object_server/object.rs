//! A stored object: its bytes, its validators and the headers that go with it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;
use cloud_core::Error;
use hyper::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE,
    HeaderName, HeaderValue,
};

use super::Dialect;
use super::content::Content;

/// What goes with an object's bytes.
///
/// ```
/// use cloud_testkit::object_server::ObjectAttributes;
///
/// let attributes = ObjectAttributes {
///     content_type: Some("text/plain".into()),
///     metadata: [("owner".into(), "ada".into())].into(),
///     ..ObjectAttributes::default()
/// };
/// assert!(attributes.tags.is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectAttributes {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// The user's metadata, names without the dialect's prefix.
    pub metadata: BTreeMap<String, String>,
    /// Object tags.
    pub tags: BTreeMap<String, String>,
    /// When it was last changed; `None` takes the moment of the put, by the server's clock.
    pub modified: Option<SystemTime>,
}

/// An object as the server holds it.
#[derive(Clone)]
pub struct StoredObject {
    pub(crate) content: Content,
    /// Quoted.
    pub(crate) etag: HeaderValue,
    pub(crate) md5: Option<[u8; 16]>,
    pub(crate) modified: SystemTime,
    pub(crate) created: SystemTime,
    /// Content headers and metadata as they are answered.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) tags: BTreeMap<String, String>,
    /// The S3 checksum that came with it.
    pub(crate) checksum: Option<(HeaderName, HeaderValue)>,
    /// The blocks of an Azure block list, in order.
    pub(crate) blocks: Vec<(String, Bytes)>,
    /// Set in a bucket that keeps versions.
    pub(crate) version: Option<u64>,
}

impl StoredObject {
    /// Its bytes, in one piece.
    pub fn body(&self) -> Bytes {
        self.content.to_bytes()
    }

    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.content.len()
    }

    /// Its ETag, without quotes.
    pub fn etag(&self) -> &str {
        self.etag.to_str().unwrap_or_default().trim_matches('"')
    }

    /// The MD5 of its bytes, if the service knows it: not after a multipart upload.
    pub fn md5(&self) -> Option<[u8; 16]> {
        self.md5
    }

    /// When it was last changed, by the server's clock.
    pub fn modified(&self) -> SystemTime {
        self.modified
    }

    /// `Content-Type`, if one was given.
    pub fn content_type(&self) -> Option<&str> {
        self.header(&CONTENT_TYPE)
    }

    /// `Content-Encoding`, if one was given.
    pub fn content_encoding(&self) -> Option<&str> {
        self.header(&CONTENT_ENCODING)
    }

    /// The user's metadata, names in lower case without the dialect's prefix.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let named = |(name, value): &(HeaderName, HeaderValue)| {
            let name = metadata_name(name)?.to_owned();
            Some((name, String::from_utf8_lossy(value.as_bytes()).into_owned()))
        };
        self.headers.iter().filter_map(named).collect()
    }

    /// Its tags.
    pub fn tags(&self) -> &BTreeMap<String, String> {
        &self.tags
    }

    /// All its attributes, in the form in which they are given.
    pub fn attributes(&self) -> ObjectAttributes {
        let owned = |name| self.header(&name).map(str::to_owned);
        ObjectAttributes {
            content_type: owned(CONTENT_TYPE),
            content_encoding: owned(CONTENT_ENCODING),
            content_language: owned(CONTENT_LANGUAGE),
            content_disposition: owned(CONTENT_DISPOSITION),
            cache_control: owned(CACHE_CONTROL),
            metadata: self.metadata(),
            tags: self.tags.clone(),
            modified: Some(self.modified),
        }
    }

    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .and_then(|(_, value)| value.to_str().ok())
    }
}

impl fmt::Debug for StoredObject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StoredObject")
            .field("size", &self.size())
            .field("etag", &self.etag())
            .field("modified", &self.modified)
            .field("headers", &self.headers)
            .field("tags", &self.tags)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// The name of a metadata header without its prefix.
pub(crate) fn metadata_name(header: &HeaderName) -> Option<&str> {
    let name = header.as_str();
    [Dialect::S3, Dialect::Azure]
        .iter()
        .find_map(|dialect| name.strip_prefix(dialect.metadata_prefix()))
}

/// The headers that stand for `attributes`.
///
/// # Errors
/// `invalid_input` for what cannot be a header.
pub(crate) fn headers_of(
    attributes: &ObjectAttributes,
    dialect: Dialect,
) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
    let value = |field: &str, text: &str| {
        HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
            Error::invalid(field, "holds control characters", "the value of an HTTP header")
        })
    };
    let mut headers = Vec::new();
    for (name, text) in [
        (CONTENT_TYPE, &attributes.content_type),
        (CONTENT_ENCODING, &attributes.content_encoding),
        (CONTENT_LANGUAGE, &attributes.content_language),
        (CONTENT_DISPOSITION, &attributes.content_disposition),
        (CACHE_CONTROL, &attributes.cache_control),
    ] {
        if let Some(text) = text {
            let value = value(name.as_str(), text)?;
            headers.push((name, value));
        }
    }
    for (name, text) in &attributes.metadata {
        let header = format!("{}{}", dialect.metadata_prefix(), name.to_ascii_lowercase());
        let header = HeaderName::from_bytes(header.as_bytes()).map_err(|_| {
            Error::invalid("metadata", format_args!("has the name {name:?}"), "a token of HTTP")
        })?;
        headers.push((header, value("metadata", text)?));
    }
    Ok(headers)
}
