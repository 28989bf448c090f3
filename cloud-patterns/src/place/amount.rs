//! From exact prices to the whole numbers that the solver counts in, and back.

use cloud_core::{Decimal, Money};

/// The hours of a month, as the providers count them.
pub(super) const HOURS: u32 = 730;
/// The solver's units of a unit of currency: it counts in millionths.
pub(super) const MICRO: i64 = 1_000_000;

/// So many millionths, the nearest; `None` if that is beyond what the solver can add up.
pub(super) fn micro(amount: Decimal) -> Option<i64> {
    let (mantissa, scale) = (amount.mantissa(), amount.scale());
    let scaled = match scale {
        0..=6 => mantissa.checked_mul(10i128.pow(6 - scale))?,
        _ => {
            let divisor = 10i128.pow(scale - 6);
            let half = if mantissa < 0 { -divisor / 2 } else { divisor / 2 };
            (mantissa + half) / divisor
        }
    };
    i64::try_from(scaled).ok().filter(|units| units.abs() <= MOST)
}

/// The largest cost of one thing: a hundred million units of currency a month.
pub(super) const MOST: i64 = 100_000_000 * MICRO;

/// So many millionths as an amount.
pub(super) fn decimal(micro: i64) -> Decimal {
    Decimal::new(micro, 6).normalize()
}

/// To cents; what is less is shown as it is.
pub(super) fn short(money: &Money) -> String {
    let cents = money.amount.round_dp(2);
    let shown = if cents.is_zero() { money.amount } else { cents };
    format!("{} {}", shown.normalize(), money.currency)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_rounded_to_the_nearest_millionth() {
        for (text, expected) in [
            ("0.0416", Some(41_600)),
            ("0.0000005", Some(1)),
            ("0.00000049", Some(0)),
            ("-0.0000005", Some(-1)),
            ("100000000", Some(MOST)),
            ("100000000.000001", None),
            ("79228162514264337593543950335", None),
        ] {
            assert_eq!(micro(text.parse().unwrap()), expected, "{text}");
        }
        assert_eq!(decimal(7_300_000).to_string(), "7.3");
    }
}
