//! A sorted run of agreed entries as bytes: small enough to keep millions of them in a table, fast enough to read them all in each run.
//!
//! A block is a version byte, a CRC-32C of what follows (4 bytes, little-endian), and a zstd frame of the entries. An entry is:
//!
//! | bytes | what |
//! |---|---|
//! | varint, varint, bytes | number of bytes that its key shares with the one before, of the rest, the rest |
//! | 1 | flags: kind of the source's tag, kind of the target's, whether they are the same, whether the sizes are |
//! | varint (, varint) | the source's size (and the target's) |
//! | zigzag, zigzag | the source's time: seconds since that of the entry before, nanoseconds |
//! | zigzag, zigzag | the target's time: seconds since the source's, nanoseconds |
//! | bytes (, bytes) | the source's tag (and the target's): 16 bytes of MD5, or a varint length and text |

use std::io::Read as _;

use cloud_core::{Error, ErrorKind, Result};
use crc_fast::{CrcAlgorithm::Crc32Iscsi, checksum};
use jiff::Timestamp;

use super::entry::{Agreed, Seen, Tag};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 5;
/// Higher levels save little, as half of the bytes are checksums.
const ZSTD_LEVEL: i32 = 1;

/// The most entries of a block.
pub const MAX_BLOCK_ENTRIES: usize = 1 << 16;
/// The most bytes of a key or a tag, far more than any store allows.
const MAX_TEXT_BYTES: usize = 4 << 10;
/// The most bytes before compression.
const MAX_RAW_BYTES: usize = 64 << 20;

const SAME_TAG: u8 = 1 << 4;
const SAME_SIZE: u8 = 1 << 5;
const ALL_FLAGS: u8 = SAME_TAG | SAME_SIZE | 0b1111;

/// Writes entries as a block.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] unless the keys ascend by their bytes, there are at most [`MAX_BLOCK_ENTRIES`] of them in at
/// most 64 MiB, and keys and tags have at most 4 KiB.
///
/// ```
/// use cloud_patterns::sync::{Agreed, Entry, Tag, decode_block, encode_block};
///
/// let entry = Entry { key: "a/b".into(), size: 3, modified: jiff::Timestamp::UNIX_EPOCH, tag: Tag::Md5([7; 16]) };
/// let agreed = [Agreed { key: entry.key.clone(), source: (&entry).into(), target: (&entry).into() }];
/// let block = encode_block(&agreed).unwrap();
/// assert_eq!(decode_block(&block).unwrap(), agreed);
/// ```
pub fn encode(entries: &[Agreed]) -> Result<Vec<u8>> {
    if entries.len() > MAX_BLOCK_ENTRIES {
        return Err(refused(format_args!("has {} entries", entries.len())));
    }
    let mut raw = Vec::with_capacity(entries.len() * 64);
    let mut before: Option<&Agreed> = None;
    for entry in entries {
        write_entry(&mut raw, before, entry)?;
        before = Some(entry);
    }
    if raw.len() > MAX_RAW_BYTES {
        return Err(refused(format_args!("has {} bytes", raw.len())));
    }
    let frame = zstd::bulk::compress(&raw, ZSTD_LEVEL)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("zstd: {error}")))?;
    let mut block = Vec::with_capacity(HEADER_BYTES + frame.len());
    block.push(VERSION);
    block.extend_from_slice(&crc(&frame).to_le_bytes());
    block.extend_from_slice(&frame);
    Ok(block)
}

/// Reads a block.
///
/// # Errors
/// [`ErrorKind::Corrupt`] for anything that [`encode`] did not write, and for a block of a newer version. What is not a block
/// takes no more time and memory than the greatest block does.
///
/// ```
/// use cloud_core::ErrorKind;
/// use cloud_patterns::sync::decode_block;
/// assert_eq!(decode_block(b"no block").unwrap_err().kind(), ErrorKind::Corrupt);
/// ```
pub fn decode(block: &[u8]) -> Result<Vec<Agreed>> {
    let (&[version, a, b, c, d], frame) =
        block.split_first_chunk().ok_or_else(|| corrupt("is cut off"))?;
    if version != VERSION {
        return Err(corrupt(&format!("is of version {version}, not {VERSION}")));
    }
    if crc(frame) != u32::from_le_bytes([a, b, c, d]) {
        return Err(corrupt("does not have its checksum"));
    }
    read_entries(&decompress(frame)?)
}

/// Grows with what is there, not with what the frame says of itself.
fn decompress(frame: &[u8]) -> Result<Vec<u8>> {
    let unreadable = |error| corrupt(&format!("cannot be decompressed: {error}"));
    let mut raw = Vec::with_capacity((frame.len() * 4).min(MAX_RAW_BYTES));
    let decoder = zstd::stream::read::Decoder::with_buffer(frame).map_err(unreadable)?;
    decoder.take(MAX_RAW_BYTES as u64 + 1).read_to_end(&mut raw).map_err(unreadable)?;
    if raw.len() > MAX_RAW_BYTES {
        return Err(corrupt("is too long"));
    }
    Ok(raw)
}

/// CRC-32C.
fn crc(frame: &[u8]) -> u32 {
    // The upper half of a CRC of 32 bits is zero.
    checksum(Crc32Iscsi, frame) as u32
}

fn refused(problem: impl std::fmt::Display) -> Error {
    let accepted = format!(
        "at most {MAX_BLOCK_ENTRIES} entries and {MAX_RAW_BYTES} bytes, of ascending keys; keys and tags of at most {MAX_TEXT_BYTES} bytes"
    );
    Error::invalid("block", problem, accepted)
}

fn corrupt(problem: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("a block of the sync state {problem}"))
}

