//! Direct Connect gateways, which join leased lines to networks of all regions.

use aws_sdk_directconnect::{
    Client,
    types::{
        DirectConnectGateway as SdkGateway, DirectConnectGatewayAssociation as SdkAssociation,
        DirectConnectGatewayAssociationState, DirectConnectGatewayState, RouteFilterPrefix, Tag,
    },
};
use cloud_core::{
    ClientToken, Error, ErrorKind, Region, ResourceStatus, Result, Tags, WaitOptions, wait_until,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    AwsNetwork,
    ec2::{Tagged, check_id, create_once, deleted},
    vpn_gateway::check_private_asn,
};
use crate::{
    account::GLOBAL,
    error::{absent, reads, unbuilt, writes},
    names, tags,
};

/// By which the errors of this service are looked up.
const SERVICE: &str = "directconnect";

/// A request for a Direct Connect gateway
/// ([CreateDirectConnectGateway](https://docs.aws.amazon.com/directconnect/latest/APIReference/API_CreateDirectConnectGateway.html)).
/// It is of all regions. It costs nothing by itself; the lines to it do.
///
/// ```
/// # use cloud_aws::DirectConnectGatewaySpec;
/// let spec = DirectConnectGatewaySpec::new("lines", 64_600);
/// assert!(spec.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectConnectGatewaySpec {
    /// Its name.
    pub name: String,
    /// Its autonomous system number, a private one, other than those of the gateways that are associated with it.
    pub asn: u32,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

impl DirectConnectGatewaySpec {
    /// A gateway without tags.
    pub fn new(name: impl Into<String>, asn: u32) -> Self {
        Self { name: name.into(), asn, tags: Tags::default() }
    }

    /// Refuses what AWS does not take.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        names::TAGGED.check("Direct Connect gateway name", &self.name)?;
        tags::check(&self.tags)?;
        check_private_asn("asn", self.asn)
    }
}

/// A Direct Connect gateway, as AWS reports it.
///
/// ```
/// # use cloud_aws::DirectConnectGateway;
/// fn is_there(gateway: &DirectConnectGateway) -> bool { gateway.status.is_ready() }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DirectConnectGateway {
    /// AWS's id: a UUID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: ResourceStatus,
    /// What AWS says if a change failed.
    pub problem: Option<String>,
    /// Its autonomous system number.
    pub asn: Option<u32>,
    /// Its tags.
    pub tags: Tags,
}

/// The association of a Direct Connect gateway with a VPN or transit gateway, as AWS reports it.
///
/// ```
/// # use cloud_aws::DirectConnectAssociation;
/// fn is_there(association: &DirectConnectAssociation) -> bool { association.status.is_ready() }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectConnectAssociation {
    /// AWS's id: a UUID.
    pub id: String,
    /// The Direct Connect gateway.
    pub gateway: String,
    /// The VPN or transit gateway, `vgw-…` or `tgw-…`.
    pub associated: String,
    /// The region of that.
    pub region: Option<Region>,
    /// Its state.
    pub status: ResourceStatus,
    /// What AWS says if a change failed.
    pub problem: Option<String>,
    /// The blocks of addresses that are told to the other end of the lines.
    pub prefixes: Vec<IpNet>,
}

impl Tagged for SdkGateway {
    fn native(&self) -> &str {
        self.direct_connect_gateway_id().unwrap_or_default()
    }
    fn pairs(&self) -> Vec<(&str, &str)> {
        self.tags().iter().map(|tag| (tag.key(), tag.value().unwrap_or_default())).collect()
    }
}

fn gateway_status(gateway: &SdkGateway) -> ResourceStatus {
    use DirectConnectGatewayState as State;
    match gateway.direct_connect_gateway_state() {
        Some(State::Available) => ResourceStatus::Running,
        Some(State::Pending) => ResourceStatus::Creating,
        Some(State::Deleting) => ResourceStatus::Deleting,
        Some(State::Deleted) => ResourceStatus::Deleted,
        _ => ResourceStatus::Unknown,
    }
}

