//! Placement: what is chosen, and why the rest is not.

mod brute;
mod exact;
mod features;
mod properties;

use std::sync::Arc;

use cloud_core::{
    BillingCapabilities, ByteSize, Capabilities, Cloud, CloudId, Currency, Decimal, InstanceType,
    Price, PriceUnit, Provider, Purchase, Quota, Region, RegionInfo, ResourceType, Zone,
};
use cloud_testkit::sim::SimCloud;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use std::collections::BTreeMap;

use cloud_core::{Location, Money};

use super::*;
use crate::{
    catalog::Catalog,
    engine::{clouds::Clouds, plan::Choice},
    workload::{Component, OptimizeFor},
};

/// What a cloud of the test kit can do.
fn capabilities() -> Capabilities {
    SimCloud::new("sim", 1).capabilities().clone()
}

fn region(name: &str, hourly: Option<&str>) -> ObservedRegion {
    let region = Region::new(name).unwrap();
    let kinds = [("small", 1, 1), ("large", 4, 16)];
    let types = kinds.map(|(name, vcpu, gib)| InstanceType {
        name: name.into(),
        region: region.clone(),
        vcpu,
        memory: ByteSize::gib(gib),
        gpu: 0,
        architecture: None,
    });
    let price = |sku: &str, factor: i64, hourly: &str| Price {
        sku: sku.into(),
        resource_type: ResourceType::Compute,
        region: region.clone(),
        unit: PriceUnit::Hour,
        price: Money::usd(hourly.parse::<Decimal>().unwrap() * Decimal::from(factor)),
        purchase: Purchase::OnDemand,
        as_of: Timestamp::UNIX_EPOCH,
    };
    ObservedRegion {
        info: RegionInfo::new(region.clone()),
        instance_types: Some(types.into()),
        prices: hourly.map(|hourly| vec![price("small", 1, hourly), price("large", 5, hourly)]),
        quotas: None,
        errors: Vec::new(),
    }
}

fn cloud(id: &str, regions: Vec<ObservedRegion>) -> ObservedCloud {
    ObservedCloud {
        id: CloudId::new(id).unwrap(),
        provider: Provider::Other,
        capabilities: capabilities(),
        regions: Ok(regions),
    }
}

fn three() -> Observation {
    let mut eu = region("eu-1", Some("0.03"));
    eu.info.country = Some("DE".into());
    eu.info.coordinates = Some((50.1, 8.7));
    eu.info.compliance = vec!["GDPR".into()];
    let mut us = region("us-1", Some("0.01"));
    us.info.country = Some("US".into());
    us.info.coordinates = Some((38.9, -77.4));
    us.info.zones = vec![Zone::new("us-1a").unwrap(), Zone::new("us-1b").unwrap()];
    let mut uk = region("uk-1", None);
    uk.info.coordinates = Some((51.5, -0.1));
    Observation { clouds: vec![cloud("a", vec![eu, uk]), cloud("b", vec![us])] }
}

fn web() -> Component {
    Component::new("web", ResourceType::Compute)
}

fn wanted(component: &Component) -> Wanted<'_> {
    Wanted {
        component,
        resource_name: format!("shop-{}", component.name),
        replicas: component.replicas,
        pinned: None,
    }
}

/// The choices, made with what was observed and nothing else.
fn place_all(components: &[Component], observation: &Observation) -> Result<Vec<Choice>> {
    place_some(components.iter().map(wanted).collect(), observation, BTreeMap::new())
}

fn place_some(
    wanted: Vec<Wanted<'_>>,
    observation: &Observation,
    excluded: BTreeMap<Location, String>,
) -> Result<Vec<Choice>> {
    let (catalog, _) = Catalog::from_observation(observation, None, Timestamp::UNIX_EPOCH)?;
    let observation = Some(observation);
    let request = Request { observation, excluded, ..Request::new(&catalog, wanted) };
    let placement = place(&request)?;
    Ok((0..placement.placed.len()).map(|i| placement.choice(i).unwrap()).collect())
}

