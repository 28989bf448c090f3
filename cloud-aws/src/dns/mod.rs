//! DNS on Route 53: zones, records and health checks, all in the one place that it has.

use std::sync::Arc;

use async_trait::async_trait;
use cloud_core::{
    ClientToken, Dns, DnsCapabilities, DnsZone, Error, HealthCheck, HealthCheckSpec, ListQuery,
    Page, PageRequest, RecordSet, Region, ResourceId, ResourceKind, Result, Tags, WaitOptions,
    ZoneSpec, wait_until,
};

use crate::{
    account::{Account, GLOBAL},
    error::reads,
    names,
};

mod health_checks;
mod notation;
mod records;
mod tagging;
mod zones;

pub use health_checks::AwsHealthCheck;
pub use records::{AwsAlias, AwsChange};
pub use zones::AwsVpc;

/// [`Dns`] on Route 53, and what only it has: private zones, alias records, changes of several records at once.
///
/// Route 53 has one place: zones and health checks are in the region `global`, and listings of other regions are
/// empty. It takes five requests a second of an account
/// ([Limits](https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html)), so the pages of its
/// listings have ten items at most, and put a rate limit in front of it where much is to be done.
///
/// Neither zones nor health checks take tags when they are created: they are set right after it. Which create made
/// something is therefore written in its caller reference; a create that was broken off in between leaves something
/// without tags, and its repetition completes it. Both may have ten tags, of which a health check's name is one.
///
/// ```no_run
/// # use cloud_core::{RecordSet, RecordType, ResourceId, Result, WaitOptions};
/// # use cloud_aws::AwsCloud;
/// async fn point_at(cloud: &AwsCloud, zone: &ResourceId, address: &str) -> Result<()> {
///     let dns = cloud.aws_dns();
///     let record = RecordSet::new("www.example.com", RecordType::A, [address]);
///     let change = dns.set_records(zone, &[record]).await?;
///     dns.wait_in_sync(&change, &WaitOptions::default()).await
/// }
/// ```
#[derive(Clone, Debug)]
pub struct AwsDns {
    account: Arc<Account>,
}

impl AwsDns {
    pub(crate) fn new(account: &Arc<Account>) -> Self {
        Self { account: account.clone() }
    }

    pub(crate) fn capabilities(&self) -> DnsCapabilities {
        DnsCapabilities {
            // Route 53 allows a second; this adapter refuses it, so that a name means one zone.
            unique_names: true,
            names: names::TAGGED,
            weighted: true,
            failover: true,
            latency: true,
            geoproximity: true,
            health_checks: true,
        }
    }

    /// Waits until all name servers answer by a change.
    ///
    /// # Errors
    /// [`Timeout`](cloud_core::ErrorKind::Timeout) after the deadline, [`NotFound`](cloud_core::ErrorKind::NotFound)
    /// for a change that is long over, or any.
    pub async fn wait_in_sync(&self, change: &AwsChange, options: &WaitOptions) -> Result<()> {
        use aws_sdk_route53::types::ChangeStatus;
        let client = self.client()?;
        wait_until("all name servers to know the change", options, || async {
            let asked =
                client.get_change().id(&change.id).send().await.map_err(reads("route53"))?;
            let status = asked.change_info.map(|info| info.status);
            Ok((status == Some(ChangeStatus::Insync)).then_some(()))
        })
        .await
        .map_err(self.account.in_call("dns.wait_in_sync"))
    }

    fn client(&self) -> Result<aws_sdk_route53::Client> {
        self.account.route53(&global()?)
    }

    /// The places to list: the one place, unless the query is about another region.
    fn places(&self, query: &ListQuery) -> Result<Vec<Region>> {
        match &query.region {
            Some(region) if region.as_str() != GLOBAL => {
                self.account.check_region(region)?;
                Ok(Vec::new())
            }
            _ => Ok(vec![global()?]),
        }
    }
}

/// The one place of Route 53.
fn global() -> Result<Region> {
    Region::new(GLOBAL)
}

