//! VPN at moto, its static routes at ministack, transit gateways at moto.

use cloud_aws::{
    CustomerGatewaySpec, TransitAttachmentSpec, TransitGatewaySpec, VpnConnectionSpec, VpnEnd,
    VpnGatewaySpec, VpnRouting, VpnTunnelSpec,
};
use cloud_core::{
    ClientToken, ErrorKind, Network, NetworkSpec, ResourceStatus, SecretRef, SubnetSpec,
    WaitOptions, secret::ExposeSecret,
};

use cloud_rig::{Fault, Kind, What};

use crate::harness::{Aws, REGIONS, region};

/// The same key for every tunnel of these tests.
const KEY: &str = "Iw2IAN9XUsQeYUrk";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vpn_by_bgp() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let service = aws.cloud.aws_network();
    let place = region(REGIONS[0]);
    let network = NetworkSpec::new("office", place.clone(), "10.20.0.0/16".parse().unwrap());
    let network = service.create_network(&network, &ClientToken::random()).await.unwrap();
    let options = WaitOptions::default();

    let mut spec = VpnGatewaySpec::new("office", place.clone());
    spec.asn = Some(64_620);
    let token = ClientToken::random();
    aws.proxy.inject(Fault::on("ec2", "CreateVpnGateway", What::ForwardThenDrop));
    service.create_vpn_gateway(&spec, &token).await.unwrap_err();
    let gateway = service.create_vpn_gateway(&spec, &token).await.unwrap();
    assert_eq!((gateway.name.as_str(), gateway.asn), ("office", Some(64_620)));
    assert_eq!(service.create_vpn_gateway(&spec, &token).await.unwrap().id, gateway.id);
    let made = |seen: &cloud_rig::Seen| seen.is("ec2", "CreateVpnGateway");
    assert_eq!(aws.proxy.count(made), 1);
    service.attach_vpn_gateway(&gateway.id, &network.id, &options).await.unwrap();
    service.attach_vpn_gateway(&gateway.id, &network.id, &options).await.unwrap();
    let there = service.get_vpn_gateway(&place, &gateway.id).await.unwrap();
    assert_eq!(there.network.as_ref(), Some(&network.id));
    // It keeps its network, and cannot go itself.
    let error = service.delete_network(&network.id).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Conflict && error.message().contains(&gateway.id),
        "{error}"
    );
    let error = service.delete_vpn_gateway(&place, &gateway.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);

    let spec = CustomerGatewaySpec::new("device", place.clone(), "203.0.113.7".parse().unwrap());
    let token = ClientToken::random();
    let device = service.create_customer_gateway(&spec, &token).await.unwrap();
    assert_eq!(service.create_customer_gateway(&spec, &token).await.unwrap(), device);
    assert_eq!((device.address, device.asn), (Some(spec.address), Some(65_000)));

    let end = VpnEnd::VpnGateway(gateway.id.clone());
    let mut spec = VpnConnectionSpec::new("office", place.clone(), &device.id, end.clone());
    spec.tunnels = vec![VpnTunnelSpec {
        inside_cidr: Some("169.254.44.40/30".parse().unwrap()),
        pre_shared_key: Some(SecretRef::Value(KEY.into())),
        ike_versions: vec!["ikev2".into()],
        ..VpnTunnelSpec::default()
    }];
    let token = ClientToken::random();
    let connection = service.create_vpn_connection(&spec, &token).await.unwrap();
    assert_eq!(connection.end, Some(end));
    assert_eq!(service.create_vpn_connection(&spec, &token).await.unwrap().id, connection.id);
    let ready = service.wait_for_vpn_connection(&place, &connection.id, &options).await.unwrap();
    assert_eq!(ready.customer_gateway, device.id);
    let listed = service.list_vpn_connections(&place).await.unwrap();
    assert!(listed.iter().any(|there| there.id == connection.id));

    assert!(service.delete_vpn_connection(&place, &connection.id).await.unwrap());
    assert!(!service.delete_vpn_connection(&place, &connection.id).await.unwrap());
    assert!(service.delete_customer_gateway(&place, &device.id).await.unwrap());
    assert!(!service.delete_customer_gateway(&place, &device.id).await.unwrap());
    assert!(service.detach_vpn_gateway(&place, &gateway.id, &options).await.unwrap());
    assert!(!service.detach_vpn_gateway(&place, &gateway.id, &options).await.unwrap());
    assert!(service.delete_vpn_gateway(&place, &gateway.id).await.unwrap());
    assert!(!service.delete_vpn_gateway(&place, &gateway.id).await.unwrap());
    assert!(service.delete_network(&network.id).await.unwrap());
}

