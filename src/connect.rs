//! `connect`: a `clouds.toml` becomes registered clouds, each behind its interceptors.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cloud_core::{
    Cloud, CloudId, Clouds, Error, ErrorKind, Provider, Result,
    intercept::{JsonLines, RetryPolicy, Stack},
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};

/// What every cloud of a `clouds.toml` may set under `calls`: the interceptors around it.
///
/// ```
/// let calls = multicloud::CallConfig::default();
/// assert_eq!(calls.attempts, 5);
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallConfig {
    /// How long one attempt may take, as `30s`. Default 2 minutes.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// The most attempts, the first included. Default 5; 1 repeats nothing.
    pub attempts: usize,
    /// The most attempts a second on average. Default: no limit.
    pub requests_per_second: Option<u32>,
    /// The most attempts at once after a rest, where there is a limit. Default: as many as in a second.
    pub burst: Option<u32>,
    /// The most attempts under way at once. Default: no limit.
    pub concurrency: Option<usize>,
    /// Whether every change is refused. Default: no.
    pub read_only: bool,
    /// A file that every change is recorded in, one JSON object a line; a relative path is relative to `clouds.toml`. Default: none.
    pub audit_log: Option<PathBuf>,
}

impl Default for CallConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(120),
            attempts: RetryPolicy::default().attempts,
            requests_per_second: None,
            burst: None,
            concurrency: None,
            read_only: false,
            audit_log: None,
        }
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    match humantime::parse_duration(&text) {
        Ok(Duration::ZERO) => Err(D::Error::custom("is 0; accepted: a time such as '30s'")),
        Ok(time) => Ok(time),
        Err(e) => Err(D::Error::custom(format_args!("{e}; accepted: a time such as '30s'"))),
    }
}

impl CallConfig {
    /// The stack of interceptors: always traced and metered.
    ///
    /// # Errors
    /// If the audit log cannot be opened. Blocks while that is done.
    pub fn stack(&self) -> Result<Stack> {
        let retry = RetryPolicy { attempts: self.attempts, ..RetryPolicy::default() };
        let mut stack = Stack::builder().trace().metrics().retry(retry).timeout(self.timeout);
        if let Some(rate) = self.requests_per_second {
            stack = stack.rate_limit(rate, self.burst.unwrap_or(rate));
        }
        if let Some(most) = self.concurrency {
            stack = stack.concurrency(most);
        }
        if self.read_only {
            stack = stack.read_only();
        }
        if let Some(path) = &self.audit_log {
            stack = stack.audit(Arc::new(JsonLines::open(path)?));
        }
        Ok(stack.build())
    }
}

/// One cloud of the file: who provides it, its interceptors, and the adapter's own settings.
struct Entry {
    id: CloudId,
    provider: Provider,
    calls: CallConfig,
    settings: toml::Table,
}

/// Reads a `clouds.toml` and opens each cloud in it.
///
/// ```toml
/// [clouds.laptop]                  # the id; two accounts of one provider are two clouds
/// provider = "local"               # which adapter; the rest are that adapter's own settings
/// root = "data"                    # relative to this file
/// regions = ["here", "there"]
///
/// [clouds.production]
/// provider = "aws"                 # with the feature `aws`: AwsConfig of cloud-aws
/// regions = ["eu-central-1"]
/// profile = "production"
///
/// [clouds.laptop.calls]            # optional: interceptors, see CallConfig
/// timeout = "30s"
/// requests_per_second = 50
/// ```
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput) with the line of a syntax error or the path of a wrong setting;
/// [`Unsupported`](ErrorKind::Unsupported) for a provider whose feature is not switched on; or what the adapter says. Nothing is half opened
/// that would have to be closed.
pub async fn connect(path: impl AsRef<Path>) -> Result<Clouds> {
    let path = path.as_ref();
    let named = |error: Error| error.context(path.display());
    let text = tokio::fs::read_to_string(path).await.map_err(|e| named(e.into()))?;
    // What is relative to the file stays where it is, wherever this process goes.
    let whole = std::path::absolute(path).map_err(|e| named(e.into()))?;
    let folder = whole.parent().unwrap_or(Path::new(""));
    let mut clouds = Clouds::default();
    for entry in parse(&text, folder).map_err(named)? {
        clouds.register(open(entry, folder).await.map_err(named)?)?;
    }
    Ok(clouds)
}

