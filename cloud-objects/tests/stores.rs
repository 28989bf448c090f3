//! Whole stores behind the client: S3 and Azure in memory, their listings, clocks and faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeSet;

use bytes::Bytes;
use cloud_core::{ContentMd5, ETagMeaning, ObjectLocation, Provider, StreamedBody, Transport};
use cloud_objects::{Credentials, OpenOptions, open};
use cloud_testkit::object_server::{Dialect, ObjectServer, ServerOptions};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{Attribute, ObjectStore, ObjectStoreExt, PutOptions, path::Path};
use proptest::prelude::*;

async fn start(dialect: Dialect, options: ServerOptions) -> (ObjectServer, ObjectLocation) {
    let server = ObjectServer::start(dialect, options).await.unwrap();
    server.bucket("b");
    let mut options = OpenOptions::default();
    let url = match dialect {
        Dialect::S3 => {
            options.credentials =
                Credentials::AccessKey { id: "id".into(), secret: "secret".into(), session: None };
            format!("s3://b?region=r&endpoint={}", server.endpoint())
        }
        _ => {
            options.credentials = Credentials::AccountKey("a2V5".into());
            format!("az://b?account=account&endpoint={}", server.endpoint())
        }
    };
    let location = open(&url, &options).await.unwrap();
    (server, location)
}

#[tokio::test]
async fn objects_come_back_as_they_went() {
    for dialect in [Dialect::S3, Dialect::Azure] {
        let (server, location) = start(dialect, ServerOptions::default()).await;
        let (store, path) = (&location.store, Path::from("a b/ü%&'(\u{1f600})"));
        for content in [Bytes::new(), Bytes::from(vec![7; 5000]), Bytes::from(vec![1; 3 << 20])] {
            let chunks: Vec<_> =
                content.chunks(70_000).map(Bytes::copy_from_slice).map(Ok).collect();
            let body = StreamedBody::new(content.len() as u64, stream::iter(chunks).boxed());
            let mut options = PutOptions::default();
            options.attributes.insert(Attribute::ContentType, "text/x-test".into());
            options.extensions.insert(body.clone());
            let put = store.put_opts(&path, body.stand_in(), options).await.unwrap();
            assert!(body.was_taken());
            if dialect == Dialect::Azure {
                assert!(put.extensions.get::<ContentMd5>().is_some());
            }
            let got = store.get(&path).await.unwrap();
            assert_eq!(
                got.attributes.get(&Attribute::ContentType).unwrap().as_ref(),
                "text/x-test"
            );
            assert_eq!(got.bytes().await.unwrap(), content);
            assert_eq!(
                store.get_range(&path, 0..content.len().min(9) as u64).await.is_ok(),
                !content.is_empty()
            );
        }
        let copy = Path::from("copy");
        store.copy(&path, &copy).await.unwrap();
        assert_eq!(store.head(&copy).await.unwrap().size, 3 << 20);
        store.delete(&copy).await.unwrap();
        assert_eq!(server.bucket("b").len(), 1);
    }
}

#[tokio::test]
async fn a_wrong_md5_is_refused_by_the_store() {
    let (server, location) = start(Dialect::S3, ServerOptions::default()).await;
    let mut options = PutOptions::default();
    options.extensions.insert(ContentMd5([1; 16]));
    location.store.put_opts(&Path::from("k"), "abc".into(), options).await.unwrap_err();
    assert!(server.bucket("b").is_empty());
}

#[tokio::test]
async fn the_traits_say_what_holds() {
    let (_server, location) = start(Dialect::S3, ServerOptions::default()).await;
    let traits = &location.traits;
    assert_eq!((traits.provider, traits.transport), (Provider::Other, Transport::Local));
    assert_eq!(traits.e_tag, ETagMeaning::ContentMd5);
    assert!(traits.list_ordered && traits.list_from && traits.attributes);
    assert!(traits.streamed_put && traits.put_checks_md5);
    let put = location.store.put(&Path::from("k"), "abc".into()).await.unwrap();
    let md5 = ContentMd5::from_e_tag(&put.e_tag.unwrap()).unwrap();
    assert_eq!(md5.0[..2], [0x90, 0x01]);

    let (_server, location) = start(Dialect::Azure, ServerOptions::default()).await;
    assert_eq!(
        (location.traits.e_tag, location.traits.put_checks_md5),
        (ETagMeaning::Opaque, false)
    );
}

