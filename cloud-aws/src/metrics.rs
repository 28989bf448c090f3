//! Metrics on CloudWatch: the portable names over AWS's own, by one table.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_cloudwatch::types::{
    Dimension, Metric, MetricDataQuery, MetricDatum, MetricStat, ScanBy, StandardUnit, StatusCode,
};
use cloud_core::{
    Error, ErrorKind, MetricName, MetricPoint, MetricQuery, Metrics, MetricsCapabilities, Region,
    ResourceId, ResourceKind, Result, Statistic,
};
use jiff::Timestamp;

use crate::{
    account::Account,
    error::{reads, writes},
    names,
    time::{date_time, timestamp},
};

/// How long CloudWatch keeps measurements: 15 months
/// ([Metrics retention](https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html#metrics-retention)).
const RETENTION: Duration = Duration::from_secs(455 * DAY);
const DAY: u64 = 24 * 3600;

/// The most values that one answer has.
const MOST_VALUES: i32 = 100_800;

/// The most measurements that one request brings.
const MOST_MEASUREMENTS: usize = 1000;

/// How a value of AWS becomes one in the metric's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Convert {
    /// It is in the unit already.
    Same,
    /// From milliseconds.
    Milliseconds,
    /// A total of the step, which becomes a rate; it has no other statistic than the mean.
    PerSecond,
}

/// What a metric is called at AWS.
#[derive(Debug)]
struct Row {
    kind: ResourceKind,
    metric: MetricName,
    namespace: &'static str,
    /// If several, their sum.
    names: &'static [&'static str],
    /// What names the resource.
    dimension: &'static str,
    /// A dimension with a fixed value besides.
    fixed: Option<(&'static str, &'static str)>,
    convert: Convert,
    /// The page that says so.
    source: &'static str,
}

macro_rules! table {
    ($($kind:ident, $metric:ident, $namespace:literal, [$($name:literal),+], $dimension:literal, $fixed:expr, $convert:ident, $source:ident;)*) => {
        /// Every metric that is known.
        const TABLE: &[Row] = &[$(Row {
            kind: ResourceKind::$kind,
            metric: MetricName::$metric,
            namespace: $namespace,
            names: &[$($name),+],
            dimension: $dimension,
            fixed: $fixed,
            convert: Convert::$convert,
            source: $source,
        }),*];
    };
}

const EC2: &str =
    "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/viewing_metrics_with_cloudwatch.html";
const AGENT: &str = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/metrics-collected-by-CloudWatch-agent.html";
const RDS: &str = "https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-metrics.html";
const LAMBDA: &str = "https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html";
const S3: &str = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html";
const EKS: &str = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Container-Insights-metrics-EKS.html";

/// The filter that the console gives the request metrics of a whole bucket.
const WHOLE: Option<(&str, &str)> = Some(("FilterId", "EntireBucket"));

table! {
    Instance, CpuUtilization, "AWS/EC2", ["CPUUtilization"], "InstanceId", None, Same, EC2;
    Instance, NetworkIn, "AWS/EC2", ["NetworkIn"], "InstanceId", None, PerSecond, EC2;
    Instance, NetworkOut, "AWS/EC2", ["NetworkOut"], "InstanceId", None, PerSecond, EC2;
    Instance, MemoryUtilization, "CWAgent", ["mem_used_percent"], "InstanceId", None, Same, AGENT;
    Instance, MemoryBytes, "CWAgent", ["mem_used"], "InstanceId", None, Same, AGENT;
    Database, CpuUtilization, "AWS/RDS", ["CPUUtilization"], "DBInstanceIdentifier", None, Same, RDS;
    Database, NetworkIn, "AWS/RDS", ["NetworkReceiveThroughput"], "DBInstanceIdentifier", None, Same, RDS;
    Database, NetworkOut, "AWS/RDS", ["NetworkTransmitThroughput"], "DBInstanceIdentifier", None, Same, RDS;
    Database, ReplicationLag, "AWS/RDS", ["ReplicaLag"], "DBInstanceIdentifier", None, Same, RDS;
    Function, RequestRate, "AWS/Lambda", ["Invocations"], "FunctionName", None, PerSecond, LAMBDA;
    Function, ErrorRate, "AWS/Lambda", ["Errors"], "FunctionName", None, PerSecond, LAMBDA;
    Function, ResponseTime, "AWS/Lambda", ["Duration"], "FunctionName", None, Milliseconds, LAMBDA;
    Bucket, RequestRate, "AWS/S3", ["AllRequests"], "BucketName", WHOLE, PerSecond, S3;
    Bucket, ErrorRate, "AWS/S3", ["4xxErrors", "5xxErrors"], "BucketName", WHOLE, PerSecond, S3;
    Bucket, ResponseTime, "AWS/S3", ["TotalRequestLatency"], "BucketName", WHOLE, Milliseconds, S3;
    Bucket, NetworkIn, "AWS/S3", ["BytesUploaded"], "BucketName", WHOLE, PerSecond, S3;
    Bucket, NetworkOut, "AWS/S3", ["BytesDownloaded"], "BucketName", WHOLE, PerSecond, S3;
    Cluster, CpuUtilization, "ContainerInsights", ["node_cpu_utilization"], "ClusterName", None, Same, EKS;
    Cluster, MemoryUtilization, "ContainerInsights", ["node_memory_utilization"], "ClusterName", None, Same, EKS;
}

