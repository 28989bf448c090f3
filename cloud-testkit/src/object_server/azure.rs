//! The Azure Blob dialect: which handler answers which request.

mod batch;
mod blobs;
mod blocks;
mod containers;
mod errors;
mod list;

use hyper::body::Incoming;
use hyper::{Method, StatusCode};

use super::Shared;
use super::refusal::Refusal;
use super::reply::Reply;
use super::request::{Call, Operation};

pub(crate) use errors::{answer as refuse, fault};

const CREATED: StatusCode = StatusCode::CREATED;

/// What a request asks for.
pub(crate) fn operation(call: &Call<'_>) -> Operation {
    let comp = call.query.get("comp").unwrap_or_default();
    if call.key.is_empty() || comp == "batch" {
        return match (call.method, comp) {
            (&Method::POST, "batch") => Operation::DeleteMany,
            (&Method::GET, "list") if !call.bucket.is_empty() => Operation::List,
            _ if call.bucket.is_empty() => Operation::Other,
            _ => Operation::Bucket,
        };
    }
    match (call.method, comp) {
        (&Method::PUT, "block") => Operation::PutPart,
        (&Method::PUT, "blocklist") => Operation::Complete,
        (&Method::PUT, "") if call.headers.contains_key("x-ms-copy-source") => Operation::Copy,
        (&Method::PUT, "") => Operation::Put,
        (&Method::GET, "") => Operation::Get,
        (&Method::HEAD, _) => Operation::Head,
        (&Method::DELETE, "") => Operation::Delete,
        _ => Operation::Other,
    }
}

/// The page of a listing that a request asks for.
pub(crate) fn page(call: &Call<'_>) -> Result<u32, Refusal> {
    list::start(call).map(|(page, _)| page)
}

/// Does what is asked.
pub(crate) async fn handle(
    shared: &Shared,
    call: &Call<'_>,
    operation: Operation,
    body: Incoming,
) -> Result<Reply, Refusal> {
    let comp = call.query.get("comp").unwrap_or_default();
    match operation {
        Operation::Get | Operation::Head => blobs::read(shared, call, operation == Operation::Head),
        Operation::Put => blobs::put(shared, call, body).await,
        Operation::Copy => blobs::copy(shared, call),
        Operation::Delete => blobs::delete(shared, call),
        Operation::DeleteMany => batch::delete(shared, call, body).await,
        Operation::List => list::blobs(shared, call),
        Operation::PutPart => blocks::put(shared, call, body).await,
        Operation::Complete => blocks::commit(shared, call, body).await,
        Operation::Bucket => containers::handle(shared, call),
        Operation::Other if call.bucket.is_empty() && comp == "list" => containers::list(shared),
        Operation::Other => match (call.method, comp) {
            (&Method::GET, "blocklist") => blocks::list(shared, call),
            (&Method::GET | &Method::PUT, "tags") => blobs::tags(shared, call, body).await,
            (&Method::PUT, "metadata") => blobs::set_metadata(shared, call),
            (&Method::PUT, "properties") => blobs::set_properties(shared, call),
            _ => Err(Refusal::MethodNotAllowed),
        },
        Operation::StartUpload | Operation::Abort => Err(Refusal::MethodNotAllowed),
    }
}
