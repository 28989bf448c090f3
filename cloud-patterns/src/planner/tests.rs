//! Plans from workloads: what is made, in which order, and what changes when something is there, lost or not wanted any more.

use std::{collections::HashMap, sync::Arc};

use cloud_core::{ClientToken, Cloud, ErrorKind, Region, ResourceKind};
use cloud_testkit::sim::SimCloud;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    engine::{
        clouds::Clouds,
        plan::{Action, BlastRadiusLimit, Step},
    },
    place::observe,
    workload::{Component, Format},
};

const SHOP: &str = include_str!("../workload/shop.yaml");

fn shop() -> Workload {
    Workload::from_text(SHOP, Format::Yaml).unwrap()
}

fn observed(clouds: impl IntoIterator<Item = SimCloud>) -> Observation {
    let clouds = clouds.into_iter().map(|sim| Arc::new(sim) as Arc<dyn Cloud>);
    let clouds = Clouds::new(clouds).unwrap();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(observe(&clouds))
}

fn two_regions() -> Observation {
    observed([SimCloud::builder("sim", 1).region("eu-1", &[]).region("us-1", &[]).build().unwrap()])
}

fn options() -> PlanOptions {
    PlanOptions { id: "p1".into(), now: Timestamp::UNIX_EPOCH, ..PlanOptions::new("shop") }
}

fn step<'p>(plan: &'p Plan, id: &str) -> &'p Step {
    let ids: Vec<_> = plan.steps.iter().map(|s| &s.id).collect();
    plan.steps.iter().find(|s| s.id == id).unwrap_or_else(|| panic!("no '{id}' in {ids:?}"))
}

fn spec<'p>(plan: &'p Plan, id: &str) -> &'p Value {
    match &step(plan, id).action {
        Action::Create { spec, .. } => spec,
        Action::Call { input, .. } => input,
        other => panic!("{other:?}"),
    }
}

fn ids(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|s| s.id.as_str()).collect()
}

/// Where a step stands; it has to be there.
fn at(plan: &Plan, id: &str) -> usize {
    plan.steps
        .iter()
        .position(|s| s.id == id)
        .unwrap_or_else(|| panic!("no '{id}' in {:?}", ids(plan)))
}

/// What the deployment owns once a plan was applied.
fn applied(plan: &Plan, mut owned: Vec<OwnedResource>) -> Vec<OwnedResource> {
    for step in &plan.steps {
        match &step.action {
            Action::Create { kind, spec } => {
                let region = match spec["region"].as_str() {
                    Some(region) => Region::new(region).unwrap(),
                    None => owned
                        .iter()
                        .find(|o| o.id.kind == ResourceKind::Network)
                        .unwrap()
                        .id
                        .region
                        .clone(),
                };
                let native = spec["name"].as_str().unwrap();
                owned.push(OwnedResource {
                    cloud: step.cloud.clone(),
                    id: ResourceId::new(*kind, region, native).unwrap(),
                    deployment: plan.deployment.clone(),
                    component: step.component.clone(),
                    plan: plan.id.clone(),
                    step: step.id.clone(),
                    token: ClientToken::derive(&plan.id, &step.id, 1),
                });
            }
            Action::Delete { id, .. } => owned.retain(|o| o.id != *id || o.cloud != step.cloud),
            Action::Call { handler, input } if handler == "abandon" => {
                let gone: OwnedResource = serde_json::from_value(input.clone()).unwrap();
                owned.retain(|o| *o != gone);
            }
            _ => {}
        }
    }
    owned
}

