//! `Sql` that ends with its region: an outage reaches the connections that were made before it.

use std::sync::Arc;

use async_trait::async_trait;
use cloud_core::{Region, Result, Row, Sql, SqlValue, TableSpec};

use crate::state::State;

/// A database whose calls fail while its region is down.
#[derive(Debug)]
pub(crate) struct InRegion {
    pub(crate) state: Arc<State>,
    pub(crate) region: Region,
    pub(crate) sql: Arc<dyn Sql>,
}

#[async_trait]
impl Sql for InRegion {
    async fn create_table(&self, spec: &TableSpec) -> Result<bool> {
        self.state.check_up(&self.region)?;
        self.sql.create_table(spec).await
    }

    async fn query(&self, statement: &str, parameters: &[SqlValue]) -> Result<Vec<Row>> {
        self.state.check_up(&self.region)?;
        self.sql.query(statement, parameters).await
    }

    async fn execute(&self, statement: &str, parameters: &[SqlValue]) -> Result<u64> {
        self.state.check_up(&self.region)?;
        self.sql.execute(statement, parameters).await
    }

    async fn insert(&self, table: &str, row: &Row) -> Result<i64> {
        self.state.check_up(&self.region)?;
        self.sql.insert(table, row).await
    }
}
