//! Target groups of load balancers: where requests go, and who is fit for them.

use aws_sdk_elasticloadbalancingv2::{
    Client,
    types::{
        Matcher, TargetDescription, TargetGroup as SdkTargetGroup, TargetHealthDescription,
        TargetHealthStateEnum, TargetTypeEnum,
    },
};
use cloud_core::{
    ClientToken, Error, ErrorKind, Region, ResourceId, ResourceKind, Result, Tags, WaitOptions,
    wait_until,
};
use serde::{Deserialize, Serialize};

use super::{
    AwsNetwork, BalancerProtocol, TargetHealthCheck,
    ec2::{check_id, check_named, deleted, found, may_have, one},
    elb::{Arn, SERVICE, all_tags, check_name, named_tags, tags_of},
};
use crate::{
    error::{absent, has_code, reads, writes},
    tokens::Request,
};

/// What the targets of a group are named by.
///
/// ```
/// # use cloud_aws::TargetKind;
/// assert_eq!(TargetKind::default(), TargetKind::Instance);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// Instances, by AWS's ids.
    #[default]
    Instance,
    /// IP addresses, also of other clouds and places that the network reaches.
    Ip,
}

/// A request for a target group
/// ([CreateTargetGroup](https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateTargetGroup.html)). It costs
/// nothing by itself.
///
/// ```
/// # use cloud_aws::{BalancerProtocol, TargetGroupSpec};
/// let network = "network/us-east-1/vpc-0a1b2c3d".parse().unwrap();
/// let spec = TargetGroupSpec::new("web", network, BalancerProtocol::Http, 8080);
/// assert!(spec.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetGroupSpec {
    /// Its name, of at most 32 letters, digits and hyphens, unique in the region.
    pub name: String,
    /// The network of its targets.
    pub network: ResourceId,
    /// What is spoken with the targets.
    pub protocol: BalancerProtocol,
    /// The port of the targets, where they have none of their own.
    pub port: u16,
    /// What its targets are named by.
    #[serde(default)]
    pub kind: TargetKind,
    /// How its targets are looked at.
    pub health_check: TargetHealthCheck,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

impl TargetGroupSpec {
    /// A group of instances, looked at in the way in which they are spoken with; with TLS and UDP by TCP.
    pub fn new(
        name: impl Into<String>,
        network: ResourceId,
        protocol: BalancerProtocol,
        port: u16,
    ) -> Self {
        let by = if protocol.is_http() { protocol } else { BalancerProtocol::Tcp };
        Self {
            name: name.into(),
            network,
            protocol,
            port,
            kind: TargetKind::default(),
            health_check: TargetHealthCheck::new(by),
            tags: Tags::default(),
        }
    }

    /// Refuses what AWS does not take.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        check_name("target group name", &self.name)?;
        self.network.expect_kind(ResourceKind::Network)?;
        check_id("vpc", self.network.native())?;
        check_named(&self.tags)?;
        if self.port == 0 {
            return Err(Error::invalid("port", "is 0", "1 to 65535"));
        }
        self.health_check.validate().map_err(|e| e.context("health_check"))?;
        if self.protocol.is_http() && !self.health_check.protocol.is_http() {
            let rule = "http or https, as the group is of an application load balancer";
            return Err(Error::invalid("health_check.protocol", "is tcp", rule));
        }
        Ok(())
    }
}

/// A target group, as AWS reports it.
///
/// ```
/// # use cloud_aws::TargetGroup;
/// fn is_used(group: &TargetGroup) -> bool { !group.load_balancers.is_empty() }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetGroup {
    /// AWS's id of it.
    pub arn: String,
    /// Its region.
    pub region: Region,
    /// Its name.
    pub name: String,
    /// What is spoken with the targets; `None` for what is not known here.
    pub protocol: Option<BalancerProtocol>,
    /// The port of the targets.
    pub port: Option<u16>,
    /// The network of its targets.
    pub network: Option<ResourceId>,
    /// The load balancers that send to it.
    pub load_balancers: Vec<String>,
    /// How its targets are looked at; `None` for a check that is not known here.
    pub health_check: Option<TargetHealthCheck>,
    /// Its tags.
    pub tags: Tags,
}

