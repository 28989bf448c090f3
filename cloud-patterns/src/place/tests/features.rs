//! Each wish of a component, by itself.

use std::time::Duration;

use cloud_core::{Error, ErrorKind, Scope};

use super::*;
use crate::{
    catalog::{CatalogCloud, CatalogRegion, CatalogType, InstanceOffer, Source, Tiers},
    place::solve::SolveOptions,
    workload::{Format, Workload},
};

/// Two clouds with two regions each, at 10, 20, 30 and 40 cents an hour.
fn catalog() -> Catalog {
    let mut catalog = Catalog::new(Currency::usd());
    catalog.sources.push(Source::new("test"));
    for (cloud, provider) in [("aws", Provider::Aws), ("gcp", Provider::Gcp)] {
        let kind = catalog.types.len() as u32;
        catalog.types.push(CatalogType {
            provider,
            name: format!("{cloud}.small"),
            vcpu: 2,
            memory: ByteSize::gib(4),
            gpu: 0,
            architecture: Some("x86_64".parse().unwrap()),
            source: 0,
        });
        let places = match cloud {
            "aws" => [("eu-1", "DE", (50.1, 8.7), "0.30"), ("us-1", "US", (38.9, -77.4), "0.10")],
            _ => [("eu-2", "FR", (48.9, 2.4), "0.40"), ("us-2", "US", (41.2, -95.9), "0.20")],
        };
        let regions = places.map(|(code, country, point, hourly)| {
            let mut region = CatalogRegion::new(Region::new(code).unwrap(), 0);
            region.country = Some(country.into());
            region.coordinates = Some(point);
            if country != "US" {
                region.residency = vec!["EU".into()];
                region.compliance = vec!["GDPR".into()];
            }
            region.zones = ["a", "b"].map(|z| Zone::new(format!("{code}{z}")).unwrap()).into();
            let on_demand = Some(hourly.parse().unwrap());
            region.instances = vec![InstanceOffer { on_demand, ..InstanceOffer::new(kind, 0) }];
            region.egress.inter_region = Some(Tiers::flat("0.02".parse().unwrap()).unwrap());
            region.egress.internet = Some(Tiers::flat("0.09".parse().unwrap()).unwrap());
            region
        });
        catalog.clouds.push(CatalogCloud {
            id: CloudId::new(cloud).unwrap(),
            provider,
            regions: regions.into(),
            quotas: Vec::new(),
            quota_source: None,
        });
    }
    catalog
}

fn workload(components: &str) -> Workload {
    Workload::from_text(&format!("{{name: shop, components: [{components}]}}"), Format::Yaml)
        .unwrap()
}

fn one(requirements: &str) -> Workload {
    workload(&format!("{{name: web, type: compute, requirements: {requirements}}}"))
}

fn places(placement: &Placement<'_>) -> Vec<String> {
    let replicas = placement.placed.iter().flat_map(|placed| &placed.replicas);
    replicas.map(|replica| replica.place.to_string()).collect()
}

fn placed(workload: &Workload) -> Vec<String> {
    places(&place(&Request::for_workload(&catalog(), workload)).unwrap())
}

fn clash(workload: &Workload) -> (ErrorKind, Vec<String>) {
    let catalog = catalog();
    let error = place(&Request::for_workload(&catalog, workload)).unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    let clash = source.downcast_ref::<Clash>().unwrap();
    assert!(clash.minimal);
    (error.kind(), clash.requirements.clone())
}

#[test]
fn cost_latency_and_both() {
    assert_eq!(placed(&one("{optimize_for: cost}")), ["aws/us-1"]);
    let near = "target_region: {latitude: 48.8, longitude: 2.3}";
    assert_eq!(placed(&one(&format!("{{optimize_for: latency, {near}}}"))), ["gcp/eu-2"]);
    let blend = |latency: f64| {
        placed(&one(&format!("{{optimize_for: {{cost: 1, latency: {latency}}}, {near}}}")))
    };
    assert_eq!((blend(0.0), blend(100.0)), (vec!["aws/us-1".into()], vec!["gcp/eu-2".into()]));
    let bound = format!("{{optimize_for: cost, max_latency_ms: 20, {near}}}");
    assert_eq!(placed(&one(&bound)), ["aws/eu-1"]);
}

