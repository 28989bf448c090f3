//! `If-Match` and its kin.

use hyper::HeaderMap;
use hyper::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};

use super::object::StoredObject;
use super::refusal::Refusal;
use super::time::is_after;

/// The conditions of one request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Conditions<'a> {
    matching: Option<&'a str>,
    differing: Option<&'a str>,
    modified_since: Option<&'a str>,
    unmodified_since: Option<&'a str>,
}

impl<'a> Conditions<'a> {
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        let [matching, differing, modified_since, unmodified_since] =
            [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE]
                .map(|name| text(headers, name.as_str()));
        Self { matching, differing, modified_since, unmodified_since }
    }

    /// Those on the source of a copy, whose header names start with `prefix`.
    pub(crate) fn of_source(headers: &'a HeaderMap, prefix: &str) -> Self {
        let [matching, differing, modified_since, unmodified_since] =
            ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"]
                .map(|name| text(headers, &format!("{prefix}{name}")));
        Self { matching, differing, modified_since, unmodified_since }
    }

    /// Whether `object` may be read.
    pub(crate) fn check_read(self, object: &StoredObject) -> Result<(), Refusal> {
        if let Some(wanted) = self.matching {
            if !names(wanted, object) {
                return Err(Refusal::PreconditionFailed);
            }
        } else if self.unmodified_since.and_then(|date| is_after(object.modified, date))
            == Some(true)
        {
            return Err(Refusal::PreconditionFailed);
        }
        if let Some(known) = self.differing {
            if names(known, object) {
                return Err(Refusal::NotModified);
            }
        } else if self.modified_since.and_then(|date| is_after(object.modified, date))
            == Some(false)
        {
            return Err(Refusal::NotModified);
        }
        Ok(())
    }

    /// Whether `current` may be replaced or removed.
    pub(crate) fn check_write(self, current: Option<&StoredObject>) -> Result<(), Refusal> {
        match (self.matching, current) {
            (Some(_), None) => return Err(Refusal::NoKey),
            (Some(wanted), Some(object)) if !names(wanted, object) => {
                return Err(Refusal::PreconditionFailed);
            }
            _ => {}
        }
        let Some(object) = current else { return Ok(()) };
        match self.differing {
            Some("*") => return Err(Refusal::KeyExists),
            Some(known) if names(known, object) => return Err(Refusal::PreconditionFailed),
            _ => {}
        }
        let after = |date: Option<&str>| date.and_then(|date| is_after(object.modified, date));
        if after(self.unmodified_since) == Some(true) || after(self.modified_since) == Some(false) {
            return Err(Refusal::PreconditionFailed);
        }
        Ok(())
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether a list of ETags holds the object's, or is `*`.
fn names(list: &str, object: &StoredObject) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").trim_matches('"') == object.etag();
    list.trim() == "*" || list.split(',').any(bare)
}
