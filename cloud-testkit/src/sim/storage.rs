//! `Storage` of the simulated cloud: buckets. What is in them is in `objects`.

use std::sync::Arc;

use async_trait::async_trait;
use cloud_core::{
    Bucket, BucketSpec, ClientToken, DeleteOptions, Error, ErrorKind, ListQuery, ObjectVersion,
    Page, PageRequest, ResourceId, ResourceKind, ResourceStatus, Result, Storage, VersionQuery,
};
use object_store::ObjectStore;

use super::{
    SimCloud,
    compute::page_of,
    entry::{Draft, Entry, Request},
    extra::Extra,
    objects::{Objects, SimObjects},
    offered,
};

#[async_trait]
impl Storage for SimCloud {
    async fn create_bucket(&self, spec: &BucketSpec, token: &ClientToken) -> Result<Bucket> {
        spec.check(offered!(self, storage, "storage")?)?;
        self.region(&spec.region)?;
        let request = Request {
            region: &spec.region,
            name: &spec.name,
            tags: &spec.tags,
            spec,
            token,
            unique: true,
            needs: Vec::new(),
            vcpu: 0,
        };
        self.create_one("storage.create_bucket", request, |_, common| {
            let view = Bucket {
                id: common.id,
                name: common.name,
                status: ResourceStatus::Creating,
                versioning: spec.versioning,
                tags: common.tags,
                created_at: common.created_at,
            };
            let objects = Objects::new(spec.versioning);
            Ok(Draft::new(view, Extra::Bucket(Arc::new(objects))))
        })
        .await
    }

    async fn get_bucket(&self, id: &ResourceId) -> Result<Bucket> {
        self.get_one("storage.get_bucket", id).await
    }

    async fn list_buckets_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Bucket>> {
        self.list_page("storage.list_buckets", query, page).await
    }

    async fn delete_bucket(&self, id: &ResourceId, options: &DeleteOptions) -> Result<bool> {
        id.expect_kind(ResourceKind::Bucket)?;
        self.call("storage.delete_bucket", Some(&id.region), |state, now| {
            let Ok(entry) = state.find_mut(id, now) else {
                return Ok(false);
            };
            let objects = contents(entry, id)?;
            if !objects.is_empty() && !options.with_contents {
                let message = format!("{id} still holds objects");
                return Err(Error::new(ErrorKind::Conflict, message)
                    .with_hint("delete the objects first, or delete with_contents"));
            }
            let deleted = state.delete(id, now)?;
            objects.clear();
            Ok(deleted)
        })
        .await
    }

    async fn object_store(&self, id: &ResourceId) -> Result<Arc<dyn ObjectStore>> {
        id.expect_kind(ResourceKind::Bucket)?;
        let max_key_bytes = offered!(self, storage, "storage")?.max_key_bytes;
        self.call("storage.object_store", Some(&id.region), |state, now| {
            state.ready(id, now).map(|_| ())
        })
        .await?;
        Ok(Arc::new(SimObjects::new(self.clone(), id.clone(), max_key_bytes)))
    }

    async fn list_object_versions_page(
        &self,
        query: &VersionQuery,
        page: &PageRequest,
    ) -> Result<Page<ObjectVersion>> {
        let id = &query.bucket;
        id.expect_kind(ResourceKind::Bucket)?;
        if !offered!(self, storage, "storage")?.versioning {
            return Err(Error::unsupported("listing object versions"));
        }
        self.call("storage.list_object_versions", Some(&id.region), |state, now| {
            let size = state.page_size(page)?;
            let objects = contents(state.find_mut(id, now)?, id)?;
            page_of(objects.versions(query.prefix.as_ref()), page, size)
        })
        .await
    }
}

/// What is in a bucket.
pub(super) fn contents(entry: &Entry, id: &ResourceId) -> Result<Arc<Objects>> {
    match &entry.extra {
        Extra::Bucket(objects) => Ok(objects.clone()),
        _ => Err(Error::not_found(id)),
    }
}
