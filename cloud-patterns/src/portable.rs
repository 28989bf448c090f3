//! Services by type and provider, for applications that are written once for all clouds.

mod registry;

pub use registry::AdapterRegistry;
