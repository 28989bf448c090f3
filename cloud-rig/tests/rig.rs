//! The test rig itself: servers start checked and end, the proxy passes, records, strikes and keeps tokens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use cloud_rig::*;

#[test]
fn moto_checks_signatures_and_permissions() {
    let Some(moto) = Emulator::shared(Kind::Moto) else { return };
    let proxy = moto.proxy();
    let wrong = Keys { secret_access_key: "wrong".into(), ..moto.keys().clone() };
    let error = |keys| String::from_utf8(moto.boto3(&proxy, keys).stderr).unwrap();
    assert!(error(&wrong).contains("(AuthFailure)"), "{}", error(&wrong));
    let denied = moto.denied().unwrap();
    assert!(error(denied).contains("RunInstances operation"), "{}", error(denied));
    let refused = |seen: &Seen| seen.is("ec2", "RunInstances") && seen.status() == 403;
    assert_eq!(proxy.count(refused), 1);
}

/// An upstream that counts what reaches it, and answers each time with another number.
struct Counting {
    address: SocketAddr,
    reached: Arc<AtomicUsize>,
}

impl Counting {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let reached = Arc::new(AtomicUsize::new(0));
        let counter = reached.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = vec![0; 1 << 16];
                let length = stream.read(&mut request).unwrap();
                // Both parts of a request of this size arrive at once from a proxy; the head ends it if there is no body.
                let text = String::from_utf8_lossy(&request[..length]).into_owned();
                let number = counter.fetch_add(1, SeqCst) + 1;
                let body = format!("answer {number} to {}", text.lines().next().unwrap());
                write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
                    .unwrap();
            }
        });
        Self { address, reached }
    }

    fn proxy(&self) -> Proxy {
        Proxy::recording("counting", self.address, None)
    }

    fn reached(&self) -> usize {
        self.reached.load(SeqCst)
    }
}

/// One request, signed in name only; what came back, which is nothing where the connection was cut.
fn send(proxy: &Proxy, request: &str, service: &str, body: &str) -> String {
    try_send(proxy, request, service, body, Duration::from_secs(30))
}

fn try_send(proxy: &Proxy, request: &str, service: &str, body: &str, patience: Duration) -> String {
    let address: SocketAddr = proxy.url()["http://".len()..].parse().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    let scope = format!(
        "AWS4-HMAC-SHA256 Credential=K/20260101/eu-west-1/{service}/aws4_request, SignedHeaders=host, Signature=x"
    );
    write!(
        stream,
        "{request} HTTP/1.1\r\nhost: of.the.client\r\nauthorization: {scope}\r\nconnection: close\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = Vec::new();
    // A time-out leaves what came until then.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

const RUN: &str = "Action=RunInstances&Version=2016-11-15&MaxCount=1&ClientToken=";

#[test]
fn requests_pass_unchanged_and_are_recorded() {
    let server = Counting::start();
    let proxy = server.proxy();
    let answer = send(
        &proxy,
        "PUT /b/a%2Fb+%20ü?x-id=PutObject&y=%2f".replace('ü', "%C3%BC").as_str(),
        "s3",
        "text",
    );
    assert!(
        answer.contains("answer 1 to PUT /b/a%2Fb+%20%C3%BC?x-id=PutObject&y=%2f HTTP/1.1"),
        "{answer}"
    );
    let seen = &proxy.requests()[0];
    assert_eq!((&*seen.path, &*seen.query), ("/b/a%2Fb+%20%C3%BC", "x-id=PutObject&y=%2f"));
    assert_eq!((&*seen.service, &*seen.region, &*seen.operation), ("s3", "eu-west-1", "PutObject"));
    assert_eq!(
        (seen.header("host"), &seen.body[..], seen.status()),
        ("of.the.client", &b"text"[..], 200)
    );
    assert!(seen.answer.as_ref().unwrap().by_server);
}

#[test]
fn a_client_token_gives_the_first_answer_again() {
    let server = Counting::start();
    let proxy = server.proxy();
    // Without the head, which bears the time.
    let run = |token: &str| {
        let answer = send(&proxy, "POST /", "ec2", &format!("{RUN}{token}"));
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    };
    let first = run("one");
    assert!(first.contains("answer 1"), "{first}");
    assert_eq!(run("one"), first);
    assert!(run("two").contains("answer 2"));
    let other = send(&proxy, "POST /", "ec2", &format!("{RUN}one&InstanceType=t3.micro"));
    assert!(other.starts_with("HTTP/1.1 400"), "{other}");
    assert!(other.contains("<Code>IdempotentParameterMismatch</Code>"), "{other}");
    assert!(!proxy.requests()[3].answer.as_ref().unwrap().by_server);
    // No promise of any other service, nor without a token.
    assert!(send(&proxy, "POST /", "rds", &format!("{RUN}one")).contains("answer 3"));
    assert!(run("").contains("answer 4"));
    assert!(run("").contains("answer 5"));

    // Repeats that come while the first is under way wait for it.
    proxy.inject(Fault::on("ec2", "RunInstances", What::Delay(Duration::from_millis(300))));
    let same = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| run("three"))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect::<BTreeSet<_>>()
    });
    assert_eq!((same.len(), server.reached()), (1, 6), "{same:?}");
}

