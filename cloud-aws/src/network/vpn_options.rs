//! The settings of a VPN's tunnels that the caller may choose, their keys among them.

use aws_sdk_ec2::types::VpnTunnelOptionsSpecification;
use cloud_core::{
    Error, ErrorKind, Result, SecretRef,
    secret::{ExposeSecret, SecretString},
};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// Settings of one of the two tunnels; what is absent AWS chooses
/// ([Tunnel options](https://docs.aws.amazon.com/vpn/latest/s2svpn/VPNTunnels.html)).
///
/// ```
/// # use cloud_aws::VpnTunnelSpec;
/// let text = r#"{"inside_cidr": "169.254.44.40/30", "pre_shared_key": {"env": "VPN_KEY"}}"#;
/// let tunnel: VpnTunnelSpec = serde_json::from_str(text).unwrap();
/// assert!(tunnel.validate().is_ok());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VpnTunnelSpec {
    /// The addresses in the tunnel: a /30 of 169.254.0.0/16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inside_cidr: Option<Ipv4Net>,
    /// The key that both ends know: 8 to 64 letters, digits, `.` and `_`, not beginning with 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_shared_key: Option<SecretRef>,
    /// The versions of IKE that are allowed: `ikev1`, `ikev2`. Empty allows both.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ike_versions: Vec<String>,
    /// After how many seconds without a sign of life the other end is dead: 30 or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dpd_timeout_seconds: Option<u32>,
    /// After how many seconds the keys of phase 1 are renewed: 900 to 28800.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase1_lifetime_seconds: Option<u32>,
    /// After how many seconds the keys of phase 2 are renewed: 900 to 3600, less than phase 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase2_lifetime_seconds: Option<u32>,
    /// Whether AWS begins the negotiation, in place of the customer's gateway.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub started_by_aws: bool,
}

/// The blocks of 169.254.0.0/16 that AWS keeps for itself.
const RESERVED_INSIDE: [[u8; 2]; 7] = [[0, 0], [1, 0], [2, 0], [3, 0], [4, 0], [5, 0], [169, 252]];

impl VpnTunnelSpec {
    /// Refuses what AWS does not take. A pre-shared key is looked at only when it is used.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        if let Some(inside) = self.inside_cidr {
            let [a, b, c, d] = inside.addr().octets();
            let good = [a, b] == [169, 254]
                && inside.prefix_len() == 30
                && inside.trunc() == inside
                && !RESERVED_INSIDE.contains(&[c, d]);
            if !good {
                let rule =
                    "a /30 of 169.254.0.0/16 but 169.254.0.0 to 169.254.5.0 and 169.254.169.252";
                return Err(Error::invalid("inside_cidr", format_args!("is {inside}"), rule));
            }
        }
        if let Some(version) = self.ike_versions.iter().find(|v| *v != "ikev1" && *v != "ikev2") {
            return Err(Error::invalid(
                "ike_versions",
                format_args!("has '{version}'"),
                "ikev1, ikev2",
            ));
        }
        let range = |field: &str, value: Option<u32>, least: u32, most: u32| match value {
            Some(value) if !(least..=most).contains(&value) => {
                let accepted = format_args!("{least} to {most}").to_string();
                Err(Error::invalid(field, format_args!("is {value}"), accepted))
            }
            _ => Ok(()),
        };
        range("dpd_timeout_seconds", self.dpd_timeout_seconds, 30, i32::MAX.unsigned_abs())?;
        range("phase1_lifetime_seconds", self.phase1_lifetime_seconds, 900, 28_800)?;
        range("phase2_lifetime_seconds", self.phase2_lifetime_seconds, 900, 3_600)?;
        let first = self.phase1_lifetime_seconds.unwrap_or(28_800);
        if self.phase2_lifetime_seconds.is_some_and(|second| second >= first) {
            let problem = format!("is not less than phase 1's {first}");
            return Err(Error::invalid("phase2_lifetime_seconds", problem, "less than phase 1"));
        }
        Ok(())
    }

    pub(super) fn options(&self, key: Option<&SecretString>) -> VpnTunnelOptionsSpecification {
        use aws_sdk_ec2::types::IkeVersionsRequestListValue as Version;
        let seconds = |value: Option<u32>| value.and_then(|value| i32::try_from(value).ok());
        let versions = self.ike_versions.iter();
        let versions: Vec<_> = versions.map(|v| Version::builder().value(v).build()).collect();
        VpnTunnelOptionsSpecification::builder()
            .set_tunnel_inside_cidr(self.inside_cidr.map(|cidr| cidr.to_string()))
            .set_pre_shared_key(key.map(|key| key.expose_secret().to_owned()))
            .set_ike_versions((!versions.is_empty()).then_some(versions))
            .set_dpd_timeout_seconds(seconds(self.dpd_timeout_seconds))
            .set_phase1_lifetime_seconds(seconds(self.phase1_lifetime_seconds))
            .set_phase2_lifetime_seconds(seconds(self.phase2_lifetime_seconds))
            .set_startup_action(self.started_by_aws.then(|| "start".to_owned()))
            .build()
    }
}

/// What AWS takes for a pre-shared key. The error does not show it.
fn check_key(key: &SecretString) -> Result<()> {
    let key = key.expose_secret();
    let good = (8..=64).contains(&key.len())
        && !key.starts_with('0')
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'_');
    match good {
        true => Ok(()),
        false => Err(Error::invalid(
            "pre_shared_key",
            "is of another form",
            "8 to 64 letters, digits, '.' and '_', not beginning with 0",
        )),
    }
}

/// The keys of the tunnels. Their files may be slow, so they are read beside the runtime's threads.
pub(super) async fn keys(tunnels: &[VpnTunnelSpec]) -> Result<Vec<Option<SecretString>>> {
    let references: Vec<_> = tunnels.iter().map(|tunnel| tunnel.pre_shared_key.clone()).collect();
    let read = tokio::task::spawn_blocking(move || {
        let keys = references.into_iter().map(|key| {
            let key = key.map(|key| key.resolve()).transpose();
            let key = key.map_err(|e| e.context("pre_shared_key"))?;
            key.as_ref().map_or(Ok(()), check_key)?;
            Ok(key)
        });
        keys.collect()
    });
    read.await.map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_is_checked_and_never_shown() {
        let tunnel = |key: &str| {
            let key = Some(SecretRef::Value(key.into()));
            [VpnTunnelSpec { pre_shared_key: key, ..VpnTunnelSpec::default() }]
        };
        for key in ["short", "0123456789", "with space", &"x".repeat(65)] {
            let error = keys(&tunnel(key)).await.unwrap_err();
            assert!(error.to_string().contains("pre_shared_key is of another form"));
            assert!(!error.to_string().contains(key), "{error}");
        }
        let good = tunnel("Iw2IAN9XUsQeYUrk");
        let keys = keys(&good).await.unwrap();
        let options = good[0].options(keys[0].as_ref());
        assert_eq!(options.pre_shared_key(), Some("Iw2IAN9XUsQeYUrk"));
        for shown in
            [format!("{good:?}"), serde_json::to_string(&good).unwrap(), format!("{options:?}")]
        {
            assert!(!shown.contains("Iw2"), "{shown}");
        }
    }
}
