//! Ranges of keys: what a worker takes for itself.

use serde::{Deserialize, Serialize};

/// The keys after `after` up to and including `through`; open where there is none.
///
/// ```
/// use cloud_patterns::sync::KeyRange;
/// let range = KeyRange { after: Some("b".into()), through: None };
/// assert!(!range.contains("b") && range.contains("ba"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRange {
    /// The last key before the range.
    pub after: Option<String>,
    /// The last key of the range.
    pub through: Option<String>,
}

impl KeyRange {
    /// Whether a key is in the range.
    pub fn contains(&self, key: &str) -> bool {
        !self.is_before(key) && !self.is_past(key)
    }

    pub(super) fn is_before(&self, key: &str) -> bool {
        self.after.as_deref().is_some_and(|after| key <= after)
    }

    pub(super) fn is_past(&self, key: &str) -> bool {
        self.through.as_deref().is_some_and(|through| key > through)
    }

    /// The ranges between the bounds, which have to be ascending: one more than there are bounds.
    pub fn between(bounds: &[String]) -> Vec<Self> {
        let after = std::iter::once(None).chain(bounds.iter().cloned().map(Some));
        let through = bounds.iter().cloned().map(Some).chain(std::iter::once(None));
        after.zip(through).map(|(after, through)| Self { after, through }).collect()
    }
}
