//! MD5 and the additional checksums of S3.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm::{Crc32Iscsi, Crc32IsoHdlc, Crc64Nvme};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use md5::{Digest, Md5};
use sha2::Sha256;

use super::refusal::Refusal;

pub(crate) type Md5Sum = [u8; 16];

/// Gives the checksum of a body as its header has it.
type Algorithm = fn(&[u8]) -> String;

/// The additional checksums that are checked; any other is neither checked nor kept.
const ALGORITHMS: [(&str, Algorithm); 4] = [
    ("x-amz-checksum-crc64nvme", |body| encode(&crc_fast::checksum(Crc64Nvme, body).to_be_bytes())),
    ("x-amz-checksum-crc32c", |body| {
        encode(&(crc_fast::checksum(Crc32Iscsi, body) as u32).to_be_bytes())
    }),
    ("x-amz-checksum-crc32", |body| {
        encode(&(crc_fast::checksum(Crc32IsoHdlc, body) as u32).to_be_bytes())
    }),
    ("x-amz-checksum-sha256", |body| encode(&Sha256::digest(body))),
];

pub(crate) fn md5(body: &[u8]) -> Md5Sum {
    Md5::digest(body).into()
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The MD5 in a `Content-MD5` header.
pub(crate) fn decode_md5(text: &str) -> Result<Md5Sum, Refusal> {
    let bytes = STANDARD.decode(text).map_err(|_| Refusal::InvalidDigest)?;
    bytes.try_into().map_err(|_| Refusal::InvalidDigest)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// An ETag as its header has it.
pub(crate) fn quoted(tag: &str) -> HeaderValue {
    HeaderValue::try_from(format!("\"{tag}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Checks the checksum that headers or trailers give for `body`, and returns it.
pub(crate) fn verify(
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Option<(HeaderName, HeaderValue)>, Refusal> {
    for (name, compute) in ALGORITHMS {
        if let Some(given) = headers.get(name) {
            if given.as_bytes() != compute(body).as_bytes() {
                return Err(Refusal::BadChecksum);
            }
            return Ok(Some((HeaderName::from_static(name), given.clone())));
        }
    }
    Ok(None)
}
