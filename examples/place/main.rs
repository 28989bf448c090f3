//! Solves a placement instance of the exchange format:
//! `cargo run --release --example place -- CATALOG.json INSTANCE.json SOLUTION.json [SECONDS]`.

mod format;

use std::{
    error::Error,
    fs::File,
    io::BufReader,
    path::Path,
    time::{Duration, Instant},
};

use cloud_core::ErrorKind;
use cloud_patterns::place::{Clash, Placement, Request, place_with, solve::SolveOptions};
use format::{CatalogFile, InstanceFile, SolutionFile, hourly};
use serde::de::DeserializeOwned;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (files, seconds) = match args.as_slice() {
        [catalog, instance, solution] => ([catalog, instance, solution], 10.0),
        [catalog, instance, solution, seconds] => ([catalog, instance, solution], seconds.parse()?),
        _ => return Err("usage: place CATALOG.json INSTANCE.json SOLUTION.json [SECONDS]".into()),
    };
    let catalog_file: CatalogFile = read(files[0])?;
    let instance_file: InstanceFile = read(files[1])?;
    let limit = Duration::try_from_secs_f64(seconds)?;
    let solution = solve(&catalog_file, &instance_file, limit)?;
    serde_json::to_writer(File::create(files[2])?, &solution)?;
    Ok(())
}

fn read<T: DeserializeOwned>(path: &str) -> Result<T> {
    let file = File::open(Path::new(path)).map_err(|e| format!("{path}: {e}"))?;
    serde_json::from_reader(BufReader::new(file)).map_err(|e| format!("{path}: {e}").into())
}

fn solve(catalog: &CatalogFile, instance: &InstanceFile, limit: Duration) -> Result<SolutionFile> {
    let start = Instant::now();
    let facts = format::catalog(catalog, instance)?;
    let workload = format::workload(catalog, instance)?;
    let mut request = Request::for_workload(&facts, &workload);
    println!("{} components read in {:.1} ms", workload.components.len(), ms(start));
    request.solve = SolveOptions {
        time: Some(limit.saturating_sub(start.elapsed())),
        work: None,
        ..SolveOptions::default()
    };
    let mut solution = SolutionFile::default();
    let mut trace = Vec::new();
    let placement = place_with(&request, &mut |progress| {
        let cost = progress.cost.map(hourly);
        trace.push((start.elapsed().as_secs_f64(), cost, hourly(progress.bound)));
    });
    solution.solve_seconds = start.elapsed().as_secs_f64();
    match placement {
        Ok(placement) => {
            solution.status = if placement.is_optimal() { "optimal" } else { "feasible" };
            solution.assign = format::assigned(catalog, &placement);
            solution.cost = Some(hourly(placement.objective()));
            solution.bound = Some(hourly(placement.bound()));
            let first = trace.iter().find(|(_, cost, _)| cost.is_some()).map(|(at, ..)| *at);
            solution.first_solution_seconds = first.or(Some(solution.solve_seconds));
            summary(&placement);
        }
        Err(error) => {
            let clash = error.source().and_then(|source| source.downcast_ref::<Clash>());
            match (clash, error.kind()) {
                (Some(clash), _) => {
                    solution.status = "infeasible";
                    solution.clash.clone_from(&clash.requirements);
                    println!("infeasible; {clash}");
                }
                (None, ErrorKind::Timeout) => {
                    solution.status = "unknown";
                    solution.bound = trace.last().map(|(_, _, bound)| *bound);
                    println!("{error}");
                }
                _ => return Err(error.into()),
            }
        }
    }
    solution.trace = trace;
    println!("{} after {:.3} s", solution.status, solution.solve_seconds);
    Ok(solution)
}

fn summary(placement: &Placement<'_>) {
    let mut clouds: std::collections::BTreeMap<&str, usize> = Default::default();
    for placed in &placement.placed {
        for replica in placed.replicas.iter().take(1) {
            *clouds.entry(replica.place.cloud.as_str()).or_default() += 1;
        }
    }
    let clouds: Vec<_> =
        clouds.iter().map(|(cloud, count)| format!("{count} on {cloud}")).collect();
    println!("{}; {} a month", clouds.join(", "), placement.cost());
    println!("at most {:.4} % above the optimum", placement.gap() * 100.0);
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
