//! A request's body: collected, decoded, checked.

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_ENCODING, HeaderName, HeaderValue};

use super::checksum::{self, Md5Sum};
use super::content::Content;
use super::refusal::Refusal;
use super::request::Call;

/// The most that one request may carry: S3's limit for a single PUT.
const SIZE_LIMIT: u64 = 5 << 30;

/// A body that arrived whole and as its sender meant it.
pub(crate) struct Payload {
    pub(crate) bytes: Bytes,
    /// As the sender gave it, and checked or trusted.
    pub(crate) given_md5: Option<Md5Sum>,
    pub(crate) checksum: Option<(HeaderName, HeaderValue)>,
}

impl Payload {
    /// Receives the body of `call`; `trust` takes a given MD5 for right.
    pub(crate) async fn receive(
        call: &Call<'_>,
        body: Incoming,
        trust: bool,
    ) -> Result<Self, Refusal> {
        let mut bytes = collect(body).await?;
        let mut trailers = HeaderMap::new();
        if is_chunked(call) {
            (bytes, trailers) = unchunk(bytes)?;
            let announced =
                call.header("x-amz-decoded-content-length").and_then(|length| length.parse().ok());
            if announced.is_some_and(|length: usize| length != bytes.len()) {
                return Err(Refusal::IncompleteBody);
            }
        }
        let mut given_md5 = call.header("content-md5").map(checksum::decode_md5).transpose()?;
        if given_md5.is_some_and(|given| !trust && given != checksum::md5(&bytes)) {
            return Err(Refusal::BadDigest);
        }
        let mut checksum = checksum::verify(call.headers, &bytes)?;
        if checksum.is_none() && !trailers.is_empty() {
            checksum = checksum::verify(&trailers, &bytes)?;
        }
        if let Some(position) = call.corrupt_write {
            bytes = Content::from(bytes).corrupted(position).to_bytes();
            (given_md5, checksum) = (None, None);
        }
        Ok(Self { bytes, given_md5, checksum })
    }

    /// The MD5 of what is stored; computed unless it is known.
    pub(crate) fn md5(&self) -> Md5Sum {
        self.given_md5.unwrap_or_else(|| checksum::md5(&self.bytes))
    }
}

/// The whole body in one piece of its exact size, so that no buffer of the connection stays alive for it.
pub(crate) async fn collect(mut body: Incoming) -> Result<Bytes, Refusal> {
    let announced = body.size_hint().exact().unwrap_or_default();
    if announced > SIZE_LIMIT {
        return Err(Refusal::Invalid("the body is over 5 GiB"));
    }
    let mut whole = BytesMut::with_capacity(announced as usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::IncompleteBody)?;
        if let Ok(data) = frame.into_data() {
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.freeze())
}

/// Whether the body is in chunks of the `aws-chunked` encoding.
fn is_chunked(call: &Call<'_>) -> bool {
    call.header("x-amz-content-sha256").is_some_and(|hash| hash.starts_with("STREAMING-"))
        || call
            .header(CONTENT_ENCODING.as_str())
            .is_some_and(|encoding| encoding.contains("aws-chunked"))
}

/// The data in a body of `SIZE[;extensions]\r\nDATA\r\n…0\r\n[trailer:value\r\n…]\r\n`, and its trailers.
fn unchunk(mut body: Bytes) -> Result<(Bytes, HeaderMap), Refusal> {
    let mut content = Content::default();
    loop {
        let line = take_line(&mut body)?;
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let size = std::str::from_utf8(size)
            .ok()
            .and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        let size = size.ok_or(Refusal::IncompleteBody)?;
        if size == 0 {
            break;
        }
        if body.len() < size.saturating_add(2) {
            return Err(Refusal::IncompleteBody);
        }
        content.push(body.split_to(size));
        body.advance(2);
    }
    let mut trailers = HeaderMap::new();
    while !body.is_empty() {
        let line = take_line(&mut body)?;
        let text = std::str::from_utf8(&line).map_err(|_| Refusal::IncompleteBody)?;
        if let Some((name, value)) = text.split_once(':') {
            let name = HeaderName::from_bytes(name.trim().as_bytes())
                .map_err(|_| Refusal::IncompleteBody)?;
            let value = HeaderValue::from_str(value.trim()).map_err(|_| Refusal::IncompleteBody)?;
            trailers.insert(name, value);
        }
    }
    Ok((content.to_bytes(), trailers))
}

fn take_line(body: &mut Bytes) -> Result<Bytes, Refusal> {
    let end = body.windows(2).position(|pair| pair == b"\r\n").ok_or(Refusal::IncompleteBody)?;
    let line = body.split_to(end);
    body.advance(2);
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn broken_chunks_are_refused() {
        for broken in
            ["", "5\r\nabc", "5\r\nabc\r\n0\r\n\r\n", "x\r\n\r\n", "ffffffffffffffff\r\nabc\r\n"]
        {
            assert!(unchunk(Bytes::from_static(broken.as_bytes())).is_err(), "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn chunks_are_put_together(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6)) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend(format!("{:x};chunk-signature=0\r\n", chunk.len()).bytes());
                body.extend(chunk);
                body.extend(b"\r\n");
            }
            body.extend(b"0\r\nx-amz-checksum-crc32: AAAA\r\n\r\n");
            let (data, trailers) = unchunk(body.into()).unwrap();
            prop_assert_eq!(&data[..], chunks.concat());
            prop_assert_eq!(trailers.get("x-amz-checksum-crc32").unwrap(), "AAAA");
        }
    }
}
