//! Instances against moto: the conformance suite, and what EC2 is asked for.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use cloud_aws::{Architecture, AwsCloud, AwsInstance, OnShutdown, Tenancy};
use cloud_core::{
    ByteSize, ClientToken, Compute, ComputeExt, Effect, ErrorKind, Image, InstanceSize,
    InstanceSpec, ListQuery, Region, ResourceId, ResourceKind, ResourceStatus, Result, SecretRef,
    Tags, Zone,
};

use cloud_rig::{Fault, Kind, Proxy, Reply, What};

use crate::harness::{self, Aws, conform, open};
use crate::overview::of_group;

const REGION: &str = "eu-central-1";

fn region() -> Region {
    harness::region(REGION)
}

/// An instance of a size and an image that need no lookup.
fn spec(name: &str) -> InstanceSpec {
    let mut spec = InstanceSpec::new(name, region());
    spec.size = InstanceSize::Exact("t3.micro".into());
    spec.image = Image::Id("ami-0c000000000000001".into());
    spec
}

fn with(spec: &mut InstanceSpec, change: impl FnOnce(&mut AwsInstance)) {
    let mut settings = AwsInstance::default();
    change(&mut settings);
    spec.overrides.set(&settings).unwrap();
}

/// The parameters of the requests of an operation of EC2.
fn sent(proxy: &Proxy, operation: &str) -> Vec<BTreeMap<String, String>> {
    let requests = proxy.requests().into_iter().filter(|seen| seen.is("ec2", operation));
    requests.map(|seen| url::form_urlencoded::parse(&seen.body).into_owned().collect()).collect()
}

/// What the one RunInstances said.
fn launched(proxy: &Proxy) -> BTreeMap<String, String> {
    let mut sent = sent(proxy, "RunInstances");
    assert_eq!(sent.len(), 1);
    sent.remove(0)
}

fn calls(proxy: &Proxy, service: &str, operation: &str) -> usize {
    proxy.count(|seen| seen.is(service, operation))
}

