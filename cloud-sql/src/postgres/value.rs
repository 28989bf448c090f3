//! Values on PostgreSQL's wire, in its binary form.

use cloud_core::{Error, Result, Row, SqlValue};
use jiff::{Timestamp, civil, tz::Offset};
use sqlx::{
    Arguments, Column, Encode, Postgres, Row as _, Type, TypeInfo, ValueRef,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgArguments, PgRow, PgTypeInfo, PgTypeKind, types::Oid},
};

use super::numeric;
use crate::error;

/// 2000-01-01T00:00:00Z, where PostgreSQL's times begin, in seconds of Unix time.
const EPOCH: i64 = 946_684_800;
const DAY: i64 = 86_400;
const MICROS: i64 = 1_000_000;

/// The type that a value alone tells; 0 leaves it to the statement.
pub(crate) fn declared(value: &SqlValue) -> PgTypeInfo {
    match value {
        SqlValue::Bool(_) => <bool as Type<Postgres>>::type_info(),
        SqlValue::Int(_) => <i64 as Type<Postgres>>::type_info(),
        SqlValue::Float(_) => <f64 as Type<Postgres>>::type_info(),
        SqlValue::Bytes(_) => <[u8] as Type<Postgres>>::type_info(),
        SqlValue::Null | SqlValue::Text(_) => PgTypeInfo::with_oid(Oid(0)),
    }
}

/// A letter for what [`declared`] tells.
pub(crate) fn kind(value: &SqlValue) -> char {
    match value {
        SqlValue::Bool(_) => 'b',
        SqlValue::Int(_) => 'i',
        SqlValue::Float(_) => 'f',
        SqlValue::Bytes(_) => 'y',
        SqlValue::Null | SqlValue::Text(_) => 't',
    }
}

/// Bytes that are in the form of their type already; `None` is NULL.
struct Wire(PgTypeInfo, Option<Vec<u8>>);

impl Type<Postgres> for Wire {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl Encode<'_, Postgres> for Wire {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        match &self.1 {
            None => Ok(IsNull::Yes),
            Some(bytes) => {
                buffer.extend_from_slice(bytes);
                Ok(IsNull::No)
            }
        }
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.0.clone())
    }
}

/// The values in the types that the statement needs.
pub(crate) fn arguments(values: &[SqlValue], needed: &[PgTypeInfo]) -> Result<PgArguments> {
    let mut arguments = PgArguments::default();
    for (i, (value, needed)) in values.iter().zip(needed).enumerate() {
        let bytes = match value {
            SqlValue::Null => None,
            SqlValue::Bool(b) => Some(vec![u8::from(*b)]),
            SqlValue::Int(n) => Some(n.to_be_bytes().to_vec()),
            SqlValue::Float(x) => Some(x.to_be_bytes().to_vec()),
            SqlValue::Bytes(bytes) => Some(bytes.clone()),
            SqlValue::Text(text) => Some(write_text(text, needed, i + 1)?),
        };
        let added = arguments.add(Wire(needed.clone(), bytes));
        added.map_err(|e| error::map(sqlx::Error::Encode(e), error::Phase::Connecting))?;
    }
    Ok(arguments)
}

/// The type behind a domain.
fn base(info: &PgTypeInfo) -> &PgTypeInfo {
    match info.name() {
        // Not resolved: it has no kind to ask for.
        "?" => info,
        _ => match info.kind() {
            PgTypeKind::Domain(inner) => base(inner),
            _ => info,
        },
    }
}

fn is_textual(info: &PgTypeInfo) -> bool {
    match info.name() {
        "TEXT" | "VARCHAR" | "CHAR" | "\"CHAR\"" | "NAME" | "UNKNOWN" | "JSON" | "citext" => true,
        "?" => false,
        _ => matches!(info.kind(), PgTypeKind::Enum(_)),
    }
}

