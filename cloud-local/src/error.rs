//! Errors of this machine as errors of a cloud.

use std::{fmt::Display, io, path::Path};

use cloud_core::{Effect, Error, ErrorKind};

/// Says what was tried with which file. A file of ours that should be there and is not is a corrupt state, never a
/// resource that does not exist.
pub(crate) fn io_error<'a>(
    what: impl Display + 'a,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> Error + 'a {
    move |error| {
        let plain = Error::from(io::Error::from(error.kind()));
        let kind = match plain.kind() {
            ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
            ErrorKind::StorageFull => ErrorKind::StorageFull,
            ErrorKind::NotFound => ErrorKind::Corrupt,
            _ => ErrorKind::Internal,
        };
        let message = format!("cannot {what} {}: {error}", path.display());
        let mapped = Error::new(kind, message).with_source(error);
        match plain.hint() {
            Some(hint) => mapped.with_hint(hint),
            None => mapped,
        }
    }
}

/// A file of the state that cannot be understood. It is left as it is.
pub(crate) fn corrupt(path: &Path, problem: impl Display) -> Error {
    let message = format!("the state file {} {problem}", path.display());
    Error::new(ErrorKind::Corrupt, message)
        .with_hint("restore it from a backup, or move it away if what it describes is of no use")
}

/// A task that did not come to its end.
pub(crate) fn join_error(error: tokio::task::JoinError) -> Error {
    let kind = if error.is_cancelled() { ErrorKind::Cancelled } else { ErrorKind::Internal };
    Error::new(kind, format!("a background task ended early: {error}")).with_effect(Effect::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_disk_says_is_told_with_the_file() {
        let path = Path::new("/data/x.json");
        for (io, kind) in [
            (io::ErrorKind::StorageFull, ErrorKind::StorageFull),
            (io::ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied),
            (io::ErrorKind::PermissionDenied, ErrorKind::PermissionDenied),
            // A missing file of ours must not look like a resource that does not exist.
            (io::ErrorKind::NotFound, ErrorKind::Corrupt),
            (io::ErrorKind::Other, ErrorKind::Internal),
        ] {
            let error = io_error("write", path)(io.into());
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().contains("cannot write /data/x.json"), "{error}");
        }
    }
}
