//! Cuts the keys of a location into ranges of about as many objects each, in one pass over its listing.

use cloud_core::{ObjectLocation, Result};

use super::{listing::Ordered, range::KeyRange};

/// How many keys are kept at most to choose the bounds from.
const KEPT: usize = 16_384;

/// The last keys of all ranges but the last one. There are fewer if there are not that many keys.
///
/// # Errors
/// Those of the listing.
pub(super) async fn bounds(location: &ObjectLocation, ranges: u16) -> Result<Vec<String>> {
    let mut listing = Ordered::begin(location, &KeyRange::default());
    let mut sample = Sample::default();
    while let Some(entry) = listing.next().await? {
        sample.add(entry.key);
    }
    Ok(sample.bounds(ranges))
}

/// Every n-th key, where n doubles whenever there are too many of them.
#[derive(Debug)]
struct Sample {
    keys: Vec<Box<str>>,
    step: u64,
    seen: u64,
}

impl Default for Sample {
    fn default() -> Self {
        Self { keys: Vec::new(), step: 1, seen: 0 }
    }
}

impl Sample {
    fn add(&mut self, key: Box<str>) {
        self.seen += 1;
        if !self.seen.is_multiple_of(self.step) {
            return;
        }
        self.keys.push(key);
        if self.keys.len() == KEPT {
            // The second, the fourth, …: the multiples of the new step.
            let mut number = 0;
            self.keys.retain(|_| {
                number += 1;
                number % 2 == 0
            });
            self.step *= 2;
        }
    }

    fn bounds(self, ranges: u16) -> Vec<String> {
        let ranges = usize::from(ranges).min(self.keys.len()).max(1);
        let place = |n: usize| n * self.keys.len() / ranges;
        (1..ranges).map(|n| self.keys[place(n) - 1].to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_are_about_even_and_ascending(keys in 0..60_000_u32, ranges in 1..40_u16) {
            let mut sample = Sample::default();
            (0..keys).for_each(|n| sample.add(format!("{n:08}").into()));
            let bounds = sample.bounds(ranges);
            prop_assert!(bounds.is_sorted() && bounds.len() < usize::from(ranges));
            if keys > 1000 {
                let even = f64::from(keys) / f64::from(ranges);
                let mut last = 0.0;
                for bound in &bounds {
                    let at: f64 = bound.parse().unwrap();
                    prop_assert!((at - last) < even * 1.1 + 10.0 && (at - last) > even * 0.9 - 10.0);
                    last = at;
                }
            }
        }
    }
}
