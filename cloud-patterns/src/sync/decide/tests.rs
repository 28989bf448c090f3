use super::*;
use crate::sync::{Tag, conflict_name};

/// A time of the model, in seconds.
type Time = i64;

/// What was written once: which content, and when.
type Version = (u8, Time);

/// The two sides of one key as they really are.
#[derive(Clone, Copy, Debug, PartialEq)]
struct World {
    source: Option<Version>,
    target: Option<Version>,
    agreed: Option<(Version, Version)>,
    /// What the stores say of a content: 0 nothing, 1 its MD5, 2 an opaque tag.
    kinds: [u8; 2],
    /// Bodies are stored differently at the target.
    differs: bool,
}

/// What the decision sees of a world.
type Listed = (Option<Entry>, Option<Entry>, Option<Agreed>);

/// Contents 0 and 1 have the same size.
const CONTENTS: [u8; 3] = [0, 1, 2];
const NOW: Time = 1_000_000;

const MODES: [SyncMode; 5] = [
    SyncMode::Full,
    SyncMode::Incremental,
    SyncMode::Mirror,
    SyncMode::Bidirectional,
    SyncMode::Continuous,
];
const RESOLUTIONS: [ConflictResolution; 5] = [
    ConflictResolution::LastModifiedWins,
    ConflictResolution::SourceWins,
    ConflictResolution::TargetWins,
    ConflictResolution::KeepBoth,
    ConflictResolution::Fail,
];
const COMPARISONS: [Comparison; 3] =
    [Comparison::Checksum, Comparison::SizeAndTime, Comparison::Size];

impl World {
    fn entry(&self, side: usize, (content, time): Version) -> Entry {
        let stored = if self.differs && side == 1 { content + 100 } else { content };
        let tag = match self.kinds[side] {
            0 => Tag::None,
            1 => Tag::Md5([stored; 16]),
            _ => Tag::Opaque(format!("{content}-{time}").into()),
        };
        let modified = Timestamp::from_second(time).unwrap();
        Entry { key: "a/b.txt".into(), size: if stored % 100 == 2 { 2 } else { 1 }, modified, tag }
    }

    fn agreed(&self) -> Option<Agreed> {
        let (source, target) = self.agreed?;
        let (source, target) = (self.entry(0, source), self.entry(1, target));
        let (source, target) = (Seen::from(&source), Seen::from(&target));
        Some(Agreed { key: "a/b.txt".into(), source, target })
    }

    fn listed(&self) -> Listed {
        let source = self.source.map(|version| self.entry(0, version));
        let target = self.target.map(|version| self.entry(1, version));
        (source, target, self.agreed())
    }

    fn decide(&self, rules: &Rules) -> Decision {
        self.decide_by(&self.listed(), rules)
    }

    fn decide_by(&self, (source, target, agreed): &Listed, rules: &Rules) -> Decision {
        let (source, target, agreed) = (source.as_ref(), target.as_ref(), agreed.as_ref());
        let rules = Rules { content_differs: self.differs, ..*rules };
        decide(&Sides { source, target, agreed }, &rules)
    }

    /// The world after the action, and what is kept under another name.
    fn apply(mut self, action: Action) -> (Self, Option<u8>) {
        let copy = |(content, _): Version| (content, NOW);
        let mut kept = None;
        match action {
            Action::Nothing | Action::Report => return (self, None),
            Action::Record => {}
            Action::CopyToTarget => self.target = Some(copy(self.source.unwrap())),
            Action::CopyToSource => self.source = Some(copy(self.target.unwrap())),
            Action::DeleteTarget => self.target = None,
            Action::DeleteSource => self.source = None,
            Action::KeepBoth => {
                kept = self.target.map(|(content, _)| content);
                self.target = Some(copy(self.source.unwrap()));
            }
            Action::Forget => assert_eq!((self.source, self.target), (None, None)),
        }
        self.agreed = self.source.zip(self.target);
        (self, kept)
    }

    fn has(&self, content: u8) -> bool {
        [self.source, self.target].into_iter().flatten().any(|(has, _)| has == content)
    }
}

/// All versions of the model: no two contents are written at the same time.
const VERSIONS: [Version; 6] = [(0, 0), (0, 200_000), (1, 100), (1, 300), (2, 30), (2, 230)];

