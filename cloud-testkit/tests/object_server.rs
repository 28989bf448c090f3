//! The object server, driven by object_store's own clients for both services.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use cloud_testkit::object_server::{
    Dialect, FaultKind, Faults, ObjectAttributes, ObjectServer, Operation, ServerOptions,
};
use futures::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3Builder, Checksum, S3CopyIfNotExists};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, BackoffConfig, ClientOptions, CopyMode, CopyOptions, Error, GetOptions,
    GetRange, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, RetryConfig,
    TagSet, UpdateVersion,
};
use proptest::prelude::*;

const BUCKET: &str = "data";
const BOTH: [Dialect; 2] = [Dialect::S3, Dialect::Azure];

async fn start(dialect: Dialect, options: ServerOptions) -> ObjectServer {
    // Another test may have done so.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = ObjectServer::start(dialect, options).await.unwrap();
    server.bucket(BUCKET);
    server
}

/// A client that tries each request `retries` times more.
fn client(server: &ObjectServer, dialect: Dialect, retries: usize) -> Arc<dyn ObjectStore> {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(1),
        max_backoff: Duration::from_millis(5),
        ..BackoffConfig::default()
    };
    let retry = RetryConfig { max_retries: retries, backoff, ..RetryConfig::default() };
    let http = ClientOptions::new().with_allow_http(true).with_timeout(Duration::from_secs(5));
    match dialect {
        Dialect::S3 => Arc::new(
            AmazonS3Builder::new()
                .with_endpoint(server.endpoint())
                .with_bucket_name(BUCKET)
                .with_access_key_id("id")
                .with_secret_access_key("secret")
                .with_region("us-east-1")
                .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
                .with_client_options(http)
                .with_retry(retry)
                .build()
                .unwrap(),
        ),
        Dialect::Azure => Arc::new(
            MicrosoftAzureBuilder::new()
                .with_endpoint(server.endpoint())
                .with_account(ObjectServer::ACCOUNT)
                .with_access_key("c2VjcmV0")
                .with_container_name(BUCKET)
                .with_client_options(http)
                .with_retry(retry)
                .build()
                .unwrap(),
        ),
    }
}

async fn pair(dialect: Dialect) -> (ObjectServer, Arc<dyn ObjectStore>) {
    let options = ServerOptions { min_part_size: 0, ..ServerOptions::default() };
    let server = start(dialect, options).await;
    let client = client(&server, dialect, 0);
    (server, client)
}

/// One request, past any client; the status and the body.
async fn http(server: &ObjectServer, request: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).unwrap_or("0").parse().unwrap();
    (status, answer)
}

