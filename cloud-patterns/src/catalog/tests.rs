//! The built-in snapshot, the properties of laying over, and that bad input is told.

use std::collections::BTreeSet;

use cloud_core::{CloudId, Currency, Decimal, Location, Provider, Region};
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

mod live;
mod properties;

fn id(text: &str) -> CloudId {
    CloudId::new(text).unwrap()
}

fn place(cloud: &str, region: &str) -> Location {
    Location::new(id(cloud), Region::new(region).unwrap())
}

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// One cloud of AWS with one region and one type, and a price in it.
fn small() -> Catalog {
    let mut catalog = Catalog::new(Currency::usd());
    catalog.sources =
        vec![Source { as_of: Some(time("2026-01-01T00:00:00Z")), ..Source::new("own") }];
    catalog.types = vec![CatalogType {
        provider: Provider::Aws,
        name: "small".into(),
        vcpu: 2,
        memory: cloud_core::ByteSize::gib(4),
        gpu: 0,
        architecture: Some(Architecture::Arm64),
        source: 0,
    }];
    let offer = InstanceOffer { on_demand: Some(dec("0.1")), ..InstanceOffer::new(0, 0) };
    let region =
        CatalogRegion { instances: vec![offer], ..CatalogRegion::new("eu-1".parse().unwrap(), 0) };
    catalog.clouds = vec![CatalogCloud {
        id: id("a"),
        provider: Provider::Aws,
        regions: vec![region],
        quotas: Vec::new(),
        quota_source: None,
    }];
    catalog
}

fn error_of<T: std::fmt::Debug>(result: cloud_core::Result<T>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn the_snapshot_is_plausible() {
    let catalog = builtin::unpack().unwrap();
    catalog.check_dates(time("2026-11-01T00:00:00Z")).unwrap();
    const { assert!(BUILTIN_BYTES < 250_000, "say so in builtin.rs and the README") };
    let counts: Vec<_> = catalog
        .clouds
        .iter()
        .map(|c| {
            let types = catalog.types.iter().filter(|t| t.provider == c.provider).count();
            let offers: usize = c.regions.iter().map(|r| r.instances.len()).sum();
            (c.id.as_str(), c.regions.len() >= 34, types >= 450, offers >= 9_000)
        })
        .collect();
    assert_eq!(
        counts,
        [("aws", true, true, true), ("azure", true, true, true), ("gcp", true, true, true)]
    );
    for (cloud, region) in catalog.regions() {
        let at = format!("{}/{}", cloud.id, region.region);
        assert!(region.country.is_some() && region.coordinates.is_some(), "{at}");
        assert!(region.instances.len() >= 50, "{at}: {}", region.instances.len());
        assert_eq!(region.residency, blocs_of(region.country.as_deref().unwrap()), "{at}");
        assert_eq!(region.attests("gdpr"), region.lies_in("EEA"), "{at}");
        assert!(!region.attests("FedRAMP High") || region.lies_in("US"), "{at}");
        for offer in &region.instances {
            let prices = [offer.on_demand, offer.spot];
            assert!(offer.on_demand.is_some() && offer.reserved.is_none(), "{at}");
            assert!(prices.into_iter().flatten().all(|p| p > Decimal::ZERO), "{at}: {offer:?}");
        }
    }
    for one in &catalog.types {
        let ratio = one.memory.as_gib() / f64::from(one.vcpu);
        assert!((0.2..=256.0).contains(&ratio), "{one:?}");
        assert!(one.architecture.is_some(), "{one:?}");
    }
}

#[test]
fn the_snapshot_has_what_its_sources_say() {
    let catalog = Catalog::builtin().unwrap();
    for (cloud, region, name, price) in [
        ("aws", "us-east-1", "m5.large", "0.096"),
        ("azure", "eastus", "Standard_D2s_v5", "0.096"),
        ("gcp", "us-central1", "n2-standard-4", "0.194236"),
    ] {
        let provider = catalog.cloud(&id(cloud)).unwrap().provider;
        let (index, one) = catalog.instance_type(provider, name).unwrap();
        let home = catalog.region(&place(cloud, region)).unwrap();
        let offer = home.offer(index).unwrap();
        assert_eq!(offer.on_demand, Some(dec(price)), "{name}");
        assert_eq!(one.memory.as_gib(), f64::from(one.vcpu) * 4.0, "{name}");
        assert!(catalog.source(offer.source).unwrap().as_of.is_some(), "{name}");
    }
    let virginia = catalog.region(&place("aws", "us-east-1")).unwrap();
    assert_eq!(
        virginia.egress.to(&"us-east-2".parse().unwrap()).unwrap().as_flat(),
        Some(dec("0.01"))
    );
    assert_eq!(virginia.egress.to_other_cloud().unwrap().as_flat(), Some(dec("0.09")));
    let trip =
        catalog.round_trip(&place("azure", "brazilsouth"), &place("azure", "canadaeast")).unwrap();
    assert_eq!((trip.tenths(), trip.measured), (1340, true));
}

/// Light cannot be overtaken: a measured round trip shorter than that in fibre would mean wrong coordinates.
#[test]
fn the_coordinates_fit_the_measured_round_trips() {
    let catalog = Catalog::builtin().unwrap();
    let azure: Vec<_> =
        catalog.locations().into_iter().filter(|p| p.cloud == id("azure")).collect();
    let (mut pairs, mut within) = (0, 0);
    for (i, a) in azure.iter().enumerate() {
        for b in &azure[i + 1..] {
            let Some(measured) = catalog.latency.measured(a, b) else { continue };
            let point = |p| catalog.region(p).unwrap().coordinates.unwrap();
            let estimate = RoundTrip::estimated(great_circle_km(point(a), point(b)));
            assert!(measured.ms + 1.5 > estimate.low / 1.27, "{a} {b}: {measured} but {estimate}");
            pairs += 1;
            within += usize::from((estimate.low..=estimate.high).contains(&measured.ms));
        }
    }
    assert!(pairs > 1_000 && within * 100 > pairs * 80, "{within} of {pairs}");
}

#[test]
fn age_and_warnings_are_by_source() {
    let mut catalog = small();
    let now = time("2026-04-02T00:00:00Z");
    assert_eq!(catalog.age(now).unwrap().as_secs(), 91 * 86_400);
    let warnings = catalog.warnings(now, Catalog::MAX_AGE);
    let text = "the figures of source 'own' are of 2026-01-01, 91 days old (accepted: 90)";
    assert_eq!(warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), [text]);
    catalog.sources[0].lifetime_days = Some(100);
    assert!(catalog.warnings(now, Catalog::MAX_AGE).is_empty());
    catalog.sources[0].as_of = None;
    assert!(matches!(catalog.warnings(now, Catalog::MAX_AGE)[..], [Warning::Undated { .. }]));
    assert_eq!(small().warnings(time("2025-01-01T00:00:00Z"), Catalog::MAX_AGE).len(), 1);
    assert!(
        error_of(small().check_dates(time("2025-01-01T00:00:00Z")))
            .contains("sources[own].as_of is 2026")
    );
    // Nobody uses this one, so it makes nothing old.
    let mut catalog = small();
    catalog.sources.push(Source::new("unused"));
    assert!(catalog.warnings(time("2026-01-02T00:00:00Z"), Catalog::MAX_AGE).is_empty());
}

