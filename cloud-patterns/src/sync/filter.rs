//! Which objects take part in a sync: by key, size and age.

use std::{fmt, time::Duration};

use cloud_core::{ByteSize, Error, Result};
use globset::{Candidate, GlobBuilder, GlobMatcher};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::schedule::optional_duration;

/// Which objects take part. The default is all of them.
///
/// An object takes part if no pattern of `exclude` matches its key, and one of `include` does or there is none, and
/// size and age are within their limits. What is left out is neither copied nor deleted.
///
/// The patterns are those of rclone, case-sensitive, on the key below the prefix of the location:
///
/// | pattern | matches |
/// |---|---|
/// | `*` | any characters but `/` |
/// | `?` | one byte but `/` (a letter that is not ASCII has several: `??` or `*`) |
/// | `[a-z]`, `[!a-z]` | one of them, one byte that is none of them |
/// | `{jpg,png}` | one of the patterns between the braces |
/// | `**` | any number of folders; stands alone between slashes |
/// | `\*` | the character itself |
/// | `*.jpg` | without a slash first: at the end of the key, from the beginning of a segment: `a.jpg`, `x/y/a.jpg` |
/// | `dir/*.jpg` | the same: `dir/a.jpg`, `x/dir/a.jpg`, but not `mydir/a.jpg` |
/// | `/dir/*.jpg` | with a slash first: from the beginning of the key: `dir/a.jpg` only |
/// | `dir/**`, `dir/` | everything below a folder `dir` |
///
/// The order of the patterns does not matter: `exclude` is always the stronger.
///
/// ```
/// use cloud_patterns::sync::FilterSpec;
///
/// let spec: FilterSpec = serde_json::from_str(
///     r#"{"include": ["*.{jpg,png}"], "exclude": ["/tmp/"], "max_size": "10MiB", "min_age": "30d"}"#,
/// ).unwrap();
/// assert_eq!(spec.max_size.map(|size| size.bytes()), Some(10 << 20));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FilterSpec {
    /// Patterns of which one has to match. None: every key.
    pub include: Vec<String>,
    /// Patterns of which none may match.
    pub exclude: Vec<String>,
    /// The smallest size: `1KiB`.
    pub min_size: Option<ByteSize>,
    /// The greatest size: `10MiB`.
    pub max_size: Option<ByteSize>,
    /// How long ago an object was last written at least: `1h`.
    #[serde(with = "optional_duration")]
    pub min_age: Option<Duration>,
    /// How long ago an object was last written at most: `30d`.
    #[serde(with = "optional_duration")]
    pub max_age: Option<Duration>,
}

/// A [`FilterSpec`] made ready.
///
/// ```
/// use cloud_patterns::sync::{Filter, FilterSpec, Rejected};
/// use jiff::Timestamp;
///
/// let spec = FilterSpec { exclude: vec!["*.tmp".into(), "/cache/".into()], ..FilterSpec::default() };
/// let filter = Filter::new(&spec).unwrap();
/// let now = Timestamp::UNIX_EPOCH;
/// assert_eq!(filter.admits("a/b.txt", 1, now, now), Ok(()));
/// assert_eq!(filter.admits("a/b.tmp", 1, now, now), Err(Rejected::Excluded { pattern: 0 }));
/// assert!(filter.excludes_prefix("cache/x"));
/// ```
#[derive(Clone, Debug)]
pub struct Filter {
    include: Vec<GlobMatcher>,
    exclude: Vec<GlobMatcher>,
    /// Folders that are excluded with everything below them.
    excluded_folders: Vec<GlobMatcher>,
    /// Where the included keys can only be, if that can be said of all patterns: folders without wildcards, with a slash
    /// at the end.
    included_folders: Option<Vec<String>>,
    sizes: (u64, u64),
    ages: (SignedDuration, SignedDuration),
    everything: bool,
}

/// Why an object takes no part.
///
/// ```
/// use cloud_patterns::sync::Rejected;
/// assert_eq!(Rejected::Excluded { pattern: 0 }.to_string(), "excluded by filter.exclude[0]");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejected {
    /// A pattern of `exclude` matches.
    Excluded {
        /// Which one, from 0.
        pattern: usize,
    },
    /// No pattern of `include` matches.
    NotIncluded,
    /// Below `min_size`.
    TooSmall,
    /// Above `max_size`.
    TooLarge,
    /// Younger than `min_age`.
    TooYoung,
    /// Older than `max_age`.
    TooOld,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Excluded { pattern } => {
                return write!(f, "excluded by filter.exclude[{pattern}]");
            }
            Self::NotIncluded => "not matched by filter.include",
            Self::TooSmall => "smaller than filter.min_size",
            Self::TooLarge => "larger than filter.max_size",
            Self::TooYoung => "younger than filter.min_age",
            Self::TooOld => "older than filter.max_age",
        })
    }
}

