//! The objects of a simulated bucket, with versions, on the simulated clock; every call goes the way of all calls.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use cloud_core::{Error, ErrorKind, ObjectVersion, ResourceId, Result};
use futures::{
    FutureExt, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use object_store::{
    Attributes, CopyMode, CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload,
    ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, UploadPart, path::Path,
};

use super::{SimCloud, storage::contents};

#[derive(Clone)]
struct Version {
    number: u64,
    /// `None` records a deletion.
    data: Option<Bytes>,
    attributes: Attributes,
    at: Timestamp,
}

/// The objects of one bucket.
pub(super) struct Objects {
    versioned: bool,
    state: Mutex<Contents>,
}

#[derive(Default)]
struct Contents {
    next: u64,
    /// The versions of each key, newest last; an unversioned bucket has one of each.
    keys: BTreeMap<Path, Vec<Version>>,
    uploads: HashMap<u64, BTreeMap<usize, Bytes>>,
    held: u64,
}

impl Contents {
    fn current(&self, key: &Path) -> Option<&Version> {
        self.keys.get(key)?.last().filter(|version| version.data.is_some())
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Version {
    fn e_tag(&self) -> String {
        format!("\"{}\"", self.number)
    }

    fn len(&self) -> u64 {
        self.data.as_ref().map_or(0, |data| data.len() as u64)
    }

    fn meta(&self, key: &Path, versioned: bool) -> ObjectMeta {
        ObjectMeta {
            location: key.clone(),
            last_modified: std::time::SystemTime::from(self.at).into(),
            size: self.len(),
            e_tag: Some(self.e_tag()),
            version: versioned.then(|| self.number.to_string()),
        }
    }
}

fn failed(kind: ErrorKind, key: &Path, what: &str) -> Error {
    Error::new(kind, format!("{key} {what}")).with_resource(key.to_string())
}

impl Objects {
    pub(super) fn new(versioned: bool) -> Self {
        Self { versioned, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().keys.values().all(|versions| versions.last().is_none_or(|v| v.data.is_none()))
    }

    pub(super) fn clear(&self) {
        *self.lock() = Contents::default();
    }

    pub(super) fn held_bytes(&self) -> u64 {
        self.lock().held
    }

    fn put(
        &self,
        key: &Path,
        data: Bytes,
        attributes: Attributes,
        mode: &PutMode,
        at: Timestamp,
    ) -> Result<PutResult> {
        let mut contents = self.lock();
        let current = contents.current(key);
        match mode {
            PutMode::Overwrite => {}
            PutMode::Create if current.is_some() => {
                return Err(failed(ErrorKind::AlreadyExists, key, "already exists"));
            }
            PutMode::Create => {}
            PutMode::Update(expected) => {
                let tag = current.map(Version::e_tag);
                if tag.is_none() || tag != expected.e_tag {
                    return Err(failed(ErrorKind::PreconditionFailed, key, "was changed"));
                }
            }
        }
        let number = contents.number();
        let version = Version { number, data: Some(data), attributes, at };
        let result = PutResult {
            e_tag: Some(version.e_tag()),
            version: self.versioned.then(|| number.to_string()),
            extensions: Default::default(),
        };
        self.push(&mut contents, key, version);
        Ok(result)
    }

    fn push(&self, contents: &mut Contents, key: &Path, version: Version) {
        contents.held += version.len();
        let versions = contents.keys.entry(key.clone()).or_default();
        let replaced: u64 =
            if self.versioned { 0 } else { versions.drain(..).map(|old| old.len()).sum() };
        versions.push(version);
        contents.held -= replaced;
    }

    fn get(
        &self,
        key: &Path,
        options: &GetOptions,
    ) -> Result<(ObjectMeta, Range<u64>, Bytes, Attributes), object_store::Error> {
        let contents = self.lock();
        let absent = || failed(ErrorKind::NotFound, key, "does not exist");
        let found = match &options.version {
            None => contents.current(key),
            Some(wanted) => contents
                .keys
                .get(key)
                .and_then(|versions| versions.iter().find(|v| v.number.to_string() == *wanted)),
        };
        let version = found.ok_or_else(absent)?;
        let data = version.data.clone().ok_or_else(absent)?;
        let meta = version.meta(key, self.versioned);
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            None => 0..meta.size,
            Some(range) => GetRange::as_range(range, meta.size)
                .map_err(|e| Error::invalid("range", e, format_args!("within 0..{}", meta.size)))?,
        };
        let index = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let data = data.slice(index(range.start)..index(range.end));
        Ok((meta, range, data, version.attributes.clone()))
    }

    fn delete(&self, key: &Path, at: Timestamp) {
        let mut contents = self.lock();
        if contents.current(key).is_none() {
            return;
        }
        if self.versioned {
            let number = contents.number();
            let marker = Version { number, data: None, attributes: Attributes::default(), at };
            self.push(&mut contents, key, marker);
        } else if let Some(versions) = contents.keys.remove(key) {
            contents.held -= versions.iter().map(Version::len).sum::<u64>();
        }
    }

    /// What is below a prefix, in the order of the keys, at most so many after `offset`.
    fn list(&self, prefix: Option<&Path>, offset: Option<&Path>, most: usize) -> Vec<ObjectMeta> {
        let contents = self.lock();
        let root = Path::default();
        let prefix = prefix.unwrap_or(&root);
        let from = match offset {
            Some(offset) => std::ops::Bound::Excluded(offset.max(prefix)),
            None => std::ops::Bound::Included(prefix),
        };
        let below = contents.keys.range((from, std::ops::Bound::Unbounded));
        below
            .take_while(|(key, _)| key.as_ref().starts_with(prefix.as_ref()))
            .filter(|(key, _)| is_below(key, prefix))
            .filter_map(|(key, versions)| {
                let newest = versions.last().filter(|version| version.data.is_some())?;
                Some(newest.meta(key, self.versioned))
            })
            .take(most)
            .collect()
    }

    /// Every version below a prefix, ordered by key, newest first.
    pub(super) fn versions(&self, prefix: Option<&Path>) -> Vec<ObjectVersion> {
        let contents = self.lock();
        let keys = contents
            .keys
            .iter()
            .filter(|(key, _)| prefix.is_none_or(|prefix| key.prefix_matches(prefix)));
        keys.flat_map(|(key, versions)| {
            versions.iter().rev().enumerate().map(|(age, version)| ObjectVersion {
                location: key.clone(),
                version: version.number.to_string(),
                is_latest: age == 0,
                is_delete_marker: version.data.is_none(),
                size: version.len(),
                last_modified: version.at,
            })
        })
        .collect()
    }
}

fn is_below(key: &Path, prefix: &Path) -> bool {
    key.prefix_match(prefix).is_some_and(|mut parts| parts.next().is_some())
}

/// A handle to the objects of one bucket, through the simulated network.
#[derive(Clone, Debug)]
pub(super) struct SimObjects {
    cloud: SimCloud,
    bucket: ResourceId,
    max_key_bytes: usize,
}

/// How many objects one page of a listing has.
const PAGE: usize = 1000;

impl SimObjects {
    pub(super) fn new(cloud: SimCloud, bucket: ResourceId, max_key_bytes: usize) -> Self {
        Self { cloud, bucket, max_key_bytes }
    }

    async fn call<T: Send>(
        &self,
        operation: &'static str,
        act: impl FnOnce(&Objects, Timestamp) -> Result<T> + Send,
    ) -> Result<T> {
        let id = &self.bucket;
        self.cloud
            .call(operation, Some(&id.region), |state, now| {
                let at = state.timestamp(now);
                act(&*contents(state.find_mut(id, now)?, id)?, at)
            })
            .await
    }

    fn check_key(&self, key: &Path) -> Result<()> {
        let bytes = key.as_ref().len();
        if (1..=self.max_key_bytes).contains(&bytes) {
            return Ok(());
        }
        let accepted = format!("1 to {} bytes", self.max_key_bytes);
        Err(Error::invalid("object key", format_args!("has {bytes} bytes"), accepted))
    }
}

impl fmt::Display for SimObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.bucket, self.cloud.0.id)
    }
}

