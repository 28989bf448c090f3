//! Creates that survive a crash, an outage, and a caller who goes away.

use std::{future::Future, sync::Arc};

use cloud_core::{Effect, ResourceId, ResourceStatus, Result};
use serde::{Serialize, de::DeserializeOwned};

use super::engines;
use crate::{
    error::join_error,
    state::{Begun, Record, State},
};

/// Does what a create is about, in a task that runs to its end, and records that it is done; undoes it if it fails.
pub(crate) async fn complete<T, F, Fut>(
    state: &Arc<State>,
    begun: Begun<T>,
    make: F,
) -> Result<Record<T>>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    F: FnOnce(Record<T>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<T>> + Send,
{
    let id = match begun {
        Begun::Done(record) => return Ok(record),
        Begun::New(record) | Begun::Unfinished(record) => record.id,
    };
    let state = state.clone();
    detached(async move {
        let _alone = state.lock_resource(&id).await?;
        let record = state.get::<T>(&id).await?;
        if record.status != ResourceStatus::Creating {
            // Whoever had the lock before has ended it.
            return Ok(record);
        }
        let finished = match make(record).await {
            Ok(body) => {
                let done = move |record: &mut Record<T>| {
                    record.status = ResourceStatus::Running;
                    record.body = body;
                    Ok(())
                };
                state.update(&id, done).await
            }
            Err(error) => Err(error),
        };
        match finished {
            Ok(record) => Ok(record),
            Err(error) => match undo(&state, &id).await {
                Ok(()) => Err(error.with_effect(Effect::None)),
                Err(left) => Err(error
                    .with_effect(Effect::Unknown)
                    .with_hint(format!("not all of it could be undone ({left}): delete {id}"))),
            },
        }
    })
    .await
}

/// Removes what a failed create has made, in a region that went down meanwhile too.
pub(crate) async fn undo(state: &Arc<State>, id: &ResourceId) -> Result<()> {
    let (id, folder) = (id.clone(), state.data_dir(id)?);
    state.blocking(move || engines::stop(&folder)).await?;
    state.locked_while_down(move |s| s.remove(&id).map(drop)).await
}

/// Runs to its end whether or not anybody waits for it.
pub(crate) async fn detached<R: Send + 'static>(
    work: impl Future<Output = Result<R>> + Send + 'static,
) -> Result<R> {
    tokio::spawn(work).await.map_err(join_error)?
}
