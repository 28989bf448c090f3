//! How any decision is carried out: plan, executor, store.
pub mod action;
pub mod clouds;
pub mod plan;
pub mod progress;
pub(crate) mod reference;
pub mod saga;
pub mod store;
