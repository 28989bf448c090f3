//! `create_table`: creates a table in a database.

use async_trait::async_trait;
use cloud_core::{Engine, Error, ErrorKind, ResourceId, ResourceKind, Result, TableSpec};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ActionHandler, Applied, Call, gone_is_fine};
use crate::engine::store::CatalogChange;

/// Creates a table unless it is there. Input: `database` (a resource id), `table` (a [`TableSpec`]). Undone by dropping the
/// table, if it was not there before. Output: `table`, its name.
#[derive(Clone, Copy, Debug)]
pub struct CreateTable;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    database: ResourceId,
    table: TableSpec,
}

fn read(call: &Call<'_>) -> Result<Input> {
    let input: Input = call.read()?;
    input.database.expect_kind(ResourceKind::Database)?;
    input.table.validate()?;
    Ok(input)
}

/// The name as the engine quotes it. It is a plain identifier already: [`TableSpec::validate`] saw to that.
fn quoted(engine: Engine, name: &str) -> String {
    match engine {
        Engine::Mysql => format!("`{name}`"),
        _ => format!("\"{name}\""),
    }
}

#[async_trait]
impl ActionHandler for CreateTable {
    fn name(&self) -> &str {
        "create_table"
    }

    async fn prepare(&self, call: &Call<'_>) -> Result<Value> {
        let input = read(call)?;
        let databases = call.cloud.database()?;
        let engine = databases.get_database(&input.database).await?.engine;
        let sql = databases.sql(&input.database).await?;
        let table = quoted(engine, &input.table.name);
        let probe = format!("SELECT count(*) AS n FROM {table} WHERE 1 = 0");
        match sql.query(&probe, &[]).await {
            Ok(_) => Ok(json!({ "existed": true })),
            Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) => {
                Ok(json!({ "existed": false }))
            }
            Err(error) => Err(error),
        }
    }

    async fn apply(&self, call: &Call<'_>) -> Result<Applied> {
        let input = read(call)?;
        let sql = call.cloud.database()?.sql(&input.database).await?;
        sql.create_table(&input.table).await?;
        Ok(Applied {
            outputs: [("table".to_owned(), input.table.name)].into(),
            ..Applied::default()
        })
    }

    async fn undo(&self, call: &Call<'_>) -> Result<Vec<CatalogChange>> {
        if call.before["existed"] == json!(false) {
            gone_is_fine(drop_table(call).await)?;
        }
        Ok(Vec::new())
    }

    fn permissions(&self) -> Vec<&'static str> {
        vec!["database.sql", "sql.create_table", "sql.execute"]
    }
}

async fn drop_table(call: &Call<'_>) -> Result<(), Error> {
    let input = read(call)?;
    let databases = call.cloud.database()?;
    let engine = databases.get_database(&input.database).await?.engine;
    let sql = databases.sql(&input.database).await?;
    let table = quoted(engine, &input.table.name);
    sql.execute(&format!("DROP TABLE IF EXISTS {table}"), &[]).await?;
    Ok(())
}
