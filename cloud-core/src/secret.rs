//! Secrets: values that never reach logs, errors, plans or the journal.
//!
//! A value is a [`SecretString`] (its `Debug` is redacted, it is not serialisable, its memory is wiped). What has to
//! be written down, in a spec or a plan, is not the secret but a [`SecretRef`]: where to find it when it is needed.

use std::path::PathBuf;

pub use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::{Error, Result, text::check_text};

/// Where a secret is to be had at the moment it is needed. Safe to serialise: it names, it does not contain.
///
/// ```
/// use cloud_core::{SecretRef, secret::ExposeSecret};
/// let reference: SecretRef = serde_json::from_str(r#"{"env": "CARGO_PKG_NAME"}"#).unwrap();
/// assert_eq!(reference.resolve().unwrap().expose_secret(), "cloud-core");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretRef {
    /// An environment variable of this process.
    Env(String),
    /// A file; one trailing line break is not part of the secret.
    File(PathBuf),
}

impl SecretRef {
    /// Reads the secret. A file is read at once and on the calling thread: call this from
    /// `spawn_blocking` if the file may be on a slow file system.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the variable or file is absent, empty or not UTF-8.
    pub fn resolve(&self) -> Result<SecretString> {
        let (what, text) = match self {
            Self::Env(name) => {
                check_text("secret env", name, 255)?;
                let what = format!("environment variable {name}");
                let text = std::env::var(name).map_err(|_| {
                    Error::invalid(&what, "is not set or not UTF-8", "a text")
                })?;
                (what, text)
            }
            Self::File(path) => {
                let what = format!("secret file {}", path.display());
                let text = std::fs::read_to_string(path)
                    .map_err(|e| Error::invalid(&what, format_args!("is unreadable: {e}"), "a UTF-8 file"))?;
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
