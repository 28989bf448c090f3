//! What only databases do: hold data, give it to snapshots and replicas, guard their passwords.

use cloud_core::{
    Capabilities, ClientToken, Column, ColumnType, DatabaseSpec, Engine, EngineCapabilities,
    ErrorKind, ReplicaSpec, ResourceId, Row, Snapshot, SnapshotSpec, Sql, SqlValue, TableSpec,
    secret::ExposeSecret, wait_until,
};

use super::{Context, Failure, Trial, ensure, trial_list};

mod restore;

fn any(can: &Capabilities, wanted: fn(&EngineCapabilities) -> bool) -> bool {
    can.database.as_ref().is_some_and(|database| database.engines.iter().any(wanted))
}

pub(super) fn trials() -> Vec<Trial> {
    trial_list! {
        "database.sql": "tables, inserts, queries with parameters and deletes work on each engine", |can| any(can, |e| e.sql) => sql;
        "database.connection": "a connection names its engine and never shows its password", |can| any(can, |_| true) => connection;
        "database.engines": "an engine that is not declared is refused with Unsupported", |can| any(can, |_| true) => unknown_engine;
        "database.snapshot": "a restored snapshot has the data of its moment, and outlives its source", |can| any(can, |e| e.snapshots && e.sql) => snapshot;
        "database.snapshot_copy": "a snapshot copied to the second region outlives its source and is restored there", |can| any(can, |e| e.snapshot_copy) => restore::copied;
        "database.point_in_time": "a restored server has the data of the time that was asked for, and its source keeps its own", |can| any(can, |e| e.point_in_time) => restore::to_time;
        "database.past": "a time before the server was made, or in the future, cannot be restored", |can| any(can, |e| e.point_in_time && e.sql) => restore::outside;
        "database.replica": "a replica follows its primary, keeps it from being deleted, and can be promoted", |can| any(can, |e| e.replicas && e.sql) => replica;
    }
}

fn engines(context: &Context<'_>, wanted: fn(&EngineCapabilities) -> bool) -> Vec<Engine> {
    let engines = context.capabilities().database.iter().flat_map(|can| &can.engines);
    engines.filter(|engine| wanted(engine)).map(|engine| engine.engine).collect()
}

fn spec(context: &Context<'_>, suffix: &str, engine: Engine) -> Result<DatabaseSpec, Failure> {
    let mut spec = context.harness.database_spec(&context.name(suffix), engine);
    spec.tags = context.tags(&[])?;
    Ok(spec)
}

/// The engine in a name: no provider takes an underscore.
fn name_of(engine: Engine) -> String {
    engine.as_str().replace('_', "-")
}

async fn server(
    context: &Context<'_>,
    suffix: &str,
    engine: Engine,
) -> Result<ResourceId, Failure> {
    let spec = spec(context, suffix, engine)?;
    let made = context.cloud.database()?.create_database(&spec, &ClientToken::random()).await?;
    Ok(context.ready(&made.id).await?.id)
}

fn orders() -> TableSpec {
    TableSpec::new(
        "orders",
        [
            Column::new("customer", ColumnType::Text).not_null(),
            Column::new("total", ColumnType::Int),
        ],
    )
}

fn order(customer: &str, total: i64) -> Row {
    Row::from([("customer".to_owned(), customer.into()), ("total".to_owned(), total.into())])
}

async fn count(sql: &dyn Sql) -> Result<i64, Failure> {
    let rows = sql.query("SELECT count(*) AS n FROM orders", &[]).await?;
    match rows.first().and_then(|row| row.get("n")) {
        Some(SqlValue::Int(n)) => Ok(*n),
        other => Err(Failure::new(format!("a count is {other:?}"))),
    }
}

