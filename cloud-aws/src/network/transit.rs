//! Transit gateways, which join many networks, and the attachments of networks to them.

use aws_sdk_ec2::{
    Client,
    types::{
        DefaultRouteTableAssociationValue, DefaultRouteTablePropagationValue, DnsSupportValue,
        ResourceType, TransitGateway as SdkTransitGateway, TransitGatewayAttachmentState,
        TransitGatewayRequestOptions, TransitGatewayState, TransitGatewayVpcAttachment,
    },
};
use cloud_core::{
    ClientToken, Error, ErrorKind, Region, ResourceId, ResourceKind, ResourceStatus, Result, Tags,
    WaitOptions, wait_until,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    AwsNetwork,
    ec2::{
        Tagged, check_id, check_named, create_once, deleted, filter, made_with, one,
        tag_specification,
    },
    vpn_gateway::check_private_asn,
};
use crate::{
    error::{absent, reads, writes},
    names, time,
};

/// A request for a transit gateway
/// ([CreateTransitGateway](https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateTransitGateway.html)).
///
/// It costs nothing by itself; **each attachment costs by the hour and by the gigabyte**.
///
/// ```
/// # use cloud_aws::TransitGatewaySpec;
/// # use cloud_core::Region;
/// let spec = TransitGatewaySpec::new("hub", Region::new("us-east-1").unwrap());
/// assert!(spec.validate().is_ok() && spec.default_routes);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransitGatewaySpec {
    /// Its name.
    pub name: String,
    /// Where to put it.
    pub region: Region,
    /// Its autonomous system number, a private one; `None` is 64512.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// Whether every attachment reaches every other by the default route table. Default true.
    #[serde(default = "yes")]
    pub default_routes: bool,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

const fn yes() -> bool {
    true
}

impl TransitGatewaySpec {
    /// A gateway that joins all that is attached to it.
    pub fn new(name: impl Into<String>, region: Region) -> Self {
        let tags = Tags::default();
        Self { name: name.into(), region, asn: None, default_routes: true, tags }
    }

    /// Refuses what AWS does not take.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        names::TAGGED.check("transit gateway name", &self.name)?;
        check_named(&self.tags)?;
        self.asn.map_or(Ok(()), |asn| check_private_asn("asn", asn))
    }
}

/// A transit gateway, as AWS reports it.
///
/// ```
/// # use cloud_aws::TransitGateway;
/// fn is_there(gateway: &TransitGateway) -> bool { gateway.status.is_ready() }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransitGateway {
    /// AWS's id, `tgw-…`.
    pub id: String,
    /// Its region.
    pub region: Region,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: ResourceStatus,
    /// Its autonomous system number.
    pub asn: Option<u32>,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

fn gateway_status(gateway: &SdkTransitGateway) -> ResourceStatus {
    match gateway.state() {
        Some(TransitGatewayState::Available) => ResourceStatus::Running,
        Some(TransitGatewayState::Pending) => ResourceStatus::Creating,
        Some(TransitGatewayState::Modifying) => ResourceStatus::Updating,
        Some(TransitGatewayState::Deleting) => ResourceStatus::Deleting,
        Some(TransitGatewayState::Deleted) => ResourceStatus::Deleted,
        _ => ResourceStatus::Unknown,
    }
}

fn gateway_view(region: &Region, gateway: &SdkTransitGateway) -> TransitGateway {
    let asn = gateway.options().and_then(|options| options.amazon_side_asn());
    TransitGateway {
        id: gateway.native().to_owned(),
        region: region.clone(),
        name: gateway.name(),
        status: gateway_status(gateway),
        asn: asn.and_then(|asn| u32::try_from(asn).ok()),
        tags: Tagged::tags(gateway),
        created_at: gateway.creation_time().and_then(time::timestamp),
    }
}

async fn gateway(ec2: &Client, id: &str) -> Result<SdkTransitGateway> {
    check_id("tgw", id)?;
    let answer = ec2.describe_transit_gateways().transit_gateway_ids(id).send().await;
    one(answer.map_err(reads("ec2"))?.transit_gateways.unwrap_or_default(), "transit gateway", id)
}

