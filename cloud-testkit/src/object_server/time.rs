//! The server's clock, and instants in the two forms the protocols use.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::header::HeaderValue;

/// The machine's clock, moved by a fixed number of seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerClock {
    pub(crate) offset_seconds: i64,
}

impl ServerClock {
    pub(crate) fn now(self) -> SystemTime {
        let now = SystemTime::now();
        let by = Duration::from_secs(self.offset_seconds.unsigned_abs());
        let moved = if self.offset_seconds < 0 { now.checked_sub(by) } else { now.checked_add(by) };
        moved.unwrap_or(now)
    }
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `at` as in `Last-Modified`. Most requests of one moment ask for the same second, so the last answer is kept.
pub(crate) fn http_date(at: SystemTime) -> HeaderValue {
    thread_local!(static LAST: RefCell<(u64, Option<HeaderValue>)> = const { RefCell::new((0, None)) });
    let second = seconds(at);
    LAST.with_borrow_mut(|(last, value)| match value {
        Some(value) if *last == second => value.clone(),
        _ => {
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
            let made = HeaderValue::from_str(&date).unwrap_or(HeaderValue::from_static(""));
            (*last, *value) = (second, Some(made.clone()));
            made
        }
    })
}

/// Whether `at` lies after the second that an HTTP date names; `None` if it names none.
pub(crate) fn is_after(at: SystemTime, date: &str) -> Option<bool> {
    httpdate::parse_http_date(date).ok().map(|date| seconds(at) > seconds(date))
}

/// Writes instants as ISO 8601 into listings, and keeps the last one written.
#[derive(Default)]
pub(crate) struct IsoWriter {
    last: Option<(u64, String)>,
}

impl IsoWriter {
    pub(crate) fn format(&mut self, at: SystemTime) -> &str {
        let second = seconds(at);
        if self.last.as_ref().is_none_or(|(last, _)| *last != second) {
            let stamp = jiff::Timestamp::from_second(i64::try_from(second).unwrap_or_default())
                .unwrap_or_default();
            self.last = Some((second, stamp.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()));
        }
        self.last.as_ref().map_or("", |(_, text)| text)
    }
}