fn gateway_view(gateway: &SdkGateway) -> DirectConnectGateway {
    let asn = gateway.amazon_side_asn();
    DirectConnectGateway {
        id: gateway.native().to_owned(),
        name: gateway.direct_connect_gateway_name().unwrap_or_default().to_owned(),
        status: gateway_status(gateway),
        problem: gateway.state_change_error().map(str::to_owned),
        asn: asn.and_then(|asn| u32::try_from(asn).ok()),
        tags: Tagged::tags(gateway),
    }
}

fn association_view(association: &SdkAssociation) -> DirectConnectAssociation {
    use DirectConnectGatewayAssociationState as State;
    let own = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let other = association.associated_gateway();
    let region = other.and_then(|other| other.region());
    let prefixes = association.allowed_prefixes_to_direct_connect_gateway().iter();
    DirectConnectAssociation {
        id: own(association.association_id()),
        gateway: own(association.direct_connect_gateway_id()),
        associated: own(other.and_then(|other| other.id())),
        region: region.and_then(|region| region.parse().ok()),
        status: match association.association_state() {
            Some(State::Associated) => ResourceStatus::Running,
            Some(State::Associating) => ResourceStatus::Creating,
            Some(State::Updating) => ResourceStatus::Updating,
            Some(State::Disassociating) => ResourceStatus::Deleting,
            Some(State::Disassociated) => ResourceStatus::Deleted,
            _ => ResourceStatus::Unknown,
        },
        problem: association.state_change_error().map(str::to_owned),
        prefixes: prefixes.filter_map(|prefix| prefix.cidr()?.parse().ok()).collect(),
    }
}

/// Refuses what is no id of this service: they are UUIDs.
fn check_uuid(field: &str, id: &str) -> Result<()> {
    uuid::Uuid::parse_str(id).map(drop).map_err(|_| {
        let shown: String = id.chars().take(80).collect();
        Error::invalid(field, format_args!("is '{}'", shown.escape_debug()), "a UUID")
    })
}

/// The service has one code for whatever the caller did wrong; only its words tell that something is not there.
fn told_apart(error: Error) -> Error {
    let absent = ["does not exist", "not found", "could not be found", "unable to find"];
    let words = error.message().to_ascii_lowercase();
    if error.code() != Some("DirectConnectClientException")
        || !absent.iter().any(|phrase| words.contains(phrase))
    {
        return error;
    }
    Error::new(ErrorKind::NotFound, error.message()).with_code("DirectConnectClientException")
}

/// The token of the next page. A server that repeats one would never end the listing.
fn next_page(next: Option<String>, last: Option<&String>) -> Option<String> {
    next.filter(|next| !next.is_empty() && Some(next) != last)
}

async fn gateways(client: &Client) -> Result<Vec<SdkGateway>> {
    let (mut all, mut token) = (Vec::new(), None);
    loop {
        let call = client.describe_direct_connect_gateways().set_next_token(token.clone());
        let answer = call.send().await.map_err(reads(SERVICE))?;
        all.extend(answer.direct_connect_gateways.unwrap_or_default());
        token = next_page(answer.next_token, token.as_ref());
        if token.is_none() {
            return Ok(all);
        }
    }
}

async fn associations(client: &Client, gateway: &str) -> Result<Vec<SdkAssociation>> {
    let (mut all, mut token) = (Vec::new(), None);
    loop {
        let call = client.describe_direct_connect_gateway_associations();
        let call = call.direct_connect_gateway_id(gateway).set_next_token(token.clone());
        let answer = call.send().await.map_err(reads(SERVICE)).map_err(told_apart)?;
        all.extend(answer.direct_connect_gateway_associations.unwrap_or_default());
        token = next_page(answer.next_token, token.as_ref());
        if token.is_none() {
            return Ok(all);
        }
    }
}

async fn drop_gateway(client: &Client, id: &str) -> Result<()> {
    let call = client.delete_direct_connect_gateway().direct_connect_gateway_id(id);
    call.send().await.map_err(writes(SERVICE)).map_err(told_apart)?;
    Ok(())
}

impl AwsNetwork {
    /// The service answers in every region alike; the first one that this cloud is set up for is asked.
    fn direct_connect(&self) -> Result<Client> {
        let region = self.account.regions().first().cloned();
        let region = region.map_or_else(|| Region::new(GLOBAL), Ok)?;
        self.account.directconnect(&region)
    }

