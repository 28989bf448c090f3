//! Load balancers with listeners, target groups and targets, at moto.

use cloud_aws::{
    BalancerKind, BalancerProtocol, ListenerSpec, LoadBalancerSpec, Target, TargetGroupSpec,
    TargetState,
};
use cloud_core::{
    ClientToken, Effect, ErrorKind, FirewallSpec, Network, NetworkSpec, SubnetSpec, Tags,
    VirtualNetwork, WaitOptions,
};

use cloud_rig::{Fault, Kind, What};

use crate::harness::{Aws, REGIONS, region};

async fn network(aws: &Aws, name: &str, second_octet: u8) -> VirtualNetwork {
    let block =
        |third: u8, length: u8| format!("10.{second_octet}.{third}.0/{length}").parse().unwrap();
    let mut spec = NetworkSpec::new(name, region(REGIONS[0]), block(0, 16));
    spec.subnets = vec![SubnetSpec::new("a", block(0, 24)), SubnetSpec::new("b", block(1, 24))];
    aws.cloud.aws_network().create_network(&spec, &ClientToken::random()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_balanced_over_targets() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let service = aws.cloud.aws_network();
    let place = region(REGIONS[0]);
    let network = network(&aws, "balanced", 30).await;
    let firewall = FirewallSpec::new("balanced", network.id.clone());
    let firewall = service.create_firewall(&firewall, &ClientToken::random()).await.unwrap();

    let subnets = network.subnets.iter().map(|subnet| subnet.native_id.as_str());
    let mut spec = LoadBalancerSpec::new("web", place.clone(), BalancerKind::Application, subnets);
    spec.firewalls = vec![firewall.id];
    spec.tags = Tags::new([("team", "orders")]).unwrap();
    // The answer is lost; the repeated create finds that it made it. Moto takes a second one of a name (the ARN by which it
    // looks for it has a number of its own), so what AWS answers then is put into its mouth.
    let taken = || {
        What::error(400, "DuplicateLoadBalancerName", "A load balancer with the same name exists.")
    };
    let token = ClientToken::random();
    let create = ("elasticloadbalancing", "CreateLoadBalancer");
    aws.proxy.inject(Fault::on(create.0, create.1, What::ForwardThenDrop));
    let error = service.create_load_balancer(&spec, &token).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown);
    aws.proxy.inject(Fault::on(create.0, create.1, taken()));
    let made = service.create_load_balancer(&spec, &token).await.unwrap();
    assert!(!made.internet_facing && made.kind == Some(BalancerKind::Application));
    assert_eq!((made.name.as_str(), &made.tags), ("web", &spec.tags));
    assert_eq!(made.network.as_ref(), Some(&network.id));
    aws.proxy.inject(Fault::on(create.0, create.1, taken()));
    let other = service.create_load_balancer(&spec, &ClientToken::random()).await.unwrap_err();
    assert_eq!((other.kind(), other.effect()), (ErrorKind::AlreadyExists, Effect::None));
    let options = WaitOptions::default();
    let ready = service.wait_for_load_balancer(&made.arn, &options).await.unwrap();
    assert!(service.list_load_balancers(&place).await.unwrap().contains(&ready));

    let mut group = TargetGroupSpec::new("web", network.id.clone(), BalancerProtocol::Http, 8080);
    group.kind = cloud_aws::TargetKind::Ip;
    group.health_check.path = Some("/health".into());
    group.health_check.statuses = Some("200-299".into());
    let token = ClientToken::random();
    let create = ("elasticloadbalancing", "CreateTargetGroup");
    aws.proxy.inject(Fault::on(create.0, create.1, What::ForwardThenDrop));
    service.create_target_group(&group, &token).await.unwrap_err();
    let targets = service.create_target_group(&group, &token).await.unwrap();
    assert_eq!(targets.health_check.as_ref(), Some(&group.health_check));
    assert_eq!((targets.port, &targets.network), (Some(8080), &Some(network.id.clone())));
    let other = service.create_target_group(&group, &ClientToken::random()).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::AlreadyExists);

    let listener = ListenerSpec::new(&made.arn, BalancerProtocol::Http, 80, &targets.arn);
    let token = ClientToken::random();
    let create = ("elasticloadbalancing", "CreateListener");
    aws.proxy.inject(Fault::on(create.0, create.1, What::ForwardThenDrop));
    service.create_listener(&listener, &token).await.unwrap_err();
    // Moto takes a second listener on a port, too: it keeps them by ARN and looks for the port among those.
    let taken = || What::error(400, "DuplicateListener", "A listener already exists on this port.");
    aws.proxy.inject(Fault::on(create.0, create.1, taken()));
    let listening = service.create_listener(&listener, &token).await.unwrap();
    assert_eq!(listening.port, Some(80));
    assert_eq!(listening.target_group.as_ref(), Some(&targets.arn));
    assert_eq!(service.list_listeners(&made.arn).await.unwrap(), std::slice::from_ref(&listening));
    aws.proxy.inject(Fault::on(create.0, create.1, taken()));
    let other = service.create_listener(&listener, &ClientToken::random()).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::AlreadyExists);

    let both = [Target::new("10.30.0.7"), Target { port: Some(9090), ..Target::new("10.30.1.7") }];
    service.register_targets(&targets.arn, &both).await.unwrap();
    service.register_targets(&targets.arn, &both).await.unwrap();
    let health = service.wait_for_targets(&targets.arn, 2, &options).await.unwrap();
    assert_eq!(health.len(), 2);
    service.deregister_targets(&targets.arn, &both[..1]).await.unwrap();
    let health = service.target_health(&targets.arn).await.unwrap();
    let fit: Vec<_> = health.iter().filter(|h| h.state == TargetState::Healthy).collect();
    assert!(fit.len() == 1 && fit[0].target == both[1], "{health:?}");

    let error = service.delete_target_group(&targets.arn).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(service.delete_listener(&listening.arn).await.unwrap());
    assert!(!service.delete_listener(&listening.arn).await.unwrap());
    assert!(service.delete_target_group(&targets.arn).await.unwrap());
    assert!(!service.delete_target_group(&targets.arn).await.unwrap());
    let error = service.get_target_group(&targets.arn).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(service.delete_load_balancer(&made.arn).await.unwrap());
    assert!(!service.delete_load_balancer(&made.arn).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_balancer_takes_two_zones() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let service = aws.cloud.aws_network();
    let mut spec = NetworkSpec::new("narrow", region(REGIONS[0]), "10.31.0.0/16".parse().unwrap());
    spec.subnets = ["10.31.0.0/24", "10.31.1.0/24"]
        .map(|block| SubnetSpec {
            zone: Some("us-east-1a".parse().unwrap()),
            ..SubnetSpec::new(block.replace(['.', '/'], "-"), block.parse().unwrap())
        })
        .into();
    let narrow = service.create_network(&spec, &ClientToken::random()).await.unwrap();
    let subnets = narrow.subnets.iter().map(|subnet| subnet.native_id.as_str());
    let spec =
        LoadBalancerSpec::new("narrow", region(REGIONS[0]), BalancerKind::Application, subnets);
    let error = service.create_load_balancer(&spec, &ClientToken::random()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::None));
    assert!(error.message().contains("us-east-1a"), "{error}");
    let create = |seen: &cloud_rig::Seen| seen.operation == "CreateLoadBalancer";
    assert_eq!(aws.proxy.count(create), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_balancer_is_open_to_the_internet_only_if_asked() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let service = aws.cloud.aws_network();
    let network = network(&aws, "tcp", 32).await;
    let subnets = [network.subnets[0].native_id.as_str()];
    let kind = BalancerKind::Network;
    for (name, internet_facing) in [("inside", false), ("outside", true)] {
        let mut spec = LoadBalancerSpec::new(name, region(REGIONS[0]), kind, subnets);
        spec.internet_facing = internet_facing;
        let made = service.create_load_balancer(&spec, &ClientToken::random()).await.unwrap();
        assert_eq!((made.internet_facing, made.kind), (internet_facing, Some(kind)));
        assert!(service.delete_load_balancer(&made.arn).await.unwrap());
    }
}
