//! The simulated cloud passes the suite under many configurations, and clouds that are broken on purpose do not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cloud_core::{
    Capabilities, ClientToken, Cloud, CloudId, DeleteOptions, Function, FunctionSpec, Functions,
    Invocation, InvokeMode, ListQuery, Page, PageRequest, Provider, Quota, Region, RegionInfo,
    Resource, ResourceId, ResourceQuery, Result,
};
use cloud_testkit::{
    conformance::{Harness, Outcome, Report, run_all, run_named, trials},
    sim::SimCloud,
};
use common::SimHarness;
use serde_json::Value;

async fn passes(cloud: SimCloud) -> Report {
    let report = run_all(&SimHarness::new(cloud.clone())).await;
    println!("{cloud:?}\n{report}");
    report.assert_passed();
    assert!(cloud.is_empty(), "{cloud:?} holds {:?}", cloud.living());
    assert!(cloud.duplicates().is_empty(), "{cloud:?}");
    report
}

#[tokio::test(start_paused = true)]
async fn plain() {
    let report = passes(SimCloud::new("plain", 1)).await;
    // Only what needs a large object, or capabilities that this cloud has none of, is not run.
    assert!(report.passed() > 180, "{}", report.passed());
    let not_run: Vec<_> =
        report.trials().iter().filter(|t| matches!(t.outcome, Outcome::Skipped(_))).collect();
    assert!(not_run.len() < 10, "{not_run:?}");
}

#[tokio::test(start_paused = true)]
async fn slow_and_eventually_consistent() {
    for seed in 1..=3 {
        let cloud = SimCloud::builder("slow", seed)
            .slow(Duration::from_secs(1)..=Duration::from_secs(20))
            .latency(Duration::from_millis(1)..=Duration::from_millis(300))
            .consistency_window(Duration::from_secs(5))
            .build()
            .unwrap();
        passes(cloud).await;
    }
}

#[tokio::test(start_paused = true)]
async fn names_that_are_not_unique_small_pages_and_missing_services() {
    let cloud = SimCloud::builder("odd", 4)
        .unique_names(false)
        .max_page_size(3)
        .capabilities(|can| {
            can.kubernetes = None;
            can.billing = None;
            can.compute.as_mut().unwrap().reboot = false;
            can.compute.as_mut().unwrap().spot = false;
            can.network.as_mut().unwrap().overlap_refused = false;
            let dns = can.dns.as_mut().unwrap();
            (dns.weighted, dns.geoproximity, dns.health_checks) = (false, false, false);
            dns.unique_names = false;
            for engine in &mut can.database.as_mut().unwrap().engines {
                engine.sql = false;
            }
            can.storage.as_mut().unwrap().names.alphabet = cloud_core::Alphabet::Any;
        })
        .build()
        .unwrap();
    let report = passes(cloud).await;
    let skipped = Outcome::Skipped("capability not declared".into());
    assert_eq!(report.outcome("cluster.lifecycle"), Some(&skipped));
    assert_eq!(report.outcome("compute.undeclared"), Some(&Outcome::Passed));
    assert_eq!(report.outcome("network.peering_overlap"), Some(&Outcome::Passed));
    assert_eq!(report.outcome("health_check.lifecycle"), Some(&skipped));
    for trial in ["dns.undeclared", "database.snapshot_copy", "database.point_in_time"] {
        assert_eq!(report.outcome(trial), Some(&Outcome::Passed), "{trial}");
    }
}

/// In real time and on several threads, so that what is said to be concurrent is.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_several_threads() {
    let cloud = SimCloud::new("threads", 5);
    let concurrent = |name: &str| {
        name.contains("concurrent") || name.contains("one_winner") || name.contains("absent")
    };
    let report = run_named(&SimHarness::new(cloud), concurrent).await;
    report.assert_passed();
    assert!(report.passed() >= 14, "{report}");
}

#[test]
fn every_trial_has_a_name_of_its_own() {
    let mut names: Vec<_> = trials().iter().map(|trial| trial.name.as_str()).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}

/// How the functions of a broken cloud are broken.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    DropsFirstOfSecondPage,
    RepeatsItems,
    IgnoresPageSize,
    DeleteAlwaysTrue,
    DeleteDoesNothing,
    IgnoresTagFilter,
    LosesTags,
    AcceptsAnyKind,
    CutsNames,
    InventsOutput,
}