#[test]
fn bad_catalogs_are_told() {
    let bad = |change: fn(&mut Catalog)| {
        let mut catalog = small();
        change(&mut catalog);
        error_of(catalog.validate())
    };
    let region =
        |c: &mut Catalog, change: fn(&mut CatalogRegion)| change(&mut c.clouds[0].regions[0]);
    let at = "clouds[a].regions[eu-1]";
    for (error, text) in [
        (bad(|c| c.sources.clear()), "source is 0 somewhere"),
        (bad(|c| c.clouds.push(c.clouds[0].clone())), "clouds have 'a' twice"),
        (
            bad(|c| {
                let r = c.clouds[0].regions[0].clone();
                c.clouds[0].regions.push(r)
            }),
            "regions have 'eu-1' twice",
        ),
        (
            bad(|c| c.clouds[0].provider = Provider::Gcp),
            "instance_type is 0, a type of aws; accepted: a type of gcp",
        ),
        (bad(|c| c.types.clear()), "instance_type is 0 of 0 types"),
        (bad(|c| c.types[0].vcpu = 0), "types[0].vcpu is 0"),
        (bad(|c| c.types[0].memory = cloud_core::ByteSize::default()), "types[0].memory is 0"),
        (
            bad(|c| {
                c.cities.push(City {
                    name: "X".into(),
                    country: None,
                    coordinates: Some((91.0, 0.0)),
                    round_trips: Vec::new(),
                    source: 0,
                })
            }),
            "cities[X].coordinates are 91, 0",
        ),
    ] {
        assert!(error.contains(text), "{error}");
    }
    let bad = |change: fn(&mut CatalogRegion)| {
        let mut catalog = small();
        region(&mut catalog, change);
        error_of(catalog.validate())
    };
    for (error, text) in [
        (
            bad(|r| r.instances[0].spot = Some(dec("-0.01"))),
            "instances[0].spot is -0.01; accepted: 0 to 10000",
        ),
        (
            bad(|r| r.instances[0].on_demand = Some(dec("10000.01"))),
            "instances[0].on_demand is 10000.01",
        ),
        (bad(|r| r.instances.push(r.instances[0].clone())), "instances have type 0 after 0"),
        (bad(|r| r.coordinates = Some((f64::NAN, 0.0))), "coordinates are NaN, 0"),
        (bad(|r| r.coordinates = Some((0.0, f64::INFINITY))), "coordinates are 0, inf"),
        (bad(|r| r.country = Some("de".into())), "country is 'de'"),
        (bad(|r| r.compliance = vec!["pci".into()]), "compliance has 'pci'; accepted: 'PCI-DSS'"),
    ] {
        assert!(error.contains(at) && error.contains(text), "{error}");
    }
}

