//! Tags by AWS's rules, and the one tag of ours that is not shown.

use cloud_core::{Error, Ownership, Result, Tags};

use crate::tokens::{REQUEST_TAG, Request};

/// Key of the tag that holds the name of what has no other.
pub(crate) const NAME_TAG: &str = "Name";

/// AWS's limit for a resource, less the tag that names the create.
const MOST: usize = 49;

/// The tags to create something with: the caller's, and the one that says by which create it was made.
///
/// # Errors
/// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for what AWS does not take, naming the rule.
pub(crate) fn for_create(tags: &Tags, request: &Request) -> Result<Vec<(String, String)>> {
    check(tags)?;
    let ours = (REQUEST_TAG.to_owned(), request.tag());
    Ok(tags.iter().map(|(k, v)| (k.clone(), v.clone())).chain([ours]).collect())
}

/// [`for_create`] for what has a name by its tag `Name` only.
///
/// # Errors
/// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) as of [`for_create`], and for a tag `Name` besides.
pub(crate) fn for_named(
    name: &str,
    tags: &Tags,
    request: &Request,
) -> Result<Vec<(String, String)>> {
    check_named(tags)?;
    let mut pairs = for_create(tags, request)?;
    pairs.push((NAME_TAG.to_owned(), name.to_owned()));
    Ok(pairs)
}

/// [`check`] for what has a name by its tag `Name` only, which is one tag more.
pub(crate) fn check_named(tags: &Tags) -> Result<()> {
    check(tags)?;
    if tags.get(NAME_TAG).is_some() {
        return Err(Error::invalid("tag key", "'Name' holds the name", "keys other than 'Name'"));
    }
    if tags.len() == MOST {
        let rule = format!("at most {}: AWS allows 50, and two hold name and create", MOST - 1);
        return Err(Error::invalid("tags", format_args!("has {MOST}"), rule));
    }
    Ok(())
}

/// [`read`] of what has a name by its tag `Name` only: that, the other tags, and what says by which create it was made.
pub(crate) fn read_named<K, V>(
    pairs: impl IntoIterator<Item = (K, V)>,
) -> (Option<String>, Tags, Option<String>)
where
    K: Into<String>,
    V: Into<String>,
{
    let mut name = None;
    let pairs = pairs.into_iter().map(|(key, value)| (key.into(), value.into()));
    let others: Vec<(String, String)> = pairs
        .filter_map(|(key, value): (String, String)| match key == NAME_TAG {
            true => {
                name = Some(value);
                None
            }
            false => Some((key, value)),
        })
        .collect();
    let (tags, request) = read(others);
    (name, tags, request)
}

/// Refuses tags that AWS does not take: more than it allows, its own prefix, other characters
/// ([Tag naming limits](https://docs.aws.amazon.com/tag-editor/latest/userguide/tagging.html)).
pub(crate) fn check(tags: &Tags) -> Result<()> {
    if tags.len() > MOST {
        let problem = format!("has {}", tags.len());
        let rule = format!("at most {MOST}: AWS allows 50, and one names the create");
        return Err(Error::invalid("tags", problem, rule));
    }
    for (key, value) in tags {
        if key == REQUEST_TAG || key.to_ascii_lowercase().starts_with("aws:") {
            let problem = format!("'{key}' is reserved");
            return Err(Error::invalid("tag key", problem, "keys other than 'aws:…' and ours"));
        }
        for (field, text) in [("tag key", key), ("tag value", value)] {
            if let Some(c) = text.chars().find(|c| !allowed(*c)) {
                let problem = format!("'{text}' contains '{c}'");
                return Err(Error::invalid(field, problem, "letters, digits, spaces and _.:/=+-@"));
            }
        }
    }
    Ok(())
}

fn allowed(c: char) -> bool {
    c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c)
}

/// The tags of a resource as its view shows them, and apart from them the one that says by which create it was made.
///
/// A tag that is longer than the portable ones may be (AWS's own often are) is left out: it is none of ours.
pub(crate) fn read<K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> (Tags, Option<String>)
where
    K: Into<String>,
    V: Into<String>,
{
    let (mut tags, mut request) = (Tags::default(), None);
    for (key, value) in pairs {
        let (key, value) = (key.into(), value.into());
        match key == REQUEST_TAG {
            true => request = Some(value),
            false => drop(tags.insert(key, value)),
        }
    }
    (tags, request)
}

/// The tag by which AWS finds fewest: the deployment's or the token's, else any.
pub(crate) fn narrowest(tags: &Tags) -> Option<(&str, &str)> {
    let known = [Ownership::TOKEN, Ownership::DEPLOYMENT];
    let known = known.into_iter().find_map(|key| Some((key, tags.get(key)?)));
    known.or_else(|| tags.iter().next().map(|(key, value)| (key.as_str(), value.as_str())))
}

#[cfg(test)]
mod tests {
    use cloud_core::{ClientToken, ResourceKind};

    use super::*;

    #[test]
    fn what_aws_refuses_is_refused_by_its_rule() {
        let many = Tags::new((0..50).map(|i| (format!("k{i}"), "v"))).unwrap();
        assert!(check(&many).unwrap_err().to_string().contains("at most 49"));
        for (key, value) in
            [("aws:x", "v"), ("AWS:x", "v"), ("k", "a*b"), ("k#", "v"), (REQUEST_TAG, "v")]
        {
            assert!(check(&Tags::new([(key, value)]).unwrap()).is_err(), "{key}={value}");
        }
        assert!(check(&Tags::new([("Größe", "a b_.:/=+-@9")]).unwrap()).is_ok());
    }

    #[test]
    fn a_name_is_a_tag_and_is_not_shown_as_one() {
        let tags = Tags::new([("team", "orders")]).unwrap();
        let request =
            Request::new(ResourceKind::Instance, &"spec", &ClientToken::random()).unwrap();
        let written = for_named("web-1", &tags, &request).unwrap();
        let (name, read, made) = read_named(written);
        assert_eq!((name.as_deref(), read), (Some("web-1"), tags));
        assert!(request.made(made.as_deref()).unwrap());
        assert!(check_named(&Tags::new([("Name", "x")]).unwrap()).is_err());
        let many = |n: usize| Tags::new((0..n).map(|i| (format!("k{i}"), "v"))).unwrap();
        assert!(check_named(&many(48)).is_ok() && check_named(&many(49)).is_err());
    }

    #[test]
    fn what_is_written_is_read_without_our_own() {
        let tags = Tags::new([("team", "orders")]).unwrap();
        let request = Request::new(ResourceKind::Bucket, &"spec", &ClientToken::random()).unwrap();
        let mut written = for_create(&tags, &request).unwrap();
        written.push(("aws:cloudformation:stack-id".into(), "x".repeat(200)));
        let (read, made) = read(written);
        assert_eq!(read, tags);
        assert!(request.made(made.as_deref()).unwrap());
    }
}
