//! What only EC2 instances can be told: the settings under `overrides.aws` of an [`InstanceSpec`](cloud_core::InstanceSpec).

use aws_sdk_ec2::types;
use cloud_core::{Error, InstanceSpec, Provider, ProviderOverrides, Result, text::check_text};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// EC2's own settings of an instance. All are optional, and what is left out is safe.
///
/// Source: [RunInstances](https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html).
///
/// ```
/// # use cloud_aws::AwsInstance;
/// # use cloud_core::{InstanceSpec, Region, Result};
/// # fn example() -> Result<()> {
/// let mut settings = AwsInstance::default();
/// settings.instance_profile = Some("web-server".into());
/// settings.encrypted = Some(true);
/// let mut spec = InstanceSpec::new("web-1", Region::new("eu-central-1")?);
/// spec.overrides.set(&settings)?;
/// # Ok(())
/// # }
/// # example().unwrap();
/// ```
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AwsInstance {
    /// What its processor must understand. Default: `x86_64`, or what the exact type has.
    pub architecture: Option<Architecture>,
    /// The IAM instance profile whose role its programs have, by name or ARN. Default: none.
    pub instance_profile: Option<String>,
    /// Whether its root volume is encrypted. Default: as the account's setting "EBS encryption by default" says.
    pub encrypted: Option<bool>,
    /// The KMS key to encrypt the root volume with, by id or ARN; needs `encrypted`. Default: the account's key for EBS.
    pub kms_key: Option<String>,
    /// The size of its root volume in GiB, 1 to 65536. Default: the image's.
    pub root_volume_gib: Option<u32>,
    /// Lets version 1 of the instance metadata service answer, which hands the role's credentials to whoever makes a program
    /// of the instance fetch a URL. Default: no, version 2 is required.
    pub allow_imds_v1: bool,
    /// Over how many network hops the metadata service answers, 1 to 64; containers in a network of their own need 2. Default 1.
    pub metadata_hop_limit: Option<u8>,
    /// The highest price of a spot instance in US dollars per hour. Default: the on-demand price.
    pub max_spot_price: Option<String>,
    /// The placement group to put it into, by name.
    pub placement_group: Option<String>,
    /// Whether its host is shared with other accounts. Default: shared.
    pub tenancy: Option<Tenancy>,
    /// What becomes of it when its own system shuts down. Default: it is stopped.
    pub on_shutdown: Option<OnShutdown>,
    /// Refuses its deletion until [`set_delete_protection`](super::AwsCompute::set_delete_protection) takes this back. Default: no.
    pub delete_protection: bool,
    /// Lets `secret_environment` be written into the user data, which is not encrypted: every program on the instance and
    /// whoever may call `DescribeInstanceAttribute` can read it, and [AWS advises against
    /// it](https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html). Default: no; give the instance a profile that
    /// may read the secret.
    pub secrets_in_user_data: bool,
}

impl ProviderOverrides for AwsInstance {
    const PROVIDER: Provider = Provider::Aws;
}

/// A processor's instruction set.
///
/// ```
/// let arm: cloud_aws::Architecture = serde_json::from_str("\"arm64\"").unwrap();
/// assert_eq!(arm, cloud_aws::Architecture::Arm64);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Architecture {
    /// Intel and AMD, 64 bits.
    #[serde(rename = "x86_64")]
    X86_64,
    /// ARM, 64 bits: AWS Graviton.
    #[serde(rename = "arm64")]
    Arm64,
}

impl Architecture {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }
}

/// Whether the host of an instance is shared with other accounts.
///
/// ```
/// let own: cloud_aws::Tenancy = serde_json::from_str("\"dedicated\"").unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Tenancy {
    /// Shared.
    Default,
    /// On hardware of this account alone.
    Dedicated,
    /// On a host that this account has reserved.
    Host,
}

/// What becomes of an instance when its own system shuts down.
///
/// ```
/// let gone: cloud_aws::OnShutdown = serde_json::from_str("\"terminate\"").unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnShutdown {
    /// It is kept.
    Stop,
    /// It is deleted.
    Terminate,
}

impl AwsInstance {
    /// The settings of a spec, checked.
    pub(super) fn of(spec: &InstanceSpec) -> Result<Self> {
        let settings = spec.overrides.get::<Self>()?.unwrap_or_default();
        settings.check(spec)?;
        Ok(settings)
    }

