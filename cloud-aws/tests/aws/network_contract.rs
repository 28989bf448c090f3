//! Global Accelerator and Direct Connect, which no server keeps: a canned upstream answers, and the requests are judged by
//! botocore's models.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
};
use cloud_aws::{
    AcceleratorEndpoint, AcceleratorListenerSpec, AcceleratorProtocol, AcceleratorSpec, AwsCloud,
    DirectConnectGatewaySpec, EndpointGroupSpec,
};
use cloud_core::{ClientToken, ErrorKind, HealthProtocol, ResourceStatus, Tags, WaitOptions};
use serde_json::{Value, json};

use cloud_rig::{CANNED, Keys, Proxy, Seen, judge};

use crate::harness::{open, region};

/// The answers that are still to come, each with the operation that it is for.
type Answers = Arc<Mutex<VecDeque<(&'static str, u16, Value)>>>;

/// Answers as it is told to, and complains of what it is not told of.
async fn answer(State(answers): State<Answers>, headers: HeaderMap, _: Bytes) -> impl IntoResponse {
    let target = headers["x-amz-target"].to_str().unwrap();
    let operation = target.rsplit_once('.').unwrap().1;
    let next = answers.lock().unwrap().pop_front();
    let (status, body) = match next {
        Some((expected, status, body)) if expected == operation => (status, body),
        other => {
            let message = format!("{operation} was sent where {other:?} was expected");
            (400, json!({"__type": "UnexpectedRequest", "message": message}))
        }
    };
    let content = [("content-type", "application/x-amz-json-1.1")];
    (StatusCode::from_u16(status).unwrap(), content, body.to_string())
}

/// A cloud at the canned upstream, whose requests are recorded.
struct Canned {
    cloud: AwsCloud,
    proxy: Proxy,
    answers: Answers,
    folder: tempfile::TempDir,
}

impl Canned {
    async fn new() -> Self {
        let answers = Answers::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(answers.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let folder = tempfile::tempdir().unwrap();
        let proxy = Proxy::recording(CANNED, address, Some(folder.path()));
        let keys = Keys { access_key_id: "AKIACANNED".into(), secret_access_key: "canned".into() };
        let cloud = open(&proxy.url(), &keys).await;
        Self { cloud, proxy, answers, folder }
    }

    fn say(&self, operation: &'static str, body: Value) {
        self.answers.lock().unwrap().push_back((operation, 200, body));
    }

    fn refuse(&self, operation: &'static str, code: &str, message: &str) {
        let body = json!({"__type": code, "message": message});
        self.answers.lock().unwrap().push_back((operation, 400, body));
    }

    fn sent(&self, operation: &str) -> Vec<Value> {
        let requests = self.proxy.requests().into_iter();
        let of = requests.filter(|seen: &Seen| seen.operation == operation);
        of.map(|seen| serde_json::from_slice(&seen.body).unwrap()).collect()
    }

    /// Every answer was used, and the contract accepts every request.
    fn finish(self, service: &str, operations: &[&str]) {
        let left = self.answers.lock().unwrap().clone();
        assert!(left.is_empty(), "{left:?}");
        let errors = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/errors.csv");
        let Some(verdict) = judge(self.folder.path(), Some(&errors)) else { return };
        verdict.assert_clean();
        for operation in operations {
            let name = format!("{service}.{operation}");
            assert!(verdict.operations.contains_key(&name), "{name} was not judged");
        }
    }
}

const ACCELERATOR: &str = "arn:aws:globalaccelerator::123456789012:accelerator/1234abcd";
const LISTENER: &str =
    "arn:aws:globalaccelerator::123456789012:accelerator/1234abcd/listener/0123vxyz";
const GROUP: &str = "arn:aws:globalaccelerator::123456789012:accelerator/1234abcd/listener/0123vxyz/endpoint-group/098765zyx";

fn accelerator(enabled: bool, status: &str) -> Value {
    json!({"Accelerator": {
        "AcceleratorArn": ACCELERATOR, "Name": "shop", "Enabled": enabled, "Status": status,
        "IpAddressType": "IPV4", "DnsName": "a1234.awsglobalaccelerator.com", "CreatedTime": 1.55e9,
        "IpSets": [{"IpFamily": "IPv4", "IpAddresses": ["192.0.2.250", "198.51.100.52"]}],
    }})
}

fn group(dial: f32, weight: u8) -> Value {
    json!({"EndpointGroup": {
        "EndpointGroupArn": GROUP, "EndpointGroupRegion": "eu-central-1", "TrafficDialPercentage": dial,
        "EndpointDescriptions": [{"EndpointId": "i-0a1b2c3d", "Weight": weight, "HealthState": "UNHEALTHY",
                                  "HealthReason": "Timeout"}],
    }})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accelerator_spreads_traffic_over_regions() {
    let canned = Canned::new().await;
    let service = canned.cloud.aws_network();

    let mut spec = AcceleratorSpec::new("shop");
    spec.tags = Tags::new([("team", "orders")]).unwrap();
    let token = ClientToken::random();
    canned.say("CreateAccelerator", accelerator(true, "IN_PROGRESS"));
    let made = service.create_accelerator(&spec, &token).await.unwrap();
    assert_eq!((made.arn.as_str(), made.status), (ACCELERATOR, ResourceStatus::Updating));
    assert_eq!(made.addresses.len(), 2);
    // Repeated, the same token is sent, by which AWS knows it.
    canned.say("CreateAccelerator", accelerator(true, "IN_PROGRESS"));
    assert_eq!(service.create_accelerator(&spec, &token).await.unwrap(), made);
    let sent = canned.sent("CreateAccelerator");
    assert!(sent.iter().all(|sent| sent["IdempotencyToken"] == token.as_str()) && sent.len() == 2);
    let other = service.create_accelerator(&AcceleratorSpec::new("b"), &token).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Conflict);
    canned.say("DescribeAccelerator", accelerator(true, "IN_PROGRESS"));
    canned.say("DescribeAccelerator", accelerator(true, "DEPLOYED"));
    let options = WaitOptions::default();
    assert!(service.wait_for_accelerator(ACCELERATOR, &options).await.unwrap().enabled);
    canned.say(
        "ListAccelerators",
        json!({"Accelerators": [accelerator(true, "DEPLOYED")["Accelerator"]]}),
    );
    assert_eq!(service.list_accelerators().await.unwrap().len(), 1);

    let listener = json!({"ListenerArn": LISTENER, "Protocol": "TCP", "ClientAffinity": "NONE",
                          "PortRanges": [{"FromPort": 80, "ToPort": 80}, {"FromPort": 443, "ToPort": 443}]});
    let ports = [(80, 80), (443, 443)];
    let spec = AcceleratorListenerSpec::new(ACCELERATOR, AcceleratorProtocol::Tcp, ports);
    canned.say("CreateListener", json!({"Listener": listener}));
    let made = service.create_accelerator_listener(&spec, &ClientToken::random()).await.unwrap();
    assert_eq!((made.arn.as_str(), &made.ports[..]), (LISTENER, &ports[..]));
    canned.say("ListListeners", json!({"Listeners": [listener]}));
    assert_eq!(service.list_accelerator_listeners(ACCELERATOR).await.unwrap(), [made]);

    let mut spec = EndpointGroupSpec::new(LISTENER, region("eu-central-1"));
    spec.traffic_dial = 25.0;
    spec.health_protocol = HealthProtocol::Http;
    spec.health_path = Some("/health".into());
    spec.health_port = Some(80);
    spec.endpoints
        .push(AcceleratorEndpoint { weight: 200, ..AcceleratorEndpoint::new("i-0a1b2c3d") });
    canned.say("CreateEndpointGroup", group(25.0, 200));
    let made = service.create_endpoint_group(&spec, &ClientToken::random()).await.unwrap();
    assert_eq!((made.traffic_dial, made.endpoints[0].weight), (25.0, 200));
    assert_eq!(made.endpoints[0].healthy, Some(false));
    canned
        .say("ListEndpointGroups", json!({"EndpointGroups": [group(25.0, 200)["EndpointGroup"]]}));
    assert_eq!(service.list_endpoint_groups(LISTENER).await.unwrap(), [made]);
    canned.say("UpdateEndpointGroup", group(0.0, 200));
    assert_eq!(service.set_traffic_dial(GROUP, 0.0).await.unwrap().traffic_dial, 0.0);
    let dialled = &canned.sent("UpdateEndpointGroup")[0];
    assert!(dialled.get("EndpointConfigurations").is_none(), "{dialled}");
    canned.say("UpdateEndpointGroup", group(0.0, 0));
    let spare = [AcceleratorEndpoint { weight: 0, ..AcceleratorEndpoint::new("i-0a1b2c3d") }];
    assert_eq!(service.set_endpoints(GROUP, &spare).await.unwrap().endpoints[0].weight, 0);
    canned.refuse("UpdateEndpointGroup", "EndpointGroupNotFoundException", "gone");
    let error = service.set_traffic_dial(GROUP, 1.0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);

    // Disabled first, then its parts, and itself once that has spread.
    canned.say("DescribeAccelerator", accelerator(true, "DEPLOYED"));
    canned.say("UpdateAccelerator", accelerator(false, "IN_PROGRESS"));
    canned.say("ListListeners", json!({"Listeners": [listener]}));
    canned.say("ListEndpointGroups", json!({"EndpointGroups": [group(0.0, 0)["EndpointGroup"]]}));
    canned.say("DeleteEndpointGroup", json!({}));
    canned.say("DeleteListener", json!({}));
    canned.say("DescribeAccelerator", accelerator(false, "IN_PROGRESS"));
    canned.say("DescribeAccelerator", accelerator(false, "DEPLOYED"));
    canned.say("DeleteAccelerator", json!({}));
    assert!(service.delete_accelerator(ACCELERATOR, &options).await.unwrap());
    canned.refuse("DescribeAccelerator", "AcceleratorNotFoundException", "gone");
    assert!(!service.delete_accelerator(ACCELERATOR, &options).await.unwrap());
    canned.refuse("ListEndpointGroups", "ListenerNotFoundException", "gone");
    canned.refuse("DeleteListener", "ListenerNotFoundException", "gone");
    assert!(!service.delete_accelerator_listener(LISTENER).await.unwrap());
    canned.refuse("DeleteEndpointGroup", "EndpointGroupNotFoundException", "gone");
    assert!(!service.delete_endpoint_group(GROUP).await.unwrap());

    let everywhere = |seen: &Seen| seen.region == "us-west-2";
    assert_eq!(canned.proxy.count(everywhere), canned.proxy.requests().len());
    let operations = [
        "CreateAccelerator",
        "DescribeAccelerator",
        "ListAccelerators",
        "UpdateAccelerator",
        "DeleteAccelerator",
        "CreateListener",
        "ListListeners",
        "DeleteListener",
        "CreateEndpointGroup",
        "ListEndpointGroups",
        "UpdateEndpointGroup",
        "DeleteEndpointGroup",
    ];
    canned.finish("globalaccelerator", &operations);
}

const LINES: &str = "5f294f92-bafb-4011-916d-9b0b00000000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_direct_connect_gateway_is_found_by_its_tag() {
    let canned = Canned::new().await;
    let service = canned.cloud.aws_network();
    let id = LINES.to_owned();
    let gateway = |tags: Value| {
        json!({"directConnectGatewayId": id, "directConnectGatewayName": "lines", "amazonSideAsn": 64600,
               "ownerAccount": "123456789012", "directConnectGatewayState": "available", "tags": tags})
    };
    let spec = DirectConnectGatewaySpec::new("lines", 64_600);
    let token = ClientToken::random();
    // Two pages, with nothing of this create; then it is made, and looked up again.
    let strange = json!({"directConnectGatewayId": "0b8d7c0e-1111-4222-8333-944455556666",
                         "directConnectGatewayName": "other", "directConnectGatewayState": "available"});
    canned.say(
        "DescribeDirectConnectGateways",
        json!({"directConnectGateways": [strange], "nextToken": "2"}),
    );
    canned.say("DescribeDirectConnectGateways", json!({"directConnectGateways": []}));
    canned.say("CreateDirectConnectGateway", json!({"directConnectGateway": gateway(json!([]))}));
    canned.say("DescribeDirectConnectGateways", json!({"directConnectGateways": [strange]}));
    let made = service.create_direct_connect_gateway(&spec, &token).await.unwrap();
    assert_eq!((&made.id, made.asn), (&id, Some(64_600)));
    // Repeated, it is there by the tag that it was made with.
    let tags = canned.sent("CreateDirectConnectGateway")[0]["tags"].clone();
    let there = json!({"directConnectGateways": [gateway(tags)]});
    canned.say("DescribeDirectConnectGateways", there.clone());
    assert_eq!(service.create_direct_connect_gateway(&spec, &token).await.unwrap().id, id);
    canned.say("DescribeDirectConnectGateways", there.clone());
    assert_eq!(service.list_direct_connect_gateways().await.unwrap().len(), 1);

    let association = |state: &str| {
        json!({"directConnectGatewayId": id, "associationState": state, "associationId": "be85116d-46eb-4b43-a27a-da0c2ad648de",
               "associatedGateway": {"id": "vgw-0a1b2c3d", "type": "virtualPrivateGateway", "region": "eu-central-1",
                                     "ownerAccount": "123456789012"},
               "allowedPrefixesToDirectConnectGateway": [{"cidr": "10.0.0.0/16"}]})
    };
    let all = |state: &str| json!({"directConnectGatewayAssociations": [association(state)]});
    let none = json!({"directConnectGatewayAssociations": []});
    canned.say("DescribeDirectConnectGatewayAssociations", none.clone());
    let associating = json!({"directConnectGatewayAssociation": association("associating")});
    canned.say("CreateDirectConnectGatewayAssociation", associating);
    let prefixes = ["10.0.0.0/16".parse().unwrap()];
    let made = service.associate_direct_connect(&id, "vgw-0a1b2c3d", &prefixes).await.unwrap();
    assert_eq!((made.status, &made.prefixes[..]), (ResourceStatus::Creating, &prefixes[..]));
    canned.say("DescribeDirectConnectGatewayAssociations", all("associating"));
    assert_eq!(
        service.associate_direct_connect(&id, "vgw-0a1b2c3d", &prefixes).await.unwrap(),
        made
    );
    canned.say("DescribeDirectConnectGatewayAssociations", all("associating"));
    canned.say("DescribeDirectConnectGatewayAssociations", all("associated"));
    let options = WaitOptions::default();
    let ready = service.wait_for_direct_connect(&id, "vgw-0a1b2c3d", &options).await.unwrap();
    assert_eq!(ready.region, Some(region("eu-central-1")));

    canned.say("DescribeDirectConnectGatewayAssociations", all("associated"));
    canned.say(
        "DeleteDirectConnectGatewayAssociation",
        json!({"directConnectGatewayAssociation": association("disassociating")}),
    );
    assert!(service.disassociate_direct_connect(&id, "vgw-0a1b2c3d").await.unwrap());
    canned.say("DescribeDirectConnectGatewayAssociations", all("disassociating"));
    assert!(!service.disassociate_direct_connect(&id, "vgw-0a1b2c3d").await.unwrap());

    // The service has one code for all that the caller did wrong; gone in between is told by its words only.
    canned.say("DescribeDirectConnectGateways", there.clone());
    let words = format!("Direct Connect gateway {id} does not exist");
    canned.refuse("DeleteDirectConnectGateway", "DirectConnectClientException", &words);
    assert!(!service.delete_direct_connect_gateway(&id).await.unwrap());
    canned.say("DescribeDirectConnectGateways", there.clone());
    canned.refuse(
        "DeleteDirectConnectGateway",
        "DirectConnectClientException",
        "it has associations",
    );
    let error = service.delete_direct_connect_gateway(&id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    canned.say("DescribeDirectConnectGateways", there);
    canned.say("DeleteDirectConnectGateway", json!({"directConnectGateway": gateway(json!([]))}));
    assert!(service.delete_direct_connect_gateway(&id).await.unwrap());

    let operations = [
        "CreateDirectConnectGateway",
        "DescribeDirectConnectGateways",
        "DeleteDirectConnectGateway",
        "CreateDirectConnectGatewayAssociation",
        "DescribeDirectConnectGatewayAssociations",
        "DeleteDirectConnectGatewayAssociation",
    ];
    canned.finish("directconnect", &operations);
}
