//! `Compute`: an instance is a process of this machine, supervised through its record.
//!
//! Its folder holds `home` (working directory and HOME), `console.log`, `user-data` and, for secrets that were given by
//! value, `secrets.json`. Secrets given by reference are resolved again at every start and never written.
//!
//! Its environment is what the spec says, its ports, `PATH`, `LANG`, `HOME`, and `MULTICLOUD_USER_DATA` (the path of
//! `user-data`, if there is any). A process lives on when this one ends. What it allocates is limited to its type's
//! memory on Linux (`RLIMIT_DATA`, for each process). `console.log` is kept below some 16 MiB by the process that started
//! the instance, while that lives, and whenever the console is asked for. `image`, `public_ip` and `ssh_key` have no meaning here.

mod console;
mod ports;
pub(crate) mod process;
pub(crate) mod types;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use cloud_core::{
    ByteSize, ClientToken, Compute, ComputeCapabilities, Error, ErrorKind, Instance, InstanceSpec,
    InstanceType, ListQuery, Page, PageRequest, Quota, Region, ResourceId, ResourceKind,
    ResourceStatus, ResourceType, Result, SecretRef, secret::ExposeSecret,
};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::{
    config::LocalConfig,
    error::{io_error, join_error},
    listing::page_of,
    network,
    provider::compute_capabilities,
    state::{Locked, NewRecord, Record, State, fingerprint, make_dir, read_json, write_json},
};
use process::{Identity, Launch};

/// How long a stopped process may take to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// How often the length of a console is looked at.
const CONSOLE_LOOK: Duration = Duration::from_secs(10);

/// What an instance has beyond what every record has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct InstanceBody {
    /// Without the secrets that were given by value.
    spec: InstanceSpec,
    instance_type: String,
    pub(crate) vcpu: u32,
    pub(crate) memory: ByteSize,
    ports: BTreeMap<String, u16>,
    pub(crate) process: Option<Identity>,
    /// How the process ended, once its parent has seen it.
    exit: Option<String>,
}

type InstanceRecord = Record<InstanceBody>;

#[derive(Clone, Debug)]
pub(crate) struct LocalCompute {
    state: Arc<State>,
    can: ComputeCapabilities,
    max_instances: u32,
    max_vcpu: u32,
}

impl LocalCompute {
    pub(crate) fn new(state: &Arc<State>, config: &LocalConfig) -> Self {
        Self {
            state: state.clone(),
            can: compute_capabilities(config),
            max_instances: config.max_instances,
            max_vcpu: config.max_vcpu,
        }
    }

    pub(crate) async fn quotas(&self, region: &Region) -> Result<Vec<Quota>> {
        let (this, region) = (self.clone(), region.clone());
        self.state.locked(move |s| this.usage(s, &region)).await
    }

    fn usage(&self, s: &Locked<'_>, region: &Region) -> Result<Vec<Quota>> {
        let instances = s.all::<InstanceBody>(ResourceKind::Instance, region)?;
        let vcpu = instances.iter().map(|r| u64::from(r.body.vcpu)).sum();
        let quota = |name: &str, limit: u32, used: u64| Quota {
            name: name.to_owned(),
            resource_type: ResourceType::Compute,
            region: Some(region.clone()),
            limit: u64::from(limit),
            used: Some(used),
        };
        Ok(vec![
            quota(Quota::INSTANCES, self.max_instances, instances.len() as u64),
            quota(Quota::VCPU, self.max_vcpu, vcpu),
        ])
    }

