//! How any decision is carried out: plan, executor, store.
pub mod plan;
pub mod store;
