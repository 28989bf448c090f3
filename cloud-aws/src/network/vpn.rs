//! VPN connections: the two tunnels between a customer's gateway and a VPN or transit gateway.

use aws_sdk_ec2::{
    Client,
    types::{
        ResourceType, TelemetryStatus, VgwTelemetry, VpnConnection as SdkVpnConnection,
        VpnConnectionOptionsSpecification,
    },
};
use cloud_core::{
    ClientToken, Error, ErrorKind, Region, ResourceStatus, Result, Tags, WaitOptions, wait_until,
};
use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    AwsNetwork, VpnTunnel, VpnTunnelSpec,
    ec2::{
        Tagged, check_id, check_named, create_once, deleted, made_with, may_have, one,
        tag_specification, undo,
    },
    networks::block,
    vpn_gateway::state,
    vpn_options::keys,
};
use crate::{
    error::{absent, has_code, reads, writes},
    names, time,
};

/// AWS's end of a VPN connection.
///
/// ```
/// # use cloud_aws::VpnEnd;
/// let end: VpnEnd = serde_json::from_str(r#"{"vpn_gateway": "vgw-0a1b2c3d"}"#).unwrap();
/// assert_eq!(end, VpnEnd::VpnGateway("vgw-0a1b2c3d".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VpnEnd {
    /// A VPN gateway, `vgw-…`: one network.
    VpnGateway(String),
    /// A transit gateway, `tgw-…`: all networks attached to it.
    TransitGateway(String),
}

/// How each end learns what lies behind the other.
///
/// ```
/// # use cloud_aws::VpnRouting;
/// assert_eq!(VpnRouting::default(), VpnRouting::Bgp);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VpnRouting {
    /// By BGP.
    #[default]
    Bgp,
    /// By these blocks of addresses behind the customer's gateway.
    Static(Vec<IpNet>),
}

/// A request for a VPN connection
/// ([CreateVpnConnection](https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateVpnConnection.html)).
///
/// **It costs by the hour**, and what goes out through it by the gigabyte.
///
/// ```
/// # use cloud_aws::{VpnConnectionSpec, VpnEnd, VpnRouting};
/// # use cloud_core::Region;
/// let end = VpnEnd::VpnGateway("vgw-0a1b2c3d".into());
/// let mut spec = VpnConnectionSpec::new("office", Region::new("us-east-1").unwrap(), "cgw-0a1b2c3d", end);
/// spec.routing = VpnRouting::Static(vec!["192.168.0.0/16".parse().unwrap()]);
/// assert!(spec.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VpnConnectionSpec {
    /// Its name.
    pub name: String,
    /// Where to put it.
    pub region: Region,
    /// The customer's end, by AWS's id, `cgw-…`.
    pub customer_gateway: String,
    /// AWS's end.
    pub end: VpnEnd,
    /// How routes are learned.
    #[serde(default)]
    pub routing: VpnRouting,
    /// Settings of the tunnels, of which there are always two. Default: AWS's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tunnels: Vec<VpnTunnelSpec>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

impl VpnConnectionSpec {
    /// A connection by BGP with AWS's settings.
    pub fn new(
        name: impl Into<String>,
        region: Region,
        customer_gateway: impl Into<String>,
        end: VpnEnd,
    ) -> Self {
        Self {
            name: name.into(),
            region,
            customer_gateway: customer_gateway.into(),
            end,
            routing: VpnRouting::default(),
            tunnels: Vec::new(),
            tags: Tags::default(),
        }
    }