#[tokio::test]
async fn the_clock_of_the_store_is_seen() {
    let ahead = ServerOptions { clock_offset: 3600, ..ServerOptions::default() };
    let (_server, location) = start(Dialect::S3, ahead).await;
    assert_eq!(location.traits.clock.get(), None);
    location.store.put(&Path::from("k"), "abc".into()).await.unwrap();
    let skew = location.traits.clock.get().unwrap().as_secs_f64();
    assert!((skew - 3600.0).abs() < 5.0, "{skew}");
}

#[tokio::test]
async fn one_account_and_bucket_is_one_scope() {
    let (server, location) = start(Dialect::S3, ServerOptions::default()).await;
    let scope = async |bucket: &str, id: &str| {
        let mut options = OpenOptions::default();
        options.credentials =
            Credentials::AccessKey { id: id.into(), secret: "secret".into(), session: None };
        let url = format!("s3://{bucket}/p?region=r&endpoint={}", server.endpoint());
        open(&url, &options).await.unwrap().traits.copy_scope
    };
    assert_eq!(scope("b", "id").await, location.traits.copy_scope);
    assert_ne!(scope("b2", "id").await, location.traits.copy_scope);
    assert_ne!(scope("b", "id2").await, location.traits.copy_scope);
}

#[tokio::test]
async fn one_name_is_one_memory() {
    let options = OpenOptions::default();
    let one = open("memory://one/p", &options).await.unwrap();
    one.store.put(&one.prefix.clone().join("k"), "x".into()).await.unwrap();
    let same = open("memory://one", &options).await.unwrap();
    let other = open("memory://other", &options).await.unwrap();
    assert_eq!(same.store.list(None).count().await, 1);
    assert_eq!(other.store.list(None).count().await, 0);
}

#[tokio::test]
async fn the_wrong_sort_of_credentials_is_named() {
    let mut options = OpenOptions::default();
    options.credentials = Credentials::AccountKey("a2V5".into());
    let error = open("s3://b?region=r", &options).await.unwrap_err().to_string();
    assert!(error.contains("an account key"), "{error}");
    let error = open("az://b", &options).await.unwrap_err().to_string();
    assert!(error.contains("account is not known"), "{error}");
    let error = open("oss://b", &options).await.unwrap_err().to_string();
    assert!(error.contains("an account key"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_listing_names_each_key_as_it_is_or_refuses_it(
        keys in prop::collection::btree_set("[ab./&<>'\"%+ \u{1}\u{7f}ü]{1,6}", 0..40),
        delimited in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for dialect in [Dialect::S3, Dialect::Azure] {
                let (server, location) = start(dialect, ServerOptions::default()).await;
                let bucket = server.bucket("b");
                for key in &keys {
                    bucket.put(key, "x").unwrap();
                }
                let mut seen = BTreeSet::new();
                if delimited {
                    let listing = location.store.list_with_delimiter(None).await.unwrap();
                    let top = |key: &&String| !key.contains('/');
                    seen.extend(listing.objects.into_iter().map(|o| o.location.to_string()));
                    let refused = location.refused.take().keys;
                    seen.extend(refused.into_iter().filter(|key| !key.contains('/')));
                    let expected: BTreeSet<_> = keys.iter().filter(top).cloned().collect();
                    prop_assert_eq!(&seen, &expected);
                    continue;
                }
                let listed: Vec<_> = location.store.list(None).try_collect().await.unwrap();
                for object in &listed {
                    prop_assert!(seen.insert(object.location.to_string()), "{} twice", object.location);
                }
                for key in location.refused.take().keys {
                    prop_assert!(seen.insert(key.clone()), "{} twice", key);
                }
                prop_assert_eq!(&seen, &keys);
            }
            Ok(())
        })?;
    }
}