#[test]
fn the_shop_becomes_a_plan() {
    let plan = plan(&shop(), &two_regions(), &options()).unwrap();
    assert_eq!(
        ids(&plan),
        [
            "main",
            "assets",
            "assets-object-1",
            "assets-object-2",
            "orders",
            "orders-table-1",
            "web-firewall",
            "web",
            "web-2"
        ]
    );
    assert_eq!(plan.purpose, "deploy shop");
    let web = spec(&plan, "web-2");
    assert_eq!(web["name"], "shop-web-2");
    assert_eq!(web["network"], "${main.id}");
    assert_eq!(web["firewalls"], json!(["${web-firewall.id}"]));
    assert_eq!(web["size"], json!({"exact": "sim.small"}));
    assert_eq!(web["tags"], json!({"team": "orders"}));
    assert_eq!(web["environment"], json!({"BUCKET": "${assets.name}", "GREETING": "costs $${5}"}));
    assert_eq!(web["secret_environment"], json!({"DATABASE_URL": "${orders.url}"}));
    assert_eq!(
        step(&plan, "web").depends_on,
        [
            "assets",
            "assets-object-1",
            "assets-object-2",
            "main",
            "orders",
            "orders-table-1",
            "web-firewall"
        ]
    );
    assert_eq!(step(&plan, "web").monthly_cost.as_ref().unwrap().to_string(), "7.30 USD");
    let firewall = spec(&plan, "web-firewall");
    assert_eq!(firewall["rules"][0]["ports"], json!([32768, 65535]));
    assert_eq!(firewall["rules"][0]["peers"], json!(["10.0.0.0/8"]));
    assert_eq!(spec(&plan, "orders-table-1")["database"], "${orders.id}");
    assert_eq!(spec(&plan, "assets-object-1")["bucket"], "${assets.id}");
    assert_eq!(plan.choices.len(), 4);
    assert!(plan.permissions().values().next().unwrap().contains("database.connection"));
    BlastRadiusLimit::default().check(&plan, 0).unwrap();
    assert!(!plan.to_json().unwrap().contains("password"));
}

#[test]
fn what_is_deployed_needs_no_step() {
    let (shop, observation) = (shop(), two_regions());
    let first = plan(&shop, &observation, &options()).unwrap();
    let options = PlanOptions { owned: applied(&first, Vec::new()), ..options() };
    let second = plan(&shop, &observation, &options).unwrap();
    assert_eq!((ids(&second), second.choices.len()), (vec![], 0));
}

#[test]
fn only_the_difference_is_planned() {
    let (mut shop, observation) = (shop(), two_regions());
    let owned = applied(&plan(&shop, &observation, &options()).unwrap(), Vec::new());
    let options = PlanOptions { owned: owned.clone(), ..options() };
    shop.components[3].replicas = 3;
    let more = plan(&shop, &observation, &options).unwrap();
    // The new replica refers to what is there: ids are known, names and secrets are asked for.
    assert_eq!(ids(&more), ["assets", "orders", "web-3"]);
    assert!(matches!(step(&more, "orders").action, Action::Refer { .. }));
    assert_eq!(step(&more, "web-3").depends_on, ["assets", "orders"]);
    let (web, network) = (spec(&more, "web-3"), &owned[0].id);
    assert_eq!(web["network"], network.to_string());
    assert_eq!(
        web["firewalls"][0],
        owned.iter().find(|o| o.step == "web-firewall").unwrap().id.to_string()
    );
    assert_eq!(web["region"], network.region.as_str());
    assert_eq!(more.choices[0].places.len(), 1);
    assert!(
        more.choices[0].why.starts_with("its network 'main' is in sim/"),
        "{}",
        more.choices[0].why
    );
    shop.components[3].replicas = 1;
    let fewer = plan(&shop, &observation, &options).unwrap();
    assert_eq!(ids(&fewer), ["web-2-delete"]);
    shop.components.pop();
    let without = plan(&shop, &observation, &options).unwrap();
    assert_eq!(without.blast_radius(owned.len()).deletes, 3);
    assert!(at(&without, "web-delete") < at(&without, "web-firewall-delete"));
}

#[test]
fn what_is_not_wanted_any_more_goes_last() {
    let (mut shop, observation) = (shop(), two_regions());
    let owned = applied(&plan(&shop, &observation, &options()).unwrap(), Vec::new());
    shop.components[3].name = "site".into();
    let options = PlanOptions { owned, ..options() };
    let renamed = plan(&shop, &observation, &options).unwrap();
    for old in ["web-delete", "web-2-delete", "web-firewall-delete"] {
        for new in ["site", "site-2", "site-firewall"] {
            assert!(at(&renamed, new) < at(&renamed, old), "{:?}", ids(&renamed));
        }
    }
}

