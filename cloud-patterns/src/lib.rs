//! What to do, over any clouds: placement, orchestration and the patterns that build on them.
//!
//! - [`workload`]: what is to run, read from YAML, JSON or TOML.
//! - [`catalog`]: what the clouds offer, where and at what price; each figure with source and date.
//! - [`place`]: where each part of it goes, and why not elsewhere.
//! - [`planner`]: from a workload and an observation of the clouds to a [`Plan`](engine::plan::Plan).
//! - [`engine`]: how any plan is carried out.
//! - [`orchestrator`]: register, plan, deploy, status, drift, repair, destroy, orphans.
//! - [`portable`]: services by type and provider, for applications that are written once for all clouds.

pub mod catalog;
pub mod engine;
pub mod orchestrator;
pub mod place;
pub mod planner;
pub mod portable;
pub mod sync;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod workload;
