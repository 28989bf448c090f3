//! Processes of this machine: starting them so that they can be found again, finding them, ending them.
//!
//! Every process that this crate starts carries the native id of its resource in its environment, and leads a session of
//! its own. A recorded process is known by pid and start time, so a pid that was given to another process is never
//! taken for ours; what a crash kept from being recorded is found by the environment.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use cloud_core::{Error, ErrorKind, Result};
use process_wrap::tokio::{ChildWrapper, CommandWrap, ProcessSession};
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use sysinfo::{ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};

/// The environment variable by which a process is known to belong to a resource.
pub(crate) const MARKER: &str = "MULTICLOUD_RESOURCE";

/// How long killed processes may take to be gone.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// A process that cannot be mistaken for another: its pid, and when it was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: u32,
    started: String,
}

impl Identity {
    /// The process that has this pid now, dead but not reaped ones included.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let (started, _) = look(pid)?;
        Some(Self { pid, started })
    }

    /// Whether this very process runs.
    pub(crate) fn is_alive(&self) -> bool {
        look(self.pid).is_some_and(|(started, alive)| alive && started == self.started)
    }
}

/// When a process was started, and whether it is more than a zombie.
#[cfg(target_os = "linux")]
fn look(pid: u32) -> Option<(String, bool)> {
    use std::sync::OnceLock;
    static BOOT: OnceLock<String> = OnceLock::new();
    let boot = BOOT.get_or_init(|| {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
    });
    let stat = procfs::process::Process::new(i32::try_from(pid).ok()?)
        .and_then(|process| process.stat())
        .ok()?;
    let alive = !matches!(stat.state, 'Z' | 'X' | 'x');
    Some((format!("{}@{}", stat.starttime, boot.trim()), alive))
}

/// When a process was started, and whether it is more than a zombie.
#[cfg(not(target_os = "linux"))]
fn look(pid: u32) -> Option<(String, bool)> {
    let pid = sysinfo::Pid::from_u32(pid);
    let mut system = System::new().ok()?;
    system.refresh_processes_specifics(
        ProcessesToUpdate::Some(&[pid]),
        true,
        ProcessRefreshKind::nothing(),
    );
    let process = system.process(pid)?;
    let alive = !matches!(process.status(), ProcessStatus::Zombie | ProcessStatus::Dead);
    Some((process.start_time().to_string(), alive))
}

/// The living processes of a resource: those that bear its mark, and, while its leader lives, those of the
/// leader's session (a program may have overwritten its environment).
pub(crate) fn members(native: &str, leader: Option<&Identity>) -> Result<Vec<u32>> {
    let mark: OsString = format!("{MARKER}={native}").into();
    let session =
        leader.filter(|leader| leader.is_alive()).map(|leader| sysinfo::Pid::from_u32(leader.pid));
    let mut system = System::new().map_err(no_processes)?;
    system.refresh_processes_specifics(
        ProcessesToUpdate::All,
        true,
        ProcessRefreshKind::nothing().with_environ(UpdateKind::Always).without_tasks(),
    );
    let living =
        |p: &&sysinfo::Process| !matches!(p.status(), ProcessStatus::Zombie | ProcessStatus::Dead);
    let ours = |p: &&sysinfo::Process| {
        p.environ().contains(&mark) || (session.is_some() && p.session_id() == session)
    };
    let processes = system.processes().values();
    Ok(processes.filter(living).filter(ours).map(|p| p.pid().as_u32()).collect())
}

pub(crate) fn no_processes(error: sysinfo::Error) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!("the processes of this machine cannot be listed: {error}"),
    )
}

