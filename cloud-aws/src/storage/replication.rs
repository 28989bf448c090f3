//! Replication: new objects of a bucket are copied to another.

use aws_sdk_s3::{
    Client,
    types::{
        DeleteMarkerReplication, DeleteMarkerReplicationStatus, Destination,
        EncryptionConfiguration, ReplicationConfiguration, ReplicationRule, ReplicationRuleFilter,
        ReplicationRuleStatus, SourceSelectionCriteria, SseKmsEncryptedObjects,
        SseKmsEncryptedObjectsStatus,
    },
};
use cloud_core::{Error, Result, text::check_text};
use serde::{Deserialize, Serialize};

use crate::{
    error::{has_code, reads, unbuilt, writes},
    names,
};

/// Where new objects of a bucket are copied to, by S3 and some time after they were written
/// ([Replication](https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication.html)). Both buckets need versioning; they may be in
/// different regions.
///
/// ```
/// use cloud_aws::BucketReplication;
/// let to = BucketReplication::new("orders-copy", "arn:aws:iam::123456789012:role/replicate");
/// assert!(!to.delete_markers);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketReplication {
    /// The name of the bucket that the copies go to.
    pub bucket: String,
    /// The ARN of the role in which S3 reads here and writes there.
    pub role_arn: String,
    /// Only objects whose key begins so. Default: all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Whether deletions are repeated there, as delete markers. Default: no, so that the copy outlives them.
    #[serde(default)]
    pub delete_markers: bool,
    /// The ARN of the KMS key that copies of objects under a KMS key are encrypted by. Without it, such objects are not copied.
    #[serde(default)]
    pub kms_key: Option<String>,
}

impl BucketReplication {
    /// Everything to this bucket, in this role; without deletions.
    pub fn new(bucket: impl Into<String>, role_arn: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            role_arn: role_arn.into(),
            prefix: String::new(),
            delete_markers: false,
            kms_key: None,
        }
    }

    /// Refuses what AWS does not take, before any call.
    pub(super) fn check(&self, from: &str) -> Result<()> {
        names::check_bucket(&self.bucket).map_err(|error| error.context("replication"))?;
        if self.bucket == from {
            let problem = format!("is '{from}' itself");
            return Err(Error::invalid("replication.bucket", problem, "another bucket"));
        }
        if partition(&self.role_arn).is_none() || !self.role_arn.contains(":role/") {
            let problem = format!("is '{}'", self.role_arn.escape_debug());
            return Err(Error::invalid(
                "replication.role_arn",
                problem,
                "arn:aws:iam::ACCOUNT:role/NAME",
            ));
        }
        if let Some(key) = &self.kms_key {
            check_text("replication.kms_key", key, 2048)?;
        }
        Ok(())
    }

    pub(super) async fn put(&self, client: &Client, name: &str) -> Result<()> {
        let configuration = self.to_sdk()?;
        let call = client.put_bucket_replication().bucket(name);
        let call = call.replication_configuration(configuration);
        call.send().await.map_err(writes("s3")).map(drop)
    }

    fn to_sdk(&self) -> Result<ReplicationConfiguration> {
        let partition = partition(&self.role_arn).unwrap_or("aws");
        let encryption = self
            .kms_key
            .as_ref()
            .map(|key| EncryptionConfiguration::builder().replica_kms_key_id(key).build());
        let destination = Destination::builder()
            .bucket(format!("arn:{partition}:s3:::{}", self.bucket))
            .set_encryption_configuration(encryption)
            .build()
            .map_err(unbuilt)?;
        let markers = match self.delete_markers {
            true => DeleteMarkerReplicationStatus::Enabled,
            false => DeleteMarkerReplicationStatus::Disabled,
        };
        let under_key = match &self.kms_key {
            None => None,
            Some(_) => {
                let objects = SseKmsEncryptedObjects::builder()
                    .status(SseKmsEncryptedObjectsStatus::Enabled)
                    .build()
                    .map_err(unbuilt)?;
                let criteria = SourceSelectionCriteria::builder();
                Some(criteria.sse_kms_encrypted_objects(objects).build())
            }
        };
        let rule = ReplicationRule::builder()
            .id("multicloud")
            .priority(1)
            .status(ReplicationRuleStatus::Enabled)
            .filter(ReplicationRuleFilter::builder().prefix(&self.prefix).build())
            .delete_marker_replication(DeleteMarkerReplication::builder().status(markers).build())
            .set_source_selection_criteria(under_key)
            .destination(destination)
            .build()
            .map_err(unbuilt)?;
        ReplicationConfiguration::builder()
            .role(&self.role_arn)
            .rules(rule)
            .build()
            .map_err(unbuilt)
    }

    /// `None` for more than can be said here.
    fn of_sdk(configuration: &ReplicationConfiguration) -> Option<Self> {
        let [rule] = configuration.rules() else { return None };
        let destination = rule.destination()?;
        let filter = rule.filter();
        let more = filter.is_some_and(|filter| filter.tag.is_some() || filter.and.is_some())
            || destination.account.is_some()
            || destination.storage_class.is_some()
            || destination.access_control_translation.is_some()
            || destination.replication_time.is_some()
            || *rule.status() != ReplicationRuleStatus::Enabled;
        if more {
            return None;
        }
        #[allow(deprecated)]
        let first = rule.prefix();
        let prefix = filter.and_then(|filter| filter.prefix()).or(first).unwrap_or_default();
        let markers = rule.delete_marker_replication().and_then(|markers| markers.status());
        let encryption = destination.encryption_configuration();
        Some(Self {
            bucket: destination.bucket().rsplit(':').next()?.to_owned(),
            role_arn: configuration.role().to_owned(),
            prefix: prefix.to_owned(),
            delete_markers: markers == Some(&DeleteMarkerReplicationStatus::Enabled),
            kms_key: encryption.and_then(|by| by.replica_kms_key_id()).map(str::to_owned),
        })
    }
}

