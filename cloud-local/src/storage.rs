//! `Storage`: a bucket is a directory. Its folder holds
//!
//! ```text
//! blobs/<uuid>                     contents, written once by object_store's LocalFileSystem and never changed
//! keys/<encoded key>.o             which contents an object has now, with its metadata; replaced in one piece
//! versions/<encoded key>/<id>.v    the same for every version, in a bucket that keeps them
//! ```
//!
//! So a reader sees the old contents with the old metadata or the new with the new, never a mixture, and a put that is
//! broken off changes nothing. What a crash in the middle of a put leaves in `blobs` is removed with the bucket.

mod entry;
mod keys;
mod objects;
mod upload;

use std::sync::Arc;

use async_trait::async_trait;
use cloud_core::{
    Bucket, BucketSpec, ClientToken, DeleteOptions, Error, ErrorKind, ListQuery, ObjectLocation,
    ObjectVersion, Page, PageRequest, PageToken, Provider, ResourceId, ResourceKind,
    ResourceStatus, Result, Storage, StorageCapabilities, Transport, VersionQuery,
};
use object_store::{ObjectStore, path::Path};
use serde::{Deserialize, Serialize};

use crate::{
    listing::page_size,
    provider::NAMES,
    state::{Begun, NewRecord, Record, State, fingerprint, make_dir},
};
use objects::LocalObjects;

/// The longest key, as on S3. Encoded it still fits into a path.
const MAX_KEY_BYTES: usize = 1024;

