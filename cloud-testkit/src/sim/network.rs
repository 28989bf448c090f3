//! `Network` of the simulated cloud: networks, firewalls, peerings.

use async_trait::async_trait;
use cloud_core::{
    ClientToken, Error, ErrorKind, Firewall, FirewallSpec, ListQuery, Network, NetworkSpec, Page,
    PageRequest, Peering, PeeringSpec, Region, ResourceId, ResourceKind, ResourceStatus, Result,
    Subnet, VirtualNetwork, overlaps,
};
use ipnet::IpNet;
use tokio::time::Instant;

use super::{
    SimCloud,
    entry::{Draft, Request},
    extra::Extra,
    offered,
    state::State,
};

impl State {
    /// Refuses a block that overlaps another network's, and keeps it otherwise. Those kept are disjoint, so only its two
    /// neighbours can overlap it.
    fn claim(&mut self, region: &Region, block: IpNet) -> Result<()> {
        let key = |net: &IpNet| (region.clone(), net.addr());
        let before = self.blocks.range(..=key(&block)).next_back();
        let after = self.blocks.range(key(&block)..).next();
        let here = before.into_iter().chain(after).filter(|((place, _), _)| place == region);
        for (_, other) in here {
            if overlaps(other, &block) {
                let message = format!("{block} overlaps another network's {other} in {region}");
                return Err(Error::new(ErrorKind::Conflict, message));
            }
        }
        self.blocks.insert(key(&block), block);
        Ok(())
    }

    fn network(&self, id: &ResourceId, now: Instant) -> Result<VirtualNetwork> {
        let (_, entry) = self.find(id, now)?;
        entry.view(now).typed()
    }
}

#[async_trait]
impl Network for SimCloud {
    async fn create_network(
        &self,
        spec: &NetworkSpec,
        token: &ClientToken,
    ) -> Result<VirtualNetwork> {
        let can = offered!(self, network, "networks")?;
        spec.check(can)?;
        let zones = &self.region(&spec.region)?.zones;
        if let Some(zone) =
            spec.subnets.iter().filter_map(|s| s.zone.as_ref()).find(|z| !zones.contains(z))
        {
            return Err(Error::invalid(
                "subnet zone",
                format_args!("is '{zone}'"),
                format_args!("{zones:?}"),
            ));
        }
        let request = Request {
            region: &spec.region,
            name: &spec.name,
            tags: &spec.tags,
            spec,
            token,
            unique: self.0.unique_names,
            needs: Vec::new(),
            vcpu: 0,
        };
        self.create_one("network.create_network", request, |state, common| {
            if can.overlap_refused {
                state.claim(&spec.region, spec.cidr)?;
            }
            let subnet = |(i, subnet): (usize, &cloud_core::SubnetSpec)| Subnet {
                name: subnet.name.clone(),
                native_id: format!("{}-subnet-{i}", common.id.native()),
                cidr: subnet.cidr,
                zone: subnet.zone.clone(),
            };
            let view = VirtualNetwork {
                subnets: spec.subnets.iter().enumerate().map(subnet).collect(),
                id: common.id,
                name: common.name,
                status: ResourceStatus::Creating,
                cidr: spec.cidr,
                tags: common.tags,
                created_at: common.created_at,
            };
            Ok(Draft::new(view, Extra::Nothing))
        })
        .await
    }

    async fn get_network(&self, id: &ResourceId) -> Result<VirtualNetwork> {
        self.get_one("network.get_network", id).await
    }

    async fn list_networks_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<VirtualNetwork>> {
        self.list_page("network.list_networks", query, page).await
    }

    async fn delete_network(&self, id: &ResourceId) -> Result<bool> {
        self.delete_one("network.delete_network", ResourceKind::Network, id).await
    }

    async fn create_firewall(&self, spec: &FirewallSpec, token: &ClientToken) -> Result<Firewall> {
        let can = offered!(self, network, "networks")?;
        if !can.firewalls {
            return Err(Error::unsupported("firewalls"));
        }
        spec.validate()?;
        can.names.check("firewall name", &spec.name)?;
        let request = Request {
            region: &spec.network.region,
            name: &spec.name,
            tags: &spec.tags,
            spec,
            token,
            unique: self.0.unique_names,
            needs: vec![spec.network.clone()],
            vcpu: 0,
        };
        self.create_one("network.create_firewall", request, |_, common| {
            let view = Firewall {
                id: common.id,
                name: common.name,
                status: ResourceStatus::Creating,
                network: spec.network.clone(),
                rules: spec.rules.clone(),
                tags: common.tags,
                created_at: common.created_at,
            };
            Ok(Draft::new(view, Extra::Nothing))
        })
        .await
    }

    async fn get_firewall(&self, id: &ResourceId) -> Result<Firewall> {
        self.get_one("network.get_firewall", id).await
    }

    async fn list_firewalls_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Firewall>> {
        self.list_page("network.list_firewalls", query, page).await
    }

    async fn delete_firewall(&self, id: &ResourceId) -> Result<bool> {
        self.delete_one("network.delete_firewall", ResourceKind::Firewall, id).await
    }

    async fn create_peering(&self, spec: &PeeringSpec, token: &ClientToken) -> Result<Peering> {
        let can = offered!(self, network, "networks")?;
        if !can.peering {
            return Err(Error::unsupported("peerings"));
        }
        spec.validate()?;
        can.names.check("peering name", &spec.name)?;
        let request = Request {
            region: &spec.network.region,
            name: &spec.name,
            tags: &spec.tags,
            spec,
            token,
            unique: self.0.unique_names,
            needs: vec![spec.network.clone(), spec.peer.clone()],
            vcpu: 0,
        };
        self.create_one("network.create_peering", request, |state, common| {
            let now = Instant::now();
            let (one, other) =
                (state.network(&spec.network, now)?, state.network(&spec.peer, now)?);
            if overlaps(&one.cidr, &other.cidr) {
                let problem = format!("has {} which overlaps {}", other.cidr, one.cidr);
                return Err(Error::invalid("peer", problem, "networks without common addresses"));
            }
            let view = Peering {
                id: common.id,
                name: common.name,
                status: ResourceStatus::Creating,
                network: spec.network.clone(),
                peer: spec.peer.clone(),
                tags: common.tags,
                created_at: common.created_at,
            };
            Ok(Draft::new(view, Extra::Nothing))
        })
        .await
    }

    async fn get_peering(&self, id: &ResourceId) -> Result<Peering> {
        self.get_one("network.get_peering", id).await
    }

    async fn list_peerings_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Peering>> {
        self.list_page("network.list_peerings", query, page).await
    }

    async fn delete_peering(&self, id: &ResourceId) -> Result<bool> {
        self.delete_one("network.delete_peering", ResourceKind::Peering, id).await
    }
}
