//! Repeats calls that failed in passing.

use std::time::Duration;

use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable};

use super::{Interceptor, Next, Operation};
use crate::{Effect, Result, Retry};

/// How often and how patiently to repeat.
///
/// ```
/// use cloud_core::intercept::RetryPolicy;
/// let patient = RetryPolicy { attempts: 10, ..RetryPolicy::default() };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The most attempts, the first included. Default 5.
    pub attempts: usize,
    /// The pause after the first attempt, doubled after each further one, plus a random part of up to as much again. Default 200 ms.
    pub first_pause: Duration,
    /// The longest pause, unless the provider asks for a longer one. Default 20 s.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(20),
        }
    }
}

/// Repeats a call if its error [says that it may](crate::Error::retry) and repeating is safe.
///
/// It is safe if nothing happened ([`Effect::None`]), or if the call leads to the same state however often it is made
/// ([`Access::is_repeatable`](super::Access::is_repeatable)). So a create whose effect is unknown is never repeated here: whoever
/// asked for it has to look it up first. A provider's `Retry-After` is honoured.
///
/// ```
/// use cloud_core::intercept::{RetryPolicy, Retrying};
/// let retry = Retrying::new(RetryPolicy::default());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Retrying(RetryPolicy);

impl Retrying {
    /// Repeats by this policy.
    pub const fn new(policy: RetryPolicy) -> Self {
        Self(policy)
    }
}

#[async_trait]
impl Interceptor for Retrying {
    async fn around(&self, operation: &Operation<'_>, next: Next<'_>) -> Result<()> {
        let pauses = ExponentialBuilder::new()
            .with_min_delay(self.0.first_pause)
            .with_max_delay(self.0.longest_pause)
            .with_max_times(self.0.attempts.saturating_sub(1))
            .with_jitter();
        (|| next.run())
            .retry(pauses)
            .when(|error| {
                error.retry() != Retry::Never
                    && (error.effect() == Effect::None || operation.access.is_repeatable())
            })
            .adjust(|error, pause| match error.retry() {
                Retry::After(least) => pause.map(|pause| pause.max(least)),
                _ => pause,
            })
            .notify(|error, pause| {
                tracing::debug!(operation = operation.name, cloud = %operation.cloud, %error, ?pause, "repeating");
            })
            .await
    }
}
