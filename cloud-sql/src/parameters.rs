//! `$1`, `$2`, … in statements for what has another notation: found outside of literals, names and comments, and written anew.

use cloud_core::{Error, Result};

/// What the text of a statement has besides words: how it quotes and comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `'…'`, `"…"` with backslashes, `` `…` ``, `-- …`, `# …`, `/* … */`.
    Mysql,
    /// `'…'`, `E'…'` with backslashes, `"…"`, `$tag$…$tag$`, `-- …`, `/* … */` that nests.
    Postgres,
}

/// The statement with each parameter as `write` has it, and the numbers of the parameters in the order in which they stand there.
///
/// `foreign` tells the notation that the receiver takes for a parameter of its own: it must not be in the statement already.
///
/// # Errors
/// `InvalidInput` for a parameter that is not `$1` to `$count`, one of these that is not used, a parameter in another notation,
/// and on MySQL a comment that is executed (`/*! … */`).
pub(crate) fn rewrite(
    statement: &str,
    dialect: Dialect,
    count: usize,
    foreign: fn(&str) -> bool,
    mut write: impl FnMut(usize, &mut String),
) -> Result<(String, Vec<usize>)> {
    let mut text = String::with_capacity(statement.len());
    let mut order = Vec::new();
    let mut rest = statement;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '$' if dialect == Dialect::Postgres && dollar_quoted(rest).is_some() => {
                dollar_quoted(rest).unwrap_or(rest.len())
            }
            '$' => {
                let length = 1 + word(&rest[1..]);
                let number = number(&rest[..length], count)?;
                order.push(number);
                write(number, &mut text);
                rest = &rest[length..];
                continue;
            }
            '\'' | '"' | '`' => quoted(rest, c, dialect == Dialect::Mysql && c != '`'),
            'e' | 'E' if dialect == Dialect::Postgres && rest[1..].starts_with('\'') => {
                1 + quoted(&rest[1..], '\'', true)
            }
            _ if is_word(c) => word(rest),
            _ => match comment(rest, dialect)? {
                Some(length) => length,
                None if foreign(rest) => {
                    let problem = format_args!("'{c}' is in the statement");
                    return Err(Error::invalid("parameters:", problem, "$1, $2, …"));
                }
                // Two colons are a cast, and no name begins there.
                None if rest.starts_with("::") => 2,
                None => c.len_utf8(),
            },
        };
        text.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    match (1..=count).find(|number| !order.contains(number)) {
        None => Ok((text, order)),
        Some(unused) => {
            let problem = format!("{count} are given, but ${unused} is not in the statement");
            Err(Error::invalid("parameters:", problem, "one value for each of $1, $2, …"))
        }
    }
}

fn number(name: &str, count: usize) -> Result<usize> {
    let digits = name.strip_prefix('$').filter(|digits| !digits.starts_with('0'));
    let number = digits.and_then(|digits| digits.parse::<usize>().ok());
    number.filter(|n| (1..=count).contains(n)).ok_or_else(|| {
        let accepted = format!("$1, $2, …, with a value for each; {count} are given");
        Error::invalid("parameters:", format_args!("'{name}' is in the statement"), accepted)
    })
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}

/// The length of the word here; `$` is part of one that has begun.
fn word(text: &str) -> usize {
    text.find(|c| !is_word(c) && c != '$').unwrap_or(text.len())
}

/// The length of a quoted text; its quote doubled, or behind a backslash, stands for itself.
fn quoted(text: &str, quote: char, backslash: bool) -> usize {
    let mut characters = text.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        if backslash && c == '\\' {
            characters.next();
        } else if c == quote {
            // Doubled, it begins the next literal as far as this is concerned: nothing stands between them.
            return at + 1;
        }
    }
    text.len()
}

/// The length of a text between two equal tags, if one begins here.
fn dollar_quoted(text: &str) -> Option<usize> {
    let end = 1 + text[1..].find('$')?;
    let name = &text[1..end];
    if !name.chars().all(is_word) || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let tag = &text[..=end];
    Some(text[tag.len()..].find(tag).map_or(text.len(), |at| at + 2 * tag.len()))
}

/// The length of a comment, if one begins here.
fn comment(text: &str, dialect: Dialect) -> Result<Option<usize>> {
    let line = |text: &str| text.find('\n').map_or(text.len(), |end| end + 1);
    let mysql = dialect == Dialect::Mysql;
    if text.starts_with("/*") {
        if mysql && (text.starts_with("/*!") || text.starts_with("/*M!")) {
            return Err(Error::invalid(
                "statement",
                "has a comment that is executed (/*! … */)",
                "a statement without it",
            ));
        }
        return Ok(Some(block(text, !mysql)));
    }
    let dashes = text.strip_prefix("--").is_some_and(|after| {
        // `5--1` is a sum on MySQL.
        !mysql
            || after.is_empty()
            || after.starts_with(|c: char| c.is_whitespace() || c.is_control())
    });
    Ok((dashes || (mysql && text.starts_with('#'))).then(|| line(text)))
}