async fn drop_gateway(ec2: &Client, id: &str) -> Result<()> {
    ec2.delete_transit_gateway().transit_gateway_id(id).send().await.map_err(writes("ec2"))?;
    Ok(())
}

/// A request to attach a network to a transit gateway
/// ([CreateTransitGatewayVpcAttachment](https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateTransitGatewayVpcAttachment.html)).
///
/// **It costs by the hour and by the gigabyte.** The network's own route tables need routes to the gateway besides: see
/// [`add_route`](AwsNetwork::add_route).
///
/// ```
/// # use cloud_aws::TransitAttachmentSpec;
/// let network = "network/us-east-1/vpc-0a1b2c3d".parse().unwrap();
/// let spec = TransitAttachmentSpec::new("main", "tgw-0a1b2c3d", network, ["subnet-0a1b2c3d"]);
/// assert!(spec.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransitAttachmentSpec {
    /// Its name.
    pub name: String,
    /// The transit gateway, by AWS's id; in the region of the network.
    pub gateway: String,
    /// The network.
    pub network: ResourceId,
    /// A subnet of each zone that is to reach the gateway, by AWS's ids.
    pub subnets: Vec<String>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

impl TransitAttachmentSpec {
    /// An attachment by these subnets.
    pub fn new(
        name: impl Into<String>,
        gateway: impl Into<String>,
        network: ResourceId,
        subnets: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            name: name.into(),
            gateway: gateway.into(),
            network,
            subnets: subnets.into_iter().map(Into::into).collect(),
            tags: Tags::default(),
        }
    }

    /// Refuses what AWS does not take.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        names::TAGGED.check("transit attachment name", &self.name)?;
        check_named(&self.tags)?;
        check_id("tgw", &self.gateway)?;
        self.network.expect_kind(ResourceKind::Network)?;
        check_id("vpc", self.network.native())?;
        if self.subnets.is_empty() {
            return Err(Error::invalid("subnets", "is empty", "one of each zone to be reached"));
        }
        self.subnets.iter().try_for_each(|id| check_id("subnet", id))
    }
}

/// An attachment of a network to a transit gateway, as AWS reports it.
///
/// ```
/// # use cloud_aws::TransitAttachment;
/// fn is_there(attachment: &TransitAttachment) -> bool { attachment.status.is_ready() }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransitAttachment {
    /// AWS's id, `tgw-attach-…`.
    pub id: String,
    /// Its region.
    pub region: Region,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: ResourceStatus,
    /// The transit gateway.
    pub gateway: String,
    /// The network.
    pub network: ResourceId,
    /// Its subnets.
    pub subnets: Vec<String>,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

fn attachment_status(attachment: &TransitGatewayVpcAttachment) -> ResourceStatus {
    use TransitGatewayAttachmentState as State;
    match attachment.state() {
        Some(State::Available) => ResourceStatus::Running,
        Some(
            State::Initiating
            | State::InitiatingRequest
            | State::Pending
            | State::PendingAcceptance,
        ) => ResourceStatus::Creating,
        Some(State::Modifying | State::RollingBack) => ResourceStatus::Updating,
        Some(State::Deleting) => ResourceStatus::Deleting,
        Some(State::Deleted) => ResourceStatus::Deleted,
        Some(State::Failed | State::Failing | State::Rejected | State::Rejecting) => {
            ResourceStatus::Failed
        }
        _ => ResourceStatus::Unknown,
    }
}

fn attachment_view(
    region: &Region,
    attachment: &TransitGatewayVpcAttachment,
) -> Result<TransitAttachment> {
    let vpc = attachment.vpc_id().ok_or_else(|| absent("VpcId"))?;
    Ok(TransitAttachment {
        id: attachment.native().to_owned(),
        region: region.clone(),
        name: attachment.name(),
        status: attachment_status(attachment),
        gateway: attachment.transit_gateway_id().unwrap_or_default().to_owned(),
        network: ResourceId::new(ResourceKind::Network, region.clone(), vpc)?,
        subnets: attachment.subnet_ids().to_vec(),
        tags: Tagged::tags(attachment),
        created_at: attachment.creation_time().and_then(time::timestamp),
    })
}

