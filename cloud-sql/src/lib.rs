//! The [`Sql`] service trait over sqlx, for every adapter that hands out databases.
//!
//! Statements are the engine's own SQL with parameters `$1`, `$2`, … on every engine. Parameters are always bound. Each
//! statement is its own transaction and may run on any connection of a pool, so statements that would leave state
//! behind on one (`BEGIN`, `COMMIT`, `COPY`, …) are refused, and so is more than one statement at a time.
//!
//! Table and column names are checked and quoted: PostgreSQL tells `Orders` and `orders` apart then, and folds what is not
//! quoted in a statement of your own to lower case. Lower-case names avoid the question.
//!
//! # Values
//! | [`SqlValue`](cloud_core::SqlValue) | SQLite | PostgreSQL | MySQL, MariaDB |
//! |---|---|---|---|
//! | `Bool` | 0 or 1, read back as `Int` | `bool` | `tinyint(1)` |
//! | `Int` | `integer` | `int2`, `int4`, `int8`; `oid` when read | `tinyint` to `bigint`, `year`; without sign up to 2^63 - 1 |
//! | `Float` | `real`; NaN is refused, SQLite would store NULL | `float4`, `float8` | `float`, `double`; NaN and infinity are refused |
//! | `Text` | `text` | `text`, `varchar`, `char`, `name`, enums; and by their text `numeric`, `timestamp`, `timestamptz`, `date`, `time`, `uuid`, `json`, `jsonb` | `char`, `varchar`, `text`, `enum`, `set`, `json`; and by their text `decimal`, `timestamp`, `datetime`, `date`, `time` |
//! | `Bytes` | `blob` | `bytea` | `binary`, `varbinary`, `blob`, `bit` |
//!
//! A column of any other type is an error that says to cast it to text; so is a parameter that the statement needs in any other type.
//! Times are written as ISO 8601 (`2026-01-31T12:00:00.5Z`; without `Z` where the column has no zone), and read in that form.
//! MySQL takes no `Z`: write its times without one, in UTC, which is the zone of every session; [`Sql::create_table`] makes `datetime(6)`
//! of [`ColumnType::Timestamp`](cloud_core::ColumnType::Timestamp) there.
//!
//! # MySQL
//! Parameters are rewritten to its own `?`; in literals (with backslashes, as is its default), quoted names and comments `$1` stands for
//! itself. A comment that is executed (`/*! … */`) is refused. A double-quoted text is a literal unless the server has `ANSI_QUOTES`.
//!
//! # Errors
//! Each has the engine's code: the SQLSTATE (MySQL's error number is in the message), or SQLite's extended result code. A violated unique key is
//! [`AlreadyExists`](cloud_core::ErrorKind::AlreadyExists), a wrong statement or any other violated constraint [`InvalidInput`](cloud_core::ErrorKind::InvalidInput), a
//! deadlock, a failed serialisation or a busy database [`Conflict`](cloud_core::ErrorKind::Conflict) with [`Retry::Backoff`](cloud_core::Retry::Backoff), a connection that broke while a
//! statement ran [`Unavailable`](cloud_core::ErrorKind::Unavailable) with [`Effect::Unknown`](cloud_core::Effect::Unknown). No error contains the URL.
//!
//! # Features
//! `sqlite`, `postgres` and `mysql`, none by default. Needs a tokio runtime.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
#![cfg_attr(
    not(any(feature = "sqlite", feature = "postgres", feature = "mysql")),
    allow(dead_code, unused)
)]

mod error;
#[cfg(feature = "mysql")]
mod mysql;
mod parameters;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;
mod statement;
pub mod statements;
mod table;

use std::{sync::Arc, time::Duration};

use cloud_core::{Engine, Error, Result, Sql};
use secrecy::{ExposeSecret, SecretString};

/// How to connect.
///
/// ```
/// let options = cloud_sql::SqlOptions::default();
/// assert!(!options.read_only && options.max_connections == 4);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlOptions {
    /// Whether every change is refused with [`PermissionDenied`](cloud_core::ErrorKind::PermissionDenied). Default: no. On PostgreSQL a
    /// statement can switch it off again; what must not happen needs a role that may not do it.
    pub read_only: bool,
    /// The most connections, 1 to 1000. Default 4.
    pub max_connections: u32,
    /// How long to wait for a connection, at most a day. Default 10 s.
    pub acquire_timeout: Duration,
    /// SQLite only: how long to wait for another writer, at most a day. Default 5 s.
    pub busy_timeout: Duration,
}

