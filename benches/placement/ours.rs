//! Our solver as the bench sees it: the example `place` in a process of its own, so that its memory is its own.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::{TimeVal, TimeValLike},
};
use serde::{Deserialize, Serialize};

use super::format::{Assignment, read};

/// Tells a process of this bench to run a command and print what it used.
pub(crate) const MEASURE: &str = "PLACEMENT_BENCH_MEASURE";
/// The path of a built example `place`; without it the bench builds one.
const BINARY: &str = "PLACEMENT_BENCH_BINARY";

/// What the solver answered, and what it took.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) assign: Vec<Assignment>,
    pub(crate) cost: Option<f64>,
    pub(crate) bound: Option<f64>,
    pub(crate) status: String,
    /// In the solver, without reading and writing files.
    pub(crate) seconds: f64,
    pub(crate) first_solution_seconds: Option<f64>,
    /// Seconds, cost and bound, as they became better.
    pub(crate) trace: Vec<(f64, Option<f64>, Option<f64>)>,
    /// Why nothing satisfies the instance, in words.
    pub(crate) clash: Vec<String>,
    pub(crate) used: Used,
}

impl Answer {
    /// That of a solver which ended without one.
    pub(crate) fn failed() -> Self {
        Self { status: "failed".into(), ..Self::default() }
    }

    /// What is not proven, as a share of the cost.
    pub(crate) fn gap(&self) -> Option<f64> {
        gap(self.cost?, self.bound?)
    }

    /// When the gap was first so small.
    pub(crate) fn seconds_to(&self, small: f64) -> Option<f64> {
        let reached = |&(seconds, cost, bound): &(f64, Option<f64>, Option<f64>)| {
            (gap(cost?, bound?)? <= small).then_some(seconds)
        };
        let last = self.gap().filter(|&gap| gap <= small).map(|_| self.seconds);
        self.trace.iter().find_map(reached).or(last)
    }
}

/// What is not proven of a cost, as a share of it. Rounding of the bound, below a micro-USD, is no gap.
pub(crate) fn gap(cost: f64, bound: f64) -> Option<f64> {
    let open = if cost - bound < 1.0 { 0.0 } else { cost - bound };
    (cost > 0.0).then(|| open / cost)
}

/// What a process used.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Used {
    pub(crate) success: bool,
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
    pub(crate) peak_bytes: f64,
}

/// The file that the example writes.
#[derive(Deserialize)]
struct Solution {
    #[serde(default)]
    assign: Vec<Assignment>,
    status: String,
    cost: Option<f64>,
    bound: Option<f64>,
    solve_seconds: Option<f64>,
    first_solution_seconds: Option<f64>,
    #[serde(default)]
    trace: Vec<(f64, Option<f64>, Option<f64>)>,
    #[serde(default)]
    clash: Vec<String>,
}

/// The example's binary.
#[derive(Debug)]
pub(crate) struct Solver(PathBuf);

impl Solver {
    /// Builds the example with the bench's profile, unless a binary is named.
    pub(crate) fn build() -> Result<Self, String> {
        if let Some(path) = std::env::var_os(BINARY) {
            return Ok(Self(path.into()));
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        let profile = this.ancestors().nth(2).ok_or("the bench is not in a target folder")?;
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--release", "--example", "place", "--target-dir"])
            .arg(profile.parent().ok_or("the bench is not in a target folder")?)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .map_err(|error| format!("cargo: {error}"))?;
        match built.success() {
            true => Ok(Self(profile.join("examples/place"))),
            false => Err(format!("the example `place` was not built; {BINARY} names another")),
        }
    }

    /// Places an instance in so many seconds.
    pub(crate) fn place(
        &self,
        catalog: &Path,
        instance: &Path,
        seconds: f64,
    ) -> Result<Answer, String> {
        let solution = instance.with_extension("solution.json");
        let _ = std::fs::remove_file(&solution);
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        let output = Command::new(this)
            .env(MEASURE, "1")
            .arg(&self.0)
            .args([catalog, instance, &solution])
            .arg(seconds.to_string())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| error.to_string())?;
        let used: Used = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("{}: not measured: {error}", self.0.display()))?;
        let found: Solution = read(&solution)?;
        if !used.success && found.status != "infeasible" {
            return Err(format!("{} {}: failed", self.0.display(), instance.display()));
        }
        Ok(Answer {
            assign: found.assign,
            cost: found.cost,
            bound: found.bound,
            status: found.status,
            seconds: found.solve_seconds.unwrap_or(used.wall),
            first_solution_seconds: found.first_solution_seconds,
            trace: found.trace,
            clash: found.clash,
            used,
        })
    }
}

/// Runs the command in this process's arguments and prints what it used, as JSON.
pub(crate) fn measure() -> Result<(), String> {
    let mut words = std::env::args_os().skip(1);
    let program = words.next().ok_or("no command to measure")?;
    let started = Instant::now();
    let status = Command::new(&program)
        .args(words)
        .env_remove(MEASURE)
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let wall = started.elapsed().as_secs_f64();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| error.to_string())?;
    let seconds = |time: TimeVal| time.num_microseconds() as f64 / 1e6;
    let used = Used {
        success: status.success(),
        wall,
        cpu: seconds(usage.user_time()) + seconds(usage.system_time()),
        peak_bytes: usage.max_rss() as f64 * 1024.0,
    };
    println!("{}", serde_json::to_string(&used).map_err(|error| error.to_string())?);
    Ok(())
}
