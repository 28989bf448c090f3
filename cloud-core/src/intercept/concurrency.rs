//! Limits how many attempts are under way at once.

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::{Interceptor, Next, Operation};
use crate::{Error, ErrorKind, Result};

/// Lets so many attempts through at once; the others wait, first come, first served.
///
/// ```
/// use cloud_core::intercept::Concurrency;
/// let limit = Concurrency::new(16);
/// ```
#[derive(Debug)]
pub struct Concurrency(Semaphore);

impl Concurrency {
    /// So many at once. 0 counts as 1.
    pub fn new(most: usize) -> Self {
        Self(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)))
    }
}

#[async_trait]
impl Interceptor for Concurrency {
    async fn around(&self, _: &Operation<'_>, next: Next<'_>) -> Result<()> {
        // The semaphore lives as long as `self` and is never closed.
        let _permit =
            self.0.acquire().await.map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
        next.run().await
    }
}
