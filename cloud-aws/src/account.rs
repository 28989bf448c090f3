//! What all services of an account share: configuration, credentials, HTTP client, tokens; and clients made when first needed.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use aws_config::{
    BehaviorVersion, SdkConfig, retry::RetryConfig, sts::AssumeRoleProvider, timeout::TimeoutConfig,
};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_http_client::tls;
use aws_types::app_name::AppName;
use cloud_core::{CloudId, Error, ErrorKind, Provider, Region, Result, secret::ExposeSecret};

use crate::{config::AwsConfig, sdk::SdkClients, tokens::Tokens};

/// The most items on a page of a listing.
pub(crate) const MAX_PAGE: u32 = 1000;

/// The region of services that have only one place.
pub(crate) const GLOBAL: &str = "global";

/// What all services of an account share.
pub(crate) struct Account {
    pub(crate) id: CloudId,
    pub(crate) config: AwsConfig,
    pub(crate) tokens: Tokens,
    pub(crate) clients: SdkClients,
    /// Without a region.
    sdk: SdkConfig,
}

impl Account {
    /// Sets up credentials and the HTTP client. Files of profiles are read; no request is sent.
    pub(crate) async fn open(id: CloudId, config: AwsConfig) -> Result<Self> {
        config.validate()?;
        let region = aws_types::region::Region::new(config.regions[0].to_string());
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .build_https();
        // Repeating is the business of an interceptor, and so is the time of a whole call.
        let timeouts = TimeoutConfig::builder().connect_timeout(config.connect_timeout()).build();
        let name = AppName::new(concat!("multicloud-", env!("CARGO_PKG_VERSION")))
            .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(region)
            .http_client(http)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .app_name(name);
        if let Some(profile) = &config.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint) = &config.endpoint {
            loader = loader.endpoint_url(endpoint.as_str());
        }
        if let Some(keys) = static_keys(&config).await? {
            loader = loader.credentials_provider(keys);
        }
        let sdk = loader.load().await;
        let sdk = match &config.assume_role {
            None => sdk,
            Some(role) => {
                let mut provider = AssumeRoleProvider::builder(&role.role_arn)
                    .session_name(&role.session_name)
                    .session_length(Duration::from_secs(role.session_seconds))
                    .configure(&sdk);
                if let Some(external) = &role.external_id {
                    provider = provider.external_id(external);
                }
                let provider = provider.build().await;
                sdk.into_builder()
                    .credentials_provider(SharedCredentialsProvider::new(provider))
                    .build()
            }
        };
        Ok(Self { id, config, tokens: Tokens::default(), clients: SdkClients::new(), sdk })
    }

    /// The regions that it is set up for.
    pub(crate) fn regions(&self) -> &[Region] {
        &self.config.regions
    }

    /// Refuses a region that it is not set up for, before any I/O.
    pub(crate) fn check_region(&self, region: &Region) -> Result<()> {
        if self.config.regions.contains(region) {
            return Ok(());
        }
        let known: Vec<_> = self.config.regions.iter().map(Region::as_str).collect();
        Err(Error::invalid("region", format_args!("is '{region}'"), known.join(", ")))
    }

    /// The configuration of a client of a service (by its name in endpoints) in a region.
    pub(crate) fn sdk(&self, service: &str, region: &Region) -> SdkConfig {
        let region = aws_types::region::Region::new(region.to_string());
        let builder = self.sdk.to_builder().region(region);
        match self.config.endpoints.get(service) {
            Some(endpoint) => builder.endpoint_url(endpoint.as_str()).build(),
            None => builder.build(),
        }
    }

    /// The server that stands in for AWS for this service, if any.
    pub(crate) fn endpoint(&self, service: &str) -> Option<&url::Url> {
        self.config.endpoints.get(service).or(self.config.endpoint.as_ref())
    }

    /// The credentials as the SDK provides them.
    pub(crate) fn credentials(&self) -> Result<SharedCredentialsProvider> {
        self.sdk.credentials_provider().ok_or_else(|| {
            Error::new(ErrorKind::Unauthenticated, "no credentials are configured")
                .with_hint("set AWS_PROFILE, or keys under 'credentials'")
        })
    }

    /// Says in an error which call of which cloud it comes from.
    pub(crate) fn in_call(&self, operation: &'static str) -> impl Fn(Error) -> Error + '_ {
        move |error| {
            let error = error.with_cloud(&self.id, Provider::Aws);
            match error.operation() {
                Some(_) => error,
                None => error.with_operation(operation),
            }
        }
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("id", &self.id).field("config", &self.config).finish()
    }
}

/// The keys of the configuration. A file of secrets may be slow, so it is read beside the runtime's threads.
async fn static_keys(config: &AwsConfig) -> Result<Option<Credentials>> {
    let Some(keys) = config.credentials.clone() else {
        return Ok(None);
    };
    let read = tokio::task::spawn_blocking(move || {
        let secret =
            keys.secret_access_key.resolve().map_err(|e| e.context("secret_access_key"))?;
        let session = keys.session_token.as_ref().map(|token| token.resolve());
        let session = session.transpose().map_err(|e| e.context("session_token"))?;
        Ok(Credentials::new(
            keys.access_key_id,
            secret.expose_secret(),
            session.map(|token| token.expose_secret().to_owned()),
            None,
            "multicloud",
        ))
    });
    read.await.map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?.map(Some)
}

/// The clients of one service, one a region, each made when it is first needed. Cloning a client is cheap.
pub(crate) struct Clients<C> {
    made: RwLock<HashMap<Region, C>>,
    make: fn(&Account, &Region) -> C,
}

impl<C: Clone> Clients<C> {
    pub(crate) fn new(make: fn(&Account, &Region) -> C) -> Self {
        Self { made: RwLock::default(), make }
    }

    /// The client of a region that the account is set up for.
    pub(crate) fn get(&self, account: &Account, region: &Region) -> Result<C> {
        account.check_region(region)?;
        Ok(self.any(account, region))
    }

    /// The client of any region: of those that only one region has, such as Cost Explorer.
    pub(crate) fn any(&self, account: &Account, region: &Region) -> C {
        let made = self.made.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = made.get(region) {
            return client.clone();
        }
        drop(made);
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        made.entry(region.clone()).or_insert_with(|| (self.make)(account, region)).clone()
    }
}

impl<C> std::fmt::Debug for Clients<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clients(..)")
    }
}
