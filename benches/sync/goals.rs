//! What is to be reached, as ratios of figures of one run.

use super::{
    clients::Client,
    run::{Done, Results},
};

/// What is compared with a limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Measure {
    /// How many times the other's rate ours is; at least.
    Rate(Client),
    /// The share of the other's time that ours takes; at most, as all that follow.
    Time(Client),
    /// The share of the other's CPU.
    Cpu(Client),
    /// The share of the other's peak memory.
    Memory(Client),
    /// The most memory of any run, in MiB.
    PeakMib,
    /// How many times longer than another case.
    Growth(&'static str),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    /// In the list of goals.
    pub(crate) number: u8,
    pub(crate) measure: Measure,
    pub(crate) limit: f64,
}

impl Goal {
    /// The figure, if both sides of it ran.
    pub(crate) fn figure(&self, case: &Results, all: &[Results]) -> Option<f64> {
        let ours = case.best(Client::Ours)?;
        let share = |other: Client, of: fn(&Done) -> f64| Some(of(ours) / of(case.best(other)?));
        match self.measure {
            Measure::Rate(other) => share(other, |done| 1.0 / done.used.wall),
            Measure::Time(other) => share(other, |done| done.used.wall),
            Measure::Cpu(other) => share(other, |done| done.used.cpu),
            Measure::Memory(other) => share(other, |done| done.used.peak_mib),
            Measure::PeakMib => case.worst_peak(Client::Ours),
            Measure::Growth(name) => {
                let smaller = all.iter().find(|results| results.case.name == name)?;
                Some(ours.used.wall / smaller.best(Client::Ours)?.used.wall)
            }
        }
    }

    pub(crate) fn is_met(&self, figure: f64) -> bool {
        if self.is_least() { figure >= self.limit } else { figure <= self.limit }
    }

    pub(crate) fn is_least(&self) -> bool {
        matches!(self.measure, Measure::Rate(_))
    }

    /// In words.
    pub(crate) fn text(&self) -> String {
        match self.measure {
            Measure::Rate(other) => format!("rate over that of {}", other.name()),
            Measure::Time(other) => format!("time over that of {}", other.name()),
            Measure::Cpu(other) => format!("CPU over that of {}", other.name()),
            Measure::Memory(other) => format!("peak memory over that of {}", other.name()),
            Measure::PeakMib => "peak memory in MiB".into(),
            Measure::Growth(case) => format!("time over that of the case {case}"),
        }
    }
}
