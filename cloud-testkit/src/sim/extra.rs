//! What a resource has inside, beyond its view.

use std::sync::Arc;

use cloud_core::{RecordSet, SecretString};

use super::{config::Handler, objects::Objects, sql::Tables};

/// What is inside a resource.
pub(super) enum Extra {
    Nothing,
    Instance(InstanceExtra),
    Bucket(Arc<Objects>),
    Database(DatabaseExtra),
    Snapshot(DatabaseExtra),
    Zone(Vec<RecordSet>),
    Function(FunctionExtra),
}

pub(super) struct InstanceExtra {
    pub(super) boots: u32,
}

/// The data of a server or snapshot, and how to log in.
#[derive(Clone)]
pub(super) struct DatabaseExtra {
    pub(super) tables: Arc<Tables>,
    pub(super) database: String,
    pub(super) user: String,
    pub(super) password: SecretString,
    pub(super) protected: bool,
}

pub(super) struct FunctionExtra {
    pub(super) handler: Handler,
    pub(super) timeout_seconds: u32,
    pub(super) concurrency: Option<u32>,
    pub(super) running: u32,
}

impl std::fmt::Debug for Extra {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Extra(..)")
    }
}
