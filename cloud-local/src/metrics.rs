//! `Metrics`: CPU and memory of an instance and the lag of a database replica, measured when they are asked for.
//!
//! Nothing is kept: a query whose span reaches up to now gets one value, in its last step; any other gets none. Of
//! an instance it takes some 200 ms, because CPU time has to be looked at twice.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cloud_core::{
    Error, MetricName, MetricPoint, MetricQuery, Metrics, ResourceId, ResourceKind, ResourceStatus,
    Result,
};
use jiff::{SignedDuration, Timestamp};
use sysinfo::{MINIMUM_CPU_UPDATE_INTERVAL, Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::{
    compute::{InstanceBody, process},
    database::LocalDatabase,
    state::{Record, State},
};

/// The metrics on offer: those of instances, and that of replicas where there can be any.
pub(crate) fn offered(replicas: bool) -> Vec<MetricName> {
    let of_instances =
        [MetricName::CpuUtilization, MetricName::MemoryUtilization, MetricName::MemoryBytes];
    let of_replicas = replicas.then_some(MetricName::ReplicationLag);
    of_instances.into_iter().chain(of_replicas).collect()
}

/// How far the end of a span may lie back and still mean "now".
const NOW: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct LocalMetrics {
    state: Arc<State>,
    database: Arc<LocalDatabase>,
}

impl LocalMetrics {
    pub(crate) fn new(state: &Arc<State>, database: &Arc<LocalDatabase>) -> Self {
        Self { state: state.clone(), database: database.clone() }
    }

    async fn query(&self, query: &MetricQuery) -> Result<Vec<MetricPoint>> {
        query.validate()?;
        let (id, metric) = (&query.resource, query.metric);
        match (id.kind, metric) {
            (
                ResourceKind::Instance,
                MetricName::CpuUtilization
                | MetricName::MemoryUtilization
                | MetricName::MemoryBytes,
            )
            | (ResourceKind::Database, MetricName::ReplicationLag) => {}
            (kind, _) => {
                return Err(Error::unsupported(format_args!("the metric {metric} of a {kind}")));
            }
        }
        let Some(at) = last_step(query, Timestamp::now()) else {
            self.state.check_up(&id.region)?;
            self.state.get::<serde_json::Value>(id).await?;
            return Ok(Vec::new());
        };
        let value = match id.kind {
            ResourceKind::Database => self.database.replication_lag(id).await?,
            _ => self.of_instance(id, metric).await?,
        };
        Ok(value.map(|value| MetricPoint { at, value }).into_iter().collect())
    }

    async fn of_instance(&self, id: &ResourceId, metric: MetricName) -> Result<Option<f64>> {
        let record = self.record(id).await?;
        let usage = match record.status {
            ResourceStatus::Running => measure(&self.state, &record).await?,
            _ => None,
        };
        Ok(usage.map(|usage| match metric {
            MetricName::CpuUtilization => usage.cpu_percent / f64::from(record.body.vcpu),
            MetricName::MemoryUtilization => {
                100.0 * usage.memory / record.body.memory.bytes() as f64
            }
            _ => usage.memory,
        }))
    }

    async fn record(&self, id: &ResourceId) -> Result<Record<InstanceBody>> {
        self.state.check_up(&id.region)?;
        self.state.get(id).await
    }
}

/// The beginning of the last step of a span that contains now, or ended just before it.
fn last_step(query: &MetricQuery, now: Timestamp) -> Option<Timestamp> {
    let behind = SignedDuration::try_from(NOW).ok()?;
    if now < query.from || now.duration_since(query.to) > behind {
        return None;
    }
    let last = now.min(query.to.checked_sub(SignedDuration::from_nanos(1)).ok()?);
    let step = i128::try_from(query.step.as_nanos()).ok()?;
    let steps = last.duration_since(query.from).as_nanos() / step;
    Timestamp::from_nanosecond(query.from.as_nanosecond() + steps * step).ok()
}

struct Usage {
    /// 100 is one core.
    cpu_percent: f64,
    /// Bytes.
    memory: f64,
}

/// What the processes of an instance use together; `None` if none runs.
async fn measure(state: &State, record: &Record<InstanceBody>) -> Result<Option<Usage>> {
    let (native, leader) = (record.id.native().to_owned(), record.body.process.clone());
    let first = move || {
        let members = process::members(&native, leader.as_ref())?;
        let pids: Vec<Pid> = members.into_iter().map(Pid::from_u32).collect();
        let mut system = System::new().map_err(process::no_processes)?;
        look(&mut system, &pids);
        Ok((system, pids))
    };
    let (mut system, pids) = state.blocking(first).await?;
    tokio::time::sleep(MINIMUM_CPU_UPDATE_INTERVAL).await;
    let again = move || {
        look(&mut system, &pids);
        Ok(system)
    };
    let system = state.blocking(again).await?;
    let processes = system.processes();
    Ok((!processes.is_empty()).then(|| Usage {
        cpu_percent: processes.values().map(|p| f64::from(p.cpu_usage())).sum(),
        memory: processes.values().map(|p| p.memory() as f64).sum(),
    }))
}

fn look(system: &mut System, pids: &[Pid]) {
    let what = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(pids), true, what);
}

#[async_trait]
impl Metrics for LocalMetrics {
    async fn query_metrics(&self, query: &MetricQuery) -> Result<Vec<MetricPoint>> {
        let queried = self.query(query).await;
        queried.map_err(self.state.in_call("metrics.query_metrics"))
    }
}
