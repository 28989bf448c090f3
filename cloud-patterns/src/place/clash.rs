//! A minimal set of constraints that clash: none of them can be left out of it.

use cloud_core::Result;

/// What is known of a set of constraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They can be met together.
    Feasible,
    /// They cannot: proven.
    Infeasible,
    /// Neither was proven within the limits.
    Unknown,
}

/// A set of constraints that clash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Minimal {
    /// The members, in ascending order.
    pub(super) members: Vec<usize>,
    /// Whether it is proven that none of them can be left out.
    pub(super) minimal: bool,
}

/// Reduces a set that is infeasible to a minimal one.
///
/// `oracle` judges subsets. It has to be monotone: what is infeasible stays so if members are added. It is asked about
/// `k log(n / k)` times for a result of `k` members out of `n` (the method is QuickXplain). Members of a set of which it knows
/// nothing are kept, so that the result is always infeasible, though then perhaps not minimal.
pub(super) fn minimal(
    members: &[usize],
    oracle: &mut dyn FnMut(&[usize]) -> Result<Verdict>,
) -> Result<Minimal> {
    let mut search = Search { oracle, proven: true };
    // Without any of them infeasible already: nothing here is to blame.
    let found = match search.infeasible(&[])? {
        true => Vec::new(),
        false => search.reduce(&[], false, members)?,
    };
    let mut members = found;
    members.sort_unstable();
    Ok(Minimal { members, minimal: search.proven })
}

struct Search<'o> {
    oracle: &'o mut dyn FnMut(&[usize]) -> Result<Verdict>,
    proven: bool,
}

impl Search<'_> {
    fn infeasible(&mut self, members: &[usize]) -> Result<bool> {
        Ok(match (self.oracle)(members)? {
            Verdict::Infeasible => true,
            Verdict::Feasible => false,
            Verdict::Unknown => {
                self.proven = false;
                false
            }
        })
    }

    /// The part of `open` that is needed beside `kept` for a clash. `grown`: whether `kept` was added to since it was last judged.
    fn reduce(&mut self, kept: &[usize], grown: bool, open: &[usize]) -> Result<Vec<usize>> {
        if grown && self.infeasible(kept)? {
            return Ok(Vec::new());
        }
        if open.len() <= 1 {
            return Ok(open.to_vec());
        }
        let (first, second) = open.split_at(open.len() / 2);
        let with_first = [kept, first].concat();
        let needed_second = self.reduce(&with_first, true, second)?;
        let with_second = [kept, &needed_second].concat();
        let mut needed = self.reduce(&with_second, !needed_second.is_empty(), first)?;
        needed.extend(needed_second);
        Ok(needed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// A set is infeasible if it contains one of the clashes.
    fn judge(clashes: &[BTreeSet<usize>], members: &[usize]) -> Verdict {
        let members: BTreeSet<_> = members.iter().copied().collect();
        match clashes.iter().any(|clash| clash.is_subset(&members)) {
            true => Verdict::Infeasible,
            false => Verdict::Feasible,
        }
    }

    proptest! {
        #[test]
        fn what_is_found_clashes_and_needs_each_member(
            clashes in proptest::collection::vec(proptest::collection::btree_set(0usize..24, 1..6), 1..5),
        ) {
            let all: Vec<usize> = (0..24).collect();
            let mut asked = 0;
            let found = minimal(&all, &mut |members| {
                asked += 1;
                Ok(judge(&clashes, members))
            })
            .unwrap();
            prop_assert!(found.minimal && asked < 80, "{asked}");
            prop_assert_eq!(judge(&clashes, &found.members), Verdict::Infeasible);
            for left_out in &found.members {
                let rest: Vec<_> = found.members.iter().copied().filter(|m| m != left_out).collect();
                prop_assert_eq!(judge(&clashes, &rest), Verdict::Feasible);
            }
        }

        #[test]
        fn what_cannot_be_judged_is_kept(
            clash in proptest::collection::btree_set(0usize..12, 1..4),
            blind in any::<u64>(),
        ) {
            let all: Vec<usize> = (0..12).collect();
            let found = minimal(&all, &mut |members| {
                // Of some feasible sets it knows nothing.
                let seed = members.iter().fold(blind, |sum, m| sum.rotate_left(7) ^ *m as u64);
                Ok(match judge(std::slice::from_ref(&clash), members) {
                    Verdict::Feasible if seed.is_multiple_of(2) => Verdict::Unknown,
                    other => other,
                })
            })
            .unwrap();
            prop_assert_eq!(judge(&[clash], &found.members), Verdict::Infeasible);
        }
    }

    #[test]
    fn nothing_is_blamed_for_what_is_infeasible_anyway() {
        let found = minimal(&[0, 1], &mut |_| Ok(Verdict::Infeasible)).unwrap();
        assert_eq!(found, Minimal { members: Vec::new(), minimal: true });
    }
}
