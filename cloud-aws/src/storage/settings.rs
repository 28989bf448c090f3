//! The settings of a bucket that only S3 has: who may reach it, how it is encrypted; and what a spec may say of them.

use aws_sdk_s3::{
    Client,
    types::{
        PublicAccessBlockConfiguration, ServerSideEncryption, ServerSideEncryptionByDefault,
        ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
    },
};
use cloud_core::{
    BucketSpec, Error, Provider, ProviderOverrides, ResourceId, Result, text::check_text,
};
use serde::{Deserialize, Serialize};

use super::{AwsStorage, BucketReplication, LifecycleRule, lifecycle, replication};
use crate::error::{has_code, reads, unbuilt, writes};

/// What a [`BucketSpec`] may say to AWS alone, as its override `aws`. Everything has a safe default.
///
/// ```
/// use cloud_aws::{AwsBucket, LifecycleRule};
/// let settings = AwsBucket {
///     lifecycle: vec![LifecycleRule::expire("logs", "logs/", 90)],
///     ..AwsBucket::default()
/// };
/// assert!(!settings.allow_public);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AwsBucket {
    /// Do not [block public access](PublicAccessBlock): a policy of the bucket can then open it to everybody. Default: no.
    pub allow_public: bool,
    /// By whose key new objects are encrypted. Default: S3's own.
    pub encryption: BucketEncryption,
    /// What becomes of objects by their age.
    pub lifecycle: Vec<LifecycleRule>,
    /// Where new objects are copied to. Needs versioning.
    pub replication: Option<BucketReplication>,
}

impl ProviderOverrides for AwsBucket {
    const PROVIDER: Provider = Provider::Aws;
}

impl AwsBucket {
    /// Refuses what AWS does not take, before any call.
    pub(super) fn check(&self, spec: &BucketSpec) -> Result<()> {
        self.encryption.check()?;
        lifecycle::check(&self.lifecycle)?;
        if let Some(replication) = &self.replication {
            replication.check(&spec.name)?;
            if !spec.versioning {
                return Err(Error::invalid(
                    "replication",
                    "is asked for without versioning",
                    "a bucket with versioning",
                ));
            }
        }
        Ok(())
    }

    pub(super) fn public_access(&self) -> PublicAccessBlock {
        match self.allow_public {
            true => PublicAccessBlock::NONE,
            false => PublicAccessBlock::ALL,
        }
    }
}

/// Which ways of opening a bucket to the public are blocked
/// ([Blocking public access](https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html)).
///
/// ```
/// use cloud_aws::PublicAccessBlock;
/// assert!(PublicAccessBlock::default().restrict_public_buckets);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicAccessBlock {
    /// New public ACLs are refused.
    pub block_public_acls: bool,
    /// Public ACLs have no effect.
    pub ignore_public_acls: bool,
    /// New public policies are refused.
    pub block_public_policy: bool,
    /// A public policy opens the bucket to its own account and AWS's services only.
    pub restrict_public_buckets: bool,
}

impl PublicAccessBlock {
    /// All of them.
    pub const ALL: Self = Self {
        block_public_acls: true,
        ignore_public_acls: true,
        block_public_policy: true,
        restrict_public_buckets: true,
    };

    /// None of them: the bucket can be opened to everybody.
    pub const NONE: Self = Self {
        block_public_acls: false,
        ignore_public_acls: false,
        block_public_policy: false,
        restrict_public_buckets: false,
    };

    pub(super) async fn put(self, client: &Client, name: &str) -> Result<()> {
        let block = PublicAccessBlockConfiguration::builder()
            .block_public_acls(self.block_public_acls)
            .ignore_public_acls(self.ignore_public_acls)
            .block_public_policy(self.block_public_policy)
            .restrict_public_buckets(self.restrict_public_buckets)
            .build();
        let call = client.put_public_access_block().bucket(name);
        let call = call.public_access_block_configuration(block);
        call.send().await.map_err(writes("s3")).map(drop)
    }
}

impl Default for PublicAccessBlock {
    fn default() -> Self {
        Self::ALL
    }
}