#[test]
fn residency_and_regimes_rule_out_and_clash() {
    assert_eq!(placed(&one("{residency: [eu]}")), ["aws/eu-1"]);
    assert_eq!(
        placed(&one("{compliance_requirements: [gdpr], forbidden_clouds: [aws]}")),
        ["gcp/eu-2"]
    );
    let (kind, words) =
        clash(&one("{residency: [EU], forbidden_clouds: [azure], allowed_regions: [us-1]}"));
    assert_eq!(kind, ErrorKind::CapacityUnavailable);
    assert_eq!(words, ["web: allowed_regions us-1", "web: residency EU"]);
    let (catalog, wrong) = (catalog(), one("{compliance_requirements: [GDRP]}"));
    let error = place(&Request::for_workload(&catalog, &wrong)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(
        error.to_string().contains("component 'web'") && error.to_string().contains("HIPAA"),
        "{error}"
    );
}

#[test]
fn replicas_are_spread() {
    let spread = |across: &str, replicas: u32| {
        workload(&format!(
            "{{name: web, type: compute, replicas: {replicas}, requirements: {{spread: {{across: {across}}}}}}}"
        ))
    };
    assert_eq!(placed(&spread("zones", 2)), ["aws/us-1/us-1a", "aws/us-1/us-1b"]);
    let mut regions = placed(&spread("regions", 3));
    regions.sort();
    assert_eq!(regions, ["aws/eu-1", "aws/us-1", "gcp/us-2"]);
    let mut providers = placed(&spread("providers", 2));
    providers.sort();
    assert_eq!(providers, ["aws/us-1", "gcp/us-2"]);
    assert_eq!(clash(&spread("zones", 3)).1, ["web: 3 zones"]);
    let (_, words) = clash(&spread("providers", 3));
    assert_eq!(words, ["web: 3 replicas, spread: at most 1 of providers in one"]);
}

#[test]
fn nearness_and_distance() {
    let pair = |relation: &str| {
        placed(&workload(&format!(
            "{{name: db, type: compute, requirements: {{residency: [EU]}}}}, \
             {{name: web, type: compute, requirements: {{{relation}}}}}"
        )))
    };
    assert_eq!(pair("affinity: [{with: db}]"), ["aws/eu-1", "aws/eu-1"]);
    assert_eq!(pair("affinity: [{with: db, within: provider}]"), ["aws/eu-1", "aws/us-1"]);
    assert_eq!(pair("anti_affinity: [{with: db, within: provider}]"), ["aws/eu-1", "gcp/us-2"]);
    let apart = "anti_affinity: [{with: db, within: zone}], residency: [EU]";
    assert_eq!(pair(apart), ["aws/eu-1/eu-1a", "aws/eu-1/eu-1b"]);
    let (_, words) = clash(&workload(
        "{name: db, type: compute, requirements: {residency: [EU]}}, \
         {name: web, type: compute, requirements: {affinity: [{with: db}], allowed_regions: [us-1]}}",
    ));
    let expected = [
        "db: residency EU",
        "web: allowed_regions us-1",
        "web: affinity with 'db' within a region",
    ];
    assert_eq!(words, expected);
}

#[test]
fn traffic_costs_and_draws_together() {
    let shop = |gib: u32| {
        workload(&format!(
            "{{name: db, type: compute, requirements: {{residency: [EU]}}}}, \
             {{name: web, type: compute, requirements: {{traffic: [{{to: db, gib_per_month: {gib}}}]}}}}"
        ))
    };
    // 146 USD a month apart, against 0.02 USD for a GiB.
    assert_eq!(placed(&shop(7000)), ["aws/eu-1", "aws/us-1"]);
    assert_eq!(placed(&shop(7500)), ["aws/eu-1", "aws/eu-1"]);
    let (catalog, shop) = (catalog(), shop(7000));
    let request = Request::for_workload(&catalog, &shop);
    let placement = place(&request).unwrap();
    assert_eq!(placement.cost().to_string(), "432 USD");
    let why = placement.explain("web").unwrap();
    let costs: Vec<_> = why.costs.iter().map(|(what, cost)| format!("{what}: {cost}")).collect();
    assert_eq!(costs, ["1 × aws.small in aws/us-1: 73 USD", "traffic to db, 7000 GiB: 140 USD"]);
    let runner_up = why.runner_up.unwrap();
    assert_eq!(
        (runner_up.place.to_string(), runner_up.more.to_string()),
        ("aws/eu-1".into(), "6 USD".into())
    );
    // Nothing is known of what azure asks.
    let mut unknown = catalog.clone();
    unknown.clouds[0].regions.iter_mut().for_each(|region| region.egress = Default::default());
    let placement = place(&Request::for_workload(&unknown, &shop)).map(|p| places(&p)).unwrap();
    assert_eq!(placement, ["aws/eu-1", "aws/eu-1"]);
}

#[test]
fn a_budget_is_kept_or_named() {
    let near = "{optimize_for: latency, target_region: {latitude: 48.8, longitude: 2.3}}";
    let mut shop = one(near);
    assert_eq!(placed(&shop), ["gcp/eu-2"]);
    shop.budget = Some(Money::usd(250.into()));
    assert_eq!(placed(&shop), ["aws/eu-1"], "the nearest that the money buys");
    shop.budget = Some(Money::usd(70.into()));
    let (kind, words) = clash(&shop);
    assert_eq!(kind, ErrorKind::BudgetExceeded);
    assert!(words.contains(&"budget: 70 USD a month".to_owned()), "{words:?}");
}

#[test]
fn policies_filter_and_score() {
    let (catalog, mut shop) = (catalog(), one("{optimize_for: cost}"));
    let of = |shop: &Workload, policies: Policies| {
        let request = Request { policies, ..Request::for_workload(&catalog, shop) };
        place(&request).map(|placement| places(&placement))
    };
    let mut green = Policies::default();
    green.add(filter("not-aws", |c| match c.provider {
        Provider::Aws => Err("we left".into()),
        _ => Ok(()),
    }));
    green.add(score("french", |c| (c.country != Some("FR")).then_some(Surcharge::Share(2.0))));
    assert_eq!(of(&shop, green.clone()).unwrap(), ["gcp/eu-2"]);
    shop.deployment_policies.insert(
        "prefer_provider".into(),
        json!({"providers": ["gcp"], "surcharge": 1.5}).as_object().unwrap().clone(),
    );
    assert_eq!(of(&shop, Policies::default()).unwrap(), ["gcp/us-2"]);
    shop.deployment_policies.insert("nonsense".into(), Default::default());
    let error = of(&shop, green).unwrap_err();
    assert!(error.to_string().contains("neither built in nor registered"), "{error}");
    let mut strict = one("{allowed_clouds: [aws]}");
    strict
        .deployment_policies
        .insert("compliance".into(), json!({"residency": ["FR"]}).as_object().unwrap().clone());
    let (_, words) = clash(&strict);
    assert_eq!(
        words,
        [
            "web: allowed_clouds aws",
            "web: size at least 1 vCPU, 1GiB",
            "deployment_policies: compliance"
        ]
    );
}

#[test]
fn what_failed_for_capacity_is_left_out_for_a_while() {
    let (catalog, shop) = (catalog(), one("{optimize_for: cost}"));
    let request = Request::for_workload(&catalog, &shop);
    let placement = place(&request).unwrap();
    let error = Error::new(ErrorKind::CapacityUnavailable, "none left").with_scope(Scope::Region);
    let failure = Failure { component: "web".into(), replica: 0, error };
    let lasting = Duration::from_secs(600);
    let again = placement.failover(&failure, &[], Timestamp::UNIX_EPOCH, lasting).unwrap().unwrap();
    let second = place(&again).unwrap();
    assert_eq!(places(&second), ["gcp/us-2"]);
    let rejected = second.explain("web").unwrap().rejected;
    assert!(
        rejected[1]
            .reason
            .to_string()
            .starts_with("blocked for capacity until 1970-01-01T00:10:00Z")
    );
    let later = Request { now: "1970-01-01T00:10:00Z".parse().unwrap(), ..again };
    assert_eq!(places(&place(&later).unwrap()), ["aws/us-1"]);
    let denied = Error::new(ErrorKind::PermissionDenied, "no");
    let failure = Failure { error: denied, ..failure };
    assert!(placement.failover(&failure, &[], Timestamp::UNIX_EPOCH, lasting).unwrap().is_none());
}

#[test]
fn what_is_there_moves_only_if_it_pays() {
    let (catalog, shop) = (catalog(), one("{optimize_for: cost}"));
    let there = Location::new(CloudId::new("gcp").unwrap(), Region::new("us-2").unwrap());
    let with = |data: u64| Request {
        current: vec![Current {
            data: ByteSize::gib(data),
            ..Current::new("web", vec![there.clone()])
        }],
        ..Request::for_workload(&catalog, &shop)
    };
    // 73 USD a month saved, and 0.09 USD for each GiB that moves: paid back within 3 months up to 2433 GiB.
    let request = with(2400);
    let moves = place(&request).unwrap();
    assert_eq!(places(&moves), ["aws/us-1"]);
    let status = moves.status_quo().unwrap();
    assert_eq!(status.monthly_saving.unwrap().to_string(), "73 USD");
    assert_eq!(status.moving.unwrap().to_string(), "216 USD");
    let request = with(2500);
    let stays = place(&request).unwrap();
    assert_eq!(places(&stays), ["gcp/us-2"]);
    assert!(stays.status_quo().unwrap().moves.is_empty());
}

#[test]
fn a_requirement_says_what_it_costs() {
    let (catalog, shop) = (catalog(), one("{optimize_for: cost, compliance_requirements: [GDPR]}"));
    let request = Request::for_workload(&catalog, &shop);
    let placement = place(&request).unwrap();
    let found = placement.sensitivity(&SolveOptions::default(), 5).unwrap();
    assert_eq!(found[0].to_string(), "compliance_requirements GDPR adds 200.0 %");
    assert_eq!((found.len(), found[0].adds.to_string()), (1, "146 USD".into()));
}
