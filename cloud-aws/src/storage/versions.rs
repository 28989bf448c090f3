//! Versions of objects, in the order that the trait promises, which S3's SDK loses.

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use aws_sdk_s3::{Client, types::EncodingType};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::AfterDeserializationInterceptorContextRef},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::ConfigBag;
use bytes::Bytes;
use cloud_core::{Error, ObjectVersion, Page, PageRequest, PageToken, Result, VersionQuery};
use jiff::Timestamp;
use object_store::path::Path;
use quick_xml::{Reader, escape::unescape, events::Event};
use serde::{Deserialize, Serialize};

use super::AwsStorage;
use crate::{
    account::MAX_PAGE,
    error::{absent, reads},
    listing::page_size,
    time::timestamp,
};

/// One version, with its key as it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Version {
    pub(super) key: String,
    pub(super) version: String,
    is_latest: bool,
    is_delete_marker: bool,
    size: u64,
    last_modified: Timestamp,
}

/// After which version a listing goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Marker {
    #[serde(rename = "k")]
    key: String,
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

/// A page of versions, ordered by key and then from the newest.
pub(super) struct Versions {
    pub(super) versions: Vec<Version>,
    pub(super) next: Option<Marker>,
}

/// One page of the versions whose keys begin so.
pub(super) async fn page(
    client: &Client,
    bucket: &str,
    prefix: Option<String>,
    most: u32,
    after: Option<&Marker>,
) -> Result<Versions> {
    let seen = Seen::default();
    let answer = client
        .list_object_versions()
        .bucket(bucket)
        .set_prefix(prefix)
        .max_keys(i32::try_from(most).unwrap_or(i32::MAX))
        .set_key_marker(after.map(|after| after.key.clone()))
        .set_version_id_marker(after.and_then(|after| after.version.clone()))
        // XML cannot say every character that a key may have.
        .encoding_type(EncodingType::Url)
        .customize()
        .interceptor(seen.clone())
        .send()
        .await
        .map_err(reads("s3"))?;
    let encoded = answer.encoding_type() == Some(&EncodingType::Url);
    let places = places(&seen.take());
    let place = |key: &str, version: &str| {
        places.get(&(key.to_owned(), version.to_owned())).copied().unwrap_or(usize::MAX)
    };

    let mut versions = Vec::new();
    for item in answer.versions() {
        let (key, version) = (item.key().unwrap_or_default(), item.version_id().unwrap_or("null"));
        let changed = item.last_modified().and_then(timestamp);
        let version = Version {
            key: decoded(key, encoded)?,
            version: version.to_owned(),
            is_latest: item.is_latest().unwrap_or(false),
            is_delete_marker: false,
            size: item.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
            last_modified: changed.ok_or_else(|| absent("LastModified"))?,
        };
        versions.push((place(key, &version.version), version));
    }
    for item in answer.delete_markers() {
        let (key, version) = (item.key().unwrap_or_default(), item.version_id().unwrap_or("null"));
        let changed = item.last_modified().and_then(timestamp);
        let version = Version {
            key: decoded(key, encoded)?,
            version: version.to_owned(),
            is_latest: item.is_latest().unwrap_or(false),
            is_delete_marker: true,
            size: 0,
            last_modified: changed.ok_or_else(|| absent("LastModified"))?,
        };
        versions.push((place(key, &version.version), version));
    }
    // S3 lists them so; its times are of whole seconds, within which only the place tells which is newer.
    versions.sort_by(|(a_place, a), (b_place, b)| {
        let order = |v: &Version, place: usize| (!v.is_latest, Reverse(v.last_modified), place);
        a.key.cmp(&b.key).then_with(|| order(a, *a_place).cmp(&order(b, *b_place)))
    });
    let next = match (answer.is_truncated(), answer.next_key_marker()) {
        (Some(true), Some(key)) => Some(Marker {
            key: decoded(key, encoded)?,
            version: answer.next_version_id_marker().map(str::to_owned),
        }),
        _ => None,
    };
    Ok(Versions { versions: versions.into_iter().map(|(_, version)| version).collect(), next })
}

/// A key as it is, where the answer has it in the form of URLs.
fn decoded(key: &str, encoded: bool) -> Result<String> {
    if !encoded {
        return Ok(key.to_owned());
    }
    // A form has this one pair only: a key with '&' has it encoded.
    let form = format!("={key}");
    let pair = url::form_urlencoded::parse(form.as_bytes()).next();
    pair.map(|(_, key)| key.into_owned()).ok_or_else(|| absent("Key"))
}

/// Keeps the answer as it came.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Bytes>>);

