//! Round trips: measured where somebody measured them, else estimated from the distance, and which of the two.

use cloud_core::{CloudId, Location, Region};
use serde::{Deserialize, Serialize};

use super::{Catalog, City};

/// Light in glass fibre, in km per ms: that in vacuum over a refractive index of 1.468.
const FIBRE_KM_PER_MS: f64 = 299.792_458 / 1.468;
/// How much longer a measured round trip takes than light in a straight fibre would: 5th, 50th and 95th percentile over
/// the pairs of Azure's regions.
const DETOUR: (f64, f64, f64) = (1.27, 1.68, 2.77);
/// The Earth's mean radius.
const EARTH_KM: f64 = 6371.0;

/// The distance between two points, given as latitude and longitude in degrees, along the Earth's surface.
///
/// ```
/// let (frankfurt, dublin) = ((50.1, 8.7), (53.3, -6.3));
/// let km = cloud_patterns::catalog::great_circle_km(frankfurt, dublin);
/// assert!((km - 1090.0).abs() < 20.0, "{km}");
/// ```
pub fn great_circle_km(a: (f64, f64), b: (f64, f64)) -> f64 {
    let (lat_a, lat_b) = (a.0.to_radians(), b.0.to_radians());
    let half = |x: f64| (x / 2.0).sin().powi(2);
    let h = half(lat_b - lat_a) + lat_a.cos() * lat_b.cos() * half((b.1 - a.1).to_radians());
    2.0 * EARTH_KM * h.clamp(0.0, 1.0).sqrt().asin()
}

/// An estimate of the round trip over a distance, in ms: 1.68 times that of light in a straight fibre, the median of what
/// was measured between Azure's regions. Of 100 pairs of regions, 90 lie between 0.76 and 1.65 times the estimate.
///
/// ```
/// let ms = cloud_patterns::catalog::estimated_rtt_ms(1000.0);
/// assert!((ms - 16.5).abs() < 0.5, "{ms}");
/// ```
pub fn estimated_rtt_ms(km: f64) -> f64 {
    2.0 * km / FIBRE_KM_PER_MS * DETOUR.1
}

/// A round trip. [`Display`](std::fmt::Display) says whether it is an estimate, and how wide.
///
/// ```
/// use cloud_patterns::catalog::RoundTrip;
/// let far = RoundTrip::estimated(1000.0);
/// assert_eq!(far.to_string(), "about 16.5 ms (12.4 to 27.1; estimated from the distance)");
/// assert_eq!(RoundTrip::measured(213, 0).to_string(), "21.3 ms");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundTrip {
    /// Milliseconds.
    pub ms: f64,
    /// Whether somebody measured it; otherwise it is estimated from the distance.
    pub measured: bool,
    /// The least to reckon with, in ms: of an estimate the 5th percentile, else the same as `ms`.
    pub low: f64,
    /// The most to reckon with, in ms: of an estimate the 95th percentile, else the same as `ms`.
    pub high: f64,
    /// Where a measured one comes from.
    pub source: Option<u16>,
}

impl RoundTrip {
    /// One that was measured, in tenths of a millisecond.
    pub fn measured(tenths: u32, source: u16) -> Self {
        let ms = f64::from(tenths) / 10.0;
        Self { ms, measured: true, low: ms, high: ms, source: Some(source) }
    }

    /// The [estimate](estimated_rtt_ms) over this many km.
    pub fn estimated(km: f64) -> Self {
        let light = 2.0 * km / FIBRE_KM_PER_MS;
        Self {
            ms: light * DETOUR.1,
            measured: false,
            low: light * DETOUR.0,
            high: light * DETOUR.2,
            source: None,
        }
    }

    /// Tenths of a millisecond: of a measured one exactly what was measured.
    pub fn tenths(&self) -> u32 {
        (self.ms * 10.0).round() as u32
    }
}

impl std::fmt::Display for RoundTrip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.measured {
            return write!(f, "{} ms", self.ms);
        }
        write!(
            f,
            "about {:.1} ms ({:.1} to {:.1}; estimated from the distance)",
            self.ms, self.low, self.high
        )
    }
}

/// What was measured between regions.
///
/// ```
/// use cloud_core::{CloudId, Location, Region};
/// use cloud_patterns::catalog::{Latency, LatencyTable};
/// let place = |region| Location::new(CloudId::new("a").unwrap(), Region::new(region).unwrap());
/// let (here, there) = (place("eu-1"), place("us-1"));
/// let table = LatencyTable {
///     source: 0,
///     regions: vec![(here.cloud.clone(), here.region.clone()), (there.cloud.clone(), there.region.clone())],
///     tenths: vec![vec![Some(5), Some(812)], vec![None, Some(5)]],
/// };
/// let latency = Latency { tables: vec![table] };
/// // The way back was not measured: what was measured one way holds for both.
/// assert_eq!(latency.measured(&there, &here).unwrap().ms, 81.2);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Latency {
    /// The tables; the first that has a pair holds for it.
    pub tables: Vec<LatencyTable>,
}

/// Round trips between some regions, from one source.
///
/// See [`Latency`] for an example.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyTable {
    /// Where it comes from.
    pub source: u16,
    /// The regions of the rows, which are those of the columns.
    pub regions: Vec<(CloudId, Region)>,
    /// Tenths of a millisecond from the row's region to the column's; `None` where nobody measured.
    pub tenths: Vec<Vec<Option<u32>>>,
}

