//! Syncs of buckets, ours beside rclone, s5cmd and a naive loop: time, CPU and memory of each client.
//!
//! `cargo bench --bench sync [-- CASE…] [--json FILE]` with the cases small, unchanged, one_percent, large, latency,
//! azure_small, azure_large, million and million_unchanged; all of them without a name. `-- quick` runs each client once
//! and leaves out what takes minutes.
//!
//! The servers are in memory, on loopback, each in a process of its own. Ours is the example `sync`, built with the
//! profile that `SYNC_PROFILE` names (`release` without), or the program at `SYNC_BIN`. The peers are installed from
//! PyPI, which needs python3; what is missing is skipped. What a client copied is checked, the clients take turns, and
//! figures are those of its fastest run. A failure of ours is an error, a goal that is missed is not.
#![allow(missing_docs)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

#[path = "sync/cases.rs"]
mod cases;
#[path = "sync/clients.rs"]
mod clients;
#[path = "sync/goals.rs"]
mod goals;
#[path = "sync/measure.rs"]
mod measure;
#[path = "sync/naive.rs"]
mod naive;
#[path = "sync/process.rs"]
mod process;
#[path = "sync/programs.rs"]
mod programs;
#[path = "sync/report.rs"]
mod report;
#[path = "sync/run.rs"]
mod run;
#[path = "sync/server.rs"]
mod server;
#[path = "sync/side.rs"]
mod side;
#[path = "sync/verify.rs"]
mod verify;

use cases::{CASES, Case};
use clients::Client;
use programs::Programs;

/// How often each client runs.
const ROUNDS: u32 = 3;

fn main() -> ExitCode {
    // Nothing here is encrypted, but a client is not made without.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut words = std::env::args().skip(1).peekable();
    let part = words
        .next_if(|word| [server::SERVE, measure::MEASURE, naive::NAIVE].contains(&word.as_str()));
    let ended = match part.as_deref() {
        Some(server::SERVE) => server::main(words).map(|()| true),
        Some(measure::MEASURE) => measure::main(words).map(|()| true),
        Some(_) => naive::main(words).map(|()| true),
        None => Wanted::read(words).and_then(|wanted| bench(&wanted)),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What the command line asks for.
struct Wanted {
    cases: Vec<&'static Case>,
    rounds: u32,
    json: Option<PathBuf>,
}

impl Wanted {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut named, mut quick, mut json) = (Vec::new(), false, None);
        while let Some(word) = words.next() {
            match word.as_str() {
                "quick" => quick = true,
                "--json" => {
                    json = Some(words.next().ok_or("--json needs the name of a file")?.into())
                }
                // Cargo says so.
                "--bench" => {}
                _ => named.push(word),
            }
        }
        let all = || CASES.iter().map(|case| case.name).collect::<Vec<_>>().join(", ");
        if let Some(unknown) =
            named.iter().find(|word| CASES.iter().all(|case| case.name != **word))
        {
            return Err(format!("no case {unknown:?}; there are {} and quick", all()));
        }
        let is_wanted = |case: &Case| match named.is_empty() {
            true => !(quick && case.long),
            false => named.iter().any(|name| name == case.name),
        };
        let needed: Vec<&str> =
            CASES.iter().filter(|case| is_wanted(case)).flat_map(Case::needs).collect();
        let cases = CASES.iter().filter(|case| is_wanted(case) || needed.contains(&case.name));
        Ok(Self { cases: cases.collect(), rounds: if quick { 1 } else { ROUNDS }, json })
    }
}

/// Runs the cases and returns whether ours did its work in all of them.
fn bench(wanted: &Wanted) -> Result<bool, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sync");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let programs = Programs::find(&folder.join("peers"));
    for (name, program) in
        [("ours", &programs.ours), ("rclone", &programs.rclone), ("s5cmd", &programs.s5cmd)]
    {
        match &program.path {
            Ok(path) => println!("{name}: {}, {}", program.about, path.display()),
            Err(why) => println!("{name}: skipped: {why}"),
        }
    }
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load of the machine before: {}", load.split(' ').next().unwrap_or_default());
    let (mut all, mut right) = (Vec::new(), true);
    for case in &wanted.cases {
        if let Some(free) = free_gib().filter(|&free| free < case.memory_gib) {
            println!(
                "\n## {}: skipped: it needs {} GiB, {free} are free",
                case.name, case.memory_gib
            );
            continue;
        }
        all.push(run::run(case, &programs, &folder, wanted.rounds)?);
        report::print(&all);
        right &= programs.ours.path.is_err()
            || report::failures(&all[all.len() - 1]).all(|(client, _)| client != Client::Ours);
    }
    if let Some(file) = &wanted.json {
        let text = format!("{:#}\n", report::json(&all));
        fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(right)
}

/// The memory that programs can still get, where the system says so.
fn free_gib() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib >> 20)
}
