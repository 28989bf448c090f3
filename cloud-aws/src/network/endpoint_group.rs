//! The regions of an accelerator's listener: endpoints with their weights, and the dial of each region.

use aws_sdk_globalaccelerator::{
    Client,
    types::{
        EndpointConfiguration, EndpointGroup as SdkEndpointGroup, HealthCheckProtocol, HealthState,
    },
};
use cloud_core::{ClientToken, Error, HealthProtocol, Region, Result};
use serde::{Deserialize, Serialize};

use super::{
    AwsNetwork,
    accelerator::{Arn, SERVICE},
    ec2::deleted,
};
use crate::error::{absent, reads, writes};

/// Where an accelerator sends to within a region.
///
/// ```
/// # use cloud_aws::AcceleratorEndpoint;
/// let spare = AcceleratorEndpoint { weight: 0, ..AcceleratorEndpoint::new("i-0a1b2c3d") };
/// assert_eq!(AcceleratorEndpoint::new("i-0a1b2c3d").weight, 128);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceleratorEndpoint {
    /// The ARN of a load balancer, AWS's id of an instance, or the allocation id of an Elastic IP.
    pub id: String,
    /// Its share of the region's traffic among the others' weights: 0 to 255; 0 sends nothing. Default 128.
    #[serde(default = "weight")]
    pub weight: u8,
}

const fn weight() -> u8 {
    128
}

impl AcceleratorEndpoint {
    /// An endpoint with the default weight.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), weight: weight() }
    }

    fn sdk(&self) -> EndpointConfiguration {
        EndpointConfiguration::builder().endpoint_id(&self.id).weight(self.weight.into()).build()
    }
}

/// A request for a region of an accelerator's listener, with its endpoints
/// ([CreateEndpointGroup](https://docs.aws.amazon.com/global-accelerator/latest/api/API_CreateEndpointGroup.html)).
///
/// ```
/// # use cloud_aws::{AcceleratorEndpoint, EndpointGroupSpec};
/// # use cloud_core::Region;
/// let listener = "arn:aws:globalaccelerator::123456789012:accelerator/0a1b/listener/2c3d";
/// let mut spec = EndpointGroupSpec::new(listener, Region::new("eu-central-1").unwrap());
/// spec.endpoints.push(AcceleratorEndpoint::new("i-0a1b2c3d"));
/// assert!(spec.validate().is_ok());
/// spec.traffic_dial = 101.0;
/// assert!(spec.validate().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointGroupSpec {
    /// The listener, by its ARN.
    pub listener: String,
    /// The region. A listener has one group in each at most.
    pub region: Region,
    /// Its endpoints.
    #[serde(default)]
    pub endpoints: Vec<AcceleratorEndpoint>,
    /// How much of what would go to this region does, in percent: 0 to 100. Default 100.
    #[serde(default = "whole")]
    pub traffic_dial: f32,
    /// How endpoints are looked at that are no load balancers, which look at theirs themselves. Default TCP.
    #[serde(default = "tcp")]
    pub health_protocol: HealthProtocol,
    /// The port for that; `None` is the listener's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_port: Option<u16>,
    /// The path for that, with HTTP and HTTPS only; `None` is `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_path: Option<String>,
    /// Seconds between two looks: 10 or 30. Default 30.
    #[serde(default = "health_interval")]
    pub health_interval_seconds: u8,
    /// Successes or failures in a row that change an endpoint's health: 1 to 10. Default 3.
    #[serde(default = "health_threshold")]
    pub health_threshold: u8,
}

const fn whole() -> f32 {
    100.0
}
const fn tcp() -> HealthProtocol {
    HealthProtocol::Tcp
}
const fn health_interval() -> u8 {
    30
}
const fn health_threshold() -> u8 {
    3
}

impl EndpointGroupSpec {
    /// A group without endpoints, which takes the whole traffic of its region.
    pub fn new(listener: impl Into<String>, region: Region) -> Self {
        Self {
            listener: listener.into(),
            region,
            endpoints: Vec::new(),
            traffic_dial: whole(),
            health_protocol: tcp(),
            health_port: None,
            health_path: None,
            health_interval_seconds: health_interval(),
            health_threshold: health_threshold(),
        }
    }