async fn refused(cloud: &AwsCloud, spec: &InstanceSpec) -> cloud_core::Error {
    let error =
        cloud.aws_compute().create_instance(spec, &ClientToken::random()).await.unwrap_err();
    assert_eq!(error.effect(), Effect::None, "{error:?}");
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_conform() {
    let Some(aws) = Aws::alone_at(Kind::Moto).await else { return };
    conform(&aws, &[], |name| of_group("instance", name)).await;
}

#[tokio::test]
async fn what_is_not_asked_for_is_safe() {
    let Some(Aws { proxy, cloud, .. }) = Aws::at(Kind::Moto).await else { return };
    let compute = cloud.aws_compute();
    let mut spec = spec("safe");
    spec.tags = Tags::new([("team", "orders")]).unwrap();
    let token = ClientToken::random();
    let made = compute.create_instance(&spec, &token).await.unwrap();
    let sent = launched(&proxy);
    for (name, value) in [
        ("ClientToken", token.as_str()),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("InstanceType", "t3.micro"),
        ("ImageId", "ami-0c000000000000001"),
        ("MetadataOptions.HttpTokens", "required"),
        ("MetadataOptions.HttpPutResponseHopLimit", "1"),
        ("NetworkInterface.1.AssociatePublicIpAddress", "false"),
        ("NetworkInterface.1.DeleteOnTermination", "true"),
        ("TagSpecification.1.ResourceType", "instance"),
        ("TagSpecification.2.ResourceType", "volume"),
        ("TagSpecification.3.ResourceType", "network-interface"),
    ] {
        assert_eq!(sent.get(name).map(String::as_str), Some(value), "{name}");
    }
    for absent in [
        "UserData",
        "Placement",
        "InstanceMarketOptions",
        "BlockDeviceMapping",
        "TagSpecification.4",
    ] {
        assert!(!sent.keys().any(|name| name.starts_with(absent)), "{absent}");
    }
    // No image, type or subnet had to be looked up.
    assert_eq!(proxy.requests().len(), 1);

    let now = compute.get_instance(&made.id).await.unwrap();
    assert_eq!((now.name.as_str(), now.status), ("safe", ResourceStatus::Running));
    assert_eq!((&now.tags, now.instance_type.as_str()), (&spec.tags, "t3.micro"));
    assert_eq!(now.addresses.len(), 1, "{:?}", now.addresses);
    // Its volume and its network interface can be found by its tags too.
    let ec2 = cloud.ec2(&region()).unwrap();
    let native = ec2.describe_instances().instance_ids(made.id.native()).send().await.unwrap();
    let native = native.reservations()[0].instances()[0].clone();
    let volume = native.block_device_mappings()[0].ebs().unwrap().volume_id().unwrap();
    let volumes = ec2.describe_volumes().volume_ids(volume).send().await.unwrap();
    let tags = volumes.volumes()[0].tags();
    assert!(tags.iter().any(|tag| tag.key() == Some("team") && tag.value() == Some("orders")));
    assert_eq!(native.metadata_options().unwrap().http_tokens().unwrap().as_str(), "required");
    assert!(compute.delete_instance(&made.id).await.unwrap());
}

#[tokio::test]
async fn every_setting_reaches_ec2() {
    let Some(Aws { proxy, cloud, .. }) = Aws::at(Kind::Moto).await else { return };
    let compute = cloud.aws_compute();
    let mut spec = spec("set");
    (spec.spot, spec.public_ip) = (true, true);
    spec.ssh_key = Some("ops".into());
    spec.zone = Some(Zone::new("eu-central-1b").unwrap());
    with(&mut spec, |settings| {
        settings.encrypted = Some(true);
        settings.kms_key = Some("alias/disks".into());
        settings.root_volume_gib = Some(30);
        settings.allow_imds_v1 = true;
        settings.metadata_hop_limit = Some(2);
        settings.max_spot_price = Some("0.05".into());
        settings.placement_group = Some("near".into());
        settings.tenancy = Some(Tenancy::Dedicated);
        settings.on_shutdown = Some(OnShutdown::Terminate);
    });
    let made = compute.create_instance(&spec, &ClientToken::random()).await.unwrap();
    let sent = launched(&proxy);
    for (name, value) in [
        ("KeyName", "ops"),
        ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
        ("BlockDeviceMapping.1.Ebs.Encrypted", "true"),
        ("BlockDeviceMapping.1.Ebs.KmsKeyId", "alias/disks"),
        ("BlockDeviceMapping.1.Ebs.VolumeSize", "30"),
        ("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true"),
        ("MetadataOptions.HttpTokens", "optional"),
        ("MetadataOptions.HttpPutResponseHopLimit", "2"),
        ("InstanceMarketOptions.MarketType", "spot"),
        ("InstanceMarketOptions.SpotOptions.SpotInstanceType", "one-time"),
        ("InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior", "terminate"),
        ("InstanceMarketOptions.SpotOptions.MaxPrice", "0.05"),
        ("Placement.AvailabilityZone", "eu-central-1b"),
        ("Placement.GroupName", "near"),
        ("Placement.Tenancy", "dedicated"),
        ("InstanceInitiatedShutdownBehavior", "terminate"),
        ("NetworkInterface.1.AssociatePublicIpAddress", "true"),
        ("TagSpecification.4.ResourceType", "spot-instances-request"),
    ] {
        assert_eq!(sent.get(name).map(String::as_str), Some(value), "{name}");
    }
    let now = compute.get_instance(&made.id).await.unwrap();
    assert_eq!(now.zone, spec.zone);
    assert_eq!(now.addresses.len(), 2, "a private and a public one: {:?}", now.addresses);
    assert!(compute.delete_instance(&made.id).await.unwrap());
}

#[tokio::test]
async fn an_instance_with_delete_protection_stays() {
    let Some(Aws { proxy, cloud, .. }) = Aws::at(Kind::Moto).await else { return };
    let compute = cloud.aws_compute();
    let mut spec = spec("kept");
    with(&mut spec, |settings| settings.delete_protection = true);
    let made = compute.create_instance(&spec, &ClientToken::random()).await.unwrap();
    assert_eq!(launched(&proxy)["DisableApiTermination"], "true");
    // moto overlooks it in RunInstances (ec2/responses/instances.py, run_instances).
    compute.set_delete_protection(&made.id, true).await.unwrap();
    let error = compute.delete_instance(&made.id).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Conflict, Effect::None), "{error:?}");
    assert!(compute.get_instance(&made.id).await.unwrap().status.is_ready());
    compute.set_delete_protection(&made.id, false).await.unwrap();
    assert!(compute.delete_instance(&made.id).await.unwrap());
    let id = ResourceId::new(ResourceKind::Instance, region(), "i-0123456789abcdef0").unwrap();
    let gone = compute.set_delete_protection(&id, true);
    assert_eq!(gone.await.unwrap_err().kind(), ErrorKind::NotFound);
}

