//! Data elsewhere and at other times: snapshots copied to the second region, servers as they were.

use std::time::Duration;

use cloud_core::{
    ClientToken, Effect, Engine, ErrorKind, ResourceId, SnapshotCopySpec, wait_until,
};
use jiff::{SignedDuration, Timestamp};

use super::{Context, Failure, count, engines, ensure, name_of, order, orders, server, spec, take};

/// Whether the data of this engine can be looked at.
fn sql(context: &Context<'_>, engine: Engine) -> bool {
    let mut engines = context.capabilities().database.iter().flat_map(|can| &can.engines);
    engines.any(|can| can.engine == engine && can.sql)
}

async fn insert(context: &Context<'_>, id: &ResourceId, customer: &str) -> Result<(), Failure> {
    let sql = context.cloud.database()?.sql(id).await?;
    sql.create_table(&orders()).await?;
    sql.insert("orders", &order(customer, 1)).await?;
    Ok(())
}

async fn rows(context: &Context<'_>, id: &ResourceId) -> Result<i64, Failure> {
    count(&*context.cloud.database()?.sql(id).await?).await
}

pub(super) async fn copied(context: &Context<'_>) -> Result<(), Failure> {
    let databases = context.cloud.database()?;
    let Some(far) = context.harness.second_region() else {
        return Err(Failure::skip("there is no second region"));
    };
    for engine in engines(context, |e| e.snapshot_copy) {
        let source = server(context, &format!("{}-src", name_of(engine)), engine).await?;
        let readable = sql(context, engine);
        if readable {
            insert(context, &source, "Ada").await?;
        }
        let taken = take(context, engine, &source).await?;
        let name = context.name(&format!("{}-far", name_of(engine)));
        let mut wanted = SnapshotCopySpec::new(name, far.clone(), taken.id.clone());
        wanted.tags = context.tags(&[])?;
        let token = ClientToken::random();
        let copy = databases.copy_snapshot(&wanted, &token).await?;
        context.note(&copy.id);
        let again = databases.copy_snapshot(&wanted, &token).await?;
        context.note(&again.id);
        ensure!(
            copy.id == again.id || !context.capabilities().idempotent_tokens,
            "{engine}: a repeated copy made a second snapshot"
        );
        context.ready(&copy.id).await?;
        let copy = databases.get_snapshot(&copy.id).await?;
        ensure!(copy.id.region == far, "{engine}: the copy is in {}", copy.id.region);
        ensure!(
            (&copy.name, &copy.tags, copy.engine) == (&wanted.name, &wanted.tags, engine),
            "{engine}: the copy is {copy:?}"
        );
        ensure!(copy.source == source, "{engine}: the copy is of {}, not {source}", copy.source);

        ensure!(databases.delete_snapshot(&taken.id).await?, "{engine}: the snapshot is not there");
        context.gone(&taken.id).await?;
        let mut target = spec(context, &format!("{}-new", name_of(engine)), engine)?;
        target.region = far.clone();
        let restored =
            databases.restore_snapshot(&copy.id, &target, &ClientToken::random()).await?;
        context.ready(&restored.id).await?;
        ensure!(restored.id.region == far, "{engine}: the server is in {}", restored.id.region);
        if readable {
            let rows = rows(context, &restored.id).await?;
            ensure!(rows == 1, "{engine}: the restored server has {rows} rows, the snapshot had 1");
        }
    }
    Ok(())
}

pub(super) async fn to_time(context: &Context<'_>) -> Result<(), Failure> {
    for engine in engines(context, |e| e.point_in_time) {
        let source = server(context, &format!("{}-src", name_of(engine)), engine).await?;
        let readable = sql(context, engine);
        if readable {
            insert(context, &source, "Ada").await?;
            chosen_time(context, engine, &source).await?;
        }
        let latest = restore(context, engine, "latest", &source, None).await?;
        ensure!(latest != source, "{engine}: the restored server is the source");
        if readable {
            let rows = rows(context, &source).await?;
            ensure!(rows == 2, "{engine}: the source has {rows} rows after it was restored, not 2");
        }
    }
    Ok(())
}

/// Restores the moment between two inserts. A snapshot tells it by the cloud's own clock.
async fn chosen_time(
    context: &Context<'_>,
    engine: Engine,
    source: &ResourceId,
) -> Result<(), Failure> {
    let Some(between) = take(context, engine, source).await?.created_at else {
        return Err(Failure::skip("no clock: snapshots do not tell when they were taken"));
    };
    // Times are kept to the second.
    tokio::time::sleep(Duration::from_secs(2)).await;
    insert(context, source, "Bob").await?;
    let restored = restore(context, engine, "then", source, Some(between)).await?;
    let rows = rows(context, &restored).await?;
    ensure!(rows == 1, "{engine}: the server as of {between} has {rows} rows, not 1");
    Ok(())
}

/// A server restored from another, in service. A time that has only just passed may have to be waited for.
async fn restore(
    context: &Context<'_>,
    engine: Engine,
    suffix: &str,
    source: &ResourceId,
    at: Option<Timestamp>,
) -> Result<ResourceId, Failure> {
    let databases = context.cloud.database()?;
    let target = spec(context, &format!("{}-{suffix}", name_of(engine)), engine)?;
    let token = ClientToken::random();
    let what = format!("{source} to be restorable");
    let made = wait_until(&what, &context.wait, || async {
        match databases.restore_to_time(source, at, &target, &token).await {
            Ok(made) => Ok(Some(made)),
            Err(error) if error.kind() == ErrorKind::InvalidInput && at.is_some() => Ok(None),
            Err(error) => Err(error),
        }
    })
    .await?;
    context.note(&made.id);
    let again = databases.restore_to_time(source, at, &target, &token).await?;
    context.note(&again.id);
    ensure!(
        made.id == again.id || !context.capabilities().idempotent_tokens,
        "{engine}: a repeated restore made a second server"
    );
    ensure!(made.name == target.name, "{engine}: the restored server is called {}", made.name);
    Ok(context.ready(&made.id).await?.id)
}

pub(super) async fn outside(context: &Context<'_>) -> Result<(), Failure> {
    let databases = context.cloud.database()?;
    for engine in engines(context, |e| e.point_in_time && e.sql) {
        let source = server(context, &format!("{}-src", name_of(engine)), engine).await?;
        let Some(made) = databases.get_database(&source).await?.created_at else {
            return Err(Failure::skip("no clock: servers do not tell when they were made"));
        };
        for hours in [-48, 48] {
            let at = made.checked_add(SignedDuration::from_hours(hours)).unwrap_or(made);
            let target = spec(context, &format!("{}-new", name_of(engine)), engine)?;
            let token = ClientToken::random();
            match databases.restore_to_time(&source, Some(at), &target, &token).await {
                Ok(restored) => {
                    context.note(&restored.id);
                    return Err(Failure::new(format!("{engine}: {at} is restored")));
                }
                Err(error) => ensure!(
                    (error.kind(), error.effect()) == (ErrorKind::InvalidInput, Effect::None),
                    "{engine}: to restore {at} fails with {error:?}, not InvalidInput"
                ),
            }
        }
    }
    Ok(())
}
