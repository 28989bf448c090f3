//! One HTTP/1.1 connection. No task of its own drives it: whoever waits for an answer or a body does, which saves a wake-up
//! and a hand-over each.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use object_store::client::HttpError;
use tokio::{
    runtime::{Handle, Id},
    sync::OwnedSemaphorePermit,
};

use super::{
    body::{Content, Progress, RequestBody},
    deadline::Deadline,
    error::{Problem, of_hyper},
    io::Io,
};

/// Bytes that are read or written at once at most.
const BUFFER: usize = 512 << 10;

/// An open connection, which one request uses at a time.
pub(super) struct Connection {
    sender: SendRequest<RequestBody>,
    driver: http1::Connection<TokioIo<Io>, RequestBody>,
    /// The driver has ended, and may not be polled again.
    over: bool,
    /// Whether a request was answered on it before.
    pub(super) reused: bool,
    deadline: Deadline,
    progress: Arc<Progress>,
    /// Where its socket and timer are looked after.
    pub(super) runtime: Id,
    /// The right to be in use, where connections are limited.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// Why there is no answer.
pub(super) enum Failed {
    /// The connection was closed before anything was sent: here is the request again.
    Unsent(Box<Request<Content>>),
    Error(HttpError),
}

impl Connection {
    pub(super) async fn new(io: Io, time: Duration) -> hyper::Result<Self> {
        let (sender, driver) =
            http1::Builder::new().max_buf_size(BUFFER).handshake(TokioIo::new(io)).await?;
        Ok(Self {
            sender,
            driver,
            over: false,
            runtime: Handle::current().id(),
            reused: false,
            deadline: Deadline::after(time),
            progress: Arc::default(),
            permit: None,
        })
    }

    /// Whether the next request can be sent: the last one is over, and the server has not closed as far as is known.
    pub(super) fn is_ready(&mut self) -> bool {
        if !self.sender.is_ready() {
            // The end of the last exchange may not have been seen.
            let _ = self.drive(&mut Context::from_waker(Waker::noop()));
        }
        !self.over && self.sender.is_ready()
    }

    /// Sends a request and waits for the head of its answer, at most `time` after the request's body last moved.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Content>,
        time: Duration,
    ) -> Result<Response<Incoming>, Failed> {
        self.progress.reset();
        self.deadline.set(time);
        let progress = self.progress.clone();
        let request = request.map(|content| RequestBody::new(content, progress));
        let mut answer = pin!(self.sender.try_send_request(request));
        poll_fn(|cx| {
            let driven = Self::poll_driver(&mut self.driver, &mut self.over, cx);
            // Nobody but the driver can make the answer ready, and it was just polled.
            let polled = answer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(answer) = polled {
                return Poll::Ready(answer.map_err(|mut error| match error.take_message() {
                    Some(request) => {
                        Failed::Unsent(Box::new(request.map(RequestBody::into_content)))
                    }
                    None => Failed::Error(of_hyper(error.into_error())),
                }));
            }
            if driven.is_ready() {
                return Poll::Ready(Err(Failed::Error(Problem::Cut.into())));
            }
            while self.deadline.poll(cx).is_ready() {
                if !self.progress.take() {
                    return Poll::Ready(Err(Failed::Error(Problem::FirstByte(time).into())));
                }
                self.deadline.set(time);
            }
            Poll::Pending
        })
        .await
    }

    /// The next piece of a body; an error if it takes longer than `time`.
    pub(super) fn poll_body(
        &mut self,
        incoming: &mut Incoming,
        time: Duration,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let mut passive = Context::from_waker(Waker::noop());
        let mut frame = Pin::new(&mut *incoming).poll_frame(&mut passive);
        if frame.is_pending() {
            let over = self.drive(cx).is_ready();
            frame = Pin::new(incoming).poll_frame(&mut passive);
            if frame.is_pending() {
                if over {
                    return Poll::Ready(Some(Err(Problem::Cut.into())));
                }
                return self.deadline.poll(cx).map(|()| Some(Err(Problem::Idle(time).into())));
            }
        }
        self.deadline.set(time);
        frame.map(|frame| frame.map(|frame| frame.map_err(of_hyper)))
    }

    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Self::poll_driver(&mut self.driver, &mut self.over, cx)
    }

    /// Moves what can be moved. How it ended is told to the one who waits for the answer.
    fn poll_driver(
        driver: &mut http1::Connection<TokioIo<Io>, RequestBody>,
        over: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if !*over {
            *over = Pin::new(driver).poll(cx).is_ready();
        }
        if *over { Poll::Ready(()) } else { Poll::Pending }
    }
}
