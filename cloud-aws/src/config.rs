//! What an AWS account is opened with: regions, credentials, endpoints.

use std::{collections::BTreeMap, time::Duration};

use cloud_core::{Error, Region, Result, SecretRef};
use serde::Deserialize;
use serde_with::{DisplayFromStr, serde_as};
use url::Url;

/// The settings of one account, as in `clouds.toml`.
///
/// ```
/// # use cloud_aws::AwsConfig;
/// let config: AwsConfig = toml::from_str(r#"
///     regions = ["eu-central-1", "us-east-1"]
///     profile = "production"
///
///     [assume_role]
///     role_arn = "arn:aws:iam::123456789012:role/deploy"
/// "#).unwrap();
/// assert_eq!(config.regions.len(), 2);
/// assert!(config.validate().is_ok());
/// ```
#[serde_as]
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AwsConfig {
    /// The regions to work in. A listing without a region asks each of them, in this order.
    pub regions: Vec<Region>,
    /// A profile of `~/.aws/config`; `None` is what `AWS_PROFILE` says, or the default one.
    #[serde(default)]
    pub profile: Option<String>,
    /// Keys to use instead of the default chain.
    #[serde(default)]
    pub credentials: Option<AwsCredentials>,
    /// A role to take on with those credentials.
    #[serde(default)]
    pub assume_role: Option<AssumeRole>,
    /// One server for every service, in place of AWS: an emulator. Buckets are then part of the path, not of the host name.
    #[serde(default)]
    #[serde_as(as = "Option<DisplayFromStr>")]
    pub endpoint: Option<Url>,
    /// A server for single services, by the service's name in endpoints: `s3`, `ec2`, `rds`.
    #[serde(default)]
    #[serde_as(as = "BTreeMap<_, DisplayFromStr>")]
    pub endpoints: BTreeMap<String, Url>,
    /// How long a connection may take to be made. A time-out after that is the business of an interceptor. Default 5 s.
    #[serde(default = "connect_timeout")]
    pub connect_timeout_seconds: u64,
}

fn connect_timeout() -> u64 {
    5
}

/// Keys that stand in for the default credential chain.
///
/// ```
/// # use cloud_aws::AwsCredentials;
/// let keys: AwsCredentials = toml::from_str(r#"
///     access_key_id = "AKIAIOSFODNN7EXAMPLE"
///     secret_access_key = { env = "DEPLOY_SECRET" }
/// "#).unwrap();
/// assert!(keys.session_token.is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsCredentials {
    /// Names the key; no secret.
    pub access_key_id: String,
    /// The key, by reference.
    pub secret_access_key: SecretRef,
    /// The token of temporary keys, by reference.
    #[serde(default)]
    pub session_token: Option<SecretRef>,
}

/// A role to take on.
///
/// ```
/// # use cloud_aws::AssumeRole;
/// let role: AssumeRole = toml::from_str(r#"role_arn = "arn:aws:iam::123456789012:role/deploy""#).unwrap();
/// assert_eq!(role.session_seconds, 3600);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssumeRole {
    /// Its ARN.
    pub role_arn: String,
    /// The external id that its trust policy asks for.
    #[serde(default)]
    pub external_id: Option<String>,
    /// The name of the session in AWS's logs. Default `multicloud`.
    #[serde(default = "session_name")]
    pub session_name: String,
    /// How long its credentials last before they are renewed: 900 to 43200 s. Default 3600.
    #[serde(default = "session_seconds")]
    pub session_seconds: u64,
}

fn session_name() -> String {
    "multicloud".into()
}

fn session_seconds() -> u64 {
    3600
}

impl AwsConfig {
    /// The default credential chain in these regions: environment, profile, web identity, container, instance metadata.
    pub fn new(regions: impl IntoIterator<Item = Region>) -> Self {
        Self {
            regions: regions.into_iter().collect(),
            profile: None,
            credentials: None,
            assume_role: None,
            endpoint: None,
            endpoints: BTreeMap::new(),
            connect_timeout_seconds: connect_timeout(),
        }
    }

    /// Refuses what cannot be opened.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        if self.regions.is_empty() {
            return Err(Error::invalid("regions", "is empty", "at least one, such as us-east-1"));
        }
        for (i, region) in self.regions.iter().enumerate() {
            if self.regions[..i].contains(region) {
                return Err(Error::invalid(
                    "regions",
                    format_args!("has '{region}' twice"),
                    "each once",
                ));
            }
        }
        if self.credentials.is_some() && self.profile.is_some() {
            return Err(Error::invalid("profile", "is given beside credentials", "one of the two"));
        }
        if let Some(role) = &self.assume_role {
            if !role.role_arn.starts_with("arn:") || !role.role_arn.contains(":role/") {
                let problem = format!("is '{}'", role.role_arn);
                return Err(Error::invalid(
                    "assume_role.role_arn",
                    problem,
                    "arn:aws:iam::ACCOUNT:role/NAME",
                ));
            }
            if !(900..=43_200).contains(&role.session_seconds) {
                let problem = format!("is {}", role.session_seconds);
                return Err(Error::invalid("assume_role.session_seconds", problem, "900 to 43200"));
            }
        }
        let named = self.endpoints.iter().map(|(name, url)| (format!("endpoints.{name}"), url));
        for (field, url) in
            named.chain(self.endpoint.iter().map(|url| ("endpoint".to_owned(), url)))
        {
            if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
                return Err(Error::invalid(
                    &field,
                    format_args!("is {url}"),
                    "an http or https URL",
                ));
            }
        }
        if self.connect_timeout_seconds == 0 {
            return Err(Error::invalid("connect_timeout_seconds", "is 0", "1 or more"));
        }
        Ok(())
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_secs(self.connect_timeout_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        let config: AwsConfig = toml::from_str(text).unwrap();
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_opened_is_refused_by_its_field() {
        assert!(problem("regions = []").contains("regions is empty"));
        assert!(problem("regions = ['a-1', 'a-1']").contains("'a-1' twice"));
        let role = "regions = ['a-1']\n[assume_role]\nrole_arn = 'deploy'";
        assert!(problem(role).contains("assume_role.role_arn is 'deploy'"));
        let endpoint = "regions = ['a-1']\nendpoints = { s3 = 'ftp://x' }";
        assert!(problem(endpoint).contains("endpoints.s3"));
        assert!(toml::from_str::<AwsConfig>("regions = ['a-1']\nregoin = 1").is_err());
    }

    #[test]
    fn no_secret_gets_into_debug() {
        let keys = AwsCredentials {
            access_key_id: "AKIA".into(),
            secret_access_key: SecretRef::Value("hunter2".into()),
            session_token: None,
        };
        assert!(!format!("{keys:?}").contains("hunter2"));
    }
}
