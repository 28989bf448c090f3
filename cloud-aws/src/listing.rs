//! Listings over several regions, cut to the size that was asked for, whatever sizes AWS's own pages have.

use std::future::Future;

use cloud_core::{
    Error, ListQuery, Page, PageRequest, PageToken, Region, ResourceId, Result, View,
};
use serde::{Deserialize, Serialize};

use crate::account::{Account, MAX_PAGE};

/// One page as AWS answers it: its items, and AWS's own token of the next.
pub(crate) type NativePage<T> = (Vec<T>, Option<String>);

/// Where a listing goes on: in which region, from which page of AWS, after which of its items.
///
/// AWS's pages cannot be cut at will (EC2's have at least 5 items), so a page may be fetched again to give out the rest of it. What
/// was deleted or made meanwhile has then moved others onto it or off it; so what was given out of it is remembered by id. A page
/// of more than [`CUT`] items is AWS's whole answer, which nothing moves off: there the order of the ids is enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursor {
    #[serde(rename = "r")]
    region: Option<Region>,
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    given: Vec<String>,
}

/// The most items that are remembered by id.
const CUT: usize = 100;

impl Cursor {
    fn read(page: &PageRequest) -> Result<Self> {
        let Some(after) = &page.after else {
            return Ok(Self::default());
        };
        serde_json::from_str(after.as_str()).map_err(|_| {
            Error::invalid(
                "page token",
                format_args!("is '{after}'"),
                "what the page before returned",
            )
        })
    }

    fn write(&self) -> Result<PageToken> {
        let text = serde_json::to_string(self)
            .map_err(|e| Error::new(cloud_core::ErrorKind::Internal, e.to_string()))?;
        PageToken::new(text)
    }
}

/// The most items that are wanted.
pub(crate) fn page_size(page: &PageRequest) -> Result<usize> {
    match page.size {
        Some(0) => Err(Error::invalid("page size", "is 0", format_args!("1 to {MAX_PAGE}"))),
        size => Ok(size.unwrap_or(MAX_PAGE).min(MAX_PAGE) as usize),
    }
}

/// The number of items to ask AWS for, within what a call allows.
pub(crate) fn native_size(page: &PageRequest, least: i32, most: i32) -> i32 {
    let wanted = page.size.and_then(|size| i32::try_from(size).ok());
    wanted.unwrap_or(most).clamp(least, most)
}

/// The regions that are asked for: one that the account is set up for, or all of these.
pub(crate) fn regions<'a>(account: &'a Account, asked: Option<&'a Region>) -> Result<&'a [Region]> {
    match asked {
        Some(region) => {
            account.check_region(region)?;
            Ok(std::slice::from_ref(region))
        }
        None => Ok(account.regions()),
    }
}

/// One page of what lies in the regions that the query asks for. `fetch` gives one page of AWS from one region.
pub(crate) async fn regional<T, F, Fut>(
    account: &Account,
    query: &ListQuery,
    page: &PageRequest,
    fetch: F,
) -> Result<Page<T>>
where
    T: View,
    F: Fn(Region, Option<String>) -> Fut,
    Fut: Future<Output = Result<NativePage<T>>>,
{
    let regions = regions(account, query.region.as_ref())?;
    let keep = |view: &T| query.matches(view.name(), view.tags());
    over(regions, page, |view| view.id().native(), keep, fetch).await
}

/// One page of a listing over places, each of which answers by pages of its own.
pub(crate) async fn over<T, F, Fut>(
    regions: &[Region],
    page: &PageRequest,
    id: impl Fn(&T) -> &str,
    keep: impl Fn(&T) -> bool,
    fetch: F,
) -> Result<Page<T>>
where
    F: Fn(Region, Option<String>) -> Fut,
    Fut: Future<Output = Result<NativePage<T>>>,
{
    let size = page_size(page)?;
    let cursor = Cursor::read(page)?;
    let at = match &cursor.region {
        None => 0,
        Some(region) => regions.iter().position(|r| r == region).ok_or_else(|| {
            Error::invalid(
                "page token",
                format_args!("is of the region '{region}'"),
                "a token of the same query",
            )
        })?,
    };
    let Some(region) = regions.get(at) else {
        return Ok(Page::last(Vec::new()));
    };
    let (mut items, token) = fetch(region.clone(), cursor.token.clone()).await?;
    items.retain(keep);
    items.sort_by(|a, b| id(a).cmp(id(b)));
    if let Some(after) = &cursor.after {
        items.retain(|item| id(item) > after.as_str());
    }
    let there = items.len();
    // What was given out and is not here has moved to the next page, or is gone.
    let (here, moved): (Vec<_>, Vec<_>) =
        cursor.given.into_iter().partition(|given| items.iter().any(|item| id(item) == given));
    items.retain(|item| !here.iter().any(|given| given == id(item)));
    let region = Some(region.clone());
    let next = if items.len() > size {
        items.truncate(size);
        let last = items.last().map(|item| id(item).to_owned());
        let (after, given) = match there > CUT {
            true => (last, here),
            false => {
                let now = items.iter().map(|item| id(item).to_owned());
                (cursor.after, here.into_iter().chain(moved).chain(now).collect())
            }
        };
        Some(Cursor { region, token: cursor.token, after, given })
    } else if token.is_some() {
        Some(Cursor { region, token, after: None, given: moved })
    } else {
        let region = regions.get(at + 1).cloned();
        region.map(|region| Cursor { region: Some(region), ..Cursor::default() })
    };
    Ok(Page { items, next: next.map(|cursor| cursor.write()).transpose()? })
}