impl Seen {
    fn take(&self) -> Bytes {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Intercept for Seen {
    fn name(&self) -> &'static str {
        "KeepAnswer"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(bytes) = context.response().body().bytes() {
            let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *seen = Bytes::copy_from_slice(bytes);
        }
        Ok(())
    }
}

/// Which place each version has in an answer, by its key as written there and its id. The SDK gives versions and delete markers
/// apart, and with that loses which came first.
fn places(answer: &[u8]) -> HashMap<(String, String), usize> {
    let mut places = HashMap::new();
    let mut reader = Reader::from_reader(answer);
    // Key and id of the version that is being read, and which of them the text belongs to.
    let (mut texts, mut field) = ([String::new(), String::new()], None);
    // What the SDK could read can be read; else the times have to do.
    while let Ok(event) = reader.read_event() {
        let text = match event {
            Event::Eof => break,
            Event::Start(start) => {
                field = match start.local_name().as_ref() {
                    b"Key" => Some(0),
                    b"VersionId" => Some(1),
                    _ => None,
                };
                continue;
            }
            Event::End(end) => {
                field = None;
                if matches!(end.local_name().as_ref(), b"Version" | b"DeleteMarker") {
                    let at = places.len();
                    places.entry(std::mem::take(&mut texts).into()).or_insert(at);
                }
                continue;
            }
            Event::Text(text) => text.decode().unwrap_or_default().into_owned(),
            Event::GeneralRef(entity) => {
                let entity = format!("&{};", entity.decode().unwrap_or_default());
                unescape(&entity).unwrap_or_default().into_owned()
            }
            _ => continue,
        };
        if let Some(field) = field {
            let field: &mut String = &mut texts[field];
            *field += &text;
        }
    }
    places
}

impl AwsStorage {
    /// Keys that [`Path`] cannot say are left out.
    pub(super) async fn list_versions(
        &self,
        query: &VersionQuery,
        request: &PageRequest,
    ) -> Result<Page<ObjectVersion>> {
        let client = self.client(&query.bucket)?;
        let size = page_size(request)?.min(MAX_PAGE as usize) as u32;
        let after = match &request.after {
            None => None,
            Some(token) => Some(serde_json::from_str::<Marker>(token.as_str()).map_err(|_| {
                let problem = format!("is '{token}'");
                Error::invalid("page token", problem, "what the page before returned")
            })?),
        };
        let prefix = query.prefix.as_ref().filter(|prefix| !prefix.as_ref().is_empty());
        let prefix = prefix.map(|prefix| format!("{prefix}/"));
        let listed = page(&client, query.bucket.native(), prefix, size, after.as_ref()).await?;
        let items = listed.versions.into_iter().filter_map(|version| {
            let location = Path::parse(&version.key).ok()?;
            (location.as_ref() == version.key).then_some(ObjectVersion {
                location,
                version: version.version,
                is_latest: version.is_latest,
                is_delete_marker: version.is_delete_marker,
                size: version.size,
                last_modified: version.last_modified,
            })
        });
        let next = listed.next.map(|next| {
            let text = serde_json::to_string(&next)
                .map_err(|e| Error::new(cloud_core::ErrorKind::Internal, e.to_string()))?;
            PageToken::new(text)
        });
        Ok(Page { items: items.collect(), next: next.transpose()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_an_answer_is_kept() {
        let answer = r#"<?xml version="1.0"?><ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <Version><Key>a&amp;b</Key><VersionId>3</VersionId><IsLatest>true</IsLatest><Owner><ID>x</ID></Owner></Version>
            <DeleteMarker><Key>a&amp;b</Key><VersionId>2</VersionId></DeleteMarker>
            <Version><VersionId>1</VersionId><Key>a&amp;b</Key></Version>
            <Version><Key>c</Key><VersionId>null</VersionId></Version></ListVersionsResult>"#;
        let places = places(answer.as_bytes());
        let at = |key: &str, version: &str| places[&(key.to_owned(), version.to_owned())];
        assert_eq!([at("a&b", "3"), at("a&b", "2"), at("a&b", "1"), at("c", "null")], [0, 1, 2, 3]);
        assert!(super::places(b"<Version><Key>a").is_empty());
    }

    #[test]
    fn keys_are_decoded_where_they_are_encoded() {
        assert_eq!(decoded("a%2Fb+c%26%3D%25", true).unwrap(), "a/b c&=%");
        assert_eq!(decoded("a%2Fb+c", false).unwrap(), "a%2Fb+c");
        assert_eq!(decoded("", true).unwrap(), "");
    }
}
