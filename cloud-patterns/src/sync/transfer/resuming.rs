//! The body of an object as a stream that goes on where it broke off, and never mixes two versions of the object.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use cloud_core::{Error, ErrorKind, Result};
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use object_store::{GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore, path::Path};

use super::{helps, verify::corrupt, whole::stalled};

/// How often a body may break off without a byte in between.
const BREAKS: u32 = 5;

struct Body {
    store: Arc<dyn ObjectStore>,
    path: Path,
    meta: ObjectMeta,
    at: u64,
    end: u64,
    stall: Duration,
    stream: Option<BoxStream<'static, object_store::Result<Bytes>>>,
    breaks: u32,
}

/// The bytes from the answer to a read. An item that is an error is the last one; it carries a [`cloud_core::Error`].
pub(super) fn body(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    got: GetResult,
    stall: Duration,
) -> BoxStream<'static, io::Result<Bytes>> {
    let (meta, range) = (got.meta.clone(), got.range.clone());
    let body = Body {
        store: store.clone(),
        path: path.clone(),
        meta,
        at: range.start,
        end: range.end,
        stall,
        stream: Some(got.into_stream()),
        breaks: 0,
    };
    let chunks = stream::try_unfold(body, |mut body| async move {
        match body.next().await {
            Ok(Some(bytes)) => Ok(Some((bytes, body))),
            Ok(None) => Ok(None),
            Err(error) => Err(io::Error::other(error)),
        }
    });
    chunks.boxed()
}

impl Body {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.at == self.end {
                return Ok(None);
            }
            let error = match self.chunk().await {
                Ok(bytes) if self.at + bytes.len() as u64 > self.end => {
                    return Err(corrupt("more bytes came than were announced"));
                }
                Ok(bytes) => {
                    self.at += bytes.len() as u64;
                    self.breaks = 0;
                    return Ok(Some(bytes));
                }
                Err(error) => error,
            };
            self.stream = None;
            self.breaks += 1;
            if self.breaks > BREAKS
                || !helps(error.kind())
                || error.kind() == ErrorKind::PreconditionFailed
            {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(20 << self.breaks)).await;
        }
    }

    async fn chunk(&mut self) -> Result<Bytes> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                none.insert(reopen(&self.store, &self.path, &self.meta, self.at..self.end).await?)
            }
        };
        match tokio::time::timeout(self.stall, stream.next()).await {
            Ok(Some(bytes)) => Ok(bytes?),
            Ok(None) => Err(Error::new(ErrorKind::Unavailable, "the body ended too early")),
            Err(_) => Err(stalled()),
        }
    }
}

async fn reopen(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    meta: &ObjectMeta,
    range: std::ops::Range<u64>,
) -> Result<BoxStream<'static, object_store::Result<Bytes>>> {
    Ok(same_version(store, path, meta, range).await?.into_stream())
}

/// A part of exactly the version of the object that was seen before.
///
/// # Errors
/// [`PreconditionFailed`](ErrorKind::PreconditionFailed) if there is another version now.
pub(super) async fn same_version(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    meta: &ObjectMeta,
    range: std::ops::Range<u64>,
) -> Result<GetResult> {
    let options = GetOptions {
        range: Some(GetRange::Bounded(range.clone())),
        if_match: meta.e_tag.clone(),
        ..GetOptions::default()
    };
    let got = store.get_opts(path, options).await?;
    let same = got.meta.e_tag == meta.e_tag
        && got.meta.last_modified == meta.last_modified
        && got.meta.size == meta.size;
    match same {
        true if got.range == range => Ok(got),
        true => Err(corrupt("the store answered with another part than was asked for")),
        false => Err(Error::new(ErrorKind::PreconditionFailed, "it changed while it was read")),
    }
}

/// The error that a body ended with, as it was.
pub(super) fn inner(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::from(error),
    }
}
