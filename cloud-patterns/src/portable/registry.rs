//! `AdapterRegistry`: which implementation of a service is used on which provider.

use std::{
    any::{Any, TypeId, type_name},
    collections::BTreeMap,
    fmt,
    sync::Arc,
};

use cloud_core::{Error, ErrorKind, Provider, Result};

type AnyFactory = Box<dyn Any + Send + Sync>;
type Factory<S> = Box<dyn Fn() -> Result<Arc<S>> + Send + Sync>;

/// Makes services of any type, by provider. The service type is a trait object or any other type: `dyn Sql`, or a trait of the
/// application's own.
///
/// ```
/// use cloud_core::{Provider, Result};
/// use cloud_patterns::portable::AdapterRegistry;
/// use std::sync::Arc;
///
/// trait Mailer: Send + Sync {
///     fn host(&self) -> &str;
/// }
/// struct Ses;
/// impl Mailer for Ses {
///     fn host(&self) -> &str { "email.eu-west-1.amazonaws.com" }
/// }
///
/// # fn main() -> Result<()> {
/// let mut adapters = AdapterRegistry::default();
/// adapters.register_adapter::<dyn Mailer>(Provider::Aws, || Ok(Arc::new(Ses)))?;
///
/// let mailer = adapters.get_service::<dyn Mailer>(Provider::Aws)?;
/// assert_eq!(mailer.host(), "email.eu-west-1.amazonaws.com");
///
/// let error = adapters.get_service::<dyn Mailer>(Provider::Gcp).err().unwrap();
/// assert!(error.to_string().contains("Mailer on aws"), "{error}");
/// # Ok(()) }
/// ```
#[derive(Default)]
pub struct AdapterRegistry(BTreeMap<(&'static str, TypeId, Provider), AnyFactory>);

impl AdapterRegistry {
    /// Registers what makes a service on a provider. It is called anew for each [`get_service`](Self::get_service): one that
    /// is dear to make should hand out clones of one `Arc`.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) if there is one for this service and provider; it stays.
    pub fn register_adapter<S: ?Sized + Any + Send + Sync>(
        &mut self,
        provider: Provider,
        factory: impl Fn() -> Result<Arc<S>> + Send + Sync + 'static,
    ) -> Result<()> {
        let key = key::<S>(provider);
        if self.0.contains_key(&key) {
            let message = format!("an adapter for {} on {provider} is already registered", key.0);
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        let factory: Factory<S> = Box::new(factory);
        self.0.insert(key, Box::new(factory));
        Ok(())
    }

    /// The service on a provider.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), listing what is registered; what the factory says.
    pub fn get_service<S: ?Sized + Any + Send + Sync>(&self, provider: Provider) -> Result<Arc<S>> {
        let key = key::<S>(provider);
        let factory = self.0.get(&key).and_then(|any| any.downcast_ref::<Factory<S>>());
        match factory {
            Some(factory) => factory(),
            None => {
                let message = format!("no adapter for {} on {provider} is registered", key.0);
                Err(Error::new(ErrorKind::NotFound, message)
                    .with_hint(format!("registered: {}", self.listed())))
            }
        }
    }

    /// What is registered: the names of services and their providers, ordered.
    pub fn registered(&self) -> impl Iterator<Item = (&'static str, Provider)> {
        self.0.keys().map(|(service, _, provider)| (*service, *provider))
    }

    fn listed(&self) -> String {
        let all: Vec<_> = self
            .registered()
            .map(|(service, provider)| format!("{service} on {provider}"))
            .collect();
        match all.as_slice() {
            [] => "none".into(),
            all => all.join(", "),
        }
    }
}

fn key<S: ?Sized + Any>(provider: Provider) -> (&'static str, TypeId, Provider) {
    (type_name::<S>(), TypeId::of::<S>(), provider)
}

impl fmt::Debug for AdapterRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AdapterRegistry({})", self.listed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    trait Greeter: Send + Sync {
        fn greet(&self) -> String;
    }

    #[derive(Debug)]
    struct Plain(&'static str);

    impl Greeter for Plain {
        fn greet(&self) -> String {
            self.0.into()
        }
    }

    #[test]
    fn a_service_is_found_by_type_and_provider() {
        let mut adapters = AdapterRegistry::default();
        adapters
            .register_adapter::<dyn Greeter>(Provider::Aws, || Ok(Arc::new(Plain("aws"))))
            .unwrap();
        adapters
            .register_adapter::<dyn Greeter>(Provider::Gcp, || Ok(Arc::new(Plain("gcp"))))
            .unwrap();
        adapters.register_adapter::<Plain>(Provider::Aws, || Ok(Arc::new(Plain("own")))).unwrap();
        assert_eq!(adapters.get_service::<dyn Greeter>(Provider::Gcp).unwrap().greet(), "gcp");
        assert_eq!(adapters.get_service::<Plain>(Provider::Aws).unwrap().0, "own");
        assert_eq!(adapters.registered().count(), 3);
    }

    #[test]
    fn a_missing_one_lists_what_there_is_and_a_second_is_refused() {
        let mut adapters = AdapterRegistry::default();
        let none = adapters.get_service::<Plain>(Provider::Aws).unwrap_err();
        assert!(none.to_string().contains("registered: none"), "{none}");
        adapters
            .register_adapter::<dyn Greeter>(Provider::Aws, || Ok(Arc::new(Plain("first"))))
            .unwrap();
        let missing = adapters.get_service::<dyn Greeter>(Provider::Oracle).err().unwrap();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(missing.to_string().contains("Greeter on aws"), "{missing}");
        let twice = adapters
            .register_adapter::<dyn Greeter>(Provider::Aws, || Ok(Arc::new(Plain("second"))));
        assert_eq!(twice.unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(adapters.get_service::<dyn Greeter>(Provider::Aws).unwrap().greet(), "first");
    }

    #[test]
    fn what_a_factory_says_comes_out() {
        let mut adapters = AdapterRegistry::default();
        let broken = || Err(Error::new(ErrorKind::Unavailable, "down"));
        adapters.register_adapter::<Plain>(Provider::Aws, broken).unwrap();
        assert_eq!(
            adapters.get_service::<Plain>(Provider::Aws).unwrap_err().kind(),
            ErrorKind::Unavailable
        );
    }
}
