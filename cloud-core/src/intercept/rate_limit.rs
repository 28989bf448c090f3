//! Limits how many attempts begin in a second.

use std::{num::NonZeroU32, time::Duration};

use async_trait::async_trait;
use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed},
};
use tokio::time::Instant;

use super::{Interceptor, Next, Operation};
use crate::Result;

/// Delays attempts so that a provider's request limit is not hit: so many a second on average, so many at once.
/// Providers count by account, so share one among clouds that are the same account to the provider.
///
/// It counts by the generic cell rate algorithm on tokio's clock. Those who wait are not served in a fixed order.
///
/// ```
/// use cloud_core::intercept::RateLimit;
/// use std::num::NonZeroU32;
/// let limit = RateLimit::new(NonZeroU32::new(20).unwrap(), NonZeroU32::new(40).unwrap());
/// ```
#[derive(Debug)]
pub struct RateLimit(RateLimiter<NotKeyed, InMemoryState, TokioTime, NoOpMiddleware<Nanos>>);

impl RateLimit {
    /// So many a second on average, and after a rest so many at once.
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        let quota = Quota::per_second(per_second).allow_burst(burst);
        Self(RateLimiter::direct_with_clock(quota, TokioTime(Instant::now())))
    }
}

#[async_trait]
impl Interceptor for RateLimit {
    async fn around(&self, _: &Operation<'_>, next: Next<'_>) -> Result<()> {
        while let Err(early) = self.0.check() {
            let wait = early.wait_time_from(self.0.clock().now());
            // At least a millisecond: tokio's timer has no finer grain, and a wait of 0 would spin.
            tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
        }
        next.run().await
    }
}

/// tokio's clock for governor: virtual where tokio's is paused.
#[derive(Clone, Debug)]
struct TokioTime(Instant);

impl Clock for TokioTime {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.0.elapsed())
    }
}
