//! Functions are executables: JSON in and out, time-out, concurrency, failures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::sync::Arc;

use cloud_core::{
    ClientToken, Cloud, Effect, ErrorKind, Function, FunctionCode, FunctionSpec, Functions,
    InvokeMode, SecretRef, wait_until,
};
use cloud_local::LocalCloud;
use common::{Folder, patience, region, words};
use serde_json::json;

fn spec(name: &str, script: &str) -> FunctionSpec {
    let code = FunctionCode::Executable(words(&["/bin/sh", "-c", script]));
    FunctionSpec::new(name, region("eu-1"), code)
}

async fn deploy(cloud: &LocalCloud, spec: &FunctionSpec) -> (Arc<dyn Functions>, Function) {
    let functions = cloud.functions().unwrap();
    let made = functions.create_function(spec, &ClientToken::random()).await.unwrap();
    (functions, made)
}

#[tokio::test]
async fn json_goes_in_and_comes_out() {
    let folder = Folder::new();
    let cloud = folder.open().await;
    let mut echo = spec("echo", r#"test "$SECRET" = hunter2 && cat"#);
    let secret = SecretRef::Value("hunter2".into());
    echo.secret_environment.insert("SECRET".into(), secret);
    let (functions, made) = deploy(&cloud, &echo).await;
    let input = json!({"n": 1, "text": "größe", "large": "x".repeat(1 << 20)});
    let call = functions.invoke(&made.id, &input, InvokeMode::Wait).await.unwrap();
    assert_eq!(call.error, None);
    assert_eq!(call.output, Some(input));
    let error = functions.invoke(&made.id, &json!(null), InvokeMode::Queue).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let huge = json!("x".repeat(7 << 20));
    let error = functions.invoke(&made.id, &huge, InvokeMode::Wait).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(functions.delete_function(&made.id).await.unwrap());
    assert!(!functions.delete_function(&made.id).await.unwrap());
    let error = functions.invoke(&made.id, &json!(1), InvokeMode::Wait).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn its_own_failure_is_no_failure_of_the_call() {
    let folder = Folder::new();
    let cloud = folder.open().await;
    for (name, script, says) in [
        ("exit", "echo no such order >&2; exit 3", "exit status: 3: no such order"),
        ("text", "echo hello", "not JSON"),
        ("flood", "head -c 7000000 /dev/zero", "larger than"),
        ("signal", "kill -9 $$", "signal: 9"),
    ] {
        let (functions, made) = deploy(&cloud, &spec(name, script)).await;
        let call = functions.invoke(&made.id, &json!({}), InvokeMode::Wait).await.unwrap();
        assert_eq!(call.output, None);
        assert!(call.error.clone().unwrap().contains(says), "{call:?}");
    }
    let (functions, made) = deploy(&cloud, &spec("silent", "true")).await;
    let call = functions.invoke(&made.id, &json!({}), InvokeMode::Wait).await.unwrap();
    assert_eq!(call.output, Some(json!(null)));
}

#[tokio::test]
async fn what_takes_too_long_is_killed_with_all_it_started() {
    let folder = Folder::new();
    let cloud = folder.open().await;
    let mut slow = spec("slow", "sleep 1000 & sleep 1000");
    slow.timeout_seconds = 1;
    let (functions, made) = deploy(&cloud, &slow).await;
    let error = functions.invoke(&made.id, &json!({}), InvokeMode::Wait).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.effect(), Effect::Unknown);
    // A background process does not keep a call that has ended from returning, nor does it live on.
    let (functions, made) = deploy(&cloud, &spec("leaves", "sleep 1000 & echo 1")).await;
    let call = functions.invoke(&made.id, &json!({}), InvokeMode::Wait).await.unwrap();
    assert_eq!(call.output, Some(json!(1)));
    wait_until("nothing left", &patience(), || async {
        Ok(folder.processes().is_empty().then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn no_more_calls_at_once_than_allowed() {
    let folder = Folder::new();
    let cloud = folder.open().await;
    let mut wait =
        spec("wait", "touch began.$$; while ! test -e go; do sleep 0.01; done; echo true");
    wait.concurrency = Some(2);
    let (functions, made) = deploy(&cloud, &wait).await;
    let home = folder.path().join("laptop/eu-1/data/function").join(made.id.native()).join("home");
    let calls: Vec<_> = (0..2)
        .map(|_| {
            let (functions, id) = (functions.clone(), made.id.clone());
            tokio::spawn(async move { functions.invoke(&id, &json!({}), InvokeMode::Wait).await })
        })
        .collect();
    // A call is the shell and what it runs, so processes do not count calls.
    let began = || {
        let files = std::fs::read_dir(&home).into_iter().flatten().flatten();
        files.filter(|f| f.file_name().to_string_lossy().starts_with("began.")).count()
    };
    wait_until("two calls", &patience(), || async { Ok((began() == 2).then_some(())) })
        .await
        .unwrap();
    // The limit holds for another handle, as for another process.
    let other = folder.open().await.functions().unwrap();
    let error = other.invoke(&made.id, &json!({}), InvokeMode::Wait).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    std::fs::write(home.join("go"), "").unwrap();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().output, Some(json!(true)));
    }
    let call = other.invoke(&made.id, &json!({}), InvokeMode::Wait).await.unwrap();
    assert_eq!(call.output, Some(json!(true)));
}
