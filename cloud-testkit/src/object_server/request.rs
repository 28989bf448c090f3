//! A request, taken apart: which bucket and key it is about, and what it asks.

use std::borrow::Cow;
use std::fmt;

use hyper::{HeaderMap, Method};
use percent_encoding::percent_decode_str;

use super::refusal::Refusal;

/// What a request does, whatever the dialect calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Writes an object in one request.
    Put,
    /// Reads an object or a range of it.
    Get,
    /// Reads an object's attributes.
    Head,
    /// Removes one object.
    Delete,
    /// Removes many objects.
    DeleteMany,
    /// Copies an object within the server.
    Copy,
    /// Lists objects or their versions.
    List,
    /// Starts a multipart upload.
    StartUpload,
    /// Writes a part or block.
    PutPart,
    /// Makes an object of parts or blocks.
    Complete,
    /// Gives a multipart upload up.
    Abort,
    /// Anything about a bucket or container as a whole but its listing.
    Bucket,
    /// Reads or writes tags, block lists, services.
    Other,
}

/// What a test hook sees of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestInfo<'a> {
    /// Counts the requests of this server from 1.
    pub number: u64,
    /// What it does.
    pub operation: Operation,
    /// Its HTTP method.
    pub method: &'a str,
    /// The bucket or container; empty for the service itself.
    pub bucket: &'a str,
    /// The key or blob name; empty for a bucket.
    pub key: &'a str,
    /// The `Range` asked for.
    pub range: Option<&'a str>,
    /// For a listing: which of its pages, from 0. A listing by bare keys (S3's first version) always has page 0.
    pub page: Option<u32>,
}

/// A request's target and headers.
pub(crate) struct Call<'a> {
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) bucket: Cow<'a, str>,
    pub(crate) key: Cow<'a, str>,
    pub(crate) query: Query<'a>,
    /// Set to store its body with a byte turned over.
    pub(crate) corrupt_write: Option<u64>,
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}/{}", self.method, self.bucket, self.key)
    }
}

impl<'a> Call<'a> {
    /// `path` is `/BUCKET/KEY`, each byte of the key as it came or percent-encoded.
    pub(crate) fn parse(
        method: &'a Method,
        headers: &'a HeaderMap,
        path: &'a str,
        query: Option<&'a str>,
    ) -> Result<Self, Refusal> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        Ok(Self {
            method,
            headers,
            bucket: decode(bucket)?,
            key: decode(key)?,
            query: Query::parse(query.unwrap_or_default())?,
            corrupt_write: None,
        })
    }

    /// A header's value; `None` also if it is no visible ASCII.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Decoded parameters, in their order.
#[derive(Debug, Default)]
pub(crate) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Refusal> {
        let pair = |pair: &'a str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((form_decode(name)?, form_decode(value)?))
        };
        text.split('&')
            .filter(|pair| !pair.is_empty())
            .map(pair)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_ref())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }
}

/// Undoes percent-encoding.
pub(crate) fn decode(text: &str) -> Result<Cow<'_, str>, Refusal> {
    percent_decode_str(text).decode_utf8().map_err(|_| Refusal::InvalidUri)
}

/// Undoes the encoding of forms, where a plus stands for a blank.
pub(crate) fn form_decode(text: &str) -> Result<Cow<'_, str>, Refusal> {
    if text.contains('+') {
        let blanks = text.replace('+', " ");
        return Ok(Cow::Owned(decode(&blanks)?.into_owned()));
    }
    decode(text)
}
