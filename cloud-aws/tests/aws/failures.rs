//! What goes wrong at AWS, as its errors say it: the right kind, effect and advice, and the provider's code and request id kept.

use std::time::Duration;

use cloud_core::{
    BucketSpec, ClientToken, Cloud, CloudExt, Effect, Error, ErrorKind, InstanceSpec, ListQuery,
    PageRequest, ResourceQuery, Retry, Scope,
};

use cloud_rig::{Fault, Keys, Kind, Reply, What};

use crate::harness::{Aws, REGIONS, config, open, region};

fn instance() -> InstanceSpec {
    InstanceSpec::new("web", region(REGIONS[0]))
}

/// The error of starting an instance when EC2 answers so.
async fn run_instances(aws: &Aws, what: What) -> Error {
    aws.proxy.inject(Fault::on("ec2", "RunInstances", what));
    let compute = aws.cloud.compute().unwrap();
    let error = compute.create_instance(&instance(), &ClientToken::random()).await.unwrap_err();
    assert_eq!(aws.proxy.faults_left(), 0);
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ec2_says_is_told_as_it_is_meant() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let cases = [
        (
            400,
            "InsufficientInstanceCapacity",
            ErrorKind::CapacityUnavailable,
            Scope::Zone,
            Effect::None,
        ),
        (400, "VcpuLimitExceeded", ErrorKind::QuotaExceeded, Scope::Region, Effect::None),
        (403, "UnauthorizedOperation", ErrorKind::PermissionDenied, Scope::Resource, Effect::None),
        (400, "InvalidAMIID.NotFound", ErrorKind::NotFound, Scope::Resource, Effect::None),
        (400, "IdempotentParameterMismatch", ErrorKind::Conflict, Scope::Resource, Effect::None),
        (503, "InternalError", ErrorKind::Unavailable, Scope::Region, Effect::Unknown),
    ];
    for (status, code, kind, scope, effect) in cases {
        let error = run_instances(&aws, What::error(status, code, "why")).await;
        let seen = (error.kind(), error.scope(), error.effect(), error.code());
        assert_eq!(seen, (kind, scope, effect, Some(code)), "{error:?}");
        assert!(error.request_id().is_some() && error.message().contains("why"), "{error:?}");
        assert_eq!(error.operation(), Some("compute.create_instance"));
    }
    let error = run_instances(&aws, What::throttled()).await;
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::RateLimited, Retry::Backoff),
        "{error:?}"
    );
    let error = run_instances(&aws, What::expired_token()).await;
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Unauthenticated, Effect::None),
        "{error:?}"
    );
    let error = run_instances(&aws, What::error(400, "NobodyKnowsThis", "new")).await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::Internal, Some("NobodyKnowsThis")));
    let error = run_instances(&aws, What::bad_gateway()).await;
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Unavailable, Effect::Unknown),
        "{error:?}"
    );
}

/// The same from a listing has no effect, and one that breaks off in the middle is never complete.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_that_fails_changes_nothing_and_is_not_complete() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let everything = ResourceQuery::default();
    for what in [What::ForwardThenDrop, What::internal_error(), What::Drop, What::bad_gateway()] {
        aws.proxy.inject(Fault::on("ec2", "DescribeInstances", what));
        let error = aws.cloud.list_resources(&everything).complete().await.unwrap_err();
        assert_eq!(
            (error.kind(), error.effect()),
            (ErrorKind::Unavailable, Effect::None),
            "{error:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_has_done_nothing() {
    let keys = Keys { access_key_id: "AKIAEXAMPLE".into(), secret_access_key: "secret".into() };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let cloud = open(&format!("http://127.0.0.1:{port}"), &keys).await;
    let made = cloud.compute().unwrap().create_instance(&instance(), &ClientToken::random()).await;
    let error = made.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::None), "{error:?}");
    assert!(!format!("{error:?}").contains("secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_keys_are_told_from_missing_rights() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let wrong = Keys {
        access_key_id: aws.emulator.keys().access_key_id.clone(),
        secret_access_key: "not-the-secret".into(),
    };
    let cloud = open(&aws.proxy.url(), &wrong).await;
    let (query, page) = (ListQuery::default(), PageRequest::default());
    let error = cloud.compute().unwrap().list_instances_page(&query, &page).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Unauthenticated, Effect::None),
        "{error:?}"
    );
    assert!(!format!("{error:?}").contains("not-the-secret"));

    let denied = aws.denied().await;
    let made = denied.compute().unwrap().create_instance(&instance(), &ClientToken::random()).await;
    let error = made.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::PermissionDenied, Effect::None),
        "{error:?}"
    );
    let spec = BucketSpec::new("denied-to-this-user", region(REGIONS[0]));
    let made = denied.storage().unwrap().create_bucket(&spec, &ClientToken::random()).await;
    let error = made.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::PermissionDenied, Effect::None),
        "{error:?}"
    );
}

