//! Errors, for every kind: what is not there is `NotFound`, what cannot be meant is `InvalidInput`, and neither has an effect.

use cloud_core::{
    DeleteOptions, Effect, Error, ErrorKind, ListQuery, PageRequest, PageToken, Region, ResourceId,
    ResourceKind,
};

use super::{Context, Failure, Trial, ensure, trial_list};

pub(super) fn trials() -> Vec<Trial> {
    trial_list! {
        "not_found": "to get what was deleted fails with NotFound and no effect", |_| true => not_found;
        "wrong_kind": "ids of another kind are refused with InvalidInput", |_| true => wrong_kind;
        "hostile_ids": "ids made up from paths find and delete nothing", |_| true => hostile_ids;
        "unknown_region": "a listing of a region that is not there is refused or empty, a page token from elsewhere refused", |_| true => unknown_region;
    }
}

fn harmless(error: &Error, kinds: &[ErrorKind], what: &str) -> Result<(), Failure> {
    ensure!(
        kinds.contains(&error.kind()),
        "{what} fails with {error:?}, not with one of {kinds:?}"
    );
    ensure!(error.effect() == Effect::None, "{what} fails with the effect {:?}", error.effect());
    Ok(())
}

async fn not_found(context: &Context<'_>) -> Result<(), Failure> {
    let subject = context.subject().await?;
    let made = context.create_ready(&*subject, "a").await?;
    subject.delete(&made.id).await?;
    context.gone(&made.id).await?;
    let answers = [
        ("get", subject.get(&made.id).await),
        ("get_resource", context.cloud.get_resource(&made.id).await),
    ];
    for (what, answer) in answers {
        match answer {
            Ok(found) => {
                ensure!(found.status.is_gone(), "{what} of what is gone finds it {}", found.status)
            }
            Err(error) => harmless(&error, &[ErrorKind::NotFound], what)?,
        }
    }
    Ok(())
}

async fn wrong_kind(context: &Context<'_>) -> Result<(), Failure> {
    let subject = context.subject().await?;
    for kind in ResourceKind::ALL.into_iter().filter(|kind| *kind != subject.kind()) {
        let id = ResourceId::new(kind, context.region.clone(), "anything")?;
        match subject.get(&id).await {
            Ok(found) => return Err(Failure::new(format!("get of {id} finds {}", found.id))),
            Err(error) => harmless(&error, &[ErrorKind::InvalidInput], &format!("get of {id}"))?,
        }
        match subject.delete(&id).await {
            Ok(deleted) => return Err(Failure::new(format!("delete of {id} answers {deleted}"))),
            Err(error) => harmless(&error, &[ErrorKind::InvalidInput], &format!("delete of {id}"))?,
        }
    }
    Ok(())
}

async fn hostile_ids(context: &Context<'_>) -> Result<(), Failure> {
    let subject = context.subject().await?;
    let bystander = context.create_ready(&*subject, "a").await?;
    let long = "x".repeat(2048);
    let traversal = format!("x/../{}", bystander.id.native());
    let natives = [
        ".",
        "..",
        "../..",
        "../../../../etc/passwd",
        "/etc/passwd",
        "a\\..\\b",
        "%2e%2e%2f",
        "x' OR '1'='1",
        "größe",
        &long,
        &traversal,
    ];
    let kinds = [ErrorKind::NotFound, ErrorKind::InvalidInput];
    for native in natives {
        let id = ResourceId::new(subject.kind(), context.region.clone(), native)?;
        match subject.get(&id).await {
            Ok(found) => return Err(Failure::new(format!("get of {id} finds {}", found.id))),
            Err(error) => harmless(&error, &kinds, &format!("get of {id}"))?,
        }
        let options = DeleteOptions { with_contents: true };
        let answers =
            [subject.delete(&id).await, context.cloud.delete_resource(&id, &options).await];
        for answer in answers {
            match answer {
                Ok(deleted) => ensure!(!deleted, "delete of {id} says that it deleted something"),
                Err(error) => harmless(&error, &kinds, &format!("delete of {id}"))?,
            }
        }
    }
    subject.get(&bystander.id).await?;
    Ok(())
}

async fn unknown_region(context: &Context<'_>) -> Result<(), Failure> {
    let subject = context.subject().await?;
    let nowhere = ListQuery::in_region(Region::new("no-such-region-1")?);
    match subject.list_page(&nowhere, &PageRequest::default()).await {
        Ok(page) => ensure!(
            page.items.is_empty(),
            "a region that is not there has {} items",
            page.items.len()
        ),
        Err(error) => harmless(
            &error,
            &[ErrorKind::InvalidInput, ErrorKind::NotFound],
            "listing a region that is not there",
        )?,
    }
    let page = PageRequest { size: Some(1), after: Some(PageToken::new("../no page token")?) };
    let query = ListQuery::in_region(context.region.clone());
    if let Err(error) = subject.list_page(&query, &page).await {
        harmless(&error, &[ErrorKind::InvalidInput], "listing from a page token that is none")?;
    }
    Ok(())
}
