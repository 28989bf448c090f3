//! The data plane: whatever `object_store::ObjectStore` promises, on a real bucket.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use cloud_core::{
    BucketSpec, Capabilities, ClientToken, DeleteOptions, Error, ErrorKind, ResourceId,
    StorageCapabilities, StorageExt, VersionQuery,
};
use futures::TryStreamExt;
use object_store::{
    Attribute, Attributes, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutOptions,
    path::Path,
};

use super::{Context, Failure, Trial, ensure, trial_list};

pub(super) fn storage(can: &Capabilities, wanted: fn(&StorageCapabilities) -> bool) -> bool {
    can.storage.as_ref().is_some_and(wanted)
}

pub(super) fn trials() -> Vec<Trial> {
    trial_list! {
        "objects.round_trip": "what is put is what is got, whole, by range, and as metadata", |can| can.storage.is_some() => round_trip;
        "objects.empty": "an object of no bytes is an object", |can| can.storage.is_some() => empty;
        "objects.absent": "what is not there is NotFound, and to delete it is no harm", |can| can.storage.is_some() => absent;
        "objects.list": "listings by prefix and delimiter have what is below, whole parts only", |can| can.storage.is_some() => list;
        "objects.list_pages": "a listing of more than a page has each object once", |can| can.storage.is_some() => list_pages;
        "objects.keys": "odd keys are kept byte for byte, and keys that begin alike are apart", |can| can.storage.is_some() => keys;
        "objects.longest_key": "the longest declared key is accepted, a longer one refused without effect", |can| can.storage.is_some() => longest_key;
        "objects.copy": "a copy is its own object", |can| can.storage.is_some() => copy;
        "objects.metadata": "content type and user metadata come back", |can| storage(can, |s| s.object_metadata) => metadata;
        "objects.versions": "old versions can be listed and read, deletions leave a marker", |can| storage(can, |s| s.versioning) => versions;
        "objects.bucket_not_empty": "a bucket with objects is refused to be deleted unless with its contents", |can| can.storage.is_some() => not_empty;
        "objects.buckets_apart": "two buckets share no object", |can| can.storage.is_some() => apart;
    }
}

/// A bucket of the trial, and a handle to its objects.
pub(super) async fn bucket(
    context: &Context<'_>,
    suffix: &str,
    versioning: bool,
) -> Result<(ResourceId, Arc<dyn ObjectStore>), Failure> {
    let mut spec = BucketSpec::new(context.name(suffix), context.region.clone());
    (spec.versioning, spec.tags) = (versioning, context.tags(&[])?);
    let storage = context.cloud.storage()?;
    let made = storage.create_bucket(&spec, &ClientToken::random()).await?;
    context.ready(&made.id).await?;
    let objects = storage.object_store(&made.id).await?;
    Ok((made.id, objects))
}

pub(super) async fn read(objects: &dyn ObjectStore, key: &Path) -> Result<Bytes, Failure> {
    Ok(objects.get(key).await?.bytes().await?)
}

async fn all(objects: &dyn ObjectStore, prefix: Option<&Path>) -> Result<Vec<String>, Failure> {
    let listed: Vec<_> = objects.list(prefix).try_collect().await?;
    let mut keys: Vec<_> = listed.into_iter().map(|meta| meta.location.to_string()).collect();
    keys.sort();
    Ok(keys)
}

/// The kind that an error of the data plane has among ours.
pub(super) fn kind_of<T>(answer: object_store::Result<T>) -> Option<ErrorKind> {
    answer.err().map(|error| Error::from(error).kind())
}

