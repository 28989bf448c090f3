//! Route tables: where a network sends what is not its own.

use aws_sdk_ec2::{
    Client,
    types::{ResourceType, Route as SdkRoute, RouteTable as SdkRouteTable},
};
use cloud_core::{ClientToken, Error, ErrorKind, Region, ResourceId, ResourceKind, Result, Tags};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    AwsNetwork,
    ec2::{
        Made, Settled, Tagged, check_id, check_named, create_once, deleted, filter, made_with,
        may_have, one, tag_specification, undo,
    },
    networks::{block, is_main},
};
use crate::{
    error::{absent, has_code, reads, writes},
    names,
    tokens::Request,
};

/// Where a route leads, by AWS's id of the thing.
///
/// ```
/// # use cloud_aws::RouteTarget;
/// let target: RouteTarget = serde_json::from_str(r#"{"nat_gateway": "nat-0a1b2c3d"}"#).unwrap();
/// assert_eq!(target, RouteTarget::NatGateway("nat-0a1b2c3d".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteTarget {
    /// An internet gateway, `igw-…`.
    InternetGateway(String),
    /// A VPN gateway, `vgw-…`.
    VpnGateway(String),
    /// A NAT gateway, `nat-…`.
    NatGateway(String),
    /// A transit gateway, `tgw-…`.
    TransitGateway(String),
    /// A peering, `pcx-…`.
    Peering(String),
    /// A network interface, `eni-…`.
    NetworkInterface(String),
}

impl RouteTarget {
    fn check(&self) -> Result<()> {
        match self {
            Self::InternetGateway(id) => check_id("igw", id),
            Self::VpnGateway(id) => check_id("vgw", id),
            Self::NatGateway(id) => check_id("nat", id),
            Self::TransitGateway(id) => check_id("tgw", id),
            Self::Peering(id) => check_id("pcx", id),
            Self::NetworkInterface(id) => check_id("eni", id),
        }
    }

    fn read(route: &SdkRoute) -> Option<Self> {
        let own = |id: Option<&str>| id.map(str::to_owned);
        let gateway = route.gateway_id().and_then(|id| match id {
            id if id.starts_with("igw-") => Some(Self::InternetGateway(id.to_owned())),
            id if id.starts_with("vgw-") => Some(Self::VpnGateway(id.to_owned())),
            _ => None,
        });
        gateway
            .or_else(|| own(route.nat_gateway_id()).map(Self::NatGateway))
            .or_else(|| own(route.transit_gateway_id()).map(Self::TransitGateway))
            .or_else(|| own(route.vpc_peering_connection_id()).map(Self::Peering))
            .or_else(|| own(route.network_interface_id()).map(Self::NetworkInterface))
    }
}

/// A route: what goes to these addresses goes there.
///
/// ```
/// # use cloud_aws::{RouteSpec, RouteTarget};
/// let out = RouteSpec::new("0.0.0.0/0".parse().unwrap(), RouteTarget::InternetGateway("igw-0a1b".into()));
/// assert!(out.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSpec {
    /// The addresses.
    pub destination: IpNet,
    /// Where it leads.
    pub target: RouteTarget,
}

impl RouteSpec {
    /// A route.
    pub const fn new(destination: IpNet, target: RouteTarget) -> Self {
        Self { destination, target }
    }

    /// Refuses what AWS does not take.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        if self.destination.trunc() != self.destination {
            let problem = format!("is {}", self.destination);
            let rule = format!("a block without host bits, such as {}", self.destination.trunc());
            return Err(Error::invalid("destination", problem, rule));
        }
        self.target.check()
    }
}

/// A request for a route table
/// ([CreateRouteTable](https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateRouteTable.html)). It costs nothing.
///
/// ```
/// # use cloud_aws::RouteTableSpec;
/// let spec = RouteTableSpec::new("public", "network/us-east-1/vpc-0a1b2c3d".parse().unwrap());
/// assert!(spec.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteTableSpec {
    /// Its name.
    pub name: String,
    /// The network that it belongs to.
    pub network: ResourceId,
    /// Its routes, besides the one within the network, which is always there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteSpec>,
    /// The subnets that use it, by AWS's ids. A subnet without one uses the network's main table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<String>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

impl RouteTableSpec {
    /// A table without routes of its own.
    pub fn new(name: impl Into<String>, network: ResourceId) -> Self {
        let (routes, subnets) = (Vec::new(), Vec::new());
        Self { name: name.into(), network, routes, subnets, tags: Tags::default() }
    }

