//! Emptying a bucket: every version, delete marker and unfinished upload.

use std::{future::Future, pin::pin};

use aws_sdk_s3::{
    Client,
    types::{Delete, ObjectIdentifier},
};
use cloud_core::{Effect, Error, ErrorKind, Result, Retry};
use futures::{Stream, StreamExt, TryStreamExt, future::join_all, stream};

use super::{
    AT_ONCE,
    versions::{self, Version},
};
use crate::error::{of_part, reads, unbuilt, writes};

/// As many as one call deletes.
const BATCH: u32 = 1000;

/// How often a bucket is gone through at most, if others keep writing to it.
const ROUNDS: usize = 100;

/// Deletes whatever the bucket holds. What is written meanwhile may stay.
///
/// # Errors
/// The first that cannot be deleted, and how many more; then others may be deleted.
pub(super) async fn empty(client: &Client, bucket: &str) -> Result<()> {
    let changed = |error: Error| match error.effect() {
        // Something may be gone already.
        Effect::None if error.kind() != ErrorKind::NotFound => error.with_effect(Effect::Unknown),
        _ => error,
    };
    // A listing may miss what comes behind something that is deleted under it, so the last round is one that finds nothing.
    for _ in 0..ROUNDS {
        let versions = pages(async |after: Option<versions::Marker>| {
            let page = versions::page(client, bucket, None, BATCH, after.as_ref()).await?;
            Ok((page.versions, page.next))
        });
        let deleted =
            drain(versions, |page| delete(client, bucket, page)).await.map_err(changed)?;
        let uploads = pages(async |after: Option<(String, String)>| {
            let answer = client
                .list_multipart_uploads()
                .bucket(bucket)
                .set_key_marker(after.as_ref().map(|(key, _)| key.clone()))
                .set_upload_id_marker(after.map(|(_, upload)| upload))
                .send()
                .await
                .map_err(reads("s3"))?;
            let next = match (answer.is_truncated, answer.next_key_marker) {
                (Some(true), Some(key)) => {
                    Some((key, answer.next_upload_id_marker.unwrap_or_default()))
                }
                _ => None,
            };
            let uploads = answer.uploads.unwrap_or_default().into_iter();
            let uploads = uploads.filter_map(|upload| Some((upload.key?, upload.upload_id?)));
            Ok((uploads.collect(), next))
        });
        let aborted = drain(uploads, |page| abort(client, bucket, page)).await.map_err(changed)?;
        if deleted + aborted == 0 {
            return Ok(());
        }
    }
    let message = format!("the bucket is written to faster than it is emptied: {ROUNDS} rounds");
    Err(Error::new(ErrorKind::Conflict, message).with_effect(Effect::Unknown))
}

/// The pages of a listing, each fetched when the one before was taken; those that are empty left out.
fn pages<T, M, F, Fut>(mut fetch: F) -> impl Stream<Item = Result<Vec<T>>>
where
    F: FnMut(Option<M>) -> Fut,
    Fut: Future<Output = Result<(Vec<T>, Option<M>)>>,
{
    let all = stream::try_unfold(Some(None), move |at: Option<Option<M>>| {
        let page = at.map(&mut fetch);
        async move {
            let Some(page) = page else { return Ok::<_, Error>(None) };
            let (items, next) = page.await?;
            Ok(Some((items, next.map(Some))))
        }
    });
    all.try_filter(|items| std::future::ready(!items.is_empty()))
}

/// Deletes the pages of a listing, many at once, but nothing while it is asked for its next; how many items there were.
async fn drain<T, Fut>(
    pages: impl Stream<Item = Result<Vec<T>>>,
    delete: impl Fn(Vec<T>) -> Fut,
) -> Result<usize>
where
    Fut: Future<Output = Result<usize>>,
{
    let mut batches = pin!(pages.try_chunks(AT_ONCE));
    let mut count = 0;
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(|stopped| stopped.1)?;
        // Each is heard to its end, so that an error leaves none under way.
        for deleted in join_all(batch.into_iter().map(&delete)).await {
            count += deleted?;
        }
    }
    Ok(count)
}

/// Deletes a page of versions; how many there were.
async fn delete(client: &Client, bucket: &str, page: Vec<Version>) -> Result<usize> {
    let count = page.len();
    // XML has no way to name some of the keys.
    let (odd, plain): (Vec<_>, Vec<_>) =
        page.into_iter().partition(|version| version.key.contains(char::is_control));
    for Version { key, version, .. } in odd {
        let call = client.delete_object().bucket(bucket).key(key).version_id(version);
        call.send().await.map_err(writes("s3"))?;
    }
    if plain.is_empty() {
        return Ok(count);
    }
    let objects = plain.into_iter().map(|Version { key, version, .. }| {
        ObjectIdentifier::builder().key(key).version_id(version).build().map_err(unbuilt)
    });
    let objects = objects.collect::<Result<_>>()?;
    let batch = Delete::builder().set_objects(Some(objects)).quiet(true).build();
    let call = client.delete_objects().bucket(bucket).delete(batch.map_err(unbuilt)?);
    let answer = call.send().await.map_err(writes("s3"))?;
    let errors = answer.errors();
    let Some(first) = errors.first() else { return Ok(count) };
    let key = first.key().unwrap_or_default();
    let version = first.version_id().unwrap_or("null");
    let message = first.message().unwrap_or("S3 gives no reason");
    let error = of_part("s3", first.code().unwrap_or_default(), message);
    let passing = errors
        .iter()
        .all(|error| of_part("s3", error.code().unwrap_or_default(), "").retry() != Retry::Never);
    let retry = if passing { error.retry() } else { Retry::Never };
    Err(error
        .context(format!(
            "{} of {count} objects cannot be deleted, the first is '{}' in version {version}",
            errors.len(),
            key.escape_debug()
        ))
        .with_resource(format!("{bucket}/{key}"))
        .with_retry(retry)
        .with_effect(Effect::Unknown))
}

/// Aborts a page of uploads; how many there were.
async fn abort(client: &Client, bucket: &str, page: Vec<(String, String)>) -> Result<usize> {
    let count = page.len();
    let abort = |(key, upload)| async move {
        let call = client.abort_multipart_upload().bucket(bucket).key(key).upload_id(upload);
        match call.send().await.map_err(writes("s3")) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            // It was completed or aborted in between.
            _ => Ok(()),
        }
    };
    let aborts = stream::iter(page).map(abort).buffer_unordered(AT_ONCE);
    aborts.try_collect::<Vec<()>>().await.map(|_| count)
}
