//! Pages of records, over regions and kinds. The token of a page is the id of the last item on it.

use std::sync::Arc;

use cloud_core::{
    Error, ListQuery, Page, PageRequest, PageToken, ResourceId, ResourceKind, Result, View,
};
use serde::de::DeserializeOwned;

use crate::state::{Record, State};

/// How many items the page may have.
pub(crate) fn page_size(page: &PageRequest, most: u32) -> Result<usize> {
    match page.size {
        Some(0) => Err(Error::invalid("page size", "is 0", format_args!("1 to {most}"))),
        size => Ok(size.unwrap_or(most).min(most) as usize),
    }
}

/// The id after which the page begins.
pub(crate) fn page_start(page: &PageRequest) -> Result<Option<ResourceId>> {
    let Some(after) = &page.after else {
        return Ok(None);
    };
    after.as_str().parse().map(Some).map_err(|_| {
        Error::invalid("page token", format_args!("is '{after}'"), "what the page before returned")
    })
}

/// Cuts a page off items of which one more may have been fetched than fits.
pub(crate) fn cut<V>(
    mut items: Vec<V>,
    size: usize,
    id: impl Fn(&V) -> &ResourceId,
) -> Result<Page<V>> {
    if items.len() <= size {
        return Ok(Page::last(items));
    }
    items.truncate(size);
    let next = items.last().map(|last| PageToken::new(id(last).to_string()));
    Ok(Page { next: next.transpose()?, items })
}

/// A page of what is computed anew for every call; its token is the number of items before it.
pub(crate) fn page_of<T>(all: Vec<T>, page: &PageRequest, most: u32) -> Result<Page<T>> {
    let size = page_size(page, most)?;
    let start = match &page.after {
        None => 0,
        Some(after) => after.as_str().parse::<usize>().map_err(|_| {
            Error::invalid(
                "page token",
                format_args!("is '{after}'"),
                "what the page before returned",
            )
        })?,
    };
    let end = start.saturating_add(size);
    let next = (end < all.len()).then(|| PageToken::new(end.to_string())).transpose()?;
    Ok(Page { items: all.into_iter().skip(start).take(size).collect(), next })
}

impl State {
    /// One page of a kind, in the order of regions (as configured) and creation. A region of the query that is down
    /// fails it, and so does any that is down if the query names none: a listing without it would be taken for all.
    pub(crate) async fn list_page<T, V, F>(
        self: &Arc<Self>,
        kind: ResourceKind,
        query: &ListQuery,
        page: &PageRequest,
        view: F,
    ) -> Result<Page<V>>
    where
        T: DeserializeOwned + Send + 'static,
        V: View + 'static,
        F: Fn(Record<T>) -> Result<V> + Send + 'static,
    {
        let size = page_size(page, self.max_page_size())?;
        let after = page_start(page)?.filter(|id| id.kind == kind);
        let (state, query) = (self.clone(), query.clone());
        self.blocking(move || {
            let items = state.collect(kind, &query, after, size + 1, view)?;
            cut(items, size, V::id)
        })
        .await
    }

    fn collect<T, V, F>(
        &self,
        kind: ResourceKind,
        query: &ListQuery,
        after: Option<ResourceId>,
        most: usize,
        view: F,
    ) -> Result<Vec<V>>
    where
        T: DeserializeOwned,
        F: Fn(Record<T>) -> Result<V>,
    {
        let regions = match &query.region {
            Some(region) => vec![self.region(region)?.name.clone()],
            None => self.regions().iter().map(|r| r.name.clone()).collect(),
        };
        regions.iter().try_for_each(|region| self.check_up(region))?;
        let first = match &after {
            None => 0,
            Some(id) => regions.iter().position(|r| *r == id.region).ok_or_else(|| {
                Error::invalid("page token", "is of another query", "the same query again")
            })?,
        };
        let mut items = Vec::new();
        for region in &regions[first..] {
            let behind = after.as_ref().filter(|id| id.region == *region);
            for native in self.natives(kind, region)? {
                if items.len() == most {
                    return Ok(items);
                }
                if behind.is_some_and(|id| native.as_str() <= id.native()) {
                    continue;
                }
                let id = ResourceId::new(kind, region.clone(), native)?;
                // It may have been deleted since the folder was read.
                if let Some(record) = self.find(&id)?
                    && query.matches(&record.name, &record.tags)
                {
                    items.push(view(record)?);
                }
            }
        }
        Ok(items)
    }
}
