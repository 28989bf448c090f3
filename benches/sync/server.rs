//! The object servers, each in a process of its own: how it serves, and how the bench asks it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpStream},
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use cloud_testkit::object_server::{Dialect, ServerOptions, serve_blocking};
use nix::{
    time::{ClockId, clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};
use serde_json::Value;

use super::process;

/// The first argument of a process that serves.
pub(crate) const SERVE: &str = "--serve";

/// How long the server may take to fill a bucket with a million objects.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server, which ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) dialect: Dialect,
    pub(crate) port: u16,
    process: Child,
    clock: ClockId,
}

/// What a server did for a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    pub(crate) requests: u64,
    /// Seconds.
    pub(crate) cpu: f64,
}

impl Server {
    /// Starts one that waits so long before each request.
    pub(crate) fn start(dialect: Dialect, delay: Duration) -> Result<Self, String> {
        let mut command = process::this()?;
        command.arg(SERVE).arg(name(dialect)).arg(delay.as_millis().to_string());
        let mut process = process::lead_group(command.stdout(Stdio::piped()))?;
        let mut line = String::new();
        let output = process.stdout.take().ok_or("the server has no output")?;
        BufReader::new(output).read_line(&mut line).map_err(|error| error.to_string())?;
        let port = line.trim().parse().map_err(|_| "the server did not start")?;
        let pid = i32::try_from(process.id()).map_err(|error| error.to_string())?;
        let clock = clock_getcpuclockid(Pid::from_raw(pid)).map_err(|error| error.to_string())?;
        Ok(Self { dialect, port, process, clock })
    }

    pub(crate) fn fill(&self, bucket: &str, count: u64, size: u64) -> Result<(), String> {
        let path = format!("/__fill?bucket={bucket}&count={count}&size={size}&prefix=folder/");
        self.ask("POST", &path).map(drop)
    }

    /// Changes objects of a bucket, spread evenly.
    pub(crate) fn touch(&self, bucket: &str, count: u64) -> Result<(), String> {
        self.ask("POST", &format!("/__touch?bucket={bucket}&count={count}")).map(drop)
    }

    /// Makes a bucket, or empties it.
    pub(crate) fn clear(&self, bucket: &str) -> Result<(), String> {
        self.ask("POST", &format!("/__clear?bucket={bucket}")).map(drop)
    }

    /// Sets its counters to 0 and tells its CPU time.
    pub(crate) fn reset(&self) -> Result<Duration, String> {
        self.ask("POST", "/__reset")?;
        self.cpu()
    }

    /// What it did since its CPU time was this, at a reset.
    pub(crate) fn work(&self, reset: Duration) -> Result<Work, String> {
        // Before it counts, which takes a while with a million objects.
        let cpu = self.cpu()?.saturating_sub(reset).as_secs_f64();
        let stats = self.ask("GET", "/__stats")?;
        let requests = stats["requests"].as_u64().ok_or("the server has no count of requests")?;
        Ok(Work { requests, cpu })
    }

    fn cpu(&self) -> Result<Duration, String> {
        clock_gettime(self.clock).map(Duration::from).map_err(|error| error.to_string())
    }

    /// One of the server's control requests.
    fn ask(&self, method: &str, path: &str) -> Result<Value, String> {
        let failed = |error: std::io::Error| format!("{method} {path}: {error}");
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
        .map_err(failed)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(failed)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(format!("{method} {path}: {}", body.trim()));
        }
        serde_json::from_str(body).map_err(|error| format!("{method} {path}: {error}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::S3 => "s3",
        Dialect::Azure => "azure",
    }
}

/// The serving process: prints its port, and ends with its input.
pub(crate) fn main(mut words: impl Iterator<Item = String>) -> Result<(), String> {
    let dialect = words.next().unwrap_or_default();
    let dialect = [Dialect::S3, Dialect::Azure]
        .into_iter()
        .find(|&known| name(known) == dialect)
        .ok_or("no dialect of this name")?;
    let delay = words.next().and_then(|word| word.parse().ok()).ok_or("no delay")?;
    thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let options = ServerOptions {
        delay: Duration::from_millis(delay),
        trust_content_md5: true,
        ..ServerOptions::default()
    };
    serve_blocking(dialect, options, |port| println!("{port}")).map_err(|error| error.to_string())
}
