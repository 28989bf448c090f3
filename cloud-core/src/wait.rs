//! Waiting for a cloud to reach a state: with a deadline, growing pauses and cancellation.

use std::{future::Future, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Effect, Error, ErrorKind, Result, Retry};

/// How long and how often to look.
///
/// ```
/// use cloud_core::WaitOptions;
/// use std::time::Duration;
/// let options = WaitOptions { deadline: Duration::from_secs(60), ..WaitOptions::default() };
/// assert_eq!(options.first_pause, Duration::from_millis(100));
/// ```
#[derive(Clone, Debug)]
pub struct WaitOptions {
    /// After this long it is given up. Default 10 minutes.
    pub deadline: Duration,
    /// The pause after the first look; each further pause is half as long again. Default 100 ms.
    pub first_pause: Duration,
    /// The longest pause. Default 10 s.
    pub longest_pause: Duration,
    /// Cancelling this ends the wait at once. Default: never cancelled.
    pub cancel: CancellationToken,
}

impl Default for WaitOptions {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(600),
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(10),
            cancel: CancellationToken::new(),
        }
    }
}

/// Calls `probe` until it answers `Some`.
///
/// An error that [`Retry`] calls worth repeating is waited out, any other ends the wait. Dropping the future is
/// safe: nothing but the probe's own call is in flight. At the deadline a running probe is dropped too.
///
/// # Errors
/// The probe's error; [`ErrorKind::Timeout`] at the deadline, with the last passing error in its message;
/// [`ErrorKind::Cancelled`]. The latter two have [`Effect::None`]: to look changes nothing.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// use cloud_core::{WaitOptions, wait_until};
/// let mut looks = 0;
/// let ready = wait_until("instance running", &WaitOptions::default(), || {
///     looks += 1;
///     let now = looks;
///     async move { Ok((now == 3).then_some("running")) }
/// })
/// .await
/// .unwrap();
/// assert_eq!(ready, "running");
/// # });
/// ```
pub async fn wait_until<T, F, Fut>(what: &str, options: &WaitOptions, mut probe: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Option<T>>>,
{
    let start = Instant::now();
    let mut pause = options.first_pause;
    let mut passing: Option<Error> = None;
    let looking = async {
        loop {
            let wait = match probe().await {
                Ok(Some(value)) => return Ok(value),
                Ok(None) => pause,
                Err(error) => {
                    let wait = match error.retry() {
                        Retry::Never => return Err(error),
                        Retry::Backoff => pause,
                        Retry::After(least) => pause.max(least),
                    };
                    passing = Some(error);
                    wait
                }
            };
            tokio::time::sleep(wait).await;
            pause = (pause + pause / 2).min(options.longest_pause);
        }
    };
    let ended = tokio::select! {
        biased;
        () = options.cancel.cancelled() => Some(ErrorKind::Cancelled),
        done = tokio::time::timeout(options.deadline, looking) => match done {
            Ok(answer) => return answer,
            Err(_) => None,
        },
    };
    let waited = humantime::format_duration(Duration::from_millis(
        u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
    ));
    let last = match &passing {
        Some(error) => format!("; the last answer was: {error}"),
        None => String::new(),
    };
    let error = match ended {
        Some(kind) => {
            Error::new(kind, format!("cancelled after {waited} of waiting for {what}{last}"))
        }
        None => {
            Error::new(ErrorKind::Timeout, format!("still not there after {waited}: {what}{last}"))
                .with_retry(Retry::Never)
                .with_hint("allow more time, or look at the resource's status")
        }
    };
    Err(error.with_effect(Effect::None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_passing_error_is_waited_out_and_named_at_the_deadline() {
        let options = WaitOptions { deadline: Duration::from_secs(5), ..WaitOptions::default() };
        let start = Instant::now();
        let error = wait_until::<(), _, _>("x", &options, || async {
            Err(Error::new(ErrorKind::Unavailable, "region is down"))
        })
        .await
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(error.effect(), Effect::None);
        assert!(error.message().contains("region is down"), "{error}");
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn cancelling_ends_it_and_a_lasting_error_too() {
        let options = WaitOptions::default();
        let cancel = options.cancel.clone();
        let waiting = wait_until::<(), _, _>("x", &options, || async { Ok(None) });
        let (ended, ()) = tokio::join!(waiting, async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            cancel.cancel();
        });
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::Cancelled);
        let options = WaitOptions::default();
        let denied = wait_until::<(), _, _>("x", &options, || async {
            Err(Error::new(ErrorKind::PermissionDenied, "no"))
        });
        assert_eq!(denied.await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
}
