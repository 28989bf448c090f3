//! What instances print: one file each, appended to by every start, and cut to its end when it has become long.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use bytes::Bytes;
use cloud_core::Result;

use crate::error::io_error;

/// How much of it is handed out.
const CONSOLE_BYTES: u64 = 64 * 1024;

/// How long the file may become before only that end of it is kept.
const MOST_BYTES: u64 = 16 << 20;

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
    end_of(&mut file).map(Bytes::from).map_err(io_error("read", path))
}

/// Cuts a file that has become too long down to what [`tail`] hands out. The instance writes on meanwhile; what it
/// writes in that very moment may be lost.
pub(super) fn trim(path: &Path) -> Result<()> {
    let cut = || {
        let mut file = OpenOptions::new().read(true).append(true).open(path)?;
        // Another process that watches the instance may be at it.
        if file.metadata()?.len() <= MOST_BYTES || file.try_lock().is_err() {
            return Ok(());
        }
        if file.metadata()?.len() > MOST_BYTES {
            let end = end_of(&mut file)?;
            file.set_len(0)?;
            file.write_all(&end)?;
        }
        Ok(())
    };
    cut().map_err(io_error("cut", path))
}

fn end_of(file: &mut File) -> std::io::Result<Vec<u8>> {
    let start = file.metadata()?.len().saturating_sub(CONSOLE_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut end = Vec::new();
    file.take(CONSOLE_BYTES).read_to_end(&mut end)?;
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_console_is_cut_to_its_end_while_it_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let mut instance = open(folder.path()).unwrap();
        instance.write_all(b"first line\n").unwrap();
        trim(&path).unwrap();
        assert_eq!(tail(&path).unwrap(), "first line\n");
        instance.write_all(&vec![b'.'; MOST_BYTES as usize]).unwrap();
        trim(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), CONSOLE_BYTES);
        // The instance has the same file still, and goes on at its new end.
        instance.write_all(b"last line\n").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), CONSOLE_BYTES + 10);
        assert!(tail(&path).unwrap().ends_with(b".last line\n"));
    }
}
