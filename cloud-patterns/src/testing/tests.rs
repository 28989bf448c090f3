//! The harness on SimCloud: a plan over two clouds with every kind of step.

use std::{sync::Arc, time::Duration};

use cloud_core::{Cloud, Result};
use cloud_testkit::sim::{SimBuilder, SimCloud};
use serde_json::json;

use super::*;
use crate::engine::{plan::Plan, saga::ExecutorOptions};

/// Sixteen steps over two clouds: networks, a firewall, a peering, a bucket with an object, a database with a table and a snapshot, instances
/// that refer to all of them, a function, a zone with a record.
pub(crate) fn sixteen_steps(id: &str) -> Plan {
    let step = |id: &str, cloud: &str, action: serde_json::Value, needs: &[&str]| json!({ "id": id, "component": id, "cloud": cloud, "action": action, "depends_on": needs });
    let create =
        |kind: &str, spec: serde_json::Value| json!({ "do": "create", "kind": kind, "spec": spec });
    let call = |handler: &str, input: serde_json::Value| json!({ "do": "call", "handler": handler, "input": input });
    let instance = |name: &str| {
        create(
            "instance",
            json!({
                "name": name, "region": "sim-1", "network": "${net.id}", "firewalls": ["${fw.id}"],
                "environment": {
                    "DATABASE_URL": "${db.url}",
                    "ASSETS": "bucket ${bucket.name} of $${HOME}",
                },
                "tags": { "team": "shop" },
            }),
        )
    };
    let network = |name: &str, cidr: &str| {
        create("network", json!({ "name": name, "region": "sim-1", "cidr": cidr }))
    };
    let plan = json!({
        "id": id, "deployment": "shop", "purpose": "deploy shop", "created_at": "2026-01-01T00:00:00Z",
        "choices": [],
        "steps": [
            step("net", "east", network("main", "10.0.0.0/16"), &[]),
            step("net-2", "east", network("other", "10.1.0.0/16"), &[]),
            step("peering", "east", create("peering", json!({
                "name": "both", "network": "${net.id}", "peer": "${net-2.id}",
            })), &[]),
            step("fw", "east", create("firewall", json!({
                "name": "web", "network": "${net.id}",
                "rules": [{ "direction": "ingress", "protocol": "tcp", "ports": [80, 80], "peers": ["0.0.0.0/0"] }],
            })), &["net"]),
            step("bucket", "west", create("bucket", json!({ "name": "assets-1", "region": "sim-2" })), &[]),
            step("logo", "west", call("put_object", json!({
                "bucket": "${bucket.id}", "key": "logo.svg", "text": "<svg/>",
            })), &[]),
            step("db", "east", create("database", json!({
                "name": "orders", "region": "sim-1", "engine": "postgres", "network": "${net.id}",
            })), &[]),
            step("table", "east", call("create_table", json!({
                "database": "${db.id}",
                "table": { "name": "orders", "columns": [{ "name": "customer", "type": "text" }] },
            })), &[]),
            step("snapshot", "east", create("snapshot", json!({ "name": "first", "source": "${db.id}" })), &["table"]),
            step("web-1", "east", instance("web-1"), &["table", "logo"]),
            step("web-2", "east", instance("web-2"), &["table", "logo"]),
            step("web-3", "east", instance("web-3"), &["table", "logo"]),
            step("mailer", "west", create("function", json!({
                "name": "mailer", "region": "sim-1", "code": { "executable": ["sim-echo"] },
            })), &["bucket"]),
            step("zone", "west", create("dns_zone", json!({ "name": "example.com", "region": "sim-1" })), &[]),
            step("record", "west", call("set_record", json!({
                "zone": "${zone.id}",
                "record": { "name": "www.example.com", "record_type": "A", "ttl_seconds": 60, "values": ["${web-1.address}"] },
            })), &[]),
            step("cluster", "west", create("cluster", json!({ "name": "jobs", "region": "sim-1" })), &[]),
        ],
    });
    serde_json::from_value(plan).unwrap()
}

/// A harness over two clouds that `build` makes, with executors that do not wait long.
pub(crate) async fn harness_report(
    build: impl Fn(SimBuilder) -> SimBuilder + Copy,
) -> Result<HarnessReport> {
    let world = |case: usize| async move {
        let cloud = |id: &str| -> Result<Arc<dyn Cloud>> {
            Ok(Arc::new(build(SimCloud::builder(id, case as u64)).build()?))
        };
        Ok(World {
            store: Arc::new(MemoryStore::new()),
            clouds: vec![cloud("east")?, cloud("west")?],
            plan: sixteen_steps("plan-1"),
        })
    };
    CrashHarness::new(world, ExecutorOptions::default()).run().await
}

fn expect_clean(report: &HarnessReport) {
    assert!(report.is_clean(), "{report}");
    assert!(report.runs > 500, "{report}");
    // Nearly every fault strikes; only in a run that another fault cut short can one miss.
    assert!(report.struck * 10 > report.runs * 9, "{} struck: {report}", report.struck);
}

#[tokio::test(start_paused = true)]
async fn every_fault_on_fast_clouds() {
    let report = harness_report(|cloud| cloud).await.unwrap();
    println!("{report}");
    expect_clean(&report);
}

#[tokio::test(start_paused = true)]
async fn every_fault_on_slow_clouds_that_lag() {
    let slow = |cloud: SimBuilder| {
        cloud
            .slow(Duration::from_secs(1)..=Duration::from_secs(20))
            .latency(Duration::from_millis(10)..=Duration::from_millis(400))
            .consistency_window(Duration::from_secs(5))
    };
    let report = harness_report(slow).await.unwrap();
    println!("{report}");
    expect_clean(&report);
}

#[tokio::test(start_paused = true)]
async fn every_fault_on_clouds_that_do_not_honour_tokens() {
    let forgetful = |cloud: SimBuilder| {
        cloud
            .idempotent_tokens(false)
            .latency(Duration::from_millis(10)..=Duration::from_millis(400))
            .slow(Duration::ZERO..=Duration::from_secs(3))
            .consistency_window(Duration::from_secs(2))
    };
    let report = harness_report(forgetful).await.unwrap();
    println!("{report}");
    expect_clean(&report);
}

#[tokio::test(start_paused = true)]
async fn every_fault_on_clouds_that_honour_neither_tokens_nor_names() {
    let worst = |cloud: SimBuilder| {
        cloud
            .idempotent_tokens(false)
            .unique_names(false)
            .latency(Duration::from_millis(10)..=Duration::from_millis(400))
            .slow(Duration::ZERO..=Duration::from_secs(3))
            .consistency_window(Duration::from_secs(2))
    };
    let report = harness_report(worst).await.unwrap();
    println!("{report}");
    expect_clean(&report);
}

/// The harness itself is put to the test: a cloud that says that it honours tokens, and does not.
#[tokio::test(start_paused = true)]
async fn a_cloud_that_lies_is_found_out() {
    let liar = |cloud: SimBuilder| {
        let cloud = cloud.idempotent_tokens(false).unique_names(false);
        cloud.capabilities(|can| can.idempotent_tokens = true)
    };
    let report = harness_report(liar).await.unwrap();
    assert!(!report.is_clean() && report.orphans > 0 && report.duplicates > 0, "{report}");
}
