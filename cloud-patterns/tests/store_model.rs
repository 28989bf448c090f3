//! The store against a model of it: every interleaving of two holders, racing holders, random histories.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[cfg(feature = "postgres")]
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/store.rs"]
mod store;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use cloud_patterns::engine::store::*;
use proptest::prelude::*;
use serde_json::json;
use store::*;

on_both!(every_interleaving_of_two_holders, racing_holders_never_overlap);

/// What a holder does next. It goes on with the lease that it has, like one that does not know what happened meanwhile.
#[derive(Clone, Copy, Debug)]
enum Op {
    Acquire,
    Append,
    Renew,
    Release,
    /// Time passes: the lease, whoever has it, expires.
    Expire,
}

/// What a lease and its stream should be.
#[derive(Default)]
struct Model {
    epoch: u64,
    holder: Option<&'static str>,
    expired: bool,
    log: Vec<u64>,
}

impl Model {
    fn acquire(&mut self, who: &'static str) -> Option<u64> {
        if self.holder.is_some_and(|holder| holder != who) && !self.expired {
            return None;
        }
        *self = Self {
            epoch: self.epoch + 1,
            holder: Some(who),
            expired: false,
            log: std::mem::take(&mut self.log),
        };
        Some(self.epoch)
    }

    fn is_current(&self, epoch: u64) -> bool {
        self.epoch == epoch && self.holder.is_some()
    }
}

/// All orders in which two scripts can be run, as the turns of the second.
fn interleavings(first: usize, second: usize) -> Vec<Vec<bool>> {
    if first == 0 || second == 0 {
        return vec![[vec![false; first], vec![true; second]].concat()];
    }
    let then = |turn: bool, rest: Vec<Vec<bool>>| {
        rest.into_iter().map(move |order| [vec![turn], order].concat())
    };
    then(false, interleavings(first - 1, second))
        .chain(then(true, interleavings(first, second - 1)))
        .collect()
}

async fn every_interleaving_of_two_holders(rig: Rig) {
    use Op::{Acquire, Append, Expire, Release, Renew};
    let scripts: [(&[Op], &[Op]); 3] = [
        (&[Acquire, Append, Renew, Append, Release], &[Expire, Acquire, Append, Renew, Append]),
        (&[Acquire, Append, Release, Acquire, Append], &[Acquire, Append, Release, Append, Renew]),
        (&[Acquire, Expire, Append, Acquire, Append], &[Acquire, Append, Expire, Release, Append]),
    ];
    let stores = [rig.open().await, rig.open().await];
    let (mut orders, mut refused) = (0, 0);
    for (number, (first, second)) in scripts.into_iter().enumerate() {
        for order in interleavings(first.len(), second.len()) {
            let name = format!("{number}/{orders}");
            refused += run(&rig, &stores, &name, [first, second], &order).await;
            orders += 1;
        }
    }
    assert_eq!(orders, 3 * 252);
    assert!(refused > 500, "{refused} refusals: the scripts do not try enough");
}

/// Runs one order on a lease and a stream of its own. Returns how often a stale epoch was refused.
async fn run(
    rig: &Rig,
    stores: &[Arc<dyn Store>; 2],
    name: &str,
    scripts: [&[Op]; 2],
    order: &[bool],
) -> u32 {
    let mut model = Model::default();
    let mut scripts = scripts.map(|script| script.iter());
    let mut held: [Option<Lease>; 2] = [None, None];
    let mut refused = 0;
    for second in order {
        let at = usize::from(*second);
        let (who, store) = (["a", "b"][at], &stores[at]);
        let op = *scripts[at].next().unwrap();
        let context = format!("{name}: {op:?} by {who} in {order:?}");
        let epoch = held[at].as_ref().map_or(0, |l| l.fence.epoch);
        let never = || Lease {
            fence: Fence { lease: name.into(), epoch: 0 },
            holder: who.into(),
            expires_at: jiff::Timestamp::MAX,
        };
        let lease = held[at].clone().unwrap_or_else(never);
        let answer = match op {
            Op::Acquire => {
                let lease = store.acquire(name, who, TTL).await.unwrap();
                assert_eq!(lease.as_ref().map(|l| l.fence.epoch), model.acquire(who), "{context}");
                held[at] = lease.or(held[at].take());
                continue;
            }
            Op::Expire => {
                rig.expire(name).await;
                model.expired = true;
                continue;
            }
            Op::Release => {
                store.release(&lease).await.unwrap();
                if model.is_current(epoch) {
                    model.holder = None;
                }
                continue;
            }
            Op::Append => {
                store.append(&lease.fence, name, vec![Record::new(epoch)]).await.map(|_| ())
            }
            Op::Renew => store.renew(&lease, TTL).await.map(|_| ()),
        };
        assert_eq!(answer.is_ok(), model.is_current(epoch), "{context}: {answer:?}");
        match (answer, op) {
            (Err(error), _) => {
                assert_eq!(error.code(), Some("stale_epoch"), "{context}");
                refused += 1;
            }
            (Ok(()), Op::Append) => model.log.push(epoch),
            (Ok(()), _) => model.expired = false,
        }
    }
    let log: Vec<u64> = all(&*stores[0], name).await.iter().map(|e| e.epoch).collect();
    assert_eq!(log, model.log, "{name}: {order:?}");
    refused
}

