//! The references: public solvers and SkyPilot's optimizer, run by Python scripts in environments of their own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde::Deserialize;

use super::format::{Assignment, read};

/// The versions that the figures are of.
const SOLVERS: &[&str] = &["highspy==1.15.1", "ortools==9.15.6755"];
const SKYPILOT: &[&str] = &["skypilot==0.14.1"];

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/placement");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    HighsLp,
    Highs,
    CpSat,
    SkyPilot,
}

impl Method {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HighsLp => "highs-lp",
            Self::Highs => "highs",
            Self::CpSat => "cp-sat",
            Self::SkyPilot => "skypilot",
        }
    }
}

/// The file that a script writes.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Reference {
    pub(crate) method: String,
    pub(crate) status: String,
    pub(crate) cost: Option<f64>,
    pub(crate) bound: Option<f64>,
    /// In the solver, without making its model.
    pub(crate) seconds: f64,
    pub(crate) assign: Vec<Assignment>,
}

/// Python environments in a folder, made when first asked for.
#[derive(Debug)]
pub(crate) struct References {
    folder: PathBuf,
    solvers: Option<Result<PathBuf, String>>,
    skypilot: Option<Result<PathBuf, String>>,
}

impl References {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), solvers: None, skypilot: None }
    }

    /// Lets a reference solve an instance, or says why it cannot.
    pub(crate) fn solve(
        &mut self,
        method: Method,
        catalog: &Path,
        instance: &Path,
        seconds: u32,
    ) -> Result<Reference, String> {
        let out = instance.with_extension(format!("{}.json", method.name()));
        let _ = fs::remove_file(&out);
        let (environment, name, packages, script) = match method {
            Method::SkyPilot => (&mut self.skypilot, "skypilot", SKYPILOT, "skypilot.py"),
            _ => (&mut self.solvers, "solvers", SOLVERS, "reference.py"),
        };
        let folder = self.folder.join(name);
        let python = environment.get_or_insert_with(|| python(&folder, packages)).clone()?;
        let mut command = Command::new(python);
        command.arg(Path::new(SCRIPTS).join(script)).args([catalog, instance]);
        if method != Method::SkyPilot {
            command.arg(method.name());
        }
        command.arg(&out).args(["--seconds", &seconds.to_string()]);
        run(&mut command)?;
        read(&out)
    }
}

/// The interpreter of an environment with these packages, which is made if it is not there.
fn python(folder: &Path, packages: &[&str]) -> Result<PathBuf, String> {
    if std::env::var_os("CI").is_some() {
        return Err("references do not run under CI".into());
    }
    let interpreter = folder.join("bin/python");
    let installed = folder.join("installed");
    let wanted = packages.join("\n");
    if fs::read_to_string(&installed).is_ok_and(|packages| packages == wanted) {
        return Ok(interpreter);
    }
    eprintln!("installing {} into {}", packages.join(", "), folder.display());
    run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    run(Command::new(&interpreter)
        .args(["-m", "pip", "install", "--quiet", "--retries=1", "--timeout=15"])
        .args(packages))?;
    fs::write(&installed, wanted).map_err(|error| error.to_string())?;
    Ok(interpreter)
}

fn run(command: &mut Command) -> Result<Output, String> {
    let program = command.get_program().display().to_string();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.trim().lines().next_back().unwrap_or_default();
    Err(format!("{program}: {}: {last}", output.status))
}