/// [`Metrics`] on CloudWatch, and what only it has: any metric by AWS's own name, and metrics of your own.
///
/// | resource | metrics | what it takes |
/// |---|---|---|
/// | instance | CPU, network | |
/// | instance | memory | the CloudWatch agent, with `aggregation_dimensions` of `["InstanceId"]` |
/// | database | CPU, network, replication lag | |
/// | function | requests, errors, response time | |
/// | bucket | requests, errors, response time, network | request metrics switched on, with the filter id `EntireBucket` |
/// | cluster | CPU, memory (of its nodes) | Container Insights |
///
/// CloudWatch knows no resources, only measurements: a resource that never was has none, and the answer is empty. What is
/// counted, such as bytes and requests, is answered as a rate, which only has a mean.
///
/// Steps are multiples of 60 s, of 300 s for what is older than 15 days, and of 3600 s for what is older than 63; a step is
/// rounded up to that, and the beginning down to a whole step. Measurements are kept for 455 days
/// ([GetMetricData](https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html)).
///
/// ```no_run
/// # use cloud_core::{MetricName, MetricQuery, Metrics, ResourceId, Result};
/// # use cloud_aws::AwsCloud;
/// async fn load(cloud: &AwsCloud, instance: ResourceId) -> Result<Option<f64>> {
///     let hour = std::time::Duration::from_secs(3600);
///     let now = jiff::Timestamp::now();
///     let query = MetricQuery::last(instance, MetricName::CpuUtilization, hour, now);
///     Ok(cloud.aws_metrics().query_metrics(&query).await?.last().map(|point| point.value))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct AwsMetrics {
    account: Arc<Account>,
}

/// A metric by AWS's own names, and when.
///
/// ```
/// # use cloud_aws::AwsMetricQuery;
/// # use cloud_core::{Region, Statistic};
/// let query = AwsMetricQuery {
///     region: Region::new("eu-central-1").unwrap(),
///     namespace: "AWS/SQS".into(),
///     metric: "ApproximateNumberOfMessagesVisible".into(),
///     dimensions: [("QueueName".into(), "orders".into())].into(),
///     from: "2026-01-01T12:00:00Z".parse().unwrap(),
///     to: "2026-01-01T13:00:00Z".parse().unwrap(),
///     step: std::time::Duration::from_secs(300),
///     statistic: Statistic::Maximum,
/// };
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct AwsMetricQuery {
    /// Where it is kept.
    pub region: Region,
    /// Such as `AWS/SQS`.
    pub namespace: String,
    /// Its name.
    pub metric: String,
    /// All of its dimensions: CloudWatch takes each combination for a metric of its own.
    pub dimensions: BTreeMap<String, String>,
    /// From when; rounded down to a whole step.
    pub from: Timestamp,
    /// Until when, exclusive.
    pub to: Timestamp,
    /// One value for each such span; rounded up to what CloudWatch has.
    pub step: Duration,
    /// How the measurements of a step become one value.
    pub statistic: Statistic,
}