async fn sql(context: &Context<'_>) -> Result<(), Failure> {
    for engine in engines(context, |e| e.sql) {
        let id = server(context, &name_of(engine), engine).await?;
        let sql = context.cloud.database()?.sql(&id).await?;
        ensure!(
            sql.create_table(&orders()).await?,
            "{engine}: a new table is said to be there already"
        );
        ensure!(!sql.create_table(&orders()).await?, "{engine}: a table is said to be made twice");
        let hostile = "Robert'); DROP TABLE orders;--";
        let first = sql.insert("orders", &order("Ada", 42)).await?;
        let second = sql.insert("orders", &order(hostile, -1)).await?;
        ensure!(first != second, "{engine}: two rows have the id {first}");
        ensure!(
            count(&*sql).await? == 2,
            "{engine}: there are {} rows, not 2",
            count(&*sql).await?
        );
        let rows = sql.query("SELECT * FROM orders WHERE customer = $1", &[hostile.into()]).await?;
        ensure!(
            rows.len() == 1 && rows[0]["total"] == (-1).into() && rows[0]["id"] == second.into(),
            "{engine}: the query finds {rows:?}"
        );
        let kind = sql
            .insert("orders", &Row::from([("total".to_owned(), 1.into())]))
            .await
            .err()
            .map(|e| e.kind());
        ensure!(kind.is_some(), "{engine}: a row without a needed value is inserted");
        let kind = sql.query("SELECT * FROM nowhere", &[]).await.err().map(|e| e.kind());
        ensure!(
            kind == Some(ErrorKind::InvalidInput),
            "{engine}: an unknown table answers {kind:?}, not InvalidInput"
        );
        ensure!(
            sql.execute("DELETE FROM orders WHERE customer = $1", &["Ada".into()]).await? == 1,
            "{engine}: a delete counts wrong"
        );
        ensure!(count(&*sql).await? == 1, "{engine}: a deleted row is there");
    }
    Ok(())
}

async fn connection(context: &Context<'_>) -> Result<(), Failure> {
    let databases = context.cloud.database()?;
    for engine in engines(context, |_| true) {
        let mut spec = spec(context, &name_of(engine), engine)?;
        let secret = "hidden-passw0rd-x";
        spec.password = Some(cloud_core::SecretRef::Value(secret.into()));
        let made = databases.create_database(&spec, &ClientToken::random()).await?;
        ensure!(!format!("{made:?}").contains(secret), "{engine}: the view shows the password");
        let resource = context.ready(&made.id).await?;
        ensure!(
            !format!("{resource:?}").contains(secret),
            "{engine}: the resource shows the password"
        );
        let connection = databases.connection(&made.id).await?;
        ensure!(connection.engine == engine, "{engine}: the connection says {}", connection.engine);
        ensure!(
            !format!("{connection:?}").contains(secret),
            "{engine}: the connection's Debug shows the password"
        );
        if let Some(password) = &connection.password {
            ensure!(password.expose_secret() == secret, "{engine}: the password is another");
        }
        ensure!(!connection.url.expose_secret().is_empty(), "{engine}: there is no URL");
    }
    Ok(())
}

async fn unknown_engine(context: &Context<'_>) -> Result<(), Failure> {
    let databases = context.cloud.database()?;
    let offered = engines(context, |_| true);
    let all = [Engine::Sqlite, Engine::Postgres, Engine::Mysql, Engine::SqlServer];
    for engine in all.into_iter().filter(|engine| !offered.contains(engine)) {
        let answer =
            databases.create_database(&spec(context, "x", engine)?, &ClientToken::random()).await;
        let kind = answer.err().map(|e| e.kind());
        ensure!(
            kind == Some(ErrorKind::Unsupported),
            "{engine} is not offered and answers {kind:?}, not Unsupported"
        );
    }
    Ok(())
}

/// A snapshot of a server, ready to be restored.
async fn take(
    context: &Context<'_>,
    engine: Engine,
    source: &ResourceId,
) -> Result<Snapshot, Failure> {
    let mut spec =
        SnapshotSpec::new(context.name(&format!("{}-snap", name_of(engine))), source.clone());
    spec.tags = context.tags(&[])?;
    let databases = context.cloud.database()?;
    let taken = databases.create_snapshot(&spec, &ClientToken::random()).await?;
    context.ready(&taken.id).await?;
    Ok(databases.get_snapshot(&taken.id).await?)
}

