//! The conformance suite on moto: single servers, then Aurora clusters.

use std::any::Any;

use async_trait::async_trait;
use cloud_core::{
    Capabilities, Cloud, CloudId, DeleteOptions, Page, PageRequest, Provider, Quota, RegionInfo,
    Resource, ResourceQuery, Result,
};
use cloud_testkit::conformance::{Harness, Outcome, run_named};

use super::*;
use crate::harness::attributed;

/// Trials that moto cannot pass, and why.
const NOT_BY_MOTO: &[(&str, &str)] = &[
    // moto/rds/models.py, `DBSnapshot`: a copy does not say SourceRegion, which RDS does. The unit tests of the view have it.
    ("database.snapshot_copy", "a copy does not say which region it comes from"),
];

/// The cloud without its data: no server listens behind the addresses that moto gives out.
#[derive(Debug)]
struct WithoutData(AwsCloud, Capabilities);

impl WithoutData {
    fn new(cloud: AwsCloud) -> Self {
        let mut capabilities = cloud.capabilities().clone();
        for engine in capabilities.database.iter_mut().flat_map(|can| &mut can.engines) {
            engine.sql = false;
        }
        Self(cloud, capabilities)
    }
}

#[async_trait]
impl Cloud for WithoutData {
    fn id(&self) -> &CloudId {
        self.0.id()
    }

    fn provider(&self) -> Provider {
        self.0.provider()
    }

    fn capabilities(&self) -> &Capabilities {
        &self.1
    }

    fn native(&self) -> Arc<dyn Any + Send + Sync> {
        self.0.native()
    }

    async fn regions(&self) -> Result<Vec<RegionInfo>> {
        self.0.regions().await
    }

    fn database(&self) -> Result<Arc<dyn Database>> {
        self.0.database()
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
        self.0.delete_resource(id, options).await
    }

    async fn quotas(&self, region: &Region) -> Result<Vec<Quota>> {
        self.0.quotas(region).await
    }
}

struct OnMoto(Arc<dyn Cloud>, AwsDatabaseServer);

#[async_trait]
impl Harness for OnMoto {
    fn cloud(&self) -> Arc<dyn Cloud> {
        self.0.clone()
    }

    fn region(&self) -> Region {
        region("us-east-1")
    }

    fn second_region(&self) -> Option<Region> {
        Some(region("us-west-2"))
    }

    fn database_spec(&self, name: &str, engine: Engine) -> DatabaseSpec {
        // The engine's name, which trials put into names, has an underscore.
        let name = name.replace('_', "-");
        match engine {
            Engine::SqlServer => spec(&name, engine),
            _ => with(&spec(&name, engine), self.1.clone()),
        }
    }
}

/// On a server of its own: what others make and delete meanwhile breaks moto's loops over its own tables.
async fn conformance(settings: AwsDatabaseServer, skip: &[&str]) {
    let Some(emulator) = Emulator::start(Kind::Moto) else { return };
    let proxy = emulator.proxy();
    let cloud = open(&proxy, emulator.keys()).await;
    let excluded = |name: &str| {
        skip.contains(&name) || NOT_BY_MOTO.iter().any(|(excluded, _)| *excluded == name)
    };
    let of_databases = |name: &str| ["database.", "snapshot."].iter().any(|k| name.starts_with(k));
    let without_data = Arc::new(WithoutData::new(cloud.clone()));
    let harness = OnMoto(attributed(&proxy, without_data), settings.clone());
    let report = run_named(&harness, |name| of_databases(name) && !excluded(name)).await;
    println!("{report}");
    assert!(report.failed().next().is_none(), "{report}\n{}", emulator.server().log());
    // What needs the engine, but not its data.
    let harness = OnMoto(Arc::new(cloud), settings);
    let report = run_named(&harness, |name| name == "database.past").await;
    println!("{report}");
    assert_eq!(report.outcome("database.past"), Some(&Outcome::Passed));
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_conform() {
    conformance(AwsDatabaseServer::default(), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_conform() {
    let settings = AwsDatabaseServer { aurora: true, readers: 1, ..AwsDatabaseServer::default() };
    // A cluster's name has three characters less, and moto lets a second cluster replace the first (models.py, `create_db_cluster`).
    let skip = ["database.longest_name", "database.already_exists"];
    conformance(settings, &skip).await;
}
