//! Bodies: what is sent (a payload, or a stream of known length) and what is received.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use futures::stream::BoxStream;
use http_body::{Body, Frame, SizeHint};
use object_store::client::{HttpError, HttpErrorKind, HttpRequestBody};

use super::{connection::Connection, error::Problem, origin::Origin};

/// Whether the body of a request moves, for the time-out of its answer: an upload may take its time.
#[derive(Default)]
pub(super) struct Progress(AtomicU8);

const QUIET: u8 = 0;
const MOVED: u8 = 1;
const WAITS_FOR_SOURCE: u8 = 2;

impl Progress {
    fn set(&self, state: u8) {
        self.0.store(state, Ordering::Relaxed);
    }

    pub(super) fn reset(&self) {
        self.set(QUIET);
    }

    /// Whether the server has not been waited for all the time since this was asked last.
    pub(super) fn take(&self) -> bool {
        match self.0.load(Ordering::Relaxed) {
            MOVED => {
                self.reset();
                true
            }
            state => state == WAITS_FOR_SOURCE,
        }
    }
}

/// The body of a request.
pub(super) struct RequestBody {
    content: Content,
    progress: Arc<Progress>,
}

pub(super) enum Content {
    Payload(HttpRequestBody),
    Streamed(Streamed),
}

impl RequestBody {
    pub(super) fn new(content: Content, progress: Arc<Progress>) -> Self {
        Self { content, progress }
    }

    pub(super) fn into_content(self) -> Content {
        self.content
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let polled = match &mut self.content {
            Content::Payload(payload) => Pin::new(payload).poll_frame(cx),
            Content::Streamed(stream) => {
                stream.poll_chunk(cx).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
            }
        };
        self.progress.set(if polled.is_pending() { WAITS_FOR_SOURCE } else { MOVED });
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Payload(payload) => payload.is_end_stream(),
            Content::Streamed(stream) => stream.unsent == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Payload(payload) => payload.size_hint(),
            Content::Streamed(stream) => SizeHint::with_exact(stream.unsent),
        }
    }
}

/// A stream that yields exactly as many bytes as were announced, or fails before the last of them.
pub(super) struct Streamed {
    // Never contended: it makes the stream `Sync`.
    stream: Mutex<BoxStream<'static, io::Result<Bytes>>>,
    /// What the stream still has to yield.
    expected: u64,
    /// What was not handed on yet.
    unsent: u64,
    /// The last bytes, held back until the stream has ended: the server must not see a whole object before.
    last: Option<Bytes>,
}

impl Streamed {
    pub(super) fn new(length: u64, stream: BoxStream<'static, io::Result<Bytes>>) -> Self {
        Self { stream: Mutex::new(stream), expected: length, unsent: length, last: None }
    }

    pub(super) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, HttpError>>> {
        let stream = self.stream.get_mut().unwrap_or_else(PoisonError::into_inner);
        let chunk = loop {
            match ready!(stream.as_mut().poll_next(cx)) {
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => {
                    let Some(rest) = self.expected.checked_sub(chunk.len() as u64) else {
                        return Poll::Ready(Some(Err(Problem::Long.into())));
                    };
                    self.expected = rest;
                    if rest > 0 {
                        break chunk;
                    }
                    self.last = Some(chunk);
                }
                Some(Err(error)) => {
                    return Poll::Ready(Some(Err(HttpError::new(HttpErrorKind::Unknown, error))));
                }
                None if self.expected > 0 => {
                    return Poll::Ready(Some(Err(Problem::Short(self.expected).into())));
                }
                None => match self.last.take() {
                    Some(chunk) => break chunk,
                    None => return Poll::Ready(None),
                },
            }
        };
        self.unsent -= chunk.len() as u64;
        Poll::Ready(Some(Ok(chunk)))
    }
}

/// The body of an answer, which drives its connection and gives it back at its end. Dropped before, it closes the connection.
// The mutex is never contended: it makes the connection `Sync`, as `object_store` asks for.
pub(super) struct ResponseBody(Mutex<Receiving>);

struct Receiving {
    incoming: hyper::body::Incoming,
    /// `None` when the body is over.
    connection: Option<(Box<Connection>, Arc<Origin>)>,
}

impl ResponseBody {
    pub(super) fn new(
        incoming: hyper::body::Incoming,
        connection: Box<Connection>,
        origin: Arc<Origin>,
    ) -> Self {
        Self(Mutex::new(Receiving { incoming, connection: Some((connection, origin)) }))
    }

    fn receiving(&mut self) -> &mut Receiving {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receiving {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let Some((connection, origin)) = &mut self.connection else {
            return Poll::Ready(None);
        };
        let frame = ready!(connection.poll_body(&mut self.incoming, origin.times.idle, cx));
        if !matches!(frame, Some(Ok(_)))
            && let Some((connection, origin)) = self.connection.take()
            && frame.is_none()
        {
            origin.give_back(connection);
        }
        Poll::Ready(frame)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        self.receiving().poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        let receiving = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        receiving.connection.is_none() || receiving.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).incoming.size_hint()
    }
}

impl Drop for ResponseBody {
    /// What is left of a short body is most often here already, and reading it saves the connection.
    fn drop(&mut self) {
        /// Bytes that are read for nothing at most.
        const SHORT: u64 = 64 << 10;
        let receiving = self.receiving();
        if receiving.incoming.size_hint().upper().is_some_and(|left| left <= SHORT) {
            let mut passive = Context::from_waker(Waker::noop());
            while let Poll::Ready(Some(Ok(_))) = receiving.poll(&mut passive) {}
        }
    }
}
