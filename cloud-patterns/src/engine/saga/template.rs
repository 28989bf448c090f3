//! References to what earlier steps gave: `${step.output}` in any text of a spec or an input; `$${` is a plain `${`.

use cloud_core::{Error, Result};
use serde_json::Value;

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Text(&'a str),
    Reference(Reference<'a>),
}

/// One reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference<'a> {
    pub(super) step: &'a str,
    pub(super) output: &'a str,
}

/// Takes a text apart.
pub(super) fn parse(text: &str) -> Result<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            // `$${`: all up to and with the first `$` is text, and so is the brace.
            parts.push(Part::Text(&rest[..at]));
            parts.push(Part::Text("{"));
            rest = &rest[at + 2..];
            continue;
        }
        if at > 0 {
            parts.push(Part::Text(&rest[..at]));
        }
        let inner = &rest[at + 2..];
        let (reference, after) = inner
            .split_once('}')
            .and_then(|(name, after)| Some((read(name)?, after)))
            .ok_or_else(|| {
                let shown: String = rest[at..].chars().take(40).collect();
                Error::invalid(
                    "reference",
                    format_args!("is '{}'", shown.escape_debug()),
                    "${step.output}, or $${ for a plain ${",
                )
            })?;
        parts.push(Part::Reference(reference));
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    Ok(parts)
}

fn read(name: &str) -> Option<Reference<'_>> {
    let (step, output) = name.split_once('.')?;
    let word = |text: &str, dash: bool| {
        (1..=63).contains(&text.len())
            && text
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_') || (dash && b == b'-'))
    };
    (word(step, true) && word(output, false)).then_some(Reference { step, output })
}

/// Calls `see` with every reference in a value.
pub(super) fn references<'a>(
    value: &'a Value,
    see: &mut impl FnMut(Reference<'a>) -> Result<()>,
) -> Result<()> {
    match value {
        Value::String(text) if text.contains("${") => {
            parse(text)?.into_iter().try_for_each(|part| match part {
                Part::Text(_) => Ok(()),
                Part::Reference(reference) => see(reference),
            })
        }
        Value::Array(items) => items.iter().try_for_each(|item| references(item, see)),
        Value::Object(fields) => fields.values().try_for_each(|field| references(field, see)),
        _ => Ok(()),
    }
}

/// The value with every reference replaced by what `look_up` says.
pub(super) fn fill(
    value: &Value,
    look_up: &mut impl FnMut(Reference<'_>) -> Result<String>,
) -> Result<Value> {
    Ok(match value {
        Value::String(text) => Value::String(fill_text(text, look_up)?),
        Value::Array(items) => Value::Array(
            items
                .iter()
                .map(|i| fill(i, look_up))
                .collect::<Result<_>>()?,
        ),
        Value::Object(fields) => {
            let fill = |(name, field): (&String, &Value)| Ok((name.clone(), fill(field, look_up)?));
            Value::Object(fields.iter().map(fill).collect::<Result<_>>()?)
        }
        other => other.clone(),
    })
}

/// The text with every reference replaced by what `look_up` says.
pub(super) fn fill_text(
    text: &str,
    look_up: &mut impl FnMut(Reference<'_>) -> Result<String>,
) -> Result<String> {
    if !text.contains("${") {
        return Ok(text.to_owned());
    }
    let mut filled = String::with_capacity(text.len());
    for part in parse(text)? {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Reference(reference) => filled.push_str(&look_up(reference)?),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn look(reference: Reference<'_>) -> Result<String> {
        Ok(format!("<{}:{}>", reference.step, reference.output))
    }

    #[test]
    fn whole_embedded_escaped() {
        let filled = |text| fill_text(text, &mut look);
        assert_eq!(filled("${net.id}").unwrap(), "<net:id>");
        assert_eq!(
            filled("http://${web-1.address}:80/${a.b}").unwrap(),
            "http://<web-1:address>:80/<a:b>"
        );
        assert_eq!(filled("echo $${HOME} $x").unwrap(), "echo ${HOME} $x");
        assert_eq!(filled("a$${b.c}${b.c}").unwrap(), "a${b.c}<b:c>");
        for wrong in [
            "${HOME}",
            "${a.b",
            "${}",
            "${A.b}",
            "${a.b.c}",
            "${a/../b.c}",
        ] {
            let error = filled(wrong).unwrap_err().to_string();
            assert!(error.contains("accepted: ${step.output}"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn escaped_text_comes_out_as_it_was(text in "[a-z${}. ]{0,40}") {
            // A `$` just before `${` cannot be told from an escape; such texts have no escaped form.
            prop_assume!(!text.contains("$${"));
            let escaped = text.replace("${", "$${");
            prop_assert_eq!(fill_text(&escaped, &mut look).unwrap(), text);
        }

        #[test]
        fn never_panics(text in "\\PC{0,60}") {
            let _ = fill_text(&text, &mut look);
        }
    }
}