fn place_one(component: &Component, observation: &Observation) -> Result<Choice> {
    let mut placed = place_all(std::slice::from_ref(component), observation)?;
    Ok(placed.remove(0))
}

fn where_and_why_not(choice: &Choice) -> (String, Vec<String>) {
    let rejected = choice.rejected.iter().map(|r| format!("{}: {}", r.place, r.why));
    (choice.places[0].to_string(), rejected.collect())
}

#[test]
fn the_cheapest_by_default_and_by_wish() {
    let mut web = web();
    let (place, rejected) = where_and_why_not(&place_one(&web, &three()).unwrap());
    assert_eq!(place, "b/us-1");
    assert_eq!(
        rejected,
        [
            "a/eu-1: dearer: 14.6 USD a month more",
            "a/uk-1: its price is unknown, and that of the chosen place is known"
        ]
    );
    web.requirements.optimize_for = Some(OptimizeFor::Cost);
    let choice = place_one(&web, &three()).unwrap();
    assert_eq!(choice.monthly_cost, Some(Money::usd("7.30".parse().unwrap())));
    assert_eq!(choice.figures["instance type"], "small");
    let (_, rejected) = where_and_why_not(&choice);
    assert_eq!(rejected[1], "a/uk-1: its price is unknown, and cost is to be optimised");
}