/// Sends a signal to the whole process group of a leader that lives. Blocks for a moment.
pub(crate) fn signal_group(leader: &Identity, signal: Signal) {
    if leader.is_alive()
        && let Some(pid) = raw(leader.pid)
    {
        // It may end before the signal arrives, which is all that was wanted.
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}

/// Kills what a leader left of its process group when it ended. The group keeps the leader's pid from being given
/// away, so if another process has it, none is left.
pub(crate) fn kill_orphans(leader: &Identity) {
    let recycled = Identity::of(leader.pid).is_some_and(|now| now != *leader);
    if !recycled && let Some(pid) = raw(leader.pid) {
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    }
}

/// Kills every process of a resource and returns when none is left. Blocks.
pub(crate) fn kill_all(native: &str, leader: Option<&Identity>) -> Result<()> {
    let deadline = Instant::now() + KILL_DEADLINE;
    loop {
        let members = members(native, leader)?;
        if members.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let message = format!("the processes {members:?} of {native} do not end");
            return Err(Error::new(ErrorKind::Internal, message)
                .with_hint("they may wait for a device; repeat the call"));
        }
        // The group first: the kernel reaches all of it at once, what it forks meanwhile included.
        if let Some(leader) = leader {
            signal_group(leader, Signal::KILL);
        }
        for pid in members {
            kill_one(pid, native, leader);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Kills one of [`members`], unless its pid belongs to another process by now.
#[cfg(target_os = "linux")]
fn kill_one(pid: u32, native: &str, leader: Option<&Identity>) {
    use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
    // The handle holds on to the process: what is found out after opening it is true of what is killed.
    let Some(handle) = raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
        return;
    };
    let ours = i32::try_from(pid)
        .ok()
        .and_then(|pid| procfs::process::Process::new(pid).ok())
        .is_some_and(|process| {
            let marked = process.environ().is_ok_and(|env| {
                env.get(std::ffi::OsStr::new(MARKER))
                    .is_some_and(|value| value.to_str() == Some(native))
            });
            let session = || process.stat().ok().and_then(|stat| u32::try_from(stat.session).ok());
            marked || leader.is_some_and(|l| l.is_alive() && session() == Some(l.pid))
        });
    if ours {
        let _ = pidfd_send_signal(&handle, Signal::KILL);
    }
}

/// Kills one of [`members`].
#[cfg(not(target_os = "linux"))]
fn kill_one(pid: u32, _native: &str, _leader: Option<&Identity>) {
    if let Some(pid) = raw(pid) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

fn raw(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// What a process is started with. Nothing of our own environment reaches it but PATH and LANG.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) native: &'a str,
    pub(crate) command: &'a [String],
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) home: &'a Path,
    pub(crate) stdin: Stdio,
    pub(crate) stdout: Stdio,
    pub(crate) stderr: Stdio,
}

impl Launch<'_> {
    /// Starts it. Needs a tokio runtime.
    ///
    /// # Errors
    /// `InvalidInput` for a program that is not there or cannot be executed; nothing runs then.
    pub(crate) fn spawn(self) -> Result<Box<dyn ChildWrapper>> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(no_command());
        };
        let mut wrap = CommandWrap::with_new(program, |command| {
            command
                .args(arguments)
                .env_clear()
                .envs(["PATH", "LANG"].iter().filter_map(|k| Some((k, std::env::var_os(k)?))))
                .env("HOME", self.home)
                .envs(&self.environment)
                .env(MARKER, self.native)
                .current_dir(self.home)
                .stdin(self.stdin)
                .stdout(self.stdout)
                .stderr(self.stderr);
        });
        wrap.wrap(ProcessSession).spawn().map_err(|error| {
            use std::io::ErrorKind as Io;
            match error.kind() {
                Io::NotFound
                | Io::PermissionDenied
                | Io::InvalidInput
                | Io::ArgumentListTooLong => Error::invalid(
                    "command",
                    format_args!("cannot be started: '{}': {error}", program.escape_debug()),
                    "an executable by its absolute path, or by a name found in PATH",
                ),
                _ => Error::from(error),
            }
        })
    }
}

/// The error for a spec without a program.
pub(crate) fn no_command() -> Error {
    Error::invalid(
        "command",
        "is empty",
        "the program to run: an instance of a local cloud is a process",
    )
}

/// Refuses variables that this cloud sets itself.
pub(crate) fn check_reserved<'a>(mut names: impl Iterator<Item = &'a String>) -> Result<()> {
    match names.find(|name| name.starts_with("MULTICLOUD_")) {
        None => Ok(()),
        Some(name) => Err(Error::invalid(
            &format!("environment.{name}"),
            "is reserved",
            "names that do not begin with MULTICLOUD_",
        )),
    }
}

/// Limits the private memory of a process and of what it starts from now on. What it allocates before, in its
/// first microseconds, is not limited.
#[cfg(target_os = "linux")]
pub(crate) fn limit_memory(pid: u32, bytes: u64) -> Result<()> {
    use rustix::process::{Resource, Rlimit, prlimit};
    let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
    match prlimit(raw(pid), Resource::Data, limit) {
        // It has ended already.
        Ok(_) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(Error::from(std::io::Error::from(error))),
    }
}

/// There is no such limit that can be set from outside here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn limit_memory(_pid: u32, _bytes: u64) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch<'a>(native: &'a str, command: &'a [String], home: &'a Path) -> Launch<'a> {
        Launch {
            native,
            command,
            environment: BTreeMap::new(),
            home,
            stdin: Stdio::null(),
            stdout: Stdio::null(),
            stderr: Stdio::null(),
        }
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    #[tokio::test]
    async fn a_recycled_pid_is_never_taken_for_ours() {
        let ours = Identity::of(std::process::id()).unwrap();
        assert!(ours.is_alive());
        // Same pid, other start: what a recycled pid looks like. Killing it must not kill this test.
        let recycled = Identity { pid: std::process::id(), started: "1@other-boot".into() };
        assert!(!recycled.is_alive());
        signal_group(&recycled, Signal::KILL);
        assert!(members("no-such-resource", Some(&recycled)).unwrap().is_empty());
        kill_all("no-such-resource", Some(&recycled)).unwrap();
    }

    #[tokio::test]
    async fn a_zombie_is_dead() {
        let home = tempfile::tempdir().unwrap();
        let command = words(&["true"]);
        let child = launch("zombie-test", &command, home.path()).spawn().unwrap();
        let identity = Identity::of(child.id().unwrap()).unwrap();
        // Nobody waits for it, so it stays a zombie.
        let deadline = Instant::now() + Duration::from_secs(10);
        while identity.is_alive() {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(Identity::of(identity.pid).is_some());
    }

    #[tokio::test]
    async fn the_whole_family_is_killed_even_what_left_the_session() {
        let home = tempfile::tempdir().unwrap();
        let command = words(&["sh", "-c", "setsid sleep 1000 & sleep 1000 & sleep 1000"]);
        let native = uuid::Uuid::new_v4().simple().to_string();
        let child = launch(&native, &command, home.path()).spawn().unwrap();
        let leader = Identity::of(child.id().unwrap()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while members(&native, Some(&leader)).unwrap().len() < 4 {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(5));
        }
        kill_all(&native, Some(&leader)).unwrap();
        assert!(!leader.is_alive());
        assert!(members(&native, Some(&leader)).unwrap().is_empty());
    }
}
