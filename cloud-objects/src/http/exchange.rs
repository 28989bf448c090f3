//! What travels beside a request and its answer: the extensions, the clock, and what a listing may not name.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use cloud_core::{
    ClockSkew, ContentMd5, ETagMeaning, Effect, Error, ErrorKind, RefusedKeys, Retry, StreamedBody,
};
use futures::StreamExt;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, request, response,
};
use http_body_util::BodyExt;
use jiff::SignedDuration;
use object_store::client::{
    HttpError, HttpErrorKind, HttpRequestBody, HttpResponse, HttpResponseBody,
};

use super::{
    body::{Content, ResponseBody, Streamed},
    connector::Dialect,
    error::Problem,
};
use crate::guard;

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
const GOOG_HASH: HeaderName = HeaderName::from_static("x-goog-hash");

/// What the answers of a store are looked at for.
pub(crate) struct Observed {
    clock: ClockSkew,
    refused: RefusedKeys,
    since: Instant,
    /// In seconds of `since`, when the clock is to be looked at again.
    next_look: AtomicU64,
}

impl Observed {
    /// Seconds between two looks at a store's clock.
    const LOOK: u64 = 60;

    pub(crate) fn new(clock: ClockSkew, refused: RefusedKeys) -> Self {
        Self { clock, refused, since: Instant::now(), next_look: AtomicU64::new(0) }
    }

    fn look_at_clock(&self, headers: &HeaderMap) {
        let now = self.since.elapsed().as_secs();
        if now < self.next_look.load(Ordering::Relaxed) {
            return;
        }
        let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
        if let Some(date) = date.and_then(|date| httpdate::parse_http_date(date).ok()) {
            self.next_look.store(now + Self::LOOK, Ordering::Relaxed);
            // The header leaves out a fraction of a second: half of one on average.
            let date = date + Duration::from_millis(500);
            let ahead = match date.duration_since(SystemTime::now()) {
                Ok(ahead) => SignedDuration::try_from(ahead),
                Err(behind) => SignedDuration::try_from(behind.duration()).map(|behind| -behind),
            };
            if let Ok(ahead) = ahead {
                self.clock.set(ahead);
            }
        }
    }
}

/// What is done with the answer to a request, as far as the request decides it.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Purpose {
    Listing,
    StreamedPut,
    Other,
}

/// What is to be sent for a request, and what with its answer.
pub(super) async fn content(
    dialect: Dialect,
    parts: &mut request::Parts,
    payload: HttpRequestBody,
) -> Result<(Content, Purpose), HttpError> {
    if parts.method == Method::GET && is_listing(&parts.uri) {
        return Ok((Content::Payload(payload), Purpose::Listing));
    }
    if parts.method != Method::PUT || parts.extensions.is_empty() {
        return Ok((Content::Payload(payload), Purpose::Other));
    }
    if dialect.takes_md5()
        && let Some(md5) = parts.extensions.get::<ContentMd5>()
        && let Ok(value) = HeaderValue::try_from(BASE64_STANDARD.encode(md5.0))
    {
        parts.headers.insert(CONTENT_MD5, value);
    }
    let Some(body) = parts.extensions.remove::<StreamedBody>() else {
        return Ok((Content::Payload(payload), Purpose::Other));
    };
    let (streamed, announced) = (body.length(), payload.content_length() as u64);
    if streamed != announced {
        return Err(Problem::Length { streamed, announced }.into());
    }
    let mut stream = body.take().ok_or(Problem::Taken)?;
    if streamed == 0 {
        // There is no last byte to hold back, so it is read before anything is sent.
        while let Some(chunk) = stream.next().await {
            if !chunk.map_err(|e| HttpError::new(HttpErrorKind::Unknown, e))?.is_empty() {
                return Err(Problem::Long.into());
            }
        }
        return Ok((Content::Payload(payload), Purpose::StreamedPut));
    }
    Ok((Content::Streamed(Streamed::new(streamed, stream)), Purpose::StreamedPut))
}