/// What is asked of a region that the cloud is not set up for never leaves the machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_region_is_refused_before_any_call() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let spec = InstanceSpec::new("web", region("ap-south-1"));
    let made = aws.cloud.compute().unwrap().create_instance(&spec, &ClientToken::random()).await;
    let error = made.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains("us-east-1, eu-central-1"), "{error}");
    assert!(aws.proxy.requests().is_empty());
}

/// A role is taken on with the keys of the configuration, and its credentials sign what follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_is_taken_on() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let mut config = config(&aws.proxy.url(), aws.emulator.keys());
    let role =
        toml::from_str(&format!("role_arn = '{}'", aws.emulator.role_arn("multicloud-assume")));
    config.assume_role = Some(role.unwrap());
    let id = cloud_core::CloudId::new("aws").unwrap();
    let cloud = cloud_aws::AwsCloud::open(id, config).await.unwrap();
    let (query, page) = (ListQuery::default(), PageRequest::default());
    cloud.compute().unwrap().list_instances_page(&query, &page).await.unwrap();
    assert_eq!(aws.proxy.count(|seen| seen.is("sts", "AssumeRole")), 1);
    let described = aws.proxy.requests();
    let described = described.iter().find(|seen| seen.is("ec2", "DescribeInstances")).unwrap();
    assert!(!described.header("x-amz-security-token").is_empty());
    let agent = described.header("x-amz-user-agent");
    assert!(agent.contains("app/multicloud"), "{agent}");
}

/// Keys that expire in the middle are renewed by their chain; fixed ones fail and say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_keys_say_so_in_every_protocol() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let region = region(REGIONS[0]);
    let query = ListQuery::in_region(region.clone());
    let page = PageRequest::default();
    let cloud = &aws.cloud;
    for service in ["ec2", "rds", "s3", "eks", "lambda"] {
        aws.proxy.inject(Fault::when(move |seen| seen.service == service, What::expired_token()));
        let error = match service {
            "ec2" => cloud.compute().unwrap().list_instances_page(&query, &page).await.err(),
            "rds" => cloud.database().unwrap().list_databases_page(&query, &page).await.err(),
            "s3" => cloud.storage().unwrap().list_buckets_page(&query, &page).await.err(),
            "eks" => cloud.kubernetes().unwrap().list_clusters_page(&query, &page).await.err(),
            _ => cloud.functions().unwrap().list_functions_page(&query, &page).await.err(),
        };
        let error = error.unwrap();
        assert_eq!(
            (error.kind(), error.effect()),
            (ErrorKind::Unauthenticated, Effect::None),
            "{service}: {error:?}"
        );
        assert_eq!(aws.proxy.faults_left(), 0, "{service}");
    }
}

/// A server that asks for a pause is given it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_that_is_asked_for_is_in_the_advice() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let mut reply = Reply::new(
        503,
        "text/xml",
        "<Response><Errors><Error><Code>ServiceUnavailable</Code><Message>busy</Message></Error></Errors><RequestID>r</RequestID></Response>",
    );
    reply.headers.insert("retry-after", "9".parse().unwrap());
    let error = run_instances(&aws, What::answer(reply)).await;
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(9)), "{error:?}");
}