#[test]
fn lookups_list_what_there_is() {
    let catalog = Catalog::builtin().unwrap();
    let error = error_of(catalog.region(&place("aws", "eu-west-9")));
    assert!(error.contains("accepted: af-south-1") && error.ends_with(", …"), "{error}");
    assert_eq!(error.matches(", ").count(), 10, "{error}");
    assert!(error_of(catalog.cloud(&id("oracle"))).contains("accepted: aws, azure, gcp"));
    assert!(error_of(catalog.city("Frankfort")).contains("Frankfurt"));
    assert!(error_of(catalog.instance_type(Provider::Aws, "m5.huge")).contains("m5.12xlarge"));
    assert!(error_of(catalog.residency("Mars")).contains("accepted: EEA, EFTA, EU, AE"));
    let nearest = catalog.nearest((50.11, 8.68), 3);
    let clouds: BTreeSet<_> = nearest.iter().map(|(p, _)| p.cloud.as_str()).collect();
    assert_eq!(clouds.len(), 3, "{nearest:?}");
}

#[test]
fn price_lists_are_checked_line_by_line() {
    let list = |lines: &str| {
        let mut catalog = small();
        let header = "cloud,region,instance_type,vcpu,memory_gib,on_demand,spot,currency";
        let result =
            catalog.overlay_prices("p.csv", &format!("{header}\n{lines}"), Source::new("list"));
        result.map(|()| catalog)
    };
    let catalog = list("a,eu-1,small,,,0.2,,USD\na,eu-1,big,8,32,0.8,0.3,\n").unwrap();
    let region = &catalog.clouds[0].regions[0];
    let prices: Vec<_> = region.instances.iter().map(|o| (o.on_demand.unwrap(), o.spot)).collect();
    assert_eq!(prices, [(dec("0.2"), None), (dec("0.8"), Some(dec("0.3")))]);
    assert_eq!(catalog.source(region.instances[0].source).unwrap().id, "list");
    assert_eq!(catalog.source(region.source).unwrap().id, "own");
    assert_eq!(catalog.types[1].memory, cloud_core::ByteSize::gib(32));
    for (lines, text) in [
        ("a,eu-1,small,,,-1,,", "p.csv, line 2: on_demand is -1; accepted: 0 to 10000"),
        ("a,eu-1,small,,,NaN,,", "p.csv, line 2: on_demand is 'NaN'; accepted: a number"),
        (
            "a,eu-1,small,,,0.1,,\na,eu-2,small,,,1,,",
            "p.csv, line 3: region 'a/eu-2' is not in the catalog",
        ),
        ("b,eu-1,small,,,1,,", "cloud 'b' is not in the catalog"),
        ("a,eu-1,small,,,1,,EUR", "currency is EUR; accepted: USD, the catalog's"),
        ("a,eu-1,tiny,,,1,,", "aws instance type 'tiny' is not in the catalog"),
        ("a,eu-1,tiny,1,,1,,", "memory_gib is empty"),
        ("a,eu-1,tiny,0,1,1,,", "vcpu is 0"),
        ("a,eu-1,small,,,1,,\na,eu-1,small,,,1,,", "line 3: instance_type comes twice for a/eu-1"),
        ("a,eu-1", "p.csv cannot be read"),
    ] {
        let error = error_of(list(lines));
        assert!(error.contains(text), "{error}");
    }
    let error =
        error_of(small().overlay_prices("p.csv", "cloud,region,type\n", Source::new("list")));
    assert!(
        error.contains("p.csv, line 1: column 'type' is unknown; accepted: cloud, region"),
        "{error}"
    );
}

#[test]
fn two_currencies_do_not_mix() {
    let mut catalog = small();
    let euros = Catalog { currency: Currency::new("EUR").unwrap(), ..small() };
    assert!(error_of(catalog.overlay(&euros)).contains("currency is USD here and EUR there"));
    assert_eq!(catalog, small());
}

