//! `AwsStorage`: buckets of S3. Contents are in `objects`, their versions in `versions`, settings in `settings`.

mod create;
mod empty;
mod lifecycle;
mod objects;
mod presign;
mod replication;
mod settings;
mod versions;

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use cloud_core::{
    Bucket, BucketSpec, ClientToken, DeleteOptions, Error, ErrorKind, ListQuery, ObjectLocation,
    ObjectVersion, Page, PageRequest, PresignRequest, Region, ResourceId, ResourceKind,
    ResourceStatus, Result, SecretString, Storage, StorageCapabilities, Tags, VersionQuery,
};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use object_store::ObjectStore;

use crate::{
    account::{Account, MAX_PAGE},
    error::{has_code, reads, writes},
    listing, names, tags,
    time::timestamp,
};

pub use lifecycle::{LifecycleRule, LifecycleTransition, StorageClass};
pub use replication::BucketReplication;
pub use settings::{AwsBucket, BucketEncryption, PublicAccessBlock};

use objects::Keys;

/// Calls that are made at once for the buckets of a page, or the pages of a bucket that is emptied.
const AT_ONCE: usize = 16;

/// Buckets of [S3](https://docs.aws.amazon.com/AmazonS3/latest/API/Welcome.html), with what only S3 has.
///
/// A bucket is private, encrypted and owned by its account alone (no ACLs) unless [`AwsBucket`] says otherwise. Its tags are set by the
/// call that creates it, its other settings right after: a create that breaks off in between is completed by repeating it with its token,
/// and one that is refused half-way removes the bucket again.
///
/// Names are unique among all accounts of a partition. A bucket that was made by hand is never taken over: a create of its name
/// fails with [`AlreadyExists`](cloud_core::ErrorKind::AlreadyExists), also in `us-east-1`, where S3 itself would answer with success.
/// One exception is for servers that stand in for S3 (an [endpoint](crate::AwsConfig::endpoint) of the configuration) and ignore the tags
/// of that call: they are set by a call of their own, and a bucket of this account that is empty and without any tag is taken for one
/// whose create broke off in between.
///
/// A handle to the contents repeats what is safe to repeat up to 3 times by itself. Each handle has connections of its own: keep it. Of
/// keys that [`Path`](object_store::path::Path) cannot say, listings leave out all, and locations report them.
///
/// A listing of buckets asks for the tags and the versioning of each bucket, 16 at a time. `created_at` is known to listings only.
///
/// ```no_run
/// # use cloud_aws::{AwsBucket, AwsCloud, BucketEncryption};
/// # use cloud_core::{BucketSpec, ClientToken, Region, Result, Storage};
/// # async fn example(aws: &AwsCloud) -> Result<()> {
/// let mut spec = BucketSpec::new("orders-2031", Region::new("eu-central-1")?);
/// spec.versioning = true;
/// spec.overrides.set(&AwsBucket {
///     encryption: BucketEncryption::Kms { key: "alias/orders".into(), bucket_key: true },
///     ..AwsBucket::default()
/// })?;
/// let bucket = aws.aws_storage().create_bucket(&spec, &ClientToken::random()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct AwsStorage {
    account: Arc<Account>,
    keys: Arc<Keys>,
}

/// A bucket as a listing names it.
struct Named {
    name: String,
    region: Region,
    /// Whether S3 itself said that it is in this region, and not only that it was asked for those that are.
    certain: bool,
    created_at: Option<Timestamp>,
}

impl AwsStorage {
    pub(crate) fn new(account: &Arc<Account>) -> Self {
        let account = account.clone();
        Self { keys: Arc::new(Keys::of(account.clone())), account }
    }

    pub(crate) fn capabilities(&self) -> StorageCapabilities {
        StorageCapabilities {
            names: names::BUCKET,
            versioning: true,
            object_metadata: true,
            put_if_absent: true,
            put_if_match: true,
            // S3 itself is asked by If-None-Match; servers that stand in for it ignore that of copies, and would overwrite.
            copy_if_absent: self.account.endpoint("s3").is_none(),
            presign: true,
            max_key_bytes: 1024,
        }
    }

