//! Listings: a page is what a provider answers, a [`Listing`] is the stream of all pages, and a
//! [`CompleteListing`] is the proof that the stream ended without an error.
//!
//! The proof matters: whoever deletes "what is not listed any more" must not act on half a listing. Such an
//! operation takes a [`CompleteListing`], and only [`Listing::complete`] makes one.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{
    Stream, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use serde::{Deserialize, Serialize};

use crate::{Region, ResourceKind, ResourceType, Result, Tags, text::text_type};

text_type! {
    /// Where a listing goes on; opaque, valid for the same query only.
    ///
    /// ```
    /// assert!(cloud_core::PageToken::new("page-2").is_ok());
    /// ```
    PageToken, |text| crate::text::check_text("page token", text, 16 * 1024)
}

/// Which page of a listing to fetch.
///
/// ```
/// use cloud_core::PageRequest;
/// let first = PageRequest::of_size(100);
/// assert!(first.after.is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PageRequest {
    /// The most items wanted; a provider may return fewer, and limits it to its own maximum.
    /// `None` leaves it to the provider.
    pub size: Option<u32>,
    /// The end of the page before; `None` for the first page.
    pub after: Option<PageToken>,
}

impl PageRequest {
    /// The first page, of at most so many items.
    pub fn of_size(size: u32) -> Self {
        Self { size: Some(size), after: None }
    }
}

/// One answer of a listing. It may be empty and still not be the last: only `next` says that.
///
/// ```
/// use cloud_core::Page;
/// let page = Page::last(vec![1, 2]);
/// assert!(page.next.is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next one begins; `None` on the last.
    pub next: Option<PageToken>,
}

impl<T> Page<T> {
    /// The last page.
    pub fn last(items: Vec<T>) -> Self {
        Self { items, next: None }
    }

    /// The page with its items changed.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(change).collect(), next: self.next }
    }
}

/// What a listing of one service returns.
///
/// ```
/// use cloud_core::{ListQuery, Region};
/// let query = ListQuery::in_region(Region::new("eu-1").unwrap());
/// assert!(query.tags.is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ListQuery {
    /// Only this region; `None` is every region that the cloud is set up for.
    pub region: Option<Region>,
    /// Only what bears all of these tags, with these values.
    pub tags: Tags,
    /// Only what has exactly this name.
    pub name: Option<String>,
}

impl ListQuery {
    /// Everything in a region.
    pub fn in_region(region: Region) -> Self {
        Self { region: Some(region), ..Self::default() }
    }

    /// Everything that bears these tags.
    pub fn tagged(tags: Tags) -> Self {
        Self { tags, ..Self::default() }
    }

    /// Whether a resource of this name and these tags is asked for; the region is the caller's to check.
    pub fn matches(&self, name: &str, tags: &Tags) -> bool {
        self.name.as_deref().is_none_or(|wanted| wanted == name) && tags.contains(&self.tags)
    }
}

/// What [`Cloud::list_resources_page`](crate::Cloud::list_resources_page) returns.
///
/// ```
/// use cloud_core::{ResourceQuery, ResourceType};
/// let query = ResourceQuery::of_type(ResourceType::Compute);
/// assert!(query.kind.is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ResourceQuery {
    /// Only this family.
    pub resource_type: Option<ResourceType>,
    /// Only this kind.
    pub kind: Option<ResourceKind>,
    /// Region, tags and name.
    pub list: ListQuery,
}

impl ResourceQuery {
    /// Everything of a family.
    pub fn of_type(resource_type: ResourceType) -> Self {
        Self { resource_type: Some(resource_type), ..Self::default() }
    }

    /// Everything, of any family, that bears these tags.
    pub fn tagged(tags: Tags) -> Self {
        Self { list: ListQuery::tagged(tags), ..Self::default() }
    }

    /// Whether resources of this kind are asked for.
    pub fn wants(&self, kind: ResourceKind) -> bool {
        self.kind.is_none_or(|k| k == kind)
            && self.resource_type.is_none_or(|t| t == kind.resource_type())
    }
}

