//! A bucket of a server, as each client names it.

use std::sync::Arc;

use cloud_testkit::object_server::Dialect;
use object_store::{ObjectStore, aws::AmazonS3Builder, azure::MicrosoftAzureBuilder};

/// What the servers take from anybody. The account and key are those of Azure's own emulators.
pub(crate) const REGION: &str = "us-east-1";
pub(crate) const ACCESS_KEY: &str = "bench";
pub(crate) const ACCOUNT: &str = "devstoreaccount1";
pub(crate) const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// One side of a sync.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    pub(crate) dialect: Dialect,
    pub(crate) port: u16,
    pub(crate) bucket: String,
}

impl Side {
    /// What its clients call the endpoint.
    pub(crate) fn endpoint(&self) -> String {
        let server = format!("http://127.0.0.1:{}", self.port);
        match self.dialect {
            Dialect::S3 => server,
            Dialect::Azure => format!("{server}/{ACCOUNT}"),
        }
    }

    /// The location that the example `sync` reads.
    pub(crate) fn url(&self) -> String {
        let (bucket, endpoint) = (&self.bucket, self.endpoint());
        match self.dialect {
            Dialect::S3 => format!("s3://{bucket}?endpoint={endpoint}&region={REGION}"),
            Dialect::Azure => format!("az://{bucket}?endpoint={endpoint}&account={ACCOUNT}"),
        }
    }

    /// As words, to be read by [`from_words`](Self::from_words).
    pub(crate) fn words(&self) -> [String; 3] {
        let dialect = match self.dialect {
            Dialect::S3 => "s3",
            Dialect::Azure => "azure",
        };
        [dialect.into(), self.port.to_string(), self.bucket.clone()]
    }

    pub(crate) fn from_words(words: &mut impl Iterator<Item = String>) -> Option<Self> {
        let dialect = match words.next()?.as_str() {
            "s3" => Dialect::S3,
            "azure" => Dialect::Azure,
            _ => return None,
        };
        Some(Self { dialect, port: words.next()?.parse().ok()?, bucket: words.next()? })
    }

    /// A handle on it; a TLS provider has to be installed.
    pub(crate) fn open(&self) -> Result<Arc<dyn ObjectStore>, String> {
        let failed = |error: object_store::Error| error.to_string();
        Ok(match self.dialect {
            Dialect::S3 => Arc::new(
                AmazonS3Builder::new()
                    .with_endpoint(self.endpoint())
                    .with_allow_http(true)
                    .with_region(REGION)
                    .with_bucket_name(&self.bucket)
                    .with_access_key_id(ACCESS_KEY)
                    .with_secret_access_key(ACCESS_KEY)
                    .build()
                    .map_err(failed)?,
            ),
            Dialect::Azure => Arc::new(
                MicrosoftAzureBuilder::new()
                    .with_endpoint(self.endpoint())
                    .with_allow_http(true)
                    .with_account(ACCOUNT)
                    .with_access_key(ACCOUNT_KEY)
                    .with_container_name(&self.bucket)
                    .build()
                    .map_err(failed)?,
            ),
        })
    }
}
