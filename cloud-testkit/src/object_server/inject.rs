//! How a fault changes the answer to a request.

use hyper::StatusCode;
use hyper::header::{CONTENT_RANGE, HeaderValue, RETRY_AFTER};

use super::faults::FaultKind;
use super::reply::{Cut, Reply, ReplyBody};
use super::{Dialect, azure, s3};

/// The answer of a fault that leaves the request undone; `None` if the request is to be done first.
pub(crate) fn instead(kind: FaultKind, dialect: Dialect) -> Option<Result<Reply, Cut>> {
    match kind {
        FaultKind::Close => Some(Err(Cut)),
        FaultKind::Http { status, retry_after } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut reply = match dialect {
                Dialect::S3 => s3::fault(status),
                Dialect::Azure => azure::fault(status),
            };
            if let Some(wait) = retry_after {
                reply.headers_mut().insert(RETRY_AFTER, wait.as_secs().into());
            }
            Some(Ok(reply))
        }
        _ => None,
    }
}

/// What becomes of the answer to a request that was done.
pub(crate) async fn after(kind: FaultKind, place: u64, reply: Reply) -> Result<Reply, Cut> {
    let content = reply.body().content().clone();
    let half = content.len() / 2;
    let success = reply.status().is_success();
    match kind {
        FaultKind::CloseAfter => Err(Cut),
        FaultKind::HangAfter => std::future::pending().await,
        FaultKind::Delay(time) => {
            tokio::time::sleep(time).await;
            Ok(reply)
        }
        _ if !success => Ok(reply),
        FaultKind::CutBody => Ok(reply.map(|_| ReplyBody::cut(&content, half))),
        FaultKind::CorruptRead => Ok(reply.map(|_| content.corrupted(place).into())),
        FaultKind::TruncateList => Ok(reply.map(|_| content.slice(0..half).into())),
        FaultKind::ShortRead => {
            let mut reply = reply.map(|_| content.slice(0..half).into());
            if let Some(shorter) =
                reply.headers().get(CONTENT_RANGE).and_then(|range| shortened(range, half))
            {
                reply.headers_mut().insert(CONTENT_RANGE, shorter);
            }
            Ok(reply)
        }
        FaultKind::Http { .. } | FaultKind::Close | FaultKind::CorruptWrite => Ok(reply),
    }
}

/// `bytes A-B/SIZE` for `length` bytes from A.
fn shortened(range: &HeaderValue, length: u64) -> Option<HeaderValue> {
    let (span, size) = range.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
    let start: u64 = span.split_once('-')?.0.parse().ok()?;
    HeaderValue::try_from(format!("bytes {start}-{}/{size}", (start + length).checked_sub(1)?)).ok()
}
