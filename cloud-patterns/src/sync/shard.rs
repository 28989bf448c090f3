//! One run over one range of keys: scan, copy, take down, delete.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use cloud_core::{Error, ErrorKind, Result};
use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    deletion::{self, Remover},
    entry::{Agreed, Seen},
    limiter::Limiter,
    progress::{SyncEvent, SyncObserver, SyncProgress},
    report::SyncReport,
    scan::{CompleteScan, Scanned, Slot, Window, Work},
    state::{Commit, StateWriter},
    transfer::{Arrived, Route, UNNAMEABLE},
};

/// How often single objects are taken down that no finished window contains.
const FLUSH: Duration = Duration::from_millis(200);

/// Up to this size the time of an object says something about the store's queue.
const TIMED: u64 = 64 * 1024;

/// Windows that wait for the journal.
const COMMITS: usize = 64;

/// What a run of a shard works with.
pub(super) struct Shard {
    /// To the target, and back.
    pub(super) routes: [Arc<Route>; 2],
    pub(super) removers: [Remover; 2],
    pub(super) deletion: super::policy::DeletionPolicy,
    pub(super) concurrency: Option<usize>,
    pub(super) dry_run: bool,
    pub(super) job: String,
    pub(super) observer: Option<Arc<dyn SyncObserver>>,
    pub(super) progress: SyncProgress,
    /// Set by whoever wants the run to end early: what is on its way is finished and taken down.
    pub(super) stop: Arc<AtomicBool>,
}

/// A window whose work is not done.
struct Open {
    window: Window,
    pending: usize,
}

struct Done {
    window: u64,
    work: Work,
    took: Duration,
    result: Result<Arrived>,
}

struct Run<'a> {
    shard: &'a Shard,
    report: SyncReport,
    limiter: Limiter,
    open: VecDeque<Open>,
    /// The number of the first open window.
    first: u64,
    queue: VecDeque<(u64, Work)>,
    commits: mpsc::Sender<Commit>,
    /// Whether windows without changes have to be written too.
    keep_all: bool,
    /// Arrived, and not recognisable without the journal.
    fresh: Vec<Agreed>,
    /// Why the run cannot go on.
    fatal: Option<Error>,
}

impl Shard {
    /// Runs. The scan's messages come from a task of their own.
    ///
    /// # Errors
    /// What ends a run early: a listing that broke off, a store that is full or lets nobody in, a lost lease. What arrived
    /// until then is taken down; nothing was deleted. What fails for single objects is in the report.
    pub(super) async fn run(
        &self,
        mut scanned: mpsc::Receiver<Result<Scanned>>,
        writer: StateWriter,
    ) -> Result<SyncReport> {
        let (commits, received) = mpsc::channel(COMMITS);
        let keep_all = writer.wants_all();
        let writing = AbortOnDropHandle::new(tokio::spawn(write(writer, received)));
        let mut run = Run {
            shard: self,
            report: SyncReport::default(),
            limiter: Limiter::new(self.concurrency, Instant::now()),
            open: VecDeque::new(),
            first: 0,
            queue: VecDeque::new(),
            commits,
            keep_all,
            fresh: Vec::new(),
            fatal: None,
        };
        let scan = run.copy_all(&mut scanned).await;
        run.flush().await;
        let Run { mut report, commits, fatal, .. } = run;
        drop(commits);
        let writer = match writing.await {
            Ok(written) => written?,
            Err(error) => {
                return Err(Error::new(
                    ErrorKind::Internal,
                    format!("the journal's task ended: {error}"),
                ));
            }
        };
        let Some(scan) = scan? else {
            return Err(
                fatal.unwrap_or_else(|| Error::new(ErrorKind::Cancelled, "the run was stopped"))
            );
        };
        if let Some(fatal) = fatal {
            return Err(fatal);
        }
        report.source = scan.source;
        report.target = scan.target;
        if !self.dry_run {
            // What both sides agree on is known now, whether or not anything may be deleted.
            writer.finish().await?;
        }
        self.delete(&scan, &mut report).await?;
        let gates = &self.routes[0].gates;
        (report.bytes_read, report.requests) = (gates.moved(), gates.asked());
        Ok(report)
    }

