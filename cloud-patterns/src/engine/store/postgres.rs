//! The store in a PostgreSQL database, for several machines.

use std::{future::Future, str::FromStr, time::Duration};

use cloud_core::{Effect, Error, ErrorKind, Result, Retry, SecretString, secret::ExposeSecret};
use jiff::Timestamp;
use sqlx::{
    PgPool, Postgres,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::Semaphore;

use super::{
    schema,
    session::{Backend, Connection, Row, Rows, Value, connection, corrupt},
    sql::SqlStore,
};

const CONNECTIONS: u32 = 10;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(30);

/// Set for every connection. A machine that hangs or is cut off in the middle of a transaction must not hold the others
/// up for longer, and an append must be on the server's disk when it returns, whatever the database's default is.
const SESSION: &str = "SET lock_timeout = '30s'; SET statement_timeout = '60s'; \
     SET idle_in_transaction_session_timeout = '10s'; \
     SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// Orders those who make the tables at the same moment; any number that no other user of the database has.
const CREATING: &str = "SELECT pg_advisory_xact_lock(7881695318476189812)::text";

/// A [`Store`](super::Store) in a PostgreSQL database (12 or later, UTF-8), which any number of machines may share.
///
/// Its tables begin with `multicloud_` and are in the first schema of the user's search path. Expiry of leases and
/// the times of entries go by the server's clock (`clock_timestamp()`), so the machines' own clocks do not matter.
///
/// Transactions that write run one after the other, whichever machine they are of: each first locks the store's one row.
/// That makes every append and every acquire happen wholly before or after the other.
pub type PostgresStore = SqlStore<PostgresBackend>;

/// The PostgreSQL side of [`PostgresStore`].
#[derive(Debug)]
pub struct PostgresBackend {
    pool: PgPool,
    reads: Semaphore,
}

impl SqlStore<PostgresBackend> {
    /// Connects to a database by its URL, `postgres://user:password@host:port/database?sslmode=verify-full`, and makes
    /// the tables if they are not there. A lost connection is made again by itself.
    ///
    /// Dropping the future leaves either no tables or all.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a malformed URL, [`ErrorKind::Unavailable`] if no server answers within 30
    /// seconds, [`ErrorKind::Unauthenticated`], [`ErrorKind::PermissionDenied`], [`ErrorKind::NotFound`] if there is no such database,
    /// [`ErrorKind::Unsupported`] if it is not in UTF-8, [`ErrorKind::Corrupt`] if a newer version made the tables.
    ///
    /// ```no_run
    /// # async fn example() -> cloud_core::Result<()> {
    /// use cloud_core::SecretRef;
    /// use cloud_patterns::engine::store::PostgresStore;
    ///
    /// let url = SecretRef::Env("MULTICLOUD_STORE".into()).resolve()?;
    /// let store = PostgresStore::connect(&url).await?;
    /// # drop(store); Ok(()) }
    /// ```
    pub async fn connect(url: &SecretString) -> Result<Self> {
        let connected = open(url).await;
        connected
            .map(Self::new)
            .map_err(|e| e.with_operation("store.connect").with_effect(Effect::None))
    }
}

async fn open(url: &SecretString) -> Result<PostgresBackend> {
    let options = PgConnectOptions::from_str(url.expose_secret()).map_err(|_| {
        // The cause is left out: it may quote the URL.
        Error::invalid("store url", "is malformed", "postgres://user:password@host:port/database")
    })?;
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(CONNECT)
        .after_connect(|connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(SESSION).execute(connection).await?;
                Ok(())
            })
        })
        .connect_with(options.application_name("multicloud"))
        .await
        .map_err(explain)?;
    let backend = PostgresBackend {
        pool,
        // One connection is always left for the writer.
        reads: Semaphore::new(CONNECTIONS as usize - 1),
    };
    let mut connection = backend.connection().await?;
    prepare(&mut *connection).await?;
    drop(connection);
    Ok(backend)
}