fn write_entry(raw: &mut Vec<u8>, before: Option<&Agreed>, entry: &Agreed) -> Result<()> {
    let Agreed { key, source, target } = entry;
    let previous_key = before.map_or("", |before| &before.key);
    if before.is_some() && **key <= *previous_key {
        let problem = format_args!("has '{}' after '{}'", key.escape_debug(), previous_key);
        return Err(refused(problem.to_string()));
    }
    let shared = key.bytes().zip(previous_key.bytes()).take_while(|(a, b)| a == b).count();
    if key.len() > MAX_TEXT_BYTES {
        return Err(refused(format_args!("has a key of {} bytes", key.len())));
    }
    write_varint(raw, shared as u64);
    write_varint(raw, (key.len() - shared) as u64);
    raw.extend_from_slice(&key.as_bytes()[shared..]);

    let same_tag = source.tag == target.tag;
    let same_size = source.size == target.size;
    let mut flags = kind(&source.tag) | kind(&target.tag) << 2;
    flags |= if same_tag { SAME_TAG } else { 0 };
    flags |= if same_size { SAME_SIZE } else { 0 };
    raw.push(flags);

    write_varint(raw, source.size);
    if !same_size {
        write_varint(raw, target.size);
    }
    let previous_second = before.map_or(0, |before| before.source.modified.as_second());
    write_time(raw, source.modified, previous_second);
    write_time(raw, target.modified, source.modified.as_second());
    write_tag(raw, &source.tag)?;
    if !same_tag {
        write_tag(raw, &target.tag)?;
    }
    Ok(())
}

/// Two bits.
fn kind(tag: &Tag) -> u8 {
    match tag {
        Tag::None => 0,
        Tag::Md5(_) => 1,
        Tag::Content(_) => 2,
        Tag::Opaque(_) => 3,
    }
}

fn write_tag(raw: &mut Vec<u8>, tag: &Tag) -> Result<()> {
    match tag {
        Tag::None => {}
        Tag::Md5(md5) => raw.extend_from_slice(md5),
        Tag::Content(text) | Tag::Opaque(text) => {
            if text.len() > MAX_TEXT_BYTES {
                return Err(refused(format_args!("has a tag of {} bytes", text.len())));
            }
            write_varint(raw, text.len() as u64);
            raw.extend_from_slice(text.as_bytes());
        }
    }
    Ok(())
}

fn write_time(raw: &mut Vec<u8>, time: Timestamp, previous_second: i64) {
    // Seconds of a Timestamp have 39 bits.
    write_zigzag(raw, time.as_second() - previous_second);
    write_zigzag(raw, time.subsec_nanosecond().into());
}

fn write_zigzag(raw: &mut Vec<u8>, value: i64) {
    write_varint(raw, (value << 1 ^ value >> 63).cast_unsigned());
}

fn write_varint(raw: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        raw.push(value as u8 | 0x80);
        value >>= 7;
    }
    raw.push(value as u8);
}

fn read_entries(raw: &[u8]) -> Result<Vec<Agreed>> {
    let mut reader = Reader(raw);
    let mut entries: Vec<Agreed> = Vec::new();
    let mut key = Vec::new();
    let mut second = 0;
    while !reader.0.is_empty() {
        if entries.len() == MAX_BLOCK_ENTRIES {
            return Err(corrupt("has too many entries"));
        }
        let entry = reader.entry(&mut key, &mut second).ok_or_else(|| {
            corrupt(&format!("has an entry that cannot be read, number {}", entries.len()))
        })?;
        if entries.last().is_some_and(|last| last.key >= entry.key) {
            return Err(corrupt("is out of order"));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// What is left to read. `None` is what no writer wrote.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// `key` and `second` are those of the entry before, and become this entry's.
    fn entry(&mut self, key: &mut Vec<u8>, second: &mut i64) -> Option<Agreed> {
        let shared = self.length()?;
        let rest = self.length()?;
        if shared > key.len() || shared + rest > MAX_TEXT_BYTES {
            return None;
        }
        key.truncate(shared);
        key.extend_from_slice(self.bytes(rest)?);
        let text = std::str::from_utf8(key).ok()?;

        let flags = self.bytes(1)?[0];
        if flags & !ALL_FLAGS != 0 {
            return None;
        }
        let size = self.varint()?;
        let target_size = if flags & SAME_SIZE != 0 { size } else { self.varint()? };
        let modified = self.time(*second)?;
        *second = modified.as_second();
        let target_modified = self.time(*second)?;
        let tag = self.tag(flags & 0b11)?;
        let target_tag =
            if flags & SAME_TAG != 0 { tag.clone() } else { self.tag(flags >> 2 & 0b11)? };
        Some(Agreed {
            key: text.into(),
            source: Seen { size, modified, tag },
            target: Seen { size: target_size, modified: target_modified, tag: target_tag },
        })
    }

    fn tag(&mut self, kind: u8) -> Option<Tag> {
        Some(match kind {
            0 => Tag::None,
            1 => Tag::Md5(self.bytes(16)?.try_into().ok()?),
            2 => Tag::Content(self.text()?.into()),
            _ => Tag::Opaque(self.text()?.into()),
        })
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.length()?;
        std::str::from_utf8(self.bytes(length)?).ok()
    }

    fn time(&mut self, previous_second: i64) -> Option<Timestamp> {
        let second = previous_second.checked_add(self.zigzag()?)?;
        Timestamp::new(second, self.zigzag()?.try_into().ok()?).ok()
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// Of a key or a tag.
    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.varint()?).ok().filter(|length| *length <= MAX_TEXT_BYTES)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.bytes(1)?[0];
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests;