    async fn delete(&self, scan: &CompleteScan, report: &mut SyncReport) -> Result<()> {
        if self.dry_run {
            report.deleted = scan.doomed_count.iter().sum();
            // The limits are part of what a dry run shows.
            return deletion::check(scan, &self.deletion);
        }
        deletion::check(scan, &self.deletion)?;
        for (remover, at_source) in self.removers.iter().zip([false, true]) {
            let each = |removed: deletion::Removed| {
                match &removed {
                    (_, Ok(())) => {
                        report.deleted += 1;
                        self.progress.deleted(1);
                    }
                    (key, Err(error)) => {
                        report.failure(key, error);
                        self.progress.failed();
                    }
                }
                if self.observer.is_some() {
                    self.tell(|| deletion::event(removed));
                }
            };
            remover.run(scan, at_source, each).await;
        }
        Ok(())
    }

    fn tell(&self, event: impl FnOnce() -> SyncEvent) {
        if let Some(observer) = &self.observer {
            observer.event(event());
        }
    }
}

/// Writes what comes, as much as there is at once, until nobody sends any more.
async fn write(
    mut writer: StateWriter,
    mut commits: mpsc::Receiver<Commit>,
) -> Result<StateWriter> {
    let mut some = Vec::new();
    while commits.recv_many(&mut some, COMMITS).await > 0 {
        writer.write(std::mem::take(&mut some)).await?;
    }
    Ok(writer)
}

