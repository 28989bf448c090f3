//! S3 requests on buckets.

use hyper::body::Incoming;
use hyper::{Method, StatusCode};

use super::OK;
use crate::object_server::Shared;
use crate::object_server::payload::Payload;
use crate::object_server::refusal::Refusal;
use crate::object_server::reply::{self, Reply};
use crate::object_server::request::Call;
use crate::object_server::xml;

/// All but listings of a bucket's objects.
pub(super) async fn handle(
    shared: &Shared,
    call: &Call<'_>,
    body: Incoming,
) -> Result<Reply, Refusal> {
    let store = &shared.store;
    let has = |name| call.query.has(name);
    match *call.method {
        Method::PUT if has("versioning") => {
            let bucket = store.bucket(&call.bucket)?;
            let payload = Payload::receive(call, body, false).await?;
            match xml::parse(&payload.bytes)?.text_of("Status") {
                Some("Enabled") => bucket.keep_versions(),
                Some("Suspended") => {
                    return Err(Refusal::Unsupported("Versioning cannot be suspended here."));
                }
                _ => return Err(Refusal::Malformed),
            }
            Ok(reply::empty(OK))
        }
        Method::PUT => {
            let (_, made) = store.create_bucket(&call.bucket);
            if made { Ok(reply::empty(OK)) } else { Err(Refusal::BucketExists) }
        }
        Method::HEAD => store.bucket(&call.bucket).map(|_| reply::empty(OK)),
        Method::DELETE => {
            store.delete_bucket(&call.bucket, true)?;
            Ok(reply::empty(StatusCode::NO_CONTENT))
        }
        Method::GET if has("location") => {
            store.bucket(&call.bucket)?;
            Ok(reply::xml(OK, format!("{}<LocationConstraint/>", xml::HEAD)))
        }
        Method::GET if has("versioning") => {
            let versioned = store.bucket(&call.bucket)?.read().versions.is_some();
            let status = if versioned { "<Status>Enabled</Status>" } else { "" };
            let text =
                format!("{}<VersioningConfiguration>{status}</VersioningConfiguration>", xml::HEAD);
            Ok(reply::xml(OK, text))
        }
        Method::GET if has("uploads") => {
            store.bucket(&call.bucket)?;
            Ok(reply::xml(OK, uploads(shared, call)))
        }
        _ => Err(Refusal::MethodNotAllowed),
    }
}

/// GET of the service.
pub(super) fn list(shared: &Shared) -> Result<Reply, Refusal> {
    let mut text =
        format!("{}<ListAllMyBucketsResult><Owner><ID>owner</ID></Owner><Buckets>", xml::HEAD);
    for name in shared.store.bucket_names() {
        text.push_str("<Bucket>");
        xml::push_element(&mut text, "Name", &name);
        text.push_str("<CreationDate>2026-01-01T00:00:00.000Z</CreationDate></Bucket>");
    }
    text.push_str("</Buckets></ListAllMyBucketsResult>");
    Ok(reply::xml(OK, text))
}

fn uploads(shared: &Shared, call: &Call<'_>) -> String {
    let mut text = format!("{}<ListMultipartUploadsResult>", xml::HEAD);
    xml::push_element(&mut text, "Bucket", &call.bucket);
    text.push_str("<IsTruncated>false</IsTruncated>");
    let prefix = call.query.get("prefix").unwrap_or_default();
    let uploads = shared.store.uploads();
    for (id, upload) in
        uploads.iter().filter(|(_, u)| u.bucket == call.bucket && u.key.starts_with(prefix))
    {
        text.push_str("<Upload>");
        xml::push_element(&mut text, "Key", &upload.key);
        xml::push_element(&mut text, "UploadId", id);
        text.push_str("</Upload>");
    }
    text.push_str("</ListMultipartUploadsResult>");
    text
}