    /// The client for a bucket, whose id is looked at before anything is sent.
    fn client(&self, id: &ResourceId) -> Result<Client> {
        id.expect_kind(ResourceKind::Bucket)?;
        names::check_bucket(id.native())?;
        self.account.s3(&id.region)
    }

    /// [`client`](Self::client), for a bucket that is where its id says.
    async fn find(&self, id: &ResourceId) -> Result<Client> {
        let client = self.client(id)?;
        match region_of(&client, id.native(), &id.region).await? {
            Some(region) if region == id.region => Ok(client),
            _ => Err(Error::not_found(id)),
        }
    }

    async fn get(&self, id: &ResourceId) -> Result<Bucket> {
        let client = self.find(id).await?;
        let name = id.native();
        let (tags, versioning) =
            futures::try_join!(read_tags(&client, name), is_versioned(&client, name))?;
        view(id.clone(), tags.0, versioning, None)
    }

    /// One page of names. A name that is asked for narrows it to those that begin so.
    async fn names(
        &self,
        region: Region,
        token: Option<String>,
        name: Option<&str>,
    ) -> Result<listing::NativePage<Named>> {
        let client = self.account.s3(&region)?;
        let answer = client
            .list_buckets()
            .bucket_region(region.as_str())
            .max_buckets(MAX_PAGE as i32)
            .set_prefix(name.map(str::to_owned))
            .set_continuation_token(token)
            .send()
            .await
            .map_err(reads("s3"))?;
        let next = answer.continuation_token().map(str::to_owned);
        let named = answer.buckets.unwrap_or_default().into_iter().filter_map(|bucket| {
            let told = bucket.bucket_region();
            let here = told.is_none_or(|told| told == region.as_str());
            let certain = told.is_some();
            let created_at = bucket.creation_date().and_then(timestamp);
            let named = |name| Named { name, region: region.clone(), certain, created_at };
            bucket.name.filter(|_| here).map(named)
        });
        Ok((named.collect(), next.filter(|token| !token.is_empty())))
    }

    /// The view of a bucket that was listed; `None` if it is not there any more, or elsewhere.
    async fn describe(&self, named: Named, by_tags: bool) -> Result<Option<Bucket>> {
        let client = self.account.s3(&named.region)?;
        let look = async {
            if !named.certain {
                let region = region_of(&client, &named.name, &named.region).await?;
                if region.as_ref() != Some(&named.region) {
                    return Ok::<_, Error>(None);
                }
            }
            let (tags, versioning) = futures::try_join!(
                read_tags(&client, &named.name),
                is_versioned(&client, &named.name)
            )?;
            Ok(Some((tags.0, versioning)))
        };
        let id = listing::id(ResourceKind::Bucket, &named.region, &named.name)?;
        match look.await {
            Ok(Some((tags, versioning))) => view(id, tags, versioning, named.created_at).map(Some),
            Ok(None) => Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            // Whether it bears a tag that is asked for cannot be known; else it is there, and closed to us.
            Err(error) if error.kind() == ErrorKind::PermissionDenied && !by_tags => {
                let mut closed = view(id, Tags::default(), false, named.created_at)?;
                closed.status = ResourceStatus::Unknown;
                Ok(Some(closed))
            }
            Err(error) => Err(error.with_resource(id.to_string())),
        }
    }

    async fn list(&self, query: &ListQuery, page: &PageRequest) -> Result<Page<Bucket>> {
        let regions = listing::regions(&self.account, query.region.as_ref())?;
        let name = query.name.as_deref();
        let names = listing::over(
            regions,
            page,
            |named: &Named| &named.name,
            |named| name.is_none_or(|wanted| wanted == named.name),
            |region, token| self.names(region, token, name),
        )
        .await?;
        let by_tags = !query.tags.is_empty();
        let found: Vec<_> = stream::iter(names.items)
            .map(|named| self.describe(named, by_tags))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let matches = |bucket: &Bucket| query.matches(&bucket.name, &bucket.tags);
        Ok(Page { items: found.into_iter().flatten().filter(matches).collect(), next: names.next })
    }

