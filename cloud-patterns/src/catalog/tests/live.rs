//! What clouds say of themselves: observed, refreshed, failing.

use std::{sync::Arc, time::Duration};

use cloud_core::{
    Clouds, Money, Price, PriceUnit, Purchase, Quota, RegionInfo, ResourceType, TokioClock,
};
use cloud_testkit::sim::{Change, Reach, SimCloud};

use super::*;
use crate::place::{Observation, observe};

const NOW: &str = "2026-11-01T00:00:00Z";
const HOUR: Duration = Duration::from_secs(3600);

fn sim(name: &str) -> SimCloud {
    SimCloud::builder(name, 1).quota(Quota::VCPU, None, 64).traced(true).build().unwrap()
}

fn clouds(sims: &[&SimCloud]) -> Clouds {
    Clouds::new(sims.iter().map(|s| Arc::new((*s).clone()) as Arc<dyn cloud_core::Cloud>)).unwrap()
}

async fn observed(sims: &[&SimCloud]) -> Observation {
    observe(&clouds(sims)).await
}

fn price_of(catalog: &Catalog, cloud: &str, name: &str) -> Option<Decimal> {
    let home = &catalog.cloud(&id(cloud)).unwrap().regions[0];
    let found =
        home.instances.iter().find(|o| catalog.types[o.instance_type as usize].name == name);
    found.and_then(|o| o.on_demand)
}

#[tokio::test(start_paused = true)]
async fn an_observation_becomes_a_catalog() {
    let sim = sim("sim");
    let (catalog, warnings) =
        Catalog::from_observation(&observed(&[&sim]).await, None, time(NOW)).unwrap();
    assert_eq!(warnings, []);
    catalog.validate().unwrap();
    assert_eq!(price_of(&catalog, "sim", "sim.medium"), Some(dec("0.04")));
    let cloud = catalog.cloud(&id("sim")).unwrap();
    assert_eq!((cloud.quotas[0].name.as_str(), cloud.quotas.len()), (Quota::VCPU, 1));
    let region = &cloud.regions[0];
    assert_eq!(region.storage[0].price, dec("0.02"));
    assert_eq!(catalog.source(region.source).unwrap().as_of, Some(time(NOW)));
    assert_eq!(catalog.age(time("2026-11-03T00:00:00Z")), Some(48 * HOUR));
}

