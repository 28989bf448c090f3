//! The store's contract, on SQLite and on PostgreSQL: journal, leases, catalog, pages, limits, damage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[cfg(feature = "postgres")]
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/store.rs"]
mod store;

use std::{sync::Arc, time::Duration};

use cloud_core::{Effect, ErrorKind, PageRequest, PageToken};
use cloud_patterns::engine::store::*;
use futures::{FutureExt, future::join_all};
use serde_json::json;
use store::*;

on_both!(
    sequences_are_dense_and_survive,
    a_stale_append_fails_alone,
    leases_follow_their_epochs,
    names_and_prefixes_may_be_odd,
    pages_end_where_they_should,
    large_records_make_short_pages,
    what_is_too_much_is_refused,
    the_catalog_follows_the_journal,
    a_newer_version_is_left_alone,
    damage_is_told,
    dropped_appends_are_whole_or_absent,
);

async fn sequences_are_dense_and_survive(rig: Rig) {
    let store = rig.open().await;
    let fence = lease(&*store, "shop").await.fence;
    assert_eq!(store.append(&fence, "plan/1", vec![]).await.unwrap(), 0);
    assert!(all(&*store, "plan/1").await.is_empty());
    let tasks = (0..300_u32).map(|n| {
        let (store, fence) = (Arc::clone(&store), fence.clone());
        let records = vec![Record::new(json!([n, 0])), Record::new(json!([n, 1]))];
        let stream = format!("plan/{}", n % 3);
        tokio::spawn(async move { (n, store.append(&fence, &stream, records).await.unwrap()) })
    });
    let lasts = join_all(tasks).await;
    drop(store);
    let store = rig.open().await;
    for stream in 0..3 {
        let entries = all(&*store, &format!("plan/{stream}")).await;
        let sequences: Vec<u64> = entries.iter().map(|e| e.sequence).collect();
        assert_eq!(sequences, (1..=200).collect::<Vec<_>>());
        assert!(entries.iter().all(|e| e.epoch == 1));
        for (n, last) in lasts.iter().map(|r| r.as_ref().unwrap()) {
            if n % 3 == stream {
                let at = usize::try_from(*last).unwrap();
                let bodies: Vec<_> = entries[at - 2..at].iter().map(|e| &e.record.body).collect();
                assert_eq!(bodies, [&json!([n, 0]), &json!([n, 1])]);
            }
        }
    }
    assert_eq!(store.append(&fence, "plan/0", vec![]).await.unwrap(), 200);
}

async fn a_stale_append_fails_alone(rig: Rig) {
    let store = rig.open().await;
    let good = lease(&*store, "good").await.fence;
    let old = lease(&*store, "old").await.fence;
    let new = lease(&*store, "old").await.fence;
    assert_eq!((old.epoch, new.epoch), (1, 2));
    let stale = [
        old.clone(),
        Fence { epoch: 3, ..old.clone() },
        Fence { epoch: 0, ..old.clone() },
        Fence { epoch: u64::MAX, ..old.clone() },
        Fence { lease: "never".into(), epoch: 1 },
    ];
    let fences = (0..100).map(|n| {
        let fence = if n % 2 == 0 { &good } else { &stale[n / 2 % stale.len()] };
        (n, fence.clone())
    });
    let answers = join_all(fences.map(|(n, fence)| {
        let store = Arc::clone(&store);
        let record = Record { body: json!(n), ..put(&resource("d", 1)) };
        let record = if n % 2 == 0 { Record::new(n as u64) } else { record };
        tokio::spawn(async move { store.append(&fence, "s", vec![record]).await })
    }))
    .await;
    for (n, answer) in answers.into_iter().enumerate() {
        match answer.unwrap() {
            Ok(_) => assert_eq!(n % 2, 0),
            Err(error) => {
                assert_eq!(n % 2, 1, "{error}");
                assert_eq!(error.kind(), ErrorKind::Conflict);
                assert_eq!(error.code(), Some("stale_epoch"));
                assert_eq!(error.effect(), Effect::None);
            }
        }
    }
    let entries = all(&*store, "s").await;
    assert_eq!(entries.len(), 50);
    assert!(entries.iter().all(|e| e.record.body.as_u64().unwrap() % 2 == 0));
    assert!(store.catalog(None).complete().await.unwrap().items().is_empty());
}

