//! Data sync under faults: whatever servers, listings, clocks and keys do, both sides end up equal or nothing is lost and it is said.
//! A seed is printed; `SYNC_SEED=N` repeats it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod sync_support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use cloud_core::ErrorKind;
use cloud_testkit::object_server::{Dialect, FaultKind, Faults, Operation, ServerOptions};
use serde_json::{Value, json};
use sync_support::*;

const MIB: usize = 1 << 20;

async fn place(dialect: Dialect) -> Place {
    Place::server(dialect, ServerOptions::default()).await
}

fn limits() -> Value {
    json!({"limits": {"multipart_bytes": 6 * MIB, "stall_time_out": "1s"}})
}

/// 5 % of all calls to both servers fail in this way, between each pair of services.
async fn survives(kinds: &[FaultKind]) {
    use Dialect::{Azure, S3};
    let seed = seed();
    for (from, to) in [(S3, S3), (S3, Azure), (Azure, S3)] {
        let (source, target) = (place(from).await, place(to).await);
        source.fill(&contents(seed, 100));
        source.put("large", noise(seed, 9 * MIB));
        let before = source.contents();
        let locations = Locations { patience: Duration::from_millis(500), ..Locations::default() };
        let sync = Sync::with(locations, &source.url(), &target.url(), limits()).await.unwrap();
        for (place, salt) in [(&source, 1), (&target, 2)] {
            let faults = Faults::new(seed + salt).rate(0.05).kinds(kinds.iter().copied());
            place.remote().set_faults(faults);
        }
        let (report, runs) = sync.run_until_done(5).await;
        let stats = [source.remote().stats(), target.remote().stats()];
        let struck: u64 = stats.iter().map(|stats| stats.faults_injected()).sum();
        println!(
            "{from:?} to {to:?}: {struck} faults, {runs} runs, {} repeated attempts",
            report.repeated
        );
        assert!(struck > 0, "seed {seed}: nothing was struck");
        assert_eq!(report.refused.count, 0, "{report}");
        assert_equal(&before, &source.contents());
        assert_same(&source, &target);
        // An upload whose beginning was never answered cannot be ended by anybody who does not list uploads.
        let target_faults = &stats[1].faults;
        let unanswered = ["close_after", "hang_after"]
            .iter()
            .filter_map(|kind| target_faults.get(*kind))
            .sum::<u64>();
        assert!(
            target.remote().open_uploads() as u64 <= unanswered,
            "{} open uploads",
            target.remote().open_uploads()
        );
        [&source, &target].iter().for_each(|place| place.remote().set_faults(None));
        assert_eq!(sync.run().await.copied, 0);
    }
}

macro_rules! survives {
    ($($name:ident: $kind:expr,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            survives(&[$kind]).await;
        }
    )*};
}

