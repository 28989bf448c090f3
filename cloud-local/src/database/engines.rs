//! The engines on offer, and what each does when a server is made, copied, started, stopped.

use std::path::{Path, PathBuf};

use cloud_core::{
    ConnectionInfo, DatabaseSpec, Engine, EngineCapabilities, Error, Result, SecretString,
};

#[cfg(feature = "postgres")]
use super::{
    account::Account,
    cluster::{self, Cluster, Programs},
    postgres,
    secrets::Secrets,
};
use super::{files::tree_size, record::DatabaseBody, sqlite};
use crate::{config::LocalConfig, error::join_error};

/// What a new server begins with.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "postgres"), allow(dead_code))]
pub(crate) enum Origin {
    /// Nothing; the owner's password, where one is given.
    Empty(Option<SecretString>),
    /// The data of a snapshot, in this folder; a new password of the owner, where one is given.
    Snapshot(PathBuf, Option<SecretString>),
    /// The data of a running server, in this folder, which it follows.
    Primary(PathBuf, DatabaseBody),
}

/// The engines on offer.
#[derive(Clone, Debug)]
pub(crate) struct Engines {
    #[cfg(feature = "postgres")]
    root: PathBuf,
    #[cfg(feature = "postgres")]
    programs: Option<Programs>,
    #[cfg(feature = "postgres")]
    account: Option<Account>,
}

impl Engines {
    /// Looks for PostgreSQL's programs. Blocks for a moment.
    ///
    /// # Errors
    /// `InvalidInput` for a `postgres_bin` without them.
    #[cfg(feature = "postgres")]
    pub(crate) fn find(config: &LocalConfig) -> Result<Self> {
        let programs = Programs::find(config.postgres_bin.as_deref())?;
        let (programs, account) = match (programs, Account::find()) {
            (None, _) => (None, None),
            (programs, Ok(account)) => (programs, account),
            (Some(_), Err(error)) => {
                tracing::warn!(%error, "the engine postgres is not on offer");
                (None, None)
            }
        };
        Ok(Self { root: config.root.clone(), programs, account })
    }

    /// There is nothing to look for.
    ///
    /// # Errors
    /// `Unsupported` for a `postgres_bin`: the feature is off.
    #[cfg(not(feature = "postgres"))]
    pub(crate) fn find(config: &LocalConfig) -> Result<Self> {
        match &config.postgres_bin {
            None => Ok(Self {}),
            Some(_) => Err(Error::unsupported("postgres (postgres_bin is set)")
                .with_hint("it is built without the feature 'postgres'")),
        }
    }

    /// What each can do.
    pub(crate) fn capabilities(&self) -> Vec<EngineCapabilities> {
        let offer = |engine, replicas| EngineCapabilities {
            engine,
            sql: true,
            snapshots: true,
            snapshot_copy: true,
            point_in_time: false,
            replicas,
            encryption: false,
        };
        let engines = [offer(Engine::Sqlite, false)].into_iter();
        #[cfg(feature = "postgres")]
        let engines = engines.chain(self.programs.iter().map(|_| offer(Engine::Postgres, true)));
        engines.collect()
    }

    #[cfg(feature = "postgres")]
    fn cluster(&self, folder: &Path) -> Result<Cluster> {
        match &self.programs {
            None => Err(not_here(Engine::Postgres)),
            Some(programs) => Ok(Cluster {
                programs: programs.clone(),
                account: self.account.clone(),
                folder: folder.to_owned(),
                root: self.root.clone(),
            }),
        }
    }

    /// Refuses what the engine cannot do, and returns its version.
    pub(crate) async fn check(&self, spec: &DatabaseSpec) -> Result<Option<String>> {
        let version = match spec.engine {
            Engine::Sqlite => "3".to_owned(),
            #[cfg(feature = "postgres")]
            Engine::Postgres => {
                postgres::check_names(&spec.database, &spec.user)?;
                match &self.programs {
                    None => return Err(not_here(Engine::Postgres)),
                    Some(programs) => programs.version().await?,
                }
            }
            other => return Err(not_here(other)),
        };
        let major = version.split('.').next().unwrap_or_default();
        match &spec.version {
            Some(wanted) if *wanted != version && wanted != major => {
                let accepted = format!("{version} or {major}, the one that is installed");
                Err(Error::invalid("version", format_args!("is '{wanted}'"), accepted))
            }
            _ => Ok(Some(version)),
        }
    }

    /// Makes a server in its folder, from the beginning, whatever an attempt before left there.
    pub(crate) async fn create(
        &self,
        folder: &Path,
        body: &DatabaseBody,
        id: &cloud_core::ResourceId,
        origin: Origin,
    ) -> Result<()> {
        match body.engine {
            Engine::Sqlite => {
                let clear = folder.to_owned();
                blocking(move || sqlite::clear(&clear)).await?;
                match origin {
                    Origin::Empty(_) => sqlite::create(folder).await,
                    Origin::Snapshot(from, _) => sqlite::restore(&from, folder).await,
                    Origin::Primary(..) => Err(not_here(Engine::Sqlite)),
                }
            }
            #[cfg(feature = "postgres")]
            Engine::Postgres => {
                let cluster = self.cluster(folder)?;
                let port = port(body)?;
                match origin {
                    Origin::Empty(password) => {
                        let secrets = Secrets::generate(password)?;
                        postgres::create(&cluster, port, &body.database, &body.user, &secrets).await
                    }
                    Origin::Snapshot(from, password) => {
                        postgres::restore(&from, &cluster, port, &body.user, password).await
                    }
                    Origin::Primary(from, primary) => {
                        let from_port = self::port(&primary)?;
                        postgres::replicate(&from, from_port, &cluster, port, id).await
                    }
                }
            }
            other => {
                let _ = id;
                Err(not_here(other))
            }
        }
    }

