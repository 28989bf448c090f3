//! The two ends of a VPN: AWS's, a VPN gateway at a network; and the customer's, which AWS has only described to it.

use std::net::IpAddr;

use aws_sdk_ec2::{
    Client,
    types::{
        AttachmentStatus, CustomerGateway as SdkCustomerGateway, GatewayType, ResourceType,
        VpnGateway as SdkVpnGateway, VpnState,
    },
};
use cloud_core::{
    ClientToken, Error, ErrorKind, Region, ResourceId, ResourceKind, ResourceStatus, Result, Tags,
    WaitOptions, wait_until,
};
use serde::{Deserialize, Serialize};

use super::{
    AwsNetwork,
    ec2::{
        Tagged, check_id, check_named, create_once, deleted, made_with, may_have, one,
        tag_specification,
    },
};
use crate::{
    error::{absent, has_code, reads, writes},
    names,
};

/// The private autonomous system numbers, and those of 4 bytes.
pub(super) fn check_private_asn(field: &str, asn: u32) -> Result<()> {
    match asn {
        64_512..=65_534 | 4_200_000_000..=4_294_967_294 => Ok(()),
        _ => Err(Error::invalid(
            field,
            format_args!("is {asn}"),
            "64512 to 65534 or 4200000000 to 4294967294",
        )),
    }
}

pub(super) fn state(state: Option<&VpnState>) -> ResourceStatus {
    match state {
        Some(VpnState::Available) => ResourceStatus::Running,
        Some(VpnState::Pending) => ResourceStatus::Creating,
        Some(VpnState::Deleting) => ResourceStatus::Deleting,
        Some(VpnState::Deleted) => ResourceStatus::Deleted,
        _ => ResourceStatus::Unknown,
    }
}

/// A request for a VPN gateway
/// ([CreateVpnGateway](https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateVpnGateway.html)). It costs nothing by
/// itself; the VPN connections to it do.
///
/// ```
/// # use cloud_aws::VpnGatewaySpec;
/// # use cloud_core::Region;
/// let mut spec = VpnGatewaySpec::new("office", Region::new("us-east-1").unwrap());
/// assert!(spec.validate().is_ok());
/// spec.asn = Some(7);
/// assert!(spec.validate().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VpnGatewaySpec {
    /// Its name.
    pub name: String,
    /// Where to put it.
    pub region: Region,
    /// Its autonomous system number, a private one; `None` is 64512.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

impl VpnGatewaySpec {
    /// A gateway with AWS's number.
    pub fn new(name: impl Into<String>, region: Region) -> Self {
        Self { name: name.into(), region, asn: None, tags: Tags::default() }
    }

    /// Refuses what AWS does not take.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        names::TAGGED.check("VPN gateway name", &self.name)?;
        check_named(&self.tags)?;
        self.asn.map_or(Ok(()), |asn| check_private_asn("asn", asn))
    }
}

/// A VPN gateway, as AWS reports it.
///
/// ```
/// # use cloud_aws::VpnGateway;
/// fn is_free(gateway: &VpnGateway) -> bool { gateway.network.is_none() }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VpnGateway {
    /// AWS's id, `vgw-…`.
    pub id: String,
    /// Its region.
    pub region: Region,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: ResourceStatus,
    /// Its autonomous system number.
    pub asn: Option<u32>,
    /// The network that it is attached to.
    pub network: Option<ResourceId>,
    /// Its tags.
    pub tags: Tags,
}

fn vpn_gateway_view(region: &Region, gateway: &SdkVpnGateway) -> Result<VpnGateway> {
    let attached = attached_to(gateway);
    let id = |vpc: &str| ResourceId::new(ResourceKind::Network, region.clone(), vpc);
    Ok(VpnGateway {
        id: gateway.native().to_owned(),
        region: region.clone(),
        name: gateway.name(),
        status: state(gateway.state()),
        asn: gateway.amazon_side_asn().and_then(|asn| u32::try_from(asn).ok()),
        network: attached.map(id).transpose()?,
        tags: Tagged::tags(gateway),
    })
}

/// The VPC that a gateway is attached to, or about to be.
fn attached_to(gateway: &SdkVpnGateway) -> Option<&str> {
    let on = |state: Option<&AttachmentStatus>| {
        matches!(state, Some(AttachmentStatus::Attached | AttachmentStatus::Attaching))
    };
    gateway.vpc_attachments().iter().find(|a| on(a.state())).and_then(|a| a.vpc_id())
}