async fn round_trip(context: &Context<'_>) -> Result<(), Failure> {
    let (_, objects) = bucket(context, "a", false).await?;
    let key = Path::from("folder/hello.txt");
    let data = Bytes::from_static(b"0123456789");
    objects.put(&key, data.clone().into()).await?;
    ensure!(read(&*objects, &key).await? == data, "the object reads back otherwise");
    let head = objects.head(&key).await?;
    ensure!(head.size == 10 && head.location == key, "its metadata are {head:?}");
    ensure!(objects.get_range(&key, 2..5).await? == "234", "the range 2..5 reads otherwise");
    let ranges = objects.get_ranges(&key, &[0..1, 8..10]).await?;
    ensure!(ranges == ["0", "89"], "two ranges read {ranges:?}");
    for (range, wanted) in [
        (GetRange::Suffix(3), "789"),
        (GetRange::Offset(7), "789"),
        (GetRange::Bounded(7..99), "789"),
    ] {
        let options = GetOptions { range: Some(range.clone()), ..GetOptions::default() };
        let got = objects.get_opts(&key, options).await?.bytes().await?;
        ensure!(got == wanted, "the range {range:?} reads {got:?}");
    }
    objects.put(&key, "other".into()).await?;
    ensure!(read(&*objects, &key).await? == "other", "an overwritten object has its old contents");
    objects.delete(&key).await?;
    let kind = kind_of(objects.get(&key).await);
    ensure!(kind == Some(ErrorKind::NotFound), "a deleted object answers {kind:?}");
    Ok(())
}

async fn empty(context: &Context<'_>) -> Result<(), Failure> {
    let (_, objects) = bucket(context, "a", false).await?;
    let key = Path::from("empty");
    objects.put(&key, Bytes::new().into()).await?;
    ensure!(read(&*objects, &key).await?.is_empty(), "it is not empty");
    ensure!(objects.head(&key).await?.size == 0, "its size is not 0");
    ensure!(all(&*objects, None).await? == ["empty"], "it is not listed");
    Ok(())
}

async fn absent(context: &Context<'_>) -> Result<(), Failure> {
    let (_, objects) = bucket(context, "a", false).await?;
    let key = Path::from("nothing/here");
    for kind in [
        kind_of(objects.get(&key).await),
        kind_of(objects.head(&key).await),
        kind_of(objects.copy(&key, &Path::from("to")).await),
    ] {
        ensure!(
            kind == Some(ErrorKind::NotFound),
            "an absent object answers {kind:?}, not NotFound"
        );
    }
    // Some providers say that it was deleted, some that it was not there.
    let kind = kind_of(objects.delete(&key).await);
    ensure!(
        kind.is_none_or(|kind| kind == ErrorKind::NotFound),
        "to delete an absent object answers {kind:?}"
    );
    ensure!(all(&*objects, None).await?.is_empty(), "an empty bucket lists something");
    Ok(())
}

async fn list(context: &Context<'_>) -> Result<(), Failure> {
    let (_, objects) = bucket(context, "a", false).await?;
    let keys = ["a", "b/1", "b/2", "b/c/3", "b-4", "ba/5"];
    for key in keys {
        objects.put(&Path::from(key), key.into()).await?;
    }
    let mut sorted = keys.map(str::to_owned).to_vec();
    sorted.sort();
    let listed = all(&*objects, None).await?;
    ensure!(listed == sorted, "the listing has {listed:?}");
    let below = all(&*objects, Some(&Path::from("b"))).await?;
    ensure!(below == ["b/1", "b/2", "b/c/3"], "below b there is {below:?}");
    let none = all(&*objects, Some(&Path::from("b/1"))).await?;
    ensure!(none.is_empty(), "below an object there is {none:?}");

    let top = objects.list_with_delimiter(None).await?;
    let mut files: Vec<_> = top.objects.iter().map(|meta| meta.location.as_ref()).collect();
    let mut folders: Vec<_> = top.common_prefixes.iter().map(AsRef::as_ref).collect();
    files.sort_unstable();
    folders.sort_unstable();
    ensure!(
        files == ["a", "b-4"] && folders == ["b", "ba"],
        "the top has {files:?} and {folders:?}"
    );
    let inner = objects.list_with_delimiter(Some(&Path::from("b"))).await?;
    ensure!(
        inner.objects.len() == 2 && inner.common_prefixes == [Path::from("b/c")],
        "b has {inner:?}"
    );

    let after: Vec<_> = objects.list_with_offset(None, &Path::from("b/1")).try_collect().await?;
    let after: BTreeSet<_> = after.iter().map(|meta| meta.location.as_ref()).collect();
    ensure!(after == BTreeSet::from(["b/2", "b/c/3", "ba/5"]), "after b/1 there is {after:?}");
    Ok(())
}

