//! Why a request is refused, before a dialect gives it a status and a code.

/// Each reason for which a well-meant request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoBucket,
    BucketExists,
    BucketNotEmpty,
    NoKey,
    NoVersion,
    /// The version asked for is a delete marker.
    DeleteMarker,
    NoUpload,
    KeyExists,
    PreconditionFailed,
    NotModified,
    /// The range starts at or after the object's end.
    InvalidRange {
        size: u64,
    },
    BadDigest,
    InvalidDigest,
    BadChecksum,
    InvalidPart,
    InvalidPartOrder,
    PartTooSmall,
    InvalidBlocks,
    IncompleteBody,
    Malformed,
    InvalidUri,
    KeyTooLong,
    Invalid(&'static str),
    MethodNotAllowed,
    Unsupported(&'static str),
    /// The server holds all it may.
    Full,
}
