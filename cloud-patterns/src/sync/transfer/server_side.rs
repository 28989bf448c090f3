//! Both sides are one bucket: the store copies by itself.

use cloud_core::Result;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt, PutResult, path::Path};

use super::{Route, Verified, Written};

pub(super) async fn copy(route: &Route, from: &Path, to: &Path) -> Result<Written> {
    let store = &route.to.store;
    route.gates.request().await;
    let before =
        store.get_opts(from, GetOptions { head: true, ..GetOptions::default() }).await?.meta;
    route.gates.request().await;
    store.copy(from, to).await?;
    route.gates.request().await;
    let after = store.head(to).await?;
    let source = route.seen(&before);
    let target = super::seen(&after, &route.to);
    super::verify::check_length(source.size, target.size)?;
    let verified = match source.tag.same_content(&target.tag) {
        true => Verified::EndToEnd,
        false => Verified::Length,
    };
    let result =
        PutResult { e_tag: after.e_tag, version: after.version, extensions: Default::default() };
    Ok(Written { bytes: 0, source, result, verified, lost_attributes: false })
}