async fn attachment(ec2: &Client, id: &str) -> Result<TransitGatewayVpcAttachment> {
    check_id("tgw-attach", id)?;
    let call = ec2.describe_transit_gateway_vpc_attachments().transit_gateway_attachment_ids(id);
    let answer = call.send().await.map_err(reads("ec2"))?;
    one(answer.transit_gateway_vpc_attachments.unwrap_or_default(), "transit attachment", id)
}

async fn drop_attachment(ec2: &Client, id: &str) -> Result<()> {
    let call = ec2.delete_transit_gateway_vpc_attachment().transit_gateway_attachment_id(id);
    call.send().await.map_err(writes("ec2"))?;
    Ok(())
}

impl AwsNetwork {
    /// Creates a transit gateway. It is [`Creating`](ResourceStatus::Creating) for some minutes; see
    /// [`wait_for_transit_gateway`](Self::wait_for_transit_gateway).
    ///
    /// # Errors
    /// [`QuotaExceeded`](ErrorKind::QuotaExceeded), or any.
    ///
    /// ```no_run
    /// # use cloud_aws::{AwsCloud, TransitAttachmentSpec, TransitGatewaySpec};
    /// # use cloud_core::{ClientToken, Result, VirtualNetwork, WaitOptions};
    /// async fn join(aws: &AwsCloud, main: &VirtualNetwork) -> Result<()> {
    ///     let (network, region) = (aws.aws_network(), &main.id.region);
    ///     let spec = TransitGatewaySpec::new("hub", region.clone());
    ///     let hub = network.create_transit_gateway(&spec, &ClientToken::random()).await?;
    ///     network.wait_for_transit_gateway(region, &hub.id, &WaitOptions::default()).await?;
    ///     let subnets = main.subnets.iter().map(|subnet| &*subnet.native_id);
    ///     let spec = TransitAttachmentSpec::new("main", hub.id, main.id.clone(), subnets);
    ///     network.create_transit_attachment(&spec, &ClientToken::random()).await?;
    ///     Ok(())
    /// }
    /// ```
    pub async fn create_transit_gateway(
        &self,
        spec: &TransitGatewaySpec,
        token: &ClientToken,
    ) -> Result<TransitGateway> {
        let made = async {
            spec.validate()?;
            let ec2 = &self.account.ec2(&spec.region)?;
            self.once("transit gateway", spec, token, |request| async move {
                let kind = ResourceType::TransitGateway;
                let tags = tag_specification(kind, &spec.name, &spec.tags, &request)?;
                let (association, propagation) = match spec.default_routes {
                    true => (
                        DefaultRouteTableAssociationValue::Enable,
                        DefaultRouteTablePropagationValue::Enable,
                    ),
                    false => (
                        DefaultRouteTableAssociationValue::Disable,
                        DefaultRouteTablePropagationValue::Disable,
                    ),
                };
                let options = TransitGatewayRequestOptions::builder()
                    .set_amazon_side_asn(spec.asn.map(i64::from))
                    .default_route_table_association(association)
                    .default_route_table_propagation(propagation)
                    .dns_support(DnsSupportValue::Enable)
                    .build();
                let made = create_once(
                    &self.settled,
                    &request,
                    || async {
                        let call = ec2.describe_transit_gateways().filters(made_with(&request));
                        let pages = call.into_paginator().items().send();
                        let mut all: Vec<_> = pages.try_collect().await.map_err(reads("ec2"))?;
                        all.retain(|gateway| !gateway_status(gateway).is_gone());
                        Ok(all)
                    },
                    async {
                        let call = ec2.create_transit_gateway().options(options);
                        let call = call.description(&spec.name).tag_specifications(tags);
                        let answer = call.send().await.map_err(writes("ec2"))?;
                        answer.transit_gateway.ok_or_else(|| absent("TransitGateway"))
                    },
                    |gateway| async move { drop_gateway(ec2, gateway.native()).await },
                );
                Ok(gateway_view(&spec.region, &made.await?.item))
            })
            .await
        };
        made.await.map_err(self.account.in_call("network.create_transit_gateway"))
    }

