//! The engine `sqlite`: one file for each server.

use std::path::Path;

use cloud_core::{ConnectionInfo, Engine, Error, ErrorKind, Result, SecretString};
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use url::Url;

use super::files::copy_file;
use crate::{error::join_error, state::remove_if_there};

/// The file, in the folder of the server or snapshot.
pub(crate) const FILE: &str = "database.db";

/// Makes an empty database, or sets up one that is there.
pub(crate) async fn create(folder: &Path) -> Result<()> {
    let mut connection = open(folder, true).await?;
    // Read by every later connection from the file itself.
    let wal = sqlx::query("PRAGMA journal_mode = WAL").execute(&mut connection).await;
    wal.map_err(failed)?;
    connection.close().await.map_err(failed)
}

/// Copies the database as it is at one moment, while others go on writing.
pub(crate) async fn snapshot(from: &Path, to: &Path) -> Result<()> {
    let mut connection = open(from, false).await?;
    let file = to.join(FILE);
    let file = file.to_str().ok_or_else(|| no_text(to))?;
    let copied = sqlx::query("VACUUM INTO $1").bind(file).execute(&mut connection).await;
    copied.map_err(failed)?;
    connection.close().await.map_err(failed)
}

/// Makes a server's file of a snapshot's.
pub(crate) async fn restore(from: &Path, to: &Path) -> Result<()> {
    let (source, target) = (from.to_owned(), to.to_owned());
    tokio::task::spawn_blocking(move || copy(&source, &target)).await.map_err(join_error)??;
    create(to).await
}

/// Copies a snapshot's file. Blocks.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    copy_file(&from.join(FILE), &to.join(FILE))
}

/// Removes what a broken-off attempt left.
pub(crate) fn clear(folder: &Path) -> Result<()> {
    for file in [FILE, "database.db-wal", "database.db-shm", "database.db-journal"] {
        remove_if_there(&folder.join(file))?;
    }
    Ok(())
}

/// How to connect.
pub(crate) fn connection(folder: &Path) -> Result<ConnectionInfo> {
    let file = folder.join(FILE);
    let encoded = Url::from_file_path(&file).map_err(|()| {
        let message = format!("the data folder is not absolute: {}", folder.display());
        Error::new(ErrorKind::Internal, message)
    })?;
    let host = file.to_str().ok_or_else(|| no_text(folder))?.to_owned();
    Ok(ConnectionInfo {
        engine: Engine::Sqlite,
        host,
        port: None,
        database: "main".into(),
        user: String::new(),
        password: None,
        url: SecretString::from(format!("sqlite://{}?mode=rw", encoded.path())),
    })
}

async fn open(folder: &Path, create: bool) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(folder.join(FILE))
        .create_if_missing(create)
        .busy_timeout(std::time::Duration::from_secs(30))
        .disable_statement_logging();
    SqliteConnection::connect_with(&options).await.map_err(failed)
}

fn failed(error: sqlx::Error) -> Error {
    cloud_sql::from_sqlx(error)
}

fn no_text(folder: &Path) -> Error {
    let problem = format!("is not UTF-8: {}", folder.display());
    Error::invalid("root", problem, "a UTF-8 path, for SQLite")
}
