//! The contents of a bucket as an `ObjectStore`.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use cloud_core::{Error, ErrorKind, ObjectVersion, PageToken, ResourceId, ResourceStatus, Result};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use object_store::{
    Attributes, CopyMode, CopyOptions, Extensions, GetOptions, GetResult, GetResultPayload,
    ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, UpdateVersion, local::LocalFileSystem, path::Path,
};
use uuid::Uuid;

use super::{
    BucketBody,
    entry::{self, Draft, Entry},
    keys,
    upload::Upload,
};
use crate::{
    error::join_error,
    state::{State, read_json, remove_if_there, write_json},
};

type Os<T> = object_store::Result<T>;

/// How often a read is begun anew because the object was replaced meanwhile.
const RACES: usize = 16;

/// What must be true for an object to be put in place.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    None,
    Absent,
    Unchanged(UpdateVersion),
}

/// A handle on the contents of a bucket. Every call looks whether region and bucket are still there.
#[derive(Clone, Debug)]
pub(super) struct LocalObjects {
    state: Arc<State>,
    bucket: ResourceId,
    folder: PathBuf,
    versioned: bool,
    blobs: Arc<LocalFileSystem>,
    /// Lets one task of this handle wait for the bucket's lock, not a thread for each.
    gate: Arc<tokio::sync::Mutex<()>>,
}

/// The file of an object's contents, in the folder of blobs.
pub(super) fn blob(contents: Uuid) -> Path {
    Path::from(contents.simple().to_string())
}

impl LocalObjects {
    pub(super) fn new(state: &Arc<State>, bucket: &ResourceId, versioned: bool) -> Result<Self> {
        let folder = state.data_dir(bucket)?;
        let blobs = LocalFileSystem::new_with_prefix(folder.join("blobs"))?.with_fsync(true);
        Ok(Self {
            state: state.clone(),
            bucket: bucket.clone(),
            folder,
            versioned,
            blobs: Arc::new(blobs),
            gate: Arc::default(),
        })
    }

    /// Refuses when the region is down or the bucket was deleted. Two looks at the file system.
    pub(super) fn check(&self) -> Result<()> {
        self.state.check_up(&self.bucket.region)?;
        if self.state.exists(&self.bucket)? {
            return Ok(());
        }
        Err(Error::not_found(&self.bucket))
    }

    fn check_key(&self, key: &Path) -> Result<()> {
        self.check()?;
        keys::check(key)
    }

    fn key_file(&self, key: &Path) -> PathBuf {
        self.folder.join("keys").join(keys::file(key))
    }

    fn version_file(&self, key: &Path, version: &str) -> PathBuf {
        let folder = self.folder.join("versions").join(keys::folder(key));
        folder.join(format!("{version}.v"))
    }

