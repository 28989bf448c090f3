//! The request that makes an instance.

use aws_sdk_ec2::{
    operation::run_instances::builders::RunInstancesFluentBuilder,
    types::{
        BlockDeviceMapping, EbsBlockDevice, HttpTokensState, IamInstanceProfileSpecification,
        InstanceInterruptionBehavior, InstanceMarketOptionsRequest, InstanceMetadataEndpointState,
        InstanceMetadataOptionsRequest, InstanceNetworkInterfaceSpecification, InstanceType,
        MarketType, Placement, ResourceType, SpotInstanceType, SpotMarketOptions, Tag,
        TagSpecification,
    },
};
use cloud_core::{Error, Image, InstanceSpec, ResourceKind, Result};

use super::{
    images,
    settings::AwsInstance,
    types::{Place, Types},
    user_data,
};
use crate::{account::Account, tags, tokens::Request, vpc};

/// Refuses what can be refused before any call, and gives the settings.
pub(super) fn check(account: &Account, spec: &InstanceSpec) -> Result<AwsInstance> {
    account.check_region(&spec.region)?;
    tags::check_named(&spec.tags)?;
    images::check(&spec.image)?;
    user_data::check(spec)?;
    let others = spec.network.iter().map(|id| ("network", id));
    for (field, id) in others.chain(spec.firewalls.iter().map(|id| ("firewalls", id))) {
        if id.region != spec.region {
            return Err(Error::invalid(
                field,
                format_args!("'{id}' is of another region"),
                format_args!("one of '{}', where the instance is", spec.region),
            ));
        }
    }
    for id in &spec.firewalls {
        id.expect_kind(ResourceKind::Firewall)?;
    }
    AwsInstance::of(spec)
}

/// The request, with all that has to be looked up for it. Nothing but reads is sent.
///
/// The same spec gives the same request as long as what is on offer is the same: EC2 refuses a token whose request differs.
pub(super) async fn request(
    account: &Account,
    types: &Types,
    spec: &InstanceSpec,
    settings: &AwsInstance,
    request: &Request,
) -> Result<RunInstancesFluentBuilder> {
    let region = &spec.region;
    let data = user_data::of(spec).await?;
    let subnet = subnet(account, spec).await?;
    let zone = subnet.as_ref().and_then(|subnet| subnet.zone.as_deref());
    let place = Place {
        zone: zone.or(spec.zone.as_ref().map(|zone| zone.as_str())),
        spot: spec.spot,
        architecture: settings.architecture,
        architecture_matters: matches!(spec.image, Image::Alias(_)),
    };
    let (instance_type, architecture) = types.resolve(account, region, &spec.size, place).await?;
    let image = images::resolve(account, region, &spec.image, architecture).await?;
    let root = root_volume(account, spec, settings, &image).await?;
    let profile = settings.instance_profile.as_ref().map(|profile| {
        let builder = IamInstanceProfileSpecification::builder();
        match profile.starts_with("arn:") {
            true => builder.arn(profile).build(),
            false => builder.name(profile).build(),
        }
    });
    Ok(account
        .ec2(region)?
        .run_instances()
        .client_token(request.token.as_str())
        .min_count(1)
        .max_count(1)
        .instance_type(InstanceType::from(instance_type.as_str()))
        .image_id(image)
        .set_block_device_mappings(root.map(|root| vec![root]))
        .set_user_data(data)
        .set_key_name(spec.ssh_key.clone())
        .set_iam_instance_profile(profile)
        .network_interfaces(interface(spec, subnet.map(|subnet| subnet.id)))
        .set_placement(placement(spec, settings))
        .set_instance_market_options(market(spec, settings))
        .metadata_options(metadata(settings))
        .set_instance_initiated_shutdown_behavior(settings.on_shutdown.map(Into::into))
        .set_disable_api_termination(settings.delete_protection.then_some(true))
        .set_tag_specifications(Some(tag_specifications(spec, request)?)))
}