fn plain(method: &str, target: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

#[tokio::test]
async fn objects_are_written_read_and_removed() {
    for dialect in BOTH {
        let (server, client) = pair(dialect).await;
        let path = Path::from("a/b.txt");
        let put = client.put(&path, "hello".into()).await.unwrap();
        let head = client.head(&path).await.unwrap();
        assert_eq!((head.size, &head.e_tag), (5, &put.e_tag));
        let stored = server.bucket(BUCKET).get("a/b.txt").unwrap();
        assert_eq!(stored.body(), "hello");
        assert_eq!(Some(stored.etag()), put.e_tag.as_deref().map(|tag| tag.trim_matches('"')));
        match dialect {
            Dialect::S3 => assert_eq!(stored.etag(), "5d41402abc4b2a76b9719d911017c592"),
            Dialect::Azure => assert!(stored.etag().starts_with("0x8D")),
        }
        assert_eq!(client.get(&path).await.unwrap().bytes().await.unwrap(), "hello");
        client.delete(&path).await.unwrap();
        assert!(matches!(client.get(&path).await, Err(Error::NotFound { .. })));
        let stats = server.stats();
        assert_eq!((stats.puts, stats.gets, stats.heads, stats.deletes), (1, 2, 1, 1), "{stats:?}");
        assert_eq!((stats.distinct_writes(), stats.redundant_writes()), (1, 0));
        assert!(stats.bytes_in >= 5 && stats.bytes_out >= 5);
    }
}

#[tokio::test]
async fn azure_etags_are_new_at_every_write() {
    let (server, client) = pair(Dialect::Azure).await;
    let first = client.put(&"a".into(), "same".into()).await.unwrap();
    let second = client.put(&"a".into(), "same".into()).await.unwrap();
    assert_ne!(first.e_tag, second.e_tag);
    assert_eq!(server.stats().redundant_writes(), 1);
}

#[tokio::test]
async fn attributes_and_tags_are_kept() {
    for dialect in BOTH {
        let (server, client) = pair(dialect).await;
        let attributes: Attributes = [
            (Attribute::ContentType, "text/css"),
            (Attribute::ContentEncoding, "zstd"),
            (Attribute::ContentLanguage, "de"),
            (Attribute::ContentDisposition, "inline"),
            (Attribute::CacheControl, "max-age=5"),
            (Attribute::Metadata("owner".into()), "ada"),
        ]
        .into_iter()
        .collect();
        let mut tags = TagSet::default();
        tags.push("kind", "a b+c");
        let options = PutOptions {
            attributes: attributes.clone(),
            tags: tags.clone(),
            ..PutOptions::default()
        };
        client.put_opts(&"one".into(), "x".into(), options).await.unwrap();
        let options = PutMultipartOptions {
            attributes: attributes.clone(),
            tags,
            ..PutMultipartOptions::default()
        };
        let mut upload = client.put_multipart_opts(&"many".into(), options).await.unwrap();
        upload.put_part("x".into()).await.unwrap();
        upload.complete().await.unwrap();
        client.copy(&"one".into(), &"copy".into()).await.unwrap();
        for key in ["one", "many", "copy"] {
            let stored = server.bucket(BUCKET).get(key).unwrap();
            if key != "copy" || dialect == Dialect::S3 {
                assert_eq!(stored.tags()["kind"], "a b+c", "{dialect:?} {key}");
            }
            assert_eq!(stored.content_type(), Some("text/css"));
            assert_eq!(stored.content_encoding(), Some("zstd"));
            let read = client.get(&key.into()).await.unwrap();
            assert_eq!(read.attributes, attributes, "{dialect:?} {key}");
        }
    }
}

#[tokio::test]
async fn a_test_puts_what_a_client_reads() {
    for dialect in BOTH {
        let (server, client) = pair(dialect).await;
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let attributes = ObjectAttributes {
            content_type: Some("image/png".into()),
            metadata: [("A".into(), "b".into())].into(),
            modified: Some(modified),
            ..ObjectAttributes::default()
        };
        server.bucket(BUCKET).put_with("k", "body", attributes).unwrap();
        let read = client.get(&"k".into()).await.unwrap();
        assert_eq!(read.meta.last_modified.timestamp(), 1_000_000_000);
        assert_eq!(
            read.attributes.get(&Attribute::Metadata("a".into())).map(AsRef::as_ref),
            Some("b")
        );
        let broken =
            ObjectAttributes { content_type: Some("a\nb".into()), ..ObjectAttributes::default() };
        let error = server.bucket(BUCKET).put_with("k", "body", broken).unwrap_err();
        assert!(error.to_string().contains("content-type"), "{error}");
        assert!(server.bucket(BUCKET).delete("k") && !server.bucket(BUCKET).delete("k"));
        assert!(server.bucket(BUCKET).is_empty());
    }
}

#[tokio::test]
async fn conditions_hold() {
    for dialect in BOTH {
        let (server, client) = pair(dialect).await;
        let path = Path::from("k");
        let create = || PutOptions::from(PutMode::Create);
        let first = client.put_opts(&path, "1".into(), create()).await.unwrap();
        assert!(matches!(
            client.put_opts(&path, "2".into(), create()).await,
            Err(Error::AlreadyExists { .. })
        ));
        let update = |tag: &Option<String>| {
            PutMode::Update(UpdateVersion { e_tag: tag.clone(), version: None })
        };
        let second = client.put_opts(&path, "2".into(), update(&first.e_tag).into()).await.unwrap();
        let stale = client.put_opts(&path, "3".into(), update(&first.e_tag).into()).await;
        assert!(matches!(stale, Err(Error::Precondition { .. })), "{stale:?}");
        assert_eq!(server.bucket(BUCKET).get("k").unwrap().body(), "2");

        let matching = GetOptions { if_match: first.e_tag.clone(), ..GetOptions::default() };
        assert!(matches!(client.get_opts(&path, matching).await, Err(Error::Precondition { .. })));
        let known = GetOptions { if_none_match: second.e_tag.clone(), ..GetOptions::default() };
        assert!(matches!(client.get_opts(&path, known).await, Err(Error::NotModified { .. })));
        let both = GetOptions {
            if_match: second.e_tag,
            if_none_match: first.e_tag,
            ..GetOptions::default()
        };
        assert_eq!(client.get_opts(&path, both).await.unwrap().bytes().await.unwrap(), "2");
        let modified = client.head(&path).await.unwrap().last_modified;
        let since = GetOptions { if_modified_since: Some(modified), ..GetOptions::default() };
        assert!(matches!(client.get_opts(&path, since).await, Err(Error::NotModified { .. })));
    }
}

#[tokio::test]
async fn copies_are_made_within_the_server() {
    for dialect in BOTH {
        let (server, client) = pair(dialect).await;
        client.put(&"a b+c/%2F".into(), "body".into()).await.unwrap();
        client.copy(&"a b+c/%2F".into(), &"to".into()).await.unwrap();
        assert_eq!(server.bucket(BUCKET).get("to").unwrap().body(), "body");
        let create = CopyOptions { mode: CopyMode::Create, ..CopyOptions::default() };
        let again = client.copy_opts(&"a b+c/%2F".into(), &"to".into(), create.clone()).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
        client.copy_opts(&"to".into(), &"new".into(), create).await.unwrap();
        assert_eq!(server.bucket(BUCKET).get("new").unwrap().body(), "body");
        assert!(matches!(
            client.copy(&"none".into(), &"x".into()).await,
            Err(Error::NotFound { .. })
        ));
    }
}

#[tokio::test]
async fn many_are_removed_at_once() {
    for dialect in BOTH {
        let (server, client) = pair(dialect).await;
        server.bucket(BUCKET).fill(700, 10, "d/").unwrap();
        server.bucket(BUCKET).put("keep & <this>", "x").unwrap();
        let paths = client.list(None).map_ok(|meta| meta.location).try_filter(|path| {
            let wanted = path.as_ref().starts_with("d/");
            async move { wanted }
        });
        let gone: Vec<Path> = client.delete_stream(paths.boxed()).try_collect().await.unwrap();
        assert_eq!(gone.len(), 700, "{dialect:?}");
        assert_eq!(server.bucket(BUCKET).keys(), ["keep & <this>"]);
    }
}

#[tokio::test]
async fn parts_become_one_object() {
    for dialect in BOTH {
        let (server, client) = pair(dialect).await;
        let mut upload = client.put_multipart(&"big".into()).await.unwrap();
        let parts: Vec<Bytes> =
            (0u8..20).map(|n| Bytes::from(vec![n; 100_000 + usize::from(n)])).collect();
        futures::future::try_join_all(
            parts.iter().map(|part| upload.put_part(part.clone().into())),
        )
        .await
        .unwrap();
        assert_eq!(server.open_uploads(), usize::from(dialect == Dialect::S3));
        upload.complete().await.unwrap();
        let stored = server.bucket(BUCKET).get("big").unwrap();
        assert_eq!(stored.body(), parts.concat());
        assert_eq!(server.open_uploads(), 0);
        if dialect == Dialect::S3 {
            assert!(stored.etag().ends_with("-20"));
            assert_eq!(stored.md5(), None);
        }
        // Across the borders of parts
        let read = client.get_range(&"big".into(), 99_990..200_050).await.unwrap();
        assert_eq!(read, parts.concat()[99_990..200_050]);

        let mut given_up = client.put_multipart(&"other".into()).await.unwrap();
        given_up.put_part("x".into()).await.unwrap();
        given_up.abort().await.unwrap();
        assert_eq!(
            (server.open_uploads(), server.bucket(BUCKET).get("other").is_none()),
            (0, true)
        );
    }
}

#[tokio::test]
async fn multipart_uploads_are_checked() {
    let server = start(Dialect::S3, ServerOptions::default()).await;
    let (_, started) = http(&server, &plain("POST", "/data/k?uploads", "", "")).await;
    let id = started.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    for part in [1, 2] {
        http(
            &server,
            &plain("PUT", &format!("/data/k?partNumber={part}&uploadId={id}"), "", "part"),
        )
        .await;
    }
    let tag = "8d4a1ae7b1fa9e5d9a3b1d0e9f3a4b50";
    let right = "32e5aa5c86d8a3f05fe3ac0a8eba3b4e";
    assert_ne!(tag, right);
    let finish = |parts: &[(u32, &str)]| {
        let parts: String = parts
            .iter()
            .map(|(number, tag)| {
                format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{tag}\"</ETag></Part>")
            })
            .collect();
        let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        plain("POST", &format!("/data/k?uploadId={id}"), "", &body)
    };
    let (_, listed) = http(&server, &plain("GET", &format!("/data/k?uploadId={id}"), "", "")).await;
    let md5 = listed.split("<ETag>&quot;").nth(1).unwrap().split('&').next().unwrap().to_owned();
    for (parts, code) in [
        (vec![(1, tag)], "InvalidPart"),
        (vec![(3, md5.as_str())], "InvalidPart"),
        (vec![(2, md5.as_str()), (1, md5.as_str())], "InvalidPartOrder"),
        (vec![(1, md5.as_str()), (2, md5.as_str())], "EntityTooSmall"),
        (vec![], "MalformedXML"),
    ] {
        let (status, answer) = http(&server, &finish(&parts)).await;
        assert!(status == 400 && answer.contains(&format!("<Code>{code}<")), "{answer}");
    }
    let (status, _) = http(&server, &finish(&[(2, &md5)])).await;
    assert_eq!(
        (status, server.bucket(BUCKET).get("k").unwrap().body()),
        (200, Bytes::from("part"))
    );
    let (status, answer) = http(&server, &finish(&[(2, &md5)])).await;
    assert!(status == 404 && answer.contains("NoSuchUpload"), "{answer}");
}

