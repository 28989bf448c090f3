//! `Sql` on a real MariaDB: a server of these tests' own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![cfg(feature = "mysql")]

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
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

struct Server {
    process: Child,
    port: u16,
    _folder: TempDir,
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name));
    found.chain([Path::new("/usr/sbin").join(name)]).find(|file| file.exists())
}

impl Server {
    /// `None` where the programs are missing; a failure under `CI=true`.
    fn start(test: &str) -> Option<Self> {
        let (Some(install), Some(server)) = (program("mariadb-install-db"), program("mariadbd"))
        else {
            let reason = "MariaDB's mariadb-install-db and mariadbd are not installed";
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{test}: {reason}");
            // Not by eprintln, which the test runner keeps to itself.
            let line = format!("SKIPPED {test}: {reason}\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let data = format!("--datadir={}", folder.path().join("data").display());
        let mut install = Command::new(install);
        install.args(["--no-defaults", "--auth-root-authentication-method=normal"]);
        install.args([&*data, "--skip-test-db"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut command = Command::new(server);
        let root = std::fs::metadata("/proc/self")
            .is_ok_and(|about| std::os::unix::fs::MetadataExt::uid(&about) == 0);
        if root {
            install.arg("--user=root");
        }
        assert!(install.status().unwrap().success());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let users = folder.path().join("users.sql");
        std::fs::write(
            &users,
            format!(
                "CREATE DATABASE shop CHARACTER SET utf8mb4;\n\
                 CREATE USER app@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n\
                 GRANT ALL ON shop.* TO app@'127.0.0.1';\n"
            ),
        )
        .unwrap();
        command
            .args(["--no-defaults", &data, "--bind-address=127.0.0.1"])
            .arg(format!("--port={port}"))
            .arg(format!("--socket={}", folder.path().join("socket").display()))
            .arg(format!("--init-file={}", users.display()))
            .args(root.then_some("--user=root"))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap());
        let process = command.spawn().unwrap();
        let server = Self { process, port, _folder: folder };
        let until = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "MariaDB does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(server)
    }

    fn url(&self) -> SecretString {
        format!("mysql://app:{PASSWORD}@127.0.0.1:{}/shop", self.port).into()
    }

    async fn sql(&self) -> Arc<dyn Sql> {
        connect(Engine::Mysql, &self.url()).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn row(pairs: &[(&str, SqlValue)]) -> Row {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_values_and_errors() {
    let Some(server) = Server::start("tables_values_and_errors") else {
        return;
    };
    let sql = server.sql().await;
    a_table_is_made_filled_changed_and_read(&*sql).await;
    every_type_is_read(&*sql).await;
    wrong_statements_say_what_is_wrong(&*sql).await;
    what_is_not_let_in_says_so(&server).await;
    a_lock_that_is_held_is_a_conflict(&sql).await;
    any_values_come_back(&server);
}

async fn a_table_is_made_filled_changed_and_read(sql: &dyn Sql) {
    let table = TableSpec::new(
        "orders",
        [
            Column::new("customer", ColumnType::Text).not_null(),
            Column::new("paid", ColumnType::Bool),
            Column::new("total", ColumnType::Float),
            Column::new("data", ColumnType::Bytes),
            Column::new("at", ColumnType::Timestamp),
        ],
    );
    assert!(sql.create_table(&table).await.unwrap());
    assert!(!sql.create_table(&table).await.unwrap());
    let hostile = "Robert'); DROP TABLE orders;-- \\";
    let values = row(&[
        ("customer", hostile.into()),
        ("paid", true.into()),
        ("total", 1.5.into()),
        ("data", vec![0, 255].into()),
        ("at", "2026-01-31T12:00:00.5".into()),
    ]);
    let first = sql.insert("orders", &values).await.unwrap();
    let second = sql.insert("orders", &row(&[("customer", "Bob".into())])).await.unwrap();
    assert_ne!(first, second);
    let seventh = row(&[("id", 77.into()), ("customer", "Eve".into())]);
    assert_eq!(sql.insert("orders", &seventh).await.unwrap(), 77);
    let found = sql
        .query(
            "SELECT * FROM orders WHERE customer = $2 OR (customer <> $2 AND total > $1)",
            &[99.0.into(), hostile.into()],
        )
        .await
        .unwrap();
    let mut wanted = values;
    wanted.insert("id".into(), first.into());
    assert_eq!(found, [wanted]);
    assert_eq!(sql.execute("UPDATE orders SET paid = $1", &[false.into()]).await.unwrap(), 3);
    assert_eq!(sql.execute("CREATE INDEX i ON orders (total)", &[]).await.unwrap(), 0);
    assert_eq!(sql.execute("DELETE FROM orders WHERE id = $1", &[77.into()]).await.unwrap(), 1);
    let empty = TableSpec::new("defaults", [Column::new("a", ColumnType::Int)]);
    sql.create_table(&empty).await.unwrap();
    assert_eq!(sql.insert("defaults", &Row::new()).await.unwrap(), 1);
    let long = "x".repeat(100_000);
    sql.insert("orders", &row(&[("customer", (*long).into())])).await.unwrap();
}

async fn every_type_is_read(sql: &dyn Sql) {
    for (expression, value) in [
        ("CAST(-1 AS SIGNED)", SqlValue::Int(-1)),
        ("CAST(9223372036854775807 AS UNSIGNED)", SqlValue::Int(i64::MAX)),
        ("CAST(1.50 AS DECIMAL(10,2))", "1.50".into()),
        ("CAST('2026-01-31' AS DATE)", "2026-01-31".into()),
        ("CAST('2026-01-31 12:00:00.25' AS DATETIME(6))", "2026-01-31T12:00:00.25".into()),
        ("CAST('-26:03:04' AS TIME)", "-26:03:04".into()),
        ("1.5e0", 1.5.into()),
        ("x'00ff'", vec![0, 255].into()),
        ("'größe'", "größe".into()),
        ("'$1 ? :a'", "$1 ? :a".into()),
        ("_utf8mb4'bin' COLLATE utf8mb4_bin", "bin".into()),
        ("JSON_OBJECT('a', 1)", r#"{"a": 1}"#.into()),
        ("NULL", SqlValue::Null),
    ] {
        let rows = sql.query(&format!("SELECT {expression} AS v"), &[]).await;
        let rows = rows.unwrap_or_else(|e| panic!("{expression}: {e}"));
        assert_eq!(rows[0]["v"], value, "{expression}");
    }
    let types = "CREATE TABLE types (at timestamp(3) NULL, small tinyint, kind enum('a','b'), \
                 of_year year, single float, bits bit(8))";
    sql.execute(types, &[]).await.unwrap();
    sql.execute(
        "INSERT INTO types VALUES ($1, $2, $3, $4, $5, b'101')",
        &["2026-01-31 12:00:00.125".into(), 5.into(), "b".into(), 2026.into(), 0.5.into()],
    )
    .await
    .unwrap();
    let rows = sql.query("SELECT * FROM types", &[]).await.unwrap();
    let wanted = row(&[
        ("at", "2026-01-31T12:00:00.125Z".into()),
        ("small", 5.into()),
        ("kind", "b".into()),
        ("of_year", 2026.into()),
        ("single", 0.5.into()),
        ("bits", vec![5].into()),
    ]);
    assert_eq!(rows, [wanted]);
}

async fn wrong_statements_say_what_is_wrong(sql: &dyn Sql) {
    for (statement, parameters, says) in [
        ("SELEC 1", vec![], "syntax"),
        ("SELECT * FROM absent", vec![], "absent"),
        ("SELECT 1; DELETE FROM orders", vec![], "syntax"),
        ("SELECT $1", vec![], "'$1' is in the statement"),
        ("SELECT 1", vec![1.into()], "$1 is not in the statement"),
        ("SELECT ?", vec![], "'?' is in the statement"),
        ("BEGIN", vec![], "is a BEGIN"),
        ("LOCK TABLES orders WRITE", vec![], "is a LOCK"),
        ("/*! BEGIN */ SELECT 1", vec![], "executed"),
        ("SELECT 1 AS a, 2 AS a", vec![], "'a' comes twice"),
        ("SELECT $1 AS a", vec![f64::NAN.into()], "parameter $1 is NaN"),
        ("SELECT CAST(18446744073709551615 AS UNSIGNED) AS a", vec![], "CAST(a AS char)"),
        ("INSERT INTO orders (customer) VALUES (NULL)", vec![], "customer"),
        ("INSERT INTO orders (total) VALUES (1)", vec![], "default value"),
    ] {
        let error = sql.query(statement, &parameters).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{statement}: {error}");
        assert!(error.to_string().contains(says), "{statement}: {error}");
    }
    sql.execute("CREATE TABLE keyed (a int PRIMARY KEY)", &[]).await.unwrap();
    sql.execute("INSERT INTO keyed VALUES ($1)", &[1.into()]).await.unwrap();
    let error = sql.execute("INSERT INTO keyed VALUES ($1)", &[1.into()]).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::AlreadyExists, Effect::None));
    assert_eq!(error.code(), Some("23000"));
}

async fn what_is_not_let_in_says_so(server: &Server) {
    let wrong: SecretString = format!("mysql://app:wrong@127.0.0.1:{}/shop", server.port).into();
    let error = connect(Engine::Mysql, &wrong).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
    let elsewhere: SecretString =
        format!("mysql://app:{PASSWORD}@127.0.0.1:{}/mysql", server.port).into();
    let error = connect(Engine::Mysql, &elsewhere).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    assert!(!error.to_string().contains(PASSWORD));
    let error = connect(Engine::Postgres, &server.url()).await.unwrap_err();
    assert!(!error.to_string().contains(PASSWORD), "{error}");
    let options = SqlOptions { read_only: true, ..SqlOptions::default() };
    let reading = connect_with(Engine::Mysql, &server.url(), &options).await.unwrap();
    assert!(!reading.query("SELECT id FROM orders", &[]).await.unwrap().is_empty());
    let error = reading.execute("DELETE FROM orders", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
}

async fn a_lock_that_is_held_is_a_conflict(sql: &Arc<dyn Sql>) {
    sql.execute("CREATE TABLE locks (id int PRIMARY KEY, n int)", &[]).await.unwrap();
    sql.execute("INSERT INTO locks VALUES (1, 0)", &[]).await.unwrap();
    let holder = {
        let sql = sql.clone();
        tokio::spawn(async move { sql.execute("UPDATE locks SET n = SLEEP(3)", &[]).await })
    };
    let running = "SELECT count(*) AS n FROM information_schema.processlist WHERE info LIKE $1";
    let until = Instant::now() + Duration::from_secs(10);
    while sql.query(running, &["UPDATE locks%".into()]).await.unwrap()[0]["n"] == 0.into() {
        assert!(Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let impatient = "SET STATEMENT innodb_lock_wait_timeout = 0 FOR UPDATE locks SET n = 1";
    let error = sql.execute(impatient, &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::Backoff), "{error}");
    assert_eq!(error.effect(), Effect::None);
    holder.await.unwrap().unwrap();
}

fn any_values_come_back(server: &Server) {
    let values = prop_oneof![
        Just(SqlValue::Null),
        any::<i64>().prop_map(SqlValue::Int),
        (-1e300..1e300f64).prop_map(SqlValue::Float),
        any::<String>().prop_map(SqlValue::Text),
        prop::collection::vec(any::<u8>(), 0..64).prop_map(SqlValue::Bytes),
    ];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let sql = runtime.block_on(server.sql());
            proptest!(ProptestConfig::with_cases(64), |(value in values)| {
                let rows = runtime
                    .block_on(sql.query("SELECT $1 AS v, '$1' AS w", std::slice::from_ref(&value)))
                    .unwrap();
                prop_assert_eq!(&rows[0]["v"], &value);
                prop_assert_eq!(&rows[0]["w"], &SqlValue::from("$1"));
            });
        });
    });
}