survives! {
    survives_408: FaultKind::http(408),
    survives_429_with_retry_after: FaultKind::Http { status: 429, retry_after: Some(Duration::from_secs(1)) },
    survives_500: FaultKind::http(500),
    survives_502: FaultKind::http(502),
    survives_503: FaultKind::http(503),
    survives_closed_connections: FaultKind::Close,
    survives_connections_that_close_after_the_effect: FaultKind::CloseAfter,
    survives_time_outs_after_the_effect: FaultKind::HangAfter,
    survives_bodies_that_are_cut: FaultKind::CutBody,
    survives_short_reads: FaultKind::ShortRead,
    survives_corrupt_reads: FaultKind::CorruptRead,
    survives_corrupt_writes: FaultKind::CorruptWrite,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn survives_all_of_it_at_once() {
    survives(&FaultKind::ALL).await;
}

/// The only checksum of such an object is that of its parts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corrupt_reads_of_an_object_of_parts_are_noticed() {
    let (source, target) = (Place::s3().await, Place::s3().await);
    source.put_parts("large", noise(1, 18 * MIB), 8 * MIB).await;
    // Of another size than any that is usual: nothing but the parts that were written can be verified.
    source.put_parts("odd", noise(2, 12 * MIB), 7 * MIB).await;
    let once = AtomicU64::new(0);
    source.remote().on_request(move |request| {
        let strikes = request.operation == Operation::Get
            && request.key == "large"
            && once.fetch_add(1, Relaxed) == 1;
        strikes.then_some(FaultKind::CorruptRead)
    });
    let report = Sync::new(&source.url(), &target.url(), limits()).await.run().await;
    assert_eq!(
        (report.copied, report.verified.end_to_end, report.verified.one_side),
        (2, 1, 1),
        "{report}"
    );
    assert_same(&source, &target);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_throttles_gets_fewer_requests() {
    let (source, target) = (Place::s3().await, Place::s3().await);
    source.fill(&contents(20, 200));
    let sync = Sync::new(&source.url(), &target.url(), json!({})).await;
    target.remote().set_faults(Faults::new(1).throttle(60.0).operations([Operation::Put]));
    let report = sync.run().await;
    assert_same(&source, &target);
    let stats = target.remote().stats();
    println!(
        "{} throttled answers, {} heard by the run",
        stats.faults_injected(),
        report.throttled
    );
    assert!(report.throttled > 0 && stats.redundant_writes() == 0, "{report}");
}

/// A listing that breaks off must never look like one that ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_deleted_after_a_listing_that_broke_off() {
    for dialect in [Dialect::S3, Dialect::Azure] {
        let (source, target) = (place(dialect).await, place(dialect).await);
        for place in [&source, &target] {
            place
                .bucket()
                .fill(if dialect == Dialect::S3 { 1500 } else { 5500 }, 10, "d/")
                .unwrap();
        }
        target.put("zzz", "to be deleted");
        let before = target.contents();
        let policy = json!({"mode": "mirror", "comparison": "size"});
        let sync = Sync::new(&source.url(), &target.url(), policy).await;
        for broken in [&source, &target] {
            // Azure's pages are larger, so one run takes longer.
            let kinds = [
                FaultKind::TruncateList,
                FaultKind::CutBody,
                FaultKind::http(500),
                FaultKind::Close,
            ];
            for &kind in &kinds[..if dialect == Dialect::S3 { 4 } else { 1 }] {
                let faults = Faults::new(1)
                    .rate(1.0)
                    .kinds([kind])
                    .operations([Operation::List])
                    .pages_from(1);
                broken.remote().set_faults(faults);
                let error = sync.try_run().await.expect_err(&kind.name());
                assert!(error.to_string().contains("listing"), "{}: {error}", kind.name());
                assert_eq!(target.contents(), before, "{}", kind.name());
                broken.remote().set_faults(None);
            }
        }
        assert_eq!(sync.run().await.deleted, 1);
    }
}

