//! Networks, firewalls, peerings: what is checked, and what depends on what.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use cloud_core::{
    ClientToken, Cloud, ErrorKind, FirewallRule, FirewallSpec, NetworkSpec, PeeringSpec, SubnetSpec,
};
use common::{Folder, region, sleeper};

fn network(name: &str, place: &str, cidr: &str) -> NetworkSpec {
    NetworkSpec::new(name, region(place), cidr.parse().unwrap())
}

fn token() -> ClientToken {
    ClientToken::random()
}

#[tokio::test]
async fn addresses_of_a_region_do_not_overlap() {
    let folder = Folder::new();
    let cloud = folder.open().await;
    let networks = cloud.network().unwrap();
    let a = networks.create_network(&network("a", "eu-1", "10.0.0.0/16"), &token()).await.unwrap();
    let error = networks
        .create_network(&network("b", "eu-1", "10.0.128.0/17"), &token())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("overlaps the network 'a'"), "{error}");
    networks.create_network(&network("b", "eu-1", "10.1.0.0/16"), &token()).await.unwrap();
    // Another region is another address plan, until the two are peered.
    let far =
        networks.create_network(&network("a", "us-1", "10.0.0.0/16"), &token()).await.unwrap();
    let peering = PeeringSpec::new("p", a.id.clone(), far.id.clone());
    let error = networks.create_peering(&peering, &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn what_is_used_is_not_deleted() {
    let folder = Folder::new();
    let cloud = folder.open().await;
    let networks = cloud.network().unwrap();
    let compute = cloud.compute().unwrap();
    let mut spec = network("a", "eu-1", "10.0.0.0/16");
    spec.subnets.push(SubnetSpec::new("front", "10.0.1.0/24".parse().unwrap()));
    let a = networks.create_network(&spec, &token()).await.unwrap();
    assert_eq!(a.subnets[0].name, "front");
    let b = networks.create_network(&network("b", "us-1", "10.1.0.0/16"), &token()).await.unwrap();
    let mut web = FirewallSpec::new("web", a.id.clone());
    web.rules.push(FirewallRule::allow_tcp(443, ["0.0.0.0/0".parse().unwrap()]));
    let same = token();
    let web = networks.create_firewall(&web, &same).await.unwrap();
    let peering = PeeringSpec::new("p", a.id.clone(), b.id.clone());
    let peering = networks.create_peering(&peering, &token()).await.unwrap();

    let mut instance = sleeper("i");
    instance.network = Some(a.id.clone());
    instance.subnet = Some("back".into());
    let error = compute.create_instance(&instance, &token()).await.unwrap_err();
    assert!(error.to_string().contains("accepted: front"), "{error}");
    instance.subnet = Some("front".into());
    instance.firewalls.push(web.id.clone());
    let instance = compute.create_instance(&instance, &token()).await.unwrap();

    let in_use = async |id, user: &str| {
        let error = cloud.delete_resource(id, &Default::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains(user), "{error}");
    };
    in_use(&web.id, "instance 'i'").await;
    in_use(&b.id, "peering 'p'").await;
    in_use(&a.id, "firewall 'web'").await;
    compute.delete_instance(&instance.id).await.unwrap();
    assert!(networks.delete_firewall(&web.id).await.unwrap());
    in_use(&a.id, "peering 'p'").await;
    assert!(networks.delete_peering(&peering.id).await.unwrap());
    assert!(networks.delete_network(&a.id).await.unwrap());
    assert!(!networks.delete_network(&a.id).await.unwrap());
    let gone = PeeringSpec::new("p", b.id.clone(), a.id.clone());
    let error = networks.create_peering(&gone, &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = networks.get_network(&web.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}
