//! What a test can see and do from outside the service traits.

use std::{collections::BTreeMap, time::Duration};

use cloud_core::{ClientToken, MetricName, ResourceId, ResourceKind};
use jiff::Timestamp;
use tokio::time::Instant;

use super::{Act, CallRecord, Change, FaultRates, SimCloud, When, extra::Extra};

impl SimCloud {
    /// The seed that everything random comes from. A test that fails prints it, or the cloud's `Debug`.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// What the cloud's own clock shows.
    pub fn now(&self) -> Timestamp {
        self.lock().timestamp(Instant::now())
    }

    /// Changes the world at once.
    pub fn apply(&self, change: Change) {
        let now = Instant::now();
        let mut state = self.lock();
        state.advance(now);
        state.apply(change, now);
    }

    /// Adds a step to the script. Its calls are counted from here on, its time still from when the cloud was built.
    pub fn script(&self, when: When, act: impl Into<Act>) {
        self.lock().faults.push(when, act.into());
    }

    /// Sets the random faults; `None` ends them.
    pub fn set_fault_rates(&self, rates: Option<FaultRates>) {
        self.lock().faults.rates = rates;
    }

    /// Records a measurement that [`Metrics::query_metrics`](cloud_core::Metrics::query_metrics) then finds.
    pub fn record_metric(
        &self,
        resource: &ResourceId,
        metric: MetricName,
        at: Timestamp,
        value: f64,
    ) {
        self.lock().samples.record(resource, metric, at, value);
    }

    /// How many resources of a kind exist and are not on their way out.
    pub fn count(&self, kind: ResourceKind) -> usize {
        let state = self.lock();
        state.living(Instant::now()).filter(|entry| entry.view.id().kind == kind).count()
    }

    /// [`count`](Self::count) of every kind of which there are any.
    pub fn counts(&self) -> BTreeMap<ResourceKind, usize> {
        let mut counts = BTreeMap::new();
        for entry in self.lock().living(Instant::now()) {
            *counts.entry(entry.view.id().kind).or_default() += 1;
        }
        counts
    }

    /// The id of everything that exists and is not on its way out, in the order of creation. No fault, lag or outage hides anything.
    pub fn living(&self) -> Vec<ResourceId> {
        let state = self.lock();
        state.living(Instant::now()).map(|entry| entry.view.id().clone()).collect()
    }

    /// Whether it holds nothing at all.
    pub fn is_empty(&self) -> bool {
        self.lock().living(Instant::now()).next().is_none()
    }

    /// Everything that was ever created with a token, in order, whether or not it still exists.
    pub fn made(&self, token: &ClientToken) -> Vec<ResourceId> {
        self.lock().made(token).to_vec()
    }

    /// The tokens with which a second resource was created while the first still existed: what must never be.
    pub fn duplicates(&self) -> Vec<ClientToken> {
        self.lock().duplicates.iter().cloned().collect()
    }

    /// How many different tokens ever created something.
    pub fn tokens(&self) -> usize {
        self.lock().tokens_made()
    }

    /// How often each operation was called, refused calls among them; what is refused before any I/O is not.
    pub fn calls(&self) -> BTreeMap<&'static str, u64> {
        self.lock().calls.clone()
    }

    /// How often all operations together were called.
    pub fn call_count(&self) -> u64 {
        self.lock().calls.values().sum()
    }

    /// Every call that ended, in order; empty unless [`traced`](super::SimBuilder::traced).
    pub fn trace(&self) -> Vec<CallRecord> {
        self.lock().trace.clone().unwrap_or_default()
    }

    /// How many bytes of object data it holds, old versions and unfinished uploads included.
    pub fn held_bytes(&self) -> u64 {
        let state = self.lock();
        let buckets = state.living(Instant::now()).filter_map(|entry| match &entry.extra {
            Extra::Bucket(objects) => Some(objects.held_bytes()),
            _ => None,
        });
        buckets.sum()
    }

    /// How long ago it was built.
    pub fn elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(self.lock().origin)
    }
}
