//! Object keys as paths of files, so that every key has one and no two share one.
//!
//! Each part of a key between slashes becomes a folder with `.d` behind its name, the last one a file with `.o`. So `a` and
//! `a/b` can both exist, and no part is ever `.` or `..`. A part that is too long for a file name is cut into folders with
//! `.c` and what remains.

use std::{
    fs,
    path::{Path as FsPath, PathBuf},
};

use cloud_core::{Error, Result};
use object_store::path::Path;

use super::MAX_KEY_BYTES;
use crate::{error::corrupt, state::read_dir};

/// File names may have 255 bytes; two are for the suffix.
const MAX_PART_BYTES: usize = 253;

/// Refuses what no file can stand for.
pub(super) fn check(key: &Path) -> Result<()> {
    let text = key.as_ref();
    if text.is_empty() {
        return Err(Error::invalid("object key", "is empty", "1 to 1024 bytes"));
    }
    if text.len() > MAX_KEY_BYTES {
        let problem = format!("has {} bytes", text.len());
        return Err(Error::invalid("object key", problem, "1 to 1024 bytes"));
    }
    if text.contains('\0') {
        return Err(Error::invalid("object key", "contains a NUL character", "any other"));
    }
    Ok(())
}

/// The file of an object, relative to the folder of keys.
pub(super) fn file(key: &Path) -> PathBuf {
    encode(key, "o")
}

/// The folder of all that is below a prefix, or of the versions of an object.
pub(super) fn folder(prefix: &Path) -> PathBuf {
    encode(prefix, "d")
}

fn encode(key: &Path, last: &str) -> PathBuf {
    let mut path = PathBuf::new();
    let mut parts = key.as_ref().split('/').filter(|part| !part.is_empty()).peekable();
    while let Some(mut part) = parts.next() {
        while part.len() > MAX_PART_BYTES {
            let cut = (0..=MAX_PART_BYTES).rev().find(|i| part.is_char_boundary(*i));
            let (piece, rest) = part.split_at(cut.unwrap_or(MAX_PART_BYTES));
            path.push(format!("{piece}.c"));
            part = rest;
        }
        let suffix = if parts.peek().is_some() { "d" } else { last };
        path.push(format!("{part}.{suffix}"));
    }
    path
}

/// What one folder of keys holds.
#[derive(Debug, Default)]
pub(super) struct Level {
    /// The objects: key and file, in order.
    pub(super) objects: Vec<(String, PathBuf)>,
    /// What is below: prefix and folder, in order.
    pub(super) below: Vec<(String, PathBuf)>,
    /// Files with another ending, for the caller to know.
    pub(super) others: Vec<PathBuf>,
}

/// Reads a folder whose keys begin with `prefix`. Nothing if it is not there. Blocks.
pub(super) fn level(folder: &FsPath, prefix: &str) -> Result<Level> {
    let mut level = Level::default();
    let start = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    read_level(folder, &start, &mut level)?;
    level.objects.sort_unstable();
    level.below.sort_unstable();
    level.others.sort_unstable();
    Ok(level)
}

fn read_level(folder: &FsPath, start: &str, level: &mut Level) -> Result<()> {
    for path in read_dir(folder)? {
        let name = path.file_name().and_then(|name| name.to_str());
        let Some((part, suffix)) = name.and_then(|name| name.rsplit_once('.')) else {
            return Err(corrupt(&path, "has a name that this cloud did not give it"));
        };
        let key = format!("{start}{part}");
        match suffix {
            "o" => level.objects.push((key, path)),
            "d" => level.below.push((key, path)),
            "c" => read_level(&path, &key, level)?,
            _ => level.others.push(path),
        }
    }
    Ok(())
}

/// Whether there is any file below a folder. Blocks.
pub(super) fn any(folder: &FsPath) -> Result<bool> {
    for path in read_dir(folder)? {
        if !path.is_dir() || any(&path)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes the folders above a removed file that are empty now.
pub(super) fn prune(file: &FsPath, root: &FsPath) {
    let above = file.ancestors().skip(1).take_while(|dir| *dir != root);
    for dir in above {
        if fs::remove_dir(dir).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn put(root: &FsPath, key: &Path) {
        let path = root.join(file(key));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    fn walk(folder: &FsPath, prefix: &str, found: &mut BTreeSet<String>) {
        let level = level(folder, prefix).unwrap();
        found.extend(level.objects.into_iter().map(|(key, _)| key));
        for (prefix, folder) in level.below {
            walk(&folder, &prefix, found);
        }
    }

    #[test]
    fn hostile_keys_stay_inside_and_apart() {
        let root = tempfile::tempdir().unwrap();
        let keys = [
            "a",
            "a/b",
            "a.d",
            "a.d/b",
            "a.o",
            "a.o/x",
            "a#1",
            "..",
            "a/../../b",
            "größe/日本",
            ".hidden",
        ]
        .map(|k| Path::parse(k).unwrap_or_else(|_| Path::from(k)));
        let long = [Path::from("k".repeat(MAX_KEY_BYTES)), Path::from("ü".repeat(300))];
        let mut wanted = BTreeSet::new();
        for key in keys.iter().chain(&long) {
            put(root.path(), key);
            wanted.insert(key.to_string());
        }
        let mut found = BTreeSet::new();
        walk(root.path(), "", &mut found);
        assert_eq!(found, wanted);
    }

    proptest! {
        #[test]
        fn every_key_comes_back(keys in proptest::collection::btree_set("[a-c.#ü]{1,3}(/[a-cdo.]{1,3}){0,2}", 1..12)) {
            let root = tempfile::tempdir().unwrap();
            let keys: BTreeSet<String> = keys.iter().map(|k| Path::from(k.as_str()).to_string()).collect();
            for key in &keys {
                put(root.path(), &Path::parse(key).unwrap());
            }
            let mut found = BTreeSet::new();
            walk(root.path(), "", &mut found);
            prop_assert_eq!(found, keys);
        }
    }
}
