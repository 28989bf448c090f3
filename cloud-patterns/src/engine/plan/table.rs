//! A plan as text tables: steps, choices, permissions, totals.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Display,
};

use cloud_core::{Location, Money, Region};
use comfy_table::{ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};

use super::{Action, Plan, Step};

impl Plan {
    /// The plan as tables for a terminal: steps; where each component goes, why, and why not elsewhere; permissions; totals.
    ///
    /// ```
    /// use cloud_patterns::engine::plan::Plan;
    /// fn show(plan: &Plan) {
    ///     println!("{}", plan.to_table());
    /// }
    /// ```
    pub fn to_table(&self) -> String {
        self.to_table_in(Table::new().width().unwrap_or(WIDTH))
    }

    /// [`to_table`](Self::to_table), so many characters wide.
    pub fn to_table_in(&self, width: u16) -> String {
        let mut parts = vec![format!("Plan {}: {self}", safe(&self.id))];
        if !self.steps.is_empty() {
            parts.push(self.steps_table(width));
        }
        if !self.choices.is_empty() {
            parts.push(self.choices_table(width));
        }
        if !self.steps.is_empty() {
            parts.push(self.permissions_table(width));
            parts.push(self.totals());
        }
        parts.join("\n\n") + "\n"
    }

    fn steps_table(&self, width: u16) -> String {
        let places: HashMap<&str, &Location> = (self.choices.iter())
            .filter_map(|choice| Some((choice.component.as_str(), choice.places.first()?)))
            .collect();
        let mut table =
            table(width, &["step", "cloud", "region", "action", "depends on", "cost/month"]);
        for step in &self.steps {
            let region = region(step).or_else(|| {
                let place = places.get(step.component.as_str())?;
                (place.cloud == step.cloud).then(|| place.region.to_string())
            });
            let cost = match (&step.action, &step.monthly_cost) {
                (_, Some(cost)) => money(cost),
                (Action::Create { .. }, None) => "unknown".into(),
                _ => String::new(),
            };
            table.add_row([
                safe(&step.id),
                step.cloud.to_string(),
                region.unwrap_or_default(),
                step.action.describe(),
                safe(step.depends_on.join(", ")),
                cost,
            ]);
        }
        table.to_string()
    }

    fn choices_table(&self, width: u16) -> String {
        let mut table = table(width, &["component", "place", "why", "cost/month"]);
        for choice in &self.choices {
            let mut places: Vec<_> = choice.places.iter().map(Location::to_string).collect();
            places.dedup();
            let figures = choice.figures.iter().map(|(k, v)| format!("\n{}: {}", safe(k), safe(v)));
            let why = safe(&choice.why) + &figures.collect::<String>();
            let cost = choice.monthly_cost.as_ref().map_or("unknown".into(), money);
            table.add_row([safe(&choice.component), places.join(", "), why, cost]);
            for rejection in &choice.rejected {
                let place = format!("not {}", rejection.place);
                table.add_row([String::new(), place, safe(&rejection.why), String::new()]);
            }
        }
        table.to_string()
    }

    /// One row for each service of a cloud.
    fn permissions_table(&self, width: u16) -> String {
        let mut table = table(width, &["cloud", "permissions needed", ""]);
        for (cloud, calls) in self.permissions() {
            let mut services: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for call in &calls {
                let (service, method) = call.split_once(['.', ':']).unwrap_or((call, ""));
                services.entry(service).or_default().push(method);
            }
            for (service, methods) in services {
                table.add_row([cloud.to_string(), safe(service), safe(methods.join(", "))]);
            }
        }
        table.to_string()
    }

    fn totals(&self) -> String {
        let radius = self.blast_radius(0);
        format!(
            "{} changes: {} to create, {} to delete, {} to adopt, {} calls; {}.",
            radius.changes(),
            radius.creates,
            radius.deletes,
            radius.adopts,
            radius.calls,
            radius.added_cost
        )
    }
}

/// How wide a table is where no terminal says how wide it is.
const WIDTH: u16 = 140;

fn table(width: u16, header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_BORDERS_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width)
        .set_header(header.to_vec());
    table
}

fn region(step: &Step) -> Option<String> {
    match &step.action {
        Action::Create { spec, .. } => spec.get("region")?.as_str().map(safe),
        Action::Delete { id, .. } | Action::Adopt { id } | Action::Refer { id } => {
            Some(Region::to_string(&id.region))
        }
        Action::Call { .. } => None,
    }
}

fn money(money: &Money) -> String {
    format!("{:.2} {}", money.amount, money.currency)
}

/// Without line breaks and other control characters, which would break a row or a terminal.
fn safe(text: impl Display) -> String {
    let text = text.to_string();
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
