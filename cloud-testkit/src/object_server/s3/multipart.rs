//! S3 multipart uploads.

use std::collections::BTreeMap;

use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::ETAG;

use super::OK;
use super::objects::{copy_result, copy_source, kept_headers, new_object, store, tags_of};
use crate::object_server::Shared;
use crate::object_server::checksum::{hex, md5, quoted};
use crate::object_server::content::Content;
use crate::object_server::payload::{Payload, collect};
use crate::object_server::refusal::Refusal;
use crate::object_server::reply::{self, Reply};
use crate::object_server::request::Call;
use crate::object_server::store::{Part, Upload};
use crate::object_server::{range, xml};

/// POST `?uploads`.
pub(super) fn start(shared: &Shared, call: &Call<'_>) -> Result<Reply, Refusal> {
    shared.store.bucket(&call.bucket)?;
    let id = format!("upload-{:x}", shared.store.next());
    let upload = Upload {
        bucket: call.bucket.to_string(),
        key: call.key.to_string(),
        headers: kept_headers(call.headers),
        tags: tags_of(call)?,
        parts: BTreeMap::new(),
    };
    shared.store.uploads().insert(id.clone(), upload);
    let mut text = format!("{}<InitiateMultipartUploadResult>", xml::HEAD);
    xml::push_element(&mut text, "Bucket", &call.bucket);
    xml::push_element(&mut text, "Key", &call.key);
    xml::push_element(&mut text, "UploadId", &id);
    text.push_str("</InitiateMultipartUploadResult>");
    Ok(reply::xml(OK, text))
}

/// PUT of a part: of the request's body, or of a range of another object.
pub(super) async fn put_part(
    shared: &Shared,
    call: &Call<'_>,
    body: Incoming,
) -> Result<Reply, Refusal> {
    let number = call.query.get("partNumber").and_then(|number| number.parse().ok());
    let number = number
        .filter(|number| (1..=10_000).contains(number))
        .ok_or(Refusal::Invalid("partNumber"))?;
    if call.headers.contains_key("x-amz-copy-source") {
        let source = copy_source(shared, call)?;
        let wanted = range::select(call.header("x-amz-copy-source-range"), source.size())?;
        let body = source.content.slice(wanted.unwrap_or(0..source.size())).to_bytes();
        let md5 = md5(&body);
        keep_part(shared, call, number, Part { body, md5 })?;
        let answer = new_object(shared, Content::default(), &hex(&md5));
        return Ok(reply::xml(OK, copy_result("CopyPartResult", &answer)));
    }
    let payload = Payload::receive(call, body, shared.options.trust_content_md5).await?;
    let md5 = payload.md5();
    keep_part(shared, call, number, Part { body: payload.bytes, md5 })?;
    let mut reply = reply::with_headers(OK, [(ETAG, quoted(&hex(&md5)))]);
    reply.headers_mut().extend(payload.checksum);
    Ok(reply)
}

fn keep_part(shared: &Shared, call: &Call<'_>, number: u32, part: Part) -> Result<(), Refusal> {
    let mut uploads = shared.store.uploads();
    let upload = upload_id(call).and_then(|id| uploads.get_mut(id)).ok_or(Refusal::NoUpload)?;
    if upload.bucket != call.bucket || upload.key != call.key {
        return Err(Refusal::NoUpload);
    }
    upload.parts.insert(number, part);
    Ok(())
}

fn upload_id<'a>(call: &'a Call<'_>) -> Option<&'a str> {
    call.query.get("uploadId")
}

