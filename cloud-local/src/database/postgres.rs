//! The engine `postgres`: what a server, a snapshot and a replica are made of, in terms of clusters and roles.

use std::{path::Path, sync::Arc};

use cloud_core::{
    ConnectionInfo, Engine, Error, ErrorKind, ResourceId, Result, SecretString, Sql, SqlValue,
    secret::ExposeSecret,
};
use url::Url;

use super::{
    cluster::{ADMIN, Cluster, REPLICATION, SECRETS, data},
    files::copy_tree,
    secrets::Secrets,
};

/// Begins the name of every replication slot of ours; a replica's native id follows.
const SLOT: &str = "multicloud_";

/// Refuses names that the server keeps for itself, before anything is made.
pub(crate) fn check_names(database: &str, user: &str) -> Result<()> {
    let reserved = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.starts_with("pg_") || name.starts_with(SLOT) || name == "public" || name == "none"
    };
    if reserved(user) {
        let problem = format!("is '{user}', which is reserved");
        return Err(Error::invalid(
            "user",
            problem,
            "names that begin neither with pg_ nor with multicloud_",
        ));
    }
    if ["postgres", "template0", "template1"].contains(&database) {
        let problem = format!("is '{database}', which every server has");
        return Err(Error::invalid("database", problem, "any other name"));
    }
    Ok(())
}

/// Makes a cluster with one database and its owner, and starts it.
pub(crate) async fn create(
    cluster: &Cluster,
    port: u16,
    database: &str,
    user: &str,
    secrets: &Secrets,
) -> Result<()> {
    prepare(cluster, secrets).await?;
    cluster.init(secrets).await?;
    cluster.start(port).await?;
    let admin = admin(port, secrets).await?;
    let role =
        "SELECT format('CREATE ROLE %I LOGIN REPLICATION PASSWORD %L', $1::text, $2::text) AS s";
    run_made(&*admin, role, &[REPLICATION, secrets.replication.expose_secret()]).await?;
    let role = "SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', $1::text, $2::text) AS s";
    run_made(&*admin, role, &[user, secrets.owner.expose_secret()]).await?;
    let made = "SELECT format('CREATE DATABASE %I OWNER %I', $1::text, $2::text) AS s";
    run_made(&*admin, made, &[database, user]).await
}

/// Empties the folder and writes the passwords.
async fn prepare(cluster: &Cluster, secrets: &Secrets) -> Result<()> {
    let (cluster, secrets) = (cluster.clone(), secrets.clone());
    blocking(move || {
        cluster.prepare()?;
        secrets.write(&cluster.secrets_file())?;
        secrets.write_pgpass(&cluster.pgpass())?;
        cluster.give(&cluster.secrets_file())?;
        cluster.give(&cluster.pgpass())
    })
    .await
}

/// Copies a running server into a snapshot's folder.
pub(crate) async fn snapshot(source: &Path, port: u16, to: &Cluster) -> Result<()> {
    let secrets = Secrets::read(&source.join(SECRETS))?;
    prepare(to, &secrets).await?;
    to.copy_from(port, None).await
}

/// Makes a server of a snapshot and starts it.
pub(crate) async fn restore(
    snapshot: &Path,
    cluster: &Cluster,
    port: u16,
    user: &str,
    password: Option<SecretString>,
) -> Result<()> {
    let mut secrets = Secrets::read(&snapshot.join(SECRETS))?;
    let changed = password.is_some();
    if let Some(password) = password {
        secrets.owner = password;
    }
    prepare(cluster, &secrets).await?;
    copy_data(snapshot, cluster).await?;
    // A snapshot of a replica would go on following.
    let follows = data(&cluster.folder).join("standby.signal");
    blocking(move || crate::state::remove_if_there(&follows).map(drop)).await?;
    cluster.start(port).await?;
    if changed {
        let admin = admin(port, &secrets).await?;
        let role = "SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text) AS s";
        run_made(&*admin, role, &[user, secrets.owner.expose_secret()]).await?;
    }
    Ok(())
}

/// Copies a snapshot into another's folder.
pub(crate) async fn copy(snapshot: &Path, to: &Cluster) -> Result<()> {
    prepare(to, &Secrets::read(&snapshot.join(SECRETS))?).await?;
    copy_data(snapshot, to).await
}

async fn copy_data(snapshot: &Path, to: &Cluster) -> Result<()> {
    let (from, to) = (data(snapshot), to.clone());
    blocking(move || copy_tree(&from, &data(&to.folder), &|path| to.give(path))).await
}

/// Makes a stand-by that follows a running server, and starts it.
pub(crate) async fn replicate(
    source: &Path,
    source_port: u16,
    cluster: &Cluster,
    port: u16,
    replica: &ResourceId,
) -> Result<()> {
    let secrets = Secrets::read(&source.join(SECRETS))?;
    prepare(cluster, &secrets).await?;
    let admin = admin(source_port, &secrets).await?;
    let slot = slot(replica);
    // A broken-off attempt may have left it.
    drop_slots(&*admin, |name| name == slot).await?;
    cluster.copy_from(source_port, Some(&slot)).await?;
    cluster.start(port).await
}