#[test]
fn foreign_kinds_of_a_component_are_left_alone() {
    let (shop, observation) = (shop(), two_regions());
    let mut owned = applied(&plan(&shop, &observation, &options()).unwrap(), Vec::new());
    let mut snapshot = owned.iter().find(|o| o.step == "orders").unwrap().clone();
    snapshot.id = "snapshot/eu-1/s1".parse().unwrap();
    snapshot.step = "orders-snapshot".into();
    owned.push(snapshot);
    let plan = plan(&shop, &observation, &PlanOptions { owned, ..options() }).unwrap();
    assert_eq!(ids(&plan), Vec::<&str>::new());
}

#[test]
fn what_is_lost_with_its_region_is_made_elsewhere() {
    let (shop, observation) = (shop(), two_regions());
    let owned = applied(&plan(&shop, &observation, &options()).unwrap(), Vec::new());
    let there = Location::new(owned[0].cloud.clone(), owned[0].id.region.clone());
    let options = PlanOptions {
        lost: owned.iter().map(|o| (o.cloud.clone(), o.id.clone())).collect(),
        unreachable: BTreeSet::from([there.clone()]),
        owned: owned.clone(),
        ..options()
    };
    let moved = replace(&shop, &observation, &options).unwrap();
    assert_eq!(moved.purpose, "replace assets, main, orders, web of shop");
    assert_eq!(moved.steps.iter().filter(|s| matches!(s.action, Action::Create { .. })).count(), 6);
    let given_up: Vec<_> = moved.steps.iter().filter(|s| s.id.ends_with("-delete")).collect();
    assert_eq!(given_up.len(), 6);
    for step in given_up {
        assert!(
            matches!(&step.action, Action::Call { handler, .. } if handler == "abandon"),
            "{step:?}"
        );
    }
    for choice in &moved.choices {
        assert_ne!(choice.places[0].region, there.region);
        assert!(
            choice.rejected.iter().any(|r| r.why == "excluded: it does not answer"),
            "{choice:?}"
        );
    }
    assert_eq!(moved.blast_radius(owned.len()).deletes, 0);
}

#[test]
fn who_was_told_of_something_lost_is_made_again_when_the_new_is_there() {
    let (shop, observation) = (shop(), two_regions());
    let owned = applied(&plan(&shop, &observation, &options()).unwrap(), Vec::new());
    let orders = owned.iter().find(|o| o.step == "orders").unwrap();
    let options = PlanOptions {
        lost: BTreeSet::from([(orders.cloud.clone(), orders.id.clone())]),
        owned: owned.clone(),
        ..options()
    };
    let again = replace(&shop, &observation, &options).unwrap();
    let order = ["orders-delete", "orders", "web-delete", "web"].map(|id| at(&again, id));
    assert!(order.is_sorted(), "{:?}", ids(&again));
    assert!(at(&again, "orders-table-1") < at(&again, "web"));
    assert!(!ids(&again).contains(&"web-firewall") && !ids(&again).contains(&"main"));
    // `${assets.name}` of the bucket that stays is asked for.
    assert!(matches!(step(&again, "assets").action, Action::Refer { .. }));
    // Five of six: a bucket, a network and a firewall stay.
    assert_eq!(again.blast_radius(owned.len()).deletes, 3);
    assert_eq!(applied(&again, owned.clone()).len(), 6);
    let error = replace(
        &shop,
        &observation,
        &super::PlanOptions { lost: BTreeSet::new(), ..options.clone() },
    );
    assert!(error.unwrap_err().message().contains("lost is empty"));
    let foreign = BTreeSet::from([(orders.cloud.clone(), "bucket/x/y".parse().unwrap())]);
    let error = replace(&shop, &observation, &PlanOptions { lost: foreign, ..options });
    assert!(error.unwrap_err().message().contains("does not own"));
}

