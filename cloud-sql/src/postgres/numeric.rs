//! PostgreSQL's `numeric` on the wire, to and from text with every digit kept. (Decimal types of other crates lose digits,
//! trailing zeros, NaN or the infinities.)

/// The form: count of digits, weight of the first, sign, digits after the point; then digits to the base 10,000.
const NEGATIVE: u16 = 0x4000;
const SPECIAL: [(u16, &str); 3] = [(0xC000, "NaN"), (0xD000, "Infinity"), (0xF000, "-Infinity")];

/// The most digits before and after the point that the server takes.
const MOST: (usize, usize) = (131_072, 16_383);

/// The text of a number; `None` if the bytes are not one.
pub(crate) fn to_text(bytes: &[u8]) -> Option<String> {
    let mut words = bytes.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]]));
    let (count, weight, sign, scale) = (words.next()?, words.next()?, words.next()?, words.next()?);
    if let Some((_, name)) = SPECIAL.iter().find(|(code, _)| *code == sign) {
        return Some((*name).to_owned());
    }
    let digits: Vec<u16> = words.collect();
    if digits.len() != usize::from(count) || digits.iter().any(|d| *d > 9999) {
        return None;
    }
    let weight = i32::from(weight.cast_signed());
    let group =
        |at: i32| usize::try_from(at).ok().and_then(|at| digits.get(at)).copied().unwrap_or(0);
    let whole: String = (0..=weight).map(|at| format!("{:04}", group(at))).collect();
    let whole = whole.trim_start_matches('0');
    let scale = usize::from(scale);
    let groups = i32::try_from(scale.div_ceil(4)).ok()?;
    // The first group after the point has the weight -1; where the first digit lies further behind, it is zero.
    let mut part: String = (1..=groups).map(|at| format!("{:04}", group(weight + at))).collect();
    part.truncate(scale);
    let minus = if sign == NEGATIVE { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if scale == 0 { "" } else { "." };
    Some(format!("{minus}{whole}{point}{part}"))
}

/// The bytes of a number that is written out (`-12.50`, no exponent); `None` for any other text.
pub(crate) fn from_text(text: &str) -> Option<Vec<u8>> {
    if let Some((code, _)) = SPECIAL.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)) {
        return Some(encode(0, *code, 0, &[]));
    }
    let (sign, plain) = match text.strip_prefix('-') {
        Some(rest) => (NEGATIVE, rest),
        None => (0, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, part) = plain.split_once('.').unwrap_or((plain, ""));
    let all_digits = whole.bytes().chain(part.bytes()).all(|b| b.is_ascii_digit());
    if !all_digits || whole.len() + part.len() == 0 || whole.len() > MOST.0 || part.len() > MOST.1 {
        return None;
    }
    let before = whole.len().div_ceil(4);
    let padded = format!("{whole:0>0$}{part:0<1$}", before * 4, part.len().div_ceil(4) * 4);
    let digits: Vec<u16> = padded
        .as_bytes()
        .chunks(4)
        .map(|four| four.iter().fold(0, |n, b| n * 10 + u16::from(b - b'0')))
        .collect();
    let zeros = digits.iter().take_while(|d| **d == 0).count();
    let end = digits.iter().rposition(|d| *d != 0).map_or(zeros, |last| last + 1);
    let weight = i16::try_from(before).ok()?.checked_sub(i16::try_from(zeros).ok()?)? - 1;
    let sign = if zeros == end { 0 } else { sign };
    Some(encode(
        weight,
        sign,
        u16::try_from(part.len()).ok()?,
        digits.get(zeros..end).unwrap_or(&[]),
    ))
}

fn encode(weight: i16, sign: u16, scale: u16, digits: &[u16]) -> Vec<u8> {
    let count = u16::try_from(digits.len()).unwrap_or(u16::MAX);
    [count, weight.cast_unsigned(), sign, scale]
        .iter()
        .chain(digits)
        .flat_map(|word| word.to_be_bytes())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round(text: &str) -> Option<String> {
        to_text(&from_text(text)?)
    }

    #[test]
    fn every_digit_is_kept() {
        for text in [
            "0",
            "0.00",
            "1",
            "-1",
            "10000",
            "12.50",
            "0.0001",
            "0.00001",
            "-0.000000000012",
            "99999999.99999999",
            "100000000000000000000000000000000000000",
            "NaN",
            "Infinity",
            "-Infinity",
        ] {
            assert_eq!(round(text).as_deref(), Some(text));
        }
        assert_eq!(round("+007.0").as_deref(), Some("7.0"));
        assert_eq!(round("-0").as_deref(), Some("0"));
        assert_eq!(round(".5").as_deref(), Some("0.5"));
        for bad in ["", "-", ".", "1e5", "1,5", " 1", "0x1", "1.2.3", "٣"] {
            assert_eq!(from_text(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn numbers_come_back(text in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?") {
            let zero = text.bytes().all(|b| matches!(b, b'-' | b'.' | b'0'));
            let expected = if zero { text.trim_start_matches('-') } else { &text };
            let back = round(&text);
            prop_assert_eq!(back.as_deref(), Some(expected));
        }

        #[test]
        fn any_bytes_are_judged_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = to_text(&bytes);
        }
    }
}
