//! The codes in which Azure Blob refuses.

use hyper::StatusCode;
use hyper::header::{CONTENT_RANGE, HeaderName, HeaderValue};

use crate::object_server::refusal::Refusal;
use crate::object_server::reply::{self, Reply};
use crate::object_server::xml;

const ERROR_CODE: HeaderName = HeaderName::from_static("x-ms-error-code");

/// The answer to a request that fails.
pub(crate) fn answer(refusal: Refusal) -> Reply {
    let (status, code, message) = describe(refusal);
    if refusal == Refusal::NotModified {
        return reply::with_headers(status, [(ERROR_CODE, HeaderValue::from_static(code))]);
    }
    let mut reply = error(status, code, message);
    if let Refusal::InvalidRange { size } = refusal
        && let Ok(value) = HeaderValue::try_from(format!("bytes */{size}"))
    {
        reply.headers_mut().insert(CONTENT_RANGE, value);
    }
    reply
}

/// The answer of a fault with that status.
pub(crate) fn fault(status: StatusCode) -> Reply {
    let code = match status.as_u16() {
        403 => "AuthorizationFailure",
        404 => "BlobNotFound",
        409 => "LeaseIdMissing",
        408 | 504 => "OperationTimedOut",
        429 | 503 => "ServerBusy",
        _ => "InternalError",
    };
    error(status, code, "A fault that was asked for.")
}

fn error(status: StatusCode, code: &'static str, message: &str) -> Reply {
    let mut text = String::from(xml::HEAD);
    text.push_str("<Error>");
    xml::push_element(&mut text, "Code", code);
    xml::push_element(&mut text, "Message", message);
    text.push_str("</Error>");
    let mut reply = reply::xml(status, text);
    reply.headers_mut().insert(ERROR_CODE, HeaderValue::from_static(code));
    reply
}

fn describe(refusal: Refusal) -> (StatusCode, &'static str, &'static str) {
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    const MISSING: StatusCode = StatusCode::NOT_FOUND;
    const CONFLICT: StatusCode = StatusCode::CONFLICT;
    match refusal {
        Refusal::NoBucket => (MISSING, "ContainerNotFound", "There is no such container."),
        Refusal::BucketExists => {
            (CONFLICT, "ContainerAlreadyExists", "There is such a container already.")
        }
        Refusal::BucketNotEmpty => {
            (CONFLICT, "ContainerBeingDeleted", "The container holds blobs.")
        }
        Refusal::NoKey | Refusal::NoVersion | Refusal::DeleteMarker | Refusal::NoUpload => {
            (MISSING, "BlobNotFound", "There is no such blob.")
        }
        Refusal::KeyExists => (CONFLICT, "BlobAlreadyExists", "There is such a blob already."),
        Refusal::PreconditionFailed => {
            (StatusCode::PRECONDITION_FAILED, "ConditionNotMet", "A condition does not hold.")
        }
        Refusal::NotModified => (StatusCode::NOT_MODIFIED, "ConditionNotMet", "It is as it was."),
        Refusal::InvalidRange { .. } => {
            (StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", "The range lies beyond the blob.")
        }
        Refusal::BadDigest => (BAD, "Md5Mismatch", "The body does not have the given MD5."),
        Refusal::InvalidDigest => (BAD, "InvalidMd5", "The given MD5 is none."),
        Refusal::BadChecksum => {
            (BAD, "Crc64Mismatch", "The body does not have the given checksum.")
        }
        Refusal::InvalidPart
        | Refusal::InvalidPartOrder
        | Refusal::PartTooSmall
        | Refusal::InvalidBlocks => (BAD, "InvalidBlockList", "A block of the list is missing."),
        Refusal::IncompleteBody => (BAD, "IncompleteBody", "The body is shorter than announced."),
        Refusal::Malformed => {
            (BAD, "InvalidXmlDocument", "The body is not the XML that is asked for.")
        }
        Refusal::InvalidUri => (BAD, "InvalidUri", "The path is not UTF-8."),
        Refusal::KeyTooLong => (BAD, "OutOfRangeInput", "The name is over 1,024 characters."),
        Refusal::Invalid(what) => (BAD, "InvalidInput", what),
        Refusal::MethodNotAllowed => (
            StatusCode::METHOD_NOT_ALLOWED,
            "UnsupportedHttpVerb",
            "The resource does not take this method.",
        ),
        Refusal::Unsupported(what) => (StatusCode::NOT_IMPLEMENTED, "NotImplemented", what),
        Refusal::Full => (CONFLICT, "AccountQuotaExceeded", "The account is full."),
    }
}