    /// Refuses what AWS does not take.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        names::TAGGED.check("VPN connection name", &self.name)?;
        check_named(&self.tags)?;
        check_id("cgw", &self.customer_gateway)?;
        match &self.end {
            VpnEnd::VpnGateway(id) => check_id("vgw", id)?,
            VpnEnd::TransitGateway(id) => check_id("tgw", id)?,
        }
        if let VpnRouting::Static(blocks) = &self.routing {
            if let VpnEnd::TransitGateway(_) = self.end
                && !blocks.is_empty()
            {
                let rule = "none: the static routes of a transit gateway are in its route tables";
                return Err(Error::invalid("routing", "has routes", rule));
            }
            let wrong = |block: &&IpNet| matches!(block, IpNet::V6(_)) || block.trunc() != **block;
            if let Some(block) = blocks.iter().find(wrong) {
                let rule = "IPv4 blocks without host bits";
                return Err(Error::invalid("routing", format_args!("has {block}"), rule));
            }
        }
        if self.tunnels.len() > 2 {
            let problem = format!("are {}", self.tunnels.len());
            return Err(Error::invalid("tunnels", problem, "at most 2"));
        }
        for (i, tunnel) in self.tunnels.iter().enumerate() {
            tunnel.validate().map_err(|e| e.context(format_args!("tunnels[{i}]")))?;
        }
        let mut inside = self.tunnels.iter().filter_map(|tunnel| tunnel.inside_cidr);
        if let (Some(a), Some(b)) = (inside.next(), inside.next())
            && a == b
        {
            return Err(Error::invalid("tunnels", format_args!("both have {a}"), "a block each"));
        }
        Ok(())
    }
}

/// Whether a tunnel is up, as AWS's end sees it.
///
/// ```
/// # use cloud_aws::TunnelStatus;
/// fn is_redundant(tunnels: &[TunnelStatus]) -> bool { tunnels.iter().filter(|t| t.up).count() == 2 }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelStatus {
    /// The address of AWS's end.
    pub outside: Option<std::net::IpAddr>,
    /// Whether it is up.
    pub up: bool,
    /// What AWS says about it.
    pub message: String,
    /// How many routes were learned through it.
    pub routes: u32,
    /// Since when it is so.
    pub since: Option<Timestamp>,
}

/// A VPN connection, as AWS reports it. The keys are in [`vpn_tunnels`](AwsNetwork::vpn_tunnels) only.
///
/// ```
/// # use cloud_aws::VpnConnection;
/// fn works(connection: &VpnConnection) -> bool { connection.tunnels.iter().any(|tunnel| tunnel.up) }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VpnConnection {
    /// AWS's id, `vpn-…`.
    pub id: String,
    /// Its region.
    pub region: Region,
    /// Its name.
    pub name: String,
    /// Its state. [`Running`](ResourceStatus::Running) says that AWS's end is there, not that a tunnel is up.
    pub status: ResourceStatus,
    /// The customer's end.
    pub customer_gateway: String,
    /// AWS's end; `None` while it has none.
    pub end: Option<VpnEnd>,
    /// Whether routes are static.
    pub static_routes_only: bool,
    /// The static routes.
    pub routes: Vec<IpNet>,
    /// Its tunnels.
    pub tunnels: Vec<TunnelStatus>,
    /// Its tags.
    pub tags: Tags,
}

fn tunnel_status(telemetry: &VgwTelemetry) -> TunnelStatus {
    TunnelStatus {
        outside: telemetry.outside_ip_address().and_then(|address| address.parse().ok()),
        up: telemetry.status() == Some(&TelemetryStatus::Up),
        message: telemetry.status_message().unwrap_or_default().to_owned(),
        routes: telemetry.accepted_route_count().and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        since: telemetry.last_status_change().and_then(time::timestamp),
    }
}

fn view(region: &Region, connection: &SdkVpnConnection) -> VpnConnection {
    let gateway = connection.vpn_gateway_id().filter(|id| !id.is_empty());
    let transit = connection.transit_gateway_id().filter(|id| !id.is_empty());
    let end = gateway.map(|id| VpnEnd::VpnGateway(id.to_owned()));
    let routes = connection.routes().iter().filter(|route| !state(route.state()).is_gone());
    let options = connection.options();
    VpnConnection {
        id: connection.native().to_owned(),
        region: region.clone(),
        name: connection.name(),
        status: state(connection.state()),
        customer_gateway: connection.customer_gateway_id().unwrap_or_default().to_owned(),
        end: end.or_else(|| transit.map(|id| VpnEnd::TransitGateway(id.to_owned()))),
        static_routes_only: options.and_then(|o| o.static_routes_only()).unwrap_or(false),
        routes: routes.filter_map(|route| block(route.destination_cidr_block())).collect(),
        tunnels: connection.vgw_telemetry().iter().map(tunnel_status).collect(),
        tags: Tagged::tags(connection),
    }
}

