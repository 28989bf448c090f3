//! A thin HTTP/1.1 client for `object_store`: hyper's connections, driven by the request that uses them, in a pool.
//!
//! What it does beyond sending: [`StreamedBody`](cloud_core::StreamedBody) and [`ContentMd5`](cloud_core::ContentMd5) of a
//! request, the MD5 and clock of an answer, and the [guard](crate::guard) over listings.

mod body;
mod connection;
mod connector;
mod deadline;
mod error;
mod exchange;
mod io;
mod origin;
mod tls;

pub use connector::Connector;
pub(crate) use connector::{Dialect, Observed};
pub(crate) use origin::is_loopback;