    /// Refuses what AWS does not take.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        Arn::Listener.check(&self.listener)?;
        check_dial(self.traffic_dial)?;
        for (i, endpoint) in self.endpoints.iter().enumerate() {
            let field = format!("endpoints[{i}].id");
            let good = (1..=255).contains(&endpoint.id.len())
                && endpoint.id.bytes().all(|b| b.is_ascii_graphic());
            if !good {
                let problem = format!("is '{}'", endpoint.id.escape_debug());
                return Err(Error::invalid(&field, problem, "an ARN, i-… or eipalloc-…"));
            }
            if self.endpoints[..i].iter().any(|other| other.id == endpoint.id) {
                let problem = format!("is '{}', as another is", endpoint.id);
                return Err(Error::invalid(&field, problem, "each once"));
            }
        }
        if !matches!(self.health_interval_seconds, 10 | 30) {
            let problem = format!("is {}", self.health_interval_seconds);
            return Err(Error::invalid("health_interval_seconds", problem, "10 or 30"));
        }
        if !(1..=10).contains(&self.health_threshold) {
            let problem = format!("is {}", self.health_threshold);
            return Err(Error::invalid("health_threshold", problem, "1 to 10"));
        }
        if self.health_port == Some(0) {
            return Err(Error::invalid("health_port", "is 0", "1 to 65535"));
        }
        match &self.health_path {
            Some(path) => {
                let inside = |b: u8| b.is_ascii_alphanumeric() || b"-/@:%_.~+#=&?".contains(&b);
                let good = path.starts_with('/') && path.len() <= 255 && path.bytes().all(inside);
                match good && self.health_protocol != HealthProtocol::Tcp {
                    true => Ok(()),
                    false => {
                        let problem = format!("is '{}'", path.escape_debug());
                        let rule = "with HTTP only: '/…', at most 255 characters of a path";
                        Err(Error::invalid("health_path", problem, rule))
                    }
                }
            }
            None => Ok(()),
        }
    }
}

fn check_dial(percent: f32) -> Result<()> {
    match (0.0..=100.0).contains(&percent) {
        true => Ok(()),
        false => Err(Error::invalid("traffic_dial", format_args!("is {percent}"), "0 to 100")),
    }
}

/// The health of an endpoint, as the accelerator sees it.
///
/// ```
/// # use cloud_aws::EndpointHealth;
/// fn takes_traffic(endpoint: &EndpointHealth) -> bool { endpoint.healthy == Some(true) && endpoint.weight > 0 }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointHealth {
    /// The endpoint.
    pub id: String,
    /// Its weight.
    pub weight: u8,
    /// Whether it is fit; `None` while it was not looked at often enough.
    pub healthy: Option<bool>,
    /// Why not, in AWS's words.
    pub reason: Option<String>,
}

/// A region of an accelerator's listener, as AWS reports it.
///
/// ```
/// # use cloud_aws::EndpointGroup;
/// fn is_drained(group: &EndpointGroup) -> bool { group.traffic_dial == 0.0 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointGroup {
    /// AWS's id of it.
    pub arn: String,
    /// The region.
    pub region: Option<Region>,
    /// How much of what would go to this region does, in percent.
    pub traffic_dial: f32,
    /// Its endpoints.
    pub endpoints: Vec<EndpointHealth>,
}

fn group_view(group: &SdkEndpointGroup) -> EndpointGroup {
    let endpoints = group.endpoint_descriptions().iter().map(|endpoint| EndpointHealth {
        id: endpoint.endpoint_id().unwrap_or_default().to_owned(),
        weight: endpoint.weight().and_then(|w| u8::try_from(w).ok()).unwrap_or_default(),
        healthy: match endpoint.health_state() {
            Some(HealthState::Healthy) => Some(true),
            Some(HealthState::Unhealthy) => Some(false),
            _ => None,
        },
        reason: endpoint.health_reason().map(str::to_owned),
    });
    EndpointGroup {
        arn: group.endpoint_group_arn().unwrap_or_default().to_owned(),
        region: group.endpoint_group_region().and_then(|region| region.parse().ok()),
        traffic_dial: group.traffic_dial_percentage().unwrap_or_else(whole),
        endpoints: endpoints.collect(),
    }
}

pub(super) async fn groups(client: &Client, listener: &str) -> Result<Vec<SdkEndpointGroup>> {
    let pages = client.list_endpoint_groups().listener_arn(listener).into_paginator();
    pages.items().send().try_collect().await.map_err(reads(SERVICE))
}

pub(super) async fn drop_group(client: &Client, arn: &str) -> Result<bool> {
    let call = client.delete_endpoint_group().endpoint_group_arn(arn).send().await;
    deleted(call.map(drop).map_err(writes(SERVICE)))
}

impl AwsNetwork {
    /// Adds a region with its endpoints to a listener.
    ///
    /// # Errors
    /// [`AlreadyExists`](cloud_core::ErrorKind::AlreadyExists) if the listener has this region, [`NotFound`](cloud_core::ErrorKind::NotFound), or any.
    pub async fn create_endpoint_group(
        &self,
        spec: &EndpointGroupSpec,
        token: &ClientToken,
    ) -> Result<EndpointGroup> {
        let made = async {
            spec.validate()?;
            let protocol = match spec.health_protocol {
                HealthProtocol::Http => HealthCheckProtocol::Http,
                HealthProtocol::Https => HealthCheckProtocol::Https,
                HealthProtocol::Tcp => HealthCheckProtocol::Tcp,
                other => {
                    let problem = format!("is {other}");
                    return Err(Error::invalid("health_protocol", problem, "http, https, tcp"));
                }
            };
            let client = &self.accelerators()?;
            self.once("endpoint group", spec, token, |request| async move {
                let endpoints = spec.endpoints.iter().map(AcceleratorEndpoint::sdk).collect();
                let call = client
                    .create_endpoint_group()
                    .listener_arn(&spec.listener)
                    .endpoint_group_region(spec.region.as_str())
                    .set_endpoint_configurations(Some(endpoints))
                    .traffic_dial_percentage(spec.traffic_dial)
                    .health_check_protocol(protocol)
                    .set_health_check_port(spec.health_port.map(i32::from))
                    .set_health_check_path(spec.health_path.clone())
                    .health_check_interval_seconds(spec.health_interval_seconds.into())
                    .threshold_count(spec.health_threshold.into())
                    .idempotency_token(request.token.as_str());
                let answer = call.send().await.map_err(writes(SERVICE))?;
                Ok(group_view(&answer.endpoint_group.ok_or_else(|| absent("EndpointGroup"))?))
            })
            .await
        };
        made.await.map_err(self.account.in_call("network.create_endpoint_group"))
    }

