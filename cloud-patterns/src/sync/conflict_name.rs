//! The name that a conflict's copy is kept under.

use std::fmt::Write as _;

use crc_fast::{CrcAlgorithm::Crc64Nvme, checksum};
use jiff::Timestamp;

/// Keys of S3, Azure and Google have at most this many bytes.
const MAX_BYTES: usize = 1024;
const MARK: &str = ".conflict-";
/// What is longer after the last dot is not taken for an extension.
const MAX_EXTENSION: usize = 32;

/// The name under which the target's side of a conflict is kept: `.conflict-TIME` comes before the extension of the last
/// segment, in UTC. It has at most 1,024 bytes: a key that is too long for it is cut before the mark and gets a checksum of the whole
/// key, so that two such keys have two names.
///
/// ```
/// use cloud_patterns::sync::{conflict_name, is_conflict_name};
///
/// let modified = "2026-11-21T10:15:00Z".parse().unwrap();
/// let name = conflict_name("reports/2026.pdf", modified);
/// assert_eq!(name, "reports/2026.conflict-20261121T101500Z.pdf");
/// assert!(is_conflict_name(&name));
/// ```
pub fn conflict_name(key: &str, modified: Timestamp) -> String {
    let base = key.rfind('/').map_or(0, |slash| slash + 1);
    let (stem, extension) = match key.rfind('.') {
        // A dot at the beginning of the segment hides the file, and begins no extension.
        Some(dot) if dot > base && key.len() - dot <= MAX_EXTENSION => key.split_at(dot),
        _ => (key, ""),
    };
    let mark = format!("{MARK}{}", modified.strftime("%Y%m%dT%H%M%SZ"));
    let mut name = String::with_capacity(key.len() + mark.len());
    if stem.len() + mark.len() + extension.len() <= MAX_BYTES {
        name.push_str(stem);
    } else {
        let sum = format!("~{:016x}", checksum(Crc64Nvme, key.as_bytes()));
        let room = MAX_BYTES - mark.len() - extension.len() - sum.len();
        name.push_str(&stem[..stem.floor_char_boundary(room)]);
        name.push_str(&sum);
    }
    // Writing to a String cannot fail.
    let _ = write!(name, "{mark}{extension}");
    name
}

/// Whether a key looks like one that [`conflict_name`] made.
///
/// ```
/// use cloud_patterns::sync::is_conflict_name;
/// assert!(!is_conflict_name("reports/2026.pdf"));
/// ```
pub fn is_conflict_name(key: &str) -> bool {
    let base = key.rsplit('/').next().unwrap_or(key);
    let Some((_, rest)) = base.rsplit_once(MARK) else {
        return false;
    };
    let time = rest.split('.').next().unwrap_or(rest).as_bytes();
    let pattern = b"00000000T000000Z";
    time.len() == pattern.len()
        && time.iter().zip(pattern).all(|(byte, expected)| match expected {
            b'0' => byte.is_ascii_digit(),
            letter => byte == letter,
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIME: &str = ".conflict-20261121T101500Z";

    fn name(key: &str) -> String {
        conflict_name(key, "2026-11-21T10:15:00.9Z".parse().unwrap())
    }

    #[test]
    fn the_mark_comes_before_the_extension() {
        for (key, before, after) in [
            ("a", "a", ""),
            ("a.txt", "a", ".txt"),
            ("x.y/a", "x.y/a", ""),
            ("x/a.tar.gz", "x/a.tar", ".gz"),
            (".bashrc", ".bashrc", ""),
            ("x/.bashrc", "x/.bashrc", ""),
            ("a.", "a", "."),
            ("größe.ä", "größe", ".ä"),
        ] {
            assert_eq!(name(key), format!("{before}{TIME}{after}"));
        }
        for other in [
            "a.conflict-.txt",
            "a.conflict-2026.txt",
            "a.conflict-20261121T101500Zx",
            "a",
            "a.conflict-20261121T101500Z/b",
        ] {
            assert!(!is_conflict_name(other), "{other}");
        }
    }

    #[test]
    fn long_keys_are_cut_and_stay_apart() {
        let long = "ä".repeat(511);
        let (a, b) = (name(&format!("{long}a.txt")), name(&format!("{long}b.txt")));
        assert!(a.ends_with(&format!("{TIME}.txt")) && a.starts_with("ää"));
        assert_ne!(a, b);
    }

    proptest! {
        #[test]
        fn names_are_short_enough_and_known_again(
            key in prop_oneof!["[a./]{1,30}", "[a-zä./]{900,1024}", "(x/){0,3}.{0,40}"],
            seconds in 0..4_000_000_000_i64,
        ) {
            let name = conflict_name(&key, Timestamp::from_second(seconds).unwrap());
            prop_assert!(name.len() <= MAX_BYTES);
            prop_assert!(is_conflict_name(&name), "{}", name);
            prop_assert!(name != key);
        }
    }
}
