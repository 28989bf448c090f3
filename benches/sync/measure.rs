//! Runs a command and tells what it took: a process of the bench with this one child, so that its usage is the child's alone.

use std::{
    io::Read,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        signal::{Signal, killpg},
        time::{TimeVal, TimeValLike},
    },
    unistd::getpgrp,
};
use serde::{Deserialize, Serialize};

use super::process;

/// The first argument of a process that measures.
pub(crate) const MEASURE: &str = "--measure";

/// What a command took.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Used {
    /// Seconds from its start to its end.
    pub(crate) wall: f64,
    /// Seconds of CPU, user and system.
    pub(crate) cpu: f64,
    /// The most of its memory that was resident.
    pub(crate) peak_mib: f64,
}

impl Used {
    /// That of one command and then another.
    pub(crate) fn and_then(self, next: Self) -> Self {
        Self {
            wall: self.wall + next.wall,
            cpu: self.cpu + next.cpu,
            peak_mib: self.peak_mib.max(next.peak_mib),
        }
    }
}

/// Runs a command to its success, within a limit of time. It gets no environment but its own.
pub(crate) fn measure(command: &Command, limit: Duration) -> Result<Used, String> {
    let program = command.get_program().display().to_string();
    let mut measuring = process::this()?;
    measuring
        .arg(MEASURE)
        .arg(limit.as_secs().to_string())
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    measuring.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = process::lead_group(&mut measuring)?;
    // Dropped when this process ends, in whatever way: then the measuring one ends too.
    let tie = child.stdin.take();
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    drop(tie);
    if output.status.success() {
        return serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("{program}: not measured: {error}"));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.trim().lines().next_back().unwrap_or("it took too long");
    Err(format!("{program}: {last}"))
}

/// The measuring process: runs the command in these words, the first of which is its limit in seconds, and prints what it took.
///
/// The end of its input and the limit end it, together with all that the command started.
pub(crate) fn main(mut words: impl Iterator<Item = String>) -> Result<(), String> {
    let limit = words.next().and_then(|word| word.parse().ok()).ok_or("no limit of time")?;
    let program = words.next().ok_or("no command to measure")?;
    let (tell, told) = mpsc::channel();
    let started = Instant::now();
    let mut child = Command::new(&program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let ended = tell.clone();
    thread::spawn(move || ended.send(Some(wait(&mut child, started))));
    thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        tell.send(None)
    });
    let Ok(Some(ended)) = told.recv_timeout(Duration::from_secs(limit)) else {
        killpg(getpgrp(), Signal::SIGKILL).map_err(|error| error.to_string())?;
        return Err("it was ended".into());
    };
    let (status, wall) = ended?;
    if !status.success() {
        return Err(status.to_string());
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| error.to_string())?;
    let seconds = |time: TimeVal| time.num_microseconds() as f64 / 1e6;
    let used = Used {
        wall,
        cpu: seconds(usage.user_time()) + seconds(usage.system_time()),
        peak_mib: usage.max_rss() as f64 / 1024.0,
    };
    println!("{}", serde_json::to_string(&used).map_err(|error| error.to_string())?);
    Ok(())
}

fn wait(child: &mut Child, started: Instant) -> Result<(ExitStatus, f64), String> {
    let status = child.wait().map_err(|error| error.to_string())?;
    Ok((status, started.elapsed().as_secs_f64()))
}
