//! `Sql` on SQLite files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![cfg(feature = "sqlite")]

use std::{sync::Arc, time::Duration};

use cloud_core::{
    Column, ColumnType, Engine, ErrorKind, Retry, Row, SecretString, Sql, SqlValue, TableSpec,
};
use cloud_sql::{SqlOptions, connect, connect_with};
use proptest::prelude::*;
use tempfile::TempDir;

fn url(folder: &TempDir, mode: &str) -> SecretString {
    let file = folder.path().join("test.db");
    format!("sqlite://{}?mode={mode}", file.display()).into()
}

async fn open() -> (TempDir, Arc<dyn Sql>) {
    let folder = tempfile::tempdir().unwrap();
    let sql = connect(Engine::Sqlite, &url(&folder, "rwc")).await.unwrap();
    (folder, sql)
}

fn row(pairs: &[(&str, SqlValue)]) -> Row {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect()
}

fn orders() -> TableSpec {
    TableSpec::new(
        "orders",
        [
            Column::new("customer", ColumnType::Text).not_null(),
            Column::new("paid", ColumnType::Bool),
            Column::new("total", ColumnType::Float),
            Column::new("at", ColumnType::Timestamp),
        ],
    )
}

#[tokio::test]
async fn a_table_is_made_filled_changed_and_read() {
    let (_folder, sql) = open().await;
    assert!(sql.create_table(&orders()).await.unwrap());
    assert!(!sql.create_table(&orders()).await.unwrap());
    let mut upper = orders();
    upper.name = "ORDERS".into();
    assert!(!sql.create_table(&upper).await.unwrap());

    let values = row(&[("customer", "Ada".into()), ("paid", true.into()), ("total", 1.5.into())]);
    assert_eq!(sql.insert("orders", &values).await.unwrap(), 1);
    assert_eq!(sql.insert("orders", &row(&[("customer", "Bob".into())])).await.unwrap(), 2);
    let rows = sql
        .query(
            "SELECT * FROM orders WHERE customer = $2 OR total > $1 ORDER BY id",
            &[1.0.into(), "Bob".into()],
        )
        .await
        .unwrap();
    assert_eq!(rows[0]["paid"], SqlValue::Int(1));
    assert_eq!(rows[1]["total"], SqlValue::Null);
    let changed = sql.execute("UPDATE orders SET paid = $1", &[false.into()]).await.unwrap();
    assert_eq!(changed, 2);
    assert_eq!(sql.execute("CREATE INDEX i ON orders (customer)", &[]).await.unwrap(), 0);
    assert_eq!(sql.execute("DELETE FROM orders WHERE id = $1", &[1.into()]).await.unwrap(), 1);
}

#[tokio::test]
async fn an_empty_row_is_its_defaults() {
    let (_folder, sql) = open().await;
    let table = TableSpec::new("t", [Column::new("a", ColumnType::Int)]);
    sql.create_table(&table).await.unwrap();
    assert_eq!(sql.insert("t", &Row::new()).await.unwrap(), 1);
}