    /// Creates a Direct Connect gateway.
    ///
    /// # Errors
    /// Any.
    ///
    /// ```no_run
    /// # use cloud_aws::{AwsCloud, DirectConnectGatewaySpec};
    /// # use cloud_core::{ClientToken, Result};
    /// async fn lines(aws: &AwsCloud, vpn_gateway: &str) -> Result<()> {
    ///     let network = aws.aws_network();
    ///     let spec = DirectConnectGatewaySpec::new("lines", 64_600);
    ///     let made = network.create_direct_connect_gateway(&spec, &ClientToken::random()).await?;
    ///     let prefixes = ["10.0.0.0/16".parse().unwrap()];
    ///     network.associate_direct_connect(&made.id, vpn_gateway, &prefixes).await?;
    ///     Ok(())
    /// }
    /// ```
    pub async fn create_direct_connect_gateway(
        &self,
        spec: &DirectConnectGatewaySpec,
        token: &ClientToken,
    ) -> Result<DirectConnectGateway> {
        let made = async {
            spec.validate()?;
            let client = &self.direct_connect()?;
            self.once("Direct Connect gateway", spec, token, |request| async move {
                let pairs = tags::for_create(&spec.tags, &request)?.into_iter();
                let pairs = pairs.map(|(key, value)| Tag::builder().key(key).value(value).build());
                let pairs = pairs.collect::<Result<Vec<_>, _>>().map_err(unbuilt)?;
                let made = create_once(
                    &self.settled,
                    &request,
                    || async {
                        let mut all = gateways(client).await?;
                        all.retain(|gateway| !gateway_status(gateway).is_gone());
                        Ok(all)
                    },
                    async {
                        let call = client
                            .create_direct_connect_gateway()
                            .direct_connect_gateway_name(&spec.name)
                            .amazon_side_asn(spec.asn.into())
                            .set_tags(Some(pairs));
                        let answer = call.send().await.map_err(writes(SERVICE))?;
                        answer.direct_connect_gateway.ok_or_else(|| absent("directConnectGateway"))
                    },
                    |gateway| async move { drop_gateway(client, gateway.native()).await },
                );
                Ok(gateway_view(&made.await?.item))
            })
            .await
        };
        made.await.map_err(self.account.in_call("network.create_direct_connect_gateway"))
    }

    /// The Direct Connect gateways of the account.
    ///
    /// # Errors
    /// Any.
    pub async fn list_direct_connect_gateways(&self) -> Result<Vec<DirectConnectGateway>> {
        let read = async {
            Ok(gateways(&self.direct_connect()?).await?.iter().map(gateway_view).collect())
        };
        read.await.map_err(self.account.in_call("network.list_direct_connect_gateways"))
    }

    /// Deletes a Direct Connect gateway. `true` if it was there.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) while something is associated with it: the service tells no other error, or any.
    pub async fn delete_direct_connect_gateway(&self, id: &str) -> Result<bool> {
        let gone = async {
            check_uuid("Direct Connect gateway", id)?;
            let client = self.direct_connect()?;
            let mut there = gateways(&client).await?.into_iter();
            let there = there.find(|gateway| gateway.native() == id);
            match there {
                Some(gateway) if !gateway_status(&gateway).is_gone() => {
                    deleted(drop_gateway(&client, id).await)
                }
                _ => Ok(false),
            }
        };
        gone.await.map_err(self.account.in_call("network.delete_direct_connect_gateway"))
    }

