//! A time-out that is set often and fires seldom.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

/// One timer, moved only when it runs out or when it would be too late: setting a deadline costs a look at the clock.
pub(super) struct Deadline {
    timer: Pin<Box<Sleep>>,
    at: Instant,
}

impl Deadline {
    pub(super) fn after(time: Duration) -> Self {
        let at = Instant::now() + time;
        Self { timer: Box::pin(tokio::time::sleep_until(at)), at }
    }

    /// From now on it is due in `time`.
    pub(super) fn set(&mut self, time: Duration) {
        self.at = Instant::now() + time;
        if self.at < self.timer.deadline() {
            self.timer.as_mut().reset(self.at);
        }
    }

    /// Ready when it is due.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if Instant::now() >= self.at {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn is_due_at_the_last_time_that_was_set() {
        let start = Instant::now();
        let mut deadline = Deadline::after(Duration::from_secs(10));
        tokio::time::advance(Duration::from_secs(9)).await;
        deadline.set(Duration::from_secs(10));
        poll_fn(|cx| deadline.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 19);
        deadline.set(Duration::from_secs(100));
        deadline.set(Duration::from_secs(1));
        poll_fn(|cx| deadline.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 20);
    }
}
