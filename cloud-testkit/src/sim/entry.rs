//! One resource in the table, what a create asks for, and the record of a call.

use std::{any::Any, time::Duration};

use cloud_core::{ClientToken, ErrorKind, Region, ResourceId, ResourceStatus, Tags};
use jiff::Timestamp;
use tokio::time::Instant;

use super::{extra::Extra, views::AnyView};

/// One resource.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) view: AnyView,
    pub(super) extra: Extra,
    pub(super) token: ClientToken,
    pub(super) spec: Box<dyn Any + Send>,
    pub(super) depends: Vec<u64>,
    pub(super) ready_at: Instant,
    pub(super) shown_at: Instant,
    pub(super) gone_at: Option<Instant>,
    pub(super) dies_at: Option<Instant>,
    pub(super) failed: Option<String>,
    pub(super) stopped: bool,
    /// What it counts against quotas besides itself.
    pub(super) vcpu: u64,
}

impl Entry {
    pub(super) fn status(&self, now: Instant) -> ResourceStatus {
        match self.gone_at {
            Some(at) if at <= now => ResourceStatus::Deleted,
            Some(_) => ResourceStatus::Deleting,
            None if self.failed.is_some() || self.dies_at.is_some_and(|at| at <= now) => {
                ResourceStatus::Failed
            }
            None if self.stopped => ResourceStatus::Stopped,
            None if now < self.ready_at => ResourceStatus::Creating,
            None => ResourceStatus::Running,
        }
    }

    pub(super) fn view(&self, now: Instant) -> AnyView {
        let reason = self.failed.as_deref().or(match self.dies_at {
            Some(at) if at <= now => Some("died"),
            _ => None,
        });
        self.view.clone().with_status(self.status(now), reason)
    }

    pub(super) fn restart(&mut self, ready_at: Instant) {
        self.stopped = false;
        self.failed = None;
        self.dies_at = None;
        self.ready_at = ready_at;
    }
}

/// What a create asks for, whatever its kind.
#[derive(Debug)]
pub(super) struct Request<'a, S> {
    pub(super) region: &'a Region,
    pub(super) name: &'a str,
    pub(super) tags: &'a Tags,
    pub(super) spec: &'a S,
    pub(super) token: &'a ClientToken,
    /// Whether the name must be the only one of its kind in its region.
    pub(super) unique: bool,
    /// What must exist, and cannot be deleted before this.
    pub(super) needs: Vec<ResourceId>,
    /// What it counts against the quota of vCPUs.
    pub(super) vcpu: u64,
}

/// What a service makes of a request.
#[derive(Debug)]
pub(super) struct Draft<V> {
    pub(super) view: V,
    pub(super) extra: Extra,
    /// Whether chance may let it die.
    pub(super) mortal: bool,
}

impl<V> Draft<V> {
    pub(super) fn new(view: V, extra: Extra) -> Self {
        Self { view, extra, mortal: false }
    }
}

/// The fields that every view has, ready to be put into one.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) id: ResourceId,
    pub(super) name: String,
    pub(super) tags: Tags,
    pub(super) created_at: Option<Timestamp>,
}

/// What happened in one call; see [`SimCloud::trace`](super::SimCloud::trace).
///
/// ```
/// # use cloud_testkit::sim::CallRecord;
/// fn failed(calls: &[CallRecord]) -> usize { calls.iter().filter(|c| c.outcome.is_err()).count() }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// How long after the cloud was built it ended.
    pub at: Duration,
    /// The operation, as `compute.create_instance`.
    pub operation: &'static str,
    /// How it ended.
    pub outcome: std::result::Result<(), ErrorKind>,
}
