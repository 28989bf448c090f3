//! What can be wrong with a workload although each field has the right type.

use std::collections::HashMap;

use cloud_core::{Error, ErrorKind, InstanceSpec, ResourceKind, Result};
use object_store::path::Path as ObjectPath;

use super::{
    Component, Workload, check_places,
    reference::{self, Reference},
    spec::{Fault, Typed},
};
use crate::engine::{
    plan::{check_id, find_cycle, port_output},
    reference::is_secret,
};

/// The longest name of a workload and of a component: what is made from it still fits into 63 characters.
const MAX_NAME: usize = 40;
/// The most replicas of a component.
const MAX_REPLICAS: u32 = 1000;
/// The most components.
const MAX_COMPONENTS: usize = 100_000;
/// The most tables or objects of a component.
const MAX_INNER: usize = 1000;

pub(super) fn fault(
    path: impl Into<String>,
    problem: impl std::fmt::Display,
    accepted: impl std::fmt::Display,
) -> Fault {
    let path = path.into();
    let error = Error::invalid(&path, problem, accepted);
    Fault { path, error }
}

/// An error of a check that names the field itself.
pub(super) fn at(path: impl Into<String>) -> impl FnOnce(Error) -> Fault {
    let path = path.into();
    move |error| Fault { path, error }
}

pub(super) fn check(workload: &Workload) -> Result<(), Fault> {
    check_name("name", &workload.name)?;
    let count = workload.components.len();
    if !(1..=MAX_COMPONENTS).contains(&count) {
        let problem = format!("has {count} entries");
        return Err(fault("components", problem, format_args!("1 to {MAX_COMPONENTS}")));
    }
    if workload.expires_in.is_some_and(|d| d.is_zero() || d.as_secs() > 100 * 366 * 86_400) {
        return Err(fault("expires_in", "is zero or over 100 years", "1s to 100y"));
    }
    workload.limits.validate().map_err(at("limits"))?;
    check_places::check_workload(workload)?;
    let index = index(workload)?;
    for (i, component) in workload.components.iter().enumerate() {
        check_component(workload, &index, i, component).map_err(|inner| {
            let path = format!("components[{i}].{}", inner.path);
            let message = match inner.error.message().strip_prefix(inner.path.as_str()) {
                Some(rest) => format!("{path}{rest}"),
                None => format!("{path}: {}", inner.error.message()),
            };
            let error = Error::new(ErrorKind::InvalidInput, message);
            Fault { path, error }
        })?;
    }
    check_places::check_relations(workload, &index)?;
    check_acyclic(workload, &index)
}

fn check_name(path: &str, name: &str) -> Result<(), Fault> {
    check_id(path, name, MAX_NAME).map_err(at(path))
}

/// The component of each name. Refuses names, and names of steps made from them, that come twice.
fn index(workload: &Workload) -> Result<HashMap<&str, usize>, Fault> {
    let mut index = HashMap::with_capacity(workload.components.len());
    for (i, component) in workload.components.iter().enumerate() {
        let path = format!("components[{i}].name");
        check_name(&path, &component.name)?;
        if let Some(first) = index.insert(component.name.as_str(), i) {
            let problem = format!("is '{}', as that of components[{first}]", component.name);
            return Err(fault(path, problem, "each name once"));
        }
    }
    for (i, component) in workload.components.iter().enumerate() {
        let replicas = (0..component.replicas.min(MAX_REPLICAS)).map(|n| component.step_id(n));
        let inside =
            replicas.clone().flat_map(|step| inner_ids(component, &step).collect::<Vec<_>>());
        let taken = (replicas.skip(1))
            .chain((!component.expose.is_empty()).then(|| firewall_id(component)))
            .chain(inside)
            .find_map(|id| Some((*index.get(id.as_str())?, id)));
        if let Some((other, id)) = taken {
            let problem = format!(
                "is '{id}', which is also a part of '{}' (components[{i}])",
                component.name
            );
            return Err(fault(format!("components[{other}].name"), problem, "another name"));
        }
    }
    Ok(index)
}

/// The id of the step that makes a component's firewall.
pub(crate) fn firewall_id(component: &Component) -> String {
    format!("{}-firewall", component.name)
}

/// The ids of the steps that make what is inside the replica that a step makes.
pub(crate) fn inner_ids(component: &Component, step: &str) -> impl Iterator<Item = String> {
    let what = match component.kind() {
        ResourceKind::Bucket => "object",
        _ => "table",
    };
    let count = component.inner_count().min(MAX_INNER);
    (1..=count).map(move |n| format!("{step}-{what}-{n}"))
}

