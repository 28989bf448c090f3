//! Statements that a pool must not run, told by reading their tokens.

use cloud_core::{Error, Result};

/// The most parameters: SQLite's limit, the lowest of all engines.
pub(crate) const MAX_PARAMETERS: usize = 32_766;

/// Words at the beginning of a statement that bind what follows to one connection, or that speak another protocol.
const REFUSED: [&str; 12] = [
    "ABORT",
    "BEGIN",
    "COMMIT",
    "COPY",
    "DISCARD",
    "END",
    "LISTEN",
    "PREPARE",
    "RELEASE",
    "ROLLBACK",
    "SAVEPOINT",
    "START",
];

/// The first word of a statement, in upper case, once it has passed.
///
/// # Errors
/// `InvalidInput` for nothing at all, a NUL, too many parameters, and what [`REFUSED`] lists.
pub(crate) fn check(statement: &str, parameters: usize, nested_comments: bool) -> Result<String> {
    if statement.contains('\0') {
        return Err(Error::invalid("statement", "contains a NUL", "SQL text"));
    }
    if parameters > MAX_PARAMETERS {
        let accepted = format_args!("at most {MAX_PARAMETERS}");
        return Err(Error::invalid("parameters", format_args!("are {parameters}"), accepted));
    }
    let rest = skip_blank(statement, nested_comments).trim_start_matches('(');
    let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
    let word = rest[..end].to_ascii_uppercase();
    if rest.is_empty() {
        return Err(Error::invalid("statement", "is empty", "one SQL statement"));
    }
    if REFUSED.contains(&&*word) {
        return Err(refused(&word));
    }
    Ok(word)
}

/// The error for a statement that begins with this word.
pub(crate) fn refused(word: &str) -> Error {
    Error::invalid(
        "statement",
        format_args!("is a {word}"),
        "statements that are complete on their own: each may run on another connection",
    )
}

