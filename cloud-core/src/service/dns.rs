//! `Dns`: zones, their record sets, and the health checks that these depend on.

use std::{fmt, fmt::Debug};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{HealthCheck, HealthCheckSpec, compute::check_range, listings};
use crate::{
    ClientToken, Error, ListQuery, Page, PageRequest, Region, ResourceId, ResourceKind,
    ResourceStatus, Result, Tags, resource::view, text::check_text,
};

/// A request for a zone.
///
/// ```
/// use cloud_core::{Region, ZoneSpec};
/// let spec = ZoneSpec::new("example.com", Region::new("global").unwrap());
/// assert!(spec.validate().is_ok());
/// assert!(ZoneSpec::new("exa mple.com", Region::new("global").unwrap()).validate().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneSpec {
    /// The domain, without a final dot.
    pub name: String,
    /// Where it is kept; most providers have one place, `global`.
    pub region: Region,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

impl ZoneSpec {
    /// A zone without tags.
    pub fn new(name: impl Into<String>, region: Region) -> Self {
        Self { name: name.into(), region, tags: Tags::default() }
    }

    /// Refuses what is not a domain name (RFC 1035, with `_` allowed).
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        check_domain("zone name", &self.name)
    }
}

pub(super) fn check_domain(field: &str, name: &str) -> Result<()> {
    check_text(field, name, 253)?;
    let good = name.split('.').enumerate().all(|(i, label)| {
        let word = label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        let wildcard = i == 0 && label == "*";
        let ends = !label.starts_with('-') && !label.ends_with('-');
        (1..=63).contains(&label.len()) && ((word && ends) || wildcard)
    });
    if good {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        format_args!("is '{name}'"),
        "labels of 1 to 63 ASCII letters, digits, '-' and '_', joined by dots",
    ))
}

/// A zone, as its cloud reports it.
///
/// ```
/// # use cloud_core::DnsZone;
/// fn servers(zone: &DnsZone) -> &[String] { &zone.name_servers }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DnsZone {
    /// Its id in the cloud.
    pub id: ResourceId,
    /// The domain.
    pub name: String,
    /// Its state.
    pub status: ResourceStatus,
    /// The servers to delegate to.
    pub name_servers: Vec<String>,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// A type of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum RecordType {
    /// IPv4 address.
    A,
    /// IPv6 address.
    Aaaa,
    /// Canonical name.
    Cname,
    /// Mail exchanger.
    Mx,
    /// Text.
    Txt,
    /// Service location.
    Srv,
    /// Name server.
    Ns,
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_uppercase())
    }
}

/// How one of several record sets of one name is chosen.
///
/// ```
/// assert_eq!(cloud_core::Routing::default(), cloud_core::Routing::Simple);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Routing {
    /// There is only one.
    #[default]
    Simple,
    /// In proportion to its weight among those of its name.
    Weighted {
        /// Tells the sets of one name apart.
        id: String,
        /// 0 to 255; 0 is never chosen unless all are 0.
        weight: u8,
    },
    /// The primary while it is healthy, else the stand-by.
    Failover {
        /// Tells the sets of one name apart.
        id: String,
        /// Whether this is the primary.
        primary: bool,
    },
    /// The one with the least latency to the asker.
    Latency {
        /// Tells the sets of one name apart.
        id: String,
        /// The region that latency is measured to.
        region: Region,
    },
    /// The one nearest to the asker.
    Geoproximity {
        /// Tells the sets of one name apart.
        id: String,
        /// The region that distance is measured to.
        region: Region,
        /// -99 to 99: how much the area that it answers for is grown or, if negative, shrunk.
        #[serde(default)]
        bias: i8,
    },
}

impl Routing {
    /// What tells the sets of one name apart; `None` for [`Simple`](Self::Simple).
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Simple => None,
            Self::Weighted { id, .. }
            | Self::Failover { id, .. }
            | Self::Latency { id, .. }
            | Self::Geoproximity { id, .. } => Some(id),
        }
    }

    fn validate(&self) -> Result<()> {
        if let Some(id) = self.id() {
            check_text("routing id", id, 128)?;
        }
        match self {
            Self::Geoproximity { bias, .. } if !(-99..=99).contains(bias) => {
                Err(Error::invalid("bias", format_args!("is {bias}"), "-99 to 99"))
            }
            _ => Ok(()),
        }
    }
}

/// All records of one name and type (and routing id): what DNS answers as one.
///
/// ```
/// use cloud_core::{RecordSet, RecordType};
/// let set = RecordSet::new("www.example.com", RecordType::A, ["192.0.2.1"]);
/// assert_eq!(set.ttl_seconds, 300);
/// assert!(set.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordSet {
    /// The full name, without a final dot.
    pub name: String,
    /// The type.
    pub record_type: RecordType,
    /// How long resolvers may keep it.
    pub ttl_seconds: u32,
    /// The values, in zone-file notation.
    pub values: Vec<String>,
    /// How it is chosen.
    #[serde(default)]
    pub routing: Routing,
    /// What tells whether it is healthy; one that is not is left out of the choice. `None` counts as healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<ResourceId>,
}

impl RecordSet {
    /// A simple record set with a time to live of 300 s.
    pub fn new<V: Into<String>>(
        name: impl Into<String>,
        record_type: RecordType,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        Self {
            name: name.into(),
            record_type,
            ttl_seconds: 300,
            values: values.into_iter().map(Into::into).collect(),
            routing: Routing::Simple,
            health_check: None,
        }
    }