pub(crate) fn capabilities() -> StorageCapabilities {
    StorageCapabilities {
        names: NAMES,
        versioning: true,
        object_metadata: true,
        put_if_absent: true,
        put_if_match: true,
        copy_if_absent: true,
        presign: false,
        max_key_bytes: MAX_KEY_BYTES,
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct BucketBody {
    versioning: bool,
}

fn view(record: Record<BucketBody>) -> Result<Bucket> {
    Ok(Bucket {
        id: record.id,
        name: record.name,
        status: record.status,
        versioning: record.body.versioning,
        tags: record.tags,
        created_at: Some(record.created_at),
    })
}

#[derive(Clone, Debug)]
pub(crate) struct LocalStorage {
    state: Arc<State>,
}

impl LocalStorage {
    pub(crate) fn new(state: &Arc<State>) -> Self {
        Self { state: state.clone() }
    }

    async fn create(&self, spec: &BucketSpec, token: &ClientToken) -> Result<Bucket> {
        spec.check(&capabilities())?;
        let new = NewRecord {
            kind: ResourceKind::Bucket,
            region: spec.region.clone(),
            name: spec.name.clone(),
            token: token.clone(),
            fingerprint: fingerprint(spec)?,
            tags: spec.tags.clone(),
            uses: Vec::new(),
            status: ResourceStatus::Creating,
            body: BucketBody { versioning: spec.versioning },
        };
        let record = self
            .state
            .locked(move |s| {
                let mut record = match s.begin_finishing(new, |_| Ok(()))? {
                    Begun::Done(record) => return Ok(record),
                    Begun::New(record) | Begun::Unfinished(record) => record,
                };
                let folder = s.state().data_dir(&record.id)?;
                record.status = ResourceStatus::Running;
                let made = ["blobs", "keys", "versions"]
                    .iter()
                    .try_for_each(|part| make_dir(&folder.join(part)))
                    .and_then(|()| s.write(&record));
                if let Err(error) = made {
                    s.remove(&record.id)?;
                    return Err(error);
                }
                Ok(record)
            })
            .await?;
        view(record)
    }

    async fn record(&self, id: &ResourceId) -> Result<Record<BucketBody>> {
        self.state.check_id(id, ResourceKind::Bucket)?;
        self.state.get(id).await
    }

    async fn delete(&self, id: &ResourceId, options: &DeleteOptions) -> Result<bool> {
        self.state.check_id(id, ResourceKind::Bucket)?;
        let (id, with_contents) = (id.clone(), options.with_contents);
        self.state
            .locked(move |s| {
                let Some(mut record) = s.find::<BucketBody>(&id)? else {
                    return Ok(false);
                };
                s.check_unused(&id)?;
                // Puts of other tasks and processes wait, and then find no bucket.
                let _lock = s.state().lock_resource_blocking(&id)?;
                let folder = s.state().data_dir(&id)?;
                if !with_contents
                    && (keys::any(&folder.join("keys"))? || keys::any(&folder.join("versions"))?)
                {
                    let message = format!(
                        "the bucket '{}' holds objects or versions of objects",
                        record.name
                    );
                    return Err(Error::new(ErrorKind::Conflict, message)
                        .with_resource(id.to_string())
                        .with_hint("delete them first, or use DeleteOptions::with_contents"));
                }
                s.mark_deleting(&mut record)?;
                s.remove(&id)
            })
            .await
    }

    async fn open(&self, id: &ResourceId) -> Result<LocalObjects> {
        let record = self.record(id).await?;
        if record.status != ResourceStatus::Running {
            let message = format!("{id} is {}", record.status);
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        LocalObjects::new(&self.state, &record.id, record.body.versioning)
    }

    async fn versions(
        &self,
        query: &VersionQuery,
        page: &PageRequest,
    ) -> Result<Page<ObjectVersion>> {
        let objects = self.open(&query.bucket).await?;
        if !self.record(&query.bucket).await?.body.versioning {
            return Err(Error::unsupported("versions in a bucket that does not keep them"));
        }
        let size = page_size(page, self.state.max_page_size())?;
        let after = match &page.after {
            None => None,
            Some(token) => Some(objects::split_version_token(token)?),
        };
        let prefix = query.prefix.clone();
        let mut items = self
            .state
            .blocking(move || objects.versions_after(prefix.as_ref(), after, size + 1))
            .await?;
        if items.len() <= size {
            return Ok(Page::last(items));
        }
        items.truncate(size);
        let next = items.last().map(|v| PageToken::new(format!("{}/{}", v.version, v.location)));
        Ok(Page { next: next.transpose()?, items })
    }
}

#[async_trait]
impl Storage for LocalStorage {
    async fn create_bucket(&self, spec: &BucketSpec, token: &ClientToken) -> Result<Bucket> {
        let made = self.create(spec, token).await;
        made.map_err(self.state.in_call("storage.create_bucket"))
    }

    async fn get_bucket(&self, id: &ResourceId) -> Result<Bucket> {
        let got = self.record(id).await.and_then(view);
        got.map_err(self.state.in_call("storage.get_bucket"))
    }

    async fn list_buckets_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Bucket>> {
        let listed = self.state.list_page(ResourceKind::Bucket, query, page, view).await;
        listed.map_err(self.state.in_call("storage.list_buckets"))
    }

    async fn delete_bucket(&self, id: &ResourceId, options: &DeleteOptions) -> Result<bool> {
        let deleted = self.delete(id, options).await;
        deleted.map_err(self.state.in_call("storage.delete_bucket"))
    }

    async fn object_store(&self, id: &ResourceId) -> Result<Arc<dyn ObjectStore>> {
        let opened = self.open(id).await.map_err(self.state.in_call("storage.object_store"))?;
        Ok(Arc::new(opened))
    }

    async fn object_location(&self, id: &ResourceId) -> Result<ObjectLocation> {
        let mut location =
            ObjectLocation::new(id.to_string(), self.object_store(id).await?, Path::default());
        location.traits.provider = Provider::Local;
        location.traits.transport = Transport::Local;
        Ok(location)
    }

    async fn list_object_versions_page(
        &self,
        query: &VersionQuery,
        page: &PageRequest,
    ) -> Result<Page<ObjectVersion>> {
        let listed = self.versions(query, page).await;
        listed.map_err(self.state.in_call("storage.list_object_versions"))
    }
}