#[tokio::test]
async fn digests_are_checked() {
    for (dialect, target, headers, code) in [
        (Dialect::S3, "/data/k", "content-md5: XUFAKrxLKna5cZ2REBfFkg==\r\n", None),
        (Dialect::S3, "/data/k", "content-md5: AAAAKrxLKna5cZ2REBfFkg==\r\n", Some("BadDigest")),
        (Dialect::S3, "/data/k", "content-md5: AAAA\r\n", Some("InvalidDigest")),
        (Dialect::S3, "/data/k", "x-amz-checksum-crc32: NhCmhg==\r\n", None),
        (Dialect::S3, "/data/k", "x-amz-checksum-crc32: AhCmhg==\r\n", Some("BadDigest")),
        (Dialect::S3, "/data/k", "x-amz-checksum-crc32c: mnG7TA==\r\n", None),
        (
            Dialect::S3,
            "/data/k",
            "x-amz-checksum-sha256: LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=\r\n",
            None,
        ),
        (Dialect::S3, "/data/k", "x-amz-checksum-crc64nvme: AAAAAAAAAAA=\r\n", Some("BadDigest")),
        (
            Dialect::Azure,
            "/a/data/k",
            "x-ms-blob-type: BlockBlob\r\ncontent-md5: XUFAKrxLKna5cZ2REBfFkg==\r\n",
            None,
        ),
        (
            Dialect::Azure,
            "/a/data/k",
            "x-ms-blob-type: BlockBlob\r\nx-ms-blob-content-md5: AAAAKrxLKna5cZ2REBfFkg==\r\n",
            Some("Md5Mismatch"),
        ),
    ] {
        let server = start(dialect, ServerOptions::default()).await;
        let (status, answer) = http(&server, &plain("PUT", target, headers, "hello")).await;
        match code {
            None => assert!(status < 300, "{headers} {answer}"),
            Some(code) => assert!(status == 400 && answer.contains(code), "{headers} {answer}"),
        }
        assert_eq!(server.bucket(BUCKET).get("k").is_some(), code.is_none());
    }
}

