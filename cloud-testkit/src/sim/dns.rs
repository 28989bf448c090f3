//! `Dns` of the simulated cloud: zones and their records. A zone may also be in the region `global`.

use async_trait::async_trait;
use cloud_core::{
    ClientToken, Dns, DnsZone, Error, ErrorKind, ListQuery, Page, PageRequest, RecordSet,
    ResourceId, ResourceKind, ResourceStatus, Result, Routing, ZoneSpec,
};

use super::{
    SimCloud,
    compute::page_of,
    entry::{Draft, Entry, Request},
    extra::Extra,
    offered,
};

const GLOBAL: &str = "global";

fn records<'a>(entry: &'a mut Entry, id: &ResourceId) -> Result<&'a mut Vec<RecordSet>> {
    match &mut entry.extra {
        Extra::Zone(records) => Ok(records),
        _ => Err(Error::not_found(id)),
    }
}

#[async_trait]
impl Dns for SimCloud {
    async fn create_zone(&self, spec: &ZoneSpec, token: &ClientToken) -> Result<DnsZone> {
        offered!(self, dns, "DNS zones")?;
        spec.validate()?;
        if spec.region.as_str() != GLOBAL {
            self.region(&spec.region)?;
        }
        let request = Request {
            region: &spec.region,
            name: &spec.name,
            tags: &spec.tags,
            spec,
            token,
            unique: true,
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
            _ => false,
        };
        if !supported {
            return Err(Error::unsupported("this routing of DNS records"));
        }
        self.call("dns.set_record", Some(&zone.region), |state, now| {
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
}
