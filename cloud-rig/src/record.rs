//! What a proxy saw: each request as it came and how it was answered, in memory and, where asked for, as lines of JSON.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde_json::json;

/// Of an answer that reports an error, this much of its body is kept.
const KEPT: usize = 4096;

/// One request, as the client sent it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The first request of a proxy is 0.
    pub number: usize,
    pub method: String,
    /// As sent: nothing is decoded.
    pub path: String,
    /// As sent, without the question mark.
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// The signing name, such as `ec2`; empty if the request is not signed.
    pub service: String,
    /// The region of the signature; empty if the request is not signed.
    pub region: String,
    /// What is asked for, as far as the request says it: `RunInstances`, or `PUT /bucket` where only the path tells.
    pub operation: String,
    /// `None` while it is under way, or if the connection was dropped before an answer.
    pub answer: Option<Answer>,
    /// The call of the adapter that it was sent for, where the test says so.
    pub call: Option<String>,
}

/// How a request was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Whether the server answered; otherwise the proxy did.
    pub by_server: bool,
    /// The beginning of the body, if the status is an error.
    pub error: Option<String>,
}

impl Seen {
    /// A header by its name in small letters; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// Whether it is this operation of this service (by its signing name).
    pub fn is(&self, service: &str, operation: &str) -> bool {
        self.service == service && self.operation == operation
    }

    /// The status; 0 without an answer.
    pub fn status(&self) -> u16 {
        self.answer.as_ref().map_or(0, |answer| answer.status)
    }
}

/// The requests of one proxy.
#[derive(Debug)]
pub(super) struct Record {
    server: String,
    seen: Mutex<Vec<Seen>>,
    files: Vec<Mutex<File>>,
}

impl Record {
    /// A new file is begun in each folder.
    pub(super) fn new<'a>(server: &str, folders: impl IntoIterator<Item = &'a Path>) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let begin = |folder: &Path| {
            std::fs::create_dir_all(folder).unwrap();
            let number = NEXT.fetch_add(1, Relaxed);
            let name = format!("{server}-{}-{number}.jsonl", std::process::id());
            Mutex::new(File::create(folder.join(name)).unwrap())
        };
        let files = folders.into_iter().map(begin).collect();
        Self { server: server.to_owned(), seen: Mutex::default(), files }
    }

    /// The folder that the environment names for everything.
    pub(super) fn folder() -> Option<PathBuf> {
        std::env::var_os("RECORD_REQUESTS").filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    pub(super) fn all(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap()
    }

    /// Notes a request, and gives it its number.
    pub(super) fn begin(&self, seen: &mut Seen) {
        let mut all = self.all();
        seen.number = all.len();
        all.push(seen.clone());
    }

    /// Notes the end of a request: an answer, or none.
    pub(super) fn end(&self, seen: &Seen, answer: Option<(u16, bool, &Bytes)>) {
        let answer = answer.map(|(status, by_server, body)| Answer {
            status,
            by_server,
            error: (status >= 300)
                .then(|| String::from_utf8_lossy(&body[..body.len().min(KEPT)]).into_owned()),
        });
        if !self.files.is_empty() {
            let line = json!({
                "server": self.server,
                "method": seen.method,
                "path": seen.path,
                "query": seen.query,
                "headers": seen.headers,
                "body": BASE64_STANDARD.encode(&seen.body),
                "service": seen.service,
                "region": seen.region,
                "operation": seen.operation,
                "call": seen.call,
                "status": answer.as_ref().map(|answer| answer.status),
                "by_server": answer.as_ref().is_some_and(|answer| answer.by_server),
                "error": answer.as_ref().and_then(|answer| answer.error.as_deref()),
            });
            for file in &self.files {
                writeln!(file.lock().unwrap(), "{line}").unwrap();
            }
        }
        self.all()[seen.number].answer = answer;
    }
}
