//! Snapshots of servers and of clusters: take, find, list, copy to another region, delete.

use aws_sdk_rds::types::{DbClusterSnapshot, DbSnapshot, Filter};
use cloud_core::{
    ByteSize, Error, ErrorKind, ListQuery, PageRequest, Region, ResourceId, ResourceKind, Result,
    Snapshot, SnapshotCopySpec, SnapshotSpec,
};

use super::{AwsDatabase, found, found::Native, presign, rds_tags};
use crate::{
    error::{reads, writes},
    listing::{self, NativePage},
    tags,
    time::timestamp,
    tokens::Request,
};

/// A snapshot, and what its view does not show.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) view: Snapshot,
    pub(super) request: Option<String>,
    pub(super) arn: String,
    pub(super) encrypted: bool,
    pub(super) storage_gib: i32,
}

/// What both kinds of snapshots say.
struct Parts<'a> {
    native: Native<'a>,
    source: Native<'a>,
    /// The region that the server is in, where the snapshot was copied.
    source_region: Option<&'a str>,
    engine: &'a str,
    status: &'a str,
    storage_gib: i32,
    tags: &'a [aws_sdk_rds::types::Tag],
    at: Option<&'a aws_smithy_types::DateTime>,
    arn: &'a str,
    encrypted: bool,
}

impl Parts<'_> {
    /// `None` for an engine that the portable traits do not have.
    fn taken(self, region: &Region) -> Result<Option<Taken>> {
        let Some(engine) = found::engine(self.engine) else {
            return Ok(None);
        };
        let pairs = self.tags.iter().map(|t| {
            (t.key().unwrap_or_default().to_owned(), t.value().unwrap_or_default().to_owned())
        });
        let (tags, request) = tags::read(pairs);
        let source_region = match self.source_region {
            Some(name) if !name.is_empty() => Region::new(name)?,
            _ => region.clone(),
        };
        let gib = u64::try_from(self.storage_gib).ok().filter(|gib| *gib > 0);
        Ok(Some(Taken {
            view: Snapshot {
                id: listing::id(ResourceKind::Snapshot, region, &self.native.text())?,
                name: self.native.name().to_owned(),
                status: found::status(self.status),
                source: listing::id(ResourceKind::Database, &source_region, &self.source.text())?,
                engine,
                size: gib.map(ByteSize::gib),
                tags,
                created_at: self.at.and_then(timestamp),
            },
            request,
            arn: self.arn.to_owned(),
            encrypted: self.encrypted,
            storage_gib: self.storage_gib,
        }))
    }
}

pub(super) fn of_instance(region: &Region, snapshot: &DbSnapshot) -> Result<Option<Taken>> {
    Parts {
        native: Native::Instance(snapshot.db_snapshot_identifier().unwrap_or_default()),
        source: Native::Instance(snapshot.db_instance_identifier().unwrap_or_default()),
        source_region: snapshot.source_region(),
        engine: snapshot.engine().unwrap_or_default(),
        status: snapshot.status().unwrap_or_default(),
        storage_gib: snapshot.allocated_storage().unwrap_or_default(),
        tags: snapshot.tag_list(),
        at: snapshot.snapshot_create_time(),
        arn: snapshot.db_snapshot_arn().unwrap_or_default(),
        encrypted: snapshot.encrypted() == Some(true),
    }
    .taken(region)
}

pub(super) fn of_cluster(region: &Region, snapshot: &DbClusterSnapshot) -> Result<Option<Taken>> {
    Parts {
        native: Native::Cluster(snapshot.db_cluster_snapshot_identifier().unwrap_or_default()),
        source: Native::Cluster(snapshot.db_cluster_identifier().unwrap_or_default()),
        // The ARN of what it was copied from has the region in its fourth part.
        source_region: snapshot.source_db_cluster_snapshot_arn().and_then(|a| a.split(':').nth(3)),
        engine: snapshot.engine().unwrap_or_default(),
        status: snapshot.status().unwrap_or_default(),
        storage_gib: snapshot.allocated_storage().unwrap_or_default(),
        tags: snapshot.tag_list(),
        at: snapshot.snapshot_create_time(),
        arn: snapshot.db_cluster_snapshot_arn().unwrap_or_default(),
        encrypted: snapshot.storage_encrypted() == Some(true),
    }
    .taken(region)
}

