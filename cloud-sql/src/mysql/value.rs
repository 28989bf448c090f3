//! Values on MySQL's wire: bound as parameters, and read from the binary form in which prepared statements answer.

use cloud_core::{Error, Result, Row, SqlValue};
use sqlx::{
    Column, MySql, Row as _, Type, TypeInfo, ValueRef,
    mysql::{MySqlArguments, MySqlRow},
    query::Query,
};

use crate::error::{self, Phase, map};

pub(crate) fn bind(
    statement: impl sqlx::SqlSafeStr,
    values: &[SqlValue],
) -> Result<Query<'static, MySql, MySqlArguments>> {
    let mut query = sqlx::query(statement);
    for (i, value) in values.iter().enumerate() {
        query = match value {
            SqlValue::Null => query.bind(None::<String>),
            SqlValue::Bool(b) => query.bind(*b),
            SqlValue::Int(n) => query.bind(*n),
            SqlValue::Float(x) if !x.is_finite() => {
                let field = format!("parameter ${}", i + 1);
                let problem = format!("is {x}");
                return Err(Error::invalid(&field, problem, "a number: MySQL has no other"));
            }
            SqlValue::Float(x) => query.bind(*x),
            SqlValue::Text(text) => query.bind(text.clone()),
            SqlValue::Bytes(bytes) => query.bind(bytes.clone()),
        };
    }
    Ok(query)
}

/// A row. The error names the column.
pub(crate) fn read(row: &MySqlRow) -> Result<Row> {
    let mut values = Row::new();
    for column in row.columns() {
        let at = column.ordinal();
        let raw = row.try_get_raw(at).map_err(|e| map(e, Phase::Running))?;
        let info = raw.type_info().into_owned();
        let value = if raw.is_null() { Some(SqlValue::Null) } else { read_value(row, at, &info) };
        let Some(value) = value else {
            let name = column.name();
            let problem = "holds what cannot be read here";
            return Err(error::column(name, info.name(), problem)
                .with_hint(format!("cast it to text in the statement: CAST({name} AS char)")));
        };
        if values.insert(column.name().to_owned(), value).is_some() {
            return Err(error::duplicate(column.name()));
        }
    }
    Ok(values)
}

/// `None` for a type that is not known, and for a whole number beyond 64 bits with sign.
fn read_value(row: &MySqlRow, at: usize, info: &sqlx::mysql::MySqlTypeInfo) -> Option<SqlValue> {
    let bytes = || row.try_get_unchecked::<Vec<u8>, _>(at).ok();
    let text = || Some(SqlValue::Text(String::from_utf8(bytes()?).ok()?));
    let name = info.name();
    match name {
        "BOOLEAN" => row.try_get_unchecked(at).ok().map(SqlValue::Bool),
        _ if name.ends_with("UNSIGNED") || name == "YEAR" => {
            let number: u64 = row.try_get_unchecked(at).ok()?;
            i64::try_from(number).ok().map(SqlValue::Int)
        }
        "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => {
            row.try_get_unchecked(at).ok().map(SqlValue::Int)
        }
        "FLOAT" => row.try_get_unchecked::<f32, _>(at).ok().map(|x| SqlValue::Float(x.into())),
        "DOUBLE" => row.try_get_unchecked(at).ok().map(SqlValue::Float),
        "DECIMAL" | "JSON" | "ENUM" | "SET" => text(),
        "TIMESTAMP" => date_time(&bytes()?).map(|text| SqlValue::Text(text + "Z")),
        "DATETIME" => date_time(&bytes()?).map(SqlValue::Text),
        "DATE" => date(&bytes()?).map(SqlValue::Text),
        "TIME" => time(&bytes()?).map(SqlValue::Text),
        // A binary collation has the flag of bytes too; only the character set tells them apart.
        _ if <str as Type<MySql>>::compatible(info) => text(),
        _ if <[u8] as Type<MySql>>::compatible(info) || name == "BIT" => {
            bytes().map(SqlValue::Bytes)
        }
        _ => None,
    }
}

/// The parts of a date, behind its length: year, month, day.
fn date(bytes: &[u8]) -> Option<String> {
    let (year, month, day) = match bytes {
        [0] => (0, 0, 0),
        [length, low, high, month, day, ..] if *length >= 4 => {
            (u16::from_le_bytes([*low, *high]), *month, *day)
        }
        _ => return None,
    };
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

/// What is not sent is zero.
fn date_time(bytes: &[u8]) -> Option<String> {
    let date = date(bytes)?;
    let clock = match bytes.get(5..) {
        None | Some([]) => clock(0, 0, 0, 0),
        Some([hour, minute, second]) => clock(u32::from(*hour), *minute, *second, 0),
        Some([hour, minute, second, micros @ ..]) => {
            let micros = u32::from_le_bytes(micros.try_into().ok()?);
            clock(u32::from(*hour), *minute, *second, micros)
        }
        _ => return None,
    };
    Some(format!("{date}T{clock}"))
}

/// A span of time with its sign, which may be longer than a day.
fn time(bytes: &[u8]) -> Option<String> {
    let (sign, text) = match bytes {
        [0] => (0, clock(0, 0, 0, 0)),
        [8 | 12, sign, d0, d1, d2, d3, hour, minute, second, micros @ ..] => {
            let days = u32::from_le_bytes([*d0, *d1, *d2, *d3]);
            let hours = days.checked_mul(24)?.checked_add(u32::from(*hour))?;
            let micros = match micros {
                [] => 0,
                micros => u32::from_le_bytes(micros.try_into().ok()?),
            };
            (*sign, clock(hours, *minute, *second, micros))
        }
        _ => return None,
    };
    Some(if sign == 0 { text } else { format!("-{text}") })
}

fn clock(hours: u32, minutes: u8, seconds: u8, micros: u32) -> String {
    let text = format!("{hours:02}:{minutes:02}:{seconds:02}");
    match micros {
        0 => text,
        micros => format!("{text}.{micros:06}").trim_end_matches('0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_in_their_iso_form() {
        assert_eq!(date(&[4, 0xea, 7, 1, 31]).unwrap(), "2026-01-31");
        assert_eq!(date_time(&[0]).unwrap(), "0000-00-00T00:00:00");
        assert_eq!(date_time(&[4, 0xea, 7, 1, 31]).unwrap(), "2026-01-31T00:00:00");
        assert_eq!(
            date_time(&[11, 0xea, 7, 1, 31, 12, 0, 1, 0x20, 0xa1, 7, 0]).unwrap(),
            "2026-01-31T12:00:01.5"
        );
        assert_eq!(time(&[8, 1, 1, 0, 0, 0, 2, 3, 4]).unwrap(), "-26:03:04");
        assert_eq!(time(&[0]).unwrap(), "00:00:00");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..16)) {
            let _ = (date(&bytes), date_time(&bytes), time(&bytes));
        }
    }
}
