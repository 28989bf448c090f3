//! Where things are: regions, zones, and a place in a registered cloud.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    CloudId,
    text::{check_identifier, text_type},
};

text_type! {
    /// A provider's region, by the provider's own code: `us-east-1`, `westeurope`, `europe-west4`.
    ///
    /// ```
    /// use cloud_core::Region;
    /// assert_eq!(Region::new("eu-central-1").unwrap().to_string(), "eu-central-1");
    /// assert!(Region::new("eu/central").is_err());
    /// ```
    Region, |text| check_identifier("region", text, 64, &['-', '_'])
}

text_type! {
    /// A failure domain within a region, by the provider's own code: `us-east-1a`, `1`, `europe-west4-b`.
    ///
    /// ```
    /// assert_eq!(cloud_core::Zone::new("us-east-1a").unwrap().as_str(), "us-east-1a");
    /// ```
    Zone, |text| check_identifier("zone", text, 64, &['-', '_'])
}

/// A place where something can be put: a registered cloud, a region, perhaps a zone.
///
/// ```
/// use cloud_core::{CloudId, Location, Region};
/// let place = Location::new(CloudId::new("aws").unwrap(), Region::new("us-east-1").unwrap());
/// assert_eq!(place.to_string(), "aws/us-east-1");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// The registered cloud.
    pub cloud: CloudId,
    /// The region in it.
    pub region: Region,
    /// The zone in the region; `None` leaves the choice to the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
}

impl Location {
    /// A place without a particular zone.
    pub fn new(cloud: CloudId, region: Region) -> Self {
        Self { cloud, region, zone: None }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cloud, self.region)?;
        match &self.zone {
            Some(zone) => write!(f, "/{zone}"),
            None => Ok(()),
        }
    }
}

/// What a cloud says of one of its regions. What is unknown is absent.
///
/// ```
/// use cloud_core::{Region, RegionInfo};
/// let info = RegionInfo::new(Region::new("eu-west-1").unwrap());
/// assert!(info.zones.is_empty() && info.available);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RegionInfo {
    /// The region's code.
    pub region: Region,
    /// Whether the region answers just now, as far as the provider says.
    pub available: bool,
    /// Its zones, in the provider's order; empty where the provider has none.
    pub zones: Vec<Zone>,
    /// ISO 3166-1 alpha-2 code of the country it lies in.
    pub country: Option<String>,
    /// Latitude and longitude in degrees.
    pub coordinates: Option<(f64, f64)>,
    /// Compliance regimes that the provider attests for it, such as `GDPR` or `HIPAA`.
    pub compliance: Vec<String>,
}

impl RegionInfo {
    /// An available region of which nothing else is known.
    pub fn new(region: Region) -> Self {
        Self {
            region,
            available: true,
            zones: Vec::new(),
            country: None,
            coordinates: None,
            compliance: Vec::new(),
        }
    }
}
