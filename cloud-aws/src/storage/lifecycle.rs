//! Lifecycle rules: what becomes of objects by their age.

use std::collections::HashSet;

use aws_sdk_s3::{
    Client,
    types::{
        self as sdk, AbortIncompleteMultipartUpload, BucketLifecycleConfiguration,
        ExpirationStatus, LifecycleExpiration, LifecycleRuleFilter, NoncurrentVersionExpiration,
        Transition, TransitionStorageClass,
    },
};
use cloud_core::{Error, Result, text::check_text};
use serde::{Deserialize, Serialize};

use crate::error::{has_code, reads, unbuilt, writes};

/// What becomes of the objects of a bucket, or of those below a prefix, by their age. Ages are in days and at least 1; S3 acts once a day,
/// at midnight UTC ([Lifecycle](https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lifecycle-mgmt.html)).
///
/// ```
/// use cloud_aws::{LifecycleRule, LifecycleTransition, StorageClass};
/// let mut rule = LifecycleRule::expire("logs", "logs/", 365);
/// rule.transitions = vec![LifecycleTransition { after_days: 30, to: StorageClass::StandardIa }];
/// rule.abort_uploads_after_days = Some(7);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LifecycleRule {
    /// Names it among the rules of the bucket: 1 to 255 bytes.
    pub id: String,
    /// Whether it is followed. Default: yes.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Only of objects whose key begins so. Default: of all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// When an object is deleted; in a versioned bucket it becomes an old version under a delete marker.
    #[serde(default)]
    pub expire_after_days: Option<u32>,
    /// When an object moves to a cheaper class.
    #[serde(default)]
    pub transitions: Vec<LifecycleTransition>,
    /// When an old version is deleted, counted from when it became old.
    #[serde(default)]
    pub expire_old_versions_after_days: Option<u32>,
    /// Of the old versions of an object, the newest so many are kept however old they are: 1 to 100.
    #[serde(default)]
    pub keep_old_versions: Option<u32>,
    /// Delete markers under which there is no version any more are removed. Not together with `expire_after_days`. Default: no.
    #[serde(default)]
    pub remove_lone_markers: bool,
    /// When an upload in parts that was not completed is removed, counted from its beginning.
    #[serde(default)]
    pub abort_uploads_after_days: Option<u32>,
}

fn yes() -> bool {
    true
}

/// A move to a cheaper class.
///
/// ```
/// use cloud_aws::{LifecycleTransition, StorageClass};
/// let archive = LifecycleTransition { after_days: 90, to: StorageClass::DeepArchive };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LifecycleTransition {
    /// At which age of the object; at least 30 days for the two infrequent-access classes.
    pub after_days: u32,
    /// To which class.
    pub to: StorageClass,
}

/// Where objects can move to ([Storage classes](https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StorageClass {
    /// Infrequent access.
    StandardIa,
    /// Infrequent access, in one zone only.
    OneZoneIa,
    /// S3 moves the object by how it is used.
    IntelligentTiering,
    /// Archive, read at once.
    GlacierInstant,
    /// Archive, read after minutes to hours.
    Glacier,
    /// Archive, read after hours.
    DeepArchive,
}

impl StorageClass {
    const NAMES: [(Self, TransitionStorageClass); 6] = [
        (Self::StandardIa, TransitionStorageClass::StandardIa),
        (Self::OneZoneIa, TransitionStorageClass::OnezoneIa),
        (Self::IntelligentTiering, TransitionStorageClass::IntelligentTiering),
        (Self::GlacierInstant, TransitionStorageClass::GlacierIr),
        (Self::Glacier, TransitionStorageClass::Glacier),
        (Self::DeepArchive, TransitionStorageClass::DeepArchive),
    ];

    fn to_sdk(self) -> Option<TransitionStorageClass> {
        Self::NAMES.into_iter().find(|(ours, _)| *ours == self).map(|(_, theirs)| theirs)
    }

