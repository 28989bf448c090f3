//! What only S3 has for the contents of buckets: versions in order, replication, locations for data sync, presigned URLs.

use std::time::Duration;

use bytes::Bytes;
use cloud_aws::{AwsBucket, BucketEncryption, BucketReplication};
use cloud_core::{
    Cloud, ETagMeaning, Effect, Error, ErrorKind, PageRequest, PresignMethod, PresignRequest,
    ResourceId, Storage, StorageExt, StreamedBody, VersionQuery, secret::ExposeSecret,
};
use futures::{StreamExt, TryStreamExt, stream};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use object_store::{GetOptions, ObjectStoreExt, PutOptions, path::Path};

use super::{create, id_in, name, setting, spec, with};
use cloud_rig::{Fault, Kind, Reply, What};

use crate::harness::{Aws, REGIONS, region};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_come_in_order_on_pages_of_any_size() {
    let Some(aws) = Aws::at(Kind::Ministack).await else { return };
    let storage = aws.cloud.aws_storage();
    let mut wanted = spec("versions");
    wanted.versioning = true;
    let id = create(&*storage, &wanted).await.unwrap().id;
    let objects = storage.object_store(&id).await.unwrap();
    for key in ["a/b", "a/größe x", "a/b", "ab"] {
        objects.put(&Path::parse(key).unwrap(), key.into()).await.unwrap();
    }
    objects.delete(&Path::from("a/b")).await.unwrap();
    objects.put(&Path::from("a/b"), "last".into()).await.unwrap();
    let query = VersionQuery { bucket: id.clone(), prefix: Some(Path::from("a")) };
    let all = storage.list_object_versions(&query).complete().await.unwrap().into_items();
    let shape: Vec<_> = all
        .iter()
        .map(|v| (v.location.as_ref(), v.is_latest, v.is_delete_marker, v.size))
        .collect();
    let wanted = [
        ("a/b", true, false, 4),
        ("a/b", false, true, 0),
        ("a/b", false, false, 3),
        ("a/b", false, false, 3),
        ("a/größe x", true, false, "a/größe x".len() as u64),
    ];
    assert_eq!(shape, wanted);
    for size in [1, 2, 3, 5, 1000] {
        let (mut paged, mut page) = (Vec::new(), PageRequest::of_size(size));
        loop {
            let listed = storage.list_object_versions_page(&query, &page).await.unwrap();
            assert!(listed.items.len() <= size as usize);
            paged.extend(listed.items);
            let Some(after) = listed.next else { break };
            page.after = Some(after);
        }
        assert_eq!(paged, all, "pages of {size}");
    }
    let old = GetOptions { version: Some(all[3].version.clone()), ..GetOptions::default() };
    let got = objects.get_opts(&Path::from("a/b"), old).await.unwrap();
    assert_eq!(got.bytes().await.unwrap(), "a/b");
    let missing = VersionQuery { bucket: id_in(REGIONS[0], &name("absent")), prefix: None };
    let error = storage.list_object_versions(&missing).complete().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

/// S3's times are of whole seconds; within one, only the order of its answer tells which is newer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_of_one_second_come_in_the_order_of_the_answer() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let storage = aws.cloud.aws_storage();
    let entry = |element: &str, key: &str, version: &str, latest: bool| {
        format!(
            "<{element}><Key>{key}</Key><VersionId>{version}</VersionId><IsLatest>{latest}</IsLatest>\
             <LastModified>2031-05-06T07:08:09.000Z</LastModified><Size>1</Size></{element}>"
        )
    };
    let body = [
        "<ListVersionsResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
            .to_owned(),
        entry("Version", "a%2Fb+c", "4", true),
        entry("DeleteMarker", "a%2Fb+c", "3", false),
        entry("Version", "a%2Fb+c", "2", false),
        entry("DeleteMarker", "a%2Fb+c", "1", false),
        entry("Version", "a%2F%2Fb", "1", true),
        "</ListVersionsResult>".to_owned(),
    ];
    let answer = What::answer(Reply::new(200, "application/xml", body.concat()));
    aws.proxy.inject(Fault::when(setting("GET", "versions"), answer));
    let query = VersionQuery { bucket: id_in(REGIONS[0], &name("any")), prefix: None };
    let listed = storage.list_object_versions(&query).complete().await.unwrap().into_items();
    let seen: Vec<_> = listed
        .iter()
        .map(|v| (v.location.as_ref(), v.version.as_str(), v.is_delete_marker))
        .collect();
    // A key that no path can say is left out.
    let wanted =
        [("a/b c", "4", false), ("a/b c", "3", true), ("a/b c", "2", false), ("a/b c", "1", true)];
    assert_eq!(seen, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_objects_are_copied_to_the_other_region() {
    let Some(aws) = Aws::at(Kind::Ministack).await else { return };
    let storage = aws.cloud.aws_storage();
    let mut copy = spec("copy");
    (copy.versioning, copy.region) = (true, region(REGIONS[1]));
    let copy = create(&*storage, &copy).await.unwrap().id;
    let role = aws.emulator.role_arn("multicloud-assume");
    let to =
        BucketReplication { prefix: "kept/".into(), ..BucketReplication::new(copy.native(), role) };
    let mut source =
        with(spec("source"), &AwsBucket { replication: Some(to.clone()), ..AwsBucket::default() });
    source.versioning = true;
    let source = create(&*storage, &source).await.unwrap().id;
    assert_eq!(storage.replication(&source).await.unwrap(), Some(to));
    let from = storage.object_store(&source).await.unwrap();
    let there = storage.object_store(&copy).await.unwrap();
    let key = Path::from("kept/1");
    from.put(&Path::from("other"), "x".into()).await.unwrap();
    from.put(&key, "precious".into()).await.unwrap();
    let wait = cloud_core::WaitOptions::default();
    let arrived = cloud_core::wait_until("the copy", &wait, || async {
        match there.get(&key).await {
            Ok(got) => Ok(Some(got.bytes().await?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    });
    assert_eq!(arrived.await.unwrap(), "precious");
    from.delete(&key).await.unwrap();
    assert_eq!(there.get(&key).await.unwrap().bytes().await.unwrap(), "precious");
    let listed: Vec<_> = there.list(None).try_collect().await.unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_location_keeps_what_cloud_objects_promises() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let storage = aws.cloud.aws_storage();
    let bucket = create(&*storage, &spec("sync")).await.unwrap();
    let location = storage.object_location(&bucket.id).await.unwrap();
    let traits = &location.traits;
    assert!(traits.streamed_put && traits.list_ordered && traits.list_from && traits.attributes);
    assert_eq!(traits.e_tag, ETagMeaning::ContentMd5);
    assert_eq!(traits.bucket.as_deref(), Some(&*bucket.name));
    let secret = &aws.emulator.keys().secret_access_key;
    assert!(!format!("{location:?} {:?} {}", location.store, location.name).contains(secret));

    let pieces = stream::iter((0..8u8).map(|i| Ok(Bytes::from(vec![i; 1 << 17]))));
    let body = StreamedBody::new(1 << 20, pieces.boxed());
    let mut options = PutOptions::default();
    options.extensions.insert(body.clone());
    let key = Path::from("streamed");
    location.store.put_opts(&key, body.stand_in(), options).await.unwrap();
    assert!(body.was_taken());
    let got = location.store.get(&key).await.unwrap().bytes().await.unwrap();
    assert_eq!(got.len(), 1 << 20);
    assert!(got.iter().enumerate().all(|(i, byte)| usize::from(*byte) == i >> 17));

    // A key that no path can say is left out, reported, and in nobody's way.
    let s3 = aws.cloud.s3(&bucket.id.region).unwrap();
    let put = s3.put_object().bucket(&bucket.name).key("a//b");
    put.body(Bytes::from_static(b"x").into()).send().await.unwrap();
    let listed: Vec<_> = location.store.list(None).try_collect().await.unwrap();
    assert_eq!(listed.iter().map(|meta| meta.location.as_ref()).collect::<Vec<_>>(), ["streamed"]);
    assert_eq!(location.refused.take().keys, ["a//b"]);
    for seen in aws.proxy.requests() {
        let agents = [seen.header("user-agent"), seen.header("x-amz-user-agent")];
        assert!(agents.iter().any(|agent| agent.contains("multicloud")), "{seen:?}");
    }

    let key = BucketEncryption::Kms { key: "alias/orders".into(), bucket_key: false };
    storage.set_encryption(&bucket.id, &key).await.unwrap();
    let location = storage.object_location(&bucket.id).await.unwrap();
    assert_eq!(location.traits.e_tag, ETagMeaning::Opaque);
}

/// How AWS itself is asked for a copy only if absent. None of the servers here looks at the condition, so their word is given for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_only_if_absent_asks_for_it() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let bucket = create(&*aws.cloud.aws_storage(), &spec("copies")).await.unwrap();
    let objects = aws.cloud.aws_storage().object_store(&bucket.id).await.unwrap();
    let (from, to) = (Path::from("from"), Path::from("to"));
    objects.put(&from, "x".into()).await.unwrap();
    // A server that may ignore the condition is not asked, so nothing is overwritten.
    assert!(!aws.cloud.capabilities().storage.as_ref().unwrap().copy_if_absent);
    let error = Error::from(objects.copy_if_not_exists(&from, &to).await.unwrap_err());
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unsupported, Effect::None));

    let keys = aws.emulator.keys();
    let mut options = cloud_objects::OpenOptions::default();
    options.conditional_copy = true;
    options.credentials = cloud_objects::Credentials::AccessKey {
        id: keys.access_key_id.clone(),
        secret: keys.secret_access_key.clone().into(),
        session: None,
    };
    let url = format!("s3://{}?region={}&endpoint={}", bucket.name, REGIONS[0], aws.proxy.url());
    let location = cloud_objects::open(&url, &options).await.unwrap();
    location.store.copy_if_not_exists(&from, &to).await.unwrap();
    let sent = aws.proxy.requests().pop().unwrap();
    assert_eq!(sent.header("if-none-match"), "*");
    assert!(!sent.header("x-amz-copy-source").is_empty());
    let there =
        What::error(412, "PreconditionFailed", "At least one of the pre-conditions did not hold");
    aws.proxy.inject(Fault::when(|seen| seen.header("if-none-match") == "*", there));
    let error = Error::from(location.store.copy_if_not_exists(&from, &to).await.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error:?}");
}

/// What a program has that knows nothing but the URL.
async fn http(method: &str, url: &str, body: &'static str) -> (u16, Bytes) {
    let url: http::Uri = url.parse().unwrap();
    let authority = url.authority().unwrap().clone();
    let stream = tokio::net::TcpStream::connect(authority.as_str()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::builder()
        .method(method)
        .uri(url.path_and_query().unwrap().as_str())
        .header("host", authority.as_str())
        .body(Full::new(Bytes::from_static(body.as_bytes())))
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    (answer.status().as_u16(), answer.into_body().collect().await.unwrap().to_bytes())
}

/// What may be done with presigned URLs, and what not, at a server that looks at signatures.
async fn presigned_urls(aws: &Aws, bucket: &ResourceId) {
    let storage = aws.cloud.aws_storage();
    let sign = async |method, seconds: u64| {
        let request = PresignRequest {
            bucket: bucket.clone(),
            method,
            location: Path::parse("shared/größe & more").unwrap(),
            expires_in: Duration::from_secs(seconds),
        };
        storage.presign(&request).await
    };
    let put = sign(PresignMethod::Put, 600).await.unwrap();
    assert!(!format!("{put:?}").contains("Signature"), "{put:?}");
    assert!(!put.expose_secret().contains("checksum"), "{}", put.expose_secret());
    assert!(put.expose_secret().contains("X-Amz-Expires=600"));
    let (status, body) = http("PUT", put.expose_secret(), "by hand").await;
    assert_eq!(status, 200, "{body:?}");
    let get = sign(PresignMethod::Get, 7 * 24 * 3600).await.unwrap();
    let (status, body) = http("GET", get.expose_secret(), "").await;
    assert_eq!((status, &body[..]), (200, &b"by hand"[..]));
    // What is signed is one method and one object.
    let (status, _) = http("DELETE", get.expose_secret(), "").await;
    assert_eq!(status, 403);
    let other = get.expose_secret().replace("shared/", "other/");
    let (status, _) = http("GET", &other, "").await;
    assert_eq!(status, 403);
    let delete = sign(PresignMethod::Delete, 1).await.unwrap();
    let (status, _) = http("DELETE", delete.expose_secret(), "").await;
    assert!(matches!(status, 200 | 204), "{status}");
    let (status, _) = http("GET", get.expose_secret(), "").await;
    assert_eq!(status, 404);
    for seconds in [0, 7 * 24 * 3600 + 1, u64::MAX] {
        let error = sign(PresignMethod::Get, seconds).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presigned_urls_do_one_thing_for_a_while() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let bucket = create(&*aws.cloud.aws_storage(), &spec("shared")).await.unwrap();
    presigned_urls(&aws, &bucket.id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presigned_urls_are_right_to_the_letter() {
    let Some(aws) = Aws::at(Kind::S3s).await else { return };
    let bucket = id_in(REGIONS[0], &name("shared"));
    let s3 = aws.cloud.s3(&bucket.region).unwrap();
    s3.create_bucket().bucket(bucket.native()).send().await.unwrap();
    presigned_urls(&aws, &bucket).await;
}