fn check_component(
    workload: &Workload,
    index: &HashMap<&str, usize>,
    own: usize,
    component: &Component,
) -> Result<(), Fault> {
    let replicas = component.replicas;
    if !(1..=MAX_REPLICAS).contains(&replicas) {
        let accepted = format_args!("1 to {MAX_REPLICAS}");
        return Err(fault("replicas", format_args!("is {replicas}"), accepted));
    }
    for (n, name) in component.depends_on.iter().enumerate() {
        find(index, own, &format!("depends_on[{n}]"), name)?;
    }
    check_places::check_component(index, own, component)?;
    check_network(workload, index, own, component)?;
    workload.tags.merged(&component.tags).map_err(at("tags"))?;
    // The name that the last replica will have: the longest.
    let name = format!("{}-{}", workload.name, component.step_id(replicas - 1));
    let typed = component.typed(&name)?;
    typed.validate().map_err(|error| {
        // The first word of the message is the field.
        let message = format!("spec.{}", error.message());
        let path = message.split([' ', ';']).next().unwrap_or("spec").to_owned();
        let error = Error::new(ErrorKind::InvalidInput, message);
        Fault { path, error }
    })?;
    check_inner(component)?;
    if let Typed::Instance(spec) = &typed {
        check_exposed(component, spec)?;
    } else if !component.expose.is_empty() {
        let problem = format!("is set for {}", component.component_type);
        return Err(fault("expose", problem, "compute components only"));
    }
    check_references(workload, index, own, component)
}

pub(super) fn find(
    index: &HashMap<&str, usize>,
    own: usize,
    path: &str,
    name: &str,
) -> Result<usize, Fault> {
    match index.get(name) {
        Some(found) if *found == own => Err(fault(path, "is the component itself", "another")),
        Some(found) => Ok(*found),
        None => {
            let shown: String = name.chars().take(64).collect();
            let problem = format!("names the unknown component '{}'", shown.escape_debug());
            let mut names: Vec<_> = index.keys().copied().collect();
            names.sort_unstable();
            let more = if names.len() > 10 { ", …" } else { "" };
            names.truncate(10);
            Err(fault(path, problem, format_args!("{}{more}", names.join(", "))))
        }
    }
}

fn check_network(
    workload: &Workload,
    index: &HashMap<&str, usize>,
    own: usize,
    component: &Component,
) -> Result<(), Fault> {
    let Some(network) = &component.network else {
        return match component.expose.is_empty() {
            true => Ok(()),
            false => Err(fault("expose", "is set without a network", "a component with a network")),
        };
    };
    let attachable = [ResourceKind::Instance, ResourceKind::Database, ResourceKind::Cluster];
    if !attachable.contains(&component.kind()) {
        let problem = format!("is set for {}", component.component_type);
        return Err(fault("network", problem, "compute, database and container components only"));
    }
    let found = &workload.components[find(index, own, "network", network)?];
    if found.kind() != ResourceKind::Network || found.replicas != 1 {
        let problem =
            format!("names '{network}', which is {} × {}", found.replicas, found.component_type);
        return Err(fault("network", problem, "a network component with one replica"));
    }
    if component.spec.contains_key("network") {
        let problem = "is set besides the component's network";
        return Err(fault("spec.network", problem, "one of the two"));
    }
    Ok(())
}

fn check_inner(component: &Component) -> Result<(), Fault> {
    if component.inner_count() > MAX_INNER {
        let problem = format!("has {} tables or objects", component.inner_count());
        return Err(fault("spec", problem, format_args!("at most {MAX_INNER}")));
    }
    let tables = component.tables()?;
    for (n, table) in tables.iter().enumerate() {
        let path = format!("spec.tables[{n}]");
        table.validate().map_err(|e| e.context(&path)).map_err(at(&path))?;
        if tables[..n].iter().any(|t| t.name.eq_ignore_ascii_case(&table.name)) {
            return Err(fault(path, format_args!("is '{}' again", table.name), "each table once"));
        }
    }
    let objects = component.objects()?;
    for (n, object) in objects.iter().enumerate() {
        let path = format!("spec.objects[{n}]");
        if !ObjectPath::parse(&object.key).is_ok_and(|key| !key.as_ref().is_empty()) {
            let problem = format!("is '{}'", object.key.escape_debug());
            return Err(fault(format!("{path}.key"), problem, "a relative path without '..'"));
        }
        if object.text.is_some() == object.file.is_some() {
            return Err(fault(path, "has both or neither of text and file", "one of the two"));
        }
        if objects[..n].iter().any(|o| o.key == object.key) {
            return Err(fault(path, format_args!("is '{}' again", object.key), "each key once"));
        }
    }
    Ok(())
}