impl Default for SqlOptions {
    fn default() -> Self {
        Self {
            read_only: false,
            max_connections: 4,
            acquire_timeout: Duration::from_secs(10),
            busy_timeout: Duration::from_secs(5),
        }
    }
}

impl SqlOptions {
    fn validate(&self) -> Result<()> {
        if !(1..=1000).contains(&self.max_connections) {
            let problem = format!("is {}", self.max_connections);
            return Err(Error::invalid("max_connections", problem, "1 to 1000"));
        }
        const DAY: Duration = Duration::from_secs(86_400);
        for (field, time) in
            [("acquire_timeout", self.acquire_timeout), ("busy_timeout", self.busy_timeout)]
        {
            if time > DAY || (field == "acquire_timeout" && time.is_zero()) {
                return Err(Error::invalid(
                    field,
                    format_args!("is {time:?}"),
                    "a time up to 24 h",
                ));
            }
        }
        Ok(())
    }
}

/// The error of a statement that was run on sqlx itself, as this crate reports it. Its effect is taken to be unknown
/// unless the database says otherwise.
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use sqlx::Connection;
/// let mut memory = sqlx::SqliteConnection::connect("sqlite::memory:").await.unwrap();
/// let error = sqlx::query("SELEC 1").execute(&mut memory).await.unwrap_err();
/// assert_eq!(cloud_sql::from_sqlx(error).kind(), cloud_core::ErrorKind::InvalidInput);
/// # });
/// ```
pub fn from_sqlx(error: sqlx::Error) -> Error {
    error::map(error, error::Phase::Running)
}

/// [`connect_with`] the default [`SqlOptions`].
///
/// # Errors
/// As for [`connect_with`].
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use cloud_core::{Column, ColumnType, Engine, Row, TableSpec};
///
/// let folder = tempfile::tempdir().unwrap();
/// let url = format!("sqlite://{}?mode=rwc", folder.path().join("shop.db").display());
/// let sql = cloud_sql::connect(Engine::Sqlite, &url.into()).await.unwrap();
///
/// let orders = TableSpec::new("orders", [Column::new("customer", ColumnType::Text).not_null()]);
/// assert!(sql.create_table(&orders).await.unwrap());
/// let id = sql.insert("orders", &Row::from([("customer".to_owned(), "Ada".into())])).await.unwrap();
/// let rows = sql.query("SELECT customer FROM orders WHERE id = $1", &[id.into()]).await.unwrap();
/// assert_eq!(rows[0]["customer"], "Ada".into());
/// # });
/// ```
pub async fn connect(engine: Engine, url: &SecretString) -> Result<Arc<dyn Sql>> {
    connect_with(engine, url, &SqlOptions::default()).await
}

/// Connects once, to see that the database is there and lets us in, and keeps a pool of connections.
///
/// An SQLite file is not made unless the URL says `?mode=rwc`. Dropping the future leaves nothing behind. Dropping a statement's
/// future leaves open whether the statement took effect.
///
/// # Errors
/// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for an option or a URL that is wrong or of another engine; [`Unsupported`](cloud_core::ErrorKind::Unsupported) for
/// an engine whose feature is off; [`Unavailable`](cloud_core::ErrorKind::Unavailable) if no server listens; [`Timeout`](cloud_core::ErrorKind::Timeout)
/// (`acquire_timeout`); [`Unauthenticated`](cloud_core::ErrorKind::Unauthenticated); [`NotFound`](cloud_core::ErrorKind::NotFound) if there is no such database;
/// [`Corrupt`](cloud_core::ErrorKind::Corrupt) for a file that is no database.
///
/// ```
/// use cloud_sql::{SqlOptions, connect_with};
/// use cloud_core::{Engine, Result, Sql};
///
/// async fn reporting(url: &cloud_core::SecretString) -> Result<std::sync::Arc<dyn Sql>> {
///     let options = SqlOptions { read_only: true, ..SqlOptions::default() };
///     connect_with(Engine::Postgres, url, &options).await
/// }
/// ```
pub async fn connect_with(
    engine: Engine,
    url: &SecretString,
    options: &SqlOptions,
) -> Result<Arc<dyn Sql>> {
    options.validate()?;
    let url = url.expose_secret();
    match engine {
        #[cfg(feature = "sqlite")]
        Engine::Sqlite => sqlite::connect(url, options).await,
        #[cfg(feature = "postgres")]
        Engine::Postgres => postgres::connect(url, options).await,
        #[cfg(feature = "mysql")]
        Engine::Mysql => mysql::connect(url, options).await,
        other => Err(Error::unsupported(format_args!("statements on {other}"))
            .with_hint("cloud-sql has a feature for each engine: sqlite, postgres, mysql")),
    }
}
