//! Where in a network a server stands: the DB subnet group of the network, made when it is first needed.

use cloud_core::{DatabaseSpec, ErrorKind, Region, ResourceId, ResourceKind, Result};

use super::AwsDatabase;
use crate::{AwsDatabaseServer, error::writes};

/// The group of all subnets of a network. Servers share it, so it belongs to none of them.
fn group_name(network: &ResourceId) -> String {
    format!("multicloud-{}", network.native())
}

impl AwsDatabase {
    /// The subnet group for a server; `None` is the default network's.
    pub(super) async fn subnet_group(
        &self,
        spec: &DatabaseSpec,
        settings: &AwsDatabaseServer,
    ) -> Result<Option<String>> {
        match (&settings.subnet_group, &spec.network) {
            (Some(group), _) => Ok(Some(group.clone())),
            (None, Some(network)) => self.group_of(&spec.region, network).await.map(Some),
            (None, None) => Ok(None),
        }
    }

    /// Makes the group, or gives it the subnets that the network has now.
    #[cfg(any(feature = "compute", feature = "network"))]
    async fn group_of(&self, region: &Region, network: &ResourceId) -> Result<String> {
        use cloud_core::Error;
        if network.region != *region {
            let problem = format!("lies in {}", network.region);
            return Err(Error::invalid("network", problem, format_args!("a network in {region}")));
        }
        let subnets = crate::vpc::subnets(&self.account, region, Some(network)).await?;
        let zones: std::collections::BTreeSet<_> = subnets.iter().map(|s| &s.zone).collect();
        if zones.len() < 2 {
            let problem = format!("has subnets in {} zones", zones.len());
            return Err(Error::invalid(
                "network",
                problem,
                "subnets in at least two zones, as RDS wants",
            ));
        }
        let ids: Vec<_> = subnets.into_iter().map(|subnet| subnet.id).collect();
        let name = group_name(network);
        let client = self.account.rds(region)?;
        let made = client
            .create_db_subnet_group()
            .db_subnet_group_name(&name)
            .db_subnet_group_description(format!("All subnets of {}", network.native()))
            .set_subnet_ids(Some(ids.clone()))
            .send()
            .await
            .map_err(writes("rds"));
        match made {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let call = client.modify_db_subnet_group().db_subnet_group_name(&name);
                call.set_subnet_ids(Some(ids)).send().await.map_err(writes("rds"))?;
            }
            made => drop(made?),
        }
        Ok(name)
    }

    /// Which subnets a network has, only EC2 knows.
    #[cfg(not(any(feature = "compute", feature = "network")))]
    async fn group_of(&self, _: &Region, _: &ResourceId) -> Result<String> {
        Err(cloud_core::Error::unsupported("databases in a network, in this build").with_hint(
            "switch on the feature 'network' or 'compute', or set overrides.aws.subnet_group",
        ))
    }

    /// Deletes the DB subnet group that was made for a network's databases; to be called before the network is deleted for good,
    /// though AWS does not insist on it. `true` if it was there.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) while a server uses it, or any.
    ///
    /// ```no_run
    /// # use cloud_core::{ResourceId, Result};
    /// async fn tidy(aws: &cloud_aws::AwsCloud, network: &ResourceId) -> Result<bool> {
    ///     aws.aws_database().delete_subnet_group(network).await
    /// }
    /// ```
    pub async fn delete_subnet_group(&self, network: &ResourceId) -> Result<bool> {
        let deleted = async {
            network.expect_kind(ResourceKind::Network)?;
            let client = self.account.rds(&network.region)?;
            let call = client.delete_db_subnet_group().db_subnet_group_name(group_name(network));
            match call.send().await.map_err(writes("rds")) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
                answer => answer.map(|_| true),
            }
        };
        deleted.await.map_err(self.account.in_call("database.delete_subnet_group"))
    }
}
