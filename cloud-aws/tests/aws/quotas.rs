//! Limits: the usual ones from moto, those that an account was granted in the form of AWS's documentation.

use std::sync::Arc;

use cloud_aws::AwsCloud;
use cloud_core::{
    ClientToken, Cloud, CloudId, Compute, Image, InstanceSize, InstanceSpec, Quota, ResourceType,
};
use serde_json::{Value, json};

use cloud_rig::{Fault, Kind, Proxy, Reply, Seen, What};

use crate::harness::{Aws, config, region};

/// A region in which no other test has instances.
const REGION: &str = "us-west-2";

async fn cloud() -> Option<(Proxy, AwsCloud)> {
    let Aws { emulator, proxy, .. } = Aws::at(Kind::Moto).await?;
    let mut config = config(&proxy.url(), emulator.keys());
    config.regions = vec![region(REGION)];
    let cloud = AwsCloud::open(CloudId::new("aws").unwrap(), config).await.unwrap();
    Some((proxy, cloud))
}

/// As in <https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_ListServiceQuotas.html>.
fn quota(service: &str, code: &str, name: &str, value: f64) -> Value {
    json!({
        "ServiceCode": service, "ServiceName": service, "QuotaCode": code, "QuotaName": name, "Value": value,
        "QuotaArn": format!("arn:aws:servicequotas:{REGION}:123456789012:{service}/{code}"),
        "Unit": "None", "Adjustable": true, "GlobalQuota": service == "s3", "QuotaAppliedAtLevel": "ACCOUNT",
    })
}

/// What the account was granted, in two pages for EC2.
fn granted(seen: &Seen) -> Reply {
    let asked: Value = serde_json::from_slice(&seen.body).unwrap();
    let first = asked["NextToken"].is_null();
    let answer = match asked["ServiceCode"].as_str().unwrap() {
        "ec2" if first => json!({
            "Quotas": [quota("ec2", "L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 64.0)],
            "NextToken": "more",
        }),
        "ec2" => {
            json!({"Quotas": [quota("ec2", "L-DB2E81BA", "Running On-Demand G and VT instances", 8.0)]})
        }
        "vpc" => json!({"Quotas": [quota("vpc", "L-F678F1CE", "VPCs per Region", 20.0)]}),
        "s3" => json!({"Quotas": [quota("s3", "L-DC2B2D3D", "General purpose buckets", 10_000.0)]}),
        "rds" => json!({"Quotas": [quota("rds", "L-7B6409FD", "DB instances", 40.0)]}),
        "eks" => json!({"Quotas": [quota("eks", "L-1194D53C", "Clusters", 100.0)]}),
        "lambda" => {
            let mut storage = quota("lambda", "L-2ACBD22F", "Function and layer storage", 75.0);
            storage["Unit"] = "Gigabytes".into();
            json!({"Quotas": [storage, quota("lambda", "L-B99A9384", "Concurrent executions", 1000.0)]})
        }
        _ => json!({"Quotas": []}),
    };
    Reply::new(200, "application/x-amz-json-1.1", answer.to_string())
}

#[tokio::test]
async fn limits_have_portable_names_and_say_what_is_used() {
    let Some((proxy, cloud)) = cloud().await else { return };
    let region = region(REGION);
    // moto has the usual limits of VPC; it does not have this call.
    let granted = What::Answer(Arc::new(granted));
    proxy.inject(Fault::on("servicequotas", "ListServiceQuotas", granted).times(100));

    let compute = cloud.aws_compute();
    let mut made = Vec::new();
    for (kind, spot) in [
        ("t3.medium", false),
        ("t3.medium", false),
        ("m5.xlarge", false),
        ("m5.xlarge", true),
        ("g4dn.xlarge", false),
        ("t3.large", false),
    ] {
        let mut spec = InstanceSpec::new(kind, region.clone());
        spec.size = InstanceSize::Exact(kind.into());
        (spec.image, spec.spot) = (Image::Id("ami-0c000000000000001".into()), spot);
        made.push(compute.create_instance(&spec, &ClientToken::random()).await.unwrap().id);
    }
    // What is stopped does not count.
    compute.stop_instance(&made[5]).await.unwrap();

    let quotas = cloud.quotas(&region).await.unwrap();
    let find = |name: &str| quotas.iter().find(|quota| quota.name == name).unwrap();
    let vcpu = find(Quota::VCPU);
    assert_eq!((vcpu.limit, vcpu.used, vcpu.available()), (64, Some(8), Some(56)));
    assert_eq!((vcpu.region.as_ref(), vcpu.resource_type), (Some(&region), ResourceType::Compute));
    // Granted more than moto's usual 5, of which the default network is one.
    let networks = find(Quota::NETWORKS);
    assert_eq!((networks.limit, networks.resource_type), (20, ResourceType::Network));
    assert!(networks.used >= Some(1));
    let buckets = find(Quota::BUCKETS);
    assert_eq!((buckets.limit, buckets.region.as_ref(), buckets.used), (10_000, None, None));
    assert_eq!((find(Quota::DATABASES).limit, find(Quota::CLUSTERS).limit), (40, 100));
    assert_eq!(find("Running On-Demand G and VT instances").limit, 8);
    assert_eq!(find("Concurrent executions").limit, 1000);
    assert!(!quotas.iter().any(|quota| quota.name == "Function and layer storage"), "a size");
    // Only usual, and only in moto.
    assert_eq!(find("Internet gateways per Region").limit, 5);
    for id in made {
        assert!(compute.delete_instance(&id).await.unwrap());
    }
}

#[tokio::test]
async fn a_limit_that_cannot_be_asked_for_is_an_error_and_not_left_out() {
    let Some((proxy, cloud)) = cloud().await else { return };
    let denied = What::error(400, "AccessDeniedException", "not authorized");
    proxy.inject(Fault::on("servicequotas", "ListServiceQuotas", denied).times(100));
    let error = cloud.quotas(&region(REGION)).await.unwrap_err();
    assert_eq!(error.kind(), cloud_core::ErrorKind::PermissionDenied, "{error:?}");
    assert_eq!(error.operation(), Some("cloud.quotas"));
}
