//! AWS's errors as errors of a cloud: by the table `data/errors.csv`, which has every documented code of the calls made here.

use std::{collections::HashMap, error::Error as StdError, io, sync::LazyLock, time::Duration};

use aws_smithy_runtime_api::{
    client::{orchestrator::HttpResponse, result::SdkError},
    http::StatusCode,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId;
use cloud_core::{Effect, Error, ErrorKind, Retry, Scope};
use serde::Deserialize;

/// The table as it is in the repository: `service,code,kind,scope,effect,retry,source`.
const TABLE: &str = include_str!("../data/errors.csv");

/// What a code means. What is absent is as usual for the kind.
#[derive(Clone, Debug, Deserialize)]
struct Row {
    service: String,
    code: String,
    kind: ErrorKind,
    scope: Option<Scope>,
    effect: Option<Effect>,
    retry: Option<Retry>,
}

impl Row {
    fn apply(&self, error: Error) -> Error {
        let error = match self.scope {
            Some(scope) => error.with_scope(scope),
            None => error,
        };
        let error = match self.effect {
            Some(effect) => error.with_effect(effect),
            None => error,
        };
        match self.retry {
            Some(retry) => error.with_retry(retry),
            None => error,
        }
    }
}

fn rows() -> Result<Vec<Row>, csv::Error> {
    csv::Reader::from_reader(TABLE.as_bytes()).deserialize().collect()
}

/// A row that cannot be read is left out; that none is, is what the test of this file shows.
static ROWS: LazyLock<HashMap<(String, String), Row>> = LazyLock::new(|| {
    let rows = rows().unwrap_or_default();
    rows.into_iter().map(|row| ((row.service.clone(), row.code.clone()), row)).collect()
});

fn row(service: &str, code: &str) -> Option<&'static Row> {
    let find = |service: &str| ROWS.get(&(service.to_owned(), code.to_owned()));
    find(service).or_else(|| find("*"))
}

/// The error of a call that changes nothing, whatever happened to it.
pub(crate) fn reads<E>(service: &'static str) -> impl Fn(SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    move |error| of_sdk(service, error).with_effect(Effect::None)
}

/// The error of a call that may have changed something.
pub(crate) fn writes<E>(service: &'static str) -> impl Fn(SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    move |error| of_sdk(service, error)
}

/// The code of AWS that an error bears, if it is one of these.
pub(crate) fn has_code(error: &Error, codes: &[&str]) -> bool {
    error.code().is_some_and(|code| codes.contains(&code))
}

fn of_sdk<E>(service: &str, error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let mapped = match &error {
        SdkError::ConstructionFailure(_) => without_credentials(&error).unwrap_or_else(|| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("the request cannot be made: {}", chain(&error)),
            )
        }),
        SdkError::TimeoutError(_) => Error::new(ErrorKind::Timeout, "no answer in time"),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            not_sent(&error, ErrorKind::Timeout)
        }
        SdkError::DispatchFailure(_) => {
            without_credentials(&error).unwrap_or_else(|| not_sent(&error, ErrorKind::Unavailable))
        }
        // An answer that breaks off or is no answer of AWS: it was sent, so it may have been carried out.
        SdkError::ResponseError(_) => Error::new(
            ErrorKind::Unavailable,
            format!("the answer cannot be read: {}", chain(&error)),
        )
        .with_effect(Effect::Unknown),
        SdkError::ServiceError(answer) => {
            of_answer(service, error.code(), error.message(), answer.raw())
        }
        _ => Error::new(ErrorKind::Internal, chain(&error)),
    };
    match error.request_id() {
        Some(id) => mapped.with_request_id(id),
        None => mapped,
    }
}

/// The error that an answer says: by its code, and where the table does not know that, by its status.
fn of_answer(
    service: &str,
    code: Option<&str>,
    message: Option<&str>,
    answer: &HttpResponse,
) -> Error {
    let status = answer.status();
    // EC2 says in front of some codes whose fault it is.
    let code = code.map(|code| code.trim_start_matches("Client.").trim_start_matches("Server."));
    let message = message.unwrap_or("AWS gives no reason").to_owned();
    let mapped = match code.and_then(|code| row(service, code)) {
        Some(row) => row.apply(Error::new(row.kind, message)),
        None => of_status(status, message),
    };
    let mapped = match code {
        Some(code) => mapped.with_code(code),
        None => mapped.with_code(status.as_u16().to_string()),
    };
    let wait = answer.headers().get("retry-after").and_then(|text| text.parse().ok());
    match (wait, mapped.kind()) {
        (Some(seconds), ErrorKind::RateLimited | ErrorKind::Unavailable) => {
            mapped.with_retry(Retry::After(Duration::from_secs(seconds)))
        }
        _ => mapped,
    }
}

/// The error of one of the things that a call was about, told inside an answer that is itself a success.
pub(crate) fn of_part(service: &str, code: &str, message: &str) -> Error {
    let mapped = match row(service, code) {
        Some(row) => row.apply(Error::new(row.kind, message)),
        None => Error::new(ErrorKind::Internal, message),
    };
    mapped.with_code(code)
}

