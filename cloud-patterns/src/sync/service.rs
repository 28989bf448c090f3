//! Sets jobs up and runs them: one process or many, on one store.

use std::{sync::Arc, time::Duration};

use cloud_core::{Clock, Error, ErrorKind, Listing, ObjectLocation, Result};
use futures::TryStreamExt;
use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::{
    decide::{Clocks, Rules},
    deletion::Remover,
    filter::Filter,
    gates::Gates,
    job::{self, Begun, JOINED, LEASE, OpenLocation, RunOptions, SyncJob},
    listing::Ordered,
    merge::Merge,
    policy::{Compression, SyncPolicy},
    range::KeyRange,
    report::SyncReport,
    scan::Scan,
    shard::Shard,
    split,
    state::StatePlace,
    transfer::Route,
};
use crate::engine::store::{Lease, Record, Store, StoreExt};

/// How often a worker that found nothing to do looks again.
const POLL: Duration = Duration::from_millis(500);

/// Windows that wait between scanning and copying.
const WINDOWS: usize = 2;

/// Sync jobs on a store. Cheap to clone.
///
/// **Guarantees.** An object counts as done when it was verified and, where the stores' own checksums would not show it, taken
/// down durably. Whatever is killed when, a further run goes on: what is done is not done again. Of any number of workers on
/// one store, one at a time works on a shard. Nothing is deleted unless both sides were listed to their ends.
///
/// **Assumptions.** Others may write both sides at any time; what they write during a run may be seen by it or by the next one. A
/// store answers a read of one `ETag` with one content.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::{collections::BTreeMap, sync::Arc};
/// use cloud_core::{ObjectLocation, SystemClock, Transport};
/// use cloud_patterns::{engine::store::SqliteStore, sync::{RunOptions, SyncPolicy, SyncService}};
/// use object_store::{ObjectStoreExt, memory::InMemory};
///
/// let (photos, backup) = (Arc::new(InMemory::new()), Arc::new(InMemory::new()));
/// photos.put(&"2026/cat.jpg".into(), "meow".into()).await?;
/// let location = |name: &str, store: &Arc<InMemory>| {
///     let mut location = ObjectLocation::new(name, store.clone(), "".into());
///     location.traits.transport = Transport::Local;
///     (name.to_owned(), location)
/// };
/// let locations = BTreeMap::from([location("photos", &photos), location("backup", &backup)]);
///
/// let store = Arc::new(SqliteStore::in_memory(Arc::new(SystemClock)).await?);
/// let sync = SyncService::new(store, Arc::new(locations), Arc::new(SystemClock), "worker-1");
/// let job = sync.setup_cross_cloud_data_sync("photos", "backup", &SyncPolicy::default()).await?;
/// let report = sync.run(&job, &RunOptions::default()).await?;
/// assert_eq!((report.copied, report.failed.count), (1, 0));
/// assert_eq!(sync.run(&job, &RunOptions::default()).await?.unchanged, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct SyncService {
    store: Arc<dyn Store>,
    locations: Arc<dyn OpenLocation>,
    clock: Arc<dyn Clock>,
    worker: Arc<str>,
}

impl SyncService {
    /// `worker` has to be unique among those that run at the same time on this store.
    pub fn new(
        store: Arc<dyn Store>,
        locations: Arc<dyn OpenLocation>,
        clock: Arc<dyn Clock>,
        worker: impl Into<Arc<str>>,
    ) -> Self {
        Self { store, locations, clock, worker: worker.into() }
    }

    /// Sets up a job that keeps the target the same as the source, and returns its id. It does not run it. The same
    /// pair is the same job: its policy is replaced.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a pair or a policy that cannot be: the same place twice, a transport without
    /// encryption, …; those of opening the locations and of the store.
    pub async fn setup_cross_cloud_data_sync(
        &self,
        source: &str,
        target: &str,
        policy: &SyncPolicy,
    ) -> Result<String> {
        let (source, target) =
            (self.locations.open(source).await?, self.locations.open(target).await?);
        let mut job = SyncJob::new(&source, &target, policy)?;
        match self.find(&job.id).await?.filter(|known| known.policy.shards == policy.shards) {
            Some(known) => {
                job.bounds.clone_from(&known.bounds);
                if known == job {
                    return Ok(job.id);
                }
            }
            None if policy.shards.0 > 1 => {
                job.bounds = split::bounds(&source, policy.shards.0).await?;
            }
            None => {}
        }
        let lease = self.lease(&job.id).await?;
        let written = self.write(&mut job, &lease).await;
        self.store.release(&lease).await?;
        written.map(|()| job.id)
    }