/// A measurement of your own.
///
/// ```
/// # use cloud_aws::AwsMeasurement;
/// let waiting = AwsMeasurement {
///     metric: "orders_waiting".into(),
///     dimensions: [("shop".into(), "berlin".into())].into(),
///     at: None,
///     value: 17.0,
///     unit: Some("Count".into()),
/// };
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct AwsMeasurement {
    /// Its name.
    pub metric: String,
    /// What it is of; at most 30. Each combination is a metric of its own, and billed as one.
    pub dimensions: BTreeMap<String, String>,
    /// When it was taken: at most two weeks ago, at most two hours ahead; `None` is when AWS receives it.
    pub at: Option<Timestamp>,
    /// What was measured: a finite number.
    pub value: f64,
    /// One of CloudWatch's units, such as `Bytes`, `Seconds`, `Count/Second`
    /// ([MetricDatum](https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html)).
    pub unit: Option<String>,
}

impl AwsMetrics {
    pub(crate) fn new(account: &Arc<Account>) -> Self {
        Self { account: account.clone() }
    }

    pub(crate) fn capabilities(&self) -> MetricsCapabilities {
        let known = |metric: &MetricName| TABLE.iter().any(|row| row.metric == *metric);
        let metrics = MetricName::ALL.into_iter().filter(known).collect();
        MetricsCapabilities { metrics, retention: RETENTION }
    }

