//! NAT gateways, by which private subnets reach the internet, with the addresses that are theirs.

use aws_sdk_ec2::{
    Client,
    types::{
        Address, ConnectivityType, DomainType, NatGateway as SdkNatGateway, NatGatewayState,
        ResourceType,
    },
};
use cloud_core::{
    ClientToken, Error, ErrorKind, Region, ResourceStatus, Result, Tags, WaitOptions, wait_until,
};
use serde::{Deserialize, Serialize};

use super::{
    AwsNetwork,
    ec2::{
        Made, Settled, Tagged, check_id, check_named, create_once, deleted, filter, found,
        made_with, may_have, one, tag_specification, undo,
    },
};
use crate::{
    error::{absent, reads, writes},
    names,
    tokens::{REQUEST_TAG, Request},
};

/// A request for a NAT gateway
/// ([CreateNatGateway](https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateNatGateway.html)).
///
/// **It costs by the hour and by the gigabyte**, and a public one's address too.
///
/// ```
/// # use cloud_aws::NatGatewaySpec;
/// # use cloud_core::Region;
/// let spec = NatGatewaySpec::new("out", Region::new("us-east-1").unwrap(), "subnet-0a1b2c3d");
/// assert!(spec.validate().is_ok() && !spec.private);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NatGatewaySpec {
    /// Its name.
    pub name: String,
    /// Where to put it.
    pub region: Region,
    /// The subnet that it lies in, by AWS's id; for a public one, a subnet with a route to an internet gateway.
    pub subnet: String,
    /// Whether it leads to other networks only, and has no public address. Default: public, with an address of its own, which
    /// is allocated with it and released with it.
    #[serde(default)]
    pub private: bool,
    /// Its tags, and its address's.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

impl NatGatewaySpec {
    /// A public gateway in a subnet.
    pub fn new(name: impl Into<String>, region: Region, subnet: impl Into<String>) -> Self {
        let tags = Tags::default();
        Self { name: name.into(), region, subnet: subnet.into(), private: false, tags }
    }

    /// Refuses what AWS does not take.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        names::TAGGED.check("NAT gateway name", &self.name)?;
        check_id("subnet", &self.subnet)?;
        check_named(&self.tags)
    }
}

/// A NAT gateway, as AWS reports it.
///
/// ```
/// # use cloud_aws::NatGateway;
/// fn address(gateway: &NatGateway) -> Option<&str> { gateway.public_ips.first().map(String::as_str) }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NatGateway {
    /// AWS's id, `nat-…`.
    pub id: String,
    /// Its region.
    pub region: Region,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: ResourceStatus,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// The subnet that it lies in.
    pub subnet: Option<String>,
    /// Its public addresses.
    pub public_ips: Vec<String>,
    /// Its tags.
    pub tags: Tags,
}

fn nat_view(region: &Region, gateway: &SdkNatGateway) -> NatGateway {
    let addresses = gateway.nat_gateway_addresses().iter();
    NatGateway {
        id: gateway.native().to_owned(),
        region: region.clone(),
        name: gateway.name(),
        status: match gateway.state() {
            Some(NatGatewayState::Available) => ResourceStatus::Running,
            Some(NatGatewayState::Pending) => ResourceStatus::Creating,
            Some(NatGatewayState::Deleting) => ResourceStatus::Deleting,
            Some(NatGatewayState::Deleted) => ResourceStatus::Deleted,
            Some(NatGatewayState::Failed) => ResourceStatus::Failed,
            _ => ResourceStatus::Unknown,
        },
        failure: gateway.failure_message().map(str::to_owned),
        subnet: gateway.subnet_id().map(str::to_owned),
        public_ips: addresses.filter_map(|a| a.public_ip().map(str::to_owned)).collect(),
        tags: Tagged::tags(gateway),
    }
}

async fn nat(ec2: &Client, id: &str) -> Result<SdkNatGateway> {
    check_id("nat", id)?;
    let answer = ec2.describe_nat_gateways().nat_gateway_ids(id).send().await;
    one(answer.map_err(reads("ec2"))?.nat_gateways.unwrap_or_default(), "NAT gateway", id)
}

async fn release(ec2: &Client, allocation: &str) -> Result<()> {
    ec2.release_address().allocation_id(allocation).send().await.map_err(writes("ec2"))?;
    Ok(())
}

