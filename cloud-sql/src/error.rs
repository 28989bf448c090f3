//! sqlx errors as errors of a cloud. The texts are the server's; the URL, which holds the password, is in none of them.

use std::time::Duration;

use cloud_core::{Effect, Error, ErrorKind, Retry, Scope};
use sqlx::error::DatabaseError;

/// When the error came: it decides what is known of the statement's effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No statement was sent.
    Connecting,
    /// The statement was sent.
    Running,
}

/// Any error of sqlx.
pub(crate) fn map(error: sqlx::Error, phase: Phase) -> Error {
    use sqlx::Error as Sqlx;
    let lost = match phase {
        Phase::Connecting => Effect::None,
        Phase::Running => Effect::Unknown,
    };
    let (kind, message) = match &error {
        Sqlx::Database(problem) => {
            let mapped = database(&**problem, lost);
            return mapped.with_source(error);
        }
        // Its text may quote the URL.
        Sqlx::Configuration(_) | Sqlx::InvalidArgument(_) => {
            return Error::invalid("url", "cannot be understood", "a URL of this engine");
        }
        Sqlx::Io(io) if io.kind() == std::io::ErrorKind::StorageFull => {
            (ErrorKind::StorageFull, format!("the disk is full: {io}"))
        }
        Sqlx::Io(io) => (ErrorKind::Unavailable, format!("the connection failed: {io}")),
        Sqlx::Tls(tls) => (ErrorKind::Unavailable, format!("the TLS connection failed: {tls}")),
        Sqlx::PoolTimedOut => {
            let message = "no connection became free in time".to_owned();
            return Error::new(ErrorKind::Timeout, message)
                .with_effect(Effect::None)
                .with_hint("fewer statements at once, or more connections (max_connections)");
        }
        Sqlx::PoolClosed => (ErrorKind::Unavailable, "the pool is closed".to_owned()),
        Sqlx::WorkerCrashed => (ErrorKind::Internal, "the database's thread ended".to_owned()),
        Sqlx::Encode(e) => {
            return Error::invalid(
                "parameters",
                format_args!("cannot be sent: {e}"),
                "see SqlValue",
            );
        }
        other => (ErrorKind::Internal, other.to_string()),
    };
    Error::new(kind, message).with_effect(lost).with_source(error)
}

/// What the database itself answered.
fn database(problem: &dyn DatabaseError, lost: Effect) -> Error {
    let code = problem.code().unwrap_or_default().into_owned();
    let message = problem.message().to_owned();
    #[cfg(feature = "sqlite")]
    if problem.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        return sqlite(&code, message).with_code(code);
    }
    #[cfg(feature = "mysql")]
    if let Some(mysql) = problem.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        return mysql_error(mysql.number(), &code, message, lost);
    }
    // What kills the session may come after the statement was committed.
    #[cfg(feature = "postgres")]
    let fatal = problem
        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
        .is_some_and(|e| !matches!(e.severity(), sqlx::postgres::PgSeverity::Error));
    #[cfg(not(feature = "postgres"))]
    let fatal = true;
    let (kind, backoff) = sqlstate(&code);
    let error = Error::new(kind, message)
        .with_code(&*code)
        .with_effect(if fatal || code == "40003" { lost } else { Effect::None });
    match kind {
        ErrorKind::StorageFull => error.with_hint("free some space and repeat"),
        ErrorKind::RateLimited => {
            error.with_scope(Scope::Resource).with_retry(Retry::After(Duration::from_millis(200)))
        }
        ErrorKind::Conflict if backoff => error.with_retry(Retry::Backoff),
        _ => error,
    }
}

/// PostgreSQL's SQLSTATE, the standard's classes with its own codes; and whether a [`ErrorKind::Conflict`] passes by itself.
pub(crate) fn sqlstate(code: &str) -> (ErrorKind, bool) {
    use ErrorKind::*;
    let kind = match code {
        "23505" | "23P01" | "42P04" | "42P06" | "42P07" | "42710" => AlreadyExists,
        "40001" | "40P01" | "55P03" | "55006" => return (Conflict, true),
        "42501" | "25006" => PermissionDenied,
        "53100" => StorageFull,
        "53300" => RateLimited,
        "57014" => Timeout,
        "40003" => Unavailable,
        _ => match code.get(..2).unwrap_or_default() {
            "08" | "57" => Unavailable,
            "28" => Unauthenticated,
            "3D" => NotFound,
            "0A" | "22" | "23" | "2B" | "3F" | "42" | "54" => InvalidInput,
            "25" | "40" | "55" => Conflict,
            "XX" if code != "XX000" => Corrupt,
            _ => Internal,
        },
    };
    (kind, false)
}

/// MySQL's and MariaDB's error numbers, which say more than their SQLSTATE; that is the code of the error.
#[cfg(feature = "mysql")]
fn mysql_error(number: u16, state: &str, message: String, lost: Effect) -> Error {
    use ErrorKind::*;
    let message = format!("{message} (error {number})");
    let (kind, passes) = match number {
        // A key that is there, a table, a database, an index name.
        1062 | 1022 | 1586 | 1050 | 1007 | 1061 => (AlreadyExists, false),
        // A deadlock, a lock that was waited for in vain.
        1213 | 1205 | 3572 => (Conflict, true),
        1044 | 1142 | 1143 | 1227 | 1290 | 1792 | 1836 => (PermissionDenied, false),
        1049 => (NotFound, false),
        1040 | 1203 | 1226 => (RateLimited, false),
        1021 | 1114 => (StorageFull, false),
        1317 | 1969 | 3024 => (Timeout, false),
        // No default, a wrong value, a violated check.
        1364 | 1366 | 1265 | 3819 | 4025 | 1295 => (InvalidInput, false),
        1034 | 1194 | 1712 => (Corrupt, false),
        _ => sqlstate(state),
    };
    // What the server refuses it has not done; what ends the session may come after the statement.
    let effect = match kind {
        Unavailable | Internal => lost,
        _ => Effect::None,
    };
    let error = Error::new(kind, message).with_code(state).with_effect(effect);
    match kind {
        StorageFull => error.with_hint("free some space and repeat"),
        RateLimited => {
            error.with_scope(Scope::Resource).with_retry(Retry::After(Duration::from_millis(200)))
        }
        Conflict if passes => error.with_retry(Retry::Backoff),
        _ => error,
    }
}