fn view(region: &Region, group: &SdkTargetGroup, tags: Tags) -> Result<TargetGroup> {
    let port = |port: Option<i32>| port.and_then(|port| u16::try_from(port).ok());
    let small = |n: Option<i32>| n.and_then(|n| u8::try_from(n).ok());
    let id = |vpc: &str| ResourceId::new(ResourceKind::Network, region.clone(), vpc);
    let check = || {
        Some(TargetHealthCheck {
            protocol: BalancerProtocol::read(group.health_check_protocol())?,
            port: group.health_check_port().and_then(|port| port.parse().ok()),
            path: group.health_check_path().map(str::to_owned),
            statuses: group.matcher().and_then(|m| m.http_code()).map(str::to_owned),
            interval_seconds: port(group.health_check_interval_seconds())?,
            timeout_seconds: port(group.health_check_timeout_seconds())?,
            healthy_threshold: small(group.healthy_threshold_count())?,
            unhealthy_threshold: small(group.unhealthy_threshold_count())?,
        })
    };
    Ok(TargetGroup {
        arn: group.target_group_arn().ok_or_else(|| absent("TargetGroupArn"))?.to_owned(),
        region: region.clone(),
        name: group.target_group_name().unwrap_or_default().to_owned(),
        protocol: BalancerProtocol::read(group.protocol()),
        port: port(group.port()),
        network: group.vpc_id().map(id).transpose()?,
        load_balancers: group.load_balancer_arns().to_vec(),
        health_check: check(),
        tags,
    })
}

/// A target: an instance or an address.
///
/// ```
/// # use cloud_aws::Target;
/// let target = Target::new("10.0.1.7");
/// assert!(target.port.is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// AWS's id of an instance, or an IP address.
    pub id: String,
    /// Its port; `None` is the group's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl Target {
    /// A target at the port of its group.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), port: None }
    }

    fn sdk(&self) -> TargetDescription {
        let target = TargetDescription::builder().id(&self.id);
        target.set_port(self.port.map(i32::from)).build()
    }
}

fn check_targets(targets: &[Target]) -> Result<()> {
    if targets.is_empty() {
        return Err(Error::invalid("targets", "is empty", "at least one"));
    }
    for (i, target) in targets.iter().enumerate() {
        let known =
            check_id("i", &target.id).is_ok() || target.id.parse::<std::net::IpAddr>().is_ok();
        if !known || target.port == Some(0) {
            let problem = format!("is '{}'", target.id.escape_debug());
            let rule = "i-… or an IP address, and a port from 1";
            return Err(Error::invalid(&format!("targets[{i}]"), problem, rule));
        }
    }
    Ok(())
}

/// Whether a target is fit, as its load balancer sees it.
///
/// ```
/// # use cloud_aws::TargetState;
/// assert_ne!(TargetState::Healthy, TargetState::Initial);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetState {
    /// Registered, and not looked at often enough yet.
    Initial,
    /// Fit.
    Healthy,
    /// Not fit.
    Unhealthy,
    /// Not used: its group has no load balancer, or its zone none.
    Unused,
    /// Taken out; what is under way is finished.
    Draining,
    /// Not known, or something that is not known here.
    Unknown,
}

/// The health of a target.
///
/// ```
/// # use cloud_aws::{TargetHealth, TargetState};
/// fn is_fit(health: &TargetHealth) -> bool { health.state == TargetState::Healthy }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetHealth {
    /// The target.
    pub target: Target,
    /// Whether it is fit.
    pub state: TargetState,
    /// Why not, in AWS's words.
    pub reason: Option<String>,
}

