//! Instants of the SDK as instants of `jiff`, and back.

use aws_smithy_types::DateTime;
use jiff::Timestamp;

/// An instant; `None` for one that is out of range.
pub(crate) fn timestamp(at: &DateTime) -> Option<Timestamp> {
    let nanos = i32::try_from(at.subsec_nanos()).ok()?;
    Timestamp::new(at.secs(), nanos).ok()
}

/// An instant for the SDK.
pub(crate) fn date_time(at: Timestamp) -> DateTime {
    DateTime::from_nanos(at.as_nanosecond()).unwrap_or_else(|_| DateTime::from_secs(at.as_second()))
}
