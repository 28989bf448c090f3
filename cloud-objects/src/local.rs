//! Folders of this machine.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use cloud_core::{Error, ErrorKind, ObjectLocation, Provider, Result, Transport};
use object_store::local::LocalFileSystem;

use crate::OpenOptions;

pub(crate) async fn open(folder: &Path, options: &OpenOptions) -> Result<ObjectLocation> {
    let (folder, options) = (folder.to_owned(), options.clone());
    let opening = tokio::task::spawn_blocking(move || open_now(&folder, &options));
    opening.await.map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?
}

fn open_now(folder: &Path, options: &OpenOptions) -> Result<ObjectLocation> {
    let at = |error: std::io::Error| Error::from(error).context(folder.display());
    if options.create {
        std::fs::create_dir_all(folder).map_err(at)?;
    }
    let folder = folder.canonicalize().map_err(at)?;
    if !folder.is_dir() {
        return Err(Error::invalid(
            "url",
            format!("names {}, a file", folder.display()),
            "a folder",
        ));
    }
    let ignores_case = options.probe_case && ignores_case(&folder).map_err(at)?;
    let store = LocalFileSystem::new_with_prefix(&folder)?.with_fsync(options.durable);
    let name = format!("file://{}", folder.display());
    let mut location = ObjectLocation::new(&name, std::sync::Arc::new(store), Default::default());
    let traits = &mut location.traits;
    traits.provider = Provider::Local;
    traits.transport = Transport::Local;
    traits.ignores_case = ignores_case;
    traits.copy_scope = Some(name);
    traits.clock.set(Default::default());
    Ok(location)
}

/// Writes a file under one name and looks for it under another. It is removed in any case.
fn ignores_case(folder: &Path) -> std::io::Result<bool> {
    struct Removed(PathBuf);
    impl Drop for Removed {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }
    static PROBES: AtomicU64 = AtomicU64::new(0);
    let number = PROBES.fetch_add(1, Ordering::Relaxed);
    let name = format!(".case-probe-{}-{number}", std::process::id());
    let probe = Removed(folder.join(&name));
    std::fs::File::create_new(&probe.0)?;
    Ok(folder.join(name.to_ascii_uppercase()).exists())
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt, path::Path};

    use super::*;

    #[tokio::test]
    async fn a_folder_is_created_when_asked_and_the_probe_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        let mut options = OpenOptions::default();
        let missing = open(&folder, &options).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        options.create = true;
        options.probe_case = true;
        let location = open(&folder, &options).await.unwrap();
        assert!(!location.traits.ignores_case);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        location.store.put(&Path::from("x/y"), "z".into()).await.unwrap();
        assert_eq!(std::fs::read_to_string(folder.join("x/y")).unwrap(), "z");
        let file = open(&folder.join("x/y"), &OpenOptions::default()).await.unwrap_err();
        assert!(file.to_string().contains("a file"), "{file}");
    }
}
