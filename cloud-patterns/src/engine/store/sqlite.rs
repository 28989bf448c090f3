//! The store in a SQLite file: made whole or not at all, never made anew, safe between processes.

use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cloud_core::{Clock, Effect, Error, ErrorKind, Result, Retry};
use jiff::Timestamp;
use sqlx::{
    Sqlite, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::{runtime::Handle, sync::Semaphore};

use super::{
    schema,
    session::{Backend, Connection, Row, Rows, Value, connection, corrupt, ended},
    sql::SqlStore,
};

/// Marks our files, so that the file of another program is never taken for one: `mcst` in ASCII.
const APPLICATION_ID: i64 = 0x6d63_7374;

/// How long a process waits for the others that write to the same file.
const BUSY: Duration = Duration::from_secs(30);

const CONNECTIONS: u32 = 5;

/// A [`Store`](super::Store) in one SQLite file, which any number of processes of this machine may have open. Mode 0600.
///
/// An append is on the disk when it returns (write-ahead log, `synchronous=FULL`). Expiry of leases goes by the
/// clock that is given to [`open`](Self::open). The file has to be on a local file system: over NFS and the like, use `PostgresStore`.
///
/// Calls run on the runtime's blocking threads. Under `tokio::time::pause`, time stands still while one is running, so a
/// simulation sees the store answer at once.
pub type SqliteStore = SqlStore<SqliteBackend>;

/// The SQLite side of [`SqliteStore`].
#[derive(Debug)]
pub struct SqliteBackend {
    pool: SqlitePool,
    reads: Semaphore,
    clock: Arc<dyn Clock>,
}

impl SqlStore<SqliteBackend> {
    /// Opens the store in this file, or makes an empty one if there is no such file. Its folder has to be there.
    ///
    /// Dropping the future leaves either no file or a whole store.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if the file is something else than a store, damaged, or written by a newer version; it
    /// is left as it is. [`ErrorKind::NotFound`] if the folder is not there, [`ErrorKind::PermissionDenied`] if
    /// folder or file may not be written, [`ErrorKind::StorageFull`], and [`ErrorKind::Unavailable`] if
    /// another process holds the file for more than 30 seconds.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// use std::sync::Arc;
    /// use cloud_core::SystemClock;
    /// use cloud_patterns::engine::store::SqliteStore;
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let folder = folder.path();
    /// let store = SqliteStore::open(folder.join("multicloud.db"), Arc::new(SystemClock)).await?;
    /// # drop(store);
    /// # Ok::<(), cloud_core::Error>(()) }).unwrap();
    /// ```
    pub async fn open(path: impl AsRef<Path>, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::open_with(path.as_ref(), clock, |options| options).await
    }

    /// A store that is gone when it is dropped: for tests and simulations.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if SQLite cannot start a thread for it.
    pub async fn in_memory(clock: Arc<dyn Clock>) -> Result<Self> {
        // One connection, which is never closed: it is the database.
        let options = SqliteConnectOptions::new().filename(":memory:");
        let backend = SqliteBackend::new(options, 1, clock);
        let backend = SqliteBackend::section(async move {
            let mut connection = backend.connection().await?;
            schema::create(&mut *connection, "INTEGER", "TEXT").await?;
            drop(connection);
            Ok::<_, Error>(backend)
        })
        .await??;
        Ok(Self::new(backend))
    }

    async fn open_with(
        path: &Path,
        clock: Arc<dyn Clock>,
        tune: impl FnOnce(SqliteConnectOptions) -> SqliteConnectOptions,
    ) -> Result<Self> {
        let opened = async {
            // Absolute, because SQLite gives some relative names a meaning of their own (`:memory:`, `file:…`).
            let path = std::path::absolute(path).map_err(|e| unusable(path, e))?;
            let options = tune(existing(&path));
            SqliteBackend::section(open(path, options, clock)).await?
        };
        opened
            .await
            .map(Self::new)
            .map_err(|e: Error| e.context(format_args!("store {}", path.display())))
            .map_err(|e| e.with_operation("store.open").with_effect(Effect::None))
    }
}

/// How to connect to a store that is there. Its journal mode is kept in the file.
fn existing(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY)
}

