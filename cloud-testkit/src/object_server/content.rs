//! The bytes of an object: shared segments that are never copied to be served.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

/// What an object holds, as one or more shared pieces.
///
/// A completed multipart upload keeps its parts as they came; many filled objects share one piece.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    segments: SmallVec<[Bytes; 1]>,
    len: u64,
}

impl Content {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn segments(&self) -> &[Bytes] {
        &self.segments
    }

    pub(crate) fn push(&mut self, segment: Bytes) {
        if !segment.is_empty() {
            self.len += segment.len() as u64;
            self.segments.push(segment);
        }
    }

    /// The part of it in `range`, which must lie within it.
    pub(crate) fn slice(&self, range: Range<u64>) -> Self {
        let mut slice = Self::default();
        let mut start = 0;
        for segment in &self.segments {
            let end = start + segment.len() as u64;
            let (from, to) = (range.start.max(start), range.end.min(end));
            if from < to {
                slice.push(segment.slice((from - start) as usize..(to - start) as usize));
            }
            start = end;
        }
        slice
    }

    /// All of it in one piece; copies only if there are several.
    pub(crate) fn to_bytes(&self) -> Bytes {
        match self.segments.as_slice() {
            [] => Bytes::new(),
            [only] => only.clone(),
            several => {
                let mut whole = BytesMut::with_capacity(self.len as usize);
                several.iter().for_each(|segment| whole.extend_from_slice(segment));
                whole.freeze()
            }
        }
    }

    /// The same with one bit of the byte at `position` (modulo its length) turned over.
    pub(crate) fn corrupted(&self, position: u64) -> Self {
        if self.len == 0 {
            return self.clone();
        }
        let position = position % self.len;
        let mut flipped = BytesMut::from(self.slice(position..position + 1).to_bytes().as_ref());
        flipped[0] ^= 0x10;
        let mut corrupted = self.slice(0..position);
        corrupted.push(flipped.freeze());
        self.slice(position + 1..self.len)
            .segments
            .into_iter()
            .for_each(|rest| corrupted.push(rest));
        corrupted
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        let mut content = Self::default();
        content.push(bytes);
        content
    }
}
