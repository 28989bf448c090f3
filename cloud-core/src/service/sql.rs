//! `Sql`: the data inside a database, with parameters always bound and never pasted into the text.

use std::{collections::BTreeMap, fmt::Debug};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::check_sql_name;
use crate::{Error, Result};

/// A value in a row or a parameter.
///
/// ```
/// use cloud_core::SqlValue;
/// assert_eq!(SqlValue::from("paid"), SqlValue::Text("paid".into()));
/// assert_eq!(SqlValue::from(3), SqlValue::Int(3));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SqlValue {
    /// `NULL`.
    #[default]
    Null,
    /// A truth value. SQLite has none of its own and gives back 0 or 1.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A text. Decimals, times and JSON are read as their text, so that nothing is lost.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

macro_rules! from {
    ($($ty:ty => $variant:ident),*) => {$(
        impl From<$ty> for SqlValue {
            fn from(value: $ty) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}
from!(bool => Bool, i64 => Int, i32 => Int, f64 => Float, &str => Text, String => Text, Vec<u8> => Bytes);

/// A row: column names and values.
///
/// ```
/// use cloud_core::Row;
/// let row = Row::from([("customer".to_owned(), "Ada".into()), ("total".to_owned(), 42.into())]);
/// assert_eq!(row["total"], 42.into());
/// ```
pub type Row = BTreeMap<String, SqlValue>;

/// The portable column types.
///
/// ```
/// assert_eq!(serde_json::to_string(&cloud_core::ColumnType::Text).unwrap(), r#""text""#);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ColumnType {
    /// Truth value.
    Bool,
    /// 64-bit whole number.
    Int,
    /// Double-precision number.
    Float,
    /// Text of any length.
    Text,
    /// Bytes of any length.
    Bytes,
    /// An instant, with time zone where the engine has one.
    Timestamp,
}

/// One column of a [`TableSpec`].
///
/// ```
/// use cloud_core::{Column, ColumnType};
/// let column = Column::new("customer", ColumnType::Text).not_null();
/// assert!(!column.nullable);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// Whether it may be NULL. Default: yes.
    #[serde(default = "yes")]
    pub nullable: bool,
}

fn yes() -> bool {
    true
}

impl Column {
    /// A column that may be NULL.
    pub fn new(name: impl Into<String>, column_type: ColumnType) -> Self {
        Self { name: name.into(), column_type, nullable: true }
    }

    /// The column, not to be NULL.
    pub fn not_null(mut self) -> Self {
        self.nullable = false;
        self
    }
}

/// A request for a table. Every table has a key column `id` of its own: a whole number that the database counts
/// up, and that [`Sql::insert`] returns.
///
/// ```
/// use cloud_core::{Column, ColumnType, TableSpec};
/// let table = TableSpec::new("orders", [Column::new("customer", ColumnType::Text)]);
/// assert!(table.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSpec {
    /// Its name.
    pub name: String,
    /// Its columns besides `id`.
    pub columns: Vec<Column>,
}

impl TableSpec {
    /// A table with these columns besides `id`.
    pub fn new(name: impl Into<String>, columns: impl IntoIterator<Item = Column>) -> Self {
        Self { name: name.into(), columns: columns.into_iter().collect() }
    }

    /// Refuses names that are no plain identifiers, `id` among the columns, and a column that comes twice.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        check_sql_name("table", &self.name)?;
        let mut seen = vec!["id"];
        for column in &self.columns {
            check_sql_name("column", &column.name)?;
            if seen.iter().any(|s| s.eq_ignore_ascii_case(&column.name)) {
                let problem = format!("'{}' comes twice or is the key column", column.name);
                return Err(Error::invalid("column", problem, "each name once, and not 'id'"));
            }
            seen.push(&column.name);
        }
        Ok(())
    }
}

/// The data inside a database.
///
/// Statements are the engine's own SQL with parameters written `$1`, `$2`, … on every engine. Values of a caller
/// belong into parameters, never into the text.
///
/// ```
/// # use cloud_core::{Result, Row, Sql};
/// async fn place_order(sql: &dyn Sql, customer: &str) -> Result<i64> {
///     sql.insert("orders", &Row::from([("customer".to_owned(), customer.into())])).await
/// }
/// ```
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Sql: Debug + Send + Sync {
    /// Creates a table. `false` if one of this name is there already; it is not compared or changed.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), or any.
    async fn create_table(&self, spec: &TableSpec) -> Result<bool>;

    /// Runs a query and returns all its rows.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a wrong statement or a column of a type that [`SqlValue`] cannot hold, or any.
    async fn query(&self, statement: &str, parameters: &[SqlValue]) -> Result<Vec<Row>>;

    /// Runs a statement that returns no rows and returns how many it changed.
    ///
    /// # Errors
    /// As for [`query`](Self::query); [`AlreadyExists`](crate::ErrorKind::AlreadyExists) for a violated unique key.
    async fn execute(&self, statement: &str, parameters: &[SqlValue]) -> Result<u64>;

    /// Inserts a row into a table that [`create_table`](Self::create_table) made and returns its `id`.
    ///
    /// # Errors
    /// As for [`execute`](Self::execute).
    async fn insert(&self, table: &str, row: &Row) -> Result<i64>;
}
