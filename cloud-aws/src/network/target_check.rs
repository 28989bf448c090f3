//! What a load balancer speaks, and how it looks at its targets.

use aws_sdk_elasticloadbalancingv2::types::ProtocolEnum;
use cloud_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// What a load balancer speaks with its clients, or with its targets.
///
/// ```
/// # use cloud_aws::BalancerProtocol;
/// let protocol: BalancerProtocol = serde_json::from_str("\"https\"").unwrap();
/// assert_eq!(protocol, BalancerProtocol::Https);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BalancerProtocol {
    /// HTTP, of an application load balancer.
    Http,
    /// HTTP over TLS, of an application load balancer.
    Https,
    /// TCP, of a network load balancer.
    Tcp,
    /// TLS, of a network load balancer, which ends it.
    Tls,
    /// UDP, of a network load balancer.
    Udp,
}

impl BalancerProtocol {
    pub(super) const fn sdk(self) -> ProtocolEnum {
        match self {
            Self::Http => ProtocolEnum::Http,
            Self::Https => ProtocolEnum::Https,
            Self::Tcp => ProtocolEnum::Tcp,
            Self::Tls => ProtocolEnum::Tls,
            Self::Udp => ProtocolEnum::Udp,
        }
    }

    pub(super) fn read(protocol: Option<&ProtocolEnum>) -> Option<Self> {
        Some(match protocol? {
            ProtocolEnum::Http => Self::Http,
            ProtocolEnum::Https => Self::Https,
            ProtocolEnum::Tcp => Self::Tcp,
            ProtocolEnum::Tls => Self::Tls,
            ProtocolEnum::Udp => Self::Udp,
            _ => return None,
        })
    }

    pub(super) const fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    /// Whether its listeners need a certificate.
    pub(super) const fn has_certificate(self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }
}

/// How a target is looked at, and when it counts as fit
/// ([Health checks](https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html)).
///
/// ```
/// # use cloud_aws::{BalancerProtocol, TargetHealthCheck};
/// let mut check = TargetHealthCheck::new(BalancerProtocol::Http);
/// check.path = Some("/health".into());
/// assert!(check.validate().is_ok());
/// check.interval_seconds = 3;
/// assert!(check.validate().unwrap_err().to_string().contains("5 to 300"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetHealthCheck {
    /// HTTP, HTTPS or TCP.
    pub protocol: BalancerProtocol,
    /// The port; `None` is that of the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The path, with HTTP and HTTPS only; `None` is `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The HTTP statuses of a healthy target, such as `200` or `200-299,301`; `None` is AWS's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statuses: Option<String>,
    /// Seconds between two checks: 5 to 300. Default 30.
    #[serde(default = "interval")]
    pub interval_seconds: u16,
    /// Seconds until a check without an answer has failed: 2 to 120, less than the interval. Default 5.
    #[serde(default = "timeout")]
    pub timeout_seconds: u16,
    /// Successes in a row after which a target is healthy: 2 to 10. Default 3.
    #[serde(default = "threshold")]
    pub healthy_threshold: u8,
    /// Failures in a row after which it is not: 2 to 10. Default 3.
    #[serde(default = "threshold")]
    pub unhealthy_threshold: u8,
}

const fn interval() -> u16 {
    30
}
const fn timeout() -> u16 {
    5
}
const fn threshold() -> u8 {
    3
}

impl TargetHealthCheck {
    /// A check with the defaults.
    pub const fn new(protocol: BalancerProtocol) -> Self {
        Self {
            protocol,
            port: None,
            path: None,
            statuses: None,
            interval_seconds: interval(),
            timeout_seconds: timeout(),
            healthy_threshold: threshold(),
            unhealthy_threshold: threshold(),
        }
    }

    /// Refuses what AWS does not take.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        let range = |field: &str, value: u16, least: u16, most: u16| match (least..=most)
            .contains(&value)
        {
            true => Ok(()),
            false => {
                let accepted = format!("{least} to {most}");
                Err(Error::invalid(field, format_args!("is {value}"), accepted))
            }
        };
        range("interval_seconds", self.interval_seconds, 5, 300)?;
        range("timeout_seconds", self.timeout_seconds, 2, 120)?;
        range("healthy_threshold", self.healthy_threshold.into(), 2, 10)?;
        range("unhealthy_threshold", self.unhealthy_threshold.into(), 2, 10)?;
        if self.timeout_seconds >= self.interval_seconds {
            let rule = format!("less than interval_seconds, {}", self.interval_seconds);
            let problem = format!("is {}", self.timeout_seconds);
            return Err(Error::invalid("timeout_seconds", problem, rule));
        }
        if !self.protocol.is_http() && self.protocol != BalancerProtocol::Tcp {
            return Err(Error::invalid("protocol", "is none of a check", "http, https, tcp"));
        }
        if self.port == Some(0) {
            return Err(Error::invalid("port", "is 0", "1 to 65535"));
        }
        if let Some(path) = &self.path {
            let good = path.starts_with('/')
                && path.len() <= 1024
                && path.bytes().all(|b| b.is_ascii_graphic());
            if !self.protocol.is_http() || !good {
                let rule = "with HTTP only: '/…', at most 1024 visible ASCII characters";
                return Err(Error::invalid(
                    "path",
                    format_args!("is '{}'", path.escape_debug()),
                    rule,
                ));
            }
        }
        if let Some(statuses) = &self.statuses {
            let status = |text: &str| {
                text.parse::<u16>().ok().filter(|s| text.len() == 3 && (200..=599).contains(s))
            };
            let good = statuses.split(',').all(|part| match part.split_once('-') {
                Some((first, last)) => {
                    status(first).zip(status(last)).is_some_and(|(first, last)| first <= last)
                }
                None => status(part).is_some(),
            });
            if !self.protocol.is_http() || !good {
                let rule = "with HTTP only: 200 to 599, as in 200 or 200-299,301";
                let problem = format!("is '{}'", statuses.escape_debug());
                return Err(Error::invalid("statuses", problem, rule));
            }
        }
        Ok(())
    }
}