fn write_text(text: &str, needed: &PgTypeInfo, number: usize) -> Result<Vec<u8>> {
    let needed = base(needed);
    let micros = |at: Option<i64>| Some(at?.checked_sub(EPOCH * MICROS)?.to_be_bytes().to_vec());
    let (bytes, accepted) = match needed.name() {
        _ if is_textual(needed) => return Ok(text.as_bytes().to_vec()),
        "JSONB" => return Ok([&[1], text.as_bytes()].concat()),
        "UUID" => {
            let uuid = uuid::Uuid::try_parse(text).ok();
            (uuid.map(|u| u.as_bytes().to_vec()), "a UUID")
        }
        "NUMERIC" => (numeric::from_text(text), "a decimal number such as -12.50"),
        "TIMESTAMPTZ" => {
            let at = text.parse::<Timestamp>().ok();
            (
                micros(at.map(Timestamp::as_microsecond)),
                "a time with its zone such as 2026-01-31T12:00:00Z",
            )
        }
        "TIMESTAMP" => {
            let at = text.parse::<civil::DateTime>().ok();
            (micros(at.and_then(micros_of)), "a time such as 2026-01-31T12:00:00")
        }
        "DATE" => {
            let date = text.parse::<civil::Date>().ok();
            let days = date.and_then(|d| micros_of(d.to_datetime(civil::Time::midnight())));
            let days = days.and_then(|m| i32::try_from((m / MICROS - EPOCH) / DAY).ok());
            (days.map(|d| d.to_be_bytes().to_vec()), "a date such as 2026-01-31")
        }
        "TIME" => {
            let time = text.parse::<civil::Time>().ok();
            let at = time.and_then(|t| micros_of(civil::Date::constant(1970, 1, 1).to_datetime(t)));
            (at.map(|m| m.to_be_bytes().to_vec()), "a time of day such as 12:00:00")
        }
        other => {
            let field = format!("parameter ${number}");
            let problem = format!("is a text where the statement needs the type {other}");
            return Err(Error::invalid(
                &field,
                problem,
                format_args!("text; write ${number}::text::{other}"),
            ));
        }
    };
    let field = format!("parameter ${number}");
    bytes.ok_or_else(|| Error::invalid(&field, format_args!("is no {}", needed.name()), accepted))
}

/// Microseconds of Unix time, were the zone UTC.
fn micros_of(at: civil::DateTime) -> Option<i64> {
    Offset::UTC.to_timestamp(at).ok().map(Timestamp::as_microsecond)
}

/// A row. The error names the column.
pub(crate) fn read(row: &PgRow) -> Result<Row> {
    let mut values = Row::new();
    for column in row.columns() {
        let raw =
            row.try_get_raw(column.ordinal()).map_err(|e| error::map(e, error::Phase::Running))?;
        let info = base(column.type_info());
        let value = if raw.is_null() {
            Some(SqlValue::Null)
        } else {
            raw.as_bytes().ok().and_then(|bytes| read_value(bytes, info))
        };
        let Some(value) = value else {
            let problem = "holds what cannot be read here";
            return Err(error::column(column.name(), info.name(), problem));
        };
        if values.insert(column.name().to_owned(), value).is_some() {
            return Err(error::duplicate(column.name()));
        }
    }
    Ok(values)
}

/// `None` for a type that is not known, and for a value that [`SqlValue`] has no form for (a year beyond 9999).
fn read_value(bytes: &[u8], info: &PgTypeInfo) -> Option<SqlValue> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok().map(SqlValue::Text);
    Some(match info.name() {
        _ if is_textual(info) => text(bytes)?,
        "BOOL" => SqlValue::Bool(*bytes.first()? != 0),
        "INT2" => SqlValue::Int(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        "INT4" => SqlValue::Int(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        "INT8" => SqlValue::Int(i64::from_be_bytes(bytes.try_into().ok()?)),
        "OID" => SqlValue::Int(u32::from_be_bytes(bytes.try_into().ok()?).into()),
        "FLOAT4" => SqlValue::Float(f32::from_be_bytes(bytes.try_into().ok()?).into()),
        "FLOAT8" => SqlValue::Float(f64::from_be_bytes(bytes.try_into().ok()?)),
        "BYTEA" => SqlValue::Bytes(bytes.to_vec()),
        "VOID" => SqlValue::Null,
        "JSONB" => text(bytes.strip_prefix(&[1])?)?,
        "UUID" => SqlValue::Text(uuid::Uuid::from_slice(bytes).ok()?.to_string()),
        "NUMERIC" => SqlValue::Text(numeric::to_text(bytes)?),
        "TIMESTAMPTZ" => SqlValue::Text(timestamp(bytes)?.to_string()),
        "TIMESTAMP" => SqlValue::Text(Offset::UTC.to_datetime(timestamp(bytes)?).to_string()),
        "DATE" => {
            let days = i32::from_be_bytes(bytes.try_into().ok()?);
            let at = Timestamp::from_second(i64::from(days) * DAY + EPOCH).ok()?;
            SqlValue::Text(Offset::UTC.to_datetime(at).date().to_string())
        }
        "TIME" => {
            let micros = i64::from_be_bytes(bytes.try_into().ok()?);
            let at = Timestamp::from_microsecond(micros).ok().filter(|_| micros < DAY * MICROS)?;
            SqlValue::Text(Offset::UTC.to_datetime(at).time().to_string())
        }
        _ => return None,
    })
}

fn timestamp(bytes: &[u8]) -> Option<Timestamp> {
    let micros = i64::from_be_bytes(bytes.try_into().ok()?).checked_add(EPOCH * MICROS)?;
    Timestamp::from_microsecond(micros).ok()
}
