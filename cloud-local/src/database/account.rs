//! The account that PostgreSQL's programs run under: ours, or another one where we are root, as they refuse to run as that.
//!
//! The other account has to reach the files that are made for it, so each folder of ours on the way is opened for passing
//! through (mode 0711: nobody can list it, and the files in it stay closed). A folder that is not ours is never changed.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
};

use cloud_core::{Error, ErrorKind, Result};
use sysinfo::Users;
use tokio::process::Command;

use crate::error::io_error;

/// Those that are looked for, in this order.
const NAMES: [&str; 2] = ["postgres", "nobody"];

/// An account of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// `None` where PostgreSQL can run as who we are.
    ///
    /// # Errors
    /// `PermissionDenied` if we are root and there is nobody else.
    pub(crate) fn find() -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let users = Users::new_with_refreshed_list().map_err(|e| {
            Error::new(ErrorKind::Internal, format!("cannot list the accounts: {e}"))
        })?;
        let found = NAMES.iter().find_map(|name| {
            let user = users.iter().find(|u| u.name() == *name)?;
            Some(Self { name: (*name).to_owned(), uid: **user.id(), gid: *user.group_id() })
        });
        found.map(Some).ok_or_else(|| {
            let message =
                "PostgreSQL does not run as root, and there is no account 'postgres' or 'nobody'";
            Error::new(ErrorKind::PermissionDenied, message)
        })
    }

    /// Has the program run under this account.
    pub(crate) fn apply(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Gives it a file or an empty folder.
    pub(crate) fn give(&self, path: &Path) -> Result<()> {
        chown(path, Some(self.uid), Some(self.gid)).map_err(io_error("give away", path))
    }

    /// Lets it pass through the folders above `path`, those from `ours` on by changing them.
    ///
    /// # Errors
    /// `PermissionDenied`, naming a folder that is not ours and closed to it.
    pub(crate) fn let_through(&self, ours: &Path, path: &Path) -> Result<()> {
        for folder in path.ancestors().skip(1).filter(|f| !f.as_os_str().is_empty()) {
            let about = fs::metadata(folder).map_err(io_error("look at", folder))?;
            let mode = about.permissions().mode();
            let open = if about.uid() == self.uid {
                mode & 0o100
            } else if about.gid() == self.gid {
                mode & 0o010
            } else {
                mode & 0o001
            };
            if open != 0 {
                continue;
            }
            if !folder.starts_with(ours) {
                let (folder, name) = (folder.display(), &self.name);
                let message = format!(
                    "PostgreSQL does not run as root but as '{name}', and that may not pass through {folder}"
                );
                return Err(Error::new(ErrorKind::PermissionDenied, message).with_hint(format!(
                    "chmod o+x {folder}, use a data folder elsewhere, or run as another user than root"
                )));
            }
            let wider = fs::Permissions::from_mode((mode & 0o7777) | 0o011);
            fs::set_permissions(folder, wider).map_err(io_error("open", folder))?;
        }
        Ok(())
    }
}