async fn vpn_gateway(ec2: &Client, id: &str) -> Result<SdkVpnGateway> {
    check_id("vgw", id)?;
    let answer = ec2.describe_vpn_gateways().vpn_gateway_ids(id).send().await;
    one(answer.map_err(reads("ec2"))?.vpn_gateways.unwrap_or_default(), "VPN gateway", id)
}

async fn drop_vpn_gateway(ec2: &Client, id: &str) -> Result<()> {
    ec2.delete_vpn_gateway().vpn_gateway_id(id).send().await.map_err(writes("ec2"))?;
    Ok(())
}

impl AwsNetwork {
    /// Creates a VPN gateway. To be of use it is attached to a network, or associated with a Direct Connect gateway.
    ///
    /// # Errors
    /// [`QuotaExceeded`](ErrorKind::QuotaExceeded), or any.
    ///
    /// ```no_run
    /// # use cloud_aws::{AwsCloud, VpnGatewaySpec};
    /// # use cloud_core::{ClientToken, ResourceId, Result, WaitOptions};
    /// async fn attach(aws: &AwsCloud, to: &ResourceId) -> Result<()> {
    ///     let network = aws.aws_network();
    ///     let spec = VpnGatewaySpec::new("office", to.region.clone());
    ///     let made = network.create_vpn_gateway(&spec, &ClientToken::random()).await?;
    ///     network.attach_vpn_gateway(&made.id, to, &WaitOptions::default()).await
    /// }
    /// ```
    pub async fn create_vpn_gateway(
        &self,
        spec: &VpnGatewaySpec,
        token: &ClientToken,
    ) -> Result<VpnGateway> {
        let made = async {
            spec.validate()?;
            let ec2 = &self.account.ec2(&spec.region)?;
            self.once("VPN gateway", spec, token, |request| async move {
                let kind = ResourceType::VpnGateway;
                let tags = tag_specification(kind, &spec.name, &spec.tags, &request)?;
                let made = create_once(
                    &self.settled,
                    &request,
                    || async {
                        let call = ec2.describe_vpn_gateways().filters(made_with(&request));
                        let answer = call.send().await.map_err(reads("ec2"))?;
                        let mut all = answer.vpn_gateways.unwrap_or_default();
                        all.retain(|gateway| !state(gateway.state()).is_gone());
                        Ok(all)
                    },
                    async {
                        let call = ec2
                            .create_vpn_gateway()
                            .r#type(GatewayType::Ipsec1)
                            .set_amazon_side_asn(spec.asn.map(i64::from))
                            .tag_specifications(tags);
                        let answer = call.send().await.map_err(writes("ec2"))?;
                        answer.vpn_gateway.ok_or_else(|| absent("VpnGateway"))
                    },
                    |gateway| async move { drop_vpn_gateway(ec2, gateway.native()).await },
                );
                vpn_gateway_view(&spec.region, &made.await?.item)
            })
            .await
        };
        made.await.map_err(self.account.in_call("network.create_vpn_gateway"))
    }

    /// One VPN gateway, by AWS's id. A deleted one is to be seen for a while.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), or any.
    pub async fn get_vpn_gateway(&self, region: &Region, id: &str) -> Result<VpnGateway> {
        let read =
            async { vpn_gateway_view(region, &vpn_gateway(&self.account.ec2(region)?, id).await?) };
        read.await.map_err(self.account.in_call("network.get_vpn_gateway"))
    }

    /// The VPN gateways of a region, deleted ones that AWS still shows among them.
    ///
    /// # Errors
    /// Any.
    pub async fn list_vpn_gateways(&self, region: &Region) -> Result<Vec<VpnGateway>> {
        let read = async {
            let answer = self.account.ec2(region)?.describe_vpn_gateways().send().await;
            let all = answer.map_err(reads("ec2"))?.vpn_gateways.unwrap_or_default();
            all.iter().map(|gateway| vpn_gateway_view(region, gateway)).collect::<Result<Vec<_>>>()
        };
        read.await.map_err(self.account.in_call("network.list_vpn_gateways"))
    }

