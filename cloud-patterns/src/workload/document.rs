//! A text in YAML, JSON or TOML as data that knows the line and column of each of its parts.

use std::fmt;

use cloud_core::{Error, ErrorKind, Result};
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// The largest text that is read.
const MAX_BYTES: usize = 64 << 20;
/// The deepest nesting.
const MAX_DEPTH: usize = 64;

/// The format of a text.
///
/// ```
/// use cloud_patterns::workload::Format;
/// assert_eq!(Format::of_path("shop.yml".as_ref()).unwrap(), Format::Yaml);
/// assert!(Format::of_path("shop.ini".as_ref()).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// YAML 1.2.
    Yaml,
    /// JSON.
    Json,
    /// TOML 1.1.
    Toml,
}

impl Format {
    /// The format that a file's name says: `.yaml`, `.yml`, `.json` or `.toml`.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for any other name.
    pub fn of_path(path: &std::path::Path) -> Result<Self> {
        let extension = path.extension().and_then(|e| e.to_str());
        match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("yaml" | "yml") => Ok(Self::Yaml),
            Some("json") => Ok(Self::Json),
            Some("toml") => Ok(Self::Toml),
            _ => Err(Error::invalid(
                "workload file",
                format_args!("is '{}'", path.display().to_string().escape_debug()),
                "a name that ends in .yaml, .yml, .json or .toml",
            )),
        }
    }
}

/// A place in a text: line and column from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    line: usize,
    column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A text that was read.
#[derive(Debug)]
pub(super) struct Document(Tree);

/// A part of it. The place of an entry is that of its key, and of an item its own.
#[derive(Debug)]
enum Tree {
    Leaf(Value),
    List(Vec<(Place, Tree)>),
    Map(Vec<(Place, String, Tree)>),
}

impl Document {
    /// Reads a text. Refuses what is too large or too deep, a key that comes twice, and whatever the format refuses.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), with line and column.
    pub(super) fn parse(text: &str, format: Format) -> Result<Self> {
        if text.len() > MAX_BYTES {
            let problem = format!("has {} bytes", text.len());
            return Err(Error::invalid("workload", problem, format_args!("at most {MAX_BYTES}")));
        }
        match format {
            Format::Yaml => yaml(text),
            // What is JSON is YAML too, and serde_json does not tell places; but not all YAML is JSON.
            Format::Json => json(text).and_then(|()| yaml(text)),
            Format::Toml => toml(text),
        }
        .map(Self)
    }

    /// The whole as a type. Errors have the path and the place of the field.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T> {
        serde_path_to_error::deserialize(self.0.to_value()).map_err(|e| {
            let path = match e.path().to_string() {
                path if path == "." => "workload".to_owned(),
                path => path,
            };
            let error = Error::new(ErrorKind::InvalidInput, format!("{path}: {}", e.inner()));
            self.locate(&path, error)
        })
    }

    /// Puts the place of the nearest part that a path leads to in front of an error.
    pub(super) fn locate(&self, path: &str, error: Error) -> Error {
        match self.0.find(path) {
            Some(place) => error.context(place),
            None => error.context(Place { line: 1, column: 1 }),
        }
    }
}

impl Tree {
    fn to_value(&self) -> Value {
        match self {
            Self::Leaf(value) => value.clone(),
            Self::List(items) => items.iter().map(|(_, item)| item.to_value()).collect(),
            Self::Map(entries) => {
                let entry =
                    |(_, key, value): &(Place, String, Self)| (key.clone(), value.to_value());
                Value::Object(entries.iter().map(entry).collect::<Map<_, _>>())
            }
        }
    }

    /// The place of the last part of `path` (`a.b[2].c`) that is there.
    fn find(&self, path: &str) -> Option<Place> {
        let path = path.trim_start_matches('.');
        match self {
            Self::List(items) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                let (place, item) = items.get(index.parse::<usize>().ok()?)?;
                Some(item.find(rest).unwrap_or(*place))
            }
            Self::Map(entries) => {
                // Keys may contain dots and brackets: the longest one that fits is meant.
                let fits = |(_, key, _): &&(Place, String, Self)| {
                    path.strip_prefix(key.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
                };
                let (place, key, value) =
                    entries.iter().filter(fits).max_by_key(|(_, key, _)| key.len())?;
                Some(value.find(&path[key.len()..]).unwrap_or(*place))
            }
            Self::Leaf(_) => None,
        }
    }
}

fn wrong(place: Option<Place>, what: &str, problem: impl fmt::Display) -> Error {
    // A parser's message may end in the excerpt of many lines; the first says what is wrong.
    let problem = problem.to_string();
    let first = problem.lines().next().unwrap_or_default();
    let error = Error::new(ErrorKind::InvalidInput, format!("not valid {what}: {first}"));
    match place {
        Some(place) => error.context(place),
        None => error,
    }
}

fn json(text: &str) -> Result<()> {
    serde_json::from_str::<IgnoredAny>(text).map(drop).map_err(|e| {
        let (line, column) = (e.line(), e.column());
        wrong(Some(Place { line, column }), "JSON", e)
    })
}

