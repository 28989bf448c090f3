//! Tags, and the ownership tags by which we find what is ours after a crash.

use std::collections::{BTreeMap, btree_map};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ClientToken, Error, Result, text::check_text};

/// Key-value labels of a resource, ordered by key.
///
/// What every provider accepts and we therefore enforce: at most 50, keys of 1 to 63 bytes, values of at
/// most 63, no control characters. (Google Cloud's labels are the narrowest in length; AWS's the narrowest in number.)
/// A provider's own rule may be narrower still.
///
/// ```
/// use cloud_core::Tags;
/// let tags = Tags::new([("environment", "test"), ("team", "orders")]).unwrap();
/// assert_eq!(tags.get("team"), Some("orders"));
/// assert!(tags.contains(&Tags::new([("team", "orders")]).unwrap()));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Tags(BTreeMap<String, String>);

impl Tags {
    /// The most tags that one resource may have.
    pub const MAX: usize = 50;

    /// Tags from pairs.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a key that comes twice, too many
    /// tags, or a key or value out of bounds.
    pub fn new<K: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self> {
        let mut tags = Self::default();
        for (key, value) in pairs {
            let key = key.into();
            if tags.0.contains_key(&key) {
                return Err(Error::invalid(
                    "tags",
                    format_args!("has the key '{key}' twice"),
                    "each key once",
                ));
            }
            tags.insert(key, value)?;
        }
        Ok(tags)
    }

    /// Sets one tag.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput); the tags are then unchanged.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<String>) -> Result<()> {
        let (key, value) = (key.into(), value.into());
        check_text("tag key", &key, 63)?;
        if !value.is_empty() {
            check_text(&format!("tag '{key}'"), &value, 63)?;
        }
        if self.0.len() >= Self::MAX && !self.0.contains_key(&key) {
            let accepted = format_args!("at most {}", Self::MAX);
            return Err(Error::invalid("tags", "has one too many", accepted));
        }
        self.0.insert(key, value);
        Ok(())
    }

    /// Removes one tag and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    /// The value of a tag.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pairs, ordered by key.
    pub fn iter(&self) -> btree_map::Iter<'_, String, String> {
        self.0.iter()
    }

    /// Whether all of `wanted` are here with these values: the meaning of a tag filter.
    pub fn contains(&self, wanted: &Self) -> bool {
        wanted.iter().all(|(k, v)| self.get(k) == Some(v))
    }

    /// These and `other`'s; where both have a key, `other`'s value.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if that makes too many.
    pub fn merged(&self, other: &Self) -> Result<Self> {
        let mut all = self.clone();
        for (key, value) in other.iter() {
            all.insert(key, value)?;
        }
        Ok(all)
    }
}

impl<'a> IntoIterator for &'a Tags {
    type Item = (&'a String, &'a String);
    type IntoIter = btree_map::Iter<'a, String, String>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl TryFrom<BTreeMap<String, String>> for Tags {
    type Error = Error;
    fn try_from(pairs: BTreeMap<String, String>) -> Result<Self> {
        Self::new(pairs)
    }
}

impl From<Tags> for BTreeMap<String, String> {
    fn from(tags: Tags) -> Self {
        tags.0
    }
}

/// Whose a resource is: written as tags when it is created, in the same call, so that there is no moment at
/// which it exists and nobody knows whose it is.
///
/// Keys and values use only what the narrowest provider (Google Cloud labels) accepts: lower-case
/// letters, digits, `-` and `_`, at most 63.
///
/// ```
/// use cloud_core::{ClientToken, Ownership, Tags};
/// let mine = Ownership::new("shop", "web-1", ClientToken::derive("plan-7", "web-1", 1)).unwrap();
/// let mut tags = Tags::default();
/// mine.write(&mut tags).unwrap();
/// assert_eq!(Ownership::read(&tags), Some(mine));
/// assert_eq!(Ownership::read(&Tags::default()), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ownership {
    /// The deployment that it belongs to.
    pub deployment: String,
    /// The step of the plan that made it.
    pub step: String,
    /// The token that it was made with.
    pub token: ClientToken,
    /// When it may be removed without asking; `None` never.
    pub expires_at: Option<Timestamp>,
}

