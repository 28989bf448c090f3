//! Files and folders that are private to their owner, and there in full or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use cloud_core::{Error, ErrorKind, Result};
use serde::{Serialize, de::DeserializeOwned};

use crate::error::{corrupt, io_error};

/// Makes a folder and those above it, for the owner only.
pub(crate) fn make_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(io_error("make the folder", path))
}

/// What is in a folder; nothing if it is not there.
pub(crate) fn read_dir(path: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(io_error("list", path))?,
    };
    entries.map(|entry| Ok(entry.map_err(io_error("list", path))?.path())).collect()
}

/// Waits for the lock of a file, across processes, and holds it until the returned handle is dropped. A child
/// between its fork and its exec holds it too, so whoever gets it after a crash sees every process that was started.
pub(crate) fn lock_file(path: &Path) -> Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(io_error("open", path))?;
    file.lock().map_err(io_error("lock", path))?;
    Ok(file)
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(io_error("read", path))?,
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|e| corrupt(path, format_args!("is unreadable: {e}")))
}

/// Writes a file that is either there in full, on the disk, or not at all.
pub(crate) fn write_json(tmp: &Path, path: &Path, value: &impl Serialize) -> Result<()> {
    let bytes = serde_json::to_vec_pretty(value).map_err(|e| {
        Error::new(ErrorKind::Internal, format!("cannot encode {}: {e}", path.display()))
    })?;
    let dir = path.parent().unwrap_or(tmp);
    make_dir(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(tmp).map_err(io_error("write in", tmp))?;
    file.write_all(&bytes).map_err(io_error("write", path))?;
    file.as_file().sync_all().map_err(io_error("write", path))?;
    file.persist(path).map_err(|e| io_error("write", path)(e.error))?;
    sync_dir(dir)
}

/// Makes what was renamed or removed in a folder last.
fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("write", dir))
}

pub(super) fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(io_error("remove", path)),
    }
}

pub(crate) fn remove_if_there(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        other => {
            other.map_err(io_error("remove", path))?;
            sync_dir(path.parent().unwrap_or(path))?;
            Ok(true)
        }
    }
}
