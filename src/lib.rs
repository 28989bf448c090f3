//! Several clouds behind one set of Rust types.
//!
//! This crate is the facade: it re-exports the others and adds [`connect`], which makes registered clouds of a `clouds.toml`.
//!
//! | module | crate | what |
//! |---|---|---|
//! | [`core`] | `cloud-core` | resource types, service traits, errors, interceptors |
//! | [`local`] | `cloud-local` | this machine as a cloud: the embedded default |
//! | `aws` | `cloud-aws` | Amazon Web Services |
//! | [`patterns`] | `cloud-patterns` | workloads, plans, orchestration, data sync |
//! | `objects` | `cloud-objects` | object stores by URL |
//! | `testkit` | `cloud-testkit` | conformance suite, simulated cloud |
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use multicloud::core::{CloudExt, ResourceQuery};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("clouds.toml");
//! # std::fs::write(&path, "[clouds.laptop]\nprovider = \"local\"\nroot = \"data\"\nregions = [\"here\"]\n").unwrap();
//! let clouds = multicloud::connect(&path).await?;
//! for cloud in clouds.iter() {
//!     let resources = cloud.list_resources(&ResourceQuery::default()).complete().await?;
//!     println!("{}: {} resources", cloud.id(), resources.items().len());
//! }
//! # Ok::<_, multicloud::core::Error>(())
//! # }).unwrap();
//! ```
//!
//! # Features
//! | feature | default | what |
//! |---|---|---|
//! | `local` | yes | the adapter for this machine |
//! | `aws` | no | the adapter for AWS with every service; `aws-storage`, `aws-compute` and so on add single ones, each with its own SDK |
//! | `patterns` | yes | workloads, plans, orchestration, data sync |
//! | `objects` | no | object stores by URL: `s3://`, `az://`, `gs://`, `oss://`, `oci://`, `file://` |
//! | `postgres` | no | PostgreSQL as a store for several machines, and as a database engine on this machine |
//! | `mock` | no | mocks of every service trait |
//! | `testkit` | no | conformance suite and simulated cloud |
//! | `testing` | no | the crash harness for plans |

mod connect;
#[cfg(all(feature = "objects", feature = "patterns"))]
mod locations;

/// The examples of the README compile.
#[cfg(all(doctest, feature = "local", feature = "patterns"))]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(feature = "cloud-aws")]
pub use cloud_aws as aws;
pub use cloud_core as core;
#[cfg(feature = "local")]
pub use cloud_local as local;
#[cfg(feature = "objects")]
pub use cloud_objects as objects;
#[cfg(feature = "patterns")]
pub use cloud_patterns as patterns;
#[cfg(feature = "testkit")]
pub use cloud_testkit as testkit;

pub use connect::*;
#[cfg(all(feature = "objects", feature = "patterns"))]
pub use locations::*;
