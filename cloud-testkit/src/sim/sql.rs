//! The tiny engine behind `Sql` of a simulated database: tables, inserts, and a few statements.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use cloud_core::{
    Error, ErrorKind, ResourceId, Result, Row, Sql, SqlValue, TableSpec, check_sql_name,
};

use super::{SimCloud, extra::Extra};

#[derive(Clone, Debug)]
struct Table {
    spec: TableSpec,
    rows: Vec<Row>,
    next_id: i64,
}

/// The data of one server.
#[derive(Debug, Default)]
pub(super) struct Tables(Mutex<BTreeMap<String, Table>>);

impl Tables {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Table>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same data, from here on apart.
    pub(super) fn copy(&self) -> Self {
        Self(Mutex::new(self.lock().clone()))
    }
}

/// What a statement asks for.
#[derive(Debug, PartialEq)]
enum Wanted {
    All,
    Count(String),
    Delete,
    /// `DROP TABLE [IF EXISTS]`.
    Drop {
        if_exists: bool,
    },
}

#[derive(Debug, PartialEq)]
struct Statement {
    wanted: Wanted,
    table: String,
    /// Column of `WHERE column = $1`.
    filter: Option<String>,
    /// `WHERE 1 = 0`: only whether the table exists is asked.
    never: bool,
}

/// Reads one of the statements that are known; the rest is `Unsupported`.
fn parse(text: &str) -> Result<Statement> {
    let spaced = text.replace('=', " = ");
    let words: Vec<_> = spaced
        .trim_end_matches([';', ' '])
        .split_whitespace()
        .map(|word| word.trim_matches('"'))
        .collect();
    let lower: Vec<_> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
    let lower: Vec<_> = lower.iter().map(String::as_str).collect();
    let (wanted, rest) = match lower.as_slice() {
        ["select", "*", "from", ..] => (Wanted::All, 3),
        ["select", "count(*)", "from", ..] => (Wanted::Count("count".into()), 3),
        ["select", "count(*)", "as", name, "from", ..] => (Wanted::Count((*name).to_owned()), 5),
        ["delete", "from", ..] => (Wanted::Delete, 2),
        ["drop", "table", "if", "exists", _] => (Wanted::Drop { if_exists: true }, 4),
        ["drop", "table", _] => (Wanted::Drop { if_exists: false }, 2),
        _ => return Err(unknown(text)),
    };
    let never = lower.get(rest + 1..) == Some(&["where", "1", "=", "0"]);
    let filter = match lower.get(rest + 1..) {
        _ if never => None,
        Some([]) | None => None,
        Some(["where", column, "=", "$1"]) => Some((*column).to_owned()),
        Some(["order", "by", "id"]) if !matches!(wanted, Wanted::Delete | Wanted::Drop { .. }) => {
            None
        }
        _ => return Err(unknown(text)),
    };
    let table = words.get(rest).ok_or_else(|| unknown(text))?;
    check_sql_name("table", table)?;
    Ok(Statement { wanted, table: (*table).to_owned(), filter, never })
}

fn unknown(text: &str) -> Error {
    Error::unsupported(format_args!("the statement '{text}'")).with_hint(
        "a simulated database knows SELECT * FROM t, SELECT count(*) [AS n] FROM t and DELETE FROM t, with WHERE column = $1 or WHERE 1 = 0, and DROP TABLE [IF EXISTS] t",
    )
}

fn table<'a>(tables: &'a mut BTreeMap<String, Table>, name: &str) -> Result<&'a mut Table> {
    tables.get_mut(name).ok_or_else(|| {
        Error::invalid("statement", format_args!("names the table '{name}'"), "a table that exists")
    })
}

/// The data of a simulated database, through the simulated network.
#[derive(Debug)]
pub(super) struct SimSql {
    pub(super) cloud: SimCloud,
    pub(super) server: ResourceId,
}

impl SimSql {
    async fn call<T: Send>(
        &self,
        operation: &'static str,
        writes: bool,
        act: impl FnOnce(&mut BTreeMap<String, Table>) -> Result<T> + Send,
    ) -> Result<T> {
        let id = &self.server;
        self.cloud
            .call(operation, Some(&id.region), |state, now| {
                let entry = state.ready(id, now)?;
                let replica = matches!(&entry.view, super::views::AnyView::Database(server) if server.replica_of.is_some());
                if replica && writes {
                    return Err(Error::new(ErrorKind::Conflict, format!("{id} is a replica and can only be read")));
                }
                match &entry.extra {
                    Extra::Database(data) => act(&mut data.tables.lock()),
                    _ => Err(Error::not_found(id)),
                }
            })
            .await
    }
}