/// The subnet that the spec names or leaves open; `None` is the default subnet of the zone, which EC2 chooses itself.
async fn subnet(account: &Account, spec: &InstanceSpec) -> Result<Option<vpc::SubnetOf>> {
    if spec.network.is_none() && spec.subnet.is_none() {
        return Ok(None);
    }
    let all = vpc::subnets(account, &spec.region, spec.network.as_ref()).await?;
    let named = |subnet: &&vpc::SubnetOf| match &spec.subnet {
        None => true,
        Some(name) => subnet.name.as_ref() == Some(name) || subnet.id == *name,
    };
    let in_zone = |subnet: &&vpc::SubnetOf| {
        spec.zone.as_ref().is_none_or(|zone| subnet.zone.as_deref() == Some(zone.as_str()))
    };
    if let Some(found) = all.iter().find(|subnet| named(subnet) && in_zone(subnet)) {
        return Ok(Some(found.clone()));
    }
    let list = |texts: Vec<String>| match texts.is_empty() {
        true => "a network that has subnets".to_owned(),
        false => texts.join(", "),
    };
    let (field, problem, accepted) = match (&spec.subnet, &spec.zone) {
        (Some(name), _) if !all.iter().any(|subnet| named(&subnet)) => {
            let names = all.iter().map(|s| s.name.clone().unwrap_or_else(|| s.id.clone()));
            ("subnet", format!("is '{name}'"), list(names.collect()))
        }
        (_, Some(zone)) => {
            let mut zones: Vec<_> =
                all.iter().filter(named).filter_map(|s| s.zone.clone()).collect();
            zones.sort();
            zones.dedup();
            ("zone", format!("is '{zone}', which has none of its subnets"), list(zones))
        }
        _ => ("network", "has no subnet".to_owned(), list(Vec::new())),
    };
    Err(Error::invalid(field, problem, accepted))
}

/// The settings of the root volume, if there are any; else it is as the image and the account say.
async fn root_volume(
    account: &Account,
    spec: &InstanceSpec,
    settings: &AwsInstance,
    image: &str,
) -> Result<Option<BlockDeviceMapping>> {
    if settings.encrypted.is_none() && settings.root_volume_gib.is_none() {
        return Ok(None);
    }
    let (device, size) = images::root(account, &spec.region, image).await?;
    let wanted = settings.root_volume_gib.and_then(|gib| i32::try_from(gib).ok());
    let volume = EbsBlockDevice::builder()
        .delete_on_termination(true)
        .set_volume_size(wanted.or(size))
        .set_encrypted(settings.encrypted)
        .set_kms_key_id(settings.kms_key.clone())
        .build();
    Ok(Some(BlockDeviceMapping::builder().device_name(device).ebs(volume).build()))
}

/// The one network interface. Only here a public address can be refused that the subnet would give by itself.
fn interface(spec: &InstanceSpec, subnet: Option<String>) -> InstanceNetworkInterfaceSpecification {
    let groups: Vec<_> = spec.firewalls.iter().map(|id| id.native().to_owned()).collect();
    InstanceNetworkInterfaceSpecification::builder()
        .device_index(0)
        .associate_public_ip_address(spec.public_ip)
        .delete_on_termination(true)
        .set_groups((!groups.is_empty()).then_some(groups))
        .set_subnet_id(subnet)
        .build()
}

fn placement(spec: &InstanceSpec, settings: &AwsInstance) -> Option<Placement> {
    let any = spec.zone.is_some() || settings.placement_group.is_some();
    (any || settings.tenancy.is_some()).then(|| {
        Placement::builder()
            .set_availability_zone(spec.zone.as_ref().map(ToString::to_string))
            .set_group_name(settings.placement_group.clone())
            .set_tenancy(settings.tenancy.map(Into::into))
            .build()
    })
}

/// A spot instance that is not replaced once it was taken away.
fn market(spec: &InstanceSpec, settings: &AwsInstance) -> Option<InstanceMarketOptionsRequest> {
    spec.spot.then(|| {
        let spot = SpotMarketOptions::builder()
            .spot_instance_type(SpotInstanceType::OneTime)
            .instance_interruption_behavior(InstanceInterruptionBehavior::Terminate)
            .set_max_price(settings.max_spot_price.clone())
            .build();
        InstanceMarketOptionsRequest::builder()
            .market_type(MarketType::Spot)
            .spot_options(spot)
            .build()
    })
}

fn metadata(settings: &AwsInstance) -> InstanceMetadataOptionsRequest {
    let tokens = match settings.allow_imds_v1 {
        true => HttpTokensState::Optional,
        false => HttpTokensState::Required,
    };
    InstanceMetadataOptionsRequest::builder()
        .http_endpoint(InstanceMetadataEndpointState::Enabled)
        .http_tokens(tokens)
        .http_put_response_hop_limit(settings.metadata_hop_limit.unwrap_or(1).into())
        .build()
}

/// The tags of the instance and of all that is made with it.
fn tag_specifications(spec: &InstanceSpec, request: &Request) -> Result<Vec<TagSpecification>> {
    let tags: Vec<_> = tags::for_named(&spec.name, &spec.tags, request)?
        .into_iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect();
    let mut kinds =
        vec![ResourceType::Instance, ResourceType::Volume, ResourceType::NetworkInterface];
    if spec.spot {
        kinds.push(ResourceType::SpotInstancesRequest);
    }
    let of =
        |kind| TagSpecification::builder().resource_type(kind).set_tags(Some(tags.clone())).build();
    Ok(kinds.into_iter().map(of).collect())
}