    /// The page on which AWS describes what a portable metric of a kind of resource is taken from; `None` for one that is
    /// not on offer.
    ///
    /// ```
    /// # use cloud_core::{MetricName, ResourceKind};
    /// # use cloud_aws::AwsMetrics;
    /// let page = AwsMetrics::source(ResourceKind::Function, MetricName::RequestRate).unwrap();
    /// assert!(page.starts_with("https://docs.aws.amazon.com/lambda/"));
    /// assert!(AwsMetrics::source(ResourceKind::DnsZone, MetricName::RequestRate).is_none());
    /// ```
    pub fn source(kind: ResourceKind, metric: MetricName) -> Option<&'static str> {
        let row = TABLE.iter().find(|row| row.kind == kind && row.metric == metric);
        row.map(|row| row.source)
    }

    /// The values of any metric, as AWS has them: nothing is converted. Oldest first.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), or any.
    ///
    /// ```no_run
    /// # use cloud_core::Result;
    /// # use cloud_aws::{AwsCloud, AwsMetricQuery};
    /// async fn most(cloud: &AwsCloud, query: &AwsMetricQuery) -> Result<f64> {
    ///     let points = cloud.aws_metrics().query(query).await?;
    ///     Ok(points.iter().map(|point| point.value).fold(0.0, f64::max))
    /// }
    /// ```
    pub async fn query(&self, query: &AwsMetricQuery) -> Result<Vec<MetricPoint>> {
        let asked = self.values(query, statistic(query.statistic), Timestamp::now()).await;
        asked.map(|(points, _)| points).map_err(self.account.in_call("metrics.query"))
    }

    /// Brings measurements of your own: at most 1000, all of them or none. CloudWatch has no client token: repeated, they
    /// count twice.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a namespace of AWS, a value that is no number or an unknown unit; or any.
    ///
    /// ```no_run
    /// # use cloud_core::{Region, Result};
    /// # use cloud_aws::{AwsCloud, AwsMeasurement};
    /// async fn report(cloud: &AwsCloud, waiting: AwsMeasurement) -> Result<()> {
    ///     cloud.aws_metrics().put(&Region::new("eu-central-1")?, "Shop", &[waiting]).await
    /// }
    /// ```
    pub async fn put(
        &self,
        region: &Region,
        namespace: &str,
        measurements: &[AwsMeasurement],
    ) -> Result<()> {
        let put = async {
            let client = self.account.cloudwatch(region)?;
            check_namespace(namespace)?;
            if !(1..=MOST_MEASUREMENTS).contains(&measurements.len()) {
                let problem = format!("has {}", measurements.len());
                let rule = format!("1 to {MOST_MEASUREMENTS}");
                return Err(Error::invalid("measurements", problem, rule));
            }
            let data = measurements.iter().map(datum).collect::<Result<Vec<_>>>()?;
            let request = client.put_metric_data().namespace(namespace).set_metric_data(Some(data));
            request.send().await.map(drop).map_err(writes("cloudwatch"))
        };
        put.await.map_err(self.account.in_call("metrics.put"))
    }

    async fn portable(&self, query: &MetricQuery, now: Timestamp) -> Result<Vec<MetricPoint>> {
        query.validate()?;
        self.account.check_region(&query.resource.region)?;
        let row = row(&query.resource, query.metric)?;
        let stat = match (row.convert, query.statistic) {
            (Convert::PerSecond, Statistic::Average) => "Sum",
            (Convert::PerSecond, other) => {
                let name = format!("{other:?}").to_lowercase();
                return Err(Error::unsupported(format_args!(
                    "the {name} of {}, a rate",
                    query.metric
                ))
                .with_hint("ask for the average"));
            }
            (_, other) => statistic(other),
        };
        let mut sums: BTreeMap<Timestamp, f64> = BTreeMap::new();
        for name in row.names {
            let dimension = (row.dimension.to_owned(), query.resource.native().to_owned());
            let fixed = row.fixed.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let one = AwsMetricQuery {
                region: query.resource.region.clone(),
                namespace: row.namespace.to_owned(),
                metric: (*name).to_owned(),
                dimensions: [dimension].into_iter().chain(fixed).collect(),
                from: query.from,
                to: query.to,
                step: query.step,
                statistic: query.statistic,
            };
            let (points, period) = self.values(&one, stat, now).await?;
            for point in points {
                *sums.entry(point.at).or_default() += match row.convert {
                    Convert::Same => point.value,
                    Convert::Milliseconds => point.value / 1000.0,
                    Convert::PerSecond => point.value / f64::from(period),
                };
            }
        }
        Ok(sums.into_iter().map(|(at, value)| MetricPoint { at, value }).collect())
    }

    /// All values of one metric, and the step in seconds that they have.
    async fn values(
        &self,
        query: &AwsMetricQuery,
        stat: &str,
        now: Timestamp,
    ) -> Result<(Vec<MetricPoint>, i32)> {
        let client = self.account.cloudwatch(&query.region)?;
        if query.from >= query.to {
            return Err(Error::invalid("from", format_args!("is {}", query.from), "before 'to'"));
        }
        let (from, period) = steps(query.from, query.step, now)?;
        let dimensions = query.dimensions.iter();
        let dimensions = dimensions.map(|(k, v)| Dimension::builder().name(k).value(v).build());
        let metric = Metric::builder()
            .namespace(&query.namespace)
            .metric_name(&query.metric)
            .set_dimensions(Some(dimensions.collect()))
            .build();
        let stat = MetricStat::builder().metric(metric).period(period).stat(stat).build();
        let asked = MetricDataQuery::builder().id("m").metric_stat(stat).return_data(true).build();
        let request = client
            .get_metric_data()
            .metric_data_queries(asked)
            .start_time(date_time(from))
            .end_time(date_time(query.to))
            .scan_by(ScanBy::TimestampAscending)
            .max_datapoints(MOST_VALUES);
        let mut points = Vec::new();
        let mut next = None;
        loop {
            let page = request.clone().set_next_token(next).send().await;
            let page = page.map_err(reads("cloudwatch"))?;
            for result in page.metric_data_results.into_iter().flatten() {
                check_status(result.status_code.as_ref())?;
                let times = result.timestamps.unwrap_or_default();
                let values = result.values.unwrap_or_default();
                let pairs = times.iter().zip(values);
                points.extend(
                    pairs.filter_map(|(at, value)| Some(MetricPoint { at: timestamp(at)?, value })),
                );
            }
            match page.next_token.filter(|token| !token.is_empty()) {
                Some(token) => next = Some(token),
                None => break,
            }
        }
        points.sort_by_key(|point| point.at);
        Ok((points, period))
    }
}

#[async_trait]
impl Metrics for AwsMetrics {
    async fn query_metrics(&self, query: &MetricQuery) -> Result<Vec<MetricPoint>> {
        // Of an id that is none, CloudWatch would say that there is no measurement.
        if query.resource.kind == ResourceKind::Instance {
            names::check_instance_id(&query.resource)
                .map_err(self.account.in_call("metrics.query_metrics"))?;
        }
        let asked = self.portable(query, Timestamp::now()).await;
        asked.map_err(self.account.in_call("metrics.query_metrics"))
    }
}

