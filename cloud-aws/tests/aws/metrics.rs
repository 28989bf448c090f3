//! Metrics on CloudWatch: what is brought is asked for again, and AWS's own metrics become the portable ones.
//!
//! At ministack: the SDK speaks CBOR with CloudWatch, which moto 5.2.5 does not (cloudwatch/urls.py has `{0}/$` alone).

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_cloudwatch::types::{Dimension, MetricDatum};
use cloud_aws::{AwsMeasurement, AwsMetricQuery};
use cloud_core::{ErrorKind, MetricName, MetricPoint, MetricQuery, Metrics, Statistic};
use jiff::{SignedDuration, Timestamp};

use cloud_rig::{Fault, Kind, Reply, What};

use crate::harness::{Aws, REGIONS, region};

/// An hour ago, at the full hour: whole steps of every size begin there.
fn start() -> Timestamp {
    let second = Timestamp::now().as_second() - 3600;
    Timestamp::from_second(second - second % 3600).unwrap()
}

fn after(start: Timestamp, seconds: i64) -> Timestamp {
    start + SignedDuration::from_secs(seconds)
}

fn dimensions(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// Brings measurements under AWS's own names, as AWS itself does.
async fn bring(
    aws: &Aws,
    namespace: &str,
    metric: &str,
    of: &[(&str, &str)],
    values: &[(Timestamp, f64)],
) {
    let of: Vec<_> =
        of.iter().map(|(k, v)| Dimension::builder().name(*k).value(*v).build()).collect();
    let data = values.iter().map(|(at, value)| {
        let datum = MetricDatum::builder().metric_name(metric).value(*value);
        let at = aws_sdk_cloudwatch::primitives::DateTime::from_secs(at.as_second());
        datum.timestamp(at).set_dimensions(Some(of.clone())).build()
    });
    let client = aws.cloud.cloudwatch(&region(REGIONS[0])).unwrap();
    let request =
        client.put_metric_data().namespace(namespace).set_metric_data(Some(data.collect()));
    request.send().await.unwrap();
}

fn query(resource: &str, metric: MetricName, from: Timestamp, step: u64) -> MetricQuery {
    MetricQuery {
        resource: resource.parse().unwrap(),
        metric,
        from,
        to: after(from, 600),
        step: Duration::from_secs(step),
        statistic: Statistic::Average,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_brought_is_asked_for_by_its_own_name() {
    let Some(aws) = Aws::at(Kind::Ministack).await else { return };
    let (metrics, start) = (aws.cloud.aws_metrics(), start());
    let one = |seconds, value| AwsMeasurement {
        metric: "orders_waiting".into(),
        dimensions: dimensions(&[("shop", "berlin")]),
        at: Some(after(start, seconds)),
        value,
        unit: Some("Count".into()),
    };
    let measured = [one(5, 1.0), one(50, 3.0), one(130, 10.0)];
    metrics.put(&region(REGIONS[0]), "Shop", &measured).await.unwrap();
    let query = |statistic, step| AwsMetricQuery {
        region: region(REGIONS[0]),
        namespace: "Shop".into(),
        metric: "orders_waiting".into(),
        dimensions: dimensions(&[("shop", "berlin")]),
        // Rounded down to a whole step.
        from: after(start, 2),
        to: after(start, 600),
        step: Duration::from_secs(step),
        statistic,
    };
    let point = |seconds, value| MetricPoint { at: after(start, seconds), value };
    let cases = [
        (Statistic::Average, 60, vec![point(0, 2.0), point(120, 10.0)]),
        (Statistic::Maximum, 60, vec![point(0, 3.0), point(120, 10.0)]),
        (Statistic::Minimum, 1, vec![point(0, 1.0), point(120, 10.0)]),
        (Statistic::Sum, 300, vec![point(0, 14.0)]),
    ];
    for (statistic, step, wanted) in cases {
        assert_eq!(metrics.query(&query(statistic, step)).await.unwrap(), wanted, "{statistic:?}");
    }
    let nobody = AwsMetricQuery {
        dimensions: dimensions(&[("shop", "nowhere")]),
        ..query(Statistic::Sum, 60)
    };
    assert!(metrics.query(&nobody).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aws_s_own_metrics_become_the_portable_ones() {
    let Some(aws) = Aws::at(Kind::Ministack).await else { return };
    let (metrics, start) = (aws.cloud.aws_metrics(), start());
    let values =
        [(after(start, 10), 1200.0), (after(start, 40), 1800.0), (after(start, 130), 600.0)];
    let instance = [("InstanceId", "i-0123456789abcdef0")];
    bring(&aws, "AWS/EC2", "NetworkIn", &instance, &values).await;
    bring(&aws, "AWS/EC2", "CPUUtilization", &instance, &[(after(start, 10), 40.0)]).await;
    bring(&aws, "CWAgent", "mem_used_percent", &instance, &[(after(start, 10), 70.0)]).await;
    bring(
        &aws,
        "AWS/Lambda",
        "Duration",
        &[("FunctionName", "echo")],
        &[(after(start, 10), 250.0)],
    )
    .await;
    let bucket = [("BucketName", "assets"), ("FilterId", "EntireBucket")];
    bring(&aws, "AWS/S3", "4xxErrors", &bucket, &[(after(start, 10), 30.0)]).await;
    bring(
        &aws,
        "AWS/S3",
        "5xxErrors",
        &bucket,
        &[(after(start, 10), 60.0), (after(start, 70), 6.0)],
    )
    .await;

    let point = |seconds, value| MetricPoint { at: after(start, seconds), value };
    let i = format!("instance/{}/i-0123456789abcdef0", REGIONS[0]);
    let f = format!("function/{}/echo", REGIONS[0]);
    let b = format!("bucket/{}/assets", REGIONS[0]);
    let cases = [
        (&i, MetricName::NetworkIn, 60, vec![point(0, 50.0), point(120, 10.0)]),
        (&i, MetricName::NetworkIn, 300, vec![point(0, 12.0)]),
        (&i, MetricName::CpuUtilization, 60, vec![point(0, 40.0)]),
        (&i, MetricName::MemoryUtilization, 60, vec![point(0, 70.0)]),
        (&f, MetricName::ResponseTime, 60, vec![point(0, 0.25)]),
        (&b, MetricName::ErrorRate, 60, vec![point(0, 1.5), point(60, 0.1)]),
    ];
    for (resource, metric, step, wanted) in cases {
        let query = query(resource, metric, start, step);
        assert_eq!(metrics.query_metrics(&query).await.unwrap(), wanted, "{metric} of {resource}");
    }
    let mut peak = query(&i, MetricName::NetworkIn, start, 60);
    peak.statistic = Statistic::Maximum;
    assert_eq!(metrics.query_metrics(&peak).await.unwrap_err().kind(), ErrorKind::Unsupported);
    let mut elsewhere = query(&i, MetricName::CpuUtilization, start, 60);
    elsewhere.resource = "instance/no-such-region-1/i-0123456789abcdef0".parse().unwrap();
    let error = metrics.query_metrics(&elsewhere).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.operation()),
        (ErrorKind::InvalidInput, Some("metrics.query_metrics"))
    );
}

/// CBOR, of which this is all that an answer needs: texts, arrays, maps and floats (RFC 8949).
mod cbor {
    fn head(kind: u8, length: usize) -> Vec<u8> {
        let length = u16::try_from(length).unwrap();
        [vec![kind << 5 | 25], length.to_be_bytes().to_vec()].concat()
    }
    pub(super) fn text(text: &str) -> Vec<u8> {
        [head(3, text.len()), text.as_bytes().to_vec()].concat()
    }
    pub(super) fn array(items: &[Vec<u8>]) -> Vec<u8> {
        [head(4, items.len()), items.concat()].concat()
    }
    pub(super) fn map(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let body: Vec<u8> = pairs.iter().flat_map(|(k, v)| [text(k), v.clone()].concat()).collect();
        [head(5, pairs.len()), body].concat()
    }
    pub(super) fn float(value: f64) -> Vec<u8> {
        [vec![0xfb], value.to_be_bytes().to_vec()].concat()
    }
    /// Seconds since 1970, with the tag that says so.
    pub(super) fn time(seconds: i64) -> Vec<u8> {
        #[allow(clippy::cast_precision_loss)]
        [vec![0xc1], float(seconds as f64)].concat()
    }
}

fn page(at: Timestamp, value: f64, status: &str, next: Option<&str>) -> What {
    let result = cbor::map(&[
        ("Id", cbor::text("m")),
        ("StatusCode", cbor::text(status)),
        ("Timestamps", cbor::array(&[cbor::time(at.as_second())])),
        ("Values", cbor::array(&[cbor::float(value)])),
    ]);
    let mut pairs = vec![("MetricDataResults", cbor::array(&[result]))];
    pairs.extend(next.map(|next| ("NextToken", cbor::text(next))));
    let mut reply = Reply::new(200, "application/cbor", cbor::map(&pairs));
    reply.headers.insert("smithy-protocol", "rpc-v2-cbor".parse().unwrap());
    What::answer(reply)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_several_pages_is_put_together_and_half_of_one_is_none() {
    let Some(aws) = Aws::at(Kind::Ministack).await else { return };
    let (metrics, start) = (aws.cloud.aws_metrics(), start());
    let query =
        query("instance/us-east-1/i-0123456789abcdef0", MetricName::CpuUtilization, start, 60);
    let on = |what| Fault::on("monitoring", "GetMetricData", what);
    aws.proxy.inject(on(page(start, 1.0, "PartialData", Some("next"))));
    aws.proxy.inject(on(page(after(start, 60), 2.0, "Complete", None)));
    let points = metrics.query_metrics(&query).await.unwrap();
    assert_eq!(
        points,
        [1.0, 2.0].map(|v| MetricPoint { at: after(start, 60 * (v as i64 - 1)), value: v })
    );
    let sent = aws.proxy.requests();
    assert!(String::from_utf8_lossy(&sent[1].body).contains("next"), "{:?}", sent[1]);
    for (status, kind) in
        [("InternalError", ErrorKind::Unavailable), ("Forbidden", ErrorKind::PermissionDenied)]
    {
        aws.proxy.inject(on(page(start, 1.0, status, None)));
        assert_eq!(metrics.query_metrics(&query).await.unwrap_err().kind(), kind);
    }
    aws.proxy.inject(on(What::throttled()));
    let error = metrics.query_metrics(&query).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited, "{error:?}");
}
