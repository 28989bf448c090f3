//! What the client does with connections: reuse, replacement, time-outs, cut answers, streamed bodies, TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use cloud_core::{ContentMd5, Error, ErrorKind, ObjectLocation, StreamedBody};
use cloud_objects::{Credentials, OpenOptions, open};
use futures::{StreamExt, future::join_all, stream};
use object_store::{ObjectStore, ObjectStoreExt, PutOptions, PutResult, path::Path};
use proptest::prelude::*;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// A server that runs a script on each connection, which is given its number.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start<F, S>(script: S) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
        S: Fn(TcpStream, usize) -> F + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(script(stream, counter.fetch_add(1, Ordering::SeqCst)));
            }
        });
        Self { port, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    async fn location(&self, options: &OpenOptions) -> ObjectLocation {
        open(&format!("s3://b?endpoint=http://127.0.0.1:{}&region=r", self.port), options)
            .await
            .unwrap()
    }
}

/// Nothing is repeated, so that what happens first shows.
fn options() -> OpenOptions {
    let mut options = OpenOptions::default();
    options.credentials =
        Credentials::AccessKey { id: "id".into(), secret: "secret".into(), session: None };
    options.retry.max_retries = 0;
    options
}

/// A request with its body; `None` if the client closed instead, or in the middle of it.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        (stream.read_buf(&mut read).await.ok()? > 0).then_some(())?;
    };
    let head = String::from_utf8(read[..end].to_vec()).unwrap().to_lowercase();
    let length = header(&head, "content-length").map_or(0, |value| value.parse().unwrap());
    let mut body = read.split_off(end);
    while body.len() < length {
        (stream.read_buf(&mut body).await.ok()? > 0).then_some(())?;
    }
    Some((head, body))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

async fn answer(stream: &mut (impl AsyncWrite + Unpin), status: &str, body: &str) {
    let length = body.len();
    let text =
        format!("HTTP/1.1 {status}\r\nETag: \"e\"\r\nContent-Length: {length}\r\n\r\n{body}");
    let _ = stream.write_all(text.as_bytes()).await;
}

/// Answers everything with the same.
async fn always(mut stream: TcpStream, status: &'static str, body: &'static str) {
    while request(&mut stream).await.is_some() {
        answer(&mut stream, status, body).await;
    }
}

async fn get(location: &ObjectLocation) -> object_store::Result<Bytes> {
    location.store.get(&Path::from("k")).await?.bytes().await
}

async fn put_streamed(
    location: &ObjectLocation,
    body: &StreamedBody,
) -> object_store::Result<PutResult> {
    let mut options = PutOptions::default();
    options.extensions.insert(body.clone());
    location.store.put_opts(&Path::from("k"), body.stand_in(), options).await
}

fn body(length: u64, chunks: Vec<io::Result<&'static str>>) -> StreamedBody {
    let chunks = chunks.into_iter().map(|chunk| chunk.map(Bytes::from));
    StreamedBody::new(length, stream::iter(chunks).boxed())
}

/// The error of ours among the causes.
fn ours(error: &object_store::Error) -> Option<&Error> {
    let first = Some(error as &dyn std::error::Error);
    std::iter::successors(first, |cause| cause.source()).find_map(|cause| cause.downcast_ref())
}

