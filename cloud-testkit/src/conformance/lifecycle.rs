//! From creation to deletion, for every kind: seen the same from everywhere, deleted once, gone after it.

use cloud_core::{
    ClientToken, ErrorKind, ListQuery, Ownership, Resource, ResourceKind, ResourceQuery,
};

use super::{Context, Failure, Trial, context::list_all, ensure, trial_list};

pub(super) fn trials() -> Vec<Trial> {
    trial_list! {
        "lifecycle": "created, it becomes ready; get, list and get_resource agree; deleted, it is gone", |_| true => lifecycle;
        "delete_twice": "the first delete answers true, and once it is gone a second answers false", |_| true => delete_twice;
        "name_is_free_again": "once it is gone, another may have its name", |_| true => name_is_free_again;
        "tags": "tags are set by the create itself, found by filters, and wrong filters find nothing", |_| true => tags;
        "ownership": "ownership tags come back whole and list_resources finds what bears them", |_| true => ownership;
    }
}

/// The parts that do not change by themselves.
fn essence(resource: &Resource) -> String {
    format!("{} '{}' {:?} {:?}", resource.id, resource.name, resource.tags, resource.configuration)
}

async fn lifecycle(context: &Context<'_>) -> Result<(), Failure> {
    let subject = context.subject().await?;
    let made = context.create(&*subject, "a").await?;
    ensure!(made.id.kind == subject.kind(), "its id {} is of another kind", made.id);
    let anywhere = matches!(subject.kind(), ResourceKind::DnsZone | ResourceKind::HealthCheck);
    ensure!(made.id.region == context.region || anywhere, "it is in {}", made.id.region);
    ensure!(made.name == context.name_of(subject.kind(), "a"), "its name is '{}'", made.name);
    ensure!(!made.status.is_gone(), "it is {} right after its creation", made.status);
    let ready = context.ready(&made.id).await?;

    let got = subject.get(&made.id).await?;
    ensure!(
        essence(&got) == essence(&ready),
        "get says {}, get_resource {}",
        essence(&got),
        essence(&ready)
    );
    ensure!(
        ready.cloud == *context.cloud.id() && ready.provider == context.cloud.provider(),
        "it says it is in {}",
        ready.cloud
    );
    let query =
        ListQuery { tags: context.tags(&[])?, ..ListQuery::in_region(made.id.region.clone()) };
    context
        .eventually(|| async {
            let listed = list_all(&*subject, &query).await?;
            let same: Vec<_> =
                listed.iter().filter(|item| item.id == made.id).map(essence).collect();
            ensure!(
                same == [essence(&ready)],
                "the listing has {same:?}, get_resource {}",
                essence(&ready)
            );
            let everything = context.living().await?;
            let same: Vec<_> =
                everything.iter().filter(|item| item.id == made.id).map(essence).collect();
            ensure!(
                same == [essence(&ready)],
                "list_resources has {same:?}, get_resource {}",
                essence(&ready)
            );
            Ok(())
        })
        .await?;

    ensure!(subject.delete(&made.id).await?, "delete says that there was nothing");
    context.gone(&made.id).await?;
    context
        .eventually(|| async {
            let mut left = list_all(&*subject, &query).await?;
            left.retain(|item| item.id == made.id && !item.status.is_gone());
            ensure!(left.is_empty(), "it is listed although it was deleted");
            Ok(())
        })
        .await
}

async fn delete_twice(context: &Context<'_>) -> Result<(), Failure> {
    let subject = context.subject().await?;
    let made = context.create_ready(&*subject, "a").await?;
    ensure!(subject.delete(&made.id).await?, "the first delete answers false");
    context.gone(&made.id).await?;
    ensure!(!subject.delete(&made.id).await?, "the second delete answers true");
    let again =
        context.cloud.delete_resource(&made.id, &cloud_core::DeleteOptions::default()).await?;
    ensure!(!again, "delete_resource answers true after it was deleted");
    let other = context.create_ready(&*subject, "b").await?;
    let options = cloud_core::DeleteOptions::default();
    ensure!(
        context.cloud.delete_resource(&other.id, &options).await?,
        "delete_resource answers false"
    );
    context.gone(&other.id).await
}

