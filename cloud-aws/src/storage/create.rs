//! Creating a bucket: looked for first, tagged in the same call, set up after it, undone or completed if that breaks off.

use aws_sdk_s3::{
    Client,
    types::{
        BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration,
        ObjectOwnership, Tag, Tagging, VersioningConfiguration,
    },
};
use cloud_core::{
    Bucket, BucketSpec, ClientToken, Effect, Error, ErrorKind, Region, ResourceKind, Result, Retry,
};

use super::{AwsBucket, AwsStorage, read_tags, region_of, versions, view};
use crate::{
    error::{has_code, reads, unbuilt, writes},
    listing, names, tags,
    tokens::Request,
};

/// The one region whose name S3 does not take as the place of a bucket: it is the default.
const DEFAULT_REGION: &str = "us-east-1";

/// What a create needs to know.
struct Create<'a> {
    client: Client,
    spec: &'a BucketSpec,
    settings: AwsBucket,
    request: Request,
    tags: Vec<Tag>,
    /// Another server stands in for S3, and may ignore the tags of a create.
    stand_in: bool,
}

impl AwsStorage {
    pub(super) async fn create(&self, spec: &BucketSpec, token: &ClientToken) -> Result<Bucket> {
        spec.check(&self.capabilities())?;
        names::check_bucket(&spec.name)?;
        tags::check(&spec.tags)?;
        let settings = spec.overrides.get::<AwsBucket>()?.unwrap_or_default();
        settings.check(spec)?;
        let client = self.account.s3(&spec.region)?;
        let stand_in = self.account.endpoint("s3").is_some();
        let run = |request: Request| async move {
            let pairs = tags::for_create(&spec.tags, &request)?;
            let tag = |(key, value)| Tag::builder().key(key).value(value).build();
            let tags = pairs.into_iter().map(tag).collect::<Result<_, _>>().map_err(unbuilt)?;
            Create { client, spec, settings, request, tags, stand_in }.run().await
        };
        self.account.tokens.once(ResourceKind::Bucket, spec, token, run).await?;
        let id = listing::id(ResourceKind::Bucket, &spec.region, &spec.name)?;
        view(id, spec.tags.clone(), spec.versioning, None)
    }
}