    /// One transit gateway, by AWS's id. A deleted one is to be seen for a while.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), or any.
    pub async fn get_transit_gateway(&self, region: &Region, id: &str) -> Result<TransitGateway> {
        let read =
            async { Ok(gateway_view(region, &gateway(&self.account.ec2(region)?, id).await?)) };
        read.await.map_err(self.account.in_call("network.get_transit_gateway"))
    }

    /// The transit gateways of a region, deleted ones that AWS still shows among them.
    ///
    /// # Errors
    /// Any.
    pub async fn list_transit_gateways(&self, region: &Region) -> Result<Vec<TransitGateway>> {
        let read = async {
            let pages = self.account.ec2(region)?.describe_transit_gateways().into_paginator();
            let all: Vec<_> = pages.items().send().try_collect().await.map_err(reads("ec2"))?;
            Ok(all.iter().map(|gateway| gateway_view(region, gateway)).collect())
        };
        read.await.map_err(self.account.in_call("network.list_transit_gateways"))
    }

    /// Waits until a transit gateway is in service.
    ///
    /// # Errors
    /// [`Timeout`](ErrorKind::Timeout), [`Cancelled`](ErrorKind::Cancelled), or any.
    pub async fn wait_for_transit_gateway(
        &self,
        region: &Region,
        id: &str,
        options: &WaitOptions,
    ) -> Result<TransitGateway> {
        wait_until(&format!("the transit gateway {id}"), options, || async {
            let now = self.get_transit_gateway(region, id).await?;
            match now.status.is_gone() {
                true => Err(Error::new(ErrorKind::Internal, format!("{id} is {}", now.status))),
                false => Ok(now.status.is_ready().then_some(now)),
            }
        })
        .await
    }

    /// Deletes a transit gateway. `true` if it was there.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) while something is attached to it, or any.
    pub async fn delete_transit_gateway(&self, region: &Region, id: &str) -> Result<bool> {
        let gone = async {
            let ec2 = self.account.ec2(region)?;
            match gateway(&ec2, id).await {
                Ok(there) if gateway_status(&there).is_gone() => Ok(false),
                Ok(_) => deleted(drop_gateway(&ec2, id).await),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            }
        };
        gone.await.map_err(self.account.in_call("network.delete_transit_gateway"))
    }

