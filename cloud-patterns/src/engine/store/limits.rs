//! What a store accepts: lengths of names, sizes of records and pages, durations of leases.

use std::time::Duration;

use cloud_core::{Error, PageRequest, Result, text::check_text};

/// Longest name of a stream, in bytes.
pub const MAX_STREAM_BYTES: usize = 512;

/// Longest name of a lease or of its holder, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// Largest record: its body and its catalog changes together, in bytes of JSON. What is larger is split.
pub const MAX_RECORD_BYTES: usize = 1024 * 1024;

/// Most bytes of records in one append, and in all appends of a store that have not been answered yet.
pub const MAX_APPEND_BYTES: usize = 64 * 1024 * 1024;

/// Longest time for which a lease can be acquired or renewed at once.
pub const MAX_TTL: Duration = Duration::from_secs(24 * 3600);

/// Most items on a page, and the size of a page if none is asked for.
pub const MAX_PAGE: u32 = 500;

/// A page ends after so many bytes of text, whatever the number of its items: this bounds a reader's memory.
pub(super) const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// The bytes and the jobs at which the writer closes a batch.
pub(super) const BATCH_BYTES: usize = 8 * 1024 * 1024;
pub(super) const BATCH_JOBS: usize = 1024;

const SHORTEST_TTL: Duration = Duration::from_millis(1);

pub(super) fn check_stream(name: &str) -> Result<()> {
    check_text("stream", name, MAX_STREAM_BYTES)
}

/// A prefix may be empty: every name begins with it.
pub(super) fn check_prefix(prefix: &str) -> Result<()> {
    if prefix.is_empty() {
        return Ok(());
    }
    check_text("stream prefix", prefix, MAX_STREAM_BYTES)
}

pub(super) fn check_lease(name: &str) -> Result<()> {
    check_text("lease", name, MAX_NAME_BYTES)
}

pub(super) fn check_holder(holder: &str) -> Result<()> {
    check_text("lease holder", holder, MAX_NAME_BYTES)
}

/// The length of a lease in microseconds.
pub(super) fn check_ttl(ttl: Duration) -> Result<i64> {
    if (SHORTEST_TTL..=MAX_TTL).contains(&ttl)
        && let Ok(micros) = i64::try_from(ttl.as_micros())
    {
        return Ok(micros);
    }
    Err(Error::invalid(
        "lease ttl",
        format_args!("is {ttl:?}"),
        format_args!("{SHORTEST_TTL:?} to {}", humantime::format_duration(MAX_TTL)),
    ))
}

pub(super) fn check_record(bytes: usize) -> Result<()> {
    if bytes <= MAX_RECORD_BYTES {
        return Ok(());
    }
    Err(Error::invalid(
        "record",
        format_args!("has {bytes} bytes of JSON"),
        format_args!("up to {MAX_RECORD_BYTES}; split what is larger"),
    ))
}

pub(super) fn check_append(bytes: usize) -> Result<()> {
    if bytes <= MAX_APPEND_BYTES {
        return Ok(());
    }
    Err(Error::invalid(
        "append",
        format_args!("has {bytes} bytes of JSON"),
        format_args!("up to {MAX_APPEND_BYTES}; append in several calls"),
    ))
}

/// The number of items to put on a page.
pub(super) fn page_size(page: &PageRequest) -> Result<usize> {
    match page.size {
        Some(0) => Err(Error::invalid("page size", "is 0", "1 or more")),
        size => Ok(size.unwrap_or(MAX_PAGE).min(MAX_PAGE) as usize),
    }
}
