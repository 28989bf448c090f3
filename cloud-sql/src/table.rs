//! The statements of `create_table` and `insert`, built by sea-query in the dialect of the engine.

use cloud_core::{
    Column, ColumnType, Effect, Error, ErrorKind, Result, Row, SqlValue, TableSpec, check_sql_name,
};
use sea_query::{Alias, ColumnDef, Expr, Query, QueryBuilder, SchemaBuilder, Table};

/// The statement that makes a table with its key column; it fails if the table is there.
pub(crate) fn create(spec: &TableSpec, dialect: impl SchemaBuilder) -> Result<String> {
    build(spec, define, dialect)
}

/// [`create`] for MySQL, whose plain `text`, `blob` and `timestamp` end at 64 KiB and in 2038.
#[cfg(feature = "mysql")]
pub(crate) fn create_mysql(spec: &TableSpec) -> Result<String> {
    let define = |column: &Column| {
        let mut def = define(column)?;
        match column.column_type {
            ColumnType::Text => def.custom(Alias::new("longtext")),
            ColumnType::Bytes => def.custom(Alias::new("longblob")),
            ColumnType::Timestamp => def.custom(Alias::new("datetime(6)")),
            _ => &mut def,
        };
        Ok(def)
    };
    build(spec, define, sea_query::MysqlQueryBuilder)
}

fn build(
    spec: &TableSpec,
    define: impl Fn(&Column) -> Result<ColumnDef>,
    dialect: impl SchemaBuilder,
) -> Result<String> {
    spec.validate()?;
    let mut table = Table::create();
    table.table(Alias::new(&spec.name)).col(
        ColumnDef::new(Alias::new("id")).big_integer().not_null().auto_increment().primary_key(),
    );
    for column in &spec.columns {
        table.col(&mut define(column)?);
    }
    Ok(table.build(dialect))
}

fn define(column: &Column) -> Result<ColumnDef> {
    let mut def = ColumnDef::new(Alias::new(&column.name));
    match column.column_type {
        ColumnType::Bool => def.boolean(),
        ColumnType::Int => def.big_integer(),
        ColumnType::Float => def.double(),
        ColumnType::Text => def.text(),
        ColumnType::Bytes => def.blob(),
        ColumnType::Timestamp => def.timestamp_with_time_zone(),
        other => {
            return Err(Error::unsupported(format_args!("columns of type {other:?}")));
        }
    };
    if !column.nullable {
        def.not_null();
    }
    Ok(def)
}

/// The statement that inserts a row and returns its `id`. Its parameters are the values of the row, in its order.
pub(crate) fn insert(table: &str, row: &Row, dialect: impl QueryBuilder) -> Result<String> {
    check_sql_name("table", table)?;
    row.keys().try_for_each(|name| check_sql_name("column", name))?;
    let mut insert = Query::insert();
    insert.into_table(Alias::new(table)).returning_col(Alias::new("id"));
    if row.is_empty() {
        insert.or_default_values();
    } else {
        // Only their places are used: the row's own values are bound there.
        let places = row.keys().map(|_| Expr::val(0_i64));
        insert.columns(row.keys().map(Alias::new)).values(places).map_err(|e| {
            Error::invalid("row", format_args!("cannot be inserted: {e}"), "one value a column")
        })?;
    }
    Ok(insert.build_any(&dialect).0)
}

/// The `id` that the statement of [`insert`] returned.
pub(crate) fn inserted(mut rows: Vec<Row>) -> Result<i64> {
    match rows.pop().and_then(|mut row| row.remove("id")) {
        Some(SqlValue::Int(id)) => Ok(id),
        _ => {
            let message = "the row was inserted, but its id is no whole number";
            Err(Error::new(ErrorKind::Internal, message)
                .with_effect(Effect::Done)
                .with_hint("insert only into tables that create_table made"))
        }
    }
}

#[cfg(test)]
mod tests {
    use sea_query::{PostgresQueryBuilder, SqliteQueryBuilder};

    use super::*;

    #[test]
    fn hostile_names_never_reach_a_statement() {
        let long = "n".repeat(64);
        for name in ["", "a b", "a\"; DROP TABLE b --", "1a", "größe", &long] {
            let spec = TableSpec::new(name, []);
            assert!(create(&spec, SqliteQueryBuilder).is_err(), "{name}");
            let spec = TableSpec::new("t", [Column::new(name, ColumnType::Int)]);
            assert!(create(&spec, PostgresQueryBuilder).is_err(), "{name}");
            let row = Row::from([(name.to_owned(), 1.into())]);
            assert!(insert("t", &row, PostgresQueryBuilder).is_err(), "{name}");
            assert!(insert(name, &Row::new(), SqliteQueryBuilder).is_err(), "{name}");
        }
    }

    #[test]
    fn parameters_stand_in_the_order_of_the_row() {
        let row = Row::from([("b".to_owned(), 2.into()), ("a".to_owned(), 1.into())]);
        assert_eq!(
            insert("t", &row, PostgresQueryBuilder).unwrap(),
            r#"INSERT INTO "t" ("a", "b") VALUES ($1, $2) RETURNING "id""#
        );
    }
}
