//! `Network`: address plans, firewall rules and peerings, as records. Nothing here filters traffic: processes of one
//! machine share its network. What the records say is checked as on any other cloud.

use std::sync::Arc;

use async_trait::async_trait;
use cloud_core::{
    ClientToken, Error, ErrorKind, Firewall, FirewallRule, FirewallSpec, ListQuery, Network,
    NetworkCapabilities, NetworkSpec, Page, PageRequest, Peering, PeeringSpec, Region, ResourceId,
    ResourceKind, ResourceStatus, Result, Subnet, Tags, VirtualNetwork, overlaps,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    provider::NAMES,
    state::{Begun, Locked, NewRecord, Record, State, fingerprint},
};

pub(crate) fn capabilities() -> NetworkCapabilities {
    NetworkCapabilities { names: NAMES, firewalls: true, peering: true, overlap_refused: true }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct NetworkBody {
    cidr: IpNet,
    subnets: Vec<Subnet>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct FirewallBody {
    network: ResourceId,
    rules: Vec<FirewallRule>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct PeeringBody {
    network: ResourceId,
    peer: ResourceId,
}

#[derive(Clone, Debug)]
pub(crate) struct LocalNetwork {
    state: Arc<State>,
}

/// Refuses a subnet that is not in the network.
pub(crate) fn check_subnet(
    s: &Locked<'_>,
    network: Option<&ResourceId>,
    subnet: Option<&str>,
) -> Result<()> {
    match (network, subnet) {
        (_, None) => Ok(()),
        (None, Some(subnet)) => {
            let problem = format!("is '{subnet}' without a network");
            Err(Error::invalid("subnet", problem, "a subnet of the network"))
        }
        (Some(network), Some(subnet)) => {
            let body = s.read::<NetworkBody>(network)?.body;
            if body.subnets.iter().any(|s| s.name == subnet) {
                return Ok(());
            }
            let names: Vec<_> = body.subnets.iter().map(|s| s.name.as_str()).collect();
            Err(Error::invalid("subnet", format_args!("is '{subnet}'"), names.join(", ")))
        }
    }
}

/// Two networks of a region must not overlap.
fn check_overlap(s: &Locked<'_>, region: &Region, cidr: &IpNet) -> Result<()> {
    for other in s.all::<NetworkBody>(ResourceKind::Network, region)? {
        if overlaps(&other.body.cidr, cidr) {
            let message =
                format!("{cidr} overlaps the network '{}' {}", other.name, other.body.cidr);
            return Err(
                Error::new(ErrorKind::Conflict, message).with_resource(other.id.to_string())
            );
        }
    }
    Ok(())
}

fn network_view(record: Record<NetworkBody>) -> Result<VirtualNetwork> {
    Ok(VirtualNetwork {
        id: record.id,
        name: record.name,
        status: record.status,
        cidr: record.body.cidr,
        subnets: record.body.subnets,
        tags: record.tags,
        created_at: Some(record.created_at),
    })
}

fn firewall_view(record: Record<FirewallBody>) -> Result<Firewall> {
    Ok(Firewall {
        id: record.id,
        name: record.name,
        status: record.status,
        network: record.body.network,
        rules: record.body.rules,
        tags: record.tags,
        created_at: Some(record.created_at),
    })
}

fn peering_view(record: Record<PeeringBody>) -> Result<Peering> {
    Ok(Peering {
        id: record.id,
        name: record.name,
        status: record.status,
        network: record.body.network,
        peer: record.body.peer,
        tags: record.tags,
        created_at: Some(record.created_at),
    })
}

/// What the three kinds of records have in common: there is nothing but the record.
struct Plain<'a> {
    kind: ResourceKind,
    region: &'a Region,
    name: &'a str,
    tags: &'a Tags,
    uses: Vec<ResourceId>,
}

impl Plain<'_> {
    fn record<T>(
        self,
        spec: &impl Serialize,
        token: &ClientToken,
        body: T,
    ) -> Result<NewRecord<T>> {
        Ok(NewRecord {
            kind: self.kind,
            region: self.region.clone(),
            name: self.name.to_owned(),
            token: token.clone(),
            fingerprint: fingerprint(spec)?,
            tags: self.tags.clone(),
            uses: self.uses,
            status: ResourceStatus::Running,
            body,
        })
    }
}

impl LocalNetwork {
    pub(crate) fn new(state: &Arc<State>) -> Self {
        Self { state: state.clone() }
    }

    /// Records a resource after a check that its first creation has to pass.
    async fn create<T, F>(&self, new: NewRecord<T>, check: F) -> Result<Record<T>>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        F: FnOnce(&Locked<'_>) -> Result<()> + Send + 'static,
    {
        let begin = move |s: &Locked<'_>| {
            if let Some(made) = s.lookup(&new)? {
                return Ok(Begun::Done(made));
            }
            check(s)?;
            s.insert(new).map(Begun::New)
        };
        match self.state.locked(begin).await? {
            Begun::New(record) | Begun::Done(record) | Begun::Unfinished(record) => Ok(record),
        }
    }

    async fn get<T>(&self, id: &ResourceId, kind: ResourceKind) -> Result<Record<T>>
    where
        T: DeserializeOwned + Send + 'static,
    {
        self.state.check_id(id, kind)?;
        self.state.get(id).await
    }

    async fn delete(&self, id: &ResourceId, kind: ResourceKind) -> Result<bool> {
        self.state.check_id(id, kind)?;
        let id = id.clone();
        self.state
            .locked(move |s| {
                if s.find::<serde_json::Value>(&id)?.is_none() {
                    return Ok(false);
                }
                s.check_unused(&id)?;
                s.remove(&id)
            })
            .await
    }

    async fn new_network(&self, spec: &NetworkSpec, token: &ClientToken) -> Result<VirtualNetwork> {
        spec.check(&capabilities())?;
        let zones = &self.state.region(&spec.region)?.zones;
        let subnets = spec.subnets.iter().map(|subnet| {
            if let Some(zone) = subnet.zone.as_ref().filter(|zone| !zones.contains(zone)) {
                let names: Vec<_> = zones.iter().map(|z| z.as_str()).collect();
                return Err(Error::invalid(
                    "subnet zone",
                    format_args!("is '{zone}'"),
                    names.join(", "),
                ));
            }
            Ok(Subnet {
                name: subnet.name.clone(),
                native_id: subnet.name.clone(),
                cidr: subnet.cidr,
                zone: subnet.zone.clone(),
            })
        });
        let body = NetworkBody { cidr: spec.cidr, subnets: subnets.collect::<Result<_>>()? };
        let plain = Plain {
            kind: ResourceKind::Network,
            region: &spec.region,
            name: &spec.name,
            tags: &spec.tags,
            uses: Vec::new(),
        };
        let new = plain.record(spec, token, body)?;
        let (region, cidr) = (spec.region.clone(), spec.cidr);
        let record = self.create(new, move |s| check_overlap(s, &region, &cidr)).await?;
        network_view(record)
    }

    async fn new_firewall(&self, spec: &FirewallSpec, token: &ClientToken) -> Result<Firewall> {
        spec.validate()?;
        let plain = Plain {
            kind: ResourceKind::Firewall,
            region: &spec.network.region,
            name: &spec.name,
            tags: &spec.tags,
            uses: vec![spec.network.clone()],
        };
        let body = FirewallBody { network: spec.network.clone(), rules: spec.rules.clone() };
        let new = plain.record(spec, token, body)?;
        firewall_view(self.create(new, |_| Ok(())).await?)
    }

    async fn new_peering(&self, spec: &PeeringSpec, token: &ClientToken) -> Result<Peering> {
        spec.validate()?;
        let plain = Plain {
            kind: ResourceKind::Peering,
            region: &spec.network.region,
            name: &spec.name,
            tags: &spec.tags,
            uses: vec![spec.network.clone(), spec.peer.clone()],
        };
        let body = PeeringBody { network: spec.network.clone(), peer: spec.peer.clone() };
        let new = plain.record(spec, token, body)?;
        let (network, peer) = (spec.network.clone(), spec.peer.clone());
        let check = move |s: &Locked<'_>| {
            let network = s.read::<NetworkBody>(&network)?;
            let peer = s.read::<NetworkBody>(&peer)?;
            if overlaps(&network.body.cidr, &peer.body.cidr) {
                let problem = format!("{} overlaps {}", peer.body.cidr, network.body.cidr);
                return Err(Error::invalid("peer", problem, "networks without common addresses"));
            }
            Ok(())
        };
        peering_view(self.create(new, check).await?)
    }
}