    fn of_sdk(class: &TransitionStorageClass) -> Option<Self> {
        Self::NAMES.into_iter().find(|(_, theirs)| theirs == class).map(|(ours, _)| ours)
    }
}

impl LifecycleRule {
    /// Deletes what is below a prefix (`""` is everything) at this age.
    pub fn expire(id: impl Into<String>, prefix: impl Into<String>, days: u32) -> Self {
        Self { expire_after_days: Some(days), ..Self::named(id.into(), prefix.into()) }
    }

    fn named(id: String, prefix: String) -> Self {
        Self {
            id,
            enabled: true,
            prefix,
            expire_after_days: None,
            transitions: Vec::new(),
            expire_old_versions_after_days: None,
            keep_old_versions: None,
            remove_lone_markers: false,
            abort_uploads_after_days: None,
        }
    }

    fn check(&self) -> Result<()> {
        check_text("lifecycle rule id", &self.id, 255)?;
        let refused = |problem: &str, accepted: &str| {
            Err(Error::invalid(&format!("lifecycle rule '{}'", self.id), problem, accepted))
        };
        if self.prefix.len() > 1024 {
            return refused("has a prefix of more than 1024 bytes", "the beginning of a key");
        }
        let ages = [
            self.expire_after_days,
            self.expire_old_versions_after_days,
            self.abort_uploads_after_days,
        ];
        let transitions = self.transitions.iter().map(|to| to.after_days);
        let ages: Vec<u32> = ages.into_iter().flatten().chain(transitions).collect();
        if ages.is_empty() && !self.remove_lone_markers {
            return refused("does nothing", "at least one age, or remove_lone_markers");
        }
        if ages.iter().any(|days| *days == 0 || i32::try_from(*days).is_err()) {
            return refused("has an age out of range", "1 to 2147483647 days");
        }
        if self.remove_lone_markers && self.expire_after_days.is_some() {
            return refused("removes lone markers and expires objects", "one of the two");
        }
        let (mut classes, mut before) = (HashSet::new(), 0);
        for step in &self.transitions {
            if !classes.insert(step.to) || step.after_days < before {
                let accepted = "each class once, ordered by age";
                return refused("has transitions out of order", accepted);
            }
            let infrequent = matches!(step.to, StorageClass::StandardIa | StorageClass::OneZoneIa);
            if infrequent && step.after_days < 30 {
                let accepted = "at least 30 days for standard_ia and one_zone_ia";
                return refused("moves objects to infrequent access too early", accepted);
            }
            before = step.after_days;
        }
        if self.expire_after_days.is_some_and(|days| !classes.is_empty() && days <= before) {
            return refused("deletes objects before they move", "an age above that of each move");
        }
        match (self.keep_old_versions, self.expire_old_versions_after_days) {
            (Some(1..=100), Some(_)) | (None, _) => Ok(()),
            (Some(_), None) => refused(
                "keeps old versions that it never deletes",
                "expire_old_versions_after_days",
            ),
            (Some(_), _) => refused("keeps too many or no old versions", "1 to 100"),
        }
    }

    fn to_sdk(&self) -> Result<sdk::LifecycleRule> {
        // None of them is out of range: `check` saw to it.
        let days = |days: u32| i32::try_from(days).unwrap_or(i32::MAX);
        let expiration =
            (self.expire_after_days.is_some() || self.remove_lone_markers).then(|| {
                LifecycleExpiration::builder()
                    .set_days(self.expire_after_days.map(days))
                    .set_expired_object_delete_marker(self.remove_lone_markers.then_some(true))
                    .build()
            });
        let transitions = self.transitions.iter().map(|step| {
            Transition::builder()
                .days(days(step.after_days))
                .set_storage_class(step.to.to_sdk())
                .build()
        });
        let old = self.expire_old_versions_after_days.map(|age| {
            NoncurrentVersionExpiration::builder()
                .noncurrent_days(days(age))
                .set_newer_noncurrent_versions(self.keep_old_versions.map(days))
                .build()
        });
        let uploads = self.abort_uploads_after_days.map(|age| {
            AbortIncompleteMultipartUpload::builder().days_after_initiation(days(age)).build()
        });
        sdk::LifecycleRule::builder()
            .id(&self.id)
            .status(match self.enabled {
                true => ExpirationStatus::Enabled,
                false => ExpirationStatus::Disabled,
            })
            .filter(LifecycleRuleFilter::builder().prefix(&self.prefix).build())
            .set_expiration(expiration)
            .set_transitions((!self.transitions.is_empty()).then(|| transitions.collect()))
            .set_noncurrent_version_expiration(old)
            .set_abort_incomplete_multipart_upload(uploads)
            .build()
            .map_err(unbuilt)
    }