/// The addresses that were allocated by a create.
async fn addresses(ec2: &Client, tag: aws_sdk_ec2::types::Filter) -> Result<Vec<Address>> {
    let answer = ec2.describe_addresses().filters(tag).send().await;
    found(answer.map_err(reads("ec2")).map(|answer| answer.addresses.unwrap_or_default()))
}

impl AwsNetwork {
    /// Creates a NAT gateway and, if it is public, its address. **It costs by the hour** until it is deleted.
    ///
    /// It is [`Creating`](ResourceStatus::Creating) for some minutes; see [`wait_for_nat_gateway`](Self::wait_for_nat_gateway).
    ///
    /// # Errors
    /// [`QuotaExceeded`](ErrorKind::QuotaExceeded) for addresses or gateways, [`NotFound`](ErrorKind::NotFound) for the subnet, or any.
    ///
    /// ```no_run
    /// # use cloud_aws::{AwsCloud, NatGateway, NatGatewaySpec};
    /// # use cloud_core::{ClientToken, Region, Result, WaitOptions};
    /// async fn out(aws: &AwsCloud, region: Region, subnet: &str) -> Result<NatGateway> {
    ///     let network = aws.aws_network();
    ///     let spec = NatGatewaySpec::new("out", region.clone(), subnet);
    ///     let made = network.create_nat_gateway(&spec, &ClientToken::random()).await?;
    ///     network.wait_for_nat_gateway(&region, &made.id, &WaitOptions::default()).await
    /// }
    /// ```
    pub async fn create_nat_gateway(
        &self,
        spec: &NatGatewaySpec,
        token: &ClientToken,
    ) -> Result<NatGateway> {
        let made = async {
            spec.validate()?;
            let ec2 = self.account.ec2(&spec.region)?;
            self.once("NAT gateway", spec, token, |request| async move {
                let address = match spec.private {
                    true => None,
                    false => Some(find_or_allocate(&self.settled, &ec2, spec, &request).await?),
                };
                let made = make_nat(&ec2, spec, &request, address.as_ref()).await;
                match (made, address) {
                    (Ok(gateway), _) => Ok(nat_view(&spec.region, &gateway)),
                    (Err(error), Some(address)) => {
                        let back = release(&ec2, address.item.native());
                        Err(undo(error, address.fresh, back).await)
                    }
                    (Err(error), None) => Err(error),
                }
            })
            .await
        };
        made.await.map_err(self.account.in_call("network.create_nat_gateway"))
    }

    /// One NAT gateway, by AWS's id. A deleted one is to be seen for about an hour.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), or any.
    pub async fn get_nat_gateway(&self, region: &Region, id: &str) -> Result<NatGateway> {
        let read = async { Ok(nat_view(region, &nat(&self.account.ec2(region)?, id).await?)) };
        read.await.map_err(self.account.in_call("network.get_nat_gateway"))
    }

    /// The NAT gateways of a region, deleted ones that AWS still shows among them.
    ///
    /// # Errors
    /// Any.
    pub async fn list_nat_gateways(&self, region: &Region) -> Result<Vec<NatGateway>> {
        let read = async {
            let pages = self.account.ec2(region)?.describe_nat_gateways().into_paginator();
            let all: Vec<_> = pages.items().send().try_collect().await.map_err(reads("ec2"))?;
            Ok(all.iter().map(|gateway| nat_view(region, gateway)).collect())
        };
        read.await.map_err(self.account.in_call("network.list_nat_gateways"))
    }

    /// Waits until a NAT gateway is in service.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) if it fails, [`Timeout`](ErrorKind::Timeout), [`Cancelled`](ErrorKind::Cancelled), or any.
    pub async fn wait_for_nat_gateway(
        &self,
        region: &Region,
        id: &str,
        options: &WaitOptions,
    ) -> Result<NatGateway> {
        wait_until(&format!("the NAT gateway {id}"), options, || async {
            let now = self.get_nat_gateway(region, id).await?;
            match now.status {
                ResourceStatus::Failed | ResourceStatus::Deleting | ResourceStatus::Deleted => {
                    let why = now.failure.unwrap_or_default();
                    Err(Error::new(ErrorKind::Internal, format!("{id} is {}: {why}", now.status)))
                }
                status => Ok(status.is_ready().then_some(now)),
            }
        })
        .await
    }

