//! Source, target and what was agreed last time, walked through side by side in the order of the keys.

use cloud_core::Result;

use super::{
    entry::{Agreed, Entry},
    listing::Ordered,
    state::StateReader,
};

/// One key and what is there under it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) source: Option<Entry>,
    pub(super) target: Option<Entry>,
    pub(super) agreed: Option<Agreed>,
}

impl Item {
    pub(super) fn key(&self) -> &str {
        let side = self.source.as_ref().or(self.target.as_ref()).map(|entry| &*entry.key);
        side.or(self.agreed.as_ref().map(|agreed| &*agreed.key)).unwrap_or_default()
    }
}

/// The three streams and the head of each.
#[derive(Debug)]
pub(super) struct Merge {
    source: Head<Ordered, Entry>,
    target: Head<Ordered, Entry>,
    agreed: Head<StateReader, Agreed>,
}

#[derive(Debug)]
struct Head<S, T> {
    stream: S,
    item: Option<T>,
    ended: bool,
}

impl<S, T> Head<S, T> {
    fn new(stream: S) -> Self {
        Self { stream, item: None, ended: false }
    }
}

/// Fills the head of a stream. If the future is dropped, nothing was taken from the stream.
macro_rules! fill {
    ($head:expr) => {
        if $head.item.is_none() && !$head.ended {
            $head.item = $head.stream.next().await?;
            $head.ended = $head.item.is_none();
        }
    };
}

impl Merge {
    pub(super) fn new(source: Ordered, target: Ordered, agreed: StateReader) -> Self {
        Self { source: Head::new(source), target: Head::new(target), agreed: Head::new(agreed) }
    }

    /// What is under the next key; `None` only if all three streams ended without an error. Cancellation-safe.
    ///
    /// # Errors
    /// That of a stream. Nothing follows it.
    pub(super) async fn next(&mut self) -> Result<Option<Item>> {
        fill!(self.source);
        fill!(self.target);
        fill!(self.agreed);
        let source = self.source.item.as_ref().map(|entry| &*entry.key);
        let target = self.target.item.as_ref().map(|entry| &*entry.key);
        let agreed = self.agreed.item.as_ref().map(|agreed| &*agreed.key);
        let Some(least) = [source, target, agreed].into_iter().flatten().min() else {
            return Ok(None);
        };
        let has = [source == Some(least), target == Some(least), agreed == Some(least)];
        Ok(Some(Item {
            source: self.source.item.take_if(|_| has[0]),
            target: self.target.item.take_if(|_| has[1]),
            agreed: self.agreed.item.take_if(|_| has[2]),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        sync::Arc,
        time::Duration,
    };

    use cloud_core::ObjectLocation;
    use jiff::Timestamp;
    use object_store::{ObjectStoreExt, memory::InMemory};
    use proptest::{collection::btree_set, prelude::*};

    use super::*;
    use crate::{
        engine::store::Store,
        sync::{
            entry::{Seen, Tag},
            range::KeyRange,
            state::{Commit, StatePlace},
        },
        testing::MemoryStore,
    };

    type Keys = BTreeSet<String>;

    async fn listing(keys: &Keys) -> Ordered {
        let store = InMemory::new();
        for key in keys {
            store.put(&key.as_str().into(), "x".into()).await.unwrap();
        }
        Ordered::begin(
            &ObjectLocation::new("memory", Arc::new(store), "".into()),
            &KeyRange::default(),
        )
    }

    async fn state(keys: &Keys) -> StateReader {
        let store = Arc::new(MemoryStore::new());
        let lease = store.acquire("job", "worker", Duration::from_secs(60)).await.unwrap().unwrap();
        let place = StatePlace { store, job: "sync-a".into(), shard: 0 };
        let seen = Seen { size: 1, modified: Timestamp::UNIX_EPOCH, tag: Tag::None };
        let agreed = |key: &String| Agreed {
            key: key.as_str().into(),
            source: seen.clone(),
            target: seen.clone(),
        };
        let (_, mut writer) = place.open(lease.fence.clone()).await.unwrap();
        let (through, entries) = ("~".into(), keys.iter().map(agreed).collect());
        writer.write(vec![Commit::Window { through, entries }]).await.unwrap();
        writer.finish().await.unwrap();
        place.open(lease.fence).await.unwrap().0
    }

    async fn check(sides: [Keys; 3]) {
        let [source, target, agreed] = &sides;
        let mut merge =
            Merge::new(listing(source).await, listing(target).await, state(agreed).await);
        let mut merged = BTreeMap::new();
        let mut last = String::new();
        while let Some(item) = merge.next().await.unwrap() {
            let has = [item.source.is_some(), item.target.is_some(), item.agreed.is_some()];
            assert!(item.key() > last.as_str(), "'{}' after '{last}'", item.key());
            last = item.key().to_owned();
            merged.insert(last.clone(), has);
        }
        assert_eq!(merge.next().await.unwrap(), None, "it stays at its end");
        let all: Keys = sides.iter().flatten().cloned().collect();
        let has = |key: &String| sides.each_ref().map(|side| side.contains(key));
        assert_eq!(merged, all.into_iter().map(|key| (key.clone(), has(&key))).collect());
    }

    proptest! {
        #[test]
        fn each_key_comes_once_in_order_with_all_that_is_under_it(
            source in btree_set("[ab-]{1,2}(/[ab0]{1,2}){0,2}", 0..20),
            target in btree_set("[ab-]{1,2}(/[ab0]{1,2}){0,2}", 0..20),
            agreed in btree_set("[ab-]{1,2}(/[ab0]{1,2}){0,2}", 0..20),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(check([source, target, agreed]));
        }
    }
}