fn health(of: &TargetHealthDescription) -> TargetHealth {
    let target = of.target();
    let health = of.target_health();
    let reason = health.and_then(|h| h.description()).map(str::to_owned);
    TargetHealth {
        target: Target {
            id: target.and_then(|t| t.id()).unwrap_or_default().to_owned(),
            port: target.and_then(|t| t.port()).and_then(|port| u16::try_from(port).ok()),
        },
        state: match health.and_then(|h| h.state()) {
            Some(TargetHealthStateEnum::Initial) => TargetState::Initial,
            Some(TargetHealthStateEnum::Healthy) => TargetState::Healthy,
            Some(TargetHealthStateEnum::Unhealthy) => TargetState::Unhealthy,
            Some(TargetHealthStateEnum::Unused) => TargetState::Unused,
            Some(TargetHealthStateEnum::Draining | TargetHealthStateEnum::UnhealthyDraining) => {
                TargetState::Draining
            }
            _ => TargetState::Unknown,
        },
        reason: reason.or_else(|| health?.reason().map(|reason| reason.as_str().to_owned())),
    }
}

async fn group_named(elb: &Client, name: &str) -> Result<SdkTargetGroup> {
    let answer = elb.describe_target_groups().names(name).send().await;
    one(answer.map_err(reads(SERVICE))?.target_groups.unwrap_or_default(), "target group", name)
}

async fn make_group(
    elb: &Client,
    spec: &TargetGroupSpec,
    request: &Request,
) -> Result<SdkTargetGroup> {
    let check = &spec.health_check;
    let statuses = check.statuses.as_ref();
    let call = elb
        .create_target_group()
        .name(&spec.name)
        .protocol(spec.protocol.sdk())
        .port(spec.port.into())
        .vpc_id(spec.network.native())
        .target_type(match spec.kind {
            TargetKind::Instance => TargetTypeEnum::Instance,
            TargetKind::Ip => TargetTypeEnum::Ip,
        })
        .health_check_enabled(true)
        .health_check_protocol(check.protocol.sdk())
        .set_health_check_port(check.port.map(|port| port.to_string()))
        .set_health_check_path(check.path.clone())
        .set_matcher(statuses.map(|statuses| Matcher::builder().http_code(statuses).build()))
        .health_check_interval_seconds(check.interval_seconds.into())
        .health_check_timeout_seconds(check.timeout_seconds.into())
        .healthy_threshold_count(check.healthy_threshold.into())
        .unhealthy_threshold_count(check.unhealthy_threshold.into())
        .set_tags(Some(named_tags(&spec.name, &spec.tags, request)?));
    let answer = call.send().await.map_err(writes(SERVICE))?;
    let group = answer.target_groups.unwrap_or_default().into_iter().next();
    group.ok_or_else(|| absent("TargetGroups"))
}

impl AwsNetwork {
    /// Creates a target group.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) if the region has one of its name, or any.
    ///
    /// ```no_run
    /// # use cloud_aws::{AwsCloud, BalancerProtocol, Target, TargetGroupSpec};
    /// # use cloud_core::{ClientToken, ResourceId, Result};
    /// async fn web(aws: &AwsCloud, network: ResourceId, instance: &ResourceId) -> Result<()> {
    ///     let balancers = aws.aws_network();
    ///     let mut spec = TargetGroupSpec::new("web", network, BalancerProtocol::Http, 8080);
    ///     spec.health_check.path = Some("/health".into());
    ///     let group = balancers.create_target_group(&spec, &ClientToken::random()).await?;
    ///     balancers.register_targets(&group.arn, &[Target::new(instance.native())]).await
    /// }
    /// ```
    pub async fn create_target_group(
        &self,
        spec: &TargetGroupSpec,
        token: &ClientToken,
    ) -> Result<TargetGroup> {
        let region = &spec.network.region;
        let made = async {
            spec.validate()?;
            let elb = &self.account.elbv2(region)?;
            self.once("target group", spec, token, |request| async move {
                let made = make_group(elb, spec, &request).await;
                let (group, taken) = match made {
                    Ok(group) => (group, None),
                    Err(error) if has_code(&error, &["DuplicateTargetGroupName"]) => {
                        (group_named(elb, &spec.name).await?, Some(error))
                    }
                    Err(error) => return Err(error),
                };
                // AWS answers with what is there if another create made it just so.
                let arn = group.target_group_arn().unwrap_or_default();
                let (tags, tag) = tags_of(elb, arn).await.map_err(may_have)?;
                match request.made(tag.as_deref())? {
                    true => view(region, &group, tags),
                    false => Err(taken.unwrap_or_else(|| {
                        let message = format!("the target group '{}' exists", spec.name);
                        Error::new(ErrorKind::AlreadyExists, message)
                    })),
                }
            })
            .await
        };
        made.await.map_err(self.account.in_call("network.create_target_group"))
    }

