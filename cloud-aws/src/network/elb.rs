//! What load balancers and target groups share: names, ARNs, tags.

use std::collections::HashMap;

use aws_sdk_elasticloadbalancingv2::{Client, types::Tag};
use cloud_core::{Error, ErrorKind, Region, Result, Tags};

use crate::{error::reads, tags, tokens::Request};

/// By which the errors of this service are looked up.
pub(super) const SERVICE: &str = "elbv2";

/// The most resources whose tags one call tells.
const TAGS_OF: usize = 20;

/// What AWS says of the names of load balancers and target groups.
pub(super) fn check_name(field: &str, name: &str) -> Result<()> {
    let good = (1..=32).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.starts_with("internal-");
    match good {
        true => Ok(()),
        false => Err(Error::invalid(
            field,
            format_args!("is '{}'", name.escape_debug()),
            "1 to 32 ASCII letters, digits and hyphens, no hyphen at an end, not 'internal-…'",
        )),
    }
}

/// The kinds of ARNs of this service.
#[derive(Clone, Copy)]
pub(super) enum Arn {
    LoadBalancer,
    Listener,
    TargetGroup,
}

impl Arn {
    /// The region that an ARN names. Refuses what is none of this kind.
    pub(super) fn region(self, arn: &str) -> Result<Region> {
        let kind = match self {
            Self::LoadBalancer => "loadbalancer",
            Self::Listener => "listener",
            Self::TargetGroup => "targetgroup",
        };
        let parts: Vec<_> = arn.splitn(6, ':').collect();
        let region = match parts[..] {
            ["arn", _, "elasticloadbalancing", region, _, rest]
                if rest.split('/').next() == Some(kind)
                    && arn.len() <= 256
                    && arn.bytes().all(|b| b.is_ascii_graphic()) =>
            {
                Some(region)
            }
            _ => None,
        };
        region.and_then(|region| region.parse().ok()).ok_or_else(|| {
            let shown: String = arn.chars().take(80).collect();
            let rule = format!("arn:aws:elasticloadbalancing:REGION:ACCOUNT:{kind}/…");
            Error::invalid("arn", format_args!("is '{}'", shown.escape_debug()), rule)
        })
    }
}

pub(super) fn named_tags(name: &str, tags: &Tags, request: &Request) -> Result<Vec<Tag>> {
    let pairs = tags::for_named(name, tags, request)?.into_iter();
    Ok(pairs.map(|(key, value)| Tag::builder().key(key).value(value).build()).collect())
}

fn read(tags: &[Tag]) -> (Tags, Option<String>) {
    let pairs =
        tags.iter().map(|tag| (tag.key().unwrap_or_default(), tag.value().unwrap_or_default()));
    let (_, tags, request) = tags::read_named(pairs);
    (tags, request)
}

/// The tags of one resource, and the one that names its create.
pub(super) async fn tags_of(elb: &Client, arn: &str) -> Result<(Tags, Option<String>)> {
    let answer = elb.describe_tags().resource_arns(arn).send().await.map_err(reads(SERVICE))?;
    let of = answer.tag_descriptions().iter().find(|of| of.resource_arn() == Some(arn));
    Ok(of.map(|of| read(of.tags())).unwrap_or_default())
}

/// The tags of many resources.
pub(super) async fn all_tags(
    elb: &Client,
    arns: impl IntoIterator<Item = &str>,
) -> Result<HashMap<String, Tags>> {
    let arns: Vec<String> = arns.into_iter().map(str::to_owned).collect();
    let mut all = HashMap::new();
    for some in arns.chunks(TAGS_OF) {
        let call = elb.describe_tags().set_resource_arns(Some(some.to_vec()));
        let answer = match call.send().await.map_err(reads(SERVICE)) {
            // One of them was deleted meanwhile: each by itself then.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                for arn in some {
                    match tags_of(elb, arn).await {
                        Ok((tags, _)) => drop(all.insert(arn.clone(), tags)),
                        Err(error) if error.kind() == ErrorKind::NotFound => {}
                        Err(error) => return Err(error),
                    }
                }
                continue;
            }
            answer => answer?,
        };
        for of in answer.tag_descriptions() {
            all.insert(of.resource_arn().unwrap_or_default().to_owned(), read(of.tags()).0);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BALANCER: &str =
        "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/web/50dc";
    const GROUP: &str = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/73e2";

    #[test]
    fn names_that_aws_refuses_are_refused() {
        for name in ["", "a_b", "-a", "a-", "internal-a", "größe", &"x".repeat(33)] {
            assert!(check_name("name", name).is_err(), "{name}");
        }
        assert!(check_name("name", &"x".repeat(32)).is_ok());
    }

    #[test]
    fn an_arn_tells_its_region_and_its_kind() {
        assert_eq!(Arn::LoadBalancer.region(BALANCER).unwrap().as_str(), "us-east-1");
        assert!(Arn::TargetGroup.region(BALANCER).is_err());
        for arn in ["", "../..", "arn:aws:s3:::bucket", &format!("{GROUP}\n")] {
            assert!(Arn::TargetGroup.region(arn).is_err(), "{arn}");
        }
    }
}
