//! `Compute` of the simulated cloud.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use async_trait::async_trait;
use bytes::Bytes;
use cloud_core::{
    ClientToken, Compute, Error, ErrorKind, Instance, InstanceSize, InstanceSpec, InstanceType,
    ListQuery, Page, PageRequest, PageToken, ResourceId, ResourceKind, ResourceStatus, Result,
    Scope, Zone,
};

use super::{
    SimCloud,
    config::{NO_TIME, SimType},
    entry::{Draft, Request},
    extra::{Extra, InstanceExtra},
    faults::stock_out,
    offered,
    state::State,
};

impl SimCloud {
    fn instance_type(&self, size: &InstanceSize) -> Result<&SimType> {
        let mut types: Vec<_> = self.0.types.iter().collect();
        types.sort_by_key(|t| t.hourly);
        let found = types.iter().find(|t| match size {
            InstanceSize::Exact(name) => t.name == *name,
            InstanceSize::AtLeast { vcpu, memory, gpu } => {
                t.vcpu >= *vcpu && t.memory >= *memory && t.gpu >= *gpu
            }
        });
        found.copied().ok_or_else(|| {
            let names: Vec<_> = types.iter().map(|t| t.name.as_str()).collect();
            Error::invalid(
                "size",
                "is not on offer",
                format_args!("one of or within {}", names.join(", ")),
            )
        })
    }

    /// The zone asked for, or else the next that is up and has stock, taken in turn.
    fn place(
        &self,
        state: &State,
        spec: &InstanceSpec,
        instance_type: &str,
    ) -> Result<Option<Zone>> {
        let zones = &self.region(&spec.region)?.zones;
        let in_stock =
            |zone: Option<&Zone>| state.faults.in_stock(&spec.region, zone, instance_type);
        if let Some(zone) = &spec.zone {
            if !zones.contains(zone) {
                let names: Vec<_> = zones.iter().map(Zone::as_str).collect();
                return Err(Error::invalid("zone", format_args!("is '{zone}'"), names.join(", ")));
            }
            if state.faults.zone_down(&spec.region, zone) {
                let message = format!("the zone {zone} of {} is down", spec.region);
                return Err(Error::new(ErrorKind::Unavailable, message).with_scope(Scope::Zone));
            }
            return match in_stock(Some(zone)) {
                true => Ok(Some(zone.clone())),
                false => Err(stock_out(instance_type, Scope::Zone)),
            };
        }
        let up = |zone: &&Zone| !state.faults.zone_down(&spec.region, zone) && in_stock(Some(zone));
        let first = usize::try_from(state.next_number()).unwrap_or(0) % zones.len().max(1);
        match zones.iter().cycle().skip(first).take(zones.len()).find(up) {
            Some(zone) => Ok(Some(zone.clone())),
            None if zones.is_empty() && in_stock(None) => Ok(None),
            None => Err(stock_out(instance_type, Scope::Region)),
        }
    }
}

#[async_trait]
impl Compute for SimCloud {
    async fn create_instance(&self, spec: &InstanceSpec, token: &ClientToken) -> Result<Instance> {
        spec.check(offered!(self, compute, "compute")?)?;
        self.region(&spec.region)?;
        let kind = self.instance_type(&spec.size)?;
        for secret in spec.secret_environment.values() {
            secret.resolve()?;
        }
        let request = Request {
            region: &spec.region,
            name: &spec.name,
            tags: &spec.tags,
            spec,
            token,
            unique: self.0.unique_names,
            needs: spec.network.iter().chain(&spec.firewalls).cloned().collect(),
            vcpu: u64::from(kind.vcpu),
        };
        self.create_one("compute.create_instance", request, |state, common| {
            let zone = self.place(state, spec, &kind.name)?;
            let mut addresses = vec![made_up_address(10, state.next_number())];
            if spec.public_ip {
                addresses.push(made_up_address(198, state.next_number()));
            }
            let view = Instance {
                id: common.id,
                name: common.name,
                status: ResourceStatus::Creating,
                provider_status: String::new(),
                status_reason: None,
                zone,
                instance_type: kind.name.clone(),
                addresses,
                ports: chosen_ports(spec, state.next_number()),
                tags: common.tags,
                created_at: common.created_at,
            };
            let extra = Extra::Instance(InstanceExtra { boots: 1 });
            let mut draft = Draft::new(view, extra);
            draft.mortal = true;
            Ok(draft)
        })
        .await
    }

    async fn get_instance(&self, id: &ResourceId) -> Result<Instance> {
        self.get_one("compute.get_instance", id).await
    }

    async fn list_instances_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Instance>> {
        self.list_page("compute.list_instances", query, page).await
    }

    async fn delete_instance(&self, id: &ResourceId) -> Result<bool> {
        self.delete_one("compute.delete_instance", ResourceKind::Instance, id).await
    }

    async fn start_instance(&self, id: &ResourceId) -> Result<()> {
        self.stop_start(id, "compute.start_instance", |state, now| {
            let zone = zone_of(state, id, now)?;
            if zone.is_some_and(|zone| state.faults.zone_down(&id.region, &zone)) {
                return Err(
                    Error::new(ErrorKind::Unavailable, "its zone is down").with_scope(Scope::Zone)
                );
            }
            let takes = state.provisioning.get(&ResourceKind::Instance).cloned().unwrap_or(NO_TIME);
            let ready_at = now + state.draw(&takes);
            let entry = state.find_mut(id, now)?;
            if entry.stopped || entry.status(now) == ResourceStatus::Failed {
                entry.restart(ready_at);
                boot(&mut entry.extra);
            }
            Ok(())
        })
        .await
    }