    async fn blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || work(&this)).await.map_err(join_error)?
    }

    /// Runs `work` while nobody else changes the bucket, if it is still there.
    async fn locked<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let turn = self.gate.clone().lock_owned().await;
        self.blocking(move |this| {
            let _turn = turn;
            let _lock = this.state.lock_resource_blocking(&this.bucket)?;
            this.check()?;
            match this.state.find::<BucketBody>(&this.bucket)? {
                None => Err(Error::not_found(&this.bucket)),
                Some(bucket) if bucket.status != ResourceStatus::Running => {
                    let message = format!("{} is {}", this.bucket, bucket.status);
                    Err(Error::new(ErrorKind::Conflict, message))
                }
                Some(_) => work(this),
            }
        })
        .await
    }

    /// The entry of an object, or of one of its versions. Blocks.
    fn read(&self, key: &Path, version: Option<&str>) -> Result<Option<Entry>> {
        let path = match version {
            None => self.key_file(key),
            Some(version) if Uuid::try_parse(version).is_ok() && self.versioned => {
                let uuid = Uuid::try_parse(version).unwrap_or_default();
                self.version_file(key, &uuid.simple().to_string())
            }
            Some(_) => return Ok(None),
        };
        Ok(read_json::<Entry>(&path)?.filter(|entry| !entry.delete_marker))
    }

    /// Puts contents that are written already in place, or removes them again if `condition` does not hold.
    async fn publish(&self, draft: Draft, condition: Condition) -> Os<PutResult> {
        let contents = blob(draft.contents);
        match self.locked(move |this| this.place(draft, &condition)).await {
            Ok((entry, old)) => {
                if let Some(old) = old {
                    self.discard(&old).await;
                }
                Ok(PutResult {
                    e_tag: Some(entry.e_tag()),
                    version: self.versioned.then_some(entry.version),
                    extensions: Extensions::default(),
                })
            }
            Err(error) => {
                self.discard(&contents).await;
                Err(error.into())
            }
        }
    }

    /// [`publish`](Self::publish), to its end even if the future is dropped.
    pub(super) async fn publish_detached(
        &self,
        draft: Draft,
        condition: Condition,
    ) -> Os<PutResult> {
        let this = self.clone();
        let task = tokio::spawn(async move { this.publish(draft, condition).await });
        task.await.map_err(join_error)?
    }

    /// Returns the new entry, and the contents that nothing names any more.
    fn place(&self, draft: Draft, condition: &Condition) -> Result<(Entry, Option<Path>)> {
        let key = draft.key.clone();
        let old = self.read(&key, None)?;
        check_condition(&key, old.as_ref(), condition)?;
        let entry = Entry::new(draft, self.next_version(&key)?);
        if self.versioned {
            write_json(&self.state.tmp(), &self.version_file(&key, &entry.version), &entry)?;
        }
        write_json(&self.state.tmp(), &self.key_file(&key), &entry)?;
        let unnamed = old.filter(|_| !self.versioned).map(|old| Path::from(old.contents));
        Ok((entry, unnamed))
    }

    /// An id that is greater than that of every version of the key, whatever the clocks say.
    fn next_version(&self, key: &Path) -> Result<Uuid> {
        let now = Uuid::now_v7();
        if !self.versioned {
            return Ok(now);
        }
        let folder = self.folder.join("versions").join(keys::folder(key));
        let files = keys::level(&folder, key.as_ref())?.others;
        let last = files.last().and_then(|file| Uuid::try_parse(file.file_stem()?.to_str()?).ok());
        Ok(match last {
            Some(last) if last >= now => Uuid::from_u128(last.as_u128() + 1),
            _ => now,
        })
    }

    /// Removes contents that no key names. If the bucket is gone, so is what the writing of them made anew of it.
    pub(super) async fn discard(&self, contents: &Path) {
        use object_store::ObjectStoreExt;
        if let Err(error) = self.blobs.delete(contents).await {
            tracing::debug!(%error, "contents were not removed");
        }
        if self.check().is_err_and(|e| e.kind() == ErrorKind::NotFound) {
            let _ = tokio::fs::remove_dir(self.folder.join("blobs")).await;
            let _ = tokio::fs::remove_dir(&self.folder).await;
        }
    }

    async fn delete_one(&self, key: Path) -> Result<Path> {
        self.check_key(&key)?;
        let gone = key.clone();
        let old = self
            .locked(move |this| {
                let Some(old) = this.read(&gone, None)? else {
                    return Ok(None);
                };
                if this.versioned {
                    let marker = Entry::delete_marker(&gone, this.next_version(&gone)?);
                    write_json(
                        &this.state.tmp(),
                        &this.version_file(&gone, &marker.version),
                        &marker,
                    )?;
                }
                let file = this.key_file(&gone);
                remove_if_there(&file)?;
                keys::prune(&file, &this.folder.join("keys"));
                Ok(Some(Path::from(old.contents)).filter(|_| !this.versioned))
            })
            .await?;
        if let Some(old) = old {
            self.discard(&old).await;
        }
        Ok(key)
    }

    /// What one folder of keys holds, with the entries of its objects. Blocks.
    fn read_level(
        &self,
        folder: &std::path::Path,
        prefix: &str,
    ) -> Result<(Vec<ObjectMeta>, keys::Level)> {
        self.check()?;
        let level = keys::level(folder, prefix)?;
        let mut objects = Vec::new();
        for (_, file) in &level.objects {
            // It may have been deleted since the folder was read.
            if let Some(entry) = read_json::<Entry>(file)? {
                objects.push(entry.meta(self.versioned)?);
            }
        }
        Ok((objects, level))
    }

    /// Versions behind one, ordered by key, newest first. Blocks.
    pub(super) fn versions_after(
        &self,
        prefix: Option<&Path>,
        after: Option<(Path, String)>,
        most: usize,
    ) -> Result<Vec<ObjectVersion>> {
        self.check()?;
        let root = self.folder.join("versions");
        let start = prefix.map_or_else(|| root.clone(), |p| root.join(keys::folder(p)));
        let mut folders = vec![(prefix.map(Path::to_string).unwrap_or_default(), start)];
        let mut by_key: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        while let Some((key, folder)) = folders.pop() {
            let level = keys::level(&folder, &key)?;
            // The prefix itself is no key below it.
            let within = prefix.is_none_or(|p| p.as_ref() != key);
            if within && !level.others.is_empty() {
                by_key.insert(key, level.others);
            }
            folders.extend(level.below);
        }
        let mut versions = Vec::new();
        for (key, files) in by_key {
            if after.as_ref().is_some_and(|(last, _)| *key < *last.as_ref()) {
                continue;
            }
            // A put that was broken off may have left a version that never was the object.
            let current =
                self.read(&Path::parse(&key).map_err(object_store::Error::from)?, None)?;
            for file in files.iter().rev() {
                if versions.len() == most {
                    return Ok(versions);
                }
                let Some(entry) = read_json::<Entry>(file)? else {
                    continue;
                };
                let seen = |(last, version): &(Path, String)| {
                    *key == *last.as_ref() && entry.version >= *version
                };
                if !after.as_ref().is_some_and(seen) {
                    versions.push(ObjectVersion {
                        location: entry.location()?,
                        is_latest: match &current {
                            Some(current) => current.version == entry.version,
                            None => Some(file) == files.last(),
                        },
                        is_delete_marker: entry.delete_marker,
                        size: entry.size,
                        last_modified: entry.modified,
                        version: entry.version,
                    });
                }
            }
        }
        Ok(versions)
    }
}