    /// Attaches a VPN gateway to a network and waits until it is. It may be attached to it already. A network has one at most.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) if it is attached to another network or the network has another gateway, or any.
    pub async fn attach_vpn_gateway(
        &self,
        id: &str,
        network: &ResourceId,
        options: &WaitOptions,
    ) -> Result<()> {
        let attached = async {
            network.expect_kind(ResourceKind::Network)?;
            check_id("vpc", network.native())?;
            let ec2 = self.account.ec2(&network.region)?;
            match attached_to(&vpn_gateway(&ec2, id).await?) {
                Some(vpc) if vpc == network.native() => {}
                Some(vpc) => {
                    let message = format!("{id} is attached to {vpc}");
                    return Err(Error::new(ErrorKind::Conflict, message));
                }
                None => {
                    let call = ec2.attach_vpn_gateway().vpn_gateway_id(id);
                    let call = call.vpc_id(network.native());
                    call.send().await.map_err(writes("ec2"))?;
                }
            }
            wait_until(&format!("{id} to be attached"), options, || async {
                let now = vpn_gateway(&ec2, id).await?;
                let mut here = now.vpc_attachments().iter();
                let here = here.any(|a| {
                    a.vpc_id() == Some(network.native())
                        && a.state() == Some(&AttachmentStatus::Attached)
                });
                Ok(here.then_some(()))
            })
            .await
            .map_err(may_have)
        };
        attached.await.map_err(self.account.in_call("network.attach_vpn_gateway"))
    }

    /// Detaches a VPN gateway from its network and waits until it is. `true` if it was attached.
    ///
    /// # Errors
    /// Any.
    pub async fn detach_vpn_gateway(
        &self,
        region: &Region,
        id: &str,
        options: &WaitOptions,
    ) -> Result<bool> {
        let detached = async {
            let ec2 = self.account.ec2(region)?;
            let there = match vpn_gateway(&ec2, id).await {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
                there => there?,
            };
            let attached = attached_to(&there);
            if let Some(vpc) = attached {
                let call = ec2.detach_vpn_gateway().vpn_gateway_id(id).vpc_id(vpc);
                deleted(call.send().await.map(drop).map_err(writes("ec2")))?;
            }
            wait_until(&format!("{id} to be detached"), options, || async {
                let now = match vpn_gateway(&ec2, id).await {
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Some(())),
                    now => now?,
                };
                let mut left = now.vpc_attachments().iter();
                let left = left.any(|a| a.state() != Some(&AttachmentStatus::Detached));
                Ok((!left).then_some(()))
            })
            .await
            .map_err(may_have)?;
            Ok(attached.is_some())
        };
        detached.await.map_err(self.account.in_call("network.detach_vpn_gateway"))
    }

    /// Lets a route table take on the routes that a VPN gateway learns, or ends that. It may be so already.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), [`Conflict`](ErrorKind::Conflict) if the gateway is not attached to the table's network,
    /// or any.
    pub async fn propagate_routes(
        &self,
        region: &Region,
        table: &str,
        gateway: &str,
        on: bool,
    ) -> Result<()> {
        let set = async {
            check_id("rtb", table)?;
            check_id("vgw", gateway)?;
            let ec2 = self.account.ec2(region)?;
            if on {
                let call = ec2.enable_vgw_route_propagation();
                let call = call.route_table_id(table).gateway_id(gateway).send();
                call.await.map(drop).map_err(writes("ec2"))
            } else {
                let call = ec2.disable_vgw_route_propagation();
                let call = call.route_table_id(table).gateway_id(gateway).send();
                call.await.map(drop).map_err(writes("ec2"))
            }
        };
        set.await.map_err(self.account.in_call("network.propagate_routes"))
    }

    /// Deletes a VPN gateway. `true` if it was there.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) while it is attached or a VPN connection uses it, or any.
    pub async fn delete_vpn_gateway(&self, region: &Region, id: &str) -> Result<bool> {
        let gone = async {
            let ec2 = self.account.ec2(region)?;
            match vpn_gateway(&ec2, id).await {
                Ok(there) if state(there.state()).is_gone() => Ok(false),
                Ok(there) if attached_to(&there).is_some() => {
                    let message = format!("{id} is attached to a network");
                    Err(Error::new(ErrorKind::Conflict, message).with_hint("detach it first"))
                }
                Ok(_) => deleted(drop_vpn_gateway(&ec2, id).await),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            }
        };
        gone.await.map_err(self.account.in_call("network.delete_vpn_gateway"))
    }
}

