//! `Functions`: executables of this machine. The input comes as JSON on standard input, the output is JSON on standard
//! output, exit code 0 is success.
//!
//! A call runs in a session of its own in a folder of its function, with the function's environment, `PATH`, `LANG` and
//! `HOME`. Whatever it started is killed when it ends, when it takes too long, and when its function is deleted. Of calls at
//! once there are as many as the function allows, over all processes: each holds one of its lock files. `memory` is not
//! enforced. A call whose future is dropped runs to its end.

use std::{
    collections::BTreeMap,
    fs::File,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use cloud_core::{
    ClientToken, Effect, Error, ErrorKind, Function, FunctionCode, FunctionSpec, Functions,
    FunctionsCapabilities, Invocation, InvokeMode, ListQuery, Page, PageRequest, Region,
    ResourceId, ResourceKind, ResourceStatus, Result, Retry, Scope, SecretRef,
    secret::ExposeSecret,
};
use process_wrap::tokio::ChildWrapper;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::{
    compute::process::{self, Identity, Launch},
    error::{io_error, join_error},
    provider::NAMES,
    state::{
        Begun, Locked, NewRecord, Record, State, fingerprint, make_dir, read_json, write_json,
    },
};

/// The longest that a call may take.
const MAX_TIMEOUT: Duration = Duration::from_secs(900);
/// The largest input or output, as on the large providers.
const MAX_PAYLOAD_BYTES: usize = 6 << 20;
/// Calls at once where the spec does not say.
const DEFAULT_CONCURRENCY: u32 = 100;
/// How long the output may stay open after the end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How much of standard error is shown when a call fails.
const STDERR_BYTES: usize = 4096;

pub(crate) fn capabilities() -> FunctionsCapabilities {
    FunctionsCapabilities {
        names: NAMES,
        executables: true,
        archives: false,
        asynchronous: false,
        max_timeout: MAX_TIMEOUT,
        max_payload_bytes: MAX_PAYLOAD_BYTES,
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct FunctionBody {
    command: Vec<String>,
    environment: BTreeMap<String, String>,
    timeout_seconds: u32,
    concurrency: u32,
}

type FunctionRecord = Record<FunctionBody>;

#[derive(Clone, Debug)]
pub(crate) struct LocalFunctions {
    state: Arc<State>,
}

fn view(record: FunctionRecord) -> Result<Function> {
    Ok(Function {
        id: record.id,
        name: record.name,
        status: record.status,
        version: "1".into(),
        tags: record.tags,
        created_at: Some(record.created_at),
    })
}

/// Kills the running calls of a region.
pub(crate) fn kill_region(s: &Locked<'_>, region: &Region) -> Result<()> {
    for native in s.state().natives(ResourceKind::Function, region)? {
        process::kill_all(&native, None)?;
    }
    Ok(())
}

/// Secrets are resolved when the function is deployed and kept beside it, for its owner only.
fn write_files(
    s: &Locked<'_>,
    id: &ResourceId,
    secrets: &BTreeMap<String, SecretRef>,
) -> Result<()> {
    let folder = s.state().data_dir(id)?;
    make_dir(&folder.join("home"))?;
    make_dir(&folder.join("slots"))?;
    let mut values = BTreeMap::new();
    for (name, secret) in secrets {
        values.insert(name, secret.resolve()?.expose_secret().to_owned());
    }
    write_json(&s.state().tmp(), &folder.join("secrets.json"), &values)
}

impl LocalFunctions {
    pub(crate) fn new(state: &Arc<State>) -> Self {
        Self { state: state.clone() }
    }

    async fn create(&self, spec: &FunctionSpec, token: &ClientToken) -> Result<Function> {
        spec.check(&capabilities())?;
        process::check_reserved(spec.environment.keys().chain(spec.secret_environment.keys()))?;
        let FunctionCode::Executable(command) = &spec.code else {
            return Err(Error::unsupported("functions that are not executables"));
        };
        let new = NewRecord {
            kind: ResourceKind::Function,
            region: spec.region.clone(),
            name: spec.name.clone(),
            token: token.clone(),
            fingerprint: fingerprint(spec)?,
            tags: spec.tags.clone(),
            uses: Vec::new(),
            status: ResourceStatus::Creating,
            body: FunctionBody {
                command: command.clone(),
                environment: spec.environment.clone(),
                timeout_seconds: spec.timeout_seconds,
                concurrency: spec.concurrency.unwrap_or(DEFAULT_CONCURRENCY),
            },
        };
        let secrets = spec.secret_environment.clone();
        let record = self
            .state
            .locked(move |s| {
                let mut record =
                    match s.begin_finishing(new, |old| process::kill_all(old.id.native(), None))? {
                        Begun::Done(record) => return Ok(record),
                        Begun::New(record) | Begun::Unfinished(record) => record,
                    };
                record.status = ResourceStatus::Running;
                match write_files(s, &record.id, &secrets).and_then(|()| s.write(&record)) {
                    Ok(()) => Ok(record),
                    Err(error) => {
                        s.remove(&record.id)?;
                        Err(error)
                    }
                }
            })
            .await?;
        view(record)
    }

    async fn delete(&self, id: &ResourceId) -> Result<bool> {
        self.state.check_id(id, ResourceKind::Function)?;
        let id = id.clone();
        self.state
            .locked(move |s| {
                let Some(mut record) = s.find::<FunctionBody>(&id)? else {
                    return Ok(false);
                };
                s.check_unused(&id)?;
                s.mark_deleting(&mut record)?;
                process::kill_all(id.native(), None)?;
                s.remove(&id)
            })
            .await
    }

    async fn call(&self, id: &ResourceId, input: &Value, mode: InvokeMode) -> Result<Invocation> {
        self.state.check_id(id, ResourceKind::Function)?;
        if mode == InvokeMode::Queue {
            return Err(Error::unsupported("queued calls of functions"));
        }
        let input = input.to_string();
        if input.len() > MAX_PAYLOAD_BYTES {
            let problem = format!("has {} bytes", input.len());
            return Err(Error::invalid(
                "input",
                problem,
                format_args!("at most {MAX_PAYLOAD_BYTES} bytes of JSON"),
            ));
        }
        let (this, id) = (self.clone(), id.clone());
        let task = tokio::spawn(async move { this.run(&id, input).await });
        task.await.map_err(join_error)?
    }

    async fn run(&self, id: &ResourceId, input: String) -> Result<Invocation> {
        let state = self.state.clone();
        let id = id.clone();
        let started = Instant::now();
        // Under the lock, so that a function that is being deleted or a region that goes down starts nothing more.
        let (record, slot, child) = self
            .state
            .locked(move |s| {
                let record: FunctionRecord = s.read(&id)?;
                if record.status != ResourceStatus::Running {
                    let message = format!("{id} is {}", record.status);
                    return Err(Error::new(ErrorKind::Conflict, message));
                }
                let slot = take_slot(&state, &record)?;
                let child = launch(&state, &record)?;
                Ok((record, slot, child))
            })
            .await?;
        let limit = Duration::from_secs(u64::from(record.body.timeout_seconds));
        let outcome = converse(child, input, limit).await;
        drop(slot);
        // A region that went down meanwhile took the call with it.
        self.state.check_up(&record.id.region).map_err(|e| e.with_effect(Effect::Unknown))?;
        let Some(outcome) = outcome? else {
            let message = format!("the function '{}' did not end within {limit:?}", record.name);
            return Err(
                Error::new(ErrorKind::Timeout, message).with_resource(record.id.to_string())
            );
        };
        Ok(outcome.into_invocation(started.elapsed()))
    }
}

/// Takes one of the files that stand for the calls that may run at once.
fn take_slot(state: &State, record: &FunctionRecord) -> Result<File> {
    let folder = state.data_dir(&record.id)?.join("slots");
    for i in 0..record.body.concurrency {
        let path = folder.join(i.to_string());
        let slot = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(io_error("open", &path))?;
        match slot.try_lock() {
            Ok(()) => return Ok(slot),
            Err(std::fs::TryLockError::WouldBlock) => {}
            Err(std::fs::TryLockError::Error(error)) => return Err(io_error("lock", &path)(error)),
        }
    }
    let message = format!("{} calls of '{}' run already", record.body.concurrency, record.name);
    Err(Error::new(ErrorKind::RateLimited, message)
        .with_scope(Scope::Resource)
        .with_retry(Retry::Backoff))
}

fn launch(state: &State, record: &FunctionRecord) -> Result<Box<dyn ChildWrapper>> {
    let folder = state.data_dir(&record.id)?;
    let mut environment = record.body.environment.clone();
    let secrets = read_json::<BTreeMap<String, String>>(&folder.join("secrets.json"))?;
    environment.extend(secrets.unwrap_or_default());
    Launch {
        native: record.id.native(),
        command: &record.body.command,
        environment,
        home: &folder.join("home"),
        stdin: Stdio::piped(),
        stdout: Stdio::piped(),
        stderr: Stdio::piped(),
    }
    .spawn()
}

/// What a call did, before it is judged.
struct Outcome {
    status: std::process::ExitStatus,
    stdout: Captured,
    stderr: Captured,
}

/// Writes the input, reads the output, waits for the end; `None` if that took too long.
async fn converse(
    mut child: Box<dyn ChildWrapper>,
    input: String,
    limit: Duration,
) -> Result<Option<Outcome>> {
    let leader = child.id().and_then(Identity::of);
    let (stdin, stdout, stderr) =
        (child.stdin().take(), child.stdout().take(), child.stderr().take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A function need not read its input.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
    };
    let mut child = child.into_inner();
    let end = async {
        let ended = tokio::time::timeout(limit, child.wait()).await;
        if let Some(leader) = &leader {
            process::signal_group(leader, Signal::KILL);
            // What it left running would hold the pipes open, and is not to outlive the call.
            process::kill_orphans(leader);
        }
        match ended {
            Ok(status) => status.map(Some),
            Err(_) => child.wait().await.map(|_| None),
        }
    };
    let talk = async {
        tokio::join!(
            write,
            Captured::head(stdout, MAX_PAYLOAD_BYTES),
            Captured::tail(stderr, STDERR_BYTES)
        )
    };
    tokio::pin!(end, talk);
    let mut said = None;
    let status = loop {
        tokio::select! {
            status = &mut end => break status?,
            all = &mut talk, if said.is_none() => said = Some(all),
        }
    };
    let Some(status) = status else {
        return Ok(None);
    };
    let said = match said {
        Some(said) => Some(said),
        None => tokio::time::timeout(LAST_WORDS, talk).await.ok(),
    };
    let Some(((), stdout, stderr)) = said else {
        return Err(Error::new(
            ErrorKind::Conflict,
            "a process that the function started left its session and keeps its output open",
        )
        .with_effect(Effect::Done));
    };
    Ok(Some(Outcome { status, stdout: stdout?, stderr: stderr? }))
}

/// A part of a stream that was read to its end.
struct Captured {
    bytes: Vec<u8>,
    cut: bool,
}

impl Captured {
    async fn read(
        stream: Option<impl AsyncRead + Unpin>,
        keep: impl Fn(&mut Vec<u8>) -> bool,
    ) -> std::io::Result<Self> {
        let mut captured = Self { bytes: Vec::new(), cut: false };
        let Some(mut stream) = stream else {
            return Ok(captured);
        };
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let n = stream.read(&mut buffer).await?;
            if n == 0 {
                return Ok(captured);
            }
            captured.bytes.extend_from_slice(&buffer[..n]);
            captured.cut |= keep(&mut captured.bytes);
        }
    }

    async fn head(stream: Option<impl AsyncRead + Unpin>, most: usize) -> std::io::Result<Self> {
        let keep = |bytes: &mut Vec<u8>| {
            let cut = bytes.len() > most;
            bytes.truncate(most);
            cut
        };
        Self::read(stream, keep).await
    }

    async fn tail(stream: Option<impl AsyncRead + Unpin>, most: usize) -> std::io::Result<Self> {
        let keep = |bytes: &mut Vec<u8>| {
            let more = bytes.len().saturating_sub(most);
            bytes.drain(..more);
            more > 0
        };
        Self::read(stream, keep).await
    }
}

impl Outcome {
    fn into_invocation(self, duration: Duration) -> Invocation {
        let result = self.judge();
        Invocation {
            request_id: uuid::Uuid::now_v7().to_string(),
            error: result.as_ref().err().cloned(),
            output: result.ok(),
            duration: Some(duration),
        }
    }

    fn judge(self) -> Result<Value, String> {
        if !self.status.success() {
            let stderr = String::from_utf8_lossy(&self.stderr.bytes);
            let stderr = stderr.trim();
            return Err(match stderr {
                "" => self.status.to_string(),
                text => format!("{}: {text}", self.status),
            });
        }
        if self.stdout.cut {
            return Err(format!("its output is larger than {MAX_PAYLOAD_BYTES} bytes"));
        }
        if self.stdout.bytes.trim_ascii().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.stdout.bytes)
            .map_err(|e| format!("its output is not JSON: {e}"))
    }
}

#[async_trait]
impl Functions for LocalFunctions {
    async fn create_function(&self, spec: &FunctionSpec, token: &ClientToken) -> Result<Function> {
        let made = self.create(spec, token).await;
        made.map_err(self.state.in_call("functions.create_function"))
    }

    async fn get_function(&self, id: &ResourceId) -> Result<Function> {
        let got = async {
            self.state.check_id(id, ResourceKind::Function)?;
            view(self.state.get(id).await?)
        };
        got.await.map_err(self.state.in_call("functions.get_function"))
    }

    async fn list_functions_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Function>> {
        let listed = self.state.list_page(ResourceKind::Function, query, page, view).await;
        listed.map_err(self.state.in_call("functions.list_functions"))
    }

    async fn delete_function(&self, id: &ResourceId) -> Result<bool> {
        let deleted = self.delete(id).await;
        deleted.map_err(self.state.in_call("functions.delete_function"))
    }

    async fn invoke(&self, id: &ResourceId, input: &Value, mode: InvokeMode) -> Result<Invocation> {
        let called = self.call(id, input, mode).await;
        called.map_err(self.state.in_call("functions.invoke"))
    }
}
