//! Opens object stores by URL, with a thin and fast HTTP client under them.
//!
//! [`open`] turns a URL into a [`cloud_core::ObjectLocation`]: the handle of the store, the folder in it, and what the
//! handle guarantees. Credentials are never part of a URL.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> cloud_core::Result<()> {
//! use cloud_objects::{OpenOptions, open};
//! use object_store::ObjectStoreExt;
//!
//! let location = open("memory://example/photos", &OpenOptions::default()).await?;
//! location.store.put(&location.prefix.clone().join("a.jpg"), "...".into()).await?;
//! # Ok(()) }
//! ```
//!
//! # The HTTP client
//! Requests to S3, Azure and Google go through a [`Connector`] of this crate: HTTP/1.1 over rustls, a pool of connections per
//! server, without a task per connection. It needs a tokio runtime with I/O and time enabled.
//!
//! - A connection that the server closed while it was idle is replaced without an error.
//! - A request or body that is dropped before its end closes its connection; none goes back to the pool half read.
//! - Time-outs: see [`OpenOptions`]. There is none for a whole transfer: one that moves may go on.
//! - Proxies (`HTTPS_PROXY`) and HTTP/2 are not supported.
//!
//! # What travels beside a request
//! - A put with a [`StreamedBody`](cloud_core::StreamedBody) in its extensions sends the stream. It is never repeated by the
//!   handle: its error has a [`cloud_core::Error`] among its causes that says whether the whole put can be. A stream that is
//!   shorter or longer than it said, or fails, breaks the connection before its last byte was sent: the store keeps nothing.
//! - A put with a [`ContentMd5`](cloud_core::ContentMd5) is checked by the store where the traits say so. Azure and Google tell
//!   the MD5 of what they have in the extensions of results, also as a `ContentMd5`.
//! - Listings leave out keys that [`Path`](object_store::path::Path) cannot say, and report them in
//!   [`ObjectLocation::refused`](cloud_core::ObjectLocation::refused).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod address;
mod azure;
mod gcs;
mod guard;
mod http;
mod local;
mod open;
mod options;
mod profile;
mod s3;
mod sigv4;

pub use http::Connector;
pub use open::open;
pub use options::{Credentials, OpenOptions};
