//! Bodies that are stored compressed, by zstd ([RFC 8878](https://www.rfc-editor.org/rfc/rfc8878)), unless that does not make
//! them smaller.

use std::io::Write as _;

use bytes::Bytes;
use cloud_core::{ContentMd5, Error, ErrorKind, Result};
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    Attribute, Attributes, GetOptions, MultipartUpload, ObjectStore, PutMultipartOptions,
    path::Path,
};

use super::{HELD, Route, Verified, Written, parts, resuming, said, streamed, verify, whole};
use crate::sync::{entry::Tag, policy::Compression};

/// The usual level: about three times faster than a disk, and most of what can be gained.
const LEVEL: i32 = 3;

/// Stored compressed only if it takes at most so much of its size.
const WORTH: f64 = 0.95;

/// How much of a large object tells whether it gets smaller.
const SAMPLE: usize = 1024 * 1024;

/// The size of the parts that are sent.
const PART: usize = 8 * 1024 * 1024;

type Body = BoxStream<'static, std::io::Result<Bytes>>;

pub(super) async fn copy(route: &Route, from: &Path, to: &Path, size: u64) -> Result<Written> {
    let _held = route.gates.memory(size.min(2 * PART as u64)).await;
    route.gates.request().await;
    let got = route.from.store.get_opts(from, GetOptions::default()).await?;
    let source = route.seen(&got.meta);
    let encoded = got.attributes.get(&Attribute::ContentEncoding).is_some_and(|v| !v.is_empty());
    let (attributes, lost_attributes) = route.attributes(&got);
    if encoded {
        // It is compressed already, and a second encoding would be a surprise to its readers.
        return plain(route, from, to, source.size).await;
    }
    let said = said(&got, &source);
    let mut body = resuming::body(&route.from.store, from, got, route.stall);
    let mut passing = verify::Passing::reading(said);
    let first = take(
        route,
        &mut body,
        &mut passing,
        if source.size <= HELD { HELD as usize } else { SAMPLE },
    )
    .await?;
    let packed = zip(first.clone()).await?;
    if packed.len() as f64 > first.len() as f64 * WORTH {
        return plain(route, from, to, source.size).await;
    }
    let attributes = marked(route, attributes);
    if source.size <= HELD {
        verify::check_length(source.size, first.len() as u64)?;
        let read = verify::read(said, passing.finish())?;
        return put(route, to, source, packed, attributes, lost_attributes, read).await;
    }
    let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
    route.gates.request().await;
    let mut upload = route.to.store.put_multipart_opts(to, options).await?;
    let sent = send(route, &mut upload, first, body, (said, passing), &source).await;
    let (bytes, verified) = match sent {
        Ok(sent) => sent,
        Err(error) => {
            let _ = upload.abort().await;
            return Err(error);
        }
    };
    let result = upload.complete().await?;
    Ok(Written { source, result, bytes, verified, lost_attributes })
}

/// As it is, under the name that it has without compression.
async fn plain(route: &Route, from: &Path, to: &Path, size: u64) -> Result<Written> {
    let name = to.as_ref();
    let to = match route.compression {
        Compression::Suffix => Path::parse(name.strip_suffix(".zst").unwrap_or(name))
            .map_err(object_store::Error::from)?,
        _ => to.clone(),
    };
    match size {
        ..=HELD => whole::copy(route, from, &to, size).await,
        _ if route.to.traits.streamed_put => streamed::copy(route, from, &to, size).await,
        _ => parts::copy(route, from, &to, size, None).await,
    }
}

fn marked(route: &Route, mut attributes: Attributes) -> Attributes {
    if route.compression == Compression::ContentEncoding {
        attributes.insert(Attribute::ContentEncoding, "zstd".into());
    }
    attributes
}

async fn put(
    route: &Route,
    to: &Path,
    source: crate::sync::entry::Seen,
    packed: Vec<u8>,
    attributes: Attributes,
    lost_attributes: bool,
    read: bool,
) -> Result<Written> {
    let mut passing = verify::Passing::of_target(&route.to.traits);
    passing.update(&packed);
    let bytes = packed.len() as u64;
    let options = object_store::PutOptions { attributes, ..Default::default() };
    route.gates.request().await;
    let result = route.to.store.put_opts(to, packed.into(), options).await?;
    let wrote = verify::verify(None, &Tag::None, passing.finish(), &route.to.traits, &result)?;
    let verified = match (read, wrote) {
        (true, Verified::OneSide) => Verified::EndToEnd,
        (true, _) => Verified::OneSide,
        (false, wrote) => wrote,
    };
    Ok(Written { source, result, bytes, verified, lost_attributes })
}

/// At most so many bytes of the body; what is over stays in the last chunk.
async fn take(
    route: &Route,
    body: &mut Body,
    passing: &mut verify::Passing,
    most: usize,
) -> Result<Vec<u8>> {
    let mut taken = Vec::new();
    while taken.len() < most {
        let Some(chunk) = body.next().await else { break };
        let chunk = chunk.map_err(resuming::inner)?;
        route.gates.bytes(chunk.len() as u64).await;
        passing.update(&chunk);
        taken.extend_from_slice(&chunk);
    }
    Ok(taken)
}

async fn zip(bytes: Vec<u8>) -> Result<Vec<u8>> {
    const INLINE: usize = 16 * 1024;
    let packed = match bytes.len() {
        ..=INLINE => zstd::bulk::compress(&bytes, LEVEL),
        _ => blocking(move || zstd::bulk::compress(&bytes, LEVEL)).await?,
    };
    packed.map_err(failed)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Error::new(ErrorKind::Internal, format!("compression failed: {e}")))
}

fn failed(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("compression failed: {error}"))
}

/// Compresses as it reads; returns the bytes that were sent and what was verified.
async fn send(
    route: &Route,
    upload: &mut Box<dyn MultipartUpload>,
    first: Vec<u8>,
    mut body: Body,
    (said, mut passing): (Option<ContentMd5>, verify::Passing),
    source: &crate::sync::entry::Seen,
) -> Result<(u64, Verified)> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL).map_err(failed)?;
    let (mut piece, mut read, mut sent) = (first, 0, 0);
    while !piece.is_empty() {
        read += piece.len() as u64;
        let next = blocking(move || encoder.write_all(&piece).map(|()| encoder)).await?;
        encoder = next.map_err(failed)?;
        if encoder.get_ref().len() >= PART {
            let part = std::mem::take(encoder.get_mut());
            sent += part.len() as u64;
            route.gates.request().await;
            upload.put_part(part.into()).await?;
        }
        piece = take(route, &mut body, &mut passing, SAMPLE).await?;
    }
    verify::check_length(source.size, read)?;
    let verified = match verify::read(said, passing.finish())? {
        true => Verified::OneSide,
        false => Verified::Length,
    };
    let last = encoder.finish().map_err(failed)?;
    sent += last.len() as u64;
    upload.put_part(last.into()).await?;
    Ok((sent, verified))
}
