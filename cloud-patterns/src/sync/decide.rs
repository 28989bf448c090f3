//! What is done about one key: a pure function of what both sides have and what they last agreed on.

mod reason;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    entry::{Agreed, Entry, Seen},
    policy::{Comparison, ConflictResolution, SyncMode},
};

pub use reason::Reason;

/// What there is of one key.
///
/// ```
/// use cloud_patterns::sync::{Reason, Rules, Sides, decide};
/// assert_eq!(decide(&Sides::default(), &Rules::default()).reason, Reason::GoneOnBoth);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Sides<'a> {
    /// At the source.
    pub source: Option<&'a Entry>,
    /// At the target.
    pub target: Option<&'a Entry>,
    /// What both sides had when they were last the same.
    pub agreed: Option<&'a Agreed>,
}

/// By which rules it is decided. They are the same for all keys of a run.
///
/// ```
/// use cloud_patterns::sync::{Rules, SyncMode};
/// let rules = Rules { mode: SyncMode::Mirror, ..Rules::default() };
/// assert!(!rules.content_differs);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// What is made the same.
    pub mode: SyncMode,
    /// Who wins if both sides changed.
    pub conflict_resolution: ConflictResolution,
    /// What counts as a change.
    pub comparison: Comparison,
    /// Bodies are stored differently (compressed): sizes and tags of the two sides are never comparable, only each side's
    /// with what was agreed.
    pub content_differs: bool,
    /// How far the clocks of the sides are off.
    pub clocks: Clocks,
}

/// How far the clocks that the times of the two sides are from were ahead of ours when last seen.
/// `None` if nobody measured it; a store on this machine has [`SignedDuration::ZERO`].
///
/// ```
/// use cloud_patterns::sync::Clocks;
/// use jiff::SignedDuration;
///
/// let clocks = Clocks { source_ahead: Some(SignedDuration::from_secs(2)), ..Clocks::default() };
/// assert_eq!(clocks.target_ahead, None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// The source's.
    pub source_ahead: Option<SignedDuration>,
    /// The target's.
    pub target_ahead: Option<SignedDuration>,
}

/// What is done, and why.
///
/// ```
/// use cloud_patterns::sync::{Action, Decision, Reason};
///
/// let decision = Decision { action: Action::CopyToTarget, reason: Reason::NewAtSource };
/// let text = serde_json::to_string(&decision).unwrap();
/// assert_eq!(text, r#"{"action":"copy_to_target","reason":"new_at_source"}"#);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Decision {
    /// What is done.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

/// What is done about one key.
///
/// ```
/// use cloud_patterns::sync::Action;
/// assert_eq!(serde_json::to_string(&Action::KeepBoth).unwrap(), r#""keep_both""#);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing.
    Nothing,
    /// Both sides are the same, which is not yet known: it is taken down as agreed.
    Record,
    /// The source's is copied to the target.
    CopyToTarget,
    /// The target's is copied to the source.
    CopyToSource,
    /// The target's is deleted.
    DeleteTarget,
    /// The source's is deleted.
    DeleteSource,
    /// The target's is kept under its [`conflict_name`](super::conflict_name), then the source's is copied over it.
    KeepBoth,
    /// It is gone on both sides: what was agreed is dropped.
    Forget,
    /// A conflict that nobody resolves: nothing is changed, and the run ends as failed.
    Report,
}

