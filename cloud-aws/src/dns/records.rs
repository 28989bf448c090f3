//! Record sets: set, listed, deleted; aliases apart, as only Route 53 has them.

use aws_sdk_route53::types::{
    AliasTarget, Change, ChangeAction, ChangeBatch, GeoProximityLocation, ResourceRecord,
    ResourceRecordSet, ResourceRecordSetFailover, ResourceRecordSetRegion, RrType,
};
use cloud_core::{
    Effect, Error, ErrorKind, Page, PageRequest, PageToken, RecordSet, RecordType, Region,
    ResourceId, ResourceKind, Result, Retry, Routing,
};
use serde::{Deserialize, Serialize};

use super::{AwsDns, global, native, notation, zones::bare};
use crate::{
    error::{absent, has_code, reads, unbuilt, writes},
    listing,
};

/// The most record sets on a page, and the most changes, records and characters of values in one request
/// ([Limits](https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html#limits-api-requests-changeresourcerecordsets)).
const PAGE: i32 = 300;
const MOST_RECORDS: usize = 1000;
const MOST_CHARACTERS: usize = 32_000;

/// A change that was accepted; [`AwsDns::wait_in_sync`] waits until all name servers know it.
///
/// ```
/// fn to_the_log(change: &cloud_aws::AwsChange) -> String { format!("change {} is under way", change.id) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AwsChange {
    /// Its id in AWS.
    pub id: String,
}

/// A record set that answers with what another name has: a load balancer, a bucket's website, another record. Free of
/// charge where it points to AWS, and possible at the top of a zone
/// ([Alias records](https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-choosing-alias-non-alias.html)).
///
/// ```
/// # use cloud_core::{RecordType, Routing};
/// let alias = cloud_aws::AwsAlias {
///     name: "example.com".into(),
///     record_type: RecordType::A,
///     target: "web-1.eu-central-1.elb.amazonaws.com".into(),
///     target_zone: "Z215JYRZR1TBD5".into(),
///     evaluate_target_health: true,
///     routing: Routing::Simple,
/// };
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsAlias {
    /// The full name, without a final dot.
    pub name: String,
    /// The type.
    pub record_type: RecordType,
    /// The name that it answers for.
    pub target: String,
    /// AWS's id of the zone that has the target: that of the load balancer's or bucket's region, or of the zone itself.
    pub target_zone: String,
    /// Whether it counts as healthy only while its target does.
    #[serde(default)]
    pub evaluate_target_health: bool,
    /// How it is chosen.
    #[serde(default)]
    pub routing: Routing,
}

/// Where a listing of records goes on. After a page that was cut, Route 53 begins with the first that it did not give.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursor {
    name: String,
    r#type: String,
    id: Option<String>,
}

impl AwsDns {
    /// Sets several record sets at once: all of them or none.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for the zone or a health check,
    /// [`InvalidInput`](ErrorKind::InvalidInput) for more than Route 53 changes at once, or any.
    ///
    /// ```no_run
    /// # use cloud_core::{RecordSet, RecordType, ResourceId, Result};
    /// # use cloud_aws::{AwsChange, AwsCloud};
    /// async fn both(cloud: &AwsCloud, zone: &ResourceId) -> Result<AwsChange> {
    ///     let v4 = RecordSet::new("www.example.com", RecordType::A, ["192.0.2.1"]);
    ///     let v6 = RecordSet::new("www.example.com", RecordType::Aaaa, ["2001:db8::1"]);
    ///     cloud.aws_dns().set_records(zone, &[v4, v6]).await
    /// }
    /// ```
    pub async fn set_records(&self, zone: &ResourceId, records: &[RecordSet]) -> Result<AwsChange> {
        self.upsert(zone, records).await.map_err(self.account.in_call("dns.set_records"))
    }

