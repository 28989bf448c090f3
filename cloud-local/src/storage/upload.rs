//! Uploads in parts: the parts go to a file that no key names, and only `complete` puts it in place.

use async_trait::async_trait;
use object_store::{MultipartUpload, PutPayload, PutResult, UploadPart};

use super::{
    entry::Draft,
    objects::{Condition, LocalObjects, blob},
};

#[derive(Debug)]
pub(super) struct Upload {
    objects: LocalObjects,
    inner: Box<dyn MultipartUpload>,
    draft: Draft,
}

impl Upload {
    pub(super) fn new(
        objects: LocalObjects,
        inner: Box<dyn MultipartUpload>,
        draft: Draft,
    ) -> Self {
        Self { objects, inner, draft }
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        if let Err(error) = self.objects.check() {
            return Box::pin(std::future::ready(Err(error.into())));
        }
        self.draft.size += data.content_length() as u64;
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        self.objects.check()?;
        self.inner.complete().await?;
        self.objects.publish_detached(self.draft.clone(), Condition::None).await
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        self.inner.abort().await?;
        self.objects.discard(&blob(self.draft.contents)).await;
        Ok(())
    }
}
