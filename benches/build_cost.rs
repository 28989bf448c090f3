//! What depending on us costs: the time of a cold `cargo check`, and how many crates it compiles.
//!
//! `cargo bench --bench build_cost`. Aims on 2 cores: 15 s for `cloud-core`, 90 s for `multicloud` with default features.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    collections::BTreeSet,
    process::{Command, Stdio},
    time::Instant,
};

fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::null());
    cargo
}

/// The crates that a package compiles besides itself.
fn crates(package: &[&str]) -> usize {
    let tree = cargo()
        .args(["tree", "-e", "normal,build", "--prefix", "none", "--locked", "-p"])
        .args(package)
        .output()
        .unwrap();
    let text = String::from_utf8(tree.stdout).unwrap();
    let names: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.split(" (").next())
        .filter(|line| !line.is_empty())
        .collect();
    names.len() - 1
}

fn main() {
    let cores = std::thread::available_parallelism().unwrap();
    // The sources are fetched before, so that the network is not measured.
    assert!(cargo().args(["fetch", "--locked"]).status().unwrap().success());
    let packages: [&[&str]; 4] = [
        &["cloud-core"],
        &["multicloud"],
        &["cloud-aws", "--features", "storage"],
        &["cloud-aws", "--all-features"],
    ];
    for package in packages {
        let folder = tempfile::tempdir().unwrap();
        let start = Instant::now();
        let status = cargo()
            .args(["check", "--locked", "--quiet", "-p"])
            .args(package)
            .env("CARGO_TARGET_DIR", folder.path())
            .status()
            .unwrap();
        let name = package.join(" ");
        assert!(status.success(), "cargo check -p {name} failed");
        let seconds = start.elapsed().as_secs_f64();
        let crates = crates(package);
        println!(
            "cold cargo check -p {name:<28} {seconds:>6.1} s on {cores} cores, {crates} crates"
        );
    }
}