impl Create<'_> {
    async fn run(&self) -> Result<()> {
        let name = self.spec.name.as_str();
        let found = match region_of(&self.client, name, &self.spec.region).await {
            // Another account's, or no right to look: the answer to the create tells.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => None,
            found => found?,
        };
        let fresh = match found {
            Some(region) => self.take_up(&region).await.map(|()| false),
            None => self.make().await,
        }?;
        let error = match self.set_up().await {
            Ok(()) => return Ok(()),
            // S3's servers hear of a new bucket one after the other.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let message = format!("the bucket '{name}' was created and is not to be seen yet");
                Error::new(ErrorKind::Unavailable, message).with_source(error)
            }
            Err(error) => error,
        };
        // What may have happened, or can be tried again, is completed by the repeated create.
        if fresh && error.effect() == Effect::None && error.retry() == Retry::Never {
            let undone = self.client.delete_bucket().bucket(name).send().await;
            if undone.is_ok() {
                return Err(error);
            }
        }
        Err(error.with_effect(Effect::Unknown).with_resource(name))
    }

    /// Makes the bucket; whether this call did.
    async fn make(&self) -> Result<bool> {
        let name = self.spec.name.as_str();
        let region = self.spec.region.as_str();
        let place = (region != DEFAULT_REGION).then(|| BucketLocationConstraint::from(region));
        let configuration = CreateBucketConfiguration::builder()
            .set_location_constraint(place)
            .set_tags(Some(self.tags.clone()))
            .build();
        let created = self
            .client
            .create_bucket()
            .bucket(name)
            .create_bucket_configuration(configuration)
            .object_ownership(ObjectOwnership::BucketOwnerEnforced)
            .send()
            .await
            .map_err(writes("s3"));
        match created {
            Ok(_) => {}
            Err(error) if has_code(&error, &["BucketAlreadyOwnedByYou"]) => {
                let region = region_of(&self.client, name, &self.spec.region).await?;
                return self
                    .take_up(&region.unwrap_or(self.spec.region.clone()))
                    .await
                    .map(|()| false);
            }
            Err(error) => return Err(error.with_resource(name)),
        }
        if region != DEFAULT_REGION && !self.stand_in {
            return Ok(true);
        }
        // There the answer is a success also for a bucket that somebody of this account made since it was looked for.
        let (tags, made_by) = match self.tags_now().await {
            // Not to be seen yet.
            Err(error) if error.kind() == ErrorKind::NotFound => Default::default(),
            found => found.map_err(unsure)?,
        };
        if self.request.made(made_by.as_deref())? {
            return Ok(true);
        }
        if made_by.is_some() || !tags.is_empty() {
            return Err(self.taken(&self.spec.region));
        }
        self.tag().await.map_err(unsure)?;
        Ok(true)
    }

    /// Takes up a bucket that is there already, if it is this create's.
    async fn take_up(&self, region: &Region) -> Result<()> {
        if *region != self.spec.region {
            return Err(self.taken(region));
        }
        let (tags, made_by) = match self.tags_now().await {
            // Another account's.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(self.taken(region));
            }
            found => found?,
        };
        if self.request.made(made_by.as_deref())? {
            return Ok(());
        }
        let untagged = made_by.is_none() && tags.is_empty();
        if !self.stand_in || !untagged || !self.is_blank().await? {
            return Err(self.taken(region));
        }
        self.tag().await
    }

    async fn tags_now(&self) -> Result<(cloud_core::Tags, Option<String>)> {
        read_tags(&self.client, &self.spec.name).await
    }

    async fn tag(&self) -> Result<()> {
        let tagging =
            Tagging::builder().set_tag_set(Some(self.tags.clone())).build().map_err(unbuilt)?;
        let name = &self.spec.name;
        let call = self.client.put_bucket_tagging().bucket(name).tagging(tagging);
        call.send().await.map_err(writes("s3")).map(drop)
    }

    /// Whether it is this account's and holds nothing.
    async fn is_blank(&self) -> Result<bool> {
        let name = self.spec.name.as_str();
        let mine = self.client.list_buckets().prefix(name).send().await.map_err(reads("s3"))?;
        let mine = mine.buckets().iter().any(|bucket| bucket.name() == Some(name));
        let held = versions::page(&self.client, name, None, 1, None).await?;
        Ok(mine && held.versions.is_empty())
    }

    fn taken(&self, region: &Region) -> Error {
        let name = &self.spec.name;
        Error::new(ErrorKind::AlreadyExists, format!("a bucket '{name}' exists in {region}"))
            .with_resource(name)
            .with_hint("names of buckets are unique among all accounts: choose another")
    }

    /// What the call that creates a bucket cannot say. Setting it again changes nothing.
    async fn set_up(&self) -> Result<()> {
        let (client, name) = (&self.client, self.spec.name.as_str());
        self.settings.public_access().put(client, name).await?;
        self.settings.encryption.put(client, name).await?;
        if self.spec.versioning {
            let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled);
            let call = client.put_bucket_versioning().bucket(name);
            let call = call.versioning_configuration(on.build());
            call.send().await.map_err(writes("s3"))?;
        }
        if !self.settings.lifecycle.is_empty() {
            super::lifecycle::put(client, name, &self.settings.lifecycle).await?;
        }
        match &self.settings.replication {
            Some(replication) => replication.put(client, name).await,
            None => Ok(()),
        }
    }
}

/// The bucket is there, whatever the error of a later call says.
fn unsure(error: Error) -> Error {
    error.with_effect(Effect::Unknown)
}