fn yaml(text: &str) -> Result<Tree> {
    let budget = serde_saphyr::budget! {
        max_depth: MAX_DEPTH,
        max_documents: 1,
        // Texts are bounded by their size; these bound what aliases can make of them.
        max_events: 40_000_000,
        max_nodes: 20_000_000,
        max_total_scalar_bytes: MAX_BYTES,
    };
    let options = serde_saphyr::options! {
        budget: budget,
        with_snippet: false,
        strict_booleans: true,
    };
    serde_saphyr::from_str_with_options::<Spanned>(text, options).map(|spanned| spanned.1).map_err(
        |e| {
            let place = e
                .location()
                .map(|at| Place { line: at.line() as usize, column: at.column() as usize });
            wrong(place, "YAML", e.without_snippet())
        },
    )
}

/// A tree as the YAML reader gives it, with its own place.
struct Spanned(Place, Tree);

impl<'de> Deserialize<'de> for Spanned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = serde_saphyr::Spanned::<Tree>::deserialize(deserializer)?;
        Ok(Self(place_of(&spanned), spanned.value))
    }
}

fn place_of<T>(spanned: &serde_saphyr::Spanned<T>) -> Place {
    Place { line: spanned.referenced.line() as usize, column: spanned.referenced.column() as usize }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
                Ok(Tree::Leaf(value.into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
                Ok(Tree::Leaf(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
                Ok(Tree::Leaf(value.into()))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Tree, E> {
                finite(value)
                    .map(Tree::Leaf)
                    .ok_or_else(|| E::custom("a number that is not finite"))
            }
            fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
                Ok(Tree::Leaf(value.into()))
            }
            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Leaf(Value::Null))
            }
            fn visit_none<E>(self) -> Result<Tree, E> {
                Ok(Tree::Leaf(Value::Null))
            }
            fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Tree, D::Error> {
                Tree::deserialize(inner)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
                let mut list = Vec::new();
                while let Some(Spanned(place, item)) = items.next_element()? {
                    list.push((place, item));
                }
                Ok(Tree::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
                let mut map = Vec::new();
                while let Some(key) = entries.next_key::<serde_saphyr::Spanned<String>>()? {
                    let place = place_of(&key);
                    map.push((place, key.value, entries.next_value()?));
                }
                Ok(Tree::Map(map))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

fn finite(value: f64) -> Option<Value> {
    serde_json::Number::from_f64(value).map(Value::Number)
}

fn toml(text: &str) -> Result<Tree> {
    let lines = Lines::new(text);
    let table = toml::de::DeTable::parse(text).map_err(|e| {
        let place = e.span().map(|span| lines.place(span.start));
        wrong(place, "TOML", e.message())
    })?;
    toml_table(table.into_inner(), &lines, 0)
}

fn toml_table(table: toml::de::DeTable<'_>, lines: &Lines<'_>, depth: usize) -> Result<Tree> {
    let entries = table.into_iter().map(|(key, value)| {
        let place = lines.place(key.span().start);
        let value = toml_value(value, lines, depth + 1)?;
        Ok((place, key.into_inner().into_owned(), value))
    });
    entries.collect::<Result<_>>().map(Tree::Map)
}

fn toml_value(
    value: toml::Spanned<toml::de::DeValue<'_>>,
    lines: &Lines<'_>,
    depth: usize,
) -> Result<Tree> {
    use toml::de::DeValue;
    let place = lines.place(value.span().start);
    if depth > MAX_DEPTH {
        let problem = format!("it is nested deeper than {MAX_DEPTH}");
        return Err(wrong(Some(place), "TOML", problem));
    }
    let number = |number: Option<Value>| {
        number.ok_or_else(|| wrong(Some(place), "TOML", "a number is out of range"))
    };
    Ok(match value.into_inner() {
        DeValue::String(text) => Tree::Leaf(text.into_owned().into()),
        DeValue::Boolean(value) => Tree::Leaf(value.into()),
        DeValue::Integer(value) => {
            let (digits, radix) = (value.as_str(), value.radix());
            let signed = i64::from_str_radix(digits, radix).map(Value::from);
            let any = signed.or_else(|_| u64::from_str_radix(digits, radix).map(Value::from));
            Tree::Leaf(number(any.ok())?)
        }
        DeValue::Float(value) => {
            let value = value.as_str().parse().ok().and_then(finite);
            Tree::Leaf(number(value)?)
        }
        DeValue::Datetime(value) => Tree::Leaf(value.to_string().into()),
        DeValue::Array(items) => {
            let items = items.into_iter().map(|item| {
                let place = lines.place(item.span().start);
                Ok((place, toml_value(item, lines, depth + 1)?))
            });
            Tree::List(items.collect::<Result<_>>()?)
        }
        DeValue::Table(table) => toml_table(table, lines, depth)?,
    })
}

/// From byte offsets to lines and columns.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, b)| *b == b'\n');
        let starts = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts[line - 1];
        let before = self.text.get(start..offset).unwrap_or_default();
        Place { line, column: before.chars().count() + 1 }
    }
}
