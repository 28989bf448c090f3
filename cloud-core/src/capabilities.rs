//! What a cloud can do, down to arguments; what it cannot is refused before any I/O.
//!
//! A service that is absent here is not offered at all: its accessor on [`Cloud`](crate::Cloud) answers
//! [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported). The conformance suite chooses its trials by these, and the support
//! matrix in the documentation is made from [`Capabilities::matrix`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, text::check_name};

/// Which characters a name may have.
///
/// ```
/// use cloud_core::Alphabet;
/// assert!(Alphabet::LowerDns.allows('a') && !Alphabet::LowerDns.allows('A'));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alphabet {
    /// `a-z`, `0-9`, `-`: a DNS label.
    LowerDns,
    /// [`LowerDns`](Self::LowerDns) and `.`.
    LowerDnsDots,
    /// `A-Z`, `a-z`, `0-9`, `-`, `_`, `.`.
    AsciiWord,
    /// `A-Z`, `a-z`, `0-9`, `-`, `_`.
    AsciiLabel,
    /// Any character that [`check_name`] lets pass.
    Any,
}

impl Alphabet {
    /// Whether the character is in it.
    pub fn allows(self, c: char) -> bool {
        match self {
            Self::LowerDns => matches!(c, 'a'..='z' | '0'..='9' | '-'),
            Self::LowerDnsDots => c == '.' || Self::LowerDns.allows(c),
            Self::AsciiWord => c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'),
            Self::AsciiLabel => c != '.' && Self::AsciiWord.allows(c),
            Self::Any => !c.is_control(),
        }
    }

    /// In words, for error messages.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::LowerDns => "lower-case ASCII letters, digits and '-'",
            Self::LowerDnsDots => "lower-case ASCII letters, digits, '-' and '.'",
            Self::AsciiWord => "ASCII letters, digits, '-', '_' and '.'",
            Self::AsciiLabel => "ASCII letters, digits, '-' and '_'",
            Self::Any => "any characters but control characters and path separators",
        }
    }
}

/// A provider's rule for the names of one kind of resource.
///
/// ```
/// use cloud_core::{Alphabet, NameRule};
/// let buckets = NameRule { min: 3, max: 63, alphabet: Alphabet::LowerDnsDots, alphanumeric_ends: true };
/// assert!(buckets.check("bucket name", "my-assets").is_ok());
/// let error = buckets.check("bucket name", "My Assets").unwrap_err();
/// assert!(error.to_string().contains("accepted: 3 to 63 lower-case ASCII letters"));
/// assert_eq!(buckets.longest().len(), 63);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameRule {
    /// The fewest bytes.
    pub min: usize,
    /// The most bytes.
    pub max: usize,
    /// The characters.
    pub alphabet: Alphabet,
    /// Whether the first and the last character must be a letter or digit.
    pub alphanumeric_ends: bool,
}

impl NameRule {
    /// Refuses a name that breaks the rule, or that [`check_name`] refuses everywhere.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput), naming the rule.
    pub fn check(&self, field: &str, name: &str) -> Result<()> {
        check_name(field, name)?;
        let ends = self.alphanumeric_ends;
        let good = (self.min..=self.max).contains(&name.len())
            && name.chars().all(|c| self.alphabet.allows(c))
            && !(ends && name.starts_with(|c: char| !c.is_alphanumeric()))
            && !(ends && name.ends_with(|c: char| !c.is_alphanumeric()));
        if good {
            return Ok(());
        }
        let ends = if ends { ", a letter or digit at both ends" } else { "" };
        Err(Error::invalid(
            field,
            format_args!("is '{name}'"),
            format_args!("{} to {} {}{ends}", self.min, self.max, self.alphabet.describe()),
        ))
    }

    /// A name of the greatest length that the rule allows; for tests.
    pub fn longest(&self) -> String {
        "n".repeat(self.max)
    }
}

macro_rules! capabilities {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $ty:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $ty,)*
        }
    )*};
}