impl AwsDatabase {
    pub(super) async fn find_snapshot(&self, id: &ResourceId) -> Result<Taken> {
        id.expect_kind(ResourceKind::Snapshot)?;
        let client = self.account.rds(&id.region)?;
        let failed = |error: Error| error.with_resource(id.to_string());
        let found = match Native::snapshot(id) {
            None => None,
            Some(Native::Instance(name)) => {
                let call = client.describe_db_snapshots().db_snapshot_identifier(name);
                let answer = call.send().await.map_err(reads("rds")).map_err(failed)?;
                match answer.db_snapshots() {
                    [snapshot, ..] => of_instance(&id.region, snapshot)?,
                    [] => None,
                }
            }
            Some(Native::Cluster(name)) => {
                let call =
                    client.describe_db_cluster_snapshots().db_cluster_snapshot_identifier(name);
                let answer = call.send().await.map_err(reads("rds")).map_err(failed)?;
                match answer.db_cluster_snapshots() {
                    [snapshot, ..] => of_cluster(&id.region, snapshot)?,
                    [] => None,
                }
            }
        };
        found.ok_or_else(|| Error::not_found(id))
    }

    /// One page of RDS's. Those that it takes and deletes by itself are left out.
    pub(super) async fn snapshots_page(
        &self,
        region: &Region,
        marker: Option<String>,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<NativePage<Snapshot>> {
        let by_name = query
            .name
            .as_ref()
            .map(|name| vec![Filter::builder().name("db-snapshot-id").values(name).build()]);
        let answer = self
            .account
            .rds(region)?
            .describe_db_snapshots()
            .snapshot_type("manual")
            .set_filters(by_name)
            .set_marker(marker)
            .max_records(listing::native_size(page, 20, 100))
            .send()
            .await
            .map_err(reads("rds"))?;
        let mut views = Vec::new();
        for snapshot in answer.db_snapshots() {
            views.extend(of_instance(region, snapshot)?.map(|taken| taken.view));
        }
        Ok((views, answer.marker().filter(|m| !m.is_empty()).map(str::to_owned)))
    }

    pub(super) async fn cluster_snapshots_page(
        &self,
        region: &Region,
        marker: Option<String>,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<NativePage<Snapshot>> {
        let by_name = query.name.as_ref().map(|name| {
            vec![Filter::builder().name("db-cluster-snapshot-id").values(name).build()]
        });
        let answer = self
            .account
            .rds(region)?
            .describe_db_cluster_snapshots()
            .snapshot_type("manual")
            .set_filters(by_name)
            .set_marker(marker)
            .max_records(listing::native_size(page, 20, 100))
            .send()
            .await
            .map_err(reads("rds"))?;
        let mut views = Vec::new();
        for snapshot in answer.db_cluster_snapshots() {
            views.extend(of_cluster(region, snapshot)?.map(|taken| taken.view));
        }
        Ok((views, answer.marker().filter(|m| !m.is_empty()).map(str::to_owned)))
    }

    pub(super) async fn take_snapshot(
        &self,
        spec: &SnapshotSpec,
        request: &Request,
    ) -> Result<Taken> {
        let region = &spec.source.region;
        let client = self.account.rds(region)?;
        let source =
            Native::database(&spec.source).ok_or_else(|| Error::not_found(&spec.source))?;
        let tags = rds_tags(&tags::for_create(&spec.tags, request)?);
        let (native, made) = match source {
            Native::Instance(name) => {
                let call = client.create_db_snapshot().db_snapshot_identifier(&spec.name);
                let call = call.db_instance_identifier(name).set_tags(Some(tags));
                let made = call.send().await.map_err(writes("rds"));
                let made = made.and_then(|made| match made.db_snapshot() {
                    Some(snapshot) => of_instance(region, snapshot),
                    None => Ok(None),
                });
                (Native::Instance(&spec.name), made)
            }
            Native::Cluster(name) => {
                let call =
                    client.create_db_cluster_snapshot().db_cluster_snapshot_identifier(&spec.name);
                let call = call.db_cluster_identifier(name).set_tags(Some(tags));
                let made = call.send().await.map_err(writes("rds"));
                let made = made.and_then(|made| match made.db_cluster_snapshot() {
                    Some(snapshot) => of_cluster(region, snapshot),
                    None => Ok(None),
                });
                (Native::Cluster(&spec.name), made)
            }
        };
        self.made_snapshot(region, native, made, request).await
    }

    /// The snapshot that was made; or the one that has its name already, if it is this create's.
    async fn made_snapshot(
        &self,
        region: &Region,
        native: Native<'_>,
        made: Result<Option<Taken>>,
        request: &Request,
    ) -> Result<Taken> {
        let id = listing::id(ResourceKind::Snapshot, region, &native.text())?;
        match made {
            Ok(Some(taken)) => Ok(taken),
            Ok(None) => self.find_snapshot(&id).await,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                match self.find_snapshot(&id).await {
                    Ok(taken) if request.made(taken.request.as_deref())? => Ok(taken),
                    Ok(_) => Err(error),
                    Err(unknown) if unknown.kind() == ErrorKind::NotFound => Err(error),
                    Err(unknown) => Err(unknown.with_effect(cloud_core::Effect::Unknown)),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Copies a snapshot, asked for in the region of the copy.
    pub(super) async fn copy(
        &self,
        spec: &SnapshotCopySpec,
        kms_key: Option<&str>,
        request: &Request,
    ) -> Result<Taken> {
        let source = self.find_snapshot(&spec.source).await?;
        if !source.view.status.is_ready() {
            let why = format!("the snapshot is {}", source.view.status);
            return Err(super::conflict(&spec.source, &why).with_retry(cloud_core::Retry::Backoff));
        }
        let (region, from) = (&spec.region, &spec.source.region);
        let far = region != from;
        // Encrypted data gets a key of the region that it comes to.
        let key = kms_key.or((source.encrypted && far).then_some(presign::DEFAULT_KEY));
        let client = self.account.rds(region)?;
        let tags = rds_tags(&tags::for_create(&spec.tags, request)?);
        let cluster = spec.source.native().starts_with(found::CLUSTER);
        let (action, source_field, target_field) = match cluster {
            false => ("CopyDBSnapshot", "SourceDBSnapshotIdentifier", "TargetDBSnapshotIdentifier"),
            true => (
                "CopyDBClusterSnapshot",
                "SourceDBClusterSnapshotIdentifier",
                "TargetDBClusterSnapshotIdentifier",
            ),
        };
        let mut address = None;
        if far && source.encrypted {
            let mut parameters = vec![(source_field, &*source.arn), (target_field, &*spec.name)];
            parameters.extend(key.map(|key| ("KmsKeyId", key)));
            address = Some(presign::url(&self.account, from, region, action, &parameters).await?);
        }
        let key = key.map(str::to_owned);
        let (native, made) = if cluster {
            let call = client
                .copy_db_cluster_snapshot()
                .source_db_cluster_snapshot_identifier(&source.arn)
                .target_db_cluster_snapshot_identifier(&spec.name)
                .set_kms_key_id(key)
                .set_pre_signed_url(address)
                .copy_tags(false)
                .set_tags(Some(tags));
            let made = call.send().await.map_err(writes("rds"));
            let made = made.and_then(|made| match made.db_cluster_snapshot() {
                Some(snapshot) => of_cluster(region, snapshot),
                None => Ok(None),
            });
            (Native::Cluster(&spec.name), made)
        } else {
            let call = client
                .copy_db_snapshot()
                .source_db_snapshot_identifier(&source.arn)
                .target_db_snapshot_identifier(&spec.name)
                .set_kms_key_id(key)
                .set_pre_signed_url(address)
                .copy_tags(false)
                .set_tags(Some(tags));
            let made = call.send().await.map_err(writes("rds"));
            let made = made.and_then(|made| match made.db_snapshot() {
                Some(snapshot) => of_instance(region, snapshot),
                None => Ok(None),
            });
            (Native::Instance(&spec.name), made)
        };
        self.made_snapshot(region, native, made, request).await
    }

    pub(super) async fn remove_snapshot(&self, id: &ResourceId) -> Result<bool> {
        id.expect_kind(ResourceKind::Snapshot)?;
        let client = self.account.rds(&id.region)?;
        let deleted = match Native::snapshot(id) {
            None => return Ok(false),
            Some(Native::Instance(name)) => {
                let call = client.delete_db_snapshot().db_snapshot_identifier(name);
                call.send().await.map_err(writes("rds")).map(drop)
            }
            Some(Native::Cluster(name)) => {
                let call = client.delete_db_cluster_snapshot().db_cluster_snapshot_identifier(name);
                call.send().await.map_err(writes("rds")).map(drop)
            }
        };
        match deleted {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_of_a_copy_is_the_server_in_its_own_region() {
        let region = Region::new("eu-west-1").unwrap();
        let copy = DbSnapshot::builder()
            .db_snapshot_identifier("orders-far")
            .db_instance_identifier("orders")
            .source_region("us-east-1")
            .source_db_snapshot_identifier(
                "arn:aws:rds:us-east-1:123456789012:snapshot:orders-monday",
            )
            .engine("postgres")
            .status("available")
            .allocated_storage(20)
            .build();
        let taken = of_instance(&region, &copy).unwrap().unwrap();
        assert_eq!(taken.view.source.to_string(), "database/us-east-1/orders");
        assert_eq!(taken.view.id.to_string(), "snapshot/eu-west-1/orders-far");
        assert_eq!(taken.view.size, Some(ByteSize::gib(20)));
        let copy = DbClusterSnapshot::builder()
            .db_cluster_snapshot_identifier("orders-far")
            .db_cluster_identifier("orders")
            .source_db_cluster_snapshot_arn("arn:aws:rds:us-east-1:123456789012:cluster-snapshot:a")
            .engine("aurora-mysql")
            .status("copying")
            .build();
        let taken = of_cluster(&region, &copy).unwrap().unwrap();
        assert_eq!(taken.view.source.to_string(), "database/us-east-1/cluster:orders");
        assert_eq!(taken.view.status, cloud_core::ResourceStatus::Creating);
    }
}