    /// Refuses what no cloud accepts.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        check_domain("record name", &self.name)?;
        check_range("ttl_seconds", u64::from(self.ttl_seconds), 0, 2_147_483_647)?;
        if self.values.is_empty() {
            return Err(Error::invalid("values", "is empty", "at least one value"));
        }
        self.values.iter().try_for_each(|v| check_text("values", v, 4000))?;
        self.routing.validate()?;
        match &self.health_check {
            Some(check) => check.expect_kind(ResourceKind::HealthCheck),
            None => Ok(()),
        }
    }

    /// Whether both are about the same name, type and routing id: one replaces the other.
    pub fn same_key(&self, other: &Self) -> bool {
        self.name == other.name
            && self.record_type == other.record_type
            && self.routing.id() == other.routing.id()
    }
}

/// DNS zones, their records, and health checks. See [the rules that all services share](crate::service).
///
/// ```
/// # use cloud_core::{Dns, RecordSet, RecordType, ResourceId, Result};
/// async fn point_at(dns: &dyn Dns, zone: &ResourceId, address: &str) -> Result<()> {
///     dns.set_record(zone, &RecordSet::new("www.example.com", RecordType::A, [address])).await
/// }
/// ```
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Dns: Debug + Send + Sync {
    /// Creates a zone.
    ///
    /// # Errors
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) where the names of zones are unique, or any.
    async fn create_zone(&self, spec: &ZoneSpec, token: &ClientToken) -> Result<DnsZone>;

    /// One zone.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), or any.
    async fn get_zone(&self, id: &ResourceId) -> Result<DnsZone>;

    /// One page of the zones. See [`DnsExt::list_zones`].
    ///
    /// # Errors
    /// Any.
    async fn list_zones_page(&self, query: &ListQuery, page: &PageRequest)
    -> Result<Page<DnsZone>>;

    /// Deletes a zone and its records. `true` if it was there.
    ///
    /// # Errors
    /// Any.
    async fn delete_zone(&self, id: &ResourceId) -> Result<bool>;

    /// Makes a record set what it is given as, whether or not there was one. May be repeated.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for the zone or the health check,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for its routing, or any.
    async fn set_record(&self, zone: &ResourceId, record: &RecordSet) -> Result<()>;

    /// One page of the record sets of a zone. See [`DnsExt::list_records`].
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for the zone, or any.
    async fn list_records_page(
        &self,
        zone: &ResourceId,
        page: &PageRequest,
    ) -> Result<Page<RecordSet>>;

    /// Deletes the record set with the same name, type and routing id. `true` if it was there.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for the zone, or any.
    async fn delete_record(&self, zone: &ResourceId, record: &RecordSet) -> Result<bool>;

    /// Creates a health check.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported), also for an interval that the provider does not offer;
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists), or any.
    async fn create_health_check(
        &self,
        spec: &HealthCheckSpec,
        token: &ClientToken,
    ) -> Result<HealthCheck> {
        let _ = (spec, token);
        Err(Error::unsupported("health checks"))
    }

    /// One health check.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported), [`NotFound`](crate::ErrorKind::NotFound), or any.
    async fn get_health_check(&self, id: &ResourceId) -> Result<HealthCheck> {
        let _ = id;
        Err(Error::unsupported("health checks"))
    }

    /// One page of the health checks. See [`DnsExt::list_health_checks`].
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported), or any.
    async fn list_health_checks_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<HealthCheck>> {
        let _ = (query, page);
        Err(Error::unsupported("health checks"))
    }

    /// Deletes a health check. `true` if it was there.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported), [`Conflict`](crate::ErrorKind::Conflict) while a record
    /// uses it where the provider refuses that, or any.
    async fn delete_health_check(&self, id: &ResourceId) -> Result<bool> {
        let _ = id;
        Err(Error::unsupported("health checks"))
    }
}

view!(DnsZone);

listings! {
    /// Sugar over [`Dns`].
    DnsExt: Dns {
        /// The zones that match.
        list_zones by list_zones_page(ListQuery) -> DnsZone;
        /// The record sets of a zone.
        list_records by list_records_page(ResourceId) -> RecordSet;
        /// The health checks that match.
        list_health_checks by list_health_checks_page(ListQuery) -> HealthCheck;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routed(routing: Routing) -> RecordSet {
        RecordSet { routing, ..RecordSet::new("www.example.com", RecordType::A, ["192.0.2.1"]) }
    }

    fn near(bias: i8) -> RecordSet {
        let region = Region::new("eu-1").unwrap();
        routed(Routing::Geoproximity { id: "a".into(), region, bias })
    }

    #[test]
    fn a_bias_has_its_range() {
        for bias in [-99, 0, 99] {
            near(bias).validate().unwrap();
        }
        for bias in [-128, -100, 100, 127] {
            let error = near(bias).validate().unwrap_err().to_string();
            assert!(error.contains(&format!("bias is {bias}; accepted: -99 to 99")), "{error}");
        }
    }

    #[test]
    fn a_routing_id_is_a_text() {
        let routed = |id: &str| routed(Routing::Failover { id: id.into(), primary: true });
        assert!(routed("a").validate().is_ok());
        assert!(routed("").validate().is_err() && routed(&"a".repeat(129)).validate().is_err());
    }

    #[test]
    fn a_record_depends_on_a_health_check_and_nothing_else() {
        let mut record = near(0);
        let plain = serde_json::to_value(&record).unwrap();
        assert!(plain.get("health_check").is_none());
        record.health_check = Some("health_check/global/h-1".parse().unwrap());
        record.validate().unwrap();
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<RecordSet>(&text).unwrap(), record);
        record.health_check = Some("dns_zone/global/z-1".parse().unwrap());
        assert!(record.validate().unwrap_err().to_string().contains("the id of a health_check"));
    }
}
