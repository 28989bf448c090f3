//! Checks that every text from outside passes, and the macro for text types that are valid by construction.

use crate::{Error, Result};

/// Refuses an empty text, one of more than `max_bytes` bytes, and one with control characters.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput), naming `field`.
///
/// ```
/// use cloud_core::text::check_text;
/// assert!(check_text("description", "orders, Europe", 100).is_ok());
/// let error = check_text("description", "a\u{7}b", 100).unwrap_err();
/// assert!(error.to_string().contains("description contains the control character U+0007"));
/// ```
pub fn check_text(field: &str, value: &str, max_bytes: usize) -> Result<()> {
    let accepted = format_args!("1 to {max_bytes} bytes of UTF-8 without control characters");
    if value.is_empty() {
        return Err(Error::invalid(field, "is empty", accepted));
    }
    if value.len() > max_bytes {
        let problem = format!("has {} bytes", value.len());
        return Err(Error::invalid(field, problem, accepted));
    }
    if let Some(c) = value.chars().find(|c| c.is_control()) {
        let problem = format!("contains the control character U+{:04X}", c as u32);
        return Err(Error::invalid(field, problem, accepted));
    }
    Ok(())
}

/// [`check_text`] for the name of a resource: besides, no path separator, not `.` or `..`, and no white
/// space at either end, so that no name can leave the folder or the URL it is put into.
///
/// A provider's own rule is narrower; see [`NameRule`](crate::NameRule).
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput), naming `field`.
///
/// ```
/// use cloud_core::text::check_name;
/// assert!(check_name("name", "größe-1").is_ok());
/// assert!(check_name("name", "../etc/passwd").is_err());
/// ```
pub fn check_name(field: &str, value: &str) -> Result<()> {
    const ACCEPTED: &str = "1 to 255 bytes without '/', '\\', control characters or white space at an end, and not '.' or '..'";
    check_text(field, value, 255)?;
    let problem = if value.contains(['/', '\\']) {
        "contains a path separator"
    } else if value == "." || value == ".." {
        "is a relative path"
    } else if value.trim() != value {
        "begins or ends with white space"
    } else {
        return Ok(());
    };
    Err(Error::invalid(field, format!("'{value}' {problem}"), ACCEPTED))
}

/// Refuses everything but ASCII letters, digits and the `extra` characters, beginning with a letter or digit.
pub(crate) fn check_identifier(field: &str, value: &str, max: usize, extra: &[char]) -> Result<()> {
    check_text(field, value, max)?;
    let good = value.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(&c))
        && value.starts_with(|c: char| c.is_ascii_alphanumeric());
    if good {
        return Ok(());
    }
    let extra: String = extra.iter().map(|c| format!(" '{c}'")).collect();
    Err(Error::invalid(
        field,
        format!("is '{value}'"),
        format_args!("1 to {max} ASCII letters, digits and{extra}, a letter or digit first"),
    ))
}

/// A cheap-to-clone text type that can only hold what its check accepts; serialised as a plain string.
macro_rules! text_type {
    ($(#[$meta:meta])* $name:ident, $check:expr) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Checks and wraps the text.
            ///
            /// # Errors
            /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput), saying what is accepted.
            pub fn new(text: impl AsRef<str>) -> $crate::Result<Self> {
                let text = text.as_ref();
                #[allow(clippy::redundant_closure_call)]
                ($check)(text)?;
                Ok(Self(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text, shared.
            #[allow(dead_code)]
            pub(crate) fn shared(&self) -> std::sync::Arc<str> {
                std::sync::Arc::clone(&self.0)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::Error;
            fn from_str(text: &str) -> $crate::Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::Error;
            fn try_from(text: String) -> $crate::Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = $crate::Error;
            fn try_from(text: &str) -> $crate::Result<Self> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0.to_string()
            }
        }
    };
}
pub(crate) use text_type;

/// Gives a field-less enum its names: `ALL`, `as_str`, `Display`, and `FromStr` whose error lists them.
macro_rules! names {
    ($(#[$all:meta])* $enum:ident as $field:literal { $($variant:ident => $text:literal,)* }) => {
        impl $enum {
            $(#[$all])*
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$variant),*];

            /// Its name in files and logs.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl std::fmt::Display for $enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $enum {
            type Err = $crate::Error;

            fn from_str(text: &str) -> $crate::Result<Self> {
                let found = Self::ALL.into_iter().find(|value| value.as_str() == text);
                found.ok_or_else(|| {
                    let names = [$($text),*].join(", ");
                    let problem = format!("is '{}'", text.escape_debug());
                    $crate::Error::invalid($field, problem, names)
                })
            }
        }
    };
}
pub(crate) use names;
