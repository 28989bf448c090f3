//! The adapter against servers that others wrote, through a proxy that records what it sends; `proof.rs` has that judged.
//!
//! Needs every service: `cargo test -p cloud-aws --all-features --test aws [SERVICE]`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "aws/ambiguity.rs"]
mod ambiguity;
#[path = "aws/billing.rs"]
mod billing;
#[path = "aws/compute.rs"]
mod compute;
#[path = "aws/database.rs"]
mod database;
#[path = "aws/dns.rs"]
mod dns;
#[path = "aws/failures.rs"]
mod failures;
#[path = "aws/functions.rs"]
mod functions;
#[path = "aws/harness.rs"]
mod harness;
#[path = "aws/kubernetes.rs"]
mod kubernetes;
#[path = "aws/metrics.rs"]
mod metrics;
#[path = "aws/network.rs"]
mod network;
#[path = "aws/network_balancer.rs"]
mod network_balancer;
#[path = "aws/network_contract.rs"]
mod network_contract;
#[path = "aws/network_vpn.rs"]
mod network_vpn;
#[path = "aws/overview.rs"]
mod overview;
#[path = "aws/quotas.rs"]
mod quotas;
#[path = "aws/storage.rs"]
mod storage;
#[path = "aws/tagging.rs"]
mod tagging;
