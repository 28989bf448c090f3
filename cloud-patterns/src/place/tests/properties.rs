//! What holds of any placement: the answer is valid and the best, more to choose from is never worse, and a clash is one.

use super::{brute::brute, *};
use crate::{
    catalog::{CatalogCloud, CatalogRegion, CatalogType, InstanceOffer, Source, Tiers},
    place::{
        draft::{Choice as Chosen, Constraint},
        infeasible,
        model::Model,
    },
    workload::{Relation, Requirements, Traffic, Within},
};

/// Prices in cents by region and type; `None` for what is not on offer.
type Prices = Vec<Vec<Option<u32>>>;

fn catalog(prices: &Prices, gdpr: &[bool], quotas: &[Option<u64>]) -> Catalog {
    let mut catalog = Catalog::new(Currency::usd());
    catalog.sources.push(Source::new("test"));
    for (name, vcpu) in [("small", 1), ("large", 4)] {
        catalog.types.push(CatalogType {
            provider: Provider::Other,
            name: name.into(),
            vcpu,
            memory: ByteSize::gib(4),
            gpu: 0,
            architecture: None,
            source: 0,
        });
    }
    for cloud in 0..2 {
        let regions = (0..2).map(|r| {
            let i = cloud * 2 + r;
            let code = Region::new(format!("r{i}")).unwrap();
            let mut region = CatalogRegion::new(code.clone(), 0);
            region.coordinates = Some((10.0 * i as f64, 20.0 * i as f64));
            region.compliance = if gdpr[i] { vec!["GDPR".into()] } else { Vec::new() };
            let offers = prices[i].iter().enumerate().filter_map(|(t, cents)| {
                let on_demand = Some(Decimal::new(i64::from((*cents)?), 2));
                Some(InstanceOffer { on_demand, ..InstanceOffer::new(t as u32, 0) })
            });
            region.instances = offers.collect();
            region.egress.inter_region = Some(Tiers::flat(Decimal::new(2, 2)).unwrap());
            region.egress.inter_provider = Some(Tiers::flat(Decimal::new(9, 2)).unwrap());
            region.quotas.extend(quotas[i].map(|limit| Quota {
                name: Quota::VCPU.into(),
                resource_type: ResourceType::Compute,
                region: Some(code),
                limit,
                used: Some(0),
            }));
            region
        });
        catalog.clouds.push(CatalogCloud {
            id: CloudId::new(format!("c{cloud}")).unwrap(),
            provider: Provider::Other,
            regions: regions.collect(),
            quotas: Vec::new(),
            quota_source: None,
        });
    }
    catalog
}

prop_compose! {
    fn any_catalog()(
        prices in proptest::collection::vec(proptest::collection::vec(proptest::option::weighted(0.8, 1u32..9), 2), 4),
        gdpr in proptest::collection::vec(any::<bool>(), 4),
        quotas in proptest::collection::vec(proptest::option::of(0u64..8), 4),
    ) -> (Prices, Vec<bool>, Vec<Option<u64>>) {
        (prices, gdpr, quotas)
    }
}

prop_compose! {
    fn any_part(n: usize)(
        vcpu in 1u32..5,
        replicas in 1u32..3,
        gdpr in proptest::bool::weighted(0.3),
        allowed in proptest::option::weighted(0.3, proptest::collection::btree_set(0usize..4, 1..3)),
        traffic in proptest::option::weighted(0.5, (0u32..2000, proptest::option::weighted(0.3, 1f64..200.0))),
        apart in proptest::option::weighted(0.2, prop_oneof![Just(Within::Region), Just(Within::Provider)]),
        near in proptest::option::weighted(0.2, Just(Within::Provider)),
    ) -> Component {
        let mut component = Component::new(format!("p{n}"), ResourceType::Compute);
        component.replicas = replicas;
        component.spec.insert("size".into(), json!({"at_least": {"vcpu": vcpu, "memory": "1GiB"}}));
        let next = format!("p{}", (n + 1) % 3);
        component.requirements = Requirements {
            optimize_for: Some(OptimizeFor::Cost),
            compliance_requirements: if gdpr { vec!["GDPR".into()] } else { Vec::new() },
            allowed_regions: allowed.into_iter().flatten().map(|r| Region::new(format!("r{r}")).unwrap()).collect(),
            traffic: traffic.into_iter().map(|(gib, max_latency_ms)| {
                Traffic { to: next.clone(), gib_per_month: f64::from(gib), max_latency_ms }
            }).collect(),
            anti_affinity: apart.into_iter().map(|within| Relation { with: next.clone(), within }).collect(),
            affinity: near.into_iter().map(|within| Relation { with: next.clone(), within }).collect(),
            ..Requirements::default()
        };
        component
    }
}

