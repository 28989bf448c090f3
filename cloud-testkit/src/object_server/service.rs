//! The way of every request: counted, delayed, perhaps broken, answered by its dialect.

use std::sync::Arc;

use hyper::body::{Body, Incoming};
use hyper::header::{DATE, HeaderName, HeaderValue};
use hyper::{Method, Request};

use super::faults::FaultKind;
use super::refusal::Refusal;
use super::reply::{Cut, Reply};
use super::request::{Call, Operation, RequestInfo};
use super::time::http_date;
use super::{Dialect, Shared, azure, control, inject, s3};

/// The most bytes of a key.
const KEY_LIMIT: usize = 1024;

/// Answers one request; an error closes the connection.
pub(crate) async fn serve(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Reply, Cut> {
    let (parts, body) = request.into_parts();
    let (path, query) = (parts.uri.path(), parts.uri.query());
    if path.starts_with("/__") {
        return Ok(control::handle(&shared, &parts.method, path, query));
    }
    let number = shared.number();
    if !shared.options.delay.is_zero() {
        tokio::time::sleep(shared.options.delay).await;
    }
    let dialect = shared.dialect;
    let mut call =
        match Call::parse(&parts.method, &parts.headers, dialect.without_account(path), query) {
            Ok(call) => call,
            Err(refusal) => return Ok(finish(&shared, refuse(dialect, refusal), &parts.method)),
        };
    let operation = match dialect {
        Dialect::S3 => s3::operation(&call),
        Dialect::Azure => azure::operation(&call),
    };
    shared.counters.request(operation, body.size_hint().exact().unwrap_or_default());

    let fault = shared.may_break().then(|| fault_for(&shared, &call, operation, number)).flatten();
    let Some((kind, place)) = fault else {
        let reply = answer(&shared, &call, operation, body).await;
        return Ok(finish(&shared, reply, &parts.method));
    };
    shared.counters.fault(kind);
    let reply = match inject::instead(kind, dialect) {
        Some(instead) => instead?,
        None => {
            call.corrupt_write = (kind == FaultKind::CorruptWrite).then_some(place);
            let reply = answer(&shared, &call, operation, body).await;
            inject::after(kind, place, reply).await?
        }
    };
    Ok(finish(&shared, reply, &parts.method))
}

async fn answer(shared: &Shared, call: &Call<'_>, operation: Operation, body: Incoming) -> Reply {
    if call.key.len() > KEY_LIMIT {
        return refuse(shared.dialect, Refusal::KeyTooLong);
    }
    let answered = match shared.dialect {
        Dialect::S3 => s3::handle(shared, call, operation, body).await,
        Dialect::Azure => azure::handle(shared, call, operation, body).await,
    };
    answered.unwrap_or_else(|refusal| refuse(shared.dialect, refusal))
}

fn refuse(dialect: Dialect, refusal: Refusal) -> Reply {
    match dialect {
        Dialect::S3 => s3::refuse(refusal),
        Dialect::Azure => azure::refuse(refusal),
    }
}

/// What the hook wants, else what the faults draw.
fn fault_for(
    shared: &Shared,
    call: &Call<'_>,
    operation: Operation,
    number: u64,
) -> Option<(FaultKind, u64)> {
    let page = (operation == Operation::List).then(|| match shared.dialect {
        Dialect::S3 => s3::page(call),
        Dialect::Azure => azure::page(call),
    });
    let info = RequestInfo {
        number,
        operation,
        method: call.method.as_str(),
        bucket: &call.bucket,
        key: &call.key,
        range: call.header("range").or_else(|| call.header("x-ms-range")),
        page: page.and_then(Result::ok),
    };
    if let Some(kind) = shared.hook().and_then(|hook| hook(&info)) {
        return Some((kind, number));
    }
    shared.faults().and_then(|faults| faults.draw(&info))
}

/// What every answer has.
fn finish(shared: &Shared, mut reply: Reply, method: &Method) -> Reply {
    if method == Method::HEAD {
        // Hyper drops the body and keeps its length, which for an error is that of the document a GET would get.
    } else {
        shared.counters.answered(reply.body().content().len());
    }
    if shared.clock.offset_seconds != 0 {
        let now = http_date(shared.clock.now());
        reply.headers_mut().insert(DATE, now);
    }
    if shared.dialect == Dialect::Azure {
        const VERSION: HeaderName = HeaderName::from_static("x-ms-version");
        const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
        reply.headers_mut().insert(VERSION, HeaderValue::from_static("2024-11-04"));
        reply
            .headers_mut()
            .insert(REQUEST_ID, HeaderValue::from_static("00000000-0000-0000-0000-000000000000"));
    }
    reply
}