/// `ListObjectsV2` of the S3 dialects, `List Blobs` of Azure.
fn is_listing(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| {
        query.split('&').any(|pair| pair == "list-type=2" || pair == "comp=list")
    })
}

/// Takes from the head of an answer what `object_store` does not.
pub(super) fn look_at_head(dialect: Dialect, observed: &Observed, parts: &mut response::Parts) {
    observed.look_at_clock(&parts.headers);
    if let Some(md5) = md5_of(dialect, &parts.headers) {
        parts.extensions.insert(md5);
    }
    if is_encrypted_by_key(&parts.headers) {
        parts.extensions.insert(ETagMeaning::Opaque);
    }
}

/// Whether an S3 object is encrypted by a key of KMS or of the customer: its `ETag` is then no MD5, though it looks like one.
fn is_encrypted_by_key(headers: &HeaderMap) -> bool {
    let kms = headers.get("x-amz-server-side-encryption");
    kms.is_some_and(|by| by.as_bytes().starts_with(b"aws:kms"))
        || headers.contains_key("x-amz-server-side-encryption-customer-algorithm")
}

fn md5_of(dialect: Dialect, headers: &HeaderMap) -> Option<ContentMd5> {
    let text = match dialect {
        Dialect::Gcs => headers
            .get_all(GOOG_HASH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .find_map(|hash| hash.trim().strip_prefix("md5="))?,
        _ => headers.get(CONTENT_MD5)?.to_str().ok()?,
    };
    // Of a range it would be the MD5 of the range with some servers, of the whole with others.
    if headers.contains_key(header::CONTENT_RANGE) {
        return None;
    }
    let md5 = BASE64_STANDARD.decode(text).ok()?;
    md5.try_into().ok().map(ContentMd5)
}

/// A page of a listing without the entries that cannot be named.
pub(super) async fn guarded(
    dialect: Dialect,
    observed: &Observed,
    mut parts: response::Parts,
    body: ResponseBody,
) -> Result<HttpResponse, HttpError> {
    let page = body.collect().await?.to_bytes();
    let page = guard::filter(dialect, page, &observed.refused).map_err(Problem::Listing)?;
    parts.headers.remove(header::CONTENT_LENGTH);
    Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(page)))
}

/// The error of a put whose stream is used up, so that `object_store` must not repeat it: its cause is a
/// [`cloud_core::Error`] that says whether the whole put may be repeated.
pub(super) fn final_error(error: HttpError) -> HttpError {
    let kind = match error.kind() {
        HttpErrorKind::Timeout => ErrorKind::Timeout,
        HttpErrorKind::Unknown | HttpErrorKind::Decode => return error,
        _ => ErrorKind::Unavailable,
    };
    let ours = Error::new(kind, error.to_string()).with_effect(Effect::Unknown).with_source(error);
    HttpError::new(HttpErrorKind::Unknown, ours)
}

/// Whether `object_store` repeats a request with this answer.
pub(super) fn would_be_repeated(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}

/// The error of a put whose stream is used up, for an answer that `object_store` would repeat the request for.
pub(super) async fn final_answer(head: &response::Parts, body: ResponseBody) -> HttpError {
    /// Bytes of an error's body that its message shows.
    const SHOWN: usize = 1000;
    let status = head.status;
    let text = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[..text.len().min(SHOWN)]).into_owned();
    let slow_down = ["SlowDown", "ServerBusy", "RequestLimitExceeded"];
    let throttled = status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::SERVICE_UNAVAILABLE && slow_down.iter().any(|s| text.contains(s));
    let kind = if throttled { ErrorKind::RateLimited } else { ErrorKind::Unavailable };
    let mut error = Error::new(kind, format!("the streamed put was answered {status}: {text}"))
        .with_code(status.as_str());
    if !throttled {
        error = error.with_effect(Effect::Unknown);
    }
    let after = head.headers.get(header::RETRY_AFTER).and_then(|after| after.to_str().ok());
    if let Some(seconds) = after.and_then(|after| after.parse().ok()) {
        error = error.with_retry(Retry::After(Duration::from_secs(seconds)));
    }
    HttpError::new(HttpErrorKind::Unknown, error)
}