#[tokio::test]
async fn wrong_statements_say_what_is_wrong() {
    let (_folder, sql) = open().await;
    sql.create_table(&orders()).await.unwrap();
    for (statement, parameters, says) in [
        ("SELEC 1", vec![], "syntax error"),
        ("SELECT * FROM absent", vec![], "no such table: absent"),
        ("SELECT 1; DELETE FROM orders", vec![], "more than one"),
        ("SELECT $1", vec![], "'$1' is in the statement"),
        ("SELECT 1", vec![1.into()], "$1 is not in the statement"),
        ("SELECT ?", vec![1.into()], "'?' is in the statement"),
        ("SELECT $0", vec![1.into()], "'$0'"),
        ("BEGIN", vec![], "is a BEGIN"),
        ("", vec![], "empty"),
        ("SELECT 1 AS a, 2 AS a", vec![], "'a' comes twice"),
        ("SELECT $1 AS a", vec![f64::NAN.into()], "parameter $1 is NaN"),
        ("SELECT CAST(x'ff' AS text) AS a", vec![], "column 'a' of type TEXT"),
        ("INSERT INTO orders (customer) VALUES (NULL)", vec![], "NOT NULL"),
    ] {
        let error = sql.query(statement, &parameters).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{statement}: {error}");
        assert!(error.to_string().contains(says), "{statement}: {error}");
    }
    let error = sql.insert("orders; DROP TABLE orders", &Row::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let hostile = row(&[("a) VALUES (1); --", 1.into())]);
    assert_eq!(sql.insert("orders", &hostile).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_violated_key_is_already_exists() {
    let (_folder, sql) = open().await;
    sql.execute("CREATE TABLE k (name text UNIQUE)", &[]).await.unwrap();
    let insert = "INSERT INTO k VALUES ($1)";
    sql.execute(insert, &["a".into()]).await.unwrap();
    let error = sql.execute(insert, &["a".into()]).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::AlreadyExists, Some("2067")));
}

#[tokio::test]
async fn a_file_that_is_missing_or_no_database_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let error = connect(Engine::Sqlite, &url(&folder, "rw")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    std::fs::write(
        folder.path().join("test.db"),
        "not a database, however long it may be ".repeat(200),
    )
    .unwrap();
    let error = connect(Engine::Sqlite, &url(&folder, "rw")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[tokio::test]
async fn read_only_refuses_changes() {
    let (folder, sql) = open().await;
    sql.create_table(&orders()).await.unwrap();
    let options = SqlOptions { read_only: true, ..SqlOptions::default() };
    let reader = connect_with(Engine::Sqlite, &url(&folder, "rw"), &options).await.unwrap();
    assert!(reader.query("SELECT * FROM orders", &[]).await.unwrap().is_empty());
    let error = reader.execute("DELETE FROM orders", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
}

#[tokio::test]
async fn a_busy_database_is_a_conflict_to_be_repeated() {
    let (folder, sql) = open().await;
    sql.create_table(&orders()).await.unwrap();
    let options = SqlOptions { busy_timeout: Duration::ZERO, ..SqlOptions::default() };
    let other = connect_with(Engine::Sqlite, &url(&folder, "rw"), &options).await.unwrap();
    // One long statement holds the write lock while the other tries.
    let long = "INSERT INTO orders (customer) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000) \
                SELECT i FROM n";
    let writing = tokio::spawn(async move { sql.execute(long, &[]).await });
    let error = loop {
        match other.execute("UPDATE orders SET total = 1 WHERE id < 0", &[]).await {
            Ok(_) if writing.is_finished() => panic!("never busy"),
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::Backoff), "{error}");
    writing.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_full_database_is_storage_full() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqlOptions { max_connections: 1, ..SqlOptions::default() };
    let sql = connect_with(Engine::Sqlite, &url(&folder, "rwc"), &options).await.unwrap();
    sql.query("PRAGMA max_page_count = 10", &[]).await.unwrap();
    sql.create_table(&orders()).await.unwrap();
    let large = row(&[("customer", "x".repeat(100_000).into())]);
    let error = sql.insert("orders", &large).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
}

#[tokio::test]
async fn bad_options_urls_and_engines_are_named_without_the_url() {
    let folder = tempfile::tempdir().unwrap();
    let url = url(&folder, "rwc");
    for (options, says) in [
        (SqlOptions { max_connections: 0, ..SqlOptions::default() }, "max_connections is 0"),
        (SqlOptions { max_connections: 1001, ..SqlOptions::default() }, "max_connections is 1001"),
        (
            SqlOptions { acquire_timeout: Duration::ZERO, ..SqlOptions::default() },
            "acquire_timeout is 0ns",
        ),
        (SqlOptions { busy_timeout: Duration::MAX, ..SqlOptions::default() }, "busy_timeout is"),
    ] {
        let error = connect_with(Engine::Sqlite, &url, &options).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    for wrong in [
        "",
        "postgres://u:hunter2@h/d",
        "sqlite://a?mode=hunter2",
        "hunter2",
        "sqlite://a?hunter2=1",
    ] {
        let error = connect(Engine::Sqlite, &wrong.to_owned().into()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    let error = connect(Engine::SqlServer, &url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

fn values() -> impl Strategy<Value = SqlValue> {
    prop_oneof![
        Just(SqlValue::Null),
        any::<i64>().prop_map(SqlValue::Int),
        any::<f64>().prop_filter("NaN is refused", |x| !x.is_nan()).prop_map(SqlValue::Float),
        any::<String>().prop_map(SqlValue::Text),
        proptest::collection::vec(any::<u8>(), 0..100).prop_map(SqlValue::Bytes),
    ]
}

#[test]
fn any_values_come_back_as_they_went() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_folder, sql) = runtime.block_on(open());
    runtime.block_on(sql.execute("CREATE TABLE v (id integer PRIMARY KEY, a, b)", &[])).unwrap();
    proptest!(ProptestConfig::with_cases(300), |(a in values(), b in values())| {
        let sent = row(&[("a", a.clone()), ("b", b.clone())]);
        let back = runtime.block_on(async {
            let id = sql.insert("v", &sent).await.unwrap();
            sql.query("SELECT a, b, $2 AS c FROM v WHERE id = $1", &[id.into(), b.clone()]).await.unwrap()
        });
        prop_assert_eq!(&back[0]["a"], &a);
        prop_assert_eq!(&back[0]["b"], &b);
        prop_assert_eq!(&back[0]["c"], &b);
    });
}
