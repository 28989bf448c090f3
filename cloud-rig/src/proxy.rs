//! The reverse proxy between tests and a server: records what passes, strikes what it is told to, keeps client tokens.
//!
//! It has a thread and a clock of its own, so that neither a paused clock of a test nor the end of its runtime holds it up.
//! Requests pass unchanged (Host and the encoding of the path too), as signatures cover them.

use std::{
    convert::Infallible,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Frame, Incoming},
    client, header, server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::sleep,
};

use crate::{
    client_tokens::ClientTokens,
    faults::{Fault, Faults, Reply, What},
    record::{Record, Seen},
    wire,
};

/// A proxy in front of one server; ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    core: Arc<Core>,
    /// Dropped, it ends the thread.
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Core {
    upstream: SocketAddr,
    record: Record,
    faults: Mutex<Faults>,
    tokens: ClientTokens,
    call: Mutex<Option<String>>,
}

/// Says in the recording which call of an adapter the requests are sent for.
#[derive(Clone, Debug)]
pub struct Caller(Arc<Core>);

impl Caller {
    /// From now on it is this call; `None`: it is not known.
    pub fn is(&self, call: Option<&str>) {
        *self.0.call.lock().unwrap() = call.map(str::to_owned);
    }
}

/// The connection is closed without (the rest of) an answer.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut on purpose")
    }
}

impl std::error::Error for Cut {}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Proxy {
    /// In front of a server, whose name the recordings bear. Records into the folder that RECORD_REQUESTS names, if it does.
    pub fn start(server: &str, upstream: SocketAddr) -> Self {
        Self::recording(server, upstream, None)
    }

    /// In front of a server, recording also into a file of its own in another folder.
    pub fn recording(server: &str, upstream: SocketAddr, folder: Option<&Path>) -> Self {
        let of_all = Record::folder();
        let core = Arc::new(Core {
            upstream,
            record: Record::new(server, folder.into_iter().chain(of_all.as_deref())),
            faults: Mutex::default(),
            tokens: ClientTokens::default(),
            call: Mutex::default(),
        });
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let serving = core.clone();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(serving, TcpListener::from_std(listener).unwrap()) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, core, stop: Some(stop), thread: Some(thread) }
    }

    /// For the client's endpoint.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far, in the order in which they came.
    pub fn requests(&self) -> Vec<Seen> {
        self.core.record.all().clone()
    }

    /// How many requests match so far.
    pub fn count(&self, matches: impl Fn(&Seen) -> bool) -> usize {
        self.core.record.all().iter().filter(|seen| matches(seen)).count()
    }

    /// To say for which call the requests are sent.
    pub fn caller(&self) -> Caller {
        Caller(self.core.clone())
    }

    /// Adds a rule, after those that are there.
    pub fn inject(&self, fault: Fault) {
        self.core.faults.lock().unwrap().add(fault);
    }

    /// How many strikes of the rules are still to come: 0 says that all have struck.
    pub fn faults_left(&self) -> usize {
        self.core.faults.lock().unwrap().left()
    }

    /// Drops all rules.
    pub fn clear_faults(&self) {
        self.core.faults.lock().unwrap().clear();
    }
}

type Body = UnsyncBoxBody<Bytes, Cut>;

async fn serve(core: Arc<Core>, listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let core = core.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| handle(core.clone(), request));
            // An error is a client that left, or a connection cut on purpose.
            let connection = server::conn::http1::Builder::new();
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn handle(core: Arc<Core>, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let mut seen = Seen {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: (head.headers.iter())
            .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
            .collect(),
        body: body.clone(),
        call: core.call.lock().unwrap().clone(),
        ..Seen::default()
    };
    wire::identify(&mut seen);
    core.record.begin(&mut seen);
    let request = Request::from_parts(head, Full::new(body));
    // A task of its own: the server finishes what it was sent, also when the client has left.
    tokio::spawn(async move { core.answer(&seen, request).await }).await.map_err(|_| Cut)?
}

impl Core {
    async fn answer(
        &self,
        seen: &Seen,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Body>, Cut> {
        let fault = self.faults.lock().unwrap().strike(seen);
        match &fault {
            Some(What::Delay(time)) => sleep(*time).await,
            Some(What::Drop) => {
                self.record.end(seen, None);
                return Err(Cut);
            }
            Some(What::Answer(make)) => {
                let reply = make(seen);
                self.record.end(seen, Some((reply.status.as_u16(), false, &reply.body)));
                return Ok(whole(reply));
            }
            _ => {}
        }
        let answered = self.tokens.once(seen, self.forward(request)).await;
        let (reply, by_server) = answered.unwrap_or_else(|error: BoxError| {
            (Reply::new(502, "text/plain", format!("the server did not answer: {error}")), false)
        });
        self.record.end(seen, Some((reply.status.as_u16(), by_server, &reply.body)));
        match fault {
            Some(What::ForwardThenDrop) => half(reply),
            Some(What::DelayAnswer(time)) => {
                sleep(time).await;
                Ok(whole(reply))
            }
            _ => Ok(whole(reply)),
        }
    }

    async fn forward(&self, request: Request<Full<Bytes>>) -> Result<Reply, BoxError> {
        let (mut head, body) = request.into_parts();
        // The body is at hand as a whole now.
        head.headers.remove(header::TRANSFER_ENCODING);
        head.headers.remove(header::CONNECTION);
        let stream = TokioIo::new(TcpStream::connect(self.upstream).await?);
        let (mut sender, connection) = client::conn::http1::handshake(stream).await?;
        tokio::spawn(connection);
        let response = sender.send_request(Request::from_parts(head, body)).await?;
        let (mut head, body) = response.into_parts();
        head.headers.remove(header::TRANSFER_ENCODING);
        head.headers.remove(header::CONNECTION);
        let body = body.collect().await?.to_bytes();
        Ok(Reply { status: head.status, headers: head.headers, body })
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn response(status: StatusCode, headers: hyper::HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn whole(reply: Reply) -> Response<Body> {
    let body = Full::new(reply.body).map_err(|never| match never {}).boxed_unsync();
    response(reply.status, reply.headers, body)
}

/// The head, which promises the whole body, and half of it.
fn half(mut reply: Reply) -> Result<Response<Body>, Cut> {
    if reply.body.is_empty() {
        return Err(Cut);
    }
    reply.headers.insert(header::CONTENT_LENGTH, reply.body.len().into());
    let half = reply.body.slice(..reply.body.len() / 2);
    let cut = stream::once(async {
        // What came before it is sent first.
        tokio::task::yield_now().await;
        Err(Cut)
    });
    let frames = stream::iter([Ok(Frame::data(half))]).chain(cut);
    Ok(response(reply.status, reply.headers, StreamBody::new(frames).boxed_unsync()))
}
