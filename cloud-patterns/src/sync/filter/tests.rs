use proptest::prelude::*;

use super::*;

fn filter(include: &[&str], exclude: &[&str]) -> Filter {
    let owned = |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect();
    let (include, exclude) = (owned(include), owned(exclude));
    Filter::new(&FilterSpec { include, exclude, ..FilterSpec::default() }).unwrap()
}

fn includes(pattern: &str, key: &str) -> bool {
    filter(&[pattern], &[]).admits_key(key).is_ok()
}

#[test]
fn patterns_mean_what_they_mean_in_rclone() {
    for (pattern, matching, others) in [
        (
            "file.jpg",
            vec!["file.jpg", "d/file.jpg"],
            vec!["afile.jpg", "d/afile.jpg", "file.jpg/x"],
        ),
        ("/file.jpg", vec!["file.jpg"], vec!["afile.jpg", "d/file.jpg"]),
        (
            "*.jpg",
            vec!["file.jpg", "d/e/file.jpg", ".jpg"],
            vec!["file.png", "file.jpg/x", "a.JPG"],
        ),
        ("/*.jpg", vec!["file.jpg"], vec!["file.png", "d/file.jpg"]),
        ("*.{jpg,png}", vec!["file.jpg", "d/file.png"], vec!["file.gif"]),
        ("a{,.bak}", vec!["a", "a.bak"], vec!["ab"]),
        ("dir/**", vec!["dir/x", "s/dir/t/x"], vec!["file", "s/file", "dir", "mydir/x"]),
        ("dir/", vec!["dir/x", "s/dir/t/x"], vec!["dir", "mydir/x"]),
        ("/dir/", vec!["dir/x", "dir/t/x"], vec!["s/dir/x"]),
        ("*.t?t", vec!["file.txt", "d/file.tzt"], vec!["file.qxt", "a.t/t"]),
        ("*.[a-c]", vec!["f.a", "d/f.b"], vec!["f.0", "f.d"]),
        ("*.[!a-c]", vec!["f.0"], vec!["f.a"]),
        (r"*.\?\*", vec!["f.?*"], vec!["f.ab"]),
        ("*.[*][*]", vec!["f.**"], vec!["f.a"]),
        ("a/**/z", vec!["a/z", "a/b/z", "x/a/b/c/z"], vec!["az", "a/bz"]),
        ("**", vec!["a", "a/b"], vec![]),
        ("/**", vec!["a", "a/b"], vec![]),
        ("*/**", vec!["a/b", "a/b/c"], vec!["a"]),
        ("a.", vec!["a.", "x/a."], vec!["a", "a.b"]),
        ("??.txt", vec!["é.txt", "ab.txt"], vec!["a.txt"]),
        ("größe*", vec!["größe1", "x/größe"], vec!["grosse"]),
    ] {
        for key in matching {
            assert!(includes(pattern, key), "{pattern} should match {key}");
            assert_eq!(
                filter(&[], &[pattern]).admits_key(key),
                Err(Rejected::Excluded { pattern: 0 })
            );
        }
        for key in others {
            assert!(!includes(pattern, key), "{pattern} should not match {key}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    for (bad, problem) in [
        ("", "names nothing"),
        ("/", "names nothing"),
        ("a//b", "empty segment"),
        ("a**", "** beside other"),
        ("**.jpg", "** beside other"),
        ("a/***", "** beside other"),
        ("a[b", "cannot be read"),
        ("{a", "cannot be read"),
        ("a}", "cannot be read"),
        (r"a\", "cannot be read"),
    ] {
        let spec = FilterSpec { exclude: vec!["ok".into(), bad.into()], ..FilterSpec::default() };
        let message = Filter::new(&spec).unwrap_err().to_string();
        assert!(message.contains("filter.exclude[1] '"), "{message}");
        assert!(message.contains(problem) && message.contains("accepted: "), "{message}");
    }
}

#[test]
fn sizes_and_ages_are_inclusive_limits() {
    let spec: FilterSpec = serde_json::from_str(
        r#"{"min_size": "1KiB", "max_size": "10MiB", "min_age": "1h", "max_age": "30d"}"#,
    )
    .unwrap();
    let filter = Filter::new(&spec).unwrap();
    let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
    let ago = |seconds| now - SignedDuration::from_secs(seconds);
    let (hour, month) = (3600, 30 * 24 * 3600);
    for (size, seconds, expected) in [
        (1024, hour, Ok(())),
        (10 << 20, month, Ok(())),
        (1023, hour, Err(Rejected::TooSmall)),
        ((10 << 20) + 1, hour, Err(Rejected::TooLarge)),
        (1024, hour - 1, Err(Rejected::TooYoung)),
        (1024, -hour, Err(Rejected::TooYoung)),
        (1024, month + 1, Err(Rejected::TooOld)),
    ] {
        assert_eq!(filter.admits("a", size, ago(seconds), now), expected);
    }
    let written = serde_json::to_string(&spec).unwrap();
    assert_eq!(serde_json::from_str::<FilterSpec>(&written).unwrap(), spec);
}

#[test]
fn limits_that_nothing_keeps_are_refused() {
    for (text, problem) in [
        (
            r#"{"min_size": 2, "max_size": 1}"#,
            "filter.min_size is 2B; accepted: at most filter.max_size, 1B",
        ),
        (
            r#"{"min_age": "2s", "max_age": "1s"}"#,
            "filter.min_age is 2s; accepted: at most filter.max_age, 1s",
        ),
    ] {
        let spec: FilterSpec = serde_json::from_str(text).unwrap();
        let message = Filter::new(&spec).unwrap_err().to_string();
        assert!(message.contains(problem), "{message}");
    }
    for unreadable in [r#"{"min_age": "soon"}"#, r#"{"max_size": -1}"#, r#"{"includes": []}"#] {
        assert!(serde_json::from_str::<FilterSpec>(unreadable).is_err());
    }
}

#[test]
fn folders_are_left_out_where_that_is_sure() {
    let excluding = filter(&[], &["/tmp/", "cache/**", "*.log"]);
    for folder in ["tmp", "tmp/", "tmp/a", "cache", "x/cache/y/"] {
        assert!(excluding.excludes_prefix(folder), "{folder}");
    }
    for folder in ["", "tmpx", "x/tmp", "a.log"] {
        assert!(!excluding.excludes_prefix(folder), "{folder}");
    }
    let including = filter(&["/photos/2026/*.jpg", "/docs/**"], &[]);
    for folder in ["", "photos", "photos/2026", "photos/2026/x", "docs/a"] {
        assert!(!including.excludes_prefix(folder), "{folder}");
    }
    for folder in ["music", "photos/2025", "photo", "doc"] {
        assert!(including.excludes_prefix(folder), "{folder}");
    }
    assert!(!filter(&["/a/x", "*.jpg"], &[]).excludes_prefix("b"));
    assert!(!filter(&[], &[]).excludes_prefix("b"));
}

/// Matches segment by segment, as slowly as it is plain.
fn reference(pattern: &str, key: &str) -> bool {
    let key: Vec<&str> = key.split('/').collect();
    match pattern.strip_prefix('/') {
        Some(rooted) => segments(&rooted.split('/').collect::<Vec<_>>(), &key),
        None => {
            let pattern: Vec<&str> = pattern.split('/').collect();
            (0..key.len()).any(|from| segments(&pattern, &key[from..]))
        }
    }
}

fn segments(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern, key) {
        // The last one stands for at least one segment.
        (["**"], key) => !key.is_empty(),
        (["**", rest @ ..], key) => (0..=key.len()).any(|from| segments(rest, &key[from..])),
        ([first, rest @ ..], [segment, below @ ..]) => {
            characters(first.as_bytes(), segment.as_bytes()) && segments(rest, below)
        }
        (pattern, key) => pattern.is_empty() && key.is_empty(),
    }
}

fn characters(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([b'*', rest @ ..], text) => (0..=text.len()).any(|from| characters(rest, &text[from..])),
        ([b'?', rest @ ..], [_, text @ ..]) => characters(rest, text),
        ([a, rest @ ..], [b, text @ ..]) => a == b && characters(rest, text),
        (pattern, text) => pattern.is_empty() && text.is_empty(),
    }
}

fn a_key() -> impl Strategy<Value = String> {
    prop::collection::vec("[ab.]{1,3}", 1..5).prop_map(|segments| segments.join("/"))
}

fn a_pattern() -> impl Strategy<Value = String> {
    let segment =
        prop_oneof![3 => "[ab?.]{1,2}", 3 => "[ab.]?[*][ab.]?", 1 => Just("**".to_owned())];
    (any::<bool>(), prop::collection::vec(segment, 1..4), any::<bool>()).prop_map(
        |(anchored, segments, folder)| {
            let (before, after) =
                (if anchored { "/" } else { "" }, if folder { "/**" } else { "" });
            format!("{before}{}{after}", segments.join("/"))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn globs_are_those_of_the_reference(pattern in a_pattern(), key in a_key()) {
        prop_assert_eq!(includes(&pattern, &key), reference(&pattern, &key), "{} {}", pattern, key);
    }

    #[test]
    fn nothing_below_an_excluded_folder_takes_part(
        include in prop::collection::vec(a_pattern(), 0..3),
        exclude in prop::collection::vec(a_pattern(), 0..3),
        folder in a_key(),
        below in a_key(),
    ) {
        let filter = Filter::new(&FilterSpec { include, exclude, ..FilterSpec::default() }).unwrap();
        if filter.excludes_prefix(&folder) {
            let key = format!("{folder}/{below}");
            prop_assert!(filter.admits_key(&key).is_err(), "{}", key);
        }
    }

    #[test]
    fn no_pattern_panics(pattern in any::<String>(), key in any::<String>()) {
        let spec = FilterSpec { include: vec![pattern], ..FilterSpec::default() };
        if let Ok(filter) = Filter::new(&spec) {
            let _ = filter.admits_key(&key);
            filter.excludes_prefix(&key);
        }
    }
}
