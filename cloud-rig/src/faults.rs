//! What goes wrong on purpose: rules that strike the requests they match, so many times.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode, header::HeaderValue};

use crate::{record::Seen, wire};

/// An answer, ready to be sent.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(content_type));
        Self { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into() }
    }
}

/// What happens to a request that is struck.
#[derive(Clone)]
pub enum What {
    /// It reaches the server late.
    Delay(Duration),
    /// It reaches the server at once, whose answer comes late: with a client that gives up earlier, the ambiguous case.
    DelayAnswer(Duration),
    /// The connection is closed; the server never sees it.
    Drop,
    /// The server does it; of its answer only the head and half of the body arrive, or nothing if it has no body.
    ForwardThenDrop,
    /// The server never sees it, and this is the answer.
    Answer(Arc<dyn Fn(&Seen) -> Reply + Send + Sync>),
}

impl fmt::Debug for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delay(time) => write!(f, "Delay({time:?})"),
            Self::DelayAnswer(time) => write!(f, "DelayAnswer({time:?})"),
            Self::Drop => f.write_str("Drop"),
            Self::ForwardThenDrop => f.write_str("ForwardThenDrop"),
            Self::Answer(_) => f.write_str("Answer"),
        }
    }
}

impl What {
    pub fn answer(reply: Reply) -> Self {
        Self::Answer(Arc::new(move |_| reply.clone()))
    }

    /// An error in the format of the service that is asked.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let (code, message) = (code.to_owned(), message.to_owned());
        Self::Answer(Arc::new(move |seen| wire::error(seen, status, &code, &message)))
    }

    /// Too many requests, as the service that is asked says it.
    pub fn throttled() -> Self {
        Self::Answer(Arc::new(|seen| {
            let (status, code) = wire::throttled(seen);
            wire::error(seen, status, code, "Rate exceeded")
        }))
    }

    /// The session has expired, as the service that is asked says it.
    pub fn expired_token() -> Self {
        Self::Answer(Arc::new(|seen| {
            let (status, code) = wire::expired(seen);
            wire::error(seen, status, code, "The security token included in the request is expired")
        }))
    }

    /// The service has failed within.
    pub fn internal_error() -> Self {
        Self::Answer(Arc::new(|seen| {
            let code = wire::internal(seen);
            wire::error(seen, 500, code, "We encountered an internal error. Please try again.")
        }))
    }

    /// What a load balancer answers whose servers are gone: no format of the service at all.
    pub fn bad_gateway() -> Self {
        Self::answer(Reply::new(502, "text/html", "<html><body>502 Bad Gateway</body></html>"))
    }
}

type Matches = Box<dyn Fn(&Seen) -> bool + Send>;

/// A rule: what happens to the requests that match, the next time or times.
pub struct Fault {
    matches: Matches,
    times: usize,
    what: What,
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {} times", self.what, self.times)
    }
}

impl Fault {
    /// Strikes the next request of an operation, such as `("ec2", "RunInstances")`; the service by its signing name.
    pub fn on(service: &'static str, operation: &'static str, what: What) -> Self {
        Self::when(move |seen| seen.is(service, operation), what)
    }

    /// Strikes the next request that matches.
    pub fn when(matches: impl Fn(&Seen) -> bool + Send + 'static, what: What) -> Self {
        Self { matches: Box::new(matches), times: 1, what }
    }

    /// Strikes so many requests: more than the client repeats, and the fault reaches the caller.
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }
}

/// The rules of one proxy; the first that matches strikes.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// How many strikes are still to come.
    pub(super) fn left(&self) -> usize {
        self.0.iter().map(|fault| fault.times).sum()
    }

    pub(super) fn strike(&mut self, seen: &Seen) -> Option<What> {
        let fault = self.0.iter_mut().find(|fault| fault.times > 0 && (fault.matches)(seen))?;
        fault.times -= 1;
        Some(fault.what.clone())
    }
}