    /// Refuses what AWS does not take.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        names::TAGGED.check("route table name", &self.name)?;
        self.network.expect_kind(ResourceKind::Network)?;
        check_id("vpc", self.network.native())?;
        check_named(&self.tags)?;
        for (i, route) in self.routes.iter().enumerate() {
            route.validate().map_err(|e| e.context(format_args!("routes[{i}]")))?;
            if self.routes[..i].iter().any(|other| other.destination == route.destination) {
                let problem = format!("has {} twice", route.destination);
                return Err(Error::invalid("routes", problem, "each destination once"));
            }
        }
        self.subnets.iter().try_for_each(|id| check_id("subnet", id))
    }
}

/// A route, as AWS reports it.
///
/// ```
/// # use cloud_aws::Route;
/// fn leads_nowhere(route: &Route) -> bool { !route.active }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The addresses.
    pub destination: IpNet,
    /// Where it leads; `None` within the network, or to what is not known here.
    pub target: Option<RouteTarget>,
    /// Whether what it leads to is there.
    pub active: bool,
    /// Whether a VPN gateway made it by propagation.
    pub propagated: bool,
}

/// A route table, as AWS reports it.
///
/// ```
/// # use cloud_aws::RouteTable;
/// fn own_routes(table: &RouteTable) -> usize { table.routes.iter().filter(|r| r.target.is_some()).count() }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteTable {
    /// AWS's id, `rtb-…`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The network that it belongs to.
    pub network: ResourceId,
    /// Whether the subnets use it that have no table of their own.
    pub main: bool,
    /// Its routes.
    pub routes: Vec<Route>,
    /// The subnets that use it.
    pub subnets: Vec<String>,
    /// The VPN gateways whose routes it takes on.
    pub propagating: Vec<String>,
    /// Its tags.
    pub tags: Tags,
}

fn table_view(region: &Region, table: &SdkRouteTable) -> Result<RouteTable> {
    use aws_sdk_ec2::types::{RouteOrigin, RouteState};
    let route = |route: &SdkRoute| {
        let to = block(route.destination_cidr_block());
        Some(Route {
            destination: to.or_else(|| block(route.destination_ipv6_cidr_block()))?,
            target: RouteTarget::read(route),
            active: route.state() == Some(&RouteState::Active),
            propagated: route.origin() == Some(&RouteOrigin::EnableVgwRoutePropagation),
        })
    };
    let own = |id: &str| id.to_owned();
    let vpc = table.vpc_id().ok_or_else(|| absent("VpcId"))?;
    Ok(RouteTable {
        id: table.native().to_owned(),
        name: table.name(),
        network: ResourceId::new(ResourceKind::Network, region.clone(), vpc)?,
        main: is_main(table),
        routes: table.routes().iter().filter_map(route).collect(),
        subnets: table.associations().iter().filter_map(|a| a.subnet_id().map(own)).collect(),
        propagating: table
            .propagating_vgws()
            .iter()
            .filter_map(|p| p.gateway_id().map(own))
            .collect(),
        tags: Tagged::tags(table),
    })
}

async fn table(ec2: &Client, id: &str) -> Result<SdkRouteTable> {
    check_id("rtb", id)?;
    let answer = ec2.describe_route_tables().route_table_ids(id).send().await;
    one(answer.map_err(reads("ec2"))?.route_tables.unwrap_or_default(), "route table", id)
}

async fn put_route(ec2: &Client, table: &str, route: &RouteSpec) -> Result<()> {
    let call = ec2.create_route().route_table_id(table);
    let to = route.destination.to_string();
    let call = match route.destination {
        IpNet::V4(_) => call.destination_cidr_block(to),
        IpNet::V6(_) => call.destination_ipv6_cidr_block(to),
    };
    let call = match &route.target {
        RouteTarget::InternetGateway(id) | RouteTarget::VpnGateway(id) => call.gateway_id(id),
        RouteTarget::NatGateway(id) => call.nat_gateway_id(id),
        RouteTarget::TransitGateway(id) => call.transit_gateway_id(id),
        RouteTarget::Peering(id) => call.vpc_peering_connection_id(id),
        RouteTarget::NetworkInterface(id) => call.network_interface_id(id),
    };
    call.send().await.map_err(writes("ec2"))?;
    Ok(())
}

