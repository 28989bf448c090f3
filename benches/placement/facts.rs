//! Facts that the generator draws from: cities, price levels, prices of egress, families of instance types.

/// A city with regions and users.
pub(crate) struct City {
    pub(crate) name: &'static str,
    pub(crate) lat: f64,
    pub(crate) lon: f64,
    pub(crate) geo: &'static str,
    pub(crate) country: &'static str,
    /// Against the cheapest cities, in thousandths.
    pub(crate) price_level: i64,
}

const fn city(
    name: &'static str,
    (lat, lon): (f64, f64),
    geo: &'static str,
    country: &'static str,
    price_level: i64,
) -> City {
    City { name, lat, lon, geo, country, price_level }
}

pub(crate) const CITIES: [City; 52] = [
    city("ashburn", (39.0, -77.5), "NA", "US", 1000),
    city("columbus", (40.0, -83.0), "NA", "US", 1000),
    city("desmoines", (41.6, -93.6), "NA", "US", 1000),
    city("dallas", (32.8, -96.8), "NA", "US", 1080),
    city("sanjose", (37.3, -121.9), "NA", "US", 1180),
    city("portland", (45.5, -122.7), "NA", "US", 1000),
    city("phoenix", (33.4, -112.1), "NA", "US", 1020),
    city("saltlake", (40.8, -111.9), "NA", "US", 1200),
    city("lasvegas", (36.2, -115.1), "NA", "US", 1130),
    city("charleston", (33.0, -80.0), "NA", "US", 1000),
    city("chicago", (41.9, -87.6), "NA", "US", 1060),
    city("montreal", (45.5, -73.6), "NA", "CA", 1090),
    city("toronto", (43.7, -79.4), "NA", "CA", 1100),
    city("calgary", (51.0, -114.1), "NA", "CA", 1110),
    city("queretaro", (20.6, -100.4), "NA", "MX", 1120),
    city("saopaulo", (-23.5, -46.6), "SA", "BR", 1590),
    city("santiago", (-33.4, -70.7), "SA", "CL", 1430),
    city("dublin", (53.3, -6.3), "EU", "IE", 1110),
    city("london", (51.5, -0.1), "EU", "UK", 1180),
    city("paris", (48.9, 2.4), "EU", "FR", 1180),
    city("frankfurt", (50.1, 8.7), "EU", "DE", 1190),
    city("berlin", (52.5, 13.4), "EU", "DE", 1200),
    city("amsterdam", (52.4, 4.9), "EU", "NL", 1150),
    city("brussels", (50.5, 4.4), "EU", "BE", 1100),
    city("stockholm", (59.3, 18.1), "EU", "SE", 1060),
    city("helsinki", (60.2, 24.9), "EU", "FI", 1090),
    city("warsaw", (52.2, 21.0), "EU", "PL", 1250),
    city("milan", (45.5, 9.2), "EU", "IT", 1220),
    city("madrid", (40.4, -3.7), "EU", "ES", 1180),
    city("zurich", (47.4, 8.5), "EU", "CH", 1320),
    city("oslo", (59.9, 10.8), "EU", "NO", 1300),
    city("telaviv", (32.1, 34.8), "ME", "IL", 1240),
    city("dubai", (25.2, 55.3), "ME", "AE", 1230),
    city("doha", (25.3, 51.5), "ME", "QA", 1250),
    city("bahrain", (26.1, 50.6), "ME", "BH", 1220),
    city("capetown", (-33.9, 18.4), "AF", "ZA", 1310),
    city("johannesburg", (-26.2, 28.0), "AF", "ZA", 1310),
    city("mumbai", (19.1, 72.9), "AP", "IN", 1050),
    city("hyderabad", (17.4, 78.5), "AP", "IN", 1050),
    city("delhi", (28.6, 77.2), "AP", "IN", 1060),
    city("singapore", (1.35, 103.8), "AP", "SG", 1230),
    city("jakarta", (-6.2, 106.8), "AP", "ID", 1290),
    city("kualalumpur", (3.1, 101.7), "AP", "MY", 1200),
    city("bangkok", (13.8, 100.5), "AP", "TH", 1220),
    city("hongkong", (22.3, 114.2), "AP", "HK", 1370),
    city("taipei", (25.0, 121.5), "AP", "TW", 1160),
    city("seoul", (37.6, 127.0), "AP", "KR", 1230),
    city("tokyo", (35.7, 139.7), "AP", "JP", 1290),
    city("osaka", (34.7, 135.5), "AP", "JP", 1290),
    city("sydney", (-33.9, 151.2), "OC", "AU", 1280),
    city("melbourne", (-37.8, 145.0), "OC", "AU", 1280),
    city("auckland", (-36.8, 174.8), "OC", "NZ", 1330),
];