    /// Refuses what the spec alone rules out.
    fn check(&self, spec: &InstanceSpec) -> Result<InstanceType> {
        spec.check(&self.can)?;
        if spec.command.is_empty() {
            return Err(process::no_command());
        }
        let variables = spec.environment.keys();
        process::check_reserved(
            variables.chain(spec.secret_environment.keys()).chain(spec.ports.keys()),
        )?;
        let region = self.state.region(&spec.region)?;
        if let Some(zone) = &spec.zone
            && !region.zones.contains(zone)
        {
            let zones: Vec<_> = region.zones.iter().map(|z| z.as_str()).collect();
            return Err(Error::invalid("zone", format_args!("is '{zone}'"), zones.join(", ")));
        }
        for used in spec.network.iter().chain(&spec.firewalls) {
            if used.region != spec.region {
                let problem = format!("{used} is in another region");
                return Err(Error::invalid(
                    "network or firewall",
                    problem,
                    format_args!("one in {}", spec.region),
                ));
            }
        }
        types::resolve(&spec.size, &spec.region)
    }

    fn check_quota(&self, s: &Locked<'_>, region: &Region, more_vcpu: u32) -> Result<()> {
        for quota in self.usage(s, region)? {
            let more = if quota.name == Quota::VCPU { u64::from(more_vcpu) } else { 1 };
            if quota.available().is_some_and(|left| left < more) {
                let message = format!(
                    "{} of {} {} are in use in {region}, and {more} more asked for",
                    quota.used.unwrap_or_default(),
                    quota.limit,
                    quota.name
                );
                return Err(Error::new(ErrorKind::QuotaExceeded, message));
            }
        }
        Ok(())
    }

    async fn create(&self, spec: &InstanceSpec, token: &ClientToken) -> Result<Instance> {
        let resolved = self.check(spec)?;
        let zones = &self.state.region(&spec.region)?.zones;
        let mut kept = spec.clone();
        kept.zone = kept.zone.or_else(|| zones.first().cloned());
        kept.secret_environment.retain(|_, secret| !matches!(secret, SecretRef::Value(_)));
        let new = new_record(spec, token, kept, resolved)?;
        let (this, spec) = (self.clone(), spec.clone());
        let record = self.state.locked(move |s| this.create_locked(s, &spec, new)).await?;
        view(record)
    }

    fn create_locked(
        &self,
        s: &Locked<'_>,
        spec: &InstanceSpec,
        mut new: NewRecord<InstanceBody>,
    ) -> Result<InstanceRecord> {
        let mut record = match s.lookup_finishing(&new, kill)? {
            Some(made) if made.status != ResourceStatus::Creating => return Ok(made),
            Some(unfinished) => {
                kill(&unfinished)?;
                unfinished
            }
            None => {
                self.check_quota(s, &spec.region, new.body.vcpu)?;
                network::check_subnet(s, spec.network.as_ref(), spec.subnet.as_deref())?;
                new.body.ports = ports::choose(s, &spec.ports)?;
                s.insert(new)?
            }
        };
        let started = resolve(&spec.secret_environment).and_then(|secrets| {
            write_files(s, &record, spec)?;
            self.start(s, &mut record, secrets)
        });
        let Err(error) = started else {
            return Ok(record);
        };
        kill(&record)?;
        s.remove(&record.id)?;
        Err(error)
    }

    /// Starts the process of a record, of which nothing runs, and records it.
    fn start(
        &self,
        s: &Locked<'_>,
        record: &mut InstanceRecord,
        secrets: BTreeMap<String, String>,
    ) -> Result<()> {
        let native = record.id.native().to_owned();
        let folder = s.state().data_dir(&record.id)?;
        let mut environment = record.body.spec.environment.clone();
        environment.extend(secrets);
        environment
            .extend(record.body.ports.iter().map(|(name, port)| (name.clone(), port.to_string())));
        if record.body.spec.user_data.is_some() {
            let path = folder.join("user-data").to_string_lossy().into_owned();
            environment.insert("MULTICLOUD_USER_DATA".into(), path);
        }
        let console = console::open(&folder)?;
        console::trim(&folder.join("console.log"))?;
        let stderr = console.try_clone().map_err(io_error("open", &folder))?;
        let child = Launch {
            native: &native,
            command: &record.body.spec.command,
            environment,
            home: &folder.join("home"),
            stdin: Stdio::null(),
            stdout: console.into(),
            stderr: stderr.into(),
        }
        .spawn()?;
        let identity = child.id().and_then(Identity::of).ok_or_else(|| {
            Error::new(ErrorKind::Internal, "the process was gone before it could be recorded")
        })?;
        process::limit_memory(identity.pid, record.body.memory.bytes())?;
        record.body.process = Some(identity.clone());
        record.body.exit = None;
        record.status = ResourceStatus::Running;
        s.write(record)?;
        tokio::spawn(watch(self.state.clone(), record.id.clone(), identity, child));
        Ok(())
    }