/// A metric of a resource. What the table does not have is refused with what it has.
fn row(resource: &ResourceId, metric: MetricName) -> Result<&'static Row> {
    let of_kind = || TABLE.iter().filter(|row| row.kind == resource.kind);
    of_kind().find(|row| row.metric == metric).ok_or_else(|| {
        let known: Vec<_> = of_kind().map(|row| row.metric.as_str()).collect();
        let error = Error::unsupported(format_args!(
            "{metric} of a resource of the kind {}",
            resource.kind
        ));
        match known.is_empty() {
            true => error.with_hint(format!(
                "CloudWatch has no portable metric of the kind {}",
                resource.kind
            )),
            false => error.with_hint(format!("on offer are {}", known.join(", "))),
        }
    })
}

/// The statistic as CloudWatch names it.
fn statistic(statistic: Statistic) -> &'static str {
    match statistic {
        Statistic::Average => "Average",
        Statistic::Minimum => "Minimum",
        Statistic::Maximum => "Maximum",
        Statistic::Sum => "Sum",
    }
}

/// The beginning, on a whole step, and the step in seconds: as fine as CloudWatch keeps what is so old.
fn steps(from: Timestamp, step: Duration, now: Timestamp) -> Result<(Timestamp, i32)> {
    let age = u64::try_from(now.duration_since(from).as_secs()).unwrap_or(0);
    // Some minutes early: rounded down, and on its way, it may pass the border.
    let margin = 3600;
    let finest = match age + margin {
        age if age < 15 * DAY => 60,
        age if age < 63 * DAY => 300,
        _ => 3600,
    };
    let whole = step.as_secs() + u64::from(step.subsec_nanos() > 0);
    let period = whole.max(1).div_ceil(finest) * finest;
    let period = i32::try_from(period).ok().filter(|period| i64::from(*period) <= DAY as i64);
    let period = period.ok_or_else(|| {
        Error::invalid("step", format_args!("is {step:?}"), "at most a day, CloudWatch's longest")
    })?;
    let second = from.as_second();
    let from = Timestamp::from_second(second - second.rem_euclid(i64::from(period)));
    let from =
        from.map_err(|e| Error::invalid("from", format_args!("is wrong: {e}"), "a later time"))?;
    Ok((from, period))
}

/// An answer that is not whole is none.
fn check_status(status: Option<&StatusCode>) -> Result<()> {
    let (kind, words) = match status {
        Some(StatusCode::InternalError) => (ErrorKind::Unavailable, "CloudWatch failed within"),
        Some(StatusCode::Forbidden) => (ErrorKind::PermissionDenied, "the metric may not be read"),
        // Of partial data the rest is on the next page.
        _ => return Ok(()),
    };
    Err(Error::new(kind, words).with_effect(cloud_core::Effect::None))
}

/// Refuses a namespace that CloudWatch does not take
/// ([PutMetricData](https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html)).
fn check_namespace(namespace: &str) -> Result<()> {
    let good = (1..=255).contains(&namespace.len())
        && !namespace.starts_with("AWS/")
        && !namespace.starts_with(':')
        && namespace.chars().all(|c| c.is_ascii_alphanumeric() || ".-_/#: ".contains(c));
    match good {
        true => Ok(()),
        false => Err(Error::invalid(
            "namespace",
            format_args!("is '{}'", namespace.escape_debug()),
            "1 to 255 ASCII letters, digits, spaces and .-_/#:, not beginning with 'AWS/' or ':'",
        )),
    }
}

