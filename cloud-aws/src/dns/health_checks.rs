//! Health checks: what Route 53 calls from outside to tell whether a record may be answered.

use std::net::IpAddr;

use aws_sdk_route53::types::{
    HealthCheck as Native, HealthCheckConfig, HealthCheckRegion, HealthCheckType, TagResourceType,
};
use cloud_core::{
    ClientToken, Error, ErrorKind, HealthCheck, HealthCheckSpec, HealthProtocol, ListQuery, Page,
    PageRequest, Provider, ProviderOverrides, Region, ResourceId, ResourceKind, ResourceStatus,
    Result, Tags,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{AwsDns, check_global, check_tags, global, native, tagging};
use crate::{
    error::{absent, reads, unbuilt, writes},
    listing,
    tokens::Request,
};

/// Key of the tag that is a health check's name; AWS's own console shows it as such.
const NAME: &str = "Name";

/// The longest caller reference of a health check.
const REFERENCE: usize = 64;

/// What only Route 53 has of a health check
/// ([HealthCheckConfig](https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html)).
///
/// ```
/// # use cloud_aws::AwsHealthCheck;
/// # use cloud_core::{HealthCheckSpec, HealthProtocol, Region};
/// let global = Region::new("global").unwrap();
/// let mut spec = HealthCheckSpec::new("web", global, HealthProtocol::Https, "www.example.com", 443);
/// let settings = AwsHealthCheck { search_string: Some("ok".into()), ..AwsHealthCheck::default() };
/// spec.overrides.set(&settings).unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AwsHealthCheck {
    /// Healthy only if the first 5,120 bytes of the answer contain this; at most 255 characters. HTTP and HTTPS only.
    pub search_string: Option<String>,
    /// Whether what it finds is turned around.
    pub inverted: bool,
    /// Whether latency is measured too.
    pub measure_latency: bool,
    /// The regions that it calls from, at least three; empty leaves it to Route 53.
    pub checker_regions: Vec<Region>,
}

impl ProviderOverrides for AwsHealthCheck {
    const PROVIDER: Provider = Provider::Aws;
}

impl AwsDns {
    pub(super) async fn make_health_check(
        &self,
        spec: &HealthCheckSpec,
        token: &ClientToken,
    ) -> Result<HealthCheck> {
        spec.check(&self.capabilities())?;
        check_global(&spec.region)?;
        check_tags(&spec.tags, 9)?;
        if spec.tags.get(NAME).is_some() {
            return Err(Error::invalid("tags", "has 'Name'", "other keys: it is the check's name"));
        }
        let config = configure(spec)?;
        let create = async |request: Request| {
            let reference = reference(&request);
            // Route 53 itself returns what a reference made, but takes another reference of the same token for another create.
            let made = match self.find_health_check(&request, &reference).await? {
                Some(made) => made,
                None => {
                    let create = self.client()?.create_health_check();
                    let create = create.caller_reference(reference).health_check_config(config);
                    let answer = create.send().await.map_err(writes("route53"))?;
                    answer.health_check.ok_or_else(|| absent("health check"))?
                }
            };
            let tags = spec.tags.iter().map(|(k, v)| (k.as_str(), v.as_str()));
            let tags = tags.chain([(NAME, spec.name.as_str())]);
            self.tag(TagResourceType::Healthcheck, &made.id, tags).await?;
            let mut tags = spec.tags.clone();
            tags.insert(NAME, &spec.name)?;
            view(&made, tags)
        };
        self.account.tokens.once(ResourceKind::HealthCheck, spec, token, create).await
    }

    /// What the create has made before.
    async fn find_health_check(
        &self,
        request: &Request,
        reference: &str,
    ) -> Result<Option<Native>> {
        let client = self.client()?;
        let mut marker = None;
        loop {
            let asked = client.list_health_checks().max_items(100).set_marker(marker);
            let answer = asked.send().await.map_err(reads("route53"))?;
            for check in answer.health_checks {
                if check.caller_reference == reference
                    || request.made(Some(&check.caller_reference))?
                {
                    return Ok(Some(check));
                }
            }
            match answer.next_marker.filter(|_| answer.is_truncated) {
                Some(next) => marker = Some(next),
                None => return Ok(None),
            }
        }
    }

    pub(super) async fn health_check(&self, id: &ResourceId) -> Result<HealthCheck> {
        let native = native(id, ResourceKind::HealthCheck)?;
        let request = self.client()?.get_health_check().health_check_id(native);
        let answer = request.send().await.map_err(reads("route53"))?;
        let check = answer.health_check.ok_or_else(|| absent("health check"))?;
        let tags = self.tags_of(&TagResourceType::Healthcheck, native).await?;
        view(&check, tags)
    }

