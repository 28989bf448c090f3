//! The embedded default cloud: no account, no network, and real.
//!
//! An instance is an operating system process, a bucket is a directory, a database is a SQLite file or a PostgreSQL
//! cluster, a function is an executable, a region is a folder that can be [taken down](LocalCloud::take_down). Everything
//! lives under one data folder, which several local clouds and several processes may share.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use cloud_core::{BucketSpec, ClientToken, Cloud, CloudId, Region, Storage};
//! use cloud_local::{LocalCloud, LocalConfig};
//!
//! let folder = tempfile::tempdir().unwrap();
//! let region = Region::new("eu-1").unwrap();
//! let config = LocalConfig::new(folder.path(), [region.clone()]);
//! let cloud = LocalCloud::open(CloudId::new("laptop").unwrap(), config).await.unwrap();
//!
//! let spec = BucketSpec::new("assets", region);
//! let bucket = cloud.storage().unwrap().create_bucket(&spec, &ClientToken::random()).await.unwrap();
//! assert!(bucket.status.is_ready());
//! # });
//! ```
//!
//! It runs on Unix. Instances are found again exactly on Linux (start time in clock ticks and boot id); elsewhere
//! to the second. Calls need a tokio runtime with time and I/O enabled.
//!
//! # Features
//! `postgres`: the PostgreSQL engine, where its binaries are installed.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod billing;
mod compute;
mod config;
mod database;
mod error;
mod functions;
mod listing;
mod metrics;
mod network;
mod provider;
mod region;
mod state;
mod storage;

pub use config::{LocalConfig, LocalPrices, LocalRegion};
pub use provider::LocalCloud;
