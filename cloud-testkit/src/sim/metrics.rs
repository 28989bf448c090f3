//! `Metrics` of the simulated cloud: what a test recorded, aggregated as asked.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use cloud_core::{
    Error, MetricName, MetricPoint, MetricQuery, Metrics, ResourceId, Result, Statistic,
};
use jiff::{SignedDuration, Timestamp};

use super::{SimCloud, offered};

/// The measurements of all resources.
#[derive(Debug, Default)]
pub(super) struct Samples(HashMap<(ResourceId, MetricName), BTreeMap<Timestamp, f64>>);

impl Samples {
    pub(super) fn record(
        &mut self,
        resource: &ResourceId,
        metric: MetricName,
        at: Timestamp,
        value: f64,
    ) {
        self.0.entry((resource.clone(), metric)).or_default().insert(at, value);
    }

    fn query(&self, query: &MetricQuery) -> Vec<MetricPoint> {
        let Some(samples) = self.0.get(&(query.resource.clone(), query.metric)) else {
            return Vec::new();
        };
        let step =
            SignedDuration::try_from(query.step).unwrap_or(SignedDuration::MAX).as_nanos().max(1);
        let mut steps: BTreeMap<i128, Vec<f64>> = BTreeMap::new();
        for (at, value) in samples.range(query.from..query.to) {
            let number = at.duration_since(query.from).as_nanos() / step;
            steps.entry(number).or_default().push(*value);
        }
        let point = |(number, values): (i128, Vec<f64>)| {
            let offset = SignedDuration::from_nanos_i128(number * step);
            let at = query.from.checked_add(offset).unwrap_or(query.to);
            MetricPoint { at, value: aggregate(&values, query.statistic) }
        };
        steps.into_iter().map(point).collect()
    }
}

fn aggregate(values: &[f64], statistic: Statistic) -> f64 {
    let sum = values.iter().sum::<f64>();
    match statistic {
        Statistic::Average => sum / values.len() as f64,
        Statistic::Minimum => values.iter().copied().fold(f64::INFINITY, f64::min),
        Statistic::Maximum => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Statistic::Sum => sum,
    }
}

#[async_trait]
impl Metrics for SimCloud {
    async fn query_metrics(&self, query: &MetricQuery) -> Result<Vec<MetricPoint>> {
        query.validate()?;
        if !offered!(self, metrics, "metrics")?.metrics.contains(&query.metric) {
            return Err(Error::unsupported(format_args!("the metric {}", query.metric)));
        }
        self.call("metrics.query_metrics", Some(&query.resource.region), |state, _| {
            match state.ever_was(&query.resource) {
                true => Ok(state.samples.query(query)),
                false => Err(Error::not_found(&query.resource)),
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn steps_without_a_measurement_are_absent() {
        let id: ResourceId = "instance/sim-1/i-1".parse().unwrap();
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let at = |s| start + SignedDuration::from_secs(s);
        let mut samples = Samples::default();
        for (second, value) in [(0, 1.0), (30, 3.0), (150, 9.0), (300, 7.0)] {
            samples.record(&id, MetricName::CpuUtilization, at(second), value);
        }
        let mut query =
            MetricQuery::last(id, MetricName::CpuUtilization, Duration::from_secs(300), at(300));
        let points = samples.query(&query);
        assert_eq!(
            points,
            [MetricPoint { at: at(0), value: 2.0 }, MetricPoint { at: at(120), value: 9.0 },]
        );
        query.statistic = Statistic::Maximum;
        assert_eq!(samples.query(&query)[0].value, 3.0);
    }
}