/// A request to describe the customer's end of a VPN to AWS
/// ([CreateCustomerGateway](https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateCustomerGateway.html)). It costs
/// nothing.
///
/// ```
/// # use cloud_aws::CustomerGatewaySpec;
/// # use cloud_core::Region;
/// let office = "203.0.113.7".parse().unwrap();
/// let spec = CustomerGatewaySpec::new("office", Region::new("us-east-1").unwrap(), office);
/// assert!(spec.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomerGatewaySpec {
    /// Its name.
    pub name: String,
    /// Where to put it.
    pub region: Region,
    /// The address of the customer's device, or of the NAT in front of it.
    pub address: IpAddr,
    /// Its autonomous system number. Default 65000, which with static routes means nothing.
    #[serde(default = "customer_asn")]
    pub asn: u32,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

const fn customer_asn() -> u32 {
    65_000
}

impl CustomerGatewaySpec {
    /// A device with the default number.
    pub fn new(name: impl Into<String>, region: Region, address: IpAddr) -> Self {
        Self { name: name.into(), region, address, asn: customer_asn(), tags: Tags::default() }
    }

    /// Refuses what AWS does not take.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        names::TAGGED.check("customer gateway name", &self.name)?;
        check_named(&self.tags)?;
        if self.asn == 0 || self.asn == 7224 || self.asn == u32::MAX {
            let problem = format!("is {}", self.asn);
            return Err(Error::invalid("asn", problem, "1 to 4294967294, but not AWS's own 7224"));
        }
        if self.address.is_unspecified()
            || self.address.is_loopback()
            || self.address.is_multicast()
        {
            let problem = format!("is {}", self.address);
            return Err(Error::invalid("address", problem, "an address that AWS can reach"));
        }
        Ok(())
    }
}

/// A customer gateway, as AWS reports it.
///
/// ```
/// # use cloud_aws::CustomerGateway;
/// fn is_there(gateway: &CustomerGateway) -> bool { gateway.status.is_ready() }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CustomerGateway {
    /// AWS's id, `cgw-…`.
    pub id: String,
    /// Its region.
    pub region: Region,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: ResourceStatus,
    /// The address of the device.
    pub address: Option<IpAddr>,
    /// Its autonomous system number.
    pub asn: Option<u32>,
    /// Its tags.
    pub tags: Tags,
}

fn customer_view(region: &Region, gateway: &SdkCustomerGateway) -> CustomerGateway {
    let asn = gateway.bgp_asn_extended().or(gateway.bgp_asn());
    CustomerGateway {
        id: gateway.native().to_owned(),
        region: region.clone(),
        name: gateway.name(),
        status: state(gateway.state().map(VpnState::from).as_ref()),
        address: gateway.ip_address().and_then(|address| address.parse().ok()),
        asn: asn.and_then(|asn| asn.parse().ok()),
        tags: Tagged::tags(gateway),
    }
}

async fn drop_customer_gateway(ec2: &Client, id: &str) -> Result<()> {
    let call = ec2.delete_customer_gateway().customer_gateway_id(id);
    call.send().await.map_err(writes("ec2"))?;
    Ok(())
}

async fn customer_gateway(ec2: &Client, id: &str) -> Result<SdkCustomerGateway> {
    check_id("cgw", id)?;
    let answer = ec2.describe_customer_gateways().customer_gateway_ids(id).send().await;
    let all = answer.map_err(reads("ec2"))?.customer_gateways.unwrap_or_default();
    one(all, "customer gateway", id)
}

