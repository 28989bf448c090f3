//! Peerings of two VPCs of this account, in one region or two, with the routes that let them carry traffic.

use std::time::Duration;

use aws_sdk_ec2::{
    Client,
    types::{
        ResourceType, RouteTable, Vpc, VpcPeeringConnection,
        VpcPeeringConnectionStateReasonCode as Code, VpcPeeringConnectionVpcInfo,
    },
};
use cloud_core::{
    ClientToken, Error, ErrorKind, ListQuery, Page, PageRequest, Peering, PeeringSpec, Region,
    ResourceId, ResourceKind, ResourceStatus, Result, WaitOptions, overlaps, wait_until,
};
use ipnet::IpNet;

use super::{
    AwsNetwork,
    ec2::{
        Made, Settled, Tagged, check_id, check_named, create_once, deleted, filter, found,
        made_with, may_have, one, tag_filters, tag_specification, undo,
    },
    networks::{block, blocks, main_table, vpc},
};
use crate::{
    error::{absent, has_code, reads, writes},
    listing,
    tokens::Request,
};

/// How long a new peering may take to be seen in the region of the other VPC.
const SEEN_WITHIN: Duration = Duration::from_secs(60);

fn code(peering: &VpcPeeringConnection) -> Option<&Code> {
    peering.status().and_then(|status| status.code())
}

fn status(peering: &VpcPeeringConnection) -> ResourceStatus {
    match code(peering) {
        Some(Code::Active) => ResourceStatus::Running,
        Some(Code::InitiatingRequest | Code::PendingAcceptance | Code::Provisioning) => {
            ResourceStatus::Creating
        }
        Some(Code::Deleting) => ResourceStatus::Deleting,
        Some(Code::Deleted) => ResourceStatus::Deleted,
        Some(Code::Failed | Code::Rejected | Code::Expired) => ResourceStatus::Failed,
        _ => ResourceStatus::Unknown,
    }
}

fn lives(peering: &VpcPeeringConnection) -> bool {
    !matches!(status(peering), ResourceStatus::Deleted | ResourceStatus::Failed)
}

/// One side as AWS reports it; without a region it is the one that was asked.
fn side(asked: &Region, info: Option<&VpcPeeringConnectionVpcInfo>) -> Result<ResourceId> {
    let info = info.ok_or_else(|| absent("VpcInfo"))?;
    let region = info.region().map(Region::new).transpose()?;
    let vpc = info.vpc_id().ok_or_else(|| absent("VpcId"))?;
    listing::id(ResourceKind::Network, region.as_ref().unwrap_or(asked), vpc)
}

fn view(region: &Region, peering: &VpcPeeringConnection) -> Result<Peering> {
    Ok(Peering {
        id: listing::id(ResourceKind::Peering, region, peering.native())?,
        name: peering.name(),
        status: status(peering),
        network: side(region, peering.requester_vpc_info())?,
        peer: side(region, peering.accepter_vpc_info())?,
        tags: Tagged::tags(peering),
        created_at: None,
    })
}

/// Whether it is one of this region's: one between regions is listed in both, and belongs to that of its requester.
fn at_home(region: &Region, peering: &VpcPeeringConnection) -> bool {
    let requester = peering.requester_vpc_info().and_then(|info| info.region());
    requester.is_none_or(|requester| requester == region.as_str())
}

async fn peering(ec2: &Client, id: &str) -> Result<VpcPeeringConnection> {
    check_id("pcx", id)?;
    let call = ec2.describe_vpc_peering_connections().vpc_peering_connection_ids(id);
    let answer = call.send().await.map_err(reads("ec2"))?;
    one(answer.vpc_peering_connections.unwrap_or_default(), "peering", id)
}

