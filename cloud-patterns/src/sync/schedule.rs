//! When a job runs next: never, at intervals, or by a cron expression.

use std::{fmt, str::FromStr, time::Duration};

use cloud_core::{Error, Result};
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{Timestamp, tz::TimeZone};
use serde_with::{DeserializeFromStr, SerializeDisplay};

pub(super) use crate::workload::duration as optional_duration;

/// How often a job runs. Read from a text and written back as it was:
///
/// | text | the job starts |
/// |---|---|
/// | `once` | when it is told to; the default |
/// | `30s`, `5m`, `1h 30m` | at this interval, counted from its last start; 1 s to 1,000 days |
/// | `hourly` | at each full hour |
/// | `daily` | at midnight |
/// | `weekly` | at midnight between Saturday and Sunday |
/// | `*/10 * * * *` | by a cron expression: minute, hour, day of the month, month, day of the week |
/// | `30 */10 * * * *` | the same with seconds before it |
///
/// Hours and days are those of UTC. In a cron expression that names both a day of the month and a day of the week, one of
/// them has to fit. Runs that were missed, because the program did not run or the last run took longer, are not
/// made up for one by one.
///
/// ```
/// use cloud_patterns::sync::Frequency;
///
/// let frequency: Frequency = "5m".parse().unwrap();
/// let last = "2026-11-21T10:00:00Z".parse().unwrap();
/// let now = "2026-11-21T10:12:00Z".parse().unwrap();
/// assert!(frequency.is_due(last, now));
/// assert_eq!(frequency.next_after(last, now), "2026-11-21T10:15:00Z".parse().ok());
///
/// let nights: Frequency = "0 3 * * MON-FRI".parse().unwrap();
/// assert_eq!(nights.next_after(last, now), "2026-11-23T03:00:00Z".parse().ok());
/// assert!("often".parse::<Frequency>().is_err());
/// ```
#[derive(Clone, Default, PartialEq, SerializeDisplay, DeserializeFromStr)]
pub struct Frequency(Rule);

#[derive(Clone, Default, PartialEq)]
enum Rule {
    #[default]
    Once,
    Every(Duration),
    /// The text that it was read from, and its meaning.
    Cron(Box<(String, Cron)>),
}

/// Words for cron expressions.
const WORDS: [(&str, &str); 3] =
    [("hourly", "0 * * * *"), ("daily", "0 0 * * *"), ("weekly", "0 0 * * SUN")];

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(1000 * 24 * 3600);
const ACCEPTED: &str = "once, an interval of 1s to 1000days such as 30s or 5m, hourly, daily, weekly, or a cron expression of 5 or 6 fields";

impl Frequency {
    /// At an interval.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](cloud_core::ErrorKind::InvalidInput) below 1 s and above 1,000 days.
    ///
    /// ```
    /// use std::time::Duration;
    /// use cloud_patterns::sync::Frequency;
    /// assert_eq!(Frequency::every(Duration::from_secs(90)).unwrap().to_string(), "1m 30s");
    /// assert!(Frequency::every(Duration::ZERO).is_err());
    /// ```
    pub fn every(interval: Duration) -> Result<Self> {
        if (SHORTEST..=LONGEST).contains(&interval) {
            return Ok(Self(Rule::Every(interval)));
        }
        let shown = humantime::format_duration(interval);
        Err(Error::invalid("frequency", format_args!("is an interval of {shown}"), ACCEPTED))
    }

    /// Whether the job runs only when it is told to.
    pub fn is_once(&self) -> bool {
        self.0 == Rule::Once
    }

    /// The next start, always after `now`, of a job that last started at `last_start`. `None` if it is run by hand only,
    /// and if there is none before the year 5000. An interval keeps its beat, whatever was missed.
    pub fn next_after(&self, last_start: Timestamp, now: Timestamp) -> Option<Timestamp> {
        match &self.0 {
            Rule::Once => None,
            Rule::Every(interval) => {
                let interval = i128::try_from(interval.as_nanos()).ok()?;
                // Also right if the clock was set back and the last start is to come.
                let since = now.as_nanosecond() - last_start.as_nanosecond();
                let next = now.as_nanosecond() + interval - since.rem_euclid(interval);
                Timestamp::from_nanosecond(next).ok()
            }
            Rule::Cron(cron) => next_match(&cron.1, now),
        }
    }

    /// Whether a start has come since `last_start`, be it one or many: the job may start now, once.
    pub fn is_due(&self, last_start: Timestamp, now: Timestamp) -> bool {
        self.next_after(last_start, last_start).is_some_and(|first| first <= now)
    }
}

fn next_match(cron: &Cron, after: Timestamp) -> Option<Timestamp> {
    let civil = after.to_zoned(TimeZone::UTC).datetime();
    let next = cron.find_next_occurrence(&civil, false).ok()?;
    next.to_zoned(TimeZone::UTC).ok().map(|next| next.timestamp())
}

impl FromStr for Frequency {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if text == "once" {
            return Ok(Self(Rule::Once));
        }
        if let Some((word, cron)) = WORDS.iter().find(|(word, _)| *word == text) {
            return cron_rule(word, cron);
        }
        match humantime::parse_duration(text) {
            Ok(interval) => Self::every(interval),
            Err(_) if text.split_whitespace().count() >= 5 => cron_rule(text, text),
            Err(_) => Err(unreadable(text, "it is none of the accepted")),
        }
    }
}

fn cron_rule(text: &str, expression: &str) -> Result<Frequency> {
    if text.len() > 256 {
        return Err(unreadable(text, "it has more than 256 bytes"));
    }
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    let cron = parser.parse(expression).map_err(|error| unreadable(text, error))?;
    // The thirtieth of February is such a day.
    let Some(_) = next_match(&cron, Timestamp::UNIX_EPOCH) else {
        return Err(unreadable(text, "it names a day that never comes"));
    };
    Ok(Frequency(Rule::Cron(Box::new((text.to_owned(), cron)))))
}

fn unreadable(text: &str, why: impl fmt::Display) -> Error {
    let shown: String = text.chars().take(80).collect();
    let shown = shown.escape_debug();
    Error::invalid("frequency", format_args!("'{shown}' cannot be read: {why}"), ACCEPTED)
}

impl fmt::Display for Frequency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rule::Once => f.write_str("once"),
            Rule::Every(interval) => humantime::format_duration(*interval).fmt(f),
            Rule::Cron(cron) => f.write_str(&cron.0),
        }
    }
}

impl fmt::Debug for Frequency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frequency({self})")
    }
}

#[cfg(test)]
mod tests;
