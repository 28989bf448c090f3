//! The contents of a bucket as an object store, with the credentials, region and endpoint of the cloud.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use cloud_core::{ETagMeaning, Error, ErrorKind, ObjectLocation, ResourceId, Result};
use cloud_objects::{Credentials, OpenOptions};
use object_store::{ObjectStore, aws::AwsCredential, client::CredentialProvider};
use tokio::sync::Mutex;

use super::{AwsStorage, BucketEncryption};
use crate::account::Account;

/// How often the handle itself repeats a request that can be repeated safely: nobody else can take up a listing or a body that breaks
/// off in the middle.
const RETRIES: usize = 3;

/// The keys of the cloud for `object_store`.
pub(super) struct Keys {
    account: Arc<Account>,
    remembered: Remembered,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(..)")
    }
}

impl Keys {
    pub(super) fn of(account: Arc<Account>) -> Self {
        Self { account, remembered: Remembered::default() }
    }
}

/// Keys until shortly before they expire: the SDK's providers may ask a server each time.
#[derive(Default)]
struct Remembered(Mutex<Option<Known>>);

struct Known {
    keys: Arc<AwsCredential>,
    /// When new ones are to be asked for.
    renew: SystemTime,
    /// When these are of no use any more; `None` is never, as far as is known.
    expiry: Option<SystemTime>,
}

impl Remembered {
    /// Renewed so long before they expire.
    const AHEAD: Duration = Duration::from_secs(60);
    /// Keys that say nothing of an end may be replaced in their file.
    const LOOK_AGAIN: Duration = Duration::from_secs(900);

    async fn get(&self, provider: &SharedCredentialsProvider) -> Result<Arc<AwsCredential>> {
        // Held while they are fetched, so that all requests wait for the one that does.
        let mut known = self.0.lock().await;
        let now = SystemTime::now();
        if let Some(known) = &*known
            && now < known.renew
        {
            return Ok(known.keys.clone());
        }
        let fetched = match provider.provide_credentials().await {
            Ok(fetched) => fetched,
            Err(error) => match &*known {
                Some(old) if old.expiry.is_none_or(|end| now < end) => return Ok(old.keys.clone()),
                _ => {
                    let message = format!("no credentials: {error}");
                    return Err(Error::new(ErrorKind::Unauthenticated, message).with_source(error));
                }
            },
        };
        let keys = Arc::new(AwsCredential {
            key_id: fetched.access_key_id().to_owned(),
            secret_key: fetched.secret_access_key().to_owned(),
            token: fetched.session_token().map(str::to_owned),
        });
        let expiry = fetched.expiry();
        let renew = match expiry {
            Some(end) => end.checked_sub(Self::AHEAD).unwrap_or(now),
            None => now + Self::LOOK_AGAIN,
        };
        *known = Some(Known { keys: keys.clone(), renew, expiry });
        Ok(keys)
    }
}

#[async_trait]
impl CredentialProvider for Keys {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        Ok(self.remembered.get(&self.account.credentials()?).await?)
    }
}

impl AwsStorage {
    pub(super) async fn objects(&self, id: &ResourceId) -> Result<Arc<dyn ObjectStore>> {
        self.find(id).await?;
        Ok(self.open(id).await?.store)
    }

    pub(super) async fn location(&self, id: &ResourceId) -> Result<ObjectLocation> {
        let client = self.find(id).await?;
        let mut location = self.open(id).await?;
        // Under a key of KMS an ETag is no MD5, though it looks like one. Who may not look does not know.
        let encryption = BucketEncryption::get(&client, id.native()).await;
        if !matches!(encryption, Ok(BucketEncryption::S3)) {
            location.traits.e_tag = ETagMeaning::Opaque;
        }
        Ok(location)
    }

    async fn open(&self, id: &ResourceId) -> Result<ObjectLocation> {
        let mut options = OpenOptions::default();
        options.credentials = Credentials::Provider {
            keys: self.keys.clone(),
            identity: format!("cloud {}", self.account.id),
        };
        options.connect_timeout = self.account.config.connect_timeout();
        options.retry.max_retries = RETRIES;
        let endpoint = match self.account.endpoint("s3") {
            Some(endpoint) => {
                // The configuration named it, and the requests of every other kind go there too.
                options.allow_http = endpoint.scheme() == "http";
                Some(endpoint.to_string())
            }
            None if id.region.as_str().starts_with("cn-") => {
                Some(format!("https://s3.{}.amazonaws.com.cn", id.region))
            }
            None => None,
        };
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let endpoint: Option<String> = endpoint.as_deref().map(encode);
        let endpoint = endpoint.map(|endpoint| format!("&endpoint={endpoint}"));
        let url =
            format!("s3://{}?region={}{}", id.native(), id.region, endpoint.unwrap_or_default());
        cloud_objects::open(&url, &options).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use aws_credential_types::{
        Credentials as Given,
        provider::{Result as Provided, error::CredentialsError, future},
    };

    use super::*;

    /// Gives keys that are good for so long, so many times; then it fails.
    #[derive(Clone, Debug)]
    struct Role {
        seconds: Option<u64>,
        times: usize,
        asked: Arc<AtomicUsize>,
    }

    impl Role {
        fn new(seconds: Option<u64>, times: usize) -> Self {
            Self { seconds, times, asked: Arc::default() }
        }

        fn give(&self) -> Provided {
            let number = self.asked.fetch_add(1, Relaxed);
            if number >= self.times {
                return Err(CredentialsError::provider_error("the role is gone"));
            }
            let expiry = self.seconds.map(|s| SystemTime::now() + Duration::from_secs(s));
            Ok(Given::new(format!("AKIA{number}"), "secret", Some("token".into()), expiry, "test"))
        }
    }

    impl ProvideCredentials for Role {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(self.give())
        }
    }

    /// The ids of the keys that are given one after the other, and how often the role was asked.
    async fn given(role: Role, times: usize) -> (Vec<Result<String>>, usize) {
        let (remembered, asked) = (Remembered::default(), role.asked.clone());
        let provider = SharedCredentialsProvider::new(role);
        let mut ids = Vec::new();
        for _ in 0..times {
            ids.push(remembered.get(&provider).await.map(|keys| keys.key_id.clone()));
        }
        (ids, asked.load(Relaxed))
    }

    #[tokio::test]
    async fn keys_are_remembered_and_renewed_before_they_expire() {
        for lasting in [None, Some(3600)] {
            let (ids, asked) = given(Role::new(lasting, 9), 3).await;
            assert_eq!(asked, 1);
            assert!(ids.into_iter().all(|id| id.unwrap() == "AKIA0"));
        }
        let (ids, asked) = given(Role::new(Some(30), 9), 3).await;
        let ids: Vec<_> = ids.into_iter().map(Result::unwrap).collect();
        assert_eq!((ids, asked), (vec!["AKIA0".into(), "AKIA1".into(), "AKIA2".into()], 3));
        // As long as the old ones hold, they do.
        let (ids, asked) = given(Role::new(Some(30), 1), 2).await;
        assert_eq!(asked, 2);
        assert!(ids.into_iter().all(|id| id.unwrap() == "AKIA0"));
        let (ids, _) = given(Role::new(Some(0), 1), 2).await;
        let error = ids.into_iter().nth(1).unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
}
