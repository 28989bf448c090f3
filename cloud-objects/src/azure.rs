//! Azure Blob Storage.

use std::{env, path::PathBuf};

use cloud_core::{Error, ObjectLocation, Provider, Result, secret::ExposeSecret};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder, split_sas};
use url::Url;

use crate::{
    Credentials, OpenOptions,
    address::{Address, endpoint},
    http::Dialect,
    open::{client_options, remote, transport, unbuildable, unfit},
};

pub(crate) fn open(
    container: &str,
    account: Option<String>,
    address: &Address,
    options: &OpenOptions,
) -> Result<ObjectLocation> {
    let (mut parts, connector) = remote(Dialect::Azure, options);
    let mut builder = match &options.credentials {
        Credentials::Default => from_environment()?,
        Credentials::Anonymous => MicrosoftAzureBuilder::new().with_skip_signature(true),
        Credentials::AccountKey(key) => {
            MicrosoftAzureBuilder::new().with_access_key(key.expose_secret())
        }
        Credentials::SharedAccessSignature(sas) => {
            with_sas(MicrosoftAzureBuilder::new(), sas.expose_secret())?
        }
        Credentials::BearerToken(token) => {
            MicrosoftAzureBuilder::new().with_bearer_token_authorization(token.expose_secret())
        }
        _ => {
            let accepted = "an account key, a shared access signature or a bearer token";
            return Err(unfit(options, "Azure", accepted));
        }
    };
    if let Some(account) = account {
        builder = builder.with_account(account);
    }
    let Some(account) = builder.get_config_value(&AzureConfigKey::AccountName) else {
        let accepted = "?account=NAME in the url, or AZURE_STORAGE_ACCOUNT_NAME";
        return Err(Error::invalid("account", "is not known", accepted));
    };
    let server = match &address.parameters.endpoint {
        Some(endpoint) => endpoint.clone(),
        None => match builder.get_config_value(&AzureConfigKey::Endpoint) {
            Some(text) => endpoint(&text)?,
            None => endpoint(&format!("https://{account}.blob.core.windows.net"))?,
        },
    };
    parts.traits.transport = transport(&server, options)?;
    let store = builder
        .with_endpoint(without_slash(&server))
        .with_container_name(container)
        .with_client_options(client_options(options))
        .with_retry(options.retry.clone())
        .with_http_connector(connector)
        .build()
        .map_err(|e| unbuildable(e, address))?;
    let traits = &mut parts.traits;
    traits.provider = Provider::Azure;
    traits.list_ordered = true;
    traits.list_from = true;
    traits.attributes = true;
    traits.streamed_put = true;
    traits.copy_scope = Some(format!("az {server} {account} {container}"));
    traits.bucket = Some(container.to_owned());
    Ok(parts.with(store, address))
}

fn without_slash(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

fn with_sas(builder: MicrosoftAzureBuilder, sas: &str) -> Result<MicrosoftAzureBuilder> {
    // The error of the parser quotes nothing.
    let pairs = split_sas(sas).map_err(|_| {
        Error::invalid(
            "shared access signature",
            "cannot be read",
            "name=value pairs with '&' between",
        )
    })?;
    Ok(builder.with_sas_authorization(pairs))
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// What Azure's own tools would use.
fn from_environment() -> Result<MicrosoftAzureBuilder> {
    let mut builder = MicrosoftAzureBuilder::from_env();
    if let Some(text) = variable("AZURE_STORAGE_CONNECTION_STRING") {
        return connection_string(builder, &text);
    }
    // The names that Azure's command line has for them.
    let given = |builder: &MicrosoftAzureBuilder, key| builder.get_config_value(&key).is_some();
    if let (false, Some(account)) =
        (given(&builder, AzureConfigKey::AccountName), variable("AZURE_STORAGE_ACCOUNT"))
    {
        builder = builder.with_account(account);
    }
    if let (false, Some(key)) =
        (given(&builder, AzureConfigKey::AccessKey), variable("AZURE_STORAGE_KEY"))
    {
        builder = builder.with_access_key(key);
    }
    let explicit = [
        AzureConfigKey::AccessKey,
        AzureConfigKey::SasKey,
        AzureConfigKey::Token,
        AzureConfigKey::ClientSecret,
        AzureConfigKey::FederatedTokenFile,
        AzureConfigKey::CredentialType,
        AzureConfigKey::MsiEndpoint,
    ];
    let explicit = explicit.into_iter().any(|key| given(&builder, key));
    if !explicit && is_logged_in() {
        builder = builder.with_use_azure_cli(true);
    }
    Ok(builder)
}

/// Whether somebody logged in with Azure's command line on this machine.
fn is_logged_in() -> bool {
    let folder = variable("AZURE_CONFIG_DIR").map(PathBuf::from);
    let folder = folder.or_else(|| env::home_dir().map(|home| home.join(".azure")));
    folder.is_some_and(|folder| folder.join("azureProfile.json").is_file())
}

/// `Name=value` pairs with `;` between them, as the portal shows them.
fn connection_string(
    mut builder: MicrosoftAzureBuilder,
    text: &str,
) -> Result<MicrosoftAzureBuilder> {
    const FIELD: &str = "AZURE_STORAGE_CONNECTION_STRING";
    let (mut scheme, mut suffix) = ("https", "core.windows.net");
    let (mut account, mut blobs) = (None, None);
    for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(Error::invalid(FIELD, "has a part without '='", "Name=value;Name=value"));
        };
        match name.to_ascii_lowercase().as_str() {
            "accountname" => account = Some(value),
            "accountkey" => builder = builder.with_access_key(value),
            "sharedaccesssignature" => builder = with_sas(builder, value)?,
            "blobendpoint" => blobs = Some(value.to_owned()),
            "defaultendpointsprotocol" => scheme = value,
            "endpointsuffix" => suffix = value,
            "usedevelopmentstorage" => {
                let accepted = "the emulator's AccountName, AccountKey and BlobEndpoint";
                return Err(Error::invalid(FIELD, "says UseDevelopmentStorage", accepted));
            }
            // Those of queues, tables and files.
            _ => {}
        }
    }
    if let Some(account) = account {
        builder = builder.with_account(account);
        blobs = blobs.or_else(|| Some(format!("{scheme}://{account}.blob.{suffix}")));
    }
    Ok(match blobs {
        Some(server) => builder.with_endpoint(without_slash(&endpoint(&server)?)),
        None => builder,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<MicrosoftAzureBuilder> {
        connection_string(MicrosoftAzureBuilder::new(), text)
    }

    #[test]
    fn reads_connection_strings() {
        let value = |text, key| read(text).unwrap().get_config_value(&key);
        let portal = "DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=a2V5==;EndpointSuffix=core.windows.net";
        assert_eq!(value(portal, AzureConfigKey::AccountName).as_deref(), Some("acct"));
        assert_eq!(value(portal, AzureConfigKey::AccessKey).as_deref(), Some("a2V5=="));
        assert_eq!(
            value(portal, AzureConfigKey::Endpoint).as_deref(),
            Some("https://acct.blob.core.windows.net")
        );
        let emulator = "AccountName=dev;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:10000/dev;";
        assert_eq!(
            value(emulator, AzureConfigKey::Endpoint).as_deref(),
            Some("http://127.0.0.1:10000/dev")
        );
        assert!(read("hunter2").unwrap_err().to_string().contains("without '='"));
        assert!(!read("hunter2").unwrap_err().to_string().contains("hunter2"));
        assert!(read("SharedAccessSignature=sv").is_err());
    }
}