/// The answer of Systems Manager, in the form of
/// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html>.
fn parameter(id: &'static str) -> What {
    let body = serde_json::json!({"Parameter": {"Type": "String", "Value": id, "Version": 7}});
    What::answer(Reply::new(200, "application/x-amz-json-1.1", body.to_string()))
}

#[tokio::test]
async fn an_alias_is_the_newest_image_of_its_publisher() {
    let Some(Aws { proxy, cloud, .. }) = Aws::at(Kind::Moto).await else { return };
    let compute = cloud.aws_compute();
    proxy.inject(Fault::on("ssm", "GetParameter", parameter("ami-0aaaaaaaaaaaaaaaa")));
    for (alias, image) in [
        ("ubuntu-22.04", "ami-0aaaaaaaaaaaaaaaa"),
        // moto has no parameters of these, but images; of Ubuntu an older one and a newer of somebody else too.
        ("ubuntu-24.04", "ami-0a000000000000002"),
        ("debian-12", "ami-0d000000000000001"),
        // Of this it has parameters of its own.
        ("amazon-linux-2023", ""),
    ] {
        let mut spec = spec("aliased");
        spec.image = Image::Alias(alias.into());
        let made = compute.create_instance(&spec, &ClientToken::random()).await.unwrap();
        let sent = sent(&proxy, "RunInstances").pop().unwrap();
        assert!(
            sent["ImageId"].starts_with("ami-") && sent["ImageId"].starts_with(image),
            "{sent:?}"
        );
        assert!(compute.delete_instance(&made.id).await.unwrap());
    }
    assert_eq!(calls(&proxy, "ssm", "GetParameter"), 4);
    assert_eq!(calls(&proxy, "ec2", "DescribeImages"), 2);
    // The type's processor decides which image: that of t4g is ARM.
    let mut arm = spec("arm");
    arm.image = Image::Alias("amazon-linux-2023".into());
    arm.size = InstanceSize::Exact("t4g.small".into());
    compute.check_create(&arm).await.unwrap();
    let asked = proxy.requests().into_iter().rfind(|seen| seen.is("ssm", "GetParameter")).unwrap();
    assert!(String::from_utf8_lossy(&asked.body).contains("al2023-ami-kernel-default-arm64"));
    for alias in ["ubuntu-99.04", "windows-2022"] {
        let mut spec = spec("none");
        spec.image = Image::Alias(alias.into());
        let error = refused(&cloud, &spec).await;
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(alias), "{error}");
    }
}

#[tokio::test]
async fn at_least_so_much_is_the_smallest_type_of_the_zone() {
    let Some(Aws { proxy, cloud, .. }) = Aws::at(Kind::Moto).await else { return };
    let compute = cloud.aws_compute();
    let mut spec = spec("sized");
    let size = |vcpu, gib, gpu| InstanceSize::AtLeast { vcpu, memory: ByteSize::gib(gib), gpu };
    for (wanted, arm, chosen) in [
        (size(2, 4, 0), false, "t3.medium"),
        (size(2, 4, 0), true, "t4g.medium"),
        (size(2, 8, 0), false, "t3.large"),
        (size(4, 16, 0), false, "t3.xlarge"),
        // None of 2 vCPUs has so much.
        (size(2, 100, 0), false, "x1e.xlarge"),
    ] {
        spec.size = wanted;
        with(&mut spec, |settings| {
            settings.architecture = arm.then_some(Architecture::Arm64);
        });
        compute.check_create(&spec).await.unwrap();
        assert_eq!(sent(&proxy, "RunInstances").pop().unwrap()["InstanceType"], chosen);
    }
    // Of 2 vCPUs, those of each architecture are asked for once; so are those of 4.
    assert_eq!(calls(&proxy, "ec2", "DescribeInstanceTypes"), 3);
    spec.zone = Some(Zone::new("eu-central-1a").unwrap());
    compute.check_create(&spec).await.unwrap();
    compute.check_create(&spec).await.unwrap();
    assert_eq!(calls(&proxy, "ec2", "DescribeInstanceTypeOfferings"), 1);
    spec.size = size(10_000, 1, 0);
    let error = refused(&cloud, &spec).await;
    assert!(error.to_string().contains("size.at_least"), "{error}");
    spec.zone = Some(Zone::new("eu-central-1x").unwrap());
    let error = refused(&cloud, &spec).await;
    assert!(error.to_string().contains("eu-central-1a, eu-central-1b"), "{error}");
    assert!(sent(&proxy, "RunInstances").iter().all(|sent| sent["DryRun"] == "true"));
}