async fn leases_follow_their_epochs(rig: Rig) {
    let (a, b) = (rig.open().await, rig.open().await);
    let first = a.acquire("l", "a", TTL).await.unwrap().unwrap();
    assert_eq!((first.fence.epoch, first.holder.as_str()), (1, "a"));
    assert!(b.acquire("l", "b", TTL).await.unwrap().is_none());
    // A restart takes over its own, and then its former self is stale.
    let second = a.acquire("l", "a", TTL).await.unwrap().unwrap();
    assert_eq!(second.fence.epoch, 2);
    assert_eq!(a.renew(&first, TTL).await.unwrap_err().code(), Some("stale_epoch"));
    let longer = a.renew(&second, TTL * 2).await.unwrap();
    assert_eq!(longer.fence, second.fence);
    assert!(longer.expires_at > second.expires_at);
    // Expired, but nobody followed: it still is the only writer, and may renew.
    rig.expire("l").await;
    a.append(&second.fence, "s", vec![Record::new("late")]).await.unwrap();
    a.renew(&second, TTL).await.unwrap();
    assert!(b.acquire("l", "b", TTL).await.unwrap().is_none());
    // Expired and followed: never again.
    rig.expire("l").await;
    let third = b.acquire("l", "b", TTL).await.unwrap().unwrap();
    assert_eq!(third.fence.epoch, 3);
    let late = a.append(&second.fence, "s", vec![Record::new("too late")]).await;
    assert_eq!(late.unwrap_err().code(), Some("stale_epoch"));
    a.release(&second).await.unwrap();
    b.append(&third.fence, "s", vec![Record::new("mine")]).await.unwrap();
    // Released: free for all, its epoch never used again, its fence dead.
    b.release(&third).await.unwrap();
    b.release(&third).await.unwrap();
    assert!(b.append(&third.fence, "s", vec![Record::new("x")]).await.is_err());
    assert!(b.renew(&third, TTL).await.is_err());
    let fourth = a.acquire("l", "a", TTL).await.unwrap().unwrap();
    assert_eq!(fourth.fence.epoch, 4);
    assert_eq!(all(&*a, "s").await.len(), 2);
}

async fn names_and_prefixes_may_be_odd(rig: Rig) {
    let store = rig.open().await;
    let fence = lease(&*store, "it's \"%_\\ größe 🦀").await.fence;
    let names = [
        "%",
        "%%",
        "%a",
        "_",
        "_b",
        "a",
        "a%",
        "aa",
        "a\\",
        "a_",
        "b'; --",
        "é",
        "\u{10ffff}",
        "\u{10ffff}z",
    ];
    for name in names {
        store.append(&fence, name, vec![Record::new(name)]).await.unwrap();
    }
    for prefix in
        ["", "%", "_", "a", "a%", "a_", "a\\", "'", "b'", "\u{10ffff}", "é", "z", "*", "aaa"]
    {
        let listed = store.streams(prefix).complete().await.unwrap().into_items();
        let mut expected: Vec<_> = names.iter().filter(|n| n.starts_with(prefix)).collect();
        expected.sort();
        assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "prefix {prefix:?}");
    }
    // In pages of one as well.
    let mut page = PageRequest::of_size(1);
    let mut seen = 0;
    loop {
        let answer = store.streams_page("a", &page).await.unwrap();
        seen += answer.items.len();
        match answer.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, 5);
    assert_eq!(all(&*store, "b'; --").await[0].record.body, json!("b'; --"));
}