#[test]
fn a_lost_network_takes_all_that_is_in_it_along() {
    let (shop, observation) = (shop(), two_regions());
    let owned = applied(&plan(&shop, &observation, &options()).unwrap(), Vec::new());
    let main = owned.iter().find(|o| o.step == "main").unwrap();
    let options = PlanOptions {
        lost: BTreeSet::from([(main.cloud.clone(), main.id.clone())]),
        owned: owned.clone(),
        ..options()
    };
    let again = replace(&shop, &observation, &options).unwrap();
    let order = ["web-delete", "web-firewall-delete", "main-delete", "main", "web-firewall", "web"];
    assert!(order.map(|id| at(&again, id)).is_sorted(), "{:?}", ids(&again));
    assert!(at(&again, "web-2-delete") < at(&again, "main-delete"));
}

#[test]
fn destroying_takes_more_than_the_default_limit() {
    let owned = applied(&plan(&shop(), &two_regions(), &options()).unwrap(), Vec::new());
    let count = owned.len();
    let options = PlanOptions { owned: owned.clone(), delete_contents: true, ..options() };
    let end = destroy(&options).unwrap();
    assert_eq!((end.steps.len(), end.purpose.as_str()), (count, "destroy shop"));
    assert!(at(&end, "web-delete") < at(&end, "main-delete"));
    assert!(at(&end, "web-firewall-delete") < at(&end, "main-delete"));
    assert_eq!(applied(&end, owned), []);
    let limit = shop().limits;
    assert_eq!(limit.check(&end, count).unwrap_err().kind(), ErrorKind::PolicyDenied);
    limit.for_destroy().check(&end, count).unwrap();
}

#[test]
fn clouds_without_firewalls_get_none_and_stay_so() {
    let bare = || {
        let builder = SimCloud::builder("sim", 1).region("eu-1", &[]);
        let bare = builder.capabilities(|can| can.network.as_mut().unwrap().firewalls = false);
        observed([bare.build().unwrap()])
    };
    let first = plan(&shop(), &bare(), &options()).unwrap();
    assert!(!ids(&first).contains(&"web-firewall"));
    let choice = first.choices.iter().find(|c| c.component == "web").unwrap();
    assert_eq!(choice.figures["firewall"], "none: this cloud has no firewalls");
    let options = PlanOptions { owned: applied(&first, Vec::new()), ..options() };
    assert_eq!(ids(&plan(&shop(), &bare(), &options).unwrap()), Vec::<&str>::new());
}

#[test]
fn ports_that_are_known_are_filled_in() {
    let text = "name: shop\ncomponents:
- {name: api, type: compute, replicas: 2, spec: {ports: {PORT: 8080, ADMIN: 0}}}
- {name: web, type: compute, spec: {environment: {A: '${api[1].address}:${api[1].port_port}', B: '${api[0].port_admin}'}}}\n";
    let workload = Workload::from_text(text, Format::Yaml).unwrap();
    let plan = plan(&workload, &two_regions(), &options()).unwrap();
    assert_eq!(
        spec(&plan, "web")["environment"],
        json!({"A": "${api-2.address}:8080", "B": "${api.port_admin}"})
    );
    assert_eq!(step(&plan, "web").depends_on, ["api", "api-2"]);
}

#[test]
fn admin_ports_open_to_all_are_refused() {
    let mut shop = shop();
    shop.components[3].spec["ports"] = json!({"PORT": 22});
    shop.components[3].expose[0].from = vec!["0.0.0.0/0".parse().unwrap()];
    let error = plan(&shop, &two_regions(), &options()).unwrap_err();
    assert!(
        error.message().contains("component 'web': expose: rules[0] opens SSH or RDP"),
        "{error}"
    );
}

