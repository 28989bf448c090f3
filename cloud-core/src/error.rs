//! The one error type: what went wrong, how far it reaches, whether anything happened, whether to try again.
//!
//! Four questions decide what a caller may do next, so each has its own field and none has to be parsed
//! out of a message:
//!
//! | question | field | who asks |
//! |---|---|---|
//! | what went wrong? | [`ErrorKind`] | everybody |
//! | how far does it reach? | [`Scope`] | placement and failover, to know what to avoid |
//! | did the request take effect? | [`Effect`] | the saga executor: an [`Effect::Unknown`] is looked up, never repeated blindly |
//! | may the same call be repeated? | [`Retry`] | the retry interceptor |
//!
//! [`Error::new`] fills in what usually holds for a kind; an adapter overrides what its provider tells it.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{CloudId, Provider, text::names};

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
///
/// ```
/// use cloud_core::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::QuotaExceeded, "32 of 32 vCPU are in use");
/// assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The resource does not exist, or no longer.
    NotFound,
    /// Another resource already has this name.
    AlreadyExists,
    /// The request itself is wrong; the message names the field, its problem and what is accepted.
    InvalidInput,
    /// No credentials, or credentials that the provider does not recognise or that have expired.
    Unauthenticated,
    /// The credentials are valid, but may not do this.
    PermissionDenied,
    /// An account or region limit is used up; a raise has to be asked for.
    QuotaExceeded,
    /// The provider itself has no capacity of this type here just now (a stock-out).
    CapacityUnavailable,
    /// Too many requests; slow down.
    RateLimited,
    /// The resource is in a state that does not allow this, or a concurrent change won.
    Conflict,
    /// A condition that the caller set (an ETag, a version) does not hold.
    PreconditionFailed,
    /// This cloud cannot do this; its [`Capabilities`](crate::Capabilities) say so.
    Unsupported,
    /// The service does not answer or answers with a server fault: an outage.
    Unavailable,
    /// No answer within the time allowed.
    Timeout,
    /// The caller cancelled.
    Cancelled,
    /// A policy of ours forbids it (read-only mode, blast-radius limit, governance).
    PolicyDenied,
    /// A budget of ours would be exceeded.
    BudgetExceeded,
    /// Stored data is unreadable, was changed by someone else, or was written by a newer version.
    Corrupt,
    /// This machine's disk, volume or quota has no room left.
    StorageFull,
    /// Anything else, a provider code that no table knows among it; the code is kept.
    Internal,
}

impl ErrorKind {
    const fn usual_scope(self) -> Scope {
        match self {
            Self::CapacityUnavailable => Scope::Zone,
            Self::Unavailable | Self::QuotaExceeded => Scope::Region,
            Self::Unauthenticated | Self::RateLimited | Self::BudgetExceeded => Scope::Account,
            _ => Scope::Resource,
        }
    }

    const fn usual_effect(self) -> Effect {
        match self {
            Self::Timeout | Self::Cancelled | Self::Internal => Effect::Unknown,
            _ => Effect::None,
        }
    }

    const fn usual_retry(self) -> Retry {
        match self {
            Self::RateLimited | Self::Unavailable | Self::Timeout => Retry::Backoff,
            _ => Retry::Never,
        }
    }
}

names! {
    /// Every kind.
    ErrorKind as "error kind" {
        NotFound => "not_found",
        AlreadyExists => "already_exists",
        InvalidInput => "invalid_input",
        Unauthenticated => "unauthenticated",
        PermissionDenied => "permission_denied",
        QuotaExceeded => "quota_exceeded",
        CapacityUnavailable => "capacity_unavailable",
        RateLimited => "rate_limited",
        Conflict => "conflict",
        PreconditionFailed => "precondition_failed",
        Unsupported => "unsupported",
        Unavailable => "unavailable",
        Timeout => "timeout",
        Cancelled => "cancelled",
        PolicyDenied => "policy_denied",
        BudgetExceeded => "budget_exceeded",
        Corrupt => "corrupt",
        StorageFull => "storage_full",
        Internal => "internal",
    }
}

/// How far a failure reaches. Ordered from narrow to wide.
///
/// ```
/// use cloud_core::Scope;
/// assert!(Scope::Zone < Scope::Region);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// This resource only.
    Resource,
    /// Everything in the zone.
    Zone,
    /// Everything in the region.
    Region,
    /// Everything that this account does, in all regions.
    Account,
    /// Everything at the provider.
    Provider,
}