/// Deletes a route table, which no subnet may use then.
pub(super) async fn delete_table(ec2: &Client, table: &SdkRouteTable) -> Result<()> {
    for association in table.associations().iter().filter(|a| a.main() != Some(true)) {
        let id = association.route_table_association_id().unwrap_or_default();
        let call = ec2.disassociate_route_table().association_id(id);
        deleted(call.send().await.map(drop).map_err(writes("ec2")))?;
    }
    let call = ec2.delete_route_table().route_table_id(table.native());
    call.send().await.map_err(writes("ec2"))?;
    Ok(())
}

impl AwsNetwork {
    /// Creates a route table with its routes, and lets its subnets use it.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), [`NotFound`](ErrorKind::NotFound) for its network, a subnet or where a route
    /// leads, or any.
    ///
    /// ```no_run
    /// # use cloud_aws::{AwsCloud, RouteSpec, RouteTable, RouteTableSpec, RouteTarget};
    /// # use cloud_core::{ClientToken, ResourceId, Result};
    /// async fn public(aws: &AwsCloud, network: ResourceId, gateway: &str) -> Result<RouteTable> {
    ///     let mut spec = RouteTableSpec::new("public", network);
    ///     let everywhere = "0.0.0.0/0".parse().unwrap();
    ///     spec.routes.push(RouteSpec::new(everywhere, RouteTarget::InternetGateway(gateway.into())));
    ///     aws.aws_network().create_route_table(&spec, &ClientToken::random()).await
    /// }
    /// ```
    pub async fn create_route_table(
        &self,
        spec: &RouteTableSpec,
        token: &ClientToken,
    ) -> Result<RouteTable> {
        let region = &spec.network.region;
        let made = async {
            spec.validate()?;
            let ec2 = self.account.ec2(region)?;
            self.once("route table", spec, token, |request| async move {
                let made = find_or_make_table(&self.settled, &ec2, spec, &request).await?;
                match complete_table(&ec2, spec, made.item.native()).await {
                    Ok(table) => table_view(region, &table),
                    Err(error) => {
                        let id = made.item.native();
                        let back = async { delete_table(&ec2, &table(&ec2, id).await?).await };
                        Err(undo(error, made.fresh, back).await)
                    }
                }
            })
            .await
        };
        made.await.map_err(self.account.in_call("network.create_route_table"))
    }

    /// One route table, by AWS's id.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), or any.
    pub async fn get_route_table(&self, region: &Region, id: &str) -> Result<RouteTable> {
        let read = async { table_view(region, &table(&self.account.ec2(region)?, id).await?) };
        read.await.map_err(self.account.in_call("network.get_route_table"))
    }

    /// The route tables of a network, its main one among them.
    ///
    /// # Errors
    /// Any.
    pub async fn list_route_tables(&self, network: &ResourceId) -> Result<Vec<RouteTable>> {
        let read = async {
            network.expect_kind(ResourceKind::Network)?;
            let ec2 = self.account.ec2(&network.region)?;
            let call = ec2.describe_route_tables().filters(filter("vpc-id", network.native()));
            let pages = call.into_paginator().items().send();
            let tables: Vec<_> = pages.try_collect().await.map_err(reads("ec2"))?;
            tables
                .iter()
                .map(|table| table_view(&network.region, table))
                .collect::<Result<Vec<_>>>()
        };
        read.await.map_err(self.account.in_call("network.list_route_tables"))
    }

    /// Deletes a route table; its subnets use the main one then. `true` if it was there.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) for the main one, or any.
    pub async fn delete_route_table(&self, region: &Region, id: &str) -> Result<bool> {
        let gone = async {
            let ec2 = self.account.ec2(region)?;
            let there = match table(&ec2, id).await {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
                there => there?,
            };
            if is_main(&there) {
                let message = format!("{id} is the main route table of its network");
                return Err(Error::new(ErrorKind::Conflict, message));
            }
            deleted(delete_table(&ec2, &there).await)
        };
        gone.await.map_err(self.account.in_call("network.delete_route_table"))
    }

    /// Adds a route to a table. It may be there already.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) if these addresses lead elsewhere, or any.
    pub async fn add_route(&self, region: &Region, table: &str, route: &RouteSpec) -> Result<()> {
        let added = async {
            check_id("rtb", table)?;
            route.validate()?;
            add_route(&self.account.ec2(region)?, table, route).await
        };
        added.await.map_err(self.account.in_call("network.add_route"))
    }