#[tokio::test]
async fn requests_after_each_other_share_a_connection() {
    let server = Server::start(|stream, _| always(stream, "200 OK", "hello")).await;
    let location = server.location(&options()).await;
    for _ in 0..5 {
        assert_eq!(get(&location).await.unwrap(), "hello");
        location.store.put(&Path::from("k"), "hello".into()).await.unwrap();
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn errors_keep_the_connection_too() {
    let server = Server::start(|stream, _| always(stream, "404 Not Found", "<Error/>")).await;
    let location = server.location(&options()).await;
    for _ in 0..3 {
        assert!(matches!(get(&location).await, Err(object_store::Error::NotFound { .. })));
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_replaced_without_an_error() {
    let (closed, mut when_closed) = mpsc::unbounded_channel();
    let server = Server::start(move |mut stream, _| {
        let closed = closed.clone();
        async move {
            request(&mut stream).await;
            answer(&mut stream, "200 OK", "hello").await;
            drop(stream);
            closed.send(()).unwrap();
        }
    })
    .await;
    let location = server.location(&options()).await;
    for _ in 0..10 {
        assert_eq!(get(&location).await.unwrap(), "hello");
        when_closed.recv().await.unwrap();
    }
    assert_eq!(server.connections(), 10);
}

#[test]
fn a_location_outlives_the_runtime_that_it_was_used_in() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let serving = tokio::runtime::Runtime::new().unwrap();
    let server = serving.block_on(Server::start(|stream, _| always(stream, "200 OK", "hello")));
    let location = runtime().block_on(async {
        let location = server.location(&options()).await;
        get(&location).await.unwrap();
        location
    });
    assert_eq!(runtime().block_on(get(&location)).unwrap(), "hello");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn connections_are_limited_when_asked() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (now, most.clone());
    let server = Server::start(move |mut stream, _| {
        let (now, most) = counts.clone();
        async move {
            while request(&mut stream).await.is_some() {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                answer(&mut stream, "200 OK", "hello").await;
            }
        }
    })
    .await;
    let mut options = options();
    options.max_connections = Some(2);
    let location = server.location(&options).await;
    let all = join_all((0..20).map(|_| get(&location))).await;
    assert!(all.into_iter().all(|read| read.unwrap() == "hello"));
    assert!(server.connections() <= 2 && most.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn a_body_that_is_dropped_closes_its_connection() {
    let (closed, mut when_closed) = mpsc::unbounded_channel();
    let server = Server::start(move |mut stream, number| {
        let closed = closed.clone();
        async move {
            if number > 0 {
                return always(stream, "200 OK", "hello").await;
            }
            request(&mut stream).await;
            let head = b"HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 100\r\n\r\nhello";
            stream.write_all(head).await.unwrap();
            // Nothing more comes, so this ends when the client closes.
            assert!(request(&mut stream).await.is_none());
            closed.send(()).unwrap();
        }
    })
    .await;
    let location = server.location(&options()).await;
    let mut half = location.store.get(&Path::from("k")).await.unwrap().into_stream();
    assert_eq!(half.next().await.unwrap().unwrap(), "hello");
    drop(half);
    when_closed.recv().await.unwrap();
    assert_eq!(get(&location).await.unwrap(), "hello");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_request_that_is_dropped_closes_its_connection() {
    let (got, mut when_got) = mpsc::unbounded_channel();
    let (closed, mut when_closed) = mpsc::unbounded_channel();
    let server = Server::start(move |mut stream, number| {
        let (got, closed) = (got.clone(), closed.clone());
        async move {
            if number > 0 {
                return always(stream, "200 OK", "hello").await;
            }
            request(&mut stream).await;
            got.send(()).unwrap();
            assert!(request(&mut stream).await.is_none());
            closed.send(()).unwrap();
        }
    })
    .await;
    let location = server.location(&options()).await;
    tokio::select! {
        _ = get(&location) => panic!("there is no answer"),
        _ = when_got.recv() => {}
    }
    when_closed.recv().await.unwrap();
    assert_eq!(get(&location).await.unwrap(), "hello");
}

#[tokio::test]
async fn silence_is_a_time_out() {
    let server = Server::start(|mut stream, number| async move {
        request(&mut stream).await;
        if number == 1 {
            let head = b"HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 100\r\n\r\nhello";
            stream.write_all(head).await.unwrap();
        }
        request(&mut stream).await;
    })
    .await;
    let mut options = options();
    options.first_byte_timeout = Duration::from_millis(50);
    options.idle_timeout = Duration::from_millis(50);
    let location = server.location(&options).await;
    let error = get(&location).await.unwrap_err().to_string();
    assert!(error.contains("no answer within 50ms"), "{error}");
    let error = get(&location).await.unwrap_err().to_string();
    assert!(error.contains("paused for longer than 50ms"), "{error}");
}

#[tokio::test]
async fn an_upload_may_take_longer_than_the_time_to_the_first_byte() {
    let server = Server::start(|stream, _| always(stream, "200 OK", "")).await;
    let mut options = options();
    options.first_byte_timeout = Duration::from_millis(40);
    let location = server.location(&options).await;
    let chunks = stream::iter(0..5).then(|_| async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        Ok(Bytes::from_static(b"x"))
    });
    let body = StreamedBody::new(5, chunks.boxed());
    put_streamed(&location, &body).await.unwrap();
}

#[tokio::test]
async fn a_cut_answer_is_resumed() {
    let server = Server::start(|mut stream, number| async move {
        let (head, _) = request(&mut stream).await.unwrap();
        let text = if number == 0 {
            "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 10\r\n\r\n01234"
        } else {
            assert_eq!(header(&head, "range"), Some("bytes=5-9"));
            "HTTP/1.1 206 Partial Content\r\nETag: \"e\"\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\n56789"
        };
        stream.write_all(text.as_bytes()).await.unwrap();
    })
    .await;
    let mut options = options();
    options.retry.max_retries = 1;
    assert_eq!(get(&server.location(&options).await).await.unwrap(), "0123456789");
}

#[tokio::test]
async fn server_errors_are_repeated_but_not_for_a_stream() {
    let server = Server::start(|mut stream, _| async move {
        let mut first = true;
        while request(&mut stream).await.is_some() {
            match first {
                true => answer(&mut stream, "503 Slow Down", "<Code>SlowDown</Code>").await,
                false => answer(&mut stream, "200 OK", "").await,
            }
            first = false;
        }
    })
    .await;
    let mut options = options();
    options.retry.max_retries = 1;
    options.retry.backoff.init_backoff = Duration::from_millis(1);
    let location = server.location(&options).await;
    location.store.put(&Path::from("k"), "x".into()).await.unwrap();
    assert_eq!(server.connections(), 1);

    let location = server.location(&options).await;
    let body = body(1, vec![Ok("x")]);
    let error = put_streamed(&location, &body).await.unwrap_err();
    assert!(body.was_taken());
    assert_eq!(ours(&error).unwrap().kind(), ErrorKind::RateLimited);
    // Nothing was repeated: the second request of the connection would have been answered well.
    let again = put_streamed(&location, &body).await.unwrap_err().to_string();
    assert!(again.contains("was sent before"), "{again}");
}

#[tokio::test]
async fn a_stream_of_another_length_is_never_a_whole_object() {
    let (sent, mut requests) = mpsc::unbounded_channel();
    let server = Server::start(move |mut stream, _| {
        let sent = sent.clone();
        async move {
            let got = request(&mut stream).await;
            if got.is_some() {
                answer(&mut stream, "200 OK", "").await;
            }
            let _ = sent.send(got.map(|(_, body)| body));
        }
    })
    .await;
    let location = server.location(&options()).await;
    for (length, chunks, said) in [
        (5, vec![Ok("ab")], "3 bytes early"),
        (5, vec![Ok("abc"), Ok("def")], "more bytes"),
        (6, vec![Ok("abc"), Ok("def"), Ok("g")], "more bytes"),
        (6, vec![Ok("abc"), Err(io::Error::other("source broke"))], "source broke"),
        (3, vec![Ok("abc"), Err(io::Error::other("source broke"))], "source broke"),
    ] {
        let error = put_streamed(&location, &body(length, chunks)).await.unwrap_err();
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
        let text: String = causes.map(ToString::to_string).collect();
        assert!(text.contains(said), "{text}");
        assert_eq!(requests.recv().await.unwrap(), None, "{said}");
    }
    for (length, chunks) in [(0, vec![Ok("a")]), (0, vec![Err(io::Error::other("broke"))])] {
        // Nothing is sent at all.
        put_streamed(&location, &body(length, chunks)).await.unwrap_err();
    }
    let good = body(6, vec![Ok(""), Ok("abc"), Ok("def"), Ok("")]);
    put_streamed(&location, &good).await.unwrap();
    let whole = loop {
        if let Some(whole) = requests.recv().await.unwrap() {
            break whole;
        }
    };
    assert_eq!(whole, b"abcdef");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_stream_arrives_as_it_is(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50_000), 0..8),
    ) {
        let whole = chunks.concat();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let arrived = runtime.block_on(async {
            let (sent, mut bodies) = mpsc::unbounded_channel();
            let server = Server::start(move |mut stream, _| {
                let sent = sent.clone();
                async move {
                    let (head, body) = request(&mut stream).await.unwrap();
                    assert_eq!(header(&head, "x-amz-content-sha256"), Some("unsigned-payload"));
                    sent.send(body).unwrap();
                    answer(&mut stream, "200 OK", "").await;
                }
            })
            .await;
            let location = server.location(&options()).await;
            let length = whole.len() as u64;
            let chunks = stream::iter(chunks.into_iter().map(|chunk| Ok(Bytes::from(chunk))));
            put_streamed(&location, &StreamedBody::new(length, chunks.boxed())).await.unwrap();
            bodies.recv().await.unwrap()
        });
        prop_assert_eq!(arrived, whole);
    }
}

#[tokio::test]
async fn a_put_sends_the_md5_that_it_is_given() {
    let (sent, mut heads) = mpsc::unbounded_channel();
    let server = Server::start(move |mut stream, _| {
        let sent = sent.clone();
        async move {
            while let Some((head, _)) = request(&mut stream).await {
                sent.send(head).unwrap();
                let text = "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-MD5: 1B2M2Y8AsgTpgAmY7PhCfg==\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(text.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let location = server.location(&options()).await;
    let md5 = ContentMd5::from_e_tag("d41d8cd98f00b204e9800998ecf8427e").unwrap();
    let mut with_md5 = PutOptions::default();
    with_md5.extensions.insert(md5);
    let put = location.store.put_opts(&Path::from("k"), "".into(), with_md5).await.unwrap();
    assert_eq!(
        header(&heads.recv().await.unwrap(), "content-md5"),
        Some("1b2m2y8asgtpgamy7phcfg==")
    );
    assert_eq!(put.extensions.get::<ContentMd5>(), Some(&md5));
    location.store.put(&Path::from("k"), "".into()).await.unwrap();
    assert_eq!(header(&heads.recv().await.unwrap(), "content-md5"), None);
}

#[tokio::test]
async fn plain_http_to_another_machine_is_refused() {
    let url = "s3://b?endpoint=http://192.0.2.1:9000&region=r";
    let error = open(url, &options()).await.unwrap_err().to_string();
    assert!(error.contains("not encrypted"), "{error}");
    let mut allowed = options();
    allowed.allow_http = true;
    let location = open(url, &allowed).await.unwrap();
    // The content is signed, so a stream in its place would not fit.
    assert!(!location.traits.streamed_put);
}

#[tokio::test]
async fn tls_trusts_what_it_is_told_to_and_nothing_else() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let server = Server::start(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            while request(&mut stream).await.is_some() {
                answer(&mut stream, "200 OK", "hello").await;
            }
        }
    })
    .await;
    let url = format!("s3://b?endpoint=https://localhost:{}&region=r", server.port);
    let mut trusting = options();
    trusting.root_certificates = made.cert.pem().into_bytes();
    let location = open(&url, &trusting).await.unwrap();
    for _ in 0..3 {
        assert_eq!(get(&location).await.unwrap(), "hello");
        put_streamed(&location, &body(6, vec![Ok("abc"), Ok("def")])).await.unwrap();
    }
    assert_eq!(server.connections(), 1);
    let wary = open(&url, &options()).await.unwrap();
    let error = get(&wary).await.unwrap_err();
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
    let text: String = causes.map(ToString::to_string).collect();
    assert!(text.contains("certificate"), "{text}");
}
