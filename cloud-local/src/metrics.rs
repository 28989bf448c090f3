//! `Metrics`: CPU and memory of an instance, measured when they are asked for.
//!
//! Nothing is kept: a query whose span reaches up to now gets one value, in its last step; any other gets none. It takes
//! some 200 ms, because CPU time has to be looked at twice.

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
    state::{Record, State},
};

/// How far the end of a span may lie back and still mean "now".
const NOW: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct LocalMetrics {
    state: Arc<State>,
}

impl LocalMetrics {
    pub(crate) fn new(state: &Arc<State>) -> Self {
        Self {
            state: state.clone(),
        }
    }

    async fn query(&self, query: &MetricQuery) -> Result<Vec<MetricPoint>> {
        query.validate()?;
        let known = matches!(
            query.metric,
            MetricName::CpuUtilization | MetricName::MemoryUtilization | MetricName::MemoryBytes
        );
        if query.resource.kind != ResourceKind::Instance || !known {
            let what = format!("the metric {} of a {}", query.metric, query.resource.kind);
            return Err(Error::unsupported(what));
        }
        let record = self.record(&query.resource).await?;
        let Some(at) = last_step(query, Timestamp::now()) else {
            return Ok(Vec::new());
        };
        let usage = match record.status {
            ResourceStatus::Running => measure(&self.state, &record).await?,
            _ => None,
        };
        let value = usage.map(|usage| match query.metric {
            MetricName::CpuUtilization => usage.cpu_percent / f64::from(record.body.vcpu),
            MetricName::MemoryUtilization => {
                100.0 * usage.memory / record.body.memory.bytes() as f64
            }
            _ => usage.memory,
        });
        Ok(value
            .map(|value| MetricPoint { at, value })
            .into_iter()
            .collect())
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
    let what = ProcessRefreshKind::nothing()
        .with_cpu()
        .with_memory()
        .without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(pids), true, what);
}

#[async_trait]
impl Metrics for LocalMetrics {
    async fn query_metrics(&self, query: &MetricQuery) -> Result<Vec<MetricPoint>> {
        let queried = self.query(query).await;
        queried.map_err(self.state.in_call("metrics.query_metrics"))
    }
}