async fn pages_end_where_they_should(rig: Rig) {
    let store = rig.open().await;
    let fence = lease(&*store, "l").await.fence;
    for count in [0_usize, 1, 4, 5, 8, 9] {
        let stream = format!("of-{count}");
        let records = (0..count).map(|n| Record::new(n as u64)).collect();
        store.append(&fence, &stream, records).await.unwrap();
        let mut page = PageRequest::of_size(4);
        let (mut entries, mut pages) = (Vec::new(), 0);
        loop {
            let answer = store.read_page(&stream, &page).await.unwrap();
            assert!(answer.items.len() <= 4);
            entries.extend(answer.items);
            pages += 1;
            match answer.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
        assert_eq!(entries.len(), count);
        assert_eq!(pages, count.div_ceil(4).max(1), "of {count}");
    }
    for token in ["-1", "x", "9223372036854775807", "99999999999999999999", "1 OR 1=1"] {
        let page = PageRequest { size: None, after: Some(PageToken::new(token).unwrap()) };
        let error = store.read_page("of-9", &page).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{token}: {error}");
        let error = store.catalog_page(None, &page).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{token}: {error}");
    }
    let error = store.read_page("of-9", &PageRequest::of_size(0)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let many = (0..MAX_PAGE + 1).map(Record::new).collect();
    store.append(&fence, "many", many).await.unwrap();
    let answer = store.read_page("many", &PageRequest::of_size(u32::MAX)).await.unwrap();
    assert_eq!(answer.items.len(), MAX_PAGE as usize);
}

async fn large_records_make_short_pages(rig: Rig) {
    let store = rig.open().await;
    let fence = lease(&*store, "l").await.fence;
    let text = "x".repeat(MAX_RECORD_BYTES - 2);
    let records = vec![Record::new(text.as_str()); 7];
    store.append(&fence, "s", records).await.unwrap();
    let page = store.read_page("s", &PageRequest::default()).await.unwrap();
    assert!((1..7).contains(&page.items.len()), "{}", page.items.len());
    let entries = all(&*store, "s").await;
    assert_eq!(entries.len(), 7);
    assert!(entries.iter().all(|e| e.record.body == json!(text)));
}

async fn what_is_too_much_is_refused(rig: Rig) {
    let store = rig.open().await;
    let fence = lease(&*store, "l").await.fence;
    let long = "n".repeat(MAX_STREAM_BYTES + 1);
    let one = || vec![Record::new(1)];
    let mut errors = vec![];
    for name in ["", "a\0b", "a\nb", &long] {
        errors.push(store.append(&fence, name, one()).await.unwrap_err());
        errors.push(store.read_page(name, &PageRequest::default()).await.unwrap_err());
        errors.push(store.acquire(name, "me", TTL).await.unwrap_err());
        errors.push(store.acquire("l", name, TTL).await.unwrap_err());
        let fence = Fence { lease: name.into(), epoch: 1 };
        errors.push(store.append(&fence, "s", one()).await.unwrap_err());
    }
    for prefix in ["\u{1}", &long] {
        let error = store.streams_page(prefix, &PageRequest::default()).await;
        errors.push(error.unwrap_err());
    }
    let large = Record::new("x".repeat(MAX_RECORD_BYTES - 1));
    errors.push(store.append(&fence, "s", vec![large]).await.unwrap_err());
    let fitting = Record::new("x".repeat(MAX_RECORD_BYTES - 2));
    let too_many = vec![fitting; MAX_APPEND_BYTES / MAX_RECORD_BYTES + 1];
    errors.push(store.append(&fence, "s", too_many).await.unwrap_err());
    for ttl in [Duration::ZERO, Duration::from_micros(999), MAX_TTL + TTL, Duration::MAX] {
        errors.push(store.acquire("l", "me", ttl).await.unwrap_err());
        let lease =
            Lease { fence: fence.clone(), holder: "me".into(), expires_at: jiff::Timestamp::MAX };
        errors.push(store.renew(&lease, ttl).await.unwrap_err());
    }
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert_eq!(error.effect(), Effect::None);
        assert!(error.to_string().contains("accepted: "), "{error}");
    }
    assert!(store.streams("").complete().await.unwrap().items().is_empty());
    store.append(&fence, "s", one()).await.unwrap();
}

async fn the_catalog_follows_the_journal(rig: Rig) {
    let store = rig.open().await;
    let fence = lease(&*store, "l").await.fence;
    let shop: Vec<_> = (0..1200).map(|n| resource("shop", n)).collect();
    let blog = resource("blog", 5000);
    store.append(&fence, "p/1", shop.iter().map(put).collect()).await.unwrap();
    store.append(&fence, "p/2", vec![put(&blog)]).await.unwrap();
    // In another stream than the one that made it, and once more than needed.
    store.append(&fence, "p/3", vec![remove(&shop[7]), remove(&shop[7])]).await.unwrap();
    let moved = OwnedResource { deployment: "blog".into(), ..shop[8].clone() };
    store.append(&fence, "p/3", vec![put(&moved)]).await.unwrap();

    let expected_shop: Vec<_> = shop
        .iter()
        .enumerate()
        .filter(|(n, _)| ![7, 8].contains(n))
        .map(|(_, r)| r.clone())
        .collect();
    let listed = |deployment: Option<&'static str>| {
        store.catalog(deployment).complete().map(|l| l.unwrap().into_items())
    };
    assert_eq!(listed(Some("shop")).await, expected_shop);
    assert_eq!(listed(Some("blog")).await, [moved.clone(), blog.clone()]);
    assert_eq!(listed(None).await.len(), 1200);
    assert!(listed(Some("%")).await.is_empty());

    let repair = rig.rebuild().await;
    assert!(repair.was_right(), "{repair:?}");
    assert_eq!(repair.owned, 1200);
    rig.tamper("DELETE FROM multicloud_owned WHERE id LIKE '%i-0001%'").await;
    rig.tamper("UPDATE multicloud_owned SET deployment = 'x' WHERE id LIKE '%i-0002%'").await;
    rig.tamper("INSERT INTO multicloud_owned SELECT 'other', id, deployment, resource FROM multicloud_owned WHERE id LIKE '%i-0003%'").await;
    let repair = rig.rebuild().await;
    assert_eq!(repair, CatalogRepair { owned: 1200, missing: 10, different: 10, surplus: 10 });
    assert_eq!(listed(Some("shop")).await, expected_shop);
    assert_eq!(listed(None).await.len(), 1200);
    assert!(rig.rebuild().await.was_right());
}