/// By whose key new objects of a bucket are encrypted unless their put says otherwise
/// ([Default encryption](https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-encryption.html)).
///
/// ```
/// use cloud_aws::BucketEncryption;
/// let key: BucketEncryption = serde_json::from_str(r#"{"kms": {"key": "alias/orders"}}"#).unwrap();
/// assert_eq!(key, BucketEncryption::Kms { key: "alias/orders".into(), bucket_key: true });
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BucketEncryption {
    /// S3's (SSE-S3, AES-256).
    #[default]
    S3,
    /// One of KMS (SSE-KMS).
    Kms {
        /// Its id, ARN or alias.
        key: String,
        /// Derive the objects' keys from one of the bucket's, which saves most of the calls of KMS. Default: yes.
        #[serde(default = "yes")]
        bucket_key: bool,
    },
}

fn yes() -> bool {
    true
}

impl BucketEncryption {
    fn check(&self) -> Result<()> {
        match self {
            Self::S3 => Ok(()),
            Self::Kms { key, .. } => check_text("encryption.kms.key", key, 2048),
        }
    }

    pub(super) async fn put(&self, client: &Client, name: &str) -> Result<()> {
        use ServerSideEncryption::{Aes256, AwsKms};
        let (algorithm, key, bucket_key) = match self {
            Self::S3 => (Aes256, None, false),
            Self::Kms { key, bucket_key } => (AwsKms, Some(key.clone()), *bucket_key),
        };
        let by_default = ServerSideEncryptionByDefault::builder()
            .sse_algorithm(algorithm)
            .set_kms_master_key_id(key)
            .build()
            .map_err(unbuilt)?;
        let rule = ServerSideEncryptionRule::builder()
            .apply_server_side_encryption_by_default(by_default)
            .bucket_key_enabled(bucket_key)
            .build();
        let rules =
            ServerSideEncryptionConfiguration::builder().rules(rule).build().map_err(unbuilt)?;
        let call = client.put_bucket_encryption().bucket(name);
        let call = call.server_side_encryption_configuration(rules);
        call.send().await.map_err(writes("s3")).map(drop)
    }

    /// What a bucket has. One that was never told has S3's, as every bucket of AWS.
    pub(super) async fn get(client: &Client, name: &str) -> Result<Self> {
        use ServerSideEncryption::{Aes256, AwsKms};
        let answer = client.get_bucket_encryption().bucket(name).send().await;
        let answer = match answer.map_err(reads("s3")) {
            Ok(answer) => answer,
            Err(error) if has_code(&error, &["ServerSideEncryptionConfigurationNotFoundError"]) => {
                return Ok(Self::S3);
            }
            Err(error) => return Err(error),
        };
        let rules = answer.server_side_encryption_configuration;
        let Some(rule) = rules.and_then(|rules| rules.rules.into_iter().next()) else {
            return Ok(Self::S3);
        };
        let bucket_key = rule.bucket_key_enabled().unwrap_or(false);
        match rule.apply_server_side_encryption_by_default {
            None => Ok(Self::S3),
            Some(by) if by.sse_algorithm == Aes256 => Ok(Self::S3),
            Some(by) if by.sse_algorithm == AwsKms => {
                // Without a name it is AWS's own key of the account.
                let key = by.kms_master_key_id.unwrap_or_else(|| "alias/aws/s3".into());
                Ok(Self::Kms { key, bucket_key })
            }
            Some(by) => Err(Error::unsupported(format_args!(
                "the encryption '{}' of the bucket {name}",
                by.sse_algorithm
            ))),
        }
    }
}

/// What only S3 has. Each call is one attempt; a setting that is put twice is as if put once.
impl AwsStorage {
    /// Which ways of opening a bucket to the public are blocked.
    ///
    /// # Errors
    /// [`NotFound`](cloud_core::ErrorKind::NotFound), or any.
    pub async fn public_access_block(&self, id: &ResourceId) -> Result<PublicAccessBlock> {
        self.read_public_access(id)
            .await
            .map_err(self.account.in_call("storage.public_access_block"))
    }

