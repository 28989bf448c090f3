//! Cancellation in flight, for every kind: a create that was dropped somewhere and then repeated makes one resource.

use cloud_core::ClientToken;
use tokio::time::timeout;

use super::{
    Context, Failure, Trial, ensure,
    idempotency::{made_by, owned_tags},
    trial_list,
};

pub(super) fn trials() -> Vec<Trial> {
    trial_list! {
        "cancelled_create": "a create dropped in flight and repeated with its token makes one resource, and its delete leaves none", |can| can.idempotent_tokens => cancelled;
        "cancelled_delete": "a delete dropped in flight and repeated leaves nothing", |_| true => cancelled_delete;
    }
}

async fn cancelled(context: &Context<'_>) -> Result<(), Failure> {
    let subject = context.subject().await?;
    for (i, after) in context.harness.abandon_after().into_iter().enumerate() {
        let token = ClientToken::random();
        let name = context.name_of(subject.kind(), &format!("c{i}"));
        let tags = owned_tags(context, &token)?;
        // Whether it ended in time or not, the answer is thrown away as a crash would.
        let _ = timeout(after, subject.create(&name, &tags, &token)).await;
        let made = cloud_core::wait_until("the repeated create", &context.wait, || async {
            match subject.create(&name, &tags, &token).await {
                Ok(made) => Ok(Some(made)),
                // The first request is still under way.
                Err(error) if error.kind() == cloud_core::ErrorKind::Conflict => Ok(None),
                Err(error) => Err(error),
            }
        })
        .await
        .map_err(|e| {
            Failure::new(format!("abandoned after {after:?}, the create cannot be repeated: {e:?}"))
        })?;
        context.ready(&made.id).await?;
        made_by(context, &token, std::slice::from_ref(&made.id))
            .await
            .map_err(|failure| Failure::new(format!("abandoned after {after:?}: {failure}")))?;
        ensure!(subject.delete(&made.id).await?, "delete says that there was nothing");
        context.gone(&made.id).await?;
        made_by(context, &token, &[]).await?;
    }
    Ok(())
}

async fn cancelled_delete(context: &Context<'_>) -> Result<(), Failure> {
    let subject = context.subject().await?;
    for (i, after) in context
        .harness
        .abandon_after()
        .into_iter()
        .enumerate()
        .take(context.harness.most(subject.kind()))
    {
        let made = context.create_ready(&*subject, &format!("d{i}")).await?;
        let _ = timeout(after, subject.delete(&made.id)).await;
        subject.delete(&made.id).await?;
        context.gone(&made.id).await?;
    }
    Ok(())
}
