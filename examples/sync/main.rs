//! Makes the objects of one location the same as those of another:
//! `cargo run --release --features objects --example sync -- SOURCE TARGET`.
//!
//! Locations are URLs: `file:///folder`, `s3://bucket/prefix`, `az://container/prefix`, `gs://bucket/prefix`, … with the
//! credentials of the providers' default chains. What is not in the environment goes into the URL's query
//! (`?region=eu-west-1&endpoint=https://…`); never a secret.

mod arguments;
mod bar;
mod manifest;

use std::{
    error::Error,
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
};

use arguments::{Arguments, Command};
use clap::Parser;
use cloud_core::SystemClock;
use cloud_objects::OpenOptions;
use cloud_patterns::{
    engine::store::{SqliteStore, Store},
    sync::{RunOptions, SyncObserver, SyncReport, SyncService},
};
use multicloud::UrlLocations;

/// Small objects are as much about allocation as about anything else.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            eprintln!("sync: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything is as it should be now.
fn run(arguments: &Arguments) -> Result<bool> {
    if let Some(Command::Manifest(wanted)) = &arguments.command {
        print!("{}", manifest::yaml(arguments, wanted)?);
        return Ok(true);
    }
    // One thread moves gigabytes per second; more of them would mostly wake each other.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(sync(arguments))
}

async fn sync(arguments: &Arguments) -> Result<bool> {
    let (source, target) = arguments.locations()?;
    let mut options = OpenOptions::default();
    options.create = true;
    options.allow_http = arguments.allow_http;
    // What does not help within seconds is tried again by the sync itself, which sees then that the store is slow.
    options.retry.max_retries = 3;
    let locations = Arc::new(UrlLocations::new(options));
    let service =
        SyncService::new(store(arguments).await?, locations, Arc::new(SystemClock), worker());
    let policy = arguments.policy()?;
    let job = service.setup_cross_cloud_data_sync(source, target, &policy).await?;

    let bar = bar::Bar::new(arguments);
    let run = RunOptions {
        dry_run: arguments.dry_run,
        observer: bar.observer().map(|observer| observer as Arc<dyn SyncObserver>),
        first_shard: arguments.first_shard()?,
        egress_per_gb: arguments.egress_per_gb,
        ..RunOptions::default()
    };
    let stop = run.stop.clone();
    let watching = tokio::spawn(bar.watch(run.progress.clone()));
    let interrupted = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            eprintln!("\nsync: finishing what is on its way; another interrupt ends it at once");
            stop.store(true, Ordering::Relaxed);
            let _ = tokio::signal::ctrl_c().await;
            std::process::exit(130);
        }
    });
    let report = service.run(&job, &run).await;
    watching.abort();
    interrupted.abort();
    print(arguments, &report?)
}

fn print(arguments: &Arguments, report: &SyncReport) -> Result<bool> {
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(report)?);
    } else if !arguments.quiet {
        println!("{report}");
    }
    Ok(report.is_success())
}

async fn store(arguments: &Arguments) -> Result<Arc<dyn Store>> {
    #[cfg(feature = "postgres")]
    if let Some(url) = arguments.store.as_deref().filter(|name| name.starts_with("postgres")) {
        use cloud_patterns::engine::store::PostgresStore;
        return Ok(Arc::new(PostgresStore::connect(&url.into()).await?));
    }
    let file = arguments.store_file()?;
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    Ok(Arc::new(SqliteStore::open(file, Arc::new(SystemClock)).await?))
}

/// A name that no other worker has at the time.
fn worker() -> String {
    format!("sync-{}", uuid::Uuid::now_v7())
}
