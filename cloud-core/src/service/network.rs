//! `Network`: private networks with their subnets, firewalls, peerings.

use std::fmt::Debug;

use async_trait::async_trait;
use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::listings;
use crate::{
    ClientToken, Error, ListQuery, NetworkCapabilities, Overrides, Page, PageRequest, Region,
    ResourceId, ResourceKind, ResourceStatus, Result, Tags, Zone, resource::view, text::check_name,
};

/// A part of a network's addresses.
///
/// ```
/// let subnet = cloud_core::SubnetSpec::new("a", "10.0.1.0/24".parse().unwrap());
/// assert!(subnet.zone.is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubnetSpec {
    /// Its name, unique in the network.
    pub name: String,
    /// Its addresses.
    pub cidr: IpNet,
    /// The zone that it lies in; `None` leaves the choice to the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
}

impl SubnetSpec {
    /// A subnet in any zone.
    pub fn new(name: impl Into<String>, cidr: IpNet) -> Self {
        Self { name: name.into(), cidr, zone: None }
    }
}

/// A request for a network, the same for every cloud.
///
/// ```
/// use cloud_core::{NetworkSpec, Region, SubnetSpec};
/// let mut spec = NetworkSpec::new("main", Region::new("eu-1").unwrap(), "10.0.0.0/16".parse().unwrap());
/// spec.subnets.push(SubnetSpec::new("a", "10.0.1.0/24".parse().unwrap()));
/// assert!(spec.validate().is_ok());
/// spec.subnets.push(SubnetSpec::new("b", "10.0.1.128/25".parse().unwrap()));
/// assert!(spec.validate().unwrap_err().to_string().contains("overlaps"));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// Its name.
    pub name: String,
    /// Where to put it.
    pub region: Region,
    /// Its addresses.
    pub cidr: IpNet,
    /// Its subnets; they lie within `cidr` and do not overlap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<SubnetSpec>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Settings of single providers.
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub overrides: Overrides,
}

/// Whether two blocks of addresses have an address in common.
///
/// ```
/// use cloud_core::overlaps;
/// assert!(overlaps(&"10.0.0.0/8".parse().unwrap(), &"10.1.0.0/16".parse().unwrap()));
/// assert!(!overlaps(&"10.0.0.0/9".parse().unwrap(), &"10.128.0.0/9".parse().unwrap()));
/// ```
pub fn overlaps(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

impl NetworkSpec {
    /// A network without subnets.
    pub fn new(name: impl Into<String>, region: Region, cidr: IpNet) -> Self {
        Self {
            name: name.into(),
            region,
            cidr,
            subnets: Vec::new(),
            tags: Tags::default(),
            overrides: Overrides::default(),
        }
    }

    /// Refuses what no cloud accepts: host bits in a block, a subnet outside, overlapping or doubly named subnets.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        check_name("network name", &self.name)?;
        check_block("cidr", &self.cidr)?;
        for (i, subnet) in self.subnets.iter().enumerate() {
            let field = format!("subnets[{i}]");
            check_name(&format!("{field}.name"), &subnet.name)?;
            check_block(&format!("{field}.cidr"), &subnet.cidr)?;
            if !self.cidr.contains(&subnet.cidr) {
                let problem = format!("{} lies outside", subnet.cidr);
                return Err(Error::invalid(&field, problem, format_args!("within {}", self.cidr)));
            }
            for other in &self.subnets[..i] {
                if overlaps(&other.cidr, &subnet.cidr) {
                    let problem =
                        format!("{} overlaps '{}' {}", subnet.cidr, other.name, other.cidr);
                    return Err(Error::invalid(
                        &field,
                        problem,
                        "subnets without common addresses",
                    ));
                }
                if other.name == subnet.name {
                    let problem = format!("has the name '{}' of another", other.name);
                    return Err(Error::invalid(&field, problem, "each name once"));
                }
            }
        }
        Ok(())
    }

    /// [`validate`](Self::validate), and what this cloud's capabilities rule out.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) or [`Unsupported`](crate::ErrorKind::Unsupported).
    pub fn check(&self, can: &NetworkCapabilities) -> Result<()> {
        self.validate()?;
        can.names.check("network name", &self.name)?;
        self.subnets.iter().try_for_each(|s| can.names.check("subnet name", &s.name))
    }
}

fn check_block(field: &str, block: &IpNet) -> Result<()> {
    if block.trunc() == *block {
        return Ok(());
    }
    let accepted = format!("a block without host bits, such as {}", block.trunc());
    Err(Error::invalid(field, format_args!("is {block}"), accepted))
}

/// A subnet, as its cloud reports it.
///
/// ```
/// # use cloud_core::Subnet;
/// fn id(subnet: &Subnet) -> &str { &subnet.native_id }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Its name.
    pub name: String,
    /// The provider's own id.
    pub native_id: String,
    /// Its addresses.
    pub cidr: IpNet,
    /// The zone that it lies in.
    pub zone: Option<Zone>,
}

