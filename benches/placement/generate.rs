//! Generates catalogs: clouds with regions, instance types, offers, latencies and prices of egress.
//!
//! The same seed gives the same bytes on every machine.

use std::{fs, path::Path};

use rand::{RngExt, SeedableRng, rngs::ChaCha12Rng, seq::SliceRandom};
use sha2::{Digest, Sha256};

use super::{
    facts::{CITIES, City, EVERYWHERE, FAMILIES, GENERATIONS, GPU_PRICES, LABELS, PROVIDERS},
    format::{CATALOG_FORMAT, Catalog, Egress, InstanceType, Region, Target},
};

/// How large a catalog is, by cloud.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) regions: usize,
    pub(crate) types: usize,
}

impl Shape {
    /// What the groups place on, except the chains.
    pub(crate) const FULL: Self = Self { regions: 30, types: 300 };
}

/// A catalog, and the digest of its file.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) catalog: Catalog,
    pub(crate) sha256: String,
}

/// A generator of random numbers for one purpose: `purpose` keeps apart what shares a seed.
pub(crate) fn random(purpose: &str, seed: u64) -> ChaCha12Rng {
    let digest = Sha256::new().chain_update(purpose).chain_update(seed.to_le_bytes()).finalize();
    ChaCha12Rng::from_seed(digest.into())
}

/// A type before it is sold anywhere.
struct Model {
    kind: InstanceType,
    generation: i64,
    price: f64,
}

/// Makes a catalog and writes its file.
pub(crate) fn catalog(seed: u64, shape: Shape, path: &Path) -> Result<Made, String> {
    let mut random = random("catalog", seed);
    let mut catalog = Catalog {
        format: CATALOG_FORMAT.into(),
        seed,
        clouds: PROVIDERS.iter().map(|provider| provider.name.into()).collect(),
        regions: Vec::new(),
        types: Vec::new(),
        offers: Vec::new(),
        rtt: Vec::new(),
        targets: Vec::new(),
        egress: Vec::new(),
    };
    for (cloud, provider) in PROVIDERS.iter().enumerate() {
        let models = models(provider.name, provider.price_level, shape.types, &mut random);
        for city in cities(shape.regions, &mut random) {
            catalog.regions.push(region(cloud, provider.name, city, &mut random));
            catalog.offers.push(offers(city, &models, &mut random));
        }
        catalog.types.push(models.into_iter().map(|model| model.kind).collect());
        catalog.egress.extend(provider.egress.map(|(geo, same_cloud, other)| Egress {
            cloud,
            geo: geo.into(),
            same_cloud,
            other,
        }));
    }
    catalog.rtt = round_trips(&catalog.regions, &mut random);
    catalog.targets = CITIES.iter().map(|city| target(city, &catalog.regions)).collect();

    let bytes = serde_json::to_vec(&catalog).map_err(|error| error.to_string())?;
    fs::write(path, &bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Made { catalog, sha256 })
}

/// Where a cloud has its regions: in the cities where all have one, and in others by chance.
fn cities(count: usize, random: &mut ChaCha12Rng) -> Vec<&'static City> {
    let (mut chosen, mut others): (Vec<_>, Vec<_>) =
        CITIES.iter().partition(|city| EVERYWHERE.contains(&city.name));
    others.shuffle(random);
    chosen.extend(others);
    chosen.truncate(count);
    chosen.sort_by_key(|city| city.name);
    chosen
}

/// As many of a cloud's families, generations and sizes as asked. A newer generation is cheaper, more or less.
fn models(cloud: &str, level: i64, count: usize, random: &mut ChaCha12Rng) -> Vec<Model> {
    let mut all = Vec::new();
    for family in &FAMILIES {
        for generation in GENERATIONS {
            for &vcpu in family.sizes {
                let mem_gib = vcpu * family.gib_per_vcpu;
                let gpu = if family.gpus { vcpu / 8 } else { 0 };
                let bare = family.vcpu_price * vcpu as f64 + family.gib_price * mem_gib as f64;
                let newer = 1.14 - 0.035 * generation as f64 + random.random_range(-0.025..0.025);
                let accelerators = GPU_PRICES[random.random_range(0..3)] * gpu as f64;
                let kind = InstanceType {
                    id: format!("{cloud}.{}-{generation}.{vcpu}", family.name),
                    arch: family.arch.into(),
                    vcpu,
                    mem_gib,
                    gpu,
                };
                let price = bare * newer * level as f64 / 1000.0 + accelerators;
                all.push(Model { kind, generation, price });
            }
        }
    }
    all.shuffle(random);
    all.truncate(count);
    all.sort_by(|a, b| a.kind.id.cmp(&b.kind.id));
    all
}

fn region(cloud: usize, provider: &str, city: &City, random: &mut ChaCha12Rng) -> Region {
    let mut labels = Vec::new();
    for (label, applies) in LABELS {
        if applies(city) && random.random_bool(0.92) {
            labels.push(label.to_owned());
        }
    }
    Region {
        id: format!("{provider}-{}", city.name),
        cloud,
        city: city.name.into(),
        lat: city.lat,
        lon: city.lon,
        geo: city.geo.into(),
        country: city.country.into(),
        labels,
    }
}

/// Prices in one region: accelerators and the newest generations are not offered everywhere.
fn offers(city: &City, models: &[Model], random: &mut ChaCha12Rng) -> Vec<i64> {
    let level = city.price_level as f64 / 1000.0 * random.random_range(0.97..1.03);
    let mut price = |model: &Model| {
        let newest = (model.generation - 5).max(0) as f64;
        let share = if model.kind.gpu > 0 { 0.35 } else { 0.97 - 0.06 * newest };
        let price = model.price * level * random.random_range(0.99..1.01);
        if random.random_bool(share) { price as i64 } else { -1 }
    };
    models.iter().map(&mut price).collect()
}

/// Round trips between regions: light in fibre on a way longer than the shortest, and a constant.
fn round_trips(regions: &[Region], random: &mut ChaCha12Rng) -> Vec<Vec<i64>> {
    let mut rtt = vec![vec![0; regions.len()]; regions.len()];
    for (a, here) in regions.iter().enumerate() {
        rtt[a][a] = 5;
        for (b, there) in regions.iter().enumerate().skip(a + 1) {
            let distance = kilometres((here.lat, here.lon), (there.lat, there.lon));
            let constant = if here.cloud == there.cloud { 1.0 } else { 2.0 };
            let milliseconds = distance / 100.0 * random.random_range(1.3..1.6) + constant;
            rtt[a][b] = (milliseconds * 10.0) as i64;
            rtt[b][a] = rtt[a][b];
        }
    }
    rtt
}

fn target(city: &City, regions: &[Region]) -> Target {
    let rtt = |region: &Region| {
        let distance = kilometres((city.lat, city.lon), (region.lat, region.lon));
        ((distance / 100.0 * 1.5 + 3.0) * 10.0) as i64
    };
    Target { id: city.name.into(), rtt: regions.iter().map(rtt).collect() }
}

/// The great-circle distance between two latitudes and longitudes in degrees.
fn kilometres(a: (f64, f64), b: (f64, f64)) -> f64 {
    let [(lat_a, lon_a), (lat_b, lon_b)] = [a, b].map(|(x, y)| (x.to_radians(), y.to_radians()));
    let chord = ((lat_b - lat_a) / 2.0).sin().powi(2)
        + lat_a.cos() * lat_b.cos() * ((lon_b - lon_a) / 2.0).sin().powi(2);
    2.0 * 6371.0 * chord.sqrt().min(1.0).asin()
}
