//! One case: servers started and filled, clients run in turn, and what they did checked.

use std::{collections::BTreeMap, fs, path::Path};

use cloud_testkit::object_server::Dialect;
use serde::Serialize;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{
    cases::{Case, Start},
    clients::Client,
    measure::{Used, measure},
    programs::Programs,
    server::Server,
    side::Side,
    verify::verify,
};

const SOURCE: &str = "source";

/// A run that did its work.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Done {
    pub(crate) used: Used,
    /// Of both servers.
    pub(crate) requests: u64,
    /// Seconds of each server's CPU.
    pub(crate) source_cpu: f64,
    pub(crate) target_cpu: f64,
}

/// What became of a client: its runs, or why it has none.
pub(crate) type Outcome = Result<Vec<Done>, String>;

/// All runs of a case.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) case: Case,
    pub(crate) outcomes: BTreeMap<Client, Outcome>,
}

impl Results {
    /// The fastest run of a client.
    pub(crate) fn best(&self, client: Client) -> Option<&Done> {
        let runs = self.outcomes.get(&client)?.as_ref().ok()?;
        runs.iter().min_by(|a, b| a.used.wall.total_cmp(&b.used.wall))
    }

    /// The most MiB of any of its runs.
    pub(crate) fn worst_peak(&self, client: Client) -> Option<f64> {
        let runs = self.outcomes.get(&client)?.as_ref().ok()?;
        runs.iter().map(|done| done.used.peak_mib).max_by(f64::total_cmp)
    }
}

/// Runs a case in a folder of its own, so many rounds.
pub(crate) fn run(
    case: &Case,
    programs: &Programs,
    folder: &Path,
    rounds: u32,
) -> Result<Results, String> {
    let field = Field {
        case,
        programs,
        source: Server::start(Dialect::S3, case.delay)?,
        target: Server::start(case.target, case.delay)?,
        folder: TempDir::new_in(folder).map_err(|error| error.to_string())?,
        runtime: tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?,
    };
    field.source.fill(SOURCE, case.count, case.size)?;
    let mut outcomes: BTreeMap<Client, Outcome> = case
        .clients
        .iter()
        .filter(|&&client| case.rounds(client, rounds) > 0)
        .map(|&client| (client, field.prepare(client).map(|()| Vec::new())))
        .collect();
    for round in 0..rounds {
        if let Start::Synced { changed } = case.start {
            field.source.touch(SOURCE, changed)?;
        }
        // In turn, so that what else the machine does hits all.
        for (&client, outcome) in &mut outcomes {
            if round >= case.rounds(client, rounds) {
                continue;
            }
            if let Ok(runs) = outcome {
                match field.round(client) {
                    Ok(done) => runs.push(done),
                    Err(why) => *outcome = Err(why),
                }
            }
        }
    }
    Ok(Results { case: *case, outcomes })
}

/// What the clients of a case run on.
struct Field<'a> {
    case: &'a Case,
    programs: &'a Programs,
    source: Server,
    target: Server,
    folder: TempDir,
    runtime: Runtime,
}

impl Field<'_> {
    fn source_side(&self) -> Side {
        Side { dialect: self.source.dialect, port: self.source.port, bucket: SOURCE.into() }
    }

    /// Each client has a bucket, as it may leave its own marks on what it copied.
    fn target_side(&self, client: Client) -> Side {
        let bucket = format!("target-{}", client.slug());
        Side { dialect: self.target.dialect, port: self.target.port, bucket }
    }

    /// Brings a client's target to where its rounds start.
    fn prepare(&self, client: Client) -> Result<(), String> {
        let target = self.target_side(client);
        self.target.clear(&target.bucket)?;
        match self.case.start {
            Start::Empty => return Ok(()),
            Start::Synced { .. } => {}
            Start::Filled => self.target.fill(&target.bucket, self.case.count, self.case.size)?,
        }
        self.sync(client).map(drop)
    }

    fn round(&self, client: Client) -> Result<Done, String> {
        let bucket = self.target_side(client).bucket;
        if self.case.start == Start::Empty {
            self.target.clear(&bucket)?;
            self.forget(client)?;
        }
        let done = self.sync(client)?;
        if self.case.start == Start::Empty {
            // Memory for the next.
            self.target.clear(&bucket)?;
            self.forget(client)?;
        }
        Ok(done)
    }

    /// Lets a client sync and checks that it did.
    fn sync(&self, client: Client) -> Result<Done, String> {
        let (source, target) = (self.source_side(), self.target_side(client));
        let home = self.folder.path().join(client.slug());
        fs::create_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
        let commands = client.commands(self.programs, &source, &target, &home)?;
        let since = (self.source.reset()?, self.target.reset()?);
        let mut used = Used::default();
        for command in &commands {
            used = used.and_then(measure(command, self.case.limit())?);
        }
        let (read, written) = (self.source.work(since.0)?, self.target.work(since.1)?);
        self.runtime.block_on(verify(&source, &target, self.case.count))?;
        Ok(Done {
            used,
            requests: read.requests + written.requests,
            source_cpu: read.cpu,
            target_cpu: written.cpu,
        })
    }

    /// Takes away what a client remembers.
    fn forget(&self, client: Client) -> Result<(), String> {
        match fs::remove_dir_all(self.folder.path().join(client.slug())) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
            _ => Ok(()),
        }
    }
}