fn request<'a>(catalog: &'a Catalog, parts: &'a [Component]) -> Request<'a> {
    Request::new(catalog, parts.iter().map(wanted).collect())
}

fn objective(catalog: &Catalog, parts: &[Component]) -> Option<i64> {
    match place(&request(catalog, parts)) {
        Ok(placement) => {
            assert!(placement.is_optimal());
            Some(placement.objective())
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::CapacityUnavailable, "{error}");
            None
        }
    }
}

/// No answer is worse than any.
fn no_better(tight: Option<i64>, loose: Option<i64>) -> bool {
    match (tight, loose) {
        (Some(tight), Some(loose)) => loose <= tight,
        (Some(_), None) => false,
        (None, _) => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_answer_is_valid_and_the_best(
        (prices, gdpr, quotas) in any_catalog(),
        parts in (any_part(0), any_part(1), any_part(2)),
    ) {
        let (catalog, parts) = (catalog(&prices, &gdpr, &quotas), [parts.0, parts.1, parts.2]);
        let request = request(&catalog, &parts);
        let model = Model::new(&request).unwrap();
        let best = brute(&model.draft(&Chosen::ALL).problem).map(|solution| solution.cost);
        prop_assert_eq!(objective(&catalog, &parts), best);
        let Ok(placement) = place(&request) else {
            return Ok(());
        };
        // The sum of the parts is the whole, to the millionth.
        let cost = placement.cost().amount * Decimal::from(1_000_000);
        prop_assert_eq!(cost, Decimal::from(placement.objective()));
        let mut used = [0u64; 4];
        for (placed, part) in placement.placed.iter().zip(&parts) {
            prop_assert_eq!(placed.replicas.len(), part.replicas as usize);
            for replica in &placed.replicas {
                let r: usize = replica.place.region.as_str()[1..].parse().unwrap();
                let large = replica.instance_type.as_deref() == Some("large");
                used[r] += if large { 4 } else { 1 };
                let size = part.spec["size"]["at_least"]["vcpu"].as_u64().unwrap();
                prop_assert!(size <= 1 || large);
                prop_assert!(prices[r][usize::from(large)].is_some());
                prop_assert!(gdpr[r] || part.requirements.compliance_requirements.is_empty());
            }
            // A dearer offer is never the runner-up's cheaper twin.
            let why = placement.explain(&placed.component).unwrap();
            prop_assert!(why.rejected.iter().all(|rejected| rejected.reason != Reason::NotTaken));
            prop_assert_eq!(why.rejected.len(), 3);
        }
        for (used, quota) in used.iter().zip(&quotas) {
            prop_assert!(quota.is_none_or(|quota| *used <= quota));
        }
        for (placed, part) in placement.placed.iter().zip(&parts) {
            let place = &placed.replicas[0].place;
            let requirements = &part.requirements;
            let allowed = &requirements.allowed_regions;
            prop_assert!(allowed.is_empty() || allowed.contains(&place.region));
            let other = |name: &str| {
                let other = placement.placed.iter().find(|other| other.component == name);
                other.unwrap().replicas[0].place.clone()
            };
            for apart in &requirements.anti_affinity {
                let other = other(&apart.with);
                let kept = match apart.within {
                    Within::Provider => place.cloud != other.cloud,
                    _ => place != &other,
                };
                prop_assert!(kept, "{apart:?}");
            }
            for near in &requirements.affinity {
                prop_assert_eq!(&place.cloud, &other(&near.with).cloud);
            }
            for traffic in &requirements.traffic {
                let trip = catalog.round_trip(place, &other(&traffic.to)).unwrap();
                prop_assert!(traffic.max_latency_ms.is_none_or(|most| trip.ms <= most + 1e-3));
            }
        }
    }

    #[test]
    fn a_dearer_offer_is_never_taken_where_an_equal_one_is_cheaper(
        (prices, gdpr, quotas) in any_catalog(),
        parts in (any_part(0), any_part(1), any_part(2)),
        dearer in 1u32..3,
    ) {
        let (mut catalog, parts) = (catalog(&prices, &gdpr, &quotas), [parts.0, parts.1, parts.2]);
        let before = objective(&catalog, &parts);
        for kind in catalog.types.clone() {
            catalog.types.push(CatalogType { name: format!("dear {}", kind.name), ..kind });
        }
        for region in catalog.clouds.iter_mut().flat_map(|cloud| &mut cloud.regions) {
            let twins = region.instances.clone().into_iter().map(|offer| InstanceOffer {
                instance_type: offer.instance_type + 2,
                on_demand: offer.on_demand.map(|price| price + Decimal::new(dearer.into(), 2)),
                ..offer
            });
            region.instances.extend(twins.collect::<Vec<_>>());
        }
        prop_assert_eq!(objective(&catalog, &parts), before);
        if let Ok(placement) = place(&request(&catalog, &parts)) {
            let mut taken = placement.placed.iter().flat_map(|placed| &placed.replicas);
            prop_assert!(taken.all(|r| !r.instance_type.as_deref().unwrap().starts_with("dear")));
        }
    }

    #[test]
    fn more_to_choose_from_is_never_worse(
        (prices, gdpr, quotas) in any_catalog(),
        parts in (any_part(0), any_part(1), any_part(2)),
        (r, t, cents) in (0usize..4, 0usize..2, 1u32..9),
    ) {
        let parts = [parts.0, parts.1, parts.2];
        let before = objective(&catalog(&prices, &gdpr, &quotas), &parts);
        let mut more = prices.clone();
        more[r][t] = Some(more[r][t].map_or(cents, |now| now.min(cents)));
        prop_assert!(no_better(before, objective(&catalog(&more, &gdpr, &quotas), &parts)));
    }

    #[test]
    fn a_tighter_requirement_is_never_better(
        (prices, gdpr, quotas) in any_catalog(),
        parts in (any_part(0), any_part(1), any_part(2)),
        which in 0usize..3,
        r in 0usize..4,
        how in 0u8..6,
    ) {
        let (looser, mut parts) = (catalog(&prices, &gdpr, &quotas), [parts.0, parts.1, parts.2]);
        let before = objective(&looser, &parts);
        let mut quotas = quotas;
        let requirements = &mut parts[which].requirements;
        match how {
            0 => requirements.forbidden_regions.push(Region::new(format!("r{r}")).unwrap()),
            1 => quotas[r] = Some(quotas[r].map_or(2, |limit| limit / 2)),
            2 => requirements.compliance_requirements = vec!["GDPR".into()],
            3 => requirements.traffic.iter_mut().for_each(|traffic| {
                traffic.max_latency_ms = Some(traffic.max_latency_ms.map_or(50.0, |most| most / 2.0));
            }),
            4 => requirements.anti_affinity.push(Relation {
                with: format!("p{}", (which + 1) % 3),
                within: Within::Region,
            }),
            _ => {
                let size = json!({"at_least": {"vcpu": 4, "memory": "1GiB"}});
                parts[which].spec.insert("size".into(), size);
            }
        }
        prop_assert!(no_better(objective(&catalog(&prices, &gdpr, &quotas), &parts), before));
    }

    #[test]
    fn a_clash_is_one_and_needs_each_of_its_members(
        (prices, gdpr, quotas) in any_catalog(),
        parts in (any_part(0), any_part(1), any_part(2)),
    ) {
        let quotas: Vec<_> = quotas.into_iter().map(|quota| quota.map(|limit| limit.min(3))).collect();
        let (catalog, parts) = (catalog(&prices, &gdpr, &quotas), [parts.0, parts.1, parts.2]);
        let request = request(&catalog, &parts);
        if place(&request).is_ok() {
            return Ok(());
        }
        let model = Model::new(&request).unwrap();
        let found = infeasible::explain(&model, &request).unwrap();
        prop_assert!(found.clash.minimal && !found.constraints.is_empty());
        let feasible = |left_out: Option<Constraint>| {
            let holds = |c: Constraint| found.constraints.contains(&c) && Some(c) != left_out;
            let draft = model.draft(&Chosen { holds: Some(&holds), ..Chosen::ALL });
            brute(&draft.problem).is_some()
        };
        prop_assert!(!feasible(None), "{}", found.clash);
        for member in &found.constraints {
            prop_assert!(feasible(Some(*member)), "{} without {member:?}", found.clash);
        }
    }
}
