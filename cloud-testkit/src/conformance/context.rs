//! What a running trial has at hand: the cloud, names and tags of its own, waiting, and the removal of what it made.

use std::{
    any::Any,
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cloud_core::{
    Capabilities, ClientToken, Cloud, CloudExt, DeleteOptions, Error, ErrorKind, ListQuery,
    Listing, PageRequest, Region, Resource, ResourceId, ResourceKind, ResourceQuery,
    ResourceStatus, Tags, WaitOptions, wait_until,
};
use tokio::time::Instant;

use super::{
    Harness, ensure,
    subject::{self, Subject},
};

/// Why a trial failed.
///
/// ```
/// use cloud_testkit::conformance::Failure;
/// assert_eq!(Failure::new("2 instead of 1").to_string(), "2 instead of 1");
/// ```
#[derive(Clone, Debug)]
pub struct Failure {
    reason: String,
    skip: bool,
    kind: Option<ErrorKind>,
}

impl Failure {
    /// A failure for this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), skip: false, kind: None }
    }

    /// No failure: the harness does not provide what the trial needs.
    pub fn skip(reason: impl Into<String>) -> Self {
        Self { skip: true, ..Self::new(reason) }
    }

    /// The kind of the error that it comes from.
    pub(super) fn kind(&self) -> Option<ErrorKind> {
        self.kind
    }

    pub(super) fn is_skip(&self) -> bool {
        self.skip
    }

    pub(super) fn of_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or(panic.downcast_ref::<String>().map(String::as_str));
        Self::new(format!("panicked: {}", text.unwrap_or("without a message")))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { kind: Some(error.kind()), ..Self::new(format!("{error:?}")) }
    }
}

impl From<object_store::Error> for Failure {
    fn from(error: object_store::Error) -> Self {
        Self::from(Error::from(error))
    }
}

/// What a trial has at hand.
pub struct Context<'a> {
    pub(super) harness: &'a dyn Harness,
    pub(super) cloud: Arc<dyn Cloud>,
    pub(super) region: Region,
    pub(super) wait: WaitOptions,
    kind: Option<ResourceKind>,
    prefix: String,
    made: Mutex<Vec<ResourceId>>,
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({}, {})", self.cloud.id(), self.prefix)
    }
}

impl<'a> Context<'a> {
    /// Key of the tag that everything of a trial bears.
    pub const TAG: &'static str = "conformance-trial";

    pub(super) fn new(harness: &'a dyn Harness, kind: Option<ResourceKind>) -> Self {
        Self {
            harness,
            cloud: harness.cloud(),
            region: harness.region(),
            wait: harness.wait(),
            kind,
            prefix: format!("ct{:08x}", rand::random::<u32>()),
            made: Mutex::default(),
        }
    }

