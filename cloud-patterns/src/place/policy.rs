//! Deployment policies: named steps that rule places out or make them count as dearer.

use std::{fmt, sync::Arc};

use cloud_core::{Decimal, Location, Provider, Purchase};

use super::sites::lies_in;
use crate::workload::{
    Component,
    policies::{CompliancePolicy, ProviderPolicy},
};

/// A component at a place, as a policy sees it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The component.
    pub component: &'a Component,
    /// The place.
    pub place: &'a Location,
    /// Who provides it.
    pub provider: Provider,
    /// ISO 3166-1 alpha-2 code of the country that it lies in.
    pub country: Option<&'a str>,
    /// The blocs that it counts to for data residency, such as `EU`.
    pub residency: &'a [String],
    /// The regimes that it is attested for.
    pub compliance: &'a [String],
    /// The instance type; `None` for what is no instance, or whose type is unknown.
    pub instance_type: Option<&'a str>,
    /// The terms under which it is bought.
    pub purchase: Purchase,
    /// What a month of one replica costs, in the currency of the catalog; `None` if unknown.
    pub monthly_cost: Option<Decimal>,
}

/// What counts on top of a candidate's cost when places are compared. Nobody pays it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Surcharge {
    /// A share of its cost: 0.1 for a tenth.
    Share(f64),
    /// An amount per month and replica, in the currency of the catalog.
    Amount(Decimal),
}

/// A named step of placement. Each is asked about every candidate that fits; all of them hold together, in no order.
///
/// A filter and a score of your own, each in a line:
///
/// ```
/// use cloud_patterns::place::{Policies, Surcharge, filter, score};
///
/// let mut policies = Policies::default();
/// policies.add(filter("no-burstable", |candidate| match candidate.instance_type {
///     Some(name) if name.starts_with("t3.") => Err("t3 is throttled under load".into()),
///     _ => Ok(()),
/// }));
/// policies.add(score("green", |candidate| {
///     (candidate.country != Some("SE")).then_some(Surcharge::Share(0.05))
/// }));
/// assert_eq!(policies.names().collect::<Vec<_>>(), ["no-burstable", "green"]);
/// ```
pub trait Policy: Send + Sync {
    /// Its name, in reasons and clashes.
    fn name(&self) -> &str;

    /// Rules a candidate out, saying why. Default: none.
    ///
    /// # Errors
    /// The reason, in words.
    fn filter(&self, candidate: &Candidate<'_>) -> Result<(), String> {
        let _ = candidate;
        Ok(())
    }

    /// What counts on top of the candidate's cost; less than 0 counts as 0. Default: nothing.
    fn score(&self, candidate: &Candidate<'_>) -> Option<Surcharge> {
        let _ = candidate;
        None
    }
}

/// A policy that rules out what `test` refuses. See [`Policy`].
pub fn filter(
    name: impl Into<String>,
    test: impl Fn(&Candidate<'_>) -> Result<(), String> + Send + Sync + 'static,
) -> impl Policy + 'static {
    Filter(name.into(), test)
}

struct Filter<F>(String, F);

impl<F: Fn(&Candidate<'_>) -> Result<(), String> + Send + Sync> Policy for Filter<F> {
    fn name(&self) -> &str {
        &self.0
    }
    fn filter(&self, candidate: &Candidate<'_>) -> Result<(), String> {
        (self.1)(candidate)
    }
}

/// A policy that has candidates count as dearer. See [`Policy`].
pub fn score(
    name: impl Into<String>,
    surcharge: impl Fn(&Candidate<'_>) -> Option<Surcharge> + Send + Sync + 'static,
) -> impl Policy + 'static {
    Score(name.into(), surcharge)
}

struct Score<F>(String, F);

impl<F: Fn(&Candidate<'_>) -> Option<Surcharge> + Send + Sync> Policy for Score<F> {
    fn name(&self) -> &str {
        &self.0
    }
    fn score(&self, candidate: &Candidate<'_>) -> Option<Surcharge> {
        (self.1)(candidate)
    }
}

/// Policies that hold together.
#[derive(Clone, Default)]
pub struct Policies(Vec<Arc<dyn Policy>>);

impl Policies {
    /// Adds one.
    pub fn add(&mut self, policy: impl Policy + 'static) {
        self.0.push(Arc::new(policy));
    }

    /// Their names, in the order in which they were added.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|policy| policy.name())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<dyn Policy>> {
        self.0.iter()
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// Equal if they are the very same policies.
impl PartialEq for Policies {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| Arc::ptr_eq(a, b))
    }
}

/// `prefer_provider` and `avoid_provider`.
pub(super) struct ByProvider {
    pub(super) name: &'static str,
    pub(super) settings: ProviderPolicy,
    /// Whether those named are the ones that count as dearer.
    pub(super) avoid: bool,
}

impl Policy for ByProvider {
    fn name(&self) -> &str {
        self.name
    }

    fn score(&self, candidate: &Candidate<'_>) -> Option<Surcharge> {
        let provider = candidate.provider.as_str();
        let named = self.settings.providers.iter().any(|name| {
            name.eq_ignore_ascii_case(provider) || name == candidate.place.cloud.as_str()
        });
        (named == self.avoid).then_some(Surcharge::Share(self.settings.surcharge))
    }
}

/// `compliance`.
pub(super) struct Compliance {
    /// Its regimes by their usual names.
    pub(super) settings: CompliancePolicy,
}

impl Policy for Compliance {
    fn name(&self) -> &str {
        "compliance"
    }

    fn filter(&self, candidate: &Candidate<'_>) -> Result<(), String> {
        let attested = |regime: &&String| candidate.compliance.iter().any(|a| a == *regime);
        if let Some(missing) = self.settings.regimes.iter().find(|regime| !attested(regime)) {
            return Err(format!("it is not attested for {missing}"));
        }
        if self.settings.residency.is_empty() {
            return Ok(());
        }
        match lies_in(candidate.country, candidate.residency, &self.settings.residency) {
            None => Err("its country is unknown".into()),
            Some(true) => Ok(()),
            Some(false) => {
                let country = candidate.country.unwrap_or("an unknown country");
                let wanted = self.settings.residency.join(" or ");
                Err(format!("it lies in {country}, which is not in {wanted}"))
            }
        }
    }
}
