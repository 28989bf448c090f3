//! Whether what arrived is what was sent.
//!
//! Most stores say the MD5 of what they keep. Where both sides do, comparing the two proves the whole way, from disk to
//! disk, and costs nothing. Where one side does, the MD5 is computed from the bytes as they pass.

use cloud_core::{ContentMd5, ETagMeaning, Error, ErrorKind, ObjectTraits, Result};
use md5::{Digest as _, Md5};
use object_store::PutResult;
use serde::{Deserialize, Serialize};

use crate::sync::entry::Tag;

/// How far a copy was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verified {
    /// The number of bytes is right. Neither store says more.
    Length,
    /// What was read or what was written is what the store of that side says that it has.
    OneSide,
    /// What the target says that it has is what the source says that it has.
    EndToEnd,
}

/// The MD5 of the bytes that pass, where one side alone knows it.
#[derive(Clone, Debug, Default)]
pub(super) struct Passing(Option<Md5>);

impl Passing {
    pub(super) fn new(said: Option<ContentMd5>, target: &ObjectTraits) -> Self {
        Self((said.is_some() != says_md5(target)).then(Md5::new))
    }

    /// For a body that is not the source's own, of which only the target can say the MD5.
    pub(super) fn of_target(target: &ObjectTraits) -> Self {
        Self(says_md5(target).then(Md5::new))
    }

    /// For a body that is not written as it was read.
    pub(super) fn reading(said: Option<ContentMd5>) -> Self {
        Self(said.map(|_| Md5::new()))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        if let Some(md5) = &mut self.0 {
            md5.update(bytes);
        }
    }

    pub(super) fn finish(self) -> Option<ContentMd5> {
        self.0.map(|md5| ContentMd5(md5.finalize().into()))
    }
}

fn says_md5(target: &ObjectTraits) -> bool {
    target.e_tag == ETagMeaning::ContentMd5 || target.put_answers_md5
}

/// Compares what source, passing bytes and target say; `said` is the MD5 that the source says of the object.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) if they contradict each other.
pub(super) fn verify(
    said: Option<ContentMd5>,
    source: &Tag,
    passed: Option<ContentMd5>,
    target: &ObjectTraits,
    result: &PutResult,
) -> Result<Verified> {
    let meaning = result.extensions.get().copied().unwrap_or(target.e_tag);
    let tag = Tag::new(result.e_tag.as_deref(), meaning);
    let wrote = tag.md5().or(result.extensions.get::<ContentMd5>().copied());
    read(said, passed)?;
    match (said, passed, wrote) {
        (Some(read), _, Some(wrote)) if read == wrote => Ok(Verified::EndToEnd),
        (None, Some(passed), Some(wrote)) if passed == wrote => Ok(Verified::OneSide),
        (Some(_), _, Some(_)) | (None, Some(_), Some(_)) => {
            Err(corrupt("what the target says that it has is not what was sent"))
        }
        // It says nothing, and has refused anything else.
        (Some(_), _, None) if target.put_checks_md5 => Ok(Verified::EndToEnd),
        (Some(_), Some(_), None) => Ok(Verified::OneSide),
        _ if source.same_content(&tag) => Ok(Verified::EndToEnd),
        _ => Ok(Verified::Length),
    }
}

/// Compares what passed with what the source says; whether it says anything.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) if they differ.
pub(super) fn read(said: Option<ContentMd5>, passed: Option<ContentMd5>) -> Result<bool> {
    match (said, passed) {
        (Some(said), Some(passed)) if said != passed => {
            Err(corrupt("what was read is not what the source says that it has"))
        }
        (said, passed) => Ok(said.is_some() && passed.is_some()),
    }
}

pub(super) fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, what)
}

/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) if the numbers of bytes differ.
pub(super) fn check_length(announced: u64, got: u64) -> Result<()> {
    match announced == got {
        true => Ok(()),
        false => Err(corrupt(&format!("{got} of {announced} bytes came"))),
    }
}
