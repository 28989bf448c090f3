//! [`open`]: from a URL to a location.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use cloud_core::{Error, ErrorKind, ObjectLocation, ObjectTraits, Provider, Result, Transport};
use http::HeaderValue;
use object_store::{ClientOptions, memory::InMemory};
use url::Url;

use crate::{
    OpenOptions,
    address::{Address, Place, is_local},
    azure, gcs,
    http::{Connector, Dialect, Observed},
    local, s3,
};

/// Opens the location that a URL names. Nothing is sent yet: a bucket that does not exist, or that may not be read, is told by
/// the first request.
///
/// | URL | what | credentials by default |
/// |---|---|---|
/// | `file:///folder`, `./folder`, `/folder` | a folder of this machine | |
/// | `memory://name/prefix` | memory of this process; one name is one store, as long as the process lives | |
/// | `s3://bucket/prefix` | S3 and, with `endpoint`, what speaks like it | `AWS_*` variables, the profile (`AWS_PROFILE`, `~/.aws`), web identity, container, instance |
/// | `az://container/prefix`, `abfss://container@account.dfs.core.windows.net/prefix`, `https://account.blob.core.windows.net/container/prefix` | Azure Blob | `AZURE_*` variables (`AZURE_STORAGE_CONNECTION_STRING` too), workload identity, the CLI's login, managed identity |
/// | `gs://bucket/prefix` | Google Cloud Storage | `GOOGLE_*` variables, application default credentials, instance |
/// | `oss://bucket/prefix?region=R` | Alibaba OSS | `ALIBABA_CLOUD_ACCESS_KEY_ID`, `…_SECRET`, `ALIBABA_CLOUD_SECURITY_TOKEN` |
/// | `oci://bucket/prefix?namespace=N&region=R` | Oracle Object Storage | a customer secret key as `AWS_*` variables or profile |
///
/// Parameters: `endpoint=http://127.0.0.1:9000` (instead of the provider's), `region`, `account` (Azure), `namespace` (Oracle),
/// `profile` (S3). What the environment says besides (`AWS_REGION`, `AWS_ENDPOINT_URL`, encryption settings, …) holds
/// where the URL says nothing.
///
/// # Transport
/// Requests to S3 do not sign the hash of their content where TLS protects it, or where they do not leave the machine: it
/// would be one more pass over every byte. Over plain HTTP, which has to be [allowed](OpenOptions::allow_http), they do, and
/// then a put takes no stream.
///
/// # What an `ETag` says
/// S3 and what speaks like it under `s3://`: the MD5 of the content, or of the parts' MD5s. With a KMS or customer key, and in
/// directory buckets: nothing. Azure, Google, Oracle: nothing. Alibaba: in capital letters the MD5 of an object that was put
/// at once, and another 32 digits for others, so it is not relied on.
///
/// # Copies at the server
/// A handle copies within its own bucket only, so the [`copy_scope`](ObjectTraits::copy_scope) of two locations is the same if their
/// bucket, endpoint and account are.
///
/// # Errors
/// `InvalidInput` for a URL, parameter or setting that is not accepted; secrets in a URL are refused by the parameter's name.
/// `Unauthenticated` if the default chain names credentials that this crate cannot use (a profile with a login or a role).
/// `NotFound` for a local folder that does not exist, unless it is to be [created](OpenOptions::create).
pub async fn open(url: &str, options: &OpenOptions) -> Result<ObjectLocation> {
    let address = Address::parse(url)?;
    match &address.place {
        Place::Local(folder) => local::open(folder, options).await,
        Place::Memory(name) => Ok(memory(name, &address)),
        Place::S3(_) | Place::Oss(_) | Place::Oci(_) => s3::open(address, options).await,
        Place::Azure { container, account } => azure::open(
            container,
            account.clone().or(address.parameters.account.clone()),
            &address,
            options,
        ),
        Place::Gcs(bucket) => gcs::open(bucket, &address, options),
    }
}

fn memory(name: &str, address: &Address) -> ObjectLocation {
    static STORES: LazyLock<Mutex<HashMap<String, Arc<InMemory>>>> = LazyLock::new(Mutex::default);
    let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    let store = stores.entry(name.to_owned()).or_default().clone();
    let mut location = ObjectLocation::new(&address.name, store, address.prefix.clone());
    let traits = &mut location.traits;
    traits.provider = Provider::Local;
    traits.transport = Transport::Local;
    traits.list_ordered = true;
    traits.list_from = true;
    traits.attributes = true;
    traits.copy_scope = Some(format!("memory://{name}"));
    traits.bucket = Some(name.to_owned());
    traits.clock.set(Default::default());
    location
}

/// The parts that the handles of all clouds share: the traits, with their clock, and the connector that sets it.
pub(crate) fn remote(dialect: Dialect, options: &OpenOptions) -> (ObjectLocationParts, Connector) {
    let parts = ObjectLocationParts::default();
    let observed = Observed::new(parts.traits.clock.clone(), parts.refused.clone());
    let roots = options.root_certificates.as_slice().into();
    (parts, Connector::new(dialect, observed, roots, options.max_connections))
}

/// A location without its handle.
#[derive(Default)]
pub(crate) struct ObjectLocationParts {
    pub(crate) traits: ObjectTraits,
    pub(crate) refused: cloud_core::RefusedKeys,
}

impl ObjectLocationParts {
    pub(crate) fn with(
        self,
        store: impl object_store::ObjectStore,
        address: &Address,
    ) -> ObjectLocation {
        ObjectLocation {
            name: address.name.clone(),
            store: Arc::new(store),
            prefix: address.prefix.clone(),
            traits: self.traits,
            refused: self.refused,
        }
    }
}

pub(crate) fn client_options(options: &OpenOptions) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(options.allow_http)
        .with_user_agent(HeaderValue::from_static(concat!(
            "multicloud/",
            env!("CARGO_PKG_VERSION")
        )))
        .with_connect_timeout(options.connect_timeout)
        .with_timeout(options.first_byte_timeout)
        .with_read_timeout(options.idle_timeout)
        .with_pool_idle_timeout(options.pool_idle_timeout)
}

/// How requests to an endpoint travel; an error if they may not.
pub(crate) fn transport(endpoint: &Url, options: &OpenOptions) -> Result<Transport> {
    if endpoint.scheme() == "https" {
        Ok(Transport::Encrypted)
    } else if is_local(endpoint) {
        Ok(Transport::Local)
    } else if options.allow_http {
        Ok(Transport::Plain)
    } else {
        let problem = format!("is {endpoint}, which is not encrypted");
        Err(Error::invalid("endpoint", problem, "https, http to a loopback address, or allow_http"))
    }
}

/// Credentials of the wrong sort.
pub(crate) fn unfit(options: &OpenOptions, store: &str, accepted: &str) -> Error {
    Error::invalid(
        "credentials",
        format!("are {}, which {store} does not take", options.credentials.sort()),
        accepted,
    )
}

/// An error of a builder of `object_store`; its message may quote a value, but no secret.
pub(crate) fn unbuildable(error: object_store::Error, address: &Address) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("cannot open {}: {error}", address.name))
}
