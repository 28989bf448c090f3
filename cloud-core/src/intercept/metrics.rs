//! Counts and times calls.

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Interceptor, Next, Operation};
use crate::Result;

/// Reports each call through the [`metrics`] facade, to whatever recorder the application installs:
///
/// - `cloud_calls_total` (counter) with the labels `cloud`, `operation` and `outcome` (`ok` or an error kind);
/// - `cloud_call_duration_seconds` (histogram) with the labels `cloud` and `operation`.
///
/// A call that is dropped before it ends is not counted.
///
/// ```
/// let stack = cloud_core::intercept::Stack::builder().metrics().build();
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Metered;

#[async_trait]
impl Interceptor for Metered {
    async fn around(&self, operation: &Operation<'_>, next: Next<'_>) -> Result<()> {
        let start = Instant::now();
        let result = next.run().await;
        let outcome = result.as_ref().map_or_else(|e| e.kind().as_str(), |()| "ok");
        let cloud = operation.cloud.shared();
        metrics::counter!("cloud_calls_total",
            "cloud" => cloud.clone(), "operation" => operation.name, "outcome" => outcome)
        .increment(1);
        metrics::histogram!("cloud_call_duration_seconds",
            "cloud" => cloud, "operation" => operation.name)
        .record(start.elapsed());
        result
    }
}