/// A simulated cloud whose functions have a flaw.
#[derive(Debug)]
struct Broken(SimCloud, Flaw);

#[async_trait]
impl Cloud for Broken {
    fn id(&self) -> &CloudId {
        self.0.id()
    }
    fn provider(&self) -> Provider {
        self.0.provider()
    }
    fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }
    async fn regions(&self) -> Result<Vec<RegionInfo>> {
        self.0.regions().await
    }
    fn functions(&self) -> Result<Arc<dyn Functions>> {
        Ok(Arc::new(Self(self.0.clone(), self.1)))
    }
    async fn list_resources_page(
        &self,
        query: &ResourceQuery,
        page: &PageRequest,
    ) -> Result<Page<Resource>> {
        self.0.list_resources_page(query, page).await
    }
    async fn get_resource(&self, id: &ResourceId) -> Result<Resource> {
        self.0.get_resource(id).await
    }
    async fn delete_resource(&self, id: &ResourceId, options: &DeleteOptions) -> Result<bool> {
        if self.1 == Flaw::DeleteDoesNothing {
            return Ok(true);
        }
        self.0.delete_resource(id, options).await
    }
    async fn quotas(&self, region: &Region) -> Result<Vec<Quota>> {
        self.0.quotas(region).await
    }
}

#[async_trait]
impl Functions for Broken {
    async fn create_function(&self, spec: &FunctionSpec, token: &ClientToken) -> Result<Function> {
        let mut spec = spec.clone();
        match self.1 {
            Flaw::LosesTags => {
                spec.tags.remove("colour");
            }
            Flaw::CutsNames => spec.name.truncate(40),
            _ => {}
        }
        self.0.create_function(&spec, token).await
    }
    async fn get_function(&self, id: &ResourceId) -> Result<Function> {
        let mut id = id.clone();
        if self.1 == Flaw::AcceptsAnyKind {
            id.kind = cloud_core::ResourceKind::Function;
        }
        self.0.get_function(&id).await
    }
    async fn list_functions_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Function>> {
        let (mut query, mut page) = (query.clone(), page.clone());
        match self.1 {
            Flaw::IgnoresTagFilter => query.tags = Default::default(),
            Flaw::IgnoresPageSize => page.size = None,
            _ => {}
        }
        let second = page.after.is_some();
        let mut answer = self.0.list_functions_page(&query, &page).await?;
        match (self.1, answer.items.first().cloned()) {
            (Flaw::DropsFirstOfSecondPage, Some(_)) if second => {
                answer.items.remove(0);
            }
            (Flaw::RepeatsItems, Some(first)) if second => answer.items[0] = first.clone(),
            _ => {}
        }
        if self.1 == Flaw::RepeatsItems && !second && answer.next.is_some() {
            // The first page again as the second.
            answer.next = Some(cloud_core::PageToken::new("0").unwrap());
        }
        Ok(answer)
    }
    async fn delete_function(&self, id: &ResourceId) -> Result<bool> {
        match self.1 {
            Flaw::DeleteDoesNothing => Ok(true),
            Flaw::DeleteAlwaysTrue => self.0.delete_function(id).await.map(|_| true),
            _ => self.0.delete_function(id).await,
        }
    }
    async fn invoke(&self, id: &ResourceId, input: &Value, mode: InvokeMode) -> Result<Invocation> {
        let mut call = self.0.invoke(id, input, mode).await?;
        if self.1 == Flaw::InventsOutput {
            call.output = Some(Value::Null);
        }
        Ok(call)
    }
}

/// The reason for which the trial fails. The same trial passes on the cloud that is whole.
async fn failure(harness: &SimHarness, trial: &str) -> String {
    let report = run_named(harness, |name| name == trial).await;
    match report.outcome(trial) {
        Some(Outcome::Failed(why)) => why.clone(),
        other => panic!("{trial} must fail, but {other:?}"),
    }
}

fn declared_only(can: &mut Capabilities) {
    let whole = can.clone();
    *can = Capabilities { functions: whole.functions, ..Capabilities::none() };
    can.idempotent_tokens = true;
}