#[test]
fn the_newer_fact_wins_a_merge_and_the_upper_an_overlay() {
    let dated = |date: &str, price: &str| {
        let mut catalog = small();
        catalog.sources[0] = Source { as_of: Some(time(date)), ..Source::new(date) };
        catalog.clouds[0].regions[0].instances[0].on_demand = Some(dec(price));
        catalog
    };
    let (old, new) = (dated("2025-01-01T00:00:00Z", "1"), dated("2026-01-01T00:00:00Z", "2"));
    let price = |c: &Catalog| c.clouds[0].regions[0].instances[0].on_demand.unwrap();
    for (under, over, merged, laid) in [(&old, &new, "2", "2"), (&new, &old, "2", "1")] {
        let mut both = under.clone();
        both.merge(over).unwrap();
        assert_eq!(price(&both), dec(merged));
        assert_eq!(both.sources, new.sources);
        let mut both = under.clone();
        both.overlay(over).unwrap();
        assert_eq!(price(&both), dec(laid));
    }
    // A price that only the older has stays, with its own source.
    let mut spot = old.clone();
    spot.clouds[0].regions[0].instances[0].spot = Some(dec("0.5"));
    spot.merge(&new).unwrap();
    let offer = &spot.clouds[0].regions[0].instances[0];
    assert_eq!((offer.on_demand, offer.spot), (Some(dec("2")), Some(dec("0.5"))));
    let date = |i| spot.source(i).unwrap().id[..4].to_owned();
    assert_eq!(
        (date(offer.source), date(offer.spot_source.unwrap())),
        ("2026".into(), "2025".into())
    );
}

#[test]
fn accounts_share_the_facts_of_their_provider() {
    let ours = [
        (id("az-1"), Provider::Azure),
        (id("az-2"), Provider::Azure),
        (id("lab"), Provider::Local),
    ];
    let catalog = Catalog::builtin().unwrap().for_clouds(&ours);
    catalog.validate().unwrap();
    assert!(catalog.types.iter().all(|t| t.provider == Provider::Azure));
    assert!(catalog.cloud(&id("lab")).unwrap().regions.is_empty());
    let (here, there) = (place("az-1", "westeurope"), place("az-2", "northeurope"));
    let known = Catalog::builtin().unwrap();
    let same =
        known.round_trip(&place("azure", "westeurope"), &place("azure", "northeurope")).unwrap();
    assert_eq!(catalog.round_trip(&here, &there).unwrap().ms, same.ms);
    let places = catalog.locations();
    let matrix = catalog.matrix(&places);
    assert_eq!(matrix.len(), 114);
    for (i, a) in places.iter().enumerate().step_by(7) {
        for (j, b) in places.iter().enumerate() {
            assert_eq!(matrix.get(i, j), catalog.round_trip(a, b));
        }
    }
    assert_eq!(matrix.get(0, 114), None);
}

#[test]
fn a_table_of_tenths_comes_back_to_the_tenth() {
    let mut catalog = small();
    let regions: Vec<_> =
        (0..90).map(|i| (id("a"), Region::new(format!("r-{i:02}")).unwrap())).collect();
    let tenths = (0..90u32).map(|i| (0..90u32).map(|j| Some(i * 37 + j * 11)).collect()).collect();
    catalog.latency.tables = vec![LatencyTable { source: 0, regions: regions.clone(), tenths }];
    catalog.cities = vec![City {
        name: "Somewhere".into(),
        country: None,
        coordinates: None,
        round_trips: vec![CityRoundTrip {
            cloud: id("a"),
            region: "eu-1".parse().unwrap(),
            tenths: 123,
            source: 0,
        }],
        source: 0,
    }];
    let catalog = Catalog::from_json(&catalog.to_json().unwrap()).unwrap();
    let places: Vec<_> = regions.into_iter().map(|(c, r)| Location::new(c, r)).collect();
    let matrix = catalog.matrix(&places);
    for (i, j) in (0..90u32).flat_map(|i| (0..90u32).map(move |j| (i, j))) {
        let trip = matrix.get(i as usize, j as usize).unwrap();
        assert_eq!((trip.tenths(), trip.measured), (i * 37 + j * 11, true));
    }
    let city = catalog.city("SOMEWHERE").unwrap();
    assert_eq!(catalog.city_round_trip(city, &place("a", "eu-1")).unwrap().tenths(), 123);
    assert_eq!(catalog.city_round_trip(city, &place("a", "r-00")), None);
}

#[tokio::test]
async fn a_file_is_named_in_its_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.json");
    std::fs::write(&path, small().to_json().unwrap()).unwrap();
    assert_eq!(Catalog::read(&path).await.unwrap(), small());
    std::fs::write(&path, "{\"currency\": \"USD\",\n\"sources\": 7}").unwrap();
    let error = error_of(Catalog::read(&path).await);
    assert!(
        error.contains("catalog.json: catalog sources cannot be read") && error.contains("line 2"),
        "{error}"
    );
    let error = error_of(Catalog::read(&folder.path().join("none.json")).await);
    assert!(error.contains("none.json") && error.starts_with("not_found"), "{error}");
}
