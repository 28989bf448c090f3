//! How Route 53 writes names and texts: octal escapes, final dots, and strings of 255 bytes in quotes
//! ([domain names](https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DomainNameFormat.html),
//! [TXT records](https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/ResourceRecordTypes.html#TXTFormat)).

/// The most bytes of one string of a TXT record.
const STRING: usize = 255;

/// A name as it is asked for: in small letters, without escapes and a final dot.
pub(super) fn name(written: &str) -> String {
    let name = unescape(written.strip_suffix('.').unwrap_or(written));
    name.unwrap_or_else(|| written.to_owned()).to_ascii_lowercase()
}

/// The value of a TXT record for a text, in strings of at most 255 bytes. One that is in quotes already is left as it is.
pub(super) fn quote(text: &str) -> String {
    if unquote(text).is_some() {
        return text.to_owned();
    }
    let strings = text.as_bytes().chunks(STRING).map(|bytes| {
        let written: String = bytes.iter().copied().map(escape).collect();
        format!("\"{written}\"")
    });
    strings.collect::<Vec<_>>().join(" ")
}

fn escape(byte: u8) -> String {
    match byte {
        b'"' => "\\\"".to_owned(),
        b'\\' => "\\134".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\{byte:03o}"),
    }
}

/// The text of the value of a TXT record; `None` if it is not strings in quotes, or no UTF-8.
pub(super) fn unquote(value: &str) -> Option<String> {
    let mut rest = value.trim();
    let mut written = String::new();
    while !rest.is_empty() {
        rest = rest.strip_prefix('"')?;
        let end = closing_quote(rest)?;
        written.push_str(&rest[..end]);
        rest = rest[end + 1..].trim_start();
    }
    (!value.trim().is_empty()).then(|| unescape(&written)).flatten()
}

/// Where the first quote is that no backslash precedes.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closing = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closing
    })
}

/// `None` if it is no UTF-8, or ends within an escape.
fn unescape(written: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(written.len());
    let mut rest = written.as_bytes();
    while let Some((&first, more)) = rest.split_first() {
        rest = more;
        if first != b'\\' {
            bytes.push(first);
            continue;
        }
        let octal = rest.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let octal = octal.filter(|digits| digits.bytes().all(|b| matches!(b, b'0'..=b'7')));
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[3..];
            }
            None => {
                let (&plain, more) = rest.split_first()?;
                bytes.push(plain);
                rest = more;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_as_they_are_asked_for() {
        assert_eq!(name("\\052.Example.com."), "*.example.com");
        assert_eq!(name("example.com"), "example.com");
        assert_eq!(name("a\\"), "a\\");
    }

    #[test]
    fn texts_are_written_as_route_53_documents() {
        assert_eq!(quote("v=spf1 -all"), r#""v=spf1 -all""#);
        assert_eq!(quote(r#"say "hi""#), r#""say \"hi\"""#);
        assert_eq!(quote("tab\tend\\"), r#""tab\011end\134""#);
        assert_eq!(quote(r#""one" "two""#), r#""one" "two""#);
        assert_eq!(unquote(r#""one" "two""#).as_deref(), Some("onetwo"));
        assert_eq!(unquote("plain"), None);
        assert_eq!(unquote(r#""open"#), None);
        assert_eq!(unquote(r#""\377""#), None, "no UTF-8");
        let long = quote(&"x".repeat(300));
        let lengths: Vec<_> = long.split(' ').map(str::len).collect();
        assert_eq!(lengths, [257, 47]);
    }

    proptest! {
        #[test]
        fn a_text_comes_back_whole(text in "[^\"]{1,600}|.{1,100}") {
            // One that is a quoted value itself is meant as that.
            prop_assume!(unquote(&text).is_none());
            let written = quote(&text);
            prop_assert!(written.is_ascii());
            prop_assert_eq!(unquote(&written), Some(text));
        }

        #[test]
        fn nothing_that_is_read_breaks_it(written in ".{0,80}") {
            let _ = (name(&written), unquote(&written));
        }
    }
}
