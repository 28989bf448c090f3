//! Health checks: what the provider calls from outside to tell whether a DNS record may be answered.

use std::{fmt::Debug, net::IpAddr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{compute::check_range, dns::check_domain};
use crate::{
    DnsCapabilities, Error, Overrides, Region, ResourceId, ResourceStatus, Result, Tags,
    resource::view,
    text::{check_name, check_text, names},
};

/// How a health check calls its target.
///
/// ```
/// use cloud_core::HealthProtocol;
/// assert_eq!("https".parse::<HealthProtocol>().unwrap(), HealthProtocol::Https);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HealthProtocol {
    /// An HTTP request; healthy is a status of 200 to 399.
    Http,
    /// The same over TLS.
    Https,
    /// A TCP connection; healthy is that it opens.
    Tcp,
}

names! {
    /// Every protocol.
    HealthProtocol as "health check protocol" {
        Http => "http",
        Https => "https",
        Tcp => "tcp",
    }
}

/// A request for a health check.
///
/// ```
/// use cloud_core::{HealthCheckSpec, HealthProtocol, Region};
/// let global = Region::new("global").unwrap();
/// let mut spec = HealthCheckSpec::new("web", global, HealthProtocol::Https, "www.example.com", 443);
/// spec.path = Some("/health".into());
/// assert!(spec.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthCheckSpec {
    /// Its name.
    pub name: String,
    /// Where it is kept; most providers have one place, `global`, and check from many.
    pub region: Region,
    /// The host name or IP address that it calls.
    pub target: String,
    /// The TCP port that it calls, 1 to 65535.
    pub port: u16,
    /// How it calls.
    pub protocol: HealthProtocol,
    /// What it asks for by HTTP, with its first `/`; `None` is `/`. Refused for TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Seconds from one call to the next, 10 to 300. Default 30. Some providers offer only some values.
    #[serde(default = "default_interval")]
    pub interval_seconds: u32,
    /// How many calls in a row must go wrong until it is unhealthy, or right until it is healthy again; 1 to 10.
    /// Default 3.
    #[serde(default = "default_threshold")]
    pub failure_threshold: u32,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Settings of single providers.
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub overrides: Overrides,
}

fn default_interval() -> u32 {
    30
}

fn default_threshold() -> u32 {
    3
}

impl HealthCheckSpec {
    /// A check every 30 s that gives up after 3 failures.
    pub fn new(
        name: impl Into<String>,
        region: Region,
        protocol: HealthProtocol,
        target: impl Into<String>,
        port: u16,
    ) -> Self {
        Self {
            name: name.into(),
            region,
            target: target.into(),
            port,
            protocol,
            path: None,
            interval_seconds: default_interval(),
            failure_threshold: default_threshold(),
            tags: Tags::default(),
            overrides: Overrides::default(),
        }
    }

    /// Refuses what no cloud accepts.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), naming the field.
    ///
    /// ```
    /// use cloud_core::{HealthCheckSpec, HealthProtocol, Region};
    /// let global = Region::new("global").unwrap();
    /// let mut spec = HealthCheckSpec::new("db", global, HealthProtocol::Tcp, "192.0.2.1", 5432);
    /// spec.path = Some("/health".into());
    /// assert!(spec.validate().unwrap_err().to_string().contains("path is '/health' for tcp"));
    /// ```
    pub fn validate(&self) -> Result<()> {
        check_name("health check name", &self.name)?;
        self.check_target()?;
        self.check_path()?;
        check_range("port", u64::from(self.port), 1, 65_535)?;
        check_range("interval_seconds", u64::from(self.interval_seconds), 10, 300)?;
        check_range("failure_threshold", u64::from(self.failure_threshold), 1, 10)
    }

