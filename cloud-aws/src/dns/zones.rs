//! Zones: hosted zones, public and private.

use aws_sdk_route53::{
    Client,
    types::{HostedZone, HostedZoneConfig, TagResourceType, Vpc, VpcRegion},
};
use cloud_core::{
    ClientToken, DnsZone, Error, ErrorKind, ListQuery, Page, PageRequest, Region, ResourceId,
    ResourceKind, ResourceStatus, Result, Tags, ZoneSpec,
};
use serde::{Deserialize, Serialize};

use super::{AwsDns, check_global, check_tags, global, native, notation, tagging};
use crate::{
    error::{absent, has_code, reads, writes},
    listing,
    tokens::Request,
};

/// The most zones of one name that are looked through.
const SAME_NAME: i32 = 100;

/// A VPC that a private zone answers in.
///
/// ```
/// # use cloud_core::Region;
/// let vpc = cloud_aws::AwsVpc { id: "vpc-0a1b2c3d".into(), region: Region::new("eu-central-1").unwrap() };
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsVpc {
    /// Its id in AWS.
    pub id: String,
    /// Where it is.
    pub region: Region,
}

impl AwsDns {
    /// Creates a zone that answers inside a VPC only. Any number of private zones may have one name, as long as no VPC
    /// belongs to two of them
    /// ([Private hosted zones](https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/hosted-zones-private.html)).
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) if the VPC has a zone of this name, or any.
    ///
    /// ```no_run
    /// # use cloud_core::{ClientToken, DnsZone, Region, Result, ZoneSpec};
    /// # use cloud_aws::{AwsCloud, AwsVpc};
    /// async fn inside(cloud: &AwsCloud, vpc: &AwsVpc) -> Result<DnsZone> {
    ///     let spec = ZoneSpec::new("internal.example.com", Region::new("global")?);
    ///     cloud.aws_dns().create_private_zone(&spec, vpc, &ClientToken::random()).await
    /// }
    /// ```
    pub async fn create_private_zone(
        &self,
        spec: &ZoneSpec,
        vpc: &AwsVpc,
        token: &ClientToken,
    ) -> Result<DnsZone> {
        let made = self.make_zone(spec, Some(vpc), token).await;
        made.map_err(self.account.in_call("dns.create_private_zone"))
    }

    pub(super) async fn make_zone(
        &self,
        spec: &ZoneSpec,
        vpc: Option<&AwsVpc>,
        token: &ClientToken,
    ) -> Result<DnsZone> {
        spec.validate()?;
        check_global(&spec.region)?;
        check_tags(&spec.tags, 10)?;
        let create = async |request: Request| {
            let private = vpc.is_some();
            let id = match self.find_zone(&spec.name, private, &request).await? {
                Some(id) => id,
                None => match self.request_zone(spec, vpc, &request).await {
                    Ok(id) => id,
                    // By a repetition of this create that was faster.
                    Err(error) if has_code(&error, &["HostedZoneAlreadyExists"]) => {
                        self.find_zone(&spec.name, private, &request).await?.ok_or(error)?
                    }
                    Err(error) => return Err(error),
                },
            };
            let tags = spec.tags.iter().map(|(k, v)| (k.as_str(), v.as_str()));
            self.tag(TagResourceType::Hostedzone, &id, tags).await?;
            self.view_zone(&self.client()?, &id, spec.tags.clone()).await
        };
        self.account.tokens.once(ResourceKind::DnsZone, &(spec, vpc), token, create).await
    }

    /// The zone of this name that the create has made before.
    async fn find_zone(
        &self,
        name: &str,
        private: bool,
        request: &Request,
    ) -> Result<Option<String>> {
        let asked = self.client()?.list_hosted_zones_by_name().dns_name(name).max_items(SAME_NAME);
        let answer = asked.send().await.map_err(reads("route53"))?;
        let wanted = notation::name(name);
        let mut taken = false;
        for zone in answer.hosted_zones.iter().filter(|zone| notation::name(&zone.name) == wanted) {
            if request.made(Some(&zone.caller_reference))? {
                return Ok(Some(bare(&zone.id).to_owned()));
            }
            taken |= !private && !is_private(zone);
        }
        match taken {
            true => {
                let message = format!("there is a public zone '{name}' already");
                Err(Error::new(ErrorKind::AlreadyExists, message).with_resource(name))
            }
            false => Ok(None),
        }
    }

    async fn request_zone(
        &self,
        spec: &ZoneSpec,
        vpc: Option<&AwsVpc>,
        request: &Request,
    ) -> Result<String> {
        let create = self.client()?.create_hosted_zone().name(&spec.name);
        let create = create.caller_reference(request.tag());
        let create = match vpc {
            None => create,
            Some(vpc) => create
                .hosted_zone_config(HostedZoneConfig::builder().private_zone(true).build())
                .vpc(
                    Vpc::builder()
                        .vpc_id(&vpc.id)
                        .vpc_region(VpcRegion::from(vpc.region.as_str()))
                        .build(),
                ),
        };
        let made = create.send().await.map_err(writes("route53"))?;
        let zone = made.hosted_zone.ok_or_else(|| absent("zone"))?;
        Ok(bare(&zone.id).to_owned())
    }

    pub(super) async fn zone(&self, id: &ResourceId) -> Result<DnsZone> {
        let native = native(id, ResourceKind::DnsZone)?;
        let zone = self.view_zone(&self.client()?, native, Tags::default()).await?;
        let tags = self.tags_of(&TagResourceType::Hostedzone, native).await?;
        Ok(DnsZone { tags, ..zone })
    }

    async fn view_zone(&self, client: &Client, native: &str, tags: Tags) -> Result<DnsZone> {
        let answer = client.get_hosted_zone().id(native).send().await.map_err(reads("route53"))?;
        let zone = answer.hosted_zone.ok_or_else(|| absent("zone"))?;
        let servers = answer.delegation_set.map(|set| set.name_servers).unwrap_or_default();
        Ok(DnsZone {
            id: listing::id(ResourceKind::DnsZone, &global()?, native)?,
            name: notation::name(&zone.name),
            status: ResourceStatus::Running,
            name_servers: servers.iter().map(|server| notation::name(server)).collect(),
            tags,
            created_at: None,
        })
    }

    pub(super) async fn zones(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<DnsZone>> {
        let places = self.places(query)?;
        let size = listing::native_size(page, 1, tagging::MOST);
        listing::over(
            &places,
            page,
            |zone: &DnsZone| zone.id.native(),
            |zone| query.matches(&zone.name, &zone.tags),
            |_, token| self.native_zones(query, size, token),
        )
        .await
    }

    /// One page of zones that match, each with its tags and name servers. Zones are ordered by name, so that what is
    /// deleted between two pages moves nothing.
    async fn native_zones(
        &self,
        query: &ListQuery,
        size: i32,
        token: Option<String>,
    ) -> Result<listing::NativePage<DnsZone>> {
        let client = self.client()?;
        let request = client.list_hosted_zones_by_name().max_items(size);
        let request = match token.as_deref().and_then(|token| token.split_once(' ')) {
            Some((id, name)) => request.dns_name(name).hosted_zone_id(id),
            None => request.set_dns_name(query.name.clone()),
        };
        let answer = request.send().await.map_err(reads("route53"))?;
        let wanted =
            |name: &str| query.name.as_ref().is_none_or(|wanted| *wanted == notation::name(name));
        let ids = answer.hosted_zones.iter().filter(|zone| wanted(&zone.name));
        let ids: Vec<_> = ids.map(|zone| bare(&zone.id).to_owned()).collect();
        let mut zones = Vec::with_capacity(ids.len());
        for ids in ids.chunks(tagging::MOST as usize) {
            let mut tags = self.tags_of_all(&TagResourceType::Hostedzone, ids.to_vec()).await?;
            for id in ids {
                let Some(tags) = tags.remove(id).filter(|tags| tags.contains(&query.tags)) else {
                    continue;
                };
                match self.view_zone(&client, id, tags).await {
                    Ok(zone) => zones.push(zone),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let next = answer.next_dns_name.filter(|name| answer.is_truncated && wanted(name));
        let next = next.map(|name| {
            let id = answer.next_hosted_zone_id.as_deref().map(bare).unwrap_or_default();
            format!("{id} {name}")
        });
        Ok((zones, next))
    }

    /// Deletes the records of a zone, then the zone. One that is broken off may be repeated.
    pub(super) async fn remove_zone(&self, id: &ResourceId) -> Result<()> {
        let native = native(id, ResourceKind::DnsZone)?;
        let client = self.client()?;
        let zone = client.get_hosted_zone().id(native).send().await.map_err(reads("route53"))?;
        let name = zone.hosted_zone.map(|zone| zone.name).unwrap_or_default();
        let emptied = self.remove_all_records(native, &notation::name(&name)).await?;
        let done = client.delete_hosted_zone().id(native).send().await.map_err(writes("route53"));
        done.map(drop).map_err(|error| match emptied {
            true => error.with_effect(cloud_core::Effect::Unknown),
            false => error,
        })
    }
}

/// An id without the path that some answers put before it.
pub(super) fn bare(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

fn is_private(zone: &HostedZone) -> bool {
    zone.config.as_ref().is_some_and(|config| config.private_zone)
}
