//! The steps that make what is wanted and not there.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cloud_core::{
    Direction, Error, ErrorKind, FirewallRule, FirewallSpec, Location, Protocol, Purchase,
    ResourceKind, Result, Tags,
};
use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::{PlanOptions, difference::Difference};
use crate::{
    catalog::Catalog,
    engine::{
        plan::{Action, Choice, Step, port_output},
        reference::is_secret,
    },
    place::{Observation, Replica, Request, Settled, Wanted, place},
    workload::{
        Component, Workload,
        check::{firewall_id, inner_ids},
        reference::{self, Reference},
        spec::Typed,
    },
};

/// What is to be made.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) steps: Vec<Step>,
    pub(super) choices: Vec<Choice>,
    /// For each step that is made: the steps whose outputs it is told.
    pub(super) dependents: HashMap<String, Vec<String>>,
}

/// Where a component goes.
#[derive(Clone, Debug)]
struct Decided {
    replicas: Vec<Replica>,
    choice: Choice,
}

/// What is being made.
struct Builder<'a> {
    workload: &'a Workload,
    options: &'a PlanOptions,
    difference: &'a Difference<'a>,
    observation: &'a Observation,
    placed: HashMap<&'a str, Decided>,
    steps: Vec<Step>,
    /// The steps that were made for a replica or a firewall: itself, and what is inside it.
    made: HashMap<String, Vec<String>>,
    /// The steps that refer to what is there.
    referred: BTreeSet<String>,
    told: HashMap<String, Vec<String>>,
}

pub(super) fn build(
    workload: &Workload,
    observation: &Observation,
    options: &PlanOptions,
    difference: &Difference<'_>,
) -> Result<Draft> {
    let catalog = match &options.catalog {
        Some(catalog) => catalog.clone(),
        None => {
            let builtin = Catalog::builtin()?;
            Catalog::from_observation(observation, Some(builtin), options.now)?.0
        }
    };
    let request = Request {
        settled: settled(workload, difference),
        observation: Some(observation),
        excluded: excluded(options),
        blocks: options.blocks.clone(),
        policies: options.policies.clone(),
        deployment_policies: workload.deployment_policies.clone(),
        budget: workload.budget.clone(),
        in_flight: options.in_flight.clone(),
        now: options.now,
        solve: options.solve.clone(),
        ..Request::new(&catalog, wanted(workload, options, difference))
    };
    let placement = place(&request)?;
    let names: Vec<&str> = request.wanted.iter().map(|w| w.component.name.as_str()).collect();
    let choices = (0..names.len()).map(|i| {
        let choice = placement.choice(i);
        choice
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a component was left without a place"))
    });
    let choices = choices.collect::<Result<Vec<_>>>()?;
    let placed = placement.placed.iter().cloned().zip(choices);
    let placed = placed.map(|(placed, choice)| Decided { replicas: placed.replicas, choice });
    let mut builder = Builder {
        workload,
        options,
        difference,
        observation,
        placed: names.iter().copied().zip(placed).collect(),
        steps: Vec::new(),
        made: HashMap::new(),
        referred: BTreeSet::new(),
        told: HashMap::new(),
    };
    for i in &difference.order {
        builder.component(&workload.components[*i])?;
    }
    let mut placed = builder.placed;
    let choices = names.into_iter().filter_map(|name| Some(placed.remove(name)?.choice));
    Ok(Draft { choices: choices.collect(), steps: builder.steps, dependents: builder.told })
}

/// The name of a resource: that of its deployment and of its step.
fn resource_name(options: &PlanOptions, step: &str) -> String {
    format!("{}-{step}", options.deployment)
}

fn excluded(options: &PlanOptions) -> BTreeMap<Location, String> {
    let down = options.unreachable.iter();
    let mut all: BTreeMap<_, _> =
        down.map(|place| (place.clone(), "it does not answer".to_owned())).collect();
    all.extend(options.excluded.clone());
    all
}

/// What is there and stays: others may have to be near to it.
fn settled<'w>(workload: &'w Workload, difference: &Difference<'_>) -> Vec<Settled<'w>> {
    let settled = workload.components.iter().map(|component| {
        let steps = (0..component.replicas).map(|n| component.step_id(n));
        let kept = steps.filter_map(|step| difference.kept.get(&step));
        let places =
            kept.map(|kept| Location::new(kept.cloud.clone(), kept.id.region.clone())).collect();
        Settled { component, places }
    });
    settled.filter(|settled| !settled.places.is_empty()).collect()
}

