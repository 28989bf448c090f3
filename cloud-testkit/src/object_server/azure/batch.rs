//! Azure's batch request, of which only deletions are taken.

use hyper::StatusCode;
use hyper::body::Incoming;

use super::blobs::delete_blob;
use super::errors;
use crate::object_server::Shared;
use crate::object_server::conditions::Conditions;
use crate::object_server::payload::collect;
use crate::object_server::refusal::Refusal;
use crate::object_server::reply::{self, Reply};
use crate::object_server::request::{self, Call};

/// The most deletions in one batch.
const BATCH_LIMIT: usize = 256;

/// POST `comp=batch`, on a container or the account.
pub(super) async fn delete(
    shared: &Shared,
    call: &Call<'_>,
    body: Incoming,
) -> Result<Reply, Refusal> {
    let invalid = Refusal::Invalid("the batch is no multipart/mixed body of DELETE requests");
    if !call.bucket.is_empty() {
        shared.store.bucket(&call.bucket)?;
    }
    let boundary =
        call.header("content-type").and_then(|kind| kind.split_once("boundary=")).ok_or(invalid)?.1;
    let boundary = format!("--{}", boundary.trim_matches('"'));
    let body = collect(body).await?;
    let body = std::str::from_utf8(&body).map_err(|_| invalid)?;
    let parts: Vec<&str> =
        body.split(boundary.as_str()).skip(1).take_while(|part| !part.starts_with("--")).collect();
    if parts.is_empty() || parts.len() > BATCH_LIMIT {
        return Err(invalid);
    }
    let mut text = String::new();
    for part in parts {
        let (id, path) = subrequest(part).ok_or(invalid)?;
        let outcome = match delete_named(shared, &call.bucket, path) {
            Ok(()) => "202 Accepted".to_owned(),
            Err(refusal) => errors::answer(refusal).status().to_string(),
        };
        text.push_str("--batchresponse\r\nContent-Type: application/http\r\n");
        text.push_str(&format!(
            "Content-ID: {id}\r\n\r\nHTTP/1.1 {outcome}\r\nx-ms-version: 2024-11-04\r\n\r\n"
        ));
    }
    text.push_str("--batchresponse--\r\n");
    Ok(reply::document(StatusCode::ACCEPTED, "multipart/mixed; boundary=batchresponse", text))
}

/// The Content-ID and the path of one request of a batch.
fn subrequest(part: &str) -> Option<(&str, &str)> {
    let id = part.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-id").then(|| value.trim())
    })?;
    let path =
        part.lines().find_map(|line| line.strip_prefix("DELETE ")?.strip_suffix(" HTTP/1.1"))?;
    Some((id, path.split('?').next().unwrap_or(path)))
}

/// `path` is `/ACCOUNT/CONTAINER/BLOB`, or without the account where the batch is on a container.
fn delete_named(shared: &Shared, container: &str, path: &str) -> Result<(), Refusal> {
    let path = path.trim_start_matches('/');
    let (first, rest) = path.split_once('/').ok_or(Refusal::InvalidUri)?;
    let (named, blob) = match rest.split_once('/') {
        Some((second, blob)) if container.is_empty() || second == container => (second, blob),
        _ if first == container => (first, rest),
        _ => return Err(Refusal::InvalidUri),
    };
    let bucket = shared.store.bucket(&request::decode(named)?)?;
    delete_blob(shared, &bucket, &request::decode(blob)?, Conditions::default())
}
