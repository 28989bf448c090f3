//! Azure requests on single blobs.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LAST_MODIFIED,
};
use hyper::{HeaderMap, Method, StatusCode};

use super::CREATED;
use crate::object_server::Shared;
use crate::object_server::checksum::{self, Md5Sum, decode_md5, quoted};
use crate::object_server::conditions::Conditions;
use crate::object_server::content::Content;
use crate::object_server::object::StoredObject;
use crate::object_server::payload::{Payload, collect};
use crate::object_server::refusal::Refusal;
use crate::object_server::reply::{self, Reply, ReplyBody};
use crate::object_server::request::{self, Call, Query};
use crate::object_server::store::{BucketStore, Version, Writer};
use crate::object_server::time::http_date;
use crate::object_server::{range, xml};

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
const BLOB_MD5: HeaderName = HeaderName::from_static("x-ms-blob-content-md5");
const BLOB_TYPE: HeaderName = HeaderName::from_static("x-ms-blob-type");
const CREATION_TIME: HeaderName = HeaderName::from_static("x-ms-creation-time");
const TAG_COUNT: HeaderName = HeaderName::from_static("x-ms-tag-count");
const ENCRYPTED: HeaderName = HeaderName::from_static("x-ms-request-server-encrypted");
const COPY_ID: HeaderName = HeaderName::from_static("x-ms-copy-id");
const COPY_STATUS: HeaderName = HeaderName::from_static("x-ms-copy-status");

/// The headers that set a blob's content headers.
const SETTERS: [(&str, HeaderName); 5] = [
    ("x-ms-blob-content-type", CONTENT_TYPE),
    ("x-ms-blob-content-encoding", CONTENT_ENCODING),
    ("x-ms-blob-content-language", CONTENT_LANGUAGE),
    ("x-ms-blob-content-disposition", CONTENT_DISPOSITION),
    ("x-ms-blob-cache-control", CACHE_CONTROL),
];