/// A network, as its cloud reports it.
///
/// ```
/// # use cloud_core::VirtualNetwork;
/// fn has_room(network: &VirtualNetwork) -> bool { network.subnets.len() < 200 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VirtualNetwork {
    /// Its id in the cloud.
    pub id: ResourceId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: ResourceStatus,
    /// Its addresses.
    pub cidr: IpNet,
    /// Its subnets.
    pub subnets: Vec<Subnet>,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// Which way traffic goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Into the instance.
    Ingress,
    /// Out of it.
    Egress,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP and ICMPv6; ports do not apply.
    Icmp,
    /// Every protocol; ports do not apply.
    All,
}

/// One rule that allows traffic. What no rule allows is blocked.
///
/// ```
/// use cloud_core::FirewallRule;
/// let rule = FirewallRule::allow_tcp(443, ["0.0.0.0/0".parse().unwrap()]);
/// assert_eq!(rule.ports, Some((443, 443)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirewallRule {
    /// Which way.
    pub direction: Direction,
    /// Which protocol.
    pub protocol: Protocol,
    /// First and last port; `None` is every port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<(u16, u16)>,
    /// The addresses at the other end.
    pub peers: Vec<IpNet>,
}

impl FirewallRule {
    /// Lets TCP in to one port.
    pub fn allow_tcp(port: u16, peers: impl IntoIterator<Item = IpNet>) -> Self {
        Self {
            direction: Direction::Ingress,
            protocol: Protocol::Tcp,
            ports: Some((port, port)),
            peers: peers.into_iter().collect(),
        }
    }

    /// Whether it lets the whole internet in to SSH (22) or RDP (3389).
    pub fn opens_admin_to_all(&self) -> bool {
        let admin = match self.protocol {
            Protocol::Icmp => false,
            _ => self
                .ports
                .is_none_or(|(first, last)| [22, 3389].iter().any(|p| (first..=last).contains(p))),
        };
        let all = self.peers.iter().any(|net| net.prefix_len() == 0);
        self.direction == Direction::Ingress && admin && all
    }
}

/// A request for a firewall (security group), the same for every cloud.
///
/// ```
/// use cloud_core::{FirewallRule, FirewallSpec, ResourceId};
/// let network: ResourceId = "network/eu-1/main".parse().unwrap();
/// let mut spec = FirewallSpec::new("admin", network);
/// spec.rules.push(FirewallRule::allow_tcp(22, ["0.0.0.0/0".parse().unwrap()]));
/// assert!(spec.validate().unwrap_err().to_string().contains("allow_admin_from_anywhere"));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirewallSpec {
    /// Its name.
    pub name: String,
    /// The network that it belongs to.
    pub network: ResourceId,
    /// What it allows.
    #[serde(default)]
    pub rules: Vec<FirewallRule>,
    /// Opt-in to rules that open SSH or RDP to every address. Default: refused.
    #[serde(default)]
    pub allow_admin_from_anywhere: bool,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

impl FirewallSpec {
    /// A firewall that allows nothing.
    pub fn new(name: impl Into<String>, network: ResourceId) -> Self {
        Self {
            name: name.into(),
            network,
            rules: Vec::new(),
            allow_admin_from_anywhere: false,
            tags: Tags::default(),
        }
    }

    /// Refuses what no cloud accepts, and SSH or RDP open to all without the opt-in.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        check_name("firewall name", &self.name)?;
        self.network.expect_kind(ResourceKind::Network)?;
        for (i, rule) in self.rules.iter().enumerate() {
            let field = format!("rules[{i}]");
            if let Some((first, last)) = rule.ports
                && (first == 0 || first > last)
            {
                let problem = format!("has the ports {first} to {last}");
                return Err(Error::invalid(&field, problem, "1 to 65535, the lower first"));
            }
            if rule.ports.is_some() && matches!(rule.protocol, Protocol::Icmp | Protocol::All) {
                return Err(Error::invalid(&field, "has ports", "ports with tcp or udp only"));
            }
            if rule.peers.is_empty() {
                return Err(Error::invalid(
                    &format!("{field}.peers"),
                    "is empty",
                    "at least one block",
                ));
            }
            if rule.opens_admin_to_all() && !self.allow_admin_from_anywhere {
                return Err(Error::invalid(
                    &field,
                    "opens SSH or RDP to every address",
                    "narrower peers, or the opt-in allow_admin_from_anywhere",
                ));
            }
        }
        Ok(())
    }
}

