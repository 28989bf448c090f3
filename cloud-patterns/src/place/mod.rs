//! Where things go: which place each component gets, what that costs, why, and why no other. A pure function of what is
//! wanted, what the catalog knows, and what is there.
//!
//! # What is decided
//! Components that share a network go to one region together; so do those with affinity. All others are decided at
//! once, with the traffic between them, quotas, distances and the budget: the solver finds the cheapest whole, or how far from
//! it its answer is at most.
//!
//! # What counts
//! - An instance costs its hourly price for 730 hours, a cluster its node pools too, a database its storage where that has a price, a
//!   bucket its expected size. What is paid by use (functions, buckets of unknown size) is compared by the price of one unit a month.
//! - Traffic between regions costs what the sender's cloud asks. The volume of each pair of components walks the steps of a graduated
//!   price from its beginning: several pairs do not share steps, and free volumes are granted to each. Traffic within a region is
//!   priced as within a zone. Where a price is not known, the pair is not put so.
//! - The solver counts in millionths of the currency per month; prices of more digits are rounded to the nearest. The figures of the answer
//!   are exact.
//!
//! # Latency and money
//! A component that optimises for latency is put where latency is least, and among equals where cost is. One that blends the two
//! has each place count as `cost + (l / c) * cheapest * latency / best`: its weights `l` and `c`, what it costs where it
//! is cheapest, and the least latency of its places, at least 1 ms. At equal weights a place twice as near is worth twice the money. With a
//! budget, what latency and the surcharges of policies count for is reduced until the money fits.
//!
//! # Staying
//! What is there already stays, unless moving saves enough: see [`Threshold`].
//!
//! # Where to find what
//! | step | files |
//! |---|---|
//! | what is asked | `request`, `policy`, `blocks` and `failover` (want of capacity), `stay` (what is there), `observe` (what clouds say) |
//! | interned | `model`, from it `sites` (places, prices, limits), `filter` (requirements of one place), `demand` (what fits where) |
//! | in plain numbers | `draft` (the solver's problem), `tariff` (traffic), `amount` (rounding) |
//! | solved | [`solve`], which knows nothing of clouds |
//! | answered | `answer`, `explain` with `reason`, `sensitivity` |
//! | no answer | `infeasible` (which requirements, in words), `clash` (a minimal set) |

mod amount;
mod answer;
mod blocks;
mod clash;
mod demand;
mod draft;
mod explain;
mod failover;
mod filter;
mod infeasible;
mod model;
mod observe;
mod policy;
mod reason;
mod request;
mod sensitivity;
mod sites;
pub mod solve;
mod stay;
mod tariff;
#[cfg(test)]
mod tests;

use cloud_core::{Error, ErrorKind, Result};

pub use self::{
    answer::{Placed, Placement, Replica},
    blocks::{Block, Blocks, Reach},
    explain::{Explanation, Rejected, RejectedOffer, RunnerUp},
    failover::Failure,
    infeasible::Clash,
    observe::{Observation, ObservedCloud, ObservedRegion, observe},
    policy::{Candidate, Policies, Policy, Surcharge, filter, score},
    reason::Reason,
    request::{InFlight, Request, Settled, Wanted},
    sensitivity::Sensitivity,
    stay::{Current, Move, StatusQuo, Threshold},
};
use self::{
    draft::{Choice, Draft},
    model::Model,
    solve::{Outcome, Progress, Solution},
};

/// Finds a place for everything.
///
/// ```
/// use cloud_core::{Currency, ResourceType};
/// use cloud_patterns::{catalog::Catalog, place::{Request, Wanted, place}, workload::Component};
///
/// let component = Component::new("web", ResourceType::Compute);
/// let wanted = Wanted { component: &component, resource_name: "shop-web".into(), replicas: 1, pinned: None };
/// let catalog = Catalog::new(Currency::usd());
/// let request = Request::new(&catalog, vec![wanted]);
/// assert!(place(&request).unwrap_err().to_string().contains("there is no place for 'web'"));
/// ```
///
/// # Errors
/// [`CapacityUnavailable`](ErrorKind::CapacityUnavailable) if there is no place for something, and
/// [`BudgetExceeded`](ErrorKind::BudgetExceeded) if there is none within the budget; the error's source is the [`Clash`], the
/// requirements that cannot be met together. [`Timeout`](ErrorKind::Timeout) if the solver found no answer within its limits, nor that
/// there is none. [`InvalidInput`](ErrorKind::InvalidInput) for a target, regime or country that is unknown, a spec that cannot be
/// read, or a budget in another currency.
pub fn place<'a>(request: &'a Request<'a>) -> Result<Placement<'a>> {
    place_with(request, &mut |_| {})
}

/// [`place`], telling how far it is. Costs are in millionths of the currency a month.
///
/// # Errors
/// As for [`place`].
pub fn place_with<'a>(
    request: &'a Request<'a>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Placement<'a>> {
    let model = Model::new(request)?;
    match decide(&model, &request.solve, progress)? {
        Decision::Found { draft, solution, weight } => {
            Placement::new(request, model, &draft, &solution, weight)
        }
        Decision::Infeasible => Err(infeasible::explain(&model, request)?.into_error(&model)),
        Decision::Unknown { bound } => Err(unknown(&model, bound)),
    }
}

/// What came of it.
enum Decision {
    Found { draft: Box<Draft>, solution: Solution, weight: f64 },
    Infeasible,
    Unknown { bound: i64 },
}

/// How often what latency and surcharges count for is halved before only money counts.
const HALVINGS: u32 = 40;

fn decide(
    model: &Model<'_>,
    options: &solve::SolveOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Decision> {
    let mut attempt = |weight: f64, ceiling: bool| -> Result<Decision> {
        let draft = model.draft(&Choice { weight, ceiling, ..Choice::ALL });
        if draft.problem.items.iter().any(|item| item.options.is_empty()) {
            return Ok(Decision::Infeasible);
        }
        Ok(match solve::solve(&draft.problem, options, progress)? {
            Outcome::Solved(solution) => {
                Decision::Found { draft: Box::new(draft), solution, weight }
            }
            Outcome::Infeasible => Decision::Infeasible,
            Outcome::Unknown { bound } => Decision::Unknown { bound },
        })
    };
    let Some(budget) = model.budget.filter(|_| model.counts_more_than_money()) else {
        return attempt(1.0, true);
    };
    // The least reduction with which the money fits.
    let fits = |decision: &Decision| match decision {
        Decision::Found { draft, solution, .. } => model.money(draft, solution) <= budget,
        _ => false,
    };
    let first = attempt(1.0, false)?;
    if fits(&first) || matches!(first, Decision::Infeasible) {
        return Ok(first);
    }
    let mut best = attempt(0.0, true)?;
    if !matches!(best, Decision::Found { .. }) {
        return Ok(best);
    }
    let (mut low, mut high) = (0, HALVINGS);
    while high - low > 1 {
        let middle = (low + high) / 2;
        let next = attempt(0.5f64.powi(middle as i32), false)?;
        if fits(&next) {
            (high, best) = (middle, next);
        } else {
            low = middle;
        }
    }
    Ok(best)
}

fn unknown(model: &Model<'_>, bound: i64) -> Error {
    let least = amount::decimal(bound.max(0));
    let message = format!(
        "no placement was found within the solver's limits, nor was it proven that there is none; none costs less than \
         {least} {} a month, as it counts",
        model.sites.catalog.currency
    );
    Error::new(ErrorKind::Timeout, message)
        .with_code("placement_unknown")
        .with_hint("give the solver more time or work")
}
