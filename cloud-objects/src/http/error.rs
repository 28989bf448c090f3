//! What went wrong on the way, in the kinds by which `object_store` decides whether to try again.

use std::{error::Error as StdError, io, time::Duration};

use object_store::client::{HttpError, HttpErrorKind};

/// An error of this client itself.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("connecting to {0} took longer than {1:?}")]
    Connect(String, Duration),
    #[error("no answer within {0:?}")]
    FirstByte(Duration),
    #[error("the body paused for longer than {0:?}")]
    Idle(Duration),
    #[error("the connection closed in the middle of an answer")]
    Cut,
    #[error(
        "the streamed body of this put was sent before; it can be sent once: repeat the whole put with a new one"
    )]
    Taken,
    #[error("the streamed body ended {0} bytes early")]
    Short(u64),
    #[error("the streamed body has more bytes than its length says")]
    Long,
    #[error("the streamed body has {streamed} bytes and the put announces {announced}")]
    Length { streamed: u64, announced: u64 },
    #[error(
        "plain http to {0} is not allowed; accepted: https, http to a loopback address, or allow_http"
    )]
    Plain(String),
    #[error("the request has no host")]
    NoHost,
    #[error("the listing has an entry that cannot be read: {0}")]
    Listing(&'static str),
}

impl Problem {
    pub(super) fn kind(&self) -> HttpErrorKind {
        match self {
            Self::Connect(..) => HttpErrorKind::Connect,
            Self::FirstByte(_) | Self::Idle(_) => HttpErrorKind::Timeout,
            Self::Cut => HttpErrorKind::Interrupted,
            Self::Listing(_) => HttpErrorKind::Decode,
            _ => HttpErrorKind::Unknown,
        }
    }
}

impl From<Problem> for HttpError {
    fn from(problem: Problem) -> Self {
        Self::new(problem.kind(), problem)
    }
}

/// An error of hyper, in the kinds that `object_store` gives to reqwest's errors.
pub(super) fn of_hyper(error: hyper::Error) -> HttpError {
    let kind = if error.is_user() {
        HttpErrorKind::Unknown
    } else if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_parse() {
        HttpErrorKind::Decode
    } else if error.is_closed()
        || error.is_canceled()
        || error.is_incomplete_message()
        || error.is_body_write_aborted()
    {
        HttpErrorKind::Request
    } else {
        of_io(&error)
    };
    HttpError::new(kind, error)
}

/// By the error of the operating system among the causes.
fn of_io(error: &hyper::Error) -> HttpErrorKind {
    let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
    match causes.find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind) {
        Some(io::ErrorKind::TimedOut) => HttpErrorKind::Timeout,
        Some(
            io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof,
        ) => HttpErrorKind::Interrupted,
        _ => HttpErrorKind::Unknown,
    }
}
