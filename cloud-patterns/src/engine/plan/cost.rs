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
        MonthlyCost { known: sums.into_iter().map(money).collect(), unknown }
    }
}

impl fmt::Display for MonthlyCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known.iter().map(|m| format!("{:.2} {}", m.amount, m.currency));
        let known: Vec<_> = known.collect();
        match known.as_slice() {
            [] => f.write_str("0 a month")?,
            known => write!(f, "{} a month", known.join(" + "))?,
        }
        match self.unknown {
            0 => Ok(()),
            1 => f.write_str(" and 1 resource without a known price"),
            unknown => write!(f, " and {unknown} resources without a known price"),
        }
    }
}
