//! Google Cloud Storage.

use cloud_core::{ObjectLocation, Provider, Result, Transport, secret::ExposeSecret};
use object_store::gcp::GoogleCloudStorageBuilder;

use crate::{
    Credentials, OpenOptions,
    address::Address,
    http::Dialect,
    open::{client_options, remote, transport, unbuildable, unfit},
};

pub(crate) fn open(
    bucket: &str,
    address: &Address,
    options: &OpenOptions,
) -> Result<ObjectLocation> {
    let (mut parts, connector) = remote(Dialect::Gcs, options);
    let mut builder = match &options.credentials {
        Credentials::Default => GoogleCloudStorageBuilder::from_env(),
        Credentials::Anonymous => GoogleCloudStorageBuilder::new()
            .with_skip_signature(true)
            // Never sent; without it the builder would look for others.
            .with_bearer_token(""),
        Credentials::BearerToken(token) => {
            GoogleCloudStorageBuilder::new().with_bearer_token(token.expose_secret())
        }
        Credentials::ServiceAccountKey(key) => {
            GoogleCloudStorageBuilder::new().with_service_account_key(key.expose_secret())
        }
        _ => return Err(unfit(options, "Google", "a service account key or a bearer token")),
    };
    parts.traits.transport = Transport::Encrypted;
    let mut base = "https://storage.googleapis.com".to_owned();
    if let Some(endpoint) = &address.parameters.endpoint {
        parts.traits.transport = transport(endpoint, options)?;
        base = endpoint.as_str().trim_end_matches('/').to_owned();
        builder = builder.with_base_url(&base);
    }
    let store = builder
        .with_bucket_name(bucket)
        .with_client_options(client_options(options))
        .with_retry(options.retry.clone())
        .with_http_connector(connector)
        .build()
        .map_err(|e| unbuildable(e, address))?;
    let traits = &mut parts.traits;
    traits.provider = Provider::Gcp;
    traits.list_ordered = true;
    traits.list_from = true;
    traits.attributes = true;
    traits.streamed_put = true;
    traits.put_checks_md5 = true;
    traits.copy_scope = Some(format!("gs {base} {bucket}"));
    traits.bucket = Some(bucket.to_owned());
    Ok(parts.with(store, address))
}
