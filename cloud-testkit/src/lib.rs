//! What tests clouds: a simulated one, and a suite that any other must pass.
//!
//! - [`sim::SimCloud`] is a cloud in memory, seeded, on virtual time, that can fail in every way a real one can. Use it to test
//!   what is built on clouds.
//! - [`conformance`] is what every cloud must do. Use it to test an adapter: write a [`conformance::Harness`], call
//!   [`conformance::run_all`], and assert that the report has no failure.
//! - `object_server::ObjectServer` (feature `object-server`) is an S3 or Azure Blob service in memory, on a loopback port, that
//!   counts, delays and breaks requests. Use it to test and to measure what talks to object stores.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod conformance;
#[cfg(feature = "object-server")]
pub mod object_server;
pub mod sim;
