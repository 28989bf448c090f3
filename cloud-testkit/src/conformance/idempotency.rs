//! Client tokens, for every kind: the same create again is the same resource, and no other create is.

use cloud_core::{ClientToken, ErrorKind, Ownership, ResourceId};
use futures::future::join_all;

use super::{
    Context, Failure, Trial, ensure,
    subject::{Subject, unique_names},
    trial_list,
};

pub(super) fn trials() -> Vec<Trial> {
    trial_list! {
        "repeated_create": "the same token and spec twice make one resource", |can| can.idempotent_tokens => repeated;
        "concurrent_creates": "8 tasks with the same token and spec make one resource", |can| can.idempotent_tokens => concurrent;
        "token_of_another_spec": "a token that was used with another spec is refused with Conflict and no effect", |can| can.idempotent_tokens => other_spec;
        "different_tokens": "different tokens and names make different resources", |_| true => different;
        "already_exists": "where names are unique, a second resource of one name is refused", |_| true => already_exists;
    }
}

/// Fails unless exactly these bear the token.
pub(super) async fn made_by(
    context: &Context<'_>,
    token: &ClientToken,
    wanted: &[ResourceId],
) -> Result<(), Failure> {
    // Only after the window can a duplicate no longer hide.
    context.consistent().await;
    let living = context.living().await?;
    let bears =
        |tags: &cloud_core::Tags| Ownership::read(tags).is_some_and(|mine| mine.token == *token);
    let found: Vec<_> = living
        .into_iter()
        .filter(|r| bears(&r.tags) && !r.status.is_gone())
        .map(|r| r.id)
        .collect();
    ensure!(found == wanted, "the token made {found:?}, not {wanted:?}");
    Ok(())
}

pub(super) fn owned_tags(
    context: &Context<'_>,
    token: &ClientToken,
) -> Result<cloud_core::Tags, Failure> {
    let mut tags = context.tags(&[])?;
    Ownership::new(context.name("plan"), "step", token.clone())?.write(&mut tags)?;
    Ok(tags)
}

async fn repeated(context: &Context<'_>) -> Result<(), Failure> {
    let subject = context.subject().await?;
    let token = ClientToken::random();
    let (name, tags) = (context.name_of(subject.kind(), "a"), owned_tags(context, &token)?);
    let first = subject.create(&name, &tags, &token).await?;
    context.note(&first.id);
    let second = subject.create(&name, &tags, &token).await?;
    context.note(&second.id);
    ensure!(first.id == second.id, "the repeated create made {} besides {}", second.id, first.id);
    context.ready(&first.id).await?;
    let third = subject.create(&name, &tags, &token).await?;
    context.note(&third.id);
    ensure!(
        first.id == third.id,
        "repeated once it was ready, the create made {} besides {}",
        third.id,
        first.id
    );
    made_by(context, &token, &[first.id]).await
}

async fn concurrent(context: &Context<'_>) -> Result<(), Failure> {
    let subject = context.subject().await?;
    let token = ClientToken::random();
    let (name, tags) = (context.name_of(subject.kind(), "a"), owned_tags(context, &token)?);
    let create = || {
        let (subject, name, tags, token) =
            (subject.clone(), name.clone(), tags.clone(), token.clone());
        tokio::spawn(async move { subject.create(&name, &tags, &token).await })
    };
    let answers = join_all((0..8).map(|_| create())).await;
    let mut made = Vec::new();
    for answer in answers {
        match answer.map_err(|e| Failure::new(format!("a task died: {e}")))? {
            Ok(resource) => {
                context.note(&resource.id);
                made.push(resource.id);
            }
            // A provider may refuse the second while the first is under way; it must not make another.
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    ensure!(!made.is_empty(), "none of 8 creates succeeded");
    made.dedup();
    ensure!(made.len() == 1, "8 creates with one token made {made:?}");
    made_by(context, &token, &made).await
}

async fn other_spec(context: &Context<'_>) -> Result<(), Failure> {
    let subject = context.subject().await?;
    let token = ClientToken::random();
    let tags = owned_tags(context, &token)?;
    let first = subject.create(&context.name_of(subject.kind(), "a"), &tags, &token).await?;
    context.note(&first.id);
    let other = subject.create(&context.name_of(subject.kind(), "b"), &tags, &token).await;
    match other {
        Ok(other) => {
            context.note(&other.id);
            Err(Failure::new(format!(
                "the token of {} was taken for another spec, which gave {}",
                first.id, other.id
            )))
        }
        Err(error) => {
            ensure!(
                error.kind() == ErrorKind::Conflict,
                "it is refused with {error:?}, not with Conflict"
            );
            ensure!(
                error.effect() == cloud_core::Effect::None,
                "the refusal has the effect {:?}",
                error.effect()
            );
            made_by(context, &token, &[first.id]).await
        }
    }
}

async fn different(context: &Context<'_>) -> Result<(), Failure> {
    let subject = context.subject().await?;
    let first = context.create(&*subject, "a").await?;
    let second = context.create(&*subject, "b").await?;
    ensure!(first.id != second.id, "both are {}", first.id);
    context.ready(&first.id).await?;
    context.ready(&second.id).await?;
    Ok(())
}

async fn already_exists(context: &Context<'_>) -> Result<(), Failure> {
    let subject = context.subject().await?;
    if unique_names(context.capabilities(), subject.kind()) != Some(true) {
        return Err(Failure::skip("names need not be unique"));
    }
    let first = context.create(&*subject, "a").await?;
    second_is_refused(context, &*subject, "while it is made").await?;
    context.ready(&first.id).await?;
    second_is_refused(context, &*subject, "once it is ready").await
}

async fn second_is_refused(
    context: &Context<'_>,
    subject: &dyn Subject,
    when: &str,
) -> Result<(), Failure> {
    let name = context.name_of(subject.kind(), "a");
    match subject.create(&name, &context.tags(&[])?, &ClientToken::random()).await {
        Ok(second) => {
            context.note(&second.id);
            Err(Failure::new(format!("{when}, a second of its name was made: {}", second.id)))
        }
        Err(error) => {
            ensure!(
                error.kind() == ErrorKind::AlreadyExists,
                "{when}, a second of its name is refused with {error:?}"
            );
            ensure!(
                error.effect() == cloud_core::Effect::None,
                "the refusal has the effect {:?}",
                error.effect()
            );
            Ok(())
        }
    }
}
