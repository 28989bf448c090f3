//! Latency, estimated from the distance.

/// Light in glass fibre, in km per ms: that in vacuum over a refractive index of 1.468.
const FIBRE_KM_PER_MS: f64 = 299.792_458 / 1.468;
/// How much longer a measured round trip takes than light in a straight fibre would: the median over the pairs of
/// Azure's regions. For 5 of 100 pairs it is under 1.27, for as many over 2.77.
const DETOUR: f64 = 1.68;
/// The Earth's mean radius.
const EARTH_KM: f64 = 6371.0;

/// The distance between two points, given as latitude and longitude in degrees, along the Earth's surface.
///
/// ```
/// let (frankfurt, dublin) = ((50.1, 8.7), (53.3, -6.3));
/// let km = cloud_patterns::place::great_circle_km(frankfurt, dublin);
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
/// let ms = cloud_patterns::place::estimated_rtt_ms(1000.0);
/// assert!((ms - 16.5).abs() < 0.5, "{ms}");
/// ```
pub fn estimated_rtt_ms(km: f64) -> f64 {
    2.0 * km / FIBRE_KM_PER_MS * DETOUR
}
