//! What a plan's results cost a month.

use std::{collections::BTreeMap, fmt};

use cloud_core::{Currency, Decimal, Money};

use super::{Action, Plan};

/// A sum that says what it leaves out.
///
/// ```
/// use cloud_patterns::engine::plan::MonthlyCost;
/// assert_eq!(MonthlyCost::default().to_string(), "0 a month");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MonthlyCost {
    /// The known costs, one sum for each currency.
    pub known: Vec<Money>,
    /// How many created resources have no known price.
    pub unknown: usize,
}

impl Plan {
    /// What that which the plan creates costs a month.
    pub fn monthly_cost(&self) -> MonthlyCost {
        let mut sums: BTreeMap<&Currency, Decimal> = BTreeMap::new();
        let mut unknown = 0;
        for step in &self.steps {
            match (&step.action, &step.monthly_cost) {
                (_, Some(cost)) => {
                    let sum = sums.entry(&cost.currency).or_default();
                    *sum = sum.saturating_add(cost.amount);
                }
                (Action::Create { .. }, None) => unknown += 1,
                _ => {}
            }
        }
        let money = |(currency, amount): (&Currency, Decimal)| Money {
            amount: amount.normalize(),
            currency: currency.clone(),
        };
        MonthlyCost {
            known: sums.into_iter().map(money).collect(),
            unknown,
        }
    }
}

impl fmt::Display for MonthlyCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<_> = self.known.iter().map(Money::to_string).collect();
        match (known.as_slice(), self.unknown) {
            ([], 0) => f.write_str("0 a month"),
            ([], unknown) => write!(f, "cost unknown for {unknown} resources"),
            (known, 0) => write!(f, "{} a month", known.join(" + ")),
            (known, unknown) => {
                write!(
                    f,
                    "{} a month, unknown for {unknown} resources",
                    known.join(" + ")
                )
            }
        }
    }
}