impl Filter {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](cloud_core::ErrorKind::InvalidInput) for a pattern that cannot be read, and for
    /// limits that no object can keep.
    ///
    /// ```
    /// use cloud_patterns::sync::{Filter, FilterSpec};
    ///
    /// let spec = FilterSpec { include: vec!["*.jpg".into(), "a[".into()], ..FilterSpec::default() };
    /// assert!(Filter::new(&spec).unwrap_err().to_string().contains("filter.include[1]"));
    /// ```
    pub fn new(spec: &FilterSpec) -> Result<Self> {
        let include = patterns("include", &spec.include)?;
        let exclude = patterns("exclude", &spec.exclude)?;
        let included_folders =
            include.iter().map(Pattern::fixed_folder).collect::<Option<Vec<_>>>();
        Ok(Self {
            excluded_folders: exclude.iter().filter_map(Pattern::whole_folder).collect(),
            included_folders: included_folders.filter(|folders| !folders.is_empty()),
            include: include.into_iter().map(|pattern| pattern.matcher).collect(),
            exclude: exclude.into_iter().map(|pattern| pattern.matcher).collect(),
            sizes: sizes(spec)?,
            ages: ages(spec)?,
            everything: *spec == FilterSpec::default(),
        })
    }

    /// Whether an object takes part. An object that was written in the future is of age 0.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn admits(
        &self,
        key: &str,
        size: u64,
        modified: Timestamp,
        now: Timestamp,
    ) -> Result<(), Rejected> {
        if self.everything {
            return Ok(());
        }
        let age = now.duration_since(modified).max(SignedDuration::ZERO);
        if size < self.sizes.0 {
            return Err(Rejected::TooSmall);
        }
        if size > self.sizes.1 {
            return Err(Rejected::TooLarge);
        }
        if age < self.ages.0 {
            return Err(Rejected::TooYoung);
        }
        if age > self.ages.1 {
            return Err(Rejected::TooOld);
        }
        self.admits_key(key)
    }

    /// [`admits`](Self::admits) by the key alone.
    ///
    /// # Errors
    /// [`Rejected::Excluded`] or [`Rejected::NotIncluded`].
    pub fn admits_key(&self, key: &str) -> Result<(), Rejected> {
        let key = Candidate::new(key);
        if let Some(pattern) = self.exclude.iter().position(|glob| glob.is_match_candidate(&key)) {
            return Err(Rejected::Excluded { pattern });
        }
        let included = self.include.is_empty()
            || self.include.iter().any(|glob| glob.is_match_candidate(&key));
        included.then_some(()).ok_or(Rejected::NotIncluded)
    }

    /// Whether surely no key below a folder takes part, so that it need not be listed. `false` says nothing.
    /// A slash at the end of `folder` does not matter; the empty one is the whole location.
    pub fn excludes_prefix(&self, folder: &str) -> bool {
        let folder = folder.trim_end_matches('/');
        // What excludes a folder excludes the ones in it.
        let mut ancestors = folder
            .match_indices('/')
            .map(|(at, _)| &folder[..at])
            .chain((!folder.is_empty()).then_some(folder));
        if ancestors.any(|path| self.excluded_folders.iter().any(|glob| glob.is_match(path))) {
            return true;
        }
        let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        self.included_folders.as_ref().is_some_and(|included| {
            !included.iter().any(|path| path.starts_with(&folder) || folder.starts_with(path))
        })
    }
}

/// A pattern of the specification, compiled.
struct Pattern {
    /// From the beginning of the key, as it is matched.
    rooted: String,
    /// Whether it was written so.
    anchored: bool,
    matcher: GlobMatcher,
}

fn patterns(list: &str, texts: &[String]) -> Result<Vec<Pattern>> {
    let numbered = texts.iter().enumerate();
    numbered.map(|(index, text)| Pattern::new(&format!("filter.{list}[{index}]"), text)).collect()
}