#[tokio::test]
async fn a_checksum_is_answered_when_asked_for() {
    let server = start(Dialect::S3, ServerOptions::default()).await;
    http(&server, &plain("PUT", "/data/k", "x-amz-checksum-crc32c: mnG7TA==\r\n", "hello")).await;
    let (_, asked) =
        http(&server, &plain("HEAD", "/data/k", "x-amz-checksum-mode: ENABLED\r\n", "")).await;
    let (_, silent) = http(&server, &plain("HEAD", "/data/k", "", "")).await;
    assert!(asked.contains("x-amz-checksum-crc32c: mnG7TA=="), "{asked}");
    assert!(!silent.contains("x-amz-checksum"), "{silent}");
    let client = AmazonS3Builder::new()
        .with_endpoint(server.endpoint())
        .with_allow_http(true)
        .with_bucket_name(BUCKET)
        .with_access_key_id("id")
        .with_secret_access_key("secret")
        .with_checksum_algorithm(Checksum::SHA256)
        .build()
        .unwrap();
    client.put(&"sha".into(), "hello".into()).await.unwrap();
    let (_, asked) =
        http(&server, &plain("HEAD", "/data/sha", "x-amz-checksum-mode: ENABLED\r\n", "")).await;
    assert!(
        asked.contains("x-amz-checksum-sha256: LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="),
        "{asked}"
    );
}

#[tokio::test]
async fn chunked_bodies_are_decoded() {
    let server = start(Dialect::S3, ServerOptions::default()).await;
    let headers = "content-encoding: aws-chunked,gzip\r\nx-amz-decoded-content-length: 5\r\n\
                   x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\n";
    let body =
        |crc: &str| format!("3\r\nhel\r\n2\r\nlo\r\n0\r\nx-amz-checksum-crc32:{crc}\r\n\r\n");
    let (status, _) = http(&server, &plain("PUT", "/data/k", headers, &body("NhCmhg=="))).await;
    let stored = server.bucket(BUCKET).get("k").unwrap();
    assert_eq!(
        (status, stored.body(), stored.content_encoding()),
        (200, Bytes::from("hello"), Some("gzip"))
    );
    let (status, answer) =
        http(&server, &plain("PUT", "/data/bad", headers, &body("AhCmhg=="))).await;
    assert!(status == 400 && answer.contains("BadDigest"), "{answer}");
    assert!(server.bucket(BUCKET).get("bad").is_none());
}

