//! What tests clouds: a simulated one, and a suite that any other must pass.
//!
//! - [`sim::SimCloud`] is a cloud in memory, seeded, on virtual time, that can fail in every way a real one can. Use it to test
//!   what is built on clouds.
//! - [`conformance`] is what every cloud must do. Use it to test an adapter: write a [`conformance::Harness`], call
//!   [`conformance::run_all`], and assert that the report has no failure.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod conformance;
pub mod sim;