#[tokio::test]
async fn a_token_is_one_instance_across_processes() {
    let Some(Aws { emulator, proxy, cloud }) = Aws::at(Kind::Moto).await else { return };
    let mut spec = spec("once");
    spec.image = Image::Alias("ubuntu-24.04".into());
    let token = ClientToken::random();
    proxy.inject(Fault::on("ssm", "GetParameter", parameter("ami-0aaaaaaaaaaaaaaaa")));
    let made = cloud.aws_compute().create_instance(&spec, &token).await.unwrap();
    // Another process, which remembers nothing; and there is a newer image by now, so its request differs.
    let again = open(&proxy.url(), emulator.keys()).await;
    proxy.inject(Fault::on("ssm", "GetParameter", parameter("ami-0bbbbbbbbbbbbbbbb")));
    let same = again.aws_compute().create_instance(&spec, &token).await.unwrap();
    assert_eq!(same.id, made.id);
    // A third, with another spec.
    let other = open(&proxy.url(), emulator.keys()).await;
    proxy.inject(Fault::on("ssm", "GetParameter", parameter("ami-0aaaaaaaaaaaaaaaa")));
    spec.name = "twice".into();
    let error = other.aws_compute().create_instance(&spec, &token).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Conflict, Effect::None), "{error:?}");
    let query = ListQuery::in_region(region());
    let compute = cloud.aws_compute();
    let all = compute.list_instances(&query).complete().await.unwrap().into_items();
    assert_eq!(all.iter().filter(|i| ["once", "twice"].contains(&&*i.name)).count(), 1);
    assert!(compute.delete_instance(&made.id).await.unwrap());
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_one_instance() {
    let Some(Aws { proxy, cloud, .. }) = Aws::at(Kind::Moto).await else { return };
    let compute = cloud.aws_compute();
    for (name, what, effect) in [
        ("lost-1", What::ForwardThenDrop, Effect::Unknown),
        ("lost-2", What::Drop, Effect::Unknown),
        ("lost-3", What::internal_error(), Effect::Unknown),
        ("lost-4", What::throttled(), Effect::None),
        ("lost-5", What::error(500, "InsufficientInstanceCapacity", "none left"), Effect::None),
    ] {
        proxy.inject(Fault::on("ec2", "RunInstances", what));
        let (spec, token) = (spec(name), ClientToken::random());
        let error = compute.create_instance(&spec, &token).await.unwrap_err();
        assert_eq!(error.effect(), effect, "{name}: {error:?}");
        assert_eq!(error.operation(), Some("compute.create_instance"));
        let made = compute.create_instance(&spec, &token).await.unwrap();
        let query = ListQuery { name: Some(name.into()), ..ListQuery::default() };
        let all = compute.list_instances(&query).complete().await.unwrap().into_items();
        assert_eq!(all.iter().map(|i| &i.id).collect::<Vec<_>>(), [&made.id], "{name}");
        assert!(compute.delete_instance(&made.id).await.unwrap());
    }
}

#[tokio::test]
async fn a_dry_run_makes_nothing() {
    let Some(Aws { emulator, proxy, cloud }) = Aws::at(Kind::Moto).await else { return };
    let compute = cloud.aws_compute();
    compute.check_create(&spec("dry")).await.unwrap();
    let query = ListQuery { name: Some("dry".into()), ..ListQuery::default() };
    assert!(compute.list_instances(&query).complete().await.unwrap().items().is_empty());
    let denied = open(&proxy.url(), emulator.denied().unwrap()).await;
    for error in [
        denied.aws_compute().check_create(&spec("dry")).await.unwrap_err(),
        denied
            .aws_compute()
            .create_instance(&spec("dry"), &ClientToken::random())
            .await
            .unwrap_err(),
    ] {
        assert_eq!(
            (error.kind(), error.effect()),
            (ErrorKind::PermissionDenied, Effect::None),
            "{error:?}"
        );
    }
    let mut wrong = spec("dry");
    with(&mut wrong, |settings| settings.instance_profile = Some("no-such-profile".into()));
    let error = compute.check_create(&wrong).await.unwrap_err();
    assert_eq!(error.effect(), Effect::None, "{error:?}");
}

