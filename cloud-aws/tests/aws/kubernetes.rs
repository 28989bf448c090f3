//! EKS: the conformance suite, node pools in their order, what is undone and what is gone on with, tokens that STS takes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use cloud_aws::AwsCluster;
use cloud_core::{
    ByteSize, ClientToken, Cloud, ClusterSpec, Effect, ErrorKind, InstanceSize, Kubernetes,
    KubernetesExt, ListQuery, NodePoolSpec, ResourceId, ResourceKind, ResourceStatus, Retry, Tags,
    secret::ExposeSecret,
};
use cloud_rig::{Emulator, Fault, Kind, Reply, Seen, What};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use url::Url;

use crate::harness::{Aws, REGIONS, conform, region};
use crate::overview::of_group;

/// A cluster with a node pool, in the region's default network.
pub(crate) fn cluster_spec(emulator: &Emulator, name: &str) -> ClusterSpec {
    let mut spec = ClusterSpec::new(name, region(REGIONS[0]));
    let size = InstanceSize::Exact("t3.medium".into());
    spec.node_pools = vec![NodePoolSpec { name: "default".into(), size, count: 2 }];
    let settings = settings(emulator);
    spec.overrides.set(&settings).unwrap();
    spec
}

fn settings(emulator: &Emulator) -> AwsCluster {
    AwsCluster {
        role_arn: Some(emulator.role_arn("multicloud-eks").into()),
        node_role_arn: Some(emulator.role_arn("multicloud-nodes").into()),
        ..AwsCluster::default()
    }
}

fn unique(what: &str) -> String {
    format!("{what}-{:08x}", rand::random::<u32>())
}

fn id(name: &str) -> ResourceId {
    ResourceId::new(ResourceKind::Cluster, region(REGIONS[0]), name).unwrap()
}

/// The requests that change something, in their order.
fn changes(aws: &Aws, name: &str) -> Vec<String> {
    let all = aws.proxy.requests().into_iter().filter(|seen| {
        let body = String::from_utf8_lossy(&seen.body).into_owned();
        seen.service == "eks"
            && seen.method != "GET"
            && (seen.path.contains(name) || body.contains(name))
    });
    all.map(|seen| format!("{} {}", seen.method, seen.path.replace(name, "NAME"))).collect()
}

fn body(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body).unwrap()
}

