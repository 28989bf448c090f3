//! Interceptors: what happens around every call to a cloud, whichever cloud and whichever service.
//!
//! An [`Interceptor`] has one method, [`around`](Interceptor::around), which gets the [`Operation`] and what comes
//! [`Next`]: it may wait, refuse, repeat, measure or break it. ONE decorator, [`Intercepted`], implements every service trait by
//! handing each call through a [`Stack`], so that an interceptor is written once and no adapter knows of any.
//!
//! The order is fixed by the builder, because a wrong order is a bug:
//!
//! | outermost to innermost | why there |
//! |---|---|
//! | trace, metrics | see the call as the caller does, waits and retries included |
//! | read-only, your own guards | refuse before anything is spent |
//! | audit | records what is really sent, and each outcome once |
//! | retry | repeats all that is below it |
//! | rate limit, concurrency | count every attempt, not every call |
//! | time-out | limits one attempt; outside retry it would cut the pauses |
//! | chaos | stands for the cloud itself, so that all above it is put to the test |
//!
//! ```
//! # use cloud_core::{Cloud, intercept::{RetryPolicy, Stack}};
//! # use std::{sync::Arc, time::Duration};
//! fn guarded(cloud: Arc<dyn Cloud>) -> Arc<dyn Cloud> {
//!     Stack::builder()
//!         .trace()
//!         .retry(RetryPolicy::default())
//!         .rate_limit(20, 40)
//!         .timeout(Duration::from_secs(30))
//!         .build()
//!         .wrap(cloud)
//! }
//! ```

mod audit;
mod chaos;
mod concurrency;
mod decorator;
mod metrics;
mod objects;
mod rate_limit;
mod read_only;
mod retry;
mod timeout;
mod trace;

use std::{fmt, fmt::Debug, num::NonZeroU32, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::BoxFuture;

pub use self::{
    audit::{Audit, AuditOutcome, AuditRecord, AuditSink, JsonLines, MemoryAudit},
    chaos::{Chaos, ChaosRates},
    concurrency::Concurrency,
    decorator::Intercepted,
    metrics::Metered,
    rate_limit::RateLimit,
    read_only::ReadOnly,
    retry::{RetryPolicy, Retrying},
    timeout::Timeout,
    trace::Traced,
};
use crate::{Capabilities, ClientToken, Cloud, CloudId, Provider, Region, ResourceId};

/// What a call does to the cloud, and so what may be done with the call.
///
/// ```
/// use cloud_core::intercept::Access;
/// assert!(!Access::Read.is_mutating());
/// assert!(Access::Update.is_repeatable() && !Access::Create.is_repeatable());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Changes nothing.
    Read,
    /// Makes something new.
    Create,
    /// Leads to the same state however often it is repeated: delete, stop, set a record.
    Update,
    /// Does something each time: invokes a function, runs a statement, reboots.
    Act,
}

impl Access {
    /// Whether it may change anything.
    pub const fn is_mutating(self) -> bool {
        !matches!(self, Self::Read)
    }

    /// Whether it may be repeated although the attempt before may have taken effect.
    pub const fn is_repeatable(self) -> bool {
        matches!(self, Self::Read | Self::Update)
    }
}

/// What a call is about.
///
/// ```
/// use cloud_core::intercept::Target;
/// assert_eq!(Target::Name("web-1").to_string(), "web-1");
/// assert_eq!(Target::None.to_string(), "");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Nothing in particular: a listing.
    None,
    /// The name of something that is to be made, or an object's key.
    Name(&'a str),
    /// A resource.
    Id(&'a ResourceId),
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Name(name) => f.write_str(name),
            Self::Id(id) => write!(f, "{id}"),
        }
    }
}

/// One call to a cloud. Borrowed from the call's own arguments: making one allocates nothing.
///
/// ```
/// # use cloud_core::{CloudId, Provider, intercept::{Access, Operation, Target}};
/// let cloud = CloudId::new("laptop").unwrap();
/// let operation = Operation {
///     cloud: &cloud,
///     provider: Provider::Local,
///     name: "compute.create_instance",
///     access: Access::Create,
///     region: None,
///     target: Target::Name("web-1"),
///     token: None,
/// };
/// assert_eq!(operation.service(), "compute");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Operation<'a> {
    /// The cloud that is called.
    pub cloud: &'a CloudId,
    /// Its provider.
    pub provider: Provider,
    /// The call, as `service.method`.
    pub name: &'static str,
    /// What it does.
    pub access: Access,
    /// The region, where the call names one.
    pub region: Option<&'a Region>,
    /// What it is about.
    pub target: Target<'a>,
    /// The client token of a create.
    pub token: Option<&'a ClientToken>,
}

impl Operation<'_> {
    /// The service, as `compute`.
    pub fn service(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(service, _)| service)
    }
}

/// Something around every call.
///
/// ```
/// use cloud_core::{Error, ErrorKind, Result, intercept::{Interceptor, Next, Operation}};
///
/// /// Refuses to touch one region.
/// #[derive(Debug)]
/// struct NotIn(cloud_core::Region);
///
/// #[async_trait::async_trait]
/// impl Interceptor for NotIn {
///     async fn around(&self, operation: &Operation<'_>, next: Next<'_>) -> Result<()> {
///         if operation.region == Some(&self.0) {
///             return Err(Error::new(ErrorKind::PolicyDenied, format!("{} is off limits", self.0)));
///         }
///         next.run().await
///     }
/// }
/// ```
#[async_trait]
pub trait Interceptor: Debug + Send + Sync {
    /// Is called instead of the operation; calls `next` never, once or several times.
    ///
    /// `Ok` says that `next` succeeded; the value that it made stays with the decorator. Must be cancellation-safe: the caller may drop
    /// the call at any time.
    ///
    /// # Errors
    /// Its own, or what `next` failed with.
    async fn around(&self, operation: &Operation<'_>, next: Next<'_>) -> crate::Result<()>;
}

