//! Answers: a body of shared pieces, and how it ends.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::content::Content;

/// What every handler answers.
pub(crate) type Reply = Response<ReplyBody>;

/// The error a body ends with when it is to be cut.
#[derive(Debug)]
pub(crate) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the connection is closed on purpose")
    }
}

impl std::error::Error for Cut {}

impl From<Infallible> for Cut {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// A body that hands out its pieces as they are.
#[derive(Debug, Default)]
pub(crate) struct ReplyBody {
    content: Content,
    next: usize,
    /// Bytes announced but never sent: the connection breaks before them.
    missing: u64,
    flushed: bool,
}

impl ReplyBody {
    pub(crate) fn content(&self) -> &Content {
        &self.content
    }

    /// Announces all of `content` and breaks off after `sent` bytes.
    pub(crate) fn cut(content: &Content, sent: u64) -> Self {
        Self {
            content: content.slice(0..sent),
            next: 0,
            missing: content.len() - sent,
            flushed: false,
        }
    }
}

impl From<Content> for ReplyBody {
    fn from(content: Content) -> Self {
        Self { content, ..Self::default() }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(segment) = self.content.segments().get(self.next) {
            let segment = segment.clone();
            self.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(segment))));
        }
        if self.missing == 0 {
            return Poll::Ready(None);
        }
        // Once round the loop of the connection, so that it sends what it has before it learns of the end.
        if !std::mem::replace(&mut self.flushed, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(Cut)))
    }

    fn is_end_stream(&self) -> bool {
        self.missing == 0 && self.next == self.content.segments().len()
    }

    fn size_hint(&self) -> SizeHint {
        let sent: u64 =
            self.content.segments()[..self.next].iter().map(|segment| segment.len() as u64).sum();
        SizeHint::with_exact(self.content.len() - sent + self.missing)
    }
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(ReplyBody::default());
    *reply.status_mut() = status;
    reply
}

/// An answer with headers and no body.
pub(crate) fn with_headers<const N: usize>(
    status: StatusCode,
    headers: [(HeaderName, HeaderValue); N],
) -> Reply {
    let mut reply = empty(status);
    reply.headers_mut().extend(headers);
    reply
}

/// A document.
pub(crate) fn document(status: StatusCode, content_type: &'static str, text: String) -> Reply {
    let mut reply = Response::new(ReplyBody::from(Content::from(Bytes::from(text))));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// An XML document.
pub(crate) fn xml(status: StatusCode, text: String) -> Reply {
    document(status, "application/xml", text)
}
