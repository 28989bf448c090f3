//! `Sql` on a real PostgreSQL: a cluster of these tests' own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![cfg(feature = "postgres")]

use std::{
    fs,
    io::Write,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use cloud_core::{
    Column, ColumnType, Effect, Engine, ErrorKind, Retry, Row, SecretString, Sql, SqlValue,
    TableSpec,
};
use cloud_sql::{SqlOptions, connect, connect_with};
use proptest::prelude::*;
use tempfile::TempDir;

const PASSWORD: &str = "s3cret-of-the-test";

struct Cluster {
    folder: TempDir,
    bin: PathBuf,
    port: u16,
    user: Option<(u32, u32)>,
}

/// The folder of the server's programs.
fn binaries() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    std::env::split_paths(&path)
        .chain(debian.map(|version| version.path().join("bin")))
        .find_map(|dir| Some(dir.join("initdb").canonicalize().ok()?.parent()?.to_owned()))
        .filter(|dir| dir.join("postgres").exists() && dir.join("pg_ctl").exists())
}

/// The server refuses to run as root: some other user then.
fn unprivileged() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m)).unwrap_or(1) != 0
    {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    ["postgres", "nobody"].iter().find_map(|name| {
        let line = passwd.lines().find(|l| l.starts_with(&format!("{name}:")))?;
        let mut fields = line.split(':').skip(2).map(|f| f.parse().unwrap());
        Some((fields.next()?, fields.next()?))
    })
}

