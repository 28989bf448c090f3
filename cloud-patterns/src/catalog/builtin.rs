//! The snapshot of public facts that is built in: made by `data/catalog/snapshot.py`, by the rules in the README beside it.

use std::{io::Read, sync::OnceLock};

use cloud_core::{ByteSize, CloudId, Currency, Decimal, Error, ErrorKind, Provider, Result};
use flate2::read::ZlibDecoder;
use serde::Deserialize;

use super::{
    Architecture, Catalog, CatalogCloud, CatalogRegion, CatalogType, City, InstanceOffer, Latency,
    Source,
};

static PACKED: &[u8] = include_bytes!("../../data/catalog/snapshot.json.zlib");
static BUILTIN: OnceLock<Result<Catalog>> = OnceLock::new();

/// How many bytes the built-in snapshot adds to a program: about 0.23 MB.
pub const BUILTIN_BYTES: usize = PACKED.len();

/// The snapshot as it is written: a catalog whose offers are columns of numbers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Snapshot {
    currency: Currency,
    sources: Vec<Source>,
    types: Vec<TypeRow>,
    clouds: Vec<SnapshotCloud>,
    latency: Latency,
    cities: Vec<City>,
}

/// Provider, name, vCPUs, memory in MiB, cards, architecture, source.
#[derive(Deserialize)]
struct TypeRow(Provider, String, u32, u64, u32, Option<Architecture>, u16);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SnapshotCloud {
    id: CloudId,
    provider: Provider,
    regions: Vec<SnapshotRegion>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SnapshotRegion {
    region: CatalogRegion,
    price_source: u16,
    /// Each type by its distance from the one before.
    types: Vec<u32>,
    /// Prices in millionths, in the order of the types; 0 where unknown.
    on_demand: Vec<i64>,
    #[serde(default)]
    spot: Vec<i64>,
}

impl Catalog {
    /// The built-in snapshot: regions of AWS, Azure and Google Cloud (as clouds `aws`, `azure` and `gcp`), what their Linux
    /// instances cost on demand (Google's also as spot), what sending data costs, and the round trips between Azure's regions.
    ///
    /// Its figures are some months old, those of AWS outside us-east-1 more than a year: ask for
    /// [`warnings`](Self::warnings), and refresh it from the clouds with a [`LiveCatalog`](super::LiveCatalog). It knows
    /// no storage, database or reserved prices and no quotas. Unpacked once, at the first call; later calls cost nothing.
    ///
    /// ```
    /// use cloud_patterns::catalog::{BUILTIN_BYTES, Catalog};
    /// let catalog = Catalog::builtin().unwrap();
    /// assert!(catalog.regions().count() > 100);
    /// assert!(BUILTIN_BYTES < 1_000_000);
    /// ```
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) if the snapshot is damaged; a test sees to it that it is not.
    pub fn builtin() -> Result<&'static Self> {
        BUILTIN.get_or_init(unpack).as_ref().map_err(Clone::clone)
    }
}

pub(super) fn unpack() -> Result<Catalog> {
    let damaged = |problem: &dyn std::fmt::Display| {
        Error::new(ErrorKind::Internal, format!("the built-in catalog is damaged: {problem}"))
    };
    let mut text = Vec::new();
    ZlibDecoder::new(PACKED).read_to_end(&mut text).map_err(|e| damaged(&e))?;
    let snapshot: Snapshot = serde_json::from_slice(&text).map_err(|e| damaged(&e))?;
    let catalog = Catalog {
        currency: snapshot.currency,
        sources: snapshot.sources,
        clouds: snapshot.clouds.into_iter().map(SnapshotCloud::unpack).collect(),
        types: snapshot.types.into_iter().map(TypeRow::unpack).collect(),
        latency: snapshot.latency,
        cities: snapshot.cities,
    };
    catalog.validate().map_err(|e| damaged(&e))?;
    Ok(catalog)
}

impl TypeRow {
    fn unpack(self) -> CatalogType {
        let Self(provider, name, vcpu, mib, gpu, architecture, source) = self;
        CatalogType { provider, name, vcpu, memory: ByteSize::mib(mib), gpu, architecture, source }
    }
}

impl SnapshotCloud {
    fn unpack(self) -> CatalogCloud {
        let regions = self.regions.into_iter().map(SnapshotRegion::unpack).collect();
        CatalogCloud {
            id: self.id,
            provider: self.provider,
            regions,
            quotas: Vec::new(),
            quota_source: None,
        }
    }
}

impl SnapshotRegion {
    fn unpack(self) -> CatalogRegion {
        let mut instance_type = 0u32;
        let offers = self.types.iter().enumerate().map(|(i, step)| {
            instance_type = instance_type.saturating_add(*step);
            InstanceOffer {
                on_demand: price(&self.on_demand, i),
                spot: price(&self.spot, i),
                ..InstanceOffer::new(instance_type, self.price_source)
            }
        });
        let instances = offers.collect();
        CatalogRegion { instances, ..self.region }
    }
}

fn price(millionths: &[i64], i: usize) -> Option<Decimal> {
    let found = millionths.get(i).filter(|price| **price != 0);
    found.map(|price| Decimal::new(*price, 6).normalize())
}
