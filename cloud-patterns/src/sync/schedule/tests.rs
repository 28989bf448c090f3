use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn frequency(text: &str) -> Frequency {
    text.parse().unwrap()
}

#[test]
fn each_text_has_its_next_start() {
    let now = at("2026-11-21T10:12:30.5Z");
    let last = at("2026-11-21T10:00:00Z");
    for (text, expected) in [
        ("once", None),
        ("30s", Some("2026-11-21T10:13:00Z")),
        ("5m", Some("2026-11-21T10:15:00Z")),
        ("1h 30m", Some("2026-11-21T11:30:00Z")),
        ("hourly", Some("2026-11-21T11:00:00Z")),
        ("daily", Some("2026-11-22T00:00:00Z")),
        // A Sunday.
        ("weekly", Some("2026-11-22T00:00:00Z")),
        ("*/10 * * * *", Some("2026-11-21T10:20:00Z")),
        ("*/10 * * * * *", Some("2026-11-21T10:12:40Z")),
        ("0 3 * * MON", Some("2026-11-23T03:00:00Z")),
        ("0 0 29 2 *", Some("2028-02-29T00:00:00Z")),
        // One of the two days has to fit.
        ("0 0 1 * MON", Some("2026-11-23T00:00:00Z")),
    ] {
        assert_eq!(frequency(text).next_after(last, now), expected.map(at), "{text}");
        let written = serde_json::to_string(&frequency(text)).unwrap();
        assert_eq!(written, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<Frequency>(&written).unwrap(), frequency(text));
    }
    assert!(Frequency::default().is_once() && !frequency("1s").is_once());
}

#[test]
fn what_cannot_be_read_is_named() {
    for bad in [
        "",
        "often",
        "0s",
        "999ms",
        "1001days",
        "-5m",
        "@daily",
        "* * * *",
        "* * * * * * *",
        "60 * * * *",
        "0 0 30 2 *",
        "0 0 31 4,6 *",
        "a b c d e",
        "99999999999999999999s",
    ] {
        let message = bad.parse::<Frequency>().unwrap_err().to_string();
        assert!(message.contains("frequency ") && message.contains("accepted: once"), "{message}");
    }
    let long = format!("{} * * * *", "0,".repeat(1000));
    assert!(long.parse::<Frequency>().unwrap_err().to_string().len() < 500);
    assert!(
        frequency("0 0 30 1,2 *")
            .next_after(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH)
            .is_some()
    );
}

#[test]
fn missed_runs_are_made_up_for_once() {
    let five = frequency("5m");
    let (last, now) = (at("2026-11-21T10:00:00Z"), at("2026-11-21T13:02:00Z"));
    assert!(five.is_due(last, now));
    // The run starts now; what was missed before it is no longer due.
    assert!(!five.is_due(now, now));
    assert!(!five.is_due(last, at("2026-11-21T10:04:59Z")));
    assert!(five.is_due(last, at("2026-11-21T10:05:00Z")));
    assert!(!frequency("once").is_due(last, now));
    assert!(frequency("hourly").is_due(last, now));
    assert!(!frequency("daily").is_due(last, now));
}

#[test]
fn a_clock_that_was_set_back_delays_a_job_by_no_more_than_its_interval() {
    let (last, now) = (at("2030-01-01T00:00:00Z"), at("2026-11-21T13:02:00Z"));
    let next = frequency("1h").next_after(last, now).unwrap();
    assert_eq!(next, at("2026-11-21T14:00:00Z"));
}

#[test]
fn there_is_no_start_beyond_the_calendar() {
    assert_eq!(frequency("1h").next_after(Timestamp::MAX, Timestamp::MAX), None);
    assert_eq!(frequency("hourly").next_after(Timestamp::MAX, Timestamp::MAX), None);
    assert!(frequency("hourly").next_after(Timestamp::MIN, Timestamp::MIN) > Some(Timestamp::MIN));
}

fn a_frequency() -> impl Strategy<Value = Frequency> {
    let words =
        prop::sample::select(vec!["hourly", "daily", "weekly", "*/7 * * * *", "5 */11 3 * * *"]);
    let interval = (1_000..100_000_000u64).prop_map(Duration::from_millis);
    prop_oneof![
        words.prop_map(frequency),
        interval.prop_map(|interval| Frequency::every(interval).unwrap()),
    ]
}

fn a_time() -> impl Strategy<Value = Timestamp> {
    (1_700_000_000_000_i64..1_900_000_000_000)
        .prop_map(|millis| Timestamp::from_millisecond(millis).unwrap())
}

proptest! {
    #[test]
    fn the_next_start_is_to_come_and_moves_on_with_the_time(
        frequency in a_frequency(),
        last in a_time(),
        now in a_time(),
        later in 0..1_000_000_000_i64,
    ) {
        let later = now + SignedDuration::from_millis(later);
        let next = frequency.next_after(last, now).unwrap();
        prop_assert!(next > now);
        prop_assert!(next <= frequency.next_after(last, later).unwrap());
        // Nothing lies between: just before it, it is still the next.
        let before = next - SignedDuration::from_millis(1);
        prop_assert_eq!(frequency.next_after(last, before.max(now)), Some(next));
        if let Rule::Every(interval) = frequency.0 {
            prop_assert!((next - now).total(jiff::Unit::Second).unwrap() <= interval.as_secs_f64());
        }
    }

    /// A controller that was away for any time starts the job once, then at each start.
    #[test]
    fn no_burst_of_runs_follows_an_outage(
        frequency in a_frequency(),
        last in a_time(),
        away in 0..1_000_000_000_i64,
    ) {
        let mut last = last;
        let mut now = last + SignedDuration::from_millis(away);
        for _ in 0..5 {
            if frequency.is_due(last, now) {
                last = now;
            }
            prop_assert!(!frequency.is_due(last, now));
            now = frequency.next_after(last, now).unwrap();
            prop_assert!(frequency.is_due(last, now));
        }
    }

    #[test]
    fn no_text_panics(text in "[0-9*/,@a-zA-Z# -]{0,30}") {
        if let Ok(frequency) = text.parse::<Frequency>() {
            prop_assert_eq!(frequency.to_string().parse::<Frequency>().unwrap(), frequency);
        }
    }
}
