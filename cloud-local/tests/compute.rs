//! Instances are processes: their life, and that they are found again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::time::Duration;

use cloud_core::{
    ByteSize, ClientToken, Cloud, CloudExt, ComputeExt, ErrorKind, InstanceSize, ListQuery,
    MetricName, MetricQuery, ResourceQuery, ResourceStatus, SecretRef, Tags, Zone, wait_until,
};
use common::{Folder, patience, region, shell, sleeper, until_console, until_status};

fn token() -> ClientToken {
    ClientToken::random()
}

#[tokio::test]
async fn a_life_from_creation_to_deletion() {
    let folder = Folder::new();
    let cloud = folder.open().await;
    let compute = cloud.compute().unwrap();
    let mut spec = shell(
        "größe 1",
        r#"echo "it is $COLOUR, $SECRET, $(cat $MULTICLOUD_USER_DATA), in $(pwd)"; echo oops >&2; exec sleep 1000"#,
    );
    spec.environment.insert("COLOUR".into(), "blue".into());
    let secret = SecretRef::Value("hunter2".into());
    spec.secret_environment.insert("SECRET".into(), secret);
    spec.user_data = Some("my data".into());
    spec.tags = Tags::new([("team", "orders")]).unwrap();
    let made = compute.create_instance(&spec, &token()).await.unwrap();
    assert_eq!(made.status, ResourceStatus::Running);
    assert_eq!(made.instance_type, "local.1x1");
    assert_eq!(made.addresses[0].to_string(), "127.0.0.1");
    let console = until_console(&cloud, &made.id, "oops").await;
    assert!(console.contains("it is blue, hunter2, my data, in /"), "{console}");

    compute.stop_instance(&made.id).await.unwrap();
    compute.stop_instance(&made.id).await.unwrap();
    let stopped = compute.get_instance(&made.id).await.unwrap();
    assert_eq!(stopped.status, ResourceStatus::Stopped);
    assert!(folder.processes().is_empty());
    let error = compute.reboot_instance(&made.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);

    // The secret that was given by value is there again, from another handle as well.
    let again = folder.open().await;
    let compute = again.compute().unwrap();
    compute.start_instance(&made.id).await.unwrap();
    compute.start_instance(&made.id).await.unwrap();
    wait_until("second start", &patience(), || async {
        let console = compute.console_output(&made.id).await?;
        Ok((String::from_utf8_lossy(&console).matches("hunter2").count() == 2).then_some(()))
    })
    .await
    .unwrap();
    let before = folder.processes();
    compute.reboot_instance(&made.id).await.unwrap();
    let rebooted = until_status(&again, &made.id, ResourceStatus::Running).await;
    assert_eq!(rebooted.tags.get("team"), Some("orders"));
    assert_ne!(before, folder.processes());

    assert!(compute.delete_instance(&made.id).await.unwrap());
    assert!(!compute.delete_instance(&made.id).await.unwrap());
    let error = compute.get_instance(&made.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(folder.processes().is_empty());
    let left: Vec<_> =
        folder.files().into_iter().filter(|f| f.contains(made.id.native())).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn one_token_makes_one_instance() {
    let folder = Folder::new();
    let cloud = folder.open().await;
    let compute = cloud.compute().unwrap();
    let (spec, same) = (sleeper("web"), token());
    let calls = (0..8).map(|_| compute.create_instance(&spec, &same));
    let made: Vec<_> =
        futures::future::join_all(calls).await.into_iter().map(Result::unwrap).collect();
    assert!(made.iter().all(|i| i.id == made[0].id));
    wait_until("one process", &patience(), || async {
        Ok((folder.processes().len() == 1).then_some(()))
    })
    .await
    .unwrap();

    let other = shell("web", "exec sleep 2000");
    let error = compute.create_instance(&other, &same).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(error.code(), Some("IdempotentParameterMismatch"));
    let error = compute.create_instance(&spec, &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(error.operation(), Some("compute.create_instance"));

    // A deleted resource takes its token with it.
    compute.delete_instance(&made[0].id).await.unwrap();
    let anew = compute.create_instance(&spec, &same).await.unwrap();
    assert_ne!(anew.id, made[0].id);
    compute.delete_instance(&anew.id).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_leaves_nothing() {
    let folder = Folder::new();
    let mut config = folder.config();
    config.max_instances = 2;
    config.max_vcpu = 5;
    config.regions[0].zones = vec![Zone::new("eu-1a").unwrap()];
    let cloud = folder.open_with(config).await;
    let compute = cloud.compute().unwrap();
    let refused = async |change: &dyn Fn(&mut cloud_core::InstanceSpec), kind, says: &str| {
        let mut spec = sleeper("x");
        change(&mut spec);
        let error = compute.create_instance(&spec, &token()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    };
    use ErrorKind::{CapacityUnavailable, InvalidInput, NotFound, QuotaExceeded, Unsupported};
    refused(&|s| s.command.clear(), InvalidInput, "command is empty").await;
    refused(
        &|s| s.command = vec!["/no/such/program".into()],
        InvalidInput,
        "command cannot be started",
    )
    .await;
    refused(&|s| s.command = vec!["/etc/passwd".into()], InvalidInput, "command cannot be started")
        .await;
    refused(&|s| s.name = "../x".into(), InvalidInput, "path separator").await;
    refused(&|s| s.region = region("mars-1"), InvalidInput, "accepted: eu-1, us-1").await;
    refused(&|s| s.zone = Some(Zone::new("eu-1z").unwrap()), InvalidInput, "accepted: eu-1a").await;
    refused(&|s| s.spot = true, Unsupported, "spot").await;
    refused(&|s| s.size = InstanceSize::Exact("t3.large".into()), InvalidInput, "local.2x4").await;
    refused(
        &|s| s.network = Some("network/eu-1/none".parse().unwrap()),
        NotFound,
        "network/eu-1/none",
    )
    .await;
    refused(
        &|s| drop(s.environment.insert("MULTICLOUD_RESOURCE".into(), "x".into())),
        InvalidInput,
        "reserved",
    )
    .await;
    refused(
        &|s| {
            drop(s.secret_environment.insert("S".into(), SecretRef::Env("NO_SUCH_VARIABLE".into())))
        },
        InvalidInput,
        "NO_SUCH_VARIABLE",
    )
    .await;
    let huge = InstanceSize::AtLeast { vcpu: 64, memory: ByteSize::gib(1), gpu: 0 };
    refused(&|s| s.size = huge.clone(), CapacityUnavailable, "64 vCPU").await;
    refused(&|s| s.size = InstanceSize::Exact("local.8x16".into()), QuotaExceeded, "0 of 5 vcpu")
        .await;
    assert!(!folder.files().iter().any(|f| f.contains("/records/")), "{:?}", folder.files());

    let one = compute.create_instance(&sleeper("one"), &token()).await.unwrap();
    assert_eq!(one.zone, Some(Zone::new("eu-1a").unwrap()));
    compute.create_instance(&sleeper("two"), &token()).await.unwrap();
    refused(&|_| {}, QuotaExceeded, "2 of 2 instances").await;
    let quotas = cloud.quotas(&region("eu-1")).await.unwrap();
    assert_eq!(quotas[0].available(), Some(0));
    compute.delete_instance(&one.id).await.unwrap();
    assert_eq!(cloud.quotas(&region("eu-1")).await.unwrap()[0].available(), Some(1));
}

#[tokio::test]
async fn a_program_that_ends_is_failed_with_its_reason() {
    let folder = Folder::new();
    let cloud = folder.open().await;
    let compute = cloud.compute().unwrap();
    let made = compute.create_instance(&shell("x", "exit 7"), &token()).await.unwrap();
    let seen = wait_until("reason", &patience(), || async {
        let now = compute.get_instance(&made.id).await?;
        let reason = now.status_reason.clone().unwrap_or_default();
        Ok(reason.contains("exit status: 7").then_some(now))
    })
    .await
    .unwrap();
    assert_eq!(seen.status, ResourceStatus::Failed);
    compute.delete_instance(&made.id).await.unwrap();
}

#[tokio::test]
async fn a_program_that_ignores_the_request_to_end_is_ended() {
    let folder = Folder::new();
    let cloud = folder.open().await;
    let compute = cloud.compute().unwrap();
    let stubborn = shell("x", "trap '' TERM; echo ready; while :; do sleep 1; done");
    let made = compute.create_instance(&stubborn, &token()).await.unwrap();
    until_console(&cloud, &made.id, "ready").await;
    compute.stop_instance(&made.id).await.unwrap();
    assert!(folder.processes().is_empty());
}

#[tokio::test]
async fn ports_are_chosen_told_and_kept_apart() {
    let folder = Folder::new();
    let cloud = folder.open().await;
    let compute = cloud.compute().unwrap();
    let mut spec = shell("a", "echo port=$PORT.; exec sleep 1000");
    spec.ports.insert("PORT".into(), 0);
    spec.ports.insert("ADMIN".into(), 0);
    let a = compute.create_instance(&spec, &token()).await.unwrap();
    let port = a.ports["PORT"];
    assert_ne!(port, a.ports["ADMIN"]);
    until_console(&cloud, &a.id, &format!("port={port}.")).await;
    let mut clash = sleeper("b");
    clash.ports.insert("PORT".into(), port);
    let error = compute.create_instance(&clash, &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    compute.reboot_instance(&a.id).await.unwrap();
    assert_eq!(compute.get_instance(&a.id).await.unwrap().ports, a.ports);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_is_limited_to_the_type() {
    let folder = Folder::new();
    let cloud = folder.open().await;
    let compute = cloud.compute().unwrap();
    // The shell's child is started after the limit is set.
    let spec = shell("x", "sleep 0.3; sh -c 'ulimit -d'; exec sleep 1000");
    let made = compute.create_instance(&spec, &token()).await.unwrap();
    until_console(&cloud, &made.id, "1048576").await;
}

#[tokio::test]
async fn what_it_uses_is_measured() {
    let folder = Folder::new();
    let cloud = folder.open().await;
    let compute = cloud.compute().unwrap();
    let busy =
        compute.create_instance(&shell("busy", "while :; do :; done"), &token()).await.unwrap();
    let metrics = cloud.metrics().unwrap();
    let query = |metric| {
        let now = jiff::Timestamp::now();
        MetricQuery::last(busy.id.clone(), metric, Duration::from_secs(600), now)
    };
    // On a busy machine it may not have had its turn yet.
    wait_until("CPU in use", &patience(), || async {
        let cpu = metrics.query_metrics(&query(MetricName::CpuUtilization)).await?;
        assert_eq!(cpu.len(), 1);
        Ok((cpu[0].value > 1.0).then_some(()))
    })
    .await
    .unwrap();
    let memory = metrics.query_metrics(&query(MetricName::MemoryBytes)).await.unwrap();
    assert!(memory[0].value > 100_000.0, "{memory:?}");
    let mut past = query(MetricName::MemoryBytes);
    past.to = past.from + jiff::SignedDuration::from_secs(60);
    assert!(metrics.query_metrics(&past).await.unwrap().is_empty());
    let error = metrics.query_metrics(&query(MetricName::QueueLength)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    compute.stop_instance(&busy.id).await.unwrap();
    let none = metrics.query_metrics(&query(MetricName::MemoryBytes)).await.unwrap();
    assert!(none.is_empty());
}

#[tokio::test]
async fn listings_go_by_page_and_over_kinds() {
    let folder = Folder::new();
    let mut config = folder.config();
    config.max_page_size = 2;
    let cloud = folder.open_with(config).await;
    let compute = cloud.compute().unwrap();
    let mut made = Vec::new();
    for i in 0..5 {
        let mut spec = sleeper(&format!("i{i}"));
        spec.region = region(["eu-1", "us-1"][i % 2]);
        made.push(compute.create_instance(&spec, &token()).await.unwrap().id);
    }
    let network = cloud_core::NetworkSpec::new("n", region("us-1"), "10.0.0.0/16".parse().unwrap());
    let network = cloud.network().unwrap().create_network(&network, &token()).await.unwrap();
    made.sort();
    let all = compute.list_instances(&ListQuery::default()).complete().await.unwrap();
    let mut ids: Vec<_> = all.into_items().into_iter().map(|i| i.id).collect();
    ids.sort();
    assert_eq!(ids, made);
    for size in 1..=7 {
        let mut after = None;
        let mut seen = Vec::new();
        loop {
            let request = cloud_core::PageRequest { size: Some(size), after };
            let page =
                cloud.list_resources_page(&ResourceQuery::default(), &request).await.unwrap();
            assert!(page.items.len() <= 2);
            seen.extend(page.items.into_iter().map(|r| r.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen[0], network.id);
        seen.remove(0);
        seen.sort();
        assert_eq!(seen, made);
    }
    let named = ListQuery { name: Some("i3".into()), ..ListQuery::in_region(region("us-1")) };
    assert_eq!(compute.list_instances(&named).complete().await.unwrap().items().len(), 1);
    let everything = cloud.list_resources(&ResourceQuery::default()).complete().await.unwrap();
    for resource in everything.items() {
        assert_eq!(&cloud.get_resource(&resource.id).await.unwrap(), resource);
        assert!(cloud.delete_resource(&resource.id, &Default::default()).await.unwrap());
    }
    assert!(folder.processes().is_empty());
}
