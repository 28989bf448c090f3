//! Capacity failover: the same request again, without what just failed.

use std::time::Duration;

use cloud_core::{Error, Result};
use jiff::Timestamp;

use super::{Placement, Request};

/// A replica that could not be made.
///
/// ```
/// use cloud_core::{Error, ErrorKind};
/// use cloud_patterns::place::Failure;
/// let error = Error::new(ErrorKind::CapacityUnavailable, "no p4d left");
/// let failure = Failure { component: "train".into(), replica: 0, error };
/// assert_eq!(failure.replica, 0);
/// ```
#[derive(Clone, Debug)]
pub struct Failure {
    /// The component.
    pub component: String,
    /// Which replica, counted from 0.
    pub replica: usize,
    /// What the cloud answered.
    pub error: Error,
}

impl<'a> Placement<'a> {
    /// The request to place again after a failure: what failed is blocked for `lasting` at the scope of the error, and the
    /// components of `made`, which are there by now, stay where they are. `None` if the error is none of capacity, quota or outage.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for a component or replica that was not placed.
    pub fn failover(
        &self,
        failure: &Failure,
        made: &[&str],
        now: Timestamp,
        lasting: Duration,
    ) -> Result<Option<Request<'a>>> {
        let part = self.part(&failure.component)? as usize;
        let replica = self.placed[part].replicas.get(failure.replica).ok_or_else(|| {
            let problem = format_args!("is {}", failure.replica);
            Error::invalid("replica", problem, "one of the component's")
        })?;
        let provider = self.model.sites.find(&replica.place).map(|site| {
            let cloud = self.model.sites.sites[site as usize].cloud;
            self.model.sites.clouds[cloud as usize].provider
        });
        let provider = provider.unwrap_or(cloud_core::Provider::Other);
        let mut request = self.request.clone();
        request.now = now;
        let kind = replica.instance_type.as_deref();
        if !request.blocks.add(&failure.error, provider, &replica.place, kind, now, lasting) {
            return Ok(None);
        }
        for (wanted, placed) in request.wanted.iter_mut().zip(&self.placed) {
            let first = placed.replicas.first().map(|replica| replica.place.clone());
            let there = made.contains(&placed.component.as_str()) && wanted.pinned.is_none();
            if let Some(mut place) = first.filter(|_| there) {
                place.zone = None;
                wanted.pinned = Some((place, "it is there already".into()));
            }
        }
        Ok(Some(request))
    }
}