    async fn begin_stop(&self, id: &ResourceId, reboot: bool) -> Result<Option<Identity>> {
        let id = id.clone();
        self.state
            .locked(move |s| {
                let mut record: InstanceRecord = s.read(&id)?;
                let status = status(&record).0;
                match status {
                    ResourceStatus::Running | ResourceStatus::Stopping => {}
                    ResourceStatus::Stopped | ResourceStatus::Failed if !reboot => {}
                    other => return Err(in_state(&id, other)),
                }
                if record.status == ResourceStatus::Stopped {
                    return Ok(None);
                }
                record.status = ResourceStatus::Stopping;
                s.write(&record)?;
                if let Some(leader) = &record.body.process {
                    process::signal_group(leader, Signal::TERM);
                }
                Ok(record.body.process)
            })
            .await
    }

    /// Waits for what was asked to end, ends it if it does not, and records that it has.
    async fn stop(&self, id: &ResourceId, reboot: bool) -> Result<()> {
        let leader = self.begin_stop(id, reboot).await?;
        if let Some(leader) = leader.clone() {
            self.state.blocking(move || wait_for_end(&leader, GRACE)).await?;
        }
        let id = id.clone();
        let this = self.clone();
        self.state
            .locked(move |s| {
                let mut record: InstanceRecord = s.read(&id)?;
                if record.status != ResourceStatus::Stopping {
                    return Ok(());
                }
                kill(&record)?;
                record.status = ResourceStatus::Stopped;
                s.write(&record)?;
                if reboot {
                    this.start_again(s, record)?;
                }
                Ok(())
            })
            .await
    }

    fn start_again(&self, s: &Locked<'_>, mut record: InstanceRecord) -> Result<()> {
        kill(&record)?;
        let mut secrets = resolve(&record.body.spec.secret_environment)?;
        let by_value = s.state().data_dir(&record.id)?.join("secrets.json");
        secrets.extend(read_json::<BTreeMap<String, String>>(&by_value)?.unwrap_or_default());
        self.start(s, &mut record, secrets)
    }

    async fn delete(&self, id: &ResourceId) -> Result<bool> {
        self.state.check_id(id, ResourceKind::Instance)?;
        let id = id.clone();
        self.state
            .locked(move |s| {
                let Some(mut record) = s.find::<InstanceBody>(&id)? else {
                    return Ok(false);
                };
                s.check_unused(&id)?;
                s.mark_deleting(&mut record)?;
                kill(&record)?;
                s.remove(&id)
            })
            .await
    }
}

fn kill(record: &InstanceRecord) -> Result<()> {
    process::kill_all(record.id.native(), record.body.process.as_ref())
}

fn new_record(
    spec: &InstanceSpec,
    token: &ClientToken,
    kept: InstanceSpec,
    resolved: InstanceType,
) -> Result<NewRecord<InstanceBody>> {
    Ok(NewRecord {
        kind: ResourceKind::Instance,
        region: spec.region.clone(),
        name: spec.name.clone(),
        token: token.clone(),
        fingerprint: fingerprint(spec)?,
        tags: spec.tags.clone(),
        uses: spec.network.iter().chain(&spec.firewalls).cloned().collect(),
        status: ResourceStatus::Creating,
        body: InstanceBody {
            spec: kept,
            instance_type: resolved.name,
            vcpu: resolved.vcpu,
            memory: resolved.memory,
            ports: BTreeMap::new(),
            process: None,
            exit: None,
        },
    })
}