async fn connection(ec2: &Client, id: &str) -> Result<SdkVpnConnection> {
    check_id("vpn", id)?;
    let answer = ec2.describe_vpn_connections().vpn_connection_ids(id).send().await;
    one(answer.map_err(reads("ec2"))?.vpn_connections.unwrap_or_default(), "VPN connection", id)
}

async fn drop_connection(ec2: &Client, id: &str) -> Result<()> {
    ec2.delete_vpn_connection().vpn_connection_id(id).send().await.map_err(writes("ec2"))?;
    Ok(())
}

async fn put_route(ec2: &Client, id: &str, to: IpNet) -> Result<()> {
    let call = ec2.create_vpn_connection_route().vpn_connection_id(id);
    call.destination_cidr_block(to.to_string()).send().await.map_err(writes("ec2"))?;
    Ok(())
}

impl AwsNetwork {
    /// Creates a VPN connection, and its static routes. **It costs by the hour** until it is deleted.
    ///
    /// It is [`Creating`](ResourceStatus::Creating) for some minutes; see
    /// [`wait_for_vpn_connection`](Self::wait_for_vpn_connection).
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for one of its ends, [`QuotaExceeded`](ErrorKind::QuotaExceeded), or any.
    ///
    /// ```no_run
    /// # use cloud_aws::{AwsCloud, VpnConnectionSpec, VpnEnd, VpnTunnel};
    /// # use cloud_core::{ClientToken, Region, Result, WaitOptions};
    /// async fn connect(aws: &AwsCloud, region: Region) -> Result<Vec<VpnTunnel>> {
    ///     let network = aws.aws_network();
    ///     let end = VpnEnd::VpnGateway("vgw-0a1b2c3d".into());
    ///     let spec = VpnConnectionSpec::new("office", region.clone(), "cgw-0a1b2c3d", end);
    ///     let made = network.create_vpn_connection(&spec, &ClientToken::random()).await?;
    ///     network.wait_for_vpn_connection(&region, &made.id, &WaitOptions::default()).await?;
    ///     network.vpn_tunnels(&region, &made.id).await
    /// }
    /// ```
    pub async fn create_vpn_connection(
        &self,
        spec: &VpnConnectionSpec,
        token: &ClientToken,
    ) -> Result<VpnConnection> {
        let made = async {
            spec.validate()?;
            let keys = &keys(&spec.tunnels).await?;
            let ec2 = &self.account.ec2(&spec.region)?;
            self.once("VPN connection", spec, token, |request| async move {
                let kind = ResourceType::VpnConnection;
                let tags = tag_specification(kind, &spec.name, &spec.tags, &request)?;
                let made = create_once(
                    &self.settled,
                    &request,
                    || async {
                        let call = ec2.describe_vpn_connections().filters(made_with(&request));
                        let answer = call.send().await.map_err(reads("ec2"))?;
                        let mut all = answer.vpn_connections.unwrap_or_default();
                        all.retain(|connection| !state(connection.state()).is_gone());
                        Ok(all)
                    },
                    async {
                        let tunnels = spec.tunnels.iter().zip(keys);
                        let tunnels = tunnels.map(|(tunnel, key)| tunnel.options(key.as_ref()));
                        let tunnels: Vec<_> = tunnels.collect();
                        let options = VpnConnectionOptionsSpecification::builder()
                            .static_routes_only(matches!(spec.routing, VpnRouting::Static(_)))
                            .set_tunnel_options((!tunnels.is_empty()).then_some(tunnels))
                            .build();
                        let call = ec2
                            .create_vpn_connection()
                            .r#type("ipsec.1")
                            .customer_gateway_id(&spec.customer_gateway)
                            .options(options)
                            .tag_specifications(tags);
                        let call = match &spec.end {
                            VpnEnd::VpnGateway(id) => call.vpn_gateway_id(id),
                            VpnEnd::TransitGateway(id) => call.transit_gateway_id(id),
                        };
                        let answer = call.send().await.map_err(writes("ec2"))?;
                        answer.vpn_connection.ok_or_else(|| absent("VpnConnection"))
                    },
                    |connection| async move { drop_connection(ec2, connection.native()).await },
                );
                let made = made.await?;
                let id = made.item.native();
                let routed = async {
                    let there = view(&spec.region, &made.item).routes;
                    if let VpnRouting::Static(blocks) = &spec.routing {
                        for block in blocks.iter().filter(|block| !there.contains(block)) {
                            put_route(ec2, id, *block).await?;
                        }
                    }
                    connection(ec2, id).await.map_err(may_have)
                };
                match routed.await {
                    Ok(connection) => Ok(view(&spec.region, &connection)),
                    Err(error) => Err(undo(error, made.fresh, drop_connection(ec2, id)).await),
                }
            })
            .await
        };
        made.await.map_err(self.account.in_call("network.create_vpn_connection"))
    }