fn check_global(region: &Region) -> Result<()> {
    match region.as_str() == GLOBAL {
        true => Ok(()),
        false => Err(Error::invalid(
            "region",
            format_args!("is '{region}'"),
            format_args!("'{GLOBAL}', the one place of Route 53"),
        )),
    }
}

/// AWS's id of a zone or health check. What has not the form of one is not there.
fn native(id: &ResourceId, kind: ResourceKind) -> Result<&str> {
    id.expect_kind(kind)?;
    let native = id.native();
    let good = id.region.as_str() == GLOBAL
        && native.len() <= 64
        && native.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    match good {
        true => Ok(native),
        false => Err(Error::not_found(id)),
    }
}

/// Refuses more tags than Route 53 has for a zone or health check
/// ([ChangeTagsForResource](https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeTagsForResource.html)).
fn check_tags(tags: &Tags, most: usize) -> Result<()> {
    crate::tags::check(tags)?;
    match tags.len() > most {
        true => {
            let rule = format!("at most {most} here: Route 53 has 10 for each resource");
            Err(Error::invalid("tags", format_args!("has {}", tags.len()), rule))
        }
        false => Ok(()),
    }
}

/// What was deleted before is no error of a delete.
fn deleted(answer: Result<()>) -> Result<bool> {
    match answer {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == cloud_core::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[async_trait]
impl Dns for AwsDns {
    async fn create_zone(&self, spec: &ZoneSpec, token: &ClientToken) -> Result<DnsZone> {
        self.make_zone(spec, None, token).await.map_err(self.account.in_call("dns.create_zone"))
    }

    async fn get_zone(&self, id: &ResourceId) -> Result<DnsZone> {
        self.zone(id).await.map_err(self.account.in_call("dns.get_zone"))
    }

    async fn list_zones_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<DnsZone>> {
        self.zones(query, page).await.map_err(self.account.in_call("dns.list_zones"))
    }

    async fn delete_zone(&self, id: &ResourceId) -> Result<bool> {
        let done = self.remove_zone(id).await;
        deleted(done).map_err(self.account.in_call("dns.delete_zone"))
    }

    async fn set_record(&self, zone: &ResourceId, record: &RecordSet) -> Result<()> {
        let done = self.upsert(zone, std::slice::from_ref(record)).await;
        done.map(drop).map_err(self.account.in_call("dns.set_record"))
    }

    async fn list_records_page(
        &self,
        zone: &ResourceId,
        page: &PageRequest,
    ) -> Result<Page<RecordSet>> {
        self.records(zone, page).await.map_err(self.account.in_call("dns.list_records"))
    }

    async fn delete_record(&self, zone: &ResourceId, record: &RecordSet) -> Result<bool> {
        let done = self.remove_record(zone, record).await;
        done.map_err(self.account.in_call("dns.delete_record"))
    }

    async fn create_health_check(
        &self,
        spec: &HealthCheckSpec,
        token: &ClientToken,
    ) -> Result<HealthCheck> {
        let made = self.make_health_check(spec, token).await;
        made.map_err(self.account.in_call("dns.create_health_check"))
    }

    async fn get_health_check(&self, id: &ResourceId) -> Result<HealthCheck> {
        self.health_check(id).await.map_err(self.account.in_call("dns.get_health_check"))
    }

    async fn list_health_checks_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<HealthCheck>> {
        let listed = self.health_checks(query, page).await;
        listed.map_err(self.account.in_call("dns.list_health_checks"))
    }

    /// Deletes a health check, also one that records depend on: Route 53 does not refuse that, and how it answers
    /// for such records from then on cannot be foretold
    /// ([DeleteHealthCheck](https://docs.aws.amazon.com/Route53/latest/APIReference/API_DeleteHealthCheck.html)).
    async fn delete_health_check(&self, id: &ResourceId) -> Result<bool> {
        let done = self.remove_health_check(id).await;
        deleted(done).map_err(self.account.in_call("dns.delete_health_check"))
    }
}