fn sent(aws: &Aws, operation: &str, name: &str) -> Vec<Value> {
    let all = aws.proxy.requests().into_iter();
    let all = all
        .filter(|seen| format!("{} {}", seen.method, seen.path.replace(name, "NAME")) == operation);
    all.map(|seen| body(&seen))
        .filter(|body| operation != "POST /clusters" || body["name"] == name)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_conform_at_moto() {
    let Some(aws) = Aws::alone_at(Kind::Moto).await else { return };
    conform(&aws, &[], |name| of_group("cluster", name)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_private_and_is_made_before_its_pools_and_deleted_after_them() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let eks = aws.cloud.aws_kubernetes();
    let name = unique("order");
    let mut spec = cluster_spec(&aws.emulator, &name);
    let size = InstanceSize::AtLeast { vcpu: 2, memory: ByteSize::gib(4), gpu: 0 };
    spec.node_pools.push(NodePoolSpec { name: "sized".into(), size, count: 0 });
    spec.tags = Tags::new([("team", "orders")]).unwrap();
    let token = ClientToken::random();
    let made = eks.create_cluster(&spec, &token).await.unwrap();
    assert_eq!(made.tags, spec.tags);
    assert_eq!(made.node_pools[0], spec.node_pools[0]);
    let InstanceSize::Exact(sized) = &made.node_pools[1].size else { panic!("{made:?}") };
    assert!(sized.starts_with("t3"), "{sized}");

    let cluster = &sent(&aws, "POST /clusters", &name)[0];
    assert_eq!(cluster["clientRequestToken"], token.as_str());
    assert_eq!(cluster["tags"]["team"], "orders");
    let network = &cluster["resourcesVpcConfig"];
    assert_eq!(network["endpointPrivateAccess"], true);
    assert_eq!(network["endpointPublicAccess"], false);
    assert_eq!(network["publicAccessCidrs"], Value::Null);
    let subnets = &aws.emulator.network(REGIONS[0]).subnets;
    assert_eq!(network["subnetIds"], json!(subnets));
    assert_eq!(cluster["accessConfig"]["authenticationMode"], "API_AND_CONFIG_MAP");
    let pools = sent(&aws, "POST /clusters/NAME/node-groups", &name);
    assert_eq!(pools[0]["scalingConfig"], json!({"minSize": 2, "maxSize": 2, "desiredSize": 2}));
    assert_eq!(pools[1]["scalingConfig"], json!({"minSize": 0, "maxSize": 1, "desiredSize": 0}));
    assert_eq!(pools[0]["subnets"], json!(subnets));
    assert_eq!(pools[0]["tags"]["team"], "orders");
    assert_ne!(pools[0]["clientRequestToken"], pools[1]["clientRequestToken"]);

    eks.set_node_count(&made.id, "default", 5).await.unwrap();
    eks.set_node_count(&made.id, "default", 5).await.unwrap();
    eks.set_node_count(&made.id, "default", 1).await.unwrap();
    let counts = sent(&aws, "POST /clusters/NAME/node-groups/default/update-config", &name);
    let counts: Vec<_> = counts.iter().map(|body| body["scalingConfig"].clone()).collect();
    assert_eq!(
        counts,
        [
            json!({"minSize": 2, "maxSize": 5, "desiredSize": 5}),
            json!({"minSize": 1, "maxSize": 5, "desiredSize": 1}),
        ]
    );
    let before = changes(&aws, &name).len();
    assert!(eks.delete_cluster(&made.id).await.unwrap());
    assert_eq!(
        changes(&aws, &name)[before..],
        [
            "DELETE /clusters/NAME/node-groups/default",
            "DELETE /clusters/NAME/node-groups/sized",
            "DELETE /clusters/NAME",
        ]
    );
    assert!(!eks.delete_cluster(&made.id).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_settings_reach_eks() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let eks = aws.cloud.aws_kubernetes();
    let name = unique("settings");
    let mut spec = cluster_spec(&aws.emulator, &name);
    let subnets = aws.emulator.network(REGIONS[0]).subnets[..2].to_vec();
    let key = "arn:aws:kms:us-east-1:123456789012:key/1";
    spec.overrides
        .set(&AwsCluster {
            subnet_ids: subnets.clone(),
            security_group_ids: vec![aws.emulator.network(REGIONS[0]).security_group.clone()],
            public_access_cidrs: vec!["203.0.113.0/24".parse().unwrap()],
            secrets_kms_key_arn: Some(key.into()),
            log_types: vec!["audit".into(), "api".into()],
            service_cidr: Some("10.100.0.0/16".parse().unwrap()),
            version: Some("1.99".into()),
            node_ami_type: Some("AL2023_ARM_64_STANDARD".into()),
            node_disk_gib: Some(50),
            spot_nodes: true,
            ..settings(&aws.emulator)
        })
        .unwrap();
    let made = eks.create_cluster(&spec, &ClientToken::random()).await.unwrap();
    assert_eq!(made.version.as_deref(), Some("1.99"));
    let cluster = &sent(&aws, "POST /clusters", &name)[0];
    let network = &cluster["resourcesVpcConfig"];
    assert_eq!(network["subnetIds"], json!(subnets));
    assert_eq!(network["endpointPublicAccess"], true);
    assert_eq!(network["publicAccessCidrs"], json!(["203.0.113.0/24"]));
    let encryption = json!([{"resources": ["secrets"], "provider": {"keyArn": key}}]);
    assert_eq!(cluster["encryptionConfig"], encryption);
    let logging = json!({"clusterLogging": [{"types": ["audit", "api"], "enabled": true}]});
    assert_eq!(cluster["logging"], logging);
    assert_eq!(cluster["kubernetesNetworkConfig"]["serviceIpv4Cidr"], "10.100.0.0/16");
    let pool = &sent(&aws, "POST /clusters/NAME/node-groups", &name)[0];
    assert_eq!(pool["amiType"], "AL2023_ARM_64_STANDARD");
    assert_eq!((&pool["diskSize"], &pool["capacityType"]), (&json!(50), &json!("SPOT")));
    eks.delete_cluster(&made.id).await.unwrap();
}

/// What EKS says of a cluster that it is still making.
fn creating(name: &str, more: Value) -> What {
    let mut cluster = json!({"name": name, "status": "CREATING", "tags": {}});
    cluster.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let body = json!({"cluster": cluster}).to_string();
    What::answer(Reply::new(200, "application/json", body))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pools_are_asked_for_only_once_the_cluster_is_active() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let eks = aws.cloud.aws_kubernetes();
    let name = unique("wait");
    let looks = Arc::new(AtomicUsize::new(0));
    let path = format!("/clusters/{name}");
    // The first look finds nothing, the next two find it on its way.
    let on_its_way = move |seen: &Seen| {
        seen.method == "GET" && seen.path == path && (1..=2).contains(&looks.fetch_add(1, SeqCst))
    };
    aws.proxy.inject(Fault::when(on_its_way, creating(&name, json!({}))).times(2));
    let spec = cluster_spec(&aws.emulator, &name);
    let made = eks.create_cluster(&spec, &ClientToken::random()).await.unwrap();
    assert_eq!(aws.proxy.faults_left(), 0);
    assert_eq!(made.node_pools.len(), 1);
    let path = format!("/clusters/{name}");
    let seen = aws.proxy.requests();
    let pool = seen.iter().position(|seen| seen.method == "POST" && seen.path.contains(&path));
    let looks = seen.iter().take(pool.unwrap());
    assert_eq!(looks.filter(|seen| seen.method == "GET" && seen.path == path).count(), 4);
    eks.delete_cluster(&made.id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_whose_answer_is_lost_is_gone_on_with_and_makes_nothing_twice() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let eks = aws.cloud.aws_kubernetes();
    for lost in ["/clusters", "/node-groups"] {
        for what in [What::ForwardThenDrop, What::Drop, What::internal_error()] {
            let words = format!("{lost}, {what:?}");
            let name = unique("lost");
            let spec = cluster_spec(&aws.emulator, &name);
            let token = ClientToken::random();
            let hit = move |seen: &Seen| seen.method == "POST" && seen.path.ends_with(lost);
            aws.proxy.inject(Fault::when(hit, what));
            let error = eks.create_cluster(&spec, &token).await.unwrap_err();
            assert_eq!(aws.proxy.faults_left(), 0, "{words}");
            assert_eq!(error.effect(), Effect::Unknown, "{words}: {error:?}");
            assert_eq!(error.operation(), Some("kubernetes.create_cluster"));
            let made = eks.create_cluster(&spec, &token).await.unwrap();
            assert_eq!(made.node_pools, spec.node_pools, "{words}");
            // By another process too.
            let other = Aws::at(Kind::Moto).await.unwrap();
            let again = other.cloud.aws_kubernetes().create_cluster(&spec, &token).await.unwrap();
            assert_eq!(again.id, made.id, "{words}");
            assert!(changes(&other, &name).is_empty(), "{words}");
            assert!(eks.delete_cluster(&made.id).await.unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_is_refused_takes_the_new_cluster_with_it_but_no_old_one() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let eks = aws.cloud.aws_kubernetes();
    let refuse = |pool: &str| {
        let pool = pool.to_owned();
        let hit = move |seen: &Seen| {
            seen.method == "POST"
                && seen.path.ends_with("/node-groups")
                && body(seen)["nodegroupName"] == pool.as_str()
        };
        let why = What::error(400, "InvalidParameterException", "no such instance type");
        aws.proxy.inject(Fault::when(hit, why));
    };
    let name = unique("refused");
    let mut spec = cluster_spec(&aws.emulator, &name);
    let more = NodePoolSpec { name: "more".into(), ..spec.node_pools[0].clone() };
    spec.node_pools.push(more);
    let token = ClientToken::random();
    refuse("more");
    let error = eks.create_cluster(&spec, &token).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::InvalidInput, Effect::None),
        "{error:?}"
    );
    assert!(error.message().contains("node pool 'more'"), "{error:?}");
    let gone = eks.get_cluster(&id(&name)).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);

    // A throttle is no refusal: what is there stays, for the repeat.
    let hit = |seen: &Seen| seen.method == "POST" && seen.path.ends_with("/node-groups");
    aws.proxy.inject(Fault::when(hit, What::throttled()));
    let error = eks.create_cluster(&spec, &token).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::RateLimited, Effect::Unknown));
    assert_eq!(error.retry(), Retry::Backoff);
    // Nor is it when EKS is busy with something else.
    aws.proxy.inject(Fault::when(hit, What::error(409, "ResourceInUseException", "busy")));
    let error = eks.create_cluster(&spec, &token).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Conflict, Effect::Unknown));
    assert_eq!(error.retry(), Retry::Backoff);
    refuse("more");
    let error = eks.create_cluster(&spec, &token).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::Unknown));
    assert_eq!(eks.get_cluster(&id(&name)).await.unwrap().node_pools.len(), 1);
    assert!(eks.delete_cluster(&id(&name)).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zones_without_eks_are_left_out() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let eks = aws.cloud.aws_kubernetes();
    let unsupported = |zones: &[&str]| {
        let body = json!({"message": "us-east-1e has none", "validZones": zones}).to_string();
        let mut reply = Reply::new(400, "application/json", body);
        let code = "UnsupportedAvailabilityZoneException".parse().unwrap();
        reply.headers.insert("x-amzn-errortype", code);
        aws.proxy.inject(Fault::on("eks", "POST /clusters", What::answer(reply)));
    };
    let name = unique("zones");
    let mut spec = cluster_spec(&aws.emulator, &name);
    spec.node_pools.clear();
    unsupported(&["us-east-1a", "us-east-1b"]);
    let made = eks.create_cluster(&spec, &ClientToken::random()).await.unwrap();
    let sent = sent(&aws, "POST /clusters", &name);
    let subnets = |n: usize| sent[n]["resourcesVpcConfig"]["subnetIds"].as_array().unwrap().len();
    assert_eq!((sent.len(), subnets(0) > 2, subnets(1)), (2, true, 2));
    eks.delete_cluster(&made.id).await.unwrap();

    unsupported(&["us-east-1a"]);
    let error = eks.create_cluster(&spec, &ClientToken::random()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::None));
    assert!(error.message().contains("two zones"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_protected_or_taken_or_on_its_way_out_is_left_alone() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let eks = aws.cloud.aws_kubernetes();
    let name = unique("kept");
    let spec = cluster_spec(&aws.emulator, &name);
    let token = ClientToken::random();
    let made = eks.create_cluster(&spec, &token).await.unwrap();
    let once = |more: Value| {
        let path = format!("/clusters/{name}");
        let hit = move |seen: &Seen| seen.method == "GET" && seen.path == path;
        aws.proxy.inject(Fault::when(hit, creating(&name, more)));
    };
    let before = changes(&aws, &name);
    once(json!({"status": "ACTIVE", "deletionProtection": true}));
    let error = eks.delete_cluster(&made.id).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Conflict, Effect::None));
    once(json!({"status": "DELETING"}));
    assert!(eks.delete_cluster(&made.id).await.unwrap());
    once(json!({}));
    let error = eks.kubeconfig(&made.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    once(json!({}));
    assert_eq!(eks.get_cluster(&made.id).await.unwrap().status, ResourceStatus::Creating);
    let other = eks.create_cluster(&spec, &ClientToken::random()).await.unwrap_err();
    assert_eq!((other.kind(), other.effect()), (ErrorKind::AlreadyExists, Effect::None));
    let query = ListQuery { name: Some(name.clone()), ..ListQuery::in_region(region(REGIONS[0])) };
    assert_eq!(eks.list_clusters(&query).complete().await.unwrap().items().len(), 1);
    // A size that nothing has is known before a cluster is made.
    let mut huge = cluster_spec(&aws.emulator, &format!("{name}-huge"));
    huge.node_pools[0].size =
        InstanceSize::AtLeast { vcpu: 9999, memory: ByteSize::gib(1), gpu: 0 };
    let error = eks.create_cluster(&huge, &ClientToken::random()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::None));
    let mut open = cluster_spec(&aws.emulator, &format!("{name}-open"));
    let everyone = vec!["0.0.0.0/0".parse().unwrap()];
    let settings = AwsCluster { public_access_cidrs: everyone, ..settings(&aws.emulator) };
    open.overrides.set(&settings).unwrap();
    let error = eks.create_cluster(&open, &ClientToken::random()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains("public_access_for_everyone"), "{error:?}");
    assert_eq!(changes(&aws, &name), before);
    assert_eq!(aws.proxy.count(|seen| seen.is("eks", "GET /clusters")), 0);

    // What is being made cannot be deleted yet: that passes.
    once(json!({}));
    let path = format!("/clusters/{name}");
    let hit = move |seen: &Seen| seen.method == "DELETE" && seen.path == path;
    aws.proxy.inject(Fault::when(hit, What::error(409, "ResourceInUseException", "busy")));
    let error = eks.delete_cluster(&made.id).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::Backoff), "{error:?}");
    assert!(eks.delete_cluster(&made.id).await.unwrap());
}

