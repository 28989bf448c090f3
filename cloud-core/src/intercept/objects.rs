//! The decorator's part for the data plane: `object_store::ObjectStore`, which is not a trait of ours.
//!
//! A call that answers once passes through the stack as any other. Of a call that answers with a stream, its beginning does:
//! a listing, a body and a series of deletions are guarded, audited and counted when they begin, not for each item.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    path::Path,
};

use super::{Access, Intercepted, Target, decorator::Described};

type Objects = Intercepted<dyn ObjectStore>;

fn call<'a>(name: &'static str, access: Access, key: Option<&'a Path>) -> Described<'a> {
    Described {
        name,
        access,
        region: None,
        target: key.map_or(Target::None, |key| Target::Name(key.as_ref())),
        token: None,
    }
}

/// A put under a condition must not be repeated blindly: its own first attempt may have made the condition false.
fn put_access(mode: &PutMode) -> Access {
    match mode {
        PutMode::Overwrite => Access::Update,
        PutMode::Create | PutMode::Update(_) => Access::Act,
    }
}

impl Objects {
    /// Puts the stack around the beginning of a stream.
    fn begin<T: Send + 'static>(
        &self,
        name: &'static str,
        access: Access,
        stream: impl FnOnce(&dyn ObjectStore) -> BoxStream<'static, Result<T>> + Send + 'static,
    ) -> BoxStream<'static, Result<T>> {
        let this = self.clone_handle();
        stream::once(async move {
            this.run(call(name, access, None), || async { Ok(()) }).await?;
            Ok::<_, object_store::Error>(stream(&*this.inner))
        })
        .try_flatten()
        .boxed()
    }
}

#[async_trait]
impl ObjectStore for Objects {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let call = call("objects.put", put_access(&opts.mode), Some(location));
        let put = || async {
            let put = self.inner.put_opts(location, payload.clone(), opts.clone());
            Ok(put.await?)
        };
        Ok(self.run(call, put).await?)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let call = call("objects.put_multipart", Access::Act, Some(location));
        let start = || async { Ok(self.inner.put_multipart_opts(location, opts.clone()).await?) };
        Ok(self.run(call, start).await?)
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let call = call("objects.get", Access::Read, Some(location));
        let get = || async { Ok(self.inner.get_opts(location, options.clone()).await?) };
        Ok(self.run(call, get).await?)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.begin("objects.delete", Access::Update, |inner| inner.delete_stream(locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned();
        self.begin("objects.list", Access::Read, move |inner| inner.list(prefix.as_ref()))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (prefix, offset) = (prefix.cloned(), offset.clone());
        self.begin("objects.list", Access::Read, move |inner| {
            inner.list_with_offset(prefix.as_ref(), &offset)
        })
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let call = call("objects.list", Access::Read, prefix);
        let list = || async { Ok(self.inner.list_with_delimiter(prefix).await?) };
        Ok(self.run(call, list).await?)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let call = call("objects.copy", Access::Act, Some(to));
        let copy = || async { Ok(self.inner.copy_opts(from, to, options.clone()).await?) };
        Ok(self.run(call, copy).await?)
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let call = call("objects.rename", Access::Act, Some(to));
        let rename = || async { Ok(self.inner.rename_opts(from, to, options.clone()).await?) };
        Ok(self.run(call, rename).await?)
    }
}

impl fmt::Display for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&*Arc::clone(&self.inner), f)
    }
}