/// The last key and version of a page, from its token.
pub(super) fn split_version_token(token: &PageToken) -> Result<(Path, String)> {
    let wrong =
        || Error::invalid("page token", "is not of this listing", "what the page before returned");
    let (version, key) = token.as_str().split_once('/').ok_or_else(wrong)?;
    Ok((Path::parse(key).map_err(|_| wrong())?, version.to_owned()))
}

fn check_condition(key: &Path, old: Option<&Entry>, condition: &Condition) -> Result<()> {
    match (condition, old) {
        (Condition::None, _) | (Condition::Absent, None) => Ok(()),
        (Condition::Absent, Some(_)) => {
            let message = format!("there is an object '{key}' already");
            Err(Error::new(ErrorKind::AlreadyExists, message).with_resource(key.to_string()))
        }
        (Condition::Unchanged(wanted), Some(old))
            if wanted.e_tag.as_deref().is_none_or(|tag| tag == old.e_tag())
                && wanted.version.as_ref().is_none_or(|version| *version == old.version) =>
        {
            Ok(())
        }
        (Condition::Unchanged(_), _) => {
            let message = format!("the object '{key}' is not the one that was read");
            Err(Error::new(ErrorKind::PreconditionFailed, message).with_resource(key.to_string()))
        }
    }
}

fn missing(key: &Path) -> object_store::Error {
    object_store::Error::NotFound {
        path: key.to_string(),
        source: "there is no such object".into(),
    }
}

fn refuse_tags(tags: &object_store::TagSet) -> Result<()> {
    if tags.encoded().is_empty() {
        return Ok(());
    }
    Err(Error::unsupported("tags of objects"))
}

impl fmt::Display for LocalObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bucket)
    }
}

