//! Deletions: after everything was listed, within the limits of the policy, into the trash if there is one.

use std::sync::Arc;

use cloud_core::{Error, ErrorKind, ObjectLocation, Result};
use futures::{FutureExt, StreamExt, stream};
use jiff::Timestamp;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use super::{
    entry::{Entry, Tag},
    listing::below,
    policy::{Compression, DeletionPolicy, SyncMode},
    progress::SyncEvent,
    report::SideTotal,
    scan::{CompleteScan, Doomed},
};

/// How many requests of moving to the trash are on their way at once.
const AT_ONCE: usize = 32;

/// Checks both sides against the limits.
///
/// # Errors
/// [`PolicyDenied`](ErrorKind::PolicyDenied) if a side would lose more than it may; nothing was deleted then.
pub(super) fn check(scan: &CompleteScan, policy: &DeletionPolicy) -> Result<()> {
    let sides = [
        ("target", scan.target, scan.doomed_count[0]),
        ("source", scan.source, scan.doomed_count[1]),
    ];
    for (side, total, count) in sides {
        if let Some(limit) = exceeded(total, count, policy) {
            let message = format!(
                "{count} of the {} objects at the {side} would be deleted; {limit}. Nothing was deleted",
                total.objects
            );
            let hint = "look at a dry run; if the deletions are meant, raise deletion.max_count and deletion.max_share";
            return Err(Error::new(ErrorKind::PolicyDenied, message)
                .with_code("too_many_deletions")
                .with_hint(hint));
        }
    }
    Ok(())
}

fn exceeded(total: SideTotal, count: u64, policy: &DeletionPolicy) -> Option<String> {
    let share = policy.max_share * total.objects as f64;
    if count > policy.max_count {
        return Some(format!("deletion.max_count is {}", policy.max_count));
    }
    // One may always go, but not the last one.
    let most = share.max(if total.objects > 1 { 1.0 } else { 0.0 });
    (count as f64 > most).then(|| format!("deletion.max_share is {}", policy.max_share))
}

/// What carries deletions out on one side.
pub(super) struct Remover {
    pub(super) location: Arc<ObjectLocation>,
    pub(super) mode: SyncMode,
    pub(super) compression: Compression,
    /// Where to objects are moved, below the prefix.
    pub(super) trash: Option<String>,
}

/// What became of one object.
pub(super) type Removed = (Box<str>, Result<()>);

impl Remover {
    /// The folder of a run in the trash.
    pub(super) fn trash(policy: &DeletionPolicy, run: Timestamp) -> Option<String> {
        let trash = policy.trash.as_deref()?;
        Some(format!("{}/{}", trash.trim_matches('/'), run.strftime("%Y%m%dT%H%M%SZ")))
    }

    /// Deletes what the scan doomed on this side. It takes the scan, because only a complete one may lead to deletions.
    pub(super) async fn run(
        &self,
        scan: &CompleteScan,
        at_source: bool,
        mut each: impl FnMut(Removed),
    ) {
        let doomed = scan.doomed.iter().filter(|doomed| doomed.at_source == at_source);
        let checked = self.mode == SyncMode::Bidirectional || self.trash.is_some();
        if checked || self.compression == Compression::Suffix {
            let removals: Vec<_> = doomed.map(|doomed| self.one(doomed).boxed()).collect();
            let mut removals = stream::iter(removals).buffer_unordered(AT_ONCE);
            while let Some(removed) = removals.next().await {
                each(removed);
            }
            return;
        }
        self.in_bulk(doomed.map(|doomed| &doomed.entry), each).await;
    }

    /// Many in a request, where the store can.
    async fn in_bulk<'a>(
        &self,
        entries: impl Iterator<Item = &'a Entry>,
        mut each: impl FnMut(Removed),
    ) {
        let below = below(&self.location.prefix);
        let paths: Vec<_> = entries
            .map(|entry| (entry.key.clone(), Path::parse(format!("{below}{}", entry.key))))
            .collect();
        let good: Vec<_> =
            paths.iter().filter_map(|(_, path)| path.as_ref().ok().cloned()).map(Ok).collect();
        let mut failed = std::collections::HashMap::new();
        let mut answers = self.location.store.delete_stream(stream::iter(good).boxed());
        let mut number = 0;
        // Stores answer in the order in which they were asked.
        let asked: Vec<_> =
            paths.iter().filter(|(_, path)| path.is_ok()).map(|(key, _)| key).collect();
        while let Some(answer) = answers.next().await {
            let error = match answer {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => None,
                Err(error) => Some(Error::from(error)),
            };
            if let (Some(error), Some(key)) = (error, asked.get(number)) {
                failed.insert((*key).clone(), error);
            }
            number += 1;
        }
        let missing = asked.len().saturating_sub(number);
        let unanswered: std::collections::HashSet<_> =
            asked.into_iter().rev().take(missing).cloned().collect();
        for (key, path) in paths {
            let removed = match (path, failed.remove(&key)) {
                (Err(error), _) => Err(object_store::Error::from(error).into()),
                (_, Some(error)) => Err(error),
                _ if unanswered.contains(&key) => Err(Error::new(
                    ErrorKind::Unavailable,
                    "the store did not say whether it was deleted",
                )),
                _ => Ok(()),
            };
            each((key, removed));
        }
    }

    async fn one(&self, doomed: &Doomed) -> Removed {
        let key = &doomed.entry.key;
        (
            key.clone(),
            self.remove(&doomed.entry)
                .await
                .map_err(|e| e.context(format_args!("deleting '{key}'"))),
        )
    }

    async fn remove(&self, entry: &Entry) -> Result<()> {
        let store = &self.location.store;
        let below = below(&self.location.prefix);
        let path =
            |name: &str| Path::parse(format!("{below}{name}")).map_err(object_store::Error::from);
        let mut there = path(&entry.key)?;
        let found = match store.head(&there).await {
            Err(object_store::Error::NotFound { .. })
                if self.compression == Compression::Suffix =>
            {
                there = path(&format!("{}.zst", entry.key))?;
                store.head(&there).await
            }
            found => found,
        };
        let meta = match found {
            Ok(meta) => meta,
            Err(object_store::Error::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let now = Entry::new(&entry.key, &meta, self.location.traits.e_tag);
        let same = now.size == entry.size
            && (now.tag == entry.tag && now.tag != Tag::None || now.modified == entry.modified);
        if !same {
            let message = "it changed after it was listed, so it was not deleted";
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        if let Some(trash) = &self.trash {
            store.copy(&there, &path(&format!("{trash}/{}", entry.key))?).await?;
        }
        match store.delete(&there).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The event of a deletion.
pub(super) fn event((key, removed): Removed) -> SyncEvent {
    match removed {
        Ok(()) => SyncEvent::Deleted { key },
        Err(error) => SyncEvent::Failed { key, error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(objects: u64, count: u64, policy: &DeletionPolicy) -> bool {
        exceeded(SideTotal { objects, bytes: 0 }, count, policy).is_none()
    }

    #[test]
    fn a_side_may_lose_what_the_policy_says_and_never_all_of_it_by_default() {
        let policy = DeletionPolicy::default();
        assert!(allowed(10, 0, &policy) && allowed(10, 5, &policy) && !allowed(10, 6, &policy));
        assert!(allowed(2, 1, &policy) && !allowed(1, 1, &policy), "the last one stays");
        assert!(!allowed(1_000_000, 10_001, &policy), "the count is a limit of its own");
        let all = DeletionPolicy { max_share: 1.0, ..policy };
        assert!(allowed(1, 1, &all) && allowed(10, 10, &all));
    }
}