impl LatencyTable {
    fn row(&self, place: &Location) -> Option<usize> {
        self.regions.iter().position(|(c, r)| *c == place.cloud && *r == place.region)
    }

    fn get(&self, from: usize, to: usize) -> Option<RoundTrip> {
        let at = |a: usize, b: usize| self.tenths.get(a)?.get(b).copied().flatten();
        at(from, to).or_else(|| at(to, from)).map(|t| RoundTrip::measured(t, self.source))
    }
}

impl Latency {
    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// What was measured between two regions. See [`Catalog::round_trip`] for the estimate where nobody measured.
    pub fn measured(&self, from: &Location, to: &Location) -> Option<RoundTrip> {
        self.tables.iter().find_map(|t| t.get(t.row(from)?, t.row(to)?))
    }
}

/// A round trip that was measured between a city and a region.
///
/// ```
/// # use cloud_patterns::catalog::{CityRoundTrip, RoundTrip};
/// fn read(one: &CityRoundTrip) -> RoundTrip { RoundTrip::measured(one.tenths, one.source) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CityRoundTrip {
    /// The region's cloud.
    pub cloud: CloudId,
    /// The region.
    pub region: Region,
    /// Tenths of a millisecond.
    pub tenths: u32,
    /// Where it comes from.
    pub source: u16,
}

/// The round trips between some places, by their positions in the list it was made from: for whoever needs many.
///
/// ```
/// use cloud_patterns::catalog::Catalog;
/// let catalog = Catalog::builtin().unwrap();
/// let places = catalog.locations();
/// let matrix = catalog.matrix(&places);
/// assert_eq!(matrix.get(0, 1), catalog.round_trip(&places[0], &places[1]));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LatencyMatrix {
    size: usize,
    cells: Vec<Option<RoundTrip>>,
}

impl LatencyMatrix {
    /// How many places it is between.
    pub fn len(&self) -> usize {
        self.size
    }

    /// Whether it is of no places.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// From one place to another; `None` if it was not measured and the coordinates of one are unknown, or for a
    /// position that is not in the list.
    pub fn get(&self, from: usize, to: usize) -> Option<RoundTrip> {
        self.row(from).get(to).copied().flatten()
    }

    /// From one place to all; empty for a position that is not in the list.
    pub fn row(&self, from: usize) -> &[Option<RoundTrip>] {
        if from < self.size { &self.cells[from * self.size..][..self.size] } else { &[] }
    }
}

impl Catalog {
    /// From one region to another: measured, or else estimated from the distance. Within a region that nobody
    /// measured, the estimate is 0. `None` if a region is not in the catalog or its coordinates are unknown.
    pub fn round_trip(&self, from: &Location, to: &Location) -> Option<RoundTrip> {
        self.latency.measured(from, to).or_else(|| {
            let km = great_circle_km(self.point(from)?, self.point(to)?);
            Some(RoundTrip::estimated(km))
        })
    }

    fn point(&self, place: &Location) -> Option<(f64, f64)> {
        self.region(place).ok()?.coordinates
    }

    /// From a city to a region: measured, or else estimated.
    pub fn city_round_trip(&self, city: &City, to: &Location) -> Option<RoundTrip> {
        let measured =
            city.round_trips.iter().find(|r| r.cloud == to.cloud && r.region == to.region);
        match measured {
            Some(one) => Some(RoundTrip::measured(one.tenths, one.source)),
            None => self.point_round_trip(city.coordinates?, to),
        }
    }

    /// The estimate from a point, latitude and longitude in degrees, to a region.
    pub fn point_round_trip(&self, from: (f64, f64), to: &Location) -> Option<RoundTrip> {
        Some(RoundTrip::estimated(great_circle_km(from, self.point(to)?)))
    }

    /// [`round_trip`](Self::round_trip) between all of these places. Looks each place up once.
    pub fn matrix(&self, places: &[Location]) -> LatencyMatrix {
        let points: Vec<_> = places.iter().map(|p| self.point(p)).collect();
        let tables: Vec<(&LatencyTable, Vec<Option<usize>>)> =
            self.latency.tables.iter().map(|t| (t, t.rows(places))).collect();
        let cell = |i: usize, j: usize| {
            let measured = tables.iter().find_map(|(t, rows)| t.get(rows[i]?, rows[j]?));
            measured.or_else(|| Some(RoundTrip::estimated(great_circle_km(points[i]?, points[j]?))))
        };
        let size = places.len();
        let cells = (0..size).flat_map(|i| (0..size).map(move |j| (i, j)));
        LatencyMatrix { size, cells: cells.map(|(i, j)| cell(i, j)).collect() }
    }
}

impl LatencyTable {
    /// The rows of many places at once.
    fn rows(&self, places: &[Location]) -> Vec<Option<usize>> {
        let index: std::collections::HashMap<_, _> =
            self.regions.iter().enumerate().map(|(i, (c, r))| ((c, r), i)).collect();
        places.iter().map(|p| index.get(&(&p.cloud, &p.region)).copied()).collect()
    }
}