impl Run<'_> {
    /// Copies until everything was scanned and nothing is on its way; `None` if it had to stop before.
    async fn copy_all(
        &mut self,
        scanned: &mut mpsc::Receiver<Result<Scanned>>,
    ) -> Result<Option<CompleteScan>> {
        let mut under_way = FuturesUnordered::new();
        let mut tick = tokio::time::interval(FLUSH);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut end, mut broken, mut stopped) = (None, None, false);
        loop {
            if self.shard.stop.load(std::sync::atomic::Ordering::Relaxed) || self.fatal.is_some() {
                self.queue.clear();
                scanned.close();
                stopped = true;
            }
            while under_way.len() < self.limiter.limit()
                && let Some((window, work)) = self.queue.pop_front()
            {
                under_way.push(self.start(window, work));
            }
            let listening = end.is_none() && broken.is_none() && !stopped;
            if under_way.is_empty() && self.queue.is_empty() && !listening {
                break;
            }
            let wants = listening && self.queue.len() < self.limiter.limit() * 2;
            tokio::select! {
                biased;
                Some(done) = under_way.next() => {
                    let in_flight = under_way.len() + 1;
                    self.done(done, in_flight).await;
                    // What else has arrived meanwhile costs no further round of waiting.
                    while let Some(Some(done)) = under_way.next().now_or_never() {
                        let in_flight = under_way.len() + 1;
                        self.done(done, in_flight).await;
                    }
                }
                next = scanned.recv(), if wants => match next {
                    Some(Ok(Scanned::Window(window))) => self.take(window).await,
                    Some(Ok(Scanned::End(scan))) => {
                        self.shard.progress.listed();
                        end = Some(scan);
                    }
                    Some(Err(error)) => broken = Some(error),
                    None => broken = Some(Error::new(ErrorKind::Internal, "the scan ended without a word")),
                },
                _ = tick.tick() => self.flush().await,
            }
        }
        match broken {
            Some(error) => Err(error),
            None => Ok(end),
        }
    }

    fn start(&self, window: u64, work: Work) -> impl Future<Output = Done> + use<> {
        let routes = self.shard.routes.clone();
        async move {
            let began = Instant::now();
            let result = carry_out(&routes, &work).await;
            Done { window, work, took: began.elapsed(), result }
        }
    }

    async fn take(&mut self, mut window: Window) {
        let number = self.first + self.open.len() as u64;
        self.report.unchanged += window.unchanged;
        self.report.filtered += window.filtered;
        for (key, why) in &window.refused.first {
            self.shard.tell(|| SyncEvent::Refused { key: key.as_str().into(), why: why.clone() });
        }
        self.report.refused += std::mem::take(&mut window.refused);
        for (key, decision, bytes) in std::mem::take(&mut window.decided) {
            if decision.action == super::decide::Action::Report {
                self.report.conflict(&key, decision.reason);
            }
            self.shard.tell(|| SyncEvent::Decided {
                key,
                action: decision.action,
                reason: decision.reason,
                bytes,
            });
        }
        let work = std::mem::take(&mut window.work);
        let bytes = work.iter().fold(0_u64, |sum, work| sum.saturating_add(work.entry.size));
        self.shard.progress.seen(window.keys, work.len() as u64, bytes);
        if self.shard.dry_run {
            for work in &work {
                *if work.back { &mut self.report.copied_back } else { &mut self.report.copied } +=
                    1;
            }
            self.report.bytes_written = self.report.bytes_written.saturating_add(bytes);
            return;
        }
        self.open.push_back(Open { pending: work.len(), window });
        self.queue.extend(work.into_iter().map(|work| (number, work)));
        self.commit().await;
    }

    async fn done(&mut self, done: Done, in_flight: usize) {
        let Done { window, work, took, result } = done;
        let now = Instant::now();
        let number = (window - self.first) as usize;
        let mut agreed = None;
        match result {
            Ok(arrived) => {
                if arrived.throttled > 0 {
                    self.limiter.throttled(now);
                } else if work.entry.size <= TIMED && arrived.repeated == 0 {
                    self.limiter.succeeded(took, in_flight, now);
                }
                self.report.arrived(work.back, &arrived);
                self.shard.progress.copied(work.entry.size);
                self.shard.tell(|| SyncEvent::Copied {
                    key: work.entry.key.clone(),
                    bytes: arrived.written,
                });
                agreed = Some(agree(work.entry.key, arrived, work.back));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => self.report.vanished += 1,
            Err(error) => self.failed(&work, error, now),
        }
        let Some(open) = self.open.get_mut(number) else {
            return;
        };
        open.pending -= 1;
        if let Some(agreed) = agreed {
            if !agreed.source.tag.same_content(&agreed.target.tag) {
                self.fresh.push(agreed.clone());
            }
            open.window.changed = true;
            open.window.slots[work.slot] = Slot { agreed: Some(agreed) };
        }
        if number == 0 && open.pending == 0 {
            self.commit().await;
        }
    }

    fn failed(&mut self, work: &Work, error: Error, now: Instant) {
        use ErrorKind::*;
        if error.kind() == RateLimited {
            self.limiter.throttled(now);
        }
        if error.code() == Some(UNNAMEABLE) {
            self.report.refused.add(&work.entry.key, &error);
            self.shard.tell(|| SyncEvent::Refused {
                key: work.entry.key.clone(),
                why: error.to_string(),
            });
            return;
        }
        // The next object would fare no better.
        if matches!(
            error.kind(),
            StorageFull | Unauthenticated | QuotaExceeded | PolicyDenied | BudgetExceeded
        ) {
            self.fatal.get_or_insert_with(|| error.clone());
        }
        self.report.failure(&work.entry.key, &error);
        self.shard.progress.failed();
        self.shard.tell(|| SyncEvent::Failed { key: work.entry.key.clone(), error });
    }

    /// Hands the windows that are finished to the journal, in order.
    async fn commit(&mut self) {
        while self.open.front().is_some_and(|open| open.pending == 0) {
            let Some(Open { window, .. }) = self.open.pop_front() else {
                return;
            };
            self.first += 1;
            self.keep_all |= window.changed;
            let through = window.through;
            let commit = if self.keep_all {
                let entries = window.slots.into_iter().filter_map(|slot| slot.agreed).collect();
                Commit::Window { through, entries }
            } else {
                Commit::Unchanged { through }
            };
            self.send(commit).await;
        }
        if self.open.is_empty() {
            self.fresh.clear();
        }
    }

    /// Takes down what arrived in windows that are not finished.
    async fn flush(&mut self) {
        self.shard.progress.tell_metrics(&self.shard.job);
        if !self.fresh.is_empty() && !self.shard.dry_run {
            let entries = std::mem::take(&mut self.fresh);
            self.keep_all = true;
            self.send(Commit::Done { entries }).await;
        }
    }

    async fn send(&mut self, commit: Commit) {
        if self.commits.send(commit).await.is_err() {
            // The writer's own error is the one that is told.
            let error = || Error::new(ErrorKind::Cancelled, "the journal cannot be written");
            self.fatal.get_or_insert_with(error);
        }
    }
}

async fn carry_out(routes: &[Arc<Route>; 2], work: &Work) -> Result<Arrived> {
    let route = &routes[usize::from(work.back)];
    if let Some(name) = &work.keep_as {
        route.keep(&work.entry.key, name).await?;
    }
    route.copy(&work.entry, work.over.as_ref()).await
}

/// What both sides have of a key from now on.
fn agree(key: Box<str>, arrived: Arrived, back: bool) -> Agreed {
    let Arrived { source, target, .. } = arrived;
    let (source, target): (Seen, Seen) = if back { (target, source) } else { (source, target) };
    Agreed { key, source, target }
}
