//! Database servers of the engine `sqlite`, and what holds for all engines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use cloud_core::{
    ClientToken, Cloud, Column, ColumnType, Database, DatabaseExt, DatabaseServer, DatabaseSpec,
    Effect, Engine, ErrorKind, ListQuery, ResourceStatus, Row, SecretRef, SnapshotCopySpec,
    SnapshotSpec, Sql, SqlValue, TableSpec, secret::ExposeSecret,
};
use cloud_local::LocalCloud;
use common::{Folder, region};

fn spec(name: &str) -> DatabaseSpec {
    DatabaseSpec::new(name, region("eu-1"), Engine::Sqlite)
}

async fn create(cloud: &LocalCloud, name: &str) -> (Arc<dyn Database>, DatabaseServer) {
    let databases = cloud.database().unwrap();
    let server = databases.create_database(&spec(name), &ClientToken::random()).await.unwrap();
    (databases, server)
}

fn customer(name: &str) -> Row {
    Row::from([("customer".to_owned(), name.into())])
}

async fn orders(sql: &dyn Sql) {
    let table = TableSpec::new("orders", [Column::new("customer", ColumnType::Text)]);
    assert!(sql.create_table(&table).await.unwrap());
}

async fn count(sql: &dyn Sql) -> SqlValue {
    sql.query("SELECT count(*) AS n FROM orders", &[]).await.unwrap()[0]["n"].clone()
}

