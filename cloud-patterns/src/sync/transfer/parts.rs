//! The largest objects: parts read and written side by side, as many as the memory holds.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use cloud_core::{ContentMd5, ETagMeaning, Error, ErrorKind, Result};
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, FuturesUnordered},
};
use md5::{Digest as _, Md5};
use object_store::{
    GetOptions, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutResult,
    path::Path,
};

use super::{Route, Verified, Written, check_listed, resuming, said, verify};
use crate::sync::entry::Tag;

const MIB: u64 = 1024 * 1024;

/// The part size unless the object asks for another; stores take 5 MiB at least and 10,000 parts at most.
const PART: u64 = 8 * MIB;
const MOST_PARTS: u64 = 10_000;

/// How many parts of one object are on their way at once.
const AT_ONCE: u64 = 8;

/// The part sizes of widespread clients. An object that was written in parts of one of them gets the same ETag again only if
/// it is written so again.
const USUAL: [u64; 12] = [5, 8, 10, 15, 16, 20, 25, 32, 50, 64, 100, 128];

/// How often the part size of the source is guessed: a wrong `ETag` at the target says that the guess was wrong, or a byte.
pub(super) const GUESSES: u32 = 2;

/// Copies in parts as large as those of the object with the given tag.
pub(super) async fn copy(
    route: &Route,
    from: &Path,
    to: &Path,
    size: u64,
    tag: Option<&Tag>,
) -> Result<Written> {
    route.gates.request().await;
    let head = GetOptions { head: true, ..GetOptions::default() };
    let got = route.from.store.get_opts(from, head).await?;
    check_listed(size, &got.meta)?;
    let (attributes, lost_attributes) = route.attributes(&got);
    let source = route.seen(&got.meta);
    let said = said(&got, &source);
    let kept = tag
        .and_then(|tag| kept_part_size(tag, size))
        .filter(|_| route.to.traits.e_tag == ETagMeaning::ContentMd5);
    let part = kept.unwrap_or_else(|| PART.max(size.div_ceil(MOST_PARTS).next_multiple_of(MIB)));
    let hashes = Hashes {
        whole: said.map(|_| Md5::new()),
        parts: (kept.is_none() && route.to.traits.e_tag == ETagMeaning::ContentMd5).then(Vec::new),
    };

    let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
    route.gates.request().await;
    let mut upload = route.to.store.put_multipart_opts(to, options).await?;
    let sent = send(route, from, &got.meta, part, &mut upload, hashes).await;
    let (result, hashes) = match sent {
        Ok(sent) => sent,
        Err(error) => {
            // What is left of it is only to be paid for; the error that counts is the first.
            let _ = upload.abort().await;
            return Err(error);
        }
    };
    let verified = hashes.verify(said, &source.tag, &result)?;
    if kept.is_some() && verified != Verified::EndToEnd {
        return Err(verify::corrupt(
            "the target's ETag is not the source's although the parts are as many",
        ));
    }
    Ok(Written { bytes: source.size, source, result, verified, lost_attributes })
}

/// The size of the parts in which the source was probably written.
fn kept_part_size(tag: &Tag, size: u64) -> Option<u64> {
    let Tag::Content(text) = tag else {
        return None;
    };
    let parts: u64 = text.rsplit_once('-')?.1.parse().ok()?;
    USUAL.into_iter().map(|mib| mib * MIB).find(|part| size.div_ceil(*part) == parts)
}

