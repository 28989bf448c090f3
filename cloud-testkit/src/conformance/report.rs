//! What a run of the suite gave.

use std::fmt;

use super::Trial;

/// How one trial ended.
///
/// ```
/// use cloud_testkit::conformance::Outcome;
/// assert_ne!(Outcome::Passed, Outcome::Failed("why".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The cloud does what it must.
    Passed,
    /// It does not, and why.
    Failed(String),
    /// It was not run, and why.
    Skipped(String),
}

/// One line of a [`Report`].
///
/// ```
/// # use cloud_testkit::conformance::TrialReport;
/// fn name(line: &TrialReport) -> &str { &line.name }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialReport {
    /// The trial's name.
    pub name: String,
    /// What must hold.
    pub about: &'static str,
    /// How it ended.
    pub outcome: Outcome,
}

/// The outcome of every trial. Its `Display` has one line for each, and a closing line with the sums.
///
/// ```
/// # use cloud_testkit::conformance::Report;
/// fn finish(report: &Report) {
///     println!("{report}");
///     report.assert_passed();
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    cloud: String,
    trials: Vec<TrialReport>,
}

impl Report {
    pub(super) fn new(cloud: &str) -> Self {
        Self { cloud: cloud.to_owned(), trials: Vec::new() }
    }

    pub(super) fn push(&mut self, trial: &Trial, outcome: Outcome) {
        self.trials.push(TrialReport { name: trial.name.clone(), about: trial.about, outcome });
    }

    /// Every trial, in the order in which they ran.
    pub fn trials(&self) -> &[TrialReport] {
        &self.trials
    }

    /// How one trial ended; `None` if there is none of this name.
    pub fn outcome(&self, name: &str) -> Option<&Outcome> {
        self.trials.iter().find(|trial| trial.name == name).map(|trial| &trial.outcome)
    }

    /// The trials that failed.
    pub fn failed(&self) -> impl Iterator<Item = &TrialReport> {
        self.trials.iter().filter(|trial| matches!(trial.outcome, Outcome::Failed(_)))
    }

    /// How many passed.
    pub fn passed(&self) -> usize {
        self.trials.iter().filter(|trial| trial.outcome == Outcome::Passed).count()
    }

    /// How many were skipped.
    pub fn skipped(&self) -> usize {
        self.trials.len() - self.passed() - self.failed().count()
    }

    /// Fails the calling test with the whole report unless something ran and nothing failed.
    ///
    /// # Panics
    /// If a trial failed, or none passed.
    #[allow(clippy::panic)]
    pub fn assert_passed(&self) {
        if self.failed().next().is_some() || self.passed() == 0 {
            panic!("{self}");
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for trial in &self.trials {
            match &trial.outcome {
                Outcome::Passed => writeln!(f, "passed   {}", trial.name)?,
                Outcome::Skipped(why) => writeln!(f, "skipped  {}: {why}", trial.name)?,
                Outcome::Failed(why) => {
                    writeln!(f, "FAILED   {} ({}): {why}", trial.name, trial.about)?
                }
            }
        }
        let (passed, failed, skipped) = (self.passed(), self.failed().count(), self.skipped());
        write!(
            f,
            "conformance of {}: {passed} passed, {failed} failed, {skipped} skipped",
            self.cloud
        )
    }
}