    /// [`validate`](Self::validate), and what this cloud's capabilities rule out.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) or [`Unsupported`](crate::ErrorKind::Unsupported).
    pub fn check(&self, can: &DnsCapabilities) -> Result<()> {
        self.validate()?;
        if !can.health_checks {
            return Err(Error::unsupported("health checks"));
        }
        can.names.check("health check name", &self.name)
    }

    fn check_target(&self) -> Result<()> {
        if self.target.parse::<IpAddr>().is_ok() {
            return Ok(());
        }
        check_domain("target", &self.target)?;
        if self.target.starts_with('*') {
            let problem = format_args!("is '{}'", self.target);
            return Err(Error::invalid("target", problem, "one host name or IP address"));
        }
        Ok(())
    }

    fn check_path(&self) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        check_text("path", path, 255)?;
        if self.protocol == HealthProtocol::Tcp {
            let problem = format_args!("is '{path}' for {}", self.protocol);
            return Err(Error::invalid("path", problem, "a path for http or https only"));
        }
        if !path.starts_with('/') {
            return Err(Error::invalid(
                "path",
                format_args!("is '{path}'"),
                "a path that begins with '/'",
            ));
        }
        Ok(())
    }
}

/// A health check, as its cloud reports it. Its status is that of the check, not what the check found.
///
/// ```
/// # use cloud_core::HealthCheck;
/// fn url_path(check: &HealthCheck) -> &str { check.path.as_deref().unwrap_or("/") }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Its id in the cloud.
    pub id: ResourceId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: ResourceStatus,
    /// The host name or IP address that it calls.
    pub target: String,
    /// The TCP port that it calls.
    pub port: u16,
    /// How it calls.
    pub protocol: HealthProtocol,
    /// What it asks for by HTTP; `None` for TCP or where it is `/` by default.
    pub path: Option<String>,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

view!(HealthCheck);

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> HealthCheckSpec {
        let region = Region::new("global").unwrap();
        HealthCheckSpec::new("web", region, HealthProtocol::Https, "www.example.com", 443)
    }

    #[test]
    fn each_field_has_its_bounds() {
        type Change = fn(&mut HealthCheckSpec);
        let good: [Change; 6] = [
            |s| s.target = "192.0.2.1".into(),
            |s| s.target = "2001:db8::1".into(),
            |s| s.path = Some("/a?b=c".into()),
            |s| s.protocol = HealthProtocol::Tcp,
            |s| (s.interval_seconds, s.failure_threshold) = (10, 1),
            |s| (s.interval_seconds, s.failure_threshold) = (300, 10),
        ];
        for change in good {
            let mut spec = spec();
            change(&mut spec);
            spec.validate().unwrap();
        }
        let bad: [(Change, &str); 11] = [
            (|s| s.name = "../web".into(), "health check name"),
            (|s| s.target = "https://www.example.com".into(), "target"),
            (|s| s.target = "*.example.com".into(), "target is '*.example.com'"),
            (|s| s.target.clear(), "target is empty"),
            (|s| s.port = 0, "port is 0"),
            (|s| s.path = Some("health".into()), "path is 'health'"),
            (|s| s.path = Some("/a\r\nHost: b".into()), "path contains the control character"),
            (|s| (s.protocol, s.path) = (HealthProtocol::Tcp, Some("/".into())), "path is '/' for"),
            (|s| s.interval_seconds = 9, "interval_seconds is 9; accepted: 10 to 300"),
            (|s| s.interval_seconds = 301, "interval_seconds is 301"),
            (|s| s.failure_threshold = 11, "failure_threshold is 11; accepted: 1 to 10"),
        ];
        for (change, reason) in bad {
            let mut spec = spec();
            change(&mut spec);
            let error = spec.validate().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn what_is_left_out_of_a_document_has_its_default() {
        let text = r#"{"name": "web", "region": "global", "target": "www.example.com", "port": 443,
            "protocol": "https"}"#;
        assert_eq!(serde_json::from_str::<HealthCheckSpec>(text).unwrap(), spec());
    }
}
