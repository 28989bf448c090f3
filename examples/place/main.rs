//! Solves a placement instance of the exchange format:
//! `cargo run --release --example place -- CATALOG.json INSTANCE.json SOLUTION.json [SECONDS]`.

mod check;
mod convert;
mod format;

use std::{
    error::Error,
    fs,
    process::ExitCode,
    time::{Duration, Instant},
};

use cloud_core::ErrorKind;
use cloud_patterns::place::{Clash, Placement, Request, place_with, solve::SolveOptions};
use convert::hourly;
use format::{CatalogFile, InstanceFile, SolutionFile};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (files, seconds) = match args.as_slice() {
        [catalog, instance, solution] => ([catalog, instance, solution], 10.0),
        [catalog, instance, solution, seconds] => {
            let seconds = seconds.parse().map_err(|e| format!("SECONDS: {e}"))?;
            ([catalog, instance, solution], seconds)
        }
        _ => return Err("usage: place CATALOG.json INSTANCE.json SOLUTION.json [SECONDS]".into()),
    };
    let limit = Duration::try_from_secs_f64(seconds).map_err(|e| format!("SECONDS: {e}"))?;
    let (catalog, text) = read::<CatalogFile>(files[0])?;
    catalog.check().map_err(|e| format!("{}: {e}", files[0]))?;
    let (instance, _) = read::<InstanceFile>(files[1])?;
    let hash: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    if instance.catalog_sha256.as_ref().is_some_and(|expected| *expected != hash) {
        let message = format!("{}: catalog_sha256 is not that of {}: {hash}", files[1], files[0]);
        return Err(message.into());
    }
    instance.check(&catalog).map_err(|e| format!("{}: {e}", files[1]))?;
    let solution = solve(&catalog, &instance, limit)?;
    fs::write(files[2], serde_json::to_vec(&solution)?)
        .map_err(|e| format!("{}: {e}", files[2]))?;
    Ok(())
}

/// A file's content, read and as it is.
fn read<T: DeserializeOwned>(path: &str) -> Result<(T, Vec<u8>)> {
    let text = fs::read(path).map_err(|e| format!("{path}: {e}"))?;
    let json = &mut serde_json::Deserializer::from_slice(&text);
    let content = serde_path_to_error::deserialize(json).map_err(|e| format!("{path}: {e}"))?;
    Ok((content, text))
}

fn solve(catalog: &CatalogFile, instance: &InstanceFile, limit: Duration) -> Result<SolutionFile> {
    let start = Instant::now();
    let facts = convert::catalog(catalog, instance)?;
    let workload = convert::workload(catalog, instance)?;
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
            solution.assign = convert::assigned(catalog, &placement);
            let (cost, bound) = (hourly(placement.objective()), hourly(placement.bound()));
            solution.status = if bound >= cost { "optimal" } else { "feasible" };
            (solution.cost, solution.bound) = (Some(cost), Some(bound));
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
