//! Refuses what may change anything.

use async_trait::async_trait;

use super::{Interceptor, Next, Operation};
use crate::{Error, ErrorKind, Result};

/// Lets only reading calls through. The text of an SQL statement is not judged, so every statement is refused: read a
/// database through a user of its own that may only read.
///
/// ```
/// let stack = cloud_core::intercept::Stack::builder().read_only().build();
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOnly;

#[async_trait]
impl Interceptor for ReadOnly {
    async fn around(&self, operation: &Operation<'_>, next: Next<'_>) -> Result<()> {
        if operation.access.is_mutating() {
            return Err(Error::new(
                ErrorKind::PolicyDenied,
                "this cloud is registered as read-only",
            )
            .with_resource(operation.target.to_string())
            .with_hint("register it without read_only to change it"));
        }
        next.run().await
    }
}