    /// One page of the health checks that call something: those that combine others, or watch an alarm, have no target
    /// and are left out.
    pub(super) async fn health_checks(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<HealthCheck>> {
        let places = self.places(query)?;
        let size = listing::native_size(page, 1, tagging::MOST);
        listing::over(
            &places,
            page,
            |check: &HealthCheck| check.id.native(),
            |check| query.matches(&check.name, &check.tags),
            |_, token| self.native_health_checks(size, token),
        )
        .await
    }

    async fn native_health_checks(
        &self,
        size: i32,
        marker: Option<String>,
    ) -> Result<listing::NativePage<HealthCheck>> {
        let request = self.client()?.list_health_checks().max_items(size).set_marker(marker);
        let answer = request.send().await.map_err(reads("route53"))?;
        let found: Vec<_> =
            answer.health_checks.into_iter().filter(|check| target(check).is_some()).collect();
        let mut checks = Vec::with_capacity(found.len());
        for found in found.chunks(tagging::MOST as usize) {
            let ids = found.iter().map(|check| check.id.clone()).collect();
            let mut tags = self.tags_of_all(&TagResourceType::Healthcheck, ids).await?;
            for check in found {
                if let Some(tags) = tags.remove(&check.id) {
                    checks.push(view(check, tags)?);
                }
            }
        }
        Ok((checks, answer.next_marker.filter(|_| answer.is_truncated)))
    }

    pub(super) async fn remove_health_check(&self, id: &ResourceId) -> Result<()> {
        let native = native(id, ResourceKind::HealthCheck)?;
        let request = self.client()?.delete_health_check().health_check_id(native);
        request.send().await.map(drop).map_err(writes("route53"))
    }
}

/// What says by which create a health check was made: the request's tag, or where that is too long, a digest of it.
fn reference(request: &Request) -> String {
    let tag = request.tag();
    match tag.len() <= REFERENCE {
        true => tag,
        false => Sha256::digest(tag).iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// The health check as Route 53 takes it.
fn configure(spec: &HealthCheckSpec) -> Result<HealthCheckConfig> {
    let settings = spec.overrides.get::<AwsHealthCheck>()?.unwrap_or_default();
    let interval = match spec.interval_seconds {
        10 => 10,
        30 => 30,
        other => {
            return Err(Error::invalid(
                "interval_seconds",
                format_args!("is {other}"),
                "10 or 30, the intervals of Route 53",
            ));
        }
    };
    let kind = match (spec.protocol, &settings.search_string) {
        (HealthProtocol::Http, None) => HealthCheckType::Http,
        (HealthProtocol::Http, Some(_)) => HealthCheckType::HttpStrMatch,
        (HealthProtocol::Https, None) => HealthCheckType::Https,
        (HealthProtocol::Https, Some(_)) => HealthCheckType::HttpsStrMatch,
        (HealthProtocol::Tcp, None) => HealthCheckType::Tcp,
        (HealthProtocol::Tcp, Some(_)) => {
            return Err(Error::invalid("search_string", "is given for tcp", "http or https"));
        }
        (other, _) => return Err(Error::unsupported(format_args!("health checks by {other}"))),
    };
    if let Some(text) = &settings.search_string
        && !(1..=255).contains(&text.chars().count())
    {
        let problem = format!("has {} characters", text.chars().count());
        return Err(Error::invalid("search_string", problem, "1 to 255"));
    }
    if (1..3).contains(&settings.checker_regions.len()) {
        let problem = format!("has {}", settings.checker_regions.len());
        return Err(Error::invalid("checker_regions", problem, "at least 3, or none"));
    }
    let address = spec.target.parse::<IpAddr>().ok();
    let by_name = address.is_none();
    let regions = settings.checker_regions.iter();
    let regions: Vec<_> = regions.map(|r| HealthCheckRegion::from(r.as_str())).collect();
    let https = spec.protocol == HealthProtocol::Https;
    HealthCheckConfig::builder()
        .r#type(kind)
        .port(i32::from(spec.port))
        .set_ip_address(address.map(|address| address.to_string()))
        .set_fully_qualified_domain_name(by_name.then(|| spec.target.clone()))
        .set_resource_path(spec.path.clone())
        .request_interval(interval)
        .failure_threshold(i32::try_from(spec.failure_threshold).unwrap_or(i32::MAX))
        .set_search_string(settings.search_string)
        .set_inverted(settings.inverted.then_some(true))
        .set_measure_latency(settings.measure_latency.then_some(true))
        // A server with several certificates shows the right one only to who names it.
        .set_enable_sni(https.then_some(by_name))
        .set_regions((!regions.is_empty()).then_some(regions))
        .build()
        .map_err(unbuilt)
}

/// What a health check calls, and how; `None` for one that calls nothing.
fn target(check: &Native) -> Option<(&str, HealthProtocol)> {
    let config = check.health_check_config.as_ref()?;
    let protocol = match config.r#type {
        HealthCheckType::Http | HealthCheckType::HttpStrMatch => HealthProtocol::Http,
        HealthCheckType::Https | HealthCheckType::HttpsStrMatch => HealthProtocol::Https,
        HealthCheckType::Tcp => HealthProtocol::Tcp,
        _ => return None,
    };
    // With both, the address is called and the name only sent.
    let target = config.ip_address.as_deref().filter(|address| !address.is_empty());
    Some((target.or(config.fully_qualified_domain_name.as_deref())?, protocol))
}

fn view(check: &Native, mut tags: Tags) -> Result<HealthCheck> {
    let Some((target, protocol)) = target(check) else {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("the health check {} calls nothing", check.id),
        )
        .with_hint(
            "health checks that combine others or watch an alarm are read with the SDK's client",
        ));
    };
    let config = check.health_check_config.as_ref();
    let port = config.and_then(|config| config.port).and_then(|port| u16::try_from(port).ok());
    let usual = match protocol {
        HealthProtocol::Https => 443,
        _ => 80,
    };
    let path = config.and_then(|config| config.resource_path.clone());
    Ok(HealthCheck {
        id: listing::id(ResourceKind::HealthCheck, &global()?, &check.id)?,
        name: tags.remove(NAME).unwrap_or_else(|| check.id.clone()),
        status: ResourceStatus::Running,
        target: target.to_owned(),
        port: port.unwrap_or(usual),
        protocol,
        path: path.filter(|path| !path.is_empty()),
        tags,
        created_at: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(protocol: HealthProtocol, target: &str) -> HealthCheckSpec {
        HealthCheckSpec::new("web", global().unwrap(), protocol, target, 443)
    }

    #[test]
    fn what_route_53_does_not_offer_is_refused_by_its_rule() {
        let mut slow = spec(HealthProtocol::Tcp, "192.0.2.1");
        slow.interval_seconds = 60;
        assert!(configure(&slow).unwrap_err().to_string().contains("10 or 30"));
        let mut search = spec(HealthProtocol::Tcp, "192.0.2.1");
        let settings =
            AwsHealthCheck { search_string: Some("ok".into()), ..AwsHealthCheck::default() };
        search.overrides.set(&settings).unwrap();
        assert!(configure(&search).unwrap_err().to_string().contains("search_string"));
        let two = AwsHealthCheck {
            checker_regions: vec![Region::new("us-east-1").unwrap(); 2],
            ..AwsHealthCheck::default()
        };
        let mut few = spec(HealthProtocol::Http, "example.com");
        few.overrides.set(&two).unwrap();
        assert!(configure(&few).unwrap_err().to_string().contains("at least 3"));
    }

    #[test]
    fn names_and_addresses_are_called_as_what_they_are() {
        let by_name = configure(&spec(HealthProtocol::Https, "www.example.com")).unwrap();
        assert_eq!(by_name.fully_qualified_domain_name.as_deref(), Some("www.example.com"));
        assert_eq!((by_name.ip_address, by_name.enable_sni), (None, Some(true)));
        let by_address = configure(&spec(HealthProtocol::Https, "2001:db8::1")).unwrap();
        assert_eq!(by_address.ip_address.as_deref(), Some("2001:db8::1"));
        assert_eq!(
            (by_address.fully_qualified_domain_name, by_address.enable_sni),
            (None, Some(false))
        );
    }

    #[test]
    fn a_caller_reference_is_never_too_long() {
        let of = |token: &str| {
            let token = ClientToken::new(token).unwrap();
            Request::new(ResourceKind::HealthCheck, &"spec", &token).unwrap()
        };
        let short = of("0c4a1d9e-0000-4000-8000-000000000001");
        assert_eq!(reference(&short), short.tag());
        let long = of(&"t".repeat(64));
        assert_eq!(reference(&long).len(), REFERENCE);
    }
}
