//! `Storage`: buckets. Their contents are reached through `object_store::ObjectStore`.

use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use object_store::{ObjectStore, path::Path};
use serde::{Deserialize, Serialize};

use super::{DeleteOptions, listings};
use crate::{
    ClientToken, Error, ListQuery, ObjectLocation, Overrides, Page, PageRequest, Region,
    ResourceId, ResourceStatus, Result, SecretString, StorageCapabilities, Tags, resource::view,
    text::check_name,
};

/// A request for a bucket, the same for every cloud. Buckets are private; encryption at rest is the provider's default.
///
/// ```
/// use cloud_core::{BucketSpec, Region};
/// let spec = BucketSpec::new("assets", Region::new("eu-1").unwrap());
/// assert!(!spec.versioning);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketSpec {
    /// Its name; on several providers unique among all their customers.
    pub name: String,
    /// Where to put it.
    pub region: Region,
    /// Whether to keep old versions of objects. Default: no.
    #[serde(default)]
    pub versioning: bool,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Settings of single providers.
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub overrides: Overrides,
}

impl BucketSpec {
    /// A bucket with everything at its default.
    pub fn new(name: impl Into<String>, region: Region) -> Self {
        Self {
            name: name.into(),
            region,
            versioning: false,
            tags: Tags::default(),
            overrides: Overrides::default(),
        }
    }

    /// Refuses what no cloud accepts.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        check_name("bucket name", &self.name)
    }

    /// [`validate`](Self::validate), and what this cloud's capabilities rule out.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) or [`Unsupported`](crate::ErrorKind::Unsupported).
    pub fn check(&self, can: &StorageCapabilities) -> Result<()> {
        self.validate()?;
        can.names.check("bucket name", &self.name)?;
        if self.versioning && !can.versioning {
            return Err(Error::unsupported("versioned buckets"));
        }
        Ok(())
    }
}

/// A bucket, as its cloud reports it.
///
/// ```
/// # use cloud_core::Bucket;
/// fn is_versioned(bucket: &Bucket) -> bool { bucket.versioning }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// Its id in the cloud.
    pub id: ResourceId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: ResourceStatus,
    /// Whether it keeps old versions of objects.
    pub versioning: bool,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// Which object versions to list.
///
/// ```
/// # use cloud_core::{ResourceId, VersionQuery};
/// let bucket: ResourceId = "bucket/eu-1/assets".parse().unwrap();
/// let query = VersionQuery { bucket, prefix: Some("logo".into()) };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionQuery {
    /// The bucket.
    pub bucket: ResourceId,
    /// Only keys below this prefix.
    pub prefix: Option<Path>,
}

/// One version of an object in a versioned bucket. Read it with `GetOptions::with_version`.
///
/// ```
/// # use cloud_core::ObjectVersion;
/// fn newest(versions: &[ObjectVersion]) -> Option<&ObjectVersion> {
///     versions.iter().find(|v| v.is_latest)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectVersion {
    /// The object's key.
    pub location: Path,
    /// The provider's id of the version.
    pub version: String,
    /// Whether it is the newest.
    pub is_latest: bool,
    /// Whether it records a deletion and has no contents.
    pub is_delete_marker: bool,
    /// Bytes.
    pub size: u64,
    /// When it was written.
    pub last_modified: Timestamp,
}

/// A request for a URL that lets its bearer do one thing for a while.
///
/// ```
/// # use cloud_core::{PresignMethod, PresignRequest, ResourceId};
/// let request = PresignRequest {
///     bucket: "bucket/eu-1/assets".parse().unwrap(),
///     method: PresignMethod::Get,
///     location: "logo.svg".into(),
///     expires_in: std::time::Duration::from_secs(600),
/// };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresignRequest {
    /// The bucket.
    pub bucket: ResourceId,
    /// What the bearer may do.
    pub method: PresignMethod,
    /// With which object.
    pub location: Path,
    /// For how long.
    pub expires_in: Duration,
}

/// What the bearer of a presigned URL may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresignMethod {
    /// Read the object.
    Get,
    /// Write the object.
    Put,
    /// Delete the object.
    Delete,
}

/// Buckets. See [the rules that all services share](crate::service).
///
/// ```
/// # use cloud_core::{BucketSpec, ClientToken, Region, Result, Storage};
/// use object_store::{ObjectStoreExt, path::Path};
///
/// async fn publish(storage: &dyn Storage) -> Result<()> {
///     let spec = BucketSpec::new("assets", Region::new("eu-1")?);
///     let bucket = storage.create_bucket(&spec, &ClientToken::random()).await?;
///     let objects = storage.object_store(&bucket.id).await?;
///     objects.put(&Path::from("logo.svg"), "<svg/>".into()).await?;
///     Ok(())
/// }
/// ```
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Storage: Debug + Send + Sync {
    /// Creates a bucket.
    ///
    /// # Errors
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists), or any.
    async fn create_bucket(&self, spec: &BucketSpec, token: &ClientToken) -> Result<Bucket>;

    /// One bucket.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), or any.
    async fn get_bucket(&self, id: &ResourceId) -> Result<Bucket>;

    /// One page of the buckets. See [`StorageExt::list_buckets`].
    ///
    /// # Errors
    /// Any.
    async fn list_buckets_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Bucket>>;

    /// Deletes a bucket. `true` if it was there.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) if it has objects and `options` does not include them; or any.
    async fn delete_bucket(&self, id: &ResourceId, options: &DeleteOptions) -> Result<bool>;

    /// The contents of a bucket. The handle stays valid until the bucket is deleted.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), or any.
    async fn object_store(&self, id: &ResourceId) -> Result<Arc<dyn ObjectStore>>;

    /// The contents of a bucket, and what the handle guarantees beyond the contract of `ObjectStore`: what data sync asks for.
    /// The default guarantees nothing.
    ///
    /// # Errors
    /// As for [`object_store`](Self::object_store).
    async fn object_location(&self, id: &ResourceId) -> Result<ObjectLocation> {
        let objects = self.object_store(id).await?;
        Ok(ObjectLocation::new(id.to_string(), objects, Path::default()))
    }

    /// One page of the versions of the objects of a bucket. See [`StorageExt::list_object_versions`].
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported), or any.
    async fn list_object_versions_page(
        &self,
        query: &VersionQuery,
        page: &PageRequest,
    ) -> Result<Page<ObjectVersion>> {
        let _ = (query, page);
        Err(Error::unsupported("listing object versions"))
    }

    /// A presigned URL. It is itself a secret until it expires.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported), or any.
    async fn presign(&self, request: &PresignRequest) -> Result<SecretString> {
        let _ = request;
        Err(Error::unsupported("presigned URLs"))
    }
}

view!(Bucket);

listings! {
    /// Sugar over [`Storage`].
    StorageExt: Storage {
        /// The buckets that match.
        list_buckets by list_buckets_page(ListQuery) -> Bucket;
        /// The versions of the objects of a bucket, ordered by key, newest first.
        list_object_versions by list_object_versions_page(VersionQuery) -> ObjectVersion;
    }
}