#[tokio::test]
async fn a_place_is_a_subnet_of_the_network_in_the_zone() {
    let Some(Aws { emulator, proxy, cloud }) = Aws::at(Kind::Moto).await else { return };
    let compute = cloud.aws_compute();
    let native = emulator.network(REGION);
    let network = ResourceId::new(ResourceKind::Network, region(), &*native.vpc).unwrap();
    let group = ResourceId::new(ResourceKind::Firewall, region(), &*native.security_group).unwrap();
    let mut spec = spec("placed");
    (spec.network, spec.firewalls) = (Some(network), vec![group.clone()]);
    spec.zone = Some(Zone::new("eu-central-1b").unwrap());
    let made = compute.create_instance(&spec, &ClientToken::random()).await.unwrap();
    let request = launched(&proxy);
    assert!(native.subnets.contains(&request["NetworkInterface.1.SubnetId"]));
    assert_eq!(request["NetworkInterface.1.SecurityGroupId.1"], native.security_group);
    assert_eq!(compute.get_instance(&made.id).await.unwrap().zone, spec.zone);
    assert!(compute.delete_instance(&made.id).await.unwrap());

    spec.subnet = Some(native.subnets[0].clone());
    spec.zone = None;
    compute.check_create(&spec).await.unwrap();
    assert_eq!(
        sent(&proxy, "RunInstances").pop().unwrap()["NetworkInterface.1.SubnetId"],
        native.subnets[0]
    );
    spec.subnet = Some("no-such-subnet".into());
    let error = refused(&cloud, &spec).await;
    assert!(error.to_string().contains("subnet is 'no-such-subnet'"), "{error}");
    (spec.subnet, spec.zone) = (None, Some(Zone::new("eu-central-1x").unwrap()));
    let error = refused(&cloud, &spec).await;
    assert!(error.to_string().contains("zone is 'eu-central-1x'"), "{error}");
    (spec.zone, spec.network) = (None, None);
    spec.firewalls = vec![
        ResourceId::new(ResourceKind::Firewall, Region::new("us-east-1").unwrap(), group.native())
            .unwrap(),
    ];
    let error = refused(&cloud, &spec).await;
    assert!(error.to_string().contains("firewalls"), "{error}");
}

#[tokio::test]
async fn a_command_is_in_the_user_data_and_a_secret_only_when_it_may_be() {
    let Some(Aws { proxy, cloud, .. }) = Aws::at(Kind::Moto).await else { return };
    let compute = cloud.aws_compute();
    let mut spec = spec("commanded");
    spec.command = vec!["/usr/bin/web".into(), "--it's".into()];
    spec.environment.insert("HOST".into(), "::".into());
    spec.ports.insert("PORT".into(), 8080);
    spec.user_data = Some("#cloud-config\npackages: [nginx]\n".into());
    spec.secret_environment.insert("PASSWORD".into(), SecretRef::Value("hunter2-hunter2".into()));
    let error = refused(&cloud, &spec).await;
    assert!(error.to_string().contains("secrets_in_user_data"), "{error}");
    assert!(proxy.requests().is_empty(), "it was refused before any call");
    with(&mut spec, |settings| settings.secrets_in_user_data = true);
    let made = compute.create_instance(&spec, &ClientToken::random()).await.unwrap();
    let data = BASE64_STANDARD.decode(&launched(&proxy)["UserData"]).unwrap();
    let data = String::from_utf8(data).unwrap();
    for part in [
        "Content-Type: text/cloud-config",
        "packages: [nginx]",
        "export PORT=",
        "hunter2-hunter2",
        "multicloud-command.service",
    ] {
        assert!(data.contains(part), "{part}: {data}");
    }
    // An error of the call that carries it does not show it.
    proxy.inject(Fault::on("ec2", "RunInstances", What::bad_gateway()));
    let error = compute.create_instance(&spec, &ClientToken::random()).await.unwrap_err();
    assert!(!format!("{error:?} {error}").contains("hunter2"));
    let encoded = BASE64_STANDARD.encode("hunter2-hunter2");
    assert!(!format!("{error:?}").contains(&encoded[..12]));
    assert!(compute.delete_instance(&made.id).await.unwrap());
}

