//! References to what earlier steps gave: `${step.output}` in any text of a spec or an input; `$${` is a plain `${`.

use cloud_core::Result;
use serde_json::Value;

use crate::engine::reference::{self, is_name, is_output};

/// A part of a text.
pub(super) type Part<'a> = reference::Part<'a, Reference<'a>>;

/// One reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference<'a> {
    pub(super) step: &'a str,
    pub(super) output: &'a str,
}

/// Takes a text apart.
pub(super) fn parse(text: &str) -> Result<Vec<Part<'_>>> {
    reference::parse(text, "${step.output}", |inner| {
        let (step, output) = inner.split_once('.')?;
        (is_name(step) && is_output(output)).then_some(Reference { step, output })
    })
}

/// Calls `see` with every reference in a value.
pub(super) fn references<'a>(
    value: &'a Value,
    see: &mut impl FnMut(Reference<'a>) -> Result<()>,
) -> Result<()> {
    match value {
        Value::String(text) if text.contains("${") => {
            parse(text)?.into_iter().try_for_each(|part| match part {
                Part::Reference(reference) => see(reference),
                Part::Text(_) | Part::Escape => Ok(()),
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
        Value::Array(items) => {
            Value::Array(items.iter().map(|i| fill(i, look_up)).collect::<Result<_>>()?)
        }
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
            Part::Escape => filled.push_str("${"),
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
        for wrong in ["${HOME}", "${a.b", "${}", "${A.b}", "${a.b.c}", "${a/../b.c}"] {
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
