//! Access to clusters: tokens that are presigned questions to STS, and kubeconfigs that carry one.

use std::time::{Duration, SystemTime};

use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4::SigningParams,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use cloud_core::{Error, ErrorKind, Region, Result, SecretString, secret::ExposeSecret};
use jiff::{SignedDuration, Timestamp};
use url::Url;

use crate::account::Account;

/// What a token begins with. A token is this and the presigned address, in base64 of URLs without padding
/// ([API Authorization from Outside a Cluster](https://github.com/kubernetes-sigs/aws-iam-authenticator#api-authorization-from-outside-a-cluster)).
const PREFIX: &str = "k8s-aws-v1.";

/// The header that binds a token to its cluster.
const CLUSTER_HEADER: &str = "x-k8s-aws-id";

/// How long STS answers to the address; EKS asks it at once.
const PRESIGNED_FOR: Duration = Duration::from_secs(60);

/// EKS takes a token for 15 minutes from its signing. A minute less is said, so that no call starts with a token about to expire.
const VALID_FOR: SignedDuration = SignedDuration::from_mins(14);

/// A token for a cluster, and when it ceases to be good for calls.
pub(super) async fn token(
    account: &Account,
    region: &Region,
    cluster: &str,
) -> Result<(SecretString, Timestamp)> {
    let credentials = account.credentials()?.provide_credentials().await.map_err(|e| {
        Error::new(ErrorKind::Unauthenticated, format!("there are no credentials: {e}"))
    })?;
    let own_end = credentials.expiry().and_then(|end| Timestamp::try_from(end).ok());
    let now = Timestamp::now();
    let expires = now.saturating_add(VALID_FOR).unwrap_or(now);
    let expires = own_end.map_or(expires, |end| end.min(expires));
    let address =
        presigned(&sts(account, region)?, region, cluster, &credentials.into(), now.into())?;
    let token = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(address));
    Ok((token.into(), expires))
}

/// The region's STS, or the server that stands in for it.
fn sts(account: &Account, region: &Region) -> Result<Url> {
    if let Some(endpoint) = account.endpoint("sts") {
        return Ok(endpoint.clone());
    }
    // The partitions by their regions' names.
    let suffix = match region.as_str() {
        name if name.starts_with("cn-") => "amazonaws.com.cn",
        name if name.starts_with("eusc-") => "amazonaws.eu",
        name if name.starts_with("us-iso-") => "c2s.ic.gov",
        name if name.starts_with("us-isob-") => "sc2s.sgov.gov",
        _ => "amazonaws.com",
    };
    Url::parse(&format!("https://sts.{region}.{suffix}/")).map_err(|e| {
        Error::invalid("region", format_args!("is '{region}': {e}"), "a region of AWS")
    })
}

/// The address of `GetCallerIdentity` for this cluster, signed. Whoever has it can prove to be us for as long as it lasts.
fn presigned(
    sts: &Url,
    region: &Region,
    cluster: &str,
    identity: &aws_smithy_runtime_api::client::identity::Identity,
    now: SystemTime,
) -> Result<String> {
    let failed = |e: &dyn std::error::Error| {
        Error::new(ErrorKind::Internal, format!("the token cannot be signed: {e}"))
            .with_effect(cloud_core::Effect::None)
    };
    let mut address = sts.clone();
    address.set_query(Some("Action=GetCallerIdentity&Version=2011-06-15"));
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(PRESIGNED_FOR);
    let params = SigningParams::builder()
        .identity(identity)
        .region(region.as_str())
        .name("sts")
        .time(now)
        .settings(settings)
        .build()
        .map_err(|e| failed(&e))?
        .into();
    let headers = [(CLUSTER_HEADER, cluster)];
    let request = SignableRequest::new(
        "GET",
        address.as_str(),
        headers.into_iter(),
        SignableBody::Bytes(&[]),
    )
    .map_err(|e| failed(&e))?;
    let (instructions, _) = sign(request, &params).map_err(|e| failed(&e))?.into_parts();
    address.query_pairs_mut().extend_pairs(instructions.params());
    Ok(address.into())
}

/// A kubeconfig of one cluster with one user, whose token it carries.
pub(super) fn kubeconfig(
    name: &str,
    server: &str,
    authority: &str,
    token: &SecretString,
    expires: Timestamp,
) -> SecretString {
    // A JSON string is a YAML string.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let (name, server, authority) = (quoted(name), quoted(server), quoted(authority));
    let token = quoted(token.expose_secret());
    format!(
        "# The token is good until {expires}.
apiVersion: v1
kind: Config
clusters:
- name: {name}
  cluster:
    server: {server}
    certificate-authority-data: {authority}
contexts:
- name: {name}
  context:
    cluster: {name}
    user: {name}
current-context: {name}
users:
- name: {name}
  user:
    token: {token}
"
    )
    .into()
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;

    use super::*;

    fn signed(session: Option<&str>) -> String {
        let region = Region::new("eu-central-1").unwrap();
        let keys =
            Credentials::new("AKIDEXAMPLE", "secret", session.map(str::to_owned), None, "test");
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let sts = Url::parse("https://sts.eu-central-1.amazonaws.com/").unwrap();
        presigned(&sts, &region, "main", &keys.into(), at).unwrap()
    }

    #[test]
    fn an_address_asks_who_we_are_for_one_cluster_and_a_minute() {
        let address = Url::parse(&signed(Some("a+b/c=="))).unwrap();
        let pair = |name: &str| {
            let mut pairs = address.query_pairs();
            pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap()
        };
        assert_eq!(pair("Action"), "GetCallerIdentity");
        assert_eq!(pair("X-Amz-Expires"), "60");
        assert_eq!(pair("X-Amz-SignedHeaders"), "host;x-k8s-aws-id");
        assert_eq!(pair("X-Amz-Credential"), "AKIDEXAMPLE/20231114/eu-central-1/sts/aws4_request");
        assert_eq!(pair("X-Amz-Security-Token"), "a+b/c==");
        assert_eq!(pair("X-Amz-Signature").len(), 64);
        assert!(!signed(None).contains("Security-Token"));
        assert!(!address.as_str().contains("secret"));
    }

    #[test]
    fn no_name_breaks_out_of_a_kubeconfig() {
        let token = SecretString::from("k8s-aws-v1.x");
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        let config = kubeconfig("a\"\nusers: []", "https://x", "QQ==", &token, at);
        let text = config.expose_secret();
        assert_eq!(text.matches("\nusers:").count(), 1);
        assert!(text.contains(r#"- name: "a\"\nusers: []""#));
        assert!(text.contains("    server: \"https://x\"\n"));
        assert!(!format!("{config:?}").contains("k8s-aws"));
    }
}
