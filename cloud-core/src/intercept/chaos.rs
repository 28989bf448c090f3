//! Breaks calls on purpose.

use std::{sync::Mutex, sync::PoisonError, time::Duration};

use async_trait::async_trait;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{Interceptor, Next, Operation};
use crate::{Effect, Error, ErrorKind, Result};

/// How probable each fault is, from 0.0 to 1.0. At most one strikes a call: the first that is drawn, in this order.
///
/// ```
/// use cloud_core::intercept::ChaosRates;
/// let rates = ChaosRates { ambiguous: 0.05, ..ChaosRates::default() };
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ChaosRates {
    /// Fails before the call is made: nothing happens.
    pub before_effect: f64,
    /// Makes the call and then fails, saying that it took effect.
    pub after_effect: f64,
    /// Makes the call and then fails with a time-out, as if the answer was lost: the effect is unknown.
    pub ambiguous: f64,
    /// Makes the call after a delay.
    pub slow: f64,
    /// How long that delay is.
    pub delay: Duration,
}

/// Breaks calls at random, always the same ones for a seed and an order of calls.
///
/// ```
/// use cloud_core::intercept::{Chaos, ChaosRates};
/// let chaos = Chaos::new(42, ChaosRates { before_effect: 0.1, ..ChaosRates::default() });
/// assert_eq!(chaos.seed(), 42);
/// ```
#[derive(Debug)]
pub struct Chaos {
    seed: u64,
    rates: ChaosRates,
    random: Mutex<StdRng>,
}

impl Chaos {
    /// Faults at these rates, drawn from this seed.
    pub fn new(seed: u64, rates: ChaosRates) -> Self {
        Self { seed, rates, random: Mutex::new(StdRng::seed_from_u64(seed)) }
    }

    /// The seed, to be printed when a test fails.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Draws which fault strikes: the place of the rate that it falls under.
    fn draw(&self) -> Option<usize> {
        let rates = &self.rates;
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let drawn: f64 = random.random();
        let mut reach = 0.0;
        [rates.before_effect, rates.after_effect, rates.ambiguous, rates.slow].iter().position(
            |rate| {
                reach += rate;
                drawn < reach
            },
        )
    }

    fn error(&self, operation: &Operation<'_>, kind: ErrorKind, what: &str) -> Error {
        Error::new(kind, format!("chaos (seed {}): {what}", self.seed))
            .with_resource(operation.target.to_string())
    }
}

#[async_trait]
impl Interceptor for Chaos {
    async fn around(&self, operation: &Operation<'_>, next: Next<'_>) -> Result<()> {
        match self.draw() {
            Some(0) => {
                Err(self.error(operation, ErrorKind::Unavailable, "failed before the effect"))
            }
            Some(1) => {
                next.run().await?;
                let error = self.error(operation, ErrorKind::Internal, "failed after the effect");
                Err(error.with_effect(Effect::Done))
            }
            Some(2) => {
                next.run().await?;
                let error = self.error(operation, ErrorKind::Timeout, "the answer was lost");
                Err(error.with_effect(Effect::Unknown))
            }
            Some(_) => {
                tokio::time::sleep(self.rates.delay).await;
                next.run().await
            }
            None => next.run().await,
        }
    }
}