#[test]
fn options_are_checked() {
    for wrong in [
        PlanOptions { id: "P 1".into(), ..options() },
        PlanOptions { deployment: "../x".into(), ..options() },
    ] {
        assert_eq!(
            plan(&shop(), &two_regions(), &wrong).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(destroy(&wrong).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn ten_thousand_components_are_planned() {
    let mut workload = shop();
    workload.components = (0..10_000)
        .map(|i| {
            let mut component = Component::new(format!("c{i}"), cloud_core::ResourceType::Storage);
            if i > 0 {
                component.depends_on = vec![format!("c{}", i / 2)]
                    .into_iter()
                    .filter(|d| *d != component.name)
                    .collect();
            }
            component
        })
        .collect();
    let plan = plan(&workload, &two_regions(), &options()).unwrap();
    assert_eq!(plan.steps.len(), 10_000);
}

prop_compose! {
    /// A workload of components that depend on, refer to and are attached to earlier ones.
    fn any_workload()(
        parts in proptest::collection::vec((0usize..4, 1u32..4, proptest::collection::vec(0usize..10, 0..3), any::<bool>()), 1..10),
    ) -> Workload {
        let mut components: Vec<Component> = Vec::new();
        for (i, (kind, replicas, needs, expose)) in parts.into_iter().enumerate() {
            use cloud_core::ResourceType::{Compute, Database, Network, Storage};
            let component_type = [Compute, Database, Network, Storage][kind];
            let mut component = Component::new(format!("c{i}"), component_type);
            component.replicas = if component_type == Network { 1 } else { replicas };
            let mut environment = serde_json::Map::new();
            for need in needs.into_iter().filter(|need| *need < i) {
                let other = &components[need];
                match (component_type, other.component_type) {
                    (Compute | Database, Network) => component.network = Some(other.name.clone()),
                    (Compute, Database) => {
                        environment.insert(format!("E{need}"), format!("${{{}[0].url}}", other.name).into());
                    }
                    (Compute, Compute) => {
                        environment.insert(format!("E{need}"), format!("${{{}[0].address}}", other.name).into());
                    }
                    _ => component.depends_on.push(other.name.clone()),
                }
            }
            match component_type {
                Compute => {
                    component.spec.insert("environment".into(), environment.into());
                    component.spec.insert("ports".into(), json!({"PORT": 80}));
                    if expose && component.network.is_some() {
                        component.expose = serde_json::from_value(json!([{"port": "PORT"}])).unwrap();
                    }
                }
                Database => { component.spec.insert("engine".into(), "sqlite".into()); }
                Network => { component.spec.insert("cidr".into(), "10.0.0.0/16".into()); }
                _ => {}
            }
            components.push(component);
        }
        Workload { components, expires_in: None, ..shop() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn plans_are_valid_whatever_is_lost(workload in any_workload(), losses in proptest::collection::vec(any::<bool>(), 60), down in any::<bool>()) {
        let observation = two_regions();
        let first = plan(&workload, &observation, &options()).unwrap();
        first.validate().unwrap();
        // Sorted: each step stands after those it depends on.
        let position: HashMap<&str, usize> = ids(&first).into_iter().enumerate().map(|(i, id)| (id, i)).collect();
        for (i, step) in first.steps.iter().enumerate() {
            prop_assert!(step.depends_on.iter().all(|need| position[need.as_str()] < i));
        }
        let owned = applied(&first, Vec::new());
        let deployed = PlanOptions { owned: owned.clone(), ..options() };
        prop_assert_eq!(plan(&workload, &observation, &deployed).unwrap().steps, vec![]);
        let lost: BTreeSet<_> = (owned.iter().zip(&losses))
            .filter(|(_, lost)| **lost)
            .map(|(o, _)| (o.cloud.clone(), o.id.clone()))
            .collect();
        let all_there = |o: &OwnedResource| Location::new(o.cloud.clone(), o.id.region.clone());
        let unreachable: BTreeSet<_> = match down && lost.len() == owned.len() {
            true => owned.iter().map(all_there).take(1).collect(),
            false => BTreeSet::new(),
        };
        let options = PlanOptions { owned: owned.clone(), lost, unreachable, ..options() };
        let again = plan(&workload, &observation, &options).unwrap();
        again.validate().unwrap();
        let after = applied(&again, owned.clone());
        prop_assert_eq!(after.len(), owned.len());
        let settled = PlanOptions { owned: after.clone(), ..deployed };
        prop_assert_eq!(plan(&workload, &observation, &settled).unwrap().steps, vec![]);
        let end = destroy(&PlanOptions { owned: after.clone(), ..settled }).unwrap();
        prop_assert_eq!(applied(&end, after), Vec::new());
    }
}