fn slot(replica: &ResourceId) -> String {
    format!("{SLOT}{}", replica.native())
}

/// Makes a running stand-by a primary. Nothing if it is one.
pub(crate) async fn promote(folder: &Path, port: u16) -> Result<()> {
    let admin = admin(port, &Secrets::read(&folder.join(SECRETS))?).await?;
    let promoted =
        admin.query("SELECT NOT pg_is_in_recovery() OR pg_promote(true, 120) AS done", &[]).await?;
    if promoted.first().and_then(|row| row.get("done")) == Some(&SqlValue::Bool(true)) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Timeout, "the replica did not become a primary within 120 s"))
}

/// Removes the slots of replicas that are gone: a slot keeps everything that its replica has not read.
pub(crate) async fn prune(folder: &Path, port: u16, replicas: &[ResourceId]) -> Result<()> {
    let admin = admin(port, &Secrets::read(&folder.join(SECRETS))?).await?;
    let kept: Vec<_> = replicas.iter().map(slot).collect();
    drop_slots(&*admin, |name| !kept.iter().any(|kept| kept == name)).await
}

async fn drop_slots(admin: &dyn Sql, which: impl Fn(&str) -> bool) -> Result<()> {
    let slots = "SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE $1 AND NOT active";
    for row in admin.query(slots, &[format!("{SLOT}%").into()]).await? {
        if let Some(SqlValue::Text(name)) = row.get("slot_name")
            && which(name)
        {
            admin.query("SELECT pg_drop_replication_slot($1)", &[name.as_str().into()]).await?;
        }
    }
    Ok(())
}

/// By how many seconds a replica is behind; `None` for a primary. One that has read all there is, is not behind, however old that is.
pub(crate) async fn lag(folder: &Path, port: u16) -> Result<Option<f64>> {
    let admin = admin(port, &Secrets::read(&folder.join(SECRETS))?).await?;
    let lag = "SELECT CASE WHEN NOT pg_is_in_recovery() THEN NULL \
               WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0 \
               ELSE coalesce(extract(epoch FROM now() - pg_last_xact_replay_timestamp()), 0) END::float8 AS lag";
    match admin.query(lag, &[]).await?.pop().and_then(|mut row| row.remove("lag")) {
        Some(SqlValue::Float(seconds)) => Ok(Some(seconds.max(0.0))),
        _ => Ok(None),
    }
}

/// How the owner connects.
pub(crate) fn connection(
    folder: &Path,
    port: u16,
    database: &str,
    user: &str,
) -> Result<ConnectionInfo> {
    let secrets = Secrets::read(&folder.join(SECRETS))?;
    Ok(ConnectionInfo {
        engine: Engine::Postgres,
        host: "127.0.0.1".into(),
        port: Some(port),
        database: database.into(),
        user: user.into(),
        url: address(port, user, &secrets.owner, database)?.as_str().to_owned().into(),
        password: Some(secrets.owner),
    })
}

fn address(port: u16, user: &str, password: &SecretString, database: &str) -> Result<Url> {
    let made = || {
        let mut url = Url::parse("postgres://127.0.0.1").ok()?;
        url.set_username(user).ok()?;
        url.set_password(Some(password.expose_secret())).ok()?;
        url.set_port(Some(port)).ok()?;
        url.set_path(database);
        Some(url)
    };
    made().ok_or_else(|| Error::new(ErrorKind::Internal, "the server's URL cannot be written"))
}

async fn admin(port: u16, secrets: &Secrets) -> Result<Arc<dyn Sql>> {
    let mut url = address(port, ADMIN, &secrets.admin, "postgres")?;
    // A statement that fails is not written to the server's log: there may be a password in it.
    url.query_pairs_mut().append_pair("options", "-c log_min_error_statement=panic");
    cloud_sql::connect(Engine::Postgres, &url.as_str().to_owned().into()).await
}

/// Runs the statement that a query makes of its parameters: the server itself quotes what cannot be a parameter.
async fn run_made(admin: &dyn Sql, made: &str, parameters: &[&str]) -> Result<()> {
    let parameters: Vec<_> = parameters.iter().map(|p| SqlValue::from(*p)).collect();
    let mut rows = admin.query(made, &parameters).await?;
    match rows.pop().and_then(|mut row| row.remove("s")) {
        Some(SqlValue::Text(statement)) => admin.execute(&statement, &[]).await.map(drop),
        _ => Err(Error::new(ErrorKind::Internal, "the server made no statement")),
    }
}

/// Runs file work that may be slow on the blocking pool.
async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R> + Send + 'static,
) -> Result<R> {
    tokio::task::spawn_blocking(work).await.map_err(crate::error::join_error)?
}
