//! A store to test, in a file or in PostgreSQL, with everything that the tests do to both.
#![allow(dead_code, unused_imports, unused_macros, unreachable_pub)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use cloud_core::{ClientToken, Clock, Region, ResourceId, ResourceKind};
use cloud_patterns::engine::store::*;
use jiff::Timestamp;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection};
use tempfile::TempDir;

pub const TTL: Duration = Duration::from_secs(30);

/// A clock that stands still until it is set.
#[derive(Debug)]
pub struct TestClock(pub Mutex<Timestamp>);

impl TestClock {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new("2026-01-01T00:00:00Z".parse().unwrap())))
    }

    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap();
        *now += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// Where a store is kept. Each [`open`](Self::open) is another connection to it, as of another process.
pub enum Rig {
    Sqlite(TempDir, Arc<TestClock>),
    #[cfg(feature = "postgres")]
    Postgres(String),
}

impl Rig {
    pub fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap(), TestClock::new())
    }

    #[cfg(feature = "postgres")]
    pub async fn postgres(test: &str) -> Option<Self> {
        let cluster = super::postgres::cluster(test)?;
        Some(Self::Postgres(cluster.database(test).await))
    }

    pub async fn try_open(&self) -> cloud_core::Result<Arc<dyn Store>> {
        Ok(match self {
            Self::Sqlite(folder, clock) => {
                Arc::new(SqliteStore::open(folder.path().join("store.db"), clock.clone()).await?)
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => Arc::new(PostgresStore::connect(&url.as_str().into()).await?),
        })
    }

    pub async fn open(&self) -> Arc<dyn Store> {
        self.try_open().await.unwrap()
    }

    pub async fn rebuild(&self) -> CatalogRepair {
        match self {
            Self::Sqlite(folder, clock) => {
                let path = folder.path().join("store.db");
                let store = SqliteStore::open(path, clock.clone()).await.unwrap();
                store.rebuild_catalog().await.unwrap()
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => {
                let store = PostgresStore::connect(&url.as_str().into()).await.unwrap();
                store.rebuild_catalog().await.unwrap()
            }
        }
    }

    /// Runs SQL behind the store's back.
    pub async fn tamper(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(folder, _) => {
                let path = folder.path().join("store.db");
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
                let mut c = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
                sqlx::raw_sql(sql).execute(&mut c).await.unwrap();
                c.close().await.unwrap();
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => {
                let mut c = sqlx::PgConnection::connect(url).await.unwrap();
                sqlx::raw_sql(sql).execute(&mut c).await.unwrap();
                c.close().await.unwrap();
            }
        }
    }

    /// Makes a lease one that has expired.
    pub async fn expire(&self, lease: &str) {
        self.tamper(&format!("UPDATE multicloud_lease SET expires_at = 1 WHERE name = '{lease}'"))
            .await;
    }
}

/// Makes a test for SQLite and one for PostgreSQL of each function.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::store::Rig::sqlite()).await;
            })*
        }
        #[cfg(feature = "postgres")]
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(rig) = super::store::Rig::postgres(stringify!($name)).await {
                    super::$name(rig).await;
                }
            })*
        }
    };
}
pub(crate) use on_both;

pub async fn lease(store: &dyn Store, name: &str) -> Lease {
    store.acquire(name, "me", TTL).await.unwrap().expect("it is free")
}

pub fn resource(deployment: &str, number: u32) -> OwnedResource {
    let name = format!("i-{number:05}");
    OwnedResource {
        cloud: "local".parse().unwrap(),
        id: ResourceId::new(ResourceKind::Instance, Region::new("eu-1").unwrap(), name).unwrap(),
        deployment: deployment.into(),
        component: "web".into(),
        plan: "p1".into(),
        step: format!("s{number}"),
        token: ClientToken::derive("p1", "s", number),
    }
}

pub fn put(resource: &OwnedResource) -> Record {
    Record { body: json!("made"), catalog: vec![CatalogChange::Put(resource.clone())] }
}

pub fn remove(resource: &OwnedResource) -> Record {
    let (cloud, id) = (resource.cloud.clone(), resource.id.clone());
    Record { body: json!("gone"), catalog: vec![CatalogChange::Remove { cloud, id }] }
}

pub async fn all(store: &dyn Store, stream: &str) -> Vec<Entry> {
    store.read(stream).complete().await.unwrap().into_items()
}
