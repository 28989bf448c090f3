//! The vCPUs that count against the account's limit for on-demand instances.

use std::collections::HashMap;

use aws_sdk_ec2::types::{Instance, InstanceType};
use cloud_core::{Region, Result};

use super::{filter, types::Offer};
use crate::{account::Account, error::reads};

/// Whether a type counts as "Standard": its family is one of A, C, D, H, I, M, R, T and Z, each followed by its generation.
fn is_standard(name: &str) -> bool {
    let mut letters = name.chars();
    let family = letters.next().is_some_and(|c| "acdhimrtz".contains(c));
    family && letters.next().is_some_and(|c| c.is_ascii_digit())
        || name.starts_with("im4")
        || name.starts_with("is4")
}

/// The vCPUs that EC2 says an instance has.
fn own(instance: &Instance) -> Option<u64> {
    let options = instance.cpu_options()?;
    let all = options.core_count()?.checked_mul(options.threads_per_core()?)?;
    u64::try_from(all).ok()
}

/// The vCPUs of all running standard instances of a region that are not spot instances.
pub(crate) async fn standard_vcpus(account: &Account, region: &Region) -> Result<u64> {
    let client = account.ec2(region)?;
    let request = client.describe_instances();
    let request = request.filters(filter("instance-state-name", ["pending", "running"]));
    let mut found = request.max_results(1000).into_paginator().items().send();
    let mut used = 0;
    let mut by_type: HashMap<String, u64> = HashMap::new();
    while let Some(reservation) = found.next().await {
        for instance in reservation.map_err(reads("ec2"))?.instances() {
            let name = instance.instance_type().map(|t| t.as_str()).unwrap_or_default();
            if instance.instance_lifecycle().is_some() || !is_standard(name) {
                continue;
            }
            match own(instance) {
                Some(vcpus) => used += vcpus,
                None => *by_type.entry(name.to_owned()).or_default() += 1,
            }
        }
    }
    let names: Vec<_> = by_type.keys().map(|name| InstanceType::from(name.as_str())).collect();
    // As many as EC2 takes in one call.
    for names in names.chunks(100) {
        let request = client.describe_instance_types().set_instance_types(Some(names.to_vec()));
        let answer = request.send().await.map_err(reads("ec2"))?;
        for offer in answer.instance_types().iter().filter_map(Offer::read) {
            used += by_type.get(&offer.name).copied().unwrap_or(0) * u64::from(offer.vcpu);
        }
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_families_are_told_from_the_others() {
        for name in [
            "t3.micro",
            "m7i-flex.large",
            "c6gn.large",
            "a1.large",
            "z1d.large",
            "i4i.large",
            "im4gn.large",
            "is4gen.large",
            "d3en.xlarge",
            "h1.2xlarge",
        ] {
            assert!(is_standard(name), "{name}");
        }
        for name in [
            "g4dn.xlarge",
            "p5.48xlarge",
            "inf2.xlarge",
            "trn1.2xlarge",
            "hpc7g.4xlarge",
            "mac2.metal",
            "u-6tb1.metal",
            "x2idn.16xlarge",
            "f1.2xlarge",
            "dl1.24xlarge",
            "vt1.3xlarge",
            "u7i-12tb.224xlarge",
        ] {
            assert!(!is_standard(name), "{name}");
        }
    }
}