#[tokio::test]
async fn a_server_is_made_used_found_again_and_deleted() {
    let folder = Folder::new();
    let cloud = folder.open().await;
    let before = folder.files();
    let (databases, server) = create(&cloud, "shop").await;
    assert_eq!((server.status, server.engine), (ResourceStatus::Running, Engine::Sqlite));
    let sql = databases.sql(&server.id).await.unwrap();
    orders(&*sql).await;
    assert_eq!(sql.insert("orders", &customer("Ada")).await.unwrap(), 1);

    let elsewhere = folder.open().await.database().unwrap();
    assert_eq!(elsewhere.get_database(&server.id).await.unwrap(), server);
    assert_eq!(count(&*elsewhere.sql(&server.id).await.unwrap()).await, 1.into());
    let listed = elsewhere.list_databases(&ListQuery::default()).complete().await.unwrap();
    assert_eq!(listed.items(), std::slice::from_ref(&server));
    let info = databases.connection(&server.id).await.unwrap();
    assert!(info.url.expose_secret().starts_with("sqlite:///"));
    let direct = cloud_sql::connect(Engine::Sqlite, &info.url).await.unwrap();
    let mode = direct.query("PRAGMA journal_mode", &[]).await.unwrap();
    assert_eq!(mode[0]["journal_mode"], "wal".into());

    drop((sql, direct));
    assert!(elsewhere.delete_database(&server.id).await.unwrap());
    assert!(!databases.delete_database(&server.id).await.unwrap());
    let error = databases.get_database(&server.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(databases.sql(&server.id).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(folder.files(), before);
}

#[tokio::test]
async fn a_token_makes_one_server() {
    let folder = Folder::new();
    let databases = folder.open().await.database().unwrap();
    let token = ClientToken::random();
    let wanted = spec("a");
    let all = futures::future::join_all((0..8).map(|_| databases.create_database(&wanted, &token)));
    let ids: Vec<_> = all.await.into_iter().map(|made| made.unwrap().id).collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
    let error = databases.create_database(&spec("b"), &token).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let error = databases.create_database(&spec("a"), &ClientToken::random()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_of_one_moment_while_others_write() {
    let folder = Folder::new();
    let cloud = folder.open().await;
    let (databases, server) = create(&cloud, "shop").await;
    let sql = databases.sql(&server.id).await.unwrap();
    // Each statement writes two rows that belong together: no snapshot may have one without the other.
    sql.execute("CREATE TABLE pairs (pair integer, side text)", &[]).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (sql, stop) = (sql.clone(), stop.clone());
        tokio::spawn(async move {
            let mut pairs = 0_i64;
            while !stop.load(Ordering::Relaxed) {
                let both = "INSERT INTO pairs VALUES ($1, 'left'), ($1, 'right')";
                sql.execute(both, &[pairs.into()]).await.unwrap();
                pairs += 1;
            }
            pairs
        })
    };
    let mut snapshots = Vec::new();
    for i in 0..5 {
        let spec = SnapshotSpec::new(format!("s{i}"), server.id.clone());
        snapshots.push(databases.create_snapshot(&spec, &ClientToken::random()).await.unwrap());
    }
    stop.store(true, Ordering::Relaxed);
    assert!(writer.await.unwrap() > 0);
    assert!(databases.delete_database(&server.id).await.unwrap());

    for (i, snapshot) in snapshots.iter().enumerate() {
        assert!(snapshot.status.is_ready() && snapshot.size.unwrap().bytes() > 0);
        let copy = databases
            .restore_snapshot(&snapshot.id, &spec(&format!("copy-{i}")), &ClientToken::random())
            .await
            .unwrap();
        let sql = databases.sql(&copy.id).await.unwrap();
        let torn = "SELECT pair FROM pairs GROUP BY pair HAVING count(*) <> 2";
        assert!(sql.query(torn, &[]).await.unwrap().is_empty());
        sql.execute("INSERT INTO pairs VALUES (-1, 'left')", &[]).await.unwrap();
    }
    let all = databases.list_snapshots(&ListQuery::default()).complete().await.unwrap();
    assert_eq!(all.items().len(), 5);
    assert!(databases.delete_snapshot(&snapshots[0].id).await.unwrap());
    assert!(!databases.delete_snapshot(&snapshots[0].id).await.unwrap());
    let gone = databases.get_snapshot(&snapshots[0].id).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_snapshot_is_copied_to_another_region() {
    let folder = Folder::new();
    let cloud = folder.open().await;
    let (databases, server) = create(&cloud, "shop").await;
    let sql = databases.sql(&server.id).await.unwrap();
    orders(&*sql).await;
    sql.insert("orders", &customer("Ada")).await.unwrap();
    let taken = SnapshotSpec::new("monday", server.id.clone());
    let taken = databases.create_snapshot(&taken, &ClientToken::random()).await.unwrap();

    let wanted = SnapshotCopySpec::new("monday", region("us-1"), taken.id.clone());
    let token = ClientToken::random();
    let copy = databases.copy_snapshot(&wanted, &token).await.unwrap();
    assert_eq!(databases.copy_snapshot(&wanted, &token).await.unwrap(), copy);
    assert_eq!((&copy.source, copy.size), (&server.id, taken.size));
    let again = databases.copy_snapshot(&wanted, &ClientToken::random()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);

    cloud.take_down(&region("eu-1")).await.unwrap();
    let elsewhere = SnapshotCopySpec::new("tuesday", region("us-1"), taken.id.clone());
    let down = databases.copy_snapshot(&elsewhere, &ClientToken::random()).await.unwrap_err();
    assert_eq!((down.kind(), down.effect()), (ErrorKind::Unavailable, Effect::None));
    let mut target = spec("there");
    target.region = region("us-1");
    let there =
        databases.restore_snapshot(&copy.id, &target, &ClientToken::random()).await.unwrap();
    assert_eq!(count(&*databases.sql(&there.id).await.unwrap()).await, 1.into());
    let missing = SnapshotCopySpec::new("wednesday", region("us-1"), server.id);
    let wrong = databases.copy_snapshot(&missing, &ClientToken::random()).await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn an_outage_reaches_connections_made_before_it() {
    let folder = Folder::new();
    let cloud = folder.open().await;
    let (databases, server) = create(&cloud, "shop").await;
    let sql = databases.sql(&server.id).await.unwrap();
    orders(&*sql).await;
    cloud.take_down(&region("eu-1")).await.unwrap();
    for error in [
        sql.insert("orders", &customer("Ada")).await.unwrap_err(),
        databases.get_database(&server.id).await.unwrap_err(),
        databases.delete_database(&server.id).await.unwrap_err(),
        databases.create_database(&spec("b"), &ClientToken::random()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
    cloud.bring_up(&region("eu-1")).await.unwrap();
    assert_eq!(count(&*sql).await, 0.into());
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_anything_is_made() {
    let folder = Folder::new();
    let cloud = folder.open().await;
    let databases = cloud.database().unwrap();
    let before = folder.files();
    let changed = |change: fn(&mut DatabaseSpec)| {
        let mut spec = spec("a");
        change(&mut spec);
        spec
    };
    for (spec, kind, says) in [
        (changed(|s| s.engine = Engine::Mysql), ErrorKind::Unsupported, "mysql"),
        (changed(|s| s.name = "../a".into()), ErrorKind::InvalidInput, "name"),
        (changed(|s| s.database = "a; drop".into()), ErrorKind::InvalidInput, "database is"),
        (changed(|s| s.version = Some("2".into())), ErrorKind::InvalidInput, "version is '2'"),
        (
            changed(|s| s.instance_type = Some("db.t3".into())),
            ErrorKind::InvalidInput,
            "instance_type is",
        ),
        (changed(|s| s.public = true), ErrorKind::Unsupported, "internet"),
        (
            changed(|s| s.encryption = cloud_core::Encryption::Required),
            ErrorKind::Unsupported,
            "encryption",
        ),
        (changed(|s| s.region = region("mars-1")), ErrorKind::InvalidInput, "region is 'mars-1'"),
        (
            changed(|s| s.password = Some(SecretRef::Env("NO_SUCH_VARIABLE".into()))),
            ErrorKind::InvalidInput,
            "NO_SUCH_VARIABLE",
        ),
        (
            changed(|s| s.network = Some("network/eu-1/nothing".parse().unwrap())),
            ErrorKind::NotFound,
            "network/eu-1/nothing",
        ),
    ] {
        let error = databases.create_database(&spec, &ClientToken::random()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    assert_eq!(folder.files(), before);
    for native in ["..", "../../lock", "0193b7a0b1c27def8123456789abcdef"] {
        let id = format!("database/eu-1/{native}").parse().unwrap();
        assert_eq!(databases.get_database(&id).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert!(!databases.delete_database(&id).await.unwrap());
    }
}

#[tokio::test]
async fn protection_holds() {
    let folder = Folder::new();
    let databases = folder.open().await.database().unwrap();
    let mut protected = spec("a");
    protected.delete_protection = true;
    let server = databases.create_database(&protected, &ClientToken::random()).await.unwrap();
    let error = databases.delete_database(&server.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(databases.get_database(&server.id).await.unwrap().status.is_ready());
}

#[tokio::test]
async fn replicas_of_a_file_are_refused() {
    let folder = Folder::new();
    let cloud = folder.open().await;
    let (databases, server) = create(&cloud, "shop").await;
    let spec = cloud_core::ReplicaSpec::new("r", region("us-1"), server.id.clone());
    let error = databases.create_replica(&spec, &ClientToken::random()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(databases.promote_replica(&server.id).await.unwrap(), server);
}