    /// Deletes a NAT gateway, waits until it is gone, and releases the address that was allocated with it. `true` if it was
    /// there. Repeated after it was broken off, it releases what is left.
    ///
    /// # Errors
    /// [`Timeout`](ErrorKind::Timeout) and [`Cancelled`](ErrorKind::Cancelled) of the wait, after which the address still costs:
    /// repeat it; or any.
    pub async fn delete_nat_gateway(
        &self,
        region: &Region,
        id: &str,
        options: &WaitOptions,
    ) -> Result<bool> {
        let gone = async {
            let ec2 = self.account.ec2(region)?;
            let there = match nat(&ec2, id).await {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
                there => there?,
            };
            let lives = !matches!(
                there.state(),
                Some(NatGatewayState::Deleting | NatGatewayState::Deleted)
            );
            if lives {
                let call = ec2.delete_nat_gateway().nat_gateway_id(id);
                deleted(call.send().await.map(drop).map_err(writes("ec2")))?;
            }
            let Some(tag) = there.request() else {
                return Ok(lives);
            };
            wait_until(&format!("the NAT gateway {id} to be gone"), options, || async {
                let now = match nat(&ec2, id).await {
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Some(())),
                    now => now?,
                };
                Ok((now.state() == Some(&NatGatewayState::Deleted)).then_some(()))
            })
            .await
            .map_err(may_have)?;
            for address in addresses(&ec2, filter(format!("tag:{REQUEST_TAG}"), &tag)).await? {
                if address.request().as_ref() == Some(&tag) {
                    deleted(release(&ec2, address.native()).await).map_err(may_have)?;
                }
            }
            Ok(lives)
        };
        gone.await.map_err(self.account.in_call("network.delete_nat_gateway"))
    }
}

async fn find_or_allocate(
    settled: &Settled,
    ec2: &Client,
    spec: &NatGatewaySpec,
    request: &Request,
) -> Result<Made<Address>> {
    let tags = tag_specification(ResourceType::ElasticIp, &spec.name, &spec.tags, request)?;
    create_once(
        settled,
        request,
        || addresses(ec2, made_with(request)),
        async {
            let call = ec2.allocate_address().domain(DomainType::Vpc).tag_specifications(tags);
            let answer = call.send().await.map_err(writes("ec2"))?;
            let id = answer.allocation_id.ok_or_else(|| absent("AllocationId"))?;
            Ok(Address::builder().allocation_id(id).build())
        },
        |address| async move { release(ec2, address.native()).await },
    )
    .await
}

async fn make_nat(
    ec2: &Client,
    spec: &NatGatewaySpec,
    request: &Request,
    address: Option<&Made<Address>>,
) -> Result<SdkNatGateway> {
    // An address that was there may have its gateway already; EC2 forgets a token sooner than we do.
    if address.is_none_or(|address| !address.fresh) {
        let pages = ec2.describe_nat_gateways().filter(made_with(request)).into_paginator();
        let all: Vec<SdkNatGateway> =
            pages.items().send().try_collect().await.map_err(reads("ec2"))?;
        for gateway in all {
            use NatGatewayState::{Deleted, Deleting, Failed};
            let lives = !matches!(gateway.state(), Some(Deleted | Deleting | Failed));
            if lives && request.made(gateway.request().as_deref())? {
                return Ok(gateway);
            }
        }
    }
    let tags = tag_specification(ResourceType::Natgateway, &spec.name, &spec.tags, request)?;
    let kind = if spec.private { ConnectivityType::Private } else { ConnectivityType::Public };
    let call = ec2
        .create_nat_gateway()
        .client_token(request.token.as_str())
        .subnet_id(&spec.subnet)
        .connectivity_type(kind)
        .set_allocation_id(address.map(|address| address.item.native().to_owned()))
        .tag_specifications(tags);
    let answer = call.send().await.map_err(writes("ec2"))?;
    answer.nat_gateway.ok_or_else(|| absent("NatGateway"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_aws_refuses_is_refused_by_its_field() {
        let spec = NatGatewaySpec::new("out", Region::new("us-east-1").unwrap(), "vpc-1");
        assert!(spec.validate().unwrap_err().to_string().contains("subnet-…"));
        let text = r#"{"name": "n", "region": "us-east-1", "subnet": "subnet-1", "publik": true}"#;
        assert!(serde_json::from_str::<NatGatewaySpec>(text).is_err());
    }
}