/// SQLite's result codes: the low byte is the kind of error, the rest its variety.
#[cfg(feature = "sqlite")]
fn sqlite(code: &str, message: String) -> Error {
    use ErrorKind::*;
    let code: u32 = code.parse().unwrap_or_default();
    let kind = match (code, code & 0xff) {
        // Unique index, primary key, row id.
        (2067 | 1555 | 2579, _) => AlreadyExists,
        (_, 5 | 6) => {
            return Error::new(Conflict, message)
                .with_retry(Retry::Backoff)
                .with_hint("another connection is writing");
        }
        (_, 13) => {
            return Error::new(StorageFull, message).with_hint("free some space and repeat");
        }
        (_, 3 | 8 | 23) => PermissionDenied,
        (_, 11 | 26) => Corrupt,
        (_, 14) => {
            return Error::new(NotFound, message).with_hint(
                "see that the file is there and that its folder may be read and written",
            );
        }
        (_, 9) => Cancelled,
        (_, 1 | 18 | 19 | 20 | 25) => InvalidInput,
        _ => Internal,
    };
    Error::new(kind, message).with_effect(if kind == Internal {
        Effect::Unknown
    } else {
        Effect::None
    })
}

/// A value that [`SqlValue`](cloud_core::SqlValue) cannot hold.
pub(crate) fn column(name: &str, type_name: &str, problem: impl std::fmt::Display) -> Error {
    Error::invalid(
        &format!("column '{name}' of type {type_name}"),
        problem,
        "bool, integer, float, text, bytes, decimal, time, uuid, JSON",
    )
    .with_hint(format!("cast it to text in the statement: CAST({name} AS text)"))
}

/// A row is a map: of two columns with one name, one would be lost in silence.
pub(crate) fn duplicate(name: &str) -> Error {
    Error::invalid("column", format_args!("'{name}' comes twice"), "each name once")
        .with_hint("give one of them another name with AS")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_kind() {
        use ErrorKind::*;
        for (code, kind) in [
            ("23505", AlreadyExists),
            ("23503", InvalidInput),
            ("42601", InvalidInput),
            ("42P01", InvalidInput),
            ("22001", InvalidInput),
            ("40P01", Conflict),
            ("40001", Conflict),
            ("42501", PermissionDenied),
            ("25006", PermissionDenied),
            ("28P01", Unauthenticated),
            ("3D000", NotFound),
            ("53100", StorageFull),
            ("53300", RateLimited),
            ("57P01", Unavailable),
            ("57P03", Unavailable),
            ("57014", Timeout),
            ("08006", Unavailable),
            ("XX001", Corrupt),
            ("XX000", Internal),
            ("", Internal),
            ("ü", Internal),
        ] {
            assert_eq!(sqlstate(code).0, kind, "{code}");
        }
    }

    #[test]
    fn a_broken_connection_leaves_the_effect_open_only_once_something_was_sent() {
        let broken = || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert_eq!(map(broken(), Phase::Running).effect(), Effect::Unknown);
        assert_eq!(map(broken(), Phase::Connecting).effect(), Effect::None);
        let error = map(sqlx::Error::PoolTimedOut, Phase::Connecting);
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::None));
    }

    #[cfg(feature = "mysql")]
    #[test]
    fn mysql_numbers_have_their_kinds() {
        use ErrorKind::*;
        for (number, state, kind, retry) in [
            (1062, "23000", AlreadyExists, Retry::Never),
            (1452, "23000", InvalidInput, Retry::Never),
            (1146, "42S02", InvalidInput, Retry::Never),
            (1064, "42000", InvalidInput, Retry::Never),
            (1213, "40001", Conflict, Retry::Backoff),
            (1205, "HY000", Conflict, Retry::Backoff),
            (1045, "28000", Unauthenticated, Retry::Never),
            (1049, "42000", NotFound, Retry::Never),
            (1792, "25006", PermissionDenied, Retry::Never),
            (1053, "08S01", Unavailable, Retry::Backoff),
            (1105, "HY000", Internal, Retry::Never),
        ] {
            let error = mysql_error(number, state, String::new(), Effect::Unknown);
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{number}");
            let open = matches!(kind, Unavailable | Internal);
            assert_eq!(error.effect() == Effect::Unknown, open, "{number}");
        }
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn sqlite_codes_have_their_kinds() {
        use ErrorKind::*;
        for (code, kind, retry) in [
            ("2067", AlreadyExists, Retry::Never),
            ("787", InvalidInput, Retry::Never),
            ("5", Conflict, Retry::Backoff),
            ("517", Conflict, Retry::Backoff),
            ("13", StorageFull, Retry::Never),
            ("1032", PermissionDenied, Retry::Never),
            ("26", Corrupt, Retry::Never),
            ("267", Corrupt, Retry::Never),
            ("14", NotFound, Retry::Never),
            ("778", Internal, Retry::Never),
        ] {
            let error = sqlite(code, String::new());
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{code}");
        }
    }
}
