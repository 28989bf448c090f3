//! `Metrics`: measurements of resources, under names and units that are the same on every cloud.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Error, ResourceId, Result, text::names};

/// The normalised metrics. The unit belongs to the name: no conversion is left to the caller.
///
/// ```
/// use cloud_core::MetricName;
/// assert_eq!(MetricName::CpuUtilization.unit(), "percent");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MetricName {
    /// Share of the resource's CPU in use; 100 is all of its vCPUs.
    CpuUtilization,
    /// Share of the resource's memory in use.
    MemoryUtilization,
    /// Memory in use.
    MemoryBytes,
    /// Messages or jobs waiting.
    QueueLength,
    /// Time to answer a request.
    ResponseTime,
    /// Requests answered.
    RequestRate,
    /// Requests answered with an error.
    ErrorRate,
    /// Traffic received.
    NetworkIn,
    /// Traffic sent.
    NetworkOut,
    /// How far a replica is behind.
    ReplicationLag,
}

impl MetricName {
    /// The unit of its values.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::CpuUtilization | Self::MemoryUtilization => "percent",
            Self::MemoryBytes => "bytes",
            Self::QueueLength => "count",
            Self::ResponseTime | Self::ReplicationLag => "seconds",
            Self::RequestRate | Self::ErrorRate => "per second",
            Self::NetworkIn | Self::NetworkOut => "bytes per second",
        }
    }
}

names! {
    /// Every metric.
    MetricName as "metric" {
        CpuUtilization => "cpu_utilization",
        MemoryUtilization => "memory_utilization",
        MemoryBytes => "memory_bytes",
        QueueLength => "queue_length",
        ResponseTime => "response_time",
        RequestRate => "request_rate",
        ErrorRate => "error_rate",
        NetworkIn => "network_in",
        NetworkOut => "network_out",
        ReplicationLag => "replication_lag",
    }
}

/// How the measurements of one step become one value.
///
/// ```
/// assert_eq!(cloud_core::Statistic::default(), cloud_core::Statistic::Average);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// The mean.
    #[default]
    Average,
    /// The least.
    Minimum,
    /// The greatest.
    Maximum,
    /// The sum.
    Sum,
}

/// What to measure, of what, when.
///
/// ```
/// # use cloud_core::{MetricName, MetricQuery, ResourceId};
/// let id: ResourceId = "instance/eu-1/web-1".parse().unwrap();
/// let now = "2026-01-01T12:00:00Z".parse().unwrap();
/// let query = MetricQuery::last(id, MetricName::CpuUtilization, std::time::Duration::from_secs(3600), now);
/// assert!(query.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricQuery {
    /// The resource.
    pub resource: ResourceId,
    /// The metric.
    pub metric: MetricName,
    /// From when.
    pub from: Timestamp,
    /// Until when, exclusive.
    pub to: Timestamp,
    /// One value for each such span. A provider may round it up to what it has.
    pub step: Duration,
    /// How the measurements of a step become one value.
    pub statistic: Statistic,
}

impl MetricQuery {
    /// The mean by the minute over the time up to `now`.
    pub fn last(resource: ResourceId, metric: MetricName, span: Duration, now: Timestamp) -> Self {
        let from = jiff::SignedDuration::try_from(span)
            .ok()
            .and_then(|span| now.checked_sub(span).ok())
            .unwrap_or(Timestamp::MIN);
        Self {
            resource,
            metric,
            from,
            to: now,
            step: Duration::from_secs(60),
            statistic: Statistic::Average,
        }
    }

    /// Refuses an empty span, a step of nothing, and more than 100,000 values.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        if self.from >= self.to {
            return Err(Error::invalid("from", format_args!("is {}", self.from), "before 'to'"));
        }
        let steps = self.to.duration_since(self.from).as_secs_f64() / self.step.as_secs_f64();
        if self.step.is_zero() || steps > 100_000.0 {
            let problem = format!("is {:?}", self.step);
            return Err(Error::invalid("step", problem, "at least a 100,000th of the span"));
        }
        Ok(())
    }
}

/// One value.
///
/// ```
/// # use cloud_core::MetricPoint;
/// fn peak(points: &[MetricPoint]) -> f64 { points.iter().map(|p| p.value).fold(0.0, f64::max) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricPoint {
    /// Beginning of the step.
    pub at: Timestamp,
    /// The value, in the metric's unit.
    pub value: f64,
}

/// Metrics. See [the rules that all services share](crate::service).
///
/// ```
/// # use cloud_core::{MetricQuery, Metrics, Result};
/// async fn latest(metrics: &dyn Metrics, query: &MetricQuery) -> Result<Option<f64>> {
///     Ok(metrics.query_metrics(query).await?.last().map(|point| point.value))
/// }
/// ```
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Metrics: Debug + Send + Sync {
    /// The values of a metric, oldest first. Steps without a measurement are absent, not zero.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a resource that never was,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a metric that it does not have, or any.
    async fn query_metrics(&self, query: &MetricQuery) -> Result<Vec<MetricPoint>>;
}
