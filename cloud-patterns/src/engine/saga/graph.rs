//! A plan as a graph of indices: checked once, then walked forwards to apply and backwards to undo.

use std::collections::HashMap;

use cloud_core::{Error, Result};

use super::template;
use crate::engine::plan::{Action, Plan, Step, check_id, find_cycle};

/// The longest id: it becomes a tag.
const MAX_ID: usize = 63;

/// Edges by index. A reference `${step.output}` is an edge too, whether or not `depends_on` names it.
#[derive(Debug)]
pub(super) struct Graph {
    /// Before: what each step needs.
    pub(super) needs: Vec<Vec<u32>>,
    /// After: who needs each step.
    pub(super) needed_by: Vec<Vec<u32>>,
    /// The step of each id.
    pub(super) index: HashMap<Box<str>, u32>,
}

impl Graph {
    /// Checks a plan's shape and builds its graph, in time linear in its size.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for a wrong or doubled id, an unknown
    /// dependency or reference, or a cycle.
    pub(super) fn new(plan: &Plan) -> Result<Self> {
        check_id("plan.id", &plan.id, MAX_ID)?;
        check_id("plan.deployment", &plan.deployment, MAX_ID)?;
        let mut index = HashMap::with_capacity(plan.steps.len());
        for (i, step) in (0u32..).zip(&plan.steps) {
            check_id(&format!("steps[{i}].id"), &step.id, MAX_ID)?;
            if index.insert(step.id.as_str().into(), i).is_some() {
                let problem = format!("is '{}', as another's", step.id);
                return Err(Error::invalid(&format!("steps[{i}].id"), problem, "each id once"));
            }
        }
        let mut graph = Self {
            needs: vec![Vec::new(); plan.steps.len()],
            needed_by: vec![Vec::new(); plan.steps.len()],
            index,
        };
        for (i, step) in (0u32..).zip(&plan.steps) {
            graph.connect(i, step)?;
        }
        graph.check_acyclic(plan)?;
        Ok(graph)
    }

    fn connect(&mut self, i: u32, step: &Step) -> Result<()> {
        let mut needs = Vec::with_capacity(step.depends_on.len());
        let find = |name: &str, field: &str| {
            self.index.get(name).copied().ok_or_else(|| {
                Error::invalid(
                    &format!("step '{}': {field}", step.id),
                    format_args!("names the unknown step '{}'", name.escape_debug()),
                    "the id of a step of this plan",
                )
            })
        };
        for name in &step.depends_on {
            needs.push(find(name, "depends_on")?);
        }
        let text = match &step.action {
            Action::Create { spec, .. } => Some(spec),
            Action::Call { input, .. } => Some(input),
            Action::Delete { .. } | Action::Adopt { .. } | Action::Refer { .. } => None,
        };
        if let Some(text) = text {
            template::references(text, &mut |reference| {
                needs.push(find(reference.step, "a reference")?);
                Ok(())
            })
            .map_err(|e| e.with_resource(step.id.as_str()))?;
        }
        needs.sort_unstable();
        needs.dedup();
        for need in &needs {
            self.needed_by[*need as usize].push(i);
        }
        self.needs[i as usize] = needs;
        Ok(())
    }

    fn check_acyclic(&self, plan: &Plan) -> Result<()> {
        let Some(cycle) = find_cycle(&self.needs) else {
            return Ok(());
        };
        let name = |i: &u32| plan.steps[*i as usize].id.as_str();
        let mut names: Vec<&str> = cycle.iter().take(8).map(name).collect();
        if cycle.len() > names.len() {
            names.push("…");
        }
        names.extend(cycle.first().map(name));
        Err(Error::invalid(
            "depends_on",
            format_args!("has a cycle: {}", names.join(" needs ")),
            "a graph without cycles",
        ))
    }
}