/// Holders that take the lease from each other while both append as fast as they can, through connections of their
/// own: in the journal, no entry of an epoch stands after one of a later epoch.
async fn racing_holders_never_overlap(rig: Rig) {
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let store = rig.open().await;
        tasks.push(tokio::spawn(async move {
            let mut stale = 0;
            for _ in 0..15 {
                // All three call themselves the same, so that each acquire succeeds at once.
                let fence = lease(&*store, "l").await.fence;
                for _ in 0..10 {
                    let epoch = Record::new(fence.epoch);
                    if let Err(error) = store.append(&fence, "s", vec![epoch]).await {
                        assert_eq!(error.code(), Some("stale_epoch"), "{error}");
                        stale += 1;
                        break;
                    }
                }
            }
            stale
        }));
    }
    let mut stale = 0;
    for task in tasks {
        stale += task.await.unwrap();
    }
    let entries = all(&*rig.open().await, "s").await;
    assert!(entries.is_sorted_by_key(|e| e.epoch));
    assert!(entries.iter().all(|e| e.record.body == json!(e.epoch)));
    assert!(stale > 0, "they never met");
}

/// One event of a random history over few leases, streams and resources, so that they meet often.
#[derive(Clone, Debug)]
enum Event {
    Acquire { lease: usize, holder: usize },
    Renew { lease: usize, holder: usize },
    Release { lease: usize, holder: usize },
    Append { lease: usize, holder: usize, stream: usize, changes: Vec<(u32, bool)> },
    Wait { seconds: u64 },
}

fn event() -> impl Strategy<Value = Event> {
    let who = (0..2_usize, 0..3_usize);
    prop_oneof![
        2 => who.clone().prop_map(|(lease, holder)| Event::Acquire { lease, holder }),
        1 => who.clone().prop_map(|(lease, holder)| Event::Renew { lease, holder }),
        1 => who.clone().prop_map(|(lease, holder)| Event::Release { lease, holder }),
        6 => (who, 0..3_usize, prop::collection::vec((0..6_u32, any::<bool>()), 0..4))
            .prop_map(|((lease, holder), stream, changes)| Event::Append { lease, holder, stream, changes }),
        1 => (1..40_u64).prop_map(|seconds| Event::Wait { seconds }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_random_history_is_as_the_model_says(events in prop::collection::vec(event(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(history(events));
    }
}

async fn history(events: Vec<Event>) {
    const NAMES: [&str; 3] = ["x", "y", "z"];
    let clock = TestClock::new();
    let store = SqliteStore::in_memory(clock.clone()).await.unwrap();
    let mut models = [Model::default(), Model::default()];
    let mut expiry = [0_u64; 2];
    let mut now = 0_u64;
    let mut held: HashMap<(usize, usize), Lease> = HashMap::new();
    let mut streams: BTreeMap<&str, Vec<Record>> = BTreeMap::new();
    let mut catalog: BTreeMap<String, OwnedResource> = BTreeMap::new();
    for event in events {
        for (model, expiry) in models.iter_mut().zip(expiry) {
            model.expired = expiry <= now;
        }
        match event {
            Event::Wait { seconds } => {
                clock.advance(std::time::Duration::from_secs(seconds));
                now += seconds;
            }
            Event::Acquire { lease, holder } => {
                let got = store.acquire(NAMES[lease], NAMES[holder], TTL).await.unwrap();
                assert_eq!(
                    got.as_ref().map(|l| l.fence.epoch),
                    models[lease].acquire(NAMES[holder])
                );
                if let Some(got) = got {
                    held.insert((lease, holder), got);
                    expiry[lease] = now + TTL.as_secs();
                }
            }
            Event::Renew { lease, holder } => {
                let Some(mine) = held.get(&(lease, holder)) else {
                    continue;
                };
                let current = models[lease].is_current(mine.fence.epoch);
                assert_eq!(store.renew(mine, TTL).await.is_ok(), current);
                if current {
                    expiry[lease] = now + TTL.as_secs();
                }
            }
            Event::Release { lease, holder } => {
                let Some(mine) = held.get(&(lease, holder)) else {
                    continue;
                };
                store.release(mine).await.unwrap();
                if models[lease].is_current(mine.fence.epoch) {
                    models[lease].holder = None;
                }
            }
            Event::Append { lease, holder, stream, changes } => {
                let Some(mine) = held.get(&(lease, holder)) else {
                    continue;
                };
                let records: Vec<Record> = changes
                    .iter()
                    .map(|(n, there)| {
                        let it = resource(NAMES[stream], *n);
                        if *there { put(&it) } else { remove(&it) }
                    })
                    .collect();
                let answer = store.append(&mine.fence, NAMES[stream], records.clone()).await;
                assert_eq!(
                    answer.is_ok(),
                    models[lease].is_current(mine.fence.epoch),
                    "{answer:?}"
                );
                let Ok(last) = answer else { continue };
                for (n, there) in changes {
                    let it = resource(NAMES[stream], n);
                    match there {
                        true => catalog.insert(it.id.to_string(), it),
                        false => catalog.remove(&it.id.to_string()),
                    };
                }
                let log = streams.entry(NAMES[stream]).or_default();
                log.extend(records);
                assert_eq!(last, log.len() as u64);
            }
        }
    }
    for (stream, log) in &streams {
        let stored: Vec<Record> = all(&store, stream).await.into_iter().map(|e| e.record).collect();
        assert_eq!(&stored, log);
    }
    let stored = store.catalog(None).complete().await.unwrap().into_items();
    assert_eq!(stored, catalog.into_values().collect::<Vec<_>>());
    let repair = store.rebuild_catalog().await.unwrap();
    assert!(repair.was_right(), "{repair:?}");
    assert_eq!(repair.owned, stored.len() as u64);
}
