//! References between components: `${orders.url}`, and of one replica `${web[1].address}`; `$${` is a plain `${`.

use std::fmt;

use cloud_core::{ResourceKind, Result};
use serde_json::Value;

use crate::engine::reference::{Part, is_name, is_output, parse};

/// A reference as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference<'a> {
    pub(crate) component: &'a str,
    /// Which replica, from 0; `None` if it is not said.
    pub(crate) replica: Option<u32>,
    pub(crate) output: &'a str,
}

impl fmt::Display for Reference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.replica {
            Some(replica) => write!(f, "${{{}[{replica}].{}}}", self.component, self.output),
            None => write!(f, "${{{}.{}}}", self.component, self.output),
        }
    }
}

/// The text with every reference replaced by what `look_up` says. What is escaped stays escaped.
pub(crate) fn map_text<'a>(
    text: &'a str,
    look_up: &mut impl FnMut(Reference<'a>) -> Result<String>,
) -> Result<String> {
    let accepted = "${component.output}, ${component[replica].output}";
    let mut mapped = String::with_capacity(text.len());
    for part in parse(text, accepted, read)? {
        match part {
            Part::Text(text) => mapped.push_str(text),
            Part::Escape => mapped.push_str("$${"),
            Part::Reference(reference) => mapped.push_str(&look_up(reference)?),
        }
    }
    Ok(mapped)
}

/// [`map_text`] for every text inside a value. An error is given with the path of the text, as `.a.b[2]`.
pub(crate) fn map_value<'a>(
    value: &'a Value,
    path: &mut String,
    look_up: &mut impl FnMut(&str, Reference<'a>) -> Result<String>,
) -> Result<Value> {
    let length = path.len();
    Ok(match value {
        Value::String(text) if text.contains("${") => {
            map_text(text, &mut |reference| look_up(path, reference))?.into()
        }
        Value::Array(items) => {
            let mut mapped = Vec::with_capacity(items.len());
            for (i, item) in items.iter().enumerate() {
                path.push_str(&format!("[{i}]"));
                mapped.push(map_value(item, path, look_up)?);
                path.truncate(length);
            }
            mapped.into()
        }
        Value::Object(fields) => {
            let mut mapped = serde_json::Map::new();
            for (key, field) in fields {
                path.push('.');
                path.push_str(key);
                mapped.insert(key.clone(), map_value(field, path, look_up)?);
                path.truncate(length);
            }
            mapped.into()
        }
        other => other.clone(),
    })
}

fn read(inner: &str) -> Option<Reference<'_>> {
    let (target, output) = inner.rsplit_once('.')?;
    let (component, replica) = match target.strip_suffix(']') {
        Some(target) => {
            let (component, index) = target.split_once('[')?;
            let plain = index.bytes().all(|b| b.is_ascii_digit());
            (component, Some(index.parse().ok().filter(|_| plain)?))
        }
        None => (target, None),
    };
    (is_name(component) && is_output(output)).then_some(Reference { component, replica, output })
}

/// The text as it is written where references are read: `${` becomes `$${`.
pub(crate) fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

/// The outputs of a kind besides those of its ports.
pub(crate) fn outputs(kind: ResourceKind) -> &'static [&'static str] {
    match kind {
        ResourceKind::Instance => &["id", "name", "region", "address"],
        ResourceKind::Database => &["id", "name", "region", "host", "port", "url", "password"],
        ResourceKind::Cluster => &["id", "name", "region", "endpoint"],
        _ => &["id", "name", "region"],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Result<String> {
        map_text(text, &mut |r| Ok(format!("<{}|{:?}|{}>", r.component, r.replica, r.output)))
    }

    #[test]
    fn reads_components_and_replicas() {
        assert_eq!(shown("a ${orders.url} b").unwrap(), "a <orders|None|url> b");
        assert_eq!(shown("${web[1].address}").unwrap(), "<web|Some(1)|address>");
        assert_eq!(shown("echo $${HOME}").unwrap(), "echo $${HOME}");
        for wrong in [
            "${HOME}",
            "${a.b",
            "${}",
            "${A.b}",
            "${a[x].b}",
            "${a[+1].b}",
            "${a[].b}",
            "${../a.b}",
        ] {
            let error = shown(wrong).unwrap_err().to_string();
            assert!(error.contains("accepted: ${component.output}"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn text_without_references_is_unchanged(text in "[a-z{}. \\PC]{0,40}") {
            prop_assume!(!text.contains("${"));
            prop_assert_eq!(shown(&text).unwrap(), text);
        }

        #[test]
        fn never_panics(text in "[${}a-z.\\[\\]0-9]{0,40}") {
            let _ = shown(&text);
        }
    }
}