async fn send(
    route: &Route,
    from: &Path,
    meta: &ObjectMeta,
    part: u64,
    upload: &mut Box<dyn MultipartUpload>,
    mut hashes: Hashes,
) -> Result<(PutResult, Hashes)> {
    let ranges = (0..meta.size.div_ceil(part))
        .map(|n| n * part..(n * part).saturating_add(part).min(meta.size));
    let at_once = (route.gates.capacity() / part).clamp(1, AT_ONCE) as usize;
    let reads = ranges.map(|range| async move {
        let held = route.gates.memory(part).await;
        let chunks = read(route, from, meta, range).await?;
        Ok::<_, Error>((held, chunks))
    });
    let mut reads = stream::iter(reads).buffered(at_once);
    let mut writes = FuturesUnordered::new();
    let mut reading = true;
    while reading || !writes.is_empty() {
        tokio::select! {
            read = reads.try_next(), if reading => match read? {
                Some((held, chunks)) => {
                    hashes = hashes.update(&chunks).await?;
                    route.gates.request().await;
                    let write = upload.put_part(chunks.into_iter().collect());
                    writes.push(holding(write, held));
                }
                None => reading = false,
            },
            Some(written) = writes.next() => written?,
        }
    }
    Ok((upload.complete().await?, hashes))
}

async fn holding<T>(write: impl Future<Output = object_store::Result<()>>, held: T) -> Result<()> {
    let written = write.await;
    drop(held);
    Ok(written?)
}

async fn read(
    route: &Route,
    from: &Path,
    meta: &ObjectMeta,
    range: std::ops::Range<u64>,
) -> Result<Vec<Bytes>> {
    let length = range.end - range.start;
    route.gates.request().await;
    let got = resuming::same_version(&route.from.store, from, meta, range).await?;
    let body = resuming::body(&route.from.store, from, got, route.stall);
    let chunks: Vec<Bytes> = body.try_collect().await.map_err(resuming::inner)?;
    let got = chunks.iter().map(|chunk| chunk.len() as u64).sum();
    verify::check_length(length, got)?;
    route.gates.bytes(got).await;
    Ok(chunks)
}

/// What has to be computed to know that everything arrived: the MD5 of the whole if the source says it, the MD5 of each part if
/// the target's ETag is made of them.
struct Hashes {
    whole: Option<Md5>,
    parts: Option<Vec<[u8; 16]>>,
}

impl Hashes {
    async fn update(mut self, chunks: &[Bytes]) -> Result<Self> {
        if self.whole.is_none() && self.parts.is_none() {
            return Ok(self);
        }
        let chunks: Arc<[Bytes]> = chunks.into();
        let hashed = tokio::task::spawn_blocking(move || {
            let mut part = Md5::new();
            for chunk in chunks.iter() {
                self.whole.iter_mut().for_each(|whole| whole.update(chunk));
                if self.parts.is_some() {
                    part.update(chunk);
                }
            }
            if let Some(parts) = &mut self.parts {
                parts.push(part.finalize().into());
            }
            self
        });
        hashed.await.map_err(|e| Error::new(ErrorKind::Internal, format!("hashing failed: {e}")))
    }

    fn verify(
        self,
        said: Option<ContentMd5>,
        source: &Tag,
        result: &PutResult,
    ) -> Result<Verified> {
        let target = Tag::new(result.e_tag.as_deref(), ETagMeaning::ContentMd5);
        let whole = self.whole.map(|whole| ContentMd5(whole.finalize().into()));
        let read = match verify::read(said, whole)? {
            true => Verified::OneSide,
            false if source.same_content(&target) => Verified::EndToEnd,
            false => Verified::Length,
        };
        let Some(parts) = self.parts else {
            return Ok(read);
        };
        let Tag::Content(text) = &target else {
            return Ok(read);
        };
        let mut all = Md5::new();
        parts.iter().for_each(|part| all.update(part));
        let digits: String = all.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if **text != format!("{digits}-{}", parts.len()) {
            return Err(verify::corrupt("what the target says that it has is not what was sent"));
        }
        Ok(match read {
            Verified::Length => Verified::OneSide,
            _ => Verified::EndToEnd,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_size_of_the_source_is_found_again() {
        let tag = |parts| Tag::Content(format!("00-{parts}").into());
        assert_eq!(kept_part_size(&tag(13), 100 * MIB), Some(8 * MIB));
        assert_eq!(kept_part_size(&tag(20), 100 * MIB), Some(5 * MIB));
        assert_eq!(kept_part_size(&tag(3), 100 * MIB), None);
        assert_eq!(kept_part_size(&Tag::Md5([0; 16]), 100 * MIB), None);
    }
}
