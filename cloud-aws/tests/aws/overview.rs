//! What concerns the cloud as a whole: its own trials, and that every trial of the suite is run by the test of some service.

use cloud_testkit::conformance::trials;

use cloud_rig::Kind;

use crate::harness::{Aws, Excluded, conform};

/// The trials of the services' own tests, by what their names begin with: each test picks one of these.
pub(crate) const GROUPS: [&[&str]; 8] = [
    &["instance", "compute"],
    &["bucket", "objects"],
    &["database", "snapshot"],
    &["network", "firewall", "peering"],
    &["cluster", "kubernetes"],
    &["function", "functions"],
    &["dns_zone", "dns", "health_check"],
    &["cloud", "billing", "metrics"],
];

/// Whether a trial is of the group that has this name.
pub(crate) fn of_group(group: &str, trial: &str) -> bool {
    let front = trial.split('.').next().unwrap_or_default();
    GROUPS.iter().any(|names| names.contains(&group) && names.contains(&front))
}

#[test]
fn every_trial_belongs_to_one_group() {
    for trial in trials() {
        let groups = GROUPS.iter().filter(|names| of_group(names[0], &trial.name));
        assert_eq!(groups.count(), 1, "{}", trial.name);
    }
}

/// What moto cannot do of these; each is proved elsewhere.
const NOT_AT_MOTO: Excluded = &[
    ("cloud.quotas", "moto has no ListServiceQuotas; quotas.rs proves it by the contract"),
    ("billing.prices", "moto has no GetProducts; billing.rs proves it by the contract"),
    ("metrics.query", "moto does not speak CBOR, as the SDK does to CloudWatch; ministack does"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_conform_at_ministack() {
    let Some(aws) = Aws::at(Kind::Ministack).await else { return };
    conform(&aws, &[], |trial| trial == "metrics.query").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cloud_as_a_whole_conforms() {
    let Some(aws) = Aws::alone_at(Kind::Moto).await else { return };
    conform(&aws, NOT_AT_MOTO, |trial| of_group("cloud", trial)).await;
}
