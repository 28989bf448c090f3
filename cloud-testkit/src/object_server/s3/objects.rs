//! S3 requests on single objects, and the removal of many.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, EXPIRES, HeaderName, HeaderValue,
    LAST_MODIFIED,
};
use hyper::{HeaderMap, Method, StatusCode};

use super::OK;
use crate::object_server::Shared;
use crate::object_server::checksum::{hex, md5, quoted};
use crate::object_server::conditions::Conditions;
use crate::object_server::content::Content;
use crate::object_server::object::StoredObject;
use crate::object_server::payload::Payload;
use crate::object_server::refusal::Refusal;
use crate::object_server::reply::{self, Reply, ReplyBody};
use crate::object_server::request::{self, Call, Query};
use crate::object_server::store::{BucketStore, Version, Writer};
use crate::object_server::time::{IsoWriter, http_date};
use crate::object_server::{range, xml};

const VERSION_ID: HeaderName = HeaderName::from_static("x-amz-version-id");
const DELETE_MARKER: HeaderName = HeaderName::from_static("x-amz-delete-marker");
const TAG_COUNT: HeaderName = HeaderName::from_static("x-amz-tagging-count");

/// GET and HEAD.
pub(super) fn read(shared: &Shared, call: &Call<'_>, head: bool) -> Result<Reply, Refusal> {
    let bucket = shared.store.bucket(&call.bucket)?;
    let object = match call.query.get("versionId") {
        None => bucket.get(&call.key)?,
        Some(id) => bucket.get_version(&call.key, version_id(id)?)?,
    };
    Conditions::of(call.headers).check_read(&object)?;
    let selected = range::select(call.header("range"), object.size())?;
    let content = match &selected {
        None => object.content.clone(),
        Some(part) => object.content.slice(part.clone()),
    };
    let length = content.len();
    let mut reply = Reply::new(if head { ReplyBody::default() } else { ReplyBody::from(content) });
    if let Some(part) = &selected {
        *reply.status_mut() = StatusCode::PARTIAL_CONTENT;
        let text = format!("bytes {}-{}/{}", part.start, part.end - 1, object.size());
        reply.headers_mut().extend(HeaderValue::try_from(text).map(|value| (CONTENT_RANGE, value)));
    }
    let headers = reply.headers_mut();
    headers.reserve(5 + object.headers.len());
    if head {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    headers.insert(ETAG, object.etag.clone());
    headers.insert(LAST_MODIFIED, http_date(object.modified));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("binary/octet-stream"));
    for (name, value) in &object.headers {
        headers.insert(name.clone(), value.clone());
    }
    if let Some(id) = object.version {
        headers.insert(VERSION_ID, version_value(id));
    }
    if !object.tags.is_empty() {
        headers.insert(TAG_COUNT, object.tags.len().into());
    }
    if selected.is_none()
        && call
            .header("x-amz-checksum-mode")
            .is_some_and(|mode| mode.eq_ignore_ascii_case("enabled"))
    {
        headers.extend(object.checksum.clone());
    }
    Ok(reply)
}

/// PUT of a whole body.
pub(super) async fn put(
    shared: &Shared,
    call: &Call<'_>,
    body: Incoming,
) -> Result<Reply, Refusal> {
    let bucket = shared.store.bucket(&call.bucket)?;
    let tags = tags_of(call)?;
    let payload = Payload::receive(call, body, shared.options.trust_content_md5).await?;
    let md5 = payload.md5();
    let mut object = new_object(shared, payload.bytes.into(), &hex(&md5));
    object.md5 = Some(md5);
    object.headers = kept_headers(call.headers);
    object.tags = tags;
    object.checksum = payload.checksum;
    let stored = store(shared, &bucket, call, object)?;
    let mut reply = reply::with_headers(OK, [(ETAG, stored.etag.clone())]);
    if let Some(id) = stored.version {
        reply.headers_mut().insert(VERSION_ID, version_value(id));
    }
    Ok(reply)
}

/// PUT with `x-amz-copy-source`.
pub(super) fn copy(shared: &Shared, call: &Call<'_>) -> Result<Reply, Refusal> {
    let bucket = shared.store.bucket(&call.bucket)?;
    let source = copy_source(shared, call)?;
    let replaces = |directive| {
        call.header(directive).is_some_and(|value| value.eq_ignore_ascii_case("replace"))
    };
    if bucket.get(&call.key).is_ok_and(|there| Arc::ptr_eq(&there, &source))
        && !replaces("x-amz-metadata-directive")
    {
        return Err(Refusal::Invalid("A copy of an object onto itself must change something."));
    }
    // A copy is no multipart upload, even of an object that was one.
    let md5 = source.md5.unwrap_or_else(|| md5(&source.content.to_bytes()));
    let mut object = new_object(shared, source.content.clone(), &hex(&md5));
    object.md5 = Some(md5);
    object.checksum = source.checksum.clone();
    object.headers = if replaces("x-amz-metadata-directive") {
        kept_headers(call.headers)
    } else {
        source.headers.clone()
    };
    object.tags =
        if replaces("x-amz-tagging-directive") { tags_of(call)? } else { source.tags.clone() };
    let stored = store(shared, &bucket, call, object)?;
    let mut reply = reply::xml(OK, copy_result("CopyObjectResult", &stored));
    if let Some(id) = stored.version {
        reply.headers_mut().insert(VERSION_ID, version_value(id));
    }
    Ok(reply)
}

