//! Aurora clusters: a cluster and its servers are one thing here, made and deleted together.
//!
//! To make one takes several calls. When a later one is refused, what the earlier ones made is taken back; when its effect is unknown, all stays,
//! and the repeated create finds what is there and makes the rest.

use std::collections::BTreeSet;

use aws_sdk_rds::types::{DbInstance, Filter, ServerlessV2ScalingConfiguration};
use cloud_core::{
    DatabaseServer, DatabaseSpec, Effect, Error, ErrorKind, ListQuery, PageRequest, Region,
    ResourceId, ResourceKind, Result, secret::ExposeSecret,
};

use super::{AwsDatabase, Found, found::Native, rds_tags, secrets::Password};
use crate::{
    AwsDatabaseServer,
    error::{has_code, reads, writes},
    listing::{self, NativePage},
    tags,
    tokens::Request,
};

/// The servers of a cluster are called after it: `<name>-1` is the first writer.
pub(super) fn member_names(name: &str, settings: &AwsDatabaseServer) -> Vec<String> {
    (1..=settings.readers + 1).map(|number| format!("{name}-{number}")).collect()
}

impl AwsDatabaseServer {
    pub(super) fn scaling(&self) -> Option<ServerlessV2ScalingConfiguration> {
        self.capacity.map(|capacity| {
            ServerlessV2ScalingConfiguration::builder()
                .min_capacity(capacity.min)
                .max_capacity(capacity.max)
                .build()
        })
    }
}

impl AwsDatabase {
    pub(super) async fn describe_cluster(&self, id: &ResourceId, name: &str) -> Result<Found> {
        let client = self.account.rds(&id.region)?;
        let answer = client.describe_db_clusters().db_cluster_identifier(name).send().await;
        let answer = answer.map_err(reads("rds")).map_err(|e| e.with_resource(id.to_string()))?;
        let [cluster, ..] = answer.db_clusters() else {
            return Err(Error::not_found(id));
        };
        let members = self.members(&id.region, &[name]).await?;
        Found::cluster(&id.region, cluster, &members)?.ok_or_else(|| Error::not_found(id))
    }

    /// The servers of some clusters.
    async fn members(&self, region: &Region, clusters: &[&str]) -> Result<Vec<DbInstance>> {
        if clusters.is_empty() {
            return Ok(Vec::new());
        }
        let filter = clusters.iter().map(|name| (*name).to_owned()).collect();
        let filter = Filter::builder().name("db-cluster-id").set_values(Some(filter)).build();
        let call = self.account.rds(region)?.describe_db_instances().filters(filter);
        let mut pages = call.into_paginator().items().send();
        let mut members = Vec::new();
        while let Some(member) = pages.next().await {
            members.push(member.map_err(reads("rds"))?);
        }
        Ok(members)
    }

