//! An instance of EC2 as an [`Instance`].

use std::{collections::BTreeMap, net::IpAddr};

use aws_sdk_ec2::types::{self, InstanceStateName};
use cloud_core::{Instance, Region, ResourceKind, ResourceStatus, Result, Zone};

use crate::{error::absent, listing, tags, time::timestamp};

/// An instance of a region.
pub(super) fn view(region: &Region, native: &types::Instance) -> Result<Instance> {
    let id = native.instance_id().ok_or_else(|| absent("instance id"))?;
    let pairs = native.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value()?)));
    let (name, tags, _) = tags::read_named(pairs);
    let state = native.state().and_then(|state| state.name());
    let zone = native.placement().and_then(|placement| placement.availability_zone());
    Ok(Instance {
        id: listing::id(ResourceKind::Instance, region, id)?,
        // Of those that others made, some have no name.
        name: name.unwrap_or_else(|| id.to_owned()),
        status: status(state),
        provider_status: state.map(InstanceStateName::as_str).unwrap_or_default().to_owned(),
        status_reason: reason(native),
        zone: zone.map(Zone::new).transpose()?,
        instance_type: native.instance_type().map(|t| t.as_str().to_owned()).unwrap_or_default(),
        addresses: addresses(native),
        ports: BTreeMap::new(),
        tags,
        created_at: created_at(native),
    })
}

fn status(state: Option<&InstanceStateName>) -> ResourceStatus {
    match state {
        Some(InstanceStateName::Pending) => ResourceStatus::Creating,
        Some(InstanceStateName::Running) => ResourceStatus::Running,
        Some(InstanceStateName::Stopping) => ResourceStatus::Stopping,
        Some(InstanceStateName::Stopped) => ResourceStatus::Stopped,
        Some(InstanceStateName::ShuttingDown) => ResourceStatus::Deleting,
        Some(InstanceStateName::Terminated) => ResourceStatus::Deleted,
        _ => ResourceStatus::Unknown,
    }
}

fn reason(native: &types::Instance) -> Option<String> {
    let reason = native.state_reason().and_then(|reason| reason.message());
    let reason = reason.filter(|text| !text.is_empty());
    let transition = native.state_transition_reason().filter(|text| !text.is_empty());
    reason.or(transition).map(str::to_owned)
}

/// Private addresses first.
fn addresses(native: &types::Instance) -> Vec<IpAddr> {
    let interfaces = native.network_interfaces();
    let private = interfaces.iter().flat_map(|interface| interface.private_ip_addresses());
    let private = private.filter_map(|address| address.private_ip_address());
    let six = interfaces.iter().flat_map(|interface| interface.ipv6_addresses());
    let six = six.filter_map(|address| address.ipv6_address());
    let mut found: Vec<IpAddr> = Vec::new();
    let all = native.private_ip_address().into_iter().chain(private);
    for address in all.chain(native.public_ip_address()).chain(six) {
        if let Ok(address) = address.parse()
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

/// The launch time is that of the last start; the first network interface was there from the first one on.
fn created_at(native: &types::Instance) -> Option<jiff::Timestamp> {
    let attached = native.network_interfaces().iter().filter_map(|i| i.attachment()?.attach_time());
    attached.chain(native.launch_time()).filter_map(timestamp).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_ec2_has_a_status() {
        use ResourceStatus as S;
        for (state, wanted) in [
            ("pending", S::Creating),
            ("running", S::Running),
            ("stopping", S::Stopping),
            ("stopped", S::Stopped),
            ("shutting-down", S::Deleting),
            ("terminated", S::Deleted),
            ("melted", S::Unknown),
        ] {
            assert_eq!(status(Some(&InstanceStateName::from(state))), wanted, "{state}");
        }
    }

    #[test]
    fn private_addresses_come_first_and_none_twice() {
        let interface = types::InstanceNetworkInterface::builder()
            .private_ip_addresses(
                types::InstancePrivateIpAddress::builder().private_ip_address("10.0.0.5").build(),
            )
            .private_ip_addresses(
                types::InstancePrivateIpAddress::builder().private_ip_address("10.0.0.6").build(),
            )
            .ipv6_addresses(
                types::InstanceIpv6Address::builder().ipv6_address("2001:db8::1").build(),
            )
            .build();
        let native = types::Instance::builder()
            .private_ip_address("10.0.0.5")
            .public_ip_address("203.0.113.9")
            .network_interfaces(interface)
            .build();
        let shown: Vec<_> = addresses(&native).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.5", "10.0.0.6", "203.0.113.9", "2001:db8::1"]);
    }
}
