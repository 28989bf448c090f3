//! Amounts of money: exact decimals with a currency, never floats.

use std::fmt;

pub use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, text::text_type};

text_type! {
    /// An ISO 4217 currency code.
    ///
    /// ```
    /// use cloud_core::Currency;
    /// assert_eq!(Currency::usd().as_str(), "USD");
    /// assert!(Currency::new("dollars").is_err());
    /// ```
    Currency, |text: &str| {
        if text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase()) {
            Ok(())
        } else {
            let problem = format!("is '{}'", text.escape_debug());
            Err(Error::invalid("currency", problem, "an ISO 4217 code such as USD"))
        }
    }
}

impl Currency {
    /// United States dollar, in which the providers publish their list prices.
    pub fn usd() -> Self {
        Self("USD".into())
    }
}

/// An amount in a currency.
///
/// ```
/// use cloud_core::Money;
/// let hourly = Money::usd("0.0416".parse().unwrap());
/// let sum = hourly.checked_add(&hourly).unwrap();
/// assert_eq!(sum.to_string(), "0.0832 USD");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// How much.
    pub amount: Decimal,
    /// Of what.
    pub currency: Currency,
}

impl Money {
    /// So many US dollars.
    pub fn usd(amount: Decimal) -> Self {
        Self { amount, currency: Currency::usd() }
    }

    /// The sum.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for two currencies or an overflow.
    pub fn checked_add(&self, other: &Self) -> Result<Self> {
        if self.currency != other.currency {
            return Err(Error::invalid(
                "currency",
                format_args!("is {} here and {} there", self.currency, other.currency),
                "one currency",
            ));
        }
        self.with_amount(self.amount.checked_add(other.amount))
    }

    /// So many times the amount.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for an overflow.
    pub fn checked_mul(&self, factor: Decimal) -> Result<Self> {
        self.with_amount(self.amount.checked_mul(factor))
    }

    fn with_amount(&self, amount: Option<Decimal>) -> Result<Self> {
        match amount {
            Some(amount) => Ok(Self { amount, currency: self.currency.clone() }),
            None => Err(Error::invalid("amount", "overflows", "up to 28 digits")),
        }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}