    /// `None` for a rule with more than can be said here.
    fn of_sdk(rule: &sdk::LifecycleRule) -> Option<Self> {
        let filter = rule.filter();
        let more = filter.is_some_and(|filter| {
            filter.tag.is_some()
                || filter.and.is_some()
                || filter.object_size_greater_than.is_some()
                || filter.object_size_less_than.is_some()
        });
        if more || !rule.noncurrent_version_transitions().is_empty() {
            return None;
        }
        // The place of the prefix in rules of the first version of lifecycles.
        #[allow(deprecated)]
        let first = rule.prefix();
        let prefix = filter.and_then(|filter| filter.prefix()).or(first).unwrap_or_default();
        let mut ours = Self::named(rule.id().unwrap_or_default().into(), prefix.into());
        ours.enabled = *rule.status() == ExpirationStatus::Enabled;
        let days = |days: Option<i32>| days.and_then(|days| u32::try_from(days).ok());
        if let Some(expiration) = rule.expiration() {
            if expiration.date.is_some() {
                return None;
            }
            ours.expire_after_days = days(expiration.days).filter(|days| *days > 0);
            ours.remove_lone_markers = expiration.expired_object_delete_marker.unwrap_or(false);
        }
        for step in rule.transitions() {
            let to = StorageClass::of_sdk(step.storage_class()?)?;
            ours.transitions.push(LifecycleTransition { after_days: days(step.days)?, to });
        }
        if let Some(old) = rule.noncurrent_version_expiration() {
            ours.expire_old_versions_after_days = Some(days(old.noncurrent_days)?);
            ours.keep_old_versions = days(old.newer_noncurrent_versions).filter(|kept| *kept > 0);
        }
        if let Some(uploads) = rule.abort_incomplete_multipart_upload() {
            ours.abort_uploads_after_days = Some(days(uploads.days_after_initiation)?);
        }
        Some(ours)
    }
}

/// Refuses what AWS does not take, before any call.
pub(super) fn check(rules: &[LifecycleRule]) -> Result<()> {
    const MOST: usize = 1000;
    if rules.len() > MOST {
        let problem = format!("has {} rules", rules.len());
        return Err(Error::invalid("lifecycle", problem, format_args!("at most {MOST}")));
    }
    let mut ids = HashSet::new();
    for rule in rules {
        rule.check()?;
        if !ids.insert(&rule.id) {
            let problem = format!("has two rules '{}'", rule.id);
            return Err(Error::invalid("lifecycle", problem, "each id once"));
        }
    }
    Ok(())
}

pub(super) async fn put(client: &Client, name: &str, rules: &[LifecycleRule]) -> Result<()> {
    if rules.is_empty() {
        let gone = client.delete_bucket_lifecycle().bucket(name).send().await;
        return gone.map_err(writes("s3")).map(drop);
    }
    let rules = rules.iter().map(LifecycleRule::to_sdk).collect::<Result<_>>()?;
    let rules =
        BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build().map_err(unbuilt)?;
    let call = client.put_bucket_lifecycle_configuration().bucket(name);
    call.lifecycle_configuration(rules).send().await.map_err(writes("s3")).map(drop)
}

