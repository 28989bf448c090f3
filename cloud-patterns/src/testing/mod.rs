//! The crash harness: every call of a plan failed, crashed and repeated, forwards and backwards, on any cloud.
//!
//! [`CrashHarness`] carries out one plan again and again, each time in a fresh [`World`], and lets one thing go wrong each time:
//! one call to a cloud or one write of the journal fails before or after its effect, is lost, is made
//! twice, or is where the process dies. It then resumes until the plan is over, and looks at all clouds: everything is there
//! once, or nothing at all, and the catalog says the same as the clouds.
//!
//! Any store will do. [`MemoryStore`] answers at once, so that each record is a write of its own: more places for faults, always
//! the same ones, and runs several times as fast as with `SqliteStore::in_memory`.

mod audit;
mod faults;
mod harness;
mod memory;
#[cfg(test)]
pub(crate) mod tests;

pub use self::{
    faults::{CallFault, WriteFault},
    harness::{Case, CrashHarness, HarnessReport, World},
    memory::MemoryStore,
};