    /// The regions of a listener, with the health of their endpoints.
    ///
    /// # Errors
    /// [`NotFound`](cloud_core::ErrorKind::NotFound), or any.
    pub async fn list_endpoint_groups(&self, listener: &str) -> Result<Vec<EndpointGroup>> {
        let read = async {
            Arn::Listener.check(listener)?;
            Ok(groups(&self.accelerators()?, listener).await?.iter().map(group_view).collect())
        };
        read.await.map_err(self.account.in_call("network.list_endpoint_groups"))
    }

    /// Sets how much of what would go to a region does, in percent: 0 drains it. Its endpoints stay as they are.
    ///
    /// # Errors
    /// [`NotFound`](cloud_core::ErrorKind::NotFound), or any.
    ///
    /// ```no_run
    /// # use cloud_aws::AwsCloud;
    /// # use cloud_core::Result;
    /// async fn drain(aws: &AwsCloud, group: &str) -> Result<()> {
    ///     aws.aws_network().set_traffic_dial(group, 0.0).await.map(drop)
    /// }
    /// ```
    pub async fn set_traffic_dial(&self, group: &str, percent: f32) -> Result<EndpointGroup> {
        let set = async {
            Arn::EndpointGroup.check(group)?;
            check_dial(percent)?;
            let call = self.accelerators()?.update_endpoint_group().endpoint_group_arn(group);
            let answer = call.traffic_dial_percentage(percent).send().await;
            let group = answer.map_err(writes(SERVICE))?.endpoint_group;
            Ok(group_view(&group.ok_or_else(|| absent("EndpointGroup"))?))
        };
        set.await.map_err(self.account.in_call("network.set_traffic_dial"))
    }

    /// Sets the endpoints of a region and their weights, in place of those that it has.
    ///
    /// # Errors
    /// [`NotFound`](cloud_core::ErrorKind::NotFound), or any.
    pub async fn set_endpoints(
        &self,
        group: &str,
        endpoints: &[AcceleratorEndpoint],
    ) -> Result<EndpointGroup> {
        let set = async {
            Arn::EndpointGroup.check(group)?;
            let endpoints = endpoints.iter().map(AcceleratorEndpoint::sdk).collect();
            let call = self.accelerators()?.update_endpoint_group().endpoint_group_arn(group);
            let answer = call.set_endpoint_configurations(Some(endpoints)).send().await;
            let group = answer.map_err(writes(SERVICE))?.endpoint_group;
            Ok(group_view(&group.ok_or_else(|| absent("EndpointGroup"))?))
        };
        set.await.map_err(self.account.in_call("network.set_endpoints"))
    }

    /// Takes a region out of a listener. `true` if it was there.
    ///
    /// # Errors
    /// Any.
    pub async fn delete_endpoint_group(&self, group: &str) -> Result<bool> {
        let gone = async {
            Arn::EndpointGroup.check(group)?;
            drop_group(&self.accelerators()?, group).await
        };
        gone.await.map_err(self.account.in_call("network.delete_endpoint_group"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTENER: &str = "arn:aws:globalaccelerator::123456789012:accelerator/0a1b/listener/2c3d";

    #[test]
    fn what_aws_refuses_is_refused_by_its_field() {
        let problem = |change: fn(&mut EndpointGroupSpec)| {
            let mut spec = EndpointGroupSpec::new(LISTENER, Region::new("eu-west-1").unwrap());
            assert!(spec.validate().is_ok());
            change(&mut spec);
            spec.validate().unwrap_err().to_string()
        };
        assert!(problem(|s| s.traffic_dial = f32::NAN).contains("traffic_dial"));
        assert!(problem(|s| s.traffic_dial = -0.1).contains("traffic_dial"));
        assert!(problem(|s| s.health_interval_seconds = 20).contains("10 or 30"));
        assert!(problem(|s| s.health_threshold = 0).contains("1 to 10"));
        assert!(problem(|s| s.health_path = Some("/".into())).contains("with HTTP only"));
        assert!(
            problem(|s| s.endpoints = vec![AcceleratorEndpoint::new("i-1"); 2])
                .contains("each once")
        );
        assert!(
            problem(|s| s.endpoints = vec![AcceleratorEndpoint::new("")]).contains("endpoints[0]")
        );
        assert!(
            problem(|s| s.listener = "arn:aws:globalaccelerator::1:accelerator/x".into())
                .contains("listener")
        );
    }
}
