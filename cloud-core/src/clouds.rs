//! The registered clouds, by the name they are registered under.

use std::{collections::BTreeMap, sync::Arc};

use crate::{Cloud, CloudId, Error, ErrorKind, Result};

/// The registered clouds. Cheap to clone.
///
/// ```
/// use cloud_core::{CloudId, Clouds};
/// let clouds = Clouds::default();
/// let error = clouds.get(&CloudId::new("aws").unwrap()).unwrap_err();
/// assert!(error.to_string().contains("no cloud 'aws' is registered"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Clouds(Arc<BTreeMap<CloudId, Arc<dyn Cloud>>>);

impl Clouds {
    /// These clouds, each under its own id.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) if two have one id.
    pub fn new(clouds: impl IntoIterator<Item = Arc<dyn Cloud>>) -> Result<Self> {
        let mut all = Self::default();
        for cloud in clouds {
            all.register(cloud)?;
        }
        Ok(all)
    }

    /// Adds a cloud under its own id.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) if another has that id.
    pub fn register(&mut self, cloud: Arc<dyn Cloud>) -> Result<()> {
        let id = cloud.id().clone();
        if self.0.contains_key(&id) {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("a cloud is already registered as '{id}'"),
            )
            .with_hint("give each account its own cloud id"));
        }
        Arc::make_mut(&mut self.0).insert(id, cloud);
        Ok(())
    }

    /// The cloud of this id.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), listing those that are registered.
    pub fn get(&self, id: &CloudId) -> Result<&Arc<dyn Cloud>> {
        self.0.get(id).ok_or_else(|| {
            let names: Vec<_> = self.0.keys().map(CloudId::as_str).collect();
            let registered = match names.as_slice() {
                [] => "none".to_owned(),
                names => names.join(", "),
            };
            Error::new(ErrorKind::NotFound, format!("no cloud '{id}' is registered"))
                .with_hint(format!("registered: {registered}"))
        })
    }

    /// All of them, ordered by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Cloud>> {
        self.0.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