fn datum(measurement: &AwsMeasurement) -> Result<MetricDatum> {
    let AwsMeasurement { metric, dimensions, at, value, unit } = measurement;
    if !value.is_finite() {
        return Err(Error::invalid(
            "value",
            format_args!("of {metric} is {value}"),
            "a finite number",
        ));
    }
    if dimensions.len() > 30 {
        let problem = format!("of {metric} are {}", dimensions.len());
        return Err(Error::invalid("dimensions", problem, "at most 30"));
    }
    let known = |unit: &String| StandardUnit::values().contains(&unit.as_str());
    if let Some(unit) = unit.as_ref().filter(|unit| !known(unit)) {
        let units = StandardUnit::values().join(", ");
        return Err(Error::invalid("unit", format_args!("of {metric} is '{unit}'"), units));
    }
    let dimensions = dimensions.iter();
    let dimensions =
        dimensions.map(|(k, v)| Dimension::builder().name(k).value(v).build()).collect();
    Ok(MetricDatum::builder()
        .metric_name(metric)
        .set_dimensions(Some(dimensions))
        .set_timestamp(at.map(date_time))
        .value(*value)
        .set_unit(unit.as_deref().map(StandardUnit::from))
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ResourceId {
        text.parse().unwrap()
    }

    #[test]
    fn every_row_is_there_once_with_its_source() {
        for (i, row) in TABLE.iter().enumerate() {
            assert!(row.source.starts_with("https://docs.aws.amazon.com/"), "{row:?}");
            let again = TABLE[..i].iter().any(|r| r.kind == row.kind && r.metric == row.metric);
            assert!(!again, "{:?} {} comes twice", row.kind, row.metric);
            // A rate becomes one by the step; what is a rate already must not.
            let counted = matches!(row.metric, MetricName::RequestRate | MetricName::ErrorRate);
            assert!(!counted || row.convert == Convert::PerSecond, "{row:?}");
        }
    }

    #[test]
    fn what_is_not_on_offer_is_refused_with_what_is() {
        let error = row(&id("function/eu-1/f"), MetricName::CpuUtilization).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(
            error.to_string().contains("on offer are request_rate, error_rate, response_time"),
            "{error}"
        );
        for metric in MetricName::ALL {
            assert!(row(&id("dns_zone/global/z"), metric).is_err());
        }
        assert!(row(&id("instance/eu-1/i"), MetricName::QueueLength).is_err());
    }

    #[test]
    fn steps_are_as_fine_as_cloudwatch_keeps_them() {
        let now: Timestamp = "2026-06-15T12:00:30Z".parse().unwrap();
        let of = |days: i64, seconds: u64| {
            let from = Timestamp::from_second(now.as_second() - days * DAY as i64).unwrap();
            steps(from, Duration::from_secs(seconds), now).unwrap()
        };
        let (from, period) = of(0, 1);
        assert_eq!((from.to_string().as_str(), period), ("2026-06-15T12:00:00Z", 60));
        assert_eq!(of(1, 61).1, 120);
        assert_eq!((of(14, 60).1, of(15, 60).1, of(62, 301).1), (60, 300, 600));
        assert_eq!((of(63, 60).1, of(400, 3601).1), (3600, 7200));
        assert_eq!(of(400, 60).0.as_second() % 3600, 0);
        assert_eq!(steps(now, Duration::from_millis(60_001), now).unwrap().1, 120);
        assert!(steps(now, Duration::from_secs(2 * DAY), now).is_err());
        // Of what is to come nothing is known yet, but it may be asked for.
        assert_eq!(of(-1, 60).1, 60);
    }

    #[test]
    fn measurements_that_cloudwatch_refuses_are_refused_by_their_rule() {
        for namespace in ["", "AWS/EC2", ":x", "größe", &"x".repeat(256)] {
            assert!(check_namespace(namespace).is_err(), "{namespace}");
        }
        assert!(check_namespace("Shop/Orders #1").is_ok());
        let good = AwsMeasurement {
            metric: "m".into(),
            dimensions: BTreeMap::new(),
            at: None,
            value: 1.0,
            unit: Some("Count".into()),
        };
        assert!(datum(&good).is_ok());
        for value in [f64::NAN, f64::INFINITY] {
            assert!(datum(&AwsMeasurement { value, ..good.clone() }).is_err());
        }
        let unit = AwsMeasurement { unit: Some("Bananas".into()), ..good.clone() };
        assert!(datum(&unit).unwrap_err().to_string().contains("Bytes"));
        let dimensions = (0..31).map(|i| (i.to_string(), "v".to_owned())).collect();
        assert!(datum(&AwsMeasurement { dimensions, ..good }).is_err());
    }
}
