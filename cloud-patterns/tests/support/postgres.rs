//! A PostgreSQL cluster of the tests' own: made in a temporary folder, gone with the test process however that ends.
//!
//! Use it with `#[path = "support/postgres.rs"] mod postgres;`.
#![allow(dead_code, unreachable_pub)]

use std::{
    io::{BufRead, BufReader},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

/// A running cluster, reached through a socket in its folder. Databases in it are made with [`Cluster::database`].
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    /// It stops the server and removes the folder as soon as its standard input, which this process holds, is closed.
    _keeper: Child,
}

/// The cluster of this test process, started at the first call. `None` if PostgreSQL is not installed, which is printed as
/// the reason why `test` is skipped.
///
/// # Panics
/// If PostgreSQL is missing and the environment says `CI=true`, or if the cluster does not start.
pub fn cluster(test: &str) -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| binaries().map(|folder| Cluster::start(&folder))).as_ref();
    if cluster.is_none() {
        let reason = "neither PATH nor /usr/lib/postgresql/*/bin has initdb and pg_ctl";
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "{test} needs PostgreSQL, and {reason}"
        );
        eprintln!("skipped {test}: {reason}");
    }
    cluster
}

impl Cluster {
    fn start(binaries: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("pg-").tempdir().unwrap().keep();
        // A server refuses to run as root.
        let user = (std::fs::metadata("/proc/self").unwrap().uid() == 0).then(unprivileged);
        if let Some((uid, gid)) = user {
            chown(&folder, Some(uid), Some(gid)).unwrap();
        }
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        let script = r#"
            set -e
            "$1/initdb" -D "$2/data" -U tests -A trust -E UTF8 --locale=C.UTF-8 >"$2/initdb.log" 2>&1 ||
                { cat "$2/initdb.log" >&2; exit 1; }
            "$1/pg_ctl" -D "$2/data" -w -l "$2/server.log" -o "-c listen_addresses='' -k '$2'" start >/dev/null ||
                { cat "$2/server.log" >&2; exit 1; }
            echo ready
            cat >/dev/null
            "$1/pg_ctl" -D "$2/data" -m immediate stop >/dev/null 2>&1
            rm -rf "$2"
        "#;
        let mut command = Command::new("sh");
        command
            .args(["-c", script, "sh"])
            .args([binaries, &folder])
            .current_dir(&folder)
            // An interrupt from the terminal reaches the tests only; the keeper then sees them end.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some((uid, gid)) = user {
            command.gid(gid).uid(uid);
        }
        let mut keeper = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "PostgreSQL did not start in {}", folder.display());
        Self { folder, _keeper: keeper }
    }

    /// The URL of a database of this name, for the superuser `tests`.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://tests@localhost/{database}?host={}", self.folder.display())
    }

    /// Makes an empty database and returns its URL.
    pub async fn database(&self, name: &str) -> String {
        use sqlx::{AssertSqlSafe, Connection, PgConnection};
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        let sql = format!("CREATE DATABASE \"{name}\"");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        self.url(name)
    }
}

/// The folder with PostgreSQL's binaries: one of PATH, else the newest version of Debian's packages.
fn binaries() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut packaged: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .collect();
    packaged.sort();
    packaged.reverse();
    std::env::split_paths(&path)
        .chain(packaged)
        .find(|folder| folder.join("initdb").is_file() && folder.join("pg_ctl").is_file())
}

/// User and group id of `postgres`, else of `nobody`.
fn unprivileged() -> (u32, u32) {
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let id = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    id("postgres").or_else(|| id("nobody")).expect("no user to run PostgreSQL as")
}
