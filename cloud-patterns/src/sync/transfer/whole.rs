//! Small objects: read into memory, written in one request.

use cloud_core::{Error, Result};
use object_store::{GetOptions, ObjectStore, path::Path};

use super::{Route, Written, check_listed, said, verify};

pub(super) async fn copy(route: &Route, from: &Path, to: &Path, size: u64) -> Result<Written> {
    let gates = &route.gates;
    let _held = gates.memory(size).await;
    gates.request().await;
    let got = route.from.store.get_opts(from, GetOptions::default()).await?;
    check_listed(size, &got.meta)?;
    let (attributes, lost_attributes) = route.attributes(&got);
    let source = route.seen(&got.meta);
    let said = said(&got, &source);
    let bytes = tokio::time::timeout(route.stall, got.bytes()).await.map_err(|_| stalled())??;
    verify::check_length(source.size, bytes.len() as u64)?;
    gates.bytes(bytes.len() as u64).await;
    let mut passing = verify::Passing::new(said, &route.to.traits);
    passing.update(&bytes);
    let options = route.put_options(attributes, said);
    gates.request().await;
    let result = route.to.store.put_opts(to, bytes.into(), options).await?;
    let verified = verify::verify(said, &source.tag, passing.finish(), &route.to.traits, &result)?;
    Ok(Written { bytes: source.size, source, result, verified, lost_attributes })
}

pub(super) fn stalled() -> Error {
    Error::new(cloud_core::ErrorKind::Timeout, "no byte came within the stall time-out")
}
