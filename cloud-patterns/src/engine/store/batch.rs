//! Group commit: one writer takes the changes that are waiting and commits them as one transaction.
//!
//! Each change succeeds or is refused on its own, and is answered only after the commit.

use std::sync::Arc;

use async_trait::async_trait;
use cloud_core::{Effect, Result, Retry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::{
    limits::{BATCH_BYTES, BATCH_JOBS, MAX_APPEND_BYTES},
    session::{Backend, ended},
    transaction::Transaction,
};

/// The unit in which the memory of waiting changes is counted.
const UNIT: usize = 1024;

/// A change of the store.
#[async_trait]
pub(super) trait Change: Send + 'static {
    type Output: Send + 'static;

    /// How much memory it holds until it is answered.
    fn bytes(&self) -> usize {
        0
    }

    /// Makes the change in the transaction. The outer error aborts the transaction, for the others in it too; the inner
    /// one is this change's alone, and then it must not have changed anything.
    async fn apply(&self, transaction: &mut Transaction) -> Result<Result<Self::Output>>;
}

/// A [`Change`] without its type, and the caller who waits for it.
#[async_trait]
trait Job: Send {
    async fn apply(&mut self, transaction: &mut Transaction) -> Result<()>;

    /// Tells the caller: what came out if the transaction was committed, the error if not.
    fn answer(self: Box<Self>, committed: Result<()>);
}

struct Waiting<C: Change> {
    change: C,
    outcome: Option<Result<C::Output>>,
    caller: oneshot::Sender<Result<C::Output>>,
}

#[async_trait]
impl<C: Change + Sync> Job for Waiting<C>
where
    C::Output: Sync,
{
    async fn apply(&mut self, transaction: &mut Transaction) -> Result<()> {
        self.outcome = Some(self.change.apply(transaction).await?);
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        let answer = match (committed, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            (Ok(()), None) => Err(ended(Effect::None)),
            (Err(error), _) => Err(error),
        };
        // Nobody listens if the caller was dropped; what it asked for has been done all the same.
        let _ = self.caller.send(answer);
    }
}

struct Queued {
    job: Box<dyn Job>,
    bytes: usize,
    _memory: OwnedSemaphorePermit,
}

/// The way to the writer. The writer ends when the last of these is dropped.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    jobs: mpsc::UnboundedSender<Queued>,
    memory: Arc<Semaphore>,
}

impl Writer {
    /// Starts the writer on the current runtime.
    pub(super) fn start<B: Backend>(backend: Arc<B>) -> Self {
        // Not bounded by number: the memory that its jobs hold is.
        let (jobs, queue) = mpsc::unbounded_channel();
        tokio::spawn(write(backend, queue));
        Self { jobs, memory: Arc::new(Semaphore::new(MAX_APPEND_BYTES / UNIT)) }
    }

    /// Hands a change over and waits until it is committed or refused.
    pub(super) async fn submit<C>(&self, change: C) -> Result<C::Output>
    where
        C: Change + Sync,
        C::Output: Sync,
    {
        let bytes = change.bytes();
        let units = bytes.div_ceil(UNIT).clamp(1, MAX_APPEND_BYTES / UNIT);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let memory = Arc::clone(&self.memory).acquire_many_owned(units).await;
        let (caller, answer) = oneshot::channel();
        let job = Box::new(Waiting { change, outcome: None, caller });
        let queued = Queued { job, bytes, _memory: memory.map_err(|_| ended(Effect::None))? };
        self.jobs.send(queued).map_err(|_| ended(Effect::None))?;
        // The writer drops a job unanswered only if it is torn down in the middle of it.
        answer.await.map_err(|_| ended(Effect::Unknown))?
    }
}

async fn write<B: Backend>(backend: Arc<B>, mut queue: mpsc::UnboundedReceiver<Queued>) {
    while let Some(first) = queue.recv().await {
        // Whoever is about to hand something over can do so now, and is in this batch.
        tokio::task::yield_now().await;
        let mut bytes = first.bytes;
        let mut batch = vec![first];
        while batch.len() < BATCH_JOBS
            && bytes < BATCH_BYTES
            && let Ok(next) = queue.try_recv()
        {
            bytes += next.bytes;
            batch.push(next);
        }
        let backend = Arc::clone(&backend);
        let done = B::section(async move { commit(&*backend, batch).await }).await;
        if let Err(error) = done {
            tracing::error!(%error, "a batch of the store was cut off");
        }
    }
}

async fn commit<B: Backend>(backend: &B, mut batch: Vec<Queued>) {
    let committed = attempt(backend, &mut batch).await;
    match committed {
        Err(error)
            if batch.len() > 1
                && error.effect() == Effect::None
                && error.retry() == Retry::Never =>
        {
            // One of them may be what the database refuses: each on its own, so that only that one fails.
            tracing::debug!(%error, jobs = batch.len(), "a batch of the store failed; its changes go one by one");
            for one in batch {
                let mut one = [one];
                let committed = attempt(backend, &mut one).await;
                let [one] = one;
                one.job.answer(committed);
            }
        }
        committed => {
            for one in batch {
                one.job.answer(committed.clone());
            }
        }
    }
}

async fn attempt<B: Backend>(backend: &B, batch: &mut [Queued]) -> Result<()> {
    let mut transaction = Transaction::begin(backend).await?;
    for queued in batch {
        if let Err(error) = queued.job.apply(&mut transaction).await {
            transaction.roll_back().await;
            return Err(error);
        }
    }
    transaction.commit(backend).await
}