capabilities! {
    /// What all services of a cloud have in common, and each service that it offers.
    ///
    /// ```
    /// use cloud_core::Capabilities;
    /// let nothing = Capabilities::none();
    /// assert!(nothing.compute.is_none());
    /// ```
    Capabilities {
        /// Whether a create with a token that was used before returns what it made then.
        idempotent_tokens: bool,
        /// The longest time after a change until every listing shows it; zero where reads follow writes.
        consistency_window: Duration,
        /// The most items on a page of a listing.
        max_page_size: u32,
        /// Instances.
        compute: Option<ComputeCapabilities>,
        /// Buckets.
        storage: Option<StorageCapabilities>,
        /// Database servers.
        database: Option<DatabaseCapabilities>,
        /// Networks.
        network: Option<NetworkCapabilities>,
        /// Kubernetes clusters.
        kubernetes: Option<KubernetesCapabilities>,
        /// Functions.
        functions: Option<FunctionsCapabilities>,
        /// Metrics.
        metrics: Option<MetricsCapabilities>,
        /// DNS zones.
        dns: Option<DnsCapabilities>,
        /// Prices and costs.
        billing: Option<BillingCapabilities>,
    }

    /// What [`Compute`](crate::Compute) can do here.
    ComputeCapabilities {
        /// The rule for instance names.
        names: NameRule,
        /// Whether two instances of a region may not have one name.
        unique_names: bool,
        /// Whether an instance can be stopped and started again.
        stop_start: bool,
        /// Whether an instance can be rebooted.
        reboot: bool,
        /// Whether console output can be read.
        console_output: bool,
        /// Whether instances can be put into a chosen zone.
        zones: bool,
        /// Whether instances can be asked for at the spot price.
        spot: bool,
        /// Whether the size's vCPU and memory are enforced as limits on what runs.
        enforced_limits: bool,
    }

    /// What [`Storage`](crate::Storage) can do here.
    StorageCapabilities {
        /// The rule for bucket names.
        names: NameRule,
        /// Whether a bucket can keep old versions of its objects, and list them.
        versioning: bool,
        /// Whether content type and user metadata of objects are kept.
        object_metadata: bool,
        /// Whether `PutMode::Create` (put only if absent) works.
        put_if_absent: bool,
        /// Whether `PutMode::Update` (put only if unchanged) works.
        put_if_match: bool,
        /// Whether `CopyMode::Create` (copy only if absent) works.
        copy_if_absent: bool,
        /// Whether a presigned URL can be made.
        presign: bool,
        /// The longest object key, in bytes.
        max_key_bytes: usize,
    }

    /// What [`Database`](crate::Database) can do here.
    DatabaseCapabilities {
        /// The rule for the names of servers and snapshots.
        names: NameRule,
        /// The engines on offer.
        engines: Vec<EngineCapabilities>,
    }

    /// What one database engine can do here.
    EngineCapabilities {
        /// The engine.
        engine: crate::Engine,
        /// Whether [`Database::sql`](crate::Database::sql) connects to it.
        sql: bool,
        /// Whether snapshots can be taken and restored.
        snapshots: bool,
        /// Whether a snapshot can be copied to another region.
        snapshot_copy: bool,
        /// Whether a server can be restored as it was at a time of the caller's choice.
        point_in_time: bool,
        /// Whether read replicas can be made and promoted.
        replicas: bool,
        /// Whether data is encrypted at rest on demand.
        encryption: bool,
    }

    /// What [`Network`](crate::Network) can do here.
    NetworkCapabilities {
        /// The rule for the names of networks, subnets, firewalls and peerings.
        names: NameRule,
        /// Whether firewalls exist.
        firewalls: bool,
        /// Whether networks can be peered.
        peering: bool,
        /// Whether networks of one region whose addresses overlap are refused.
        overlap_refused: bool,
    }

    /// What [`Kubernetes`](crate::Kubernetes) can do here.
    KubernetesCapabilities {
        /// The rule for cluster names.
        names: NameRule,
        /// Kubernetes versions on offer, newest first.
        versions: Vec<String>,
    }

    /// What [`Functions`](crate::Functions) can do here.
    FunctionsCapabilities {
        /// The rule for function names.
        names: NameRule,
        /// Whether a function can be a local executable.
        executables: bool,
        /// Whether a function can be a zip archive.
        archives: bool,
        /// Whether a call can be queued without waiting for its result.
        asynchronous: bool,
        /// The longest time that one call may take.
        max_timeout: Duration,
        /// The largest input or output, in bytes.
        max_payload_bytes: usize,
    }

    /// What [`Metrics`](crate::Metrics) can do here.
    MetricsCapabilities {
        /// The metrics on offer.
        metrics: Vec<crate::MetricName>,
        /// How far back they go.
        retention: Duration,
    }

    /// What [`Dns`](crate::Dns) can do here.
    DnsCapabilities {
        /// The rule for the names of health checks; the name of a zone is its domain.
        names: NameRule,
        /// Whether there may not be two zones of one name.
        unique_names: bool,
        /// Whether records can be weighted.
        weighted: bool,
        /// Whether records can be a primary and its stand-by.
        failover: bool,
        /// Whether records can be chosen by latency.
        latency: bool,
        /// Whether records can be chosen by the asker's distance, with a bias.
        geoproximity: bool,
        /// Whether health checks exist, and records can depend on them.
        health_checks: bool,
    }

    /// What [`Billing`](crate::Billing) can do here.
    BillingCapabilities {
        /// Whether list prices can be read.
        prices: bool,
        /// Whether what was spent can be read.
        costs: bool,
    }
}

impl Capabilities {
    /// A cloud that offers nothing yet: what an adapter starts from.
    pub fn none() -> Self {
        Self {
            idempotent_tokens: false,
            consistency_window: Duration::ZERO,
            max_page_size: 1000,
            compute: None,
            storage: None,
            database: None,
            network: None,
            kubernetes: None,
            functions: None,
            metrics: None,
            dns: None,
            billing: None,
        }
    }

    /// One row for every capability, as `service.capability` and its value: the source of the support matrix.
    ///
    /// ```
    /// let rows = cloud_core::Capabilities::none().matrix();
    /// assert!(rows.contains(&("compute".to_owned(), "no".to_owned())));
    /// ```
    pub fn matrix(&self) -> Vec<(String, String)> {
        fn walk(path: String, value: &serde_json::Value, rows: &mut Vec<(String, String)>) {
            use serde_json::Value;
            match value {
                Value::Object(fields) => {
                    for (name, value) in fields {
                        let path =
                            if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                        walk(path, value, rows);
                    }
                }
                Value::Array(items) if items.iter().any(Value::is_object) => {
                    for item in items {
                        let name =
                            item.as_object().and_then(|o| o.values().find_map(Value::as_str));
                        walk(format!("{path}.{}", name.unwrap_or("?")), item, rows);
                    }
                }
                Value::Array(items) => {
                    let items: Vec<_> = items.iter().map(|i| i.as_str().unwrap_or("?")).collect();
                    rows.push((path, items.join(", ")));
                }
                Value::Null | Value::Bool(false) => rows.push((path, "no".into())),
                Value::Bool(true) => rows.push((path, "yes".into())),
                Value::String(text) => rows.push((path, text.clone())),
                Value::Number(number) => rows.push((path, number.to_string())),
            }
        }
        let mut rows = Vec::new();
        walk(String::new(), &serde_json::to_value(self).unwrap_or_default(), &mut rows);
        rows
    }
}
