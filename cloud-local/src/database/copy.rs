//! Copies of snapshots in other regions.

use cloud_core::{
    ClientToken, Error, ErrorKind, ResourceId, ResourceKind, ResourceStatus, Result, Snapshot,
    SnapshotCopySpec,
};

use super::{
    LocalDatabase,
    create::complete,
    record::{SnapshotBody, snapshot_view},
};
use crate::state::{NewRecord, Record, fingerprint};

impl LocalDatabase {
    /// Copies a snapshot, which is not deleted meanwhile.
    pub(super) async fn copy(
        &self,
        spec: &SnapshotCopySpec,
        token: &ClientToken,
    ) -> Result<Snapshot> {
        spec.validate()?;
        self.capabilities.names.check("snapshot name", &spec.name)?;
        self.state.check_up(&spec.region)?;
        let source = self.usable(&spec.source).await?;
        if !self.capabilities.engine(source.body.engine)?.snapshot_copy {
            let what = format_args!("copies of snapshots of {}", source.body.engine);
            return Err(Error::unsupported(what));
        }
        let begun = self
            .state
            .begin(NewRecord {
                kind: ResourceKind::Snapshot,
                region: spec.region.clone(),
                name: spec.name.clone(),
                token: token.clone(),
                fingerprint: fingerprint(spec)?,
                tags: spec.tags.clone(),
                uses: Vec::new(),
                status: ResourceStatus::Creating,
                body: source.body,
            })
            .await?;
        let this = self.clone();
        let copied = complete(&self.state, begun, move |record| async move {
            let _held = this.state.lock_resource(&source.id).await?;
            this.usable(&source.id).await?;
            let (from, to) = (this.state.data_dir(&source.id)?, this.state.data_dir(&record.id)?);
            this.engines.copy(record.body.engine, &from, &to).await?;
            Ok(record.body)
        })
        .await?;
        Ok(snapshot_view(copied))
    }

    /// A snapshot that can be restored or copied.
    pub(super) async fn usable(&self, id: &ResourceId) -> Result<Record<SnapshotBody>> {
        self.state.check_id(id, ResourceKind::Snapshot)?;
        let snapshot = self.state.get::<SnapshotBody>(id).await?;
        if snapshot.status == ResourceStatus::Running {
            return Ok(snapshot);
        }
        let message = format!("the snapshot '{}' is {}", snapshot.name, snapshot.status.as_str());
        Err(Error::new(ErrorKind::Conflict, message))
    }
}