async fn snapshot(context: &Context<'_>) -> Result<(), Failure> {
    let databases = context.cloud.database()?;
    for engine in engines(context, |e| e.snapshots && e.sql) {
        let source = server(context, &format!("{}-src", name_of(engine)), engine).await?;
        let sql = databases.sql(&source).await?;
        sql.create_table(&orders()).await?;
        sql.insert("orders", &order("Ada", 1)).await?;
        let taken = take(context, engine, &source).await?;
        sql.insert("orders", &order("Bob", 2)).await?;
        drop(sql);
        ensure!(databases.delete_database(&source).await?, "{engine}: the source is not there");
        context.gone(&source).await?;

        let target = spec(context, &format!("{}-new", name_of(engine)), engine)?;
        let token = ClientToken::random();
        let restored = databases.restore_snapshot(&taken.id, &target, &token).await?;
        let again = databases.restore_snapshot(&taken.id, &target, &token).await?;
        context.note(&again.id);
        ensure!(
            restored.id == again.id || !context.capabilities().idempotent_tokens,
            "{engine}: a repeated restore made a second server"
        );
        context.ready(&restored.id).await?;
        let rows = count(&*databases.sql(&restored.id).await?).await?;
        ensure!(rows == 1, "{engine}: the restored server has {rows} rows, the snapshot had 1");
        databases.get_snapshot(&taken.id).await?;
    }
    Ok(())
}

async fn replica(context: &Context<'_>) -> Result<(), Failure> {
    let databases = context.cloud.database()?;
    let region = context.region.clone();
    for engine in engines(context, |e| e.replicas && e.sql) {
        let primary = server(context, &format!("{}-pri", name_of(engine)), engine).await?;
        let sql = databases.sql(&primary).await?;
        sql.create_table(&orders()).await?;
        sql.insert("orders", &order("Ada", 1)).await?;
        let mut spec = ReplicaSpec::new(
            context.name(&format!("{}-rep", name_of(engine))),
            region.clone(),
            primary.clone(),
        );
        spec.tags = context.tags(&[])?;
        let replica = databases.create_replica(&spec, &ClientToken::random()).await?;
        ensure!(
            replica.replica_of.as_ref() == Some(&primary),
            "{engine}: the replica follows {:?}",
            replica.replica_of
        );
        context.ready(&replica.id).await?;
        sql.insert("orders", &order("Bob", 2)).await?;
        let follower = databases.sql(&replica.id).await?;
        wait_until("the replica to follow", &context.wait, || async {
            Ok((count(&*follower).await.unwrap_or(-1) == 2).then_some(()))
        })
        .await?;
        ensure!(
            follower.insert("orders", &order("Eve", 3)).await.is_err(),
            "{engine}: a replica takes writes"
        );
        let kind = databases.delete_database(&primary).await.err().map(|e| e.kind());
        ensure!(
            kind == Some(ErrorKind::Conflict),
            "{engine}: to delete a replicated server answers {kind:?}, not Conflict"
        );

        databases.promote_replica(&replica.id).await?;
        context.ready(&replica.id).await?;
        let promoted = databases.promote_replica(&replica.id).await?;
        ensure!(
            promoted.replica_of.is_none(),
            "{engine}: the promoted server follows {:?}",
            promoted.replica_of
        );
        let sql = databases.sql(&replica.id).await?;
        sql.insert("orders", &order("Eve", 3)).await?;
        ensure!(
            count(&*sql).await? == 3,
            "{engine}: the promoted server has {} rows",
            count(&*sql).await?
        );
        let before = count(&*databases.sql(&primary).await?).await?;
        ensure!(before == 2, "{engine}: the old primary has {before} rows");
    }
    Ok(())
}
