//! A server of others as a child process: on a free port of the loopback, and gone when its test is, however that ends.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// Where `tests/emulators.py` installed a program of a server. Without it the caller skips its test: the reason is
/// printed, and with CI=true, where everything has to be there, it is a failure.
pub fn installed(server: &str, program: &str) -> Option<PathBuf> {
    let cache =
        std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| Some(std::env::home_dir()?.join(".cache")))?;
    let folder = cache.join("multicloud/emulators");
    if folder.join(format!("{server}.installed")).is_file() {
        return Some(folder.join(server).join(program));
    }
    let why = format!(
        "{server} is not installed in {}: run tests/emulators.py {server}",
        folder.display()
    );
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    eprintln!("skipped: {why}");
    None
}

/// How a server is started on one port.
#[derive(Debug)]
pub struct Launch {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(&'static str, String)>,
}

/// A running server. Stopped when it is dropped, and also when this process dies in whatever way.
#[derive(Debug)]
pub struct Server {
    /// `tether.py`, which kills the server when our end of its standard input is closed.
    tether: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.tether.stdin.take());
        let _ = self.tether.wait();
    }
}

impl Server {
    /// Starts a server with a free port and an empty folder, and waits until it listens; blocks for that long. Panics
    /// with the server's log when it does not within half a minute.
    pub fn start(launch: impl Fn(u16, &Path) -> Launch) -> Self {
        let mut why = String::new();
        // Another process may take the port before the server does.
        for _ in 0..5 {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            let folder = tempfile::tempdir().unwrap();
            let launch = launch(address.port(), folder.path());
            let log = File::create(folder.path().join("log")).unwrap();
            let tether = Command::new("python3")
                .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python/tether.py"))
                .arg(&launch.program)
                .args(&launch.arguments)
                .envs(launch.environment.iter().map(|(name, value)| (name, value)))
                .current_dir(folder.path())
                .stdin(Stdio::piped())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn()
                .unwrap();
            let mut server = Self { tether, address, folder };
            if server.listens() {
                return server;
            }
            why = format!("{} does not start: {}", launch.program.display(), server.log());
        }
        panic!("{why}");
    }

    fn listens(&mut self) -> bool {
        for _ in 0..600 {
            if self.tether.try_wait().unwrap().is_some() {
                return false;
            }
            if TcpStream::connect(self.address).is_ok() {
                return true;
            }
            thread::sleep(Duration::from_millis(50));
        }
        false
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What the server has printed so far.
    pub fn log(&self) -> String {
        let log = std::fs::read(self.folder.path().join("log"));
        String::from_utf8_lossy(&log.unwrap_or_default()).into_owned()
    }
}
