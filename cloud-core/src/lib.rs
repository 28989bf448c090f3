//! The vocabulary of multi-cloud work.
//!
//! This crate says what a cloud is, and knows none: no SDK, no HTTP client. Adapters (`cloud-local`, `cloud-aws`, …)
//! implement its [service traits](service); patterns (`cloud-patterns`) call them; an application uses either or both.
//!
//! - [`Cloud`] is one registered account at one provider. It hands out [`Compute`], [`Storage`], [`Database`],
//!   [`Network`], [`Kubernetes`], [`Functions`], [`Metrics`], [`Dns`] and [`Billing`].
//! - Specs ([`InstanceSpec`], [`BucketSpec`], …) are portable; what is not goes under [`Overrides`].
//! - [`Capabilities`] say what a cloud can do before anything is asked of it.
//! - [`Error`] says what went wrong, how far it reaches, whether anything happened, and whether to try again.
//! - [Interceptors](intercept) put retry, time-outs, limits, tracing, audit and chaos around every call.
//! - [`ClientToken`] and [`Ownership`] make every creation repeatable and every resource traceable.
//!
//! # Features
//! `mock`: a mockall mock of every service trait (`MockCloud`, `MockCompute`, …), for the tests of whoever uses them.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod capabilities;
mod clock;
mod clouds;
mod error;
pub mod intercept;
mod listing;
mod location;
mod money;
mod objects;
mod overrides;
mod provider;
mod quota;
mod resource;
pub mod secret;
pub mod service;
mod size;
mod tags;
pub mod text;
mod token;
mod wait;

pub use capabilities::*;
pub use clock::*;
pub use clouds::*;
pub use error::*;
pub use listing::*;
pub use location::*;
pub use money::*;
pub use objects::*;
pub use overrides::*;
pub use provider::*;
pub use quota::*;
pub use resource::*;
pub use secret::{SecretRef, SecretString};
pub use service::*;
pub use size::*;
pub use tags::*;
pub use token::*;
pub use wait::*;