    async fn stop_instance(&self, id: &ResourceId) -> Result<()> {
        self.stop_start(id, "compute.stop_instance", |state, now| {
            let entry = state.find_mut(id, now)?;
            if entry.status(now).is_gone() {
                return Err(Error::new(ErrorKind::Conflict, format!("{id} is being deleted")));
            }
            entry.restart(now);
            entry.stopped = true;
            Ok(())
        })
        .await
    }

    async fn reboot_instance(&self, id: &ResourceId) -> Result<()> {
        id.expect_kind(ResourceKind::Instance)?;
        if !offered!(self, compute, "compute")?.reboot {
            return Err(Error::unsupported("reboots"));
        }
        self.call("compute.reboot_instance", Some(&id.region), |state, now| {
            boot(&mut state.ready(id, now)?.extra);
            Ok(())
        })
        .await
    }

    async fn console_output(&self, id: &ResourceId) -> Result<Bytes> {
        id.expect_kind(ResourceKind::Instance)?;
        if !offered!(self, compute, "compute")?.console_output {
            return Err(Error::unsupported("console output"));
        }
        self.call("compute.console_output", Some(&id.region), |state, now| {
            let (_, entry) = state.find(id, now)?;
            let boots = match &entry.extra {
                Extra::Instance(instance) => instance.boots,
                _ => 0,
            };
            let lines = (1..=boots.min(1000)).map(|n| format!("{}: boot {n}\n", entry.view.name()));
            Ok(Bytes::from(lines.collect::<String>()))
        })
        .await
    }

    async fn list_instance_types_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<InstanceType>> {
        if let Some(region) = &query.region {
            self.region(region)?;
        }
        let all = self.0.regions.iter().flat_map(|info| {
            self.0.types.iter().map(|t| InstanceType {
                name: t.name.clone(),
                region: info.region.clone(),
                vcpu: t.vcpu,
                memory: t.memory,
                gpu: t.gpu,
                architecture: Some("x86_64".into()),
            })
        });
        let matches = |t: &InstanceType| {
            query.region.as_ref().is_none_or(|r| *r == t.region)
                && query.name.as_ref().is_none_or(|n| *n == t.name)
        };
        let all: Vec<_> = all.filter(matches).collect();
        self.call("compute.list_instance_types", query.region.as_ref(), |state, _| {
            page_of(all, page, state.page_size(page)?)
        })
        .await
    }
}

impl SimCloud {
    async fn stop_start(
        &self,
        id: &ResourceId,
        operation: &'static str,
        act: impl FnOnce(&mut State, tokio::time::Instant) -> Result<()> + Send,
    ) -> Result<()> {
        id.expect_kind(ResourceKind::Instance)?;
        if !offered!(self, compute, "compute")?.stop_start {
            return Err(Error::unsupported("stopping and starting instances"));
        }
        self.call(operation, Some(&id.region), act).await
    }
}

fn zone_of(state: &State, id: &ResourceId, now: tokio::time::Instant) -> Result<Option<Zone>> {
    Ok(state.get(id, now)?.typed::<Instance>()?.zone)
}

fn boot(extra: &mut Extra) {
    if let Extra::Instance(instance) = extra {
        instance.boots = instance.boots.saturating_add(1);
    }
}

/// An address in `first.0.0.0/8` that counts with the resources.
fn made_up_address(first: u8, number: u64) -> IpAddr {
    let [.., b, c, d] = number.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(first, b, c, d))
}

/// The ports of the spec; a made-up one, different from its neighbours, where the choice is the cloud's.
fn chosen_ports(spec: &InstanceSpec, number: u64) -> BTreeMap<String, u16> {
    let chosen = |(i, (name, port)): (u64, (&String, &u16))| {
        let made_up = 20_000 + u16::try_from((number + i) % 40_000).unwrap_or(0);
        (name.clone(), if *port == 0 { made_up } else { *port })
    };
    (0..).zip(&spec.ports).map(chosen).collect()
}

/// A page of what is known as a whole and does not change; the page token is the number of items before it.
pub(super) fn page_of<T>(all: Vec<T>, page: &PageRequest, size: usize) -> Result<Page<T>> {
    let start = match &page.after {
        None => 0,
        Some(token) => token.as_str().parse::<usize>().map_err(|_| {
            Error::invalid("page token", format_args!("is '{token}'"), "what the page before said")
        })?,
    };
    let total = all.len();
    let end = start.saturating_add(size);
    let items = all.into_iter().skip(start).take(size).collect();
    let next = (end < total).then(|| PageToken::new(end.to_string())).transpose()?;
    Ok(Page { items, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_list_end_exactly() {
        let page = |after: Option<&str>| PageRequest {
            size: None,
            after: after.map(|t| PageToken::new(t).unwrap()),
        };
        let first = page_of(vec![1, 2, 3, 4], &page(None), 2).unwrap();
        assert_eq!((first.items, first.next.clone().unwrap().as_str()), (vec![1, 2], "2"));
        let second = page_of(vec![1, 2, 3, 4], &page(Some("2")), 2).unwrap();
        assert_eq!((second.items, second.next), (vec![3, 4], None));
        assert!(page_of(vec![1], &page(Some("x")), 2).is_err());
    }
}
