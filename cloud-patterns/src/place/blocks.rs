//! Offers that just failed for want of capacity, and are not to be tried again for a while.

use std::time::Duration;

use cloud_core::{CloudId, Error, ErrorKind, Location, Provider, Region, Retry, Scope, Zone};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// What is blocked, how far and until when. Placement leaves it out until then.
///
/// ```
/// use std::time::Duration;
/// use cloud_core::{CloudId, Error, ErrorKind, Location, Provider, Region, Scope};
/// use cloud_patterns::place::Blocks;
/// use jiff::Timestamp;
///
/// let place = Location::new(CloudId::new("aws")?, Region::new("us-east-1")?);
/// let error = Error::new(ErrorKind::CapacityUnavailable, "no p4d left").with_scope(Scope::Region);
/// let mut blocks = Blocks::default();
/// let now = Timestamp::UNIX_EPOCH;
/// assert!(blocks.add(&error, Provider::Aws, &place, Some("p4d.24xlarge"), now, Duration::from_secs(600)));
/// assert_eq!(blocks.active(now).count(), 1);
/// assert_eq!(blocks.active(now + jiff::SignedDuration::from_secs(600)).count(), 0);
/// # Ok::<_, cloud_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Blocks {
    blocks: Vec<Block>,
}

/// One block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// What is blocked.
    pub reach: Reach,
    /// Only this instance type; `None` for everything.
    pub instance_type: Option<String>,
    /// Until when.
    pub until: Timestamp,
    /// What had failed.
    pub why: String,
}

/// How far a block reaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// A zone of a region.
    Zone(CloudId, Region, Zone),
    /// A region, all its zones.
    Region(CloudId, Region),
    /// A registered cloud: one account.
    Account(CloudId),
    /// All registered clouds of a provider.
    Provider(Provider),
}

impl Blocks {
    /// Remembers a failure at a place, and says whether it is one that blocks: want of capacity or quota, or an outage.
    ///
    /// It reaches as far as the error's scope; one of a resource as far as its zone, and without a zone the region. Want of
    /// capacity blocks that instance type only, if one is given; all else blocks everything there. It lasts for
    /// `lasting`, or as long as the provider says.
    pub fn add(
        &mut self,
        error: &Error,
        provider: Provider,
        place: &Location,
        instance_type: Option<&str>,
        now: Timestamp,
        lasting: Duration,
    ) -> bool {
        let blocks = matches!(
            error.kind(),
            ErrorKind::CapacityUnavailable | ErrorKind::QuotaExceeded | ErrorKind::Unavailable
        );
        if !blocks {
            return false;
        }
        let Location { cloud, region, zone } = place.clone();
        let reach = match (error.scope(), zone) {
            (Scope::Resource | Scope::Zone, Some(zone)) => Reach::Zone(cloud, region, zone),
            (Scope::Resource | Scope::Zone | Scope::Region, _) => Reach::Region(cloud, region),
            (Scope::Account, _) => Reach::Account(cloud),
            (Scope::Provider, _) => Reach::Provider(provider),
        };
        let lasting = match error.retry() {
            Retry::After(pause) => pause.max(lasting),
            _ => lasting,
        };
        let by_type = error.kind() == ErrorKind::CapacityUnavailable;
        let lasting = SignedDuration::try_from(lasting).unwrap_or(SignedDuration::MAX);
        self.blocks.retain(|block| block.until > now);
        self.blocks.push(Block {
            reach,
            instance_type: instance_type.filter(|_| by_type).map(str::to_owned),
            until: now.saturating_add(lasting).unwrap_or(Timestamp::MAX),
            why: error.message().to_owned(),
        });
        true
    }

    /// The blocks that hold now.
    pub fn active(&self, now: Timestamp) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(move |block| block.until > now)
    }
}

impl Block {
    /// Whether it reaches a whole region of a cloud.
    pub(super) fn covers(&self, provider: Provider, cloud: &CloudId, region: &Region) -> bool {
        match &self.reach {
            Reach::Zone(..) => false,
            Reach::Region(c, r) => (c, r) == (cloud, region),
            Reach::Account(c) => c == cloud,
            Reach::Provider(p) => *p == provider,
        }
    }

    /// The zone of a region that it reaches, if it is just one.
    pub(super) fn zone_of(&self, cloud: &CloudId, region: &Region) -> Option<&Zone> {
        match &self.reach {
            Reach::Zone(c, r, zone) if (c, r) == (cloud, region) => Some(zone),
            _ => None,
        }
    }

    /// Whether it holds for an instance type; `None` is something that is no instance.
    pub(super) fn concerns(&self, instance_type: Option<&str>) -> bool {
        self.instance_type.is_none() || self.instance_type.as_deref() == instance_type
    }
}