async fn open(
    path: PathBuf,
    options: SqliteConnectOptions,
    clock: Arc<dyn Clock>,
) -> Result<SqliteBackend> {
    // Only its metadata: to open and close the file besides SQLite would drop the locks that SQLite has on it.
    match std::fs::metadata(&path) {
        Ok(there) if there.is_file() => {}
        Ok(_) => {
            return Err(Error::invalid("path", "is not a file", "a file, or no file yet"));
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => create(&path).await?,
        Err(e) => return Err(unusable(&path, e)),
    }
    let backend = SqliteBackend::new(options, CONNECTIONS, clock);
    let mut connection = backend.connection().await?;
    let id = connection.run("PRAGMA application_id", vec![]).await?;
    if first(id)? != APPLICATION_ID {
        return Err(corrupt("the file is not a store of this library; it was left as it is")
            .with_hint("give the path of another file"));
    }
    schema::check(&mut *connection, SqliteBackend::LOCK).await?;
    // A file that may only be read is found out now, not at the first append.
    connection.run(SqliteBackend::BEGIN, vec![]).await?;
    connection.run("ROLLBACK", vec![]).await?;
    drop(connection);
    Ok(backend)
}

/// Makes an empty store beside the path and moves it there, unless another process was faster.
async fn create(path: &Path) -> Result<()> {
    let folder =
        path.parent().ok_or_else(|| Error::invalid("path", "is a root folder", "a file"))?;
    let draft = tempfile::Builder::new()
        .prefix(".multicloud-store-")
        .tempfile_in(folder)
        .map_err(|e| unusable(folder, e))?;
    let options = existing(draft.path())
        .journal_mode(SqliteJournalMode::Wal)
        .pragma("application_id", APPLICATION_ID.to_string());
    let pool = pool(options, 1);
    let made = fill(pool.acquire().await.map_err(explain)?).await;
    // Closing moves the write-ahead log into the file.
    pool.close().await;
    made?;
    draft.as_file().sync_all().map_err(|e| unusable(path, e))?;
    match draft.persist_noclobber(path) {
        Ok(_) => {}
        Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(unusable(path, e.error)),
    }
    std::fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| unusable(folder, e))
}

async fn fill(connection: sqlx::pool::PoolConnection<Sqlite>) -> Result<()> {
    let mut connection: Box<dyn Connection> = Box::new(Pooled(connection));
    connection.run(SqliteBackend::BEGIN, vec![]).await?;
    schema::create(&mut *connection, "INTEGER", "TEXT").await?;
    connection.run("COMMIT", vec![]).await?;
    Ok(())
}

fn unusable(path: &Path, error: io::Error) -> Error {
    Error::from(error).context(format_args!("{} cannot be used", path.display()))
}

fn first(rows: Vec<Row>) -> Result<i64> {
    match rows.into_iter().next() {
        Some(mut row) => row.int(),
        None => Err(corrupt("SQLite answered nothing")),
    }
}

fn pool(options: SqliteConnectOptions, connections: u32) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(connections)
        // Nothing closes a connection in the background: the only one of a store in memory is the store.
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .acquire_timeout(BUSY)
        .connect_lazy_with(options)
}

impl SqliteBackend {
    fn new(options: SqliteConnectOptions, connections: u32, clock: Arc<dyn Clock>) -> Self {
        Self {
            pool: pool(options, connections),
            // One connection is always left for the writer.
            reads: Semaphore::new(connections.saturating_sub(1).max(1) as usize),
            clock,
        }
    }
}

connection!(Pooled, Sqlite, explain);

impl Backend for SqliteBackend {
    // Takes the write lock at once: a lock taken later could fail when another process has written since the first read.
    const BEGIN: &'static str = "BEGIN IMMEDIATE";
    const LOCK: &'static str = "";

    async fn connection(&self) -> Result<Box<dyn Connection>> {
        let connection = self.pool.acquire().await.map_err(explain)?;
        Ok(Box::new(Pooled(connection)))
    }