/// A listing as a stream: pages are fetched as the items are taken. It ends after the first error.
///
/// What is created or deleted while it runs may or may not be in it; what exists from beginning to end is
/// in it exactly once.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use cloud_core::{Listing, Page, PageRequest, PageToken};
///
/// let listing = Listing::new(PageRequest::default(), |page| async move {
///     Ok(match page.after {
///         None => Page { items: vec![1, 2], next: Some(PageToken::new("2").unwrap()) },
///         Some(_) => Page::last(vec![3]),
///     })
/// });
/// assert_eq!(listing.complete().await.unwrap().into_items(), [1, 2, 3]);
/// # });
/// ```
pub struct Listing<'a, T>(BoxStream<'a, Result<T>>);

impl<'a, T: Send + 'a> Listing<'a, T> {
    /// A listing from a way to fetch a page.
    pub fn new<F, Fut>(first: PageRequest, mut fetch: F) -> Self
    where
        F: FnMut(PageRequest) -> Fut + Send + 'a,
        Fut: Future<Output = Result<Page<T>>> + Send + 'a,
    {
        let size = first.size;
        let pages = stream::try_unfold(Some(first), move |next| {
            let answer = next.map(&mut fetch);
            async move {
                let Some(answer) = answer else {
                    return Ok::<_, crate::Error>(None);
                };
                let page = answer.await?;
                let next = page.next.map(|after| PageRequest { size, after: Some(after) });
                Ok(Some((stream::iter(page.items.into_iter().map(Ok)), next)))
            }
        });
        Self(pages.try_flatten().boxed())
    }

    /// A listing of what is already known; for tests and in-memory clouds.
    pub fn from_items(items: Vec<T>) -> Self
    where
        T: 'a,
    {
        Self(stream::iter(items.into_iter().map(Ok)).boxed())
    }

    /// Takes all of it. Memory grows with the number of items.
    ///
    /// # Errors
    /// The first error of the listing; what came before it is dropped, because half a listing proves nothing.
    pub async fn complete(self) -> Result<CompleteListing<T>> {
        self.0.try_collect().await.map(CompleteListing)
    }
}

impl<T> Stream for Listing<'_, T> {
    type Item = Result<T>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl<T> std::fmt::Debug for Listing<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listing(..)")
    }
}

/// A listing that ended without an error: the only thing that may be taken as "all there is".
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let all = cloud_core::Listing::from_items(vec!["a", "b"]).complete().await.unwrap();
/// assert_eq!(all.items(), ["a", "b"]);
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompleteListing<T>(Vec<T>);

impl<T> CompleteListing<T> {
    /// What was listed.
    pub fn items(&self) -> &[T] {
        &self.0
    }

    /// What was listed, by value.
    pub fn into_items(self) -> Vec<T> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, ErrorKind};

    #[tokio::test]
    async fn a_broken_listing_is_never_complete_and_ends() {
        let broken = || {
            Listing::new(PageRequest::of_size(1), |page| async move {
                match page.after {
                    None => Ok(Page { items: vec![1], next: Some(PageToken::new("1")?) }),
                    Some(_) => Err(Error::new(ErrorKind::Unavailable, "down")),
                }
            })
        };
        assert!(broken().complete().await.is_err());
        let seen: Vec<_> = broken().map(|r| r.is_ok()).collect().await;
        assert_eq!(seen, [true, false]);
    }

    #[tokio::test]
    async fn empty_pages_in_the_middle_do_not_end_it() {
        let listing = Listing::new(PageRequest::default(), |page| async move {
            let n: u32 = page.after.map_or(0, |t| t.as_str().parse().unwrap());
            Ok(Page {
                items: if n.is_multiple_of(2) { vec![n] } else { vec![] },
                next: (n < 4).then(|| PageToken::new((n + 1).to_string()).unwrap()),
            })
        });
        assert_eq!(listing.complete().await.unwrap().items(), [0, 2, 4]);
    }
}
