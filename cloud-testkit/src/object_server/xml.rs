//! Reading and writing the little XML that both dialects speak.

use std::fmt::Write;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::refusal::Refusal;

/// The start of every answer.
pub(crate) const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";

/// Appends `text` so that a reader gets it back exactly: white space other than the blank as references too, since a
/// parser may change it.
pub(crate) fn push_escaped(out: &mut String, text: &str) {
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let special = matches!(byte, b'&' | b'<' | b'>' | b'"' | b'\'' | 0..=0x1f | 0x7f);
        if special {
            out.push_str(&text[plain..at]);
            plain = at + 1;
            let written = match byte {
                b'&' => out.write_str("&amp;"),
                b'<' => out.write_str("&lt;"),
                b'>' => out.write_str("&gt;"),
                b'"' => out.write_str("&quot;"),
                b'\'' => out.write_str("&apos;"),
                other => write!(out, "&#{other};"),
            };
            debug_assert!(written.is_ok(), "a String takes all");
        }
    }
    out.push_str(&text[plain..]);
}

/// Appends `<name>text</name>`.
pub(crate) fn push_element(out: &mut String, name: &str, text: &str) {
    out.push('<');
    out.push_str(name);
    out.push('>');
    push_escaped(out, text);
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

/// One element of a request's body.
#[derive(Debug, Default)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) children: Vec<Element>,
}

impl Element {
    /// The text of the first child of that name.
    pub(crate) fn text_of(&self, child: &str) -> Option<&str> {
        self.child(child).map(|element| element.text.as_str())
    }

    pub(crate) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }
}

/// How deep a request may nest; the deepest that is spoken here is four.
const DEPTH_LIMIT: usize = 16;

/// The root element of a document. Text is kept exactly, white space included.
pub(crate) fn parse(body: &[u8]) -> Result<Element, Refusal> {
    let mut reader = Reader::from_reader(body);
    let mut open = vec![Element::default()];
    loop {
        let event = reader.read_event().map_err(|_| Refusal::Malformed)?;
        match event {
            Event::Start(start) if open.len() < DEPTH_LIMIT => {
                open.push(Element {
                    name: local_name(start.local_name().as_ref())?,
                    ..Element::default()
                });
            }
            Event::Start(_) => return Err(Refusal::Malformed),
            Event::Empty(start) => {
                let element = Element {
                    name: local_name(start.local_name().as_ref())?,
                    ..Element::default()
                };
                top(&mut open)?.children.push(element);
            }
            Event::End(_) => {
                let closed = open.pop().ok_or(Refusal::Malformed)?;
                top(&mut open)?.children.push(closed);
            }
            Event::Text(text) => {
                top(&mut open)?.text.push_str(&text.decode().map_err(|_| Refusal::Malformed)?)
            }
            Event::CData(text) => {
                top(&mut open)?.text.push_str(&text.decode().map_err(|_| Refusal::Malformed)?)
            }
            Event::GeneralRef(reference) => {
                let resolved = match reference.resolve_char_ref().map_err(|_| Refusal::Malformed)? {
                    Some(character) => character,
                    None => named(&reference.decode().map_err(|_| Refusal::Malformed)?)?,
                };
                top(&mut open)?.text.push(resolved);
            }
            Event::Eof => break,
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    match open.as_mut_slice() {
        [document] => document.children.pop().ok_or(Refusal::Malformed),
        _ => Err(Refusal::Malformed),
    }
}

fn top(open: &mut [Element]) -> Result<&mut Element, Refusal> {
    open.last_mut().ok_or(Refusal::Malformed)
}

fn local_name(name: &[u8]) -> Result<String, Refusal> {
    String::from_utf8(name.to_vec()).map_err(|_| Refusal::Malformed)
}

fn named(entity: &str) -> Result<char, Refusal> {
    match entity {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ => Err(Refusal::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn broken_documents_are_refused() {
        for broken in ["", "<a>", "<a></b>", "text", "<a>&unknown;</a>", &"<a>".repeat(100)] {
            assert!(parse(broken.as_bytes()).is_err(), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(text in "[\\x01-\\x7f\\PC]{0,40}") {
            let mut document = String::from(HEAD);
            document.push_str("<a><b/>");
            push_element(&mut document, "c", &text);
            document.push_str("</a>");
            let root = parse(document.as_bytes()).unwrap();
            prop_assert_eq!(root.name.as_str(), "a");
            prop_assert_eq!(root.text_of("c").unwrap(), text.as_str());
        }
    }
}
