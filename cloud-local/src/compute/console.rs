//! What instances print: one file each, appended to by every start.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use bytes::Bytes;
use cloud_core::Result;

use crate::error::io_error;

/// How much of it is handed out.
const CONSOLE_BYTES: u64 = 64 * 1024;

/// Opens the console in the folder of an instance, to be written to.
pub(super) fn open(folder: &Path) -> Result<File> {
    let path = folder.join("console.log");
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .map_err(io_error("open", &path))
}

/// The end of what was written.
pub(super) fn tail(path: &Path) -> Result<Bytes> {
    let mut file = File::open(path).map_err(io_error("read", path))?;
    let length = file.metadata().map_err(io_error("read", path))?.len();
    let start = length.saturating_sub(CONSOLE_BYTES);
    file.seek(SeekFrom::Start(start))
        .map_err(io_error("read", path))?;
    let mut end = Vec::new();
    file.take(CONSOLE_BYTES)
        .read_to_end(&mut end)
        .map_err(io_error("read", path))?;
    Ok(end.into())
}
