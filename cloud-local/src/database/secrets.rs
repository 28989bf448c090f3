//! The passwords of a cluster's roles, in a file that only its owner may read.

use std::{io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use cloud_core::{Error, ErrorKind, Result, SecretString, secret::ExposeSecret};
use serde::{Deserialize, Serialize, Serializer};

use crate::{error::io_error, state::read_json};

/// The passwords of one cluster; its snapshots, restored copies and replicas share them, because the roles are in the data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Secrets {
    /// Of the superuser, who is us.
    #[serde(serialize_with = "expose")]
    pub(crate) admin: SecretString,
    /// Of the role that replicas connect as.
    #[serde(serialize_with = "expose")]
    pub(crate) replication: SecretString,
    /// Of the database's owner.
    #[serde(serialize_with = "expose")]
    pub(crate) owner: SecretString,
}

fn expose<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

impl Secrets {
    /// Three passwords from the operating system's randomness, or the owner's as it is asked for.
    pub(crate) fn generate(owner: Option<SecretString>) -> Result<Self> {
        Ok(Self {
            admin: password()?,
            replication: password()?,
            owner: match owner {
                Some(given) => given,
                None => password()?,
            },
        })
    }

    pub(crate) fn read(file: &Path) -> Result<Self> {
        read_json(file)?.ok_or_else(|| {
            let message = format!("the passwords' file {} is gone", file.display());
            Error::new(ErrorKind::Corrupt, message)
        })
    }

    /// Writes them; the file's folder is given away as a whole.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string(self).map_err(|e| {
            Error::new(ErrorKind::Internal, format!("cannot encode passwords: {e}"))
        })?;
        write_private(file, &text)
    }

    /// A password file for libpq's programs: they take the replication role's password from it.
    pub(crate) fn write_pgpass(&self, file: &Path) -> Result<()> {
        // Ours are of letters and digits, so nothing has to be escaped.
        write_private(file, &format!("*:*:*:*:{}\n", self.replication.expose_secret()))
    }
}

/// 32 letters and digits: 190 bits.
fn password() -> Result<SecretString> {
    use rand::{TryRng, rngs::SysRng};
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(32);
    while text.len() < 32 {
        let mut bytes = [0; 64];
        SysRng.try_fill_bytes(&mut bytes).map_err(|e| {
            Error::new(ErrorKind::Internal, format!("no randomness to be had: {e}"))
        })?;
        // What lies beyond 62 is thrown away: every letter is as likely as any other.
        let letters = bytes.iter().filter_map(|b| LETTERS.get(usize::from(b >> 2)));
        text.extend(letters.map(|b| char::from(*b)).take(32 - text.len()));
    }
    Ok(text.into())
}

/// Writes a file that nobody else may read, on the disk when this returns.
pub(crate) fn write_private(file: &Path, text: &str) -> Result<()> {
    let mut open = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(file)
        .map_err(io_error("write", file))?;
    open.write_all(text.as_bytes()).and_then(|()| open.sync_all()).map_err(io_error("write", file))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn passwords_are_long_different_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secrets.json");
        let secrets = Secrets::generate(None).unwrap();
        secrets.write(&file).unwrap();
        let back = Secrets::read(&file).unwrap();
        let all = [&back.admin, &back.replication, &back.owner].map(|s| s.expose_secret());
        assert!(all.iter().all(|p| p.len() == 32 && p.bytes().all(|b| b.is_ascii_alphanumeric())));
        assert!(all[0] != all[1] && all[1] != all[2]);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{secrets:?}").contains(all[2]));
    }
}
