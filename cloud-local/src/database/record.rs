//! What is recorded of servers and snapshots, and how it is shown.

use std::net::Ipv4Addr;

use cloud_core::{
    ByteSize, ClientToken, DatabaseServer, DatabaseSpec, Engine, Error, ErrorKind, ResourceId,
    ResourceKind, ResourceStatus, Result, Snapshot,
};
use serde::{Deserialize, Serialize};

use super::engines;
use crate::state::{Begun, Locked, NewRecord, Record, State};

/// What is peculiar to a server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DatabaseBody {
    pub(crate) engine: Engine,
    pub(crate) version: Option<String>,
    pub(crate) database: String,
    pub(crate) user: String,
    pub(crate) port: Option<u16>,
    pub(crate) replica_of: Option<ResourceId>,
    pub(crate) delete_protection: bool,
}

/// What is peculiar to a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotBody {
    pub(crate) source: ResourceId,
    pub(crate) engine: Engine,
    pub(crate) version: Option<String>,
    pub(crate) database: String,
    pub(crate) user: String,
    pub(crate) size: Option<u64>,
}

pub(crate) fn new_server(
    spec: &DatabaseSpec,
    token: &ClientToken,
    fingerprint: String,
    body: DatabaseBody,
) -> NewRecord<DatabaseBody> {
    NewRecord {
        kind: ResourceKind::Database,
        region: spec.region.clone(),
        name: spec.name.clone(),
        token: token.clone(),
        fingerprint,
        tags: spec.tags.clone(),
        uses: spec.network.iter().cloned().collect(),
        status: ResourceStatus::Creating,
        body,
    }
}

pub(crate) fn begun(record: Record<DatabaseBody>) -> Begun<DatabaseBody> {
    match record.status {
        ResourceStatus::Creating => Begun::Unfinished(record),
        _ => Begun::Done(record),
    }
}

/// A port that no other server of this cloud has, and that is free just now.
pub(crate) fn free_port(s: &Locked<'_>) -> Result<u16> {
    let taken: Vec<_> = all(s)?.into_iter().filter_map(|r| r.body.port).collect();
    // Held until one is found, so that none is offered twice.
    let mut held = Vec::new();
    loop {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        if !taken.contains(&port) {
            return Ok(port);
        }
        held.push(listener);
    }
}

/// The replicas of a server, those that are being made or deleted included.
pub(crate) fn replicas_of(s: &Locked<'_>, primary: &ResourceId) -> Result<Vec<ResourceId>> {
    let follows = |r: &Record<DatabaseBody>| r.body.replica_of.as_ref() == Some(primary);
    Ok(all(s)?.into_iter().filter(follows).map(|r| r.id).collect())
}

/// Every server of the cloud, in regions that are down too.
fn all(s: &Locked<'_>) -> Result<Vec<Record<DatabaseBody>>> {
    let mut all = Vec::new();
    for region in s.state().regions() {
        for native in s.state().natives(ResourceKind::Database, &region.name)? {
            let id = ResourceId::new(ResourceKind::Database, region.name.clone(), native)?;
            all.extend(s.state().find(&id)?);
        }
    }
    Ok(all)
}

pub(crate) fn major(version: &Option<String>) -> &str {
    version.as_deref().and_then(|v| v.split('.').next()).unwrap_or("?")
}

pub(crate) fn not_running(record: &Record<DatabaseBody>, status: ResourceStatus) -> Error {
    let message = format!("the server '{}' is {}", record.name, status.as_str());
    let error = Error::new(ErrorKind::Conflict, message).with_resource(record.id.to_string());
    match status {
        ResourceStatus::Stopped => error.with_hint("LocalCloud::bring_up of its region starts it"),
        _ => error,
    }
}

/// What is recorded, and whether it is still true. Blocks for a moment.
pub(crate) fn status(state: &State, record: &Record<DatabaseBody>) -> Result<ResourceStatus> {
    if record.status != ResourceStatus::Running {
        return Ok(record.status);
    }
    let running = engines::is_running(&state.data_dir(&record.id)?, &record.body)?;
    Ok(match (running, record.body.engine) {
        (true, _) => ResourceStatus::Running,
        // A file that is gone does not come back.
        (false, Engine::Sqlite) => ResourceStatus::Failed,
        (false, _) => ResourceStatus::Stopped,
    })
}

pub(crate) fn view(state: &State, record: Record<DatabaseBody>) -> Result<DatabaseServer> {
    let status = status(state, &record)?;
    Ok(DatabaseServer {
        status,
        provider_status: status.as_str().to_owned(),
        id: record.id,
        name: record.name,
        engine: record.body.engine,
        version: record.body.version,
        host: record.body.port.map(|_| Ipv4Addr::LOCALHOST.to_string()),
        port: record.body.port,
        replica_of: record.body.replica_of,
        tags: record.tags,
        created_at: Some(record.created_at),
    })
}

pub(crate) fn snapshot_view(record: Record<SnapshotBody>) -> Snapshot {
    Snapshot {
        id: record.id,
        name: record.name,
        status: record.status,
        source: record.body.source,
        engine: record.body.engine,
        size: record.body.size.map(ByteSize::from_bytes),
        tags: record.tags,
        created_at: Some(record.created_at),
    }
}
