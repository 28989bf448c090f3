//! Why a key is treated as it is, in words.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// Why a key is treated as it is. `Display` says it in words.
        ///
        /// ```
        /// use cloud_patterns::sync::Reason;
        /// assert_eq!(Reason::NotAtSource.to_string(), "not at the source (mirror)");
        /// assert!(Reason::ConflictTie.is_conflict());
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Reason {
            $(#[doc = concat!($text, ".")] $(#[$doc])* $name,)*
        }

        impl fmt::Display for Reason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self {
                    $(Self::$name => $text,)*
                })
            }
        }
    };
}

reasons! {
    NewAtSource => "new at the source",
    NewAtTarget => "new at the target",
    SizeChanged => "its size changed since the last sync",
    ChecksumChanged => "its checksum changed since the last sync",
    TagChanged => "its tag changed since the last sync",
    TimeChanged => "its time changed since the last sync",
    MissingAtTarget => "no longer at the target",
    ForcedFull => "a full copy was asked for",
    NotComparable => "never synced, and the sides have no checksum in common",
    UnchangedSinceLastSync => "unchanged since the last sync",
    SameChecksum => "the same by size and checksum",
    SameSize => "the same by size",
    SameSizeAndTime => "the same by size and time",
    DeletedAtSource => "deleted at the source since the last sync",
    DeletedAtTarget => "deleted at the target since the last sync",
    NotAtSource => "not at the source (mirror)",
    OnlyAtTarget => "only at the target, and this mode deletes nothing",
    ConflictCopy => "kept as the copy of a conflict",
    GoneOnBoth => "gone on both sides",
    ChangedAtSourceDeletedAtTarget => "deleted at the target, but changed at the source since the last sync",
    ChangedAtTargetDeletedAtSource => "deleted at the source, but changed at the target since the last sync",
    TargetChangeUndone => "only the target changed since the last sync: undone",
    TargetChangeKept => "only the target changed since the last sync: kept because the target is newer or wins",
    ConflictSourceWins => "conflict: both sides changed, the source wins",
    ConflictTargetWins => "conflict: both sides changed, the target wins",
    ConflictSourceNewer => "conflict: both sides changed, the source is newer",
    ConflictTargetNewer => "conflict: both sides changed, the target is newer",
    ConflictTie => "conflict: both sides changed at the same time, as far as the clocks tell",
    ConflictClocksOff => "conflict: both sides changed, and a clock is too far off to tell which is newer",
    ConflictKeepBoth => "conflict: both sides are kept",
    ConflictFails => "conflict: the sides differ and the policy resolves nothing",
}

impl Reason {
    /// Whether the sides changed against each other, whoever won.
    pub fn is_conflict(self) -> bool {
        matches!(
            self,
            Self::ConflictSourceWins
                | Self::ConflictTargetWins
                | Self::ConflictSourceNewer
                | Self::ConflictTargetNewer
                | Self::ConflictTie
                | Self::ConflictClocksOff
                | Self::ConflictKeepBoth
                | Self::ConflictFails
        )
    }
}