async fn prepare(connection: &mut dyn Connection) -> Result<()> {
    let encoding = one(connection, "SELECT current_setting('server_encoding')").await?.text()?;
    if encoding != "UTF8" {
        let message = format!("the database is in {encoding}; a store needs UTF8");
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    if !there(connection).await? {
        connection.run(PostgresBackend::BEGIN, vec![]).await?;
        let made = async {
            connection.run(CREATING, vec![]).await?;
            if there(connection).await? {
                return Ok(());
            }
            schema::create(connection, "BIGINT", "TEXT COLLATE \"C\"").await
        };
        let end = match made.await {
            Ok(()) => connection.run("COMMIT", vec![]).await,
            Err(error) => {
                connection.discard();
                Err(error)
            }
        };
        end?;
    }
    schema::check(connection, "").await
}

async fn there(connection: &mut dyn Connection) -> Result<bool> {
    // Not to_regclass: it may answer from the server process's cache, which the wait for a lock does not refresh.
    let sql = "SELECT count(*) FROM pg_catalog.pg_class \
               WHERE relname = 'multicloud_store' AND pg_catalog.pg_table_is_visible(oid)";
    Ok(one(connection, sql).await?.int()? == 1)
}

async fn one(connection: &mut dyn Connection, sql: &str) -> Result<Row> {
    let rows = connection.run(sql, vec![]).await?;
    rows.into_iter().next().ok_or_else(|| corrupt("PostgreSQL answered nothing"))
}

connection!(Pooled, Postgres, explain);

impl Backend for PostgresBackend {
    // Named, because with any other level, which may be the default, a transaction that waited for the lock would
    // go on with what it saw before.
    const BEGIN: &'static str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
    const LOCK: &'static str = " FOR UPDATE";

    async fn connection(&self) -> Result<Box<dyn Connection>> {
        let connection = self.pool.acquire().await.map_err(explain)?;
        Ok(Box::new(Pooled(connection)))
    }

    async fn now(&self, connection: &mut dyn Connection) -> Result<Timestamp> {
        // A statement of its own: in the one that waits for the lock it would tell the time before the wait.
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
        let micros = one(connection, sql).await?.int()?;
        Timestamp::from_microsecond(micros)
            .map_err(|e| corrupt(format!("the server's clock is out of range: {e}")))
    }

    fn reads(&self) -> &Semaphore {
        &self.reads
    }

    fn surely_not_committed(&self, error: &Error) -> bool {
        // An answer of the server says so. A lost connection says nothing.
        error.code().is_some()
    }

    async fn section<T: Send + 'static>(
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        Ok(work.await)
    }
}

/// PostgreSQL's error as ours. Nothing has happened: until a transaction is committed it can only be rolled back.
fn explain(error: sqlx::Error) -> Error {
    use sqlx::Error as Sql;
    let code = match &error {
        Sql::Database(e) => e.code().map(|code| code.into_owned()),
        _ => None,
    };
    let kind = match (&error, code.as_deref()) {
        // https://www.postgresql.org/docs/current/errcodes-appendix.html
        (_, Some("53100")) => ErrorKind::StorageFull,
        (_, Some("42501")) => ErrorKind::PermissionDenied,
        (_, Some("3D000")) => ErrorKind::NotFound,
        (_, Some("40001" | "40P01")) => ErrorKind::Conflict,
        (_, Some("42P01" | "42703" | "42804" | "XX001" | "XX002")) => ErrorKind::Corrupt,
        (_, Some("25006" | "25P03" | "55P03" | "57014")) => ErrorKind::Unavailable,
        (_, Some(code)) => match code.get(..2) {
            Some("08" | "53" | "57") => ErrorKind::Unavailable,
            Some("28") => ErrorKind::Unauthenticated,
            _ => ErrorKind::Internal,
        },
        (Sql::Io(_) | Sql::Tls(_) | Sql::PoolTimedOut | Sql::WorkerCrashed, None) => {
            ErrorKind::Unavailable
        }
        (Sql::ColumnDecode { .. } | Sql::Decode(_), None) => ErrorKind::Corrupt,
        _ => ErrorKind::Internal,
    };
    let mut ours = Error::new(kind, format!("PostgreSQL: {error}")).with_effect(Effect::None);
    if let Some(code) = code {
        ours = ours.with_code(code);
    }
    match kind {
        ErrorKind::Conflict | ErrorKind::Unavailable => ours = ours.with_retry(Retry::Backoff),
        ErrorKind::StorageFull => ours = ours.with_hint("free some space on the server and repeat"),
        _ => {}
    }
    ours.with_source(error)
}
