//! `Sql` over the RDS Data API: each statement is a request over HTTPS, for Aurora clusters that no connection reaches.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_rdsdata::{
    operation::execute_statement::ExecuteStatementOutput,
    types::{Field, SqlParameter},
};
use aws_smithy_types::Blob;
use cloud_core::{
    Effect, Engine, Error, ErrorKind, ResourceId, Result, Row, Sql, SqlValue, TableSpec,
};
use cloud_sql::statements;

use super::{AwsDatabase, not_ready};
use crate::{
    account::Account,
    error::{has_code, writes},
};

struct DataApi {
    account: Arc<Account>,
    cluster: ResourceId,
    arn: String,
    secret: String,
    database: String,
    engine: Engine,
}

impl std::fmt::Debug for DataApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataApi({})", self.cluster)
    }
}

impl AwsDatabase {
    /// The data inside an Aurora cluster over HTTPS, without a connection: the cluster was made with `overrides.aws.data_api = true`.
    ///
    /// Statements are as those of [`Database::sql`](cloud_core::Database::sql). A text that is to be a time, a decimal or a UUID needs a cast
    /// in the statement (`$1::timestamptz`), and an answer has at most 1 MiB
    /// ([documentation](https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/data-api.html)).
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound); [`Conflict`](ErrorKind::Conflict) while it is not ready; [`Unsupported`](ErrorKind::Unsupported) for a
    /// server without this API; [`Unauthenticated`](ErrorKind::Unauthenticated) for one without a secret; or any.
    ///
    /// ```no_run
    /// # use cloud_aws::AwsCloud;
    /// # use cloud_core::{ResourceId, Result, Row};
    /// async fn newest(aws: &AwsCloud, cluster: &ResourceId) -> Result<Vec<Row>> {
    ///     let sql = aws.aws_database().data_api(cluster).await?;
    ///     sql.query("SELECT * FROM orders ORDER BY id DESC LIMIT $1", &[10.into()]).await
    /// }
    /// ```
    pub async fn data_api(&self, id: &ResourceId) -> Result<Arc<dyn Sql>> {
        let opened = async {
            let found = self.find(id).await?;
            if !found.http_endpoint {
                return Err(Error::unsupported("SQL over HTTPS to this server").with_hint(
                    "an Aurora cluster made with overrides.aws.data_api = true has it",
                ));
            }
            if !found.view.status.is_ready() {
                return Err(not_ready(&found));
            }
            let secret = self.secret_arn(&found).await?;
            let api: Arc<dyn Sql> = Arc::new(DataApi {
                account: self.account.clone(),
                cluster: id.clone(),
                arn: found.arn,
                secret,
                database: found.database,
                engine: found.view.engine,
            });
            Ok(api)
        };
        opened.await.map_err(self.account.in_call("database.data_api"))
    }

    /// The API wants the ARN of the secret, not its name.
    async fn secret_arn(&self, found: &super::Found) -> Result<String> {
        use crate::error::reads;
        if let Some(arn) = &found.managed_secret {
            return Ok(arn.clone());
        }
        let unknown = || {
            Error::new(ErrorKind::Unauthenticated, "the password of this cluster is in no secret")
                .with_hint("AwsDatabase::manage_password has RDS set a new one")
        };
        let name = Self::secret_of(found).ok_or_else(unknown)?;
        let client = self.account.secretsmanager(&found.view.id.region)?;
        let answer = client.describe_secret().secret_id(name).send().await;
        let answer = answer.map_err(reads("secretsmanager"))?;
        answer.arn().map(str::to_owned).ok_or_else(unknown)
    }
}

fn field(value: &SqlValue, number: usize) -> Result<Field> {
    Ok(match value {
        SqlValue::Null => Field::IsNull(true),
        SqlValue::Bool(b) => Field::BooleanValue(*b),
        SqlValue::Int(n) => Field::LongValue(*n),
        SqlValue::Float(x) if !x.is_finite() => {
            let field = format!("parameter ${number}");
            return Err(Error::invalid(&field, format_args!("is {x}"), "a finite number"));
        }
        SqlValue::Float(x) => Field::DoubleValue(*x),
        SqlValue::Text(text) => Field::StringValue(text.clone()),
        SqlValue::Bytes(bytes) => Field::BlobValue(Blob::new(bytes.clone())),
    })
}

/// `None` for an array, and for what the API may have one day.
fn value(field: &Field) -> Option<SqlValue> {
    Some(match field {
        Field::IsNull(_) => SqlValue::Null,
        Field::BooleanValue(b) => SqlValue::Bool(*b),
        Field::LongValue(n) => SqlValue::Int(*n),
        Field::DoubleValue(x) => SqlValue::Float(*x),
        Field::StringValue(text) => SqlValue::Text(text.clone()),
        Field::BlobValue(bytes) => SqlValue::Bytes(bytes.as_ref().to_vec()),
        _ => return None,
    })
}

