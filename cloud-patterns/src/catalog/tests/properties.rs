//! What holds for any catalog.

use super::*;

fn price() -> impl Strategy<Value = Option<Decimal>> {
    proptest::option::of((0i64..10_000_000_000).prop_map(|millionths| Decimal::new(millionths, 6)))
}

fn tiers() -> impl Strategy<Value = Tiers> {
    let tier = (1i64..100_000, 0i64..100_000);
    (proptest::collection::vec(tier, 0..4), 0i64..100_000).prop_map(|(steps, last)| {
        let mut bound = Decimal::ZERO;
        let mut tiers = Vec::new();
        for (width, price) in steps {
            bound += Decimal::new(width, 1);
            tiers.push(Tier { up_to: Some(bound), price: Decimal::new(price, 4) });
        }
        tiers.push(Tier { up_to: None, price: Decimal::new(last, 4) });
        Tiers::new(tiers).unwrap()
    })
}

fn region(code: usize) -> impl Strategy<Value = CatalogRegion> {
    let offers =
        proptest::collection::vec((proptest::option::of((price(), price(), price())), 0u16..3), 4);
    let place = proptest::option::of((-90.0..=90.0f64, -180.0..=180.0f64));
    let country = proptest::option::of(prop_oneof![Just("DE"), Just("US"), Just("CH")]);
    let egress = proptest::option::of((tiers(), tiers()));
    (offers, place, country, egress, any::<bool>(), 0u16..3).prop_map(
        move |(offers, coordinates, country, egress, available, source)| {
            let offers = offers.into_iter().enumerate().filter_map(|(i, (prices, source))| {
                let (on_demand, spot, reserved) = prices?;
                let spot_source = spot.map(|_| (source + 1) % 3);
                Some(InstanceOffer {
                    on_demand,
                    spot,
                    reserved,
                    spot_source,
                    ..InstanceOffer::new(i as u32, source)
                })
            });
            let mut region = CatalogRegion::new(format!("r-{code}").parse().unwrap(), source);
            region.instances = offers.collect();
            region.coordinates = coordinates;
            region.country = country.map(str::to_owned);
            region.available = available;
            if let Some((internet, zones)) = egress {
                region.egress.internet = Some(internet);
                region.egress.inter_zone = Some(zones);
                region.egress.source = source;
            }
            region
        },
    )
}

fn catalog() -> impl Strategy<Value = Catalog> {
    let regions = (0..4usize).map(|i| proptest::option::of(region(i))).collect::<Vec<_>>();
    (regions, 1u32..5).prop_map(|(regions, vcpu)| {
        let mut catalog = small();
        let dates = [Some("2026-01-01T00:00:00Z"), Some("2025-06-01T00:00:00Z"), None];
        let source = |(i, date): (usize, &Option<&str>)| Source {
            as_of: date.map(time),
            ..Source::new(format!("source-{i}"))
        };
        catalog.sources = dates.iter().enumerate().map(source).collect();
        let one = catalog.types[0].clone();
        catalog.types = (0..4)
            .map(|i| CatalogType { name: format!("t-{i}"), vcpu: vcpu + i, ..one.clone() })
            .collect();
        catalog.clouds[0].regions = regions.into_iter().flatten().collect();
        catalog
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn json_keeps_all(catalog in catalog()) {
        prop_assert_eq!(Catalog::from_json(&catalog.to_json().unwrap()).unwrap(), catalog);
    }

    #[test]
    fn laying_over_twice_is_as_once(under in catalog(), over in catalog()) {
        let mut once = under.clone();
        once.overlay(&over).unwrap();
        let mut twice = once.clone();
        twice.overlay(&over).unwrap();
        prop_assert_eq!(&twice, &once);
        // Nothing that either had is lost, and the upper's prices hold.
        for (cloud, region) in over.regions() {
            let home = once.region(&Location::new(cloud.id.clone(), region.region.clone())).unwrap();
            for offer in &region.instances {
                let one = &over.types[offer.instance_type as usize];
                let at = once.types.iter().position(|t| t.same(one)).unwrap();
                let held = home.offer(at as u32).unwrap();
                for purchase in [cloud_core::Purchase::OnDemand, cloud_core::Purchase::Spot] {
                    if let Some(price) = offer.price(purchase) {
                        prop_assert_eq!(held.price(purchase), Some(price));
                        let source = |c: &Catalog, o: &InstanceOffer| c.source(o.price_source(purchase)).cloned();
                        prop_assert_eq!(source(&once, held), source(&over, offer));
                    }
                }
            }
        }
        for (cloud, region) in under.regions() {
            let home = once.region(&Location::new(cloud.id.clone(), region.region.clone())).unwrap();
            prop_assert!(home.instances.len() >= region.instances.len());
        }
    }

    #[test]
    fn merging_twice_is_as_once(under in catalog(), over in catalog()) {
        let mut once = under.clone();
        once.merge(&over).unwrap();
        let mut twice = once.clone();
        twice.merge(&over).unwrap();
        prop_assert_eq!(twice, once);
    }

    #[test]
    fn more_gib_never_cost_less_and_no_bound_makes_a_jump(tiers in tiers(), a in 0i64..1_000_000, b in 0i64..1_000_000) {
        let (least, most) = (Decimal::new(a.min(b), 1), Decimal::new(a.max(b), 1));
        prop_assert!(tiers.cost(least) <= tiers.cost(most));
        let dearest = tiers.tiers().iter().map(|t| t.price).max().unwrap();
        prop_assert!(tiers.cost(most) - tiers.cost(least) <= (most - least) * dearest);
        prop_assert_eq!(tiers.cost(least + Decimal::ONE).cmp(&tiers.cost(least)).is_gt(), {
            // Over a bound within the next GiB, either price counts.
            !tiers.marginal(least).is_zero() || !tiers.marginal(least + Decimal::new(9999999, 7)).is_zero()
                || tiers.tiers().iter().any(|t| !t.price.is_zero() && t.up_to.is_some_and(|b| b > least && b < least + Decimal::ONE))
        });
        prop_assert_eq!(tiers.cost(Decimal::ZERO - most), Decimal::ZERO);
    }

    #[test]
    fn distances_are_a_metric(a in (-90.0..90.0f64, -180.0..180.0f64), b in (-90.0..90.0f64, -180.0..180.0f64), c in (-90.0..90.0f64, -180.0..180.0f64)) {
        let (ab, bc, ac) = (great_circle_km(a, b), great_circle_km(b, c), great_circle_km(a, c));
        prop_assert!(ab >= 0.0 && (ab - great_circle_km(b, a)).abs() < 1e-6);
        prop_assert!(ac <= ab + bc + 1e-6);
        prop_assert!(ab <= 20_016.0);
    }

    #[test]
    fn a_regime_has_one_name(text in "[ -~]{0,20}") {
        let name = canonical_regime(&text);
        prop_assert_eq!(canonical_regime(&name), name);
    }
}
