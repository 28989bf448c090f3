//! PostgreSQL.
//!
//! A statement is prepared first, with the types of those parameters left open whose type the value does not tell (texts and
//! NULLs), and the values are then sent in the types that the server needs. So a text can be a time, a decimal or a UUID.

mod numeric;
mod value;

use std::{str::FromStr, sync::Arc, time::Duration};

use async_trait::async_trait;
use cloud_core::{Effect, Error, Result, Row, Sql, SqlValue, TableSpec};
use futures::TryStreamExt;
use sea_query::PostgresQueryBuilder;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Either, Executor, PgConnection, PgPool, Postgres,
    SqlSafeStr, SqlStr, Statement,
    pool::PoolConnection,
    postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgQueryResult, PgRow, PgStatement},
};

use crate::{
    SqlOptions,
    error::{Phase, map},
    statement, table,
};

/// How long a look at a server may take that no connection could be had from.
const PROBE: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct PostgresSql {
    pool: PgPool,
}

pub(crate) async fn connect(url: &str, options: &SqlOptions) -> Result<Arc<dyn Sql>> {
    if !url.starts_with("postgres:") && !url.starts_with("postgresql:") {
        return Err(Error::invalid(
            "url",
            "is of another engine",
            "postgres://USER:PASSWORD@HOST:PORT/DATABASE",
        ));
    }
    let mut connect = PgConnectOptions::from_str(url)
        .map_err(|e| map(e, Phase::Connecting))?
        .disable_statement_logging();
    if options.read_only {
        connect = connect.options([("default_transaction_read_only", "on")]);
    }
    probe(&connect, options.acquire_timeout).await?;
    let pool = PgPoolOptions::new()
        .max_connections(options.max_connections)
        .acquire_timeout(options.acquire_timeout)
        .connect_lazy_with(connect);
    Ok(Arc::new(PostgresSql { pool }))
}

/// Connects once. The pool itself would try again and again while a server refuses, and then speak of a time-out.
async fn probe(options: &PgConnectOptions, limit: Duration) -> Result<()> {
    let look = async { PgConnection::connect_with(options).await?.close().await };
    match tokio::time::timeout(limit, look).await {
        Ok(answer) => answer.map_err(|e| map(e, Phase::Connecting)),
        Err(_) => Err(map(sqlx::Error::PoolTimedOut, Phase::Connecting)
            .context(format_args!("no answer from the server in {limit:?}"))),
    }
}

/// What a statement is, once the server knows it, and its values in the server's types.
struct Prepared {
    statement: PgStatement,
    arguments: PgArguments,
}

async fn prepare(
    connection: &mut PgConnection,
    text: &SqlStr,
    parameters: &[SqlValue],
) -> Result<Prepared> {
    let types: Vec<_> = parameters.iter().map(value::declared).collect();
    let statement = connection
        .prepare_with(text.clone(), &types)
        .await
        // Nothing was executed yet.
        .map_err(|e| map(e, Phase::Connecting))?;
    let needed = match statement.parameters() {
        Some(Either::Left(types)) => types,
        _ => &[],
    };
    if needed.len() != parameters.len() {
        let problem =
            format!("{} are given, {} are in the statement", parameters.len(), needed.len());
        return Err(Error::invalid("parameters:", problem, "one value for each of $1, $2, …"));
    }
    let arguments = value::arguments(parameters, needed)?;
    Ok(Prepared { statement, arguments })
}

/// The statement, told apart from the same text with values of other kinds: connections keep prepared statements by text.
fn keyed(statement: &str, parameters: &[SqlValue]) -> SqlStr {
    let mut text = statement.to_owned();
    if !parameters.is_empty() {
        text.push_str("\n-- ");
        text.extend(parameters.iter().map(value::kind));
    }
    AssertSqlSafe(text).into_sql_str()
}

/// Whether a statement that was prepared earlier has to be prepared anew, because a table has changed since.
fn is_stale(error: &sqlx::Error) -> bool {
    let text = "cached plan must not change result type";
    matches!(error, sqlx::Error::Database(e) if e.code().as_deref() == Some("0A000") && e.message() == text)
}

impl PostgresSql {
    async fn acquire(&self) -> Result<PoolConnection<Postgres>> {
        match self.pool.acquire().await {
            Ok(connection) => Ok(connection),
            Err(sqlx::Error::PoolTimedOut) => {
                // Either all are in use, or the server lets nobody in: then say that.
                probe(&self.pool.connect_options(), PROBE).await?;
                Err(map(sqlx::Error::PoolTimedOut, Phase::Connecting))
            }
            Err(error) => Err(map(error, Phase::Connecting)),
        }
    }

    async fn run(
        &self,
        statement: &str,
        parameters: &[SqlValue],
    ) -> Result<(Vec<PgRow>, PgQueryResult)> {
        let text = keyed(statement, parameters);
        let mut connection = self.acquire().await?;
        let mut again = true;
        loop {
            let Prepared { statement, arguments } =
                prepare(&mut connection, &text, parameters).await?;
            match collect(&mut connection, &statement, arguments).await {
                Err(error) if again && is_stale(&error) => {
                    again = false;
                    let cleared = connection.clear_cached_statements().await;
                    cleared.map_err(|e| map(e, Phase::Connecting))?;
                }
                done => return done.map_err(|e| map(e, Phase::Running)),
            }
        }
    }

    /// Runs what needs no checks, because it is ours.
    async fn fetch(&self, statement: &str, parameters: &[SqlValue]) -> Result<Vec<Row>> {
        let (rows, _) = self.run(statement, parameters).await?;
        rows.iter().map(|row| value::read(row).map_err(|e| e.with_effect(Effect::Done))).collect()
    }
}

async fn collect(
    connection: &mut PgConnection,
    statement: &PgStatement,
    arguments: PgArguments,
) -> Result<(Vec<PgRow>, PgQueryResult), sqlx::Error> {
    let (mut rows, mut result) = (Vec::new(), PgQueryResult::default());
    let mut answers = connection.fetch_many(statement.query_with(arguments));
    while let Some(answer) = answers.try_next().await? {
        match answer {
            Either::Left(done) => result.extend([done]),
            Either::Right(row) => rows.push(row),
        }
    }
    Ok((rows, result))
}

#[async_trait]
impl Sql for PostgresSql {
    async fn create_table(&self, spec: &TableSpec) -> Result<bool> {
        let statement = table::create(spec, PostgresQueryBuilder)?;
        match self.fetch(&statement, &[]).await {
            Ok(_) => Ok(true),
            // 23505 is what the loser of a race gets, from the catalogue.
            Err(error) if matches!(error.code(), Some("42P07" | "23505")) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn query(&self, statement: &str, parameters: &[SqlValue]) -> Result<Vec<Row>> {
        statement::check(statement, parameters.len(), true)?;
        self.fetch(statement, parameters).await
    }

    async fn execute(&self, statement: &str, parameters: &[SqlValue]) -> Result<u64> {
        let word = statement::check(statement, parameters.len(), true)?;
        let (_, result) = self.run(statement, parameters).await?;
        // Of a SELECT it would be the rows that were read.
        Ok(if statement::changes_rows(&word) { result.rows_affected() } else { 0 })
    }

    async fn insert(&self, table: &str, row: &Row) -> Result<i64> {
        let statement = table::insert(table, row, PostgresQueryBuilder)?;
        let values: Vec<_> = row.values().cloned().collect();
        table::inserted(self.fetch(&statement, &values).await?)
    }
}
