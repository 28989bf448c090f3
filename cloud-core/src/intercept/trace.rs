//! A tracing span around each call.

use async_trait::async_trait;
use tracing::{Instrument, field};

use super::{Interceptor, Next, Operation};
use crate::Result;

/// Opens a span `cloud_call` for each call, with the operation, cloud, region and target, and records how it ended.
/// Failures are events of level `WARN` inside it.
///
/// ```
/// let stack = cloud_core::intercept::Stack::builder().trace().build();
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Traced;

#[async_trait]
impl Interceptor for Traced {
    async fn around(&self, operation: &Operation<'_>, next: Next<'_>) -> Result<()> {
        let span = tracing::info_span!(
            "cloud_call",
            operation = operation.name,
            cloud = %operation.cloud,
            region = operation.region.map(field::display),
            target = %operation.target,
            outcome = field::Empty,
        );
        if span.is_disabled() {
            return next.run().await;
        }
        async {
            let result = next.run().await;
            let outcome = match &result {
                Ok(()) => "ok",
                Err(error) => {
                    tracing::warn!(%error, "call failed");
                    error.kind().as_str()
                }
            };
            tracing::Span::current().record("outcome", outcome);
            result
        }
        .instrument(span)
        .await
    }
}