    /// Attaches a network to a transit gateway. **It costs by the hour** until it is deleted. It is
    /// [`Creating`](ResourceStatus::Creating) for some minutes; see
    /// [`wait_for_transit_attachment`](Self::wait_for_transit_attachment).
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) if the network is attached to it already, [`NotFound`](ErrorKind::NotFound),
    /// [`Conflict`](ErrorKind::Conflict) while the gateway is not ready, or any.
    pub async fn create_transit_attachment(
        &self,
        spec: &TransitAttachmentSpec,
        token: &ClientToken,
    ) -> Result<TransitAttachment> {
        let region = &spec.network.region;
        let made = async {
            spec.validate()?;
            let ec2 = &self.account.ec2(region)?;
            self.once("transit attachment", spec, token, |request| async move {
                let kind = ResourceType::TransitGatewayAttachment;
                let tags = tag_specification(kind, &spec.name, &spec.tags, &request)?;
                let made = create_once(
                    &self.settled,
                    &request,
                    || async {
                        let call = ec2.describe_transit_gateway_vpc_attachments();
                        let call = call.filters(made_with(&request));
                        let pages = call.into_paginator().items().send();
                        let mut all: Vec<_> = pages.try_collect().await.map_err(reads("ec2"))?;
                        all.retain(|one| {
                            let status = attachment_status(one);
                            !status.is_gone() && status != ResourceStatus::Failed
                        });
                        Ok(all)
                    },
                    async {
                        let call = ec2
                            .create_transit_gateway_vpc_attachment()
                            .transit_gateway_id(&spec.gateway)
                            .vpc_id(spec.network.native())
                            .set_subnet_ids(Some(spec.subnets.clone()))
                            .tag_specifications(tags);
                        let answer = call.send().await.map_err(writes("ec2"))?;
                        let made = answer.transit_gateway_vpc_attachment;
                        made.ok_or_else(|| absent("TransitGatewayVpcAttachment"))
                    },
                    |one| async move { drop_attachment(ec2, one.native()).await },
                );
                attachment_view(region, &made.await?.item)
            })
            .await
        };
        made.await.map_err(self.account.in_call("network.create_transit_attachment"))
    }

    /// One attachment of a network, by AWS's id. A deleted one is to be seen for a while.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), or any.
    pub async fn get_transit_attachment(
        &self,
        region: &Region,
        id: &str,
    ) -> Result<TransitAttachment> {
        let read =
            async { attachment_view(region, &attachment(&self.account.ec2(region)?, id).await?) };
        read.await.map_err(self.account.in_call("network.get_transit_attachment"))
    }

    /// The networks that are attached to a transit gateway, deleted attachments that AWS still shows among them.
    ///
    /// # Errors
    /// Any.
    pub async fn list_transit_attachments(
        &self,
        region: &Region,
        gateway: &str,
    ) -> Result<Vec<TransitAttachment>> {
        let read = async {
            check_id("tgw", gateway)?;
            let call = self.account.ec2(region)?.describe_transit_gateway_vpc_attachments();
            let call = call.filters(filter("transit-gateway-id", gateway));
            let pages = call.into_paginator().items().send();
            let all: Vec<_> = pages.try_collect().await.map_err(reads("ec2"))?;
            all.iter().map(|one| attachment_view(region, one)).collect::<Result<Vec<_>>>()
        };
        read.await.map_err(self.account.in_call("network.list_transit_attachments"))
    }

    /// Waits until an attachment is in service.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) if it fails, [`Timeout`](ErrorKind::Timeout), [`Cancelled`](ErrorKind::Cancelled), or any.
    pub async fn wait_for_transit_attachment(
        &self,
        region: &Region,
        id: &str,
        options: &WaitOptions,
    ) -> Result<TransitAttachment> {
        wait_until(&format!("the transit attachment {id}"), options, || async {
            let now = self.get_transit_attachment(region, id).await?;
            match now.status.is_gone() || now.status == ResourceStatus::Failed {
                true => Err(Error::new(ErrorKind::Internal, format!("{id} is {}", now.status))),
                false => Ok(now.status.is_ready().then_some(now)),
            }
        })
        .await
    }

    /// Detaches a network from a transit gateway. `true` if it was attached.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) while it is changing, or any.
    pub async fn delete_transit_attachment(&self, region: &Region, id: &str) -> Result<bool> {
        let gone = async {
            let ec2 = self.account.ec2(region)?;
            match attachment(&ec2, id).await {
                Ok(there) if attachment_status(&there).is_gone() => Ok(false),
                Ok(_) => deleted(drop_attachment(&ec2, id).await),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            }
        };
        gone.await.map_err(self.account.in_call("network.delete_transit_attachment"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_aws_refuses_is_refused_by_its_field() {
        let network: ResourceId = "network/us-east-1/vpc-1".parse().unwrap();
        let none: [&str; 0] = [];
        let spec = TransitAttachmentSpec::new("main", "tgw-1", network.clone(), none);
        assert!(spec.validate().unwrap_err().to_string().contains("subnets is empty"));
        let spec = TransitAttachmentSpec::new("main", "vgw-1", network, ["subnet-1"]);
        assert!(spec.validate().unwrap_err().to_string().contains("tgw-…"));
        let mut spec = TransitGatewaySpec::new("hub", Region::new("us-east-1").unwrap());
        spec.asn = Some(1);
        assert!(spec.validate().unwrap_err().to_string().contains("asn is 1"));
    }
}
