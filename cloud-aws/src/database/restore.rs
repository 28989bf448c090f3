//! New servers with the data of old ones: from a snapshot, or as a server was at a point in time.
//!
//! Owner and databases are the source's. RDS sets a new password for a restored single server, and manages it; a restored cluster keeps
//! the password of its source, until [`AwsDatabase::manage_password`](super::AwsDatabase::manage_password) has a new one set.

use cloud_core::{
    DatabaseSpec, Encryption, Engine, Error, ErrorKind, ResourceId, ResourceKind, Result, Retry,
};
use jiff::Timestamp;

use super::{
    AwsDatabase, Found,
    found::{CLUSTER, Native},
    rds_tags,
    settings::PasswordStore,
};
use crate::{AwsDatabaseServer, error::writes, listing, tags, time::date_time, tokens::Request};

/// What of a spec cannot be had of a restored server.
fn check(
    spec: &DatabaseSpec,
    settings: &AwsDatabaseServer,
    source: &ResourceId,
    engine: Engine,
    encrypted: bool,
) -> Result<()> {
    if source.region != spec.region {
        return Err(Error::unsupported(format_args!(
            "restoring what lies in {} in {}",
            source.region, spec.region
        ))
        .with_hint("copy the snapshot to that region first"));
    }
    if engine != spec.engine {
        let problem = format!("is {}, the source is of {engine}", spec.engine);
        return Err(Error::invalid("engine", problem, engine));
    }
    if spec.password.is_some() || settings.password == Some(PasswordStore::Secret) {
        let problem = "is given for a restored server";
        return Err(Error::invalid("password", problem, "none: RDS sets a new one and manages it"));
    }
    if spec.encryption == Encryption::Required && !encrypted {
        let problem = "is required, the source is not encrypted";
        let accepted = "a copy of the snapshot that was made with a KMS key";
        return Err(Error::invalid("encryption", problem, accepted));
    }
    Ok(())
}

impl AwsDatabase {
    pub(super) async fn restore(
        &self,
        snapshot: &ResourceId,
        spec: &DatabaseSpec,
        request: &Request,
    ) -> Result<Found> {
        let taken = self.find_snapshot(snapshot).await?;
        let mut settings = AwsDatabaseServer::of(spec)?;
        check(spec, &settings, snapshot, taken.view.engine, taken.encrypted)?;
        if !taken.view.status.is_ready() {
            let why = format!("the snapshot is {}", taken.view.status);
            return Err(super::conflict(snapshot, &why).with_retry(Retry::Backoff));
        }
        let Some(native) = Native::snapshot(snapshot) else {
            return Err(Error::not_found(snapshot));
        };
        let group = self.subnet_group(spec, &settings).await?;
        let tags = tags::for_create(&spec.tags, request)?;
        let client = self.account.rds(&spec.region)?;
        match native {
            Native::Instance(name) => {
                let id = listing::id(ResourceKind::Database, &spec.region, &spec.name)?;
                // A volume grows, but does not shrink.
                let storage = super::settings::storage_gib(spec.storage)?;
                let made = client
                    .restore_db_instance_from_db_snapshot()
                    .db_instance_identifier(&spec.name)
                    .db_snapshot_identifier(name)
                    .db_instance_class(settings.instance_class(spec))
                    .set_allocated_storage((storage > taken.storage_gib).then_some(storage))
                    .publicly_accessible(spec.public)
                    .multi_az(settings.multi_az)
                    .set_enable_iam_database_authentication(settings.iam_auth.then_some(true))
                    .deletion_protection(spec.delete_protection)
                    .copy_tags_to_snapshot(true)
                    .manage_master_user_password(true)
                    .set_master_user_secret_kms_key_id(settings.secret_kms_key.clone())
                    .set_db_subnet_group_name(group)
                    .set_vpc_security_group_ids(settings.groups())
                    .set_db_parameter_group_name(settings.parameter_group.clone())
                    .set_port(settings.port.map(i32::from))
                    .set_tags(Some(rds_tags(&tags)))
                    .send()
                    .await
                    .map_err(writes("rds"))
                    .map(drop);
                self.restored(made, request, &id).await
            }
            Native::Cluster(name) => {
                settings.aurora = true;
                let id = super::cluster_id(spec)?;
                let made = client
                    .restore_db_cluster_from_snapshot()
                    .db_cluster_identifier(&spec.name)
                    .snapshot_identifier(name)
                    .engine(settings.engine(spec.engine)?)
                    .set_engine_version(spec.version.clone())
                    .set_enable_iam_database_authentication(settings.iam_auth.then_some(true))
                    .deletion_protection(spec.delete_protection)
                    .copy_tags_to_snapshot(true)
                    .set_serverless_v2_scaling_configuration(settings.scaling())
                    .set_db_subnet_group_name(group)
                    .set_vpc_security_group_ids(settings.groups())
                    .set_db_cluster_parameter_group_name(settings.parameter_group.clone())
                    .set_port(settings.port.map(i32::from))
                    .set_tags(Some(rds_tags(&tags)))
                    .send()
                    .await
                    .map_err(writes("rds"))
                    .map(drop);
                self.complete_cluster(made, spec, &settings, request, &id, &tags).await
            }
        }
    }

