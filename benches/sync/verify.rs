//! Whether the target has what the source has: a client that did not do its work must not win.

use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::side::Side;

/// How many objects are compared byte by byte, spread evenly.
const SAMPLES: u64 = 16;

/// Compares the keys and sizes of all `count` objects, their ETags where both are MD5s, and the bytes of some.
pub(crate) async fn verify(source: &Side, target: &Side, count: u64) -> Result<(), String> {
    let (source, target) = (source.open()?, target.open()?);
    let (mut ours, mut theirs) = (source.list(None), target.list(None));
    let failed = |error: object_store::Error| error.to_string();
    let every = count.div_ceil(SAMPLES);
    let mut found = 0;
    while let Some(object) = ours.try_next().await.map_err(failed)? {
        let Some(copy) = theirs.try_next().await.map_err(failed)? else {
            return Err(format!("the target lacks {} and what follows", object.location));
        };
        same(&object, &copy)?;
        if found % every == 0 {
            same_bytes(&*source, &*target, &object).await?;
        }
        found += 1;
    }
    if let Some(copy) = theirs.try_next().await.map_err(failed)? {
        return Err(format!("the target has {}, which the source has not", copy.location));
    }
    if found == count { Ok(()) } else { Err(format!("the source has {found} objects")) }
}

fn same(object: &ObjectMeta, copy: &ObjectMeta) -> Result<(), String> {
    if (&object.location, object.size) != (&copy.location, copy.size) {
        return Err(format!(
            "the target has {} of {} bytes where the source has {} of {}",
            copy.location, copy.size, object.location, object.size
        ));
    }
    match (md5(object), md5(copy)) {
        (Some(here), Some(there)) if here != there => {
            Err(format!("{} has the ETag {there}, not {here}", object.location))
        }
        _ => Ok(()),
    }
}

/// The MD5 in an ETag, if it is one: neither that of a multipart upload nor an opaque one.
fn md5(object: &ObjectMeta) -> Option<&str> {
    let etag = object.e_tag.as_deref()?.trim_matches('"');
    (etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(etag)
}

async fn same_bytes(
    source: &dyn ObjectStore,
    target: &dyn ObjectStore,
    object: &ObjectMeta,
) -> Result<(), String> {
    let read = async |store: &dyn ObjectStore| store.get(&object.location).await?.bytes().await;
    let both = futures::try_join!(read(source), read(target));
    let (here, there) = both.map_err(|error| error.to_string())?;
    if here == there { Ok(()) } else { Err(format!("{} has other bytes", object.location)) }
}
