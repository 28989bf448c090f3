//! Calling functions: what goes in, what comes out, and what of that is an error of the call.

use std::time::Duration;

use aws_sdk_lambda::{
    operation::invoke::InvokeOutput,
    primitives::Blob,
    types::{InvocationType, LogType},
};
use aws_types::request_id::RequestId;
use base64::{Engine, prelude::BASE64_STANDARD};
use cloud_core::{Effect, Error, ErrorKind, Invocation, InvokeMode, Result};
use serde_json::Value;

use crate::error::writes;

/// The most bytes into or out of a call that is waited for
/// ([Lambda quotas](https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)).
pub(super) const PAYLOAD_BYTES: usize = 6 << 20;

/// The most bytes into a call that is queued: it was 256 KiB until October 2025
/// ([Lambda quotas](https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)).
const QUEUED_BYTES: usize = 1 << 20;

/// Calls a function, or one version of it.
pub(super) async fn call(
    lambda: &aws_sdk_lambda::Client,
    name: &str,
    qualifier: Option<&str>,
    input: &Value,
    mode: InvokeMode,
) -> Result<Invocation> {
    let (most, kind, log) = match mode {
        InvokeMode::Wait => (PAYLOAD_BYTES, InvocationType::RequestResponse, Some(LogType::Tail)),
        InvokeMode::Queue => (QUEUED_BYTES, InvocationType::Event, None),
    };
    let payload = serde_json::to_vec(input).map_err(|e| {
        Error::new(ErrorKind::InvalidInput, format!("input cannot be written as JSON: {e}"))
    })?;
    if payload.len() > most {
        let problem = format!("has {} bytes", payload.len());
        return Err(Error::invalid("input", problem, format_args!("at most {most} bytes of JSON")));
    }
    let call = lambda.invoke().function_name(name).set_qualifier(qualifier.map(str::to_owned));
    // Of the end of the log that is asked for, only the line about the time is read.
    let call = call.invocation_type(kind).set_log_type(log).payload(Blob::new(payload));
    read(call.send().await.map_err(writes("lambda"))?, mode)
}

fn read(answer: InvokeOutput, mode: InvokeMode) -> Result<Invocation> {
    let mut invocation = Invocation {
        request_id: answer.request_id().unwrap_or_default().to_owned(),
        output: None,
        error: None,
        duration: answer.log_result().and_then(duration),
    };
    let payload = answer.payload().map(Blob::as_ref).unwrap_or_default();
    match answer.function_error() {
        Some(_) => {
            let failure = Failure::read(payload);
            if failure.is_timeout() {
                let error = Error::new(ErrorKind::Timeout, failure.text());
                return Err(error.with_effect(Effect::Unknown));
            }
            invocation.error = Some(failure.text());
        }
        None if mode == InvokeMode::Wait => {
            let output = serde_json::from_slice(payload).map_err(|e| {
                let message = format!("the function ran, but its output is no JSON: {e}");
                Error::new(ErrorKind::Internal, message).with_effect(Effect::Done)
            })?;
            invocation.output = Some(output);
        }
        None => {}
    }
    Ok(invocation)
}

/// What a function says that failed: an object of these fields, or what else it wrote.
struct Failure {
    kind: Option<String>,
    message: String,
}

impl Failure {
    fn read(payload: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(payload).unwrap_or_default();
        let field = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let whole = || String::from_utf8_lossy(payload).into_owned();
        Self { kind: field("errorType"), message: field("errorMessage").unwrap_or_else(whole) }
    }

    /// Whether Lambda ended it for taking too long. It says so by the kind, or where it gives none, by the message
    /// ([timeouts](https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html)).
    fn is_timeout(&self) -> bool {
        match &self.kind {
            Some(kind) => kind == "Sandbox.Timedout",
            None => self.message.contains("Task timed out after "),
        }
    }

    fn text(&self) -> String {
        match &self.kind {
            Some(kind) => format!("{kind}: {}", self.message),
            None => self.message.clone(),
        }
    }
}

/// How long a call ran, by the line `REPORT` of the end of its log: its fields are parted by tabs, and one is `Duration: 12.34 ms`.
fn duration(log: &str) -> Option<Duration> {
    let log = BASE64_STANDARD.decode(log).ok()?;
    let log = String::from_utf8_lossy(&log);
    let report = log.lines().rfind(|line| line.starts_with("REPORT "))?;
    let field = report.split('\t').find_map(|field| field.trim().strip_prefix("Duration: "))?;
    let millis: f64 = field.strip_suffix(" ms")?.parse().ok()?;
    Duration::try_from_secs_f64(millis / 1000.0).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(error: Option<&str>, payload: &str) -> Result<Invocation> {
        let output = InvokeOutput::builder()
            .status_code(200)
            .set_function_error(error.map(str::to_owned))
            .payload(Blob::new(payload))
            .build();
        read(output, InvokeMode::Wait)
    }

    #[test]
    fn a_failing_function_is_no_error_of_the_call_but_one_that_takes_too_long_is() {
        let thrown = r#"{"errorMessage": "no stock", "errorType": "ValueError"}"#;
        let call = answer(Some("Unhandled"), thrown).unwrap();
        assert_eq!(call.error.as_deref(), Some("ValueError: no stock"));
        assert!(call.output.is_none());
        for late in [
            r#"{"errorType": "Sandbox.Timedout", "errorMessage": "RequestId: 1 Error: Task timed out after 1.00 seconds"}"#,
            r#"{"errorMessage": "2026-01-01T00:00:00Z 1 Task timed out after 3.00 seconds"}"#,
        ] {
            let error = answer(Some("Unhandled"), late).unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
        }
        // A function that says so itself has not timed out.
        let own = r#"{"errorType": "Error", "errorMessage": "Task timed out after 3.00 seconds"}"#;
        assert!(answer(Some("Unhandled"), own).unwrap().error.is_some());
        assert_eq!(answer(Some("Unhandled"), "odd").unwrap().error.as_deref(), Some("odd"));
    }

    #[test]
    fn an_output_is_json_and_null_is_one() {
        assert_eq!(answer(None, "null").unwrap().output, Some(Value::Null));
        let error = answer(None, "no json").unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Internal, Effect::Done));
    }

    #[test]
    fn the_time_is_in_the_report() {
        let log = "START RequestId: 1\nREPORT RequestId: 1\tDuration: 12.50 ms\tBilled Duration: 13 ms\tMemory Size: 128 MB\n";
        let log = BASE64_STANDARD.encode(log);
        assert_eq!(duration(&log), Some(Duration::from_micros(12_500)));
        assert_eq!(duration(&BASE64_STANDARD.encode("END")), None);
    }

    proptest! {
        #[test]
        fn no_log_and_no_payload_breaks_the_reader(text in "[^{]*", number in any::<f64>()) {
            duration(&text);
            duration(&BASE64_STANDARD.encode(format!("REPORT {text}\tDuration: {number} ms")));
            let failure = Failure::read(text.as_bytes());
            prop_assert_eq!(failure.message, text);
        }
    }
}
