//! Azure requests on containers.

use hyper::header::{ETAG, HeaderValue, LAST_MODIFIED};
use hyper::{Method, StatusCode};

use super::CREATED;
use crate::object_server::Shared;
use crate::object_server::refusal::Refusal;
use crate::object_server::reply::{self, Reply};
use crate::object_server::request::Call;
use crate::object_server::time::http_date;
use crate::object_server::xml;

/// Create, delete and look at a container.
pub(super) fn handle(shared: &Shared, call: &Call<'_>) -> Result<Reply, Refusal> {
    let status = match *call.method {
        Method::PUT if call.query.has("comp") => {
            return Err(Refusal::Unsupported("Containers keep no metadata here."));
        }
        Method::PUT => {
            let (_, made) = shared.store.create_bucket(&call.bucket);
            if !made {
                return Err(Refusal::BucketExists);
            }
            CREATED
        }
        Method::DELETE => {
            shared.store.delete_bucket(&call.bucket, false)?;
            return Ok(reply::empty(StatusCode::ACCEPTED));
        }
        Method::GET | Method::HEAD => shared.store.bucket(&call.bucket).map(|_| StatusCode::OK)?,
        _ => return Err(Refusal::MethodNotAllowed),
    };
    let date = http_date(shared.clock.now());
    Ok(reply::with_headers(
        status,
        [(ETAG, HeaderValue::from_static("\"0x8D0\"")), (LAST_MODIFIED, date)],
    ))
}

/// List Containers.
pub(super) fn list(shared: &Shared) -> Result<Reply, Refusal> {
    let mut text = format!("{}<EnumerationResults><Containers>", xml::HEAD);
    let date = http_date(shared.clock.now());
    for name in shared.store.bucket_names() {
        text.push_str("<Container>");
        xml::push_element(&mut text, "Name", &name);
        text.push_str("<Properties>");
        xml::push_element(&mut text, "Last-Modified", date.to_str().unwrap_or_default());
        text.push_str("<Etag>\"0x8D0\"</Etag></Properties></Container>");
    }
    text.push_str("</Containers><NextMarker/></EnumerationResults>");
    Ok(reply::xml(StatusCode::OK, text))
}