#[test]
fn the_nearest_for_latency() {
    let mut web = web();
    web.requirements.target_region = Some(Region::new("uk-1").unwrap().into());
    let choice = place_one(&web, &three()).unwrap();
    let (place, rejected) = where_and_why_not(&choice);
    assert_eq!(place, "a/uk-1");
    assert!(rejected[0].starts_with("a/eu-1: farther: about 10."), "{rejected:?}");
    assert_eq!(choice.figures["round trip to uk-1, estimated"], "0.0 ms");
    web.requirements.target_region = Some(Region::new("mars-1").unwrap().into());
    let error = place_one(&web, &three()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(
        error.to_string().contains("'mars-1', which no cloud has; accepted: eu-1, uk-1, us-1"),
        "{error}"
    );
}

#[test]
fn each_requirement_rules_places_out_with_its_reason() {
    let cases = [
        (
            json!({"compliance_requirements": ["gdpr"]}),
            "a/eu-1",
            "b/us-1: it is not attested for gdpr",
        ),
        (
            json!({"allowed_clouds": ["a"]}),
            "a/eu-1",
            "b/us-1: the cloud is not among those allowed",
        ),
        (json!({"forbidden_clouds": ["b"]}), "a/eu-1", "b/us-1: the cloud is forbidden"),
        (
            json!({"allowed_regions": ["eu-1"]}),
            "a/eu-1",
            "b/us-1: the region is not among those allowed",
        ),
        (json!({"forbidden_regions": ["us-1"]}), "a/eu-1", "b/us-1: the region is forbidden"),
        (json!({"allowed_countries": ["de"]}), "a/eu-1", "a/uk-1: its country is unknown"),
        (
            json!({"allowed_countries": ["DE"]}),
            "a/eu-1",
            "b/us-1: it lies in US, which is not among the countries allowed",
        ),
    ];
    for (requirements, expected, reason) in cases {
        let mut web = web();
        web.requirements = serde_json::from_value(requirements).unwrap();
        let (place, rejected) = where_and_why_not(&place_one(&web, &three()).unwrap());
        assert_eq!(place, expected);
        assert!(rejected.iter().any(|r| r == reason), "{rejected:?}");
    }
}

#[test]
fn what_a_place_cannot_do_rules_it_out() {
    let mut observation = three();
    observation.clouds[1].capabilities.compute = None;
    let (place, rejected) = where_and_why_not(&place_one(&web(), &observation).unwrap());
    assert_eq!(place, "a/eu-1");
    assert!(
        rejected.contains(&"b/us-1: this cloud does not offer compute".to_owned()),
        "{rejected:?}"
    );
    let mut down = three();
    down.clouds[1].regions.as_mut().unwrap()[0].info.available = false;
    let (_, rejected) = where_and_why_not(&place_one(&web(), &down).unwrap());
    assert!(rejected.contains(&"b/us-1: the region is down".to_owned()), "{rejected:?}");
    let mut silent = three();
    silent.clouds[1].regions = Err("unavailable: no route".into());
    let (_, rejected) = where_and_why_not(&place_one(&web(), &silent).unwrap());
    assert!(
        rejected
            .contains(&"b/unknown: the cloud does not answer: unavailable: no route".to_owned()),
        "{rejected:?}"
    );
    let mut huge = web();
    huge.spec.insert("size".into(), json!({"at_least": {"vcpu": 64, "memory": "1GiB"}}));
    let error = place_one(&huge, &three()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CapacityUnavailable);
    for place in ["a/eu-1: it has no instance type with 64 vCPU", "a/uk-1: ", "b/us-1: "] {
        assert!(error.to_string().contains(place), "{error}");
    }
}

#[test]
fn quotas_count_what_was_placed_before() {
    let mut observation = three();
    let region = &mut observation.clouds[1].regions.as_mut().unwrap()[0];
    region.quotas = Some(vec![Quota {
        name: Quota::INSTANCES.into(),
        resource_type: ResourceType::Compute,
        region: None,
        limit: 10,
        used: Some(7),
    }]);
    let mut first = web();
    first.replicas = 2;
    let mut second = Component::new("worker", ResourceType::Compute);
    second.replicas = 2;
    let placed = place_all(&[first, second], &observation).unwrap();
    let (there, elsewhere): (Vec<_>, Vec<_>) =
        placed.iter().partition(|choice| choice.places[0].cloud.as_str() == "b");
    assert_eq!(there[0].places[0].to_string(), "b/us-1/us-1a");
    let (place, rejected) = where_and_why_not(elsewhere[0]);
    assert_eq!(place, "a/eu-1");
    assert!(
        rejected
            .contains(&"b/us-1: its quota of instances has 1 left, and 2 are needed".to_owned()),
        "{rejected:?}"
    );
}

#[test]
fn replicas_take_the_zones_in_turn() {
    let mut web = web();
    web.replicas = 3;
    let choice = place_one(&web, &three()).unwrap();
    let places: Vec<_> = choice.places.iter().map(Location::to_string).collect();
    assert_eq!(places, ["b/us-1/us-1a", "b/us-1/us-1b", "b/us-1/us-1a"]);
}

#[test]
fn who_shares_a_network_goes_to_one_place() {
    let mut main = Component::new("main", ResourceType::Network);
    main.spec.insert("cidr".into(), json!("10.0.0.0/16"));
    main.requirements.compliance_requirements = vec!["GDPR".into()];
    let mut web = web();
    web.network = Some("main".into());
    let placed = place_all(&[web.clone(), main.clone()], &three()).unwrap();
    for placed in &placed {
        assert_eq!(placed.places[0].to_string(), "a/eu-1");
    }
    let (_, rejected) = where_and_why_not(&placed[0]);
    assert!(
        rejected.contains(
            &"b/us-1: not for 'main', which goes along: it is not attested for GDPR".to_owned()
        ),
        "{rejected:?}"
    );
    web.requirements.allowed_clouds = vec![CloudId::new("b").unwrap()];
    let error = place_all(&[web, main], &three()).unwrap_err();
    assert!(error.to_string().contains("there is no place for 'web' and 'main'"), "{error}");
}

#[test]
fn pins_exclusions_and_currencies_are_minded() {
    let web = web();
    let observation = three();
    let place_of = |cloud: &str, region: &str| {
        Location::new(CloudId::new(cloud).unwrap(), Region::new(region).unwrap())
    };
    let pinned = Wanted {
        pinned: Some((place_of("a", "uk-1"), "its network is there".into())),
        ..wanted(&web)
    };
    let answer = place_some(vec![pinned], &observation, BTreeMap::new()).unwrap();
    assert_eq!(answer[0].places[0].to_string(), "a/uk-1");
    assert_eq!(answer[0].why, "its network is there");
    let excluded = BTreeMap::from([(place_of("b", "us-1"), "it burns".to_owned())]);
    let answer = place_some(vec![wanted(&web)], &observation, excluded).unwrap();
    let (place, rejected) = where_and_why_not(&answer[0]);
    assert_eq!(place, "a/eu-1");
    assert!(rejected.contains(&"b/us-1: excluded: it burns".to_owned()), "{rejected:?}");
    let mut euros = three();
    for price in euros.clouds[1].regions.as_mut().unwrap()[0].prices.iter_mut().flatten() {
        price.price.currency = Currency::new("EUR").unwrap();
    }
    // A price in another currency than the catalog's is none.
    let (place, rejected) = where_and_why_not(&place_one(&web, &euros).unwrap());
    assert_eq!(place, "a/eu-1");
    assert!(rejected.iter().any(|r| r.starts_with("b/us-1: its price is unknown")), "{rejected:?}");
}

#[test]
fn buckets_are_compared_by_their_price_by_use() {
    let mut observation = three();
    for (cloud, amount) in [(0, "0.023"), (1, "0.020")] {
        let region = &mut observation.clouds[cloud].regions.as_mut().unwrap()[0];
        let mut price = region.prices.as_ref().unwrap()[0].clone();
        price.sku = "standard".into();
        price.resource_type = ResourceType::Storage;
        price.unit = PriceUnit::GibMonth;
        price.price = Money::usd(amount.parse().unwrap());
        region.prices.as_mut().unwrap().push(price);
    }
    let mut assets = Component::new("assets", ResourceType::Storage);
    assets.requirements.optimize_for = Some(OptimizeFor::Cost);
    let choice = place_one(&assets, &observation).unwrap();
    let (place, rejected) = where_and_why_not(&choice);
    assert_eq!(place, "b/us-1");
    assert_eq!(rejected[0], "a/eu-1: dearer: 0.003 USD more by use");
    assert_eq!(rejected[1], "a/uk-1: its price is unknown, and cost is to be optimised");
    assert_eq!(choice.monthly_cost, None);
}

#[tokio::test(start_paused = true)]
async fn clouds_are_observed_with_all_they_say() {
    let sims = ["one", "two"].map(|id| Arc::new(SimCloud::new(id, 7)) as Arc<dyn Cloud>);
    let observation = observe(&Clouds::new(sims).unwrap()).await;
    assert_eq!(observation.clouds.len(), 2);
    let regions = observation.clouds[0].regions.as_ref().unwrap();
    assert!(!regions.is_empty());
    for region in regions {
        assert_eq!(region.errors, Vec::<String>::new());
        assert!(region.prices.as_ref().is_some_and(|p| !p.is_empty()));
        assert!(region.instance_types.as_ref().is_some_and(|t| !t.is_empty()));
        assert!(region.quotas.is_some());
    }
    let data = serde_json::to_string(&observation).unwrap();
    assert_eq!(serde_json::from_str::<Observation>(&data).unwrap(), observation);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_offered_is_unknown_and_no_error() {
    let sim = SimCloud::builder("sim", 1)
        .capabilities(|can| {
            can.billing = Some(BillingCapabilities { prices: false, costs: false });
            can.compute = None;
        })
        .build()
        .unwrap();
    let observation = observe(&Clouds::new([Arc::new(sim) as Arc<dyn Cloud>]).unwrap()).await;
    for region in observation.clouds[0].regions.as_ref().unwrap() {
        assert_eq!((&region.prices, &region.instance_types), (&None, &None));
        assert_eq!(region.errors, Vec::<String>::new());
    }
}

prop_compose! {
    /// A region whose facts are drawn from few values, so that ties and refusals are frequent.
    fn any_region(name: String)(
        hourly in proptest::option::of(1u32..4),
        available in proptest::bool::weighted(0.8),
        coordinates in proptest::option::of((-90.0..90.0, -180.0..180.0)),
        gdpr in any::<bool>(),
        left in proptest::option::of(0u64..6),
    ) -> ObservedRegion {
        let mut region = region(&name, hourly.map(|n| format!("0.0{n}")).as_deref());
        region.info.available = available;
        region.info.coordinates = coordinates;
        region.info.compliance = if gdpr { vec!["GDPR".into()] } else { Vec::new() };
        region.quotas = left.map(|left| vec![Quota {
            name: Quota::VCPU.into(),
            resource_type: ResourceType::Compute,
            region: Some(region.info.region.clone()),
            limit: left + 3,
            used: Some(3),
        }]);
        region
    }
}

prop_compose! {
    fn any_component(name: String)(
        replicas in 1u32..4,
        wish in proptest::option::of(prop_oneof![Just(OptimizeFor::Cost), Just(OptimizeFor::Latency)]),
        gdpr in proptest::bool::weighted(0.3),
        vcpu in 1u32..6,
    ) -> Component {
        let mut component = Component::new(name.clone(), ResourceType::Compute);
        component.replicas = replicas;
        component.requirements.optimize_for = wish;
        if wish == Some(OptimizeFor::Latency) {
            component.requirements.target_region = Some(Region::new("r0").unwrap().into());
        }
        if gdpr {
            component.requirements.compliance_requirements = vec!["GDPR".into()];
        }
        component.spec.insert("size".into(), json!({"at_least": {"vcpu": vcpu, "memory": "1GiB"}}));
        component
    }
}

proptest! {
    #[test]
    fn every_place_is_chosen_or_rejected_and_none_that_suits_is_better(
        regions in (any_region("r0".into()), any_region("r1".into()), any_region("r2".into()), any_region("r3".into())),
        components in (any_component("a".into()), any_component("b".into())),
    ) {
        let (r0, r1, r2, r3) = regions;
        let observation = Observation { clouds: vec![cloud("x", vec![r0, r1]), cloud("y", vec![r2, r3])] };
        let components = [components.0, components.1];
        let places = observation.clouds.iter().flat_map(|c| c.regions.iter().flatten().map(move |r| (c, r)));
        let mut all: Vec<_> = places.map(|(c, r)| Location::new(c.id.clone(), r.info.region.clone())).collect();
        all.sort();
        match place_all(&components, &observation) {
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::CapacityUnavailable);
                for place in &all {
                    prop_assert!(error.message().contains(&format!("{place}: ")), "{}", error);
                }
            }
            Ok(placed) => {
                prop_assert_eq!(&placed, &place_all(&components, &observation).unwrap());
                for (placed, component) in placed.iter().zip(&components) {
                    let choice = placed;
                    prop_assert_eq!(choice.places.len(), component.replicas as usize);
                    let mut seen: Vec<_> = choice.rejected.iter().map(|r| r.place.clone()).collect();
                    seen.push(choice.places[0].clone());
                    seen.sort();
                    prop_assert_eq!(&seen, &all);
                    prop_assert!(choice.rejected.iter().all(|r| !r.why.is_empty()));
                }
                // Alone, with all quotas free, no place would have been better.
                let chosen = &place_one(&components[0], &observation).unwrap();
                let own = |choice: &Choice| choice.monthly_cost.as_ref().map(|cost| cost.amount);
                for place in &all {
                    let mut only = components[0].clone();
                    only.requirements.allowed_regions = vec![place.region.clone()];
                    let Ok(alone) = place_one(&only, &observation) else {
                        continue;
                    };
                    match components[0].requirements.optimize_for {
                        Some(OptimizeFor::Cost) => prop_assert!(own(chosen) <= own(&alone)),
                        Some(OptimizeFor::Latency) => {
                            let ms = |choice: &Choice| choice.figures.iter().find_map(|(name, ms)| {
                                name.starts_with("round trip").then(|| ms.trim_end_matches(" ms").parse::<f64>().unwrap())
                            });
                            prop_assert!(ms(chosen).unwrap() <= ms(&alone).unwrap());
                        }
                        _ => prop_assert!(own(chosen).is_some() >= own(&alone).is_some()),
                    }
                }
            }
        }
    }
}
