//! Tables of what the runs gave, and whether it meets the goals.

use comfy_table::{Cell, CellAlignment, Table, presets};

use super::{
    ours::gap,
    run::{Case, Run},
};

/// A figure of a run that is to be at most so much, as the median over seeds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    pub(crate) text: &'static str,
    pub(crate) limit: f64,
    /// None where it does not apply, as without a reference.
    pub(crate) measure: fn(&Run) -> Option<f64>,
}

/// The runs of one case, by seed.
pub(crate) struct Row<'a> {
    pub(crate) case: &'a Case,
    pub(crate) goals: &'a [Goal],
    pub(crate) runs: &'a [(u64, Run)],
}

/// Prints a table of medians and what it says of the goals. Returns whether no answer is wrong.
pub(crate) fn print(title: &str, rows: &[Row<'_>]) -> bool {
    const HEADER: [&str; 11] = [
        "instance",
        "greedy",
        "first",
        "cost",
        "bound",
        "gap",
        "seconds",
        "cpu s",
        "MiB",
        "references",
        "seeds",
    ];
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(HEADER);
    for row in rows {
        let cells = cells(row).into_iter().enumerate().map(|(column, text)| {
            let side =
                if column == 0 || column == 9 { CellAlignment::Left } else { CellAlignment::Right };
            Cell::new(text).set_alignment(side)
        });
        table.add_row(cells.collect::<Vec<_>>());
    }
    println!("\n## {title}\n{table}");
    let mut right = true;
    for row in rows {
        for (seed, run) in row.runs {
            let name = row.case.name();
            for skipped in &run.skipped {
                println!("{name}, seed {seed}: reference skipped: {skipped}");
            }
            for fault in &run.faults {
                println!("{name}, seed {seed}: FAULT: {fault}");
                right = false;
            }
        }
        for goal in row.goals {
            judge(&row.case.name(), goal, row.runs);
        }
    }
    right
}

fn judge(name: &str, goal: &Goal, runs: &[(u64, Run)]) {
    let Some(found) = median(runs.iter().filter_map(|(_, run)| (goal.measure)(run))) else {
        println!("{name}: {}: not judged", goal.text);
        return;
    };
    let word = if found <= goal.limit { "met" } else { "MISSED" };
    println!("{name}: {}: {word} ({found:.4}, at most {})", goal.text, goal.limit);
}

fn cells(row: &Row<'_>) -> Vec<String> {
    let over = |measure: &dyn Fn(&Run) -> Option<f64>| {
        median(row.runs.iter().filter_map(|(_, run)| measure(run)))
    };
    let show = |value: Option<f64>, text: fn(f64) -> String| value.map_or("-".into(), text);
    let greedy = over(&|run| Some(run.greedy? as f64 / run.ours.cost? - 1.0));
    let (first_seconds, first_cost) = (
        over(&|run| run.ours.first_solution_seconds),
        over(&|run| Some(run.ours.trace.iter().find_map(|step| step.1)? / run.ours.cost? - 1.0)),
    );
    vec![
        row.case.name(),
        show(greedy, percent),
        format!(
            "{} {}",
            show(first_seconds, |value| seconds(value) + " s"),
            show(first_cost, percent)
        ),
        show(over(&|run| run.ours.cost), millions),
        show(over(&|run| run.ours.bound), millions),
        show(over(&|run| run.ours.gap()), |gap| format!("{:.4} %", gap * 100.0)),
        show(over(&|run| Some(run.ours.seconds)), seconds),
        show(over(&|run| Some(run.ours.used.cpu)), seconds),
        show(over(&|run| Some(run.ours.used.peak_bytes)), |bytes| {
            format!("{:.0}", bytes / 1048576.0)
        }),
        references(row),
        row.runs.len().to_string(),
    ]
}

/// Each reference's median gap and time, and how its cost and time compare with ours.
fn references(row: &Row<'_>) -> String {
    let line = |&(method, _): &_| {
        let over = |measure: &dyn Fn(&Run) -> Option<f64>| {
            median(row.runs.iter().filter_map(|(_, run)| measure(run)))
        };
        let took = over(&|run| Some(run.reference(method)?.seconds))?;
        let slower = over(&|run| Some(run.reference(method)?.seconds / run.ours.seconds))?;
        let mut text = format!("{} {} s, {slower:.1} x ours", method.name(), seconds(took));
        if let Some(dearer) = over(&|run| Some(run.reference(method)?.cost? / run.ours.cost? - 1.0))
        {
            text += &format!(", cost {}", percent(dearer));
        }
        if let Some(open) = over(&|run| {
            let reference = run.reference(method)?;
            gap(reference.cost?, reference.bound?)
        }) {
            text += &format!(", gap {:.4} %", open * 100.0);
        }
        Some(text)
    };
    row.case.references.iter().filter_map(line).collect::<Vec<_>>().join("\n")
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

pub(crate) fn seconds(value: f64) -> String {
    if value < 1.0 { format!("{value:.4}") } else { format!("{value:.2}") }
}

fn percent(value: f64) -> String {
    format!("{:+.2} %", value * 100.0)
}

fn millions(value: f64) -> String {
    format!("{:.3} M", value / 1e6)
}