#[tokio::test(start_paused = true)]
async fn each_flaw_fails_its_trial() {
    let cases = [
        (Flaw::DropsFirstOfSecondPage, "function.pagination", "lacks"),
        (Flaw::DropsFirstOfSecondPage, "function.listing_while_mutating", "listed 0 times"),
        (Flaw::RepeatsItems, "function.pagination", "has duplicates"),
        (Flaw::IgnoresPageSize, "function.pagination", "a page of at most"),
        (Flaw::DeleteAlwaysTrue, "function.delete_twice", "the second delete answers true"),
        (Flaw::DeleteAlwaysTrue, "function.hostile_ids", "says that it deleted something"),
        (Flaw::DeleteDoesNothing, "function.lifecycle", "to be gone"),
        (Flaw::IgnoresTagFilter, "function.tags", "finds"),
        (Flaw::LosesTags, "function.tags", "the create answers with the tags"),
        (Flaw::AcceptsAnyKind, "function.wrong_kind", "not with one of [InvalidInput]"),
        (Flaw::CutsNames, "function.longest_name", "becomes"),
        (Flaw::InventsOutput, "functions.invoke", "gives Some(Null)"),
    ];
    for (flaw, trial, reason) in cases {
        let sim = SimCloud::builder("broken", 6).capabilities(declared_only).build().unwrap();
        run_named(&SimHarness::new(sim.clone()), |name| name == trial).await.assert_passed();
        let why = failure(&SimHarness::new(Broken(sim, flaw)), trial).await;
        assert!(why.contains(reason), "{flaw:?} fails {trial} for another reason: {why}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_left_behind_fails_the_trial() {
    let sim = SimCloud::builder("leaky", 7).capabilities(declared_only).build().unwrap();
    let leaky = SimHarness::new(Broken(sim.clone(), Flaw::DeleteDoesNothing));
    let why = failure(&leaky, "function.different_tokens").await;
    assert!(why.contains("clean-up"), "{why}");
    assert!(!sim.is_empty());
}

#[tokio::test(start_paused = true)]
async fn tokens_declared_but_ignored_fail() {
    let build = || {
        SimCloud::builder("forgetful", 8)
            .idempotent_tokens(false)
            .unique_names(false)
            .latency(Duration::from_millis(1)..=Duration::from_millis(50))
            .capabilities(|can| can.idempotent_tokens = true)
            .build()
            .unwrap()
    };
    for trial in
        ["repeated_create", "concurrent_creates", "token_of_another_spec", "cancelled_create"]
    {
        let cloud = build();
        let why = failure(&SimHarness::new(cloud.clone()), &format!("instance.{trial}")).await;
        assert!(!why.contains("clean-up"), "{why}");
        assert!(cloud.is_empty(), "what the failed {trial} made is there: {:?}", cloud.living());
        assert!(!cloud.duplicates().is_empty(), "{trial} made no duplicate");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lag_that_is_not_declared_fails() {
    let cloud = SimCloud::builder("lagging", 9)
        .consistency_window(Duration::from_secs(30))
        .capabilities(|can| can.consistency_window = Duration::ZERO)
        .build()
        .unwrap();
    let harness = SimHarness::new(cloud);
    for trial in ["instance.lifecycle", "bucket.pagination", "function.tags"] {
        failure(&harness, trial).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_capability_that_is_not_true_fails() {
    let unique = |can: &mut Capabilities| can.compute.as_mut().unwrap().unique_names = true;
    let cloud =
        SimCloud::builder("boastful", 10).unique_names(false).capabilities(unique).build().unwrap();
    let why = failure(&SimHarness::new(cloud), "instance.already_exists").await;
    assert!(why.contains("a second of its name was made"), "{why}");
}

/// A harness that panics in one trial.
struct Panicking(SimHarness);

impl Harness for Panicking {
    fn cloud(&self) -> Arc<dyn Cloud> {
        self.0.cloud()
    }
    fn region(&self) -> Region {
        self.0.region()
    }
    fn instance_spec(&self, _: &str) -> cloud_core::InstanceSpec {
        panic!("no instances today")
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_its_trial_only() {
    let harness = Panicking(SimHarness::new(SimCloud::new("sim", 11)));
    let report =
        run_named(&harness, |name| ["instance.lifecycle", "bucket.lifecycle"].contains(&name))
            .await;
    let why = "panicked: no instances today".to_owned();
    assert_eq!(report.outcome("instance.lifecycle"), Some(&Outcome::Failed(why)));
    assert_eq!(report.outcome("bucket.lifecycle"), Some(&Outcome::Passed));
    assert!(
        report.to_string().ends_with("conformance of sim: 1 passed, 1 failed, 0 skipped"),
        "{report}"
    );
    assert!(std::panic::catch_unwind(|| report.assert_passed()).is_err());
}