/// Whether a statement that begins with this word can change rows.
pub(crate) fn changes_rows(word: &str) -> bool {
    matches!(word, "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "MERGE" | "WITH")
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// The text after white space and comments.
fn skip_blank(text: &str, nested: bool) -> &str {
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        rest = if rest.starts_with("--") {
            rest.find('\n').map_or("", |end| &rest[end..])
        } else if rest.starts_with("/*") {
            skip_comment(rest, nested)
        } else {
            return rest;
        };
    }
}

/// The text after a block comment; nothing if it does not end.
fn skip_comment(text: &str, nested: bool) -> &str {
    let (mut rest, mut depth) = (&text[2..], 1);
    while depth > 0 {
        let Some(end) = rest.find("*/") else {
            return "";
        };
        match rest.find("/*") {
            Some(open) if nested && open < end => {
                depth += 1;
                rest = &rest[open + 2..];
            }
            _ => {
                depth -= 1;
                rest = &rest[end + 2..];
            }
        }
    }
    rest
}

/// For SQLite, which takes what the other engines refuse: a parameter without a value is NULL there, several
/// statements run one after another, and parameters have five notations.
///
/// # Errors
/// `InvalidInput` for a second statement (the body of a trigger is none), a parameter that is not `$1` to `$count`, and one of
/// these that the statement does not use.
#[cfg(feature = "sqlite")]
pub(crate) fn check_sqlite(statement: &str, word: &str, count: usize) -> Result<()> {
    let mut used = vec![false; count];
    let (mut rest, mut ended, mut words) = (statement, false, 0);
    let mut trigger = false;
    loop {
        rest = skip_blank(rest, false);
        let Some(c) = rest.chars().next() else { break };
        if ended && !trigger && c != ';' {
            return Err(Error::invalid("statement", "holds more than one", "one SQL statement"));
        }
        let len = match c {
            '\'' | '"' | '`' => quoted(rest, c),
            '[' => rest.find(']').map_or(rest.len(), |end| end + 1),
            '$' | '?' | ':' | '@' | '#' => {
                let len = 1 + rest[1..].find(|c| !is_word(c)).unwrap_or(rest.len() - 1);
                mark(&rest[..len], &mut used)?;
                len
            }
            c if is_word(c) => {
                let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                words += 1;
                trigger |=
                    word == "CREATE" && words <= 3 && rest[..len].eq_ignore_ascii_case("TRIGGER");
                len
            }
            other => {
                ended |= other == ';';
                other.len_utf8()
            }
        };
        rest = &rest[len..];
    }
    match used.iter().position(|used| !used) {
        None => Ok(()),
        Some(unused) => {
            let problem = format!("{count} are given, but ${} is not in the statement", unused + 1);
            Err(Error::invalid("parameters:", problem, "one value for each of $1, $2, …"))
        }
    }
}

/// The length of a quoted text; its quote doubled stands for itself.
#[cfg(feature = "sqlite")]
fn quoted(text: &str, quote: char) -> usize {
    let mut at = 1;
    while let Some(end) = text[at..].find(quote) {
        at += end + 1;
        if !text[at..].starts_with(quote) {
            return at;
        }
        at += 1;
    }
    text.len()
}

#[cfg(feature = "sqlite")]
fn mark(name: &str, used: &mut [bool]) -> Result<()> {
    let number = name
        .strip_prefix('$')
        .filter(|digits| !digits.starts_with('0'))
        .and_then(|digits| digits.parse::<usize>().ok());
    match number.and_then(|n| used.get_mut(n - 1)) {
        Some(used) => {
            *used = true;
            Ok(())
        }
        None => {
            let accepted = format!("$1, $2, …, with a value for each; {} are given", used.len());
            Err(Error::invalid(
                "parameters:",
                format_args!("'{name}' is in the statement"),
                accepted,
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_binds_a_connection_is_refused_behind_comments_too() {
        for statement in [
            "BEGIN",
            "  begin immediate",
            "-- x\ncommit",
            "/* a */ /* b */ROLLBACK",
            "COPY t FROM STDIN",
            "/* /* nested */ SELECT */ SAVEPOINT a",
        ] {
            assert!(check(statement, 0, true).is_err(), "{statement}");
        }
        for statement in ["", "  ", "-- x", "/* open", "SELECT '\0'"] {
            assert!(check(statement, 0, true).is_err(), "{statement:?}");
        }
        assert!(check("SELECT 1", MAX_PARAMETERS + 1, true).is_err());
        assert_eq!(check("-- x\n select 1", 0, true).unwrap(), "SELECT");
        assert_eq!(check("(select 1)", 0, true).unwrap(), "SELECT");
        assert_eq!(check("BEGINNING", 0, true).unwrap(), "BEGINNING");
    }

    #[cfg(feature = "sqlite")]
    mod sqlite {
        use proptest::prelude::*;

        use super::super::*;

        fn passes(statement: &str, count: usize) -> bool {
            let word = check(statement, count, false).unwrap();
            check_sqlite(statement, &word, count).is_ok()
        }

        #[test]
        fn parameters_must_match_their_values() {
            assert!(passes("SELECT $1, $2, $1", 2));
            assert!(passes("SELECT '$9', \"$9\", `$9`, [$9], a$9 -- $9\n, /* $9 */ $1", 1));
            assert!(passes("SELECT 'it''s $9' || $1", 1));
            assert!(passes("SELECT größe$9", 0));
            for (statement, count) in [
                ("SELECT $1", 0),
                ("SELECT $2", 1),
                ("SELECT $1", 2),
                ("SELECT $0", 1),
                ("SELECT $01", 1),
                ("SELECT ?", 1),
                ("SELECT ?1", 1),
                ("SELECT :a", 1),
                ("SELECT @a", 1),
                ("SELECT $a", 1),
                ("SELECT $99999999999999999999", 1),
                ("SELECT '' $2", 1),
            ] {
                assert!(!passes(statement, count), "{statement} with {count}");
            }
        }

        #[test]
        fn only_a_trigger_holds_more_statements() {
            assert!(passes("SELECT 1;", 0));
            assert!(passes("SELECT 1; -- end\n ;", 0));
            assert!(passes(
                "CREATE TEMP TRIGGER a AFTER INSERT ON b BEGIN DELETE FROM c; DELETE FROM d; END",
                0
            ));
            assert!(!passes("SELECT 1; DROP TABLE a", 0));
            assert!(!passes("CREATE TABLE a (b); DROP TABLE trigger", 0));
        }

        proptest! {
            #[test]
            fn any_text_is_judged_without_a_panic(text in any::<String>(), count in 0usize..4) {
                if let Ok(word) = check(&text, count, false) {
                    let _ = check_sqlite(&text, &word, count);
                }
            }
        }
    }
}