impl Pattern {
    fn new(field: &str, text: &str) -> Result<Self> {
        let invalid = |problem: &dyn fmt::Display| {
            Error::invalid(
                field,
                format_args!("'{}' {problem}", text.escape_debug()),
                "a pattern such as *.jpg, dir/** or /dir/*.{jpg,png}, with ** alone between slashes",
            )
        };
        if text.trim_start_matches('/').is_empty() {
            return Err(invalid(&"names nothing"));
        }
        if text.contains("//") {
            return Err(invalid(&"has an empty segment"));
        }
        if !recursion_stands_alone(text) {
            return Err(invalid(&"has ** beside other characters"));
        }
        let anchored = text.starts_with('/');
        let mut rooted = match text.strip_prefix('/') {
            Some(rooted) => rooted.to_owned(),
            None => format!("**/{text}"),
        };
        if rooted.ends_with('/') {
            rooted.push_str("**");
        }
        let matcher = compile(&rooted)
            .map_err(|error| invalid(&format_args!("cannot be read: {}", error.kind())))?;
        Ok(Self { rooted, anchored, matcher })
    }

    /// Matches the folders below which it matches everything.
    fn whole_folder(&self) -> Option<GlobMatcher> {
        match self.rooted.as_str() {
            "**" => compile("**").ok(),
            // A stem that cannot be compiled ends in an escape.
            rooted => compile(rooted.strip_suffix("/**")?).ok(),
        }
    }

    /// The folder, without wildcards, below which all of its matches are.
    fn fixed_folder(&self) -> Option<String> {
        let literal = self.rooted.split(['*', '?', '[', '{', '\\']).next()?;
        let end = literal.rfind('/').map_or(0, |slash| slash + 1);
        self.anchored.then(|| literal[..end].to_owned())
    }
}

fn compile(rooted: &str) -> Result<GlobMatcher, globset::Error> {
    let glob = GlobBuilder::new(rooted)
        .literal_separator(true)
        .backslash_escape(true)
        .empty_alternates(true)
        .build()?;
    Ok(glob.compile_matcher())
}

/// Whether each `**` is a segment of its own. Elsewhere it is taken for `*` by some programs and for any characters by others.
fn recursion_stands_alone(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (mut at, mut in_class) = (0, false);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'[' if !in_class => {
                in_class = true;
                // A bracket that comes first is one of the class.
                at += usize::from(bytes.get(at + 1) == Some(&b'!'));
                at += usize::from(bytes.get(at + 1) == Some(&b']'));
            }
            b']' => in_class = false,
            b'*' if !in_class && bytes.get(at + 1) == Some(&b'*') => {
                let before = at.checked_sub(1).and_then(|before| bytes.get(before));
                let after = bytes.get(at + 2);
                if !matches!(before, None | Some(b'/' | b'{' | b','))
                    || !matches!(after, None | Some(b'/' | b'}' | b','))
                {
                    return false;
                }
                at += 1;
            }
            _ => {}
        }
        at += 1;
    }
    true
}

fn sizes(spec: &FilterSpec) -> Result<(u64, u64)> {
    let min = spec.min_size.map_or(0, ByteSize::bytes);
    let max = spec.max_size.map_or(u64::MAX, ByteSize::bytes);
    if min > max {
        let (min, max) = (ByteSize::from_bytes(min), ByteSize::from_bytes(max));
        let accepted = format_args!("at most filter.max_size, {max}");
        return Err(Error::invalid("filter.min_size", format_args!("is {min}"), accepted));
    }
    Ok((min, max))
}

fn ages(spec: &FilterSpec) -> Result<(SignedDuration, SignedDuration)> {
    // What does not fit is longer than any age.
    let limit = |age: Duration| SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
    let min = spec.min_age.map_or(SignedDuration::ZERO, limit);
    let max = spec.max_age.map_or(SignedDuration::MAX, limit);
    if let (Some(youngest), Some(oldest)) = (spec.min_age, spec.max_age)
        && min > max
    {
        let shown = humantime::format_duration;
        let accepted = format_args!("at most filter.max_age, {}", shown(oldest));
        let problem = format_args!("is {}", shown(youngest)).to_string();
        return Err(Error::invalid("filter.min_age", problem, accepted));
    }
    Ok((min, max))
}

#[cfg(test)]
mod tests;
