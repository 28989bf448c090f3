//! Global Accelerator: two addresses for the whole world, and how much of what reaches them goes to which region.

use std::net::IpAddr;

use aws_sdk_globalaccelerator::{
    Client,
    types::{
        Accelerator as SdkAccelerator, AcceleratorStatus, ClientAffinity, Listener as SdkListener,
        PortRange, Protocol as SdkProtocol, Tag,
    },
};
use cloud_core::{
    ClientToken, Error, ErrorKind, Region, ResourceStatus, Result, Tags, WaitOptions, wait_until,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    AwsNetwork,
    ec2::{deleted, found, may_have},
    endpoint_group::{drop_group, groups},
};
use crate::{
    account::GLOBAL,
    error::{absent, reads, unbuilt, writes},
    tags, time,
};

/// By which the errors of this service are looked up.
pub(super) const SERVICE: &str = "globalaccelerator";

/// A request for an accelerator
/// ([CreateAccelerator](https://docs.aws.amazon.com/global-accelerator/latest/api/API_CreateAccelerator.html)). It is of all
/// regions.
///
/// **It costs by the hour**, and what goes out through it by the gigabyte.
///
/// ```
/// # use cloud_aws::AcceleratorSpec;
/// let spec = AcceleratorSpec::new("shop");
/// assert!(spec.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceleratorSpec {
    /// Its name: at most 64 letters, digits, periods and hyphens, neither of these at an end.
    pub name: String,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

impl AcceleratorSpec {
    /// An accelerator without tags.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), tags: Tags::default() }
    }

    /// Refuses what AWS does not take.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        let inside = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-';
        let good = (1..=64).contains(&self.name.len())
            && self.name.bytes().all(inside)
            && !self.name.starts_with(['.', '-'])
            && !self.name.ends_with(['.', '-']);
        if !good {
            let rule = "1 to 64 ASCII letters, digits, '.' and '-', neither of these at an end";
            let problem = format!("is '{}'", self.name.escape_debug());
            return Err(Error::invalid("accelerator name", problem, rule));
        }
        tags::check(&self.tags)
    }
}

/// An accelerator, as AWS reports it.
///
/// ```
/// # use cloud_aws::Accelerator;
/// fn serves(accelerator: &Accelerator) -> bool { accelerator.enabled && accelerator.status.is_ready() }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accelerator {
    /// AWS's id of it.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// Its state: [`Updating`](ResourceStatus::Updating) while a change spreads.
    pub status: ResourceStatus,
    /// Whether it takes traffic.
    pub enabled: bool,
    /// The name under which it is reached.
    pub dns_name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

fn accelerator_view(accelerator: &SdkAccelerator) -> Result<Accelerator> {
    let arn = accelerator.accelerator_arn().ok_or_else(|| absent("AcceleratorArn"))?;
    let addresses = accelerator.ip_sets().iter().flat_map(|set| set.ip_addresses());
    Ok(Accelerator {
        arn: arn.to_owned(),
        name: accelerator.name().unwrap_or_default().to_owned(),
        status: match accelerator.status() {
            Some(AcceleratorStatus::Deployed) => ResourceStatus::Running,
            Some(AcceleratorStatus::InProgress) => ResourceStatus::Updating,
            _ => ResourceStatus::Unknown,
        },
        enabled: accelerator.enabled().unwrap_or(false),
        dns_name: accelerator.dns_name().unwrap_or_default().to_owned(),
        addresses: addresses.filter_map(|address| address.parse().ok()).collect(),
        created_at: accelerator.created_time().and_then(time::timestamp),
    })
}

/// What an accelerator takes.
///
/// ```
/// # use cloud_aws::AcceleratorProtocol;
/// assert_eq!(serde_json::to_string(&AcceleratorProtocol::Tcp).unwrap(), "\"tcp\"");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AcceleratorProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A request for a listener of an accelerator
/// ([CreateListener](https://docs.aws.amazon.com/global-accelerator/latest/api/API_CreateListener.html)).
///
/// ```
/// # use cloud_aws::{AcceleratorListenerSpec, AcceleratorProtocol};
/// let accelerator = "arn:aws:globalaccelerator::123456789012:accelerator/0a1b2c3d";
/// let spec = AcceleratorListenerSpec::new(accelerator, AcceleratorProtocol::Tcp, [(443, 443)]);
/// assert!(spec.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceleratorListenerSpec {
    /// The accelerator, by its ARN.
    pub accelerator: String,
    /// What it takes.
    pub protocol: AcceleratorProtocol,
    /// First and last port of each range: 1 to 10 ranges.
    pub ports: Vec<(u16, u16)>,
    /// Whether a client stays with one endpoint.
    #[serde(default)]
    pub sticky: bool,
}