    /// Removes a route from a table. `true` if it was there.
    ///
    /// # Errors
    /// Any.
    pub async fn remove_route(&self, region: &Region, table: &str, to: IpNet) -> Result<bool> {
        let removed = async {
            check_id("rtb", table)?;
            let call = self.account.ec2(region)?.delete_route().route_table_id(table);
            let call = match to {
                IpNet::V4(_) => call.destination_cidr_block(to.to_string()),
                IpNet::V6(_) => call.destination_ipv6_cidr_block(to.to_string()),
            };
            deleted(call.send().await.map(drop).map_err(writes("ec2")))
        };
        removed.await.map_err(self.account.in_call("network.remove_route"))
    }
}

async fn add_route(ec2: &Client, id: &str, route: &RouteSpec) -> Result<()> {
    match put_route(ec2, id, route).await {
        Err(error) if has_code(&error, &["RouteAlreadyExists"]) => {
            let now = table(ec2, id).await?;
            let same = now.routes().iter().any(|there| {
                let to = block(there.destination_cidr_block());
                let to = to.or_else(|| block(there.destination_ipv6_cidr_block()));
                to == Some(route.destination)
                    && RouteTarget::read(there).as_ref() == Some(&route.target)
            });
            if same { Ok(()) } else { Err(error) }
        }
        answer => answer,
    }
}

async fn find_or_make_table(
    settled: &Settled,
    ec2: &Client,
    spec: &RouteTableSpec,
    request: &Request,
) -> Result<Made<SdkRouteTable>> {
    let tags = tag_specification(ResourceType::RouteTable, &spec.name, &spec.tags, request)?;
    create_once(
        settled,
        request,
        || async {
            let call = ec2.describe_route_tables().filters(made_with(request));
            call.into_paginator().items().send().try_collect().await.map_err(reads("ec2"))
        },
        async {
            let call = ec2.create_route_table().vpc_id(spec.network.native());
            let answer = call.tag_specifications(tags).send().await.map_err(writes("ec2"))?;
            answer.route_table.ok_or_else(|| absent("RouteTable"))
        },
        |table| async move { delete_table(ec2, &table).await },
    )
    .await
}

async fn complete_table(ec2: &Client, spec: &RouteTableSpec, id: &str) -> Result<SdkRouteTable> {
    let there = table(ec2, id).await.map_err(may_have)?;
    for route in &spec.routes {
        add_route(ec2, id, route).await?;
    }
    let uses = |subnet: &&String| {
        !there.associations().iter().any(|a| a.subnet_id() == Some(subnet.as_str()))
    };
    for subnet in spec.subnets.iter().filter(uses) {
        let call = ec2.associate_route_table().route_table_id(id).subnet_id(subnet);
        call.send().await.map_err(writes("ec2"))?;
    }
    table(ec2, id).await.map_err(may_have)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_aws_refuses_is_refused_by_its_field() {
        let network: ResourceId = "network/us-east-1/vpc-1".parse().unwrap();
        let out = |id: &str| {
            RouteSpec::new("0.0.0.0/0".parse().unwrap(), RouteTarget::InternetGateway(id.into()))
        };
        let mut spec = RouteTableSpec::new("public", network.clone());
        spec.routes = vec![out("igw-1"), out("igw-2")];
        assert!(spec.validate().unwrap_err().to_string().contains("0.0.0.0/0 twice"));
        spec.routes = vec![out("nat-1")];
        assert!(spec.validate().unwrap_err().to_string().contains("igw-…"));
        spec.routes =
            vec![RouteSpec { destination: "10.0.0.1/8".parse().unwrap(), ..out("igw-1") }];
        assert!(spec.validate().unwrap_err().to_string().contains("10.0.0.0/8"));
        spec.routes.clear();
        spec.subnets = vec!["vpc-1".into()];
        assert!(spec.validate().is_err());
        assert!(RouteTableSpec::new("a b", network).validate().is_err());
    }

    #[test]
    fn a_route_is_read_as_it_was_written() {
        let route = SdkRoute::builder().destination_cidr_block("0.0.0.0/0");
        let targets = [
            (route.clone().gateway_id("igw-1"), Some(RouteTarget::InternetGateway("igw-1".into()))),
            (route.clone().gateway_id("vgw-1"), Some(RouteTarget::VpnGateway("vgw-1".into()))),
            (route.clone().gateway_id("local"), None),
            (route.clone().nat_gateway_id("nat-1"), Some(RouteTarget::NatGateway("nat-1".into()))),
            (route.transit_gateway_id("tgw-1"), Some(RouteTarget::TransitGateway("tgw-1".into()))),
        ];
        for (route, target) in targets {
            assert_eq!(RouteTarget::read(&route.build()), target);
        }
    }
}
