//! A web shop, deployed to three clouds, hit by an outage, repaired, and removed without a trace.
//!
//! `cargo run --example quickstart [CLOUDS.toml [WORKLOAD]]`. Without arguments it takes the files beside this one, whose clouds are all this machine.

use std::{path::PathBuf, sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use multicloud::{
    core::{
        Cloud, CloudExt, DeleteOptions, Error, ErrorKind, Instance, Ownership, Region,
        ResourceKind, ResourceQuery, Result, Row, SqlValue, SystemClock, WaitOptions, wait_until,
    },
    local::LocalCloud,
    patterns::{
        engine::{
            plan::{BlastRadiusLimit, Plan},
            progress::{ApplyEvent, Progress},
            saga::Run,
            store::{OwnedResource, SqliteStore},
        },
        orchestrator::Orchestrator,
        workload::Workload,
    },
};
use object_store::{ObjectStoreExt, path::Path};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main]
async fn main() -> Result<()> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart");
    let arguments: Vec<_> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let folder = tempfile::tempdir()?;

    // The clouds, each behind its retries, time-outs and traces. The bundled ones keep their data in the folder.
    let clouds_toml = match arguments.first() {
        Some(path) => path.clone(),
        None => {
            let copy = folder.path().join("clouds.toml");
            std::fs::copy(here.join("clouds.toml"), &copy)?;
            copy
        }
    };
    let clouds = multicloud::connect(clouds_toml).await?;

    // What is known of deployments survives in one file.
    let store = SqliteStore::open(folder.path().join("state.db"), Arc::new(SystemClock)).await?;
    let mut orchestrator = Orchestrator::new(Arc::new(store));
    for cloud in clouds.iter() {
        orchestrator.register_provider(cloud.clone())?;
    }

    heading("The plan: nothing is changed yet");
    let workload = Workload::from_path(arguments.get(1).unwrap_or(&here.join("shop.yaml")))?;
    let plan = orchestrator.plan(&workload).await?;
    println!("{}", plan.to_table());

    heading("Deploying it");
    carry_out(&orchestrator, &plan, &BlastRadiusLimit::default()).await?;

    heading("It is alive");
    let shop = Shop::of(&orchestrator, &workload.name).await?;
    shop.visit().await?;
    if let Some((cloud, region)) = shop.local_place_of("web") {
        lose_a_region(&orchestrator, &workload, &cloud, &region).await?;
    }

    heading("Everything is destroyed");
    let web = Shop::of(&orchestrator, &workload.name).await?.visit().await?;
    let contents = DeleteOptions { with_contents: true };
    let destroy = orchestrator.destroy(&workload.name, &contents).await?;
    // A whole deployment is beyond the default limit; this is the word more that it takes.
    carry_out(&orchestrator, &destroy, &BlastRadiusLimit::default().for_destroy()).await?;
    nothing_is_left(&orchestrator, &workload.name, &web, &folder.path().join("data")).await
}

/// A region goes down, what was in it is moved, and what is found in it once it is back is removed.
async fn lose_a_region(
    orchestrator: &Orchestrator,
    workload: &Workload,
    cloud: &LocalCloud,
    region: &Region,
) -> Result<()> {
    heading("A region goes down");
    cloud.take_down(region).await?;
    println!("{}/{region} does not answer any more, and its processes are dead.\n", cloud.id());
    let drift = orchestrator.drift(&workload.name).await?;
    println!("{drift}");

    heading("What was lost is moved");
    let repair = orchestrator.repair(workload, &drift).await?;
    println!("{}", repair.to_table());
    carry_out(orchestrator, &repair, &workload.limits).await?;
    Shop::of(orchestrator, &workload.name).await?.visit().await?;

    heading("The region is back, with what was left behind in it");
    cloud.bring_up(region).await?;
    let orphans = orchestrator.orphans().await?;
    for orphan in &orphans.found {
        println!("  orphan {} in {}", orphan.resource.id, orphan.cloud);
    }
    let contents = DeleteOptions { with_contents: true };
    let removal = orchestrator.remove_orphans(&orphans, &contents)?;
    carry_out(orchestrator, &removal, &BlastRadiusLimit::default().for_destroy()).await
}

fn heading(text: &str) {
    println!("\n== {text}");
}

/// Applies a plan with a progress bar. A plan that fails is undone; what is left then is nothing.
async fn carry_out(
    orchestrator: &Orchestrator,
    plan: &Plan,
    limit: &BlastRadiusLimit,
) -> Result<()> {
    let (progress, mut events) = Progress::channel(1024);
    let run = Run { progress, ..Run::default() };
    let bar = ProgressBar::new(plan.steps.len() as u64).with_style(
        ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}")
            .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?,
    );
    let shown = bar.clone();
    let show = tokio::spawn(async move {
        while let Ok(event) = events.recv().await {
            match event {
                ApplyEvent::StepStarted { step, cloud } => {
                    shown.set_message(format!("{step} in {cloud}"))
                }
                ApplyEvent::StepSucceeded { done, .. } => shown.set_position(done as u64),
                _ => {}
            }
        }
    });
    let outcome = orchestrator.apply_within(plan, limit, &run).await;
    drop(run);
    let _ = show.await;
    bar.finish_and_clear();
    let outcome = outcome?;
    println!("{outcome}");
    match outcome.is_success() {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Internal, "the plan did not succeed")),
    }
}