async fn a_newer_version_is_left_alone(rig: Rig) {
    let store = rig.open().await;
    let fence = lease(&*store, "l").await.fence;
    store.append(&fence, "s", vec![Record::new(1)]).await.unwrap();
    rig.tamper("UPDATE multicloud_store SET version = 7, written_by = 'cloud-patterns 9.9.9'")
        .await;
    // Both who opens it now and who had it open.
    let opened = rig.try_open().await.unwrap_err();
    let running = store.append(&fence, "s", vec![Record::new(2)]).await.unwrap_err();
    for error in [opened, running] {
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert_eq!(error.effect(), Effect::None);
        let text = error.to_string();
        assert!(text.contains("cloud-patterns 9.9.9 (format 7)"), "{text}");
        assert!(
            text.contains(&format!(
                "this is cloud-patterns {} (format 1)",
                env!("CARGO_PKG_VERSION")
            )),
            "{text}"
        );
    }
    rig.tamper("UPDATE multicloud_store SET version = 1").await;
    assert_eq!(all(&*rig.open().await, "s").await.len(), 1);
    rig.tamper("DELETE FROM multicloud_store").await;
    assert_eq!(rig.try_open().await.unwrap_err().kind(), ErrorKind::Corrupt);
}

async fn damage_is_told(rig: Rig) {
    let store = rig.open().await;
    let fence = lease(&*store, "l").await.fence;
    for stream in ["gap", "body", "catalog", "good"] {
        store.append(&fence, stream, (0..5).map(Record::new).collect()).await.unwrap();
    }
    rig.tamper("DELETE FROM multicloud_journal WHERE stream = 'gap' AND sequence = 3").await;
    rig.tamper("UPDATE multicloud_journal SET body = '{' WHERE stream = 'body' AND sequence = 4")
        .await;
    rig.tamper(
        "UPDATE multicloud_journal SET catalog = '[{}]' WHERE stream = 'catalog' AND sequence = 5",
    )
    .await;
    for (stream, what) in [("gap", "entry 3"), ("body", "entry 4"), ("catalog", "entry 5")] {
        let error = store.read(stream).complete().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(&format!("{what} of stream '{stream}'")), "{error}");
    }
    assert_eq!(all(&*store, "good").await.len(), 5);
}