    /// One target group, by its ARN.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), or any.
    pub async fn get_target_group(&self, arn: &str) -> Result<TargetGroup> {
        let read = async {
            let region = Arn::TargetGroup.region(arn)?;
            let elb = self.account.elbv2(&region)?;
            let answer = elb.describe_target_groups().target_group_arns(arn).send().await;
            let groups = answer.map_err(reads(SERVICE))?.target_groups.unwrap_or_default();
            let group = one(groups, "target group", arn)?;
            view(&region, &group, tags_of(&elb, arn).await?.0)
        };
        read.await.map_err(self.account.in_call("network.get_target_group"))
    }

    /// The target groups of a region.
    ///
    /// # Errors
    /// Any.
    pub async fn list_target_groups(&self, region: &Region) -> Result<Vec<TargetGroup>> {
        let read = async {
            let elb = self.account.elbv2(region)?;
            let pages = elb.describe_target_groups().into_paginator().items().send();
            let groups: Vec<_> = pages.try_collect().await.map_err(reads(SERVICE))?;
            let arns = groups.iter().filter_map(|group| group.target_group_arn());
            let mut tags = all_tags(&elb, arns).await?;
            let own = |group: &SdkTargetGroup| {
                let tags = tags.remove(group.target_group_arn().unwrap_or_default());
                (group.clone(), tags.unwrap_or_default())
            };
            let groups: Vec<_> = groups.iter().map(own).collect();
            groups
                .into_iter()
                .map(|(group, tags)| view(region, &group, tags))
                .collect::<Result<Vec<_>>>()
        };
        read.await.map_err(self.account.in_call("network.list_target_groups"))
    }

    /// Deletes a target group. `true` if it was there.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) while a listener sends to it, or any.
    pub async fn delete_target_group(&self, arn: &str) -> Result<bool> {
        let gone = async {
            let elb = self.account.elbv2(&Arn::TargetGroup.region(arn)?)?;
            // Deleting what is not there succeeds.
            let answer = elb.describe_target_groups().target_group_arns(arn).send().await;
            let there = answer.map(|answer| answer.target_groups.unwrap_or_default());
            if found(there.map_err(reads(SERVICE)))?.is_empty() {
                return Ok(false);
            }
            let call = elb.delete_target_group().target_group_arn(arn).send().await;
            deleted(call.map(drop).map_err(writes(SERVICE)))
        };
        gone.await.map_err(self.account.in_call("network.delete_target_group"))
    }

    /// Adds targets to a group. They may be in it already.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), [`InvalidInput`](ErrorKind::InvalidInput) for a target that is not in the network, or any.
    pub async fn register_targets(&self, group: &str, targets: &[Target]) -> Result<()> {
        let added = async {
            check_targets(targets)?;
            let elb = self.account.elbv2(&Arn::TargetGroup.region(group)?)?;
            let call = elb.register_targets().target_group_arn(group);
            let call = call.set_targets(Some(targets.iter().map(Target::sdk).collect()));
            call.send().await.map(drop).map_err(writes(SERVICE))
        };
        added.await.map_err(self.account.in_call("network.register_targets"))
    }

