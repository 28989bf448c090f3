//! Networks: VPCs with their subnets.

use aws_sdk_ec2::{
    Client,
    types::{AttributeBooleanValue, ResourceType, Subnet as SdkSubnet, Vpc, VpcState},
};
use cloud_core::{
    ClientToken, Effect, Error, ErrorKind, ListQuery, NetworkSpec, Page, PageRequest, Provider,
    ProviderOverrides, Region, ResourceId, ResourceKind, ResourceStatus, Result, Subnet,
    VirtualNetwork,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    AwsNetwork,
    ec2::{
        Made, Settled, Tagged, check_id, check_named, create_once, filter, found, made_with,
        may_have, one, tag_filters, tag_specification, undo,
    },
    peerings,
};
use crate::{
    error::{absent, has_code, reads, writes},
    listing,
    tokens::Request,
    vpc,
};

/// The most values that one filter of EC2 takes.
const FILTER_VALUES: i32 = 200;

/// Settings of a network that only AWS has, under `overrides.aws`
/// ([CreateVpc](https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateVpc.html),
/// [ModifyVpcAttribute](https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyVpcAttribute.html)).
///
/// ```
/// # use cloud_aws::AwsVirtualNetwork;
/// let settings: AwsVirtualNetwork = serde_json::from_str(r#"{"dns_hostnames": false}"#).unwrap();
/// assert!(!settings.dns_hostnames);
/// assert!(AwsVirtualNetwork::default().dns_hostnames);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AwsVirtualNetwork {
    /// Whether instances get DNS names. Databases that are to be reached by name and private zones need it. Default true.
    pub dns_hostnames: bool,
}

impl Default for AwsVirtualNetwork {
    fn default() -> Self {
        Self { dns_hostnames: true }
    }
}

impl ProviderOverrides for AwsVirtualNetwork {
    const PROVIDER: Provider = Provider::Aws;
}

/// What AWS says of the addresses of a VPC and its subnets besides
/// ([VPC CIDR blocks](https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html)).
fn check_blocks(spec: &NetworkSpec) -> Result<()> {
    let subnets = spec.subnets.iter().enumerate();
    let blocks = subnets.map(|(i, subnet)| (format!("subnets[{i}].cidr"), &subnet.cidr));
    for (field, block) in [("cidr".to_owned(), &spec.cidr)].into_iter().chain(blocks) {
        if !matches!(block, IpNet::V4(v4) if (16..=28).contains(&v4.prefix_len())) {
            return Err(Error::invalid(&field, format_args!("is {block}"), "an IPv4 /16 to /28"));
        }
    }
    Ok(())
}

fn network_id(region: &Region, native: &str) -> Result<ResourceId> {
    listing::id(ResourceKind::Network, region, native)
}

fn view(region: &Region, vpc: &Vpc, subnets: &[SdkSubnet]) -> Result<VirtualNetwork> {
    let mut inside: Vec<_> =
        subnets.iter().filter(|subnet| subnet.vpc_id() == vpc.vpc_id()).collect();
    inside.sort_by_key(|subnet| (block(subnet.cidr_block()), subnet.native().to_owned()));
    Ok(VirtualNetwork {
        id: network_id(region, vpc.native())?,
        name: vpc.name(),
        status: match vpc.state() {
            Some(VpcState::Available) => ResourceStatus::Running,
            Some(VpcState::Pending) => ResourceStatus::Creating,
            _ => ResourceStatus::Unknown,
        },
        cidr: block(vpc.cidr_block()).ok_or_else(|| absent("CidrBlock"))?,
        subnets: inside.into_iter().filter_map(subnet_view).collect(),
        tags: Tagged::tags(vpc),
        created_at: None,
    })
}

/// A subnet that has IPv6 addresses only is none that can be shown.
fn subnet_view(subnet: &SdkSubnet) -> Option<Subnet> {
    Some(Subnet {
        name: subnet.name(),
        native_id: subnet.native().to_owned(),
        cidr: block(subnet.cidr_block())?,
        zone: subnet.availability_zone().and_then(|zone| zone.parse().ok()),
    })
}

pub(super) fn block(text: Option<&str>) -> Option<IpNet> {
    text.and_then(|text| text.parse().ok())
}

