//! Runs that end or are broken off anywhere, against a model of what is known after each.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use proptest::{collection, option, prelude::*};

use super::*;
use crate::{
    sync::entry::{Seen, Tag},
    testing::MemoryStore,
};

/// What is known: a version by key.
type Known = BTreeMap<u8, u32>;

const LAST: u8 = 60;

/// One run over all keys.
#[derive(Clone, Debug)]
struct Planned {
    /// The last keys of its windows but the last one.
    cuts: BTreeSet<u8>,
    /// Keys that are written anew, or gone.
    changes: BTreeMap<u8, bool>,
    /// Of the changed ones, those that are taken down before their window is finished.
    early: BTreeSet<u8>,
    /// How many commits are handed over at once.
    batch: usize,
    /// It is broken off after so many commits.
    stop: Option<usize>,
}

fn planned() -> impl Strategy<Value = Planned> {
    let keys = || 0..=LAST;
    let cuts = collection::btree_set(keys(), 0..8);
    let changes = collection::btree_map(keys(), prop::bool::weighted(0.7), 0..20);
    let early = collection::btree_set(keys(), 0..30);
    (cuts, changes, early, 1..4_usize, option::of(0..12_usize)).prop_map(
        |(cuts, changes, early, batch, stop)| Planned { cuts, changes, early, batch, stop },
    )
}

fn name(key: u8) -> String {
    format!("{key:03}")
}

fn agreed(key: u8, version: u32) -> Agreed {
    let seen = |size, tag| Seen { size, modified: Timestamp::UNIX_EPOCH, tag };
    let tag = Tag::Opaque(format!("0x{version}").into());
    Agreed { key: name(key).into(), source: seen(version.into(), Tag::None), target: seen(1, tag) }
}

async fn read_all(mut reader: StateReader) -> Vec<Agreed> {
    let mut all = Vec::new();
    while let Some(agreed) = reader.next().await.unwrap() {
        all.push(agreed);
    }
    all
}

fn all_of(known: &Known) -> Vec<Agreed> {
    known.iter().map(|(key, version)| agreed(*key, *version)).collect()
}

impl Planned {
    fn after(&self, before: &Known, run: u32) -> Known {
        let mut after = before.clone();
        for (key, is_there) in &self.changes {
            match is_there {
                true => drop(after.insert(*key, run * 100 + u32::from(*key))),
                false => drop(after.remove(key)),
            }
        }
        after
    }

    /// What the run commits, as a shard would, each with what is known once it is durable.
    fn commits(&self, before: &Known, after: &Known, wants_all: bool) -> Vec<(Commit, Known)> {
        let (mut commits, mut keep_all, mut from) = (Vec::new(), wants_all, 0);
        let mut known = before.clone();
        let mut early: BTreeSet<u8> =
            self.early.iter().copied().filter(|key| self.changes.get(key) == Some(&true)).collect();
        for through in self.cuts.iter().copied().chain([LAST]) {
            // Some of this window and of those after it, each once.
            let some: Vec<u8> = early
                .iter()
                .copied()
                .filter(|key| (from..=through.saturating_add(10)).contains(key))
                .collect();
            if !some.is_empty() {
                keep_all = true;
                let entries = some.iter().map(|key| agreed(*key, after[key])).collect();
                known.extend(some.iter().map(|key| (*key, after[key])));
                early.retain(|key| !some.contains(key));
                commits.push((Commit::Done { entries }, known.clone()));
            }
            keep_all |= self.changes.range(from..=through).next().is_some();
            known.retain(|key, _| !(from..=through).contains(key));
            known.extend(after.range(from..=through));
            let entries =
                after.range(from..=through).map(|(key, version)| agreed(*key, *version)).collect();
            let name = name(through);
            let commit = match keep_all {
                true => Commit::Window { through: name, entries },
                false => Commit::Unchanged { through: name },
            };
            commits.push((commit, known.clone()));
            from = through.saturating_add(1);
            if through == LAST {
                break;
            }
        }
        commits
    }
}

