//! Listings, for every kind: whole at every border between pages, and right while things come and go.

use std::collections::{BTreeMap, BTreeSet};

use cloud_core::{
    ListQuery, Page, PageRequest, Resource, ResourceId, ResourceKind, ResourceQuery,
    Result as CoreResult,
};
use futures::future::BoxFuture;

use super::{Context, Failure, Trial, ensure, subject::Subject, trial_list};

pub(super) fn trials() -> Vec<Trial> {
    trial_list! {
        "pagination": "0, 1, a page, a page and one, many pages: each item once, no page larger than asked", |_| true => pagination;
        "listing_while_mutating": "what exists throughout a listing is on it exactly once, whatever comes and goes", |_| true => mutating;
    }
}

type Fetch<'a> =
    dyn Fn(PageRequest) -> BoxFuture<'a, CoreResult<Page<Resource>>> + Send + Sync + 'a;

/// All pages, each checked against the size that was asked for.
async fn pages(fetch: &Fetch<'_>, size: u32) -> Result<Vec<ResourceId>, Failure> {
    let mut ids = Vec::new();
    let mut next = PageRequest::of_size(size);
    let mut tokens = BTreeSet::new();
    loop {
        let page = fetch(next).await?;
        ensure!(
            page.items.len() <= size as usize,
            "a page of at most {size} has {} items",
            page.items.len()
        );
        ids.extend(
            page.items.into_iter().filter(|item| !item.status.is_gone()).map(|item| item.id),
        );
        let Some(after) = page.next else {
            return Ok(ids);
        };
        ensure!(
            tokens.insert(after.as_str().to_owned()),
            "the listing goes in a circle at '{after}'"
        );
        next = PageRequest { size: Some(size), after: Some(after) };
    }
}

async fn pagination(context: &Context<'_>) -> Result<(), Failure> {
    let subject = context.subject().await?;
    let kind = subject.kind();
    let page = context.harness.page_size().max(1);
    let most = context.harness.most(kind).max(3);
    let query = ListQuery::tagged(context.tags(&[("paged", "yes")])?);
    let everything =
        ResourceQuery { kind: Some(kind), list: query.clone(), ..ResourceQuery::default() };
    let by_kind = |page: PageRequest| -> BoxFuture<'_, _> {
        Box::pin({
            let (subject, query) = (&subject, &query);
            async move { subject.list_page(query, &page).await }
        })
    };
    let by_cloud = |page: PageRequest| -> BoxFuture<'_, _> {
        Box::pin({
            let (cloud, everything) = (&context.cloud, &everything);
            async move { cloud.list_resources_page(everything, &page).await }
        })
    };
    let size = page as usize;
    let counts: BTreeSet<_> =
        [0, 1, size, size + 1, 3 * size + 1].into_iter().map(|n| n.min(most)).collect();
    let mut made = BTreeSet::new();
    for count in counts {
        while made.len() < count {
            let name = context.name_of(kind, &format!("p{}", made.len()));
            let one =
                subject.create(&name, &query.tags, &cloud_core::ClientToken::random()).await?;
            context.note(&one.id);
            made.insert(one.id);
        }
        let largest = context.capabilities().max_page_size.saturating_add(1);
        for size in [page, 1, largest] {
            for (what, fetch) in
                [("its own listing", &by_kind as &Fetch<'_>), ("list_resources", &by_cloud)]
            {
                let check = || async {
                    let ids = pages(fetch, size).await?;
                    let found: BTreeSet<_> = ids.iter().cloned().collect();
                    ensure!(
                        ids.len() == found.len(),
                        "{what} of {count} by {size} has duplicates: {ids:?}"
                    );
                    let missing: Vec<_> = made.difference(&found).collect();
                    ensure!(missing.is_empty(), "{what} of {count} by {size} lacks {missing:?}");
                    ensure!(
                        found.len() == count,
                        "{what} of {count} by {size} has more: {found:?}"
                    );
                    Ok(())
                };
                context.eventually(check).await?;
            }
        }
    }
    Ok(())
}

async fn mutating(context: &Context<'_>) -> Result<(), Failure> {
    let subject = context.subject().await?;
    let kind: ResourceKind = subject.kind();
    let page = context.harness.page_size().max(1);
    let most = context.harness.most(kind).max(3);
    let stay = (2 * page as usize + 1).min(most - 2);
    let tags = context.tags(&[("paged", "yes")])?;
    let create = async |suffix: String| -> Result<ResourceId, Failure> {
        let one = subject
            .create(&context.name_of(kind, &suffix), &tags, &cloud_core::ClientToken::random())
            .await?;
        context.ready(&one.id).await?;
        Ok(one.id)
    };
    // Those that stay and those that go, in turn, so that something goes on every page.
    let (mut staying, mut leaving) = (Vec::new(), Vec::new());
    for i in 0..stay {
        staying.push(create(format!("s{i}")).await?);
        if leaving.len() + stay + 1 < most {
            leaving.push(create(format!("l{i}")).await?);
        }
    }
    context.consistent().await;

    let query = ListQuery::tagged(tags.clone());
    let mut seen: BTreeMap<ResourceId, usize> = BTreeMap::new();
    let mut next = Some(PageRequest::of_size(page));
    let mut round = 0;
    while let Some(request) = next {
        let answer = subject.list_page(&query, &request).await?;
        for item in answer.items {
            *seen.entry(item.id).or_default() += 1;
        }
        next = answer.next.map(|after| PageRequest { size: Some(page), after: Some(after) });
        if let Some(leaver) = leaving.pop() {
            delete_soon(&*subject, &leaver).await?;
            create(format!("n{round}")).await?;
        }
        round += 1;
        ensure!(round < 1000, "the listing does not end");
    }
    for id in &staying {
        let times = seen.get(id).copied().unwrap_or(0);
        ensure!(times == 1, "{id}, which was there throughout, is listed {times} times");
    }
    Ok(())
}

async fn delete_soon(subject: &dyn Subject, id: &ResourceId) -> Result<(), Failure> {
    ensure!(subject.delete(id).await?, "{id} is not there to be deleted");
    Ok(())
}
