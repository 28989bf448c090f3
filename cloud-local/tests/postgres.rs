//! Database servers of the engine `postgres`: real clusters.
//!
//! Where PostgreSQL's programs are missing each test says that it is skipped; with CI=true it fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![cfg(feature = "postgres")]

mod common;

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use cloud_core::{
    ClientToken, Cloud, Column, ColumnType, Database, DatabaseExt, DatabaseServer, DatabaseSpec,
    Effect, Engine, ErrorKind, ListQuery, MetricName, MetricQuery, ReplicaSpec, ResourceId,
    ResourceStatus, Row, SecretRef, SnapshotCopySpec, SnapshotSpec, Sql, SqlValue, TableSpec,
    secret::ExposeSecret, wait_until,
};
use cloud_local::LocalCloud;
use common::{Folder, missing, patience, region};

/// A folder whose servers do not outlive the test.
struct Servers(Folder);

impl Servers {
    fn new(test: &str) -> Option<Self> {
        // The test asks the cloud itself: what it does not offer is not installed.
        let folder = Folder::new();
        let runtime = tokio::runtime::Handle::current();
        let config = folder.config();
        let offered = std::thread::spawn(move || {
            let id = cloud_core::CloudId::new("laptop").unwrap();
            let cloud = runtime.block_on(LocalCloud::open(id, config)).unwrap();
            let database = cloud.capabilities().database.clone().unwrap();
            database.engine(Engine::Postgres).is_ok()
        });
        if offered.join().unwrap() {
            return Some(Self(folder));
        }
        missing(test, "PostgreSQL's initdb, pg_ctl, postgres and pg_basebackup are not installed");
        None
    }

