//! Paths under `/__`, by which a process beside the server looks at it and fills it.

use hyper::{Method, StatusCode};
use std::sync::Arc;

use super::Shared;
use super::reply::{self, Reply};
use super::request::Query;

/// Answers a request whose path starts with `/__`.
///
/// `GET /__stats`; `POST /__fill?bucket=&count=&size=&prefix=`, `/__touch?bucket=&count=`, `/__clear?bucket=`,
/// `/__reset` (the counters).
pub(crate) fn handle(
    shared: &Arc<Shared>,
    method: &Method,
    path: &str,
    query: Option<&str>,
) -> Reply {
    match act(shared, method, path, query.unwrap_or_default()) {
        Ok(text) => reply::document(StatusCode::OK, "application/json", text),
        Err(problem) => {
            reply::document(StatusCode::BAD_REQUEST, "text/plain", format!("{problem}\n"))
        }
    }
}

fn act(shared: &Arc<Shared>, method: &Method, path: &str, query: &str) -> Result<String, String> {
    let query = Query::parse(query).map_err(|_| "the query is not UTF-8".to_owned())?;
    let number = |name: &str| -> Result<u64, String> {
        let text = query.get(name).ok_or_else(|| format!("{name} is missing"))?;
        text.parse().map_err(|_| format!("{name} is {text:?}; accepted: a whole number"))
    };
    let bucket = || {
        let name = query
            .get("bucket")
            .filter(|name| !name.is_empty())
            .ok_or_else(|| "bucket is missing".to_owned())?;
        Ok::<_, String>(shared.bucket(name))
    };
    match (method, path) {
        (&Method::GET, "/__stats") => return Ok(format!("{}\n", shared.stats().to_json())),
        (&Method::POST, "/__fill") => {
            let size =
                usize::try_from(number("size")?).map_err(|_| "size is too large".to_owned())?;
            let prefix = query.get("prefix").unwrap_or_default();
            bucket()?.fill(number("count")?, size, prefix).map_err(|error| error.to_string())?;
        }
        (&Method::POST, "/__touch") => {
            let count =
                usize::try_from(number("count")?).map_err(|_| "count is too large".to_owned())?;
            bucket()?.touch(count).map_err(|error| error.to_string())?;
        }
        (&Method::POST, "/__clear") => bucket()?.clear(),
        (&Method::POST, "/__reset") => shared.counters.reset(),
        _ => return Err(format!("{method} {path} is none of the control requests")),
    }
    Ok("{}\n".to_owned())
}
