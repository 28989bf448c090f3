//! What to do, over any clouds: placement, orchestration and the patterns that build on them.
pub mod engine;