/// The peerings that a VPC has, on either side.
pub(super) async fn of_network(ec2: &Client, vpc: &str) -> Result<Vec<VpcPeeringConnection>> {
    let by = async |name: &str| {
        let call = ec2.describe_vpc_peering_connections().filters(filter(name, vpc));
        let pages = call.into_paginator().items().send();
        let all: Vec<_> = pages.try_collect().await.map_err(reads("ec2"))?;
        Ok::<_, Error>(all)
    };
    let mut all = by("requester-vpc-info.vpc-id").await?;
    all.extend(by("accepter-vpc-info.vpc-id").await?);
    let has = |info: Option<&VpcPeeringConnectionVpcInfo>| {
        info.and_then(|info| info.vpc_id()) == Some(vpc)
    };
    all.retain(|p| lives(p) && (has(p.requester_vpc_info()) || has(p.accepter_vpc_info())));
    all.sort_by(|a, b| a.native().cmp(b.native()));
    all.dedup_by(|a, b| a.native() == b.native());
    Ok(all)
}

async fn delete(ec2: &Client, id: &str) -> Result<()> {
    let call = ec2.delete_vpc_peering_connection().vpc_peering_connection_id(id);
    call.send().await.map_err(writes("ec2"))?;
    Ok(())
}

fn check_overlap(one: &Vpc, other: &Vpc) -> Result<()> {
    let others = blocks(other);
    for a in blocks(one) {
        if let Some(b) = others.iter().find(|b| overlaps(&a, b)) {
            let problem = format!("has {b}, which overlaps {a} of the network");
            return Err(Error::invalid("peer", problem, "networks without common addresses"));
        }
    }
    Ok(())
}

/// One end of a peering while it is made: the client of its region, and its VPC.
struct End<'a> {
    ec2: &'a Client,
    vpc: &'a Vpc,
}

impl AwsNetwork {
    pub(super) async fn create_connection(
        &self,
        spec: &PeeringSpec,
        token: &ClientToken,
    ) -> Result<Peering> {
        spec.validate()?;
        self.capabilities().names.check("peering name", &spec.name)?;
        check_named(&spec.tags)?;
        let region = &spec.network.region;
        let (near, far) = (self.account.ec2(region)?, self.account.ec2(&spec.peer.region)?);
        let (one, other) =
            futures::try_join!(vpc(&near, spec.network.native()), vpc(&far, spec.peer.native()))?;
        check_overlap(&one, &other)?;
        let (one, other) = (End { ec2: &near, vpc: &one }, End { ec2: &far, vpc: &other });
        let tokens = &self.account.tokens;
        tokens
            .once(ResourceKind::Peering, spec, token, |request| async move {
                let made = find_or_make(&self.settled, one.ec2, spec, &request).await?;
                let id = made.item.native();
                let completed = async {
                    accept(other.ec2, id).await?;
                    route(&one, &other, id).await?;
                    route(&other, &one, id).await?;
                    peering(one.ec2, id).await.map_err(may_have)
                };
                match completed.await {
                    Ok(made) => view(region, &made),
                    Err(error) => {
                        let back = async {
                            delete(one.ec2, id).await?;
                            unroute(one.ec2, spec.network.native(), id).await?;
                            unroute(other.ec2, spec.peer.native(), id).await
                        };
                        Err(undo(error, made.fresh, back).await)
                    }
                }
            })
            .await
    }

    pub(super) async fn get_connection(&self, id: &ResourceId) -> Result<Peering> {
        id.expect_kind(ResourceKind::Peering)?;
        view(&id.region, &peering(&self.account.ec2(&id.region)?, id.native()).await?)
    }