/// Whether a failed request changed anything.
///
/// ```
/// use cloud_core::{Effect, Error, ErrorKind};
/// // A time-out after sending says nothing about what the server did.
/// assert_eq!(Error::new(ErrorKind::Timeout, "no answer in 30s").effect(), Effect::Unknown);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing happened.
    None,
    /// It happened, although an error came back.
    Done,
    /// It may have happened. Never to be treated as [`Effect::None`].
    Unknown,
}

/// Whether repeating the same call can succeed.
///
/// ```
/// use cloud_core::{Error, ErrorKind, Retry};
/// let error = Error::new(ErrorKind::RateLimited, "slow down");
/// assert_eq!(error.retry(), Retry::Backoff);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// Not without a change.
    Never,
    /// Yes, with growing pauses.
    Backoff,
    /// Yes, but no earlier than this from now (the provider's `Retry-After`).
    After(Duration),
}

/// What went wrong in a call to a cloud, or in this library. Cheap to clone and to move.
///
/// The `Display` text is for people: operation, cloud, message, provider code, request id and a hint what
/// to do next. It never contains a secret.
///
/// ```
/// use cloud_core::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::NotFound, "no bucket 'assets'")
///     .with_operation("storage.get_bucket")
///     .with_code("NoSuchBucket")
///     .with_hint("list the buckets of the region with list_buckets");
/// assert_eq!(
///     error.to_string(),
///     "storage.get_bucket: not_found: no bucket 'assets' (code NoSuchBucket); \
///      list the buckets of the region with list_buckets"
/// );
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Error(Box<Details>);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Details {
    kind: ErrorKind,
    scope: Scope,
    effect: Effect,
    retry: Retry,
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider: Option<Provider>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cloud: Option<CloudId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip)]
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

macro_rules! text_fields {
    ($($(#[$doc:meta])* $name:ident, $with:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(&self) -> Option<&str> {
            self.0.$name.as_deref()
        }

        #[doc = concat!("Sets what [`", stringify!($name), "`](Self::", stringify!($name), ") returns.")]
        pub fn $with(mut self, value: impl Into<String>) -> Self {
            self.0.$name = Some(value.into());
            self
        }
    )*};
}

impl Error {
    /// An error of this kind, with the scope, effect and retry advice that the kind usually has.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            kind,
            scope: kind.usual_scope(),
            effect: kind.usual_effect(),
            retry: kind.usual_retry(),
            message: message.into(),
            provider: None,
            cloud: None,
            operation: None,
            resource: None,
            code: None,
            request_id: None,
            hint: None,
            source: None,
        }))
    }

    /// [`ErrorKind::InvalidInput`] in the house form: the field, its value's problem, what is accepted.
    ///
    /// ```
    /// let error = cloud_core::Error::invalid("replicas", "is 0", "1 to 1000");
    /// assert_eq!(error.to_string(), "invalid_input: replicas is 0; accepted: 1 to 1000");
    /// ```
    pub fn invalid(field: &str, problem: impl fmt::Display, accepted: impl fmt::Display) -> Self {
        Self::new(ErrorKind::InvalidInput, format!("{field} {problem}; accepted: {accepted}"))
    }

    /// [`ErrorKind::NotFound`] for a resource.
    ///
    /// ```
    /// let error = cloud_core::Error::not_found("instance/eu-1/i-9");
    /// assert_eq!(error.to_string(), "not_found: instance/eu-1/i-9 does not exist");
    /// ```
    pub fn not_found(resource: impl fmt::Display) -> Self {
        let resource = resource.to_string();
        Self::new(ErrorKind::NotFound, format!("{resource} does not exist")).with_resource(resource)
    }

    /// [`ErrorKind::Unsupported`]: what this cloud cannot do.
    ///
    /// ```
    /// let error = cloud_core::Error::unsupported("kubernetes clusters");
    /// assert_eq!(error.kind(), cloud_core::ErrorKind::Unsupported);
    /// ```
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Unsupported, format!("this cloud does not offer {what}"))
            .with_hint("see the cloud's Capabilities for what it offers")
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// How far it reaches.
    pub fn scope(&self) -> Scope {
        self.0.scope
    }

    /// Whether the request changed anything.
    pub fn effect(&self) -> Effect {
        self.0.effect
    }

    /// Whether the same call may be repeated.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// What went wrong, in words.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The provider that answered.
    pub fn provider(&self) -> Option<Provider> {
        self.0.provider
    }

    /// The registered cloud that answered.
    pub fn cloud(&self) -> Option<&CloudId> {
        self.0.cloud.as_ref()
    }

    text_fields! {
        /// The call that failed, as `service.method`.
        operation, with_operation;
        /// The resource that the call was about: a name or a [`ResourceId`](crate::ResourceId).
        resource, with_resource;
        /// The provider's own error code, unchanged.
        code, with_code;
        /// The provider's id of the request, for its support.
        request_id, with_request_id;
        /// What to do next.
        hint, with_hint;
    }

    /// Sets how far the failure reaches.
    pub fn with_scope(mut self, scope: Scope) -> Self {
        self.0.scope = scope;
        self
    }

    /// Sets whether the request changed anything.
    pub fn with_effect(mut self, effect: Effect) -> Self {
        self.0.effect = effect;
        self
    }

    /// Sets whether the same call may be repeated.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Sets the cloud that answered, and its provider.
    pub fn with_cloud(mut self, cloud: &CloudId, provider: Provider) -> Self {
        self.0.cloud = Some(cloud.clone());
        self.0.provider = Some(provider);
        self
    }

    /// Sets the cause. Its text must not contain a secret.
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// Puts words in front of the message, to say what was being done.
    ///
    /// ```
    /// use cloud_core::{Error, ErrorKind};
    /// let error = Error::new(ErrorKind::Conflict, "port 80 is taken").context("step 3 (web)");
    /// assert_eq!(error.message(), "step 3 (web): port 80 is taken");
    /// ```
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.0.message = format!("{what}: {}", self.0.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = &*self.0;
        if let Some(cloud) = &d.cloud {
            write!(f, "{cloud}: ")?;
        }
        if let Some(operation) = &d.operation {
            write!(f, "{operation}: ")?;
        }
        write!(f, "{}: {}", d.kind, d.message)?;
        if let Some(code) = &d.code {
            write!(f, " (code {code})")?;
        }
        if let Some(id) = &d.request_id {
            write!(f, " (request {id})")?;
        }
        if let Some(hint) = &d.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = &*self.0;
        write!(f, "Error({self}, scope {:?}, effect {:?}, retry {:?}", d.scope, d.effect, d.retry)?;
        if let Some(source) = &d.source {
            write!(f, ", source {source}")?;
        }
        f.write_str(")")
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|s| s as _)
    }
}