    async fn read_public_access(&self, id: &ResourceId) -> Result<PublicAccessBlock> {
        let client = self.find(id).await?;
        let answer = client.get_public_access_block().bucket(id.native()).send().await;
        let answer = match answer.map_err(reads("s3")) {
            Ok(answer) => answer.public_access_block_configuration,
            Err(error) if has_code(&error, &["NoSuchPublicAccessBlockConfiguration"]) => None,
            Err(error) => return Err(error),
        };
        Ok(answer.map_or(PublicAccessBlock::NONE, |block| PublicAccessBlock {
            block_public_acls: block.block_public_acls.unwrap_or(false),
            ignore_public_acls: block.ignore_public_acls.unwrap_or(false),
            block_public_policy: block.block_public_policy.unwrap_or(false),
            restrict_public_buckets: block.restrict_public_buckets.unwrap_or(false),
        }))
    }

    /// Sets which ways of opening a bucket to the public are blocked. Less than [`PublicAccessBlock::ALL`] does not open it by itself, but
    /// lets a policy do so.
    ///
    /// # Errors
    /// [`NotFound`](cloud_core::ErrorKind::NotFound), or any.
    ///
    /// ```no_run
    /// # use cloud_aws::{AwsCloud, PublicAccessBlock};
    /// # async fn example(aws: &AwsCloud, bucket: &cloud_core::ResourceId) -> cloud_core::Result<()> {
    /// aws.aws_storage().set_public_access_block(bucket, PublicAccessBlock::ALL).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn set_public_access_block(
        &self,
        id: &ResourceId,
        block: PublicAccessBlock,
    ) -> Result<()> {
        let put = async { block.put(&self.find(id).await?, id.native()).await };
        put.await.map_err(self.account.in_call("storage.set_public_access_block"))
    }

    /// By whose key new objects of a bucket are encrypted.
    ///
    /// # Errors
    /// [`NotFound`](cloud_core::ErrorKind::NotFound); [`Unsupported`](cloud_core::ErrorKind::Unsupported) for one that
    /// [`BucketEncryption`] has no word for; or any.
    pub async fn encryption(&self, id: &ResourceId) -> Result<BucketEncryption> {
        let get = async { BucketEncryption::get(&self.find(id).await?, id.native()).await };
        get.await.map_err(self.account.in_call("storage.encryption"))
    }

    /// Sets by whose key new objects of a bucket are encrypted. Those that are there stay as they are.
    ///
    /// # Errors
    /// [`NotFound`](cloud_core::ErrorKind::NotFound), or any. Whether the key exists is seen by the first put only.
    ///
    /// ```no_run
    /// # use cloud_aws::{AwsCloud, BucketEncryption};
    /// # async fn example(aws: &AwsCloud, bucket: &cloud_core::ResourceId) -> cloud_core::Result<()> {
    /// let key = BucketEncryption::Kms { key: "alias/orders".into(), bucket_key: true };
    /// aws.aws_storage().set_encryption(bucket, &key).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn set_encryption(
        &self,
        id: &ResourceId,
        encryption: &BucketEncryption,
    ) -> Result<()> {
        let put = async {
            encryption.check()?;
            encryption.put(&self.find(id).await?, id.native()).await
        };
        put.await.map_err(self.account.in_call("storage.set_encryption"))
    }

    /// What becomes of a bucket's objects by their age.
    ///
    /// # Errors
    /// [`NotFound`](cloud_core::ErrorKind::NotFound); [`Unsupported`](cloud_core::ErrorKind::Unsupported) for a rule that
    /// [`LifecycleRule`] cannot say whole, so that nothing of it is lost by writing it back; or any.
    pub async fn lifecycle(&self, id: &ResourceId) -> Result<Vec<LifecycleRule>> {
        let get = async { lifecycle::get(&self.find(id).await?, id.native()).await };
        get.await.map_err(self.account.in_call("storage.lifecycle"))
    }

    /// Sets what becomes of a bucket's objects by their age, in place of what was set before; nothing, if there are no rules.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for a rule that AWS does not take,
    /// [`NotFound`](cloud_core::ErrorKind::NotFound), or any.
    ///
    /// ```no_run
    /// # use cloud_aws::{AwsCloud, LifecycleRule};
    /// # async fn example(aws: &AwsCloud, bucket: &cloud_core::ResourceId) -> cloud_core::Result<()> {
    /// let rules = [LifecycleRule::expire("logs", "logs/", 90)];
    /// aws.aws_storage().set_lifecycle(bucket, &rules).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn set_lifecycle(&self, id: &ResourceId, rules: &[LifecycleRule]) -> Result<()> {
        let put = async {
            lifecycle::check(rules)?;
            lifecycle::put(&self.find(id).await?, id.native(), rules).await
        };
        put.await.map_err(self.account.in_call("storage.set_lifecycle"))
    }

    /// Where new objects of a bucket are copied to.
    ///
    /// # Errors
    /// [`NotFound`](cloud_core::ErrorKind::NotFound); [`Unsupported`](cloud_core::ErrorKind::Unsupported) for more than
    /// [`BucketReplication`] can say; or any.
    pub async fn replication(&self, id: &ResourceId) -> Result<Option<BucketReplication>> {
        let get = async { replication::get(&self.find(id).await?, id.native()).await };
        get.await.map_err(self.account.in_call("storage.replication"))
    }

    /// Sets where new objects of a bucket are copied to; `None` ends it. Objects that are there already are not copied.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) if one of the buckets has no versioning,
    /// [`NotFound`](cloud_core::ErrorKind::NotFound), or any.
    ///
    /// ```no_run
    /// # use cloud_aws::{AwsCloud, BucketReplication};
    /// # async fn example(aws: &AwsCloud, bucket: &cloud_core::ResourceId) -> cloud_core::Result<()> {
    /// let role = "arn:aws:iam::123456789012:role/replicate";
    /// let to = BucketReplication::new("orders-copy", role);
    /// aws.aws_storage().set_replication(bucket, Some(&to)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn set_replication(
        &self,
        id: &ResourceId,
        replication: Option<&BucketReplication>,
    ) -> Result<()> {
        let put = async {
            if let Some(replication) = replication {
                replication.check(id.native())?;
            }
            let client = self.find(id).await?;
            match replication {
                Some(replication) => replication.put(&client, id.native()).await,
                None => replication::remove(&client, id.native()).await,
            }
        };
        put.await.map_err(self.account.in_call("storage.set_replication"))
    }
}