    /// The pids of all processes that work in this folder.
    fn processes(&self) -> Vec<i32> {
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid: &i32| {
                fs::read_link(format!("/proc/{pid}/cwd"))
                    .is_ok_and(|cwd| cwd.starts_with(self.0.path()))
            })
            .collect()
    }

    /// The folder of a server.
    fn data(&self, id: &ResourceId) -> PathBuf {
        self.0.path().join(format!("laptop/{}/data/database/{}", id.region, id.native()))
    }

    async fn until_quiet(&self) {
        wait_until("no process", &patience(), || async {
            Ok(self.processes().is_empty().then_some(()))
        })
        .await
        .unwrap();
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for pid in self.processes() {
            let _ = rustix::process::kill_process(
                rustix::process::Pid::from_raw(pid).unwrap(),
                rustix::process::Signal::KILL,
            );
        }
        while !self.processes().is_empty() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn spec(name: &str) -> DatabaseSpec {
    DatabaseSpec::new(name, region("eu-1"), Engine::Postgres)
}

async fn create(cloud: &LocalCloud, name: &str) -> (Arc<dyn Database>, DatabaseServer) {
    let databases = cloud.database().unwrap();
    let server = databases.create_database(&spec(name), &ClientToken::random()).await.unwrap();
    assert_eq!(server.status, ResourceStatus::Running);
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

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_are_made_used_and_deleted() {
    let Some(servers) = Servers::new("two_servers_are_made_used_and_deleted") else {
        return;
    };
    let cloud = servers.0.open().await;
    let before = servers.0.files();
    let databases = cloud.database().unwrap();
    let mut named = spec("named");
    (named.database, named.user) = ("shop".into(), "Keeper".into());
    named.password = Some(SecretRef::Value("pass'word\" @:/?%ü".into()));
    let (one, two) = (ClientToken::random(), ClientToken::random());
    let generated = spec("generated");
    let (one, two) = tokio::join!(
        databases.create_database(&named, &one),
        databases.create_database(&generated, &two)
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one.port, two.port);
    assert!(one.version.as_deref().is_some_and(|v| v.contains('.')), "{one:?}");
    for server in [&one, &two] {
        let sql = databases.sql(&server.id).await.unwrap();
        orders(&*sql).await;
        assert_eq!(sql.insert("orders", &customer("Ada")).await.unwrap(), 1);
        assert_eq!(count(&*sql).await, 1.into());
    }
    let info = databases.connection(&one.id).await.unwrap();
    assert_eq!((&*info.database, &*info.user, info.port), ("shop", "Keeper", one.port));
    let password = info.password.clone().unwrap();
    assert_eq!(password.expose_secret(), "pass'word\" @:/?%ü");
    assert!(!format!("{info:?}{one:?}").contains("pass'word"));
    // The owner is no superuser, and another password does not open the door.
    let sql = databases.sql(&one.id).await.unwrap();
    let error = sql.execute("CREATE ROLE other SUPERUSER", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    let wrong = format!("postgres://Keeper:wrong@127.0.0.1:{}/shop", one.port.unwrap());
    let error = cloud_sql::connect(Engine::Postgres, &wrong.into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");

    no_password_is_found(&servers, "pass'word", &one.id);
    let generated = databases.connection(&two.id).await.unwrap().password.unwrap();
    no_password_is_found(&servers, generated.expose_secret(), &two.id);

    for server in [&one, &two] {
        assert!(databases.delete_database(&server.id).await.unwrap());
        assert!(!databases.delete_database(&server.id).await.unwrap());
    }
    assert_eq!(servers.processes(), Vec::<i32>::new());
    assert_eq!(servers.0.files(), before);
}

/// A password is in its server's folder, in files that nobody else can read, and nowhere else: no log, no record, no argument.
fn no_password_is_found(servers: &Servers, password: &str, id: &ResourceId) {
    use std::os::unix::fs::PermissionsExt;
    for file in servers.0.files() {
        let path = servers.0.path().join(&file);
        let bytes = fs::read(&path).unwrap_or_default();
        if !bytes.windows(password.len()).any(|w| w == password.as_bytes())
            && !bytes.windows(9).any(|w| w == b"pass'word")
        {
            continue;
        }
        assert!(file.ends_with("secrets.json"), "{file}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0, "{file}");
    }
    assert!(servers.data(id).join("secrets.json").exists());
    for pid in servers.processes() {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&arguments).contains(password));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_restored_beside_its_source() {
    let Some(servers) = Servers::new("a_snapshot_is_restored_beside_its_source") else {
        return;
    };
    let cloud = servers.0.open().await;
    let (databases, source) = create(&cloud, "shop").await;
    let sql = databases.sql(&source.id).await.unwrap();
    orders(&*sql).await;
    sql.insert("orders", &customer("Ada")).await.unwrap();
    let token = ClientToken::random();
    let taken = SnapshotSpec::new("monday", source.id.clone());
    let snapshot = databases.create_snapshot(&taken, &token).await.unwrap();
    assert_eq!(databases.create_snapshot(&taken, &token).await.unwrap(), snapshot);
    assert!(snapshot.size.unwrap().bytes() > 1 << 20);
    sql.insert("orders", &customer("Bob")).await.unwrap();

    let mut wanted = spec("copy");
    wanted.region = region("us-1");
    wanted.password = Some(SecretRef::Value("another-one".into()));
    let copy =
        databases.restore_snapshot(&snapshot.id, &wanted, &ClientToken::random()).await.unwrap();
    let restored = databases.sql(&copy.id).await.unwrap();
    assert_eq!(count(&*restored).await, 1.into());
    assert_eq!(count(&*sql).await, 2.into());
    restored.insert("orders", &customer("Eve")).await.unwrap();
    let info = databases.connection(&copy.id).await.unwrap();
    assert_eq!(info.password.unwrap().expose_secret(), "another-one");
    let mut other = spec("file");
    other.engine = Engine::Sqlite;
    let error =
        databases.restore_snapshot(&snapshot.id, &other, &ClientToken::random()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");

    // A copy elsewhere has a life of its own.
    let far = SnapshotCopySpec::new("far", region("us-1"), snapshot.id.clone());
    let far = databases.copy_snapshot(&far, &ClientToken::random()).await.unwrap();
    assert_eq!((&far.source, far.size), (&source.id, snapshot.size));

    // A snapshot outlives its source.
    assert!(databases.delete_database(&source.id).await.unwrap());
    let late = databases
        .restore_snapshot(&snapshot.id, &spec("late"), &ClientToken::random())
        .await
        .unwrap();
    assert_eq!(count(&*databases.sql(&late.id).await.unwrap()).await, 1.into());
    assert!(databases.delete_snapshot(&snapshot.id).await.unwrap());
    assert!(databases.delete_database(&copy.id).await.unwrap());
    assert!(databases.delete_database(&late.id).await.unwrap());
    let mut wanted = spec("far");
    wanted.region = region("us-1");
    let there = databases.restore_snapshot(&far.id, &wanted, &ClientToken::random()).await.unwrap();
    assert_eq!(count(&*databases.sql(&there.id).await.unwrap()).await, 1.into());
    assert!(databases.delete_database(&there.id).await.unwrap());
    assert!(databases.delete_snapshot(&far.id).await.unwrap());
    assert!(servers.processes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_follows_and_takes_over() {
    let Some(servers) = Servers::new("a_replica_follows_and_takes_over") else {
        return;
    };
    let cloud = servers.0.open().await;
    let (databases, primary) = create(&cloud, "shop").await;
    let sql = databases.sql(&primary.id).await.unwrap();
    orders(&*sql).await;
    let wanted = ReplicaSpec::new("standby", region("us-1"), primary.id.clone());
    let token = ClientToken::random();
    let replica = databases.create_replica(&wanted, &token).await.unwrap();
    assert_eq!(databases.create_replica(&wanted, &token).await.unwrap().id, replica.id);
    assert_eq!(replica.replica_of, Some(primary.id.clone()));
    let error = databases
        .create_replica(
            &ReplicaSpec::new("third", region("us-1"), replica.id.clone()),
            &ClientToken::random(),
        )
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");

    let reader = databases.sql(&replica.id).await.unwrap();
    for written in 1_i64..4 {
        sql.insert("orders", &customer("Ada")).await.unwrap();
        let arrived = || async { Ok((count(&*reader).await == written.into()).then_some(())) };
        wait_until("the row on the replica", &patience(), arrived).await.unwrap();
    }
    let error = reader.insert("orders", &customer("Eve")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    let now = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_secs(1)).unwrap();
    let lag = MetricQuery::last(
        replica.id.clone(),
        MetricName::ReplicationLag,
        Duration::from_secs(60),
        now,
    );
    let lag = cloud.metrics().unwrap().query_metrics(&lag).await.unwrap();
    assert!(lag[0].value < 30.0, "{lag:?}");
    let error = databases.delete_database(&primary.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");

    // The primary's region fails; the replica, in another, becomes a primary.
    cloud.take_down(&region("eu-1")).await.unwrap();
    assert_eq!(count(&*reader).await, 3.into());
    let promoted = databases.promote_replica(&replica.id).await.unwrap();
    assert_eq!(promoted.replica_of, None);
    assert_eq!(databases.promote_replica(&replica.id).await.unwrap(), promoted);
    assert!(reader.insert("orders", &customer("Bob")).await.unwrap() > 3);
    // The old one comes back, does not follow, and forgets its replica.
    cloud.bring_up(&region("eu-1")).await.unwrap();
    assert_eq!(count(&*sql).await, 3.into());
    let slots = "SELECT count(*) AS n FROM pg_replication_slots";
    assert_eq!(sql.query(slots, &[]).await.unwrap()[0]["n"], 0.into());
    assert!(databases.delete_database(&primary.id).await.unwrap());
    assert_eq!(count(&*reader).await, 4.into());
    assert!(databases.delete_database(&replica.id).await.unwrap());
    assert!(servers.processes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_replica_leaves_no_slot() {
    let Some(servers) = Servers::new("a_deleted_replica_leaves_no_slot") else {
        return;
    };
    let cloud = servers.0.open().await;
    let (databases, primary) = create(&cloud, "shop").await;
    let wanted = ReplicaSpec::new("standby", region("eu-1"), primary.id.clone());
    let replica = databases.create_replica(&wanted, &ClientToken::random()).await.unwrap();
    let sql = databases.sql(&primary.id).await.unwrap();
    let slots = "SELECT count(*) AS n FROM pg_replication_slots";
    assert_eq!(sql.query(slots, &[]).await.unwrap()[0]["n"], 1.into());
    assert!(databases.delete_database(&replica.id).await.unwrap());
    assert_eq!(sql.query(slots, &[]).await.unwrap()[0]["n"], 0.into());
    assert!(databases.delete_database(&primary.id).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_stops_servers_and_its_end_starts_them() {
    let Some(servers) = Servers::new("an_outage_stops_servers_and_its_end_starts_them") else {
        return;
    };
    let cloud = servers.0.open().await;
    let (databases, server) = create(&cloud, "shop").await;
    let sql = databases.sql(&server.id).await.unwrap();
    orders(&*sql).await;
    cloud.take_down(&region("eu-1")).await.unwrap();
    assert!(servers.processes().is_empty());
    assert_eq!(count_error(&*sql).await, ErrorKind::Unavailable);
    cloud.bring_up(&region("eu-1")).await.unwrap();
    let back = databases.get_database(&server.id).await.unwrap();
    assert_eq!(back, server);
    assert_eq!(count(&*sql).await, 0.into());

    // Killed with all of its children, as by a restart of the machine: stopped, and told so.
    for pid in servers.processes() {
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_raw(pid).unwrap(),
            rustix::process::Signal::KILL,
        );
    }
    servers.until_quiet().await;
    let found = servers.0.open().await.database().unwrap();
    assert_eq!(found.get_database(&server.id).await.unwrap().status, ResourceStatus::Stopped);
    let error = found.sql(&server.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.hint().unwrap().contains("bring_up"), "{error}");
    // Another process got the pid that the dead server had: it is not taken for the server, and comes to no harm.
    let mut bystander = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let pid_file = servers.data(&server.id).join("data/postmaster.pid");
    let old = fs::read_to_string(&pid_file).unwrap();
    let rest = old.split_once('\n').unwrap().1;
    fs::write(&pid_file, format!("{}\n{rest}", bystander.id())).unwrap();
    assert_eq!(found.get_database(&server.id).await.unwrap().status, ResourceStatus::Stopped);
    cloud.bring_up(&region("eu-1")).await.unwrap();
    assert_eq!(count(&*sql).await, 0.into());
    assert!(found.delete_database(&server.id).await.unwrap());
    assert!(bystander.try_wait().unwrap().is_none());
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    assert!(servers.processes().is_empty());
}

async fn count_error(sql: &dyn Sql) -> ErrorKind {
    sql.query("SELECT count(*) AS n FROM orders", &[]).await.unwrap_err().kind()
}

const DYING: &str = "MULTICLOUD_TEST_DYING";

/// Not a test: what the process does that [`killed_during`] kills.
#[tokio::test(flavor = "multi_thread")]
async fn the_process_that_dies() {
    let Ok(given) = std::env::var(DYING) else {
        return;
    };
    let (root, token) = given.split_once('|').unwrap();
    let config = cloud_local::LocalConfig::new(root, [region("eu-1"), region("us-1")]);
    let id = cloud_core::CloudId::new("laptop").unwrap();
    let databases = LocalCloud::open(id, config).await.unwrap().database().unwrap();
    let _ = databases.create_database(&spec("half"), &ClientToken::new(token).unwrap()).await;
    // Ended too early or not: it has to be killed.
    std::future::pending::<()>().await;
}

/// Has another process begin a create, and kills that once a file is in the server's folder. What it started lives on.
fn killed_during(servers: &Servers, token: &ClientToken, file: &str) {
    let mut process = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_process_that_dies", "--nocapture"])
        .env(DYING, format!("{}|{token}", servers.0.path().display()))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let data = servers.0.path().join("laptop/eu-1/data/database");
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    let there = || {
        fs::read_dir(&data)
            .into_iter()
            .flatten()
            .flatten()
            .any(|dir| dir.path().join(file).exists())
    };
    while !there() {
        assert!(std::time::Instant::now() < deadline, "{file} never came");
        std::thread::sleep(Duration::from_millis(1));
    }
    process.kill().unwrap();
    process.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_made_server_is_finished_by_its_token_or_deleted() {
    let Some(servers) = Servers::new("a_half_made_server_is_finished_by_its_token_or_deleted")
    else {
        return;
    };
    // At the very beginning, within initdb, and when the server starts.
    for file in ["secrets.json", "data/PG_VERSION", "server.log"] {
        let token = ClientToken::random();
        killed_during(&servers, &token, file);
        let databases = servers.0.open().await.database().unwrap();
        let half =
            databases.list_databases(&ListQuery::default()).complete().await.unwrap().into_items();
        assert_eq!(half.len(), 1);
        let server = databases.create_database(&spec("half"), &token).await.unwrap();
        assert_eq!((&server.id, server.status), (&half[0].id, ResourceStatus::Running), "{file}");
        orders(&*databases.sql(&server.id).await.unwrap()).await;
        assert!(databases.delete_database(&server.id).await.unwrap());

        killed_during(&servers, &ClientToken::random(), file);
        let half =
            databases.list_databases(&ListQuery::default()).complete().await.unwrap().into_items();
        assert!(databases.delete_database(&half[0].id).await.unwrap());
        assert!(
            databases
                .list_databases(&ListQuery::default())
                .complete()
                .await
                .unwrap()
                .items()
                .is_empty()
        );
        servers.until_quiet().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_nobody_waits_for_runs_to_its_end() {
    let Some(servers) = Servers::new("a_create_that_nobody_waits_for_runs_to_its_end") else {
        return;
    };
    let databases = servers.0.open().await.database().unwrap();
    let token = ClientToken::random();
    let wanted = spec("a");
    let dropped = tokio::time::timeout(
        Duration::from_millis(300),
        databases.create_database(&wanted, &token),
    )
    .await;
    assert!(dropped.is_err());
    let server = databases.create_database(&wanted, &token).await.unwrap();
    assert_eq!(server.status, ResourceStatus::Running);
    let all = databases.list_databases(&ListQuery::default()).complete().await.unwrap();
    assert_eq!(all.items(), std::slice::from_ref(&server));
    assert!(databases.delete_database(&server.id).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_fails_leaves_nothing() {
    let Some(servers) = Servers::new("a_create_that_fails_leaves_nothing") else {
        return;
    };
    let cloud = servers.0.open().await;
    let databases = cloud.database().unwrap();
    let before = servers.0.files();
    let token = ClientToken::random();
    let wanted = spec("a");
    // The region goes down while the server is being made.
    let create = databases.create_database(&wanted, &token);
    let outage = async {
        let made = || async { Ok((!servers.processes().is_empty()).then_some(())) };
        wait_until("initdb", &patience(), made).await.unwrap();
        cloud.take_down(&region("eu-1")).await.unwrap();
    };
    let (created, ()) = tokio::join!(create, outage);
    let error = created.unwrap_err();
    assert_eq!(error.effect(), Effect::None, "{error}");
    servers.until_quiet().await;
    cloud.bring_up(&region("eu-1")).await.unwrap();
    assert!(
        databases
            .list_databases(&ListQuery::default())
            .complete()
            .await
            .unwrap()
            .items()
            .is_empty()
    );
    let left: Vec<_> = servers
        .0
        .files()
        .into_iter()
        .filter(|f| !before.contains(f) && !f.ends_with("down"))
        .collect();
    assert!(left.is_empty(), "{left:?}");

    for (database, user, says) in
        [("postgres", "app", "database is 'postgres'"), ("app", "pg_me", "user is 'pg_me'")]
    {
        let mut wanted = spec("a");
        (wanted.database, wanted.user) = (database.into(), user.into());
        let error = databases.create_database(&wanted, &ClientToken::random()).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    let mut config = servers.0.config();
    config.postgres_bin = Some(servers.0.path().to_owned());
    let id = cloud_core::CloudId::new("other").unwrap();
    let error = LocalCloud::open(id, config).await.unwrap_err();
    assert!(error.to_string().contains("postgres_bin is"), "{error}");
}

/// Only root has to become somebody else, who may not get everywhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_folder_above_ours_is_named() {
    let Some(servers) = Servers::new("a_closed_folder_above_ours_is_named") else {
        return;
    };
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut config = servers.0.config();
    config.root = servers.0.path().join("inner");
    let cloud = servers.0.open_with(config).await;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(servers.0.path(), mode).unwrap();
    let databases = cloud.database().unwrap();
    let error = databases.create_database(&spec("a"), &ClientToken::random()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::PermissionDenied, Effect::None),
        "{error}"
    );
    let closed = servers.0.path().display().to_string();
    assert!(
        error.to_string().contains(&format!("may not pass through {closed}; chmod o+x {closed}")),
        "{error}"
    );
    assert!(
        databases
            .list_databases(&ListQuery::default())
            .complete()
            .await
            .unwrap()
            .items()
            .is_empty()
    );
}