fn for_all_worlds(mut check: impl FnMut(World)) {
    let some_or_none = || std::iter::once(None).chain(VERSIONS.map(Some));
    let mut agreements = vec![None];
    for source in VERSIONS {
        let same = VERSIONS.into_iter().filter(|target| target.0 == source.0);
        agreements.extend(same.map(|target| Some((source, target))));
    }
    for kinds in [[0, 0], [1, 1], [2, 2], [1, 2], [0, 1]] {
        for differs in [false, true] {
            for source in some_or_none() {
                for target in some_or_none() {
                    for &agreed in &agreements {
                        check(World { source, target, agreed, kinds, differs });
                    }
                }
            }
        }
    }
}

fn all_rules() -> Vec<Rules> {
    let clocks = [(None, None), (Some(0), Some(0)), (Some(150), Some(-150)), (Some(1000), Some(0))];
    let mut all = Vec::new();
    for mode in MODES {
        for conflict_resolution in RESOLUTIONS {
            for comparison in COMPARISONS {
                for (source, target) in clocks {
                    let ahead = |seconds: Option<i64>| seconds.map(SignedDuration::from_secs);
                    let clocks =
                        Clocks { source_ahead: ahead(source), target_ahead: ahead(target) };
                    all.push(Rules {
                        mode,
                        conflict_resolution,
                        comparison,
                        clocks,
                        ..Rules::default()
                    });
                }
            }
        }
    }
    all
}

fn for_all(mut check: impl FnMut(&World, &Rules, Decision)) {
    let rules = all_rules();
    for_all_worlds(|world| {
        let listed = world.listed();
        for rules in &rules {
            check(&world, rules, world.decide_by(&listed, rules));
        }
    });
}

#[test]
fn one_way_modes_never_write_the_source() {
    for_all(|world, rules, decision| {
        if rules.mode != SyncMode::Bidirectional {
            let writes = matches!(decision.action, Action::CopyToSource | Action::DeleteSource);
            assert!(!writes, "{world:?} {rules:?} {decision:?}");
        }
    });
}

#[test]
fn actions_have_what_they_need() {
    for_all(|world, rules, Decision { action, .. }| {
        let (source, target) = (world.source.is_some(), world.target.is_some());
        let possible = match action {
            Action::Nothing => true,
            Action::Record | Action::KeepBoth => source && target,
            // A mirror reports what was deleted on one side and changed on the other.
            Action::Report => target && (source || rules.mode == SyncMode::Mirror),
            Action::CopyToTarget => source,
            Action::CopyToSource => target,
            Action::DeleteTarget => !source && target,
            Action::DeleteSource => source && !target,
            Action::Forget => !source && !target && world.agreed.is_some(),
        };
        assert!(possible, "{world:?} {rules:?} {action:?}");
    });
}

#[test]
fn nothing_that_changed_since_agreed_is_deleted() {
    for_all(|world, rules, decision| {
        let deleted = match decision.action {
            Action::DeleteTarget => world.agreed.map(|agreed| (agreed.1, world.target)),
            Action::DeleteSource => world.agreed.map(|agreed| (agreed.0, world.source)),
            _ => return,
        };
        let Some((agreed, Some(deleted))) = deleted else {
            // A mirror deletes what it never saw; nobody else does.
            assert_eq!((rules.mode, decision.reason), (SyncMode::Mirror, Reason::NotAtSource));
            return;
        };
        if rules.comparison == Comparison::Checksum && agreed.0 != deleted.0 {
            assert_eq!(rules.mode, SyncMode::Mirror, "{world:?}");
            assert_eq!(rules.conflict_resolution, ConflictResolution::SourceWins, "{world:?}");
            assert_eq!(decision.reason, Reason::ConflictSourceWins);
        }
    });
}