    /// A name that only this trial uses.
    pub fn name(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.prefix)
    }

    /// [`name`](Self::name) for one of this kind: a DNS zone's is a domain.
    pub(super) fn name_of(&self, kind: ResourceKind, suffix: &str) -> String {
        match kind {
            ResourceKind::DnsZone => format!("{}.example.com", self.name(suffix)),
            _ => self.name(suffix),
        }
    }

    /// The tag of this trial, and these.
    ///
    /// # Errors
    /// If they are no tags.
    pub fn tags(&self, more: &[(&str, &str)]) -> Result<Tags, Failure> {
        Ok(Tags::new([(Self::TAG, self.prefix.as_str())].into_iter().chain(more.iter().copied()))?)
    }

    pub(super) fn capabilities(&self) -> &Capabilities {
        self.cloud.capabilities()
    }

    /// Remembers what was made, so that a listing that misses it cannot hide it from the clean-up.
    pub(super) fn note(&self, id: &ResourceId) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push(id.clone());
    }

    /// The kind that this trial is run for.
    pub(super) async fn subject(&self) -> Result<Arc<dyn Subject>, Failure> {
        let kind = self.kind.ok_or_else(|| Failure::new("this trial has no kind"))?;
        subject::of_kind(self, kind).await
    }

    /// Creates one and notes it for the clean-up.
    pub(super) async fn create(
        &self,
        subject: &dyn Subject,
        suffix: &str,
    ) -> Result<Resource, Failure> {
        let made = subject
            .create(&self.name_of(subject.kind(), suffix), &self.tags(&[])?, &ClientToken::random())
            .await?;
        self.note(&made.id);
        Ok(made)
    }

    /// [`create`](Self::create), and waits until it is ready.
    pub(super) async fn create_ready(
        &self,
        subject: &dyn Subject,
        suffix: &str,
    ) -> Result<Resource, Failure> {
        let made = self.create(subject, suffix).await?;
        self.ready(&made.id).await
    }

    /// Waits until a resource is in service.
    pub(super) async fn ready(&self, id: &ResourceId) -> Result<Resource, Failure> {
        self.reach(id, ResourceStatus::Running).await
    }

    /// Waits until a resource is in this state.
    pub(super) async fn reach(
        &self,
        id: &ResourceId,
        status: ResourceStatus,
    ) -> Result<Resource, Failure> {
        self.note(id);
        let what = format!("{id} to be {status}");
        Ok(wait_until(&what, &self.wait, || async {
            let now = match self.cloud.get_resource(id).await {
                // Right after its creation.
                Err(error) if error.kind() == ErrorKind::NotFound && !self.window().is_zero() => {
                    return Ok(None);
                }
                answer => answer?,
            };
            if now.status == ResourceStatus::Failed && status != ResourceStatus::Failed {
                let message = format!("{id} has failed: {}", now.configuration);
                return Err(Error::new(ErrorKind::Internal, message));
            }
            Ok((now.status == status).then_some(now))
        })
        .await?)
    }

    /// Waits until a resource is not there any more.
    pub(super) async fn gone(&self, id: &ResourceId) -> Result<(), Failure> {
        Ok(wait_until(&format!("{id} to be gone"), &self.wait, || async {
            match self.cloud.get_resource(id).await {
                Ok(resource) => Ok((resource.status == ResourceStatus::Deleted).then_some(())),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some(())),
                Err(error) => Err(error),
            }
        })
        .await?)
    }

    fn window(&self) -> Duration {
        self.capabilities().consistency_window
    }

    /// Lets the time pass after which every listing shows what was done.
    pub(super) async fn consistent(&self) {
        if !self.window().is_zero() {
            tokio::time::sleep(self.window()).await;
        }
    }

    /// A check that must hold at once, or on a cloud that is consistent later, within its window.
    pub(super) async fn eventually<T, F, Fut>(&self, mut check: F) -> Result<T, Failure>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        let until = Instant::now() + self.window();
        loop {
            let late = Instant::now() >= until;
            match check().await {
                Err(_) if !late => tokio::time::sleep(self.wait.first_pause).await,
                answer => return answer,
            }
        }
    }

    /// Everything that bears the tag of this trial and is not gone.
    pub(super) async fn living(&self) -> Result<Vec<Resource>, Failure> {
        let query = ResourceQuery::tagged(self.tags(&[])?);
        let mut living = self.cloud.list_resources(&query).complete().await?.into_items();
        living.retain(|resource| resource.status != ResourceStatus::Deleted);
        Ok(living)
    }

    /// Removes whatever the trial made, and fails if anything is left.
    pub(super) async fn clean_up(&self) -> Result<(), Failure> {
        self.harness.settle().await;
        self.consistent().await;
        let cleaned = wait_until("everything of the trial to be gone", &self.wait, || async {
            let mut left: Vec<_> = match self.living().await {
                Ok(living) => living.into_iter().map(|resource| resource.id).collect(),
                Err(failure) => return Err(Error::new(ErrorKind::Internal, failure.to_string())),
            };
            for id in self.noted() {
                if !left.contains(&id) && self.exists(&id).await? {
                    left.push(id);
                }
            }
            let rank = |id: &ResourceId| ResourceKind::ALL.iter().position(|kind| *kind == id.kind);
            left.sort_by_key(|id| std::cmp::Reverse(rank(id)));
            for id in &left {
                self.remove(id).await?;
            }
            Ok(left.is_empty().then_some(()))
        });
        cleaned.await?;
        let left = self.living().await?;
        ensure!(
            left.is_empty(),
            "left behind: {:?}",
            left.iter().map(|r| &r.id).collect::<Vec<_>>()
        );
        Ok(())
    }

    fn noted(&self) -> Vec<ResourceId> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn exists(&self, id: &ResourceId) -> Result<bool, Error> {
        match self.cloud.get_resource(id).await {
            Ok(resource) => Ok(resource.status != ResourceStatus::Deleted),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes one; a dependency that is still there is waited out by the next round.
    async fn remove(&self, id: &ResourceId) -> Result<(), Error> {
        match self.cloud.delete_resource(id, &DeleteOptions { with_contents: true }).await {
            Err(error) if error.kind() != ErrorKind::Conflict => Err(error),
            _ => Ok(()),
        }
    }
}

/// All of a listing of one kind.
pub(super) async fn list_all(
    subject: &dyn Subject,
    query: &ListQuery,
) -> Result<Vec<Resource>, Failure> {
    let listing = Listing::new(PageRequest::default(), |page| async move {
        subject.list_page(query, &page).await
    });
    Ok(listing.complete().await?.into_items())
}
