//! How many objects are on their way at once: as many as make it faster, fewer when a store asks for it.
//!
//! After the delay-based congestion control of TCP Vegas (Brakmo, O'Malley, Peterson: "TCP Vegas", SIGCOMM 1994): while the time that a
//! request takes stays near the least that was seen, more at once is faster; when it grows, requests only wait in a longer
//! queue. A store that answers "slow down" (429, 503) is taken at its word: a third less, at once.

use std::time::Duration;

use tokio::time::Instant;

/// Where it starts unless the user says otherwise.
const START: f64 = 64.0;

/// Where it ends.
pub(super) const MOST: usize = 512;

/// A request that is answered within this time is not waiting in any queue that matters.
const QUICK: Duration = Duration::from_millis(3);

/// How much longer than the least a request may take before no more are added.
const QUEUED: f64 = 1.8;

/// How long the least is remembered: routes and stores change.
const MEMORY: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Limiter {
    limit: f64,
    most: f64,
    /// The least time seen in this memory and in the one before.
    least: [Option<Duration>; 2],
    turned: Instant,
    average: Option<f64>,
    /// Doubling until the first sign of a queue, then step by step.
    probing: bool,
    backed_off: Option<Instant>,
}

impl Limiter {
    /// `fixed` is the user's own figure, which is kept except for a store that asks for less.
    pub(super) fn new(fixed: Option<usize>, now: Instant) -> Self {
        let most = fixed.unwrap_or(MOST).max(1) as f64;
        let limit = if fixed.is_some() { most } else { START };
        let (least, average) = ([None; 2], None);
        Self { limit, most, least, turned: now, average, probing: true, backed_off: None }
    }

    /// How many may be on their way.
    pub(super) fn limit(&self) -> usize {
        self.limit as usize
    }

    /// A small object arrived, this long after it set off, while so many were on their way.
    pub(super) fn succeeded(&mut self, took: Duration, in_flight: usize, now: Instant) {
        if now.duration_since(self.turned) > MEMORY {
            self.least = [None, self.least[0]];
            self.turned = now;
        }
        self.least[0] = Some(self.least[0].map_or(took, |least| least.min(took)));
        let least = self.least.iter().flatten().min().copied().unwrap_or(took);
        let seconds = took.as_secs_f64();
        let average = self.average.map_or(seconds, |average| average + (seconds - average) / 16.0);
        self.average = Some(average);
        // A limit that is not used says nothing about a higher one.
        if in_flight * 2 < self.limit() {
            return;
        }
        let queued = average > QUICK.as_secs_f64() && average > least.as_secs_f64() * QUEUED;
        let step = if self.probing && !queued { 1.0 } else { 1.0 / self.limit };
        if queued {
            self.probing = false;
            self.limit = (self.limit - step).max(START.min(self.most));
        } else {
            self.limit = (self.limit + step).min(self.most);
        }
    }

    /// A store asked for less. Once per second at most: all that were on their way hear the same.
    pub(super) fn throttled(&mut self, now: Instant) {
        let heard =
            self.backed_off.is_some_and(|at| now.duration_since(at) < Duration::from_secs(1));
        if !heard {
            self.backed_off = Some(now);
            self.probing = false;
            self.limit = (self.limit * 0.67).max(1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store that answers `servers` requests at once, each in `service`.
    fn settle(limiter: &mut Limiter, servers: usize, service: Duration, rounds: usize) -> usize {
        let mut now = Instant::now();
        for _ in 0..rounds {
            let in_flight = limiter.limit();
            let took = service.mul_f64((in_flight as f64 / servers as f64).max(1.0));
            now += took;
            (0..in_flight).for_each(|_| limiter.succeeded(took, in_flight, now));
        }
        limiter.limit()
    }

    #[test]
    fn a_far_store_is_given_all_there_is_within_a_few_round_trips() {
        let mut limiter = Limiter::new(None, Instant::now());
        assert_eq!(settle(&mut limiter, 10_000, Duration::from_millis(40), 5), MOST);
    }

    #[test]
    fn the_knee_is_found_from_below() {
        let mut limiter = Limiter::new(None, Instant::now());
        let found = settle(&mut limiter, 150, Duration::from_millis(20), 200);
        assert!((150..=320).contains(&found), "{found}");
    }

    #[test]
    fn what_asks_for_less_gets_less_once_a_second() {
        let now = Instant::now();
        let mut limiter = Limiter::new(Some(100), now);
        (0..50).for_each(|_| limiter.throttled(now));
        assert_eq!(limiter.limit(), 67);
        limiter.throttled(now + Duration::from_secs(2));
        assert_eq!(limiter.limit(), 44);
        (2..60).for_each(|second| limiter.throttled(now + Duration::from_secs(2 * second)));
        assert_eq!(limiter.limit(), 1);
    }
}