impl AwsNetwork {
    /// Describes the customer's end of a VPN to AWS.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) where AWS has one of this address already, or any.
    ///
    /// ```no_run
    /// # use cloud_aws::{AwsCloud, CustomerGateway, CustomerGatewaySpec};
    /// # use cloud_core::{ClientToken, Region, Result};
    /// async fn office(aws: &AwsCloud, region: Region) -> Result<CustomerGateway> {
    ///     let spec = CustomerGatewaySpec::new("office", region, "203.0.113.7".parse().unwrap());
    ///     aws.aws_network().create_customer_gateway(&spec, &ClientToken::random()).await
    /// }
    /// ```
    pub async fn create_customer_gateway(
        &self,
        spec: &CustomerGatewaySpec,
        token: &ClientToken,
    ) -> Result<CustomerGateway> {
        let made = async {
            spec.validate()?;
            let ec2 = &self.account.ec2(&spec.region)?;
            self.once("customer gateway", spec, token, |request| async move {
                let kind = ResourceType::CustomerGateway;
                let tags = tag_specification(kind, &spec.name, &spec.tags, &request)?;
                let made = create_once(
                    &self.settled,
                    &request,
                    || async {
                        let call = ec2.describe_customer_gateways().filters(made_with(&request));
                        let answer = call.send().await.map_err(reads("ec2"))?;
                        let mut all = answer.customer_gateways.unwrap_or_default();
                        all.retain(|gateway| {
                            !customer_view(&spec.region, gateway).status.is_gone()
                        });
                        Ok(all)
                    },
                    async {
                        let call = ec2.create_customer_gateway().r#type(GatewayType::Ipsec1);
                        let call = call.ip_address(spec.address.to_string());
                        // The numbers above 2147483647 have a field of their own.
                        let call = match i32::try_from(spec.asn) {
                            Ok(asn) => call.bgp_asn(asn),
                            Err(_) => call.bgp_asn_extended(spec.asn.into()),
                        };
                        let answer = call.tag_specifications(tags).send().await;
                        let answer = answer.map_err(writes("ec2"))?;
                        answer.customer_gateway.ok_or_else(|| absent("CustomerGateway"))
                    },
                    |gateway| async move { drop_customer_gateway(ec2, gateway.native()).await },
                );
                let made = made.await?.item;
                // EC2 answers with what is there if it has one of this address and number.
                let view = customer_view(&spec.region, &made);
                match request.made(made.request().as_deref())? {
                    true => Ok(view),
                    false => Err(Error::new(
                        ErrorKind::AlreadyExists,
                        format!("{} has this address and number", view.id),
                    )),
                }
            })
            .await
        };
        made.await.map_err(self.account.in_call("network.create_customer_gateway"))
    }

    /// The customer gateways of a region, deleted ones that AWS still shows among them.
    ///
    /// # Errors
    /// Any.
    pub async fn list_customer_gateways(&self, region: &Region) -> Result<Vec<CustomerGateway>> {
        let read = async {
            let answer = self.account.ec2(region)?.describe_customer_gateways().send().await;
            let all = answer.map_err(reads("ec2"))?.customer_gateways.unwrap_or_default();
            Ok(all.iter().map(|gateway| customer_view(region, gateway)).collect())
        };
        read.await.map_err(self.account.in_call("network.list_customer_gateways"))
    }

    /// Deletes a customer gateway. `true` if it was there.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) while a VPN connection uses it, or any.
    pub async fn delete_customer_gateway(&self, region: &Region, id: &str) -> Result<bool> {
        let gone = async {
            let ec2 = self.account.ec2(region)?;
            match customer_gateway(&ec2, id).await {
                Ok(there) if customer_view(region, &there).status.is_gone() => Ok(false),
                Ok(_) => match drop_customer_gateway(&ec2, id).await {
                    Err(error) if has_code(&error, &["IncorrectState"]) => {
                        Err(error.with_hint("delete the VPN connections to it first"))
                    }
                    answer => deleted(answer),
                },
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            }
        };
        gone.await.map_err(self.account.in_call("network.delete_customer_gateway"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_that_aws_refuses_are_refused() {
        let region = Region::new("us-east-1").unwrap();
        for asn in [0, 64_511, 65_535, u32::MAX] {
            assert!(check_private_asn("asn", asn).is_err(), "{asn}");
        }
        assert!(check_private_asn("asn", 64_512).is_ok());
        let gateway = |address: &str| {
            CustomerGatewaySpec::new("office", region.clone(), address.parse().unwrap())
        };
        assert!(gateway("203.0.113.7").validate().is_ok());
        for address in ["0.0.0.0", "127.0.0.1", "224.0.0.1"] {
            assert!(gateway(address).validate().is_err(), "{address}");
        }
        let amazon = CustomerGatewaySpec { asn: 7224, ..gateway("203.0.113.7") };
        assert!(amazon.validate().unwrap_err().to_string().contains("7224"));
    }
}
