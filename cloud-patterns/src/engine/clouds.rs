//! The registered clouds that plans may act on.
pub use cloud_core::Clouds;
