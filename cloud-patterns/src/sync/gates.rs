//! What every transfer passes through: memory, bandwidth, requests per second; and the counters of what passed.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use cloud_core::{Error, Result};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::policy::TransferLimits;

/// Bytes of bodies in memory at once, unless the policy says otherwise.
const MEMORY: u64 = 32 * 1024 * 1024;

/// Bandwidth and memory are counted in units of so many bytes.
const UNIT: u64 = 1024;

/// The limits of one run.
#[derive(Debug)]
pub(super) struct Gates {
    memory: Semaphore,
    /// All of the memory there is, in units.
    units: u32,
    bandwidth: Option<DefaultDirectRateLimiter>,
    requests: Option<DefaultDirectRateLimiter>,
    moved: AtomicU64,
    asked: AtomicU64,
}

impl Gates {
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for a limit of zero.
    pub(super) fn new(limits: &TransferLimits) -> Result<Self> {
        let memory = limits.memory_bytes.unwrap_or(MEMORY).div_ceil(UNIT);
        let units = u32::try_from(memory.min(Semaphore::MAX_PERMITS as u64)).unwrap_or(u32::MAX);
        let some = |field, value: u64| {
            let value = u32::try_from(value).unwrap_or(u32::MAX);
            NonZeroU32::new(value).ok_or_else(|| {
                Error::invalid(
                    field,
                    "is 0: nothing would ever be copied",
                    "1 or more, or nothing for no limit",
                )
            })
        };
        some("limits.memory_bytes", u64::from(units))?;
        let bandwidth = limits.bytes_per_second.map(|bytes| bytes.div_ceil(UNIT));
        let bandwidth =
            bandwidth.map(|units| some("limits.bytes_per_second", units)).transpose()?;
        let requests = limits.requests_per_second.map(u64::from);
        let requests = requests.map(|n| some("limits.requests_per_second", n)).transpose()?;
        let limiter = |per_second| RateLimiter::direct(Quota::per_second(per_second));
        Ok(Self {
            memory: Semaphore::new(units as usize),
            units,
            bandwidth: bandwidth.map(limiter),
            requests: requests.map(limiter),
            moved: AtomicU64::new(0),
            asked: AtomicU64::new(0),
        })
    }

    /// Waits until so many bytes may be held. What is larger than all there is takes all there is.
    pub(super) async fn memory(&self, bytes: u64) -> Option<SemaphorePermit<'_>> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.units);
        // The semaphore is never closed.
        self.memory.acquire_many(units).await.ok()
    }

    /// All the memory there is, in bytes.
    pub(super) fn capacity(&self) -> u64 {
        u64::from(self.units) * UNIT
    }

    /// Counts bytes that came from the source, and waits for the bandwidth to carry them.
    pub(super) async fn bytes(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Relaxed);
        let Some(bandwidth) = &self.bandwidth else {
            return;
        };
        let mut units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        while let Some(some) = NonZeroU32::new(units) {
            // More than a second's worth is taken in pieces.
            let piece = match bandwidth.until_n_ready(some).await {
                Ok(()) => return,
                Err(too_many) => NonZeroU32::new(too_many.0).unwrap_or(some).min(some),
            };
            if bandwidth.until_n_ready(piece).await.is_err() {
                return;
            }
            units -= piece.get();
        }
    }

    /// Counts a request, and waits until it may be made.
    pub(super) async fn request(&self) {
        self.asked.fetch_add(1, Relaxed);
        if let Some(requests) = &self.requests {
            requests.until_ready().await;
        }
    }

    /// Bytes that came from the source so far.
    pub(super) fn moved(&self) -> u64 {
        self.moved.load(Relaxed)
    }

    /// Requests that were made for objects so far.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bandwidth_is_kept_also_by_what_is_larger_than_a_second_of_it() {
        let limits =
            TransferLimits { bytes_per_second: Some(1 << 20), ..TransferLimits::default() };
        let gates = Gates::new(&limits).unwrap();
        assert_eq!(gates.moved(), 0);
        gates.bytes(1 << 19).await;
        assert_eq!(gates.moved(), 1 << 19);
    }

    #[tokio::test]
    async fn an_object_larger_than_the_memory_still_passes() {
        let limits = TransferLimits { memory_bytes: Some(4096), ..TransferLimits::default() };
        let gates = Gates::new(&limits).unwrap();
        let all = gates.memory(1 << 30).await;
        assert!(all.is_some() && gates.memory.available_permits() == 0);
    }

    #[test]
    fn a_limit_of_zero_is_refused_by_name() {
        let limits = TransferLimits { requests_per_second: Some(0), ..TransferLimits::default() };
        assert!(
            Gates::new(&limits).unwrap_err().to_string().contains("limits.requests_per_second")
        );
    }
}
