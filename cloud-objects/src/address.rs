//! Reads the URL of a location.

use std::path::PathBuf;

use cloud_core::{Error, Result};
use object_store::path::Path;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::http::is_loopback;

const ACCEPTED: &str = "file:///folder, ./folder, memory://name/prefix, s3://bucket/prefix, gs://bucket/prefix, \
     az://container/prefix, abfss://container@account.dfs.core.windows.net/prefix, \
     https://account.blob.core.windows.net/container/prefix, oss://bucket/prefix?region=R, \
     oci://bucket/prefix?namespace=N&region=R";

/// What a URL says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Address {
    pub(crate) place: Place,
    pub(crate) prefix: Path,
    pub(crate) parameters: Parameters,
    /// The URL again: it opens the same location, so it keeps the parameters. None of them is a secret.
    pub(crate) name: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    Local(PathBuf),
    Memory(String),
    S3(String),
    Gcs(String),
    Azure { container: String, account: Option<String> },
    Oss(String),
    Oci(String),
}

/// What the environment cannot say for two locations at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Parameters {
    pub(crate) endpoint: Option<Url>,
    pub(crate) region: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) profile: Option<String>,
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Self::bare(text);
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if rest.contains('#') || query.contains('#') {
            return Err(Error::invalid("url", "has a '#'", "%23 in its place"));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') && (authority.contains(':') || !is_azure(scheme)) {
            let accepted =
                "no name and password; credentials come from the provider's default chain";
            return Err(Error::invalid("url", "has a user before the host", accepted));
        }
        let parameters = Parameters::parse(query)?;
        let scheme = scheme.to_ascii_lowercase();
        let (place, path) = match scheme.as_str() {
            "file" => {
                if !matches!(authority, "" | "localhost") {
                    let problem = format!("names the host '{authority}'");
                    return Err(Error::invalid("url", problem, "file:///folder"));
                }
                let folder = PathBuf::from(format!("/{}", decoded(path)?));
                return Ok(Self::local(folder));
            }
            "memory" => (Place::Memory(authority.to_owned()), path),
            "s3" | "s3a" => (Place::S3(bucket(authority)?), path),
            "gs" => (Place::Gcs(bucket(authority)?), path),
            "oss" => (Place::Oss(bucket(authority)?), path),
            "oci" => (Place::Oci(bucket(authority)?), path),
            "https" if account_of(authority).is_some() => {
                let (container, path) = path.split_once('/').unwrap_or((path, ""));
                let account = account_of(authority);
                (Place::Azure { container: bucket(container)?, account }, path)
            }
            scheme if is_azure(scheme) => (azure(authority)?, path),
            "http" | "https" => {
                let problem = "is the address of a web server, which offers no listing";
                return Err(Error::invalid("url", problem, ACCEPTED));
            }
            other => {
                return Err(Error::invalid("url", format!("has the scheme '{other}'"), ACCEPTED));
            }
        };
        let prefix = prefix(path)?;
        let mark = if query.is_empty() { "" } else { "?" };
        let name = format!("{scheme}://{rest}{mark}{query}");
        Ok(Self { place, prefix, parameters, name })
    }

    /// A path of this machine.
    fn bare(text: &str) -> Result<Self> {
        let first = text.split('/').next().unwrap_or_default();
        if text.is_empty() || first.contains(':') {
            let problem = format!("is '{text}', which has no scheme");
            return Err(Error::invalid("url", problem, ACCEPTED));
        }
        Ok(Self::local(text.into()))
    }

    fn local(folder: PathBuf) -> Self {
        let name = folder.display().to_string();
        let (prefix, parameters) = (Path::ROOT, Parameters::default());
        Self { place: Place::Local(folder), prefix, parameters, name }
    }
}

impl Parameters {
    fn parse(query: &str) -> Result<Self> {
        const NAMES: &str = "endpoint, region, account, namespace, profile";
        let mut parameters = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = || decoded(value);
            let slot = match name {
                "endpoint" => {
                    parameters.endpoint = Some(endpoint(&value()?)?);
                    continue;
                }
                "region" => &mut parameters.region,
                "account" => &mut parameters.account,
                "namespace" => &mut parameters.namespace,
                "profile" => &mut parameters.profile,
                _ if is_secret(name) => {
                    let problem = format!("has the parameter '{name}', which would be a secret");
                    let accepted = "credentials from the provider's default chain or OpenOptions";
                    return Err(Error::invalid("url", problem, accepted));
                }
                _ => {
                    let problem = format!("has the unknown parameter '{name}'");
                    return Err(Error::invalid("url", problem, NAMES));
                }
            };
            let value = value()?;
            cloud_core::text::check_name(name, &value)?;
            // All but the name of a profile become part of a host name.
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
            if name != "profile" && !value.chars().all(fits) {
                let problem = format!("is '{value}'");
                return Err(Error::invalid(name, problem, "ASCII letters, digits and '-'"));
            }
            *slot = Some(value);
        }
        Ok(parameters)
    }
}

fn is_azure(scheme: &str) -> bool {
    matches!(scheme, "az" | "azure" | "adl" | "abfs" | "abfss")
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["secret", "key", "token", "password", "passwd", "sig", "sas", "credential"]
        .iter()
        .any(|word| name.contains(word))
}

/// An address of a server: `http` or `https`, and nothing that is a secret.
pub(crate) fn endpoint(text: &str) -> Result<Url> {
    const ACCEPTED: &str = "http(s)://host[:port][/path]";
    let url = Url::parse(text).map_err(|e| Error::invalid("endpoint", e, ACCEPTED))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(Error::invalid("endpoint", "is not the address of a server", ACCEPTED));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(Error::invalid("endpoint", "has a user or parameters", ACCEPTED));
    }
    Ok(url)
}

