//! The conformance suite: what every cloud must do that says it is one, run against any of them.
//!
//! An adapter's author writes a [`Harness`], which hands out the cloud and says what to create in it, and runs the suite
//! from a test. Trials are chosen by the cloud's [`Capabilities`]: what is not declared is skipped, what is declared
//! must work.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
//! use std::sync::Arc;
//! use cloud_core::{Cloud, Region};
//! use cloud_testkit::{conformance::{Harness, run_named}, sim::SimCloud};
//!
//! #[derive(Debug)]
//! struct MyHarness(SimCloud);
//!
//! impl Harness for MyHarness {
//!     fn cloud(&self) -> Arc<dyn Cloud> {
//!         Arc::new(self.0.clone())
//!     }
//!     fn region(&self) -> Region {
//!         Region::new("sim-1").unwrap()
//!     }
//! }
//!
//! let harness = MyHarness(SimCloud::new("sim", 1));
//! let report = run_named(&harness, |name| name == "bucket.lifecycle").await;
//! println!("{report}");
//! report.assert_passed();
//! # });
//! ```
//!
//! [`run_all`] runs everything. Each trial has names and a tag of its own, so a run disturbs nothing else in the account; what
//! it made is removed afterwards, whether it passed or not, and that nothing is left is part of the trial. A panic inside
//! a trial fails that trial only. On a real account the whole suite makes a few hundred small resources, up to
//! [`Harness::most`] of a kind at once.

mod cancellation;
mod clusters;
mod compute;
mod context;
mod database;
mod dns;
mod errors;
mod functions;
mod harness;
mod idempotency;
mod lifecycle;
mod listing;
mod names;
mod network;
mod objects;
mod objects_conditional;
mod objects_stream;
mod overview;
mod report;
mod subject;

use std::{panic::AssertUnwindSafe, sync::LazyLock};

use cloud_core::{Capabilities, ResourceKind};
use futures::{FutureExt, future::BoxFuture};

pub use context::{Context, Failure};
pub use harness::{Harness, LargeObject};
pub use report::{Outcome, Report, TrialReport};

/// One thing that a cloud must do.
///
/// ```
/// let trials = cloud_testkit::conformance::trials();
/// assert!(trials.iter().any(|trial| trial.name == "instance.lifecycle"));
/// ```
#[derive(Clone, Debug)]
pub struct Trial {
    /// Its name, as `instance.lifecycle`.
    pub name: String,
    /// What must hold.
    pub about: &'static str,
    /// The kind of resource that it is run for, where it is run for each.
    pub kind: Option<ResourceKind>,
    /// Whether a cloud with these capabilities must pass it.
    pub needs: fn(&Capabilities) -> bool,
    /// Runs it.
    pub run: Run,
}

/// How a trial is run.
pub type Run = for<'a> fn(&'a Context<'a>) -> BoxFuture<'a, Result<(), Failure>>;

impl Trial {
    /// Whether a cloud with these capabilities must pass it.
    pub fn applies_to(&self, capabilities: &Capabilities) -> bool {
        self.kind.is_none_or(|kind| subject::offered(capabilities, kind))
            && (self.needs)(capabilities)
    }
}

/// Fails the trial with a formatted reason unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($reason:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Failure::new(format!($($reason)+)));
        }
    };
}
use ensure;

/// Defines trials: name, what must hold, what they need, and the function that runs them.
macro_rules! trial_list {
    ($($name:literal: $about:literal, $needs:expr => $run:path;)*) => {
        vec![$($crate::conformance::Trial {
            name: $name.to_owned(),
            about: $about,
            kind: None,
            needs: $needs,
            run: |context| Box::pin($run(context)),
        }),*]
    };
}
use trial_list;

/// Every trial, in the order in which they run.
pub fn trials() -> &'static [Trial] {
    static TRIALS: LazyLock<Vec<Trial>> = LazyLock::new(|| {
        let of_each_kind = [
            lifecycle::trials(),
            idempotency::trials(),
            listing::trials(),
            names::trials(),
            errors::trials(),
            cancellation::trials(),
        ]
        .concat();
        let for_kind = |kind: ResourceKind| {
            of_each_kind.iter().map(move |trial| Trial {
                name: format!("{kind}.{}", trial.name),
                kind: Some(kind),
                ..trial.clone()
            })
        };
        let mut all = overview::trials();
        all.extend(ResourceKind::ALL.into_iter().flat_map(for_kind));
        for more in [
            compute::trials(),
            objects::trials(),
            objects_conditional::trials(),
            objects_stream::trials(),
            database::trials(),
            network::trials(),
            functions::trials(),
            clusters::trials(),
            dns::trials(),
        ] {
            all.extend(more);
        }
        all
    });
    &TRIALS
}

/// Runs every trial that the cloud's capabilities declare, one after the other.
pub async fn run_all(harness: &dyn Harness) -> Report {
    run_named(harness, |_| true).await
}

/// Runs those whose name the caller picks.
pub async fn run_named(harness: &dyn Harness, picks: impl Fn(&str) -> bool) -> Report {
    let cloud = harness.cloud();
    let mut report = Report::new(cloud.id().as_str());
    for trial in trials().iter().filter(|trial| picks(&trial.name)) {
        let outcome = match trial.applies_to(cloud.capabilities()) {
            true => run_trial(harness, trial).await,
            false => Outcome::Skipped("capability not declared".into()),
        };
        report.push(trial, outcome);
    }
    report
}

/// Runs one trial and removes what it made.
async fn run_trial(harness: &dyn Harness, trial: &Trial) -> Outcome {
    let context = Context::new(harness, trial.kind);
    let ran = AssertUnwindSafe((trial.run)(&context)).catch_unwind().await;
    let cleaned = AssertUnwindSafe(context.clean_up()).catch_unwind().await;
    let cleaned = cleaned.unwrap_or_else(|panic| Err(Failure::of_panic(&*panic)));
    match (ran.unwrap_or_else(|panic| Err(Failure::of_panic(&*panic))), cleaned) {
        (Ok(()), Ok(())) => Outcome::Passed,
        (Ok(()), Err(left)) => Outcome::Failed(format!("clean-up: {left}")),
        (Err(failure), _) if failure.is_skip() => Outcome::Skipped(failure.to_string()),
        (Err(failure), Ok(())) => Outcome::Failed(failure.to_string()),
        (Err(failure), Err(left)) => Outcome::Failed(format!("{failure}; and clean-up: {left}")),
    }
}
