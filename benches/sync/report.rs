//! Tables of what the clients took, what that says of the goals, and the same as JSON.

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::{
    cases::Case,
    clients::Client,
    run::{Done, Results},
};

const MIB: f64 = 1048576.0;
const GIB: f64 = 1024.0 * MIB;

/// Prints the last of these, which may be compared with those before.
pub(crate) fn print(all: &[Results]) {
    let Some(results) = all.last() else { return };
    let case = &results.case;
    let (rate, cpu) =
        if case.is_large() { ("MiB/s", "CPU s/GiB") } else { ("objects/s", "CPU us/object") };
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "client",
        "seconds",
        rate,
        cpu,
        "peak MiB",
        "requests",
        "source CPU",
        "target CPU",
        "runs s",
    ]);
    for &client in results.case.clients {
        let Some(done) = results.best(client) else { continue };
        let cells = cells(results, client, done).into_iter().enumerate().map(|(column, text)| {
            let side = if column == 0 { CellAlignment::Left } else { CellAlignment::Right };
            Cell::new(text).set_alignment(side)
        });
        table.add_row(cells.collect::<Vec<_>>());
    }
    println!("\n## {}: {}\n{table}", case.name, case.about);
    for (client, why) in failures(results) {
        println!("{}: skipped: {why}", client.name());
    }
    for goal in case.goals {
        let (number, text, limit) = (goal.number, goal.text(), goal.limit);
        match goal.figure(results, all) {
            None => println!("goal {number}: {text}: not judged"),
            Some(figure) => {
                let word = if goal.is_met(figure) { "met" } else { "MISSED" };
                let side = if goal.is_least() { "at least" } else { "at most" };
                println!("goal {number}: {text}: {figure:.3}: {word} ({side} {limit:.3})");
            }
        }
    }
}

/// Clients without figures, and why.
pub(crate) fn failures(results: &Results) -> impl Iterator<Item = (Client, &str)> {
    let outcomes = results.outcomes.iter();
    outcomes.filter_map(|(&client, outcome)| Some((client, outcome.as_ref().err()?.as_str())))
}

fn cells(results: &Results, client: Client, done: &Done) -> Vec<String> {
    let case = &results.case;
    let wall = done.used.wall;
    let busy = |cpu: f64| format!("{cpu:.3} ({:.0} %)", 100.0 * cpu / wall);
    let runs = results.outcomes[&client].iter().flatten();
    vec![
        client.name().into(),
        format!("{wall:.3}"),
        format!("{:.0}", rate(case, done)),
        if case.is_large() {
            format!("{:.3}", cpu(case, done))
        } else {
            format!("{:.1}", cpu(case, done))
        },
        format!("{:.1}", done.used.peak_mib),
        done.requests.to_string(),
        busy(done.source_cpu),
        busy(done.target_cpu),
        runs.map(|done| format!("{:.2}", done.used.wall)).collect::<Vec<_>>().join(" "),
    ]
}

/// Objects per second, or MiB per second of large ones.
fn rate(case: &Case, done: &Done) -> f64 {
    let each = if case.is_large() { case.size as f64 / MIB } else { 1.0 };
    case.count as f64 * each / done.used.wall
}

/// Microseconds an object, or seconds a GiB of large ones.
fn cpu(case: &Case, done: &Done) -> f64 {
    let count = case.count as f64;
    if case.is_large() {
        done.used.cpu / (count * case.size as f64 / GIB)
    } else {
        done.used.cpu * 1e6 / count
    }
}

/// All figures.
pub(crate) fn json(all: &[Results]) -> Value {
    let case = |results: &Results| {
        let case = &results.case;
        let clients = results.outcomes.iter().map(|(client, outcome)| match outcome {
            Ok(runs) => {
                let best = results.best(*client);
                json!({
                    "client": client.name(),
                    "rate": best.map(|done| rate(case, done)),
                    "cpu": best.map(|done| cpu(case, done)),
                    "best": best,
                    "runs": runs,
                })
            }
            Err(why) => json!({ "client": client.name(), "skipped": why }),
        });
        let goals = case.goals.iter().map(|goal| {
            let figure = goal.figure(results, all);
            json!({
                "goal": goal.number,
                "text": goal.text(),
                "figure": figure,
                if goal.is_least() { "at_least" } else { "at_most" }: goal.limit,
                "met": figure.map(|figure| goal.is_met(figure)),
            })
        });
        json!({
            "case": case.name,
            "about": case.about,
            "count": case.count,
            "size": case.size,
            "rate_is": if case.is_large() { "MiB/s" } else { "objects/s" },
            "cpu_is": if case.is_large() { "s/GiB" } else { "us/object" },
            "clients": clients.collect::<Vec<_>>(),
            "goals": goals.collect::<Vec<_>>(),
        })
    };
    Value::Array(all.iter().map(case).collect())
}
