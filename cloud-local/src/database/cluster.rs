//! PostgreSQL's own programs: making, starting, stopping and copying a cluster.
//!
//! A cluster lives in the folder of its server, which belongs to the account that the server runs under:
//!
//! ```text
//! data/           the cluster itself
//! secrets.json    the passwords of its roles
//! pgpass          the replication role's password again, in the form that libpq reads (stand-bys and copies)
//! server.log      what the server says
//! ```
//!
//! A process belongs to a cluster if it works in the cluster's folder, as all of a server's processes do, and all programs that
//! are started here. So neither a pid that was given to another process nor a file left behind by a crash is ever taken for a
//! running server, and what a crash left running is found.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use cloud_core::{Error, ErrorKind, Result, secret::ExposeSecret};
use rustix::process::{Pid, Signal};
use sysinfo::{ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};
use tokio::process::Command;

use super::{
    account::Account,
    secrets::{Secrets, write_private},
};
use crate::{
    compute::process::no_processes,
    error::io_error,
    state::{make_dir, remove_if_there},
};

/// The superuser: us.
pub(crate) const ADMIN: &str = "multicloud_admin";
/// Whom replicas and copies connect as.
pub(crate) const REPLICATION: &str = "multicloud_replication";

/// The passwords' file.
pub(crate) const SECRETS: &str = "secrets.json";

/// How long a server may take to start, and to recover what a crash left.
const START: Duration = Duration::from_secs(120);
/// How long any other program may take.
const PROGRAM: Duration = Duration::from_secs(600);
/// How long a server may take to stop at once before it is killed.
const STOP: Duration = Duration::from_secs(10);

/// The programs of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Programs(PathBuf);

impl Programs {
    const NEEDED: [&str; 4] = ["initdb", "pg_ctl", "postgres", "pg_basebackup"];

    /// The folder that is given, or the first that has them all: those of PATH, then Debian's, newest version first.
    ///
    /// # Errors
    /// `InvalidInput` for a given folder that lacks one.
    pub(crate) fn find(given: Option<&Path>) -> Result<Option<Self>> {
        if let Some(dir) = given {
            return match Self::missing(dir) {
                None => Ok(Some(Self(dir.to_owned()))),
                Some(name) => Err(Error::invalid(
                    "postgres_bin",
                    format_args!("is {}, where there is no '{name}'", dir.display()),
                    format_args!("a folder with {}", Self::NEEDED.join(", ")),
                )),
            };
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut versions: Vec<(u32, PathBuf)> = debian
            .filter_map(|e| Some((e.file_name().to_str()?.parse().ok()?, e.path().join("bin"))))
            .collect();
        versions.sort_unstable_by(|a, b| b.cmp(a));
        let dirs = std::env::split_paths(&path).chain(versions.into_iter().map(|(_, dir)| dir));
        // A server finds the rest of its installation from where it really is.
        let real =
            |dir: PathBuf| Some(dir.join("initdb").canonicalize().ok()?.parent()?.to_owned());
        Ok(dirs.filter_map(real).find(|dir| Self::missing(dir).is_none()).map(Self))
    }

    fn missing(dir: &Path) -> Option<&'static str> {
        Self::NEEDED.into_iter().find(|name| !dir.join(name).is_file())
    }

    /// The server's version: `15.14`.
    pub(crate) async fn version(&self) -> Result<String> {
        let said = run(
            self.command("postgres", Path::new("/"), None).arg("--version"),
            "postgres",
            PROGRAM,
        )
        .await?;
        let version = said.split_whitespace().nth(2).unwrap_or_default();
        Ok(version.to_owned())
    }