fn check_exposed(component: &Component, spec: &InstanceSpec) -> Result<(), Fault> {
    for (n, expose) in component.expose.iter().enumerate() {
        let path = format!("expose[{n}].port");
        if !spec.ports.contains_key(&expose.port) {
            let problem = format!("names no port: '{}'", expose.port.escape_debug());
            let ports: Vec<_> = spec.ports.keys().map(String::as_str).collect();
            let accepted = format!("a key of spec.ports ({})", ports.join(", "));
            return Err(fault(path, problem, accepted));
        }
        if component.expose[..n].iter().any(|e| e.port == expose.port) {
            return Err(fault(path, format_args!("is '{}' again", expose.port), "each port once"));
        }
        for net in &expose.from {
            if net.trunc() != *net {
                let problem = format!("has {net}");
                return Err(fault(
                    format!("expose[{n}].from"),
                    problem,
                    format_args!("{}", net.trunc()),
                ));
            }
        }
    }
    Ok(())
}

fn check_references(
    workload: &Workload,
    index: &HashMap<&str, usize>,
    own: usize,
    component: &Component,
) -> Result<(), Fault> {
    let mut inner = None;
    let mut path = "spec".to_owned();
    for (field, value) in &component.spec {
        path.truncate("spec".len());
        path.push('.');
        path.push_str(field);
        let done = reference::map_value(value, &mut path, &mut |at, reference| {
            check_reference(workload, index, own, component, at, reference).map_err(|fault| {
                let error = fault.error.clone();
                inner = Some(fault);
                error
            })?;
            Ok(String::new())
        });
        if let Err(error) = done {
            return Err(inner.unwrap_or(Fault { error: error.context(&path), path: path.clone() }));
        }
    }
    Ok(())
}

fn check_reference(
    workload: &Workload,
    index: &HashMap<&str, usize>,
    own: usize,
    component: &Component,
    path: &str,
    reference: Reference<'_>,
) -> Result<(), Fault> {
    let target = &workload.components[find(index, own, path, reference.component)?];
    let has = target.replicas;
    match reference.replica {
        None if has > 1 => {
            let problem = format!("has {reference}, but '{}' has {has} replicas", target.name);
            let one = Reference { replica: Some(0), ..reference };
            return Err(fault(path, problem, format_args!("one of them, such as {one}")));
        }
        Some(n) if n >= has => {
            let problem = format!("has {reference}, but '{}' has {has} replicas", target.name);
            return Err(fault(path, problem, format_args!("[0] to [{}]", has.saturating_sub(1))));
        }
        _ => {}
    }
    let mut outputs: Vec<String> =
        reference::outputs(target.kind()).iter().map(|o| (*o).to_owned()).collect();
    outputs.extend(port_outputs(target));
    if !outputs.iter().any(|o| o == reference.output) {
        let problem = format!("has {reference}, but '{}' gives no such output", target.name);
        return Err(fault(path, problem, outputs.join(", ")));
    }
    let environment = path.starts_with("spec.environment.")
        && matches!(component.kind(), ResourceKind::Instance | ResourceKind::Function);
    if is_secret(target.kind(), reference.output) && !environment {
        let problem = format!("has {reference}, which is a secret");
        return Err(fault(path, problem, "secrets inside spec.environment only"));
    }
    Ok(())
}

/// The outputs that are ports.
fn port_outputs(component: &Component) -> Vec<String> {
    let ports = component.spec.get("ports").and_then(|p| p.as_object());
    let Some(ports) = ports.filter(|_| component.kind() == ResourceKind::Instance) else {
        return Vec::new();
    };
    let mut outputs: Vec<String> = ports.keys().map(|variable| port_output(variable)).collect();
    if ports.len() == 1 {
        outputs.push("port".into());
    }
    outputs
}

/// What a component depends on: by name, by network and by reference. Unknown names are left out.
pub(crate) fn dependencies(index: &HashMap<&str, usize>, component: &Component) -> Vec<u32> {
    let mut found: Vec<u32> = Vec::new();
    let mut see = |name: &str| found.extend(index.get(name).map(|i| *i as u32));
    component.depends_on.iter().for_each(|name| see(name));
    component.network.iter().for_each(|name| see(name));
    for value in component.spec.values() {
        let mut path = String::new();
        // Malformed references were refused before.
        let _ = reference::map_value(value, &mut path, &mut |_, reference| {
            see(reference.component);
            Ok(String::new())
        });
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn check_acyclic(workload: &Workload, index: &HashMap<&str, usize>) -> Result<(), Fault> {
    let needs: Vec<Vec<u32>> = workload.components.iter().map(|c| dependencies(index, c)).collect();
    match find_cycle(&needs) {
        None => Ok(()),
        Some(cycle) => {
            let names = cycle.iter().chain(cycle.first());
            let names: Vec<_> =
                names.map(|i| workload.components[*i as usize].name.as_str()).collect();
            let path = format!("components[{}].depends_on", cycle.first().copied().unwrap_or(0));
            let problem = format!("and references make a cycle: {}", names.join(" needs "));
            Err(fault(path, problem, "dependencies without a cycle"))
        }
    }
}
