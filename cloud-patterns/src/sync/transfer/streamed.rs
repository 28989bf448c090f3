//! Larger objects for a target that takes streams: what is read is written at once, nothing is kept.

use std::sync::{Arc, Mutex, PoisonError};

use cloud_core::{Error, ErrorKind, Result, StreamedBody};
use futures::StreamExt;
use object_store::{GetOptions, ObjectStore, path::Path};

use super::{Route, STREAM, Written, check_listed, resuming, said, verify};

pub(super) async fn copy(route: &Route, from: &Path, to: &Path, size: u64) -> Result<Written> {
    let gates = &route.gates;
    let _held = gates.memory(STREAM).await;
    gates.request().await;
    let got = route.from.store.get_opts(from, GetOptions::default()).await?;
    check_listed(size, &got.meta)?;
    let (attributes, lost_attributes) = route.attributes(&got);
    let source = route.seen(&got.meta);
    let said = said(&got, &source);

    let passing = Arc::new(Mutex::new(verify::Passing::new(said, &route.to.traits)));
    let broken = Arc::new(Mutex::new(None));
    let (hash, failed, gate) = (passing.clone(), broken.clone(), gates.clone());
    let chunks = resuming::body(&route.from.store, from, got, route.stall);
    let chunks = chunks.then(move |chunk| {
        match &chunk {
            Ok(bytes) => hash.lock().unwrap_or_else(PoisonError::into_inner).update(bytes),
            Err(error) => keep(&failed, error),
        }
        let gate = gate.clone();
        async move {
            gate.bytes(chunk.as_ref().map_or(0, |bytes| bytes.len() as u64)).await;
            chunk
        }
    });
    let body = StreamedBody::new(source.size, chunks.boxed());
    let mut options = route.put_options(attributes, said);
    options.extensions.insert(body.clone());
    gates.request().await;
    let put = route.to.store.put_opts(to, body.stand_in(), options).await;
    let why = broken.lock().unwrap_or_else(PoisonError::into_inner).take();
    let result = match (put, why) {
        // The target can only say that the body broke off; the source said why.
        (Err(_), Some(error)) => return Err(error),
        (put, _) => put?,
    };
    if !body.was_taken() {
        let what = "the target does not take streams although its traits say so";
        return Err(Error::new(ErrorKind::Unsupported, what).with_hint(format!(
            "'{to}' at the target holds zeros now: delete it, and report the store's handle"
        )));
    }
    let passed = passing.lock().unwrap_or_else(PoisonError::into_inner).clone().finish();
    let verified = verify::verify(said, &source.tag, passed, &route.to.traits, &result)?;
    Ok(Written { bytes: source.size, source, result, verified, lost_attributes })
}

fn keep(failed: &Mutex<Option<Error>>, error: &std::io::Error) {
    let error = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).cloned();
    *failed.lock().unwrap_or_else(PoisonError::into_inner) = error;
}
