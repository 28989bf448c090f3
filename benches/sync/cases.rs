//! The cases: how many objects of which size go where, by which clients, and what is to come of it.

use std::time::Duration;

use cloud_testkit::object_server::Dialect;

use super::{
    clients::Client::{self, Naive, Ours, Rclone256, RcloneDefault, RcloneTuned, S5cmd},
    goals::{Goal, Measure},
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// What a client finds at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Nothing.
    Empty,
    /// What it synced before, with so many objects of the source changed since.
    Synced { changed: u64 },
    /// The source's objects, put there by others and synced once.
    Filled,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) count: u64,
    pub(crate) size: u64,
    pub(crate) target: Dialect,
    /// Of each request, on both servers.
    pub(crate) delay: Duration,
    pub(crate) start: Start,
    pub(crate) clients: &'static [Client],
    /// Those that take so long that one run has to do, and none if it is to be quick.
    pub(crate) slow: &'static [Client],
    /// Takes minutes.
    pub(crate) long: bool,
    /// The memory that the servers need for it.
    pub(crate) memory_gib: u64,
    pub(crate) goals: &'static [Goal],
}

/// 10,000 small objects, what most cases are like.
const SMALL: Case = Case {
    name: "small",
    about: "10,000 x 4 KiB, S3 to S3, empty target",
    count: 10_000,
    size: 4 * KIB,
    target: Dialect::S3,
    delay: Duration::ZERO,
    start: Start::Empty,
    clients: &[Ours, RcloneTuned, RcloneDefault, S5cmd, Naive],
    slow: &[],
    long: false,
    memory_gib: 1,
    goals: &[
        Goal { number: 1, measure: Measure::Rate(RcloneTuned), limit: 5.0 },
        Goal { number: 1, measure: Measure::Cpu(RcloneTuned), limit: 0.125 },
        Goal { number: 1, measure: Measure::Memory(RcloneTuned), limit: 0.25 },
    ],
};

const NOTHING_TO_COPY: &[Goal] = &[
    Goal { number: 2, measure: Measure::Rate(RcloneTuned), limit: 4.0 },
    Goal { number: 2, measure: Measure::Cpu(RcloneTuned), limit: 1.0 / 6.0 },
];

const LARGE: Case = Case {
    name: "large",
    about: "64 x 16 MiB, S3 to S3, empty target",
    count: 64,
    size: 16 * MIB,
    memory_gib: 3,
    goals: &[
        Goal { number: 3, measure: Measure::Rate(RcloneTuned), limit: 1.3 },
        Goal { number: 3, measure: Measure::Cpu(RcloneTuned), limit: 0.7 },
        Goal { number: 3, measure: Measure::PeakMib, limit: 64.0 },
    ],
    ..SMALL
};

const MILLION: Case = Case {
    name: "million",
    about: "1,000,000 x 4 KiB, S3 to S3, empty target",
    count: 1_000_000,
    clients: &[Ours, RcloneTuned, Naive],
    slow: &[Ours, RcloneTuned, Naive],
    long: true,
    memory_gib: 10,
    goals: &[
        Goal { number: 2, measure: Measure::PeakMib, limit: 100.0 },
        Goal { number: 2, measure: Measure::Growth("small"), limit: 110.0 },
    ],
    ..SMALL
};

/// In the order in which they run.
pub(crate) const CASES: &[Case] = &[
    SMALL,
    Case {
        name: "unchanged",
        about: "10,000 x 4 KiB, S3 to S3, nothing changed",
        start: Start::Synced { changed: 0 },
        clients: &[Ours, RcloneTuned, RcloneDefault, Naive],
        goals: NOTHING_TO_COPY,
        ..SMALL
    },
    Case {
        name: "one_percent",
        about: "10,000 x 4 KiB, S3 to S3, 100 of them changed",
        start: Start::Synced { changed: 100 },
        clients: &[Ours, RcloneTuned, RcloneDefault, Naive],
        goals: NOTHING_TO_COPY,
        ..SMALL
    },
    LARGE,
    Case {
        name: "latency",
        about: "2,000 x 4 KiB, S3 to S3, empty target, 20 ms a request",
        count: 2_000,
        delay: Duration::from_millis(20),
        clients: &[Ours, Rclone256, RcloneTuned, RcloneDefault, S5cmd, Naive],
        slow: &[RcloneDefault],
        goals: &[Goal { number: 4, measure: Measure::Time(Rclone256), limit: 0.8 }],
        ..SMALL
    },
    Case {
        name: "azure_small",
        about: "10,000 x 4 KiB, S3 to Azure, empty target",
        target: Dialect::Azure,
        clients: &[Ours, RcloneTuned, RcloneDefault, Naive],
        goals: &[Goal { number: 5, measure: Measure::Rate(RcloneTuned), limit: 3.0 }],
        ..SMALL
    },
    Case {
        name: "azure_large",
        about: "64 x 16 MiB, S3 to Azure, empty target",
        target: Dialect::Azure,
        clients: &[Ours, RcloneTuned, RcloneDefault, Naive],
        goals: &[Goal { number: 5, measure: Measure::Rate(RcloneTuned), limit: 1.8 }],
        ..LARGE
    },
    MILLION,
    Case {
        name: "million_unchanged",
        about: "1,000,000 x 4 KiB, S3 to S3, nothing changed",
        start: Start::Filled,
        memory_gib: 4,
        goals: &[
            Goal { number: 2, measure: Measure::Rate(RcloneTuned), limit: 4.0 },
            Goal { number: 2, measure: Measure::Cpu(RcloneTuned), limit: 1.0 / 6.0 },
            Goal { number: 2, measure: Measure::PeakMib, limit: 100.0 },
            Goal { number: 2, measure: Measure::Growth("unchanged"), limit: 110.0 },
        ],
        ..MILLION
    },
];

impl Case {
    /// Those whose bytes matter more than their number.
    pub(crate) fn is_large(&self) -> bool {
        self.size >= MIB
    }

    /// How often a client runs, of so many rounds.
    pub(crate) fn rounds(&self, client: Client, rounds: u32) -> u32 {
        match self.slow.contains(&client) {
            // A quick bench has one round and no long cases.
            true if rounds == 1 && !self.long => 0,
            true => 1,
            false => rounds,
        }
    }

    /// The cases that its goals are compared with.
    pub(crate) fn needs(&self) -> impl Iterator<Item = &'static str> {
        self.goals.iter().filter_map(|goal| match goal.measure {
            Measure::Growth(case) => Some(case),
            _ => None,
        })
    }

    /// How long a client may take.
    pub(crate) fn limit(&self) -> Duration {
        Duration::from_secs(if self.long { 1_800 } else { 180 })
    }
}
