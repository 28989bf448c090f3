//! Limits the time of one attempt.

use std::time::Duration;

use async_trait::async_trait;

use super::{Interceptor, Next, Operation};
use crate::{Effect, Error, ErrorKind, Result};

/// Drops an attempt that takes too long and fails with [`ErrorKind::Timeout`]. Whether a mutating call took effect is
/// then unknown, and the error says so.
///
/// ```
/// use cloud_core::intercept::Timeout;
/// let ten_seconds = Timeout::new(std::time::Duration::from_secs(10));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Timeout(Duration);

impl Timeout {
    /// This long for each attempt.
    pub const fn new(limit: Duration) -> Self {
        Self(limit)
    }
}

#[async_trait]
impl Interceptor for Timeout {
    async fn around(&self, operation: &Operation<'_>, next: Next<'_>) -> Result<()> {
        match tokio::time::timeout(self.0, next.run()).await {
            Ok(result) => result,
            Err(_) => {
                let effect =
                    if operation.access.is_mutating() { Effect::Unknown } else { Effect::None };
                let limit = humantime::format_duration(self.0);
                Err(Error::new(ErrorKind::Timeout, format!("no answer within {limit}"))
                    .with_effect(effect)
                    .with_resource(operation.target.to_string()))
            }
        }
    }
}