#[tokio::test]
async fn versions_are_kept() {
    let (server, client) = pair(Dialect::S3).await;
    let bucket = server.bucket(BUCKET);
    bucket.put("k", "0").unwrap();
    let body = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    assert_eq!(http(&server, &plain("PUT", "/data?versioning", "", body)).await.0, 200);
    let put = client.put(&"k".into(), "1".into()).await.unwrap();
    client.delete(&"k".into()).await.unwrap();
    assert!(matches!(client.get(&"k".into()).await, Err(Error::NotFound { .. })));
    assert_eq!(bucket.version_count("k"), 3);
    let version = put.version.unwrap();
    let old = GetOptions { version: Some(version), ..GetOptions::default() };
    assert_eq!(client.get_opts(&"k".into(), old).await.unwrap().bytes().await.unwrap(), "1");
    let (_, listed) = http(&server, &plain("GET", "/data?versions", "", "")).await;
    assert_eq!(
        (listed.matches("<Version>").count(), listed.matches("<DeleteMarker>").count()),
        (2, 1),
        "{listed}"
    );
    assert!(listed.contains("<VersionId>null</VersionId>"));
    // Without its marker the object is back.
    let marker =
        listed.split("<DeleteMarker>").nth(1).unwrap().split("<VersionId>").nth(1).unwrap();
    let marker = marker.split('<').next().unwrap();
    http(&server, &plain("DELETE", &format!("/data/k?versionId={marker}"), "", "")).await;
    assert_eq!(bucket.get("k").unwrap().body(), "1");
}

#[tokio::test]
async fn hostile_keys_are_only_keys() {
    let long = "x".repeat(1024);
    let keys = [
        "../a",
        "a//b",
        "dir/",
        "ä/☃/\u{1f600}",
        "a%2Fb",
        "a+b c",
        "line\nbreak",
        "\r\t",
        " pad ",
        "a&b<c>\"'",
        &long,
    ];
    for dialect in BOTH {
        let server = start(dialect, ServerOptions::default()).await;
        let target = |key: &str| {
            let key: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
            if dialect == Dialect::S3 {
                format!("/data/{key}")
            } else {
                format!("/account/data/{key}")
            }
        };
        for key in keys {
            let (status, answer) =
                http(&server, &plain("PUT", &target(key), "x-ms-blob-type: BlockBlob\r\n", key))
                    .await;
            assert!(status < 300, "{key:?}: {answer}");
            let (status, answer) = http(&server, &plain("GET", &target(key), "", "")).await;
            assert!(
                status == 200 && answer.ends_with(&format!("\r\n\r\n{key}")),
                "{key:?}: {answer}"
            );
        }
        let mut expected = keys.map(str::to_owned);
        expected.sort();
        assert_eq!(server.bucket(BUCKET).keys(), expected);
        let (status, _) = http(
            &server,
            &plain("PUT", &target(&"x".repeat(1025)), "x-ms-blob-type: BlockBlob\r\n", ""),
        )
        .await;
        assert_eq!(status, 400);
        assert_eq!(
            http(&server, &plain("GET", &target("x").replace("%78", "%FF"), "", "")).await.0,
            400
        );
        let listing = match dialect {
            Dialect::S3 => "/data?list-type=2",
            Dialect::Azure => "/account/data?restype=container&comp=list",
        };
        let (_, listed) = http(&server, &plain("GET", listing, "", "")).await;
        for written in
            ["line&#10;break", "&#13;&#9;", "a&amp;b&lt;c&gt;&quot;&apos;", "../a", "a%2Fb"]
        {
            assert!(listed.contains(written), "{written}: {listed}");
        }
    }
}

#[tokio::test]
async fn a_full_server_takes_no_more() {
    for dialect in BOTH {
        let options = ServerOptions { capacity_bytes: Some(10), ..ServerOptions::default() };
        let server = start(dialect, options).await;
        let client = client(&server, dialect, 0);
        client.put(&"a".into(), "12345678".into()).await.unwrap();
        let refused = client.put(&"b".into(), "123".into()).await.unwrap_err().to_string();
        assert!(refused.contains("full"), "{refused}");
        client.put(&"a".into(), "1234567".into()).await.unwrap();
        client.put(&"b".into(), "123".into()).await.unwrap();
        client.delete(&"a".into()).await.unwrap();
        client.put(&"b".into(), "1234567890".into()).await.unwrap();
        assert!(server.bucket(BUCKET).put("c", "1").is_err());
    }
}

#[tokio::test]
async fn the_clock_can_be_off() {
    for dialect in BOTH {
        let options = ServerOptions { clock_offset: -3600, ..ServerOptions::default() };
        let server = start(dialect, options).await;
        let client = client(&server, dialect, 0);
        client.put(&"a".into(), "x".into()).await.unwrap();
        let modified = SystemTime::from(client.head(&"a".into()).await.unwrap().last_modified);
        let behind = SystemTime::now().duration_since(modified).unwrap();
        assert!((3590..3700).contains(&behind.as_secs()), "{behind:?}");
    }
}

