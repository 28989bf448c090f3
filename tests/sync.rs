//! Data sync from end to end: every mode and policy between servers in memory and folders.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod sync_support;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use cloud_core::{ErrorKind, SystemClock};
use cloud_patterns::{
    engine::store::{SqliteStore, Store, StoreExt},
    sync::{Action, Reason, RunOptions, is_conflict_name},
};
use cloud_testkit::object_server::ObjectAttributes;
use serde_json::json;
use sync_support::*;

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incremental_copies_what_is_new_or_changed_and_deletes_nothing() {
    let (source, target) = (Place::s3().await, Place::s3().await);
    source.fill(
        &[("a", "1"), ("d/b", "2"), ("d/c", "")].map(|(k, v)| (k.into(), Bytes::from(v))).into(),
    );
    target.put("x", "own");
    let sync = Sync::new(&source.url(), &target.url(), json!({})).await;
    let report = sync.run().await;
    assert_eq!(
        (report.copied, report.deleted, report.source.objects, report.target.objects),
        (3, 0, 3, 1)
    );
    assert_eq!((report.bytes_read, report.bytes_written), (2, 2));
    assert_eq!(report.verified.end_to_end, 3, "{report}");

    source.put("a", "changed");
    source.remove("d/b");
    source.put("new", "3");
    let report = sync.run().await;
    assert_eq!((report.copied, report.unchanged, report.deleted), (2, 1, 0));
    assert_eq!(target.keys(), ["a", "d/b", "d/c", "new", "x"]);
    assert_eq!(target.get("a"), "changed");
    assert_eq!(sync.run().await.copied, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_copies_everything_every_time() {
    let (source, target) = (Place::s3().await, Place::azure().await);
    source.fill(&contents(1, 20));
    target.put("x", "own");
    let sync = Sync::new(&source.url(), &target.url(), json!({"mode": "full"})).await;
    for _ in 0..2 {
        let report = sync.run().await;
        assert_eq!((report.copied, report.deleted), (20, 0));
    }
    assert_eq!(target.remote().stats().redundant_writes(), 20);
    target.remove("x");
    assert_same(&source, &target);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_deletes_what_the_source_does_not_have() {
    for target in [Place::s3().await, Place::azure().await, Place::folder()] {
        let source = Place::s3().await;
        source.fill(&contents(2, 10));
        target.fill(&contents(3, 14));
        let sync = Sync::new(
            &source.url(),
            &target.url(),
            json!({"mode": "mirror", "conflict_resolution": "source_wins", "deletion": {"max_share": 1}}),
        )
        .await;
        let extra = target.keys().iter().filter(|key| !source.keys().contains(key)).count() as u64;
        assert!(extra > 0);
        let (report, decided) = sync.dry_run().await;
        let report = report.unwrap();
        assert!(report.dry_run);
        assert_eq!((report.copied, report.deleted), (10, extra));
        assert_eq!(
            decided.values().filter(|d| **d == (Action::DeleteTarget, Reason::NotAtSource)).count()
                as u64,
            extra
        );
        assert_eq!(decided.len() as u64, 10 + extra);
        assert_equal(&contents(3, 14), &target.contents());
        let report = sync.run().await;
        assert_eq!((report.copied, report.deleted), (10, extra));
        assert_same(&source, &target);
        let report = sync.run().await;
        assert_eq!((report.copied, report.deleted, report.unchanged), (0, 0, 10));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_never_deletes_more_than_it_may() {
    let (source, target) = (Place::s3().await, Place::s3().await);
    for n in 0..10 {
        source.put(&format!("{n}"), "x");
    }
    let at_most = |json| json!({"mode": "mirror", "deletion": json});
    Sync::new(&source.url(), &target.url(), at_most(json!({}))).await.run().await;
    (0..6).for_each(|n| source.remove(&n.to_string()));
    source.put("new", "y");
    let refused = async |json, limit: &str| {
        let sync = Sync::new(&source.url(), &target.url(), at_most(json)).await;
        let (dry, decided) = sync.dry_run().await;
        assert_eq!(dry.unwrap_err().code(), Some("too_many_deletions"));
        assert!(decided.len() >= 6, "{decided:?}");
        let error = sync.try_run().await.unwrap_err();
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::PolicyDenied, Some("too_many_deletions"))
        );
        assert!(error.to_string().contains(limit), "{error}");
        assert_eq!(target.keys().len(), 11, "what is new is copied, nothing is deleted");
    };
    refused(json!({}), "deletion.max_share is 0.5").await;
    refused(json!({"max_count": 5, "max_share": 1.0}), "deletion.max_count is 5").await;
    let sync = Sync::new(&source.url(), &target.url(), at_most(json!({"max_share": 0.6}))).await;
    assert_eq!(sync.run().await.deleted, 6);
    assert_same(&source, &target);

    // The last object.
    source.keys().iter().for_each(|key| source.remove(key));
    target.keys().iter().skip(1).for_each(|key| target.remove(key));
    let sync = Sync::new(&source.url(), &target.url(), at_most(json!({}))).await;
    assert_eq!(sync.try_run().await.unwrap_err().code(), Some("too_many_deletions"));
    assert_eq!(target.keys().len(), 1);
    let sync = Sync::new(&source.url(), &target.url(), at_most(json!({"max_share": 1.0}))).await;
    assert_eq!(sync.run().await.deleted, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_run_another_worker_begins_at_once_and_nothing_is_left_in_the_store() {
    let (source, target) = (Place::s3().await, Place::s3().await);
    source.fill(&contents(11, 4));
    target.fill(&contents(12, 20));
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::in_memory(Arc::new(SystemClock)).await.unwrap());
    for worker in ["a", "b", "c"] {
        source.put("changing", worker);
        let sync = Sync::on(
            store.clone(),
            Locations::default(),
            worker,
            &source.url(),
            &target.url(),
            json!({"mode": "mirror"}),
        )
        .await
        .unwrap();
        // A lease that was not given back would be waited for, 30 s.
        let run = tokio::time::timeout(Duration::from_secs(15), sync.try_run()).await;
        let error = run.expect("the shard is free").unwrap_err();
        assert_eq!(error.code(), Some("too_many_deletions"));
    }
    let streams = store.streams("sync/").complete().await.unwrap().into_items();
    let states = streams.iter().filter(|name| name.ends_with("/blocks")).count();
    assert_eq!(states, 1, "{streams:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bidirectional_sync_carries_changes_and_deletes_both_ways() {
    for target in [Place::s3().await, Place::azure().await, Place::folder()] {
        let source = Place::s3().await;
        for n in 0..6 {
            source.put(&format!("s{n}"), format!("source {n}"));
            target.put(&format!("t{n}"), format!("target {n}"));
        }
        let sync = Sync::new(&source.url(), &target.url(), json!({"mode": "bidirectional"})).await;
        let report = sync.run().await;
        assert_eq!((report.copied, report.copied_back), (6, 6));
        assert_same(&source, &target);
        assert_eq!(source.keys().len(), 12);

        source.remove("s0");
        source.remove("t0");
        target.remove("s1");
        target.remove("t1");
        source.put("s2", "changed at the source");
        source.put("t2", "changed at the source, too");
        target.put("s3", "changed at the target");
        let report = sync.run().await;
        assert_eq!((report.copied, report.copied_back, report.deleted), (2, 1, 4), "{report}");
        assert_same(&source, &target);
        assert_eq!(source.keys().len(), 8);
        assert_eq!(source.get("s3"), "changed at the target");

        // Deleted here, changed there: the change is what stays.
        source.remove("s4");
        target.put("s4", "still needed");
        let report = sync.run().await;
        assert_eq!((report.copied_back, report.deleted), (1, 0));
        assert_eq!(source.get("s4"), "still needed");
        let report = sync.run().await;
        assert_eq!((report.copied, report.copied_back, report.deleted), (0, 0, 0));
    }
}

/// Both sides of a bidirectional pair changed `k` since the last run, the target 10 s later.
async fn conflicting(resolution: &str) -> (Place, Place, Sync) {
    let (source, target) = (Place::s3().await, Place::s3().await);
    source.put_at("k.txt", "before", -100);
    source.put("other", "x");
    let policy = json!({"mode": "bidirectional", "conflict_resolution": resolution});
    let sync = Sync::new(&source.url(), &target.url(), policy).await;
    sync.run().await;
    source.put_at("k.txt", "source's", -20);
    target.put_at("k.txt", "target's own", -10);
    (source, target, sync)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_end_as_the_policy_says() {
    for (resolution, stays) in [
        ("last_modified_wins", "target's own"),
        ("source_wins", "source's"),
        ("target_wins", "target's own"),
    ] {
        let (source, target, sync) = conflicting(resolution).await;
        sync.run().await;
        assert_eq!(
            (source.get("k.txt"), target.get("k.txt")),
            (stays.into(), stays.into()),
            "{resolution}"
        );
        assert_eq!(sync.run().await.copied, 0);
    }
    let (source, target, sync) = conflicting("last_modified_wins").await;
    source.put_at("k.txt", "the source is later now", 0);
    sync.run().await;
    assert_eq!(target.get("k.txt"), "the source is later now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_that_nobody_resolves_is_reported_and_nothing_changes() {
    let (source, target, sync) = conflicting("fail").await;
    let report = sync.try_run().await.unwrap();
    assert!(!report.is_success());
    assert_eq!((report.conflicts.count, report.conflicts.first[0].0.as_str()), (1, "k.txt"));
    assert_eq!(
        (source.get("k.txt"), target.get("k.txt")),
        ("source's".into(), "target's own".into())
    );

    let (source, target, sync) = conflicting("last_modified_wins").await;
    let modified = Some(target.bucket().get("k.txt").unwrap().modified());
    let same_time = ObjectAttributes { modified, ..ObjectAttributes::default() };
    source.bucket().put_with("k.txt", "at the same time", same_time).unwrap();
    let report = sync.try_run().await.unwrap();
    assert_eq!(report.conflicts.count, 1, "{report}");
    assert_eq!(target.get("k.txt"), "target's own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keep_both_loses_neither() {
    let (source, target, sync) = conflicting("keep_both").await;
    sync.run().await;
    sync.run().await;
    assert_same(&source, &target);
    assert_eq!(source.get("k.txt"), "source's");
    let kept: Vec<_> = source.keys().into_iter().filter(|key| is_conflict_name(key)).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(kept[0].starts_with("k.conflict-") && kept[0].ends_with(".txt"));
    assert_eq!(source.get(&kept[0]), "target's own");
    let report = sync.run().await;
    assert_eq!((report.copied, report.copied_back, report.deleted), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_goes_to_the_trash() {
    for target in [Place::s3().await, Place::azure().await, Place::folder()] {
        let source = Place::s3().await;
        (0..6).for_each(|n| source.put(&format!("d/{n}"), format!("content {n}")));
        let policy = json!({"mode": "mirror", "deletion": {"trash": ".trash"}});
        let sync = Sync::new(&source.url(), &target.url(), policy).await;
        sync.run().await;
        source.remove("d/2");
        assert_eq!(sync.run().await.deleted, 1);
        let trash: Vec<_> =
            target.keys().into_iter().filter(|key| key.starts_with(".trash/")).collect();
        assert_eq!(trash.len(), 1);
        assert!(trash[0].ends_with("/d/2"), "{trash:?}");
        assert_eq!(target.get(&trash[0]), "content 2");
        let report = sync.run().await;
        assert_eq!((report.copied, report.deleted, report.unchanged), (0, 0, 5));
        assert_eq!(target.keys().len(), 6);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_filter_leaves_out_on_both_sides() {
    let (source, target) = (Place::s3().await, Place::s3().await);
    source.put("a.txt", "1");
    source.put("tmp/b.txt", "2");
    source.put("c.jpg", "3");
    source.put("big.txt", vec![0; 2000]);
    source.put_at("old.txt", "5", -86_400 * 40);
    target.put("tmp/mine.txt", "kept");
    target.put("mine.jpg", "kept");
    target.put("gone.txt", "not kept");
    target.put("z.txt", "not kept");
    let filter =
        json!({"include": ["*.txt"], "exclude": ["/tmp/"], "max_size": "1KiB", "max_age": "30d"});
    let sync =
        Sync::new(&source.url(), &target.url(), json!({"mode": "mirror", "filter": filter})).await;
    let report = sync.run().await;
    assert_eq!((report.copied, report.deleted, report.filtered), (1, 2, 6), "{report}");
    assert_eq!(target.keys(), ["a.txt", "mine.jpg", "tmp/mine.txt"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefixes_are_mapped() {
    let (source, target) = (Place::s3().await, Place::azure().await);
    source.put("in/x/a", "1");
    source.put("in/b", "2");
    source.put("inside", "not below");
    source.put("other", "not below");
    target.put("out/deep/c", "deleted");
    target.put("out/deeper", "not below");
    let policy = json!({"mode": "mirror", "deletion": {"max_share": 1}});
    let sync = Sync::new(&source.at("in"), &target.at("out/deep/"), policy).await;
    let report = sync.run().await;
    assert_eq!((report.copied, report.deleted, report.source.objects), (2, 1, 2));
    assert_eq!(target.keys(), ["out/deep/b", "out/deep/x/a", "out/deeper"]);
}

fn attributes() -> ObjectAttributes {
    ObjectAttributes {
        content_type: Some("text/css".into()),
        content_language: Some("de".into()),
        cache_control: Some("max-age=5".into()),
        metadata: [("owner".into(), "ada".into())].into(),
        ..ObjectAttributes::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attributes_are_carried_over_or_reported_as_lost() {
    // One for each way of transfer that the target has.
    let sizes = [10, 600_000, 20 * MIB];
    let policy = json!({"limits": {"multipart_bytes": 6 * MIB}});
    for source in [Place::s3().await, Place::azure().await] {
        for size in sizes {
            source.bucket().put_with(&format!("{size}"), noise(4, size), attributes()).unwrap();
        }
        for target in [Place::s3().await, Place::azure().await] {
            let report = Sync::new(&source.url(), &target.url(), policy.clone()).await.run().await;
            assert_eq!((report.copied, report.attributes_lost), (3, 0));
            for size in sizes {
                let stored = target.bucket().get(&format!("{size}")).unwrap();
                let got = ObjectAttributes { modified: None, ..stored.attributes() };
                assert_eq!(got, attributes(), "{size}");
            }
            assert_same(&source, &target);
        }
        source.put("plain", "nothing to lose");
        let target = Place::folder();
        let report = Sync::new(&source.url(), &target.url(), policy.clone()).await.run().await;
        assert_eq!((report.copied, report.attributes_lost), (4, 3));
        assert_same(&source, &target);
    }
}

fn text(size: usize) -> Bytes {
    let mut text = String::new();
    let mut number = 0_u64;
    while text.len() < size {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        text += &format!("line {number} of a log that says much the same again and again\n");
    }
    text.truncate(size);
    text.into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_stored_compressed_unless_that_is_of_no_use() {
    let unpack = |body: Bytes| Bytes::from(zstd::decode_all(&body[..]).unwrap());
    let (small, large, noisy) = (text(5000), text(20 * MIB), noise(5, 9 * MIB));
    for target in [Place::s3().await, Place::azure().await] {
        let source = Place::s3().await;
        source.bucket().put_with("small", small.clone(), attributes()).unwrap();
        source.put("large", large.clone());
        source.put("noisy", noisy.clone());
        source.put("tiny", "x");
        source.put("empty", "");
        let policy = json!({"compression": "content_encoding"});
        let sync = Sync::new(&source.url(), &target.url(), policy).await;
        let report = sync.run().await;
        assert_eq!(report.copied, 5);
        assert!(report.bytes_written < report.bytes_read / 2 + 10 * MIB as u64, "{report}");
        assert_eq!(target.keys(), source.keys());
        for (key, content) in [("small", &small), ("large", &large)] {
            let stored = target.bucket().get(key).unwrap();
            assert_eq!(stored.content_encoding(), Some("zstd"));
            assert!(stored.size() < content.len() as u64 / 2);
            assert_eq!(unpack(stored.body()), content, "{key}");
        }
        assert_eq!(target.bucket().get("small").unwrap().content_type(), Some("text/css"));
        for key in ["noisy", "tiny", "empty"] {
            let stored = target.bucket().get(key).unwrap();
            assert_eq!(
                (stored.content_encoding(), stored.body()),
                (None, source.get(key)),
                "{key}"
            );
        }
        let report = sync.run().await;
        assert_eq!((report.copied, report.unchanged), (0, 5));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_bodies_can_have_a_suffix() {
    let (small, noisy) = (text(50_000), noise(5, 5000));
    for target in [Place::s3().await, Place::folder()] {
        let source = Place::s3().await;
        source.put("d/small.log", small.clone());
        source.put("noisy", noisy.clone());
        source.put("x", "y");
        let policy = json!({"compression": "suffix", "mode": "mirror"});
        let sync = Sync::new(&source.url(), &target.url(), policy).await;
        assert_eq!(sync.run().await.copied, 3);
        assert_eq!(target.keys(), ["d/small.log.zst", "noisy", "x"]);
        assert_eq!(zstd::decode_all(&target.get("d/small.log.zst")[..]).unwrap(), small);
        assert_eq!(target.get("noisy"), noisy);
        let report = sync.run().await;
        assert_eq!((report.copied, report.deleted, report.unchanged), (0, 0, 3), "{report}");
        source.remove("d/small.log");
        assert_eq!(sync.run().await.deleted, 1);
        assert_eq!(target.keys(), ["noisy", "x"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_run_copies_nothing_between_any_two_places() {
    let seed = seed();
    let place = async |kind| match kind {
        0 => Place::s3().await,
        1 => Place::azure().await,
        _ => Place::folder(),
    };
    for (from, to) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)] {
        let (source, target) = (place(from).await, place(to).await);
        source.fill(&contents(seed, 60));
        let sync = Sync::new(&source.url(), &target.url(), json!({})).await;
        let report = sync.run().await;
        assert_eq!((report.copied, report.unchanged), (60, 0), "{from} to {to}");
        assert_same(&source, &target);
        for _ in 0..2 {
            let report = sync.run().await;
            assert_eq!(
                (report.copied, report.unchanged, report.requests),
                (0, 60, 0),
                "{from} to {to}: {report}"
            );
        }
        // One of them, of the same size.
        let (key, body) =
            contents(seed, 60).into_iter().find(|(_, body)| !body.is_empty()).unwrap();
        source.put(&key, body.iter().map(|byte| !byte).collect::<Vec<_>>());
        assert_eq!(sync.run().await.copied, 1, "{from} to {to}");
        assert_same(&source, &target);
        assert_eq!(sync.run().await.copied, 0, "{from} to {to}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn size_and_time_are_enough_if_the_policy_says_so() {
    let (source, target) = (Place::azure().await, Place::s3().await);
    source.put_at("a", "abc", -100);
    target.put_at("a", "xyz", -50);
    source.put_at("b", "abc", -50);
    target.put_at("b", "xyz", -100);
    let sync =
        Sync::new(&source.url(), &target.url(), json!({"comparison": "size_and_time"})).await;
    let report = sync.run().await;
    assert_eq!((report.copied, report.unchanged), (1, 1));
    assert_eq!((target.get("a"), target.get("b")), ("xyz".into(), "abc".into()));
    assert_eq!(sync.run().await.copied, 0);
}

/// Large objects by every way: as one stream, in parts, from and to each service.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_objects_arrive_whole() {
    let body = noise(6, 20 * MIB + 7);
    for source in [Place::s3().await, Place::azure().await] {
        source.put("large", body.clone());
        source.put("middle", body.slice(..7 * MIB));
        for target in [Place::s3().await, Place::azure().await, Place::folder()] {
            let policy = json!({"limits": {"multipart_bytes": 6 * MIB}});
            let sync = Sync::new(&source.url(), &target.url(), policy).await;
            let report = sync.run().await;
            assert_eq!((report.copied, report.verified.length), (2, 0), "{report}");
            assert_same(&source, &target);
            assert_eq!(sync.run().await.copied, 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_of_parts_keeps_its_e_tag() {
    let (source, target) = (Place::s3().await, Place::s3().await);
    source.put_parts("large", noise(7, 20 * MIB), 8 * MIB).await;
    let policy = json!({"limits": {"multipart_bytes": 6 * MIB}});
    let sync = Sync::new(&source.url(), &target.url(), policy.clone()).await;
    let report = sync.run().await;
    assert_eq!((report.copied, report.verified.end_to_end), (1, 1), "{report}");
    let e_tag = |place: &Place| place.bucket().get("large").unwrap().etag().to_owned();
    assert!(e_tag(&source).ends_with("-3"));
    assert_eq!(e_tag(&source), e_tag(&target));
    assert_same(&source, &target);
    // Nothing is known of the last run, and still it is the same.
    let report = Sync::new(&source.url(), &target.url(), policy).await.run().await;
    assert_eq!((report.copied, report.unchanged), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bandwidth_is_limited() {
    let (source, target) = (Place::s3().await, Place::s3().await);
    (0..16).for_each(|n| source.put(&n.to_string(), noise(n, MIB / 4)));
    source.put("large", noise(20, 2 * MIB));
    let limits = json!({"bytes_per_second": 2 * MIB});
    let sync = Sync::new(&source.url(), &target.url(), json!({"limits": limits})).await;
    let began = Instant::now();
    sync.run().await;
    let rate = 6.0 / began.elapsed().as_secs_f64();
    assert!(rate < 2.0 * 1.5 + 0.1, "{rate} MiB/s");
    assert_same(&source, &target);
}

#[tokio::test]
async fn pairs_that_cannot_be_are_refused_by_name() {
    let (s3, folder) = (Place::s3().await, Place::folder());
    let refused = async |locations: Locations, source: &str, target: &str, json, said: &[&str]| {
        let error = Sync::with(locations, source, target, json).await.err().expect(source);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        for said in said {
            assert!(error.to_string().contains(said), "{said}: {error}");
        }
    };
    // 192.0.2.1 is an address for documentation; nothing is sent to it.
    let plain = "s3://b?region=r&endpoint=http://192.0.2.1:9000";
    refused(Locations::default(), plain, &s3.url(), json!({}), &["endpoint", "192.0.2.1"]).await;
    let allowed = || Locations { allow_http: true, ..Locations::default() };
    refused(allowed(), plain, &s3.url(), json!({}), &["source", "allow_unencrypted_transport"])
        .await;
    refused(allowed(), &s3.url(), plain, json!({}), &["target", "allow_unencrypted_transport"])
        .await;
    let policy = json!({"allow_unencrypted_transport": true});
    let sync = Sync::with(allowed(), &s3.url(), plain, policy).await.unwrap();
    assert!(!sync.service.job(&sync.job).await.unwrap().encryption_in_transit);

    std::fs::create_dir_all(match &folder {
        Place::Folder(folder) => folder.path().join("a/b"),
        Place::Server { .. } => unreachable!(),
    })
    .unwrap();
    for place in [&s3, &folder] {
        for (source, target, said) in [
            ("", "", "source itself"),
            ("a", "a/b", "overlaps"),
            ("a/b", "a", "overlaps"),
            ("", "a", "overlaps"),
        ] {
            refused(
                Locations::default(),
                &place.at(source),
                &place.at(target),
                json!({}),
                &["target", said],
            )
            .await;
        }
    }
    let bad = json!({"compression": "content_encoding"});
    refused(Locations::default(), &s3.url(), &folder.url(), bad, &["compression"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn within_a_bucket_the_store_copies_by_itself() {
    for place in [Place::s3().await, Place::azure().await] {
        (0..20).for_each(|n| {
            place
                .bucket()
                .put_with(&format!("a/{n}"), noise(n, 1000), attributes())
                .unwrap()
                .clear()
        });
        place.put("ab", "not below");
        let sync = Sync::new(&place.at("a"), &place.at("b"), json!({})).await;
        place.remote().reset_stats();
        assert_eq!(sync.run().await.copied, 20);
        let stats = place.remote().stats();
        assert_eq!((stats.copies, stats.puts, stats.gets), (20, 0, 0));
        (0..20)
            .for_each(|n| assert_eq!(place.get(&format!("a/{n}")), place.get(&format!("b/{n}"))));
        assert_eq!(place.bucket().get("b/3").unwrap().content_type(), Some("text/css"));
        assert_eq!(sync.run().await.copied, 0);
    }
}

/// What two workers do together is what one would have done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_on_one_store_copy_each_object_once() {
    let seed = seed();
    let folder = tempfile::tempdir().unwrap();
    for target in [Place::s3().await, Place::azure().await] {
        let source = Place::s3().await;
        source.fill(&contents(seed, 800));
        let path = folder.path().join(format!("{}.db", target.remote().port()));
        let worker = async |name: &str| {
            let store = Arc::new(SqliteStore::open(&path, Arc::new(SystemClock)).await.unwrap());
            Sync::on(
                store,
                Locations::default(),
                name,
                &source.url(),
                &target.url(),
                json!({"shards": 8}),
            )
            .await
            .unwrap()
        };
        let (one, two) = (worker("one").await, worker("two").await);
        assert_eq!(one.job, two.job);
        assert_eq!(one.service.job(&one.job).await.unwrap().bounds.len(), 7);
        let half = RunOptions { first_shard: 4, ..RunOptions::default() };
        let (first, second) = tokio::join!(one.run(), two.service.run(&two.job, &half));
        assert_eq!(first, second.unwrap());
        assert_eq!(first.copied, 800);
        assert_eq!(target.remote().stats().redundant_writes(), 0);
        assert_same(&source, &target);
        assert_eq!(one.run().await.copied, 0);
    }
}

#[derive(Debug)]
struct Later;

impl cloud_core::Clock for Later {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now() + jiff::SignedDuration::from_secs(31)
    }
}

/// Waits until a place holds so many objects.
async fn holds(place: &Place, objects: usize) {
    let arrived = async {
        while place.bucket().len() < objects {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), arrived).await.expect("objects arrive");
}

/// A worker stops in the middle and gives no sign of life; another, to whom the lease has run out, goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_worker_leaves_is_taken_over() {
    let (source, target) = (Place::s3().await, Place::azure().await);
    source.fill(&contents(9, 600));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let (from, to) = (source.url(), target.url());
    let policy = json!({"shards": 4, "limits": {"concurrency": 4}});
    let store = Arc::new(SqliteStore::open(&path, Arc::new(SystemClock)).await.unwrap());
    let dead =
        Sync::on(store, Locations::default(), "dead", &from, &to, policy.clone()).await.unwrap();
    tokio::select! {
        report = dead.run() => panic!("it was too quick: {report}"),
        () = holds(&target, 250) => {}
    }
    let store = Arc::new(SqliteStore::open(&path, Arc::new(Later)).await.unwrap());
    let heir = Sync::on(store, Locations::default(), "heir", &from, &to, policy).await.unwrap();
    let report = heir.run().await;
    assert_same(&source, &target);
    let redundant = target.remote().stats().redundant_writes();
    println!("{redundant} redundant transfers");
    // What the dead one had on its way, or had not yet taken down.
    assert!(report.copied + redundant <= 600 + 250, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_stopped_finishes_what_is_on_its_way() {
    let (source, target) = (Place::s3().await, Place::azure().await);
    source.fill(&contents(10, 500));
    let policy = json!({"limits": {"concurrency": 4}});
    let sync = Sync::new(&source.url(), &target.url(), policy).await;
    let options = RunOptions::default();
    let stop = async {
        holds(&target, 100).await;
        options.stop.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let (stopped, ()) = tokio::join!(sync.service.run(&sync.job, &options), stop);
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(target.keys().len() < 500);
    sync.run().await;
    assert_same(&source, &target);
    assert_eq!(target.remote().stats().redundant_writes(), 0);
}

/// What the stores themselves do not know: two objects of one size and time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_at_the_target_of_a_one_way_sync_are_undone_or_kept() {
    let (source, target) = (Place::s3().await, Place::azure().await);
    let some: BTreeMap<String, Bytes> = contents(11, 10);
    source.fill(&some);
    let from = |resolution: &str| json!({"conflict_resolution": resolution});
    Sync::new(&source.url(), &target.url(), from("source_wins")).await.run().await;
    let sync = Sync::new(&source.url(), &target.url(), from("source_wins")).await;
    assert_eq!(sync.run().await.copied, 10, "nothing is known and nothing is comparable");
    target.put(some.keys().next().unwrap(), "drifted");
    assert_eq!(sync.run().await.copied, 1);
    assert_same(&source, &target);
}
