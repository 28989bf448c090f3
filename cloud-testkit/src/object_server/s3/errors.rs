//! The codes in which S3 refuses.

use hyper::StatusCode;
use hyper::header::{CONTENT_RANGE, HeaderName, HeaderValue};

use crate::object_server::refusal::Refusal;
use crate::object_server::reply::{self, Reply};
use crate::object_server::xml;

/// The answer to a request that fails. A HEAD gets no body, which the connection sees to.
pub(crate) fn answer(refusal: Refusal) -> Reply {
    let (status, code, message) = describe(refusal);
    if refusal == Refusal::NotModified {
        return reply::empty(StatusCode::NOT_MODIFIED);
    }
    let mut reply = error(status, code, message);
    match refusal {
        Refusal::InvalidRange { size } => {
            if let Ok(value) = HeaderValue::try_from(format!("bytes */{size}")) {
                reply.headers_mut().insert(CONTENT_RANGE, value);
            }
        }
        Refusal::DeleteMarker => {
            let name = HeaderName::from_static("x-amz-delete-marker");
            reply.headers_mut().insert(name, HeaderValue::from_static("true"));
        }
        _ => {}
    }
    reply
}

/// The answer of a fault with that status.
pub(crate) fn fault(status: StatusCode) -> Reply {
    let code = match status.as_u16() {
        403 => "AccessDenied",
        404 => "NoSuchKey",
        408 => "RequestTimeout",
        409 => "OperationAborted",
        429 => "TooManyRequests",
        502 => "BadGateway",
        503 => "SlowDown",
        504 => "GatewayTimeout",
        _ => "InternalError",
    };
    error(status, code, "A fault that was asked for.")
}

fn error(status: StatusCode, code: &str, message: &str) -> Reply {
    let mut text = String::from(xml::HEAD);
    text.push_str("<Error>");
    xml::push_element(&mut text, "Code", code);
    xml::push_element(&mut text, "Message", message);
    text.push_str("</Error>");
    reply::xml(status, text)
}

fn describe(refusal: Refusal) -> (StatusCode, &'static str, &'static str) {
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    const MISSING: StatusCode = StatusCode::NOT_FOUND;
    const CONFLICT: StatusCode = StatusCode::CONFLICT;
    match refusal {
        Refusal::NoBucket => (MISSING, "NoSuchBucket", "There is no such bucket."),
        Refusal::BucketExists => {
            (CONFLICT, "BucketAlreadyOwnedByYou", "You have this bucket already.")
        }
        Refusal::BucketNotEmpty => (CONFLICT, "BucketNotEmpty", "The bucket holds objects."),
        Refusal::NoKey | Refusal::DeleteMarker => (MISSING, "NoSuchKey", "There is no such key."),
        Refusal::NoVersion => (MISSING, "NoSuchVersion", "There is no such version."),
        Refusal::NoUpload => (MISSING, "NoSuchUpload", "There is no such upload."),
        Refusal::KeyExists | Refusal::PreconditionFailed => {
            (StatusCode::PRECONDITION_FAILED, "PreconditionFailed", "A precondition does not hold.")
        }
        Refusal::NotModified => (StatusCode::NOT_MODIFIED, "NotModified", "It is as it was."),
        Refusal::InvalidRange { .. } => {
            (StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", "The range lies beyond the object.")
        }
        Refusal::BadDigest => (BAD, "BadDigest", "The body does not have the given Content-MD5."),
        Refusal::InvalidDigest => (BAD, "InvalidDigest", "The Content-MD5 is no MD5."),
        Refusal::BadChecksum => (BAD, "BadDigest", "The body does not have the given checksum."),
        Refusal::InvalidPart => (BAD, "InvalidPart", "A part is missing or has another ETag."),
        Refusal::InvalidPartOrder => {
            (BAD, "InvalidPartOrder", "The parts are not in ascending order.")
        }
        Refusal::PartTooSmall => {
            (BAD, "EntityTooSmall", "A part other than the last is too small.")
        }
        Refusal::InvalidBlocks => (BAD, "InvalidArgument", "The list of blocks is invalid."),
        Refusal::IncompleteBody => (BAD, "IncompleteBody", "The body is shorter than announced."),
        Refusal::Malformed => (BAD, "MalformedXML", "The body is not the XML that is asked for."),
        Refusal::InvalidUri => (BAD, "InvalidURI", "The path is not UTF-8."),
        Refusal::KeyTooLong => (BAD, "KeyTooLongError", "The key is over 1,024 bytes."),
        Refusal::Invalid(what) => (BAD, "InvalidArgument", what),
        Refusal::MethodNotAllowed => (
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "The resource does not take this method.",
        ),
        Refusal::Unsupported(what) => (StatusCode::NOT_IMPLEMENTED, "NotImplemented", what),
        // S3 itself is never full; this is what MinIO answers.
        Refusal::Full => {
            (StatusCode::INSUFFICIENT_STORAGE, "XMinioStorageFull", "The storage is full.")
        }
    }
}
