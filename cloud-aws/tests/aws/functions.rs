//! Lambda: the conformance suite, what a create sends and undoes, versions, and calls that really run at ministack.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use cloud_aws::{AwsCodeObject, AwsFunction};
use cloud_core::{
    ByteSize, ClientToken, Effect, ErrorKind, FunctionCode, FunctionSpec, Functions, FunctionsExt,
    InvokeMode, ListQuery, ResourceId, ResourceStatus, SecretRef, Tags, WaitOptions, wait_until,
};
use cloud_rig::{Emulator, Fault, Kind, Reply, Seen, What};
use serde_json::{Value, json};

use crate::harness::{Aws, Excluded, REGIONS, conform, region};
use crate::overview::of_group;

/// The handlers that the tests call.
const CODE: &str = r#"
import os
import time


def echo(event, context):
    return event


def fail(event, context):
    raise ValueError("no stock")


def slow(event, context):
    time.sleep(float(os.environ["NAP_SECONDS"]))


def environment(event, context):
    return {name: os.environ.get(name) for name in event}


def note(event, context):
    with open(event["file"], "w") as file:
        file.write(event["text"])
"#;

/// A zip archive of one module, made by Python.
fn archive(folder: &Path, name: &str, code: &str) -> PathBuf {
    let module = folder.join("app.py");
    std::fs::write(&module, code).unwrap();
    let archive = folder.join(name);
    let made = Command::new("python3")
        .args(["-m", "zipfile", "-c"])
        .args([&archive, &module])
        .status()
        .unwrap();
    assert!(made.success());
    archive
}

/// The archive with the handlers, made once.
fn handlers() -> &'static Path {
    static MADE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = archive(folder.path(), "app.zip", CODE);
        (folder, path)
    });
    path
}

/// A function by one of the handlers.
pub(crate) fn function_spec(emulator: &Emulator, name: &str, handler: &str) -> FunctionSpec {
    let code = FunctionCode::Archive(handlers().into());
    let mut spec = FunctionSpec::new(name, region(REGIONS[0]), code);
    spec.runtime = Some("python3.12".into());
    spec.handler = Some(handler.into());
    spec.overrides.set(&settings(emulator)).unwrap();
    spec
}

fn settings(emulator: &Emulator) -> AwsFunction {
    let role_arn = Some(emulator.role_arn("multicloud-lambda").into());
    AwsFunction { role_arn, ..AwsFunction::default() }
}

fn unique(what: &str) -> String {
    format!("{what}-{:08x}", rand::random::<u32>())
}

async fn ready(aws: &Aws, id: &ResourceId) {
    let lambda = aws.cloud.aws_functions();
    let options = WaitOptions { deadline: Duration::from_secs(30), ..WaitOptions::default() };
    let running = wait_until("the function to run", &options, || async {
        Ok(lambda.get_function(id).await?.status.is_ready().then_some(()))
    });
    running.await.unwrap();
}

async fn deployed(aws: &Aws, spec: &FunctionSpec) -> ResourceId {
    let lambda = aws.cloud.aws_functions();
    let made = lambda.create_function(spec, &ClientToken::random()).await.unwrap();
    ready(aws, &made.id).await;
    made.id
}

/// The bodies of the requests that create a function of this name.
fn creates(aws: &Aws, name: &str) -> Vec<Value> {
    let all = aws.proxy.requests().into_iter();
    let all = all.filter(|seen| seen.method == "POST" && seen.path.ends_with("/functions"));
    let all = all.map(|seen| serde_json::from_slice::<Value>(&seen.body).unwrap());
    all.filter(|body| body["FunctionName"] == name).collect()
}

const CANNED: &str = "moto/awslambda_simple/models.py: without Docker moto runs nothing and answers what it was told to; ministack runs it";

/// What moto does not run, ministack does.
const NOT_AT_MOTO: Excluded = &[
    ("functions.invoke", CANNED),
    ("functions.failing", CANNED),
    ("functions.timeout", CANNED),
    ("functions.concurrency", CANNED),
    (
        "functions.gone",
        "moto/awslambda_simple/models.py: without Docker moto does not look whether there is such a function; ministack does",
    ),
];

