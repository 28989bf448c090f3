//! How a location is opened: credentials, time-outs, retries.

use std::{fmt, time::Duration};

use cloud_core::SecretString;
use object_store::{RetryConfig, aws::AwsCredentialProvider};

/// How a location is opened. The default takes credentials from the provider's default chain and refuses plain HTTP but to
/// loopback addresses.
///
/// ```
/// use std::time::Duration;
/// use cloud_objects::OpenOptions;
///
/// let mut options = OpenOptions::default();
/// options.idle_timeout = Duration::from_secs(10);
/// options.retry.max_retries = 3;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenOptions {
    /// Who asks.
    pub credentials: Credentials,
    /// Plain HTTP to servers that are not this machine is allowed: whoever is on the way can read and change everything.
    pub allow_http: bool,
    /// A local folder that does not exist is created.
    pub create: bool,
    /// What is written to a local folder is on its disk before the put returns (`fsync`), not just in the system's memory.
    pub durable: bool,
    /// Find out whether a local folder ignores the case of names, by a short-lived file in it.
    pub probe_case: bool,
    /// How often and how long a request is repeated by the handle itself. A put of a
    /// [`StreamedBody`](cloud_core::StreamedBody) never is.
    pub retry: RetryConfig,
    /// For a connection to be made, TLS included. 5 seconds.
    pub connect_timeout: Duration,
    /// Until the head of an answer, counted from when the request's body last moved. 30 seconds.
    pub first_byte_timeout: Duration,
    /// Between two pieces of an answer's body. 30 seconds.
    pub idle_timeout: Duration,
    /// How long an unused connection is kept open. 60 seconds.
    pub pool_idle_timeout: Duration,
    /// Connections in use at once to one server; as many as there are requests if `None`. A request above it waits.
    pub max_connections: Option<usize>,
    /// Certificates of authorities (PEM) to trust besides those that this machine trusts.
    pub root_certificates: Vec<u8>,
    /// `CopyMode::Create` at S3 asks by `If-None-Match`, as AWS itself is always asked. Another server may not know that of copies and
    /// overwrite, so it is only asked if this says that it does; else such a copy is `NotSupported`.
    pub conditional_copy: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            credentials: Credentials::Default,
            allow_http: false,
            create: false,
            durable: false,
            probe_case: false,
            retry: RetryConfig::default(),
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(30),
            pool_idle_timeout: Duration::from_secs(60),
            max_connections: None,
            root_certificates: Vec::new(),
            conditional_copy: false,
        }
    }
}

/// Who asks. `Debug` shows which sort it is, and no secret.
///
/// ```
/// use cloud_objects::Credentials;
/// let keys = Credentials::AccessKey { id: "AKIA1".into(), secret: "s3cret".into(), session: None };
/// assert!(!format!("{keys:?}").contains("s3cret"));
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Credentials {
    /// What the provider's own tools would find; [`open`](crate::open) says where it is looked for.
    #[default]
    Default,
    /// Nobody: for public data.
    Anonymous,
    /// S3 and what speaks like it.
    AccessKey {
        /// The id of the key.
        id: String,
        /// Its secret.
        secret: SecretString,
        /// The token of a session, for temporary keys.
        session: Option<SecretString>,
    },
    /// S3 and what speaks like it: keys that are asked for when a request is to be signed, such as those of a role, which are renewed.
    /// Nothing is then taken from the environment.
    Provider {
        /// Asked for every request; it has to remember what it fetched.
        keys: AwsCredentialProvider,
        /// Names who that is, without being a secret: handles with the same identity have the same rights.
        identity: String,
    },
    /// Azure: the key of the storage account, in base64.
    AccountKey(SecretString),
    /// Azure: a shared access signature, as the portal shows it.
    SharedAccessSignature(SecretString),
    /// Azure and Google: a token that was obtained elsewhere and is not renewed.
    BearerToken(SecretString),
    /// Google: the JSON text of a service account's key.
    ServiceAccountKey(SecretString),
}

impl Credentials {
    /// Which sort it is.
    pub(crate) fn sort(&self) -> &'static str {
        match self {
            Self::Default => "the default chain",
            Self::Anonymous => "anonymous",
            Self::AccessKey { .. } => "an access key",
            Self::Provider { .. } => "a provider of access keys",
            Self::AccountKey(_) => "an account key",
            Self::SharedAccessSignature(_) => "a shared access signature",
            Self::BearerToken(_) => "a bearer token",
            Self::ServiceAccountKey(_) => "a service account key",
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sort())
    }
}