    /// One page of RDS's.
    pub(super) async fn clusters_page(
        &self,
        region: &Region,
        marker: Option<String>,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<NativePage<DatabaseServer>> {
        let by_name = query
            .name
            .as_ref()
            .map(|name| vec![Filter::builder().name("db-cluster-id").values(name).build()]);
        let answer = self
            .account
            .rds(region)?
            .describe_db_clusters()
            .set_filters(by_name)
            .set_marker(marker)
            .max_records(listing::native_size(page, 20, 100))
            .send()
            .await
            .map_err(reads("rds"))?;
        let names: Vec<_> =
            answer.db_clusters().iter().filter_map(|c| c.db_cluster_identifier()).collect();
        let members = self.members(region, &names).await?;
        let mut views = Vec::new();
        for cluster in answer.db_clusters() {
            views.extend(Found::cluster(region, cluster, &members)?.map(|found| found.view));
        }
        Ok((views, answer.marker().filter(|m| !m.is_empty()).map(str::to_owned)))
    }

    pub(super) async fn create_cluster(
        &self,
        spec: &DatabaseSpec,
        settings: &AwsDatabaseServer,
        request: &Request,
    ) -> Result<Found> {
        let native = Native::Cluster(&spec.name).text();
        let id = listing::id(ResourceKind::Database, &spec.region, &native)?;
        let tags = tags::for_create(&spec.tags, request)?;
        let group = self.subnet_group(spec, settings).await?;
        let password = self.prepare_password(spec, settings, &native, request, &tags).await?;
        let call = self
            .account
            .rds(&spec.region)?
            .create_db_cluster()
            .db_cluster_identifier(&spec.name)
            .engine(settings.engine(spec.engine)?)
            .set_engine_version(spec.version.clone())
            .storage_encrypted(settings.encrypted(spec))
            .set_kms_key_id(settings.kms_key.clone().filter(|_| settings.encrypted(spec)))
            .master_username(&spec.user)
            .database_name(&spec.database)
            .set_enable_iam_database_authentication(settings.iam_auth.then_some(true))
            .set_enable_http_endpoint(settings.data_api.then_some(true))
            .deletion_protection(spec.delete_protection)
            .backup_retention_period(settings.backup_days())
            .copy_tags_to_snapshot(true)
            .set_serverless_v2_scaling_configuration(settings.scaling())
            .set_db_subnet_group_name(group)
            .set_vpc_security_group_ids(settings.groups())
            .set_db_cluster_parameter_group_name(settings.parameter_group.clone())
            .set_port(settings.port.map(i32::from))
            .set_tags(Some(rds_tags(&tags)));
        let call = match &password {
            Password::Managed => call
                .manage_master_user_password(true)
                .set_master_user_secret_kms_key_id(settings.secret_kms_key.clone()),
            Password::Ours { password, .. } => call.master_user_password(password.expose_secret()),
        };
        let made = call.send().await.map_err(writes("rds")).map(drop);
        let made = self.complete_cluster(made, spec, settings, request, &id, &tags).await;
        if let Err(error) = &made
            && error.effect() == Effect::None
        {
            self.undo_password(&spec.region, &password).await;
        }
        made
    }

    /// Makes the servers of a cluster that was just made, or that an earlier attempt of the same create made.
    pub(super) async fn complete_cluster(
        &self,
        made: Result<()>,
        spec: &DatabaseSpec,
        settings: &AwsDatabaseServer,
        request: &Request,
        id: &ResourceId,
        tags: &[(String, String)],
    ) -> Result<Found> {
        let fresh = made.is_ok();
        let there: BTreeSet<_> = match made {
            Ok(()) => BTreeSet::new(),
            Err(error) => {
                let found = self.ours(error, request, id).await?;
                if found.view.status.is_gone() {
                    return Ok(found);
                }
                found.members.into_iter().collect()
            }
        };
        let mut added = Vec::new();
        for name in member_names(&spec.name, settings) {
            if there.contains(&name) {
                continue;
            }
            if let Err(error) = self.add_member(spec, settings, &name, tags).await {
                let refused = fresh && error.effect() == Effect::None;
                return match refused && self.undo_cluster(id, &spec.name, &added).await {
                    true => Err(error),
                    // What is left is for the repeated create to complete.
                    false => Err(error.with_effect(Effect::Unknown)),
                };
            }
            added.push(name);
        }
        self.find(id).await.map_err(|e| e.with_effect(Effect::Unknown))
    }

    async fn add_member(
        &self,
        spec: &DatabaseSpec,
        settings: &AwsDatabaseServer,
        name: &str,
        tags: &[(String, String)],
    ) -> Result<()> {
        let made = self
            .account
            .rds(&spec.region)?
            .create_db_instance()
            .db_instance_identifier(name)
            .db_cluster_identifier(&spec.name)
            .engine(settings.engine(spec.engine)?)
            .db_instance_class(settings.instance_class(spec))
            .publicly_accessible(spec.public)
            .set_tags(Some(rds_tags(tags)))
            .send()
            .await
            .map_err(writes("rds"));
        match made {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                // Made by an attempt whose answer was lost, or somebody else's.
                let members = self.members(&spec.region, &[&*spec.name]).await?;
                match members.iter().any(|m| m.db_instance_identifier() == Some(name)) {
                    true => Ok(()),
                    false => Err(error),
                }
            }
            made => made.map(drop),
        }
    }

    /// Takes back a cluster that was made in vain. Whether all of it is going.
    async fn undo_cluster(&self, id: &ResourceId, name: &str, members: &[String]) -> bool {
        match self.delete_cluster(id, name, members).await {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(%error, %id, "a cluster that was made in vain is still there");
                false
            }
        }
    }

    pub(super) async fn delete_cluster(
        &self,
        id: &ResourceId,
        name: &str,
        members: &[String],
    ) -> Result<bool> {
        let client = self.account.rds(&id.region)?;
        // The writer last: the others follow it.
        for member in members.iter().rev() {
            let call = client.delete_db_instance().db_instance_identifier(member);
            match call.skip_final_snapshot(true).send().await.map_err(writes("rds")) {
                Err(error)
                    if error.kind() != ErrorKind::NotFound
                        && !has_code(&error, &["InvalidDBInstanceState"]) =>
                {
                    return Err(error.with_effect(Effect::Unknown));
                }
                // It is gone, or going already.
                _ => {}
            }
        }
        let call = client.delete_db_cluster().db_cluster_identifier(name);
        let deleted = call.skip_final_snapshot(true).delete_automated_backups(true).send().await;
        match deleted.map_err(writes("rds")) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) if has_code(&error, &["InvalidParameterCombination"]) => {
                Err(super::conflict(id, error.message()).with_code("InvalidParameterCombination"))
            }
            Err(error) => Err(error),
        }
    }
}