impl Ownership {
    /// Key of the deployment tag.
    pub const DEPLOYMENT: &'static str = "multicloud-deployment";
    /// Key of the step tag.
    pub const STEP: &'static str = "multicloud-step";
    /// Key of the token tag.
    pub const TOKEN: &'static str = "multicloud-token";
    /// Key of the expiry tag: whole seconds since 1970-01-01T00:00:00Z.
    pub const EXPIRES: &'static str = "multicloud-expires";

    /// Ownership without expiry.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if deployment or step is not 1 to 63
    /// lower-case ASCII letters, digits, `-` and `_`.
    pub fn new(
        deployment: impl Into<String>,
        step: impl Into<String>,
        token: ClientToken,
    ) -> Result<Self> {
        let (deployment, step) = (deployment.into(), step.into());
        for (field, value) in [("deployment", &deployment), ("step", &step)] {
            let good = (1..=63).contains(&value.len())
                && value.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
            if !good {
                return Err(Error::invalid(
                    field,
                    format_args!("is '{}'", value.escape_debug()),
                    "1 to 63 lower-case ASCII letters, digits, '-' and '_'",
                ));
            }
        }
        Ok(Self { deployment, step, token, expires_at: None })
    }

    /// Adds the tags.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if `tags` has no room for them.
    pub fn write(&self, tags: &mut Tags) -> Result<()> {
        let mut all = tags.clone();
        all.insert(Self::DEPLOYMENT, &*self.deployment)?;
        all.insert(Self::STEP, &*self.step)?;
        all.insert(Self::TOKEN, self.token.as_str())?;
        if let Some(at) = self.expires_at {
            all.insert(Self::EXPIRES, at.as_second().to_string())?;
        }
        *tags = all;
        Ok(())
    }

    /// Reads them back; `None` if the resource does not bear our tags.
    pub fn read(tags: &Tags) -> Option<Self> {
        let expires_at = match tags.get(Self::EXPIRES) {
            Some(text) => Some(Timestamp::from_second(text.parse().ok()?).ok()?),
            None => None,
        };
        let token = ClientToken::new(tags.get(Self::TOKEN)?).ok()?;
        let mut mine = Self::new(tags.get(Self::DEPLOYMENT)?, tags.get(Self::STEP)?, token).ok()?;
        mine.expires_at = expires_at;
        Some(mine)
    }

    /// The filter that finds everything of a deployment.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a text that cannot be a tag's value.
    pub fn filter_deployment(deployment: &str) -> Result<Tags> {
        Tags::new([(Self::DEPLOYMENT, deployment)])
    }

    /// The filter that finds what was made with a token.
    pub fn filter_token(token: &ClientToken) -> Tags {
        Tags(BTreeMap::from([(Self::TOKEN.to_owned(), token.as_str().to_owned())]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_the_fifty_first() {
        let mut tags = Tags::new((0..50).map(|i| (format!("k{i}"), "v"))).unwrap();
        assert!(tags.insert("k51", "v").is_err());
        assert!(tags.insert("k0", "w").is_ok());
        assert!(Tags::new([("a", "1"), ("a", "2")]).is_err());
    }

    #[test]
    fn ownership_survives_with_expiry_to_the_second() {
        let mut mine = Ownership::new("d", "s", ClientToken::random()).unwrap();
        mine.expires_at = Some(Timestamp::from_second(1_800_000_000).unwrap());
        let mut tags = Tags::default();
        mine.write(&mut tags).unwrap();
        assert_eq!(Ownership::read(&tags), Some(mine));
        assert!(Ownership::new("Upper", "s", ClientToken::random()).is_err());
    }
}