    /// Writes a job down, with the bounds of whoever set it up meanwhile: all its workers have to have the same.
    async fn write(&self, job: &mut SyncJob, lease: &Lease) -> Result<()> {
        let known = self.find(&job.id).await?;
        if let Some(known) = known.filter(|known| known.policy.shards == job.policy.shards) {
            job.bounds = known.bounds;
        }
        let body = serde_json::to_value(&*job).map_err(|e| {
            Error::new(ErrorKind::Internal, format!("a job cannot be written: {e}"))
        })?;
        let record = vec![Record::new(body)];
        self.store.append(&lease.fence, &SyncJob::stream(&job.id), record).await.map(drop)
    }

    /// A job.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound); those of the store.
    pub async fn job(&self, id: &str) -> Result<SyncJob> {
        self.find(id).await?.ok_or_else(|| job::unknown(id))
    }

    /// The ids of all jobs.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn jobs(&self) -> Result<Vec<String>> {
        let streams: Listing<'_, String> = self.store.streams("sync/");
        let names = streams.complete().await?.into_items();
        let ids = names.iter().filter_map(|name| name.strip_prefix("sync/")?.strip_suffix("/job"));
        Ok(ids.map(str::to_owned).collect())
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn find(&self, id: &str) -> Result<Option<SyncJob>> {
        job::check_id(id)?;
        let entries = self.store.read(&SyncJob::stream(id)).complete().await?.into_items();
        let Some(last) = entries.into_iter().last() else {
            return Ok(None);
        };
        let job = serde_json::from_value(last.record.body).map_err(|e| {
            Error::new(ErrorKind::Corrupt, format!("sync job '{id}' is unreadable: {e}"))
        })?;
        Ok(Some(job))
    }