/// The object that `x-amz-copy-source` names, if its conditions hold.
pub(super) fn copy_source(shared: &Shared, call: &Call<'_>) -> Result<Arc<StoredObject>, Refusal> {
    let named = call
        .header("x-amz-copy-source")
        .ok_or(Refusal::Invalid("x-amz-copy-source is no visible ASCII"))?;
    let (path, version) =
        named.split_once("?versionId=").map_or((named, None), |(path, id)| (path, Some(id)));
    let path = request::form_decode(path)?;
    let (bucket, key) = path
        .trim_start_matches('/')
        .split_once('/')
        .ok_or(Refusal::Invalid("x-amz-copy-source"))?;
    let bucket = shared.store.bucket(bucket)?;
    let source = match version {
        None => bucket.get(key)?,
        Some(id) => bucket.get_version(key, version_id(id)?)?,
    };
    Conditions::of_source(call.headers, "x-amz-copy-source-").check_read(&source).map_err(
        |refusal| match refusal {
            Refusal::NotModified => Refusal::PreconditionFailed,
            other => other,
        },
    )?;
    Ok(source)
}

/// The XML that answers a copy.
pub(super) fn copy_result(root: &str, stored: &StoredObject) -> String {
    let mut text = format!("{}<{root}>", xml::HEAD);
    xml::push_element(&mut text, "LastModified", IsoWriter::default().format(stored.modified));
    xml::push_element(&mut text, "ETag", &format!("\"{}\"", stored.etag()));
    text.push_str(&format!("</{root}>"));
    text
}

/// DELETE.
pub(super) fn delete(shared: &Shared, call: &Call<'_>) -> Result<Reply, Refusal> {
    let bucket = shared.store.bucket(&call.bucket)?;
    let conditions = Conditions::of(call.headers);
    let marker =
        delete_one(
            shared,
            &bucket,
            &call.key,
            call.query.get("versionId"),
            |current| match current {
                // Removing what is not there is fine, whatever the condition.
                None => Ok(()),
                current => conditions.check_write(current),
            },
        )?;
    let mut reply = reply::empty(StatusCode::NO_CONTENT);
    if let Some(id) = marker {
        reply.headers_mut().insert(DELETE_MARKER, HeaderValue::from_static("true"));
        reply.headers_mut().insert(VERSION_ID, version_value(id));
    }
    Ok(reply)
}

/// POST `?delete`.
pub(super) async fn delete_many(
    shared: &Shared,
    call: &Call<'_>,
    body: Incoming,
) -> Result<Reply, Refusal> {
    let bucket = shared.store.bucket(&call.bucket)?;
    let payload = Payload::receive(call, body, false).await?;
    let request = xml::parse(&payload.bytes)?;
    let quiet = request.text_of("Quiet") == Some("true");
    let mut text = format!("{}<DeleteResult>", xml::HEAD);
    if request.all("Object").count() > 1000 {
        return Err(Refusal::Malformed);
    }
    for object in request.all("Object") {
        let key = object.text_of("Key").ok_or(Refusal::Malformed)?;
        let wanted = object.text_of("ETag");
        let deleted =
            delete_one(shared, &bucket, key, object.text_of("VersionId"), |current| {
                match (wanted, current) {
                    (Some(tag), Some(current)) if tag.trim_matches('"') != current.etag() => {
                        Err(Refusal::PreconditionFailed)
                    }
                    _ => Ok(()),
                }
            });
        let outcome = if deleted.is_ok() { "Deleted" } else { "Error" };
        if quiet && deleted.is_ok() {
            continue;
        }
        text.push_str(&format!("<{outcome}>"));
        xml::push_element(&mut text, "Key", key);
        match deleted {
            Ok(None) => {}
            Ok(Some(id)) => {
                xml::push_element(&mut text, "DeleteMarker", "true");
                xml::push_element(&mut text, "DeleteMarkerVersionId", &version_text(id));
            }
            Err(_) => xml::push_element(&mut text, "Code", "PreconditionFailed"),
        }
        text.push_str(&format!("</{outcome}>"));
    }
    text.push_str("</DeleteResult>");
    Ok(reply::xml(OK, text))
}

