//! How any decision is carried out: plan, executor, store.
pub mod plan;
pub mod store;
pub mod action;
pub mod clouds;
pub mod progress;
pub mod saga;
