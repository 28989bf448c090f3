//! How AWS speaks: what a raw request says of service, region and operation, and how each protocol words an error.

use hyper::header::{HeaderName, HeaderValue};
use serde_json::json;

use crate::{faults::Reply, record::Seen};

/// Fills in what the request says of itself.
pub(super) fn identify(seen: &mut Seen) {
    // In a header, or in the query of a presigned address, where slashes are escaped.
    let authorization = seen.header("authorization").to_owned();
    let credential = authorization.split_once("Credential=").map(|(_, rest)| rest.to_owned());
    let credential = credential.or_else(|| form(&seen.query, "X-Amz-Credential"));
    if let Some(credential) = credential {
        let end = credential.find([',', ' ']).unwrap_or(credential.len());
        let parts: Vec<_> = credential[..end].split('/').collect();
        // KEY/DATE/REGION/SERVICE/aws4_request; without a region where the signature is good for several.
        if let [_, _, between @ .., service, "aws4_request"] = &parts[..] {
            seen.service = (*service).to_owned();
            seen.region = between.first().copied().unwrap_or_default().to_owned();
        }
    }
    let target = seen.header("x-amz-target").rsplit_once('.').map(|(_, name)| name.to_owned());
    let action = || parameter(seen, "Action");
    let rpc = || seen.path.rsplit_once("/operation/").map(|(_, name)| name.to_owned());
    // S3 by the Rust SDK names it itself, where the path does not.
    let named = || form(&seen.query, "x-id");
    let operation = target.or_else(action).or_else(rpc).or_else(named);
    seen.operation = operation.unwrap_or_else(|| format!("{} {}", seen.method, seen.path));
}

/// A parameter of a request in the query protocol.
pub(super) fn parameter(seen: &Seen, name: &str) -> Option<String> {
    if !seen.header("content-type").starts_with("application/x-www-form-urlencoded") {
        return None;
    }
    form(std::str::from_utf8(&seen.body).ok()?, name)
}

fn form(text: &str, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(text.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Ec2,
    Query,
    S3,
    RestXml,
    Json,
    RestJson,
    Cbor,
}

fn protocol(seen: &Seen) -> Protocol {
    match &*seen.service {
        _ if seen.header("smithy-protocol") == "rpc-v2-cbor" => Protocol::Cbor,
        _ if !seen.header("x-amz-target").is_empty() => Protocol::Json,
        "ec2" => Protocol::Ec2,
        "s3" => Protocol::S3,
        "route53" => Protocol::RestXml,
        _ if parameter(seen, "Action").is_some() => Protocol::Query,
        _ => Protocol::RestJson,
    }
}

/// An error as the protocol of the request words it.
pub(super) fn error(seen: &Seen, status: u16, code: &str, message: &str) -> Reply {
    const ID: &str = "00000000-0000-4000-8000-000000000000";
    let xml = |body: String| {
        let head = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
        Reply::new(status, "text/xml", format!("{head}\n{body}"))
    };
    let (code_xml, message_xml) =
        (quick_xml::escape::escape(code), quick_xml::escape::escape(message));
    let inner = format!("<Code>{code_xml}</Code><Message>{message_xml}</Message>");
    let fault = if status < 500 { "Sender" } else { "Receiver" };
    let mut reply = match protocol(seen) {
        Protocol::Ec2 => xml(format!(
            "<Response><Errors><Error>{inner}</Error></Errors><RequestID>{ID}</RequestID></Response>"
        )),
        Protocol::Query | Protocol::RestXml => xml(format!(
            "<ErrorResponse><Error><Type>{fault}</Type>{inner}</Error><RequestId>{ID}</RequestId></ErrorResponse>"
        )),
        Protocol::S3 => xml(format!("<Error>{inner}<RequestId>{ID}</RequestId></Error>")),
        Protocol::Json => Reply::new(
            status,
            "application/x-amz-json-1.1",
            json!({"__type": code, "message": message}).to_string(),
        ),
        Protocol::RestJson => {
            let body = json!({"Message": message, "Type": "User"}).to_string();
            let mut reply = Reply::new(status, "application/json", body);
            reply.headers.insert("x-amzn-errortype", HeaderValue::from_str(code).unwrap());
            reply
        }
        Protocol::Cbor => {
            let mut body = vec![0xa2];
            for text in ["__type", code, "message", message] {
                cbor_text(&mut body, text);
            }
            let mut reply = Reply::new(status, "application/cbor", body);
            let name = HeaderName::from_static("smithy-protocol");
            reply.headers.insert(name, HeaderValue::from_static("rpc-v2-cbor"));
            reply
        }
    };
    reply.headers.insert("x-amzn-requestid", HeaderValue::from_static(ID));
    if seen.method == "HEAD" {
        reply.body = bytes::Bytes::new();
    }
    reply
}

fn cbor_text(body: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap();
    body.push(0x79);
    body.extend(length.to_be_bytes());
    body.extend(text.as_bytes());
}

/// The status and code of too many requests.
pub(super) fn throttled(seen: &Seen) -> (u16, &'static str) {
    match protocol(seen) {
        Protocol::Ec2 => (503, "RequestLimitExceeded"),
        Protocol::S3 => (503, "SlowDown"),
        Protocol::Query | Protocol::RestXml => (400, "Throttling"),
        Protocol::Json | Protocol::Cbor => (400, "ThrottlingException"),
        Protocol::RestJson => (429, "TooManyRequestsException"),
    }
}

/// The status and code of a session that has expired.
pub(super) fn expired(seen: &Seen) -> (u16, &'static str) {
    match protocol(seen) {
        Protocol::Ec2 => (400, "RequestExpired"),
        Protocol::S3 => (400, "ExpiredToken"),
        Protocol::Query | Protocol::RestXml => (403, "ExpiredToken"),
        Protocol::Json | Protocol::Cbor => (400, "ExpiredTokenException"),
        Protocol::RestJson => (403, "ExpiredTokenException"),
    }
}

/// The code of a failure within the service.
pub(super) fn internal(seen: &Seen) -> &'static str {
    match protocol(seen) {
        Protocol::Ec2 | Protocol::S3 => "InternalError",
        Protocol::Query | Protocol::RestXml => "InternalFailure",
        Protocol::Json | Protocol::Cbor | Protocol::RestJson => "InternalServerError",
    }
}