fn is_of_functions(name: &str) -> bool {
    of_group("function", name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_conform_at_moto() {
    let Some(aws) = Aws::alone_at(Kind::Moto).await else { return };
    conform(&aws, NOT_AT_MOTO, is_of_functions).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_conform_at_ministack() {
    let Some(aws) = Aws::at(Kind::Ministack).await else { return };
    conform(&aws, &[], is_of_functions).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_call_says_all_and_secrets_go_nowhere_else() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let lambda = aws.cloud.aws_functions();
    let name = unique("all");
    let mut spec = function_spec(&aws.emulator, &name, "app.echo");
    spec.tags = Tags::new([("team", "orders")]).unwrap();
    spec.memory = ByteSize::from_bytes((200 << 20) + 1);
    spec.timeout_seconds = 900;
    spec.concurrency = Some(7);
    spec.environment.insert("PLAIN".into(), "a".into());
    spec.secret_environment.insert("SECRET".into(), SecretRef::Value("hunter2".into()));
    let network = aws.emulator.network(REGIONS[0]);
    let given = AwsFunction {
        architecture: Some("arm64".into()),
        subnet_ids: network.subnets[..2].to_vec(),
        security_group_ids: vec![network.security_group.clone()],
        kms_key_arn: Some("arn:aws:kms:us-east-1:123456789012:key/1".into()),
        ephemeral_storage_mib: Some(1024),
        description: Some("takes orders".into()),
        ..settings(&aws.emulator)
    };
    spec.overrides.set(&given).unwrap();
    let made = lambda.create_function(&spec, &ClientToken::random()).await.unwrap();
    assert_eq!((&made.name, &made.tags, &*made.version), (&name, &spec.tags, "$LATEST"));
    assert!(!format!("{made:?} {lambda:?} {spec:?}").contains("hunter2"));

    let sent = &creates(&aws, &name)[0];
    assert_eq!(sent["Environment"]["Variables"], json!({"PLAIN": "a", "SECRET": "hunter2"}));
    assert_eq!(sent["Tags"]["team"], "orders");
    assert_eq!((&sent["MemorySize"], &sent["Timeout"]), (&json!(201), &json!(900)));
    assert_eq!(sent["Architectures"], json!(["arm64"]));
    assert_eq!(sent["VpcConfig"]["SubnetIds"], json!(given.subnet_ids));
    assert_eq!(sent["KMSKeyArn"], json!(given.kms_key_arn));
    assert_eq!(sent["EphemeralStorage"]["Size"], 1024);
    assert_eq!(sent["Description"], "takes orders");
    let zip = BASE64_STANDARD.decode(sent["Code"]["ZipFile"].as_str().unwrap()).unwrap();
    assert_eq!(zip, std::fs::read(handlers()).unwrap());
    let client = aws.cloud.lambda(&region(REGIONS[0])).unwrap();
    let reserved = client.get_function_concurrency().function_name(&name).send().await.unwrap();
    assert_eq!(reserved.reserved_concurrent_executions(), Some(7));
    let query = ListQuery { name: Some(name.clone()), ..ListQuery::in_region(region(REGIONS[0])) };
    let listed = lambda.list_functions(&query).complete().await.unwrap().into_items();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].tags, spec.tags);
    lambda.delete_function(&made.id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_comes_from_s3_or_as_an_image_too() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let lambda = aws.cloud.aws_functions();
    let name = unique("image");
    let mut image = function_spec(&aws.emulator, &name, "app.echo");
    image.code = FunctionCode::Image("123456789012.dkr.ecr.us-east-1.amazonaws.com/app:1".into());
    let error = lambda.create_function(&image, &ClientToken::random()).await.unwrap_err();
    assert!(error.message().contains("an image brings its own"), "{error:?}");
    (image.runtime, image.handler) = (None, None);
    let made = lambda.create_function(&image, &ClientToken::random()).await.unwrap();
    let sent = &creates(&aws, &name)[0];
    assert_eq!(sent["PackageType"], "Image");
    assert!(sent["Code"]["ImageUri"].as_str().unwrap().ends_with("/app:1"));
    assert_eq!(sent["Runtime"], Value::Null);
    lambda.delete_function(&made.id).await.unwrap();

    // What S3 has not is refused by Lambda; what is sent is what counts here. The file of the spec is not read.
    let name = unique("object");
    let mut object = function_spec(&aws.emulator, &name, "app.echo");
    object.code = FunctionCode::Archive("/no/such/file.zip".into());
    let code_object =
        AwsCodeObject { bucket: "builds".into(), key: "17.zip".into(), version: Some("v3".into()) };
    let given = AwsFunction { code_object: Some(code_object), ..settings(&aws.emulator) };
    object.overrides.set(&given).unwrap();
    let made = lambda.create_function(&object, &ClientToken::random()).await;
    let wanted = json!({"S3Bucket": "builds", "S3Key": "17.zip", "S3ObjectVersion": "v3"});
    assert_eq!(creates(&aws, &name)[0]["Code"], wanted);
    if let Ok(made) = made {
        lambda.delete_function(&made.id).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_refused_before_any_call() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let lambda = aws.cloud.aws_functions();
    let good = function_spec(&aws.emulator, &unique("bad"), "app.echo");
    let mut bad = vec![];
    let mut with = |change: &dyn Fn(&mut FunctionSpec), words: &'static str| {
        let mut spec = good.clone();
        change(&mut spec);
        bad.push((spec, words));
    };
    with(&|s| s.overrides = Default::default(), "overrides.aws.role_arn is missing");
    with(&|s| s.runtime = None, "runtime is missing");
    with(&|s| s.memory = ByteSize::gib(11), "at most 10240MiB");
    with(&|s| s.timeout_seconds = 901, "timeout_seconds");
    with(&|s| s.code = FunctionCode::Archive("/etc/passwd".into()), "is no zip archive");
    with(&|s| s.code = FunctionCode::Executable(vec!["/bin/cat".into()]), "executables");
    with(&|s| drop(s.environment.insert("A-B".into(), "x".into())), "has 'A-B'");
    with(&|s| drop(s.environment.insert("LONG".into(), "x".repeat(5000))), "at most 4096 bytes");
    with(&|s| s.tags = Tags::new([("aws:x", "y")]).unwrap(), "reserved");
    with(&|s| s.name = "a.b".into(), "function name");
    for (spec, words) in bad {
        let error = lambda.create_function(&spec, &ClientToken::random()).await.unwrap_err();
        let kinds = [ErrorKind::InvalidInput, ErrorKind::Unsupported];
        assert!(kinds.contains(&error.kind()), "{words}: {error:?}");
        assert!(error.to_string().contains(words), "{words}: {error}");
        assert_eq!(error.effect(), Effect::None, "{words}");
    }
    assert!(aws.proxy.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_whose_answer_is_lost_is_gone_on_with_and_makes_nothing_twice() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let lambda = aws.cloud.aws_functions();
    let client = aws.cloud.lambda(&region(REGIONS[0])).unwrap();
    for lost in ["/functions", "/concurrency"] {
        for what in [What::ForwardThenDrop, What::Drop, What::internal_error()] {
            let words = format!("{lost}, {what:?}");
            let name = unique("lost");
            let mut spec = function_spec(&aws.emulator, &name, "app.echo");
            spec.concurrency = Some(3);
            let token = ClientToken::random();
            let hit = move |seen: &Seen| seen.method != "GET" && seen.path.ends_with(lost);
            aws.proxy.inject(Fault::when(hit, what));
            let error = lambda.create_function(&spec, &token).await.unwrap_err();
            assert_eq!(aws.proxy.faults_left(), 0, "{words}");
            assert_eq!(error.effect(), Effect::Unknown, "{words}: {error:?}");
            let made = lambda.create_function(&spec, &token).await.unwrap();
            assert_eq!(made.name, name);
            let reserved = client.get_function_concurrency().function_name(&name).send();
            let reserved = reserved.await.unwrap().reserved_concurrent_executions();
            assert_eq!(reserved, Some(3), "{words}");
            // By another process too, and not by another token.
            let other = Aws::at(Kind::Moto).await.unwrap();
            let other = other.cloud.aws_functions();
            assert_eq!(other.create_function(&spec, &token).await.unwrap().id, made.id, "{words}");
            let error = other.create_function(&spec, &ClientToken::random()).await.unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::AlreadyExists, Effect::None));
            assert!(lambda.delete_function(&made.id).await.unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_in_the_second_step_is_undone() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let lambda = aws.cloud.aws_functions();
    let name = unique("undone");
    let mut spec = function_spec(&aws.emulator, &name, "app.echo");
    spec.concurrency = Some(3);
    let hit = |seen: &Seen| seen.path.ends_with("/concurrency");
    let why = "decreases account's UnreservedConcurrentExecution below its minimum value of [100]";
    let refusal = || What::error(400, "InvalidParameterValueException", why);
    aws.proxy.inject(Fault::when(hit, refusal()));
    let token = ClientToken::random();
    let error = lambda.create_function(&spec, &token).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::InvalidInput, Effect::None),
        "{error:?}"
    );
    let query = ListQuery { name: Some(name.clone()), ..ListQuery::in_region(region(REGIONS[0])) };
    assert!(lambda.list_functions(&query).complete().await.unwrap().items().is_empty());

    // Where the undoing fails, it is not said that nothing happened.
    aws.proxy.inject(Fault::when(hit, refusal()));
    aws.proxy.inject(Fault::when(|seen| seen.method == "DELETE", What::throttled()));
    let error = lambda.create_function(&spec, &token).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::Unknown));
    let made = lambda.create_function(&spec, &token).await.unwrap();
    assert!(lambda.delete_function(&made.id).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_create_is_told_so() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let denied = aws.denied().await.aws_functions();
    let spec = function_spec(&aws.emulator, &unique("denied"), "app.echo");
    let error = denied.create_function(&spec, &ClientToken::random()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::PermissionDenied, Effect::None));
    assert_eq!(error.operation(), Some("functions.create_function"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lambdas_own_words_about_a_call_are_understood() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let lambda = aws.cloud.aws_functions();
    let id = deployed(&aws, &function_spec(&aws.emulator, &unique("words"), "app.echo")).await;
    let call = || lambda.invoke(&id, &Value::Null, InvokeMode::Wait);
    let on_invoke = |what: What| {
        aws.proxy.inject(Fault::when(|seen: &Seen| seen.path.ends_with("/invocations"), what));
    };
    let log =
        "START RequestId: 1\nREPORT RequestId: 1\tDuration: 250.00 ms\tBilled Duration: 1 ms\n";
    let mut reply = Reply::new(200, "application/json", "[1]");
    let log = BASE64_STANDARD.encode(log).parse().unwrap();
    reply.headers.insert("x-amz-log-result", log);
    reply.headers.insert("x-amzn-requestid", "call-1".parse().unwrap());
    on_invoke(What::answer(reply));
    let answer = call().await.unwrap();
    assert_eq!(answer.output, Some(json!([1])));
    assert_eq!(answer.duration, Some(Duration::from_millis(250)));
    assert_eq!(answer.request_id, "call-1");

    on_invoke(What::throttled());
    let error = call().await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::RateLimited, Effect::None));
    on_invoke(What::error(413, "RequestTooLargeException", "6291557 byte payload"));
    assert_eq!(call().await.unwrap_err().kind(), ErrorKind::InvalidInput);
    let pending = "The function is currently in the following state: Pending";
    on_invoke(What::error(409, "ResourceConflictException", pending));
    assert_eq!(call().await.unwrap_err().kind(), ErrorKind::Conflict);
    on_invoke(What::ForwardThenDrop);
    assert_eq!(call().await.unwrap_err().effect(), Effect::Unknown);
    // More than a queued call may take, and less than one that is waited for may.
    let large = json!("x".repeat(2 << 20));
    let error = lambda.invoke(&id, &large, InvokeMode::Queue).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::None));
    lambda.invoke(&id, &large, InvokeMode::Wait).await.unwrap();
    lambda.delete_function(&id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_versions_keep_their_code() {
    for kind in [Kind::Moto, Kind::Ministack] {
        let Some(aws) = Aws::at(kind).await else { continue };
        let lambda = aws.cloud.aws_functions();
        let folder = tempfile::tempdir().unwrap();
        let code = |n: u32| format!("def handler(event, context):\n    return {n}\n");
        let mut spec = function_spec(&aws.emulator, &unique("versions"), "app.handler");
        spec.code = FunctionCode::Archive(archive(folder.path(), "1.zip", &code(1)));
        let id = deployed(&aws, &spec).await;
        let first = lambda.publish_version(&id, "first").await.unwrap();
        assert_eq!((first.version.as_str(), first.description.as_deref()), ("1", Some("first")));
        assert!(first.code_sha256.is_some() && first.code_bytes > 0 && first.modified_at.is_some());

        let second = FunctionCode::Archive(archive(folder.path(), "2.zip", &code(2)));
        lambda.update_code(&id, &second).await.unwrap();
        ready(&aws, &id).await;
        let second = lambda.publish_version(&id, "").await.unwrap();
        assert_eq!((second.version.as_str(), &second.description), ("2", &None));
        assert_ne!(first.code_sha256, second.code_sha256);
        let versions = lambda.list_versions(&id).await.unwrap();
        let mut names: Vec<_> = versions.iter().map(|v| v.version.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["$LATEST", "1", "2"], "{}", aws.emulator.name());
        // Moto runs nothing: see NOT_AT_MOTO.
        if kind == Kind::Ministack {
            let unknown = lambda.invoke_version(&id, "9", &Value::Null, InvokeMode::Wait).await;
            assert_eq!(unknown.unwrap_err().kind(), ErrorKind::NotFound);
            for (version, output) in [("1", 1), ("2", 2), ("$LATEST", 2)] {
                let call = lambda.invoke_version(&id, version, &Value::Null, InvokeMode::Wait);
                assert_eq!(call.await.unwrap().output, Some(json!(output)), "{version}");
            }
        }
        assert!(lambda.delete_function(&id).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queued_call_runs_later_and_an_environment_is_there() {
    let Some(aws) = Aws::at(Kind::Ministack).await else { return };
    let lambda = aws.cloud.aws_functions();
    let id = deployed(&aws, &function_spec(&aws.emulator, &unique("note"), "app.note")).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("note");
    let input = json!({"file": file, "text": "done"});
    let call = lambda.invoke(&id, &input, InvokeMode::Queue).await.unwrap();
    assert!(call.output.is_none() && call.error.is_none(), "{call:?}");
    let options = WaitOptions { deadline: Duration::from_secs(30), ..WaitOptions::default() };
    let written = wait_until("the note", &options, || async {
        Ok(std::fs::read_to_string(&file).ok().filter(|text| text == "done"))
    });
    written.await.unwrap();
    lambda.delete_function(&id).await.unwrap();

    let mut spec = function_spec(&aws.emulator, &unique("variables"), "app.environment");
    spec.environment.insert("PLAIN".into(), "a".into());
    spec.secret_environment.insert("SECRET".into(), SecretRef::Value("hunter2".into()));
    let id = deployed(&aws, &spec).await;
    let call = lambda.invoke(&id, &json!(["PLAIN", "SECRET", "OTHER"]), InvokeMode::Wait).await;
    let wanted = json!({"PLAIN": "a", "SECRET": "hunter2", "OTHER": null});
    assert_eq!(call.unwrap().output, Some(wanted));
    let found = lambda.get_function(&id).await.unwrap();
    assert_eq!(found.status, ResourceStatus::Running);
    assert!(!format!("{found:?}").contains("hunter2"));
    lambda.delete_function(&id).await.unwrap();
}