/// Get Blob and Get Blob Properties.
pub(super) fn read(shared: &Shared, call: &Call<'_>, head: bool) -> Result<Reply, Refusal> {
    let blob = shared.store.bucket(&call.bucket)?.get(&call.key)?;
    Conditions::of(call.headers).check_read(&blob)?;
    let wanted = call.header("x-ms-range").or_else(|| call.header("range")).filter(|_| !head);
    let selected = range::select(wanted, blob.size())?;
    let content = match &selected {
        None => blob.content.clone(),
        Some(part) => blob.content.slice(part.clone()),
    };
    let length = content.len();
    let part_md5 = (selected.is_some()
        && call.header("x-ms-range-get-content-md5") == Some("true"))
    .then(|| checksum::md5(&content.to_bytes()));
    let mut reply = Reply::new(if head { ReplyBody::default() } else { ReplyBody::from(content) });
    if let Some(part) = &selected {
        *reply.status_mut() = StatusCode::PARTIAL_CONTENT;
        let text = format!("bytes {}-{}/{}", part.start, part.end - 1, blob.size());
        reply.headers_mut().extend(HeaderValue::try_from(text).map(|value| (CONTENT_RANGE, value)));
    }
    let headers = reply.headers_mut();
    headers.reserve(8 + blob.headers.len());
    if head {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    headers.insert(ETAG, blob.etag.clone());
    headers.insert(LAST_MODIFIED, http_date(blob.modified));
    headers.insert(CREATION_TIME, http_date(blob.created));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(BLOB_TYPE, HeaderValue::from_static("BlockBlob"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    for (name, value) in &blob.headers {
        headers.insert(name.clone(), value.clone());
    }
    if let Some(md5) = blob.md5 {
        headers.insert(if selected.is_some() { BLOB_MD5 } else { CONTENT_MD5 }, md5_value(md5));
    }
    if let Some(md5) = part_md5 {
        headers.insert(CONTENT_MD5, md5_value(md5));
    }
    if !blob.tags.is_empty() {
        headers.insert(TAG_COUNT, blob.tags.len().into());
    }
    Ok(reply)
}

/// Put Blob.
pub(super) async fn put(
    shared: &Shared,
    call: &Call<'_>,
    body: Incoming,
) -> Result<Reply, Refusal> {
    let bucket = shared.store.bucket(&call.bucket)?;
    match call.header("x-ms-blob-type") {
        Some("BlockBlob") => {}
        Some(_) => return Err(Refusal::Unsupported("Only block blobs are offered.")),
        None => return Err(Refusal::Invalid("x-ms-blob-type is missing")),
    }
    let trust = shared.options.trust_content_md5;
    let payload = Payload::receive(call, body, trust).await?;
    let named = call.header("x-ms-blob-content-md5").map(decode_md5).transpose()?;
    let md5 = match named.filter(|_| trust && call.corrupt_write.is_none()) {
        Some(named) => named,
        None => payload.md5(),
    };
    if named.is_some_and(|named| named != md5) && call.corrupt_write.is_none() {
        return Err(Refusal::BadDigest);
    }
    let mut blob = new_blob(shared, payload.bytes.into());
    blob.md5 = Some(md5);
    blob.headers = kept_headers(call.headers);
    if blob.header(&CONTENT_TYPE).is_none() {
        blob.headers
            .extend(call.headers.get(CONTENT_TYPE).map(|value| (CONTENT_TYPE, value.clone())));
    }
    blob.tags = tags_of(call)?;
    Ok(written(&*store(shared, &bucket, call, blob)?, CREATED))
}

/// Copy Blob and Put Blob From URL: done when it answers.
pub(super) fn copy(shared: &Shared, call: &Call<'_>) -> Result<Reply, Refusal> {
    let bucket = shared.store.bucket(&call.bucket)?;
    let source = copy_source(shared, call)?;
    let mut blob = new_blob(shared, source.content.clone());
    blob.md5 = source.md5;
    blob.tags = tags_of(call)?;
    // Metadata of the request replaces the source's; content headers come along.
    let given = kept_headers(call.headers);
    let has_metadata = given.iter().any(|(name, _)| is_metadata(name));
    blob.headers = source
        .headers
        .iter()
        .filter(|(name, _)| !(has_metadata && is_metadata(name)))
        .cloned()
        .collect();
    for (name, value) in given {
        blob.headers.retain(|(known, _)| *known != name);
        blob.headers.push((name, value));
    }
    let stored = store(shared, &bucket, call, blob)?;
    let synchronous = call.headers.contains_key("x-ms-blob-type");
    let mut reply = written(&stored, if synchronous { CREATED } else { StatusCode::ACCEPTED });
    let id = HeaderValue::try_from(format!("copy-{}", shared.store.next()))
        .unwrap_or(HeaderValue::from_static("copy"));
    reply.headers_mut().insert(COPY_ID, id);
    reply.headers_mut().insert(COPY_STATUS, HeaderValue::from_static("success"));
    Ok(reply)
}

/// The blob that `x-ms-copy-source` names, if its conditions hold. It must lie on this server.
pub(super) fn copy_source(shared: &Shared, call: &Call<'_>) -> Result<Arc<StoredObject>, Refusal> {
    let invalid = Refusal::Invalid("x-ms-copy-source is no URL of a blob of this server");
    let url: hyper::Uri =
        call.header("x-ms-copy-source").and_then(|url| url.parse().ok()).ok_or(invalid)?;
    let path = url.path().trim_start_matches('/').split_once('/').ok_or(invalid)?.1;
    let (container, name) = path.split_once('/').ok_or(invalid)?;
    let blob = shared.store.bucket(&request::decode(container)?)?.get(&request::decode(name)?)?;
    Conditions::of_source(call.headers, "x-ms-source-").check_read(&blob).map_err(|refusal| {
        match refusal {
            Refusal::NotModified => Refusal::PreconditionFailed,
            other => other,
        }
    })?;
    Ok(blob)
}

/// Delete Blob.
pub(super) fn delete(shared: &Shared, call: &Call<'_>) -> Result<Reply, Refusal> {
    let bucket = shared.store.bucket(&call.bucket)?;
    delete_blob(shared, &bucket, &call.key, Conditions::of(call.headers))?;
    Ok(reply::empty(StatusCode::ACCEPTED))
}

/// Removes a blob that must be there.
pub(super) fn delete_blob(
    shared: &Shared,
    bucket: &BucketStore,
    name: &str,
    conditions: Conditions<'_>,
) -> Result<(), Refusal> {
    let marker = || Version { id: shared.store.next(), modified: shared.clock.now(), object: None };
    let allowed = |current: Option<&StoredObject>| match current {
        None => Err(Refusal::NoKey),
        current => conditions.check_write(current),
    };
    bucket.delete(name, marker, allowed).map(drop)
}

/// Get Blob Tags and Set Blob Tags.
pub(super) async fn tags(
    shared: &Shared,
    call: &Call<'_>,
    body: Incoming,
) -> Result<Reply, Refusal> {
    let bucket = shared.store.bucket(&call.bucket)?;
    if call.method == Method::PUT {
        let request = xml::parse(&collect(body).await?)?;
        let set = request.child("TagSet").ok_or(Refusal::Malformed)?;
        let tag = |tag: &xml::Element| {
            Some((tag.text_of("Key")?.to_owned(), tag.text_of("Value")?.to_owned()))
        };
        let tags = set
            .all("Tag")
            .map(tag)
            .collect::<Option<BTreeMap<_, _>>>()
            .ok_or(Refusal::Malformed)?;
        bucket.alter(&call.key, |blob| blob.tags = tags)?;
        return Ok(reply::empty(StatusCode::NO_CONTENT));
    }
    let mut text = format!("{}<Tags><TagSet>", xml::HEAD);
    for (key, value) in &bucket.get(&call.key)?.tags {
        text.push_str("<Tag>");
        xml::push_element(&mut text, "Key", key);
        xml::push_element(&mut text, "Value", value);
        text.push_str("</Tag>");
    }
    text.push_str("</TagSet></Tags>");
    Ok(reply::xml(StatusCode::OK, text))
}

/// Set Blob Metadata.
pub(super) fn set_metadata(shared: &Shared, call: &Call<'_>) -> Result<Reply, Refusal> {
    change_headers(shared, call, is_metadata)
}

/// Set Blob Properties: those that are not given are cleared.
pub(super) fn set_properties(shared: &Shared, call: &Call<'_>) -> Result<Reply, Refusal> {
    let md5 = call.header("x-ms-blob-content-md5").map(decode_md5).transpose()?;
    shared.store.bucket(&call.bucket)?.alter(&call.key, |blob| blob.md5 = md5)?;
    change_headers(shared, call, |name| !is_metadata(name))
}

/// Replaces those headers of a blob that `which` selects by the request's.
fn change_headers(
    shared: &Shared,
    call: &Call<'_>,
    which: fn(&HeaderName) -> bool,
) -> Result<Reply, Refusal> {
    let bucket = shared.store.bucket(&call.bucket)?;
    let (etag, now) = (new_etag(shared), shared.clock.now());
    bucket.alter(&call.key, |blob| {
        blob.headers.retain(|(name, _)| !which(name));
        blob.headers.extend(kept_headers(call.headers).into_iter().filter(|(name, _)| which(name)));
        (blob.etag, blob.modified) = (etag, now);
    })?;
    Ok(written(&*bucket.get(&call.key)?, StatusCode::OK))
}

/// A blob of this moment without anything beside its bytes.
pub(super) fn new_blob(shared: &Shared, content: Content) -> StoredObject {
    let now = shared.clock.now();
    StoredObject {
        content,
        etag: new_etag(shared),
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

/// New at every write, and says nothing of the content.
fn new_etag(shared: &Shared) -> HeaderValue {
    quoted(&shared.dialect.opaque_etag(shared.store.next()))
}

/// Stores what a client sent, if the request's conditions hold.
pub(super) fn store(
    shared: &Shared,
    bucket: &BucketStore,
    call: &Call<'_>,
    blob: StoredObject,
) -> Result<Arc<StoredObject>, Refusal> {
    let conditions = Conditions::of(call.headers);
    bucket.put(
        Writer::Client,
        &call.key,
        blob,
        || shared.store.next(),
        |current| {
            // A blob that is missing matches no ETag; unlike S3, that is no "not found".
            conditions.check_write(current).map_err(|refusal| match refusal {
                Refusal::NoKey => Refusal::PreconditionFailed,
                other => other,
            })
        },
    )
}

/// The answer to a write.
pub(super) fn written(blob: &StoredObject, status: StatusCode) -> Reply {
    let mut reply = reply::with_headers(
        status,
        [
            (ETAG, blob.etag.clone()),
            (LAST_MODIFIED, http_date(blob.modified)),
            (ENCRYPTED, HeaderValue::from_static("true")),
        ],
    );
    reply.headers_mut().extend(blob.md5.map(|md5| (CONTENT_MD5, md5_value(md5))));
    reply
}

/// The headers of a request that are kept with the blob.
pub(super) fn kept_headers(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let set =
        SETTERS.into_iter().filter_map(|(setter, name)| Some((name, headers.get(setter)?.clone())));
    let metadata = headers.iter().filter(|(name, _)| is_metadata(name));
    set.chain(metadata.map(|(name, value)| (name.clone(), value.clone()))).collect()
}

fn is_metadata(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-ms-meta-")
}

/// The tags in `x-ms-tags`.
pub(super) fn tags_of(call: &Call<'_>) -> Result<BTreeMap<String, String>, Refusal> {
    let query = Query::parse(call.header("x-ms-tags").unwrap_or_default())?;
    Ok(query.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn md5_value(md5: Md5Sum) -> HeaderValue {
    HeaderValue::try_from(checksum::encode(&md5)).unwrap_or(HeaderValue::from_static(""))
}