/// A file system error of this machine: its kind where it has one of ours, [`Effect::Unknown`] else.
impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let (kind, hint) = match error.kind() {
            Io::NotFound => (ErrorKind::NotFound, None),
            Io::AlreadyExists => (ErrorKind::AlreadyExists, None),
            Io::PermissionDenied | Io::ReadOnlyFilesystem => (
                ErrorKind::PermissionDenied,
                Some("check the owner and the mode of the file or folder"),
            ),
            Io::StorageFull | Io::QuotaExceeded => {
                (ErrorKind::StorageFull, Some("free some space and repeat"))
            }
            Io::TimedOut => (ErrorKind::Timeout, None),
            Io::ConnectionRefused | Io::ConnectionReset | Io::NotConnected => {
                (ErrorKind::Unavailable, None)
            }
            _ => (ErrorKind::Internal, None),
        };
        let mapped = Self::new(kind, error.to_string()).with_source(error);
        match hint {
            Some(hint) => mapped.with_hint(hint),
            None => mapped,
        }
    }
}

/// An error of the data plane. One that an interceptor or adapter of ours wrapped comes out as it went in.
impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        use object_store::Error as Os;
        if let Some(ours) = causes(&error).find_map(|cause| cause.downcast_ref::<Self>()) {
            return ours.clone();
        }
        let kind = match &error {
            // Azure says it by the status of what exists already.
            Os::AlreadyExists { .. } | Os::Generic { .. } if has_code(&error, &QUOTA_CODES) => {
                ErrorKind::QuotaExceeded
            }
            Os::NotFound { .. } => ErrorKind::NotFound,
            Os::InvalidPath { .. } => ErrorKind::InvalidInput,
            Os::NotSupported { .. } | Os::NotImplemented { .. } => ErrorKind::Unsupported,
            Os::AlreadyExists { .. } => ErrorKind::AlreadyExists,
            Os::Precondition { .. } | Os::NotModified { .. } => ErrorKind::PreconditionFailed,
            Os::PermissionDenied { .. } => ErrorKind::PermissionDenied,
            Os::Unauthenticated { .. } => ErrorKind::Unauthenticated,
            error if is_disk_full(error) => ErrorKind::StorageFull,
            error if has_code(error, &DIGEST_CODES) => ErrorKind::Corrupt,
            error => http_status(error).map_or(ErrorKind::Internal, of_status),
        };
        Self::new(kind, error.to_string()).with_source(error)
    }
}

/// What is behind an error, the nearest first.
fn causes(error: &object_store::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(StdError::source(error), |&cause| cause.source())
}

/// The status of the answer, which `object_store` says in words only.
fn http_status(error: &object_store::Error) -> Option<u16> {
    let text = error.to_string();
    let (_, after) = text.split_once("status code: ")?;
    after.get(..3)?.parse().ok()
}