async fn list_pages(context: &Context<'_>) -> Result<(), Failure> {
    let (_, objects) = bucket(context, "a", false).await?;
    const COUNT: usize = 1005;
    let keys: Vec<_> = (0..COUNT).map(|i| Path::from(format!("many/{i:05}"))).collect();
    for chunk in keys.chunks(50) {
        futures::future::try_join_all(chunk.iter().map(|key| objects.put(key, "x".into()))).await?;
    }
    let listed = all(&*objects, Some(&Path::from("many"))).await?;
    let wanted: Vec<_> = keys.iter().map(ToString::to_string).collect();
    ensure!(
        listed == wanted,
        "of {COUNT} objects {} are listed, {} of them different",
        listed.len(),
        listed.iter().collect::<BTreeSet<_>>().len()
    );
    Ok(())
}

async fn keys(context: &Context<'_>) -> Result<(), Failure> {
    let (_, objects) = bucket(context, "a", false).await?;
    let odd = [
        "größe/日本語",
        "with space",
        "percent%2Fsign",
        "plus+and&amp",
        "quote'\"",
        "a",
        "ab",
        "a.b",
        "dots...more",
        "~tilde",
        "semi;colon=x",
        "CASE",
        "case",
        "emoji-🦀",
    ];
    let odd: Vec<_> = odd
        .iter()
        .map(|key| Path::parse(key).map_err(|e| Failure::new(e.to_string())))
        .collect::<Result<_, _>>()?;
    for key in &odd {
        objects.put(key, key.to_string().into()).await?;
    }
    for key in &odd {
        let got = read(&*objects, key).await?;
        ensure!(got == key.as_ref(), "'{key}' reads {got:?}");
    }
    let mut wanted: Vec<_> = odd.iter().map(ToString::to_string).collect();
    wanted.sort();
    let listed = all(&*objects, None).await?;
    ensure!(listed == wanted, "the listing has {listed:?}, not {wanted:?}");
    objects.delete(&Path::from("a")).await?;
    ensure!(read(&*objects, &Path::from("ab")).await? == "ab", "to delete 'a' took 'ab' along");
    Ok(())
}

async fn longest_key(context: &Context<'_>) -> Result<(), Failure> {
    let most = context.capabilities().storage.as_ref().map_or(0, |s| s.max_key_bytes);
    let (_, objects) = bucket(context, "a", false).await?;
    // Parts of at most 200 bytes, as a cloud of directories would want, and together as long as may be.
    let mut text = String::new();
    while text.len() < most {
        let slash = (text.len() + 1).is_multiple_of(200) && text.len() + 1 < most;
        text.push(if slash { '/' } else { 'k' });
    }
    let fits = Path::from(text);
    objects.put(&fits, "x".into()).await?;
    ensure!(
        read(&*objects, &fits).await? == "x",
        "a key of {} bytes reads otherwise",
        fits.as_ref().len()
    );
    let longer = Path::from(format!("{fits}k"));
    let kind = kind_of(objects.put(&longer, "x".into()).await);
    ensure!(
        kind == Some(ErrorKind::InvalidInput),
        "a key of {} bytes answers {kind:?}, not InvalidInput",
        longer.as_ref().len()
    );
    ensure!(all(&*objects, None).await?.len() == 1, "the refused object is listed");
    Ok(())
}

async fn copy(context: &Context<'_>) -> Result<(), Failure> {
    let (_, objects) = bucket(context, "a", false).await?;
    let (from, to) = (Path::from("from"), Path::from("deep/to"));
    objects.put(&from, "one".into()).await?;
    objects.copy(&from, &to).await?;
    objects.put(&from, "two".into()).await?;
    ensure!(read(&*objects, &to).await? == "one", "a copy changes with its source");
    objects.copy(&from, &to).await?;
    ensure!(read(&*objects, &to).await? == "two", "a copy does not overwrite");
    objects.rename(&from, &Path::from("renamed")).await?;
    let kind = kind_of(objects.head(&from).await);
    ensure!(kind == Some(ErrorKind::NotFound), "what was renamed answers {kind:?}");
    ensure!(
        read(&*objects, &Path::from("renamed")).await? == "two",
        "what was renamed reads otherwise"
    );
    Ok(())
}