/// Decides what is done about one key.
///
/// **The same.** Both sides are the same if neither changed since they were last agreed on, or if their sizes and their
/// checksums are equal. Tags of which one is not a checksum, or of different kinds, say nothing. By [`Comparison::Size`] equal sizes are enough. By
/// [`Comparison::SizeAndTime`] equal sizes and a target that is not older are enough, unless exactly one side changed since the
/// agreement; in a bidirectional sync the times have to be within 1 s.
///
/// **Changed** since the agreement is what has another size or tag (no tag: time), by `SizeAndTime` another size or time,
/// by `Size` another size.
///
/// **One-way modes** never write the source.
///
/// | source | target | what is done |
/// |---|---|---|
/// | new or changed | absent, or unchanged since agreed | it is copied |
/// | there | deleted | it is copied again |
/// | unchanged | changed | the target's change is kept if it wins (below), else undone |
/// | changed | changed | a conflict |
/// | there, nothing agreed | there, and different | a conflict |
/// | there, nothing agreed | there, cannot be compared | it is copied, unless the target wins, both are kept or a conflict fails |
/// | absent | there | `mirror` deletes it, else nothing is done |
/// | deleted | changed since agreed | `mirror` deletes it only if the source wins always |
///
/// A full copy does not compare at all. A mirror leaves the copies be that [`ConflictResolution::KeepBoth`] made.
///
/// **Bidirectional**: what changed on one side only, or was deleted on one side and is unchanged on the other, is done on
/// the other side. What was deleted on one side and changed on the other is copied back. What both changed, or both have without
/// an agreement, is a conflict unless it is surely the same.
///
/// **Conflicts** are decided by [`ConflictResolution`]. For the last one that was written, each time is corrected by how far the
/// side's clock is ahead. Times within 1 s are the same, as some stores keep whole seconds; within 61 s if a clock was not measured. Then in
/// a one-way mode the source wins, and a bidirectional sync reports the conflict. If a clock is more than 15 minutes
/// off, its times say nothing, and the conflict is reported in any mode. If only the target changed in a one-way mode, its
/// change is undone only if the source is surely the newer.
///
/// ```
/// use cloud_patterns::sync::{Action, Entry, Reason, Rules, Sides, Tag, decide};
///
/// let source = Entry { key: "a".into(), size: 3, modified: jiff::Timestamp::UNIX_EPOCH, tag: Tag::None };
/// let sides = Sides { source: Some(&source), ..Sides::default() };
/// let decision = decide(&sides, &Rules::default());
/// assert_eq!((decision.action, decision.reason), (Action::CopyToTarget, Reason::NewAtSource));
/// ```
pub fn decide(sides: &Sides<'_>, rules: &Rules) -> Decision {
    let (action, reason) = match rules.mode {
        SyncMode::Bidirectional => bidirectional(sides, rules),
        SyncMode::Full => full(sides),
        SyncMode::Incremental | SyncMode::Continuous | SyncMode::Mirror => one_way(sides, rules),
    };
    Decision { action, reason }
}

type Outcome = (Action, Reason);

fn full(sides: &Sides<'_>) -> Outcome {
    match sides.source {
        Some(_) => (Action::CopyToTarget, Reason::ForcedFull),
        None if sides.target.is_some() => (Action::Nothing, Reason::OnlyAtTarget),
        None => gone(sides.agreed),
    }
}

fn gone(agreed: Option<&Agreed>) -> Outcome {
    match agreed {
        Some(_) => (Action::Forget, Reason::GoneOnBoth),
        None => (Action::Nothing, Reason::GoneOnBoth),
    }
}

fn one_way(sides: &Sides<'_>, rules: &Rules) -> Outcome {
    let (source, target) = match (sides.source, sides.target) {
        (None, None) => return gone(sides.agreed),
        (Some(_), None) => return (Action::CopyToTarget, absent_at_target(sides.agreed)),
        (None, Some(target)) if rules.mode == SyncMode::Mirror => {
            return mirrored_away(target, sides.agreed, rules);
        }
        (None, Some(_)) => return (Action::Nothing, Reason::OnlyAtTarget),
        (Some(source), Some(target)) => (source, target),
    };
    if let Some(same) = same(source, target, sides.agreed, rules) {
        return same;
    }
    let Some(agreed) = sides.agreed else {
        return match comparable(source, target, rules) {
            true => conflict(source, target, rules),
            false => not_comparable(rules.conflict_resolution),
        };
    };
    let at_source = change(&agreed.source, source, rules.comparison);
    let at_target = change(&agreed.target, target, rules.comparison);
    match (at_source, at_target) {
        (Some(changed), None) => (Action::CopyToTarget, changed),
        (None, Some(_)) => drifted(source, target, rules),
        _ => conflict(source, target, rules),
    }
}

fn absent_at_target(agreed: Option<&Agreed>) -> Reason {
    if agreed.is_some() { Reason::MissingAtTarget } else { Reason::NewAtSource }
}

/// What a mirror does with what the source does not have.
fn mirrored_away(target: &Entry, agreed: Option<&Agreed>, rules: &Rules) -> Outcome {
    use ConflictResolution::{KeepBoth, SourceWins};
    let resolution = rules.conflict_resolution;
    match agreed {
        None if resolution == KeepBoth && super::is_conflict_name(&target.key) => {
            (Action::Nothing, Reason::ConflictCopy)
        }
        None => (Action::DeleteTarget, Reason::NotAtSource),
        Some(agreed) if change(&agreed.target, target, rules.comparison).is_none() => {
            (Action::DeleteTarget, Reason::DeletedAtSource)
        }
        Some(_) => match resolution {
            SourceWins => (Action::DeleteTarget, Reason::ConflictSourceWins),
            ConflictResolution::Fail => (Action::Report, Reason::ConflictFails),
            _ => (Action::Nothing, Reason::ChangedAtTargetDeletedAtSource),
        },
    }
}

