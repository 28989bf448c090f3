//! Single servers (DB instances): create, find, list, delete; read replicas and their promotion.

use aws_sdk_rds::types::Filter;
use cloud_core::{
    DatabaseServer, DatabaseSpec, Effect, Engine, Error, ErrorKind, ListQuery, PageRequest, Region,
    ReplicaSpec, ResourceId, ResourceKind, Result, secret::ExposeSecret,
};

use super::{AwsDatabase, Found, presign, rds_tags, secrets::Password};
use crate::{
    AwsDatabaseServer,
    error::{has_code, reads, writes},
    listing::{self, NativePage},
    names, tags,
    tokens::Request,
};

impl AwsDatabase {
    pub(super) async fn describe_instance(&self, id: &ResourceId, name: &str) -> Result<Found> {
        let client = self.account.rds(&id.region)?;
        let answer = client.describe_db_instances().db_instance_identifier(name).send().await;
        let answer = answer.map_err(reads("rds")).map_err(|e| e.with_resource(id.to_string()))?;
        match answer.db_instances() {
            [server, ..] => {
                Found::instance(&id.region, server)?.ok_or_else(|| Error::not_found(id))
            }
            [] => Err(Error::not_found(id)),
        }
    }

    /// One page of RDS's.
    pub(super) async fn instances_page(
        &self,
        region: &Region,
        marker: Option<String>,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<NativePage<DatabaseServer>> {
        let by_name = query
            .name
            .as_ref()
            .map(|name| vec![Filter::builder().name("db-instance-id").values(name).build()]);
        let answer = self
            .account
            .rds(region)?
            .describe_db_instances()
            .set_filters(by_name)
            .set_marker(marker)
            .max_records(listing::native_size(page, 20, 100))
            .send()
            .await
            .map_err(reads("rds"))?;
        let mut views = Vec::new();
        for server in answer.db_instances() {
            views.extend(Found::instance(region, server)?.map(|found| found.view));
        }
        Ok((views, answer.marker().filter(|m| !m.is_empty()).map(str::to_owned)))
    }

    pub(super) async fn create_instance(
        &self,
        spec: &DatabaseSpec,
        settings: &AwsDatabaseServer,
        request: &Request,
    ) -> Result<Found> {
        let id = listing::id(ResourceKind::Database, &spec.region, &spec.name)?;
        let tags = tags::for_create(&spec.tags, request)?;
        let storage = super::settings::storage_gib(spec.storage)?;
        let group = self.subnet_group(spec, settings).await?;
        let password = self.prepare_password(spec, settings, id.native(), request, &tags).await?;
        let call = self
            .account
            .rds(&spec.region)?
            .create_db_instance()
            .db_instance_identifier(&spec.name)
            .engine(settings.engine(spec.engine)?)
            .set_engine_version(spec.version.clone())
            .db_instance_class(settings.instance_class(spec))
            .allocated_storage(storage)
            .set_max_allocated_storage(settings.max_storage_gib.and_then(|n| i32::try_from(n).ok()))
            .storage_type("gp3")
            .storage_encrypted(settings.encrypted(spec))
            .set_kms_key_id(settings.kms_key.clone().filter(|_| settings.encrypted(spec)))
            .publicly_accessible(spec.public)
            .multi_az(settings.multi_az)
            .master_username(&spec.user)
            .set_db_name((spec.engine != Engine::SqlServer).then(|| spec.database.clone()))
            .set_license_model(
                (spec.engine == Engine::SqlServer).then(|| "license-included".into()),
            )
            .set_enable_iam_database_authentication(settings.iam_auth.then_some(true))
            .deletion_protection(spec.delete_protection)
            .backup_retention_period(settings.backup_days())
            .copy_tags_to_snapshot(true)
            .set_db_subnet_group_name(group)
            .set_vpc_security_group_ids(settings.groups())
            .set_db_parameter_group_name(settings.parameter_group.clone())
            .set_port(settings.port.map(i32::from))
            .set_tags(Some(rds_tags(&tags)));
        let call = match &password {
            Password::Managed => call
                .manage_master_user_password(true)
                .set_master_user_secret_kms_key_id(settings.secret_kms_key.clone()),
            Password::Ours { password, .. } => call.master_user_password(password.expose_secret()),
        };
        match call.send().await.map_err(writes("rds")) {
            Ok(made) => match made.db_instance() {
                Some(server) => {
                    Found::instance(&spec.region, server)?.ok_or_else(|| Error::not_found(&id))
                }
                None => self.find(&id).await,
            },
            Err(error) => match self.ours(error, request, &id).await {
                Err(error) => {
                    // Without an effect there is no server that has this password.
                    if error.effect() == Effect::None {
                        self.undo_password(&spec.region, &password).await;
                    }
                    Err(error)
                }
                made => made,
            },
        }
    }

    pub(super) async fn delete_instance(&self, id: &ResourceId, name: &str) -> Result<bool> {
        let deleted = self
            .account
            .rds(&id.region)?
            .delete_db_instance()
            .db_instance_identifier(name)
            .skip_final_snapshot(true)
            .delete_automated_backups(true)
            .send()
            .await;
        match deleted.map_err(writes("rds")) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            // RDS words it so where protection was switched on meanwhile.
            Err(error) if has_code(&error, &["InvalidParameterCombination"]) => {
                Err(super::conflict(id, error.message()).with_code("InvalidParameterCombination"))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn replicate(&self, spec: &ReplicaSpec, request: &Request) -> Result<Found> {
        let id = listing::id(ResourceKind::Database, &spec.region, &spec.name)?;
        let source = self.find(&spec.source).await?;
        let engine = source.view.engine;
        if spec.source.native().starts_with(super::found::CLUSTER) {
            return Err(Error::unsupported("servers that replicate an Aurora cluster")
                .with_hint("its readers are set by overrides.aws.readers"));
        }
        if !self.capabilities().engine(engine)?.replicas {
            return Err(Error::unsupported(format_args!("replicas of {engine}")));
        }
        if source.managed_secret.is_some() {
            let why = "RDS makes no replicas of a server whose password it manages itself";
            return Err(super::conflict(&spec.source, why)
                .with_hint("create it with overrides.aws.password = \"secret\""));
        }
        if !source.view.status.is_ready() {
            return Err(super::not_ready(&source));
        }
        let tags = tags::for_create(&spec.tags, request)?;
        let password = self.copy_password(&source, &id, request, &tags).await?;
        let mut call = self
            .account
            .rds(&spec.region)?
            .create_db_instance_read_replica()
            .db_instance_identifier(&spec.name)
            .publicly_accessible(false)
            .copy_tags_to_snapshot(true)
            .set_enable_iam_database_authentication(source.iam_auth.then_some(true))
            .set_tags(Some(rds_tags(&tags)));
        if spec.region == spec.source.region {
            call = call.source_db_instance_identifier(&source.view.name);
        } else {
            let mut parameters = vec![
                ("SourceDBInstanceIdentifier", &*source.arn),
                ("DBInstanceIdentifier", &*spec.name),
            ];
            call = call.source_db_instance_identifier(&source.arn);
            if source.encrypted {
                // A key of the source's region is no use in another.
                call = call.kms_key_id(presign::DEFAULT_KEY);
                parameters.push(("KmsKeyId", presign::DEFAULT_KEY));
            }
            let url = presign::url(
                &self.account,
                &spec.source.region,
                &spec.region,
                "CreateDBInstanceReadReplica",
                &parameters,
            );
            call = call.pre_signed_url(url.await?);
        }
        match call.send().await.map_err(writes("rds")) {
            Ok(made) => match made.db_instance() {
                Some(server) => {
                    Found::instance(&spec.region, server)?.ok_or_else(|| Error::not_found(&id))
                }
                None => self.find(&id).await,
            },
            Err(error) => match self.ours(error, request, &id).await {
                Err(error) => {
                    if let Some(password) = password.filter(|_| error.effect() == Effect::None) {
                        self.undo_password(&spec.region, &password).await;
                    }
                    Err(error)
                }
                made => made,
            },
        }
    }

    pub(super) async fn promote(&self, id: &ResourceId) -> Result<Found> {
        let found = self.find(id).await?;
        if found.view.replica_of.is_none() {
            return Ok(found);
        }
        if id.native().starts_with(super::found::CLUSTER) {
            return Err(Error::unsupported("promoting an Aurora cluster"));
        }
        let promoted = self
            .account
            .rds(&id.region)?
            .promote_read_replica()
            .db_instance_identifier(id.native())
            .backup_retention_period(7)
            .send()
            .await
            .map_err(writes("rds"))?;
        match promoted.db_instance() {
            Some(server) => {
                Found::instance(&id.region, server)?.ok_or_else(|| Error::not_found(id))
            }
            None => self.find(id).await,
        }
    }
}

impl AwsDatabaseServer {
    pub(super) fn groups(&self) -> Option<Vec<String>> {
        (!self.security_groups.is_empty()).then(|| self.security_groups.clone())
    }
}

/// A replica's name, checked as that of any server.
pub(super) fn check_replica(spec: &ReplicaSpec) -> Result<()> {
    spec.validate()?;
    names::check_database("replica name", &spec.name)?;
    tags::check(&spec.tags)?;
    Ok(())
}
