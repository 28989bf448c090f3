//! One page of a bucket's keys: prefix, delimiter, place to go on from.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::refusal::Refusal;

/// What a page is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageQuery<'a> {
    pub(crate) prefix: &'a str,
    /// Empty for none.
    pub(crate) delimiter: &'a str,
    /// The key or common prefix after which the page starts; empty for the beginning.
    pub(crate) after: &'a str,
    /// The least name of the page, whatever it is after; empty for none.
    pub(crate) from: &'a str,
    pub(crate) limit: usize,
}

/// One line of a page.
pub(crate) enum Entry<'a, V> {
    Object(&'a str, &'a V),
    CommonPrefix(&'a str),
}

/// Visits the entries of a page in the order of their names; returns the last one visited if more follow.
pub(crate) fn page<V>(
    keys: &BTreeMap<Arc<str>, V>,
    query: PageQuery<'_>,
    mut visit: impl FnMut(Entry<'_, V>),
) -> Option<String> {
    let PageQuery { prefix, delimiter, after, from, limit } = query;
    if limit == 0 {
        return None;
    }
    let least = prefix.max(from);
    let mut start = if after >= least && !after.is_empty() {
        Bound::Excluded(after.to_owned())
    } else {
        Bound::Included(least.to_owned())
    };
    let mut seen = 0;
    let mut last = after.to_owned();
    'seek: loop {
        for (key, value) in
            keys.range::<str, _>((start.as_ref().map(String::as_str), Bound::Unbounded))
        {
            if !key.starts_with(prefix) {
                return None;
            }
            let common = common_prefix(key, prefix, delimiter);
            if common.is_some_and(|common| common == last) {
                // Its other keys, except what sorts after the greatest character, which the seek below did not pass.
                start = Bound::Excluded(if key.as_ref() > past(&last).as_str() {
                    key.to_string()
                } else {
                    past(&last)
                });
                continue 'seek;
            }
            if seen == limit {
                return Some(last);
            }
            seen += 1;
            match common {
                Some(common) => {
                    visit(Entry::CommonPrefix(common));
                    last = common.to_owned();
                    start = Bound::Excluded(past(common));
                    continue 'seek;
                }
                None => {
                    visit(Entry::Object(key, value));
                    if seen == limit {
                        last = key.to_string();
                    }
                }
            }
        }
        return None;
    }
}

fn common_prefix<'a>(key: &'a str, prefix: &str, delimiter: &str) -> Option<&'a str> {
    if delimiter.is_empty() {
        return None;
    }
    let at = key[prefix.len()..].find(delimiter)?;
    Some(&key[..prefix.len() + at + delimiter.len()])
}

/// A string after nearly all that start with `common`.
fn past(common: &str) -> String {
    format!("{common}{}", char::MAX)
}

/// Where a listing goes on, and which page of it that is; opaque to clients.
pub(crate) fn encode_token(page: u32, after: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{page}:{after}"))
}

/// The page and the name to go on after.
pub(crate) fn decode_token(token: &str) -> Result<(u32, String), Refusal> {
    let invalid = Refusal::Invalid("the continuation token is not one this server gave");
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid)?;
    let text = String::from_utf8(bytes).map_err(|_| invalid)?;
    let (page, after) = text.split_once(':').ok_or(invalid)?;
    Ok((page.parse().map_err(|_| invalid)?, after.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn pages(
        keys: &BTreeMap<Arc<str>, ()>,
        prefix: &str,
        delimiter: &str,
        from: &str,
        limit: usize,
    ) -> Vec<Vec<String>> {
        let mut pages = Vec::new();
        let mut after = String::new();
        loop {
            let mut names = Vec::new();
            let next =
                page(keys, PageQuery { prefix, delimiter, after: &after, from, limit }, |entry| {
                    match entry {
                        Entry::Object(key, ()) => names.push(key.to_owned()),
                        Entry::CommonPrefix(common) => names.push(format!("{common} (prefix)")),
                    }
                });
            pages.push(names);
            match next {
                Some(next) => after = decode_token(&encode_token(7, &next)).unwrap().1,
                None => return pages,
            }
        }
    }

    proptest! {
        #[test]
        fn pages_hold_what_the_model_holds(
            names in prop::collection::btree_set("[ab/\u{10ffff}]{1,6}", 0..40),
            prefix in "[ab/]{0,2}",
            delimiter in prop_oneof![Just(""), Just("/"), Just("a"), Just("b/")],
            from in "[ab/]{0,2}",
            limit in 1usize..8,
        ) {
            let keys: BTreeMap<Arc<str>, ()> = names.iter().map(|name| (Arc::from(name.as_str()), ())).collect();
            let model: BTreeSet<String> = names.iter().filter(|name| name.starts_with(&prefix) && **name >= from).map(|name| {
                let rest = &name[prefix.len()..];
                match rest.find(delimiter).filter(|_| !delimiter.is_empty()) {
                    Some(at) => format!("{prefix}{} (prefix)", &rest[..at + delimiter.len()]),
                    None => name.clone(),
                }
            }).collect();
            let pages = pages(&keys, &prefix, delimiter, &from, limit);
            prop_assert!(pages.iter().rev().skip(1).all(|page| page.len() == limit));
            let all: Vec<String> = pages.concat();
            prop_assert_eq!(all.len(), model.len());
            prop_assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), model);
        }
    }
}
