//! `AwsFunction`: what a function on Lambda takes beyond the portable spec, and what Lambda's limits make of the spec.

use std::collections::HashMap;

use aws_sdk_lambda::types::{Architecture, EphemeralStorage, VpcConfig};
use cloud_core::{
    ByteSize, Error, ErrorKind, FunctionSpec, Provider, ProviderOverrides, Result,
    secret::ExposeSecret,
};
use serde::{Deserialize, Serialize};

use crate::names;

/// The settings of a function that only Lambda has
/// ([CreateFunction](https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html)).
///
/// ```
/// use cloud_aws::AwsFunction;
/// use cloud_core::{FunctionCode, FunctionSpec, Region};
///
/// let code = FunctionCode::Archive("build/orders.zip".into());
/// let mut spec = FunctionSpec::new("orders", Region::new("eu-central-1").unwrap(), code);
/// spec.overrides
///     .set(&AwsFunction {
///         role_arn: Some("arn:aws:iam::123456789012:role/orders".into()),
///         architecture: Some("arm64".into()),
///         ..AwsFunction::default()
///     })
///     .unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AwsFunction {
    /// The role that the function runs as. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// An archive in S3, in place of the file that the spec names, which is then not read: for archives of more than 50 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_object: Option<AwsCodeObject>,
    /// `x86_64` or `arm64`. Default `x86_64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The subnets to attach it to. Empty: it runs outside of any network of yours.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subnet_ids: Vec<String>,
    /// The security groups of its network interfaces; needed with subnets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_group_ids: Vec<String>,
    /// A KMS key to encrypt its environment with. Default: a key of AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_arn: Option<String>,
    /// The ARNs of layers, each with its version.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
    /// The size of `/tmp`, in MiB: 512 to 10240. Default 512.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage_mib: Option<u16>,
    /// A description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl ProviderOverrides for AwsFunction {
    const PROVIDER: Provider = Provider::Aws;
}

/// An archive of code in S3, in the function's own region.
///
/// ```
/// let object = cloud_aws::AwsCodeObject {
///     bucket: "builds".into(),
///     key: "orders/17.zip".into(),
///     version: None,
/// };
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsCodeObject {
    /// The bucket.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    /// The object's version; `None` is the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// The settings of a spec, checked.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) role_arn: String,
    pub(super) architecture: Option<Architecture>,
    pub(super) network: Option<VpcConfig>,
    pub(super) storage: Option<EphemeralStorage>,
    pub(super) memory_mib: i32,
    pub(super) given: AwsFunction,
}

impl Settings {
    pub(super) fn of(spec: &FunctionSpec) -> Result<Self> {
        let given = spec.overrides.get::<AwsFunction>()?.unwrap_or_default();
        let role_arn = names::check_role("overrides.aws.role_arn", given.role_arn.as_deref())?;
        let architecture = given.architecture.as_deref().map(architecture).transpose()?;
        let network = network(&given)?;
        let storage = given.ephemeral_storage_mib.map(storage).transpose()?;
        let memory_mib = memory_mib(spec.memory)?;
        Ok(Self { role_arn, architecture, network, storage, memory_mib, given })
    }
}

fn architecture(name: &str) -> Result<Architecture> {
    match Architecture::try_parse(name) {
        Ok(known) => Ok(known),
        Err(_) => Err(Error::invalid(
            "overrides.aws.architecture",
            format_args!("is '{name}'"),
            Architecture::values().join(", "),
        )),
    }
}

fn network(given: &AwsFunction) -> Result<Option<VpcConfig>> {
    match (given.subnet_ids.is_empty(), given.security_group_ids.is_empty()) {
        (true, true) => Ok(None),
        (false, false) => Ok(Some(
            VpcConfig::builder()
                .set_subnet_ids(Some(given.subnet_ids.clone()))
                .set_security_group_ids(Some(given.security_group_ids.clone()))
                .build(),
        )),
        _ => Err(Error::invalid(
            "overrides.aws.subnet_ids",
            "and security_group_ids are not given together",
            "both or neither",
        )),
    }
}

fn storage(mib: u16) -> Result<EphemeralStorage> {
    if !(512..=10_240).contains(&mib) {
        let field = "overrides.aws.ephemeral_storage_mib";
        return Err(Error::invalid(field, format_args!("is {mib}"), "512 to 10240"));
    }
    EphemeralStorage::builder()
        .size(mib.into())
        .build()
        .map_err(|e| Error::new(ErrorKind::InvalidInput, e.to_string()))
}

/// The least and the most memory, in MiB
/// ([Lambda quotas](https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)).
const MEMORY_MIB: (u64, u64) = (128, 10_240);

/// Lambda's memory that is at least this.
fn memory_mib(memory: ByteSize) -> Result<i32> {
    let (least, most) = MEMORY_MIB;
    let mib = memory.bytes().div_ceil(1 << 20).max(least);
    match i32::try_from(mib) {
        Ok(size) if mib <= most => Ok(size),
        _ => Err(Error::invalid("memory", format_args!("is {memory}"), "at most 10240MiB")),
    }
}