/// POST `?uploadId`: the parts named become the object; what was uploaded beside them is dropped.
pub(super) async fn complete(
    shared: &Shared,
    call: &Call<'_>,
    body: Incoming,
) -> Result<Reply, Refusal> {
    let bucket = shared.store.bucket(&call.bucket)?;
    let request = xml::parse(&collect(body).await?)?;
    let id = upload_id(call).unwrap_or_default();
    let object = {
        let uploads = shared.store.uploads();
        let upload =
            uploads.get(id).filter(|upload| upload.bucket == call.bucket && upload.key == call.key);
        let upload = upload.ok_or(Refusal::NoUpload)?;
        let parts = chosen_parts(&request, upload, shared.options.min_part_size)?;
        let sums: Vec<u8> = parts.iter().flat_map(|part| part.md5).collect();
        let etag = format!("{}-{}", hex(&md5(&sums)), parts.len());
        let mut content = Content::default();
        parts.iter().for_each(|part| content.push(part.body.clone()));
        let mut object = new_object(shared, content, &etag);
        object.headers = upload.headers.clone();
        object.tags = upload.tags.clone();
        object
    };
    let stored = store(shared, &bucket, call, object)?;
    shared.store.uploads().remove(id);
    let mut text = format!("{}<CompleteMultipartUploadResult>", xml::HEAD);
    xml::push_element(&mut text, "Bucket", &call.bucket);
    xml::push_element(&mut text, "Key", &call.key);
    xml::push_element(&mut text, "ETag", &format!("\"{}\"", stored.etag()));
    text.push_str("</CompleteMultipartUploadResult>");
    Ok(reply::xml(OK, text))
}

/// The parts that a request lists, if they are there, in order and large enough.
fn chosen_parts<'a>(
    request: &xml::Element,
    upload: &'a Upload,
    smallest: u64,
) -> Result<Vec<&'a Part>, Refusal> {
    let mut chosen = Vec::new();
    let mut before = 0;
    for listed in request.all("Part") {
        let number = listed
            .text_of("PartNumber")
            .and_then(|number| number.trim().parse().ok())
            .ok_or(Refusal::Malformed)?;
        let tag = listed.text_of("ETag").ok_or(Refusal::Malformed)?;
        if number <= before {
            return Err(Refusal::InvalidPartOrder);
        }
        before = number;
        let part: &Part = upload.parts.get(&number).ok_or(Refusal::InvalidPart)?;
        if tag.trim().trim_matches('"') != hex(&part.md5) {
            return Err(Refusal::InvalidPart);
        }
        chosen.push(part);
    }
    match chosen.split_last() {
        None => Err(Refusal::Malformed),
        Some((_, all)) if all.iter().any(|part| (part.body.len() as u64) < smallest) => {
            Err(Refusal::PartTooSmall)
        }
        Some(_) => Ok(chosen),
    }
}

/// DELETE `?uploadId`.
pub(super) fn abort(shared: &Shared, call: &Call<'_>) -> Result<Reply, Refusal> {
    let id = upload_id(call).unwrap_or_default();
    shared
        .store
        .uploads()
        .remove(id)
        .map(|_| reply::empty(StatusCode::NO_CONTENT))
        .ok_or(Refusal::NoUpload)
}

/// GET `?uploadId`.
pub(super) fn list_parts(shared: &Shared, call: &Call<'_>) -> Result<Reply, Refusal> {
    let uploads = shared.store.uploads();
    let id = upload_id(call).unwrap_or_default();
    let upload = uploads.get(id).ok_or(Refusal::NoUpload)?;
    let mut text = format!("{}<ListPartsResult>", xml::HEAD);
    xml::push_element(&mut text, "Bucket", &upload.bucket);
    xml::push_element(&mut text, "Key", &upload.key);
    xml::push_element(&mut text, "UploadId", id);
    text.push_str("<IsTruncated>false</IsTruncated>");
    for (number, part) in &upload.parts {
        text.push_str("<Part>");
        xml::push_element(&mut text, "PartNumber", &number.to_string());
        xml::push_element(&mut text, "ETag", &format!("\"{}\"", hex(&part.md5)));
        xml::push_element(&mut text, "Size", &part.body.len().to_string());
        text.push_str("</Part>");
    }
    text.push_str("</ListPartsResult>");
    Ok(reply::xml(OK, text))
}