async fn dropped_appends_are_whole_or_absent(rig: Rig) {
    let store = rig.open().await;
    let fence = lease(&*store, "l").await.fence;
    for n in 0..200_u32 {
        let records = vec![Record::new(n), Record::new(n)];
        // Polled once, so that it is handed over, and dropped.
        let _ = store.append(&fence, "s", records).now_or_never();
    }
    store.append(&fence, "s", vec![Record::new("end"), Record::new("end")]).await.unwrap();
    let entries = all(&*store, "s").await;
    assert_eq!(entries.len() % 2, 0);
    for pair in entries.chunks(2) {
        assert_eq!(pair[0].record, pair[1].record);
    }
    assert_eq!(entries.last().unwrap().record.body, json!("end"));
}

#[cfg(feature = "postgres")]
mod only_on_postgres {
    use super::*;

    #[tokio::test]
    async fn a_wrong_url_is_told_without_the_secret() {
        let malformed = "postgres://me:hunter2@localhost:port/x".into();
        let error = PostgresStore::connect(&malformed).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        let nobody_there = "postgres://me:hunter2@localhost/x?host=/nonexistent".into();
        let error = PostgresStore::connect(&nobody_there).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }

    #[tokio::test]
    async fn who_may_not_is_told_so() {
        let test = "who_may_not_is_told_so";
        let Some(cluster) = super::postgres::cluster(test) else {
            return;
        };
        let url = cluster.database(test).await;
        let stranger = url.replace("tests@", "stranger:hunter2@");
        let error = PostgresStore::connect(&stranger.as_str().into()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
        let absent = cluster.url("absent");
        let error = PostgresStore::connect(&absent.as_str().into()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        let rig = Rig::Postgres(url.clone());
        rig.tamper("CREATE ROLE reader LOGIN").await;
        let reader = url.replace("tests@", "reader:hunter2@");
        let error = PostgresStore::connect(&reader.as_str().into()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        let store = PostgresStore::connect(&url.as_str().into()).await.unwrap();
        assert!(!format!("{store:?}").contains("hunter2"));
    }

    /// All connections are cut in the middle of the work: what was answered is there, and the store goes on.
    #[tokio::test]
    async fn it_outlives_its_connections() {
        let test = "it_outlives_its_connections";
        let Some(rig) = Rig::postgres(test).await else {
            return;
        };
        let store = rig.open().await;
        let fence = lease(&*store, "l").await.fence;
        let mut answered = vec![];
        for n in 0..60_u32 {
            if n % 20 == 10 {
                rig.tamper("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'multicloud' AND datname = current_database()").await;
            }
            match store.append(&fence, "s", vec![Record::new(n)]).await {
                Ok(_) => answered.push(json!(n)),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
            }
        }
        let stored: Vec<_> = all(&*store, "s").await.into_iter().map(|e| e.record.body).collect();
        assert!(answered.len() > 50);
        assert!(answered.iter().all(|n| stored.contains(n)));
    }

    #[tokio::test]
    async fn many_may_make_it_at_once() {
        for round in 0..10 {
            let test = format!("many_may_make_it_at_once_{round}");
            let Some(rig) = Rig::postgres(&test).await else {
                return;
            };
            let opened = join_all((0..6).map(|_| rig.try_open())).await;
            let failed: Vec<_> = opened.into_iter().filter_map(Result::err).collect();
            assert!(failed.is_empty(), "{failed:?}");
        }
    }
}