    /// Copies a running server into a snapshot's folder, from the beginning, and returns the bytes that it takes.
    pub(crate) async fn snapshot(
        &self,
        from: &Path,
        body: &DatabaseBody,
        to: &Path,
    ) -> Result<u64> {
        match body.engine {
            Engine::Sqlite => {
                let clear = to.to_owned();
                blocking(move || sqlite::clear(&clear)).await?;
                sqlite::snapshot(from, to).await?;
            }
            #[cfg(feature = "postgres")]
            Engine::Postgres => postgres::snapshot(from, port(body)?, &self.cluster(to)?).await?,
            other => return Err(not_here(other)),
        }
        let to = to.to_owned();
        blocking(move || tree_size(&to)).await
    }

    /// Copies a snapshot into another's folder, from the beginning.
    pub(crate) async fn copy(&self, engine: Engine, from: &Path, to: &Path) -> Result<()> {
        match engine {
            Engine::Sqlite => {
                let (from, to) = (from.to_owned(), to.to_owned());
                blocking(move || {
                    sqlite::clear(&to)?;
                    sqlite::copy(&from, &to)
                })
                .await
            }
            #[cfg(feature = "postgres")]
            Engine::Postgres => postgres::copy(from, &self.cluster(to)?).await,
            other => Err(not_here(other)),
        }
    }

    /// How its owner connects.
    pub(crate) fn connection(&self, folder: &Path, body: &DatabaseBody) -> Result<ConnectionInfo> {
        match body.engine {
            Engine::Sqlite => sqlite::connection(folder),
            #[cfg(feature = "postgres")]
            Engine::Postgres => {
                postgres::connection(folder, port(body)?, &body.database, &body.user)
            }
            other => Err(not_here(other)),
        }
    }

    /// Makes a replica a primary.
    pub(crate) async fn promote(&self, folder: &Path, body: &DatabaseBody) -> Result<()> {
        match body.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres => postgres::promote(folder, port(body)?).await,
            other => {
                let _ = folder;
                Err(not_here(other))
            }
        }
    }

    /// Starts a server that was stopped. Nothing if it runs.
    pub(crate) async fn start(&self, folder: &Path, body: &DatabaseBody) -> Result<()> {
        match body.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres => self.cluster(folder)?.start(port(body)?).await,
            _ => {
                let _ = folder;
                Ok(())
            }
        }
    }

    /// Lets a running primary forget every replica but these.
    pub(crate) async fn prune(
        &self,
        folder: &Path,
        body: &DatabaseBody,
        replicas: &[cloud_core::ResourceId],
    ) -> Result<()> {
        match body.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres => postgres::prune(folder, port(body)?, replicas).await,
            _ => {
                let _ = (folder, replicas);
                Ok(())
            }
        }
    }

    /// By how many seconds a replica is behind; `None` for what follows nothing.
    pub(crate) async fn lag(&self, folder: &Path, body: &DatabaseBody) -> Result<Option<f64>> {
        match body.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres if body.replica_of.is_some() => {
                postgres::lag(folder, port(body)?).await
            }
            _ => {
                let _ = folder;
                Ok(None)
            }
        }
    }
}

/// Whether a server is in service. Blocks for a moment.
pub(crate) fn is_running(folder: &Path, body: &DatabaseBody) -> Result<bool> {
    match body.engine {
        Engine::Sqlite => Ok(folder.join(sqlite::FILE).is_file()),
        #[cfg(feature = "postgres")]
        Engine::Postgres => cluster::is_running(folder),
        _ => Ok(false),
    }
}

/// Ends whatever runs for a server or snapshot. Blocks until it has ended.
pub(crate) fn stop(folder: &Path) -> Result<()> {
    #[cfg(feature = "postgres")]
    cluster::stop(folder)?;
    let _ = folder;
    Ok(())
}

#[cfg(feature = "postgres")]
fn port(body: &DatabaseBody) -> Result<u16> {
    body.port.ok_or_else(|| {
        Error::new(cloud_core::ErrorKind::Corrupt, "the server's record has no port")
    })
}

fn not_here(engine: Engine) -> Error {
    Error::unsupported(format_args!("this for the engine {engine}"))
        .with_hint("PostgreSQL needs the feature 'postgres' and its programs: initdb, pg_ctl, postgres, pg_basebackup")
}

async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R> + Send + 'static,
) -> Result<R> {
    tokio::task::spawn_blocking(work).await.map_err(join_error)?
}
