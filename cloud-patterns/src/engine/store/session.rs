//! What the stores ask of a database: connections that run statements of integers and texts.
//!
//! This is all that differs between SQLite and PostgreSQL, so that everything else is written once.

use std::{fmt::Debug, future::Future};

use async_trait::async_trait;
use cloud_core::{Effect, Error, ErrorKind, Result};
use jiff::Timestamp;

/// A parameter or a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// SQL's NULL, where a text could be.
    Null,
    /// An integer.
    Int(i64),
    /// A text.
    Text(String),
}

impl From<i64> for Value {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row of a result, its columns taken from left to right.
#[derive(Debug)]
pub struct Row(pub(super) std::vec::IntoIter<Value>);

impl Row {
    pub(super) fn int(&mut self) -> Result<i64> {
        match self.0.next() {
            Some(Value::Int(int)) => Ok(int),
            other => Err(unexpected("an integer", other.as_ref())),
        }
    }

    /// An integer that is never negative: a sequence, an epoch.
    pub(super) fn count(&mut self) -> Result<u64> {
        let int = self.int()?;
        u64::try_from(int).map_err(|_| unexpected("a count", Some(&Value::Int(int))))
    }

    pub(super) fn text(&mut self) -> Result<String> {
        match self.0.next() {
            Some(Value::Text(text)) => Ok(text),
            other => Err(unexpected("a text", other.as_ref())),
        }
    }

    pub(super) fn optional_text(&mut self) -> Result<Option<String>> {
        match self.0.next() {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Null) => Ok(None),
            other => Err(unexpected("a text", other.as_ref())),
        }
    }
}

fn unexpected(wanted: &str, found: Option<&Value>) -> Error {
    let found = match found {
        None => "nothing",
        Some(Value::Null) => "NULL",
        Some(Value::Int(_)) => "an integer",
        Some(Value::Text(_)) => "a text",
    };
    corrupt(format!("a column of the store has {found} instead of {wanted}"))
}

pub(super) fn corrupt(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, message).with_hint("restore the store from a backup")
}

/// What a query answered.
#[derive(Debug)]
pub struct Rows {
    /// The rows.
    pub rows: Vec<Row>,
    /// Whether it was cut off because the rows became too large.
    pub cut: bool,
}

/// A connection. Its errors are ours already, with [`Effect::None`]: before a commit nothing has happened.
#[async_trait]
pub trait Connection: Send {
    /// Runs one statement. Ends early once its rows have more than `max_bytes` bytes of text.
    async fn query(&mut self, sql: String, arguments: Vec<Value>, max_bytes: usize)
    -> Result<Rows>;

    /// Closes the connection instead of keeping it for the next who needs one.
    fn discard(&mut self);
}

impl dyn Connection + '_ {
    pub(super) async fn run(&mut self, sql: &str, arguments: Vec<Value>) -> Result<Vec<Row>> {
        let answer = self.query(sql.to_owned(), arguments, usize::MAX).await?;
        Ok(answer.rows)
    }
}

/// A database that can hold a store.
pub trait Backend: Debug + Send + Sync + 'static {
    /// Begins a transaction that may write.
    const BEGIN: &'static str;
    /// Appended to the first query of a transaction that writes, so that one such runs at a time.
    const LOCK: &'static str;

    /// A connection, at once or when one is free.
    fn connection(&self) -> impl Future<Output = Result<Box<dyn Connection>>> + Send;

    /// The time that counts for leases.
    fn now(
        &self,
        connection: &mut dyn Connection,
    ) -> impl Future<Output = Result<Timestamp>> + Send;

    /// What may be read at the same time.
    fn reads(&self) -> &tokio::sync::Semaphore;

    /// Whether an error of COMMIT says that nothing was committed.
    fn surely_not_committed(&self, error: &Error) -> bool;

    /// Runs work on the database where it blocks nobody.
    fn section<T: Send + 'static>(
        work: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Result<T>> + Send;
}

/// Implements [`Connection`] for a pooled connection of a database.
macro_rules! connection {
    ($name:ident, $database:ty, $explain:path) => {
        struct $name(sqlx::pool::PoolConnection<$database>);

        #[async_trait::async_trait]
        impl Connection for $name {
            async fn query(
                &mut self,
                sql: String,
                arguments: Vec<Value>,
                max_bytes: usize,
            ) -> Result<Rows> {
                use futures::TryStreamExt;
                use sqlx::{Row as _, TypeInfo, ValueRef};

                let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
                for argument in arguments {
                    query = match argument {
                        Value::Null => query.bind(None::<String>),
                        Value::Int(int) => query.bind(int),
                        Value::Text(text) => query.bind(text),
                    };
                }
                let mut found = query.fetch(&mut *self.0);
                let (mut rows, mut bytes) = (Vec::new(), 0);
                while let Some(row) = found.try_next().await.map_err($explain)? {
                    let column = |i| {
                        let raw = row.try_get_raw(i)?;
                        if raw.is_null() {
                            return Ok(Value::Null);
                        }
                        match raw.type_info().name() {
                            "INTEGER" | "INT8" => row.try_get(i).map(Value::Int),
                            _ => row.try_get(i).map(Value::Text),
                        }
                    };
                    let columns = (0..row.len()).map(column).collect::<sqlx::Result<Vec<_>>>();
                    let columns = columns.map_err($explain)?;
                    for column in &columns {
                        if let Value::Text(text) = column {
                            bytes += text.len();
                        }
                    }
                    rows.push(Row(columns.into_iter()));
                    if bytes > max_bytes {
                        return Ok(Rows { rows, cut: true });
                    }
                }
                Ok(Rows { rows, cut: false })
            }

            fn discard(&mut self) {
                self.0.close_on_drop();
            }
        }
    };
}
pub(super) use connection;

/// What a caller is told when the writer or its runtime is gone.
pub(super) fn ended(effect: Effect) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the store's writer has ended, because the runtime that opened the store has",
    )
    .with_retry(cloud_core::Retry::Never)
    .with_effect(effect)
    .with_hint("open the store again")
}
