//! Data sync against servers that others wrote: moto (S3, with signatures checked) and Azurite (Azure Blob), as
//! `tests/emulators.py` installs them. Where they are missing, the tests say so and pass; with CI=true they fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod sync_support;

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use cloud_patterns::sync::OpenLocation;
use futures::TryStreamExt;
use object_store::{Attribute, Attributes, ObjectStore, ObjectStoreExt, PutOptions};
use serde_json::json;
use sync_support::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const MIB: usize = 1 << 20;

/// A server of others, which is stopped when it is dropped.
struct Emulator {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where `tests/emulators.py` installed a program; `None` if it did not, which is a failure where everything has to be there.
fn installed(name: &str, program: &str) -> Option<PathBuf> {
    let cache =
        std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| Some(std::env::home_dir()?.join(".cache")))?;
    let folder = cache.join("multicloud/emulators");
    if folder.join(format!("{name}.installed")).is_file() {
        return Some(folder.join(name).join(program));
    }
    let why = format!("{name} is not installed in {}: run tests/emulators.py", folder.display());
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    eprintln!("skipped: {why}");
    None
}

impl Emulator {
    /// Starts a program with a free port among its arguments, and waits until it listens.
    async fn start(program: &Path, arguments: impl Fn(u16) -> Vec<String>) -> Self {
        // Another process may take the port before the program does.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let folder = tempfile::tempdir().unwrap();
            let log = std::fs::File::create(folder.path().join("log")).unwrap();
            let mut command = Command::new(program);
            command.args(arguments(port)).current_dir(folder.path()).stdin(Stdio::null());
            let process = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
            let mut emulator = Self { process, port, folder };
            if emulator.listens().await {
                return emulator;
            }
        }
        panic!("{} does not start", program.display());
    }

    async fn listens(&mut self) -> bool {
        for _ in 0..600 {
            if TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return true;
            }
            if self.process.try_wait().unwrap().is_some() {
                let log = std::fs::read_to_string(self.folder.path().join("log"));
                eprintln!("it ended: {}", log.unwrap_or_default());
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// One request, past any client.
    async fn http(&self, head: &str, headers: &[(&str, &str)], body: &str) -> String {
        let mut request =
            format!("{head} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        headers.iter().for_each(|(name, value)| request += &format!("{name}: {value}\r\n"));
        request += &format!("host: 127.0.0.1:{}\r\n\r\n{body}", self.port);
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 2"), "{head}: {answer}");
        answer
    }
}

/// S3 with a user whose signatures are checked.
struct Moto {
    server: Emulator,
    key: (String, String),
}

impl Moto {
    async fn start() -> Option<Self> {
        let program = installed("moto", "bin/moto_server")?;
        let arguments =
            |port: u16| vec!["-H".into(), "127.0.0.1".into(), "-p".into(), port.to_string()];
        let server = Emulator::start(&program, arguments).await;
        let iam = async |action: &str| {
            let credential = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=x";
            let headers = [
                ("authorization", credential),
                ("content-type", "application/x-www-form-urlencoded"),
            ];
            server
                .http("POST /", &headers, &format!("{action}&UserName=sync&Version=2010-05-08"))
                .await
        };
        iam("Action=CreateUser").await;
        let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
        let policy: String = policy.bytes().map(|byte| format!("%{byte:02X}")).collect();
        iam(&format!("Action=PutUserPolicy&PolicyName=all&PolicyDocument={policy}")).await;
        let answer = iam("Action=CreateAccessKey").await;
        let field = |name: &str| {
            let (_, rest) = answer.split_once(&format!("<{name}>")).unwrap();
            rest.split_once('<').unwrap().0.to_owned()
        };
        let key = (field("AccessKeyId"), field("SecretAccessKey"));
        for bucket in ["one", "two"] {
            let credential = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x";
            server.http(&format!("PUT /{bucket}"), &[("authorization", credential)], "").await;
        }
        // From now on signatures are checked.
        server.http("POST /moto-api/reset-auth", &[], "0").await;
        Some(Self { server, key })
    }

    fn url(&self, path: &str) -> String {
        format!("s3://{path}?region=us-east-1&endpoint=http://127.0.0.1:{}", self.server.port)
    }
}

/// The account of every Azurite, which its documentation names.
const ACCOUNT: &str = "devstoreaccount1";
const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

struct Azurite(Emulator);

impl Azurite {
    async fn start() -> Option<Self> {
        let program = installed("azurite", "node_modules/.bin/azurite-blob")?;
        let arguments = |port: u16| {
            let port = port.to_string();
            let fixed = [
                "--inMemoryPersistence",
                "--silent",
                "--disableTelemetry",
                "--skipApiVersionCheck",
                "--blobPort",
            ];
            fixed.into_iter().chain([&*port]).map(str::to_owned).collect()
        };
        let server = Emulator::start(&program, arguments).await;
        let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let named = format!("x-ms-date:{date}\nx-ms-version:2021-08-06\n");
        let text =
            format!("PUT{}{named}/{ACCOUNT}/{ACCOUNT}/box\nrestype:container", "\n".repeat(12));
        let key = ring::hmac::Key::new(
            ring::hmac::HMAC_SHA256,
            &BASE64_STANDARD.decode(ACCOUNT_KEY).unwrap(),
        );
        let signature = BASE64_STANDARD.encode(ring::hmac::sign(&key, text.as_bytes()));
        let authorization = format!("SharedKey {ACCOUNT}:{signature}");
        let headers = [
            ("x-ms-date", &*date),
            ("x-ms-version", "2021-08-06"),
            ("authorization", &authorization),
        ];
        server.http(&format!("PUT /{ACCOUNT}/box?restype=container"), &headers, "").await;
        Some(Self(server))
    }

    fn url(&self, path: &str) -> String {
        format!("az://{path}?account={ACCOUNT}&endpoint=http://127.0.0.1:{}/{ACCOUNT}", self.0.port)
    }
}

fn attributes() -> Attributes {
    let metadata = Attribute::Metadata("owner".into());
    [
        (Attribute::ContentType, "text/css"),
        (Attribute::CacheControl, "max-age=5"),
        (metadata, "ada"),
    ]
    .into_iter()
    .collect()
}

/// What is at a place, asked for through its API.
async fn read(locations: &Locations, url: &str) -> BTreeMap<String, (Bytes, Attributes)> {
    let location = locations.open(url).await.unwrap();
    let prefix = Some(&location.prefix).filter(|prefix| !prefix.as_ref().is_empty());
    let listed: Vec<_> = location.store.list(prefix).try_collect().await.unwrap();
    let mut found = BTreeMap::new();
    for meta in listed {
        let got = location.store.get(&meta.location).await.unwrap();
        let attributes = got.attributes.clone();
        let key = meta.location.prefix_match(&location.prefix).unwrap();
        let key: Vec<_> = key.map(|part| part.as_ref().to_owned()).collect();
        found.insert(key.join("/"), (got.bytes().await.unwrap(), attributes));
    }
    found
}

/// There, unchanged, changed, mirrored; content, attributes and all.
async fn round(locations: &dyn Fn() -> Locations, source: &str, target: &str) {
    let open = async |url| locations().open(url).await.unwrap();
    let from = open(source).await;
    let key =
        |name: &str| object_store::path::Path::parse(format!("{}/{name}", from.prefix)).unwrap();
    for (name, body) in contents(1, 40) {
        from.store.put(&key(&name), body.into()).await.unwrap();
    }
    let with = || PutOptions { attributes: attributes(), ..PutOptions::default() };
    from.store.put_opts(&key("style.css"), "body {}".into(), with()).await.unwrap();
    from.store.put_opts(&key("large.css"), noise(2, 12 * MIB).into(), with()).await.unwrap();
    let before = read(&locations(), source).await;
    assert_eq!(before.len(), 42);

    let policy = json!({"mode": "mirror", "limits": {"multipart_bytes": MIB}});
    let sync = Sync::with(locations(), source, target, policy).await.unwrap();
    let report = sync.run().await;
    assert_eq!((report.copied, report.attributes_lost), (42, 0), "{report}");
    let there = read(&locations(), target).await;
    for (key, (body, attributes)) in &before {
        assert!(there[key].0 == *body, "{key} differs");
        if key.ends_with(".css") {
            assert_eq!(there[key].1, *attributes, "{key}");
            assert_eq!(attributes.get(&Attribute::ContentType).unwrap().as_ref(), "text/css");
        }
    }
    let report = sync.run().await;
    assert_eq!((report.copied, report.unchanged), (0, 42), "{report}");

    from.store.delete(&key("style.css")).await.unwrap();
    from.store.put(&key("large.css"), "now small".into()).await.unwrap();
    let report = sync.run().await;
    assert_eq!((report.copied, report.deleted), (1, 1), "{report}");
    let there = read(&locations(), target).await;
    assert_eq!(there.len(), 41);
    assert_eq!(there["large.css"].0, "now small");
    assert_eq!(sync.run().await.copied, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_buckets_of_moto() {
    let Some(moto) = Moto::start().await else { return };
    let locations = || Locations { s3_key: moto.key.clone(), ..Locations::default() };
    round(&locations, &moto.url("one/a"), &moto.url("two/b")).await;
    // The store copies by itself.
    round(&locations, &moto.url("one/c"), &moto.url("one/d")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moto_checks_signatures() {
    let Some(moto) = Moto::start().await else { return };
    let wrong = Locations { s3_key: (moto.key.0.clone(), "wrong".into()), ..Locations::default() };
    let target = Place::folder();
    let sync = Sync::with(wrong, &moto.url("one/a"), &target.url(), json!({})).await.unwrap();
    let error = sync.try_run().await.unwrap_err();
    assert!(error.to_string().contains("listing"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_moto_and_azurite() {
    let (Some(moto), Some(azurite)) = (Moto::start().await, Azurite::start().await) else { return };
    let locations = || Locations {
        s3_key: moto.key.clone(),
        azure_key: ACCOUNT_KEY.into(),
        ..Locations::default()
    };
    round(&locations, &moto.url("one/a"), &azurite.url("box/b")).await;
    round(&locations, &azurite.url("box/c"), &moto.url("two/d")).await;
}
