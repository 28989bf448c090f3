//! What several services ask EC2 about regions and networks: zones, default network, subnets.

use cloud_core::{Region, ResourceId, Result, Zone};

use crate::{account::Account, error::reads};

/// The zones of a region that are open to this account.
pub(crate) async fn zones(account: &Account, region: &Region) -> Result<Vec<Zone>> {
    let answer =
        account.ec2(region)?.describe_availability_zones().send().await.map_err(reads("ec2"))?;
    let zones = answer.availability_zones().iter();
    let open = zones.filter(|zone| zone.zone_type().is_none_or(|kind| kind == "availability-zone"));
    let mut names: Vec<_> =
        open.filter_map(|zone| zone.zone_name()).map(Zone::new).collect::<Result<_>>()?;
    names.sort();
    Ok(names)
}

/// A subnet and the zone that it lies in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubnetOf {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    pub(crate) zone: Option<String>,
    pub(crate) network: String,
}

/// The subnets of a network, or of the region's default network, ordered by id.
pub(crate) async fn subnets(
    account: &Account,
    region: &Region,
    network: Option<&ResourceId>,
) -> Result<Vec<SubnetOf>> {
    use aws_sdk_ec2::types::Filter;
    let filter = match network {
        Some(network) => Filter::builder().name("vpc-id").values(network.native()).build(),
        None => Filter::builder().name("default-for-az").values("true").build(),
    };
    let mut pages =
        account.ec2(region)?.describe_subnets().filters(filter).into_paginator().items().send();
    let mut subnets = Vec::new();
    while let Some(subnet) = pages.next().await {
        let subnet = subnet.map_err(reads("ec2"))?;
        let name = subnet.tags().iter().find(|tag| tag.key() == Some("Name"));
        subnets.push(SubnetOf {
            id: subnet.subnet_id().unwrap_or_default().to_owned(),
            name: name.and_then(|tag| tag.value()).map(str::to_owned),
            zone: subnet.availability_zone().map(str::to_owned),
            network: subnet.vpc_id().unwrap_or_default().to_owned(),
        });
    }
    subnets.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(subnets)
}