#[test]
fn the_only_copy_of_a_content_is_lost_to_a_named_winner_or_an_agreement_only() {
    use ConflictResolution::{LastModifiedWins, SourceWins, TargetWins};
    let mut losses = 0;
    for_all(|world, rules, decision| {
        let (after, kept) = world.apply(decision.action);
        let full_or_mirrored =
            rules.mode == SyncMode::Full || decision.reason == Reason::NotAtSource;
        // Comparisons by less than the content are asked for by the policy.
        if full_or_mirrored || rules.comparison != Comparison::Checksum {
            return;
        }
        for content in CONTENTS {
            if !world.has(content) || after.has(content) || kept == Some(content) {
                continue;
            }
            losses += 1;
            let agreed = world.agreed.is_some_and(|(source, _)| source.0 == content);
            let named = match decision.reason {
                Reason::ConflictSourceWins => rules.conflict_resolution == SourceWins,
                Reason::ConflictTargetWins => rules.conflict_resolution == TargetWins,
                Reason::TargetChangeUndone | Reason::NotComparable => {
                    matches!(rules.conflict_resolution, SourceWins | LastModifiedWins)
                }
                Reason::ConflictSourceNewer | Reason::ConflictTargetNewer => {
                    rules.conflict_resolution == LastModifiedWins
                }
                Reason::ConflictTie => {
                    rules.conflict_resolution == LastModifiedWins
                        && rules.mode != SyncMode::Bidirectional
                }
                _ => false,
            };
            assert!(agreed || named, "{content} is lost: {world:?} {rules:?} {decision:?}");
        }
    });
    assert!(losses > 1000);
}

#[test]
fn what_is_done_is_done_once() {
    for_all(|world, rules, decision| {
        if rules.mode == SyncMode::Full
            || matches!(decision.action, Action::Nothing | Action::Report)
        {
            return;
        }
        let (after, _) = world.apply(decision.action);
        let again = after.decide(rules);
        assert_eq!(
            again.action,
            Action::Nothing,
            "{world:?} {rules:?} {decision:?} then {again:?}"
        );
        let expected = match decision.action {
            Action::DeleteSource | Action::DeleteTarget | Action::Forget => Reason::GoneOnBoth,
            _ => Reason::UnchangedSinceLastSync,
        };
        assert_eq!(again.reason, expected);
    });
}

#[test]
fn what_is_taken_for_the_same_is_the_same() {
    for_all(|world, rules, decision| {
        if rules.comparison != Comparison::Checksum {
            return;
        }
        if matches!(decision.reason, Reason::SameChecksum | Reason::UnchangedSinceLastSync) {
            let content = |version: Option<Version>| version.unwrap().0;
            assert_eq!(content(world.source), content(world.target), "{world:?} {rules:?}");
        }
    });
}

#[test]
fn sides_are_the_same_afterwards_where_somebody_always_wins() {
    use ConflictResolution::{KeepBoth, SourceWins, TargetWins};
    for_all(|world, rules, decision| {
        let resolved = match rules.mode {
            SyncMode::Full => world.source.is_some(),
            SyncMode::Mirror => rules.conflict_resolution == SourceWins,
            SyncMode::Incremental | SyncMode::Continuous => {
                rules.conflict_resolution == SourceWins && world.source.is_some()
            }
            SyncMode::Bidirectional => {
                matches!(rules.conflict_resolution, SourceWins | TargetWins | KeepBoth)
            }
        };
        if resolved && rules.comparison == Comparison::Checksum {
            let (after, _) = world.apply(decision.action);
            let contents =
                [after.source, after.target].map(|side| side.map(|(content, _)| content));
            assert_eq!(contents[0], contents[1], "{world:?} {rules:?} {decision:?}");
        }
    });
}

#[test]
fn only_conflicts_that_nobody_resolves_are_reported() {
    use ConflictResolution::{Fail, LastModifiedWins};
    for_all(|world, rules, decision| {
        if decision.action == Action::Report {
            let open = matches!(decision.reason, Reason::ConflictTie | Reason::ConflictClocksOff);
            let resolution = rules.conflict_resolution;
            assert!(
                resolution == Fail || (resolution == LastModifiedWins && open),
                "{world:?} {rules:?} {decision:?}"
            );
        }
    });
}

