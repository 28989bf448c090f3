//! Internet gateways: how a network reaches the internet, and is reached.

use aws_sdk_ec2::{
    Client,
    types::{InternetGateway as SdkInternetGateway, ResourceType},
};
use cloud_core::{ClientToken, ErrorKind, Region, ResourceId, ResourceKind, Result, Tags};
use serde::{Deserialize, Serialize};

use super::{
    AwsNetwork,
    ec2::{
        Made, Settled, Tagged, check_id, check_named, create_once, deleted, made_with, may_have,
        one, tag_specification, undo,
    },
};
use crate::{
    error::{absent, has_code, reads, writes},
    names,
    tokens::Request,
};

/// A request for an internet gateway
/// ([CreateInternetGateway](https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateInternetGateway.html)). It costs
/// nothing by itself. It opens nothing either: a route has to lead to it, and a firewall to let in.
///
/// ```
/// # use cloud_aws::InternetGatewaySpec;
/// let spec = InternetGatewaySpec::new("out", "network/us-east-1/vpc-0a1b2c3d".parse().unwrap());
/// assert!(spec.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InternetGatewaySpec {
    /// Its name.
    pub name: String,
    /// The network that it is attached to. A network has one at most.
    pub network: ResourceId,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

impl InternetGatewaySpec {
    /// A gateway without tags.
    pub fn new(name: impl Into<String>, network: ResourceId) -> Self {
        Self { name: name.into(), network, tags: Tags::default() }
    }

    /// Refuses what AWS does not take.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        names::TAGGED.check("internet gateway name", &self.name)?;
        self.network.expect_kind(ResourceKind::Network)?;
        check_id("vpc", self.network.native())?;
        check_named(&self.tags)
    }
}

/// An internet gateway, as AWS reports it.
///
/// ```
/// # use cloud_aws::InternetGateway;
/// fn is_attached(gateway: &InternetGateway) -> bool { gateway.network.is_some() }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InternetGateway {
    /// AWS's id, `igw-…`.
    pub id: String,
    /// Its region.
    pub region: Region,
    /// Its name.
    pub name: String,
    /// The network that it is attached to.
    pub network: Option<ResourceId>,
    /// Its tags.
    pub tags: Tags,
}

fn gateway_view(region: &Region, gateway: &SdkInternetGateway) -> Result<InternetGateway> {
    let vpc = gateway.attachments().iter().find_map(|attachment| attachment.vpc_id());
    let id = |vpc: &str| ResourceId::new(ResourceKind::Network, region.clone(), vpc);
    Ok(InternetGateway {
        id: gateway.native().to_owned(),
        region: region.clone(),
        name: gateway.name(),
        network: vpc.map(id).transpose()?,
        tags: Tagged::tags(gateway),
    })
}

async fn gateway(ec2: &Client, id: &str) -> Result<SdkInternetGateway> {
    check_id("igw", id)?;
    let call = ec2.describe_internet_gateways().internet_gateway_ids(id);
    let answer = call.send().await.map_err(reads("ec2"))?;
    one(answer.internet_gateways.unwrap_or_default(), "internet gateway", id)
}

/// Detaches an internet gateway from these VPCs and deletes it.
pub(super) async fn delete_internet_gateway(ec2: &Client, id: &str, vpcs: &[&str]) -> Result<()> {
    for vpc in vpcs {
        let call = ec2.detach_internet_gateway().internet_gateway_id(id).vpc_id(*vpc);
        match call.send().await.map_err(writes("ec2")) {
            Err(error) if has_code(&error, &["Gateway.NotAttached"]) => {}
            answer => drop(answer?),
        }
    }
    let call = ec2.delete_internet_gateway().internet_gateway_id(id);
    call.send().await.map_err(writes("ec2"))?;
    Ok(())
}