#[async_trait]
impl ObjectStore for LocalObjects {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Os<PutResult> {
        self.check_key(location)?;
        refuse_tags(&opts.tags)?;
        let condition = match opts.mode {
            PutMode::Overwrite => Condition::None,
            PutMode::Create => Condition::Absent,
            PutMode::Update(version) if version.e_tag.is_none() && version.version.is_none() => {
                return Err(Error::invalid(
                    "update",
                    "has neither ETag nor version",
                    "one of them",
                )
                .into());
            }
            PutMode::Update(version) => Condition::Unchanged(version),
        };
        let draft = Draft {
            key: location.clone(),
            contents: Uuid::new_v4(),
            size: payload.content_length() as u64,
            attributes: entry::encode(&opts.attributes)?,
        };
        // In a task of its own: a put that is dropped half-way still removes or names what it wrote.
        let this = self.clone();
        let task = tokio::spawn(async move {
            this.blobs.put_opts(&blob(draft.contents), payload, PutOptions::default()).await?;
            this.publish(draft, condition).await
        });
        task.await.map_err(join_error)?
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Os<Box<dyn MultipartUpload>> {
        self.check_key(location)?;
        refuse_tags(&opts.tags)?;
        let draft = Draft {
            key: location.clone(),
            contents: Uuid::new_v4(),
            size: 0,
            attributes: entry::encode(&opts.attributes)?,
        };
        let contents = blob(draft.contents);
        let inner =
            self.blobs.put_multipart_opts(&contents, PutMultipartOptions::default()).await?;
        Ok(Box::new(Upload::new(self.clone(), inner, draft)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Os<GetResult> {
        self.check_key(location)?;
        for _ in 0..RACES {
            let (key, version) = (location.clone(), options.version.clone());
            let entry = self.blocking(move |this| this.read(&key, version.as_deref())).await?;
            let entry = entry.ok_or_else(|| missing(location))?;
            let meta = entry.meta(self.versioned)?;
            options.check_preconditions(&meta)?;
            let attributes = entry.attributes();
            if options.head {
                return Ok(head(meta, attributes));
            }
            let range = GetOptions { range: options.range.clone(), ..GetOptions::default() };
            match self.blobs.get_opts(&Path::from(entry.contents.as_str()), range).await {
                Ok(contents) => {
                    return Ok(GetResult { meta, attributes, ..contents });
                }
                // Replaced or deleted since its entry was read.
                Err(object_store::Error::NotFound { .. }) => self.check()?,
                Err(error) => return Err(error),
            }
        }
        let message = format!("the contents of '{location}' are missing");
        Err(Error::new(ErrorKind::Corrupt, message).with_resource(location.to_string()).into())
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Os<Path>>,
    ) -> BoxStream<'static, Os<Path>> {
        let this = self.clone();
        locations
            .and_then(move |location| {
                let this = this.clone();
                async move { Ok(this.delete_one(location).await?) }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Os<ObjectMeta>> {
        let this = self.clone();
        let prefix = prefix.cloned().unwrap_or_default();
        let start = this.folder.join("keys").join(keys::folder(&prefix));
        // One folder at a time, so memory grows with the largest folder and the depth only.
        stream::try_unfold(vec![(prefix.to_string(), start)], move |mut folders| {
            let this = this.clone();
            async move {
                let Some((prefix, folder)) = folders.pop() else {
                    return Ok::<_, object_store::Error>(None);
                };
                let read = move |this: &Self| this.read_level(&folder, &prefix);
                let (objects, level) = this.blocking(read).await?;
                folders.extend(level.below.into_iter().rev());
                Ok(Some((stream::iter(objects.into_iter().map(Ok)), folders)))
            }
        })
        .try_flatten()
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Os<ListResult> {
        let prefix = prefix.cloned().unwrap_or_default();
        let folder = self.folder.join("keys").join(keys::folder(&prefix));
        let read = move |this: &Self| {
            let (objects, level) = this.read_level(&folder, prefix.as_ref())?;
            let mut common_prefixes = Vec::new();
            for (prefix, folder) in &level.below {
                if keys::any(folder)? {
                    common_prefixes.push(Path::parse(prefix).map_err(object_store::Error::from)?);
                }
            }
            Ok(ListResult { common_prefixes, objects, extensions: Extensions::default() })
        };
        Ok(self.blocking(read).await?)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Os<()> {
        use object_store::ObjectStoreExt;
        self.check_key(from)?;
        self.check_key(to)?;
        let condition = match options.mode {
            CopyMode::Overwrite => Condition::None,
            CopyMode::Create => Condition::Absent,
        };
        for _ in 0..RACES {
            let key = from.clone();
            let entry = self.blocking(move |this| this.read(&key, None)).await?;
            let entry = entry.ok_or_else(|| missing(from))?;
            let copied = entry.copied(to);
            let contents = Path::from(entry.contents);
            let (this, condition) = (self.clone(), condition.clone());
            let task = tokio::spawn(async move {
                this.blobs.copy(&contents, &blob(copied.contents)).await?;
                this.publish(copied, condition).await
            });
            match task.await.map_err(join_error)? {
                Err(object_store::Error::NotFound { .. }) => self.check()?,
                other => return other.map(drop),
            }
        }
        Err(missing(from))
    }
}

/// An answer without contents.
fn head(meta: ObjectMeta, attributes: Attributes) -> GetResult {
    GetResult {
        payload: GetResultPayload::Stream(stream::empty().boxed()),
        range: 0..meta.size,
        meta,
        attributes,
        extensions: Extensions::default(),
    }
}