/// Moto has neither static routes nor their propagation. Ministack has, but keeps no tags of what belongs to a VPN (it reads
/// those of CreateTags only), so the customer's end is made by the SDK, and nothing is repeated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vpn_by_static_routes() {
    let Some(aws) = Aws::at(Kind::Ministack).await else { return };
    let service = aws.cloud.aws_network();
    let place = region(REGIONS[0]);
    let options = WaitOptions::default();
    let network = NetworkSpec::new("static", place.clone(), "10.22.0.0/16".parse().unwrap());
    let network = service.create_network(&network, &ClientToken::random()).await.unwrap();
    let gateway = VpnGatewaySpec::new("static", place.clone());
    let gateway = service.create_vpn_gateway(&gateway, &ClientToken::random()).await.unwrap();
    service.attach_vpn_gateway(&gateway.id, &network.id, &options).await.unwrap();
    let ec2 = aws.cloud.ec2(&place).unwrap();
    let device = ec2.create_customer_gateway().r#type(aws_sdk_ec2::types::GatewayType::Ipsec1);
    let device = device.ip_address("203.0.113.9").bgp_asn(65_000).send().await.unwrap();
    let device = device.customer_gateway.unwrap().customer_gateway_id.unwrap();

    let end = VpnEnd::VpnGateway(gateway.id.clone());
    let mut spec = VpnConnectionSpec::new("static", place.clone(), device, end);
    let behind = "192.168.0.0/16".parse().unwrap();
    spec.routing = VpnRouting::Static(vec![behind]);
    let made = service.create_vpn_connection(&spec, &ClientToken::random()).await.unwrap();
    assert!(made.static_routes_only);
    assert_eq!(made.routes, [behind]);
    let more = "192.0.2.0/24".parse().unwrap();
    service.add_vpn_route(&place, &made.id, more).await.unwrap();
    let now = service.get_vpn_connection(&place, &made.id).await.unwrap();
    assert_eq!(now.routes, [behind, more]);
    assert!(service.remove_vpn_route(&place, &made.id, more).await.unwrap());
    let now = service.get_vpn_connection(&place, &made.id).await.unwrap();
    assert_eq!(now.routes, [behind]);

    let main = service.list_route_tables(&network.id).await.unwrap();
    let main = main.into_iter().find(|table| table.main).unwrap();
    for on in [true, true, false] {
        service.propagate_routes(&place, &main.id, &gateway.id, on).await.unwrap();
    }
    assert!(service.delete_vpn_connection(&place, &made.id).await.unwrap());
    assert!(service.detach_vpn_gateway(&place, &gateway.id, &options).await.unwrap());
    assert!(service.delete_vpn_gateway(&place, &gateway.id).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tunnels_are_read_from_what_moto_gives_out() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let service = aws.cloud.aws_network();
    let place = region(REGIONS[0]);
    let gateway = VpnGatewaySpec::new("tunnels", place.clone());
    let gateway = service.create_vpn_gateway(&gateway, &ClientToken::random()).await.unwrap();
    let device = CustomerGatewaySpec::new("tunnels", place.clone(), "203.0.113.8".parse().unwrap());
    let device = service.create_customer_gateway(&device, &ClientToken::random()).await.unwrap();
    let end = VpnEnd::VpnGateway(gateway.id);
    let spec = VpnConnectionSpec::new("tunnels", place.clone(), device.id, end);
    let made = service.create_vpn_connection(&spec, &ClientToken::random()).await.unwrap();
    let tunnels = service.vpn_tunnels(&place, &made.id).await.unwrap();
    assert_eq!(tunnels.len(), 2);
    let tunnel = &tunnels[0];
    assert_eq!(tunnel.customer.outside.to_string(), "12.1.2.3");
    assert_eq!(tunnel.customer.inside.to_string(), "169.254.44.42");
    assert_eq!(tunnel.aws.network.to_string(), "169.254.44.40/30");
    assert_eq!((tunnel.customer.asn, tunnel.aws.asn), (Some(65_000), Some(7224)));
    assert_eq!((tunnel.ike.lifetime_seconds, tunnel.ipsec.lifetime_seconds), (28_800, 3600));
    assert_eq!(tunnel.ike.dh_group.as_deref(), Some("group2"));
    assert_eq!(tunnel.ipsec.tcp_mss, Some(1387));
    let detection = tunnel.ipsec.dead_peer_detection.unwrap();
    assert_eq!((detection.interval_seconds, detection.retries), (10, 3));
    let key = tunnel.ike.pre_shared_key.as_ref().unwrap();
    assert_eq!(key.expose_secret().len(), 32);
    assert!(!format!("{tunnels:?}").contains(key.expose_secret()));
    service.delete_vpn_connection(&place, &made.id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transit_gateway_joins_networks() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let service = aws.cloud.aws_network();
    let place = region(REGIONS[0]);
    let options = WaitOptions::default();
    let mut network = NetworkSpec::new("joined", place.clone(), "10.21.0.0/16".parse().unwrap());
    network.subnets.push(SubnetSpec::new("a", "10.21.0.0/24".parse().unwrap()));
    let network = service.create_network(&network, &ClientToken::random()).await.unwrap();

    let mut spec = TransitGatewaySpec::new("hub", place.clone());
    spec.asn = Some(64_700);
    let token = ClientToken::random();
    aws.proxy.inject(Fault::on("ec2", "CreateTransitGateway", What::ForwardThenDrop));
    service.create_transit_gateway(&spec, &token).await.unwrap_err();
    let hub = service.create_transit_gateway(&spec, &token).await.unwrap();
    let made = |seen: &cloud_rig::Seen| seen.is("ec2", "CreateTransitGateway");
    assert_eq!(aws.proxy.count(made), 1);
    let hub = service.wait_for_transit_gateway(&place, &hub.id, &options).await.unwrap();
    assert_eq!(hub.asn, Some(64_700));
    assert!(service.list_transit_gateways(&place).await.unwrap().contains(&hub));

    let subnets = network.subnets.iter().map(|subnet| subnet.native_id.as_str());
    let spec = TransitAttachmentSpec::new("joined", &hub.id, network.id.clone(), subnets);
    // Moto keeps no tags of attachments (it reads them under the name of another kind), so a repeated create in another
    // process cannot be tried here.
    let joined = service.create_transit_attachment(&spec, &ClientToken::random()).await.unwrap();
    let joined = service.wait_for_transit_attachment(&place, &joined.id, &options).await.unwrap();
    assert_eq!((&joined.network, &joined.subnets), (&network.id, &spec.subnets));
    let all = service.list_transit_attachments(&place, &hub.id).await.unwrap();
    assert!(all.iter().any(|one| one.id == joined.id));
    assert!(service.delete_transit_attachment(&place, &joined.id).await.unwrap());
    let now = service.get_transit_attachment(&place, &joined.id).await;
    assert!(now.map_or_else(
        |error| error.kind() == ErrorKind::NotFound,
        |one| matches!(one.status, ResourceStatus::Deleting | ResourceStatus::Deleted),
    ));
    assert!(service.delete_transit_gateway(&place, &hub.id).await.unwrap());
    assert!(!service.delete_transit_gateway(&place, &hub.id).await.unwrap());
}