/// The blocks of addresses of a VPC, later ones among them.
pub(super) fn blocks(vpc: &Vpc) -> Vec<IpNet> {
    let more = vpc.cidr_block_association_set().iter().map(|set| set.cidr_block());
    let six = vpc.ipv6_cidr_block_association_set().iter().map(|set| set.ipv6_cidr_block());
    let mut all: Vec<_> =
        [vpc.cidr_block()].into_iter().chain(more).chain(six).filter_map(block).collect();
    all.sort();
    all.dedup();
    all
}

/// One VPC.
pub(super) async fn vpc(ec2: &Client, id: &str) -> Result<Vpc> {
    check_id("vpc", id)?;
    let answer = ec2.describe_vpcs().vpc_ids(id).send().await.map_err(reads("ec2"))?;
    one(answer.vpcs.unwrap_or_default(), "VPC", id)
}

async fn subnets_of(ec2: &Client, vpcs: impl IntoIterator<Item = &str>) -> Result<Vec<SdkSubnet>> {
    let vpcs = vpcs.into_iter().map(str::to_owned).collect();
    let within =
        aws_sdk_ec2::types::Filter::builder().name("vpc-id").set_values(Some(vpcs)).build();
    let pages = ec2.describe_subnets().filters(within).into_paginator().items().send();
    pages.try_collect().await.map_err(reads("ec2"))
}

async fn delete_vpc(ec2: &Client, id: &str) -> Result<()> {
    ec2.delete_vpc().vpc_id(id).send().await.map_err(writes("ec2"))?;
    Ok(())
}

impl AwsNetwork {
    pub(super) async fn create_vpc(
        &self,
        spec: &NetworkSpec,
        token: &ClientToken,
    ) -> Result<VirtualNetwork> {
        spec.check(&self.capabilities())?;
        check_blocks(spec)?;
        check_named(&spec.tags)?;
        let settings = spec.overrides.get::<AwsVirtualNetwork>()?.unwrap_or_default();
        let ec2 = self.account.ec2(&spec.region)?;
        let tokens = &self.account.tokens;
        tokens
            .once(ResourceKind::Network, spec, token, |request| async move {
                let made = find_or_make(&self.settled, &ec2, spec, &request).await?;
                let completed = self.complete(&ec2, spec, &settings, &made, &request).await;
                match completed {
                    Ok(subnets) => view(&spec.region, &made.item, &subnets),
                    Err(error) => {
                        let id = made.item.native();
                        let back = async {
                            for subnet in subnets_of(&ec2, [id]).await? {
                                delete_subnet(&ec2, subnet.native()).await?;
                            }
                            delete_vpc(&ec2, id).await
                        };
                        Err(undo(error, made.fresh, back).await)
                    }
                }
            })
            .await
    }