#[tokio::test]
async fn buckets_are_filled_touched_and_cleared() {
    for dialect in BOTH {
        let (server, client) = pair(dialect).await;
        let answer = http(
            &server,
            &plain("POST", "/__fill?bucket=data&count=2500&size=100&prefix=p%2F", "", ""),
        )
        .await;
        assert_eq!(answer.0, 200, "{}", answer.1);
        let bucket = server.bucket(BUCKET);
        let before = bucket.contents();
        let distinct: std::collections::BTreeSet<&Bytes> = before.values().collect();
        assert_eq!((before.len(), distinct.len()), (2500, 2500));
        let read = client.get(&"p/00000007".into()).await.unwrap().bytes().await.unwrap();
        assert_eq!((read.len(), &read), (100, &before["p/00000007"]));
        let listed: Vec<_> = client.list(None).try_collect().await.unwrap();
        assert_eq!(listed.len(), 2500);
        http(&server, &plain("POST", "/__touch?bucket=data&count=25", "", "")).await;
        let after = bucket.contents();
        let changed: Vec<&String> =
            before.iter().filter(|(key, body)| after[*key] != **body).map(|(key, _)| key).collect();
        assert_eq!(changed.len(), 25);
        assert!(changed.contains(&&"p/00001200".to_owned()), "{changed:?}");
        let (_, stats) = http(&server, &plain("GET", "/__stats", "", "")).await;
        assert!(stats.contains("\"gets\":1") && stats.contains("\"puts\":0"), "{stats}");
        http(&server, &plain("POST", "/__clear?bucket=data", "", "")).await;
        assert!(bucket.is_empty());
        assert_eq!(
            http(&server, &plain("POST", "/__fill?bucket=data&count=x", "", "")).await.0,
            400
        );
    }
}

#[tokio::test]
async fn a_hook_changes_an_object_between_two_reads() {
    for dialect in BOTH {
        let (server, client) = pair(dialect).await;
        let bucket = server.bucket(BUCKET);
        bucket.put("k", "old old old").unwrap();
        let inner = bucket.clone();
        server.on_request(move |request| {
            if request.operation == Operation::Get && request.range == Some("bytes=4-6") {
                inner.put(request.key, "new new new").unwrap();
            }
            None
        });
        let first = client
            .get_opts(&"k".into(), GetOptions::new().with_range(Some(GetRange::from(0..3u64))))
            .await
            .unwrap();
        let tag = first.meta.e_tag.clone();
        assert_eq!(first.bytes().await.unwrap(), "old");
        let second = GetOptions {
            range: Some(GetRange::from(4..7u64)),
            if_match: tag,
            ..GetOptions::default()
        };
        assert!(matches!(
            client.get_opts(&"k".into(), second).await,
            Err(Error::Precondition { .. })
        ));
        server.clear_hook();
        assert_eq!(client.get_range(&"k".into(), 4..7).await.unwrap(), "new");
    }
}

#[tokio::test]
async fn every_http_error_is_answered_and_nothing_done() {
    for dialect in BOTH {
        let (server, client) = pair(dialect).await;
        for status in [403, 404, 408, 409, 429, 500, 502, 503, 504] {
            server.set_faults(Faults::new(1).rate(1.0).kinds([FaultKind::http(status)]));
            client.put(&"k".into(), "x".into()).await.unwrap_err();
            assert!(server.bucket(BUCKET).is_empty());
            assert_eq!(server.stats().faults[&format!("http_{status}")], 1);
        }
        let throttled = FaultKind::Http { status: 503, retry_after: Some(Duration::from_secs(3)) };
        server.set_faults(Faults::new(1).rate(1.0).kinds([throttled]));
        let (status, answer) = http(&server, &plain("GET", "/data/a/k", "", "")).await;
        assert!(status == 503 && answer.contains("retry-after: 3"), "{answer}");
        server.set_faults(None);
        client.put(&"k".into(), "x".into()).await.unwrap();
    }
}

#[tokio::test]
async fn effects_may_outlive_their_answers() {
    for dialect in BOTH {
        let (server, client) = pair(dialect).await;
        server.set_faults(Faults::new(1).rate(1.0).kinds([FaultKind::Close]));
        client.put(&"k".into(), "x".into()).await.unwrap_err();
        assert!(server.bucket(BUCKET).is_empty());
        server.set_faults(Faults::new(1).rate(1.0).kinds([FaultKind::CloseAfter]));
        client.put(&"k".into(), "x".into()).await.unwrap_err();
        assert_eq!(server.bucket(BUCKET).get("k").unwrap().body(), "x");
        server.set_faults(Faults::new(1).rate(1.0).kinds([FaultKind::HangAfter]));
        let hanging = tokio::spawn({
            let client = client.clone();
            async move { client.put(&"hang".into(), "x".into()).await }
        });
        while server.bucket(BUCKET).get("hang").is_none() {
            tokio::task::yield_now().await;
        }
        assert!(!hanging.is_finished());
        hanging.abort();
    }
}