/// The rows that a statement is about, by their position.
fn select(table: &Table, statement: &Statement, parameters: &[SqlValue]) -> Result<Vec<usize>> {
    let wanted = usize::from(statement.filter.is_some());
    if parameters.len() != wanted {
        let problem = format!("are {}", parameters.len());
        return Err(Error::invalid(
            "parameters",
            problem,
            format_args!("{wanted}, as the statement has"),
        ));
    }
    if let Some(column) = &statement.filter
        && column != "id"
        && !table.spec.columns.iter().any(|c| c.name == *column)
    {
        return Err(Error::invalid(
            "statement",
            format_args!("names the column '{column}'"),
            "a column of the table",
        ));
    }
    let matches = |row: &Row| match &statement.filter {
        Some(column) => {
            row.get(column) == parameters.first() && row.get(column) != Some(&SqlValue::Null)
        }
        None => !statement.never,
    };
    let found = table.rows.iter().enumerate().filter(|(_, row)| matches(row));
    Ok(found.map(|(position, _)| position).collect())
}

#[async_trait]
impl Sql for SimSql {
    async fn create_table(&self, spec: &TableSpec) -> Result<bool> {
        spec.validate()?;
        self.call("sql.create_table", true, |tables| {
            let new = !tables.contains_key(&spec.name);
            tables.entry(spec.name.clone()).or_insert_with(|| Table {
                spec: spec.clone(),
                rows: Vec::new(),
                next_id: 1,
            });
            Ok(new)
        })
        .await
    }

    async fn query(&self, statement: &str, parameters: &[SqlValue]) -> Result<Vec<Row>> {
        let statement = parse(statement)?;
        if matches!(statement.wanted, Wanted::Delete | Wanted::Drop { .. }) {
            return Err(Error::invalid(
                "statement",
                "returns no rows",
                "a SELECT; execute runs a DELETE",
            ));
        }
        self.call("sql.query", false, |tables| {
            let table = table(tables, &statement.table)?;
            let found = select(table, &statement, parameters)?;
            Ok(match &statement.wanted {
                Wanted::Count(name) => {
                    let count = i64::try_from(found.len()).unwrap_or(i64::MAX);
                    vec![Row::from([(name.clone(), count.into())])]
                }
                _ => found.iter().map(|position| table.rows[*position].clone()).collect(),
            })
        })
        .await
    }

    async fn execute(&self, statement: &str, parameters: &[SqlValue]) -> Result<u64> {
        let text = statement;
        let statement = parse(text)?;
        if !matches!(statement.wanted, Wanted::Delete | Wanted::Drop { .. }) {
            return Err(Error::invalid(
                "statement",
                "returns rows",
                "a DELETE; query runs a SELECT",
            ));
        }
        self.call("sql.execute", true, |tables| {
            if let Wanted::Drop { if_exists } = statement.wanted {
                return match tables.remove(&statement.table) {
                    None if !if_exists => table(tables, &statement.table).map(|_| 0),
                    _ => Ok(0),
                };
            }
            let table = table(tables, &statement.table)?;
            let found = select(table, &statement, parameters)?;
            for position in found.iter().rev() {
                table.rows.remove(*position);
            }
            Ok(found.len() as u64)
        })
        .await
    }

    async fn insert(&self, name: &str, row: &Row) -> Result<i64> {
        check_sql_name("table", name)?;
        self.call("sql.insert", true, |tables| {
            let table = table(tables, name)?;
            if let Some(column) =
                row.keys().find(|key| !table.spec.columns.iter().any(|c| c.name == **key))
            {
                return Err(Error::invalid(
                    "row",
                    format_args!("has the column '{column}'"),
                    "the table's own columns",
                ));
            }
            let mut stored = Row::new();
            for column in &table.spec.columns {
                let value = row.get(&column.name).cloned().unwrap_or_default();
                if value == SqlValue::Null && !column.nullable {
                    return Err(Error::invalid(&column.name, "is NULL", "a value"));
                }
                stored.insert(column.name.clone(), value);
            }
            let id = table.next_id;
            table.next_id += 1;
            stored.insert("id".into(), id.into());
            table.rows.push(stored);
            Ok(id)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_few_statements_and_no_more() {
        let count = parse("SELECT count(*) AS n FROM orders WHERE customer=$1;").unwrap();
        assert_eq!(count.wanted, Wanted::Count("n".into()));
        assert_eq!((count.table.as_str(), count.filter.as_deref()), ("orders", Some("customer")));
        assert_eq!(parse("delete from Orders").unwrap().table, "Orders");
        assert_eq!(parse("DROP TABLE IF EXISTS \"t\"").unwrap().table, "t");
        assert!(parse("SELECT count(*) FROM \"t\" WHERE 1 = 0").unwrap().never);
        for bad in [
            "DROP DATABASE t",
            "SELECT * FROM",
            "SELECT a FROM t",
            "SELECT * FROM t WHERE a = 1",
            "",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