    fn check(&self, spec: &InstanceSpec) -> Result<()> {
        for (field, text) in [
            ("overrides.aws.instance_profile", &self.instance_profile),
            ("overrides.aws.kms_key", &self.kms_key),
            ("overrides.aws.placement_group", &self.placement_group),
        ] {
            text.iter().try_for_each(|text| check_text(field, text, 2048))?;
        }
        if self.kms_key.is_some() && self.encrypted != Some(true) {
            return Err(Error::invalid(
                "overrides.aws.kms_key",
                "is set, but 'encrypted' is not true",
                "both or neither",
            ));
        }
        if let Some(size) = self.root_volume_gib
            && !(1..=65_536).contains(&size)
        {
            let problem = format!("is {size}");
            return Err(Error::invalid("overrides.aws.root_volume_gib", problem, "1 to 65536"));
        }
        if let Some(hops) = self.metadata_hop_limit
            && !(1..=64).contains(&hops)
        {
            let problem = format!("is {hops}");
            return Err(Error::invalid("overrides.aws.metadata_hop_limit", problem, "1 to 64"));
        }
        self.check_spot(spec)?;
        if !spec.secret_environment.is_empty() && !self.secrets_in_user_data {
            return Err(Error::invalid(
                "secret_environment",
                "would be readable by whoever may describe the instance's user data",
                "none, or overrides.aws.secrets_in_user_data = true",
            )
            .with_hint("give the instance a profile that may read the secret"));
        }
        Ok(())
    }

    fn check_spot(&self, spec: &InstanceSpec) -> Result<()> {
        let Some(price) = &self.max_spot_price else {
            return Ok(());
        };
        let field = "overrides.aws.max_spot_price";
        if !spec.spot {
            return Err(Error::invalid(field, "is set, but 'spot' is not", "both or neither"));
        }
        // A number that EC2 reads too has no exponent.
        let plain = price.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        match price.parse::<Decimal>() {
            Ok(number) if plain && number > Decimal::ZERO => Ok(()),
            _ => Err(Error::invalid(
                field,
                format_args!("is '{}'", price.escape_debug()),
                "US dollars per hour, such as 0.05",
            )),
        }
    }
}

impl From<Tenancy> for types::Tenancy {
    fn from(tenancy: Tenancy) -> Self {
        match tenancy {
            Tenancy::Default => Self::Default,
            Tenancy::Dedicated => Self::Dedicated,
            Tenancy::Host => Self::Host,
        }
    }
}

impl From<OnShutdown> for types::ShutdownBehavior {
    fn from(behaviour: OnShutdown) -> Self {
        match behaviour {
            OnShutdown::Stop => Self::Stop,
            OnShutdown::Terminate => Self::Terminate,
        }
    }
}

#[cfg(test)]
mod tests {
    use cloud_core::{Region, SecretRef};

    use super::*;

    fn check(json: &str, change: impl Fn(&mut InstanceSpec)) -> Result<AwsInstance> {
        let mut spec = InstanceSpec::new("web", Region::new("eu-central-1").unwrap());
        let overrides = format!(r#"{{"aws": {json}}}"#);
        spec.overrides = serde_json::from_str(&overrides).unwrap();
        change(&mut spec);
        AwsInstance::of(&spec)
    }

    #[test]
    fn wrong_settings_are_refused_by_their_name() {
        for (json, field) in [
            (r#"{"encrypt": true}"#, "encrypt"),
            (r#"{"kms_key": "k"}"#, "kms_key"),
            (r#"{"root_volume_gib": 0}"#, "root_volume_gib"),
            (r#"{"metadata_hop_limit": 65}"#, "metadata_hop_limit"),
            (r#"{"max_spot_price": "0.05"}"#, "max_spot_price"),
            (r#"{"architecture": "mips"}"#, "mips"),
            (r#"{"instance_profile": ""}"#, "instance_profile"),
        ] {
            let error = check(json, |_| {}).unwrap_err().to_string();
            assert!(error.contains(field), "{json}: {error}");
        }
        for price in ["0", "-1", "cheap", "1e3"] {
            let json = format!(r#"{{"max_spot_price": "{price}"}}"#);
            assert!(check(&json, |spec| spec.spot = true).is_err(), "{price}");
        }
        assert!(check(r#"{"max_spot_price": "0.05"}"#, |spec| spec.spot = true).is_ok());
    }

    #[test]
    fn a_secret_in_user_data_needs_its_opt_in() {
        let secret = |spec: &mut InstanceSpec| {
            spec.secret_environment.insert("PASSWORD".into(), SecretRef::Value("hunter2".into()));
        };
        let error = check("{}", secret).unwrap_err().to_string();
        assert!(error.contains("secret_environment") && error.contains("secrets_in_user_data"));
        assert!(!error.contains("hunter2"));
        assert!(check(r#"{"secrets_in_user_data": true}"#, secret).is_ok());
    }

    #[test]
    fn settings_read_back_as_they_were_set() {
        let settings = AwsInstance {
            architecture: Some(Architecture::Arm64),
            tenancy: Some(Tenancy::Dedicated),
            on_shutdown: Some(OnShutdown::Terminate),
            ..AwsInstance::default()
        };
        let mut spec = InstanceSpec::new("web", Region::new("eu-central-1").unwrap());
        spec.overrides.set(&settings).unwrap();
        assert_eq!(AwsInstance::of(&spec).unwrap(), settings);
    }
}
