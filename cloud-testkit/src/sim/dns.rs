//! `Dns` of the simulated cloud: zones, their records, health checks. Zones and checks may also be in the region `global`.

use async_trait::async_trait;
use cloud_core::{
    ClientToken, Dns, DnsZone, Error, ErrorKind, HealthCheck, HealthCheckSpec, ListQuery, Page,
    PageRequest, RecordSet, Region, ResourceId, ResourceKind, ResourceStatus, Result, Routing,
    ZoneSpec,
};
use tokio::time::Instant;

use super::{
    SimCloud,
    compute::page_of,
    entry::{Draft, Entry, Request},
    extra::Extra,
    offered,
    state::State,
};

const GLOBAL: &str = "global";

fn records<'a>(entry: &'a mut Entry, id: &ResourceId) -> Result<&'a mut Vec<RecordSet>> {
    match &mut entry.extra {
        Extra::Zone(records) => Ok(records),
        _ => Err(Error::not_found(id)),
    }
}

impl SimCloud {
    fn dns_region(&self, region: &Region) -> Result<()> {
        match region.as_str() {
            GLOBAL => Ok(()),
            _ => self.region(region).map(drop),
        }
    }
}

impl State {
    /// Refuses a health check that is not there, or no longer.
    fn living_check(&self, id: &ResourceId, now: Instant) -> Result<()> {
        match self.find(id, now)?.1.status(now).is_gone() {
            true => Err(Error::not_found(id)),
            false => Ok(()),
        }
    }

    /// The record that uses a health check.
    fn user_of(&self, check: &ResourceId, now: Instant) -> Option<&RecordSet> {
        let records = self.living(now).filter_map(|entry| match &entry.extra {
            Extra::Zone(records) => Some(records),
            _ => None,
        });
        records.flatten().find(|record| record.health_check.as_ref() == Some(check))
    }
}

#[async_trait]
impl Dns for SimCloud {
    async fn create_zone(&self, spec: &ZoneSpec, token: &ClientToken) -> Result<DnsZone> {
        let can = offered!(self, dns, "DNS zones")?;
        spec.validate()?;
        self.dns_region(&spec.region)?;
        let request = Request {
            region: &spec.region,
            name: &spec.name,
            tags: &spec.tags,
            spec,
            token,
            unique: can.unique_names,
            needs: Vec::new(),
            vcpu: 0,
        };
        self.create_one("dns.create_zone", request, |_, common| {
            let view = DnsZone {
                id: common.id,
                name: common.name,
                status: ResourceStatus::Creating,
                name_servers: vec!["ns1.sim.invalid".into(), "ns2.sim.invalid".into()],
                tags: common.tags,
                created_at: common.created_at,
            };
            Ok(Draft::new(view, Extra::Zone(Vec::new())))
        })
        .await
    }

    async fn get_zone(&self, id: &ResourceId) -> Result<DnsZone> {
        self.get_one("dns.get_zone", id).await
    }

    async fn list_zones_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<DnsZone>> {
        self.list_page("dns.list_zones", query, page).await
    }

    async fn delete_zone(&self, id: &ResourceId) -> Result<bool> {
        self.delete_one("dns.delete_zone", ResourceKind::DnsZone, id).await
    }

    async fn set_record(&self, zone: &ResourceId, record: &RecordSet) -> Result<()> {
        zone.expect_kind(ResourceKind::DnsZone)?;
        record.validate()?;
        let can = offered!(self, dns, "DNS zones")?;
        let supported = match &record.routing {
            Routing::Simple => true,
            Routing::Weighted { .. } => can.weighted,
            Routing::Failover { .. } => can.failover,
            Routing::Latency { .. } => can.latency,
            Routing::Geoproximity { .. } => can.geoproximity,
            _ => false,
        };
        if !supported {
            return Err(Error::unsupported("this routing of DNS records"));
        }
        if record.health_check.is_some() && !can.health_checks {
            return Err(Error::unsupported("health checks"));
        }
        self.call("dns.set_record", Some(&zone.region), |state, now| {
            if let Some(check) = &record.health_check {
                state.living_check(check, now)?;
            }
            let entry = state.ready(zone, now)?;
            let domain = entry.view.name().to_owned();
            let inside = record.name == domain || record.name.ends_with(&format!(".{domain}"));
            if !inside {
                let problem = format!("is '{}'", record.name);
                return Err(Error::invalid(
                    "record name",
                    problem,
                    format_args!("{domain} or below"),
                ));
            }
            let records = records(entry, zone)?;
            match records.iter_mut().find(|other| other.same_key(record)) {
                Some(other) => *other = record.clone(),
                None => records.push(record.clone()),
            }
            Ok(())
        })
        .await
    }

    async fn list_records_page(
        &self,
        zone: &ResourceId,
        page: &PageRequest,
    ) -> Result<Page<RecordSet>> {
        zone.expect_kind(ResourceKind::DnsZone)?;
        self.call("dns.list_records", Some(&zone.region), |state, now| {
            let size = state.page_size(page)?;
            page_of(records(state.find_mut(zone, now)?, zone)?.clone(), page, size)
        })
        .await
    }

    async fn delete_record(&self, zone: &ResourceId, record: &RecordSet) -> Result<bool> {
        zone.expect_kind(ResourceKind::DnsZone)?;
        self.call("dns.delete_record", Some(&zone.region), |state, now| {
            let entry = state.find_mut(zone, now)?;
            if entry.status(now).is_gone() {
                return Err(Error::new(ErrorKind::Conflict, format!("{zone} is being deleted")));
            }
            let records = records(entry, zone)?;
            let before = records.len();
            records.retain(|other| !other.same_key(record));
            Ok(records.len() < before)
        })
        .await
    }

    async fn create_health_check(
        &self,
        spec: &HealthCheckSpec,
        token: &ClientToken,
    ) -> Result<HealthCheck> {
        spec.check(offered!(self, dns, "health checks")?)?;
        self.dns_region(&spec.region)?;
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
        self.create_one("dns.create_health_check", request, |_, common| {
            let view = HealthCheck {
                id: common.id,
                name: common.name,
                status: ResourceStatus::Creating,
                target: spec.target.clone(),
                port: spec.port,
                protocol: spec.protocol,
                path: spec.path.clone(),
                tags: common.tags,
                created_at: common.created_at,
            };
            Ok(Draft::new(view, Extra::Nothing))
        })
        .await
    }

    async fn get_health_check(&self, id: &ResourceId) -> Result<HealthCheck> {
        self.get_one("dns.get_health_check", id).await
    }

    async fn list_health_checks_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<HealthCheck>> {
        self.list_page("dns.list_health_checks", query, page).await
    }

    async fn delete_health_check(&self, id: &ResourceId) -> Result<bool> {
        id.expect_kind(ResourceKind::HealthCheck)?;
        self.call("dns.delete_health_check", Some(&id.region), |state, now| {
            if let Some(user) = state.user_of(id, now) {
                let message = format!("{id} is in use by the record {}", user.name);
                return Err(Error::new(ErrorKind::Conflict, message).with_resource(id.to_string()));
            }
            state.delete(id, now)
        })
        .await
    }
}