type Call<'a> = dyn Fn() -> BoxFuture<'a, crate::Result<()>> + Send + Sync + 'a;

/// The interceptors further in, and at last the call itself. Running it again is a new attempt.
#[derive(Clone, Copy)]
pub struct Next<'a> {
    rest: &'a [Arc<dyn Interceptor>],
    operation: &'a Operation<'a>,
    call: &'a Call<'a>,
}

impl<'a> Next<'a> {
    /// Makes one attempt.
    pub fn run(&self) -> BoxFuture<'a, crate::Result<()>> {
        match self.rest.split_first() {
            Some((first, rest)) => first.around(self.operation, Next { rest, ..*self }),
            None => (self.call)(),
        }
    }
}

impl Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Next({} interceptors)", self.rest.len())
    }
}

/// Interceptors in their order. Made by a [`StackBuilder`]; cheap to clone.
///
/// ```
/// use cloud_core::intercept::Stack;
/// assert!(Stack::builder().build().is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct Stack(Arc<[Arc<dyn Interceptor>]>);

impl Stack {
    /// A builder without interceptors.
    pub fn builder() -> StackBuilder {
        StackBuilder::default()
    }

    /// Puts the stack around every service of a cloud.
    pub fn wrap(&self, cloud: Arc<dyn Cloud>) -> Arc<dyn Cloud> {
        if self.is_empty() {
            return cloud;
        }
        Arc::new(Intercepted::new(cloud, self))
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Collects interceptors and puts them into their order, whatever order they are named in.
///
/// ```
/// use cloud_core::intercept::Stack;
/// let stack = Stack::builder().timeout(std::time::Duration::from_secs(30)).read_only().build();
/// ```
#[derive(Clone, Debug, Default)]
pub struct StackBuilder {
    trace: Option<Arc<dyn Interceptor>>,
    metrics: Option<Arc<dyn Interceptor>>,
    read_only: Option<Arc<dyn Interceptor>>,
    guards: Vec<Arc<dyn Interceptor>>,
    audit: Option<Arc<dyn Interceptor>>,
    retry: Option<Arc<dyn Interceptor>>,
    rate_limit: Option<Arc<dyn Interceptor>>,
    concurrency: Option<Arc<dyn Interceptor>>,
    timeout: Option<Arc<dyn Interceptor>>,
    chaos: Option<Arc<dyn Interceptor>>,
}

impl StackBuilder {
    /// A tracing span for each call.
    pub fn trace(mut self) -> Self {
        self.trace = Some(Arc::new(Traced));
        self
    }

    /// Counts and times calls through the `metrics` facade.
    pub fn metrics(mut self) -> Self {
        self.metrics = Some(Arc::new(Metered));
        self
    }

    /// Refuses every call that may change anything.
    pub fn read_only(mut self) -> Self {
        self.read_only = Some(Arc::new(ReadOnly));
        self
    }

    /// Adds an interceptor of your own: outside audit and retry, so it sees each call once.
    pub fn guard(mut self, guard: impl Interceptor + 'static) -> Self {
        self.guards.push(Arc::new(guard));
        self
    }

    /// Records every call that may change anything.
    pub fn audit(mut self, sink: Arc<dyn AuditSink>) -> Self {
        self.audit = Some(Arc::new(Audit::new(sink)));
        self
    }

    /// Repeats what may be repeated.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(Arc::new(Retrying::new(policy)));
        self
    }

    /// At most `per_second` attempts a second on average and `burst` at once, for this cloud, which is one account. 0 counts as 1.
    pub fn rate_limit(self, per_second: u32, burst: u32) -> Self {
        let at_least_one = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        self.shared_rate_limit(Arc::new(RateLimit::new(
            at_least_one(per_second),
            at_least_one(burst),
        )))
    }

    /// A rate limit that several clouds share, because they are one account to the provider.
    pub fn shared_rate_limit(mut self, limit: Arc<RateLimit>) -> Self {
        self.rate_limit = Some(limit);
        self
    }

    /// At most so many attempts under way at once. 0 counts as 1.
    pub fn concurrency(mut self, most: usize) -> Self {
        self.concurrency = Some(Arc::new(Concurrency::new(most)));
        self
    }

    /// Gives each attempt so long.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(Arc::new(Timeout::new(limit)));
        self
    }

    /// Breaks calls at random, by seed.
    pub fn chaos(mut self, chaos: Chaos) -> Self {
        self.chaos = Some(Arc::new(chaos));
        self
    }

    /// The stack.
    pub fn build(self) -> Stack {
        let inner =
            [self.audit, self.retry, self.rate_limit, self.concurrency, self.timeout, self.chaos];
        let outer = [self.trace, self.metrics, self.read_only];
        Stack(
            outer
                .into_iter()
                .flatten()
                .chain(self.guards)
                .chain(inner.into_iter().flatten())
                .collect(),
        )
    }
}

/// What every handle of one cloud shares.
#[derive(Debug)]
struct Context {
    stack: Stack,
    cloud: CloudId,
    provider: Provider,
    capabilities: Capabilities,
}

#[cfg(test)]
mod tests;
