//! `abandon`: takes a resource out of the catalog without touching its cloud, because that does not answer.

use async_trait::async_trait;
use cloud_core::Result;

use super::{ActionHandler, Applied, Call};
use crate::engine::store::{CatalogChange, OwnedResource};

/// Gives up a resource in a place that is out of reach. It keeps its tags: once the place answers again, it is an
/// orphan, and found as such. Input: the [`OwnedResource`]. Undone by putting it back into the catalog.
#[derive(Clone, Copy, Debug)]
pub struct Abandon;

#[async_trait]
impl ActionHandler for Abandon {
    fn name(&self) -> &str {
        "abandon"
    }

    async fn apply(&self, call: &Call<'_>) -> Result<Applied> {
        let OwnedResource { cloud, id, .. } = call.read()?;
        Ok(Applied { catalog: vec![CatalogChange::Remove { cloud, id }], ..Applied::default() })
    }

    async fn undo(&self, call: &Call<'_>) -> Result<Vec<CatalogChange>> {
        Ok(vec![CatalogChange::Put(call.read()?)])
    }
}