/// A content that is not the one that the request's checksum is of.
const DIGEST_CODES: [&str; 2] = ["BadDigest", "Md5Mismatch"];

/// An account or bucket that may hold no more.
const QUOTA_CODES: [&str; 2] = ["AccountQuotaExceeded", "XMinioAdminBucketQuotaExceeded"];

/// Whether an answer of S3 or Azure has one of these codes.
fn has_code(error: &object_store::Error, codes: &[&str]) -> bool {
    let text = error.to_string();
    codes.iter().any(|code| text.contains(&format!("<Code>{code}</Code>")))
}

/// What a status means ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#name-status-codes),
/// [RFC 6585](https://www.rfc-editor.org/rfc/rfc6585)). Stores ask for fewer requests by 503 as often as by 429.
fn of_status(status: u16) -> ErrorKind {
    match status {
        400 => ErrorKind::InvalidInput,
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::PermissionDenied,
        408 => ErrorKind::Timeout,
        409 => ErrorKind::Conflict,
        429 | 503 => ErrorKind::RateLimited,
        507 => ErrorKind::StorageFull,
        500.. => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    }
}

/// Whether an error of the operating system that says so is among its causes.
fn is_disk_full(error: &object_store::Error) -> bool {
    causes(error).filter_map(|cause| cause.downcast_ref::<std::io::Error>()).any(|io| {
        matches!(io.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
    })
}

/// For implementations of `ObjectStore`: kinds that it has become its own, the rest travels inside
/// `Generic` and is unwrapped again by the opposite conversion.
impl From<Error> for object_store::Error {
    fn from(error: Error) -> Self {
        let path = error.resource().unwrap_or_default().to_owned();
        let not_modified = StdError::source(&error)
            .and_then(|source| source.downcast_ref::<Self>())
            .is_some_and(|source| matches!(source, Self::NotModified { .. }));
        match error.kind() {
            ErrorKind::PreconditionFailed if not_modified => {
                Self::NotModified { path, source: Box::new(error) }
            }
            ErrorKind::NotFound => Self::NotFound { path, source: Box::new(error) },
            ErrorKind::AlreadyExists => Self::AlreadyExists { path, source: Box::new(error) },
            ErrorKind::PreconditionFailed => Self::Precondition { path, source: Box::new(error) },
            ErrorKind::PermissionDenied => Self::PermissionDenied { path, source: Box::new(error) },
            ErrorKind::Unsupported => Self::NotSupported { source: Box::new(error) },
            _ => Self::Generic { store: "cloud", source: Box::new(error) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_journal_without_its_source() {
        let error = Error::new(ErrorKind::Unavailable, "region is down")
            .with_scope(Scope::Provider)
            .with_retry(Retry::After(Duration::from_secs(7)))
            .with_source(std::io::Error::other("socket"));
        let text = serde_json::to_string(&error).unwrap();
        let back: Error = serde_json::from_str(&text).unwrap();
        assert_eq!(back.to_string(), error.to_string());
        assert_eq!(back.scope(), Scope::Provider);
        assert_eq!(back.retry(), Retry::After(Duration::from_secs(7)));
        assert!(StdError::source(&back).is_none());
    }

    #[test]
    fn travels_through_object_store_and_back() {
        let error = Error::new(ErrorKind::Unavailable, "region is down").with_scope(Scope::Region);
        let back = Error::from(object_store::Error::from(error));
        assert_eq!(back.kind(), ErrorKind::Unavailable);
        assert_eq!(back.scope(), Scope::Region);
    }

    #[test]
    fn the_status_of_a_store_s_answer_tells_what_went_wrong() {
        let of = |text: &str| {
            Error::from(object_store::Error::Generic {
                store: "S3",
                source: text.to_owned().into(),
            })
            .kind()
        };
        assert_eq!(
            of("Server returned non-2xx status code: 503 Slow Down: "),
            ErrorKind::RateLimited
        );
        assert_eq!(of("Server returned non-2xx status code: 500: "), ErrorKind::Unavailable);
        assert_eq!(of("Server returned non-2xx status code: 507: "), ErrorKind::StorageFull);
        assert_eq!(of("something else"), ErrorKind::Internal);
        assert_eq!(of("status code: 400 Bad Request: <Code>BadDigest</Code>"), ErrorKind::Corrupt);
        let source = "status code: 409 Conflict: <Code>AccountQuotaExceeded</Code>".into();
        let full = object_store::Error::AlreadyExists { path: "a".into(), source };
        assert_eq!(Error::from(full).kind(), ErrorKind::QuotaExceeded);
    }
}
