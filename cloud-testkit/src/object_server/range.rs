//! The `Range` header: which bytes of an object a reader asks for.

use std::ops::Range;

use super::refusal::Refusal;

/// The bytes that `header` selects of an object of `size` bytes; `None` stands for all of them.
///
/// What is not one well-formed byte range is ignored, as HTTP asks; several ranges are not offered, which counts as that.
pub(crate) fn select(header: Option<&str>, size: u64) -> Result<Option<Range<u64>>, Refusal> {
    let Some((first, last)) = header
        .and_then(|value| value.strip_prefix("bytes="))
        .and_then(|value| value.split_once('-'))
    else {
        return Ok(None);
    };
    let refused = Err(Refusal::InvalidRange { size });
    match (number(first), number(last)) {
        (None, Some(suffix)) if first.is_empty() => match suffix.min(size) {
            0 => refused,
            suffix => Ok(Some(size - suffix..size)),
        },
        (Some(start), None) if last.is_empty() => {
            if start < size {
                Ok(Some(start..size))
            } else {
                refused
            }
        }
        (Some(start), Some(end)) if start <= end => {
            if start < size {
                Ok(Some(start..size.min(end.saturating_add(1))))
            } else {
                refused
            }
        }
        _ => Ok(None),
    }
}

/// Only digits: `u64` itself would also take a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_one_byte_range_is_ignored() {
        for header in [
            "",
            "bytes",
            "items=0-1",
            "bytes=-",
            "bytes=2-1",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=0-1,3-4",
        ] {
            assert_eq!(select(Some(header), 10), Ok(None), "{header}");
        }
        assert_eq!(select(None, 10), Ok(None));
    }

    proptest! {
        #[test]
        fn a_range_selects_what_a_slice_does(size in 0u64..50, a in 0u64..60, b in 0u64..60) {
            let whole: Vec<u64> = (0..size).collect();
            let expect = |numbers: Vec<u64>| match numbers.as_slice() {
                [] => Err(Refusal::InvalidRange { size }),
                [first, .., last] => Ok(Some(*first..last + 1)),
                [only] => Ok(Some(*only..only + 1)),
            };
            let from = |start: u64| whole.iter().copied().filter(move |n| *n >= start);
            prop_assert_eq!(select(Some(&format!("bytes={a}-")), size), expect(from(a).collect()));
            prop_assert_eq!(select(Some(&format!("bytes=-{a}")), size), expect(from(size.saturating_sub(a)).collect()));
            let (first, last) = (a.min(b), a.max(b));
            prop_assert_eq!(
                select(Some(&format!("bytes={first}-{last}")), size),
                expect(from(first).filter(|n| *n <= last).collect())
            );
        }
    }
}
