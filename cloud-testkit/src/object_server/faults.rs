//! Faults: what may go wrong with a request, and which requests it strikes.

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use super::request::{Operation, RequestInfo};
use super::store::lock;

/// One way in which a request goes wrong.
///
/// ```
/// use std::time::Duration;
/// use cloud_testkit::object_server::FaultKind;
///
/// let throttled = FaultKind::Http { status: 503, retry_after: Some(Duration::from_secs(1)) };
/// assert_eq!(throttled.name(), "http_503_retry_after");
/// assert_eq!(FaultKind::http(500).name(), "http_500");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Answers with an error of this status, from 400 to 599, and does nothing. 503 is a throttling answer, as it is with
    /// both services.
    Http {
        /// The status.
        status: u16,
        /// A `Retry-After`, in whole seconds.
        retry_after: Option<Duration>,
    },
    /// Closes the connection without an answer; nothing is done.
    Close,
    /// Does what is asked, then closes the connection without an answer.
    CloseAfter,
    /// Does what is asked, then never answers.
    HangAfter,
    /// Does what is asked, and answers this much later.
    Delay(Duration),
    /// Announces the whole body of an answer and breaks the connection in its middle.
    CutBody,
    /// Answers a read with half the bytes asked for, and says so in consistent headers.
    ShortRead,
    /// Changes one byte of what is read.
    CorruptRead,
    /// Stores a body with one byte changed; the ETag answered is that of what is stored.
    CorruptWrite,
    /// Ends a listing's XML in its middle, with a length that fits.
    TruncateList,
}

impl FaultKind {
    /// One of every kind, the HTTP errors with each status that a client should survive.
    pub const ALL: [Self; 16] = [
        Self::http(408),
        Self::http(429),
        Self::http(500),
        Self::http(502),
        Self::http(503),
        Self::http(504),
        Self::Http { status: 503, retry_after: Some(Duration::from_secs(1)) },
        Self::Close,
        Self::CloseAfter,
        Self::HangAfter,
        Self::Delay(Duration::from_millis(100)),
        Self::CutBody,
        Self::ShortRead,
        Self::CorruptRead,
        Self::CorruptWrite,
        Self::TruncateList,
    ];

    /// An error of that status, without `Retry-After`.
    pub const fn http(status: u16) -> Self {
        Self::Http { status, retry_after: None }
    }

    /// What it is called in [`Stats::faults`](super::Stats::faults).
    pub fn name(self) -> String {
        match self {
            Self::Http { status, retry_after: None } => format!("http_{status}"),
            Self::Http { status, retry_after: Some(_) } => format!("http_{status}_retry_after"),
            Self::Close => "close".into(),
            Self::CloseAfter => "close_after".into(),
            Self::HangAfter => "hang_after".into(),
            Self::Delay(_) => "delay".into(),
            Self::CutBody => "cut_body".into(),
            Self::ShortRead => "short_read".into(),
            Self::CorruptRead => "corrupt_read".into(),
            Self::CorruptWrite => "corrupt_write".into(),
            Self::TruncateList => "truncate_list".into(),
        }
    }

    /// Whether it can befall a request that does this.
    pub fn applies_to(self, operation: Operation) -> bool {
        match self {
            Self::ShortRead | Self::CorruptRead => operation == Operation::Get,
            Self::CutBody => matches!(operation, Operation::Get | Operation::List),
            Self::CorruptWrite => matches!(operation, Operation::Put | Operation::PutPart),
            Self::TruncateList => operation == Operation::List,
            _ => true,
        }
    }
}

/// Which requests go wrong, and how. The same seed does the same to the same requests in the same order.
///
/// ```
/// use cloud_testkit::object_server::{FaultKind, Faults, Operation};
///
/// let faults = Faults::new(7)
///     .rate(0.05)
///     .kinds([FaultKind::http(500), FaultKind::CutBody])
///     .operations([Operation::Get, Operation::Put])
///     .prefix("photos/");
/// assert!(format!("{faults:?}").contains("seed: 7"));
/// ```
pub struct Faults {
    seed: u64,
    rate: f64,
    kinds: Vec<FaultKind>,
    operations: Option<Vec<Operation>>,
    prefix: String,
    pages_from: u32,
    throttle: Option<f64>,
    bucket: Mutex<Option<(Instant, f64)>>,
}