/// Cities where every cloud has a region.
pub(crate) const EVERYWHERE: [&str; 8] =
    ["ashburn", "frankfurt", "london", "mumbai", "saopaulo", "singapore", "sydney", "tokyo"];

/// A cloud, its price level in thousandths, and by geography what a GiB costs that leaves a region for another of
/// the cloud, and for another cloud.
pub(crate) struct Provider {
    pub(crate) name: &'static str,
    pub(crate) price_level: i64,
    pub(crate) egress: [(&'static str, i64, i64); 7],
}

pub(crate) const PROVIDERS: [Provider; 3] = [
    Provider {
        name: "aws",
        price_level: 1000,
        egress: [
            ("NA", 20_000, 90_000),
            ("EU", 20_000, 90_000),
            ("SA", 138_000, 150_000),
            ("AP", 90_000, 120_000),
            ("OC", 98_000, 114_000),
            ("ME", 110_500, 117_000),
            ("AF", 147_000, 154_000),
        ],
    },
    Provider {
        name: "azure",
        price_level: 1005,
        egress: [
            ("NA", 20_000, 87_000),
            ("EU", 20_000, 87_000),
            ("SA", 160_000, 181_000),
            ("AP", 80_000, 120_000),
            ("OC", 80_000, 120_000),
            ("ME", 80_000, 120_000),
            ("AF", 80_000, 181_000),
        ],
    },
    Provider {
        name: "gcp",
        price_level: 985,
        egress: [
            ("NA", 20_000, 120_000),
            ("EU", 20_000, 120_000),
            ("SA", 140_000, 190_000),
            ("AP", 80_000, 140_000),
            ("OC", 100_000, 190_000),
            ("ME", 110_000, 150_000),
            ("AF", 110_000, 150_000),
        ],
    },
];

/// A family of instance types in sizes of vCPU, with prices in micro-USD per hour.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) arch: &'static str,
    pub(crate) gib_per_vcpu: i64,
    pub(crate) vcpu_price: f64,
    pub(crate) gib_price: f64,
    pub(crate) sizes: &'static [i64],
    /// One for each eight vCPU, at one of [`GPU_PRICES`].
    pub(crate) gpus: bool,
}

const SMALL: &[i64] = &[1, 2, 4, 8];
const ALL: &[i64] = &[1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192];
const LARGE: &[i64] = &[2, 4, 8, 16, 32, 48, 64, 96, 128, 192];
const GPU: &[i64] = &[8, 16, 32, 64];

pub(crate) const GPU_PRICES: [f64; 3] = [420e3, 780e3, 1_450e3];
pub(crate) const GENERATIONS: std::ops::RangeInclusive<i64> = 1..=8;

const fn family(
    name: &'static str,
    arch: &'static str,
    gib_per_vcpu: i64,
    (vcpu_price, gib_price): (f64, f64),
    sizes: &'static [i64],
) -> Family {
    let gpus = matches!(name.as_bytes(), b"gpu");
    Family { name, arch, gib_per_vcpu, vcpu_price, gib_price, sizes, gpus }
}

pub(crate) const FAMILIES: [Family; 10] = [
    family("general", "x86_64", 4, (29.5e3, 4.7e3), ALL),
    family("compute", "x86_64", 2, (33e3, 4.5e3), LARGE),
    family("memory", "x86_64", 8, (30.5e3, 4.3e3), LARGE),
    family("memory-plus", "x86_64", 16, (31e3, 4.6e3), LARGE),
    family("burst", "x86_64", 2, (17e3, 3.9e3), SMALL),
    family("arm-general", "arm64", 4, (23.6e3, 3.9e3), ALL),
    family("arm-compute", "arm64", 2, (27e3, 3.8e3), LARGE),
    family("arm-memory", "arm64", 8, (25e3, 3.6e3), LARGE),
    family("gpu", "x86_64", 8, (42e3, 5.2e3), GPU),
    family("storage", "x86_64", 8, (40e3, 6.5e3), LARGE),
];

/// A regime of compliance, and whether a region in the city can have it.
pub(crate) type Label = (&'static str, fn(&City) -> bool);

pub(crate) const LABELS: [Label; 5] = [
    ("fedramp", |city| FEDRAMP.contains(&city.name)),
    ("gdpr", |city| city.geo == "EU"),
    ("hipaa", |city| city.country == "US"),
    ("iso27001", |city| !["BH", "CL", "QA"].contains(&city.country)),
    ("pci", |city| ["EU", "NA", "OC"].contains(&city.geo) || PCI.contains(&city.country)),
];
const FEDRAMP: [&str; 6] = ["ashburn", "chicago", "columbus", "desmoines", "phoenix", "portland"];
const PCI: [&str; 3] = ["JP", "KR", "SG"];
