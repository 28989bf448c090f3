//! A tool author's own orchestrator: own observation, own decision, own kind of step; plan, executor, store and undo are ours.
//!
//! The tool keeps one bucket with a status page in every region of every cloud, and tells somebody whenever there is a new one.
//! `cargo run --example custom_orchestrator` runs it on two simulated clouds: twice, and once more with a cloud that refuses.

use std::{collections::BTreeSet, sync::Arc};

use cloud_testkit::sim::SimCloud;
use multicloud::{
    core::{
        BucketSpec, Clock, Cloud, Clouds, Error, ErrorKind, Location, ResourceKind, Result,
        SystemClock,
        intercept::{Interceptor, Next, Operation, Stack},
    },
    patterns::engine::{
        action::{ActionHandler, Applied, Call, Handlers},
        plan::{Action, Plan, Step},
        saga::{Executor, ExecutorOptions, Run},
        store::{CatalogChange, SqliteStore, Store, StoreExt},
    },
};
use serde_json::json;

const DEPLOYMENT: &str = "status-pages";

/// Observe: the regions that there are, and those that have their page.
async fn observe(
    clouds: &Clouds,
    store: &dyn Store,
) -> Result<(BTreeSet<Location>, BTreeSet<Location>)> {
    let mut wanted = BTreeSet::new();
    for cloud in clouds.iter() {
        let regions = cloud.regions().await?.into_iter().filter(|r| r.available);
        wanted.extend(regions.map(|r| Location::new(cloud.id().clone(), r.region)));
    }
    let owned = store.catalog(Some(DEPLOYMENT)).complete().await?.into_items();
    let have = owned.into_iter().map(|o| Location::new(o.cloud, o.id.region)).collect();
    Ok((wanted, have))
}

/// Decide: a pure function, so it can be tested without a cloud. Each missing page is a bucket, an object in it, and a word to somebody.
fn decide(wanted: &BTreeSet<Location>, have: &BTreeSet<Location>, id: &str) -> Result<Plan> {
    let mut steps = Vec::new();
    for place in wanted.difference(have) {
        let name = format!("status-{}-{}", place.cloud, place.region);
        let (page, told) = (format!("{name}-page"), format!("{name}-told"));
        let bucket = serde_json::to_value(BucketSpec::new(&name, place.region.clone()))
            .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
        let mut step = |id: &str, action, depends_on: &[&str]| {
            steps.push(Step {
                id: id.to_owned(),
                component: name.clone(),
                cloud: place.cloud.clone(),
                action,
                depends_on: depends_on.iter().map(|&d| d.to_owned()).collect(),
                monthly_cost: None,
            });
        };
        step(&name, Action::Create { kind: ResourceKind::Bucket, spec: bucket }, &[]);
        // `${step.output}` is filled in when that step has been carried out.
        let input = json!({ "bucket": format!("${{{name}.id}}"), "key": "index.html", "text": "all is well" });
        step(&page, Action::Call { handler: "put_object".into(), input }, &[&name]);
        let input = json!({ "text": format!("new status page in {place}") });
        step(&told, Action::Call { handler: "tell".into(), input }, &[&page]);
    }
    Ok(Plan {
        id: id.to_owned(),
        deployment: DEPLOYMENT.to_owned(),
        purpose: "a status page in every region".into(),
        created_at: SystemClock.now(),
        steps,
        choices: Vec::new(),
    })
}

/// A kind of step of our own. It may run more than once, so what it does must bear that; undoing it is another message.
#[derive(Debug)]
struct Tell;

#[async_trait::async_trait]
impl ActionHandler for Tell {
    fn name(&self) -> &str {
        "tell"
    }

    async fn apply(&self, call: &Call<'_>) -> Result<Applied> {
        println!("  tell: {}", call.input["text"].as_str().unwrap_or_default());
        Ok(Applied::default())
    }

    async fn undo(&self, call: &Call<'_>) -> Result<Vec<CatalogChange>> {
        println!("  tell: forget about the {}", call.input["text"].as_str().unwrap_or_default());
        Ok(Vec::new())
    }
}

/// A rule of our own around every call: this cloud takes no new objects.
#[derive(Debug)]
struct NoNewObjects;

#[async_trait::async_trait]
impl Interceptor for NoNewObjects {
    async fn around(&self, operation: &Operation<'_>, next: Next<'_>) -> Result<()> {
        if operation.name == "objects.put" {
            return Err(Error::new(ErrorKind::PolicyDenied, "no new objects here"));
        }
        next.run().await
    }
}

/// One turn of the loop.
async fn turn(clouds: &Clouds, store: &Arc<SqliteStore>, id: &str) -> Result<()> {
    let mut handlers = Handlers::default();
    handlers.register(Arc::new(Tell))?;
    let (wanted, have) = observe(clouds, &**store).await?;
    let plan = decide(&wanted, &have, id)?;
    println!("{plan}");
    let executor = Executor::new(store.clone(), clouds.clone(), ExecutorOptions::default());
    let outcome = executor.with_handlers(handlers).apply(&plan, &Run::default()).await?;
    println!("  {outcome}\n");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let store = Arc::new(SqliteStore::in_memory(Arc::new(SystemClock)).await?);
    let two: [Arc<dyn Cloud>; 2] =
        [Arc::new(SimCloud::new("east", 1)), Arc::new(SimCloud::new("west", 2))];
    let mut clouds = Clouds::new(two)?;

    turn(&clouds, &store, "first").await?;
    turn(&clouds, &store, "second").await?; // everything is there: nothing to do

    // A third cloud that refuses in the middle: what was begun in it is undone, the rest stays as it was.
    let north = SimCloud::new("north", 3);
    let refuses = Stack::builder().guard(NoNewObjects).build();
    clouds.register(refuses.wrap(Arc::new(north.clone())))?;
    turn(&clouds, &store, "third").await?;
    println!("left in north: {} resources", north.count(ResourceKind::Bucket));
    Ok(())
}

#[cfg(test)]
mod tests {
    use multicloud::core::{CloudId, Region};

    use super::*;

    #[test]
    fn only_what_is_missing_is_planned() {
        let place =
            |region| Location::new(CloudId::new("a").unwrap(), Region::new(region).unwrap());
        let wanted = BTreeSet::from([place("eu"), place("us")]);
        let plan = decide(&wanted, &BTreeSet::from([place("eu")]), "p").unwrap();
        plan.validate().unwrap();
        let ids: Vec<_> = plan.steps.iter().map(|s| s.id.as_str()).collect();
        assert_eq!(ids, ["status-a-us", "status-a-us-page", "status-a-us-told"]);
        assert!(decide(&wanted, &wanted, "p").unwrap().steps.is_empty());
    }
}
