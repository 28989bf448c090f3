//! Copying and measuring files and folders.

use std::{fs, path::Path};

use cloud_core::Result;

use crate::error::io_error;

/// Copies a folder with all that is in it, to the disk; each copy is handed to `give`, which may change its owner. Blocks.
///
/// # Errors
/// Any of this machine's; a part may have been copied then.
#[cfg(feature = "postgres")]
pub(crate) fn copy_tree(from: &Path, to: &Path, give: &dyn Fn(&Path) -> Result<()>) -> Result<()> {
    let mode = fs::metadata(from).map_err(io_error("look at", from))?.permissions();
    fs::create_dir(to).map_err(io_error("make the folder", to))?;
    for entry in fs::read_dir(from).map_err(io_error("list", from))? {
        let entry = entry.map_err(io_error("list", from))?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(io_error("look at", &from))?.is_dir() {
            copy_tree(&from, &to, give)?;
        } else {
            copy_file(&from, &to)?;
            give(&to)?;
        }
    }
    fs::set_permissions(to, mode).map_err(io_error("close", to))?;
    give(to)
}

/// Copies a file with its mode, to the disk. Blocks.
pub(crate) fn copy_file(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map_err(io_error("copy to", to))?;
    sync(to)
}

/// Waits until a file is on the disk. Blocks.
pub(crate) fn sync(file: &Path) -> Result<()> {
    fs::File::open(file).and_then(|file| file.sync_all()).map_err(io_error("write", file))
}

/// The bytes of all files below a folder. Blocks.
pub(crate) fn tree_size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).map_err(io_error("list", folder))? {
        let entry = entry.map_err(io_error("list", folder))?;
        let path = entry.path();
        let about = entry.metadata().map_err(io_error("look at", &path))?;
        bytes += if about.is_dir() { tree_size(&path)? } else { about.len() };
    }
    Ok(bytes)
}