    /// Makes what the spec asks for and is not there yet, and returns all subnets.
    async fn complete(
        &self,
        ec2: &Client,
        spec: &NetworkSpec,
        settings: &AwsVirtualNetwork,
        made: &Made<Vpc>,
        request: &Request,
    ) -> Result<Vec<SdkSubnet>> {
        let id = made.item.native();
        let mut there =
            if made.fresh { Vec::new() } else { subnets_of(ec2, [id]).await.map_err(may_have)? };
        if made.fresh || has_dns_hostnames(ec2, id).await? != settings.dns_hostnames {
            let value = AttributeBooleanValue::builder().value(settings.dns_hostnames).build();
            let call = ec2.modify_vpc_attribute().vpc_id(id).enable_dns_hostnames(value);
            call.send().await.map_err(writes("ec2"))?;
        }
        let has = |there: &[SdkSubnet], cidr| there.iter().any(|s| block(s.cidr_block()) == cidr);
        let missing = spec.subnets.iter().enumerate();
        let missing: Vec<_> = missing.filter(|(_, s)| !has(&there, Some(s.cidr))).collect();
        let zones = match missing.iter().any(|(_, subnet)| subnet.zone.is_none()) {
            true => vpc::zones(&self.account, &spec.region).await?,
            false => Vec::new(),
        };
        for (i, subnet) in missing {
            let tags = tag_specification(ResourceType::Subnet, &subnet.name, &spec.tags, request)?;
            // Spread over the zones, in their order.
            let spread = zones.get(i.checked_rem(zones.len()).unwrap_or_default());
            let zone = subnet.zone.as_ref().or(spread).map(ToString::to_string);
            let call = ec2.create_subnet().vpc_id(id).cidr_block(subnet.cidr.to_string());
            let call = call.set_availability_zone(zone).tag_specifications(tags);
            match call.send().await.map_err(writes("ec2")) {
                Ok(answer) => there.push(answer.subnet.ok_or_else(|| absent("Subnet"))?),
                // Another process completes the same network.
                Err(error) if has_code(&error, &["InvalidSubnet.Conflict"]) => {
                    there = subnets_of(ec2, [id]).await.map_err(may_have)?;
                    if !has(&there, Some(subnet.cidr)) {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(there)
    }

    pub(super) async fn get_vpc(&self, id: &ResourceId) -> Result<VirtualNetwork> {
        id.expect_kind(ResourceKind::Network)?;
        let ec2 = self.account.ec2(&id.region)?;
        let vpc = vpc(&ec2, id.native()).await?;
        let subnets = subnets_of(&ec2, [id.native()]).await?;
        view(&id.region, &vpc, &subnets)
    }

    pub(super) async fn list_vpcs(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<VirtualNetwork>> {
        let size = listing::native_size(page, 5, FILTER_VALUES);
        listing::regional(&self.account, query, page, |region, token| async move {
            let ec2 = self.account.ec2(&region)?;
            let call = ec2.describe_vpcs().set_filters(Some(tag_filters(query)));
            let call = call.max_results(size).set_next_token(token);
            let answer = call.send().await.map_err(reads("ec2"))?;
            let vpcs = answer.vpcs.unwrap_or_default();
            // EC2 takes a filter without values for a mistake.
            let subnets = match vpcs.is_empty() {
                true => Vec::new(),
                false => subnets_of(&ec2, vpcs.iter().map(Tagged::native)).await?,
            };
            let views = vpcs.iter().map(|vpc| view(&region, vpc, &subnets));
            Ok((views.collect::<Result<_>>()?, answer.next_token))
        })
        .await
    }

    /// Deletes subnets, route tables and internet gateways of ours, and the VPC; nothing if anything else uses it.
    pub(super) async fn delete_network_and_parts(&self, id: &ResourceId) -> Result<bool> {
        id.expect_kind(ResourceKind::Network)?;
        let ec2 = self.account.ec2(&id.region)?;
        let vpc = match vpc(&ec2, id.native()).await {
            Ok(vpc) => vpc,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if vpc.is_default() == Some(true) {
            let message = format!("{id} is the default network of its region");
            return Err(Error::new(ErrorKind::Conflict, message)
                .with_hint("other tools rely on it; delete it with the SDK's own client"));
        }
        let parts = Parts::read(&ec2, id.native()).await?;
        if let Some(user) = parts.in_use() {
            return Err(Error::new(ErrorKind::Conflict, format!("{id} is in use by {user}"))
                .with_hint("delete that first; nothing was deleted"));
        }
        let mut begun = false;
        let gone = parts.delete(&ec2, id.native(), &mut begun).await;
        match gone {
            Err(error) if begun && error.effect() == Effect::None => Err(may_have(error)),
            gone => super::ec2::deleted(gone),
        }
    }
}

async fn has_dns_hostnames(ec2: &Client, id: &str) -> Result<bool> {
    use aws_sdk_ec2::types::VpcAttributeName::EnableDnsHostnames;
    let call = ec2.describe_vpc_attribute().vpc_id(id).attribute(EnableDnsHostnames);
    let answer = call.send().await.map_err(reads("ec2")).map_err(may_have)?;
    Ok(answer.enable_dns_hostnames.and_then(|value| value.value).unwrap_or(false))
}

async fn find_or_make(
    settled: &Settled,
    ec2: &Client,
    spec: &NetworkSpec,
    request: &Request,
) -> Result<Made<Vpc>> {
    let tags = tag_specification(ResourceType::Vpc, &spec.name, &spec.tags, request)?;
    create_once(
        settled,
        request,
        || async {
            let pages = ec2.describe_vpcs().filters(made_with(request)).into_paginator().items();
            pages.send().try_collect().await.map_err(reads("ec2"))
        },
        async {
            let call = ec2.create_vpc().cidr_block(spec.cidr.to_string()).tag_specifications(tags);
            let answer = call.send().await.map_err(writes("ec2"))?;
            answer.vpc.ok_or_else(|| absent("Vpc"))
        },
        |vpc| async move { delete_vpc(ec2, vpc.native()).await },
    )
    .await
}

async fn delete_subnet(ec2: &Client, id: &str) -> Result<()> {
    ec2.delete_subnet().subnet_id(id).send().await.map_err(writes("ec2"))?;
    Ok(())
}

/// What is in a VPC, read before any of it is deleted.
struct Parts {
    /// What keeps the VPC from being deleted, in words.
    users: Vec<String>,
    subnets: Vec<SdkSubnet>,
    tables: Vec<aws_sdk_ec2::types::RouteTable>,
    gateways: Vec<aws_sdk_ec2::types::InternetGateway>,
}

impl Parts {
    async fn read(ec2: &Client, vpc: &str) -> Result<Self> {
        let within = || filter("vpc-id", vpc);
        let attached = || filter("attachment.vpc-id", vpc);
        macro_rules! all {
            ($operation:ident, $filter:expr) => {
                async {
                    let pages = ec2.$operation().filters($filter).into_paginator().items().send();
                    pages.try_collect().await.map_err(reads("ec2"))
                }
            };
        }
        let (interfaces, groups, endpoints, acls, subnets, tables, gateways, private, peerings) = futures::try_join!(
            all!(describe_network_interfaces, within()),
            all!(describe_security_groups, within()),
            all!(describe_vpc_endpoints, within()),
            all!(describe_network_acls, within()),
            subnets_of(ec2, [vpc]),
            all!(describe_route_tables, within()),
            all!(describe_internet_gateways, attached()),
            async {
                let call = ec2.describe_vpn_gateways().filters(attached());
                let answer = call.send().await.map_err(reads("ec2"))?;
                Ok(answer.vpn_gateways.unwrap_or_default())
            },
            peerings::of_network(ec2, vpc),
        )?;
        let mut users = Vec::new();
        for interface in &interfaces {
            let of = interface.attachment().and_then(|a| a.instance_id());
            let of = of.or(interface.description()).unwrap_or_default();
            let id = interface.network_interface_id().unwrap_or_default();
            users.push(format!("the network interface {id} ({of})"));
        }
        let groups = groups.iter().filter(|group| group.group_name() != Some("default"));
        users.extend(groups.map(|group| format!("the firewall {}", group.native())));
        users.extend(peerings.iter().map(|peering| format!("the peering {}", peering.native())));
        for gateway in &private {
            use aws_sdk_ec2::types::AttachmentStatus::Detached;
            let here = gateway.vpc_attachments().iter();
            let mut here = here.filter(|a| a.vpc_id() == Some(vpc) && a.state() != Some(&Detached));
            if here.next().is_some() {
                users.push(format!("the VPN gateway {}", gateway.native()));
            }
        }
        use aws_sdk_ec2::types::State::Deleted;
        let endpoints = endpoints.iter().filter(|endpoint| endpoint.state() != Some(&Deleted));
        users.extend(endpoints.map(|endpoint| {
            format!("the VPC endpoint {}", endpoint.vpc_endpoint_id().unwrap_or_default())
        }));
        let acls = acls.iter().filter(|acl| acl.is_default() != Some(true));
        users.extend(
            acls.map(|acl| format!("the network ACL {}", acl.network_acl_id().unwrap_or_default())),
        );
        let (tables, strange): (Vec<_>, Vec<_>) =
            (tables.into_iter().filter(|table| !is_main(table)))
                .partition(|t| t.request().is_some());
        users.extend(strange.iter().map(|table| format!("the route table {}", table.native())));
        let (gateways, strange): (Vec<_>, Vec<_>) =
            gateways.into_iter().partition(|gateway| gateway.request().is_some());
        users.extend(strange.iter().map(|g| format!("the internet gateway {}", g.native())));
        Ok(Self { users, subnets, tables, gateways })
    }

    fn in_use(&self) -> Option<String> {
        const SHOWN: usize = 3;
        let mut shown = self.users.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
        if self.users.len() > SHOWN {
            shown += &format!(" and {} more", self.users.len() - SHOWN);
        }
        (!shown.is_empty()).then_some(shown)
    }

    async fn delete(&self, ec2: &Client, vpc: &str, begun: &mut bool) -> Result<()> {
        // A part that is gone already was deleted by a call before, or by somebody else.
        fn gone(answer: Result<()>) -> Result<()> {
            super::ec2::deleted(answer).map(drop)
        }
        for subnet in &self.subnets {
            gone(delete_subnet(ec2, subnet.native()).await)?;
            *begun = true;
        }
        for table in &self.tables {
            gone(super::route_table::delete_table(ec2, table).await)?;
            *begun = true;
        }
        for gateway in &self.gateways {
            gone(
                super::internet_gateway::delete_internet_gateway(ec2, gateway.native(), &[vpc])
                    .await,
            )?;
            *begun = true;
        }
        delete_vpc(ec2, vpc).await
    }
}

/// Whether it is the route table that subnets have which have none of their own.
pub(super) fn is_main(table: &aws_sdk_ec2::types::RouteTable) -> bool {
    table.associations().iter().any(|association| association.main() == Some(true))
}

/// The main route table of a VPC.
pub(super) async fn main_table(ec2: &Client, vpc: &str) -> Result<aws_sdk_ec2::types::RouteTable> {
    let call = ec2.describe_route_tables().filters(filter("vpc-id", vpc));
    let pages = call.filters(filter("association.main", "true")).into_paginator().items().send();
    let tables: Vec<_> = found(pages.try_collect().await.map_err(reads("ec2")))?;
    one(tables.into_iter().filter(is_main).collect(), "the main route table of", vpc)
}

#[cfg(test)]
mod tests {
    use cloud_core::SubnetSpec;

    use super::*;

    #[test]
    fn addresses_that_aws_does_not_take_are_refused_by_their_rule() {
        let region = Region::new("us-east-1").unwrap();
        let spec = |cidr: &str| NetworkSpec::new("n", region.clone(), cidr.parse().unwrap());
        for cidr in ["10.0.0.0/8", "10.0.0.0/29", "fd00::/56"] {
            let error = check_blocks(&spec(cidr)).unwrap_err().to_string();
            assert!(error.contains("cidr is") && error.contains("/16 to /28"), "{error}");
        }
        let mut network = spec("10.0.0.0/16");
        assert!(check_blocks(&network).is_ok());
        network.subnets.push(SubnetSpec::new("a", "10.0.0.0/29".parse().unwrap()));
        assert!(check_blocks(&network).unwrap_err().to_string().contains("subnets[0].cidr"));
    }

    #[test]
    fn a_vpc_is_seen_with_its_own_subnets_in_the_order_of_their_addresses() {
        use aws_sdk_ec2::types::Tag;
        let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
        let vpc = Vpc::builder()
            .vpc_id("vpc-1")
            .cidr_block("10.0.0.0/16")
            .state(VpcState::Available)
            .tags(tag("Name", "main"))
            .tags(tag("team", "orders"))
            .build();
        let subnet = |id: &str, vpc: &str, cidr: &str| {
            let subnet = SdkSubnet::builder().subnet_id(id).vpc_id(vpc).cidr_block(cidr);
            subnet.availability_zone("us-east-1a").build()
        };
        let subnets = [
            subnet("subnet-2", "vpc-1", "10.0.10.0/24"),
            subnet("subnet-1", "vpc-1", "10.0.9.0/24"),
            subnet("subnet-3", "vpc-2", "10.0.1.0/24"),
        ];
        let region = Region::new("us-east-1").unwrap();
        let network = view(&region, &vpc, &subnets).unwrap();
        assert_eq!((network.name.as_str(), network.status), ("main", ResourceStatus::Running));
        assert_eq!(network.tags.len(), 1);
        let ids: Vec<_> = network.subnets.iter().map(|s| s.native_id.as_str()).collect();
        assert_eq!(ids, ["subnet-1", "subnet-2"]);
        // Without a name of its own it has that of its id.
        assert_eq!(network.subnets[0].name, "subnet-1");
    }
}