    /// Takes targets out of a group; what is under way with them is finished. They may be out of it already.
    ///
    /// # Errors
    /// Any.
    pub async fn deregister_targets(&self, group: &str, targets: &[Target]) -> Result<()> {
        let removed = async {
            check_targets(targets)?;
            let elb = self.account.elbv2(&Arn::TargetGroup.region(group)?)?;
            let call = elb.deregister_targets().target_group_arn(group);
            let call = call.set_targets(Some(targets.iter().map(Target::sdk).collect()));
            call.send().await.map(drop).map_err(writes(SERVICE))
        };
        removed.await.map_err(self.account.in_call("network.deregister_targets"))
    }

    /// The targets of a group and their health.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), or any.
    pub async fn target_health(&self, group: &str) -> Result<Vec<TargetHealth>> {
        let read = async {
            let elb = self.account.elbv2(&Arn::TargetGroup.region(group)?)?;
            let answer = elb.describe_target_health().target_group_arn(group).send().await;
            let all = answer.map_err(reads(SERVICE))?.target_health_descriptions;
            Ok(all.unwrap_or_default().iter().map(health).collect())
        };
        read.await.map_err(self.account.in_call("network.target_health"))
    }

    /// Waits until at least so many targets of a group are healthy.
    ///
    /// # Errors
    /// [`Timeout`](ErrorKind::Timeout), [`Cancelled`](ErrorKind::Cancelled), or any.
    pub async fn wait_for_targets(
        &self,
        group: &str,
        healthy: usize,
        options: &WaitOptions,
    ) -> Result<Vec<TargetHealth>> {
        wait_until(&format!("{healthy} healthy targets of {group}"), options, || async {
            let now = self.target_health(group).await?;
            let fit = now.iter().filter(|one| one.state == TargetState::Healthy).count();
            Ok((fit >= healthy).then_some(now))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(change: impl FnOnce(&mut TargetGroupSpec)) -> String {
        let network = "network/us-east-1/vpc-1".parse().unwrap();
        let mut spec = TargetGroupSpec::new("web", network, BalancerProtocol::Http, 80);
        assert!(spec.validate().is_ok());
        change(&mut spec);
        spec.validate().unwrap_err().to_string()
    }

    #[test]
    fn what_aws_refuses_is_refused_by_its_field() {
        assert!(problem(|s| s.name = "a_b".into()).contains("target group name"));
        assert!(problem(|s| s.name = "x".repeat(33)).contains("target group name"));
        assert!(problem(|s| s.port = 0).contains("port is 0"));
        assert!(problem(|s| s.health_check.interval_seconds = 301).contains("5 to 300"));
        assert!(problem(|s| s.health_check.timeout_seconds = 1).contains("2 to 120"));
        assert!(problem(|s| s.health_check.timeout_seconds = 30).contains("less than"));
        assert!(problem(|s| s.health_check.healthy_threshold = 1).contains("2 to 10"));
        assert!(problem(|s| s.health_check.unhealthy_threshold = 11).contains("2 to 10"));
        assert!(problem(|s| s.health_check.path = Some("health".into())).contains("path"));
        assert!(
            problem(|s| s.health_check.protocol = BalancerProtocol::Tcp)
                .contains("health_check.protocol")
        );
        assert!(
            problem(|s| s.health_check.protocol = BalancerProtocol::Udp)
                .contains("none of a check")
        );
        for statuses in ["", "2xx", "99", "300-200", "200,"] {
            let said = problem(|s| s.health_check.statuses = Some(statuses.into()));
            assert!(said.contains("statuses"), "{statuses}");
        }
        assert!(check_targets(&[]).is_err());
        assert!(check_targets(&[Target::new("../..")]).is_err());
        assert!(check_targets(&[Target::new("i-0a1b"), Target::new("10.0.0.1")]).is_ok());
    }
}