/// The most bytes of all names and values of an environment together
/// ([Lambda quotas](https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)).
const ENVIRONMENT_BYTES: usize = 4096;

/// Refuses names of variables that Lambda does not take.
pub(super) fn check_environment(spec: &FunctionSpec) -> Result<()> {
    for name in spec.environment.keys().chain(spec.secret_environment.keys()) {
        let good = name.len() >= 2
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !good {
            let rule = "at least two letters, digits and '_', a letter first";
            return Err(Error::invalid("environment", format_args!("has '{name}'"), rule));
        }
    }
    Ok(())
}

/// The whole environment, secrets resolved. Files of secrets are read beside the runtime's threads.
pub(super) async fn environment(spec: &FunctionSpec) -> Result<HashMap<String, String>> {
    let mut all: HashMap<_, _> =
        spec.environment.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    if !spec.secret_environment.is_empty() {
        let secret = spec.secret_environment.clone();
        let read = tokio::task::spawn_blocking(move || {
            let resolve = |(name, secret): (String, cloud_core::SecretRef)| {
                let value = secret.resolve();
                let value = value.map_err(|e| e.context(format_args!("secret_environment.{name}")));
                Ok((name, value?.expose_secret().to_owned()))
            };
            secret.into_iter().map(resolve).collect::<Result<Vec<_>>>()
        });
        let read = read.await.map_err(|e| {
            Error::new(ErrorKind::Internal, e.to_string()).with_effect(cloud_core::Effect::None)
        })?;
        all.extend(read?);
    }
    let bytes: usize = all.iter().map(|(name, value)| name.len() + value.len()).sum();
    match bytes <= ENVIRONMENT_BYTES {
        true => Ok(all),
        false => Err(Error::invalid(
            "environment",
            format_args!("has {bytes} bytes"),
            format_args!("at most {ENVIRONMENT_BYTES} bytes of names and values, secrets included"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use cloud_core::{FunctionCode, Region, SecretRef};

    use super::*;

    fn spec() -> FunctionSpec {
        let code = FunctionCode::Archive("x.zip".into());
        FunctionSpec::new("f", Region::new("eu-1").unwrap(), code)
    }

    fn with(settings: AwsFunction) -> String {
        let mut spec = spec();
        let role = "arn:aws:iam::123456789012:role/f";
        let role_arn = settings.role_arn.clone().or(Some(role.into()));
        spec.overrides.set(&AwsFunction { role_arn, ..settings }).unwrap();
        match Settings::of(&spec) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_lambda_refuses_is_refused_by_its_field() {
        assert!(Settings::of(&spec()).unwrap_err().to_string().contains("role_arn is missing"));
        let default = AwsFunction::default;
        assert_eq!(with(default()), "");
        assert!(
            with(AwsFunction { architecture: Some("mips".into()), ..default() })
                .contains("architecture is 'mips'; accepted: arm64, x86_64")
        );
        assert!(
            with(AwsFunction { subnet_ids: vec!["subnet-1".into()], ..default() })
                .contains("both or neither")
        );
        assert!(
            with(AwsFunction { ephemeral_storage_mib: Some(100), ..default() })
                .contains("512 to 10240")
        );
    }

    #[test]
    fn memory_is_rounded_up_to_what_lambda_has() {
        assert_eq!(memory_mib(ByteSize::mib(1)).unwrap(), 128);
        assert_eq!(memory_mib(ByteSize::mib(128)).unwrap(), 128);
        assert_eq!(memory_mib(ByteSize::from_bytes((200 << 20) + 1)).unwrap(), 201);
        assert_eq!(memory_mib(ByteSize::gib(10)).unwrap(), 10_240);
        assert!(memory_mib(ByteSize::from_bytes((10 << 30) + 1)).is_err());
        assert!(memory_mib(ByteSize::gib(1 << 40)).is_err());
    }

    #[tokio::test]
    async fn an_environment_is_whole_and_no_larger_than_lambda_takes() {
        let mut spec = spec();
        spec.environment.insert("PLAIN".into(), "a".into());
        spec.secret_environment.insert("SECRET".into(), SecretRef::Value("hunter2".into()));
        let all = environment(&spec).await.unwrap();
        assert_eq!(all["PLAIN"], "a");
        assert_eq!(all["SECRET"], "hunter2");
        spec.environment.insert("LONG".into(), "x".repeat(4096));
        let error = environment(&spec).await.unwrap_err().to_string();
        assert!(error.contains("at most 4096 bytes") && !error.contains("hunter2"), "{error}");
        for name in ["A", "1A", "A-B", "_A"] {
            let mut spec = self::spec();
            spec.environment.insert(name.into(), String::new());
            assert!(check_environment(&spec).is_err(), "{name}");
        }
    }
}
