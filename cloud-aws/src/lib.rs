//! Amazon Web Services behind the service traits of `cloud-core`.
//!
//! [`AwsCloud`] is the cloud; each service is a feature that pulls no other service's SDK:
//!
//! | feature | service | SDK crates |
//! |---|---|---|
//! | `compute` | instances | `ec2`, `ssm` |
//! | `storage` | buckets | `s3` |
//! | `database` | database servers | `rds`, `secretsmanager` |
//! | `data-api` | SQL over HTTPS, to clusters that no connection reaches | `rdsdata` |
//! | `network` | networks, gateways, VPN, load balancers | `ec2`, `elasticloadbalancingv2`, `globalaccelerator`, `directconnect` |
//! | `kubernetes` | clusters | `eks` |
//! | `functions` | functions | `lambda` |
//! | `metrics` | metrics | `cloudwatch` |
//! | `dns` | DNS zones | `route53` |
//! | `billing` | prices, costs, budgets | `pricing`, `costexplorer`, `budgets`, `sts` |
//! | `tagging` | finding by tags over all services | `resourcegroupstagging` |
//! | `quotas` | limits of the account | `servicequotas` |
//! | `sso` | login by IAM Identity Center | |
//!
//! # Credentials
//! The default chain of the SDK: environment, profile (`AWS_PROFILE`), web identity, container, instance metadata (version 2); or what
//! [`AwsConfig`] names. They are renewed before they expire. No secret reaches `Debug`, an error or a log.
//!
//! # Idempotency
//! A create takes a [`ClientToken`](cloud_core::ClientToken). Where AWS takes one too it is handed on; else a name that is unique tells whether
//! the thing is there already, and the tag `multicloud-request`, set in the same call, whether this create made it. Networks have neither: they
//! are looked up by that tag before and after they are created.
//!
//! # Permissions
//! [`iam_policy`] makes a policy of IAM from the calls that are to be allowed, such as those that a plan lists. It is by a table that the tests
//! write from what each call sends.
//!
//! # Errors
//! Every documented error code of the calls that are made here is in `data/errors.csv`, with what it means. A code that is not in it stays
//! [`Internal`](cloud_core::ErrorKind::Internal) and keeps its name.

// What services share is not used by every one of them.
#![cfg_attr(
    not(all(
        feature = "compute",
        feature = "storage",
        feature = "database",
        feature = "network",
        feature = "kubernetes",
        feature = "functions",
        feature = "metrics",
        feature = "dns",
        feature = "billing"
    )),
    allow(dead_code, unused_imports, unused_macros)
)]

mod account;
mod config;
mod error;
mod listing;
mod names;
mod permissions;
mod provider;
mod sdk;
mod tags;
mod time;
mod tokens;
#[cfg(any(feature = "compute", feature = "network"))]
mod vpc;

#[cfg(feature = "billing")]
mod billing;
#[cfg(feature = "compute")]
mod compute;
#[cfg(feature = "database")]
mod database;
#[cfg(feature = "dns")]
mod dns;
#[cfg(feature = "functions")]
mod functions;
#[cfg(feature = "kubernetes")]
mod kubernetes;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "network")]
mod network;
#[cfg(feature = "quotas")]
mod quotas;
#[cfg(feature = "storage")]
mod storage;
#[cfg(feature = "tagging")]
mod tagging;

#[cfg(feature = "billing")]
pub use billing::*;
#[cfg(feature = "compute")]
pub use compute::*;
pub use config::*;
#[cfg(feature = "database")]
pub use database::*;
#[cfg(feature = "dns")]
pub use dns::*;
#[cfg(feature = "functions")]
pub use functions::*;
#[cfg(feature = "kubernetes")]
pub use kubernetes::*;
#[cfg(feature = "metrics")]
pub use metrics::*;
#[cfg(feature = "network")]
pub use network::*;
pub use permissions::*;
pub use provider::*;
#[cfg(feature = "storage")]
pub use storage::*;
#[cfg(feature = "tagging")]
pub use tagging::*;