async fn metadata(context: &Context<'_>) -> Result<(), Failure> {
    let (_, objects) = bucket(context, "a", false).await?;
    let attributes = Attributes::from_iter([
        (Attribute::ContentType, "text/markdown"),
        (Attribute::CacheControl, "max-age=60"),
        (Attribute::Metadata("author".into()), "ada"),
    ]);
    let key = Path::from("page");
    objects.put_opts(&key, "# hi".into(), PutOptions::from(attributes.clone())).await?;
    let got = objects.get(&key).await?;
    for (name, value) in &attributes {
        ensure!(
            got.attributes.get(name) == Some(value),
            "{name:?} comes back as {:?}",
            got.attributes.get(name)
        );
    }
    objects.copy(&key, &Path::from("copy")).await?;
    let copied = objects.get(&Path::from("copy")).await?;
    ensure!(
        copied.attributes.get(&Attribute::ContentType) == attributes.get(&Attribute::ContentType),
        "a copy loses its content type"
    );
    objects.put(&key, "plain".into()).await?;
    let kept =
        objects.get(&key).await?.attributes.get(&Attribute::Metadata("author".into())).cloned();
    ensure!(kept.is_none(), "an overwritten object keeps the old metadata");
    Ok(())
}

async fn versions(context: &Context<'_>) -> Result<(), Failure> {
    let (id, objects) = bucket(context, "a", true).await?;
    let storage = context.cloud.storage()?;
    ensure!(storage.get_bucket(&id).await?.versioning, "the bucket says that it is not versioned");
    let key = Path::from("doc/1");
    objects.put(&key, "one".into()).await?;
    objects.put(&key, "two".into()).await?;
    objects.put(&Path::from("other"), "x".into()).await?;
    objects.delete(&key).await?;
    let kind = kind_of(objects.head(&key).await);
    ensure!(kind == Some(ErrorKind::NotFound), "a deleted object answers {kind:?}");
    let query = VersionQuery { bucket: id, prefix: Some(Path::from("doc")) };
    let versions = storage.list_object_versions(&query).complete().await?.into_items();
    let shape: Vec<_> =
        versions.iter().map(|v| (v.location.as_ref(), v.is_latest, v.is_delete_marker)).collect();
    let wanted = [("doc/1", true, true), ("doc/1", false, false), ("doc/1", false, false)];
    ensure!(shape == wanted, "the versions are {versions:?}");
    for (version, wanted) in [(&versions[1], "two"), (&versions[2], "one")] {
        let options =
            GetOptions { version: Some(version.version.clone()), ..GetOptions::default() };
        let got = objects.get_opts(&key, options).await?.bytes().await?;
        ensure!(got == wanted, "version {} reads {got:?}, not {wanted}", version.version);
        ensure!(version.size == 3, "version {} has the size {}", version.version, version.size);
    }
    Ok(())
}

async fn not_empty(context: &Context<'_>) -> Result<(), Failure> {
    let (id, objects) = bucket(context, "a", false).await?;
    let storage = context.cloud.storage()?;
    objects.put(&Path::from("kept/safe"), "x".into()).await?;
    let kind = storage.delete_bucket(&id, &DeleteOptions::default()).await.err().map(|e| e.kind());
    ensure!(
        kind == Some(ErrorKind::Conflict),
        "to delete a bucket with objects answers {kind:?}, not Conflict"
    );
    ensure!(
        read(&*objects, &Path::from("kept/safe")).await? == "x",
        "the refused delete took the object"
    );
    ensure!(
        storage.delete_bucket(&id, &DeleteOptions { with_contents: true }).await?,
        "delete says that there was nothing"
    );
    context.gone(&id).await?;
    let kind = kind_of(objects.get(&Path::from("kept/safe")).await);
    ensure!(kind.is_some(), "an object of a deleted bucket can be read");
    Ok(())
}

async fn apart(context: &Context<'_>) -> Result<(), Failure> {
    let (_, one) = bucket(context, "a", false).await?;
    let (_, other) = bucket(context, "ab", false).await?;
    one.put(&Path::from("k"), "x".into()).await?;
    ensure!(all(&*other, None).await?.is_empty(), "an object of one bucket is in another");
    Ok(())
}
