//! The connector that `object_store`'s builders take: a pool of connections per server.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use cloud_core::{ClockSkew, RefusedKeys};
use http::{HeaderValue, Request, Uri, header, uri::Scheme};
use http_body::Body as _;
use object_store::{
    ClientConfigKey, ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpResponseBody,
        HttpService,
    },
};

pub(crate) use super::exchange::Observed;
use super::{
    body::ResponseBody,
    connection::Failed,
    error::Problem,
    exchange::{self, Purpose},
    origin::{Origin, Times, is_loopback},
    tls::Tls,
};

/// What a store speaks, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    S3,
    Azure,
    Gcs,
}

impl Dialect {
    /// Whether a put may be given a `Content-MD5` that was not signed: Azure's shared key signs it.
    pub(crate) fn takes_md5(self) -> bool {
        self != Self::Azure
    }
}

/// The HTTP client of a store: see the [crate's documentation](crate) for what it does and what it does not.
///
/// Time-outs come from the [`ClientOptions`] of the builder: `connect_timeout` (5 s), `timeout` until the head of an answer,
/// counted from when the request's body last moved (30 s), `read_timeout` between two pieces of a body (30 s),
/// `pool_idle_timeout` (60 s). Its other settings are not looked at, but for `allow_http` and `user_agent`.
///
/// ```
/// use cloud_objects::Connector;
/// use object_store::aws::AmazonS3Builder;
///
/// let store = AmazonS3Builder::new()
///     .with_bucket_name("photos")
///     .with_region("eu-west-1")
///     .with_http_connector(Connector::s3())
///     .build()
///     .unwrap();
/// ```
#[derive(Clone)]
pub struct Connector(Arc<Shared>);

struct Shared {
    dialect: Dialect,
    observed: Observed,
    tls: Arc<Tls>,
    most: Option<usize>,
    origins: RwLock<Vec<Arc<Origin>>>,
}

impl Connector {
    /// For S3 and what speaks like it.
    pub fn s3() -> Self {
        let observed = Observed::new(ClockSkew::default(), RefusedKeys::default());
        Self::new(Dialect::S3, observed, Arc::default(), None)
    }

    /// `roots` are certificates (PEM) to trust besides those of this machine; `most` connections are open to a server.
    pub(crate) fn new(
        dialect: Dialect,
        observed: Observed,
        roots: Arc<[u8]>,
        most: Option<usize>,
    ) -> Self {
        let tls = Arc::new(Tls::new(roots));
        Self(Arc::new(Shared { dialect, observed, tls, most, origins: RwLock::default() }))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("dialect", &self.0.dialect).finish_non_exhaustive()
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let time = |key: ClientConfigKey, default| {
            let text = options.get_config_value(&key);
            let time = text.and_then(|text| humantime::parse_duration(&text).ok());
            time.unwrap_or(Duration::from_secs(default))
        };
        let agent = options.get_config_value(&ClientConfigKey::UserAgent);
        let agent = agent.and_then(|agent| HeaderValue::try_from(agent).ok());
        Ok(HttpClient::new(Client {
            shared: self.0.clone(),
            allow_http: options.get_config_value(&ClientConfigKey::AllowHttp).as_deref()
                == Some("true"),
            agent,
            times: Times {
                connect: time(ClientConfigKey::ConnectTimeout, 5),
                first_byte: time(ClientConfigKey::Timeout, 30),
                idle: time(ClientConfigKey::ReadTimeout, 30),
                pooled: time(ClientConfigKey::PoolIdleTimeout, 60),
            },
        }))
    }
}

struct Client {
    shared: Arc<Shared>,
    allow_http: bool,
    agent: Option<HeaderValue>,
    times: Times,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("times", &self.times).finish_non_exhaustive()
    }
}

impl Client {
    /// The server that a request goes to.
    fn origin(&self, uri: &Uri) -> Result<Arc<Origin>, HttpError> {
        let origins = &self.shared.origins;
        let known = |origins: &[Arc<Origin>]| origins.iter().find(|origin| origin.is(uri)).cloned();
        let found = known(&origins.read().unwrap_or_else(PoisonError::into_inner));
        if let Some(origin) = found {
            return Ok(origin);
        }
        if uri.scheme() != Some(&Scheme::HTTPS) && !self.allow_http {
            let host = uri.host().unwrap_or_default();
            if !is_loopback(host) {
                return Err(Problem::Plain(host.to_owned()).into());
            }
        }
        let mut origins = origins.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(origin) = known(&origins) {
            return Ok(origin);
        }
        let (tls, most) = (self.shared.tls.clone(), self.shared.most);
        let origin = Arc::new(Origin::new(uri, self.times, tls, most)?);
        origins.push(origin.clone());
        Ok(origin)
    }
}

/// Only the path and query: what HTTP/1.1 sends to a server that is not a proxy.
fn origin_form(uri: Uri) -> Uri {
    let mut parts = uri.into_parts();
    (parts.scheme, parts.authority) = (None, None);
    // It was one, so it is one.
    Uri::from_parts(parts).unwrap_or_default()
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let shared = &*self.shared;
        let (mut parts, payload) = request.into_parts();
        let origin = self.origin(&parts.uri)?;
        // Before the stream of a put is taken: a server that cannot be reached costs no stream.
        let mut connection = origin.connection().await?;
        let (content, purpose) = exchange::content(shared.dialect, &mut parts, payload).await?;

        parts.uri = origin_form(parts.uri);
        parts.headers.insert(header::HOST, origin.host.clone());
        if let Some(agent) = &self.agent {
            parts.headers.insert(header::USER_AGENT, agent.clone());
        }
        let mut request = Request::from_parts(parts, content);
        let answer = loop {
            match connection.exchange(request, origin.times.first_byte).await {
                Ok(answer) => break answer,
                // The server closed it while it was idle.
                Err(Failed::Unsent(unsent)) => {
                    request = *unsent;
                    drop(connection);
                    connection = origin.connection().await?;
                }
                Err(Failed::Error(error)) if purpose == Purpose::StreamedPut => {
                    return Err(exchange::final_error(error));
                }
                Err(Failed::Error(error)) => return Err(error),
            }
        };

        let (mut parts, incoming) = answer.into_parts();
        exchange::look_at_head(shared.dialect, &shared.observed, &mut parts);
        let streamed = purpose == Purpose::StreamedPut;
        let refused = streamed && exchange::would_be_repeated(parts.status);
        if incoming.is_end_stream() && !refused {
            // Nothing will be read, so the connection is free now.
            origin.give_back(connection);
            return Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(Bytes::new())));
        }
        let body = ResponseBody::new(incoming, connection, origin);
        if refused {
            return Err(exchange::final_answer(&parts, body).await);
        }
        if purpose == Purpose::Listing && parts.status.is_success() {
            return exchange::guarded(shared.dialect, &shared.observed, parts, body).await;
        }
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}