/// GETs an address with the cluster's name, as EKS does to see whose token it has.
async fn ask_sts(address: &Url, cluster: &str) -> (u16, String) {
    let host = format!("{}:{}", address.host().unwrap(), address.port().unwrap());
    let mut stream = TcpStream::connect(&host).await.unwrap();
    let path = &address[url::Position::BeforePath..];
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nx-k8s-aws-id: {cluster}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sts_takes_a_token_for_its_cluster_and_for_no_other() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let eks = aws.cloud.aws_kubernetes();
    let (token, expires) = eks.token(&id("main")).await.unwrap();
    let left = expires.duration_since(Timestamp::now());
    assert!(left > SignedDuration::from_mins(13) && left <= SignedDuration::from_mins(14));
    assert!(!format!("{token:?}").contains("k8s-aws"));
    let encoded = token.expose_secret().strip_prefix("k8s-aws-v1.").unwrap();
    assert!(!encoded.contains('='));
    let address = BASE64_URL_SAFE_NO_PAD.decode(encoded).unwrap();
    let address = Url::parse(std::str::from_utf8(&address).unwrap()).unwrap();
    assert_eq!(aws.proxy.requests().len(), 0, "a token needs no call");

    let (status, answer) = ask_sts(&address, "main").await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains(":user/rig</Arn>"), "{answer}");
    let (status, answer) = ask_sts(&address, "other").await;
    assert_eq!(status, 403, "{answer}");
    let error = eks.token(&id("../x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kubeconfig_carries_the_cluster_and_a_token() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let cloud: &dyn Cloud = &aws.cloud;
    let eks = cloud.kubernetes().unwrap();
    let name = unique("config");
    let mut spec = cluster_spec(&aws.emulator, &name);
    spec.node_pools.clear();
    let made = eks.create_cluster(&spec, &ClientToken::random()).await.unwrap();
    let config = eks.kubeconfig(&made.id).await.unwrap();
    let line = |field: &str| {
        let lines = config.expose_secret().lines();
        let value = lines.filter_map(|line| line.trim().strip_prefix(field)).next().unwrap();
        serde_json::from_str::<String>(value.trim()).unwrap()
    };
    assert_eq!(line("server:"), made.endpoint.unwrap());
    assert!(line("token:").starts_with("k8s-aws-v1."));
    assert_eq!(line("current-context:"), name);
    assert!(!line("certificate-authority-data:").is_empty());
    eks.delete_cluster(&made.id).await.unwrap();
}