impl AcceleratorListenerSpec {
    /// A listener whose clients go anywhere.
    pub fn new(
        accelerator: impl Into<String>,
        protocol: AcceleratorProtocol,
        ports: impl IntoIterator<Item = (u16, u16)>,
    ) -> Self {
        let ports = ports.into_iter().collect();
        Self { accelerator: accelerator.into(), protocol, ports, sticky: false }
    }

    /// Refuses what AWS does not take.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        Arn::Accelerator.check(&self.accelerator)?;
        if !(1..=10).contains(&self.ports.len()) {
            let problem = format!("has {} ranges", self.ports.len());
            return Err(Error::invalid("ports", problem, "1 to 10"));
        }
        match self.ports.iter().find(|(first, last)| *first == 0 || first > last) {
            Some((first, last)) => {
                let problem = format!("has {first} to {last}");
                Err(Error::invalid("ports", problem, "1 to 65535, the lower first"))
            }
            None => Ok(()),
        }
    }
}

/// A listener of an accelerator, as AWS reports it.
///
/// ```
/// # use cloud_aws::AcceleratorListener;
/// fn first_port(listener: &AcceleratorListener) -> Option<u16> { Some(listener.ports.first()?.0) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceleratorListener {
    /// AWS's id of it.
    pub arn: String,
    /// What it takes; `None` for what is not known here.
    pub protocol: Option<AcceleratorProtocol>,
    /// First and last port of each range.
    pub ports: Vec<(u16, u16)>,
}

fn port(port: Option<i32>) -> Option<u16> {
    port.and_then(|port| u16::try_from(port).ok())
}

fn listener_view(listener: &SdkListener) -> AcceleratorListener {
    let ports = listener.port_ranges().iter();
    AcceleratorListener {
        arn: listener.listener_arn().unwrap_or_default().to_owned(),
        protocol: match listener.protocol() {
            Some(SdkProtocol::Tcp) => Some(AcceleratorProtocol::Tcp),
            Some(SdkProtocol::Udp) => Some(AcceleratorProtocol::Udp),
            _ => None,
        },
        ports: ports.filter_map(|r| port(r.from_port()).zip(port(r.to_port()))).collect(),
    }
}

/// The kinds of ARNs of this service.
#[derive(Clone, Copy)]
pub(super) enum Arn {
    Accelerator,
    Listener,
    EndpointGroup,
}

impl Arn {
    pub(super) fn check(self, arn: &str) -> Result<()> {
        let parts: Vec<_> = arn.splitn(6, ':').collect();
        let good = match parts[..] {
            ["arn", _, "globalaccelerator", _, _, rest] => {
                let path: Vec<_> = rest.split('/').collect();
                let kind = match path[..] {
                    ["accelerator", _] => Some("accelerator"),
                    ["accelerator", _, "listener", _] => Some("listener"),
                    ["accelerator", _, "listener", _, "endpoint-group", _] => {
                        Some("endpoint group")
                    }
                    _ => None,
                };
                kind == Some(self.name()) && arn.bytes().all(|b| b.is_ascii_graphic())
            }
            _ => false,
        };
        match good && arn.len() <= 255 {
            true => Ok(()),
            false => {
                let shown: String = arn.chars().take(80).collect();
                let rule = format!("the ARN of an accelerator's {}", self.name());
                Err(Error::invalid("arn", format_args!("is '{}'", shown.escape_debug()), rule))
            }
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Accelerator => "accelerator",
            Self::Listener => "listener",
            Self::EndpointGroup => "endpoint group",
        }
    }
}

async fn accelerator(client: &Client, arn: &str) -> Result<Accelerator> {
    Arn::Accelerator.check(arn)?;
    let answer = client.describe_accelerator().accelerator_arn(arn).send().await;
    let there = answer.map_err(reads(SERVICE))?.accelerator;
    accelerator_view(&there.ok_or_else(|| absent("Accelerator"))?)
}

async fn listeners(client: &Client, accelerator: &str) -> Result<Vec<SdkListener>> {
    let pages = client.list_listeners().accelerator_arn(accelerator).into_paginator();
    pages.items().send().try_collect().await.map_err(reads(SERVICE))
}

