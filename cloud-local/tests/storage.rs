//! Buckets and what is in them: conditions, metadata, versions, streaming, and that nothing is half written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use cloud_core::{
    Bucket, BucketSpec, ClientToken, Cloud, DeleteOptions, Error, ErrorKind, Storage, StorageExt,
    VersionQuery,
};
use common::{Folder, region};
use futures::{StreamExt, TryStreamExt};
use object_store::{
    Attribute, Attributes, CopyMode, CopyOptions, GetOptions, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, PutPayload, UpdateVersion, WriteMultipart, path::Path,
};

async fn bucket(
    folder: &Folder,
    versioning: bool,
) -> (Arc<dyn Storage>, Bucket, Arc<dyn ObjectStore>) {
    let storage = folder.open().await.storage().unwrap();
    let mut spec = BucketSpec::new("größe", region("eu-1"));
    spec.versioning = versioning;
    let bucket = storage.create_bucket(&spec, &ClientToken::random()).await.unwrap();
    let objects = storage.object_store(&bucket.id).await.unwrap();
    (storage, bucket, objects)
}

async fn read(objects: &dyn ObjectStore, key: &str) -> Bytes {
    objects.get(&Path::from(key)).await.unwrap().bytes().await.unwrap()
}

async fn keys(objects: &dyn ObjectStore, prefix: Option<&str>) -> Vec<String> {
    let prefix = prefix.map(Path::from);
    let listed: Vec<_> = objects.list(prefix.as_ref()).try_collect().await.unwrap();
    let mut keys: Vec<_> = listed.into_iter().map(|meta| meta.location.to_string()).collect();
    keys.sort();
    keys
}

fn blobs(folder: &Folder) -> usize {
    folder.files().iter().filter(|f| f.contains("/blobs/")).count()
}