fn resolve(secrets: &BTreeMap<String, SecretRef>) -> Result<BTreeMap<String, String>> {
    secrets
        .iter()
        .map(|(name, secret)| Ok((name.clone(), secret.resolve()?.expose_secret().to_owned())))
        .collect()
}

/// What the process finds in its folder, and what a later start needs.
fn write_files(s: &Locked<'_>, record: &InstanceRecord, spec: &InstanceSpec) -> Result<()> {
    let folder = s.state().data_dir(&record.id)?;
    make_dir(&folder.join("home"))?;
    let by_value: BTreeMap<_, _> = spec
        .secret_environment
        .iter()
        .filter_map(|(name, secret)| match secret {
            SecretRef::Value(value) => Some((name, value.expose_secret())),
            _ => None,
        })
        .collect();
    if !by_value.is_empty() {
        write_json(&s.state().tmp(), &folder.join("secrets.json"), &by_value)?;
    }
    let Some(data) = &spec.user_data else {
        return Ok(());
    };
    let path = folder.join("user-data");
    std::fs::write(&path, data).map_err(io_error("write", &path))
}

/// Keeps the console short, reaps the process and records how it ended.
async fn watch(
    state: Arc<State>,
    id: ResourceId,
    identity: Identity,
    child: Box<dyn process_wrap::tokio::ChildWrapper>,
) {
    let mut child = child.into_inner();
    let console = state.data_dir(&id).map(|folder| folder.join("console.log"));
    let mut look = tokio::time::interval(CONSOLE_LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ended = child.wait();
    let exit = loop {
        tokio::select! {
            biased;
            exit = &mut ended => break exit,
            _ = look.tick() => {}
        }
        if let Ok(path) = console.clone()
            && let Err(error) = state.blocking(move || console::trim(&path)).await
        {
            tracing::debug!(%error, "a console was not cut");
        }
    };
    let exit = match exit {
        Ok(status) => status.to_string(),
        Err(error) => format!("its exit could not be read: {error}"),
    };
    let recorded = state.locked_while_down(move |s| {
        if let Some(mut record) = s.find::<InstanceBody>(&id)?
            && record.body.process.as_ref() == Some(&identity)
        {
            record.body.exit = Some(exit);
            s.write(&record)?;
        }
        Ok(())
    });
    if let Err(error) = recorded.await {
        tracing::debug!(%error, "an instance's exit was not recorded");
    }
}

/// Waits until a process has ended or its time is up.
fn wait_for_end(leader: &Identity, grace: Duration) -> Result<()> {
    let deadline = Instant::now() + grace;
    while leader.is_alive() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn in_state(id: &ResourceId, status: ResourceStatus) -> Error {
    Error::new(ErrorKind::Conflict, format!("{id} is {status}")).with_resource(id.to_string())
}

/// What the record says, corrected by what is true of the process now.
fn status(record: &InstanceRecord) -> (ResourceStatus, Option<String>) {
    let alive = record.body.process.as_ref().is_some_and(Identity::is_alive);
    match record.status {
        ResourceStatus::Running if !alive => {
            let reason = match &record.body.exit {
                Some(exit) => format!("the process ended: {exit}"),
                None => "the process is gone; how it ended was not seen".into(),
            };
            (ResourceStatus::Failed, Some(reason))
        }
        ResourceStatus::Stopping if !alive => (ResourceStatus::Stopped, None),
        other => (other, None),
    }
}

fn view(record: InstanceRecord) -> Result<Instance> {
    let (status, status_reason) = status(&record);
    Ok(Instance {
        id: record.id,
        name: record.name,
        status,
        provider_status: match status {
            ResourceStatus::Failed => "exited".into(),
            other => other.as_str().into(),
        },
        status_reason,
        zone: record.body.spec.zone,
        instance_type: record.body.instance_type,
        addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        ports: record.body.ports,
        tags: record.tags,
        created_at: Some(record.created_at),
    })
}

/// Kills the instances of a region without warning.
pub(crate) fn kill_region(s: &Locked<'_>, region: &Region) -> Result<()> {
    for record in s.all::<InstanceBody>(ResourceKind::Instance, region)? {
        kill(&record)?;
    }
    Ok(())
}

#[async_trait]
impl Compute for LocalCompute {
    async fn create_instance(&self, spec: &InstanceSpec, token: &ClientToken) -> Result<Instance> {
        let made = self.create(spec, token).await;
        made.map_err(self.state.in_call("compute.create_instance"))
    }

    async fn get_instance(&self, id: &ResourceId) -> Result<Instance> {
        let got = async {
            self.state.check_id(id, ResourceKind::Instance)?;
            view(self.state.get(id).await?)
        };
        got.await.map_err(self.state.in_call("compute.get_instance"))
    }

    async fn list_instances_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Instance>> {
        let listed = self.state.list_page(ResourceKind::Instance, query, page, view).await;
        listed.map_err(self.state.in_call("compute.list_instances"))
    }

    async fn delete_instance(&self, id: &ResourceId) -> Result<bool> {
        let deleted = self.delete(id).await;
        deleted.map_err(self.state.in_call("compute.delete_instance"))
    }

    async fn start_instance(&self, id: &ResourceId) -> Result<()> {
        let started = async {
            self.state.check_id(id, ResourceKind::Instance)?;
            let (this, id) = (self.clone(), id.clone());
            let start = move |s: &Locked<'_>| {
                let record: InstanceRecord = s.read(&id)?;
                match status(&record).0 {
                    ResourceStatus::Running => Ok(()),
                    ResourceStatus::Stopped | ResourceStatus::Failed => this.start_again(s, record),
                    other => Err(in_state(&id, other)),
                }
            };
            self.state.locked(start).await
        };
        started.await.map_err(self.state.in_call("compute.start_instance"))
    }

    async fn stop_instance(&self, id: &ResourceId) -> Result<()> {
        let stopped = self.stop_detached(id, false).await;
        stopped.map_err(self.state.in_call("compute.stop_instance"))
    }

    async fn reboot_instance(&self, id: &ResourceId) -> Result<()> {
        let rebooted = self.stop_detached(id, true).await;
        rebooted.map_err(self.state.in_call("compute.reboot_instance"))
    }

    async fn console_output(&self, id: &ResourceId) -> Result<Bytes> {
        let read = async {
            self.state.check_id(id, ResourceKind::Instance)?;
            let record: InstanceRecord = self.state.get(id).await?;
            let path = self.state.data_dir(&record.id)?.join("console.log");
            let tail = move || {
                console::trim(&path)?;
                console::tail(&path)
            };
            self.state.blocking(tail).await
        };
        read.await.map_err(self.state.in_call("compute.console_output"))
    }

    async fn list_instance_types_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<InstanceType>> {
        let listed = self.types_page(query, page);
        listed.map_err(self.state.in_call("compute.list_instance_types"))
    }
}

impl LocalCompute {
    /// Stops in a task of its own, so that dropping the call does not leave the stop half done.
    async fn stop_detached(&self, id: &ResourceId, reboot: bool) -> Result<()> {
        self.state.check_id(id, ResourceKind::Instance)?;
        let (this, id) = (self.clone(), id.clone());
        let task = tokio::spawn(async move { this.stop(&id, reboot).await });
        task.await.map_err(join_error)?
    }

    fn types_page(&self, query: &ListQuery, page: &PageRequest) -> Result<Page<InstanceType>> {
        let regions = match &query.region {
            Some(region) => vec![region.clone()],
            None => self.state.regions().iter().map(|r| r.name.clone()).collect(),
        };
        regions.iter().try_for_each(|region| self.state.check_up(region))?;
        let all: Vec<InstanceType> = regions
            .iter()
            .flat_map(types::in_region)
            .filter(|t| query.name.as_ref().is_none_or(|name| *name == t.name))
            .collect();
        page_of(all, page, self.state.max_page_size())
    }
}
