//! A plan as a graph, in the languages of Mermaid and Graphviz. No name can break the syntax.

use std::{
    collections::HashMap,
    fmt::{self, Write},
};

use super::{Action, Plan, Step};
use crate::engine::saga;

impl Plan {
    /// The plan as a Mermaid flow chart: an arrow leads from a step to those that need it.
    ///
    /// ```
    /// use cloud_patterns::engine::plan::Plan;
    /// fn chart(plan: &Plan) -> String {
    ///     format!("```mermaid\n{}```\n", plan.to_mermaid())
    /// }
    /// ```
    pub fn to_mermaid(&self) -> String {
        let mut text = String::from("flowchart TD\n");
        for (i, step) in self.steps.iter().enumerate() {
            let [id, what] = label(step).map(|line| mermaid_text(&line));
            put(&mut text, format_args!("    n{i}[\"{id}<br/>{what}\"]\n"));
        }
        for (from, to) in self.edges() {
            put(&mut text, format_args!("    n{from} --> n{to}\n"));
        }
        text
    }

    /// The plan in the DOT language of Graphviz: an arrow leads from a step to those that need it.
    ///
    /// ```
    /// use cloud_patterns::engine::plan::Plan;
    /// fn save(plan: &Plan) -> std::io::Result<()> {
    ///     std::fs::write("plan.dot", plan.to_dot()) // dot -Tsvg plan.dot
    /// }
    /// ```
    pub fn to_dot(&self) -> String {
        let mut text = String::from("digraph plan {\n    rankdir=TB;\n    node [shape=box];\n");
        for (i, step) in self.steps.iter().enumerate() {
            let [id, what] = label(step).map(|line| dot_text(&line));
            // `\n` inside a label is Graphviz' own line break.
            put(&mut text, format_args!("    n{i} [label=\"{id}\\n{what}\"];\n"));
        }
        for (from, to) in self.edges() {
            put(&mut text, format_args!("    n{from} -> n{to};\n"));
        }
        text.push_str("}\n");
        text
    }

    /// From each step to those that need it. Of a plan that is not valid, what can be made out.
    fn edges(&self) -> Vec<(u32, u32)> {
        let needs = saga::edges(self).unwrap_or_else(|_| self.declared_edges());
        let after = (0u32..).zip(needs);
        after.flat_map(|(to, needs)| needs.into_iter().map(move |from| (from, to))).collect()
    }

    fn declared_edges(&self) -> Vec<Vec<u32>> {
        let ids = self.steps.iter().map(|step| step.id.as_str());
        let index: HashMap<&str, u32> = ids.zip(0u32..).collect();
        let needs = |step: &Step| {
            let known = step.depends_on.iter().filter_map(|id| index.get(id.as_str()));
            known.copied().collect()
        };
        self.steps.iter().map(needs).collect()
    }
}

/// The two lines of a step's box.
fn label(step: &Step) -> [String; 2] {
    let mut what = format!("{} @ {}", step.action.describe(), step.cloud);
    if let Action::Create { spec, .. } = &step.action
        && let Some(region) = spec.get("region").and_then(|r| r.as_str())
    {
        what.push('/');
        what.push_str(region);
    }
    [step.id.clone(), what]
}

fn put(text: &mut String, line: fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = text.write_fmt(line);
}

/// Every character that could mean something to Mermaid, or to the HTML that it makes, as its code.
fn mermaid_text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '-' | '_' | '.' | '/' | '@' => safe.push(c),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => put(&mut safe, format_args!("#{};", c as u32)),
        }
    }
    safe
}

fn dot_text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => safe.push_str("\\\""),
            '\\' => safe.push_str("\\\\"),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}