    pub(super) async fn restore_at(
        &self,
        source: &ResourceId,
        at: Option<Timestamp>,
        spec: &DatabaseSpec,
        request: &Request,
    ) -> Result<Found> {
        let old = self.find(source).await?;
        let mut settings = AwsDatabaseServer::of(spec)?;
        check(spec, &settings, source, old.view.engine, old.encrypted)?;
        check_time(&old, at)?;
        let group = self.subnet_group(spec, &settings).await?;
        let tags = tags::for_create(&spec.tags, request)?;
        let client = self.account.rds(&spec.region)?;
        let at_time = at.map(date_time);
        let latest = at.is_none().then_some(true);
        match source.native().strip_prefix(CLUSTER) {
            None => {
                let id = listing::id(ResourceKind::Database, &spec.region, &spec.name)?;
                let storage = super::settings::storage_gib(spec.storage)?;
                let made = client
                    .restore_db_instance_to_point_in_time()
                    .source_db_instance_identifier(&old.view.name)
                    .target_db_instance_identifier(&spec.name)
                    .set_restore_time(at_time)
                    .set_use_latest_restorable_time(latest)
                    .db_instance_class(settings.instance_class(spec))
                    .set_allocated_storage((storage > old.storage_gib).then_some(storage))
                    .publicly_accessible(spec.public)
                    .multi_az(settings.multi_az)
                    .set_enable_iam_database_authentication(settings.iam_auth.then_some(true))
                    .deletion_protection(spec.delete_protection)
                    .copy_tags_to_snapshot(true)
                    .manage_master_user_password(true)
                    .set_master_user_secret_kms_key_id(settings.secret_kms_key.clone())
                    .set_db_subnet_group_name(group)
                    .set_vpc_security_group_ids(settings.groups())
                    .set_db_parameter_group_name(settings.parameter_group.clone())
                    .set_port(settings.port.map(i32::from))
                    .set_tags(Some(rds_tags(&tags)))
                    .send()
                    .await
                    .map_err(writes("rds"))
                    .map(drop);
                self.restored(made, request, &id).await
            }
            Some(cluster) => {
                settings.aurora = true;
                let id = super::cluster_id(spec)?;
                let made = client
                    .restore_db_cluster_to_point_in_time()
                    .source_db_cluster_identifier(cluster)
                    .db_cluster_identifier(&spec.name)
                    .set_restore_to_time(at_time)
                    .set_use_latest_restorable_time(latest)
                    .set_enable_iam_database_authentication(settings.iam_auth.then_some(true))
                    .deletion_protection(spec.delete_protection)
                    .copy_tags_to_snapshot(true)
                    .set_serverless_v2_scaling_configuration(settings.scaling())
                    .set_db_subnet_group_name(group)
                    .set_vpc_security_group_ids(settings.groups())
                    .set_db_cluster_parameter_group_name(settings.parameter_group.clone())
                    .set_port(settings.port.map(i32::from))
                    .set_tags(Some(rds_tags(&tags)))
                    .send()
                    .await
                    .map_err(writes("rds"))
                    .map(drop);
                self.complete_cluster(made, spec, &settings, request, &id, &tags).await
            }
        }
    }

    async fn restored(
        &self,
        made: Result<()>,
        request: &Request,
        id: &ResourceId,
    ) -> Result<Found> {
        match made {
            Ok(()) => self.find(id).await.map_err(|e| e.with_effect(cloud_core::Effect::Unknown)),
            Err(error) => self.ours(error, request, id).await,
        }
    }
}

/// Refuses a time that is not kept: before the server was made or its backups begin, or after the last that can be restored.
fn check_time(old: &Found, at: Option<Timestamp>) -> Result<()> {
    let (earliest, latest) = old.restorable;
    match (at, latest) {
        (Some(at), Some(latest)) if at > latest || earliest.is_some_and(|from| at < from) => {
            let accepted = match earliest {
                Some(from) => format!("{from} to {latest}"),
                None => format!("up to {latest}"),
            };
            Err(Error::invalid("time", format_args!("{at} is not kept"), accepted))
        }
        (Some(at), None) => {
            let accepted = "a time once the first backup of the server is there";
            Err(Error::invalid("time", format_args!("{at} is not kept"), accepted))
        }
        (None, None) => {
            let message = "the server cannot be restored yet: its first backup is not there";
            Err(Error::new(ErrorKind::Conflict, message).with_retry(Retry::Backoff))
        }
        _ => Ok(()),
    }
}
