//! The profiles of AWS's own tools: `~/.aws/credentials` and `~/.aws/config`.

use std::{collections::HashMap, env, path::PathBuf};

use cloud_core::{Error, ErrorKind, Result, SecretString};

/// What of a profile is used here.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    pub(crate) keys: Option<Keys>,
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<String>,
}

/// Static keys.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) id: String,
    pub(crate) secret: SecretString,
    pub(crate) session: Option<SecretString>,
}

impl Profile {
    /// The profile `name`, else that of `AWS_PROFILE`, else `default`. One that was not asked for by name may be absent.
    ///
    /// # Errors
    /// `NotFound` for a profile that was asked for; `Unauthenticated` for one whose keys would have to be fetched in a way
    /// that is not supported.
    pub(crate) async fn load(name: Option<&str>) -> Result<Self> {
        let asked = name.map(str::to_owned).or_else(|| variable("AWS_PROFILE"));
        let credentials = read("AWS_SHARED_CREDENTIALS_FILE", "credentials").await?;
        let config = read("AWS_CONFIG_FILE", "config").await?;
        Self::of(&credentials, &config, asked.as_deref())
    }

    fn of(credentials: &str, config: &str, asked: Option<&str>) -> Result<Self> {
        let name = asked.unwrap_or("default");
        let from_config = section(config, |header| {
            header == name && name == "default"
                || header.strip_prefix("profile ").map(str::trim) == Some(name)
        });
        let from_credentials = section(credentials, |header| header == name);
        if from_config.is_none() && from_credentials.is_none() {
            return match asked {
                Some(name) => Err(Error::not_found(format!("profile {name} in ~/.aws"))),
                None => Ok(Self::default()),
            };
        }
        // Where both say something, the file of credentials holds.
        let mut values = from_config.unwrap_or_default();
        values.extend(from_credentials.unwrap_or_default());
        let keys =
            match (values.remove("aws_access_key_id"), values.remove("aws_secret_access_key")) {
                (Some(id), Some(secret)) => {
                    let session = values.remove("aws_session_token").map(SecretString::from);
                    Some(Keys { id, secret: secret.into(), session })
                }
                (None, None) => None,
                _ => {
                    let problem = format!("profile {name} has one half of an access key");
                    return Err(Error::new(ErrorKind::Unauthenticated, problem)
                        .with_hint("give it both aws_access_key_id and aws_secret_access_key"));
                }
            };
        let fetched = [
            "sso_session",
            "sso_start_url",
            "role_arn",
            "credential_process",
            "source_profile",
            "login_session",
        ];
        if keys.is_none()
            && let Some(setting) = fetched.into_iter().find(|&setting| values.contains_key(setting))
        {
            let problem =
                format!("profile {name} gets its keys by {setting}, which is not supported here");
            return Err(Error::new(ErrorKind::Unauthenticated, problem).with_hint(
                "export keys for it: eval \"$(aws configure export-credentials --format env)\"",
            ));
        }
        Ok(Self { keys, region: values.remove("region"), endpoint: values.remove("endpoint_url") })
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// A file of the tools, or nothing if there is none.
async fn read(variable_name: &str, file: &str) -> Result<String> {
    let path = match variable(variable_name) {
        Some(path) => PathBuf::from(path),
        None => match env::home_dir() {
            Some(home) => home.join(".aws").join(file),
            None => return Ok(String::new()),
        },
    };
    match tokio::fs::read_to_string(&path).await {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Error::from(error).context(path.display())),
    }
}

/// The values of the first section whose header fits. Indented lines belong to a nested setting and are left out.
fn section(text: &str, fits: impl Fn(&str) -> bool) -> Option<HashMap<String, String>> {
    let mut values: Option<HashMap<String, String>> = None;
    let mut inside = false;
    for line in text.lines() {
        if line.trim().is_empty() || line.starts_with(['#', ';', ' ', '\t']) {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            inside = fits(header.split(']').next().unwrap_or_default().trim());
            if inside {
                values.get_or_insert_default();
            }
        } else if let (true, Some((name, value)), Some(values)) =
            (inside, line.split_once('='), &mut values)
        {
            // A comment begins with white space and '#'.
            let value =
                [" #", "\t#", " ;"].iter().fold(value, |v, mark| v.split(mark).next().unwrap_or(v));
            values.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use cloud_core::secret::ExposeSecret;

    use super::*;

    const CREDENTIALS: &str = "# mine\n[default]\naws_access_key_id = AKIA1\naws_secret_access_key=s=1 # old\n\n\
        [work]\naws_access_key_id=AKIA2\naws_secret_access_key=s2\naws_session_token=t2\n[half]\naws_access_key_id=X\n";
    const CONFIG: &str = "[default]\nregion = eu-west-1\ns3 =\n  endpoint_url = nested\n\
        [profile work]\nregion=us-east-2\nendpoint_url = https://example.com\n[profile login]\nsso_session = x\n";

    #[test]
    fn reads_static_keys_and_region_of_both_files() {
        let default = Profile::of(CREDENTIALS, CONFIG, None).unwrap();
        let keys = default.keys.unwrap();
        assert_eq!((keys.id.as_str(), keys.secret.expose_secret()), ("AKIA1", "s=1"));
        assert_eq!((default.region.as_deref(), default.endpoint), (Some("eu-west-1"), None));
        let work = Profile::of(CREDENTIALS, CONFIG, Some("work")).unwrap();
        assert_eq!(work.keys.unwrap().session.unwrap().expose_secret(), "t2");
        assert_eq!(work.endpoint.as_deref(), Some("https://example.com"));
    }

    #[test]
    fn says_what_it_cannot_do() {
        let error = |name| Profile::of(CREDENTIALS, CONFIG, Some(name)).unwrap_err();
        assert_eq!(error("none").kind(), ErrorKind::NotFound);
        assert!(error("login").message().contains("sso_session"));
        assert!(error("half").message().contains("one half"));
        assert!(Profile::of("", "", None).unwrap().keys.is_none());
    }
}