fn rows(answer: &ExecuteStatementOutput) -> Result<Vec<Row>> {
    let columns: Vec<_> = answer
        .column_metadata()
        .iter()
        .map(|column| column.label().or(column.name()).unwrap_or_default())
        .collect();
    let read = |record: &Vec<Field>| {
        let mut row = Row::new();
        for (name, field) in columns.iter().zip(record) {
            let value = value(field).ok_or_else(|| {
                let problem = "holds an array";
                Error::invalid(&format!("column '{name}'"), problem, "single values")
                    .with_hint(format!("cast it to text in the statement: CAST({name} AS text)"))
            })?;
            if row.insert((*name).to_owned(), value).is_some() {
                let problem = format!("'{name}' comes twice");
                return Err(Error::invalid("column", problem, "each name once"));
            }
        }
        Ok(row)
    };
    let rows = answer.records().iter().map(read).collect::<Result<Vec<_>>>();
    rows.map_err(|e| e.with_effect(Effect::Done))
}

/// What the database itself answered is told by the SQLSTATE in the message.
fn of_database(error: Error) -> Error {
    let state = error
        .message()
        .split_once("SQLState: ")
        .map(|(_, rest)| rest.chars().take_while(char::is_ascii_alphanumeric).collect::<String>());
    match state {
        Some(state) if has_code(&error, &["DatabaseErrorException", "BadRequestException"]) => {
            let kind = match &*state {
                // MySQL's: a table that is there. Its duplicate keys have the state of every violated constraint.
                "42S01" => ErrorKind::AlreadyExists,
                "23000" if error.message().contains("Duplicate entry") => ErrorKind::AlreadyExists,
                other => statements::kind_of(other),
            };
            let message = error.message().to_owned();
            let mapped = Error::new(kind, message).with_code(state).with_effect(Effect::None);
            match error.request_id() {
                Some(id) => mapped.with_request_id(id),
                None => mapped,
            }
        }
        _ => error,
    }
}

impl DataApi {
    async fn run(&self, text: &str, values: &[SqlValue]) -> Result<ExecuteStatementOutput> {
        let text = statements::with_names(self.engine, text, values.len())?;
        let parameters = values.iter().enumerate().map(|(i, value)| {
            let name = format!("p{}", i + 1);
            Ok(SqlParameter::builder().name(name).value(field(value, i + 1)?).build())
        });
        let parameters = parameters.collect::<Result<Vec<_>>>()?;
        self.account
            .rdsdata(&self.cluster.region)?
            .execute_statement()
            .resource_arn(&self.arn)
            .secret_arn(&self.secret)
            .database(&self.database)
            .sql(text)
            .set_parameters((!parameters.is_empty()).then_some(parameters))
            .include_result_metadata(true)
            .send()
            .await
            .map_err(writes("rds-data"))
            .map_err(of_database)
            .map_err(self.account.in_call("sql.execute"))
    }
}

#[async_trait]
impl Sql for DataApi {
    async fn create_table(&self, spec: &TableSpec) -> Result<bool> {
        let text = statements::create_table(self.engine, spec)?;
        match self.run(&text, &[]).await {
            Err(error) if matches!(error.code(), Some("42P07" | "42S01")) => Ok(false),
            made => made.map(|_| true),
        }
    }

    async fn query(&self, statement: &str, parameters: &[SqlValue]) -> Result<Vec<Row>> {
        rows(&self.run(statement, parameters).await?)
    }

    async fn execute(&self, statement: &str, parameters: &[SqlValue]) -> Result<u64> {
        let answer = self.run(statement, parameters).await?;
        Ok(u64::try_from(answer.number_of_records_updated()).unwrap_or_default())
    }

    async fn insert(&self, table: &str, row: &Row) -> Result<i64> {
        let text = statements::insert(self.engine, table, row)?;
        let values: Vec<_> = row.values().cloned().collect();
        let answer = self.run(&text, &values).await?;
        let returned = rows(&answer)?.pop().and_then(|mut row| row.remove("id"));
        let generated = answer.generated_fields().first().and_then(value);
        match returned.or(generated).or_else(|| row.get("id").cloned()) {
            Some(SqlValue::Int(id)) => Ok(id),
            _ => {
                Err(Error::new(ErrorKind::Internal, "the row was inserted, but its id is not told")
                    .with_effect(Effect::Done)
                    .with_hint("insert only into tables that create_table made"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_database_says_is_told_by_its_state() {
        let error = |message: &str| {
            of_database(
                Error::new(ErrorKind::InvalidInput, message).with_code("DatabaseErrorException"),
            )
        };
        let there = error("ERROR: relation \"orders\" already exists; SQLState: 42P07");
        assert_eq!((there.kind(), there.code()), (ErrorKind::AlreadyExists, Some("42P07")));
        let twice =
            error("Duplicate entry '1' for key 'PRIMARY'; Error code: 1062; SQLState: 23000");
        assert_eq!(twice.kind(), ErrorKind::AlreadyExists);
        assert_eq!(error("something else").code(), Some("DatabaseErrorException"));
    }
}