#[tokio::test(start_paused = true)]
async fn what_a_cloud_does_not_say_comes_from_the_base() {
    let info = RegionInfo::new("eu-central-1".parse().unwrap());
    let builder =
        SimCloud::builder("prod", 1).provider(Provider::Aws).region_info(info).no_instance_types();
    let sim = builder
        .instance_type("m5.large", 2, cloud_core::ByteSize::gib(8), 0, dec("0.077"))
        .instance_type("own.large", 2, cloud_core::ByteSize::gib(8), 0, dec("0.05"))
        .build()
        .unwrap();
    let mut observation = observed(&[&sim]).await;
    let base = Catalog::builtin().unwrap();
    let (catalog, warnings) =
        Catalog::from_observation(&observation, Some(base), time(NOW)).unwrap();
    assert_eq!(warnings, []);
    let regions = &catalog.cloud(&id("prod")).unwrap().regions;
    let [frankfurt] = regions.as_slice() else { panic!("{} regions", regions.len()) };
    assert_eq!((frankfurt.country.as_deref(), frankfurt.instances.len()), (Some("DE"), 2));
    assert!(frankfurt.attests("gdpr") && !frankfurt.egress.is_empty());
    assert_eq!(catalog.source(frankfurt.source_of_coordinates()).unwrap().id, "regions");
    assert_eq!(price_of(&catalog, "prod", "m5.large"), Some(dec("0.077")));

    // Without a price list the base's prices hold; a type that the cloud does not have is not on offer even so.
    let Ok(regions) = &mut observation.clouds[0].regions else { panic!() };
    regions[0].prices = None;
    regions[0].errors = vec!["billing is down".into()];
    let (catalog, warnings) =
        Catalog::from_observation(&observation, Some(base), time(NOW)).unwrap();
    assert!(
        matches!(&warnings[..], [Warning::Unread { reason, .. }] if reason == "billing is down")
    );
    let known = base.region(&place("aws", "eu-central-1")).unwrap();
    let (index, _) = base.instance_type(Provider::Aws, "m5.large").unwrap();
    assert_eq!(
        price_of(&catalog, "prod", "m5.large"),
        known.offer(index).and_then(|o| o.on_demand)
    );
    assert_eq!(price_of(&catalog, "prod", "own.large"), None);
    assert_eq!(catalog.cloud(&id("prod")).unwrap().regions[0].instances.len(), 2);

    // A cloud that does not answer keeps its regions, but they cannot be used.
    observation.clouds[0].regions = Err("no route".into());
    let (catalog, warnings) =
        Catalog::from_observation(&observation, Some(base), time(NOW)).unwrap();
    assert_eq!(warnings[0].to_string(), "prod could not be read: no route");
    let regions = &catalog.cloud(&id("prod")).unwrap().regions;
    assert!(regions.len() > 30 && regions.iter().all(|r| !r.available));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_used_is_named() {
    let sim = sim("sim");
    let mut observation = observed(&[&sim]).await;
    let Ok(regions) = &mut observation.clouds[0].regions else { panic!() };
    let home = &mut regions[0];
    home.info.coordinates = Some((f64::NAN, 0.0));
    home.info.country = Some("Germany".into());
    let price = |sku: &str, amount: &str, currency: &str| Price {
        sku: sku.into(),
        resource_type: ResourceType::Compute,
        region: home.info.region.clone(),
        unit: PriceUnit::Hour,
        price: Money { amount: dec(amount), currency: Currency::new(currency).unwrap() },
        purchase: Purchase::Reserved,
        as_of: time(NOW),
    };
    let odd = [
        price("sim.small", "1", "EUR"),
        price("sim.medium", "-1", "USD"),
        price("sim.large", "1", "USD"),
        price("sim.large", "2", "USD"),
        price("sim.huge", "9", "USD"),
    ];
    home.prices.as_mut().unwrap().extend(odd);
    home.instance_types.as_mut().unwrap()[0].vcpu = 0;
    let (catalog, warnings) = Catalog::from_observation(&observation, None, time(NOW)).unwrap();
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    for text in [
        "coordinates Some((NaN, 0.0)) are not on the Earth",
        "\"Germany\") is no ISO 3166-1",
        "price of 'sim.small' in sim/sim-1 is left out: it is in EUR, the catalog in USD",
        "price of 'sim.medium' in sim/sim-1 is left out: it is -1",
        "price of 'sim.large' in sim/sim-1 is left out: it is 2, after 1 for the same",
        "instance type 'sim.small': vcpu is 0",
        "prices of instances that the region does not list: sim.huge, sim.small",
    ] {
        assert!(warnings.iter().any(|w| w.contains(text)), "{text}: {warnings:#?}");
    }
    assert_eq!(warnings.len(), 7, "{warnings:#?}");
    let region = &catalog.clouds[0].regions[0];
    let reserved: Vec<_> = region.instances.iter().filter_map(|o| o.reserved).collect();
    assert_eq!(reserved, [dec("1")]);
}

/// The clouds' own facts as base, so that their types have sizes, and a catalog that lives on them.
async fn live(sims: &[&SimCloud]) -> LiveCatalog {
    let (base, _) =
        Catalog::from_observation(&observed(sims).await, None, time("2026-01-01T00:00:00Z"))
            .unwrap();
    LiveCatalog::new(clouds(sims), &base, Arc::new(TokioClock::starting_at(time(NOW))), 6 * HOUR)
}

fn listings(sim: &SimCloud) -> u64 {
    sim.calls().get("billing.list_prices").copied().unwrap_or(0)
}

fn set_price(sim: &SimCloud, hourly: &str) {
    sim.apply(Change::Price {
        instance_type: "sim.medium".into(),
        region: None,
        hourly: dec(hourly),
    });
}

#[tokio::test(start_paused = true)]
async fn prices_are_asked_for_once_and_again_when_they_expire() {
    let sim = sim("sim");
    let live = live(&[&sim]).await;
    let before = listings(&sim);
    set_price(&sim, "0.05");
    let all = futures::future::join_all((0..20).map(|_| live.get())).await;
    let pages = listings(&sim) - before;
    for one in all {
        let one = one.unwrap();
        assert_eq!(
            (price_of(&one.catalog, "sim", "sim.medium"), one.warnings.len()),
            (Some(dec("0.05")), 0)
        );
    }
    set_price(&sim, "0.06");
    tokio::time::sleep(6 * HOUR - Duration::from_secs(60)).await;
    let held = live.get().await.unwrap();
    assert_eq!(price_of(&held.catalog, "sim", "sim.medium"), Some(dec("0.05")));
    assert_eq!(listings(&sim) - before, pages);
    tokio::time::sleep(Duration::from_secs(120)).await;
    let renewed = live.get().await.unwrap();
    assert_eq!(price_of(&renewed.catalog, "sim", "sim.medium"), Some(dec("0.06")));
    assert_eq!(listings(&sim) - before, 2 * pages);
    assert!(renewed.at > held.at);
    let offer = &renewed.catalog.clouds[0].regions[0].instances[0];
    assert_eq!(renewed.catalog.source(offer.source).unwrap().as_of, Some(renewed.at));
}

#[tokio::test(start_paused = true)]
async fn a_cloud_that_fails_keeps_its_prices_and_is_named() {
    let (good, bad) = (sim("good"), sim("bad"));
    let live = live(&[&good, &bad]).await;
    set_price(&bad, "0.05");
    live.get().await.unwrap();
    for sim in [&good, &bad] {
        set_price(sim, "0.07");
    }
    bad.apply(Change::Outage(Reach::Provider));
    live.expire().await;
    let part = live.get().await.unwrap();
    bad.apply(Change::Restore(Reach::Provider));
    assert!(matches!(&part.warnings[..], [Warning::Unread { cloud, .. }] if *cloud == id("bad")));
    let prices = |r: &Refreshed| {
        ["good", "bad"].map(|c| price_of(&r.catalog, c, "sim.medium").unwrap().to_string())
    };
    assert_eq!(prices(&part), ["0.07", "0.05"]);
    // It is asked again sooner than after the usual time.
    tokio::time::sleep(HOUR).await;
    let whole = live.get().await.unwrap();
    assert_eq!((prices(&whole), whole.warnings.len()), (["0.07".into(), "0.07".into()], 0));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_refresh_leaves_what_was_known() {
    let sim = SimCloud::builder("sim", 1).latency(HOUR..=HOUR).build().unwrap();
    let live = Arc::new(live(&[&sim]).await);
    let first = live.get().await.unwrap();
    live.expire().await;
    set_price(&sim, "0.09");
    let waiting = {
        let live = live.clone();
        tokio::spawn(async move { live.get().await })
    };
    let cut_off = tokio::time::timeout(HOUR / 2, live.get()).await;
    assert!(cut_off.is_err());
    // Whoever waited behind it asks in its place.
    let second = waiting.await.unwrap().unwrap();
    assert_eq!(price_of(&first.catalog, "sim", "sim.medium"), Some(dec("0.04")));
    assert_eq!(price_of(&second.catalog, "sim", "sim.medium"), Some(dec("0.09")));
}
