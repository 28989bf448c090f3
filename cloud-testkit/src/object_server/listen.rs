//! Sockets: accepting connections and serving each to its end.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::Shared;
use super::service::serve;

/// How much of a body is read from a socket at once.
const READ_LIMIT: usize = 1 << 20;

/// Waited after a connection could not be accepted, as when no file descriptor is left: those that end free some.
const REST: Duration = Duration::from_millis(10);

pub(crate) async fn bind(port: u16) -> std::io::Result<(TcpListener, u16)> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// Serves until it is dropped, which also ends its connections.
pub(crate) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, shared.clone()));
                }
                Err(_) => tokio::time::sleep(REST).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves for ever, each connection on the next of `runtimes`, which saves the cost of moving work between threads.
pub(crate) async fn accept_spread(listener: TcpListener, shared: Arc<Shared>, runtimes: &[Handle]) {
    for runtime in runtimes.iter().cycle() {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(REST).await;
            continue;
        };
        let Ok(stream) = stream.into_std() else { continue };
        let shared = shared.clone();
        // From within its own runtime: a socket belongs to the one that registers it.
        runtime.spawn(async move {
            if let Ok(stream) = TcpStream::from_std(stream) {
                connection(stream, shared).await;
            }
        });
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    // Small answers must not wait for acknowledgements; a socket that refuses is about to break anyway.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| serve(shared.clone(), request));
    let served = http1::Builder::new()
        .max_buf_size(READ_LIMIT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    // A client that goes away, or a fault that closes: nobody is left to tell.
    drop(served);
}