#[test]
fn a_caller_reference_makes_one_zone_and_one_health_check() {
    let server = Counting::start();
    let proxy = server.proxy();
    let create = |what: &str, body: &str| {
        let body = format!("<CallerReference>one</CallerReference>{body}");
        send(&proxy, &format!("POST /2013-04-01/{what}"), "route53", &body)
    };
    assert!(create("hostedzone", "").contains("answer 1"));
    let again = create("hostedzone", "");
    assert!(again.starts_with("HTTP/1.1 409"), "{again}");
    assert!(again.contains("<Code>HostedZoneAlreadyExists</Code>"), "{again}");
    assert!(create("healthcheck", "a").contains("answer 2"));
    assert!(create("healthcheck", "a").contains("answer 2"));
    assert!(create("healthcheck", "b").contains("<Code>HealthCheckAlreadyExists</Code>"));
}

#[test]
fn what_failed_may_be_tried_again_with_its_token() {
    let server = Counting::start();
    let proxy = server.proxy();
    proxy.inject(Fault::on("ec2", "RunInstances", What::throttled()));
    let run = || send(&proxy, "POST /", "ec2", &format!("{RUN}one"));
    assert!(run().contains("RequestLimitExceeded"));
    assert!(run().contains("answer 1"));
}

#[test]
fn faults_strike_as_often_as_they_are_told() {
    let server = Counting::start();
    let proxy = server.proxy();
    let list = || send(&proxy, "GET /bucket", "s3", "");
    proxy.inject(Fault::when(|seen| seen.path == "/bucket", What::Drop).times(2));
    proxy.inject(Fault::when(|_| true, What::ForwardThenDrop));
    assert_eq!(
        (proxy.faults_left(), list(), list(), server.reached()),
        (3, String::new(), String::new(), 0)
    );
    let half = list();
    assert!(half.starts_with("HTTP/1.1 200") && half.contains("answer 1"), "{half}");
    let (head, body) = half.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("content-length: {}", "answer 1 to GET /bucket HTTP/1.1".len())),
        "{head}"
    );
    assert_eq!(body, "answer 1 to GET ");
    assert!(list().contains("answer 2"));
    assert_eq!(proxy.faults_left(), 0);
    let statuses: Vec<_> = proxy.requests().iter().map(Seen::status).collect();
    assert_eq!(statuses, [0, 0, 200, 200]);
}

#[test]
fn the_server_acts_although_the_client_has_left() {
    let server = Counting::start();
    let proxy = server.proxy();
    let late = || What::DelayAnswer(Duration::from_secs(60));
    proxy.inject(Fault::on("ec2", "RunInstances", late()));
    let impatient = Duration::from_millis(200);
    let body = format!("{RUN}one");
    let started = Instant::now();
    assert_eq!(try_send(&proxy, "POST /", "ec2", &body, impatient), "");
    assert!(started.elapsed() < Duration::from_secs(30));
    // The repeat gets the answer that was missed.
    assert!(send(&proxy, "POST /", "ec2", &body).contains("answer 1"));
    assert_eq!((server.reached(), proxy.count(|seen| seen.status() == 200)), (1, 2));
}

#[test]
fn errors_are_worded_as_each_service_words_them() {
    let server = Counting::start();
    let proxy = server.proxy();
    let cases = [
        (
            "POST /",
            "ec2",
            "Action=A",
            "503",
            "<Response><Errors><Error><Code>RequestLimitExceeded</Code>",
        ),
        (
            "POST /",
            "rds",
            "Action=A",
            "400",
            "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code>",
        ),
        ("GET /b", "s3", "", "503", "<Error><Code>SlowDown</Code>"),
        ("GET /z", "route53", "", "400", "<Code>Throttling</Code>"),
        ("GET /f", "lambda", "", "429", "x-amzn-errortype: TooManyRequestsException"),
        (
            "POST / HTTP/1.1\r\nx-amz-target: A.B\r\nx: ",
            "ssm",
            "{}",
            "400",
            r#""__type":"ThrottlingException""#,
        ),
        (
            "POST / HTTP/1.1\r\nsmithy-protocol: rpc-v2-cbor\r\nx: ",
            "monitoring",
            "",
            "400",
            "ThrottlingException",
        ),
    ];
    for (request, service, body, status, part) in cases {
        proxy.inject(Fault::when(|_| true, What::throttled()));
        let answer = send(&proxy, request, service, body);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{service}: {answer}");
        assert!(answer.contains(part), "{service}: {answer}");
    }
    assert_eq!(server.reached(), 0);
}

#[test]
fn every_server_ends_with_its_test() {
    for kind in [Kind::Ministack, Kind::S3s] {
        let Some(emulator) = Emulator::start(kind) else { continue };
        let address = emulator.server().address();
        assert!(TcpStream::connect(address).is_ok());
        drop(emulator);
        assert!(TcpStream::connect(address).is_err(), "{kind:?} still listens");
    }
}