#[cfg(test)]
mod tests {
    use cloud_core::{Overrides, Region};

    use super::*;

    fn problem(settings: &str, versioning: bool) -> String {
        let mut spec = BucketSpec::new("assets", Region::new("eu-1").unwrap());
        spec.versioning = versioning;
        spec.overrides =
            serde_json::from_str::<Overrides>(&format!(r#"{{"aws": {settings}}}"#)).unwrap();
        let settings = spec.overrides.get::<AwsBucket>();
        settings
            .and_then(|s| s.unwrap().check(&spec))
            .map_or_else(|e| e.to_string(), |()| "".into())
    }

    #[test]
    fn settings_are_safe_by_default_and_checked() {
        assert_eq!(problem("{}", false), "");
        assert_eq!(AwsBucket::default().public_access(), PublicAccessBlock::ALL);
        let public = AwsBucket { allow_public: true, ..AwsBucket::default() };
        assert_eq!(public.public_access(), PublicAccessBlock::NONE);
        assert!(problem(r#"{"allow_publik": true}"#, false).contains("allow_publik"));
        let kms = problem(r#"{"encryption": {"kms": {"key": ""}}}"#, false);
        assert!(kms.contains("encryption.kms.key is empty"), "{kms}");
        let copy = r#"{"replication": {"bucket": "copy", "role_arn": "arn:aws:iam::1:role/r"}}"#;
        assert!(problem(copy, false).contains("without versioning"));
        assert_eq!(problem(copy, true), "");
    }
}