#[tokio::test]
async fn objects_of_any_name_are_kept_apart() {
    let folder = Folder::new();
    let (_, _, objects) = bucket(&folder, false).await;
    let long = "k".repeat(1024);
    let names = ["a", "a/b", "a/b/c", "a#1", "b.o", "b.d/x", "größe/日本", ".hidden", &long];
    for name in names {
        objects.put(&Path::from(name), name.to_owned().into()).await.unwrap();
    }
    for name in names {
        assert_eq!(read(&*objects, name).await, name);
    }
    let mut wanted: Vec<_> = names.iter().map(|n| Path::from(*n).to_string()).collect();
    wanted.sort();
    assert_eq!(keys(&*objects, None).await, wanted);
    assert_eq!(keys(&*objects, Some("a")).await, ["a/b", "a/b/c"]);
    let level = objects.list_with_delimiter(None).await.unwrap();
    assert_eq!(level.common_prefixes, [Path::from("a"), Path::from("b.d"), Path::from("größe")]);
    assert_eq!(level.objects.len(), 5);
    let level = objects.list_with_delimiter(Some(&Path::from("a"))).await.unwrap();
    assert_eq!(level.common_prefixes, [Path::from("a/b")]);
    objects.delete(&Path::from("a/b/c")).await.unwrap();
    let level = objects.list_with_delimiter(Some(&Path::from("a"))).await.unwrap();
    assert!(level.common_prefixes.is_empty());
    assert_eq!(read(&*objects, "a/b").await, "a/b");
    let too_long = Path::from("k".repeat(1025));
    let error: Error = objects.put(&too_long, "x".into()).await.unwrap_err().into();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn metadata_ranges_and_conditions() {
    let folder = Folder::new();
    let (_, _, objects) = bucket(&folder, false).await;
    let key = Path::from("doc");
    let attributes = Attributes::from_iter([
        (Attribute::ContentType, "text/plain"),
        (Attribute::Metadata("owner".into()), "größe"),
    ]);
    let options = PutOptions { attributes: attributes.clone(), ..PutOptions::default() };
    let first = objects.put_opts(&key, "0123456789".into(), options).await.unwrap();
    let got = objects.get(&key).await.unwrap();
    assert_eq!(got.attributes, attributes);
    assert_eq!(got.meta.e_tag, first.e_tag);
    assert_eq!(got.meta.size, 10);
    assert_eq!(objects.get_range(&key, 2..5).await.unwrap(), "234");
    assert_eq!(objects.get_ranges(&key, &[0..2, 8..10]).await.unwrap(), ["01", "89"]);
    let tail =
        GetOptions { range: Some(object_store::GetRange::Suffix(3)), ..GetOptions::default() };
    assert_eq!(objects.get_opts(&key, tail).await.unwrap().bytes().await.unwrap(), "789");
    assert_eq!(objects.head(&key).await.unwrap().size, 10);

    let update = |e_tag: &Option<String>| PutOptions {
        mode: PutMode::Update(UpdateVersion { e_tag: e_tag.clone(), version: None }),
        ..PutOptions::default()
    };
    let second = objects.put_opts(&key, "new".into(), update(&first.e_tag)).await.unwrap();
    assert_ne!(first.e_tag, second.e_tag);
    let error = objects.put_opts(&key, "late".into(), update(&first.e_tag)).await.unwrap_err();
    assert!(matches!(error, object_store::Error::Precondition { .. }), "{error}");
    let error =
        objects.put_opts(&Path::from("none"), "x".into(), update(&first.e_tag)).await.unwrap_err();
    assert!(matches!(error, object_store::Error::Precondition { .. }), "{error}");
    let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    let error = objects.put_opts(&key, "x".into(), create).await.unwrap_err();
    assert!(matches!(error, object_store::Error::AlreadyExists { .. }), "{error}");
    let changed = GetOptions { if_match: first.e_tag.clone(), ..GetOptions::default() };
    assert!(objects.get_opts(&key, changed).await.is_err());
    assert!(objects.get(&key).await.unwrap().attributes.is_empty());

    let create = CopyOptions { mode: CopyMode::Create, ..CopyOptions::default() };
    objects.copy_opts(&key, &Path::from("copy"), create.clone()).await.unwrap();
    let error = objects.copy_opts(&key, &Path::from("copy"), create).await.unwrap_err();
    assert!(matches!(error, object_store::Error::AlreadyExists { .. }), "{error}");
    objects.delete(&key).await.unwrap();
    objects.delete(&key).await.unwrap();
    let error = objects.get(&key).await.unwrap_err();
    assert!(matches!(error, object_store::Error::NotFound { .. }), "{error}");
    assert_eq!(read(&*objects, "copy").await, "new");
    // What nothing names is gone: of all the puts that failed or were replaced, one object is left.
    assert_eq!(blobs(&folder), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_concurrent_writers_each_update_wins_once() {
    let folder = Folder::new();
    let (storage, bucket, objects) = bucket(&folder, false).await;
    let key = Path::from("counter");
    objects.put(&key, "0".into()).await.unwrap();
    let writers = (0..4).map(|_| {
        let (storage, id, key) = (storage.clone(), bucket.id.clone(), key.clone());
        tokio::spawn(async move {
            // A handle of its own, as another process has.
            let objects = storage.object_store(&id).await.unwrap();
            let mut done = 0;
            while done < 10 {
                let got = objects.get(&key).await.unwrap();
                let e_tag = got.meta.e_tag.clone();
                let text = String::from_utf8(got.bytes().await.unwrap().to_vec()).unwrap();
                let next = (text.parse::<u32>().unwrap() + 1).to_string();
                let version = UpdateVersion { e_tag, version: None };
                let options =
                    PutOptions { mode: PutMode::Update(version), ..PutOptions::default() };
                match objects.put_opts(&key, next.into(), options).await {
                    Ok(_) => done += 1,
                    Err(object_store::Error::Precondition { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer.unwrap();
    }
    assert_eq!(read(&*objects, "counter").await, "40");
    assert_eq!(blobs(&folder), 1);
}

#[tokio::test]
async fn versions_are_kept_listed_and_read() {
    let folder = Folder::new();
    let (storage, bucket, objects) = bucket(&folder, true).await;
    let key = Path::from("a/b");
    let mut written = Vec::new();
    for text in ["one", "two", "three"] {
        written.push(objects.put(&key, text.into()).await.unwrap().version.unwrap());
    }
    objects.put(&Path::from("a"), "other".into()).await.unwrap();
    objects.delete(&key).await.unwrap();
    assert!(objects.get(&key).await.is_err());
    assert_eq!(keys(&*objects, None).await, ["a"]);
    for (version, text) in written.iter().zip(["one", "two", "three"]) {
        let options = GetOptions { version: Some(version.clone()), ..GetOptions::default() };
        let got = objects.get_opts(&key, options).await.unwrap();
        assert_eq!(got.meta.version.as_ref(), Some(version));
        assert_eq!(got.bytes().await.unwrap(), text);
    }
    for strange in ["../../x", "none", ""] {
        let options = GetOptions { version: Some(strange.into()), ..GetOptions::default() };
        assert!(objects.get_opts(&key, options).await.is_err());
    }
    let query = VersionQuery { bucket: bucket.id.clone(), prefix: None };
    let all = storage.list_object_versions(&query).complete().await.unwrap().into_items();
    let seen: Vec<_> = all
        .iter()
        .map(|v| (v.location.as_ref(), v.is_latest, v.is_delete_marker, v.size))
        .collect();
    assert_eq!(
        seen,
        [
            ("a", true, false, 5),
            ("a/b", true, true, 0),
            ("a/b", false, false, 5),
            ("a/b", false, false, 3),
            ("a/b", false, false, 3)
        ]
    );
    for size in 1..6 {
        let mut after = None;
        let mut paged = Vec::new();
        loop {
            let request = cloud_core::PageRequest { size: Some(size), after };
            let page = storage.list_object_versions_page(&query, &request).await.unwrap();
            paged.extend(page.items);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(paged, all);
    }
    let query = VersionQuery { bucket: bucket.id.clone(), prefix: Some("a".into()) };
    assert_eq!(storage.list_object_versions(&query).complete().await.unwrap().items().len(), 4);
    // A version that was written over is not lost by deleting its successor, and holds the bucket.
    objects.delete(&Path::from("a")).await.unwrap();
    let error = storage.delete_bucket(&bucket.id, &DeleteOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(
        storage.delete_bucket(&bucket.id, &DeleteOptions { with_contents: true }).await.unwrap()
    );
    assert!(
        !storage.delete_bucket(&bucket.id, &DeleteOptions { with_contents: true }).await.unwrap()
    );
}

#[tokio::test]
async fn a_deleted_bucket_is_gone_for_its_handles() {
    let folder = Folder::new();
    let (storage, bucket, objects) = bucket(&folder, false).await;
    let key = Path::from("k");
    objects.put(&key, "v".into()).await.unwrap();
    let error = storage.delete_bucket(&bucket.id, &DeleteOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    objects.delete(&key).await.unwrap();
    let mut upload = objects.put_multipart(&key).await.unwrap();
    upload.put_part("half".into()).await.unwrap();
    assert!(storage.delete_bucket(&bucket.id, &DeleteOptions::default()).await.unwrap());
    for error in [
        objects.put(&key, "v".into()).await.unwrap_err(),
        objects.get(&key).await.unwrap_err(),
        objects.list(None).next().await.unwrap().unwrap_err(),
        objects.delete(&key).await.unwrap_err(),
        upload.complete().await.unwrap_err(),
    ] {
        assert_eq!(Error::from(error).kind(), ErrorKind::NotFound);
    }
    drop(upload);
    let left: Vec<_> =
        folder.files().into_iter().filter(|f| f.contains(bucket.id.native())).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn uploads_in_parts_stream_and_abort() {
    let folder = Folder::new();
    let (_, _, objects) = bucket(&folder, false).await;
    let key = Path::from("large");
    objects.put(&key, "old".into()).await.unwrap();
    let part = Bytes::from(vec![7u8; 1 << 20]);
    let mut upload = objects.put_multipart(&key).await.unwrap();
    for _ in 0..8 {
        upload.put_part(PutPayload::from_bytes(part.clone())).await.unwrap();
    }
    // Nothing is to be seen of it before it is complete.
    assert_eq!(read(&*objects, "large").await, "old");
    upload.abort().await.unwrap();
    assert_eq!(read(&*objects, "large").await, "old");
    assert_eq!(blobs(&folder), 1);

    let mut writer = WriteMultipart::new(objects.put_multipart(&key).await.unwrap());
    for _ in 0..64 {
        writer.wait_for_capacity(4).await.unwrap();
        writer.put(part.clone());
    }
    writer.finish().await.unwrap();
    let mut stream = objects.get(&key).await.unwrap().into_stream();
    // Replaced while it is read: the reader keeps what it began with.
    objects.put(&key, "new".into()).await.unwrap();
    let (mut length, mut largest) = (0, 0);
    while let Some(chunk) = stream.try_next().await.unwrap() {
        assert!(chunk.iter().all(|b| *b == 7));
        length += chunk.len();
        largest = largest.max(chunk.len());
    }
    assert_eq!(length, 64 << 20);
    assert!(largest <= 1 << 20, "a chunk of {largest} bytes");
    assert_eq!(read(&*objects, "large").await, "new");
    assert_eq!(blobs(&folder), 1);
}