/// In a one-way mode, what cannot be decided is copied, unless the policy says that the target's is not to be lost.
fn not_comparable(resolution: ConflictResolution) -> Outcome {
    use ConflictResolution::{Fail, KeepBoth, LastModifiedWins, SourceWins, TargetWins};
    let action = match resolution {
        LastModifiedWins | SourceWins => Action::CopyToTarget,
        TargetWins => Action::Nothing,
        KeepBoth => Action::KeepBoth,
        Fail => Action::Report,
    };
    (action, Reason::NotComparable)
}

/// The source is as it was, and somebody else changed the target of a one-way sync.
fn drifted(source: &Entry, target: &Entry, rules: &Rules) -> Outcome {
    use ConflictResolution::{Fail, KeepBoth, LastModifiedWins, SourceWins, TargetWins};
    match rules.conflict_resolution {
        SourceWins => (Action::CopyToTarget, Reason::TargetChangeUndone),
        // It was written after the source's was last seen, so it is the later one unless the times surely say otherwise.
        LastModifiedWins if order(source, target, rules) == Order::SourceNewer => {
            (Action::CopyToTarget, Reason::TargetChangeUndone)
        }
        LastModifiedWins | TargetWins => (Action::Nothing, Reason::TargetChangeKept),
        KeepBoth => (Action::KeepBoth, Reason::ConflictKeepBoth),
        Fail => (Action::Report, Reason::ConflictFails),
    }
}

fn bidirectional(sides: &Sides<'_>, rules: &Rules) -> Outcome {
    let comparison = rules.comparison;
    match (sides.source, sides.target, sides.agreed) {
        (None, None, agreed) => gone(agreed),
        (Some(_), None, None) => (Action::CopyToTarget, Reason::NewAtSource),
        (None, Some(_), None) => (Action::CopyToSource, Reason::NewAtTarget),
        (Some(source), None, Some(agreed)) => match change(&agreed.source, source, comparison) {
            None => (Action::DeleteSource, Reason::DeletedAtTarget),
            Some(_) => (Action::CopyToTarget, Reason::ChangedAtSourceDeletedAtTarget),
        },
        (None, Some(target), Some(agreed)) => match change(&agreed.target, target, comparison) {
            None => (Action::DeleteTarget, Reason::DeletedAtSource),
            Some(_) => (Action::CopyToSource, Reason::ChangedAtTargetDeletedAtSource),
        },
        (Some(source), Some(target), agreed) => {
            if let Some(same) = same(source, target, agreed, rules) {
                return same;
            }
            let at_source = agreed.map(|agreed| change(&agreed.source, source, comparison));
            let at_target = agreed.map(|agreed| change(&agreed.target, target, comparison));
            match (at_source, at_target) {
                (Some(Some(changed)), Some(None)) => (Action::CopyToTarget, changed),
                (Some(None), Some(Some(changed))) => (Action::CopyToSource, changed),
                _ => conflict(source, target, rules),
            }
        }
    }
}

/// Nothing, or taking down, if the sides are surely the same or the policy takes them for it.
fn same(source: &Entry, target: &Entry, agreed: Option<&Agreed>, rules: &Rules) -> Option<Outcome> {
    let changes = agreed.map(|agreed| {
        [(&agreed.source, source), (&agreed.target, target)]
            .map(|(seen, entry)| change(seen, entry, rules.comparison).is_some())
    });
    if changes == Some([false, false]) {
        return Some((Action::Nothing, Reason::UnchangedSinceLastSync));
    }
    if rules.content_differs || source.size != target.size {
        return None;
    }
    let one_changed = matches!(changes, Some([a, b]) if a != b);
    let reason = if source.tag.same_content(&target.tag) {
        Reason::SameChecksum
    } else if rules.comparison == Comparison::Size {
        Reason::SameSize
    } else if rules.comparison == Comparison::SizeAndTime
        && !one_changed
        && not_older(source, target, rules)
    {
        Reason::SameSizeAndTime
    } else {
        return None;
    };
    Some((Action::Record, reason))
}