fn parse(text: &str, folder: &Path) -> Result<Vec<Entry>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        clouds: BTreeMap<CloudId, toml::Table>,
    }
    let file: File = toml::from_str(text)
        .map_err(|e| Error::new(ErrorKind::InvalidInput, e.to_string().trim_end()))?;
    let mut entries = Vec::new();
    for (id, mut settings) in file.clouds {
        let at = format!("clouds.{id}");
        let provider = settings.remove("provider").ok_or_else(|| {
            Error::invalid(&format!("{at}.provider"), "is missing", "a provider such as \"local\"")
        })?;
        let mut calls: CallConfig = match settings.remove("calls") {
            Some(calls) => read(&format!("{at}.calls"), calls)?,
            None => CallConfig::default(),
        };
        calls.audit_log = calls.audit_log.map(|log| folder.join(log));
        entries.push(Entry {
            provider: read(&format!("{at}.provider"), provider)?,
            id,
            calls,
            settings,
        });
    }
    Ok(entries)
}

/// Reads a typed setting, and names the path of what is wrong in it.
fn read<T: DeserializeOwned>(at: &str, value: toml::Value) -> Result<T> {
    serde_path_to_error::deserialize(value).map_err(|e| {
        let path = match e.path().to_string().as_str() {
            "." => at.to_owned(),
            path => format!("{at}.{path}"),
        };
        let problem = e.into_inner().to_string();
        Error::new(ErrorKind::InvalidInput, format!("{path}: {}", problem.trim_end()))
    })
}

async fn open(entry: Entry, folder: &Path) -> Result<Arc<dyn Cloud>> {
    let at = format!("clouds.{}", entry.id);
    let cloud: Arc<dyn Cloud> = match entry.provider {
        #[cfg(feature = "local")]
        Provider::Local => {
            let mut config: cloud_local::LocalConfig = read(&at, entry.settings.into())?;
            config.root = folder.join(config.root);
            Arc::new(
                cloud_local::LocalCloud::open(entry.id, config)
                    .await
                    .map_err(|e| e.context(&at))?,
            )
        }
        #[cfg(feature = "cloud-aws")]
        Provider::Aws => {
            let config: cloud_aws::AwsConfig = read(&at, entry.settings.into())?;
            Arc::new(cloud_aws::AwsCloud::open(entry.id, config).await.map_err(|e| e.context(&at))?)
        }
        provider => {
            let _ = (folder, entry.settings);
            let problem = format!("{at}: this build has no adapter for '{provider}'");
            return Err(Error::new(ErrorKind::Unsupported, problem).with_hint(format!(
                "switch on the feature '{provider}' of multicloud, if it has one"
            )));
        }
    };
    let calls = entry.calls;
    let stack = tokio::task::spawn_blocking(move || calls.stack())
        .await
        .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?
        .map_err(|e| e.context(format_args!("{at}.calls")))?;
    Ok(stack.wrap(cloud))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        match parse(text, Path::new("")) {
            Ok(_) => panic!("accepted: {text}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
                error.to_string()
            }
        }
    }

    #[test]
    fn names_the_place_of_what_is_wrong() {
        assert!(problem("[clouds.a]\nprovider = \"local\"\n[clouds.a]\n").contains("line 3"));
        assert!(problem("[cloud.a]\n").contains("unknown field `cloud`"));
        assert!(problem("[clouds.\"../a\"]\n").contains("cloud id"));
        assert!(problem("[clouds.a]\nroot = \"x\"\n").contains("clouds.a.provider is missing"));
        let text = problem("[clouds.a]\nprovider = \"azur\"\n");
        assert!(text.contains("clouds.a.provider") && text.contains("azure"), "{text}");
        let text = problem(
            "[clouds.a]\nprovider = \"local\"\n[clouds.a.calls]\ntimeout = \"5 parsecs\"\n",
        );
        assert!(text.contains("clouds.a.calls.timeout"), "{text}");
        let text = problem("[clouds.a]\nprovider = \"local\"\n[clouds.a.calls]\nattemps = 5\n");
        assert!(text.contains("attemps") && text.contains("attempts"), "{text}");
    }

    #[cfg(feature = "local")]
    #[tokio::test]
    async fn what_is_relative_to_the_file_is_not_relative_to_the_process() {
        let folder = tempfile::tempdir_in(".").unwrap();
        let relative = Path::new(folder.path().file_name().unwrap()).join("clouds.toml");
        let text = "[clouds.a]\nprovider = \"local\"\nroot = \"data\"\nregions = [\"here\"]\n";
        std::fs::write(&relative, text).unwrap();
        let clouds = connect(&relative).await.unwrap();
        let native = clouds.iter().next().unwrap().native();
        let local = native.downcast::<cloud_local::LocalCloud>();
        // Behind its interceptors the cloud still hands out itself.
        assert!(local.unwrap().config().root.is_absolute());
    }

    #[tokio::test]
    async fn a_provider_without_adapter_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clouds.toml");
        std::fs::write(&path, "[clouds.a]\nprovider = \"other\"\n").unwrap();
        let error = connect(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("clouds.a"), "{error}");
        let missing = connect(folder.path().join("none.toml")).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(missing.to_string().contains("none.toml"), "{missing}");
    }
}