    /// A program that works in this folder, by which [`stop`] finds it.
    fn command(&self, program: &str, folder: &Path, account: Option<&Account>) -> Command {
        let mut command = Command::new(self.0.join(program));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C")
            .current_dir(folder)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if let Some(account) = account {
            account.apply(&mut command);
        }
        command
    }
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// `Internal` with the end of what it said; `Timeout`, and it is killed then.
async fn run(command: &mut Command, name: &str, limit: Duration) -> Result<String> {
    let output = match tokio::time::timeout(limit, command.output()).await {
        Err(_) => {
            let message = format!("{name} did not end within {limit:?}");
            return Err(Error::new(ErrorKind::Timeout, message));
        }
        Ok(output) => {
            output.map_err(|e| Error::from(e).context(format_args!("cannot run {name}")))?
        }
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let kind = match said.contains("No space left on device") {
        true => ErrorKind::StorageFull,
        false => ErrorKind::Internal,
    };
    Err(Error::new(kind, format!("{name} failed: {}", last_lines(&said))))
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    lines[lines.len().saturating_sub(5)..].join("; ")
}

/// One cluster, in the folder of its server or snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) programs: Programs,
    /// Whom it runs under, where that is not us.
    pub(crate) account: Option<Account>,
    pub(crate) folder: PathBuf,
    /// The data folder of the whole cloud.
    pub(crate) root: PathBuf,
}

/// The cluster's own folder.
pub(crate) fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

impl Cluster {
    pub(crate) fn secrets_file(&self) -> PathBuf {
        self.folder.join(SECRETS)
    }

    pub(crate) fn pgpass(&self) -> PathBuf {
        self.folder.join("pgpass")
    }

    /// Ends what still runs of it, empties its folder, and opens the way to it.
    pub(crate) fn prepare(&self) -> Result<()> {
        stop(&self.folder)?;
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            other => other.map_err(io_error("empty", &self.folder))?,
        }
        make_dir(&self.folder)?;
        match &self.account {
            Some(account) => {
                account.let_through(&self.root, &self.folder)?;
                account.give(&self.folder)
            }
            None => Ok(()),
        }
    }

    /// Gives a file in its folder to whom it runs under.
    pub(crate) fn give(&self, file: &Path) -> Result<()> {
        self.account.as_ref().map_or(Ok(()), |account| account.give(file))
    }