/// Whether requests to a server leave this machine unencrypted.
pub(crate) fn is_local(endpoint: &Url) -> bool {
    is_loopback(endpoint.host_str().unwrap_or_default())
}

/// The account of one of Azure's own host names.
fn account_of(host: &str) -> Option<String> {
    let (account, rest) = host.split_once('.')?;
    matches!(rest, "blob.core.windows.net" | "dfs.core.windows.net").then(|| account.to_owned())
}

fn azure(authority: &str) -> Result<Place> {
    match authority.split_once('@') {
        None => Ok(Place::Azure { container: bucket(authority)?, account: None }),
        Some((container, host)) => {
            let accepted =
                "container@account.dfs.core.windows.net, container@account.blob.core.windows.net";
            let problem = || format!("names the host '{host}'");
            let account =
                account_of(host).ok_or_else(|| Error::invalid("url", problem(), accepted))?;
            Ok(Place::Azure { container: bucket(container)?, account: Some(account) })
        }
    }
}

fn bucket(text: &str) -> Result<String> {
    const ACCEPTED: &str = "1 to 255 letters, digits, '-', '_', '.' and '$'";
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '$');
    if text.is_empty() || text.len() > 255 || !text.chars().all(fits) || text.starts_with('.') {
        return Err(Error::invalid("bucket in the url", format!("is '{text}'"), ACCEPTED));
    }
    Ok(text.to_owned())
}

fn decoded(text: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(Into::into)
        .map_err(|_| Error::invalid("url", "is not UTF-8", "percent-encoded UTF-8"))
}

/// The folder in the bucket: exactly what was written, or an error.
fn prefix(path: &str) -> Result<Path> {
    let text = decoded(path)?;
    let text = text.strip_suffix('/').unwrap_or(&text);
    let parsed = Path::parse(text).map_err(|e| {
        Error::invalid(
            "prefix in the url",
            e,
            "names without '.', '..' and control characters, '/' between",
        )
    })?;
    if parsed.as_ref() != text {
        let problem = format!("is '{text}'");
        return Err(Error::invalid("prefix in the url", problem, "no slash but between names"));
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(url: &str) -> Place {
        Address::parse(url).unwrap().place
    }

    #[test]
    fn reads_every_scheme() {
        assert_eq!(place("file:///a/b%20c"), Place::Local("/a/b c".into()));
        assert_eq!(place("./a"), Place::Local("./a".into()));
        assert_eq!(place("memory:///x"), Place::Memory(String::new()));
        assert_eq!(place("s3://b/p"), Place::S3("b".into()));
        assert_eq!(place("gs://b"), Place::Gcs("b".into()));
        assert_eq!(place("oss://b"), Place::Oss("b".into()));
        let azure = |account: Option<&str>| Place::Azure {
            container: "c".into(),
            account: account.map(str::to_owned),
        };
        assert_eq!(place("az://c/p"), azure(None));
        assert_eq!(place("abfss://c@acct.dfs.core.windows.net/p"), azure(Some("acct")));
        let https = Address::parse("https://acct.blob.core.windows.net/c/p/q").unwrap();
        assert_eq!((https.place, https.prefix.as_ref()), (azure(Some("acct")), "p/q"));
    }

    #[test]
    fn reads_parameters() {
        let address =
            Address::parse("S3://b/a%20b/?endpoint=http%3A%2F%2F127.0.0.1:9000&region=eu-1")
                .unwrap();
        assert_eq!(
            address.parameters.endpoint.as_ref().unwrap().as_str(),
            "http://127.0.0.1:9000/"
        );
        assert_eq!(address.parameters.region.as_deref(), Some("eu-1"));
        assert_eq!(address.prefix.as_ref(), "a b");
        let name = "s3://b/a%20b/?endpoint=http%3A%2F%2F127.0.0.1:9000&region=eu-1";
        assert_eq!(address.name, name);
        assert_eq!(Address::parse(name).unwrap(), address);
    }

    #[test]
    fn refuses_by_name_and_prints_no_secret() {
        for (url, said) in [
            ("s3://id:hunter2@b/p", "user before the host"),
            ("az://c:hunter2@acct.blob.core.windows.net/p", "user before the host"),
            ("s3://b/p?secret_access_key=hunter2", "'secret_access_key', which would be a secret"),
            ("s3://b/p?endpoint=https://u:hunter2@h", "has a user"),
            ("s3://b/p?colour=red", "unknown parameter 'colour'"),
            ("https://example.com/x", "web server"),
            ("ftp://x", "scheme 'ftp'"),
            ("s3:b/p", "no scheme"),
            ("", "no scheme"),
            ("s3:///p", "bucket"),
            ("s3://b/../p", "'.'"),
            ("s3://b/a//c", "mpty"),
            ("s3://b//a", "no slash"),
            ("s3://b/a#b", "'#'"),
            ("s3://b/p?region=a/b", "region"),
            ("file://host/x", "host 'host'"),
        ] {
            let error = Address::parse(url).unwrap_err().to_string();
            assert!(error.contains(said), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_prefix_is_what_was_written_or_refused(path in "[a-b./% ]{0,8}") {
            if let Ok(parsed) = prefix(&path) {
                let text = decoded(&path).unwrap();
                prop_assert_eq!(parsed.as_ref(), text.strip_suffix('/').unwrap_or(&text));
            }
        }
    }
}