/// A firewall, as its cloud reports it.
///
/// ```
/// # use cloud_core::Firewall;
/// fn is_closed(firewall: &Firewall) -> bool { firewall.rules.is_empty() }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Firewall {
    /// Its id in the cloud.
    pub id: ResourceId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: ResourceStatus,
    /// The network that it belongs to.
    pub network: ResourceId,
    /// What it allows.
    pub rules: Vec<FirewallRule>,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// A request to join two networks of one cloud. Their addresses must not overlap.
///
/// ```
/// # use cloud_core::PeeringSpec;
/// let spec = PeeringSpec::new("eu-us", "network/eu-1/a".parse().unwrap(), "network/us-1/b".parse().unwrap());
/// assert!(spec.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeeringSpec {
    /// Its name.
    pub name: String,
    /// One network; the peering is in its region.
    pub network: ResourceId,
    /// The other network.
    pub peer: ResourceId,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

impl PeeringSpec {
    /// A peering without tags.
    pub fn new(name: impl Into<String>, network: ResourceId, peer: ResourceId) -> Self {
        Self { name: name.into(), network, peer, tags: Tags::default() }
    }

    /// Refuses what no cloud accepts.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        check_name("peering name", &self.name)?;
        self.network.expect_kind(ResourceKind::Network)?;
        self.peer.expect_kind(ResourceKind::Network)?;
        if self.network == self.peer {
            return Err(Error::invalid("peer", "is the network itself", "another network"));
        }
        Ok(())
    }
}

/// A peering, as its cloud reports it.
///
/// ```
/// # use cloud_core::Peering;
/// fn carries_traffic(peering: &Peering) -> bool { peering.status.is_ready() }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peering {
    /// Its id in the cloud.
    pub id: ResourceId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: ResourceStatus,
    /// One network.
    pub network: ResourceId,
    /// The other network.
    pub peer: ResourceId,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// Networks. See [the rules that all services share](crate::service).
///
/// ```
/// # use cloud_core::{ClientToken, Network, NetworkSpec, Region, Result, VirtualNetwork};
/// async fn main_network(network: &dyn Network) -> Result<VirtualNetwork> {
///     let spec = NetworkSpec::new("main", Region::new("eu-1")?, "10.0.0.0/16".parse().unwrap());
///     network.create_network(&spec, &ClientToken::random()).await
/// }
/// ```
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Network: Debug + Send + Sync {
    /// Creates a network and its subnets.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) if its addresses overlap another network's where the cloud refuses that; or any.
    async fn create_network(
        &self,
        spec: &NetworkSpec,
        token: &ClientToken,
    ) -> Result<VirtualNetwork>;

    /// One network.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), or any.
    async fn get_network(&self, id: &ResourceId) -> Result<VirtualNetwork>;

    /// One page of the networks. See [`NetworkExt::list_networks`].
    ///
    /// # Errors
    /// Any.
    async fn list_networks_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<VirtualNetwork>>;

    /// Deletes a network and its subnets. `true` if it was there.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) while an instance, database, firewall or peering uses it; or any.
    async fn delete_network(&self, id: &ResourceId) -> Result<bool>;

    /// Creates a firewall.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for its network, [`Unsupported`](crate::ErrorKind::Unsupported), or any.
    async fn create_firewall(&self, spec: &FirewallSpec, token: &ClientToken) -> Result<Firewall>;

    /// One firewall.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), or any.
    async fn get_firewall(&self, id: &ResourceId) -> Result<Firewall>;

    /// One page of the firewalls. See [`NetworkExt::list_firewalls`].
    ///
    /// # Errors
    /// Any.
    async fn list_firewalls_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Firewall>>;

    /// Deletes a firewall. `true` if it was there.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) while an instance uses it; or any.
    async fn delete_firewall(&self, id: &ResourceId) -> Result<bool>;

    /// Joins two networks of this cloud.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if their addresses overlap, [`NotFound`](crate::ErrorKind::NotFound),
    /// [`Unsupported`](crate::ErrorKind::Unsupported), or any.
    async fn create_peering(&self, spec: &PeeringSpec, token: &ClientToken) -> Result<Peering>;

    /// One peering.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), or any.
    async fn get_peering(&self, id: &ResourceId) -> Result<Peering>;

    /// One page of the peerings. See [`NetworkExt::list_peerings`].
    ///
    /// # Errors
    /// Any.
    async fn list_peerings_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Peering>>;

    /// Deletes a peering. `true` if it was there.
    ///
    /// # Errors
    /// Any.
    async fn delete_peering(&self, id: &ResourceId) -> Result<bool>;
}

view!(VirtualNetwork, Firewall, Peering);

listings! {
    /// Sugar over [`Network`].
    NetworkExt: Network {
        /// The networks that match.
        list_networks by list_networks_page(ListQuery) -> VirtualNetwork;
        /// The firewalls that match.
        list_firewalls by list_firewalls_page(ListQuery) -> Firewall;
        /// The peerings that match.
        list_peerings by list_peerings_page(ListQuery) -> Peering;
    }
}
