//! Statements for those who send them another way than by a connection of their own, such as an HTTP interface of a database.

use cloud_core::{Engine, Error, ErrorKind, Result, Row, TableSpec};

use crate::{
    error,
    parameters::{self, Dialect},
    statement, table,
};

fn unsupported<T>(engine: Engine) -> Result<T> {
    Err(Error::unsupported(format_args!("statements on {engine}")))
}

/// The statement that makes a table with its key column `id`; it fails if the table is there.
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput) for a wrong table, [`Unsupported`](ErrorKind::Unsupported) for an engine whose feature is off.
///
/// ```
/// # #[cfg(feature = "postgres")] {
/// use cloud_core::{Engine, TableSpec};
/// let text = cloud_sql::statements::create_table(Engine::Postgres, &TableSpec::new("orders", [])).unwrap();
/// assert!(text.starts_with(r#"CREATE TABLE "orders""#));
/// # }
/// ```
pub fn create_table(engine: Engine, spec: &TableSpec) -> Result<String> {
    match engine {
        #[cfg(feature = "postgres")]
        Engine::Postgres => table::create(spec, sea_query::PostgresQueryBuilder),
        #[cfg(feature = "mysql")]
        Engine::Mysql => table::create_mysql(spec),
        other => unsupported(other),
    }
}

/// The statement that inserts a row, with the values of the row as `$1`, `$2`, … in its order. PostgreSQL's returns the `id`.
///
/// # Errors
/// As for [`create_table`].
///
/// ```
/// # #[cfg(feature = "postgres")] {
/// use cloud_core::{Engine, Row};
/// let row = Row::from([("customer".to_owned(), "Ada".into())]);
/// let text = cloud_sql::statements::insert(Engine::Postgres, "orders", &row).unwrap();
/// assert_eq!(text, r#"INSERT INTO "orders" ("customer") VALUES ($1) RETURNING "id""#);
/// # }
/// ```
pub fn insert(engine: Engine, table: &str, row: &Row) -> Result<String> {
    match engine {
        #[cfg(feature = "postgres")]
        Engine::Postgres => table::insert(table, row, sea_query::PostgresQueryBuilder),
        #[cfg(feature = "mysql")]
        Engine::Mysql => {
            let text = table::insert(table, row, sea_query::MysqlQueryBuilder)?;
            // Names were checked, so each question mark is a place.
            let mut parts = text.split('?');
            let first = parts.next().unwrap_or_default().to_owned();
            let rest = parts.enumerate().map(|(i, part)| format!("${}{part}", i + 1));
            Ok(rest.fold(first, |text, part| text + &part))
        }
        other => unsupported(other),
    }
}

/// A statement with `$1`, `$2`, … as `:p1`, `:p2`, …, for an interface whose parameters have names. Refuses what a pool refuses:
/// nothing at all, a NUL, too many parameters, and statements that bind what follows to their connection.
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput); also for a parameter without a value, a value without a parameter, and a named one.
///
/// ```
/// use cloud_core::Engine;
/// let text = "SELECT '$1', total::text FROM orders WHERE id = $1";
/// let named = cloud_sql::statements::with_names(Engine::Postgres, text, 1).unwrap();
/// assert_eq!(named, "SELECT '$1', total::text FROM orders WHERE id = :p1");
/// assert!(cloud_sql::statements::with_names(Engine::Postgres, "SELECT :a", 0).is_err());
/// ```
pub fn with_names(engine: Engine, text: &str, count: usize) -> Result<String> {
    let dialect = match engine {
        Engine::Postgres => Dialect::Postgres,
        Engine::Mysql => Dialect::Mysql,
        other => return unsupported(other),
    };
    statement::check(text, count, dialect == Dialect::Postgres)?;
    let named = |rest: &str| {
        rest.strip_prefix(':')
            .is_some_and(|name| name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
    };
    let (text, _) = parameters::rewrite(text, dialect, count, named, |number, text| {
        text.push_str(&format!(":p{number}"));
    })?;
    Ok(text)
}

/// What an SQLSTATE means.
///
/// ```
/// assert_eq!(cloud_sql::statements::kind_of("23505"), cloud_core::ErrorKind::AlreadyExists);
/// ```
pub fn kind_of(sqlstate: &str) -> ErrorKind {
    error::sqlstate(sqlstate).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "mysql")]
    #[test]
    fn the_values_of_a_row_are_numbered_on_mysql_too() {
        let row = Row::from([("b".to_owned(), 2.into()), ("a".to_owned(), 1.into())]);
        let text = insert(Engine::Mysql, "t", &row).unwrap();
        assert_eq!(text, "INSERT INTO `t` (`a`, `b`) VALUES ($1, $2)");
        let text = insert(Engine::Mysql, "t", &Row::new()).unwrap();
        assert_eq!(text, "INSERT INTO `t` VALUES ()");
    }
}