/// `aws`, `aws-cn`, `aws-us-gov`: the second part of an ARN.
fn partition(arn: &str) -> Option<&str> {
    let (partition, _) = arn.strip_prefix("arn:")?.split_once(':')?;
    partition.starts_with("aws").then_some(partition)
}

pub(super) async fn get(client: &Client, name: &str) -> Result<Option<BucketReplication>> {
    let answer = client.get_bucket_replication().bucket(name).send().await;
    let configuration = match answer.map_err(reads("s3")) {
        Ok(answer) => answer.replication_configuration,
        Err(error) if has_code(&error, &["ReplicationConfigurationNotFoundError"]) => None,
        Err(error) => return Err(error),
    };
    let Some(configuration) = configuration else { return Ok(None) };
    BucketReplication::of_sdk(&configuration).map(Some).ok_or_else(|| {
        Error::unsupported(format_args!("all that the replication of the bucket {name} says"))
            .with_hint("use the SDK's client: AwsCloud::s3")
    })
}

pub(super) async fn remove(client: &Client, name: &str) -> Result<()> {
    client.delete_bucket_replication().bucket(name).send().await.map_err(writes("s3")).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_aws_refuses_is_refused_and_the_rest_reads_back() {
        let mut to = BucketReplication::new("copy", "arn:aws-cn:iam::123456789012:role/r");
        assert!(to.check("from").is_ok());
        assert!(to.check("copy").unwrap_err().to_string().contains("itself"));
        (to.prefix, to.delete_markers) = ("a/".into(), true);
        to.kms_key = Some("arn:aws-cn:kms:cn-north-1:123456789012:key/k".into());
        let theirs = to.to_sdk().unwrap();
        assert_eq!(theirs.rules()[0].destination().unwrap().bucket(), "arn:aws-cn:s3:::copy");
        assert_eq!(BucketReplication::of_sdk(&theirs), Some(to.clone()));
        to.role_arn = "r".into();
        assert!(to.check("from").unwrap_err().to_string().contains("replication.role_arn is 'r'"));
        to = BucketReplication::new("No Bucket", "arn:aws:iam::1:role/r");
        assert!(to.check("from").is_err());
    }
}
