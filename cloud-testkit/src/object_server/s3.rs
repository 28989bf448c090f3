//! The S3 dialect: which handler answers which request.

mod buckets;
mod errors;
mod list;
mod multipart;
mod objects;

use hyper::body::Incoming;
use hyper::{Method, StatusCode};

use super::Shared;
use super::refusal::Refusal;
use super::reply::Reply;
use super::request::{Call, Operation};

pub(crate) use errors::{answer as refuse, fault};

/// What a request asks for.
pub(crate) fn operation(call: &Call<'_>) -> Operation {
    let has = |name| call.query.has(name);
    if call.key.is_empty() {
        return match *call.method {
            Method::POST if has("delete") => Operation::DeleteMany,
            Method::GET if call.bucket.is_empty() => Operation::Other,
            Method::GET if has("location") || has("versioning") || has("uploads") => {
                Operation::Bucket
            }
            Method::GET => Operation::List,
            _ => Operation::Bucket,
        };
    }
    match *call.method {
        _ if has("tagging") => Operation::Other,
        Method::PUT if has("partNumber") => Operation::PutPart,
        Method::PUT if call.headers.contains_key("x-amz-copy-source") => Operation::Copy,
        Method::PUT => Operation::Put,
        Method::POST if has("uploads") => Operation::StartUpload,
        Method::POST if has("uploadId") => Operation::Complete,
        Method::DELETE if has("uploadId") => Operation::Abort,
        Method::DELETE => Operation::Delete,
        Method::GET if has("uploadId") => Operation::Other,
        Method::GET => Operation::Get,
        Method::HEAD => Operation::Head,
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
    match operation {
        Operation::Get | Operation::Head => {
            objects::read(shared, call, operation == Operation::Head)
        }
        Operation::Put => objects::put(shared, call, body).await,
        Operation::Copy => objects::copy(shared, call),
        Operation::Delete => objects::delete(shared, call),
        Operation::DeleteMany => objects::delete_many(shared, call, body).await,
        Operation::List if call.query.has("versions") => list::versions(shared, call),
        Operation::List => list::objects(shared, call),
        Operation::StartUpload => multipart::start(shared, call),
        Operation::PutPart => multipart::put_part(shared, call, body).await,
        Operation::Complete => multipart::complete(shared, call, body).await,
        Operation::Abort => multipart::abort(shared, call),
        Operation::Bucket => buckets::handle(shared, call, body).await,
        Operation::Other if call.query.has("tagging") => objects::tagging(shared, call, body).await,
        Operation::Other if call.bucket.is_empty() && call.method == Method::GET => {
            buckets::list(shared)
        }
        Operation::Other if call.query.has("uploadId") => multipart::list_parts(shared, call),
        Operation::Other => Err(Refusal::MethodNotAllowed),
    }
}

const OK: StatusCode = StatusCode::OK;