    /// Makes a record set an alias. [`delete_record`](cloud_core::Dns::delete_record) deletes it like any other.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for the zone, or any.
    ///
    /// ```no_run
    /// # use cloud_core::{ResourceId, Result, WaitOptions};
    /// # use cloud_aws::{AwsAlias, AwsCloud};
    /// async fn point_at(cloud: &AwsCloud, zone: &ResourceId, alias: &AwsAlias) -> Result<()> {
    ///     let dns = cloud.aws_dns();
    ///     let change = dns.set_alias(zone, alias).await?;
    ///     dns.wait_in_sync(&change, &WaitOptions::default()).await
    /// }
    /// ```
    pub async fn set_alias(&self, zone: &ResourceId, alias: &AwsAlias) -> Result<AwsChange> {
        let set = async {
            // Its name and routing have the same rules.
            let record = RecordSet {
                routing: alias.routing.clone(),
                ..RecordSet::new(&alias.name, alias.record_type, [&alias.target])
            };
            record.validate()?;
            let target = AliasTarget::builder()
                .dns_name(&alias.target)
                .hosted_zone_id(&alias.target_zone)
                .evaluate_target_health(alias.evaluate_target_health)
                .build()
                .map_err(unbuilt)?;
            let mut native = write(&record)?;
            (native.ttl, native.resource_records) = (None, None);
            native.alias_target = Some(target);
            let changes = vec![change(ChangeAction::Upsert, native)?];
            self.change(super::native(zone, ResourceKind::DnsZone)?, changes).await
        };
        set.await.map_err(self.account.in_call("dns.set_alias"))
    }

    /// All aliases of a zone.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for the zone, or any.
    ///
    /// ```no_run
    /// # use cloud_core::{ResourceId, Result};
    /// # use cloud_aws::AwsCloud;
    /// async fn targets(cloud: &AwsCloud, zone: &ResourceId) -> Result<Vec<String>> {
    ///     let aliases = cloud.aws_dns().list_aliases(zone).await?;
    ///     Ok(aliases.into_iter().map(|alias| alias.target).collect())
    /// }
    /// ```
    pub async fn list_aliases(&self, zone: &ResourceId) -> Result<Vec<AwsAlias>> {
        let listed = async {
            let zone = native(zone, ResourceKind::DnsZone)?;
            let (mut all, mut after) = (Vec::new(), None);
            loop {
                let (sets, next) = self.native_records(zone, PAGE, after).await?;
                all.extend(sets.iter().filter_map(read_alias));
                match next {
                    Some(next) => after = Some(next),
                    None => return Ok(all),
                }
            }
        };
        listed.await.map_err(self.account.in_call("dns.list_aliases"))
    }

    pub(super) async fn upsert(
        &self,
        zone: &ResourceId,
        records: &[RecordSet],
    ) -> Result<AwsChange> {
        let zone = native(zone, ResourceKind::DnsZone)?;
        if records.is_empty() {
            return Err(Error::invalid("records", "is empty", "at least one"));
        }
        let mut changes = Vec::with_capacity(records.len());
        for record in records {
            record.validate()?;
            changes.push(change(ChangeAction::Upsert, write(record)?)?);
        }
        // One that replaces another counts twice.
        if 2 * changes.iter().map(weight).sum::<usize>() > MOST_RECORDS {
            let rule = format!("at most {} values at once", MOST_RECORDS / 2);
            return Err(Error::invalid("records", "are too many", rule));
        }
        self.change(zone, changes).await
    }

    /// One request: all changes or none.
    async fn change(&self, zone: &str, changes: Vec<Change>) -> Result<AwsChange> {
        let batch = ChangeBatch::builder().set_changes(Some(changes)).build().map_err(unbuilt)?;
        let request = self.client()?.change_resource_record_sets().hosted_zone_id(zone);
        let answer = request.change_batch(batch).send().await.map_err(writes("route53"))?;
        let info = answer.change_info.ok_or_else(|| absent("change"))?;
        Ok(AwsChange { id: bare(&info.id).to_owned() })
    }

    /// One page of the record sets that the portable form can say. Left out are aliases ([`AwsDns::list_aliases`]), and the
    /// types and routings that it does not have.
    pub(super) async fn records(
        &self,
        zone: &ResourceId,
        page: &PageRequest,
    ) -> Result<Page<RecordSet>> {
        let zone = native(zone, ResourceKind::DnsZone)?;
        listing::page_size(page)?;
        let after = page.after.as_ref().map(|after| {
            serde_json::from_str(after.as_str()).map_err(|_| {
                Error::invalid(
                    "page token",
                    format_args!("is '{after}'"),
                    "what the page before returned",
                )
            })
        });
        let size = listing::native_size(page, 1, PAGE);
        let (sets, next) = self.native_records(zone, size, after.transpose()?).await?;
        let items: Vec<_> = sets.iter().map(read).collect::<Result<Vec<_>>>()?;
        let next = next.map(|next| {
            let text = serde_json::to_string(&next)
                .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
            PageToken::new(text)
        });
        Ok(Page { items: items.into_iter().flatten().collect(), next: next.transpose()? })
    }

