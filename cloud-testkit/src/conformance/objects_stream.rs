//! An object far larger than the memory that it may take, written and read as a stream and compared byte for byte.

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use object_store::{MultipartUpload, ObjectStoreExt, path::Path};
use rand::{Rng, SeedableRng, rngs::Xoshiro256PlusPlus};

use super::{Context, Failure, Harness, Trial, ensure, objects::bucket, trial_list};

pub(super) fn trials() -> Vec<Trial> {
    trial_list! {
        "objects.stream": "an object larger than the memory allowed is streamed both ways, byte for byte", |can| can.storage.is_some() => streamed;
    }
}

const PART: usize = 8 << 20;

/// A piece of the object's contents, made up again wherever it is needed, never kept.
fn piece(number: u64, size: u64) -> Bytes {
    let left = size.saturating_sub(number * PART as u64);
    let mut bytes = BytesMut::zeroed(usize::try_from(left).unwrap_or(PART).min(PART));
    Xoshiro256PlusPlus::seed_from_u64(number).fill_bytes(&mut bytes);
    bytes.freeze()
}

/// The most memory that was in use above what was in use at first.
struct Meter<'a> {
    harness: &'a dyn Harness,
    first: u64,
    peak: u64,
}

impl Meter<'_> {
    fn look(&mut self) {
        let now = self.harness.memory_in_use().unwrap_or(0);
        self.peak = self.peak.max(now.saturating_sub(self.first));
    }
}

async fn streamed(context: &Context<'_>) -> Result<(), Failure> {
    let Some(large) = context.harness.large_object() else {
        return Err(Failure::skip("the harness sets no large object"));
    };
    let Some(first) = context.harness.memory_in_use() else {
        return Err(Failure::skip("the harness does not measure memory"));
    };
    let (_, objects) = bucket(context, "a", false).await?;
    let key = Path::from("huge");
    let mut meter = Meter { harness: context.harness, first, peak: 0 };
    let pieces = large.size.div_ceil(PART as u64);

    let mut upload = objects.put_multipart(&key).await?;
    let mut sent = stream::iter(0..pieces)
        .map(|number| upload.put_part(piece(number, large.size).into()))
        .buffered(2);
    while let Some(part) = sent.next().await {
        part?;
        meter.look();
    }
    drop(sent);
    upload.complete().await?;
    meter.look();
    ensure!(
        objects.head(&key).await?.size == large.size,
        "of {} bytes {} were written",
        large.size,
        objects.head(&key).await?.size
    );

    let mut incoming = objects.get(&key).await?.into_stream();
    let (mut number, mut expected, mut read) = (0, Bytes::new(), 0u64);
    while let Some(chunk) = incoming.next().await {
        let mut chunk = chunk?;
        meter.look();
        while !chunk.is_empty() {
            if expected.is_empty() {
                expected = piece(number, large.size);
                number += 1;
                ensure!(!expected.is_empty(), "more than {} bytes come back", large.size);
            }
            let both = chunk.len().min(expected.len());
            let same = chunk.split_to(both) == expected.split_to(both);
            ensure!(same, "between byte {read} and {} other bytes come back", read + both as u64);
            read += both as u64;
        }
    }
    ensure!(read == large.size, "of {} bytes {read} come back", large.size);
    ensure!(
        meter.peak <= large.memory_limit,
        "streaming {} bytes took {} bytes of memory, {} are allowed",
        large.size,
        meter.peak,
        large.memory_limit
    );
    Ok(())
}