#[test]
fn a_bidirectional_sync_has_no_favourite_side() {
    for_all(|world, rules, decision| {
        if rules.mode != SyncMode::Bidirectional {
            return;
        }
        let [source, target] = [world.source, world.target]
            .into_iter()
            .enumerate()
            .map(|(side, version)| version.map(|version| world.entry(side, version)))
            .collect::<Vec<_>>()
            .try_into()
            .unwrap();
        let agreed = world.agreed().map(|Agreed { key, source, target }| Agreed {
            key,
            source: target,
            target: source,
        });
        let sides: [Option<Entry>; 2] = [target, source];
        let sides =
            Sides { source: sides[0].as_ref(), target: sides[1].as_ref(), agreed: agreed.as_ref() };
        let swapped = decide(
            &sides,
            &Rules {
                conflict_resolution: match rules.conflict_resolution {
                    ConflictResolution::SourceWins => ConflictResolution::TargetWins,
                    ConflictResolution::TargetWins => ConflictResolution::SourceWins,
                    other => other,
                },
                clocks: Clocks {
                    source_ahead: rules.clocks.target_ahead,
                    target_ahead: rules.clocks.source_ahead,
                },
                content_differs: world.differs,
                ..*rules
            },
        );
        let mirrored = match decision.action {
            Action::CopyToTarget => Action::CopyToSource,
            Action::CopyToSource => Action::CopyToTarget,
            Action::DeleteTarget => Action::DeleteSource,
            Action::DeleteSource => Action::DeleteTarget,
            other => other,
        };
        assert_eq!(swapped.action, mirrored, "{world:?} {rules:?} {decision:?}");
    });
}

/// Two sides that both changed to contents of different sizes, at these milliseconds.
fn conflict_at(mode: SyncMode, clocks: Clocks, source: i64, target: i64) -> Decision {
    let entry = |size, millis| Entry {
        key: "a".into(),
        size,
        modified: Timestamp::from_millisecond(millis).unwrap(),
        tag: Tag::None,
    };
    let (source, target) = (entry(1, source), entry(2, target));
    let sides = Sides { source: Some(&source), target: Some(&target), agreed: None };
    decide(&sides, &Rules { mode, clocks, ..Rules::default() })
}

#[test]
fn the_last_that_was_written_is_found_by_one_clock() {
    use {SyncMode::Bidirectional as Both, SyncMode::Incremental as OneWay};
    let clocks = |source: i64, target: i64| Clocks {
        source_ahead: Some(SignedDuration::from_secs(source)),
        target_ahead: Some(SignedDuration::from_secs(target)),
    };
    let unmeasured = Clocks { target_ahead: None, ..clocks(0, 0) };
    for (mode, clocks, source, target, action, reason) in [
        (OneWay, clocks(0, 0), 5001, 4000, Action::CopyToTarget, Reason::ConflictSourceNewer),
        (OneWay, clocks(0, 0), 4000, 5001, Action::Nothing, Reason::ConflictTargetNewer),
        (OneWay, clocks(0, 0), 4000, 5000, Action::CopyToTarget, Reason::ConflictTie),
        (Both, clocks(0, 0), 5001, 4000, Action::CopyToTarget, Reason::ConflictSourceNewer),
        (Both, clocks(0, 0), 4000, 5001, Action::CopyToSource, Reason::ConflictTargetNewer),
        (Both, clocks(0, 0), 4000, 5000, Action::Report, Reason::ConflictTie),
        // The source's clock is a minute ahead: what looks 30 s newer is 30 s older.
        (Both, clocks(60, 0), 90_000, 60_000, Action::CopyToSource, Reason::ConflictTargetNewer),
        (Both, clocks(0, -60), 90_000, 60_000, Action::CopyToSource, Reason::ConflictTargetNewer),
        (Both, clocks(60, 60), 90_000, 60_000, Action::CopyToTarget, Reason::ConflictSourceNewer),
        // Nobody knows how far off the target's is.
        (Both, unmeasured, 90_000, 60_000, Action::Report, Reason::ConflictTie),
        (OneWay, unmeasured, 60_000, 90_000, Action::CopyToTarget, Reason::ConflictTie),
        (Both, unmeasured, 121_001, 60_000, Action::CopyToTarget, Reason::ConflictSourceNewer),
        (OneWay, unmeasured, 60_000, 121_001, Action::Nothing, Reason::ConflictTargetNewer),
        (OneWay, clocks(900, 0), 0, 5000, Action::Nothing, Reason::ConflictTargetNewer),
        (OneWay, clocks(901, 0), 0, 5000, Action::Report, Reason::ConflictClocksOff),
        (Both, clocks(0, -901), 0, 5000, Action::Report, Reason::ConflictClocksOff),
    ] {
        let decision = conflict_at(mode, clocks, source, target);
        let case = format!("{mode:?} {clocks:?} {source} {target}");
        assert_eq!(decision, Decision { action, reason }, "{case}");
    }
}