fn not_older(source: &Entry, target: &Entry, rules: &Rules) -> bool {
    let source_later = source_later(source, target, &rules.clocks);
    match rules.mode {
        SyncMode::Bidirectional => source_later.abs() <= TICK,
        _ => source_later <= SignedDuration::ZERO,
    }
}

/// Whether two objects that are not the same are known to differ.
fn comparable(source: &Entry, target: &Entry, rules: &Rules) -> bool {
    !rules.content_differs
        && (source.size != target.size
            || rules.comparison == Comparison::SizeAndTime
            || (source.tag.md5().is_some() && target.tag.md5().is_some()))
}

/// In what an object differs from what was agreed.
fn change(seen: &Seen, now: &Entry, comparison: Comparison) -> Option<Reason> {
    if seen.size != now.size {
        return Some(Reason::SizeChanged);
    }
    match comparison {
        Comparison::Size => None,
        Comparison::SizeAndTime => (seen.modified != now.modified).then_some(Reason::TimeChanged),
        Comparison::Checksum if seen.is(now) => None,
        Comparison::Checksum if seen.tag == now.tag => Some(Reason::TimeChanged),
        Comparison::Checksum if seen.tag.md5().is_some() && now.tag.md5().is_some() => {
            Some(Reason::ChecksumChanged)
        }
        Comparison::Checksum => Some(Reason::TagChanged),
    }
}

fn conflict(source: &Entry, target: &Entry, rules: &Rules) -> Outcome {
    use ConflictResolution::{Fail, KeepBoth, LastModifiedWins, SourceWins, TargetWins};
    let two_ways = rules.mode == SyncMode::Bidirectional;
    let targets_stays = if two_ways { Action::CopyToSource } else { Action::Nothing };
    match rules.conflict_resolution {
        SourceWins => (Action::CopyToTarget, Reason::ConflictSourceWins),
        TargetWins => (targets_stays, Reason::ConflictTargetWins),
        KeepBoth => (Action::KeepBoth, Reason::ConflictKeepBoth),
        Fail => (Action::Report, Reason::ConflictFails),
        LastModifiedWins => match order(source, target, rules) {
            Order::SourceNewer => (Action::CopyToTarget, Reason::ConflictSourceNewer),
            Order::TargetNewer => (targets_stays, Reason::ConflictTargetNewer),
            Order::Tie if two_ways => (Action::Report, Reason::ConflictTie),
            Order::Tie => (Action::CopyToTarget, Reason::ConflictTie),
            Order::ClocksOff => (Action::Report, Reason::ConflictClocksOff),
        },
    }
}

/// Some stores keep whole seconds, and skew is measured by a header of whole seconds.
const TICK: SignedDuration = SignedDuration::from_secs(1);
/// How far off a clock that nobody measured is thought to be at most.
const UNMEASURED: SignedDuration = SignedDuration::from_secs(60);
/// A clock that is further off is not kept by anybody, and may have been set since an object was written.
const KEPT_CLOCK: SignedDuration = SignedDuration::from_mins(15);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    SourceNewer,
    TargetNewer,
    Tie,
    ClocksOff,
}

fn order(source: &Entry, target: &Entry, rules: &Rules) -> Order {
    let clocks = [rules.clocks.source_ahead, rules.clocks.target_ahead];
    if clocks.iter().flatten().any(|ahead| ahead.abs() > KEPT_CLOCK) {
        return Order::ClocksOff;
    }
    let measured = clocks.iter().all(Option::is_some);
    let margin = if measured { TICK } else { TICK + UNMEASURED };
    let source_later = source_later(source, target, &rules.clocks);
    if source_later.abs() <= margin {
        Order::Tie
    } else if source_later.is_positive() {
        Order::SourceNewer
    } else {
        Order::TargetNewer
    }
}

/// How much later the source's was written, by one clock.
fn source_later(source: &Entry, target: &Entry, clocks: &Clocks) -> SignedDuration {
    let by_our_clock = |modified: Timestamp, ahead: Option<SignedDuration>| {
        modified.as_duration().saturating_sub(ahead.unwrap_or_default())
    };
    let source = by_our_clock(source.modified, clocks.source_ahead);
    source.saturating_sub(by_our_clock(target.modified, clocks.target_ahead))
}

#[cfg(test)]
mod tests;