fn delete_one(
    shared: &Shared,
    bucket: &BucketStore,
    key: &str,
    version: Option<&str>,
    allowed: impl FnOnce(Option<&StoredObject>) -> Result<(), Refusal>,
) -> Result<Option<u64>, Refusal> {
    if let Some(id) = version {
        bucket.delete_version(key, version_id(id)?);
        return Ok(None);
    }
    let marker = || Version { id: shared.store.next(), modified: shared.clock.now(), object: None };
    bucket.delete(key, marker, allowed)
}

/// GET, PUT and DELETE of `?tagging`.
pub(super) async fn tagging(
    shared: &Shared,
    call: &Call<'_>,
    body: Incoming,
) -> Result<Reply, Refusal> {
    let bucket = shared.store.bucket(&call.bucket)?;
    match *call.method {
        Method::GET => {
            let object = bucket.get(&call.key)?;
            let mut text = format!("{}<Tagging><TagSet>", xml::HEAD);
            for (key, value) in &object.tags {
                text.push_str("<Tag>");
                xml::push_element(&mut text, "Key", key);
                xml::push_element(&mut text, "Value", value);
                text.push_str("</Tag>");
            }
            text.push_str("</TagSet></Tagging>");
            Ok(reply::xml(OK, text))
        }
        Method::PUT => {
            let payload = Payload::receive(call, body, false).await?;
            let request = xml::parse(&payload.bytes)?;
            let set = request.child("TagSet").ok_or(Refusal::Malformed)?;
            let tag = |tag: &xml::Element| {
                Some((tag.text_of("Key")?.to_owned(), tag.text_of("Value")?.to_owned()))
            };
            let tags = set
                .all("Tag")
                .map(tag)
                .collect::<Option<BTreeMap<_, _>>>()
                .ok_or(Refusal::Malformed)?;
            bucket.alter(&call.key, |object| object.tags = tags)?;
            Ok(reply::empty(OK))
        }
        Method::DELETE => {
            bucket.alter(&call.key, |object| object.tags.clear())?;
            Ok(reply::empty(StatusCode::NO_CONTENT))
        }
        _ => Err(Refusal::MethodNotAllowed),
    }
}

/// An object of this moment without anything beside its bytes.
pub(super) fn new_object(shared: &Shared, content: Content, etag: &str) -> StoredObject {
    let now = shared.clock.now();
    StoredObject {
        content,
        etag: quoted(etag),
        md5: None,
        modified: now,
        created: now,
        headers: Vec::new(),
        tags: BTreeMap::new(),
        checksum: None,
        blocks: Vec::new(),
        version: None,
    }
}

/// Stores what a client sent, if the request's conditions hold.
pub(super) fn store(
    shared: &Shared,
    bucket: &BucketStore,
    call: &Call<'_>,
    object: StoredObject,
) -> Result<Arc<StoredObject>, Refusal> {
    let conditions = Conditions::of(call.headers);
    bucket.put(
        Writer::Client,
        &call.key,
        object,
        || shared.store.next(),
        |current| conditions.check_write(current),
    )
}

/// The headers of a request that are kept with the object.
pub(super) fn kept_headers(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let standard = [
        CONTENT_TYPE,
        CONTENT_ENCODING,
        CONTENT_LANGUAGE,
        CONTENT_DISPOSITION,
        CACHE_CONTROL,
        EXPIRES,
    ];
    let mut kept = Vec::new();
    for (name, value) in headers {
        if name == CONTENT_ENCODING {
            kept.extend(without_chunking(value).map(|value| (CONTENT_ENCODING, value)));
        } else if standard.contains(name) || name.as_str().starts_with("x-amz-meta-") {
            kept.push((name.clone(), value.clone()));
        }
    }
    kept
}

/// A `Content-Encoding` less `aws-chunked`, which only says how the body travelled.
fn without_chunking(value: &HeaderValue) -> Option<HeaderValue> {
    let Ok(text) = value.to_str() else { return Some(value.clone()) };
    let left: Vec<&str> =
        text.split(',').map(str::trim).filter(|encoding| *encoding != "aws-chunked").collect();
    if left.is_empty() { None } else { HeaderValue::from_str(&left.join(",")).ok() }
}

/// The tags in `x-amz-tagging`.
pub(super) fn tags_of(call: &Call<'_>) -> Result<BTreeMap<String, String>, Refusal> {
    let query = Query::parse(call.header("x-amz-tagging").unwrap_or_default())?;
    Ok(query.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

pub(super) fn version_text(id: u64) -> String {
    if id == 0 { "null".to_owned() } else { format!("v{id:016x}") }
}

fn version_value(id: u64) -> HeaderValue {
    HeaderValue::try_from(version_text(id)).unwrap_or(HeaderValue::from_static("null"))
}

fn version_id(text: &str) -> Result<u64, Refusal> {
    if text == "null" {
        return Ok(0);
    }
    text.strip_prefix('v')
        .and_then(|hex| u64::from_str_radix(hex, 16).ok())
        .ok_or(Refusal::NoVersion)
}
