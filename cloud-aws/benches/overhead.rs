//! What a call of our trait costs over the same call of the bare SDK: calls a second and CPU a call, on the same server, in turns.
//!
//! `cargo bench -p cloud-aws --features compute --bench overhead`. Aim: at most 1.05 times the CPU of the bare SDK. The server is this program
//! once more, in a process of its own, and answers every request with the same instance, so that next to nothing but the client is measured.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use axum::{Router, http::header::CONTENT_TYPE};
use cloud_aws::{AwsCloud, AwsConfig, AwsCredentials};
use cloud_core::{Cloud, CloudId, Region, ResourceId, SecretRef, intercept::Stack};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};

/// Asks this program to be the server.
const SERVE: &str = "OVERHEAD_BENCH_SERVE";

/// Calls in one turn, and turns of each.
const CALLS: u32 = 400;
const TURNS: usize = 25;

/// An instance in the form of the provider's documentation.
const ANSWER: &str = r#"<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>8f7724cf-496f-496e-8fe3-example</requestId><reservationSet><item><reservationId>r-1234567890abcdef0</reservationId><ownerId>123456789012</ownerId><groupSet/><instancesSet><item><instanceId>i-1234567890abcdef0</instanceId><imageId>ami-bff32ccc</imageId><instanceState><code>16</code><name>running</name></instanceState><privateDnsName>ip-192-168-1-88.eu-west-1.compute.internal</privateDnsName><dnsName/><reason/><keyName>my_keypair</keyName><amiLaunchIndex>0</amiLaunchIndex><productCodes/><instanceType>t3.micro</instanceType><launchTime>2026-05-08T16:46:19.000Z</launchTime><placement><availabilityZone>eu-central-1a</availabilityZone><groupName/><tenancy>default</tenancy></placement><monitoring><state>disabled</state></monitoring><subnetId>subnet-56f5f000</subnetId><vpcId>vpc-11112222</vpcId><privateIpAddress>192.168.1.88</privateIpAddress><ipAddress>54.194.252.215</ipAddress><sourceDestCheck>true</sourceDestCheck><groupSet><item><groupId>sg-e4076000</groupId><groupName>SecurityGroup1</groupName></item></groupSet><architecture>x86_64</architecture><rootDeviceType>ebs</rootDeviceType><rootDeviceName>/dev/xvda</rootDeviceName><virtualizationType>hvm</virtualizationType><clientToken>xMcwG14507example</clientToken><tagSet><item><key>Name</key><value>Server_1</value></item><item><key>team</key><value>orders</value></item></tagSet><hypervisor>xen</hypervisor><ebsOptimized>false</ebsOptimized></item></instancesSet></item></reservationSet></DescribeInstancesResponse>"#;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match std::env::var_os(SERVE) {
        Some(_) => runtime.block_on(serve()),
        None => runtime.block_on(measure()),
    }
}

async fn serve() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let answer = || async { ([(CONTENT_TYPE, "text/xml;charset=UTF-8")], ANSWER) };
    // It ends with the process that started it.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_line(&mut String::new());
        std::process::exit(0);
    });
    axum::serve(listener, Router::new().fallback(answer)).await.unwrap();
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a turn took.
#[derive(Clone, Copy)]
struct Turn {
    wall: Duration,
    cpu: Duration,
}

fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros.try_into().unwrap())
}

async fn turn<F: AsyncFn()>(call: F) -> Turn {
    let (since, before) = (Instant::now(), cpu());
    for _ in 0..CALLS {
        call().await;
    }
    Turn { wall: since.elapsed(), cpu: cpu() - before }
}

async fn measure() {
    let mut server = Command::new(std::env::current_exe().unwrap())
        .env(SERVE, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut address = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let _server = Server(server);

    let region = Region::new("eu-central-1").unwrap();
    let mut config = AwsConfig::new([region.clone()]);
    config.endpoint = Some(format!("http://{}", address.trim()).parse().unwrap());
    config.credentials = Some(AwsCredentials {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
        secret_access_key: SecretRef::Value("wJalrXUtnFEMIEXAMPLEKEY".into()),
        session_token: None,
    });
    let cloud = AwsCloud::open(CloudId::new("aws").unwrap(), config).await.unwrap();
    let bare = cloud.ec2(&region).unwrap();
    let ours = cloud.compute().unwrap();
    let stacked = Stack::builder().trace().metrics().timeout(Duration::from_secs(60)).build();
    let stacked = stacked.wrap(std::sync::Arc::new(cloud)).compute().unwrap();
    let id: ResourceId = "instance/eu-central-1/i-1234567890abcdef0".parse().unwrap();

    let sdk = async || {
        let answer = bare.describe_instances().instance_ids(id.native()).send().await.unwrap();
        assert_eq!(answer.reservations().len(), 1);
    };
    let by_trait = async || {
        assert!(ours.get_instance(&id).await.unwrap().status.is_ready());
    };
    let by_stack = async || {
        assert!(stacked.get_instance(&id).await.unwrap().status.is_ready());
    };
    turn(&sdk).await;
    turn(&by_trait).await;
    let mut turns: Vec<[Turn; 3]> = Vec::new();
    for n in 0..TURNS {
        // Whoever goes first changes, so that a drift of the machine favours none.
        let mut one = [Turn { wall: Duration::ZERO, cpu: Duration::ZERO }; 3];
        for at in [n % 3, (n + 1) % 3, (n + 2) % 3] {
            one[at] = match at {
                0 => turn(&sdk).await,
                1 => turn(&by_trait).await,
                _ => turn(&by_stack).await,
            };
        }
        turns.push(one);
    }
    println!(
        "DescribeInstances of one instance, {TURNS} turns of {CALLS} calls each, in turns; medians"
    );
    for (at, name) in
        ["bare SDK", "our trait", "our trait behind trace, metrics, time-out"].iter().enumerate()
    {
        let rate = median(turns.iter().map(|t| f64::from(CALLS) / t[at].wall.as_secs_f64()));
        let each = median(turns.iter().map(|t| t[at].cpu.as_secs_f64() * 1e6 / f64::from(CALLS)));
        let ratio = median(turns.iter().map(|t| t[at].cpu.as_secs_f64() / t[0].cpu.as_secs_f64()));
        let rates =
            median(turns.iter().map(|t| t[0].wall.as_secs_f64() / t[at].wall.as_secs_f64()));
        println!(
            "{name:<44} {rate:>7.0} calls/s ({rates:.3} x)  {each:>6.1} us CPU a call ({ratio:.3} x)"
        );
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