#[async_trait]
impl Network for LocalNetwork {
    async fn create_network(
        &self,
        spec: &NetworkSpec,
        token: &ClientToken,
    ) -> Result<VirtualNetwork> {
        let made = self.new_network(spec, token).await;
        made.map_err(self.state.in_call("network.create_network"))
    }

    async fn get_network(&self, id: &ResourceId) -> Result<VirtualNetwork> {
        let got = self.get(id, ResourceKind::Network).await.and_then(network_view);
        got.map_err(self.state.in_call("network.get_network"))
    }

    async fn list_networks_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<VirtualNetwork>> {
        let listed = self.state.list_page(ResourceKind::Network, query, page, network_view).await;
        listed.map_err(self.state.in_call("network.list_networks"))
    }

    async fn delete_network(&self, id: &ResourceId) -> Result<bool> {
        let deleted = self.delete(id, ResourceKind::Network).await;
        deleted.map_err(self.state.in_call("network.delete_network"))
    }

    async fn create_firewall(&self, spec: &FirewallSpec, token: &ClientToken) -> Result<Firewall> {
        let made = self.new_firewall(spec, token).await;
        made.map_err(self.state.in_call("network.create_firewall"))
    }

    async fn get_firewall(&self, id: &ResourceId) -> Result<Firewall> {
        let got = self.get(id, ResourceKind::Firewall).await.and_then(firewall_view);
        got.map_err(self.state.in_call("network.get_firewall"))
    }

    async fn list_firewalls_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Firewall>> {
        let listed = self.state.list_page(ResourceKind::Firewall, query, page, firewall_view).await;
        listed.map_err(self.state.in_call("network.list_firewalls"))
    }

    async fn delete_firewall(&self, id: &ResourceId) -> Result<bool> {
        let deleted = self.delete(id, ResourceKind::Firewall).await;
        deleted.map_err(self.state.in_call("network.delete_firewall"))
    }

    async fn create_peering(&self, spec: &PeeringSpec, token: &ClientToken) -> Result<Peering> {
        let made = self.new_peering(spec, token).await;
        made.map_err(self.state.in_call("network.create_peering"))
    }

    async fn get_peering(&self, id: &ResourceId) -> Result<Peering> {
        let got = self.get(id, ResourceKind::Peering).await.and_then(peering_view);
        got.map_err(self.state.in_call("network.get_peering"))
    }

    async fn list_peerings_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Peering>> {
        let listed = self.state.list_page(ResourceKind::Peering, query, page, peering_view).await;
        listed.map_err(self.state.in_call("network.list_peerings"))
    }

    async fn delete_peering(&self, id: &ResourceId) -> Result<bool> {
        let deleted = self.delete(id, ResourceKind::Peering).await;
        deleted.map_err(self.state.in_call("network.delete_peering"))
    }
}
