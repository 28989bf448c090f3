//! The presigned address by which one region of RDS asks another for encrypted data; the SDK for Rust does not make it by itself.

use std::time::{Duration, SystemTime};

use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4,
};
use cloud_core::{Error, ErrorKind, Region, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::account::Account;

/// RDS's own key of the account in whatever region it is named.
pub(super) const DEFAULT_KEY: &str = "alias/aws/rds";

/// For how long the address is good. The call that carries it is made at once.
const EXPIRES: Duration = Duration::from_secs(900);

/// What a signed query leaves as it is.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The address of an action in the region of the source, as the region of the copy asks for it
/// ([documentation](https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CopyDBSnapshot.html)).
pub(super) async fn url(
    account: &Account,
    source: &Region,
    destination: &Region,
    action: &str,
    parameters: &[(&str, &str)],
) -> Result<String> {
    let failed = |problem: &dyn std::fmt::Display| {
        Error::new(
            ErrorKind::Internal,
            format!("the address of the source cannot be signed: {problem}"),
        )
        .with_effect(cloud_core::Effect::None)
    };
    let credentials = account
        .credentials()?
        .provide_credentials()
        .await
        .map_err(|e| Error::new(ErrorKind::Unauthenticated, format!("no credentials: {e}")))?;
    let identity = credentials.into();
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(EXPIRES);
    let signing = v4::SigningParams::builder()
        .identity(&identity)
        .region(source.as_str())
        .name("rds")
        .time(SystemTime::now())
        .settings(settings)
        .build()
        .map_err(|e| failed(&e))?
        .into();
    let mut url = unsigned(source, destination, action, parameters);
    let request = SignableRequest::new("GET", &url, std::iter::empty(), SignableBody::Bytes(b""))
        .map_err(|e| failed(&e))?;
    let (signed, _) = sign(request, &signing).map_err(|e| failed(&e))?.into_parts();
    for (name, value) in signed.params() {
        url.push_str(&format!("&{name}={}", utf8_percent_encode(value, QUERY)));
    }
    Ok(url)
}

fn unsigned(
    source: &Region,
    destination: &Region,
    action: &str,
    parameters: &[(&str, &str)],
) -> String {
    let domain =
        if source.as_str().starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let mut url = format!("https://rds.{source}.{domain}/?Action={action}");
    let more = [("DestinationRegion", destination.as_str()), ("Version", "2014-10-31")];
    for (name, value) in parameters.iter().chain(&more) {
        url.push_str(&format!("&{name}={}", utf8_percent_encode(value, QUERY)));
    }
    url
}

#[cfg(test)]
mod tests {
    use cloud_core::{CloudId, SecretRef};

    use super::*;
    use crate::{AwsConfig, AwsCredentials};

    #[tokio::test]
    async fn the_source_s_region_is_asked_and_its_signature_covers_all() {
        let (from, to) = (Region::new("us-east-1").unwrap(), Region::new("eu-west-1").unwrap());
        let mut config = AwsConfig::new([from.clone(), to.clone()]);
        config.credentials = Some(AwsCredentials {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_access_key: SecretRef::Value("hidden".into()),
            session_token: None,
        });
        let account = Account::open(CloudId::new("aws").unwrap(), config).await.unwrap();
        let arn = "arn:aws:rds:us-east-1:123456789012:snapshot:orders";
        let parameters = [("SourceDBSnapshotIdentifier", arn), ("KmsKeyId", DEFAULT_KEY)];
        let url = url(&account, &from, &to, "CopyDBSnapshot", &parameters).await.unwrap();
        let url = url::Url::parse(&url).unwrap();
        assert_eq!(url.host_str(), Some("rds.us-east-1.amazonaws.com"));
        let query: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(query["SourceDBSnapshotIdentifier"], arn);
        assert_eq!(query["KmsKeyId"], DEFAULT_KEY);
        assert_eq!(query["DestinationRegion"], "eu-west-1");
        assert!(query["X-Amz-Credential"].ends_with("/us-east-1/rds/aws4_request"));
        assert_eq!(query["X-Amz-Expires"], "900");
        assert_eq!(query["X-Amz-Signature"].len(), 64);
        assert!(!url.as_str().contains("hidden"));
    }
}