/// The replicas of a component that are not there.
fn missing<'c>(
    component: &'c Component,
    difference: &'c Difference<'_>,
) -> impl Iterator<Item = String> + 'c {
    let steps = (0..component.replicas).map(|n| component.step_id(n));
    steps.filter(|step| !difference.kept.contains_key(step))
}

fn wanted<'w>(
    workload: &'w Workload,
    options: &PlanOptions,
    difference: &Difference<'_>,
) -> Vec<Wanted<'w>> {
    let mut wanted = Vec::new();
    for component in &workload.components {
        let count = missing(component, difference).count();
        if count == 0 {
            continue;
        }
        let network = component.network.as_ref().and_then(|name| difference.kept.get(name));
        let last = component.step_id(component.replicas.saturating_sub(1));
        wanted.push(Wanted {
            component,
            resource_name: resource_name(options, &last),
            replicas: u32::try_from(count).unwrap_or(u32::MAX),
            pinned: network.map(|network| {
                let place = Location::new(network.cloud.clone(), network.id.region.clone());
                let why = format!("its network '{}' is in {place}", network.component);
                (place, why)
            }),
        });
    }
    wanted
}

impl Builder<'_> {
    fn component(&mut self, component: &Component) -> Result<()> {
        let missing: Vec<String> = missing(component, self.difference).collect();
        let Some(placed) = self.placed.get(component.name.as_str()).cloned() else {
            return Ok(());
        };
        let before = self.before(component);
        let mut firewall = None;
        if !component.expose.is_empty() {
            firewall = self.firewall(component, &placed)?;
        }
        for (step, replica) in missing.into_iter().zip(&placed.replicas) {
            self.replica(component, replica, &step, firewall.as_deref(), &before)?;
        }
        Ok(())
    }

    /// The steps of the components that are named as dependencies.
    fn before(&self, component: &Component) -> BTreeSet<String> {
        let mut before = BTreeSet::new();
        for name in &component.depends_on {
            let Some(needed) = self.difference.index.get(name.as_str()) else {
                continue;
            };
            let needed = &self.workload.components[*needed];
            for step in (0..needed.replicas).map(|n| needed.step_id(n)) {
                before.extend(self.made.get(&step).into_iter().flatten().cloned());
            }
        }
        before
    }

    /// The firewall in front of a component, made if it is not there; `None` where there are none.
    fn firewall(&mut self, component: &Component, placed: &Decided) -> Result<Option<String>> {
        let Some(place) = placed.choice.places.first() else {
            return Ok(None);
        };
        let id = firewall_id(component);
        if let Some(kept) = self.difference.kept.get(&id) {
            return Ok(Some(reference::escape(&kept.id.to_string())));
        }
        if !Difference::has_firewalls(self.observation, &place.cloud) {
            if let Some(placed) = self.placed.get_mut(component.name.as_str()) {
                let none = "none: this cloud has no firewalls".to_owned();
                placed.choice.figures.insert("firewall".into(), none);
            }
            return Ok(None);
        }
        let mut needs = BTreeSet::new();
        let network = self.network(component, &id, &mut needs)?;
        let name = resource_name(self.options, &id);
        let rules = self.rules(component)?;
        // Checked with a network of no cloud, because the real one is not there yet.
        let mut spec = FirewallSpec::new(&name, "network/region/id".parse()?);
        spec.rules.clone_from(&rules);
        spec.validate()
            .map_err(|e| e.context(format_args!("component '{}': expose", component.name)))?;
        let mut spec = Map::new();
        spec.insert("name".into(), name.into());
        spec.insert("network".into(), network.unwrap_or_default().into());
        spec.insert("rules".into(), data(&rules)?);
        self.tags(component, &mut spec)?;
        self.add(component, &id, place, ResourceKind::Firewall, spec, None, needs);
        Ok(Some(format!("${{{id}.id}}")))
    }

    fn rules(&self, component: &Component) -> Result<Vec<FirewallRule>> {
        let ports = match component.typed("x").map_err(|fault| fault.error)? {
            Typed::Instance(spec) => spec.ports,
            _ => BTreeMap::new(),
        };
        let rules = component.expose.iter().map(|expose| {
            let port = ports.get(&expose.port).copied().unwrap_or(0);
            let peers = match expose.from.is_empty() {
                true => vec![self.network_block(component)?],
                false => expose.from.clone(),
            };
            Ok(FirewallRule {
                direction: Direction::Ingress,
                protocol: Protocol::Tcp,
                // A cloud that chooses a free port takes it from the upper half.
                ports: Some(if port == 0 { (32768, 65535) } else { (port, port) }),
                peers,
            })
        });
        rules.collect()
    }

    /// The addresses of a component's network.
    fn network_block(&self, component: &Component) -> Result<IpNet> {
        let network = component.network.as_deref().and_then(|n| self.difference.index.get(n));
        let network = network.map(|i| self.workload.components[*i].typed("x"));
        match network {
            Some(Ok(Typed::Network(spec))) => Ok(spec.cidr),
            _ => Err(Error::invalid("expose", "has no network", "a component with a network")),
        }
    }

    /// The id of a component's network, or a reference to it.
    fn network(
        &mut self,
        component: &Component,
        step: &str,
        needs: &mut BTreeSet<String>,
    ) -> Result<Option<String>> {
        let Some(component) = &component.network else {
            return Ok(None);
        };
        let reference = Reference { component, replica: None, output: "id" };
        self.resolve(reference, step, needs).map(Some)
    }

    fn replica(
        &mut self,
        component: &Component,
        placed: &Replica,
        step: &str,
        firewall: Option<&str>,
        before: &BTreeSet<String>,
    ) -> Result<()> {
        let place = &placed.place;
        let mut needs = before.clone();
        let mut spec = Map::new();
        for (field, value) in component.own_spec() {
            let mut path = field.clone();
            let filled = reference::map_value(value, &mut path, &mut |_, reference| {
                self.resolve(reference, step, &mut needs)
            })?;
            spec.insert(field.clone(), filled);
        }
        self.move_secrets(component, &mut spec);
        spec.insert("name".into(), resource_name(self.options, step).into());
        spec.insert("region".into(), place.region.as_str().into());
        if let Some(zone) = &place.zone {
            spec.insert("zone".into(), zone.as_str().into());
        }
        if let Some(network) = self.network(component, step, &mut needs)? {
            spec.insert("network".into(), network.into());
        }
        if let Some(firewall) = firewall {
            let list = spec.entry("firewalls").or_insert_with(|| json!([]));
            if let Some(list) = list.as_array_mut() {
                list.push(firewall.into());
            }
            let id = firewall_id(component);
            if self.made.contains_key(&id) {
                self.told.entry(step.to_owned()).or_default().push(id.clone());
                needs.insert(id);
            }
        }
        // The plan holds to the type that its price is of; without a price the cloud chooses.
        if let (Some(name), Some(_)) = (&placed.instance_type, &placed.unit_cost)
            && component.kind() == ResourceKind::Instance
        {
            spec.insert("size".into(), json!({ "exact": name }));
        }
        if component.kind() == ResourceKind::Instance && component.requirements.spot.is_some() {
            spec.insert("spot".into(), (placed.purchase == Purchase::Spot).into());
        }
        self.tags(component, &mut spec)?;
        let cost = placed.unit_cost.clone();
        self.add(component, step, place, component.kind(), spec, cost, needs);
        self.inside(component, step, place)
    }

    /// The steps that make what is inside a replica.
    fn inside(&mut self, component: &Component, step: &str, place: &Location) -> Result<()> {
        let tables = component.tables().map_err(|fault| fault.error)?;
        let objects = component.objects().map_err(|fault| fault.error)?;
        let id = format!("${{{step}.id}}");
        let tables = tables
            .iter()
            .map(|table| Ok(("create_table", json!({ "database": id, "table": data(table)? }))));
        let objects = objects.iter().map(|object| {
            let mut input = data(object)?;
            input["bucket"] = id.as_str().into();
            Ok(("put_object", input))
        });
        let calls = tables.chain(objects).collect::<Result<Vec<_>>>()?;
        for (call_id, (handler, input)) in inner_ids(component, step).zip(calls) {
            let mut needs = BTreeSet::from([step.to_owned()]);
            let input = reference::map_value(&input, &mut String::new(), &mut |_, reference| {
                if reference.component == step && reference.output == "id" {
                    return Ok(id.clone());
                }
                self.resolve(reference, &call_id, &mut needs)
            })?;
            self.made.entry(step.to_owned()).or_default().push(call_id.clone());
            self.steps.push(Step {
                id: call_id,
                component: component.name.clone(),
                cloud: place.cloud.clone(),
                action: Action::Call { handler: handler.to_owned(), input },
                depends_on: needs.into_iter().collect(),
                monthly_cost: None,
            });
        }
        Ok(())
    }

    /// What stands in the plan for a reference: a value that is known, or a reference to a step.
    fn resolve(
        &mut self,
        reference: Reference<'_>,
        step: &str,
        needs: &mut BTreeSet<String>,
    ) -> Result<String> {
        let found = self.difference.index.get(reference.component);
        let target = found.map(|i| &self.workload.components[*i]).ok_or_else(|| {
            Error::new(ErrorKind::Internal, format!("{reference} names no component"))
        })?;
        if let Some(port) = fixed_port(target, reference.output) {
            return Ok(port.to_string());
        }
        let target_step = target.step_id(reference.replica.unwrap_or(0));
        if let Some(kept) = self.difference.kept.get(&target_step).copied() {
            match reference.output {
                "id" => return Ok(reference::escape(&kept.id.to_string())),
                "region" => return Ok(kept.id.region.to_string()),
                _ => {}
            }
            if self.referred.insert(target_step.clone()) {
                self.steps.push(Step {
                    id: target_step.clone(),
                    component: kept.component.clone(),
                    cloud: kept.cloud.clone(),
                    action: Action::Refer { id: kept.id.clone() },
                    depends_on: Vec::new(),
                    monthly_cost: None,
                });
            }
            needs.insert(target_step.clone());
        } else {
            // With what is inside it: who uses a database expects its tables.
            needs.extend(self.made.get(&target_step).into_iter().flatten().cloned());
            self.told.entry(step.to_owned()).or_default().push(target_step.clone());
        }
        Ok(format!("${{{target_step}.{}}}", reference.output))
    }

    /// Moves the variables with secrets to the secret environment, as the texts that they are.
    fn move_secrets(&self, component: &Component, spec: &mut Map<String, Value>) {
        let Some(Value::Object(variables)) = component.spec.get("environment") else {
            return;
        };
        for (variable, text) in variables {
            let mut secret = false;
            let mut path = String::new();
            let _ = reference::map_value(text, &mut path, &mut |_, reference| {
                let target = self.difference.index.get(reference.component);
                let kind = target.map(|i| self.workload.components[*i].kind());
                secret |= kind.is_some_and(|kind| is_secret(kind, reference.output));
                Ok(String::new())
            });
            if !secret {
                continue;
            }
            let environment = spec.get_mut("environment").and_then(Value::as_object_mut);
            if let Some(text) = environment.and_then(|e| e.remove(variable)) {
                let secrets = spec.entry("secret_environment").or_insert_with(|| json!({}));
                if let Some(secrets) = secrets.as_object_mut() {
                    secrets.insert(variable.clone(), text);
                }
            }
        }
    }

    fn tags(&self, component: &Component, spec: &mut Map<String, Value>) -> Result<()> {
        let tags: Tags = self.workload.tags.merged(&component.tags)?;
        if !tags.is_empty() {
            spec.insert("tags".into(), data(&tags)?);
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn add(
        &mut self,
        component: &Component,
        id: &str,
        place: &Location,
        kind: ResourceKind,
        spec: Map<String, Value>,
        monthly_cost: Option<cloud_core::Money>,
        needs: BTreeSet<String>,
    ) {
        self.made.insert(id.to_owned(), vec![id.to_owned()]);
        self.steps.push(Step {
            id: id.to_owned(),
            component: component.name.clone(),
            cloud: place.cloud.clone(),
            action: Action::Create { kind, spec: spec.into() },
            depends_on: needs.into_iter().collect(),
            monthly_cost,
        });
    }
}

/// The port that an output stands for, where the workload itself says it.
fn fixed_port(component: &Component, output: &str) -> Option<u64> {
    if component.kind() != ResourceKind::Instance {
        return None;
    }
    let ports = component.spec.get("ports")?.as_object()?;
    let mut ports = ports.iter();
    let only = (ports.len() == 1 && output == "port").then(|| ports.next()).flatten();
    let (_, port) = only.or_else(|| ports.find(|(variable, _)| port_output(variable) == output))?;
    port.as_u64().filter(|port| *port != 0)
}

fn data(value: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))
}
