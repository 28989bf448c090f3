//! Whether what arrived is what was sent.
//!
//! Most stores say the MD5 of what they keep. Where both sides do, comparing the two proves the whole way, from disk to
//! disk, and costs nothing. Where one side does, the MD5 is computed from the bytes as they pass.

use cloud_core::{ContentMd5, ETagMeaning, Error, ErrorKind, ObjectTraits, Result};
use md5::{Digest as _, Md5};
use object_store::PutResult;
use serde::{Deserialize, Serialize};

use crate::sync::entry::{Seen, Tag};

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
    pub(super) fn new(source: &Seen, target: &ObjectTraits) -> Self {
        let known = source.tag.md5().is_some();
        Self((known != says_md5(target)).then(Md5::new))
    }

    /// For a body that is not the source's own, of which only the target can say the MD5.
    pub(super) fn of_target(target: &ObjectTraits) -> Self {
        Self(says_md5(target).then(Md5::new))
    }

    /// For a body that is not written as it was read.
    pub(super) fn reading(source: &Seen) -> Self {
        Self(source.tag.md5().map(|_| Md5::new()))
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

/// Compares what source, passing bytes and target say.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) if they contradict each other.
pub(super) fn verify(
    source: &Tag,
    passed: Option<ContentMd5>,
    target: &ObjectTraits,
    result: &PutResult,
) -> Result<Verified> {
    let tag = Tag::new(result.e_tag.as_deref(), target.e_tag);
    let wrote = tag.md5().or(result.extensions.get::<ContentMd5>().copied());
    let read = source.md5();
    self::read(source, passed)?;
    match (read, passed, wrote) {
        (Some(read), _, Some(wrote)) if read == wrote => Ok(Verified::EndToEnd),
        (None, Some(passed), Some(wrote)) if passed == wrote => Ok(Verified::OneSide),
        (Some(_), _, Some(_)) | (None, Some(_), Some(_)) => {
            // With a customer's key, 32 digits are no MD5: what the store has checked is worth more than what it says.
            match target.put_checks_md5 && read.is_some() {
                true => Ok(Verified::EndToEnd),
                false => Err(corrupt("what the target says that it has is not what was sent")),
            }
        }
        (Some(_), Some(_), None) => Ok(Verified::OneSide),
        _ if source.same_content(&tag) => Ok(Verified::EndToEnd),
        _ => Ok(Verified::Length),
    }
}

/// Compares what passed with what the source says; whether it says anything.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) if they differ.
pub(super) fn read(source: &Tag, passed: Option<ContentMd5>) -> Result<bool> {
    match (source.md5(), passed) {
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
