//! `Database`: initial minimal file; the engines replace it.

use std::sync::Arc;

use async_trait::async_trait;
use cloud_core::{
    ClientToken, ConnectionInfo, Database, DatabaseCapabilities, DatabaseServer, DatabaseSpec,
    Error, ListQuery, Page, PageRequest, Region, ResourceId, Result, Snapshot, SnapshotSpec, Sql,
};

use crate::{provider::NAMES, state::State};

pub(crate) fn capabilities() -> DatabaseCapabilities {
    DatabaseCapabilities {
        names: NAMES,
        engines: Vec::new(),
    }
}

/// Kills the servers of a region that goes down. It is called after the region is marked, outside the lock.
pub(crate) async fn stop_all(_state: &Arc<State>, _region: &Region) -> Result<()> {
    Ok(())
}

#[derive(Clone, Debug)]
pub(crate) struct LocalDatabase {
    #[allow(dead_code)]
    state: Arc<State>,
}

impl LocalDatabase {
    pub(crate) fn new(state: Arc<State>) -> Self {
        Self { state }
    }
}

#[async_trait]
impl Database for LocalDatabase {
    async fn create_database(&self, _: &DatabaseSpec, _: &ClientToken) -> Result<DatabaseServer> {
        Err(Error::unsupported("databases"))
    }
    async fn get_database(&self, id: &ResourceId) -> Result<DatabaseServer> {
        Err(Error::not_found(id))
    }
    async fn list_databases_page(
        &self,
        _: &ListQuery,
        _: &PageRequest,
    ) -> Result<Page<DatabaseServer>> {
        Ok(Page::last(Vec::new()))
    }
    async fn delete_database(&self, _: &ResourceId) -> Result<bool> {
        Ok(false)
    }
    async fn connection(&self, id: &ResourceId) -> Result<ConnectionInfo> {
        Err(Error::not_found(id))
    }
    async fn sql(&self, id: &ResourceId) -> Result<Arc<dyn Sql>> {
        Err(Error::not_found(id))
    }
    async fn create_snapshot(&self, _: &SnapshotSpec, _: &ClientToken) -> Result<Snapshot> {
        Err(Error::unsupported("databases"))
    }
    async fn get_snapshot(&self, id: &ResourceId) -> Result<Snapshot> {
        Err(Error::not_found(id))
    }
    async fn list_snapshots_page(&self, _: &ListQuery, _: &PageRequest) -> Result<Page<Snapshot>> {
        Ok(Page::last(Vec::new()))
    }
    async fn delete_snapshot(&self, _: &ResourceId) -> Result<bool> {
        Ok(false)
    }
    async fn restore_snapshot(
        &self,
        _: &ResourceId,
        _: &DatabaseSpec,
        _: &ClientToken,
    ) -> Result<DatabaseServer> {
        Err(Error::unsupported("databases"))
    }
}