/// The id of a resource in a region.
pub(crate) fn id(
    kind: cloud_core::ResourceKind,
    region: &Region,
    native: &str,
) -> Result<ResourceId> {
    ResourceId::new(kind, region.clone(), native)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Server = BTreeMap<Region, Vec<Vec<String>>>;

    /// All that a listing with pages of this size gives.
    fn list(server: &Server, size: u32) -> (Vec<String>, usize) {
        let regions: Vec<Region> = server.keys().cloned().collect();
        let (mut all, mut largest) = (Vec::new(), 0);
        let mut request = PageRequest::of_size(size);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            loop {
                let page = over(
                    &regions,
                    &request,
                    |item: &String| item,
                    |_| true,
                    |region, token| async move {
                        let pages = &server[&region];
                        let at = token.map_or(0, |t| t.parse::<usize>().unwrap());
                        let next = (at + 1 < pages.len()).then(|| (at + 1).to_string());
                        Ok((pages.get(at).cloned().unwrap_or_default(), next))
                    },
                )
                .await
                .unwrap();
                largest = largest.max(page.items.len());
                all.extend(page.items);
                match page.next {
                    Some(after) => request.after = Some(after),
                    None => return,
                }
            }
        });
        (all, largest)
    }

    proptest! {
        #[test]
        fn every_item_comes_once_on_pages_of_the_size_asked_for(
            shape in prop::collection::vec(prop::collection::vec(0usize..8, 0..4), 1..4),
            size in 1u32..9,
        ) {
            let mut number = 0;
            let server: Server = shape.iter().enumerate().map(|(region, pages)| {
                let pages = pages.iter().map(|n| (0..*n).map(|_| {
                    number += 1;
                    // Not in the order of their ids.
                    format!("{:05}", (number * 7919) % 100_003)
                }).collect()).collect();
                (Region::new(format!("r-{region}")).unwrap(), pages)
            }).collect();
            let (mut listed, largest) = list(&server, size);
            let mut there: Vec<_> = server.values().flatten().flatten().cloned().collect();
            listed.sort();
            there.sort();
            prop_assert_eq!(listed, there);
            prop_assert!(largest <= size as usize);
        }
    }

    proptest! {
        /// The server's pages have 5 items, and its tokens name the item that they go on after; ids come in any order.
        #[test]
        fn what_stays_comes_once_whatever_else_comes_and_goes(
            ids in prop::collection::hash_set(0u32..10_000, 1..24),
            leave in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
            size in 1u32..5,
        ) {
            let mut server: Vec<(usize, String)> =
                ids.into_iter().map(|n| format!("{n:05}")).enumerate().collect();
            let mut leaving: Vec<String> =
                leave.iter().map(|at| at.get(&server).1.clone()).collect();
            let staying: Vec<String> =
                server.iter().map(|(_, id)| id.clone()).filter(|id| !leaving.contains(id)).collect();
            let regions = [Region::new("r").unwrap()];
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (mut seen, mut request) = (Vec::new(), PageRequest::of_size(size));
            loop {
                let page = runtime.block_on(over(&regions, &request, |item: &String| item, |_| true, |_, token| {
                    let from = token.map_or(0, |t| t.parse::<usize>().unwrap() + 1);
                    let rest: Vec<_> = server.iter().filter(|(at, _)| *at >= from).cloned().collect();
                    async move {
                        let page: Vec<_> = rest.iter().take(5).cloned().collect();
                        let next = (rest.len() > 5).then(|| page[4].0.to_string());
                        Ok((page.into_iter().map(|(_, id)| id).collect(), next))
                    }
                })).unwrap();
                prop_assert!(page.items.len() <= size as usize);
                seen.extend(page.items);
                let Some(after) = page.next else { break };
                request.after = Some(after);
                if let Some(gone) = leaving.pop() {
                    server.retain(|(_, id)| *id != gone);
                    let at = server.last().map_or(0, |(at, _)| at + 1);
                    server.push((at, format!("new-{at}")));
                }
            }
            for id in staying {
                prop_assert_eq!(seen.iter().filter(|seen| **seen == id).count(), 1, "{}", id);
            }
        }
    }

    #[test]
    fn a_token_from_elsewhere_is_refused() {
        for text in ["../no page token", "{\"r\":\"x\",\"extra\":1}", "7"] {
            let page = PageRequest { size: None, after: Some(PageToken::new(text).unwrap()) };
            assert!(Cursor::read(&page).is_err(), "{text}");
        }
    }
}
