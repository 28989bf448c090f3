//! What it costs to send data: by where it goes, graduated by volume.

use std::collections::BTreeMap;

use cloud_core::{Decimal, Error, Region, Result};
use serde::{Deserialize, Serialize};

/// Prices per GiB sent from a region. What is unknown is absent; what is free is 0.
///
/// ```
/// use cloud_core::Region;
/// use cloud_patterns::catalog::{Egress, Tiers};
/// let egress = Egress { inter_region: Some(Tiers::flat("0.02".parse().unwrap()).unwrap()), ..Egress::default() };
/// let there = Region::new("eu-2").unwrap();
/// assert_eq!(egress.to(&there).unwrap().cost(100.into()), 2.into());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Egress {
    /// Within a zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_zone: Option<Decimal>,
    /// To another zone of the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inter_zone: Option<Tiers>,
    /// To another region of the same cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inter_region: Option<Tiers>,
    /// To particular regions of the same cloud, in place of `inter_region`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub to_region: BTreeMap<Region, Tiers>,
    /// To another cloud; where absent, the price to the internet holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inter_provider: Option<Tiers>,
    /// To the internet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internet: Option<Tiers>,
    /// Where these come from; of no account while all are absent.
    #[serde(default)]
    pub source: u16,
}

impl Egress {
    /// Whether no price is known.
    pub fn is_empty(&self) -> bool {
        self.same_zone.is_none()
            && self.inter_zone.is_none()
            && self.inter_region.is_none()
            && self.to_region.is_empty()
            && self.inter_provider.is_none()
            && self.internet.is_none()
    }

    /// The price to another region of the same cloud.
    pub fn to(&self, region: &Region) -> Option<&Tiers> {
        self.to_region.get(region).or(self.inter_region.as_ref())
    }

    /// The price to another cloud: `inter_provider`, or else that to the internet, which the data then crosses.
    pub fn to_other_cloud(&self) -> Option<&Tiers> {
        self.inter_provider.as_ref().or(self.internet.as_ref())
    }
}

/// One step of a graduated price.
///
/// ```
/// let step = cloud_patterns::catalog::Tier { up_to: Some(100.into()), price: 0.into() };
/// assert!(step.price.is_zero());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// It holds up to this many GiB of the month; `None` for the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<Decimal>,
    /// What a GiB costs.
    pub price: Decimal,
}

/// A graduated price per GiB, by the GiB of a month: the first so many at one price, the next at another.
///
/// ```
/// use cloud_patterns::catalog::{Tier, Tiers};
/// let tiers = Tiers::new(vec![
///     Tier { up_to: Some(100.into()), price: 0.into() },
///     Tier { up_to: None, price: "0.09".parse().unwrap() },
/// ]).unwrap();
/// assert_eq!(tiers.cost(100.into()), 0.into());
/// assert_eq!(tiers.cost(150.into()), "4.5".parse().unwrap());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Tier>", into = "Vec<Tier>")]
pub struct Tiers(Vec<Tier>);

/// No provider asks this much for a GiB.
const ABSURD_PER_GIB: u32 = 100;

impl Tiers {
    /// Steps in order of volume.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for none, bounds that do not grow, a last one with a bound or
    /// another without, and a price that is negative or over 100 per GiB.
    pub fn new(tiers: Vec<Tier>) -> Result<Self> {
        let Some((last, rest)) = tiers.split_last() else {
            return Err(Error::invalid("tiers", "is empty", "one or more"));
        };
        if let Some(bound) = last.up_to {
            let problem = format_args!("is {bound} in the last tier");
            return Err(Error::invalid("up_to", problem, "none, so that any volume has a price"));
        }
        let mut before = Decimal::ZERO;
        for tier in rest {
            match tier.up_to {
                Some(bound) if bound > before => before = bound,
                Some(bound) => {
                    let problem = format_args!("is {bound} after {before}");
                    return Err(Error::invalid("up_to", problem, "more than the tier before"));
                }
                None => {
                    return Err(Error::invalid(
                        "up_to",
                        "is absent before the last tier",
                        "a number of GiB",
                    ));
                }
            }
        }
        for tier in &tiers {
            let price = tier.price;
            if price.is_sign_negative() && !price.is_zero() || price > ABSURD_PER_GIB.into() {
                let accepted = format_args!("0 to {ABSURD_PER_GIB} per GiB");
                return Err(Error::invalid("price", format_args!("is {price}"), accepted));
            }
        }
        Ok(Self(tiers))
    }

    /// One price for any volume.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn flat(price: Decimal) -> Result<Self> {
        Self::new(vec![Tier { up_to: None, price }])
    }

    /// The steps, in order of volume.
    pub fn tiers(&self) -> &[Tier] {
        &self.0
    }

    /// The price, if there is but one.
    pub fn as_flat(&self) -> Option<Decimal> {
        match self.0.as_slice() {
            [only] => Some(only.price),
            _ => None,
        }
    }

    /// What so many GiB in a month cost; a negative number counts as 0, a sum beyond 28 digits saturates.
    pub fn cost(&self, gib: Decimal) -> Decimal {
        let mut sum = Decimal::ZERO;
        let mut from = Decimal::ZERO;
        for tier in &self.0 {
            let to = tier.up_to.map_or(gib, |bound| bound.min(gib));
            if to <= from {
                break;
            }
            sum = sum.saturating_add((to - from).saturating_mul(tier.price));
            from = to;
        }
        sum
    }

    /// What one more GiB costs after so many.
    pub fn marginal(&self, gib: Decimal) -> Decimal {
        let tier = self.0.iter().find(|tier| tier.up_to.is_none_or(|bound| gib < bound));
        tier.map_or(Decimal::ZERO, |tier| tier.price)
    }
}

impl TryFrom<Vec<Tier>> for Tiers {
    type Error = Error;
    fn try_from(tiers: Vec<Tier>) -> Result<Self> {
        Self::new(tiers)
    }
}

impl From<Tiers> for Vec<Tier> {
    fn from(tiers: Tiers) -> Self {
        tiers.0
    }
}
