//! Limits of the account, from Service Quotas, with what is in use where EC2 says it.

use std::collections::BTreeMap;

use aws_sdk_servicequotas::types::ServiceQuota;
use aws_smithy_async::future::pagination_stream::PaginationStream;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use cloud_core::{ErrorKind, Quota, Region, ResourceType, Result};
use futures::future::try_join_all;

use crate::{account::Account, error::reads};

/// The services whose limits are asked for, by their codes in Service Quotas.
const SERVICES: [(&str, ResourceType); 7] = [
    ("vpc", ResourceType::Network),
    ("elasticloadbalancing", ResourceType::Network),
    ("s3", ResourceType::Storage),
    ("rds", ResourceType::Database),
    ("ec2", ResourceType::Compute),
    ("eks", ResourceType::Container),
    ("lambda", ResourceType::Serverless),
];

/// "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", counted in vCPUs
/// ([On-Demand Instance quotas](https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html)).
const STANDARD_VCPUS: &str = "L-1216C47A";

/// "VPCs per Region".
const NETWORKS: &str = "L-F678F1CE";

/// The limits that have a name on every cloud
/// ([Service endpoints and quotas](https://docs.aws.amazon.com/general/latest/gr/aws-service-information.html)). AWS limits
/// neither the number of instances (but their vCPUs) nor that of functions (but their storage and concurrency).
const KNOWN: [(&str, &str); 5] = [
    (STANDARD_VCPUS, Quota::VCPU),
    (NETWORKS, Quota::NETWORKS),
    ("L-DC2B2D3D", Quota::BUCKETS),
    ("L-7B6409FD", Quota::DATABASES),
    ("L-1194D53C", Quota::CLUSTERS),
];

/// The limits of a region: those with a name of every cloud by that, all others by AWS's own. What is no number of things (a
/// rate, a size) is left out.
pub(crate) async fn quotas(account: &Account, region: &Region) -> Result<Vec<Quota>> {
    let asked = SERVICES.map(|(service, family)| async move {
        let limits = limits(account, region, service).await?;
        Ok::<_, cloud_core::Error>(limits.into_iter().filter_map(move |(code, quota)| {
            let quota = read(&quota, &code, family, region)?;
            Some((code, quota))
        }))
    });
    let mut quotas: Vec<_> = try_join_all(asked).await?.into_iter().flatten().collect();
    for (code, quota) in &mut quotas {
        quota.used = used(account, region, code).await?;
    }
    Ok(quotas.into_iter().map(|(_, quota)| quota).collect())
}

/// The limits of a service by their codes: what AWS gives everybody, and over it what this account has been granted. A service
/// that the region does not have has none.
async fn limits(
    account: &Account,
    region: &Region,
    service: &str,
) -> Result<BTreeMap<String, ServiceQuota>> {
    let client = account.servicequotas(region)?;
    let usual = client.list_aws_default_service_quotas().service_code(service);
    let usual = collected(usual.into_paginator().items().send()).await?;
    let granted = client.list_service_quotas().service_code(service);
    let granted = collected(granted.into_paginator().items().send()).await?;
    let all = usual.into_iter().chain(granted);
    Ok(all.filter_map(|quota| Some((quota.quota_code()?.to_owned(), quota))).collect())
}

/// All of a listing; none if it is of a service that is not there.
async fn collected<E>(
    mut pages: PaginationStream<Result<ServiceQuota, SdkError<E, HttpResponse>>>,
) -> Result<Vec<ServiceQuota>>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let mut quotas = Vec::new();
    while let Some(quota) = pages.next().await {
        match quota.map_err(reads("service-quotas")) {
            Err(error) if error.kind() == ErrorKind::NotFound => break,
            quota => quotas.push(quota?),
        }
    }
    Ok(quotas)
}

/// `None` for what is no number of things.
fn read(quota: &ServiceQuota, code: &str, family: ResourceType, region: &Region) -> Option<Quota> {
    let value = quota.value()?;
    let counts = quota.unit().is_none_or(|unit| matches!(unit, "None" | "Count" | ""));
    if !counts || quota.period().is_some() || !value.is_finite() || value < 0.0 {
        return None;
    }
    let known = KNOWN.iter().find(|(known, _)| *known == code).map(|(_, name)| *name);
    Some(Quota {
        name: known.or(quota.quota_name()).unwrap_or(code).to_owned(),
        resource_type: family,
        region: (!quota.global_quota()).then(|| region.clone()),
        // Checked to be neither negative nor infinite; what exceeds an integer is no limit.
        limit: value as u64,
        used: None,
    })
}

/// How much is in use, of what EC2 can count.
async fn used(account: &Account, region: &Region, code: &str) -> Result<Option<u64>> {
    let _ = (account, region);
    match code {
        #[cfg(feature = "compute")]
        STANDARD_VCPUS => crate::compute::standard_vcpus(account, region).await.map(Some),
        #[cfg(any(feature = "compute", feature = "network"))]
        NETWORKS => networks(account, region).await.map(Some),
        _ => Ok(None),
    }
}

#[cfg(any(feature = "compute", feature = "network"))]
async fn networks(account: &Account, region: &Region) -> Result<u64> {
    let mut found = account.ec2(region)?.describe_vpcs().into_paginator().items().send();
    let mut count = 0;
    while let Some(network) = found.next().await {
        network.map_err(reads("ec2"))?;
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_counts_is_read_by_its_portable_name_or_its_own() {
        let region = Region::new("eu-central-1").unwrap();
        let quota = |code: &str, value: f64, unit: &str| {
            let quota = ServiceQuota::builder().quota_code(code).quota_name("Its own name");
            let quota = quota.value(value).unit(unit).build();
            read(&quota, code, ResourceType::Compute, &region)
        };
        let vcpu = quota(STANDARD_VCPUS, 32.0, "None").unwrap();
        assert_eq!((vcpu.name.as_str(), vcpu.limit), (Quota::VCPU, 32));
        assert_eq!(vcpu.region, Some(region.clone()));
        assert_eq!(quota("L-0000", 7.9, "None").unwrap().name, "Its own name");
        for (value, unit) in [(-1.0, "None"), (f64::NAN, "None"), (75.0, "Gigabytes")] {
            assert!(quota("L-0000", value, unit).is_none(), "{value} {unit}");
        }
    }
}
