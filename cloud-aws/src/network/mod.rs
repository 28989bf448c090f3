//! Networks: VPCs, security groups and peerings, and what only AWS has: gateways, VPN, load balancers, accelerators.

mod accelerator;
mod direct_connect;
mod ec2;
mod elb;
mod endpoint_group;
mod firewalls;
mod internet_gateway;
mod load_balancer;
mod nat_gateway;
mod networks;
mod peerings;
mod route_table;
mod target_check;
mod target_group;
mod transit;
mod vpn;
mod vpn_gateway;
mod vpn_options;
mod vpn_tunnel;

use std::{future::Future, sync::Arc};

use async_trait::async_trait;
use cloud_core::{
    ClientToken, Firewall, FirewallSpec, ListQuery, Network, NetworkCapabilities, NetworkSpec,
    Page, PageRequest, Peering, PeeringSpec, ResourceId, ResourceKind, Result, VirtualNetwork,
};
use serde::Serialize;

pub use self::{
    accelerator::*, direct_connect::*, endpoint_group::*, internet_gateway::*, load_balancer::*,
    nat_gateway::*, networks::AwsVirtualNetwork, route_table::*, target_check::*, target_group::*,
    transit::*, vpn::*, vpn_gateway::*, vpn_options::*, vpn_tunnel::*,
};
use crate::{account::Account, names, tokens::Request};

/// Networks of an account: the portable [`Network`], and as methods of its own what only AWS has.
///
/// What it creates bears the spec's tags, the spec's name as the tag `Name`, and the tag that names the create, set in the same
/// call. EC2 takes no client token for most of it, so it is looked up by that tag before and after it is created; of two
/// processes that create the same at once, both return the same one thing.
///
/// - A **network** is a VPC. Its subnets have a zone each: the spec's, or the region's zones in turn. The default VPC is one too,
///   but is not deleted. [`AwsVirtualNetwork`] has its settings.
/// - A **firewall** is a security group that allows exactly what its spec says: EC2's rule that lets everything out is taken away.
///   Rules that name other groups or prefix lists are not to be seen in the portable view.
/// - A **peering** is accepted in the same call, in the other VPC's region too, and the main route tables of both VPCs get routes
///   to the other's addresses, as a peering without them carries nothing. Subnets with a table of their own need their own
///   routes: see [`add_route`](Self::add_route). All routes through it go when it is deleted.
///
/// Get it with [`AwsCloud::aws_network`](crate::AwsCloud::aws_network).
///
/// ```no_run
/// # use cloud_aws::{AwsCloud, InternetGatewaySpec};
/// # use cloud_core::{ClientToken, Network, NetworkSpec, Region, Result};
/// async fn open_network(aws: &AwsCloud) -> Result<()> {
///     let network = aws.aws_network();
///     let spec = NetworkSpec::new("main", Region::new("eu-central-1")?, "10.0.0.0/16".parse().unwrap());
///     let made = network.create_network(&spec, &ClientToken::random()).await?;
///     let out = InternetGatewaySpec::new("out", made.id);
///     network.create_internet_gateway(&out, &ClientToken::random()).await?;
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct AwsNetwork {
    account: Arc<Account>,
    settled: Arc<ec2::Settled>,
}

impl AwsNetwork {
    pub(crate) fn new(account: &Arc<Account>) -> Self {
        Self { account: account.clone(), settled: Arc::default() }
    }

    pub(crate) fn capabilities(&self) -> NetworkCapabilities {
        NetworkCapabilities {
            names: names::TAGGED,
            firewalls: true,
            peering: true,
            overlap_refused: false,
        }
    }

    /// [`Tokens::once`](crate::tokens::Tokens::once) for what has no kind of its own: `what` tells it from the others.
    async fn once<T, S, F, Fut>(
        &self,
        what: &str,
        spec: &S,
        token: &ClientToken,
        create: F,
    ) -> Result<T>
    where
        S: Serialize,
        F: FnOnce(Request) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        self.account.tokens.once(ResourceKind::Network, &(what, spec), token, create).await
    }
}

/// Implements the trait: each method as another of this type, with its name in what it fails with.
macro_rules! delegate {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty as $own:ident, $operation:literal;)*) => {
        #[async_trait]
        impl Network for AwsNetwork {
            $(async fn $name(&self, $($argument: $type),*) -> Result<$answer> {
                self.$own($($argument),*).await.map_err(self.account.in_call($operation))
            })*
        }
    };
}

delegate! {
    create_network(spec: &NetworkSpec, token: &ClientToken) -> VirtualNetwork as create_vpc, "network.create_network";
    get_network(id: &ResourceId) -> VirtualNetwork as get_vpc, "network.get_network";
    list_networks_page(query: &ListQuery, page: &PageRequest) -> Page<VirtualNetwork> as list_vpcs, "network.list_networks";
    delete_network(id: &ResourceId) -> bool as delete_network_and_parts, "network.delete_network";
    create_firewall(spec: &FirewallSpec, token: &ClientToken) -> Firewall as create_group, "network.create_firewall";
    get_firewall(id: &ResourceId) -> Firewall as get_group, "network.get_firewall";
    list_firewalls_page(query: &ListQuery, page: &PageRequest) -> Page<Firewall> as list_groups, "network.list_firewalls";
    delete_firewall(id: &ResourceId) -> bool as delete_group, "network.delete_firewall";
    create_peering(spec: &PeeringSpec, token: &ClientToken) -> Peering as create_connection, "network.create_peering";
    get_peering(id: &ResourceId) -> Peering as get_connection, "network.get_peering";
    list_peerings_page(query: &ListQuery, page: &PageRequest) -> Page<Peering> as list_connections, "network.list_peerings";
    delete_peering(id: &ResourceId) -> bool as delete_connection, "network.delete_peering";
}
