//! What the simulated databases and DNS do beyond the conformance suite: past data, health checks in use.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::time::Duration;

use cloud_core::{
    ClientToken, Column, ColumnType, Database, DatabaseSpec, Dns, Effect, Engine, ErrorKind,
    HealthCheckSpec, HealthProtocol, RecordSet, RecordType, Region, ReplicaSpec, ResourceId,
    Routing, Row, SnapshotCopySpec, SnapshotSpec, SqlValue, TableSpec, ZoneSpec,
};
use cloud_testkit::sim::{Change, Reach, SimCloud};
use common::region;
use jiff::Timestamp;
use proptest::prelude::*;

fn database(name: &str) -> DatabaseSpec {
    DatabaseSpec::new(name, region(), Engine::Postgres)
}

async fn create(cloud: &SimCloud, name: &str) -> ResourceId {
    cloud.create_database(&database(name), &ClientToken::random()).await.unwrap().id
}

async fn numbers(cloud: &SimCloud, server: &ResourceId) -> Vec<SqlValue> {
    let sql = cloud.sql(server).await.unwrap();
    let rows = sql.query("SELECT * FROM t", &[]).await.unwrap();
    rows.into_iter().map(|mut row| row.remove("n").unwrap()).collect()
}

async fn table(cloud: &SimCloud, server: &ResourceId) {
    let spec = TableSpec::new("t", [Column::new("n", ColumnType::Int)]);
    cloud.sql(server).await.unwrap().create_table(&spec).await.unwrap();
}

async fn insert(cloud: &SimCloud, server: &ResourceId, n: i64) -> i64 {
    let row = Row::from([("n".to_owned(), n.into())]);
    cloud.sql(server).await.unwrap().insert("t", &row).await.unwrap()
}

async fn pass() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

async fn at(cloud: &SimCloud, server: &ResourceId, time: Timestamp) -> ResourceId {
    let spec = database(&format!("at-{}", time.as_second()));
    let token = ClientToken::random();
    cloud.restore_to_time(server, Some(time), &spec, &token).await.unwrap().id
}

proptest! {
    /// Whatever was written and deleted, a restored server has what its source had at that time.
    #[test]
    fn every_moment_can_be_restored(writes in proptest::collection::vec(0_i64..6, 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let cloud = SimCloud::new("sim", 1);
            let source = create(&cloud, "source").await;
            table(&cloud, &source).await;
            let mut moments = Vec::new();
            for n in writes {
                if n < 4 {
                    insert(&cloud, &source, n).await;
                } else {
                    let sql = cloud.sql(&source).await.unwrap();
                    sql.execute("DELETE FROM t WHERE n = $1", &[(n - 4).into()]).await.unwrap();
                }
                moments.push((cloud.now(), numbers(&cloud, &source).await));
                pass().await;
            }
            for (time, had) in moments {
                let restored = at(&cloud, &source, time).await;
                assert_eq!(numbers(&cloud, &restored).await, had, "as of {time}");
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn the_past_begins_with_the_server_and_ends_now() {
    let cloud = SimCloud::new("sim", 1);
    let before = cloud.now();
    pass().await;
    let source = create(&cloud, "source").await;
    table(&cloud, &source).await;
    assert_eq!(insert(&cloud, &source, 1).await, 1);
    let then = cloud.now();
    pass().await;
    cloud.sql(&source).await.unwrap().execute("DROP TABLE t", &[]).await.unwrap();

    let copy = at(&cloud, &source, then).await;
    assert_eq!(insert(&cloud, &copy, 2).await, 2);
    assert_eq!(numbers(&cloud, &copy).await, [1.into(), 2.into()]);
    let (spec, token) = (database("latest"), ClientToken::random());
    let latest = cloud.restore_to_time(&source, None, &spec, &token).await.unwrap();
    let sql = cloud.sql(&latest.id).await.unwrap();
    let error = sql.query("SELECT * FROM t", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    // What was restored has no past of its own.
    let next = cloud.now() + Duration::from_secs(1);
    for (server, time) in [(&source, before), (&source, next), (&copy, then)] {
        let (spec, token) = (database("no"), ClientToken::random());
        let error = cloud.restore_to_time(server, Some(time), &spec, &token).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::None));
        assert!(error.to_string().contains("at is "), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_promoted_replica_has_a_past_from_its_promotion_on() {
    let cloud = SimCloud::new("sim", 1);
    let primary = create(&cloud, "primary").await;
    table(&cloud, &primary).await;
    insert(&cloud, &primary, 1).await;
    let spec = ReplicaSpec::new("replica", region(), primary.clone());
    let replica = cloud.create_replica(&spec, &ClientToken::random()).await.unwrap().id;
    pass().await;
    cloud.promote_replica(&replica).await.unwrap();
    let then = cloud.now();
    pass().await;
    insert(&cloud, &replica, 2).await;
    insert(&cloud, &primary, 3).await;
    let restored = at(&cloud, &replica, then).await;
    assert_eq!(numbers(&cloud, &restored).await, [1.into()]);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_cannot_be_copied_out_of_a_region_that_is_down() {
    let cloud = SimCloud::new("sim", 1);
    let source = create(&cloud, "source").await;
    let spec = SnapshotSpec::new("snap", source);
    let snapshot = cloud.create_snapshot(&spec, &ClientToken::random()).await.unwrap();
    let far = Region::new("sim-2").unwrap();
    let spec = SnapshotCopySpec::new("far", far.clone(), snapshot.id);
    cloud.apply(Change::Outage(Reach::Region(region())));
    let error = cloud.copy_snapshot(&spec, &ClientToken::random()).await.unwrap_err();
    assert_eq!(error.effect(), Effect::None, "{error:?}");
    cloud.apply(Change::Restore(Reach::Region(region())));
    let copy = cloud.copy_snapshot(&spec, &ClientToken::random()).await.unwrap();
    cloud.apply(Change::Outage(Reach::Region(region())));
    let target = DatabaseSpec::new("there", far, Engine::Postgres);
    cloud.restore_snapshot(&copy.id, &target, &ClientToken::random()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_health_check_in_use_is_kept() {
    let cloud = SimCloud::new("sim", 1);
    let global = Region::new("global").unwrap();
    let zone = ZoneSpec::new("example.com", global.clone());
    let zone = cloud.create_zone(&zone, &ClientToken::random()).await.unwrap().id;
    let spec = HealthCheckSpec::new("web", global, HealthProtocol::Tcp, "192.0.2.1", 443);
    let check = cloud.create_health_check(&spec, &ClientToken::random()).await.unwrap().id;
    let mut record = RecordSet::new("example.com", RecordType::A, ["192.0.2.1"]);
    record.routing = Routing::Failover { id: "a".into(), primary: true };
    record.health_check = Some(check.clone());
    cloud.set_record(&zone, &record).await.unwrap();
    let error = cloud.delete_health_check(&check).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Conflict, Effect::None));

    assert!(cloud.delete_zone(&zone).await.unwrap());
    assert!(cloud.delete_health_check(&check).await.unwrap());
    let zone = ZoneSpec::new("example.com", region());
    let zone = cloud.create_zone(&zone, &ClientToken::random()).await.unwrap().id;
    let error = cloud.set_record(&zone, &record).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}