    /// Associates a Direct Connect gateway with a VPN or transit gateway. It may be so already: then that is returned.
    ///
    /// `prefixes` are the blocks of addresses that are told to the other end of the lines; for a VPN gateway, none tells the
    /// network's own. It takes some minutes; see [`wait_for_direct_connect`](Self::wait_for_direct_connect).
    ///
    /// # Errors
    /// Any.
    pub async fn associate_direct_connect(
        &self,
        gateway: &str,
        with: &str,
        prefixes: &[IpNet],
    ) -> Result<DirectConnectAssociation> {
        let made = async {
            check_uuid("Direct Connect gateway", gateway)?;
            check_id("vgw", with).or_else(|_| check_id("tgw", with))?;
            let client = self.direct_connect()?;
            let there = associations(&client, gateway).await?;
            let there = there.iter().map(association_view);
            let mut there = there.filter(|one| one.associated == with && !one.status.is_gone());
            if let Some(there) = there.next() {
                return Ok(there);
            }
            let prefixes = prefixes.iter();
            let prefixes: Vec<_> = prefixes
                .map(|prefix| RouteFilterPrefix::builder().cidr(prefix.to_string()).build())
                .collect();
            let call = client
                .create_direct_connect_gateway_association()
                .direct_connect_gateway_id(gateway)
                .gateway_id(with)
                .set_add_allowed_prefixes_to_direct_connect_gateway(
                    (!prefixes.is_empty()).then_some(prefixes),
                );
            let answer = call.send().await.map_err(writes(SERVICE)).map_err(told_apart)?;
            let made = answer.direct_connect_gateway_association;
            made.as_ref().map(association_view).ok_or_else(|| absent("association"))
        };
        made.await.map_err(self.account.in_call("network.associate_direct_connect"))
    }

    /// What a Direct Connect gateway is associated with.
    ///
    /// # Errors
    /// Any.
    pub async fn list_direct_connect_associations(
        &self,
        gateway: &str,
    ) -> Result<Vec<DirectConnectAssociation>> {
        let read = async {
            check_uuid("Direct Connect gateway", gateway)?;
            let all = associations(&self.direct_connect()?, gateway).await?;
            Ok(all.iter().map(association_view).collect())
        };
        read.await.map_err(self.account.in_call("network.list_direct_connect_associations"))
    }

    /// Waits until an association is in service.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), [`Timeout`](ErrorKind::Timeout), [`Cancelled`](ErrorKind::Cancelled), or any.
    pub async fn wait_for_direct_connect(
        &self,
        gateway: &str,
        with: &str,
        options: &WaitOptions,
    ) -> Result<DirectConnectAssociation> {
        wait_until(&format!("{gateway} to be associated with {with}"), options, || async {
            let all = self.list_direct_connect_associations(gateway).await?;
            let now = all.into_iter().find(|one| one.associated == with && !one.status.is_gone());
            let now = now.ok_or_else(|| {
                Error::not_found(format_args!("the association of {gateway} with {with}"))
            })?;
            Ok(now.status.is_ready().then_some(now))
        })
        .await
    }

    /// Ends the association of a Direct Connect gateway with a VPN or transit gateway. `true` if there was one.
    ///
    /// # Errors
    /// Any.
    pub async fn disassociate_direct_connect(&self, gateway: &str, from: &str) -> Result<bool> {
        let ended = async {
            check_uuid("Direct Connect gateway", gateway)?;
            let client = self.direct_connect()?;
            let all = super::ec2::found(associations(&client, gateway).await)?;
            let there = all.iter().map(association_view);
            let mut there = there.filter(|one| one.associated == from && !one.status.is_gone());
            let Some(there) = there.next() else {
                return Ok(false);
            };
            let call = client.delete_direct_connect_gateway_association();
            let call = call.association_id(&there.id).send().await;
            deleted(call.map(drop).map_err(writes(SERVICE)).map_err(told_apart))
        };
        ended.await.map_err(self.account.in_call("network.disassociate_direct_connect"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_there_is_not_found() {
        let error = |message: &str| {
            told_apart(
                Error::new(ErrorKind::InvalidInput, message)
                    .with_code("DirectConnectClientException"),
            )
            .kind()
        };
        assert_eq!(error("Direct Connect Gateway abc does not exist"), ErrorKind::NotFound);
        assert_eq!(error("Invalid ASN"), ErrorKind::InvalidInput);
        let other = told_apart(Error::new(ErrorKind::Unavailable, "not found"));
        assert_eq!(other.kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn what_aws_refuses_is_refused_by_its_field() {
        let error = DirectConnectGatewaySpec::new("lines", 7224).validate().unwrap_err();
        assert!(error.to_string().contains("asn is 7224"));
        assert!(check_uuid("gateway", "../..").is_err());
    }
}