impl AwsNetwork {
    /// Creates an internet gateway and attaches it to its network.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) if the network has one already, [`NotFound`](ErrorKind::NotFound) for the network, or any.
    ///
    /// ```no_run
    /// # use cloud_aws::{AwsCloud, InternetGateway, InternetGatewaySpec};
    /// # use cloud_core::{ClientToken, ResourceId, Result};
    /// async fn open(aws: &AwsCloud, network: ResourceId) -> Result<InternetGateway> {
    ///     let spec = InternetGatewaySpec::new("out", network);
    ///     aws.aws_network().create_internet_gateway(&spec, &ClientToken::random()).await
    /// }
    /// ```
    pub async fn create_internet_gateway(
        &self,
        spec: &InternetGatewaySpec,
        token: &ClientToken,
    ) -> Result<InternetGateway> {
        let (region, vpc) = (&spec.network.region, spec.network.native());
        let made = async {
            spec.validate()?;
            let ec2 = self.account.ec2(region)?;
            self.once("internet gateway", spec, token, |request| async move {
                let made = find_or_make_gateway(&self.settled, &ec2, spec, &request).await?;
                let id = made.item.native();
                let attached = made.item.attachments().iter().any(|a| a.vpc_id() == Some(vpc));
                let attach = async {
                    if !attached {
                        let call =
                            ec2.attach_internet_gateway().internet_gateway_id(id).vpc_id(vpc);
                        call.send().await.map_err(writes("ec2"))?;
                    }
                    gateway(&ec2, id).await.map_err(may_have)
                };
                match attach.await {
                    Ok(gateway) => gateway_view(region, &gateway),
                    Err(error) => {
                        let back = delete_internet_gateway(&ec2, id, &[]);
                        Err(undo(error, made.fresh, back).await)
                    }
                }
            })
            .await
        };
        made.await.map_err(self.account.in_call("network.create_internet_gateway"))
    }

    /// The internet gateways of a region.
    ///
    /// # Errors
    /// Any.
    pub async fn list_internet_gateways(&self, region: &Region) -> Result<Vec<InternetGateway>> {
        let read = async {
            let ec2 = self.account.ec2(region)?;
            let pages = ec2.describe_internet_gateways().into_paginator().items().send();
            let all: Vec<_> = pages.try_collect().await.map_err(reads("ec2"))?;
            all.iter().map(|gateway| gateway_view(region, gateway)).collect::<Result<Vec<_>>>()
        };
        read.await.map_err(self.account.in_call("network.list_internet_gateways"))
    }

    /// Detaches an internet gateway and deletes it. `true` if it was there.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) while something in its network has a public address, or any.
    pub async fn delete_internet_gateway(&self, region: &Region, id: &str) -> Result<bool> {
        let gone = async {
            let ec2 = self.account.ec2(region)?;
            let there = match gateway(&ec2, id).await {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
                there => there?,
            };
            let vpcs: Vec<_> = there.attachments().iter().filter_map(|a| a.vpc_id()).collect();
            deleted(delete_internet_gateway(&ec2, id, &vpcs).await)
        };
        gone.await.map_err(self.account.in_call("network.delete_internet_gateway"))
    }
}

async fn find_or_make_gateway(
    settled: &Settled,
    ec2: &Client,
    spec: &InternetGatewaySpec,
    request: &Request,
) -> Result<Made<SdkInternetGateway>> {
    let tags = tag_specification(ResourceType::InternetGateway, &spec.name, &spec.tags, request)?;
    create_once(
        settled,
        request,
        || async {
            let call = ec2.describe_internet_gateways().filters(made_with(request));
            call.into_paginator().items().send().try_collect().await.map_err(reads("ec2"))
        },
        async {
            let call = ec2.create_internet_gateway().tag_specifications(tags);
            let answer = call.send().await.map_err(writes("ec2"))?;
            answer.internet_gateway.ok_or_else(|| absent("InternetGateway"))
        },
        |gateway| async move { delete_internet_gateway(ec2, gateway.native(), &[]).await },
    )
    .await
}