    pub(super) async fn list_connections(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Peering>> {
        let size = listing::native_size(page, 5, 1000);
        listing::regional(&self.account, query, page, |region, token| async move {
            let ec2 = self.account.ec2(&region)?;
            let call = ec2.describe_vpc_peering_connections().set_filters(Some(tag_filters(query)));
            let call = call.max_results(size).set_next_token(token);
            let answer = call.send().await.map_err(reads("ec2"))?;
            let all = answer.vpc_peering_connections.unwrap_or_default();
            let here = all.iter().filter(|peering| at_home(&region, peering));
            let views = here.map(|peering| view(&region, peering)).collect::<Result<_>>()?;
            Ok((views, answer.next_token))
        })
        .await
    }

    pub(super) async fn delete_connection(&self, id: &ResourceId) -> Result<bool> {
        id.expect_kind(ResourceKind::Peering)?;
        let near = self.account.ec2(&id.region)?;
        let there = match peering(&near, id.native()).await {
            Ok(there) => there,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let was_there = match lives(&there) && status(&there) != ResourceStatus::Deleting {
            true => deleted(delete(&near, id.native()).await)?,
            false => false,
        };
        // Also where it is gone already: the call before may have ended here. A region that this cloud is not set up for is
        // left alone, as are its routes, which lead nowhere now.
        let sides = [there.requester_vpc_info(), there.accepter_vpc_info()];
        for side in sides.into_iter().filter_map(|info| side(&id.region, info).ok()) {
            if let Ok(ec2) = self.account.ec2(&side.region) {
                unroute(&ec2, side.native(), id.native()).await.map_err(may_have)?;
            }
        }
        Ok(was_there)
    }
}

async fn find_or_make(
    settled: &Settled,
    ec2: &Client,
    spec: &PeeringSpec,
    request: &Request,
) -> Result<Made<VpcPeeringConnection>> {
    let kind = ResourceType::VpcPeeringConnection;
    let tags = tag_specification(kind, &spec.name, &spec.tags, request)?;
    create_once(
        settled,
        request,
        || async {
            let call = ec2.describe_vpc_peering_connections().filters(made_with(request));
            let pages = call.into_paginator().items().send();
            let mut all: Vec<_> = pages.try_collect().await.map_err(reads("ec2"))?;
            all.retain(lives);
            Ok(all)
        },
        async {
            let call = ec2
                .create_vpc_peering_connection()
                .vpc_id(spec.network.native())
                .peer_vpc_id(spec.peer.native())
                .peer_region(spec.peer.region.as_str())
                .tag_specifications(tags);
            let answer = call.send().await.map_err(writes("ec2"))?;
            answer.vpc_peering_connection.ok_or_else(|| absent("VpcPeeringConnection"))
        },
        |peering| async move { delete(ec2, peering.native()).await },
    )
    .await
}

/// Accepts a peering in the region of its other VPC, where it is seen a moment after it was asked for.
async fn accept(ec2: &Client, id: &str) -> Result<()> {
    let patience = WaitOptions { deadline: SEEN_WITHIN, ..WaitOptions::default() };
    let what = format!("{id} to await its acceptance");
    let waiting = wait_until(&what, &patience, || async {
        let there = match peering(ec2, id).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            there => there?,
        };
        match code(&there) {
            Some(Code::PendingAcceptance) => Ok(Some(true)),
            Some(Code::Active | Code::Provisioning) => Ok(Some(false)),
            Some(Code::InitiatingRequest) => Ok(None),
            _ => {
                let why = there.status().and_then(|status| status.message()).unwrap_or_default();
                Err(Error::new(ErrorKind::Conflict, format!("{id} is not to be accepted: {why}")))
            }
        }
    });
    if !waiting.await? {
        return Ok(());
    }
    let call = ec2.accept_vpc_peering_connection().vpc_peering_connection_id(id);
    match call.send().await.map_err(writes("ec2")) {
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::Conflict => {
            let now = peering(ec2, id).await.map_err(may_have)?;
            match code(&now) {
                Some(Code::Active | Code::Provisioning) => Ok(()),
                _ => Err(error),
            }
        }
        answer => answer.map(drop),
    }
}

fn leads_to(table: &RouteTable, id: &str) -> Vec<IpNet> {
    let routes = table.routes().iter().filter(|r| r.vpc_peering_connection_id() == Some(id));
    let four = |route: &aws_sdk_ec2::types::Route| block(route.destination_cidr_block());
    let six = |route: &aws_sdk_ec2::types::Route| block(route.destination_ipv6_cidr_block());
    routes.filter_map(|route| four(route).or_else(|| six(route))).collect()
}

/// Leads what one VPC sends to the other's addresses through the peering, by its main route table.
async fn route(from: &End<'_>, to: &End<'_>, id: &str) -> Result<()> {
    let table = main_table(from.ec2, from.vpc.native()).await?;
    let there = leads_to(&table, id);
    for block in blocks(to.vpc).into_iter().filter(|block| !there.contains(block)) {
        let call = from.ec2.create_route().route_table_id(table.native());
        let call = call.vpc_peering_connection_id(id);
        let call = match block {
            IpNet::V4(_) => call.destination_cidr_block(block.to_string()),
            IpNet::V6(_) => call.destination_ipv6_cidr_block(block.to_string()),
        };
        match call.send().await.map_err(writes("ec2")) {
            // Another process completes the same peering, or something else has the addresses.
            Err(error) if has_code(&error, &["RouteAlreadyExists"]) => {
                let now = main_table(from.ec2, from.vpc.native()).await.map_err(may_have)?;
                if !leads_to(&now, id).contains(&block) {
                    let message =
                        format!("{block} has another route already in {}", table.native());
                    return Err(Error::new(ErrorKind::Conflict, message));
                }
            }
            answer => drop(answer?),
        }
    }
    Ok(())
}

/// Removes the routes of a VPC that lead through a peering.
async fn unroute(ec2: &Client, vpc: &str, id: &str) -> Result<()> {
    let pages = ec2.describe_route_tables().filters(filter("vpc-id", vpc)).into_paginator();
    let tables = found(pages.items().send().try_collect().await.map_err(reads("ec2")))?;
    for table in &tables {
        for block in leads_to(table, id) {
            let call = ec2.delete_route().route_table_id(table.native());
            let call = match block {
                IpNet::V4(_) => call.destination_cidr_block(block.to_string()),
                IpNet::V6(_) => call.destination_ipv6_cidr_block(block.to_string()),
            };
            deleted(call.send().await.map(drop).map_err(writes("ec2")))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vpc_of(cidrs: &[&str]) -> Vpc {
        use aws_sdk_ec2::types::{VpcCidrBlockAssociation, VpcIpv6CidrBlockAssociation};
        let mut vpc = Vpc::builder().cidr_block(cidrs[0]);
        for cidr in &cidrs[1..] {
            vpc = match cidr.contains(':') {
                true => vpc.ipv6_cidr_block_association_set(
                    VpcIpv6CidrBlockAssociation::builder().ipv6_cidr_block(*cidr).build(),
                ),
                false => vpc.cidr_block_association_set(
                    VpcCidrBlockAssociation::builder().cidr_block(*cidr).build(),
                ),
            };
        }
        vpc.build()
    }

    #[test]
    fn every_block_of_both_counts_for_an_overlap() {
        let one = vpc_of(&["10.0.0.0/16", "10.0.0.0/16", "10.9.0.0/16", "2001:db8::/56"]);
        assert!(check_overlap(&one, &vpc_of(&["10.1.0.0/16"])).is_ok());
        for cidr in ["10.0.1.0/24", "10.9.0.0/16", "10.0.0.0/8"] {
            let error = check_overlap(&one, &vpc_of(&[cidr])).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{cidr}");
        }
        assert!(check_overlap(&one, &vpc_of(&["10.1.0.0/16", "2001:db8::/64"])).is_err());
    }

    #[test]
    fn a_peering_between_regions_is_one_and_knows_both() {
        let info = |region: &str, vpc: &str| {
            VpcPeeringConnectionVpcInfo::builder().region(region).vpc_id(vpc).build()
        };
        let peering = VpcPeeringConnection::builder()
            .vpc_peering_connection_id("pcx-1")
            .requester_vpc_info(info("us-east-1", "vpc-1"))
            .accepter_vpc_info(info("eu-west-1", "vpc-2"))
            .build();
        let (us, eu) = (Region::new("us-east-1").unwrap(), Region::new("eu-west-1").unwrap());
        assert!(at_home(&us, &peering) && !at_home(&eu, &peering));
        let seen = view(&us, &peering).unwrap();
        assert_eq!(seen.network.to_string(), "network/us-east-1/vpc-1");
        assert_eq!(seen.peer.to_string(), "network/eu-west-1/vpc-2");
    }
}