    /// The lease of the job itself, under which it is changed and runs begin. Held for moments only.
    async fn lease(&self, id: &str) -> Result<Lease> {
        let name = format!("sync/{id}");
        loop {
            match self.store.acquire(&name, &self.worker, LEASE).await? {
                Some(lease) => return Ok(lease),
                None => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Runs a job once, together with whatever other worker runs it at the time, and returns when all of it is done. The
    /// report is that of all of them.
    ///
    /// Dropping the future stops the run where it is; a further one goes on. To let what is on its way arrive first, set
    /// [`RunOptions::stop`].
    ///
    /// # Errors
    /// What keeps the run from going on: a listing that breaks off, a store that is full or lets nobody in,
    /// [`PolicyDenied`](ErrorKind::PolicyDenied) if it would delete more than it may. What fails for single objects is in the report.
    pub async fn run(&self, id: &str, options: &RunOptions) -> Result<SyncReport> {
        let job = self.job(id).await?;
        let source = Arc::new(self.locations.open(&job.source).await?);
        let target = Arc::new(self.locations.open(&job.target).await?);
        // Doors may have changed since the set-up.
        SyncJob::new(&source, &target, &job.policy)?;
        options.progress.begin();
        let pair = Pair { job: &job, source, target, options };
        let mut report = match options.dry_run {
            true => self.dry_run(&pair).await?,
            false => self.all_shards(&pair).await?,
        };
        for location in [&pair.source, &pair.target] {
            let refused = location.refused.take();
            report.refused.count += refused.count;
            let why = |key| {
                (
                    key,
                    format!(
                        "{} holds a key that cannot be named without changing it",
                        location.name
                    ),
                )
            };
            report.refused.first.extend(refused.keys.into_iter().map(why));
        }
        report.job = job.id.clone();
        report.dry_run = options.dry_run;
        let bytes = if options.dry_run { report.bytes_written } else { report.bytes_read };
        report.egress_cost =
            options.egress_per_gb.and_then(|price| price.checked_mul(Decimal::from(bytes) / GB));
        Ok(report)
    }

    async fn dry_run(&self, pair: &Pair<'_>) -> Result<SyncReport> {
        let mut report = SyncReport::default();
        for (shard, range) in pair.ranges() {
            // Nothing is written, so it needs no right to write.
            let fence =
                crate::engine::store::Fence { lease: format!("sync/{}", pair.job.id), epoch: 0 };
            report += self.shard(pair, shard, &range, fence).await?;
        }
        Ok(report)
    }

    async fn all_shards(&self, pair: &Pair<'_>) -> Result<SyncReport> {
        let run = self.begin(pair).await?;
        loop {
            let mut waits = false;
            let ranges = pair.ranges();
            let first = usize::from(pair.options.first_shard) % ranges.len();
            for (shard, range) in ranges[first..].iter().chain(&ranges[..first]) {
                if self.reported(pair, run, *shard).await?.is_some() {
                    continue;
                }
                let name = format!("sync/{}/{shard:05}", pair.job.id);
                let Some(lease) = self.store.acquire(&name, &self.worker, LEASE).await? else {
                    waits = true;
                    continue;
                };
                let worked = self.one_shard(pair, run, *shard, range, &lease).await;
                // Also after a failure: whoever repeats the run should not have to wait until the lease expires.
                let released = self.store.release(&lease).await;
                worked.and(released)?;
            }
            if !waits {
                break;
            }
            tokio::time::sleep(POLL).await;
        }
        let mut report = SyncReport::default();
        for (shard, _) in pair.ranges() {
            report += self.reported(pair, run, shard).await?.unwrap_or_default();
        }
        Ok(report)
    }

    /// The number of the run that is to be worked on: the last one, if it is not old and not finished, else a new one.
    async fn begin(&self, pair: &Pair<'_>) -> Result<u64> {
        let prefix = format!("sync/{}/runs/", pair.job.id);
        let lease = self.lease(&pair.job.id).await?;
        let begun = async {
            let names = self.store.streams(&prefix).complete().await?.into_items();
            let number = |name: &String| name[prefix.len()..].get(..10)?.parse::<u64>().ok();
            let last = names.iter().filter_map(number).max().unwrap_or(0);
            if last > 0 && self.unfinished(pair, last).await? {
                return Ok(last);
            }
            let next = last + 1;
            let begun = serde_json::json!(Begun { at: self.clock.now() });
            let stream = format!("{prefix}{next:010}");
            self.store.append(&lease.fence, &stream, vec![Record::new(begun)]).await?;
            // The last one stays for workers that have yet to read its reports.
            if last > 1 {
                self.store.forget(&lease.fence, &format!("{prefix}{:010}", last - 1)).await?;
            }
            Ok(next)
        };
        let begun: Result<u64> = begun.await;
        self.store.release(&lease).await?;
        begun
    }

    async fn unfinished(&self, pair: &Pair<'_>, run: u64) -> Result<bool> {
        let mut entries = self.store.read(&format!("sync/{}/runs/{run:010}", pair.job.id));
        let begun: Option<Begun> = match entries.try_next().await? {
            Some(entry) => serde_json::from_value(entry.record.body).ok(),
            None => None,
        };
        let Some(begun) = begun else {
            return Ok(false);
        };
        if self.clock.now().duration_since(begun.at).unsigned_abs() > JOINED {
            return Ok(false);
        }
        for (shard, _) in pair.ranges() {
            if self.reported(pair, run, shard).await?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn report_stream(&self, pair: &Pair<'_>, run: u64, shard: u16) -> String {
        format!("sync/{}/runs/{run:010}/{shard:05}", pair.job.id)
    }

    async fn reported(&self, pair: &Pair<'_>, run: u64, shard: u16) -> Result<Option<SyncReport>> {
        let stream = self.report_stream(pair, run, shard);
        let Some(entry) = self.store.read(&stream).try_next().await? else {
            return Ok(None);
        };
        let report = serde_json::from_value(entry.record.body).map_err(|e| {
            Error::new(ErrorKind::Corrupt, format!("the report of a sync is unreadable: {e}"))
        })?;
        Ok(Some(report))
    }

    /// Works on a shard as long as the lease can be kept, unless another has finished it since it was looked at.
    async fn one_shard(
        &self,
        pair: &Pair<'_>,
        run: u64,
        shard: u16,
        range: &KeyRange,
        lease: &Lease,
    ) -> Result<()> {
        if self.reported(pair, run, shard).await?.is_some() {
            return Ok(());
        }
        let started = self.clock.now();
        let span = tracing::info_span!("sync_shard", job = %pair.job.id, shard);
        let mut report = tokio::select! {
            report = self.shard(pair, shard, range, lease.fence.clone()).instrument(span) => report?,
            lost = self.keep(lease) => return Err(lost),
        };
        (report.started, report.ended) = (Some(started), Some(self.clock.now()));
        let body = serde_json::to_value(&report).map_err(|e| {
            Error::new(ErrorKind::Internal, format!("a report cannot be written: {e}"))
        })?;
        let stream = self.report_stream(pair, run, shard);
        self.store.append(&lease.fence, &stream, vec![Record::new(body)]).await.map(drop)
    }

    /// Prolongs a lease for ever; ends when that fails, well before another may take the lease over.
    async fn keep(&self, lease: &Lease) -> Error {
        let mut lease = lease.clone();
        loop {
            tokio::time::sleep(LEASE / 3).await;
            lease = match tokio::time::timeout(LEASE / 3, self.store.renew(&lease, LEASE)).await {
                Ok(Ok(lease)) => lease,
                Ok(Err(error)) => return error,
                Err(_) => {
                    return Error::new(
                        ErrorKind::Timeout,
                        "the store did not prolong the lease in time",
                    );
                }
            };
        }
    }

    async fn shard(
        &self,
        pair: &Pair<'_>,
        shard: u16,
        range: &KeyRange,
        fence: crate::engine::store::Fence,
    ) -> Result<SyncReport> {
        let Pair { job, source, target, .. } = pair;
        let place = StatePlace { store: self.store.clone(), job: job.id.clone(), shard };
        let listings = (Ordered::begin(source, range), Ordered::begin(target, range));
        let (agreed, writer) = place.open(fence).await?;
        let now = self.clock.now();
        let merge = Merge::new(listings.0, listings.1, agreed);
        let (to, scanned) = mpsc::channel(WINDOWS);
        let _scanning = AbortOnDropHandle::new(tokio::spawn(pair.scan(now)?.run(merge, to)));
        pair.worker(now)?.run(scanned, writer).await
    }
}

/// Bytes of the gigabyte by which traffic is charged.
const GB: Decimal = Decimal::from_parts(1_000_000_000, 0, 0, false, 0);

/// A job with its doors open.
struct Pair<'a> {
    job: &'a SyncJob,
    source: Arc<ObjectLocation>,
    target: Arc<ObjectLocation>,
    options: &'a RunOptions,
}

impl Pair<'_> {
    fn ranges(&self) -> Vec<(u16, KeyRange)> {
        (0..).zip(KeyRange::between(&self.job.bounds)).collect()
    }

    fn scan(&self, now: Timestamp) -> Result<Scan> {
        let policy = &self.job.policy;
        let trash =
            policy.deletion.trash.as_deref().map(|trash| format!("{}/", trash.trim_matches('/')));
        Ok(Scan {
            rules: Rules {
                mode: policy.mode,
                conflict_resolution: policy.conflict_resolution,
                comparison: policy.comparison,
                content_differs: policy.compression != Compression::None,
                clocks: Clocks::default(),
            },
            clocks: [&self.source, &self.target].map(|location| location.traits.clock.clone()),
            filter: Filter::new(&policy.filter)?,
            now,
            renamed: policy.compression == Compression::Suffix,
            trash,
            ignores_case: self.target.traits.ignores_case,
            max_deletions: policy.deletion.max_count,
            tell: self.options.observer.is_some(),
        })
    }

    fn worker(&self, now: Timestamp) -> Result<Shard> {
        let (policy, options) = (&self.job.policy, self.options);
        let gates = Arc::new(Gates::new(&policy.limits)?);
        let route = |from: &Arc<ObjectLocation>, to: &Arc<ObjectLocation>| {
            Arc::new(Route::new(from.clone(), to.clone(), policy, gates.clone()))
        };
        let remover = |location: &Arc<ObjectLocation>| Remover {
            location: location.clone(),
            mode: policy.mode,
            compression: policy.compression,
            trash: Remover::trash(&policy.deletion, now),
        };
        Ok(Shard {
            routes: [route(&self.source, &self.target), route(&self.target, &self.source)],
            removers: [remover(&self.target), remover(&self.source)],
            deletion: policy.deletion.clone(),
            concurrency: policy.limits.concurrency,
            dry_run: options.dry_run,
            job: self.job.id.clone(),
            observer: options.observer.clone(),
            progress: options.progress.clone(),
            stop: options.stop.clone(),
        })
    }
}
