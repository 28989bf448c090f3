//! What tests clouds: a simulated one, and a suite that any other must pass.
//!
//! - [`sim::SimCloud`] is a cloud in memory, seeded, on virtual time, that can fail in every way a real one can.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod sim;