/// The deployed shop: what it owns, and where.
struct Shop {
    owned: Vec<(Arc<dyn Cloud>, OwnedResource)>,
}

impl Shop {
    async fn of(orchestrator: &Orchestrator, deployment: &str) -> Result<Self> {
        let owned = orchestrator.owned(deployment).await?.into_iter();
        let with_cloud =
            |owned: OwnedResource| Ok((orchestrator.clouds().get(&owned.cloud)?.clone(), owned));
        Ok(Self { owned: owned.map(with_cloud).collect::<Result<_>>()? })
    }

    fn find(
        &self,
        component: &str,
        kind: ResourceKind,
    ) -> Result<&(Arc<dyn Cloud>, OwnedResource)> {
        let found = self.owned.iter().find(|(_, o)| o.component == component && o.id.kind == kind);
        found.ok_or_else(|| Error::not_found(format_args!("the {kind} of {component}")))
    }

    /// The region that a component is in, if its cloud is this machine: only that can be taken down on demand.
    fn local_place_of(&self, component: &str) -> Option<(Arc<LocalCloud>, Region)> {
        let (cloud, owned) = self.find(component, ResourceKind::Instance).ok()?;
        let local = cloud.native().downcast::<LocalCloud>().ok()?;
        Some((local, owned.id.region.clone()))
    }

    /// Asks the web service, reads an asset, takes an order.
    async fn visit(&self) -> Result<Instance> {
        let (cloud, web) = self.find("web", ResourceKind::Instance)?;
        let instance = cloud.compute()?.get_instance(&web.id).await?;
        let options = WaitOptions { deadline: Duration::from_secs(30), ..WaitOptions::default() };
        let answer = wait_until("an answer of the web service", &options, || async {
            Ok(http_get(&instance).await.ok())
        })
        .await?;
        println!(
            "  web      {} in {}/{} answers: {answer}",
            instance.name, web.cloud, web.id.region
        );

        let (cloud, assets) = self.find("assets", ResourceKind::Bucket)?;
        let objects = cloud.storage()?.object_store(&assets.id).await?;
        let logo = objects.get(&Path::from("logo.svg")).await?.bytes().await?;
        println!(
            "  assets   logo.svg in {}/{} has {} bytes",
            assets.cloud,
            assets.id.region,
            logo.len()
        );

        let (cloud, orders) = self.find("orders", ResourceKind::Database)?;
        let sql = cloud.database()?.sql(&orders.id).await?;
        let order =
            Row::from([("customer".into(), "Ada".into()), ("total_cents".into(), 4200.into())]);
        let id = sql.insert("orders", &order).await?;
        let rows =
            sql.query("SELECT customer FROM orders WHERE id = $1", &[SqlValue::Int(id)]).await?;
        println!(
            "  orders   order {id} in {}/{} is of {}",
            orders.cloud,
            orders.id.region,
            serde_json::json!(rows[0]["customer"])
        );
        Ok(instance)
    }
}

/// The status line that the instance answers an HTTP request with.
async fn http_get(instance: &Instance) -> std::io::Result<String> {
    let address = instance.addresses.first().ok_or(std::io::ErrorKind::AddrNotAvailable)?;
    let port = instance.ports.get("PORT").ok_or(std::io::ErrorKind::AddrNotAvailable)?;
    let mut stream = tokio::net::TcpStream::connect((*address, *port)).await?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

/// Looks everywhere: for the process, the files, the rows of the catalog, orphans, and any resource of the deployment in any cloud.
async fn nothing_is_left(
    orchestrator: &Orchestrator,
    deployment: &str,
    web: &Instance,
    data: &std::path::Path,
) -> Result<()> {
    let processes = usize::from(http_get(web).await.is_ok());
    let files = files_below(data);
    let rows = orchestrator.owned(deployment).await?.len();
    let orphans = orchestrator.orphans().await?.found.len();
    let mut resources = 0;
    // By its tags: an account may hold what is somebody else's.
    let query = ResourceQuery::tagged(Ownership::filter_deployment(deployment)?);
    for cloud in orchestrator.clouds().iter() {
        let all = cloud.list_resources(&query).complete().await?;
        resources += all.items().iter().filter(|resource| !resource.status.is_gone()).count();
    }
    println!(
        "left: {processes} processes, {files} files, {rows} rows in the catalog, {orphans} orphans, \
         {resources} resources in the clouds"
    );
    match processes + files + rows + orphans + resources {
        0 => Ok(()),
        left => Err(Error::new(ErrorKind::Conflict, format!("{left} things are left"))),
    }
}

/// How many files there are, besides those by which local clouds share the folder.
fn files_below(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let count = |entry: std::fs::DirEntry| match entry.path() {
        path if path.is_dir() => files_below(&path),
        _ => usize::from(entry.file_name() != "lock" && entry.file_name() != "format.json"),
    };
    entries.map(count).sum()
}