#[tokio::test]
async fn a_console_that_is_no_nitro_gives_its_last_snapshot() {
    let Some(Aws { proxy, cloud, .. }) = Aws::at(Kind::Moto).await else { return };
    let compute = cloud.aws_compute();
    let made = compute.create_instance(&spec("console"), &ClientToken::random()).await.unwrap();
    proxy.inject(Fault::on(
        "ec2",
        "GetConsoleOutput",
        What::error(400, "UnsupportedOperation", "not Nitro"),
    ));
    let output = compute.console_output(&made.id).await.unwrap();
    assert!(output.starts_with(b"Linux version"), "{output:?}");
    let asked = sent(&proxy, "GetConsoleOutput");
    assert_eq!(
        asked.iter().map(|sent| sent.get("Latest").cloned()).collect::<Vec<_>>(),
        [Some("true".into()), None]
    );
    // What is longer than is promised loses its beginning.
    let long = format!("{}end", "x".repeat(70_000));
    let body = format!(
        "<GetConsoleOutputResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>r</requestId><instanceId>{}</instanceId><timestamp>2026-01-01T00:00:00Z</timestamp><output>{}</output></GetConsoleOutputResponse>",
        made.id.native(),
        BASE64_STANDARD.encode(long)
    );
    proxy.inject(Fault::on(
        "ec2",
        "GetConsoleOutput",
        What::answer(Reply::new(200, "text/xml", body)),
    ));
    let output = compute.console_output(&made.id).await.unwrap();
    assert!(output.len() == 64 * 1024 && output.ends_with(b"xend"));
    assert!(compute.delete_instance(&made.id).await.unwrap());
}

/// What EC2 says of an instance that could not be started, in the form of
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html>.
#[tokio::test]
async fn a_failed_start_says_why() {
    let Some(Aws { proxy, cloud, .. }) = Aws::at(Kind::Moto).await else { return };
    let compute = cloud.aws_compute();
    let answer = || {
        let body = r#"<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>
            <reservationSet><item><reservationId>r-1</reservationId><instancesSet><item>
            <instanceId>i-0123456789abcdef0</instanceId><instanceState><code>48</code><name>terminated</name></instanceState>
            <reason>Server.InsufficientInstanceCapacity</reason><instanceType>p5.48xlarge</instanceType>
            <launchTime>2026-01-01T00:00:00.000Z</launchTime>
            <placement><availabilityZone>eu-central-1a</availabilityZone></placement>
            <stateReason><code>Server.InsufficientInstanceCapacity</code>
            <message>Server.InsufficientInstanceCapacity: no capacity</message></stateReason>
            </item></instancesSet></item></reservationSet></DescribeInstancesResponse>"#;
        Reply::new(200, "text/xml", body)
    };
    let id = ResourceId::new(ResourceKind::Instance, region(), "i-0123456789abcdef0").unwrap();
    proxy.inject(Fault::on("ec2", "DescribeInstances", What::answer(answer())));
    let instance = compute.get_instance(&id).await.unwrap();
    assert_eq!(instance.status, ResourceStatus::Deleted);
    assert_eq!(
        instance.status_reason.as_deref(),
        Some("Server.InsufficientInstanceCapacity: no capacity")
    );
    assert_eq!(
        (instance.name.as_str(), instance.zone.unwrap().as_str()),
        (id.native(), "eu-central-1a")
    );
    proxy.inject(Fault::on("ec2", "DescribeInstances", What::answer(answer())));
    assert_eq!(compute.start_instance(&id).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_listing_of_all_regions_has_the_instances_of_each() -> Result<()> {
    let Some(aws) = Aws::at(Kind::Moto).await else { return Ok(()) };
    let cloud = &aws.cloud;
    let compute = cloud.aws_compute();
    let tags = Tags::new([("suite", "two-regions")])?;
    let mut made = Vec::new();
    for (number, place) in
        [REGION, "us-east-1", REGION, REGION, "us-east-1"].into_iter().enumerate()
    {
        let mut spec = spec(&format!("spread-{number}"));
        (spec.region, spec.tags) = (Region::new(place)?, tags.clone());
        made.push(compute.create_instance(&spec, &ClientToken::random()).await?.id);
    }
    let found = compute.list_instances(&ListQuery::tagged(tags.clone())).complete().await?;
    let mut found: Vec<_> = found.into_items().into_iter().map(|i| i.id).collect();
    made.sort();
    found.sort();
    assert_eq!(found, made);
    for id in &made {
        assert!(compute.delete_instance(id).await?);
        assert!(!compute.delete_instance(id).await?);
    }
    let left = compute.list_instances(&ListQuery::tagged(tags)).complete().await?;
    assert!(left.items().is_empty(), "what is terminated is not listed");
    Ok(())
}