    /// Makes the cluster, with us as its only role. Nothing runs yet.
    pub(crate) async fn init(&self, secrets: &Secrets) -> Result<()> {
        let password = self.folder.join("admin-password");
        write_private(&password, secrets.admin.expose_secret())?;
        self.give(&password)?;
        let mut command = self.programs.command("initdb", &self.folder, self.account.as_ref());
        command
            .arg("-D")
            .arg(data(&self.folder))
            .args(["-U", ADMIN, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C"])
            .arg(format!("--pwfile={}", password.display()));
        let made = run(&mut command, "initdb", PROGRAM).await;
        remove_if_there(&password)?;
        made.map(drop)
    }

    /// Starts the server on this port of the loopback address, and returns when it answers. Nothing if it runs.
    ///
    /// # Errors
    /// `Conflict` if the port is taken by another program.
    pub(crate) async fn start(&self, port: u16) -> Result<()> {
        if is_running(&self.folder)? {
            return Ok(());
        }
        // What is left of a server that was killed: its last processes, and the file that names it.
        stop(&self.folder)?;
        let data = data(&self.folder);
        remove_if_there(&data.join("postmaster.pid"))?;
        if let Some(account) = &self.account {
            account.let_through(&self.root, &self.folder)?;
        }
        if std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).is_err() {
            let message = format!("port {port} is taken by another program");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let mut command = self.programs.command("pg_ctl", &self.folder, self.account.as_ref());
        command
            .arg("start")
            .arg("-D")
            .arg(&data)
            .arg("-l")
            .arg(self.folder.join("server.log"))
            .args(["-w", "-t", &START.as_secs().to_string(), "-o"])
            .arg(format!("-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"));
        match run(&mut command, "pg_ctl start", START + Duration::from_secs(5)).await {
            Ok(_) => Ok(()),
            Err(error) => {
                stop(&self.folder)?;
                let log =
                    std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
                Err(error.context(format_args!("the server did not start ({})", last_lines(&log))))
            }
        }
    }

    /// Copies a running server's cluster into this one's folder. With a slot, the copy is a stand-by that follows the server.
    pub(crate) async fn copy_from(&self, port: u16, slot: Option<&str>) -> Result<()> {
        let mut command =
            self.programs.command("pg_basebackup", &self.folder, self.account.as_ref());
        command
            .env("PGPASSFILE", self.pgpass())
            .arg("-D")
            .arg(data(&self.folder))
            .args(["-h", "127.0.0.1", "-U", REPLICATION, "-w", "-X", "stream", "-c", "fast"])
            .args(["-p", &port.to_string()]);
        if let Some(slot) = slot {
            command.args(["-R", "-C", "-S", slot]);
        }
        run(&mut command, "pg_basebackup", PROGRAM).await.map(drop)
    }
}

/// The processes that work in a cluster's folder: its server's, and the programs that make it.
fn processes(folder: &Path) -> Result<Vec<Pid>> {
    working_in(folder, ProcessesToUpdate::All)
}

fn works_in(pid: Pid, folder: &Path) -> Result<bool> {
    let pid = sysinfo::Pid::from_u32(pid.as_raw_nonzero().get().cast_unsigned());
    Ok(!working_in(folder, ProcessesToUpdate::Some(&[pid]))?.is_empty())
}

fn working_in(folder: &Path, which: ProcessesToUpdate<'_>) -> Result<Vec<Pid>> {
    let Ok(folder) = folder.canonicalize() else {
        return Ok(Vec::new());
    };
    let mut system = System::new().map_err(no_processes)?;
    let what = ProcessRefreshKind::nothing().with_cwd(UpdateKind::Always).without_tasks();
    system.refresh_processes_specifics(which, true, what);
    let ours = system.processes().values().filter(|p| {
        let living = !matches!(p.status(), ProcessStatus::Zombie | ProcessStatus::Dead);
        living && p.cwd().is_some_and(|cwd| cwd.starts_with(&folder))
    });
    Ok(ours.filter_map(|p| Pid::from_raw(p.pid().as_u32().cast_signed())).collect())
}

/// The process that a cluster names as its server, if that works in its folder.
fn server(folder: &Path) -> Result<Option<Pid>> {
    let Ok(text) = std::fs::read_to_string(data(folder).join("postmaster.pid")) else {
        return Ok(None);
    };
    // While a cluster is being made the number is negative: that is no server.
    let pid = text.lines().next().and_then(|line| line.trim().parse().ok());
    let Some(pid) = pid.filter(|pid: &i32| *pid > 0).and_then(Pid::from_raw) else {
        return Ok(None);
    };
    Ok(works_in(pid, folder)?.then_some(pid))
}

/// Whether its server runs. Blocks for a moment.
pub(crate) fn is_running(folder: &Path) -> Result<bool> {
    server(folder).map(|server| server.is_some())
}

/// Stops a cluster at once, as a power cut would, and returns when none of its processes is left. Blocks. Nothing if it does not run.
pub(crate) fn stop(folder: &Path) -> Result<()> {
    let secrets = folder.join(SECRETS);
    // Written before anything is started: without it there is nothing to look for among all processes.
    if !secrets.try_exists().map_err(io_error("look for", &secrets))? {
        return Ok(());
    }
    let began = Instant::now();
    if let Some(server) = server(folder)? {
        signal(server, folder, Signal::QUIT)?;
    }
    loop {
        let left = processes(folder)?;
        if left.is_empty() {
            return Ok(());
        }
        if began.elapsed() > STOP * 2 {
            let message = format!("the processes {left:?} of {} do not end", folder.display());
            return Err(Error::new(ErrorKind::Internal, message)
                .with_hint("they may wait for a device; repeat the call"));
        }
        if began.elapsed() > STOP || server(folder)?.is_none() {
            for pid in left {
                signal(pid, folder, Signal::KILL)?;
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends a signal to a process that works in a cluster's folder.
#[cfg(target_os = "linux")]
fn signal(pid: Pid, folder: &Path, signal: Signal) -> Result<()> {
    use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
    // The handle holds on to the process: what is found out after opening it is true of what gets the signal.
    if let Ok(handle) = pidfd_open(pid, PidfdFlags::empty())
        && works_in(pid, folder)?
    {
        // It may end before the signal arrives, which is all that was wanted.
        let _ = pidfd_send_signal(&handle, signal);
    }
    Ok(())
}

/// Sends a signal to a process that works in a cluster's folder.
#[cfg(not(target_os = "linux"))]
fn signal(pid: Pid, folder: &Path, signal: Signal) -> Result<()> {
    if works_in(pid, folder)? {
        let _ = rustix::process::kill_process(pid, signal);
    }
    Ok(())
}