#[tokio::test]
async fn reads_break_in_each_way() {
    let body: Bytes = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    for dialect in BOTH {
        let (server, client) = pair(dialect).await;
        for (key, body) in [("big", body.clone()), ("small", body.slice(..1000))] {
            server.bucket(BUCKET).put(key, body.clone()).unwrap();
            let path = Path::from(key);
            let read = |kind: FaultKind| {
                server.set_faults(
                    Faults::new(9).rate(1.0).kinds([kind]).operations([Operation::Get]),
                );
                client.get(&path)
            };
            let cut = read(FaultKind::CutBody).await.unwrap();
            assert_eq!(cut.meta.size, body.len() as u64);
            assert!(cut.bytes().await.is_err());
            let short = read(FaultKind::ShortRead).await.unwrap().bytes().await.unwrap();
            assert_eq!(short, body[..body.len() / 2]);
            let corrupt = read(FaultKind::CorruptRead).await.unwrap().bytes().await.unwrap();
            assert_eq!(corrupt.iter().zip(&body).filter(|(a, b)| a != b).count(), 1);
            assert_eq!(corrupt.len(), body.len());
        }
        server.set_faults(Faults::new(9).rate(1.0).kinds([FaultKind::ShortRead]));
        let target = if dialect == Dialect::S3 { "/data/small" } else { "/a/data/small" };
        let (status, answer) =
            http(&server, &plain("GET", target, "range: bytes=10-19\r\n", "")).await;
        assert!(status == 206 && answer.contains("content-range: bytes 10-14/1000"), "{answer}");
        assert!(answer.contains("content-length: 5\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_corrupt_write_shows_in_its_etag() {
    let (server, client) = pair(Dialect::S3).await;
    server.set_faults(Faults::new(3).rate(1.0).kinds([FaultKind::CorruptWrite]));
    let put = client.put(&"k".into(), "hello".into()).await.unwrap();
    let stored = server.bucket(BUCKET).get("k").unwrap();
    assert_ne!(stored.body(), "hello");
    assert_ne!(put.e_tag.as_deref(), Some("\"5d41402abc4b2a76b9719d911017c592\""));
    assert_eq!(put.e_tag.unwrap().trim_matches('"'), stored.etag());
}

#[tokio::test]
async fn a_listing_breaks_midway_and_only_there() {
    for dialect in BOTH {
        let (server, client) = pair(dialect).await;
        let page = if dialect == Dialect::S3 { 1000 } else { 5000 };
        server.bucket(BUCKET).fill(2 * page + 10, 1, "").unwrap();
        for kind in [FaultKind::http(500), FaultKind::TruncateList, FaultKind::CutBody] {
            server.set_faults(Faults::new(1).rate(1.0).kinds([kind]).pages_from(1));
            let seen: Vec<_> = client.list(None).collect().await;
            let good = seen.iter().take_while(|entry| entry.is_ok()).count() as u64;
            assert_eq!(good, page, "{dialect:?} {kind:?}");
            assert!(seen[good as usize].is_err());
        }
        server.set_faults(None);
        assert_eq!(client.list(None).count().await as u64, 2 * page + 10);
    }
}

#[tokio::test]
async fn too_many_requests_are_throttled() {
    let (server, client) = pair(Dialect::S3).await;
    server.set_faults(Faults::new(1).throttle(5.0));
    let path = Path::from("none");
    let outcomes = futures::future::join_all((0..40).map(|_| client.head(&path)));
    let throttled = outcomes
        .await
        .iter()
        .filter(|outcome| !matches!(outcome, Err(Error::NotFound { .. })))
        .count();
    assert!((20..=35).contains(&throttled), "{throttled}");
    assert_eq!(server.stats().faults["http_503"], throttled as u64);
}

#[tokio::test]
async fn faults_spare_what_they_are_not_for() {
    let (server, client) = pair(Dialect::S3).await;
    let faults = Faults::new(1)
        .rate(1.0)
        .kinds([FaultKind::http(403)])
        .prefix("bad/")
        .operations([Operation::Put]);
    server.set_faults(faults);
    client.put(&"good/a".into(), "x".into()).await.unwrap();
    client.put(&"bad/a".into(), "x".into()).await.unwrap_err();
    assert!(matches!(client.get(&"bad/a".into()).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_client_that_retries_survives_and_the_seed_repeats() {
    for dialect in BOTH {
        let mut runs = Vec::new();
        for _ in 0..2 {
            let faults =
                || Faults::new(42).rate(0.2).kinds([408, 429, 500, 502, 503].map(FaultKind::http));
            let options = ServerOptions { faults: Some(faults()), ..ServerOptions::default() };
            let server = start(dialect, options).await;
            let client = client(&server, dialect, 10);
            for n in 0..100 {
                let path = Path::from(format!("k{n}"));
                client.put(&path, format!("body {n}").into()).await.unwrap();
                assert_eq!(
                    client.get(&path).await.unwrap().bytes().await.unwrap(),
                    format!("body {n}")
                );
            }
            let stats = server.stats();
            assert!(stats.faults_injected() > 20, "{:?}", faults());
            assert_eq!(stats.requests, 200 + stats.faults_injected());
            runs.push(stats.faults);
        }
        assert_eq!(runs[0], runs[1]);
    }
}

#[tokio::test]
async fn a_dropped_server_listens_no_more() {
    let server = start(Dialect::S3, ServerOptions::default()).await;
    let port = server.port();
    let client = client(&server, Dialect::S3, 0);
    client.put(&"a".into(), "x".into()).await.unwrap();
    drop(server);
    client.get(&"a".into()).await.unwrap_err();
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn ranges_are_those_of_a_slice(size in 1usize..300, a in 0u64..320, b in 0u64..320, azure in any::<bool>()) {
        let dialect = if azure { Dialect::Azure } else { Dialect::S3 };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (server, client) = pair(dialect).await;
            server.bucket(BUCKET).fill(1, size, "k").unwrap();
            let path = Path::from("k00000000");
            let body = server.bucket(BUCKET).get("k00000000").unwrap().body();
            let (first, last) = (a.min(b), a.max(b) + 1);
            let read = client.get_range(&path, first..last).await;
            if first < size as u64 {
                assert_eq!(read.unwrap(), body[first as usize..size.min(last as usize)]);
            } else {
                assert!(read.is_err());
            }
            if dialect == Dialect::S3 && a > 0 {
                let suffix = GetOptions { range: Some(GetRange::Suffix(a)), ..GetOptions::default() };
                let read = client.get_opts(&path, suffix).await.unwrap().bytes().await.unwrap();
                assert_eq!(read, body[size.saturating_sub(a as usize)..]);
            }
        });
    }

    #[test]
    fn listings_are_those_of_a_model(
        names in prop::collection::btree_set("[a-c]{1,2}(/[a-c%+ é]{1,2}){0,2}", 0..60),
        prefix in prop_oneof![Just(None), Just(Some("a")), Just(Some("b/c"))],
        offset in "[a-c]{1,2}",
        azure in any::<bool>(),
    ) {
        let dialect = if azure { Dialect::Azure } else { Dialect::S3 };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (server, client) = pair(dialect).await;
            let mut model = BTreeMap::new();
            for name in &names {
                // As the client writes a path
                let path = Path::from(name.as_str());
                server.bucket(BUCKET).put(path.as_ref(), name.clone()).unwrap();
                model.insert(path.to_string(), name.len() as u64);
            }
            let prefix = prefix.map(Path::from);
            let under = |key: &str| prefix.as_ref().is_none_or(|prefix| key.starts_with(&format!("{prefix}/")));
            let listed: BTreeMap<String, u64> =
                client.list(prefix.as_ref()).map_ok(|meta| (meta.location.to_string(), meta.size)).try_collect().await.unwrap();
            let expected: BTreeMap<String, u64> =
                model.iter().filter(|(key, _)| under(key)).map(|(key, size)| (key.clone(), *size)).collect();
            assert_eq!(listed, expected);

            let after = Path::from(offset);
            let listed: Vec<String> = client
                .list_with_offset(None, &after)
                .map_ok(|meta| meta.location.to_string())
                .try_collect()
                .await
                .unwrap();
            assert_eq!(listed, model.keys().filter(|key| key.as_str() > after.as_ref()).cloned().collect::<Vec<_>>());

            let level = client.list_with_delimiter(prefix.as_ref()).await.unwrap();
            let skip = prefix.as_ref().map_or(0, |prefix| prefix.as_ref().len() + 1);
            let (mut objects, mut folders) = (Vec::new(), Vec::new());
            for key in model.keys().filter(|key| under(key)) {
                match key[skip..].find('/') {
                    None => objects.push(key.clone()),
                    Some(at) => folders.push(key[..skip + at].to_owned()),
                }
            }
            // The client sorts them anew, without their last slash.
            folders.sort();
            folders.dedup();
            assert_eq!(level.objects.iter().map(|meta| meta.location.to_string()).collect::<Vec<_>>(), objects);
            assert_eq!(level.common_prefixes.iter().map(ToString::to_string).collect::<Vec<_>>(), folders);
        });
    }
}