#[test]
fn extreme_times_do_not_overflow() {
    let [first, last] = [Timestamp::MIN, Timestamp::MAX].map(|modified| Entry {
        key: "a".into(),
        size: 1,
        modified,
        tag: Tag::None,
    });
    for ahead in [SignedDuration::MIN, SignedDuration::MAX] {
        let clocks = Clocks { source_ahead: Some(ahead), target_ahead: Some(ahead) };
        for (source, target) in [(&first, &last), (&last, &first)] {
            let sides = Sides { source: Some(source), target: Some(target), agreed: None };
            let rules = Rules { comparison: Comparison::SizeAndTime, clocks, ..Rules::default() };
            let action = decide(&sides, &rules).action;
            assert!(matches!(action, Action::Report | Action::Record), "{action:?}");
        }
    }
}

#[test]
fn each_way_to_be_unequal_has_its_reason() {
    let world = |source, target, agreed, kind| World {
        source,
        target,
        agreed,
        kinds: [kind; 2],
        differs: false,
    };
    let old = (0, 0);
    let rules = Rules::default();
    for (world, action, reason) in [
        (world(Some((0, 9)), Some(old), None, 1), Action::Record, Reason::SameChecksum),
        (world(Some((0, 9)), Some(old), None, 2), Action::CopyToTarget, Reason::NotComparable),
        (
            world(Some((1, 500)), Some(old), None, 1),
            Action::CopyToTarget,
            Reason::ConflictSourceNewer,
        ),
        (
            world(Some((1, 9)), Some(old), Some((old, old)), 1),
            Action::CopyToTarget,
            Reason::ChecksumChanged,
        ),
        (
            world(Some((1, 9)), Some(old), Some((old, old)), 2),
            Action::CopyToTarget,
            Reason::TagChanged,
        ),
        (
            world(Some((1, 9)), Some(old), Some((old, old)), 0),
            Action::CopyToTarget,
            Reason::TimeChanged,
        ),
        (
            world(Some((2, 9)), Some(old), Some((old, old)), 0),
            Action::CopyToTarget,
            Reason::SizeChanged,
        ),
        (
            world(Some(old), Some((1, 9)), Some((old, old)), 1),
            Action::Nothing,
            Reason::TargetChangeKept,
        ),
        (
            world(Some((0, 500)), Some((1, 9)), Some(((0, 0), old)), 1),
            Action::CopyToTarget,
            Reason::TargetChangeUndone,
        ),
        (
            world(Some(old), None, Some((old, old)), 1),
            Action::CopyToTarget,
            Reason::MissingAtTarget,
        ),
        (world(None, Some(old), Some((old, old)), 1), Action::Nothing, Reason::OnlyAtTarget),
        (world(None, None, Some((old, old)), 1), Action::Forget, Reason::GoneOnBoth),
    ] {
        assert_eq!(world.decide(&rules), Decision { action, reason }, "{world:?}");
    }
    let by = |comparison| Rules { comparison, ..rules };
    let (newer, older) =
        (world(Some((0, 9)), Some((1, 9)), None, 2), world(Some((0, 90)), Some((1, 9)), None, 2));
    let same = Decision { action: Action::Record, reason: Reason::SameSizeAndTime };
    assert_eq!(newer.decide(&by(Comparison::SizeAndTime)), same);
    assert_eq!(older.decide(&by(Comparison::SizeAndTime)).action, Action::CopyToTarget);
    assert_eq!(older.decide(&by(Comparison::Size)).reason, Reason::SameSize);
}

#[test]
fn a_mirror_keeps_the_copies_of_conflicts() {
    let modified = Timestamp::UNIX_EPOCH;
    let key = conflict_name("a/b.txt", modified).into();
    let copy = Entry { key, size: 1, modified, tag: Tag::None };
    let sides = Sides { target: Some(&copy), ..Sides::default() };
    let mut rules = Rules {
        mode: SyncMode::Mirror,
        conflict_resolution: ConflictResolution::KeepBoth,
        ..Rules::default()
    };
    assert_eq!(decide(&sides, &rules).reason, Reason::ConflictCopy);
    rules.conflict_resolution = ConflictResolution::SourceWins;
    assert_eq!(decide(&sides, &rules).action, Action::DeleteTarget);
}
