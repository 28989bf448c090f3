//! What is not portable: a provider's own settings inside a portable spec.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Error, ErrorKind, Provider, Result};

/// The typed settings of one provider for one kind of spec, defined by that provider's adapter.
///
/// Derive `Deserialize` with `deny_unknown_fields`, so that a misspelt setting is an error and not ignored.
pub trait ProviderOverrides: Serialize + DeserializeOwned {
    /// Whose settings these are.
    const PROVIDER: Provider;
}

/// Settings by provider. A cloud reads its own provider's and ignores the others', so one spec can carry
/// settings for several clouds and still be deployed on any.
///
/// ```
/// use cloud_core::{Overrides, Provider, ProviderOverrides};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, PartialEq, Debug)]
/// #[serde(deny_unknown_fields)]
/// struct AwsInstance { placement_group: String }
/// impl ProviderOverrides for AwsInstance { const PROVIDER: Provider = Provider::Aws; }
///
/// let overrides: Overrides = serde_json::from_str(r#"{"aws": {"placement_group": "g1"}}"#).unwrap();
/// assert_eq!(overrides.get::<AwsInstance>().unwrap().unwrap().placement_group, "g1");
///
/// let typo: Overrides = serde_json::from_str(r#"{"aws": {"placement_grp": "g1"}}"#).unwrap();
/// assert!(typo.get::<AwsInstance>().unwrap_err().to_string().contains("placement_grp"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Overrides(BTreeMap<Provider, serde_json::Value>);

impl Overrides {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The settings of `T`'s provider, if any.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if they are not what the adapter defines; the message names the field.
    pub fn get<T: ProviderOverrides>(&self) -> Result<Option<T>> {
        let Some(value) = self.0.get(&T::PROVIDER) else {
            return Ok(None);
        };
        T::deserialize(value).map(Some).map_err(|e| {
            let field = format!("overrides.{}", T::PROVIDER);
            Error::invalid(&field, format_args!("are wrong: {e}"), "what the adapter documents")
        })
    }

    /// Sets the settings of `T`'s provider.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if `T` does not serialise to JSON.
    pub fn set<T: ProviderOverrides>(&mut self, settings: &T) -> Result<()> {
        let value = serde_json::to_value(settings)
            .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
        self.0.insert(T::PROVIDER, value);
        Ok(())
    }
}
