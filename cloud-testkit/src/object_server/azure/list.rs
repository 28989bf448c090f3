//! List Blobs.

use std::fmt::Write;

use hyper::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::object_server::Shared;
use crate::object_server::checksum;
use crate::object_server::listing::{self, Entry, PageQuery, page};
use crate::object_server::object::{StoredObject, metadata_name};
use crate::object_server::refusal::Refusal;
use crate::object_server::reply::{self, Reply};
use crate::object_server::request::Call;
use crate::object_server::time::http_date;
use crate::object_server::xml;

/// The most names on a page.
const PAGE_LIMIT: usize = 5000;

/// Which page is asked for, and after which name it starts.
pub(super) fn start(call: &Call<'_>) -> Result<(u32, String), Refusal> {
    if let Some(marker) = call.query.get("marker").filter(|marker| !marker.is_empty()) {
        return listing::decode_token(marker);
    }
    Ok((0, String::new()))
}

/// GET of a container with `comp=list`.
pub(super) fn blobs(shared: &Shared, call: &Call<'_>) -> Result<Reply, Refusal> {
    let bucket = shared.store.bucket(&call.bucket)?;
    let (number, after) = start(call)?;
    let limit = match call.query.get("maxresults") {
        None => PAGE_LIMIT,
        Some(text) => match text.parse::<usize>() {
            Ok(limit) if limit > 0 => limit.min(PAGE_LIMIT),
            _ => return Err(Refusal::Invalid("maxresults is no number from 1")),
        },
    };
    let query = PageQuery {
        prefix: call.query.get("prefix").unwrap_or_default(),
        delimiter: call.query.get("delimiter").unwrap_or_default(),
        after: &after,
        from: call.query.get("startFrom").unwrap_or_default(),
        limit,
    };
    let included = |what| {
        call.query.get("include").is_some_and(|list| list.split(',').any(|name| name == what))
    };
    let (metadata, tags) = (included("metadata"), included("tags"));
    let state = bucket.read();

    let mut text = String::with_capacity(200 + 650 * limit.min(state.current.len()));
    text.push_str(xml::HEAD);
    text.push_str("<EnumerationResults ContainerName=\"");
    xml::push_escaped(&mut text, &call.bucket);
    text.push_str("\">");
    xml::push_element(&mut text, "Prefix", query.prefix);
    if !query.delimiter.is_empty() {
        xml::push_element(&mut text, "Delimiter", query.delimiter);
    }
    xml::push_element(&mut text, "MaxResults", &limit.to_string());
    text.push_str("<Blobs>");
    let next = page(&state.current, query, |entry| match entry {
        Entry::Object(name, blob) => {
            text.push_str("<Blob>");
            push_name(&mut text, name);
            push_properties(&mut text, blob);
            if metadata {
                push_metadata(&mut text, blob);
            }
            if tags && !blob.tags.is_empty() {
                push_tags(&mut text, blob);
            }
            text.push_str("</Blob>");
        }
        Entry::CommonPrefix(common) => {
            text.push_str("<BlobPrefix>");
            push_name(&mut text, common);
            text.push_str("</BlobPrefix>");
        }
    });
    text.push_str("</Blobs>");
    let token = next.map(|next| listing::encode_token(number + 1, &next)).unwrap_or_default();
    xml::push_element(&mut text, "NextMarker", &token);
    text.push_str("</EnumerationResults>");
    Ok(reply::xml(StatusCode::OK, text))
}

/// A name that XML cannot hold is percent-encoded, and says so.
fn push_name(text: &mut String, name: &str) {
    let foreign = |character: char| matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    if name.contains(foreign) {
        text.push_str("<Name Encoded=\"true\">");
        text.extend(utf8_percent_encode(name, NON_ALPHANUMERIC));
        text.push_str("</Name>");
    } else {
        xml::push_element(text, "Name", name);
    }
}

fn push_properties(text: &mut String, blob: &StoredObject) {
    let created = http_date(blob.created);
    let modified = http_date(blob.modified);
    let written = write!(
        text,
        "<Properties><Creation-Time>{}</Creation-Time><Last-Modified>{}</Last-Modified><Etag>{}</Etag>\
         <Content-Length>{}</Content-Length>",
        created.to_str().unwrap_or_default(),
        modified.to_str().unwrap_or_default(),
        blob.etag(),
        blob.size(),
    );
    debug_assert!(written.is_ok(), "a String takes all");
    let default_type = blob.content_type().is_none().then_some("application/octet-stream");
    if let Some(default) = default_type {
        xml::push_element(text, "Content-Type", default);
    }
    for (header, element) in [
        ("content-type", "Content-Type"),
        ("content-encoding", "Content-Encoding"),
        ("content-language", "Content-Language"),
        ("content-disposition", "Content-Disposition"),
        ("cache-control", "Cache-Control"),
    ] {
        let known = blob.headers.iter().find(|(name, _)| name == header);
        if let Some(value) = known.and_then(|(_, value)| value.to_str().ok()) {
            xml::push_element(text, element, value);
        }
    }
    if let Some(md5) = blob.md5 {
        xml::push_element(text, "Content-MD5", &checksum::encode(&md5));
    }
    text.push_str(
        "<BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier><LeaseStatus>unlocked</LeaseStatus>\
         <LeaseState>available</LeaseState></Properties>",
    );
}

fn push_metadata(text: &mut String, blob: &StoredObject) {
    text.push_str("<Metadata>");
    for (name, value) in &blob.headers {
        if let Some(name) = metadata_name(name) {
            xml::push_element(text, name, &String::from_utf8_lossy(value.as_bytes()));
        }
    }
    text.push_str("</Metadata>");
}

fn push_tags(text: &mut String, blob: &StoredObject) {
    text.push_str("<Tags><TagSet>");
    for (key, value) in &blob.tags {
        text.push_str("<Tag>");
        xml::push_element(text, "Key", key);
        xml::push_element(text, "Value", value);
        text.push_str("</Tag>");
    }
    text.push_str("</TagSet></Tags>");
}