impl Cluster {
    /// `None` where the programs are missing; a failure under `CI=true`.
    fn start(test: &str) -> Option<Self> {
        let Some(bin) = binaries() else {
            let reason = "PostgreSQL's initdb, pg_ctl and postgres are not installed";
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{test}: {reason}");
            // Not by eprintln, which the test runner keeps to itself.
            let line = format!("SKIPPED {test}: {reason}\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let user = unprivileged();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let home = folder.path().join("home");
        fs::create_dir(&home).unwrap();
        fs::write(home.join("password"), PASSWORD).unwrap();
        if let Some((uid, gid)) = user {
            std::os::unix::fs::chown(&home, Some(uid), Some(gid)).unwrap();
            std::os::unix::fs::chown(home.join("password"), Some(uid), Some(gid)).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let cluster = Self { folder, bin, port, user };
        let password = format!("--pwfile={}", home.join("password").display());
        cluster.run(
            "initdb",
            &["-D", &cluster.data(), "-U", "app", "-A", "scram-sha-256", "-N", &password],
        );
        cluster.up();
        Some(cluster)
    }

    fn data(&self) -> String {
        self.folder.path().join("home/data").display().to_string()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(self.bin.join(program));
        command.args(arguments).current_dir(Path::new("/")).stdout(Stdio::null());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        assert!(command.status().unwrap().success(), "{program} {arguments:?}");
    }

    fn up(&self) {
        let options = format!("-p {} -h 127.0.0.1 -k ''", self.port);
        let log = self.folder.path().join("home/log").display().to_string();
        self.run("pg_ctl", &["-D", &self.data(), "-l", &log, "-w", "-o", &options, "start"]);
    }

    fn down(&self) {
        self.run("pg_ctl", &["-D", &self.data(), "-m", "immediate", "-w", "stop"]);
    }

    fn url(&self) -> SecretString {
        format!("postgres://app:{PASSWORD}@127.0.0.1:{}/postgres", self.port).into()
    }

    async fn sql(&self) -> Arc<dyn Sql> {
        connect(Engine::Postgres, &self.url()).await.unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if Path::new(&self.data()).join("postmaster.pid").exists() {
            self.down();
        }
    }
}

fn row(pairs: &[(&str, SqlValue)]) -> Row {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_values_and_errors() {
    let Some(cluster) = Cluster::start("tables_values_and_errors") else {
        return;
    };
    let sql = cluster.sql().await;
    a_table_is_made_filled_changed_and_read(&*sql).await;
    every_type_is_read_and_can_be_sent(&*sql).await;
    wrong_statements_say_what_is_wrong(&*sql).await;
    one_text_with_values_of_other_kinds(&*sql).await;
    a_changed_table_is_noticed(&*sql).await;
    a_deadlock_is_a_conflict(&sql).await;
    any_values_come_back(&cluster);
}

async fn a_table_is_made_filled_changed_and_read(sql: &dyn Sql) {
    let table = TableSpec::new(
        "orders",
        [
            Column::new("customer", ColumnType::Text).not_null(),
            Column::new("paid", ColumnType::Bool),
            Column::new("count", ColumnType::Int),
            Column::new("total", ColumnType::Float),
            Column::new("file", ColumnType::Bytes),
            Column::new("at", ColumnType::Timestamp),
        ],
    );
    assert!(sql.create_table(&table).await.unwrap());
    assert!(!sql.create_table(&table).await.unwrap());
    let full = row(&[
        ("customer", "Ada".into()),
        ("paid", true.into()),
        ("count", i64::MIN.into()),
        ("total", 1.5.into()),
        ("file", vec![0, 255].into()),
        ("at", "2026-01-31T12:00:00.25Z".into()),
    ]);
    assert_eq!(sql.insert("orders", &full).await.unwrap(), 1);
    assert_eq!(sql.insert("orders", &row(&[("customer", "Bob".into())])).await.unwrap(), 2);
    let mut rows = sql
        .query("SELECT * FROM orders WHERE at >= $1", &["2026-01-31 13:00:00+01".into()])
        .await
        .unwrap();
    assert_eq!(rows[0].remove("id"), Some(1.into()));
    assert_eq!(rows, [full]);
    assert_eq!(sql.execute("UPDATE orders SET paid = $1", &[SqlValue::Null]).await.unwrap(), 2);
    assert_eq!(sql.execute("SELECT * FROM orders", &[]).await.unwrap(), 0);
    sql.create_table(&TableSpec::new("empty", [])).await.unwrap();
    assert_eq!(sql.insert("empty", &Row::new()).await.unwrap(), 1);
    sql.execute("CREATE UNIQUE INDEX one ON orders (customer)", &[]).await.unwrap();
    let error = sql.insert("orders", &row(&[("customer", "Bob".into())])).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::AlreadyExists, Some("23505")));
}

async fn every_type_is_read_and_can_be_sent(sql: &dyn Sql) {
    sql.execute("CREATE TYPE mood AS ENUM ('good', 'bad')", &[]).await.unwrap();
    sql.execute("CREATE DOMAIN price AS numeric(8, 2)", &[]).await.unwrap();
    for (kind, value) in [
        ("int2", 7.into()),
        ("int4", (-7).into()),
        ("float4", 0.5.into()),
        ("varchar(9)", "größe".into()),
        ("char(3)", "abc".into()),
        ("name", "n".into()),
        ("mood", "good".into()),
        ("price", "12.50".into()),
        ("numeric", "-0.00010".into()),
        ("timestamp", "2026-01-31T12:00:00".into()),
        ("timestamptz", "1066-10-14T09:00:00.000001Z".into()),
        ("date", "1999-12-31".into()),
        ("time", "23:59:59.999999".into()),
        ("uuid", "67e55044-10b1-426f-9247-bb680e5fe0c8".into()),
        ("json", "{\"a\":  1}".into()),
        ("jsonb", "{\"a\": 1}".into()),
    ] {
        let table = format!("CREATE TEMP TABLE one AS SELECT $1::{kind} AS v");
        let cast = format!("SELECT $1::{kind} AS v, CAST($1::{kind} AS text) AS t");
        let rows = sql.query(&cast, &[value]).await.unwrap_or_else(|e| panic!("{table}: {e}"));
        let text = match &rows[0]["v"] {
            SqlValue::Int(n) => n.to_string(),
            SqlValue::Float(x) => x.to_string(),
            SqlValue::Text(text) => text.clone(),
            other => panic!("{kind}: {other:?}"),
        };
        // The server writes a blank and a zone of two digits where we write ISO 8601.
        let SqlValue::Text(server) = &rows[0]["t"] else { panic!("{kind}") };
        let server = match kind {
            "timestamp" => server.replace(' ', "T"),
            "timestamptz" => server.replace(' ', "T").replace("+00", "Z"),
            _ => server.clone(),
        };
        assert_eq!(text, server, "{kind}");
    }
    let rows = sql
        .query("SELECT NULL AS a, true AS b, '\\x00ff'::bytea AS c, 5::oid AS d", &[])
        .await
        .unwrap();
    let expected = row(&[
        ("a", SqlValue::Null),
        ("b", true.into()),
        ("c", vec![0, 255].into()),
        ("d", 5.into()),
    ]);
    assert_eq!(rows, [expected]);
    let error = sql.query("SELECT interval '1 day' AS span", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("column 'span' of type INTERVAL"), "{error}");
    assert!(error.hint().unwrap().contains("CAST(span AS text)"), "{error}");
    for odd in ["'infinity'::timestamptz", "'infinity'::date", "'24:00'::time", "ARRAY[1]"] {
        let error = sql.query(&format!("SELECT {odd} AS odd"), &[]).await.unwrap_err();
        assert!(error.to_string().contains("column 'odd'"), "{error}");
    }
}

async fn wrong_statements_say_what_is_wrong(sql: &dyn Sql) {
    for (statement, parameters, code, says) in [
        ("SELEC 1", vec![], Some("42601"), "syntax error"),
        ("SELECT * FROM nothing", vec![], Some("42P01"), "nothing"),
        ("SELECT 1; SELECT 2", vec![], Some("42601"), "multiple commands"),
        ("SELECT 1 / 0 AS n", vec![], Some("22012"), "division by zero"),
        ("INSERT INTO orders DEFAULT VALUES", vec![], Some("23502"), "customer"),
        ("SELECT $1::int AS n", vec![], None, "0 are given, 1 are in"),
        ("SELECT $1 AS n", vec!["a\0b".into()], Some("22021"), "invalid byte sequence"),
        ("SELECT 1 WHERE now() > $1", vec!["soon".into()], None, "parameter $1 is no TIMESTAMPTZ"),
        ("SELECT 1 WHERE 1 = $1", vec!["x".into()], None, "parameter $1 is a text where"),
        ("SELECT 1 AS a, 2 AS a", vec![], None, "'a' comes twice"),
        ("COMMIT", vec![], None, "is a COMMIT"),
        ("COPY orders FROM STDIN", vec![], None, "is a COPY"),
    ] {
        let error = sql.query(statement, &parameters).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::InvalidInput, code),
            "{statement}: {error}"
        );
        assert!(error.to_string().contains(says), "{statement}: {error}");
    }
    let hostile = row(&[("customer\") VALUES (1); --", 1.into())]);
    assert_eq!(sql.insert("orders", &hostile).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// A connection keeps prepared statements by their text: values of other kinds must not meet the wrong one.
async fn one_text_with_values_of_other_kinds(sql: &dyn Sql) {
    let values: [SqlValue; 6] =
        [1.into(), SqlValue::Null, "x".into(), true.into(), 1.5.into(), 1.into()];
    for value in values {
        let rows = sql.query("SELECT $1 AS v", std::slice::from_ref(&value)).await.unwrap();
        assert_eq!(rows[0]["v"], value);
    }
}

async fn a_changed_table_is_noticed(sql: &dyn Sql) {
    sql.execute("CREATE TABLE wide (a int)", &[]).await.unwrap();
    for _ in 0..8 {
        sql.query("SELECT * FROM wide", &[]).await.unwrap();
    }
    sql.execute("ALTER TABLE wide ADD b int", &[]).await.unwrap();
    sql.execute("INSERT INTO wide VALUES (1, 2)", &[]).await.unwrap();
    for _ in 0..8 {
        assert_eq!(sql.query("SELECT * FROM wide", &[]).await.unwrap()[0]["b"], 2.into());
    }
}

async fn a_deadlock_is_a_conflict(sql: &Arc<dyn Sql>) {
    sql.execute("CREATE TABLE d (id int PRIMARY KEY, n int)", &[]).await.unwrap();
    sql.execute("INSERT INTO d VALUES (1, 0), (2, 0)", &[]).await.unwrap();
    let cross = |first: i64, second: i64| {
        let sql = sql.clone();
        // Both meet at the advisory lock check: each holds its first row while it waits for the other's.
        let statement = format!(
            "DO $$ BEGIN UPDATE d SET n = n + 1 WHERE id = {first}; PERFORM pg_sleep(1); \
             UPDATE d SET n = n + 1 WHERE id = {second}; END $$"
        );
        tokio::spawn(async move { sql.execute(&statement, &[]).await })
    };
    let (one, two) = (cross(1, 2), cross(2, 1));
    let errors: Vec<_> =
        [one.await.unwrap(), two.await.unwrap()].into_iter().filter_map(Result::err).collect();
    assert_eq!(errors.len(), 1);
    assert_eq!(
        (errors[0].kind(), errors[0].retry()),
        (ErrorKind::Conflict, Retry::Backoff),
        "{}",
        errors[0]
    );
    assert_eq!(errors[0].effect(), Effect::None);
}

fn any_values_come_back(cluster: &Cluster) {
    let url = cluster.url();
    let check = move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let sql = runtime.block_on(connect(Engine::Postgres, &url)).unwrap();
        let table = TableSpec::new(
            "v",
            [
                Column::new("b", ColumnType::Bool),
                Column::new("i", ColumnType::Int),
                Column::new("f", ColumnType::Float),
                Column::new("t", ColumnType::Text),
                Column::new("y", ColumnType::Bytes),
            ],
        );
        runtime.block_on(sql.create_table(&table)).unwrap();
        let text = any::<String>().prop_map(|t| t.replace('\0', ""));
        proptest!(ProptestConfig::with_cases(200), |(
            b in any::<Option<bool>>(), i in any::<Option<i64>>(), f in any::<Option<f64>>(),
            t in proptest::option::of(text), y in any::<Option<Vec<u8>>>(),
            n in "-?[1-9][0-9]{0,30}\\.[0-9]{1,20}",
        )| {
            fn value<T: Into<SqlValue>>(v: Option<T>) -> SqlValue { v.map_or(SqlValue::Null, Into::into) }
            let sent = row(&[("b", value(b)), ("i", value(i)), ("f", value(f)), ("t", value(t)), ("y", value(y))]);
            let (mut back, number) = runtime.block_on(async {
                let id = sql.insert("v", &sent).await.unwrap();
                let back = sql.query("SELECT b, i, f, t, y FROM v WHERE id = $1", &[id.into()]).await.unwrap();
                let number = "SELECT $1::numeric AS n, $1::numeric::text AS t";
                (back, sql.query(number, &[n.clone().into()]).await.unwrap())
            });
            prop_assert_eq!(back.pop(), Some(sent));
            prop_assert_eq!(&number[0]["n"], &SqlValue::Text(n));
            prop_assert_eq!(&number[0]["n"], &number[0]["t"]);
        });
    };
    std::thread::spawn(check).join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_fail_as_what_they_are() {
    let Some(cluster) = Cluster::start("connections_fail_as_what_they_are") else {
        return;
    };
    let port = cluster.port;
    for (url, kind) in [
        (
            format!("postgres://app:wrong-{PASSWORD}@127.0.0.1:{port}/postgres"),
            ErrorKind::Unauthenticated,
        ),
        (format!("postgres://app:{PASSWORD}@127.0.0.1:{port}/nothing"), ErrorKind::NotFound),
        (format!("postgres://app:{PASSWORD}@127.0.0.1:99999/x"), ErrorKind::InvalidInput),
        (
            format!("postgres://app:{PASSWORD}@127.0.0.1:{port}/x?sslmode={PASSWORD}"),
            ErrorKind::InvalidInput,
        ),
        (format!("sqlite://{PASSWORD}"), ErrorKind::InvalidInput),
    ] {
        let error = connect(Engine::Postgres, &url.clone().into()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!format!("{error:?}{error}").contains(PASSWORD), "{error:?}");
    }

    let options = SqlOptions { read_only: true, ..SqlOptions::default() };
    let reader = connect_with(Engine::Postgres, &cluster.url(), &options).await.unwrap();
    let error = reader.execute("CREATE TABLE t (a int)", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");

    // All connections in use: nothing was sent, so nothing happened.
    let narrow = SqlOptions {
        max_connections: 1,
        acquire_timeout: Duration::from_millis(300),
        ..SqlOptions::default()
    };
    let sql = connect_with(Engine::Postgres, &cluster.url(), &narrow).await.unwrap();
    let sleeper = {
        let sql = sql.clone();
        tokio::spawn(async move { sql.query("SELECT pg_sleep(30)", &[]).await })
    };
    let began = Instant::now();
    let error = loop {
        match sql.query("SELECT 1 AS n", &[]).await {
            Ok(_) if began.elapsed() > Duration::from_secs(10) => panic!("the sleeper never began"),
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::None), "{error}");

    // The server dies under a statement: what that did is not known.
    cluster.down();
    let error = sleeper.await.unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Unavailable, Effect::Unknown),
        "{error}"
    );
    // Nobody listens: nothing happened, and not for want of time.
    let error = sql.query("SELECT 1 AS n", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::None), "{error}");
    let error = connect(Engine::Postgres, &cluster.url()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::None), "{error}");
    cluster.up();
    assert_eq!(sql.query("SELECT 1 AS n", &[]).await.unwrap()[0]["n"], 1.into());
}
