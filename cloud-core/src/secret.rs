//! Secrets: values that never reach logs, errors, plans or the journal.
//!
//! A value is a [`SecretString`] (its `Debug` is redacted, it is not serialisable, its memory is wiped). What has to
//! be written down, in a spec or a plan, is not the secret but a [`SecretRef`]: where to find it when it is needed.

use std::path::PathBuf;

pub use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Error, Result, text::check_text};

/// Where a secret is to be had at the moment it is needed. Safe to serialise: it names, it does not contain.
///
/// ```
/// use cloud_core::{SecretRef, secret::ExposeSecret};
/// let reference: SecretRef = serde_json::from_str(r#"{"env": "CARGO_PKG_NAME"}"#).unwrap();
/// assert_eq!(reference.resolve().unwrap().expose_secret(), "cloud-core");
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretRef {
    /// An environment variable of this process.
    Env(String),
    /// A file; one trailing line break is not part of the secret.
    File(PathBuf),
    /// The secret itself, for a spec that is built in memory and used at once. It is written as `"***"` and
    /// cannot be read back.
    #[serde(serialize_with = "redact", deserialize_with = "refuse")]
    Value(SecretString),
}

fn redact<S: Serializer>(_: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("***")
}

fn refuse<'de, D: Deserializer<'de>>(_: D) -> Result<SecretString, D::Error> {
    Err(de::Error::custom(
        "a secret cannot be read from here; accepted: {\"env\": \"NAME\"} or {\"file\": \"PATH\"}",
    ))
}

impl PartialEq for SecretRef {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Env(a), Self::Env(b)) => a == b,
            (Self::File(a), Self::File(b)) => a == b,
            (Self::Value(a), Self::Value(b)) => a.expose_secret() == b.expose_secret(),
            _ => false,
        }
    }
}

impl SecretRef {
    /// Reads the secret. A file is read at once and on the calling thread: call this from
    /// `spawn_blocking` if the file may be on a slow file system.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the variable or file is absent, empty or not UTF-8.
    pub fn resolve(&self) -> Result<SecretString> {
        let (what, text) = match self {
            Self::Value(secret) => return Ok(secret.clone()),
            Self::Env(name) => {
                check_text("secret env", name, 255)?;
                let what = format!("environment variable {name}");
                let text = std::env::var(name)
                    .map_err(|_| Error::invalid(&what, "is not set or not UTF-8", "a text"))?;
                (what, text)
            }
            Self::File(path) => {
                let what = format!("secret file {}", path.display());
                let text = std::fs::read_to_string(path).map_err(|e| {
                    Error::invalid(&what, format_args!("is unreadable: {e}"), "a UTF-8 file")
                })?;
                let text = text
                    .strip_suffix("\r\n")
                    .or_else(|| text.strip_suffix('\n'))
                    .unwrap_or(&text)
                    .to_owned();
                (what, text)
            }
        };
        if text.is_empty() {
            return Err(Error::invalid(&what, "is empty", "a non-empty text"));
        }
        Ok(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_never_gets_out() {
        let secret = SecretRef::Value("hunter2".into());
        assert_eq!(serde_json::to_string(&secret).unwrap(), r#"{"value":"***"}"#);
        assert!(!format!("{secret:?}").contains("hunter2"));
        let read = serde_json::from_str::<SecretRef>(r#"{"value":"***"}"#);
        assert!(read.unwrap_err().to_string().contains("accepted"));
    }

    #[test]
    fn a_file_loses_one_line_break_only() {
        let path = std::env::temp_dir().join(format!("secret-{}", std::process::id()));
        std::fs::write(&path, "a b\n\n").unwrap();
        let secret = SecretRef::File(path.clone()).resolve().unwrap();
        assert_eq!(secret.expose_secret(), "a b\n");
        std::fs::write(&path, "\n").unwrap();
        assert!(SecretRef::File(path.clone()).resolve().is_err());
        std::fs::remove_file(path).unwrap();
    }
}