pub(super) async fn get(client: &Client, name: &str) -> Result<Vec<LifecycleRule>> {
    let answer = client.get_bucket_lifecycle_configuration().bucket(name).send().await;
    let rules = match answer.map_err(reads("s3")) {
        Ok(answer) => answer.rules.unwrap_or_default(),
        Err(error) if has_code(&error, &["NoSuchLifecycleConfiguration"]) => Vec::new(),
        Err(error) => return Err(error),
    };
    let ours = rules.iter().map(|rule| {
        LifecycleRule::of_sdk(rule).ok_or_else(|| {
            let id = rule.id().unwrap_or_default();
            Error::unsupported(format_args!("all that the lifecycle rule '{id}' says"))
                .with_hint("use the SDK's client: AwsCloud::s3")
        })
    });
    ours.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn problem(change: impl FnOnce(&mut LifecycleRule)) -> String {
        let mut rule = LifecycleRule::expire("r", "", 100);
        change(&mut rule);
        rule.check().map_or_else(|e| e.to_string(), |()| String::new())
    }

    #[test]
    fn rules_that_aws_refuses_are_refused_by_their_name() {
        assert_eq!(problem(|_| {}), "");
        assert!(problem(|r| r.expire_after_days = None).contains("'r' does nothing"));
        assert!(problem(|r| r.expire_after_days = Some(0)).contains("out of range"));
        assert!(problem(|r| r.remove_lone_markers = true).contains("one of the two"));
        assert!(problem(|r| r.keep_old_versions = Some(3)).contains("never deletes"));
        let early = LifecycleTransition { after_days: 29, to: StorageClass::StandardIa };
        assert!(problem(|r| r.transitions = vec![early]).contains("too early"));
        let late = LifecycleTransition { after_days: 100, to: StorageClass::Glacier };
        assert!(problem(|r| r.transitions = vec![late]).contains("before they move"));
        let first = LifecycleTransition { after_days: 50, to: StorageClass::DeepArchive };
        let second = LifecycleTransition { after_days: 40, to: StorageClass::Glacier };
        assert!(problem(|r| r.transitions = vec![first, second]).contains("out of order"));
        let twice = [LifecycleRule::expire("r", "", 1), LifecycleRule::expire("r", "a", 2)];
        assert!(check(&twice).unwrap_err().to_string().contains("two rules 'r'"));
    }

    #[test]
    fn a_rule_with_more_is_not_read_as_one_with_less() {
        let rule = LifecycleRule::expire("r", "a/", 3);
        let mut theirs = rule.to_sdk().unwrap();
        assert_eq!(LifecycleRule::of_sdk(&theirs), Some(rule));
        theirs.filter = Some(LifecycleRuleFilter::builder().object_size_less_than(5).build());
        assert_eq!(LifecycleRule::of_sdk(&theirs), None);
    }

    proptest! {
        #[test]
        fn a_rule_that_is_accepted_reads_back_as_it_was(
            prefix in "[a-z/]{0,8}", enabled: bool, lone: bool,
            expire in prop::option::of(0u32..900), old in prop::option::of(0u32..900),
            kept in prop::option::of(0u32..120), uploads in prop::option::of(0u32..9),
            steps in prop::collection::vec((0u32..400, 0usize..6), 0..3),
        ) {
            let rule = LifecycleRule {
                id: "r".into(), enabled, prefix, expire_after_days: expire,
                transitions: steps.into_iter().map(|(after_days, class)| LifecycleTransition {
                    after_days, to: StorageClass::NAMES[class].0,
                }).collect(),
                expire_old_versions_after_days: old, keep_old_versions: kept,
                remove_lone_markers: lone, abort_uploads_after_days: uploads,
            };
            if rule.check().is_ok() {
                prop_assert_eq!(LifecycleRule::of_sdk(&rule.to_sdk().unwrap()), Some(rule.clone()));
                let text = serde_json::to_string(&rule).unwrap();
                prop_assert_eq!(serde_json::from_str::<LifecycleRule>(&text).unwrap(), rule);
            }
        }
    }
}