impl Faults {
    /// Strikes nothing until a rate is set; then with every one of [`FaultKind::ALL`] but
    /// [`HangAfter`](FaultKind::HangAfter), which needs a client with a time-out.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            rate: 0.0,
            kinds: FaultKind::ALL
                .into_iter()
                .filter(|kind| *kind != FaultKind::HangAfter)
                .collect(),
            operations: None,
            prefix: String::new(),
            pages_from: 0,
            throttle: None,
            bucket: Mutex::new(None),
        }
    }

    /// The share of requests that are struck, from 0 to 1, of those that the other settings select.
    #[must_use]
    pub fn rate(mut self, share: f64) -> Self {
        self.rate = share;
        self
    }

    /// What may happen; each as likely as the others among those that apply to the request.
    #[must_use]
    pub fn kinds(mut self, kinds: impl IntoIterator<Item = FaultKind>) -> Self {
        self.kinds = kinds.into_iter().collect();
        self
    }

    /// Strikes only requests that do one of these.
    #[must_use]
    pub fn operations(mut self, operations: impl IntoIterator<Item = Operation>) -> Self {
        self.operations = Some(operations.into_iter().collect());
        self
    }

    /// Strikes only requests on keys that start so. A listing has no key.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Spares the pages of a listing before this one, counted from 0: with a rate of 1, a listing that breaks midway.
    #[must_use]
    pub fn pages_from(mut self, page: u32) -> Self {
        self.pages_from = page;
        self
    }

    /// Answers 503 to what goes beyond this many requests a second, of those selected; a burst of as many is let through.
    #[must_use]
    pub fn throttle(mut self, requests_per_second: f64) -> Self {
        self.throttle = Some(requests_per_second);
        self
    }

    /// What happens to a request, and a number that says where.
    pub(crate) fn draw(&self, request: &RequestInfo<'_>) -> Option<(FaultKind, u64)> {
        let selected = self.operations.as_ref().is_none_or(|all| all.contains(&request.operation))
            && request.key.starts_with(&self.prefix)
            && request.page.is_none_or(|page| page >= self.pages_from);
        if !selected {
            return None;
        }
        if self.is_over_rate() {
            return Some((FaultKind::http(503), 0));
        }
        let mut random =
            SmallRng::seed_from_u64(self.seed ^ request.number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        if !random.random_bool(self.rate.clamp(0.0, 1.0)) {
            return None;
        }
        let fitting: Vec<FaultKind> =
            self.kinds.iter().copied().filter(|kind| kind.applies_to(request.operation)).collect();
        let kind = fitting.get(random.random_range(0..fitting.len().max(1)))?;
        Some((*kind, random.random()))
    }

    /// Takes a token from the bucket; `true` if there was none.
    fn is_over_rate(&self) -> bool {
        let Some(rate) = self.throttle else { return false };
        let now = Instant::now();
        let mut bucket = lock(&self.bucket);
        let (last, tokens) = bucket.unwrap_or((now, rate.max(1.0)));
        let tokens = (tokens + rate * now.duration_since(last).as_secs_f64()).min(rate.max(1.0));
        let over = tokens < 1.0;
        *bucket = Some((now, if over { tokens } else { tokens - 1.0 }));
        over
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Faults")
            .field("seed", &self.seed)
            .field("rate", &self.rate)
            .field("kinds", &self.kinds)
            .field("operations", &self.operations)
            .field("prefix", &self.prefix)
            .field("pages_from", &self.pages_from)
            .field("throttle", &self.throttle)
            .finish_non_exhaustive()
    }
}
