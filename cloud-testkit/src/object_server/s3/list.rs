//! S3 listings: objects (both versions of the request) and object versions.

use std::borrow::Cow;
use std::fmt::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::OK;
use super::objects::version_text;
use crate::object_server::Shared;
use crate::object_server::listing::{self, Entry, PageQuery, page};
use crate::object_server::refusal::Refusal;
use crate::object_server::reply::{self, Reply};
use crate::object_server::request::Call;
use crate::object_server::time::IsoWriter;
use crate::object_server::xml;

/// The most keys on a page.
const PAGE_LIMIT: usize = 1000;

/// What `encoding-type=url` leaves as it is.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'*');

/// Which page is asked for, and after which name it starts.
pub(super) fn start(call: &Call<'_>) -> Result<(u32, String), Refusal> {
    if let Some(token) = call.query.get("continuation-token") {
        return listing::decode_token(token);
    }
    let name = if is_second(call) { "start-after" } else { "marker" };
    Ok((0, call.query.get(name).unwrap_or_default().to_owned()))
}

fn is_second(call: &Call<'_>) -> bool {
    call.query.get("list-type") == Some("2")
}

/// GET of a bucket.
pub(super) fn objects(shared: &Shared, call: &Call<'_>) -> Result<Reply, Refusal> {
    let bucket = shared.store.bucket(&call.bucket)?;
    let (number, after) = start(call)?;
    let query = page_query(call, &after)?;
    let names = Names::of(call)?;
    let state = bucket.read();

    let mut objects = String::with_capacity(300 * query.limit.min(state.current.len()));
    let mut prefixes = String::new();
    let mut count = 0;
    let mut dates = IsoWriter::default();
    let next = page(&state.current, query, |entry| {
        count += 1;
        match entry {
            Entry::Object(key, object) => {
                objects.push_str("<Contents>");
                names.push(&mut objects, "Key", key);
                let written = write!(
                    objects,
                    "<LastModified>{}</LastModified><ETag>&quot;{}&quot;</ETag><Size>{}</Size>\
                     <StorageClass>STANDARD</StorageClass></Contents>",
                    dates.format(object.modified),
                    object.etag(),
                    object.size(),
                );
                debug_assert!(written.is_ok(), "a String takes all");
            }
            Entry::CommonPrefix(common) => {
                prefixes.push_str("<CommonPrefixes>");
                names.push(&mut prefixes, "Prefix", common);
                prefixes.push_str("</CommonPrefixes>");
            }
        }
    });

    let mut text = head(call, "ListBucketResult", query, names, next.is_some());
    if is_second(call) {
        xml::push_element(&mut text, "KeyCount", &count.to_string());
        if let Some(token) = call.query.get("continuation-token") {
            xml::push_element(&mut text, "ContinuationToken", token);
        } else if !after.is_empty() {
            names.push(&mut text, "StartAfter", &after);
        }
        if let Some(next) = &next {
            xml::push_element(
                &mut text,
                "NextContinuationToken",
                &listing::encode_token(number + 1, next),
            );
        }
    } else {
        names.push(&mut text, "Marker", &after);
        if let Some(next) = &next {
            names.push(&mut text, "NextMarker", next);
        }
    }
    text.push_str(&objects);
    text.push_str(&prefixes);
    text.push_str("</ListBucketResult>");
    Ok(reply::xml(OK, text))
}

/// GET of a bucket's `?versions`; pages end between keys, so that all versions of a key are on one.
pub(super) fn versions(shared: &Shared, call: &Call<'_>) -> Result<Reply, Refusal> {
    let bucket = shared.store.bucket(&call.bucket)?;
    let after = call.query.get("key-marker").unwrap_or_default();
    let query = page_query(call, after)?;
    let names = Names::of(call)?;
    let state = bucket.read();
    let mut lines = String::new();
    let mut prefixes = String::new();
    let mut dates = IsoWriter::default();
    let next = match &state.versions {
        None => return Err(Refusal::Unsupported("The bucket keeps no versions.")),
        Some(versions) => page(versions, query, |entry| match entry {
            Entry::Object(key, versions) => {
                for (age, version) in versions.iter().rev().enumerate() {
                    let kind = if version.object.is_some() { "Version" } else { "DeleteMarker" };
                    lines.push_str(&format!("<{kind}>"));
                    names.push(&mut lines, "Key", key);
                    xml::push_element(&mut lines, "VersionId", &version_text(version.id));
                    xml::push_element(
                        &mut lines,
                        "IsLatest",
                        if age == 0 { "true" } else { "false" },
                    );
                    xml::push_element(&mut lines, "LastModified", dates.format(version.modified));
                    if let Some(object) = &version.object {
                        xml::push_element(&mut lines, "ETag", &format!("\"{}\"", object.etag()));
                        xml::push_element(&mut lines, "Size", &object.size().to_string());
                        xml::push_element(&mut lines, "StorageClass", "STANDARD");
                    }
                    lines.push_str(&format!("</{kind}>"));
                }
            }
            Entry::CommonPrefix(common) => {
                prefixes.push_str("<CommonPrefixes>");
                names.push(&mut prefixes, "Prefix", common);
                prefixes.push_str("</CommonPrefixes>");
            }
        }),
    };
    let mut text = head(call, "ListVersionsResult", query, names, next.is_some());
    if let Some(next) = &next {
        names.push(&mut text, "NextKeyMarker", next);
    }
    text.push_str(&lines);
    text.push_str(&prefixes);
    text.push_str("</ListVersionsResult>");
    Ok(reply::xml(OK, text))
}

fn page_query<'a>(call: &'a Call<'_>, after: &'a str) -> Result<PageQuery<'a>, Refusal> {
    let limit = match call.query.get("max-keys") {
        None => PAGE_LIMIT,
        Some(text) => text.parse().map_err(|_| Refusal::Invalid("max-keys is no number"))?,
    };
    Ok(PageQuery {
        prefix: call.query.get("prefix").unwrap_or_default(),
        delimiter: call.query.get("delimiter").unwrap_or_default(),
        after,
        from: "",
        limit: limit.min(PAGE_LIMIT),
    })
}

fn head(
    call: &Call<'_>,
    root: &str,
    query: PageQuery<'_>,
    names: Names,
    truncated: bool,
) -> String {
    let mut text =
        format!("{}<{root} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">", xml::HEAD);
    xml::push_element(&mut text, "Name", &call.bucket);
    names.push(&mut text, "Prefix", query.prefix);
    if !query.delimiter.is_empty() {
        names.push(&mut text, "Delimiter", query.delimiter);
    }
    xml::push_element(&mut text, "MaxKeys", &query.limit.to_string());
    if names.url {
        text.push_str("<EncodingType>url</EncodingType>");
    }
    xml::push_element(&mut text, "IsTruncated", if truncated { "true" } else { "false" });
    text
}

/// How names are written.
#[derive(Clone, Copy)]
struct Names {
    url: bool,
}

impl Names {
    fn of(call: &Call<'_>) -> Result<Self, Refusal> {
        match call.query.get("encoding-type") {
            None => Ok(Self { url: false }),
            Some("url") => Ok(Self { url: true }),
            Some(_) => Err(Refusal::Invalid("encoding-type is not url")),
        }
    }

    fn push(self, out: &mut String, element: &str, name: &str) {
        let name: Cow<'_, str> =
            if self.url { utf8_percent_encode(name, ENCODED).into() } else { name.into() };
        xml::push_element(out, element, &name);
    }
}
