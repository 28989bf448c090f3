//! The floor: object_store in a loop on one thread. What is not there or has another size or ETag is read whole and written.

use std::collections::HashMap;

use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::{process, side::Side};

/// The first argument of a process that is this client.
pub(crate) const NAIVE: &str = "--naive";

/// How many objects are under way at once.
const AT_ONCE: usize = 64;

/// The command that syncs these.
pub(crate) fn command(source: &Side, target: &Side) -> Result<std::process::Command, String> {
    let mut command = process::this()?;
    command.arg(NAIVE).args(source.words()).args(target.words());
    Ok(command)
}

/// The process that is this client.
pub(crate) fn main(mut words: impl Iterator<Item = String>) -> Result<(), String> {
    let source = Side::from_words(&mut words).ok_or("no source")?;
    let target = Side::from_words(&mut words).ok_or("no target")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(sync(&*source.open()?, &*target.open()?)).map_err(|error| error.to_string())
}

async fn sync(source: &dyn ObjectStore, target: &dyn ObjectStore) -> object_store::Result<()> {
    let there: HashMap<_, _> =
        target.list(None).map_ok(|object| (object.location.clone(), object)).try_collect().await?;
    let differs = |object: &ObjectMeta| {
        there
            .get(&object.location)
            .is_none_or(|other| (object.size, &object.e_tag) != (other.size, &other.e_tag))
    };
    source
        .list(None)
        .try_filter(|object| std::future::ready(differs(object)))
        .try_for_each_concurrent(AT_ONCE, |object| async move {
            let body = source.get(&object.location).await?.bytes().await?;
            target.put(&object.location, body.into()).await?;
            Ok(())
        })
        .await
}