/// A code that no table knows stays [`ErrorKind::Internal`], but a server's fault, a refusal for lack of rights and a
/// throttle are told by the status alone, as an answer to `HEAD` has no code.
fn of_status(status: StatusCode, message: String) -> Error {
    match status.as_u16() {
        401 => Error::new(ErrorKind::Unauthenticated, message),
        403 => Error::new(ErrorKind::PermissionDenied, message),
        404 => Error::new(ErrorKind::NotFound, message),
        429 => Error::new(ErrorKind::RateLimited, message),
        500.. => Error::new(ErrorKind::Unavailable, message).with_effect(Effect::Unknown),
        _ => Error::new(ErrorKind::Internal, message).with_effect(Effect::None),
    }
}

/// A request of which no answer came. Where not even a connection was made, nothing can have happened.
fn not_sent<E>(error: &SdkError<E, HttpResponse>, kind: ErrorKind) -> Error
where
    E: StdError + 'static,
{
    let text = chain(error);
    let refused = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|io| {
        use io::ErrorKind as Io;
        matches!(io.kind(), Io::ConnectionRefused | Io::HostUnreachable | Io::NetworkUnreachable)
    });
    let unsent = refused || text.contains("dns error") || text.contains("connect timeout");
    let effect = if unsent { Effect::None } else { Effect::Unknown };
    Error::new(kind, format!("no answer: {text}")).with_effect(effect)
}

/// The chain of credentials failed before anything was sent.
fn without_credentials<E>(error: &SdkError<E, HttpResponse>) -> Option<Error>
where
    E: StdError + 'static,
{
    use aws_credential_types::provider::error::CredentialsError;
    let cause = causes(error).find_map(|cause| cause.downcast_ref::<CredentialsError>())?;
    Some(
        Error::new(ErrorKind::Unauthenticated, format!("no credentials: {}", chain(cause)))
            .with_effect(Effect::None)
            .with_hint(
                "set AWS_PROFILE or AWS_ACCESS_KEY_ID, or keys under 'credentials' of the cloud",
            ),
    )
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// An error and its causes in words.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    for cause in causes(error).map(ToString::to_string) {
        if words.last().is_none_or(|last| !last.contains(&cause)) {
            words.push(cause);
        }
    }
    words.join(": ")
}

/// What an answer should have and has not.
pub(crate) fn absent(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("AWS's answer has no {what}"))
        .with_effect(Effect::Unknown)
}

/// The SDK refuses to build a request that lacks a required member.
pub(crate) fn unbuilt(error: aws_smithy_types::error::operation::BuildError) -> Error {
    Error::new(ErrorKind::InvalidInput, error.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_row_of_the_table_is_read_and_comes_once() {
        let rows = rows().unwrap();
        assert!(rows.len() > 300, "{} rows", rows.len());
        let mut seen = HashSet::new();
        for row in &rows {
            assert!(seen.insert((row.service.clone(), row.code.clone())), "{row:?} comes twice");
            let error = row.apply(Error::new(row.kind, "x"));
            assert_eq!(error.kind(), row.kind);
            let common = rows.iter().find(|r| r.service == "*" && r.code == row.code);
            assert!(
                row.service == "*"
                    || common.is_none_or(|c| c.kind != row.kind
                        || c.scope != row.scope
                        || c.effect != row.effect
                        || c.retry != row.retry),
                "{row:?} says what '*' says"
            );
        }
        let sources = csv::Reader::from_reader(TABLE.as_bytes())
            .into_records()
            .map(|record| record.unwrap().get(6).unwrap().to_owned())
            .collect::<Vec<_>>();
        assert!(sources.iter().all(|source| source.starts_with("https://")));
    }

    #[test]
    fn a_code_means_what_its_service_says() {
        let kind = |service: &str, code: &str| row(service, code).map(|row| row.kind);
        assert_eq!(kind("ec2", "InvalidInstanceID.NotFound"), Some(ErrorKind::NotFound));
        assert_eq!(
            kind("ec2", "InsufficientInstanceCapacity"),
            Some(ErrorKind::CapacityUnavailable)
        );
        assert_eq!(kind("ec2", "RequestLimitExceeded"), Some(ErrorKind::RateLimited));
        assert_eq!(kind("s3", "BucketNotEmpty"), Some(ErrorKind::Conflict));
        assert_eq!(kind("rds", "DBInstanceAlreadyExists"), Some(ErrorKind::AlreadyExists));
        assert_eq!(kind("eks", "ExpiredTokenException"), Some(ErrorKind::Unauthenticated));
        assert_eq!(kind("ec2", "NobodyKnowsThis"), None);
    }

    #[test]
    fn an_unknown_code_stays_internal_and_keeps_its_code() {
        let answer = |status: u16| {
            let status = StatusCode::try_from(status).unwrap();
            HttpResponse::new(status, aws_smithy_types::body::SdkBody::empty())
        };
        let error = of_answer("ec2", Some("NobodyKnowsThis"), Some("why"), &answer(400));
        assert_eq!((error.kind(), error.code()), (ErrorKind::Internal, Some("NobodyKnowsThis")));
        assert_eq!(error.effect(), Effect::None);
        let error = of_answer("s3", None, None, &answer(503));
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown));
        let mut slow = answer(503);
        slow.headers_mut().insert("retry-after", "7");
        let error = of_answer("s3", Some("SlowDown"), None, &slow);
        assert_eq!(error.retry(), Retry::After(Duration::from_secs(7)));
    }
}