    /// One VPN connection with the state of its tunnels, by AWS's id. A deleted one is to be seen for a while.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), or any.
    pub async fn get_vpn_connection(&self, region: &Region, id: &str) -> Result<VpnConnection> {
        let read = async { Ok(view(region, &connection(&self.account.ec2(region)?, id).await?)) };
        read.await.map_err(self.account.in_call("network.get_vpn_connection"))
    }

    /// The VPN connections of a region, deleted ones that AWS still shows among them.
    ///
    /// # Errors
    /// Any.
    pub async fn list_vpn_connections(&self, region: &Region) -> Result<Vec<VpnConnection>> {
        let read = async {
            let answer = self.account.ec2(region)?.describe_vpn_connections().send().await;
            let all = answer.map_err(reads("ec2"))?.vpn_connections.unwrap_or_default();
            Ok(all.iter().map(|connection| view(region, connection)).collect())
        };
        read.await.map_err(self.account.in_call("network.list_vpn_connections"))
    }

    /// What the customer's gateway has to be configured with: both tunnels, with their keys.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) while AWS has not given it out, [`Corrupt`](ErrorKind::Corrupt) if it cannot be read,
    /// [`NotFound`](ErrorKind::NotFound), or any.
    pub async fn vpn_tunnels(&self, region: &Region, id: &str) -> Result<Vec<VpnTunnel>> {
        let read = async {
            let there = connection(&self.account.ec2(region)?, id).await?;
            match there.customer_gateway_configuration() {
                Some(document) if !document.trim().is_empty() => VpnTunnel::parse(document),
                _ => {
                    let message = format!("{id} has no configuration of its tunnels yet");
                    let hint = "wait for it; a deleted one has none any more";
                    Err(Error::new(ErrorKind::Conflict, message).with_hint(hint))
                }
            }
        };
        read.await.map_err(self.account.in_call("network.vpn_tunnels"))
    }

    /// Waits until AWS's end of a VPN connection is there.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) if it is deleted meanwhile, [`Timeout`](ErrorKind::Timeout),
    /// [`Cancelled`](ErrorKind::Cancelled), or any.
    pub async fn wait_for_vpn_connection(
        &self,
        region: &Region,
        id: &str,
        options: &WaitOptions,
    ) -> Result<VpnConnection> {
        wait_until(&format!("the VPN connection {id}"), options, || async {
            let now = self.get_vpn_connection(region, id).await?;
            match now.status.is_gone() {
                true => Err(Error::new(ErrorKind::Internal, format!("{id} is {}", now.status))),
                false => Ok(now.status.is_ready().then_some(now)),
            }
        })
        .await
    }

    /// Waits until at least so many tunnels of a VPN connection are up, which takes the customer's end too.
    ///
    /// # Errors
    /// [`Timeout`](ErrorKind::Timeout), [`Cancelled`](ErrorKind::Cancelled), or any.
    pub async fn wait_for_tunnels(
        &self,
        region: &Region,
        id: &str,
        up: usize,
        options: &WaitOptions,
    ) -> Result<Vec<TunnelStatus>> {
        wait_until(&format!("{up} tunnels of {id} to be up"), options, || async {
            let now = self.get_vpn_connection(region, id).await?.tunnels;
            Ok((now.iter().filter(|tunnel| tunnel.up).count() >= up).then_some(now))
        })
        .await
    }