fn block(text: &str, nested: bool) -> usize {
    let (mut at, mut depth) = (2, 1);
    while depth > 0 {
        let Some(end) = text[at..].find("*/") else {
            return text.len();
        };
        match text[at..].find("/*") {
            Some(open) if nested && open < end => {
                depth += 1;
                at += open + 2;
            }
            _ => {
                depth -= 1;
                at += end + 2;
            }
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn questions(statement: &str, dialect: Dialect, count: usize) -> Result<(String, Vec<usize>)> {
        rewrite(statement, dialect, count, |rest| rest.starts_with('?'), |_, text| text.push('?'))
    }

    #[test]
    fn parameters_in_literals_names_and_comments_are_none() {
        let (text, order) = questions(
            "SELECT $2, '$9', 'it''s $9', 'a\\'$9', \"$9\", `$9`, a$9 -- $9\n, # $9\n $1 /* $9 */, $2",
            Dialect::Mysql,
            2,
        )
        .unwrap();
        assert_eq!(
            text,
            "SELECT ?, '$9', 'it''s $9', 'a\\'$9', \"$9\", `$9`, a$9 -- $9\n, # $9\n ? /* $9 */, ?"
        );
        assert_eq!(order, [2, 1, 2]);
        let statement = "SELECT E'\\'$9', '\\', $1, $$ $9 $$, $a$ $9 $b$ $a$ /* /* $9 */ $9 */";
        let (text, order) = questions(statement, Dialect::Postgres, 1).unwrap();
        assert_eq!(text, statement.replace("$1", "?"));
        assert_eq!(order, [1]);
        assert_eq!(questions("SELECT 5--1, $1", Dialect::Mysql, 1).unwrap().1, [1]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (statement, count) in [
            ("SELECT $1", 0),
            ("SELECT $2", 1),
            ("SELECT $1", 2),
            ("SELECT $0", 1),
            ("SELECT $01", 1),
            ("SELECT ?", 0),
            ("SELECT $a", 0),
            ("SELECT $99999999999999999999", 1),
            ("SELECT '' $2", 1),
            ("/*! SET autocommit = 0 */ SELECT 1", 0),
            ("/*M!100100 SELECT 1 */", 0),
        ] {
            assert!(questions(statement, Dialect::Mysql, count).is_err(), "{statement}");
        }
    }

    /// A piece of a statement, and what becomes of it.
    fn piece() -> impl Strategy<Value = (String, bool)> {
        let inside = "[a-z$0-9 ?#*;-]{0,8}";
        prop_oneof![
            inside.prop_map(|s| (format!("'{s}'"), false)),
            inside.prop_map(|s| (format!("'{s}''{s}'"), false)),
            inside.prop_map(|s| (format!("'{s}\\'{s}\\\\'"), false)),
            inside.prop_map(|s| (format!("\"{s}\""), false)),
            inside.prop_map(|s| (format!("`{s}`"), false)),
            inside.prop_map(|s| (format!("/* {} */", s.replace(['*', '/'], "")), false)),
            inside.prop_map(|s| (format!("-- {s}\n"), false)),
            inside.prop_map(|s| (format!("#{s}\n"), false)),
            "[a-zü_][a-z0-9_$]{0,6}".prop_map(|s| (s, false)),
            "[=<>(),.*+ ]{1,3}".prop_map(|s| (s, false)),
            Just((String::new(), true)),
        ]
    }

    proptest! {
        #[test]
        fn nothing_but_parameters_is_changed(pieces in prop::collection::vec(piece(), 0..20)) {
            let (mut statement, mut wanted, mut count) = (String::new(), String::new(), 0);
            for (text, parameter) in pieces {
                // A space keeps the pieces apart.
                if parameter {
                    count += 1;
                    statement += &format!("${count} ");
                    wanted += "? ";
                } else {
                    statement += &format!("{text} ");
                    wanted += &format!("{text} ");
                }
            }
            let (text, order) = questions(&statement, Dialect::Mysql, count).unwrap();
            prop_assert_eq!(text, wanted);
            prop_assert_eq!(order, (1..=count).collect::<Vec<_>>());
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in any::<String>(), count in 0usize..4) {
            for dialect in [Dialect::Mysql, Dialect::Postgres] {
                let _ = questions(&text, dialect, count);
            }
        }

        #[test]
        fn any_signs_are_read_without_a_panic(text in "[$'\"`\\\\a1#*/!-:? \n]{0,24}", count in 0usize..4) {
            for dialect in [Dialect::Mysql, Dialect::Postgres] {
                let _ = questions(&text, dialect, count);
            }
        }
    }
}
