//! MySQL and MariaDB.
//!
//! Every statement is prepared by the server, whose notation of parameters is `?`: `$1`, `$2`, … are rewritten, and a value that
//! stands twice is sent twice.

mod value;

use std::{str::FromStr, sync::Arc, time::Duration};

use async_trait::async_trait;
use cloud_core::{Effect, Error, ErrorKind, Result, Row, Sql, SqlValue, TableSpec};
use futures::TryStreamExt;
use sea_query::MysqlQueryBuilder;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Either, Executor, MySql, MySqlConnection, MySqlPool,
    mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlQueryResult, MySqlRow},
    pool::PoolConnection,
};

use crate::{
    SqlOptions,
    error::{Phase, map},
    parameters::{self, Dialect},
    statement, table,
};

/// How long a look at a server may take that no connection could be had from.
const PROBE: Duration = Duration::from_secs(2);

/// Words at the beginning of a statement that change its connection, or speak another protocol.
const REFUSED: [&str; 8] =
    ["DEALLOCATE", "EXECUTE", "HANDLER", "LOAD", "LOCK", "UNLOCK", "USE", "XA"];

#[derive(Debug)]
struct MySqlSql {
    pool: MySqlPool,
}

pub(crate) async fn connect(url: &str, options: &SqlOptions) -> Result<Arc<dyn Sql>> {
    if !url.starts_with("mysql:") && !url.starts_with("mariadb:") {
        return Err(Error::invalid(
            "url",
            "is of another engine",
            "mysql://USER:PASSWORD@HOST:PORT/DATABASE",
        ));
    }
    let connect = MySqlConnectOptions::from_str(url)
        .map_err(|e| map(e, Phase::Connecting))?
        .disable_statement_logging();
    probe(&connect, options.acquire_timeout).await?;
    let mut pool = MySqlPoolOptions::new()
        .max_connections(options.max_connections)
        .acquire_timeout(options.acquire_timeout);
    if options.read_only {
        pool = pool.after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute("SET SESSION TRANSACTION READ ONLY").await.map(drop)
            })
        });
    }
    Ok(Arc::new(MySqlSql { pool: pool.connect_lazy_with(connect) }))
}

/// Connects once. The pool itself would try again and again while a server refuses, and then speak of a time-out.
async fn probe(options: &MySqlConnectOptions, limit: Duration) -> Result<()> {
    let look = async { MySqlConnection::connect_with(options).await?.close().await };
    match tokio::time::timeout(limit, look).await {
        Ok(answer) => answer.map_err(|e| map(e, Phase::Connecting)),
        Err(_) => Err(map(sqlx::Error::PoolTimedOut, Phase::Connecting)
            .context(format_args!("no answer from the server in {limit:?}"))),
    }
}

/// The first word of a statement that passes, and the statement in the server's notation with the values in its order.
fn translate(statement: &str, values: &[SqlValue]) -> Result<(String, String, Vec<SqlValue>)> {
    let word = statement::check(statement, values.len(), false)?;
    if REFUSED.contains(&&*word) {
        return Err(statement::refused(&word));
    }
    let (text, order) = parameters::rewrite(
        statement,
        Dialect::Mysql,
        values.len(),
        |rest| rest.starts_with('?'),
        |_, text| text.push('?'),
    )?;
    let values = order.iter().filter_map(|number| values.get(number - 1).cloned()).collect();
    Ok((word, text, values))
}

impl MySqlSql {
    async fn acquire(&self) -> Result<PoolConnection<MySql>> {
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

    /// Runs a statement in the server's own notation.
    async fn run(
        &self,
        statement: String,
        values: &[SqlValue],
    ) -> Result<(Vec<MySqlRow>, MySqlQueryResult)> {
        let query = value::bind(AssertSqlSafe(statement), values)?;
        let mut connection = self.acquire().await?;
        let (mut rows, mut result) = (Vec::new(), MySqlQueryResult::default());
        let mut answers = connection.fetch_many(query);
        while let Some(answer) = answers.try_next().await.map_err(|e| map(e, Phase::Running))? {
            match answer {
                Either::Left(done) => result.extend([done]),
                Either::Right(row) => rows.push(row),
            }
        }
        Ok((rows, result))
    }
}

#[async_trait]
impl Sql for MySqlSql {
    async fn create_table(&self, spec: &TableSpec) -> Result<bool> {
        let statement = table::create_mysql(spec)?;
        match self.run(statement, &[]).await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("42S01") => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn query(&self, statement: &str, parameters: &[SqlValue]) -> Result<Vec<Row>> {
        let (_, statement, values) = translate(statement, parameters)?;
        let (rows, _) = self.run(statement, &values).await?;
        rows.iter().map(|row| value::read(row).map_err(|e| e.with_effect(Effect::Done))).collect()
    }

    async fn execute(&self, statement: &str, parameters: &[SqlValue]) -> Result<u64> {
        let (word, statement, values) = translate(statement, parameters)?;
        let (_, result) = self.run(statement, &values).await?;
        Ok(if statement::changes_rows(&word) { result.rows_affected() } else { 0 })
    }

    async fn insert(&self, table: &str, row: &Row) -> Result<i64> {
        let statement = table::insert(table, row, MysqlQueryBuilder)?;
        let values: Vec<_> = row.values().cloned().collect();
        let (_, result) = self.run(statement, &values).await?;
        match i64::try_from(result.last_insert_id()) {
            Ok(id) if id != 0 => Ok(id),
            // The counter does not tell what was given.
            _ => match row.get("id") {
                Some(SqlValue::Int(id)) => Ok(*id),
                _ => Err(Error::new(ErrorKind::Internal, "the row was inserted, but got no id")
                    .with_effect(Effect::Done)
                    .with_hint("insert only into tables that create_table made")),
            },
        }
    }
}