/// Deletes a listener and its groups, and says whether it was there.
async fn drop_listener(client: &Client, arn: &str) -> Result<bool> {
    for group in found(groups(client, arn).await)? {
        drop_group(client, group.endpoint_group_arn().unwrap_or_default()).await?;
    }
    let call = client.delete_listener().listener_arn(arn).send().await;
    deleted(call.map(drop).map_err(writes(SERVICE)))
}

impl AwsNetwork {
    pub(super) fn accelerators(&self) -> Result<Client> {
        self.account.globalaccelerator(&Region::new(GLOBAL)?)
    }

    /// Creates an accelerator. **It costs by the hour** until it is deleted. It is [`Updating`](ResourceStatus::Updating) for some
    /// minutes; see [`wait_for_accelerator`](Self::wait_for_accelerator).
    ///
    /// # Errors
    /// [`QuotaExceeded`](ErrorKind::QuotaExceeded), or any.
    ///
    /// ```no_run
    /// # use cloud_aws::{
    /// #     AcceleratorEndpoint, AcceleratorListenerSpec, AcceleratorProtocol, AcceleratorSpec, AwsCloud, EndpointGroupSpec,
    /// # };
    /// # use cloud_core::{ClientToken, Region, Result};
    /// async fn shop(aws: &AwsCloud, balancer: &str) -> Result<String> {
    ///     let (network, new) = (aws.aws_network(), ClientToken::random);
    ///     let made = network.create_accelerator(&AcceleratorSpec::new("shop"), &new()).await?;
    ///     let spec = AcceleratorListenerSpec::new(&made.arn, AcceleratorProtocol::Tcp, [(443, 443)]);
    ///     let listener = network.create_accelerator_listener(&spec, &new()).await?;
    ///     let mut spec = EndpointGroupSpec::new(listener.arn, Region::new("eu-central-1")?);
    ///     spec.endpoints.push(AcceleratorEndpoint::new(balancer));
    ///     network.create_endpoint_group(&spec, &new()).await?;
    ///     Ok(made.dns_name)
    /// }
    /// ```
    pub async fn create_accelerator(
        &self,
        spec: &AcceleratorSpec,
        token: &ClientToken,
    ) -> Result<Accelerator> {
        let made = async {
            spec.validate()?;
            let client = &self.accelerators()?;
            self.once("accelerator", spec, token, |request| async move {
                let pairs = tags::for_create(&spec.tags, &request)?.into_iter();
                let pairs = pairs.map(|(key, value)| Tag::builder().key(key).value(value).build());
                let call = client
                    .create_accelerator()
                    .name(&spec.name)
                    .enabled(true)
                    .idempotency_token(request.token.as_str())
                    .set_tags(Some(pairs.collect::<Result<_, _>>().map_err(unbuilt)?));
                let answer = call.send().await.map_err(writes(SERVICE))?;
                accelerator_view(&answer.accelerator.ok_or_else(|| absent("Accelerator"))?)
            })
            .await
        };
        made.await.map_err(self.account.in_call("network.create_accelerator"))
    }

    /// One accelerator, by its ARN.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), or any.
    pub async fn get_accelerator(&self, arn: &str) -> Result<Accelerator> {
        let read = async { accelerator(&self.accelerators()?, arn).await };
        read.await.map_err(self.account.in_call("network.get_accelerator"))
    }

    /// The accelerators of the account.
    ///
    /// # Errors
    /// Any.
    pub async fn list_accelerators(&self) -> Result<Vec<Accelerator>> {
        let read = async {
            let pages = self.accelerators()?.list_accelerators().into_paginator().items().send();
            let all: Vec<_> = pages.try_collect().await.map_err(reads(SERVICE))?;
            all.iter().map(accelerator_view).collect::<Result<Vec<_>>>()
        };
        read.await.map_err(self.account.in_call("network.list_accelerators"))
    }

    /// Waits until an accelerator is as it was asked to be, everywhere.
    ///
    /// # Errors
    /// [`Timeout`](ErrorKind::Timeout), [`Cancelled`](ErrorKind::Cancelled), or any.
    pub async fn wait_for_accelerator(
        &self,
        arn: &str,
        options: &WaitOptions,
    ) -> Result<Accelerator> {
        wait_until(&format!("the accelerator {arn}"), options, || async {
            let now = self.get_accelerator(arn).await?;
            Ok(now.status.is_ready().then_some(now))
        })
        .await
    }

