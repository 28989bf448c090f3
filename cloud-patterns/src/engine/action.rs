//! What a step of the kind [`Action::Call`](super::plan::Action::Call) does: handlers by name, and those that are built in.

mod abandon;
mod create_table;
mod put_object;
mod set_record;

use std::{collections::BTreeMap, fmt::Debug, sync::Arc};

use async_trait::async_trait;
use cloud_core::{Cloud, Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use self::{
    abandon::Abandon, create_table::CreateTable, put_object::PutObject, set_record::SetRecord,
};
use super::{saga::Outputs, store::CatalogChange};

/// One call of a handler.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The cloud of the step.
    pub cloud: &'a Arc<dyn Cloud>,
    /// The input, its references filled in.
    pub input: &'a Value,
    /// What [`prepare`](ActionHandler::prepare) found; `Null` in `prepare` itself.
    pub before: &'a Value,
}

impl Call<'_> {
    /// The input as a type.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), with the path of the wrong field.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        serde_path_to_error::deserialize(self.input).map_err(|e| {
            let field = match e.path().to_string().as_str() {
                "." => "input".to_owned(),
                path => format!("input.{path}"),
            };
            let problem = format!("is wrong: {}", e.inner());
            Error::invalid(&field, problem, "what the handler documents")
        })
    }
}

/// What a handler did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// What it gives to later steps. Never a secret.
    pub outputs: Outputs,
    /// What it changes in the catalog.
    pub catalog: Vec<CatalogChange>,
}

/// Something that a plan can do besides creating, deleting and adopting.
///
/// **Contract.** [`apply`](Self::apply) and [`undo`](Self::undo) may run several times, also after an attempt that took effect
/// although it failed or was broken off: however often they run, the result is that of one run. The input
/// is journaled, so it holds no secret. Dropping a call must leave nothing that a further call cannot mend.
///
/// ```
/// use cloud_core::Result;
/// use cloud_patterns::engine::{action::{ActionHandler, Applied, Call}, store::CatalogChange};
///
/// /// Starts a stopped instance.
/// #[derive(Debug)]
/// struct StartInstance;
///
/// #[async_trait::async_trait]
/// impl ActionHandler for StartInstance {
///     fn name(&self) -> &str {
///         "start_instance"
///     }
///     async fn apply(&self, call: &Call<'_>) -> Result<Applied> {
///         call.cloud.compute()?.start_instance(&call.read()?).await?;
///         Ok(Applied::default())
///     }
///     async fn undo(&self, call: &Call<'_>) -> Result<Vec<CatalogChange>> {
///         call.cloud.compute()?.stop_instance(&call.read()?).await?;
///         Ok(Vec::new())
///     }
/// }
/// ```
#[async_trait]
pub trait ActionHandler: Debug + Send + Sync {
    /// The name that plans call it by.
    fn name(&self) -> &str;

    /// Looks at what is there before the first attempt; journaled before anything is changed, and given to
    /// `apply` and `undo` as [`Call::before`]. Changes nothing.
    ///
    /// # Errors
    /// Any; the step then fails without an effect.
    async fn prepare(&self, call: &Call<'_>) -> Result<Value> {
        let _ = call;
        Ok(Value::Null)
    }

    /// Does it.
    ///
    /// # Errors
    /// Any.
    async fn apply(&self, call: &Call<'_>) -> Result<Applied>;

    /// Puts things back as they were, whether or not `apply` took effect.
    ///
    /// # Errors
    /// Any. It is tried again.
    async fn undo(&self, call: &Call<'_>) -> Result<Vec<CatalogChange>>;

    /// The calls that it makes, as `service.method`: the permissions that a plan with it needs.
    fn permissions(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

/// The handlers by name. Cheap to clone.
///
/// ```
/// use cloud_patterns::engine::action::Handlers;
/// assert!(Handlers::default().get("put_object").is_ok());
/// assert!(Handlers::default().get("dance").unwrap_err().to_string().contains("put_object"));
/// ```
#[derive(Clone, Debug)]
pub struct Handlers(Arc<BTreeMap<String, Arc<dyn ActionHandler>>>);

/// Those that are built in: [`PutObject`], [`CreateTable`], [`SetRecord`], [`Abandon`].
impl Default for Handlers {
    fn default() -> Self {
        let built_in: [Arc<dyn ActionHandler>; 4] =
            [Arc::new(PutObject), Arc::new(CreateTable), Arc::new(SetRecord), Arc::new(Abandon)];
        let by_name = built_in.into_iter().map(|h| (h.name().to_owned(), h));
        Self(Arc::new(by_name.collect()))
    }
}

impl Handlers {
    /// Adds a handler under its own name.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) if another has that name.
    pub fn register(&mut self, handler: Arc<dyn ActionHandler>) -> Result<()> {
        let name = handler.name().to_owned();
        if self.0.contains_key(&name) {
            let message = format!("a handler is already registered as '{name}'");
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        Arc::make_mut(&mut self.0).insert(name, handler);
        Ok(())
    }

    /// The handler of this name.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), listing those that are registered.
    pub fn get(&self, name: &str) -> Result<&Arc<dyn ActionHandler>> {
        self.0.get(name).ok_or_else(|| {
            let names: Vec<_> = self.0.keys().map(String::as_str).collect();
            let shown: String = name.chars().take(64).collect();
            let message = format!("no handler '{}' is registered", shown.escape_debug());
            Error::new(ErrorKind::NotFound, message)
                .with_hint(format!("registered: {}", names.join(", ")))
        })
    }
}

/// `Ok` for what is gone already: undoing finds nothing to do.
fn gone_is_fine<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