    async fn native_records(
        &self,
        zone: &str,
        size: i32,
        after: Option<Cursor>,
    ) -> Result<(Vec<ResourceRecordSet>, Option<Cursor>)> {
        let request =
            self.client()?.list_resource_record_sets().hosted_zone_id(zone).max_items(size);
        let request = match after {
            None => request,
            Some(after) => request
                .start_record_name(after.name)
                .start_record_type(RrType::from(after.r#type.as_str()))
                .set_start_record_identifier(after.id),
        };
        let answer = request.send().await.map_err(reads("route53"))?;
        let next = match (answer.is_truncated, answer.next_record_name, answer.next_record_type) {
            (true, Some(name), Some(kind)) => Some(Cursor {
                name,
                r#type: kind.as_str().to_owned(),
                id: answer.next_record_identifier,
            }),
            _ => None,
        };
        Ok((answer.resource_record_sets, next))
    }

    /// Route 53 deletes what is described exactly, so the record set is read first.
    pub(super) async fn remove_record(
        &self,
        zone: &ResourceId,
        record: &RecordSet,
    ) -> Result<bool> {
        let zone = native(zone, ResourceKind::DnsZone)?;
        record.validate()?;
        let Some(found) = self.find_record(zone, record).await? else {
            return Ok(false);
        };
        match self.change(zone, vec![change(ChangeAction::Delete, found.clone())?]).await {
            Ok(_) => Ok(true),
            // It was changed or deleted since it was read.
            Err(error) if has_code(&error, &["InvalidChangeBatch", "InvalidInput"]) => {
                match self.find_record(zone, record).await? {
                    None => Ok(false),
                    Some(now) if now != found => {
                        Err(Error::new(ErrorKind::Conflict, "the record was changed meanwhile")
                            .with_retry(Retry::Backoff))
                    }
                    Some(_) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn find_record(
        &self,
        zone: &str,
        record: &RecordSet,
    ) -> Result<Option<ResourceRecordSet>> {
        let wanted = notation::name(&record.name);
        let kind = RrType::from(record.record_type.to_string().as_str());
        let is_near = |name: &str, t: &RrType| notation::name(name) == wanted && *t == kind;
        let mut after = Some(Cursor {
            name: wanted.clone(),
            r#type: kind.as_str().to_owned(),
            id: record.routing.id().map(str::to_owned),
        });
        loop {
            let (sets, next) = self.native_records(zone, PAGE, after).await?;
            let found = sets.into_iter().find(|set| {
                is_near(&set.name, &set.r#type)
                    && set.set_identifier.as_deref() == record.routing.id()
            });
            let next = next.filter(|next| is_near(&next.name, &RrType::from(next.r#type.as_str())));
            match (found, next) {
                (None, Some(next)) => after = Some(next),
                (found, _) => return Ok(found),
            }
        }
    }

    /// Deletes all record sets of a zone but those that it cannot be without. Answers whether there were any.
    pub(super) async fn remove_all_records(&self, zone: &str, apex: &str) -> Result<bool> {
        let mut some = false;
        loop {
            // What was deleted is not there any more, so it is always the first page.
            let (sets, _) = self.native_records(zone, PAGE, None).await?;
            let own = |set: &ResourceRecordSet| {
                matches!(set.r#type, RrType::Ns | RrType::Soa) && notation::name(&set.name) == apex
            };
            let changes: Result<Vec<_>> = sets
                .into_iter()
                .filter(|set| !own(set))
                .map(|set| change(ChangeAction::Delete, set))
                .collect();
            let changes = changes?;
            if changes.is_empty() {
                return Ok(some);
            }
            for batch in batches(changes) {
                self.change(zone, batch).await.map_err(|error| match some {
                    true => error.with_effect(Effect::Unknown),
                    false => error,
                })?;
                some = true;
            }
        }
    }
}

fn change(action: ChangeAction, set: ResourceRecordSet) -> Result<Change> {
    Change::builder().action(action).resource_record_set(set).build().map_err(unbuilt)
}

fn values(change: &Change) -> &[ResourceRecord] {
    change.resource_record_set.as_ref().map_or(&[], |set| set.resource_records())
}

/// For how many a change counts against what one request may have.
fn weight(change: &Change) -> usize {
    values(change).len().max(1)
}

/// The changes in requests that Route 53 takes.
fn batches(changes: Vec<Change>) -> Vec<Vec<Change>> {
    let mut batches: Vec<Vec<Change>> = Vec::new();
    let (mut records, mut characters) = (0, 0);
    for change in changes {
        let length: usize = values(&change).iter().map(|record| record.value.len()).sum();
        records += weight(&change);
        characters += length;
        match batches.last_mut() {
            Some(batch) if records <= MOST_RECORDS && characters <= MOST_CHARACTERS => {
                batch.push(change);
            }
            _ => {
                (records, characters) = (weight(&change), length);
                batches.push(vec![change]);
            }
        }
    }
    batches
}

/// A record set as Route 53 takes it.
fn write(record: &RecordSet) -> Result<ResourceRecordSet> {
    let values = record.values.iter().map(|value| {
        let value = match record.record_type {
            RecordType::Txt => notation::quote(value),
            _ => value.clone(),
        };
        ResourceRecord::builder().value(value).build().map_err(unbuilt)
    });
    let set = ResourceRecordSet::builder()
        .name(&record.name)
        .r#type(RrType::from(record.record_type.to_string().as_str()))
        .ttl(i64::from(record.ttl_seconds))
        .set_resource_records(Some(values.collect::<Result<_>>()?))
        .set_set_identifier(record.routing.id().map(str::to_owned));
    let set = match &record.routing {
        Routing::Simple => set,
        Routing::Weighted { weight, .. } => set.weight(i64::from(*weight)),
        Routing::Failover { primary: true, .. } => set.failover(ResourceRecordSetFailover::Primary),
        Routing::Failover { .. } => set.failover(ResourceRecordSetFailover::Secondary),
        Routing::Latency { region, .. } => {
            set.region(ResourceRecordSetRegion::from(region.as_str()))
        }
        Routing::Geoproximity { region, bias, .. } => set.geo_proximity_location(
            GeoProximityLocation::builder()
                .aws_region(region.as_str())
                .bias(i32::from(*bias))
                .build(),
        ),
        other => return Err(Error::unsupported(format_args!("the routing {other:?}"))),
    };
    let set = match &record.health_check {
        Some(check) => set.health_check_id(native(check, ResourceKind::HealthCheck)?),
        None => set,
    };
    set.build().map_err(unbuilt)
}

/// How a record set is chosen; `None` for a way that the portable form does not have.
fn read_routing(set: &ResourceRecordSet) -> Option<Routing> {
    let Some(id) = set.set_identifier.clone() else {
        return Some(Routing::Simple);
    };
    if let Some(weight) = set.weight {
        return Some(Routing::Weighted { id, weight: u8::try_from(weight).ok()? });
    }
    if let Some(failover) = &set.failover {
        return Some(Routing::Failover {
            id,
            primary: *failover == ResourceRecordSetFailover::Primary,
        });
    }
    if let Some(region) = &set.region {
        return Some(Routing::Latency { id, region: Region::new(region.as_str()).ok()? });
    }
    let place = set.geo_proximity_location.as_ref()?;
    let region = Region::new(place.aws_region.as_deref()?).ok()?;
    Some(Routing::Geoproximity { id, region, bias: i8::try_from(place.bias.unwrap_or(0)).ok()? })
}

fn read_type(set: &ResourceRecordSet) -> Option<RecordType> {
    serde_json::from_value(serde_json::Value::from(set.r#type.as_str())).ok()
}

/// A record set of Route 53; `None` for one that the portable form cannot say.
fn read(set: &ResourceRecordSet) -> Result<Option<RecordSet>> {
    let (Some(record_type), Some(routing)) = (read_type(set), read_routing(set)) else {
        return Ok(None);
    };
    if set.alias_target.is_some() || set.resource_records().is_empty() {
        return Ok(None);
    }
    let value = |record: &ResourceRecord| match record_type {
        RecordType::Txt => notation::unquote(&record.value).unwrap_or_else(|| record.value.clone()),
        _ => record.value.clone(),
    };
    let check = set.health_check_id.as_deref();
    let check = check.map(|id| listing::id(ResourceKind::HealthCheck, &global()?, id));
    Ok(Some(RecordSet {
        name: notation::name(&set.name),
        record_type,
        ttl_seconds: set.ttl.and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(0),
        values: set.resource_records().iter().map(value).collect(),
        routing,
        health_check: check.transpose()?,
    }))
}

fn read_alias(set: &ResourceRecordSet) -> Option<AwsAlias> {
    let target = set.alias_target.as_ref()?;
    Some(AwsAlias {
        name: notation::name(&set.name),
        record_type: read_type(set)?,
        target: notation::name(&target.dns_name),
        target_zone: target.hosted_zone_id.clone(),
        evaluate_target_health: target.evaluate_target_health,
        routing: read_routing(set)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn routing() -> impl Strategy<Value = Routing> {
        let id = "[a-z0-9]{1,20}";
        let region = || "[a-z]{2}-[a-z]{4,9}-[1-9]".prop_map(|r| Region::new(r).unwrap());
        prop_oneof![
            Just(Routing::Simple),
            (id, any::<u8>()).prop_map(|(id, weight)| Routing::Weighted { id, weight }),
            (id, any::<bool>()).prop_map(|(id, primary)| Routing::Failover { id, primary }),
            (id, region()).prop_map(|(id, region)| Routing::Latency { id, region }),
            (id, region(), -99i8..=99).prop_map(|(id, region, bias)| Routing::Geoproximity {
                id,
                region,
                bias
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_record_set_is_read_as_it_was_written(
            routing in routing(),
            txt in any::<bool>(),
            ttl in 0u32..2_147_483_648,
            values in prop::collection::vec("[a-z0-9 ]{1,300}", 1..4),
            check in prop::option::of("[0-9a-f]{8}-[0-9a-f]{4}"),
        ) {
            let record_type = if txt { RecordType::Txt } else { RecordType::Cname };
            let mut record = RecordSet::new("*.example.com", record_type, values);
            (record.routing, record.ttl_seconds) = (routing, ttl);
            let check = check.map(|id| listing::id(ResourceKind::HealthCheck, &global().unwrap(), &id));
            record.health_check = check.transpose().unwrap();
            let mut native = write(&record).unwrap();
            // As it is answered.
            native.name = "\\052.example.com.".into();
            prop_assert_eq!(read(&native).unwrap(), Some(record));
        }
    }

    #[test]
    fn what_the_portable_form_cannot_say_is_left_out() {
        let set = |kind: &str| {
            ResourceRecordSet::builder().name("example.com.").r#type(RrType::from(kind)).ttl(900)
        };
        let value = ResourceRecord::builder().value("x").build().unwrap();
        assert_eq!(
            read(&set("SOA").resource_records(value.clone()).build().unwrap()).unwrap(),
            None
        );
        assert_eq!(
            read(&set("CAA").resource_records(value.clone()).build().unwrap()).unwrap(),
            None
        );
        let multi = set("A").set_identifier("a").multi_value_answer(true);
        assert_eq!(read(&multi.resource_records(value).build().unwrap()).unwrap(), None);
        let target = AliasTarget::builder().dns_name("LB.example.com.").hosted_zone_id("Z1");
        let target = target.evaluate_target_health(true).build().unwrap();
        let alias = set("A").alias_target(target).build().unwrap();
        assert_eq!(read(&alias).unwrap(), None);
        let alias = read_alias(&alias).unwrap();
        assert_eq!((alias.target.as_str(), alias.target_zone.as_str()), ("lb.example.com", "Z1"));
    }

    #[test]
    fn requests_keep_to_what_one_may_have() {
        let changes = |sets: usize, values: usize, length: usize| {
            let record = RecordSet::new(
                "a.example.com",
                RecordType::Cname,
                vec!["x".repeat(length); values],
            );
            let native = write(&record).unwrap();
            vec![change(ChangeAction::Delete, native).unwrap(); sets]
        };
        let sizes = |changes| batches(changes).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(changes(300, 1, 9)), [300]);
        assert_eq!(sizes(changes(5, 400, 9)), [2, 2, 1]);
        assert_eq!(sizes(changes(3, 1, 20_000)), [1, 1, 1]);
        assert_eq!(sizes(Vec::new()), [0; 0]);
    }
}