async fn check(runs: Vec<Planned>) {
    let store = Arc::new(MemoryStore::new());
    let lease = store.acquire("job", "worker", Duration::from_secs(60)).await.unwrap().unwrap();
    let place = StatePlace { store: store.clone(), job: "sync-a".into(), shard: 3 };
    let mut known = Known::new();
    for (number, run) in (1..).zip(&runs) {
        let (reader, mut writer) = place.open(lease.fence.clone()).await.unwrap();
        assert_eq!(read_all(reader).await, all_of(&known), "before run {number}");
        let after = run.after(&known, number);
        let mut commits = run.commits(&known, &after, writer.wants_all());
        let is_finished = run.stop.is_none_or(|stop| stop >= commits.len());
        if let Some(stop) = run.stop {
            commits.truncate(stop);
        }
        let (commits, durable): (Vec<_>, Vec<_>) = commits.into_iter().unzip();
        let mut commits = commits.into_iter().peekable();
        while commits.peek().is_some() {
            writer.write(commits.by_ref().take(run.batch).collect()).await.unwrap();
        }
        known = durable.last().cloned().unwrap_or(known);
        if is_finished {
            writer.finish().await.unwrap();
            assert_eq!(known, after);
            let kept = place.generations().await.unwrap();
            assert!(kept.broken_off.is_empty(), "{kept:?}");
        }
    }
    let (reader, _) = place.open(lease.fence.clone()).await.unwrap();
    assert_eq!(read_all(reader).await, all_of(&known), "at the end");
    // Whatever was broken off before, a finished generation is all that is left.
    let streams = store.streams("sync/sync-a/00003/state/").complete().await.unwrap().into_items();
    assert!(streams.len() <= 2 + runs.len(), "{streams:?}");
}

proptest! {
    #[test]
    fn what_is_read_is_what_was_known_whatever_was_broken_off(runs in collection::vec(planned(), 1..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(check(runs));
    }
}

#[tokio::test]
async fn a_run_without_changes_writes_nothing() {
    let store = Arc::new(MemoryStore::new());
    let lease = store.acquire("job", "worker", Duration::from_secs(60)).await.unwrap().unwrap();
    let place = StatePlace { store: store.clone(), job: "sync-a".into(), shard: 0 };
    let entries = vec![agreed(1, 1), agreed(2, 1)];
    let (_, mut writer) = place.open(lease.fence.clone()).await.unwrap();
    writer
        .write(vec![Commit::Window { through: name(2), entries: entries.clone() }])
        .await
        .unwrap();
    writer.finish().await.unwrap();
    let streams = async || store.streams("").complete().await.unwrap().into_items();
    let before = streams().await;
    let (_, mut writer) = place.open(lease.fence.clone()).await.unwrap();
    writer.write(vec![Commit::Unchanged { through: name(2) }]).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(streams().await, before);
    let (reader, _) = place.open(lease.fence.clone()).await.unwrap();
    assert_eq!(read_all(reader).await, entries);
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_writes_nothing() {
    let store = Arc::new(MemoryStore::new());
    let old = store.acquire("job", "worker", Duration::from_secs(60)).await.unwrap().unwrap();
    let place = StatePlace { store: store.clone(), job: "sync-a".into(), shard: 0 };
    let (_, mut late) = place.open(old.fence.clone()).await.unwrap();
    let new = store.acquire("job", "worker", Duration::from_secs(60)).await.unwrap().unwrap();
    let done = |version| vec![Commit::Done { entries: vec![agreed(1, version)] }];
    let refused = late.write(done(1)).await.unwrap_err();
    assert_eq!(refused.code(), Some("stale_epoch"));
    let (_, mut writer) = place.open(new.fence.clone()).await.unwrap();
    writer.write(done(2)).await.unwrap();
    drop(writer);
    let (reader, _) = place.open(new.fence.clone()).await.unwrap();
    assert_eq!(read_all(reader).await, [agreed(1, 2)]);
}

/// More entries than a block holds, behind more windows than a copy takes at once.
#[tokio::test]
async fn long_unchanged_stretches_are_carried_over() {
    let store = Arc::new(MemoryStore::new());
    let lease = store.acquire("job", "worker", Duration::from_secs(60)).await.unwrap().unwrap();
    let place = StatePlace { store: store.clone(), job: "sync-a".into(), shard: 0 };
    let entry = |n: usize, version| Agreed { key: format!("{n:06}").into(), ..agreed(0, version) };
    let mut expected: Vec<_> = (0..BLOCK * 25).map(|n| entry(n, 1)).collect();
    let through = |n: usize| format!("{n:06}");
    let end = through(BLOCK * 25);
    let (_, mut writer) = place.open(lease.fence.clone()).await.unwrap();
    writer
        .write(vec![Commit::Window { through: end.clone(), entries: expected.clone() }])
        .await
        .unwrap();
    writer.finish().await.unwrap();

    let at = BLOCK * 22 + 7;
    expected[at + 1] = entry(at + 1, 2);
    let (_, mut writer) = place.open(lease.fence.clone()).await.unwrap();
    writer.write(vec![Commit::Unchanged { through: through(at) }]).await.unwrap();
    let window = Commit::Window { through: end, entries: expected[at + 1..].to_vec() };
    writer.write(vec![window]).await.unwrap();
    let (reader, _) = place.open(lease.fence.clone()).await.unwrap();
    assert_eq!(read_all(reader).await, expected, "broken off");
    writer.finish().await.unwrap();
    let (reader, _) = place.open(lease.fence.clone()).await.unwrap();
    assert_eq!(read_all(reader).await, expected);
}