#[async_trait]
impl ObjectStore for SimObjects {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.check_key(location)?;
        let data = Bytes::from(payload);
        let put =
            |objects: &Objects, at| objects.put(location, data, opts.attributes, &opts.mode, at);
        Ok(self.call("objects.put", put).await?)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.check_key(location)?;
        let begin = |objects: &Objects, _| {
            let mut contents = objects.lock();
            let id = contents.number();
            contents.uploads.insert(id, BTreeMap::new());
            Ok(id)
        };
        let id = self.call("objects.begin_multipart", begin).await?;
        Ok(Box::new(Upload {
            store: self.clone(),
            location: location.clone(),
            attributes: opts.attributes,
            id,
            parts: 0,
        }))
    }

    async fn get_opts(
        &self,
        location: &Path,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        // The conditions of a get have errors of their own, which have no kind among ours; they pass through as they are.
        let (meta, range, data, attributes) =
            self.call("objects.get", |objects, _| Ok(objects.get(location, &options))).await??;
        // In pieces, as a network brings it.
        let pieces = data.len().div_ceil(PIECE);
        let chunk = move |i: usize| Ok(data.slice(i * PIECE..data.len().min((i + 1) * PIECE)));
        let payload = match options.head {
            true => stream::empty().boxed(),
            false => stream::iter((0..pieces).map(chunk)).boxed(),
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(payload),
            meta,
            range,
            attributes,
            extensions: Default::default(),
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        let store = self.clone();
        locations
            .and_then(move |location| {
                let store = store.clone();
                async move {
                    let delete = |objects: &Objects, at| {
                        objects.delete(&location, at);
                        Ok(())
                    };
                    store.call("objects.delete", delete).await?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.pages(prefix.cloned(), None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.pages(prefix.cloned(), Some(offset.clone()))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        let all = self
            .call("objects.list", |objects, _| Ok(objects.list(prefix, None, usize::MAX)))
            .await?;
        let root = Path::default();
        let prefix = prefix.unwrap_or(&root);
        let mut common_prefixes = BTreeSet::new();
        let mut objects = Vec::new();
        for meta in all {
            let mut parts = meta.location.prefix_match(prefix).into_iter().flatten();
            let first = parts.next();
            match (first, parts.next().is_some()) {
                (Some(folder), true) => {
                    common_prefixes.insert(prefix.clone().join(folder));
                }
                _ => {
                    drop(parts);
                    objects.push(meta);
                }
            }
        }
        Ok(ListResult {
            common_prefixes: common_prefixes.into_iter().collect(),
            objects,
            extensions: Default::default(),
        })
    }

    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.check_key(to)?;
        let mode = match options.mode {
            CopyMode::Overwrite => PutMode::Overwrite,
            CopyMode::Create => PutMode::Create,
        };
        let copy = |objects: &Objects, at| {
            let (_, _, data, attributes) = objects.get(from, &GetOptions::default())?;
            objects.put(to, data, attributes, &mode, at).map(|_| ())
        };
        Ok(self.call("objects.copy", copy).await?)
    }
}

const PIECE: usize = 256 * 1024;

impl SimObjects {
    fn pages(
        &self,
        prefix: Option<Path>,
        offset: Option<Path>,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        let store = self.clone();
        let pages = stream::try_unfold(Some(offset), move |from| {
            let (store, prefix) = (store.clone(), prefix.clone());
            async move {
                let Some(offset) = from else {
                    return Ok::<_, object_store::Error>(None);
                };
                let list =
                    |objects: &Objects, _| Ok(objects.list(prefix.as_ref(), offset.as_ref(), PAGE));
                let page = store.call("objects.list", list).await?;
                let next = page
                    .last()
                    .filter(|_| page.len() == PAGE)
                    .map(|meta| Some(meta.location.clone()));
                Ok(Some((stream::iter(page.into_iter().map(Ok)), next)))
            }
        });
        pages.try_flatten().boxed()
    }
}

/// An upload in parts. Until it is completed nothing of it is seen.
#[derive(Debug)]
struct Upload {
    store: SimObjects,
    location: Path,
    attributes: Attributes,
    id: u64,
    parts: usize,
}

fn no_upload() -> Error {
    Error::new(ErrorKind::NotFound, "this upload was completed or aborted")
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (store, id, part) = (self.store.clone(), self.id, self.parts);
        self.parts += 1;
        async move {
            let data = Bytes::from(data);
            let put = |objects: &Objects, _| {
                let mut contents = objects.lock();
                let size = data.len() as u64;
                let replaced =
                    contents.uploads.get_mut(&id).ok_or_else(no_upload)?.insert(part, data);
                contents.held += size;
                contents.held -= replaced.map_or(0, |old| old.len() as u64);
                Ok(())
            };
            Ok(store.call("objects.put_part", put).await?)
        }
        .boxed()
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        let (id, parts) = (self.id, self.parts);
        let (location, attributes) = (&self.location, &self.attributes);
        let complete = |objects: &Objects, at| {
            let mut contents = objects.lock();
            let upload = contents.uploads.get(&id).ok_or_else(no_upload)?;
            if upload.len() != parts {
                let problem = format!("has {} of {parts} parts", upload.len());
                return Err(Error::invalid("upload", problem, "all parts"));
            }
            let parts: Vec<Bytes> = upload.values().cloned().collect();
            let data = Bytes::from(PutPayload::from_iter(parts));
            contents.uploads.remove(&id);
            contents.held -= data.len() as u64;
            drop(contents);
            objects.put(location, data, attributes.clone(), &PutMode::Overwrite, at)
        };
        Ok(self.store.call("objects.complete_multipart", complete).await?)
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        let id = self.id;
        let abort = |objects: &Objects, _| {
            let mut contents = objects.lock();
            let upload = contents.uploads.remove(&id).ok_or_else(no_upload)?;
            contents.held -= upload.values().map(|part| part.len() as u64).sum::<u64>();
            Ok(())
        };
        Ok(self.store.call("objects.abort_multipart", abort).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_bytes_follow_what_is_held() {
        let at = Timestamp::UNIX_EPOCH;
        for versioned in [false, true] {
            let objects = Objects::new(versioned);
            let put = |data: &'static str| {
                objects
                    .put(
                        &Path::from("k"),
                        data.into(),
                        Attributes::default(),
                        &PutMode::Overwrite,
                        at,
                    )
                    .unwrap();
            };
            put("12345");
            put("123");
            assert_eq!(objects.held_bytes(), if versioned { 8 } else { 3 });
            objects.delete(&Path::from("k"), at);
            assert_eq!(objects.held_bytes(), if versioned { 8 } else { 0 });
            assert!(objects.is_empty());
        }
    }
}