/// The source is overwritten before its `nth` read, for each `nth`.
async fn changes_while_read(from: Dialect, to: Dialect, size: usize, other: usize, cut: bool) {
    let (old, new) = (noise(1, size), noise(2, other));
    for nth in 0..4 {
        let (source, target) = (place(from).await, place(to).await);
        source.put("k", old.clone());
        let (bucket, reads, changed) = (source.bucket(), AtomicU64::new(0), new.clone());
        source.remote().on_request(move |request| {
            if request.operation != Operation::Get {
                return None;
            }
            let read = reads.fetch_add(1, Relaxed);
            if read == nth {
                bucket.put("k", changed.clone()).unwrap();
            }
            (cut && read < 3).then_some(FaultKind::CutBody)
        });
        let sync = Sync::new(&source.url(), &target.url(), limits()).await;
        sync.run().await;
        let got = target.get("k");
        assert!(got == old || got == new, "a mixture of two versions, changed before read {nth}");
        source.remote().clear_hook();
        sync.run().await;
        assert_same(&source, &target);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_source_that_changes_is_copied_whole() {
    changes_while_read(Dialect::S3, Dialect::S3, 1000, 1000, false).await;
    changes_while_read(Dialect::Azure, Dialect::S3, 1000, 2000, true).await;
    changes_while_read(Dialect::S3, Dialect::S3, 1000, 8 * MIB, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_not_resumed_with_another_version() {
    changes_while_read(Dialect::S3, Dialect::S3, 4 * MIB, 4 * MIB, true).await;
    changes_while_read(Dialect::S3, Dialect::Azure, 4 * MIB, 1000, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_are_never_of_two_versions() {
    changes_while_read(Dialect::Azure, Dialect::S3, 9 * MIB, 9 * MIB, false).await;
    changes_while_read(Dialect::Azure, Dialect::S3, 9 * MIB, MIB, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_away_before_it_is_read_is_counted() {
    let (source, target) = (Place::s3().await, Place::s3().await);
    source.put("a", "1");
    source.put("b", "2");
    let bucket = source.bucket();
    source.remote().on_request(move |request| {
        if request.operation == Operation::Get && request.key == "b" {
            bucket.delete("b");
        }
        None
    });
    let sync = Sync::new(&source.url(), &target.url(), json!({})).await;
    let report = sync.run().await;
    assert_eq!((report.copied, report.vanished), (1, 1));
    assert_same(&source, &target);
}

/// Both sides of a pair are written during a bidirectional run: what nobody has seen is not overwritten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_changes_during_the_run_is_not_overwritten() {
    let (source, target) = (Place::s3().await, Place::s3().await);
    source.put("k", "one");
    let sync = Sync::new(&source.url(), &target.url(), json!({"mode": "bidirectional"})).await;
    sync.run().await;
    source.put("k", "two");
    let bucket = target.bucket();
    // The listing of the target is over when the source is asked for the object, or its own head is looked at.
    target.remote().on_request(move |request| {
        if request.operation == Operation::Head {
            bucket.put("k", "written by somebody else").unwrap();
        }
        None
    });
    let report = sync.try_run().await.unwrap();
    target.remote().clear_hook();
    assert_eq!(report.failed.count, 1, "{report}");
    assert_eq!(target.get("k"), "written by somebody else");
    assert_eq!(source.get("k"), "two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_target_ends_the_run_and_a_later_run_finishes() {
    for dialect in [Dialect::S3, Dialect::Azure] {
        let options =
            ServerOptions { capacity_bytes: Some(8 * MIB as u64), ..ServerOptions::default() };
        let (source, target) = (Place::s3().await, Place::server(dialect, options).await);
        let ballast = target.remote().bucket("ballast");
        ballast.put("x", noise(1, 6 * MIB)).unwrap();
        (0..100).for_each(|n| source.put(&format!("{n:03}"), noise(n, 50_000)));
        let before = source.contents();
        let sync = Sync::new(&source.url(), &target.url(), json!({})).await;
        let error = sync.try_run().await.expect_err("it does not fit");
        assert!(
            matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded),
            "{dialect:?}: {error:?}"
        );
        assert_equal(&before, &source.contents());
        let there = target.contents();
        assert!(!there.is_empty() && there.iter().all(|(key, body)| before[key] == body));
        ballast.clear();
        sync.run().await;
        assert_same(&source, &target);
        assert_eq!(target.remote().stats().redundant_writes(), 0, "{dialect:?}");
    }
}

/// The source's clock is ahead, so that its times are too late.
async fn skewed(
    clock_offset: i64,
    source_written: i64,
    target_written: i64,
) -> (Place, Place, Sync) {
    let options = ServerOptions { clock_offset, ..ServerOptions::default() };
    let (source, target) = (Place::server(Dialect::S3, options).await, Place::s3().await);
    source.put_at("k", "before", clock_offset - 1000);
    let sync = Sync::new(&source.url(), &target.url(), json!({"mode": "bidirectional"})).await;
    sync.run().await;
    source.put_at("k", "source's", clock_offset + source_written);
    target.put_at("k", "target's", target_written);
    (source, target, sync)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_writer_wins_though_its_clock_is_behind() {
    for offset in [-600, -120, -30, 30, 120, 600] {
        for (at_source, at_target, stays) in [(-20, -10, "target's"), (-10, -20, "source's")] {
            let (source, target, sync) = skewed(offset, at_source, at_target).await;
            // As a process that was started anew would: nothing has been measured yet.
            sync.run().await;
            assert_eq!(
                (source.get("k"), target.get("k")),
                (stays.into(), stays.into()),
                "{offset} s"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_far_off_decides_nothing() {
    for offset in [-1000, 1000] {
        let (source, target, sync) = skewed(offset, -10, -20).await;
        let report = sync.try_run().await.unwrap();
        assert_eq!(report.conflicts.count, 1, "{report}");
        assert!(report.conflicts.first[0].1.contains("clock"), "{report}");
        assert_eq!((source.get("k"), target.get("k")), ("source's".into(), "target's".into()));
    }
}

fn hostile() -> BTreeMap<String, Bytes> {
    let long = format!("{}/{}", "x".repeat(512), "y".repeat(511));
    let keys = [
        "../x",
        "..",
        "a/../b",
        "a//b",
        "/a",
        "dir/",
        "a/./b",
        "./a",
        ".",
        "~",
        "a\\b",
        "ünï/cödé",
        "日本語/🦀",
        "e\u{301}",
        "%2F",
        "%2e%2e/x",
        "a%00b",
        "+",
        "a+b c",
        " ",
        " a ",
        "a b",
        "#",
        "#1",
        "a#1",
        "a?b",
        "a&b",
        "a=b;c",
        "<k>",
        "\"q\"",
        "'",
        "a\nb",
        "a\tb",
        "a\rb",
        "a\u{1}b",
        "a\u{7f}b",
        "a*b",
        "a|b",
        "a:b",
        "con",
        "nul.txt",
        "Case",
        "case",
        "CASE",
        "caſe",
        ".hidden",
        "a.",
        "-rf",
        "$(x)",
        "`x`",
        &long,
        "dir",
        "dir/x",
        "z//",
        "z/",
    ];
    keys.iter().map(|key| ((*key).to_owned(), Bytes::from(format!("content of {key:?}")))).collect()
}

/// Every key is copied under its own name with its own content, or named in the report; the target has nothing else.
async fn hostile_to(target: &Place, locations: Locations, policy: Value) {
    let source = Place::s3().await;
    source.fill(&hostile());
    let sync = Sync::with(locations, &source.url(), &target.url(), policy).await.unwrap();
    for run in 1..=2 {
        let report = sync.try_run().await.unwrap();
        let there = target.contents();
        for (key, body) in &there {
            assert_eq!(
                hostile().get(key),
                Some(body),
                "{key:?} is none of the source's, or altered"
            );
        }
        let named: BTreeSet<_> = report
            .refused
            .first
            .iter()
            .chain(&report.failed.first)
            .map(|(key, _)| key.as_str())
            .collect();
        let silent: Vec<_> = hostile()
            .into_keys()
            .filter(|k| !there.contains_key(k) && !named.contains(&**k))
            .collect();
        assert!(silent.is_empty(), "run {run}: neither copied nor named: {silent:?}\n{report}");
        let both: Vec<_> = named.iter().filter(|key| there.contains_key(**key)).collect();
        assert!(both.is_empty(), "run {run}: copied and named: {both:?}\n{report}");
        println!(
            "run {run}: {} copied, {} refused, {} failed",
            report.copied, report.refused.count, report.failed.count
        );
        assert!(run == 1 || report.copied == 0, "{report}");
    }
    assert_equal(&hostile(), &source.contents());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_keys_are_copied_or_refused_by_name() {
    for target in [Place::s3().await, Place::azure().await] {
        hostile_to(&target, Locations::default(), json!({})).await;
        let keys = target.keys();
        for key in
            ["ünï/cödé", "%2F", "+", "a+b c", "#", "a?b", "a&b", "Case", "case", "%2e%2e/x", " a "]
        {
            assert!(keys.iter().any(|k| k == key), "{key}");
        }
        assert!(keys.iter().any(|key| key.len() == 1024));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_keys_do_not_leave_a_folder() {
    let outer = tempfile::tempdir().unwrap();
    let target = Place::Folder(tempfile::tempdir_in(outer.path()).unwrap());
    hostile_to(&target, Locations::default(), json!({})).await;
    assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_differ_only_in_case_are_refused_where_they_would_be_one() {
    let source = Place::s3().await;
    ["readme", "README", "ReadMe", "d/a", "D/b", "other"]
        .iter()
        .for_each(|key| source.put(key, *key));
    let target = Place::folder();
    let locations = Locations { ignores_case: true, ..Locations::default() };
    let sync = Sync::with(locations, &source.url(), &target.url(), json!({})).await.unwrap();
    for _ in 0..2 {
        let report = sync.run().await;
        assert_eq!(report.refused.count, 2, "{report}");
        assert!(
            report
                .refused
                .first
                .iter()
                .all(|(key, why)| key.to_lowercase() == "readme" && why.contains("case"))
        );
        let readmes: Vec<_> =
            target.keys().into_iter().filter(|key| key.to_lowercase() == "readme").collect();
        assert_eq!(readmes.len(), 1);
        assert_eq!(target.get(&readmes[0]), readmes[0].as_str());
    }
}

/// What the target's own user put there is not taken for a copy of what is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_leaves_alone_what_it_cannot_name() {
    let (source, target) = (Place::s3().await, Place::s3().await);
    source.put("a", "1");
    ["a", "b//c", "../d", "e/"].iter().for_each(|key| target.put(key, *key));
    let sync = Sync::new(&source.url(), &target.url(), json!({"mode": "mirror"})).await;
    let report = sync.run().await;
    assert_eq!(report.refused.count, 3, "{report}");
    assert_eq!(target.keys(), ["../d", "a", "b//c", "e/"]);
}
