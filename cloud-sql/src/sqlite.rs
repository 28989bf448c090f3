//! SQLite.

use std::{str::FromStr, sync::Arc};

use async_trait::async_trait;
use cloud_core::{Effect, Error, ErrorKind, Result, Row, Sql, SqlValue, TableSpec};
use sea_query::SqliteQueryBuilder;
use sqlx::{
    AssertSqlSafe, Column, ConnectOptions, Row as _, Sqlite, SqlitePool, TypeInfo, ValueRef,
    pool::PoolConnection,
    query::Query,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqlitePoolOptions, SqliteRow},
};

use crate::{
    SqlOptions,
    error::{self, Phase, map},
    statement, table,
};

#[derive(Debug)]
struct SqliteSql {
    pool: SqlitePool,
}

pub(crate) async fn connect(url: &str, options: &SqlOptions) -> Result<Arc<dyn Sql>> {
    if !url.starts_with("sqlite:") {
        return Err(Error::invalid("url", "is of another engine", "sqlite://PATH"));
    }
    let mut connect = SqliteConnectOptions::from_str(url)
        .map_err(|e| map(e, Phase::Connecting))?
        .busy_timeout(options.busy_timeout)
        .disable_statement_logging();
    if options.read_only {
        connect = connect.read_only(true);
    }
    let pool = SqlitePoolOptions::new()
        .max_connections(options.max_connections)
        .acquire_timeout(options.acquire_timeout)
        .connect_with(connect)
        .await
        .map_err(|e| map(e, Phase::Connecting))?;
    let sql = SqliteSql { pool };
    // Opening reads nothing: only this tells a database from any other file.
    sql.query("SELECT count(*) AS n FROM sqlite_schema", &[]).await?;
    Ok(Arc::new(sql))
}

fn bind(
    statement: &str,
    parameters: &[SqlValue],
) -> Result<Query<'static, Sqlite, SqliteArguments>> {
    let mut query = sqlx::query(AssertSqlSafe(statement.to_owned()));
    for (i, value) in parameters.iter().enumerate() {
        query = match value {
            SqlValue::Null => query.bind(None::<i64>),
            SqlValue::Bool(b) => query.bind(*b),
            SqlValue::Int(n) => query.bind(*n),
            SqlValue::Float(x) if x.is_nan() => {
                let field = format!("parameter ${}", i + 1);
                return Err(Error::invalid(&field, "is NaN", "a number: SQLite has no NaN"));
            }
            SqlValue::Float(x) => query.bind(*x),
            SqlValue::Text(text) => query.bind(text.clone()),
            SqlValue::Bytes(bytes) => query.bind(bytes.clone()),
        };
    }
    Ok(query)
}

fn read(row: &SqliteRow) -> Result<Row> {
    let mut values = Row::new();
    for column in row.columns() {
        let at = column.ordinal();
        let raw = row.try_get_raw(at).map_err(|e| map(e, Phase::Running))?;
        let type_name = raw.type_info().name().to_owned();
        let value = match &*type_name {
            _ if raw.is_null() => Ok(SqlValue::Null),
            "INTEGER" => row.try_get_unchecked(at).map(SqlValue::Int),
            "REAL" => row.try_get_unchecked(at).map(SqlValue::Float),
            "TEXT" => row.try_get_unchecked(at).map(SqlValue::Text),
            _ => row.try_get_unchecked(at).map(SqlValue::Bytes),
        };
        let value = value.map_err(|e| {
            error::column(column.name(), &type_name, format_args!("is unreadable: {e}"))
                .with_hint(format!("cast it in the statement: CAST({} AS blob)", column.name()))
        })?;
        if values.insert(column.name().to_owned(), value).is_some() {
            return Err(error::duplicate(column.name()));
        }
    }
    Ok(values)
}

impl SqliteSql {
    async fn acquire(&self) -> Result<PoolConnection<Sqlite>> {
        self.pool.acquire().await.map_err(|e| map(e, Phase::Connecting))
    }

    /// Runs what needs no checks, because it is ours.
    async fn fetch(&self, statement: &str, parameters: &[SqlValue]) -> Result<Vec<Row>> {
        let query = bind(statement, parameters)?;
        let mut connection = self.acquire().await?;
        let rows = query.fetch_all(&mut *connection).await;
        let rows = rows.map_err(|e| map(e, Phase::Running))?;
        rows.iter().map(|row| read(row).map_err(|e| e.with_effect(Effect::Done))).collect()
    }
}

#[async_trait]
impl Sql for SqliteSql {
    async fn create_table(&self, spec: &TableSpec) -> Result<bool> {
        let statement = table::create(spec, SqliteQueryBuilder)?;
        let Err(error) = self.fetch(&statement, &[]).await else {
            return Ok(true);
        };
        // "It is there already" has no code of its own.
        let look =
            "SELECT 1 AS n FROM sqlite_schema WHERE type = 'table' AND name = $1 COLLATE NOCASE";
        match self.fetch(look, &[(*spec.name).into()]).await {
            Ok(found) if error.kind() == ErrorKind::InvalidInput && !found.is_empty() => Ok(false),
            _ => Err(error),
        }
    }

    async fn query(&self, statement: &str, parameters: &[SqlValue]) -> Result<Vec<Row>> {
        let word = statement::check(statement, parameters.len(), false)?;
        statement::check_sqlite(statement, &word, parameters.len())?;
        self.fetch(statement, parameters).await
    }

    async fn execute(&self, statement: &str, parameters: &[SqlValue]) -> Result<u64> {
        let word = statement::check(statement, parameters.len(), false)?;
        statement::check_sqlite(statement, &word, parameters.len())?;
        let query = bind(statement, parameters)?;
        let mut connection = self.acquire().await?;
        let done = query.execute(&mut *connection).await;
        let changed = done.map_err(|e| map(e, Phase::Running))?.rows_affected();
        // After any other statement SQLite still tells of the change before.
        Ok(if statement::changes_rows(&word) { changed } else { 0 })
    }

    async fn insert(&self, table: &str, row: &Row) -> Result<i64> {
        let statement = table::insert(table, row, SqliteQueryBuilder)?;
        let values: Vec<_> = row.values().cloned().collect();
        table::inserted(self.fetch(&statement, &values).await?)
    }
}
