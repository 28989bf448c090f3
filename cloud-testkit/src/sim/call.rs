//! The way of every call: latency, outage, throttle, script, chance, effect, answer.

use std::time::Duration;

use cloud_core::{Error, ListQuery, Page, PageRequest, Region, ResourceId, ResourceKind, Result};
use tokio::time::Instant;

use super::{
    Change, Fault, SimCloud,
    entry::{CallRecord, Common, Draft, Request},
    faults::{Reach, ambiguous},
    state::State,
    views::{AnyView, StoredView},
};

/// What awaits one call.
struct Fate {
    before: Duration,
    after: Duration,
    fault: Option<Fault>,
}

impl SimCloud {
    /// Carries out one call to the simulated provider. Dropping it before its effect leaves none; after it, the effect.
    pub(super) async fn call<T: Send>(
        &self,
        operation: &'static str,
        region: Option<&Region>,
        act: impl FnOnce(&mut State, Instant) -> Result<T> + Send,
    ) -> Result<T> {
        let outcome = self.fated(operation, region, act).await;
        let mut state = self.lock();
        let at = Instant::now().saturating_duration_since(state.origin);
        if let Some(trace) = &mut state.trace {
            let outcome = outcome.as_ref().map(|_| ()).map_err(Error::kind);
            trace.push(CallRecord { at, operation, outcome });
        }
        drop(state);
        outcome.map_err(|error| {
            error.with_operation(operation).with_cloud(&self.0.id, self.0.provider)
        })
    }

    async fn fated<T: Send>(
        &self,
        operation: &'static str,
        region: Option<&Region>,
        act: impl FnOnce(&mut State, Instant) -> Result<T> + Send,
    ) -> Result<T> {
        let fate = self.lock().fate(operation, &self.0.latency);
        pause(fate.before).await;
        let outcome = match &fate.fault {
            Some(Fault::Refuse(error)) => Err(error.clone()),
            Some(Fault::TimeoutBefore) => Err(ambiguous()),
            _ => self.effect(region, act),
        };
        pause(fate.after).await;
        match fate.fault {
            Some(Fault::TimeoutAfter) => Err(ambiguous()),
            Some(Fault::FailAfter(error)) => outcome.and(Err(error)),
            _ => outcome,
        }
    }

    fn effect<T>(
        &self,
        region: Option<&Region>,
        act: impl FnOnce(&mut State, Instant) -> Result<T>,
    ) -> Result<T> {
        let mut state = self.lock();
        let now = Instant::now();
        state.advance(now);
        state.faults.reachable(region)?;
        state.faults.throttle(now)?;
        act(&mut state, now)
    }
}

/// What is the same for every kind of resource.
impl SimCloud {
    pub(super) async fn create_one<S, V>(
        &self,
        operation: &'static str,
        request: Request<'_, S>,
        make: impl FnOnce(&mut State, Common) -> Result<Draft<V>> + Send,
    ) -> Result<V>
    where
        S: PartialEq + Clone + Send + Sync + 'static,
        V: StoredView + Send,
    {
        self.call(operation, Some(request.region), |state, now| state.create(now, &request, make))
            .await
    }

    pub(super) async fn get_one<V: StoredView + Send>(
        &self,
        operation: &'static str,
        id: &ResourceId,
    ) -> Result<V> {
        id.expect_kind(V::KIND)?;
        self.call(operation, Some(&id.region), |state, now| state.get(id, now)?.typed()).await
    }

    pub(super) async fn list_page<V: StoredView + Send>(
        &self,
        operation: &'static str,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<V>> {
        if let Some(region) = &query.region {
            self.region(region)?;
        }
        self.call(operation, query.region.as_ref(), |state, now| {
            self.all_reachable(state, query.region.as_ref())?;
            state.list(|kind| kind == V::KIND, Some(V::KIND), query, page, now, AnyView::typed)
        })
        .await
    }

    pub(super) async fn delete_one(
        &self,
        operation: &'static str,
        kind: ResourceKind,
        id: &ResourceId,
    ) -> Result<bool> {
        id.expect_kind(kind)?;
        self.call(operation, Some(&id.region), |state, now| state.delete(id, now)).await
    }

    /// A listing of all regions fails while one of them is down: it would not be complete.
    pub(super) fn all_reachable(&self, state: &State, region: Option<&Region>) -> Result<()> {
        match region {
            Some(_) => Ok(()),
            None => self
                .0
                .regions
                .iter()
                .try_for_each(|info| state.faults.reachable(Some(&info.region))),
        }
    }
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

impl State {
    /// Brings the world up to date: what the script has for this moment, and what is gone by now.
    pub(super) fn advance(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.origin);
        for change in self.faults.due_changes(elapsed) {
            self.apply(change, now);
        }
        self.sweep(now);
    }

    /// Counts a call and draws what awaits it.
    fn fate(&mut self, operation: &'static str, latency: &super::config::Span) -> Fate {
        let now = Instant::now();
        self.advance(now);
        *self.calls.entry(operation).or_default() += 1;
        let elapsed = now.saturating_duration_since(self.origin);
        let (changes, scripted) = self.faults.due_for_call(operation, elapsed);
        for change in changes {
            self.apply(change, now);
        }
        let mut after = self.draw(latency);
        let before = if after.is_zero() { after } else { self.draw(&(Duration::ZERO..=after)) };
        after -= before;
        let random = self.faults.random(operation, &mut self.rng);
        let mut fault = None;
        for one in scripted.into_iter().chain(random) {
            match one {
                Fault::Slow(by) => after += by,
                other if fault.is_none() => fault = Some(other),
                _ => {}
            }
        }
        Fate { before, after, fault }
    }

    /// Changes the world.
    pub(super) fn apply(&mut self, change: Change, now: Instant) {
        match change {
            Change::Outage(reach) => {
                match &reach {
                    Reach::Zone(region, zone) => self.kill(now, "its zone is down", |i| {
                        i.id.region == *region && i.zone.as_ref() == Some(zone)
                    }),
                    Reach::Region(region) => {
                        self.kill(now, "its region is down", |i| i.id.region == *region)
                    }
                    Reach::Provider => self.kill(now, "the provider is down", |_| true),
                }
                self.faults.down.insert(reach);
            }
            Change::Restore(reach) => {
                self.faults.down.remove(&reach);
            }
            Change::StockOut(stock) => {
                self.faults.stock_outs.insert(stock);
            }
            Change::Restock(stock) => {
                self.faults.stock_outs.remove(&stock);
            }
            Change::Quota { name, region, limit } => {
                self.limits.retain(|(n, r, _)| (n, r) != (&name, &region));
                self.limits.push((name, region, limit));
            }
            Change::Throttle(throttle) => self.faults.throttle = throttle,
            Change::Kill(id) => self.kill(now, "died", |i| i.id == id),
            Change::KillNamed(name) => self.kill(now, "died", |i| i.name == name),
            Change::Price { instance_type, region, hourly } => {
                let at = self.timestamp(now);
                self.prices.set(&instance_type, region.as_ref(), hourly, at);
            }
        }
    }
}