    async fn now(&self, _: &mut dyn Connection) -> Result<Timestamp> {
        Ok(self.clock.now())
    }

    fn reads(&self) -> &Semaphore {
        &self.reads
    }

    fn surely_not_committed(&self, error: &Error) -> bool {
        // Without room, or behind another's lock, the end of the transaction was not written to the log.
        matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::Unavailable)
    }

    async fn section<T: Send + 'static>(
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        // A blocking task also keeps a paused clock from running on while SQLite's own thread works.
        tokio::task::spawn_blocking(move || Handle::current().block_on(work))
            .await
            .map_err(|_| ended(Effect::Unknown))
    }
}

/// SQLite's error as ours. Nothing has happened: until a transaction is committed it can only be rolled back.
fn explain(error: sqlx::Error) -> Error {
    let code = match &error {
        sqlx::Error::Database(e) => e.code().and_then(|code| code.parse::<u32>().ok()),
        _ => None,
    };
    // The low byte is the primary code: https://www.sqlite.org/rescode.html
    let (kind, hint) = match code.map(|code| code & 0xff) {
        Some(3 | 8 | 23) => {
            (ErrorKind::PermissionDenied, "check the owner and the mode of the file and its folder")
        }
        Some(5 | 6) => (ErrorKind::Unavailable, "another process holds the store; repeat"),
        Some(11 | 26) => {
            (ErrorKind::Corrupt, "the file was left as it is; restore it from a backup")
        }
        Some(13) => (ErrorKind::StorageFull, "free some space and repeat"),
        Some(14) => (
            ErrorKind::PermissionDenied,
            "check that the folder may be written: SQLite keeps its log beside the file",
        ),
        // A table or column that should be there is not.
        Some(1) => (ErrorKind::Corrupt, "the file is not a store of this library, or damaged"),
        _ => match &error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                (ErrorKind::Corrupt, "restore the store from a backup")
            }
            sqlx::Error::PoolTimedOut => {
                (ErrorKind::Unavailable, "the machine is overloaded; repeat")
            }
            _ => (ErrorKind::Internal, "look at the disk and the system's log"),
        },
    };
    let mut ours =
        Error::new(kind, format!("SQLite: {error}")).with_effect(Effect::None).with_hint(hint);
    if let Some(code) = code {
        ours = ours.with_code(format!("SQLITE_{code}"));
    }
    if kind == ErrorKind::Unavailable {
        ours = ours.with_retry(Retry::Backoff);
    }
    ours.with_source(error)
}

#[cfg(test)]
mod tests {
    use cloud_core::SystemClock;

    use super::*;
    use crate::engine::store::{Record, Store, StoreExt};

    #[tokio::test]
    async fn a_full_disk_fails_what_does_not_fit_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let full = |options: SqliteConnectOptions| options.pragma("max_page_count", "60");
        let store = SqliteStore::open_with(&path, clock.clone(), full).await.unwrap();
        let lease = store.acquire("l", "me", BUSY).await.unwrap().unwrap();
        let large = Record::new("x".repeat(500_000));
        // In one batch: the small ones must not fail with the large.
        let appends = (0..9).map(|n| {
            let record = if n % 3 == 1 { large.clone() } else { Record::new(n) };
            store.append(&lease.fence, "s", vec![record])
        });
        let answers = futures::future::join_all(appends).await;
        for (n, answer) in answers.iter().enumerate() {
            match answer {
                Ok(_) => assert_ne!(n % 3, 1),
                Err(error) => {
                    assert_eq!(n % 3, 1, "{error}");
                    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
                    assert_eq!(error.effect(), Effect::None);
                }
            }
        }
        let entries = store.read("s").complete().await.unwrap().into_items();
        assert_eq!(entries.len(), 6);
        drop(store);
        let store = SqliteStore::open(&path, clock).await.unwrap();
        assert_eq!(store.append(&lease.fence, "s", vec![large]).await.unwrap(), 7);
    }
}