async fn name_is_free_again(context: &Context<'_>) -> Result<(), Failure> {
    let subject = context.subject().await?;
    let first = context.create_ready(&*subject, "a").await?;
    subject.delete(&first.id).await?;
    context.gone(&first.id).await?;
    let second = cloud_core::wait_until("the name to be free", &context.wait, || async {
        match context.create(&*subject, "a").await {
            Ok(made) => Ok(Some(made)),
            Err(failure) if failure.kind() == Some(ErrorKind::AlreadyExists) => Ok(None),
            Err(failure) => Err(cloud_core::Error::new(ErrorKind::Internal, failure.to_string())),
        }
    })
    .await?;
    context.ready(&second.id).await?;
    Ok(())
}

async fn tags(context: &Context<'_>) -> Result<(), Failure> {
    let subject = context.subject().await?;
    let mut ids = Vec::new();
    for (suffix, colour) in [("a", "red"), ("b", "blue")] {
        let tags = context.tags(&[("colour", colour), ("empty", "")])?;
        let made = subject
            .create(&context.name_of(subject.kind(), suffix), &tags, &ClientToken::random())
            .await?;
        context.note(&made.id);
        ensure!(made.tags == tags, "the create answers with the tags {:?}", made.tags);
        let ready = context.ready(&made.id).await?;
        ensure!(ready.tags == tags, "its tags are {:?}", ready.tags);
        ids.push(made.id);
    }
    let region = Some(ids[0].region.clone());
    let by_tags = |pairs: &[(&str, &str)]| -> Result<ListQuery, Failure> {
        Ok(ListQuery { region: region.clone(), tags: context.tags(pairs)?, name: None })
    };
    let by_name = |name: &str| -> Result<ListQuery, Failure> {
        Ok(ListQuery { name: Some(name.to_owned()), ..by_tags(&[])? })
    };
    let cases = [
        (by_tags(&[])?, &ids[..]),
        (by_tags(&[("colour", "red")])?, &ids[..1]),
        (by_tags(&[("colour", "blue"), ("empty", "")])?, &ids[1..]),
        (by_tags(&[("colour", "green")])?, &[]),
        (by_tags(&[("color", "red")])?, &[]),
        (by_name(&context.name_of(subject.kind(), "b"))?, &ids[1..]),
        (by_name(&context.name_of(subject.kind(), "c"))?, &[]),
    ];
    for (query, wanted) in &cases {
        context
            .eventually(|| async {
                let mut found: Vec<_> =
                    list_all(&*subject, query).await?.into_iter().map(|r| r.id).collect();
                found.sort();
                let mut wanted = wanted.to_vec();
                wanted.sort();
                let parents = found.iter().any(|id| !ids.contains(id));
                found.retain(|id| ids.contains(id));
                ensure!(found == wanted, "{query:?} finds {found:?}, not {wanted:?}");
                // A hub, a peer or a source may bear the trial's tag too, but nothing else does.
                ensure!(!parents || query.tags.len() == 1, "{query:?} finds what does not match");
                Ok(())
            })
            .await?;
    }
    Ok(())
}

async fn ownership(context: &Context<'_>) -> Result<(), Failure> {
    let subject = context.subject().await?;
    let token = ClientToken::random();
    let mut mine = Ownership::new(context.name("shop"), "step-1", token.clone())?;
    mine.expires_at = jiff::Timestamp::from_second(4_000_000_000).ok();
    let mut tags = context.tags(&[])?;
    mine.write(&mut tags)?;
    let made = subject.create(&context.name_of(subject.kind(), "a"), &tags, &token).await?;
    context.note(&made.id);
    for filter in
        [Ownership::filter_token(&token), Ownership::filter_deployment(&context.name("shop"))?]
    {
        let query = ResourceQuery::tagged(filter);
        context
            .eventually(|| async {
                use cloud_core::CloudExt;
                let found = context.cloud.list_resources(&query).complete().await?.into_items();
                let ids: Vec<_> = found.iter().map(|resource| &resource.id).collect();
                ensure!(ids == [&made.id], "{:?} finds {ids:?}, not {}", query.list.tags, made.id);
                let read = Ownership::read(&found[0].tags);
                ensure!(
                    read.as_ref() == Some(&mine),
                    "ownership reads back as {read:?}, not {mine:?}"
                );
                Ok(())
            })
            .await?;
    }
    Ok(())
}
