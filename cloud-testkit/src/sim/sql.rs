//! The tiny engine behind `Sql` of a simulated database: tables, inserts, and a few statements.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use cloud_core::{
    Error, ErrorKind, ResourceId, Result, Row, Sql, SqlValue, TableSpec, check_sql_name,
};

use jiff::Timestamp;

use super::{SimCloud, extra::Extra};

#[derive(Clone, Debug)]
struct Table {
    spec: TableSpec,
    rows: Vec<Row>,
    next_id: i64,
}

type ByName = BTreeMap<String, Table>;

/// One write, in the form in which it can be done again.
#[derive(Clone, Debug)]
enum Write {
    Create(TableSpec),
    /// With its `id`.
    Insert(String, i64, Row),
    /// The rows by their position, ascending.
    Delete(String, Vec<usize>),
    Drop(String),
}

impl Write {
    fn apply(self, tables: &mut ByName) {
        match self {
            Self::Create(spec) => {
                let name = spec.name.clone();
                tables.insert(name, Table { spec, rows: Vec::new(), next_id: 1 });
            }
            Self::Insert(name, id, row) => {
                if let Some(table) = tables.get_mut(&name) {
                    table.rows.push(row);
                    table.next_id = id + 1;
                }
            }
            Self::Delete(name, positions) => {
                if let Some(table) = tables.get_mut(&name) {
                    for position in positions.into_iter().rev() {
                        table.rows.remove(position);
                    }
                }
            }
            Self::Drop(name) => drop(tables.remove(&name)),
        }
    }
}

/// What a server holds, and how that came to be.
#[derive(Debug)]
struct Data {
    tables: ByName,
    since: Timestamp,
    first: Arc<ByName>,
    writes: Vec<(Timestamp, Write)>,
}

impl Data {
    fn new(tables: ByName, since: Timestamp) -> Self {
        Self { first: Arc::new(tables.clone()), tables, since, writes: Vec::new() }
    }

    fn write(&mut self, at: Timestamp, write: Write) {
        self.writes.push((at, write.clone()));
        write.apply(&mut self.tables);
    }
}

/// The data of one server.
#[derive(Debug)]
pub(super) struct Tables(Mutex<Data>);

impl Tables {
    pub(super) fn empty(since: Timestamp) -> Self {
        Self(Mutex::new(Data::new(ByName::new(), since)))
    }

    fn lock(&self) -> MutexGuard<'_, Data> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same data, from now on apart, and without a past.
    pub(super) fn copy(&self, now: Timestamp) -> Self {
        Self(Mutex::new(Data::new(self.lock().tables.clone(), now)))
    }

    /// [`copy`](Self::copy) of the data as it was at that time.
    pub(super) fn copy_of(&self, at: Timestamp, now: Timestamp) -> Result<Self> {
        let data = self.lock();
        if at < data.since || at > now {
            let accepted = format_args!("{} to {now}", data.since);
            return Err(Error::invalid("at", format_args!("is {at}"), accepted));
        }
        let mut tables = (*data.first).clone();
        let writes = data.writes.iter().take_while(|(written, _)| *written <= at);
        writes.for_each(|(_, write)| write.clone().apply(&mut tables));
        Ok(Self(Mutex::new(Data::new(tables, now))))
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

fn table<'a>(tables: &'a ByName, name: &str) -> Result<&'a Table> {
    tables.get(name).ok_or_else(|| {
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
    async fn read<T: Send>(
        &self,
        operation: &'static str,
        look: impl FnOnce(&ByName) -> Result<T> + Send,
    ) -> Result<T> {
        self.call(operation, false, |tables| Ok((None, look(tables)?))).await
    }

    /// `decide` says what is to be written, and what the answer is.
    async fn write<T: Send>(
        &self,
        operation: &'static str,
        decide: impl FnOnce(&ByName) -> Result<(Option<Write>, T)> + Send,
    ) -> Result<T> {
        self.call(operation, true, decide).await
    }

    async fn call<T: Send>(
        &self,
        operation: &'static str,
        writes: bool,
        decide: impl FnOnce(&ByName) -> Result<(Option<Write>, T)> + Send,
    ) -> Result<T> {
        let id = &self.server;
        self.cloud
            .call(operation, Some(&id.region), |state, now| {
                let at = state.timestamp(now);
                let entry = state.ready(id, now)?;
                let replica = matches!(&entry.view, super::views::AnyView::Database(server) if server.replica_of.is_some());
                if replica && writes {
                    return Err(Error::new(ErrorKind::Conflict, format!("{id} is a replica and can only be read")));
                }
                let Extra::Database(server) = &entry.extra else {
                    return Err(Error::not_found(id));
                };
                let mut data = server.tables.lock();
                let (write, answer) = decide(&data.tables)?;
                if let Some(write) = write {
                    data.write(at, write);
                }
                Ok(answer)
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
        self.write("sql.create_table", |tables| {
            let new = !tables.contains_key(&spec.name);
            Ok((new.then(|| Write::Create(spec.clone())), new))
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
        self.read("sql.query", |tables| {
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
        self.write("sql.execute", |tables| {
            if let Wanted::Drop { if_exists } = statement.wanted {
                let there = tables.contains_key(&statement.table);
                if !there && !if_exists {
                    table(tables, &statement.table)?;
                }
                return Ok((there.then_some(Write::Drop(statement.table)), 0));
            }
            let found = select(table(tables, &statement.table)?, &statement, parameters)?;
            let count = found.len() as u64;
            Ok((Some(Write::Delete(statement.table, found)), count))
        })
        .await
    }

    async fn insert(&self, name: &str, row: &Row) -> Result<i64> {
        check_sql_name("table", name)?;
        self.write("sql.insert", |tables| {
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
            stored.insert("id".into(), id.into());
            Ok((Some(Write::Insert(name.to_owned(), id, stored)), id))
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