    /// Disables an accelerator, waits until that has spread, and deletes it with its listeners and groups. `true` if it was
    /// there. Repeated after it was broken off, it goes on.
    ///
    /// # Errors
    /// [`Timeout`](ErrorKind::Timeout) and [`Cancelled`](ErrorKind::Cancelled) of the wait, after which it still costs: repeat it; or
    /// any.
    pub async fn delete_accelerator(&self, arn: &str, options: &WaitOptions) -> Result<bool> {
        let gone = async {
            let client = self.accelerators()?;
            let there = match accelerator(&client, arn).await {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
                there => there?,
            };
            if there.enabled {
                let call = client.update_accelerator().accelerator_arn(arn).enabled(false).send();
                call.await.map_err(writes(SERVICE))?;
            }
            let parts = async {
                for listener in found(listeners(&client, arn).await)? {
                    drop_listener(&client, listener.listener_arn().unwrap_or_default()).await?;
                }
                wait_until(&format!("{arn} to be disabled"), options, || async {
                    let now = accelerator(&client, arn).await?;
                    Ok((!now.enabled && now.status.is_ready()).then_some(()))
                })
                .await
            };
            match parts.await {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
                parts => parts.map_err(may_have)?,
            }
            let call = client.delete_accelerator().accelerator_arn(arn).send().await;
            deleted(call.map(drop).map_err(writes(SERVICE)).map_err(may_have))
        };
        gone.await.map_err(self.account.in_call("network.delete_accelerator"))
    }

    /// Creates a listener of an accelerator.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), or any.
    pub async fn create_accelerator_listener(
        &self,
        spec: &AcceleratorListenerSpec,
        token: &ClientToken,
    ) -> Result<AcceleratorListener> {
        let made = async {
            spec.validate()?;
            let client = &self.accelerators()?;
            self.once("accelerator listener", spec, token, |request| async move {
                let ports = spec.ports.iter().map(|(first, last)| {
                    PortRange::builder().from_port((*first).into()).to_port((*last).into()).build()
                });
                let call = client
                    .create_listener()
                    .accelerator_arn(&spec.accelerator)
                    .set_port_ranges(Some(ports.collect()))
                    .protocol(match spec.protocol {
                        AcceleratorProtocol::Tcp => SdkProtocol::Tcp,
                        AcceleratorProtocol::Udp => SdkProtocol::Udp,
                    })
                    .client_affinity(match spec.sticky {
                        true => ClientAffinity::SourceIp,
                        false => ClientAffinity::None,
                    })
                    .idempotency_token(request.token.as_str());
                let answer = call.send().await.map_err(writes(SERVICE))?;
                Ok(listener_view(&answer.listener.ok_or_else(|| absent("Listener"))?))
            })
            .await
        };
        made.await.map_err(self.account.in_call("network.create_accelerator_listener"))
    }

    /// The listeners of an accelerator.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), or any.
    pub async fn list_accelerator_listeners(&self, arn: &str) -> Result<Vec<AcceleratorListener>> {
        let read = async {
            Arn::Accelerator.check(arn)?;
            Ok(listeners(&self.accelerators()?, arn).await?.iter().map(listener_view).collect())
        };
        read.await.map_err(self.account.in_call("network.list_accelerator_listeners"))
    }

    /// Deletes a listener of an accelerator with its endpoint groups. `true` if it was there.
    ///
    /// # Errors
    /// Any.
    pub async fn delete_accelerator_listener(&self, arn: &str) -> Result<bool> {
        let gone = async {
            Arn::Listener.check(arn)?;
            drop_listener(&self.accelerators()?, arn).await
        };
        gone.await.map_err(self.account.in_call("network.delete_accelerator_listener"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_aws_refuses_is_refused_by_its_field() {
        for name in ["", "-a", "a.", "a_b", "größe", &"x".repeat(65)] {
            assert!(AcceleratorSpec::new(name).validate().is_err(), "{name}");
        }
    }

    #[test]
    fn ports_are_ranges() {
        let accelerator = "arn:aws:globalaccelerator::123456789012:accelerator/0a1b";
        let spec = |ports: &[(u16, u16)]| {
            let ports = ports.iter().copied();
            AcceleratorListenerSpec::new(accelerator, AcceleratorProtocol::Tcp, ports).validate()
        };
        assert!(spec(&[(80, 81), (443, 443)]).is_ok());
        for ports in [&[][..], &[(0, 1)], &[(2, 1)], &[(1, 1); 11]] {
            assert!(spec(ports).is_err(), "{ports:?}");
        }
    }
}
