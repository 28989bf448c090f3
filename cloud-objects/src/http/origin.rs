//! The connections to one server: the idle ones kept for the next request, new ones made when there is none.

use std::{
    collections::VecDeque,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use http::{HeaderValue, Uri};
use object_store::client::{HttpError, HttpErrorKind};
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, runtime::Handle, sync::Semaphore, time::Instant};

use super::{connection::Connection, error::Problem, io::Io, tls::Tls};

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) connect: Duration,
    pub(super) first_byte: Duration,
    pub(super) idle: Duration,
    pub(super) pooled: Duration,
}

/// A scheme, host and port.
pub(super) struct Origin {
    pub(super) uri: Uri,
    /// The `Host` header.
    pub(super) host: HeaderValue,
    pub(super) times: Times,
    encrypted: bool,
    tls: Arc<Tls>,
    limit: Option<Arc<Semaphore>>,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// The one used last is at the back.
    connections: VecDeque<(Box<Connection>, Instant)>,
    /// A task looks after them.
    watched: bool,
}

impl Origin {
    pub(super) fn new(
        uri: &Uri,
        times: Times,
        tls: Arc<Tls>,
        most: Option<usize>,
    ) -> Result<Self, HttpError> {
        let host = uri.authority().map(|authority| {
            // Without the name of a user, which no request of `object_store` has.
            let text = authority.as_str();
            text.rsplit_once('@').map_or(text, |(_, host)| host)
        });
        let host = host.and_then(|host| HeaderValue::from_str(host).ok()).ok_or(Problem::NoHost)?;
        Ok(Self {
            uri: uri.clone(),
            host,
            times,
            encrypted: uri.scheme_str() != Some("http"),
            tls,
            limit: most.map(|most| Arc::new(Semaphore::new(most))),
            idle: Mutex::default(),
        })
    }

    pub(super) fn is(&self, uri: &Uri) -> bool {
        self.uri.authority() == uri.authority() && self.uri.scheme() == uri.scheme()
    }

    /// A connection for one request: the idle one that was used last, else a new one.
    pub(super) async fn connection(&self) -> Result<Box<Connection>, HttpError> {
        let permit = match &self.limit {
            // It is never closed.
            Some(limit) => limit.clone().acquire_owned().await.ok(),
            None => None,
        };
        let mut connection = match self.idle() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        connection.permit = permit;
        Ok(connection)
    }

    fn idle(&self) -> Option<Box<Connection>> {
        let (connection, since) = self.locked().connections.pop_back()?;
        // One of another runtime is useless when that has ended.
        let here = Handle::current().id() == connection.runtime;
        (here && since.elapsed() < self.times.pooled).then_some(connection)
    }

    /// Keeps a connection for the next request, if it is fit for one.
    pub(super) fn give_back(self: &Arc<Self>, mut connection: Box<Connection>) {
        if !connection.is_ready() {
            return;
        }
        connection.reused = true;
        connection.permit = None;
        let mut idle = self.locked();
        idle.connections.push_back((connection, Instant::now()));
        // A body may be dropped where there is no runtime; the next one that is not will see to it.
        if !idle.watched
            && let Ok(runtime) = Handle::try_current()
        {
            idle.watched = true;
            drop(idle);
            runtime.spawn(watch(Arc::downgrade(self), self.times.pooled));
        }
    }

    async fn connect(&self) -> Result<Box<Connection>, HttpError> {
        let opening = async {
            let io = self.open().await.map_err(|e| HttpError::new(HttpErrorKind::Connect, e))?;
            let opened = Connection::new(io, self.times.first_byte).await;
            opened.map(Box::new).map_err(|e| HttpError::new(HttpErrorKind::Connect, e))
        };
        match tokio::time::timeout(self.times.connect, opening).await {
            Ok(opened) => opened,
            Err(_) => {
                let host = self.host.to_str().unwrap_or_default().to_owned();
                Err(Problem::Connect(host, self.times.connect).into())
            }
        }
    }

    async fn open(&self) -> io::Result<Io> {
        let host = self.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = self.uri.port_u16().unwrap_or(if self.encrypted { 443 } else { 80 });
        let tcp = TcpStream::connect((host, port)).await?;
        tcp.set_nodelay(true)?;
        if !self.encrypted {
            return Ok(Io::Plain(tcp));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let tls = self.tls.connector().await?.connect(name, tcp).await?;
        Ok(Io::Tls(Box::new(tls)))
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the connections that were idle too long; whether any is left.
    fn sweep(&self) -> bool {
        let mut closed = Vec::new();
        let mut idle = self.locked();
        while idle
            .connections
            .front()
            .is_some_and(|(_, since)| since.elapsed() >= self.times.pooled)
        {
            closed.extend(idle.connections.pop_front());
        }
        idle.watched = !idle.connections.is_empty();
        idle.watched
    }
}

/// Closes idle connections in time, as long as there are any.
async fn watch(origin: Weak<Origin>, pooled: Duration) {
    loop {
        tokio::time::sleep(pooled).await;
        if !origin.upgrade().is_some_and(|origin| origin.sweep()) {
            return;
        }
    }
}

/// Whether requests to this host do not leave the machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
