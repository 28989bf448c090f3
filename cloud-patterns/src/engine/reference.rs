//! References in texts, whatever they refer to: `${…}`, and `$${` for a plain `${`.

use cloud_core::{Error, ResourceKind, Result};

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part<'a, R> {
    Text(&'a str),
    /// `$${`.
    Escape,
    Reference(R),
}

/// Takes a text apart. `read` reads what is between the braces; `accepted` says what it can read.
pub(crate) fn parse<'a, R>(
    text: &'a str,
    accepted: &str,
    read: impl Fn(&'a str) -> Option<R>,
) -> Result<Vec<Part<'a, R>>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        let escaped = before.strip_suffix('$');
        let plain = escaped.unwrap_or(before);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        if escaped.is_some() {
            parts.push(Part::Escape);
            rest = &from[2..];
            continue;
        }
        let (reference, after) = from[2..]
            .split_once('}')
            .and_then(|(inner, after)| Some((read(inner)?, after)))
            .ok_or_else(|| {
                let shown: String = from.chars().take(40).collect();
                Error::invalid(
                    "reference",
                    format_args!("is '{}'", shown.escape_debug()),
                    format_args!("{accepted}, or $${{ for a plain ${{"),
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

/// Whether a text can be the name of an output.
pub(crate) fn is_output(text: &str) -> bool {
    is_word(text, |b| b == b'_')
}

/// Whether a text can be the name of a step or of a component.
pub(crate) fn is_name(text: &str) -> bool {
    is_word(text, |b| matches!(b, b'_' | b'-'))
}

fn is_word(text: &str, mark: impl Fn(u8) -> bool) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || mark(b);
    (1..=63).contains(&text.len()) && text.bytes().all(fits)
}

/// Whether an output of a kind is a secret.
pub(crate) fn is_secret(kind: ResourceKind, output: &str) -> bool {
    kind == ResourceKind::Database && matches!(output, "url" | "password")
}