    async fn delete(&self, id: &ResourceId, options: &DeleteOptions) -> Result<bool> {
        // In another region it is not the one that is meant.
        let client = match self.find(id).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            client => client?,
        };
        let delete = async {
            if options.with_contents {
                empty::empty(&client, id.native()).await?;
            }
            client.delete_bucket().bucket(id.native()).send().await.map_err(writes("s3"))
        };
        match delete.await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) if has_code(&error, &["BucketNotEmpty"]) && !options.with_contents => {
                Err(error.with_hint("delete it with its contents: DeleteOptions::with_contents"))
            }
            Err(error) => Err(error),
        }
    }
}

/// Where the bucket of this name is; `None` if there is none. The server of another region tells where it is too.
async fn region_of(client: &Client, name: &str, asked: &Region) -> Result<Option<Region>> {
    let error = match client.head_bucket().bucket(name).send().await {
        Ok(head) => {
            let told = head.bucket_region().filter(|region| !region.is_empty());
            return Ok(Some(told.map_or_else(|| Ok(asked.clone()), Region::new)?));
        }
        Err(error) => error,
    };
    let answer = error.raw_response();
    let elsewhere = answer
        .and_then(|answer| answer.headers().get("x-amz-bucket-region"))
        .filter(|region| *region != asked.as_str());
    match (answer.map(|answer| answer.status().as_u16()), elsewhere) {
        (Some(404), _) => Ok(None),
        (Some(301 | 400), Some(region)) => Region::new(region).map(Some),
        _ => Err(reads("s3")(error).with_resource(name)),
    }
}

/// The tags of a bucket, and apart from them the one that says by which create it was made.
async fn read_tags(client: &Client, name: &str) -> Result<(Tags, Option<String>)> {
    match client.get_bucket_tagging().bucket(name).send().await.map_err(reads("s3")) {
        Ok(answer) => Ok(tags::read(answer.tag_set.into_iter().map(|tag| (tag.key, tag.value)))),
        Err(error) if has_code(&error, &["NoSuchTagSet", "NoSuchTagSetError"]) => {
            Ok(Default::default())
        }
        Err(error) => Err(error),
    }
}

async fn is_versioned(client: &Client, name: &str) -> Result<bool> {
    use aws_sdk_s3::types::BucketVersioningStatus::Enabled;
    let answer = client.get_bucket_versioning().bucket(name).send().await.map_err(reads("s3"))?;
    Ok(answer.status() == Some(&Enabled))
}

fn view(
    id: ResourceId,
    tags: Tags,
    versioning: bool,
    created_at: Option<Timestamp>,
) -> Result<Bucket> {
    let (name, status) = (id.native().to_owned(), ResourceStatus::Running);
    Ok(Bucket { id, name, status, versioning, tags, created_at })
}

#[async_trait]
impl Storage for AwsStorage {
    async fn create_bucket(&self, spec: &BucketSpec, token: &ClientToken) -> Result<Bucket> {
        self.create(spec, token).await.map_err(self.account.in_call("storage.create_bucket"))
    }

    async fn get_bucket(&self, id: &ResourceId) -> Result<Bucket> {
        self.get(id).await.map_err(self.account.in_call("storage.get_bucket"))
    }

    async fn list_buckets_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Bucket>> {
        self.list(query, page).await.map_err(self.account.in_call("storage.list_buckets"))
    }

    async fn delete_bucket(&self, id: &ResourceId, options: &DeleteOptions) -> Result<bool> {
        self.delete(id, options).await.map_err(self.account.in_call("storage.delete_bucket"))
    }

    async fn object_store(&self, id: &ResourceId) -> Result<Arc<dyn ObjectStore>> {
        self.objects(id).await.map_err(self.account.in_call("storage.object_store"))
    }

    async fn object_location(&self, id: &ResourceId) -> Result<ObjectLocation> {
        self.location(id).await.map_err(self.account.in_call("storage.object_location"))
    }

    async fn list_object_versions_page(
        &self,
        query: &VersionQuery,
        page: &PageRequest,
    ) -> Result<Page<ObjectVersion>> {
        let listed = self.list_versions(query, page).await;
        listed.map_err(self.account.in_call("storage.list_object_versions"))
    }

    async fn presign(&self, request: &PresignRequest) -> Result<SecretString> {
        self.presigned(request).await.map_err(self.account.in_call("storage.presign"))
    }
}