    /// Adds a static route to a VPN connection. It may be there already.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), or any.
    pub async fn add_vpn_route(&self, region: &Region, id: &str, to: IpNet) -> Result<()> {
        let added = async {
            check_id("vpn", id)?;
            match put_route(&self.account.ec2(region)?, id, to).await {
                Err(error) if has_code(&error, &["RouteAlreadyExists"]) => Ok(()),
                answer => answer,
            }
        };
        added.await.map_err(self.account.in_call("network.add_vpn_route"))
    }

    /// Removes a static route from a VPN connection. `true` if it was there.
    ///
    /// # Errors
    /// Any.
    pub async fn remove_vpn_route(&self, region: &Region, id: &str, to: IpNet) -> Result<bool> {
        let removed = async {
            check_id("vpn", id)?;
            let call = self.account.ec2(region)?.delete_vpn_connection_route();
            let call = call.vpn_connection_id(id).destination_cidr_block(to.to_string());
            deleted(call.send().await.map(drop).map_err(writes("ec2")))
        };
        removed.await.map_err(self.account.in_call("network.remove_vpn_route"))
    }

    /// Deletes a VPN connection. `true` if it was there. Its gateways can be deleted once it is
    /// [`Deleted`](ResourceStatus::Deleted).
    ///
    /// # Errors
    /// Any.
    pub async fn delete_vpn_connection(&self, region: &Region, id: &str) -> Result<bool> {
        let gone = async {
            let ec2 = self.account.ec2(region)?;
            match connection(&ec2, id).await {
                Ok(there) if state(there.state()).is_gone() => Ok(false),
                Ok(_) => deleted(drop_connection(&ec2, id).await),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            }
        };
        gone.await.map_err(self.account.in_call("network.delete_vpn_connection"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> VpnConnectionSpec {
        let end = VpnEnd::VpnGateway("vgw-1".into());
        VpnConnectionSpec::new("office", Region::new("us-east-1").unwrap(), "cgw-1", end)
    }

    fn problem(change: impl FnOnce(&mut VpnConnectionSpec)) -> String {
        let mut spec = spec();
        change(&mut spec);
        spec.validate().unwrap_err().to_string()
    }

    #[test]
    fn what_aws_refuses_is_refused_by_its_field() {
        assert!(spec().validate().is_ok());
        assert!(problem(|s| s.customer_gateway = "vgw-1".into()).contains("cgw-…"));
        assert!(problem(|s| s.tunnels = vec![VpnTunnelSpec::default(); 3]).contains("at most 2"));
        for inside in [
            "169.254.0.0/30",
            "169.254.169.252/30",
            "169.254.9.0/29",
            "10.0.0.0/30",
            "169.254.9.1/30",
        ] {
            let tunnel = VpnTunnelSpec {
                inside_cidr: Some(inside.parse().unwrap()),
                ..VpnTunnelSpec::default()
            };
            assert!(problem(|s| s.tunnels = vec![tunnel]).contains("inside_cidr"), "{inside}");
        }
        let same = VpnTunnelSpec {
            inside_cidr: Some("169.254.9.0/30".parse().unwrap()),
            ..VpnTunnelSpec::default()
        };
        assert!(problem(|s| s.tunnels = vec![same.clone(), same]).contains("a block each"));
        let short = VpnTunnelSpec { phase2_lifetime_seconds: Some(1), ..VpnTunnelSpec::default() };
        assert!(problem(|s| s.tunnels = vec![short]).contains("tunnels[0]"));
        let transit = problem(|s| {
            s.end = VpnEnd::TransitGateway("tgw-1".into());
            s.routing = VpnRouting::Static(vec!["10.0.0.0/8".parse().unwrap()]);
        });
        assert!(transit.contains("route tables"));
        assert!(
            problem(|s| s.routing = VpnRouting::Static(vec!["10.0.0.1/8".parse().unwrap()]))
                .contains("10.0.0.1/8")
        );
    }
}
