//! The durable state: one file for each resource, written atomically, under one lock for each cloud.
//!
//! ```text
//! <data folder>/format.json                          the version of this layout
//! <data folder>/<cloud>/lock                         held by whoever changes records
//! <data folder>/<cloud>/tmp/                         files on their way; emptied at opening
//! <data folder>/<cloud>/<region>/down                present while the region is down
//! <data folder>/<cloud>/<region>/records/<kind>/<native id>.json
//! <data folder>/<cloud>/<region>/data/<kind>/<native id>/     what the resource keeps
//! ```
//!
//! Native ids are UUIDs (version 7, so that listings are in the order of creation and a repeated creation of a name
//! has another id); names never reach the file system. Folders have mode 0700 and files 0600.
//!
//! # For the services
//! ```text
//! state.locked(|s: &Locked| -> Result<R>).await -> Result<R>   blocking pool, lock of the cloud held; keep it short
//!   s.lookup::<T>(&NewRecord<T>) -> Result<Option<Record<T>>>  by token (Conflict if the fingerprint differs); else
//!                                                              AlreadyExists for a taken name
//!   s.insert(NewRecord<T>) -> Result<Record<T>>                checks `uses`, writes the record, makes the data folder
//!   s.begin(NewRecord<T>) -> Result<Begun<T>>                  lookup, else insert
//!   s.lookup_finishing(&new, finish), s.begin_finishing(new, finish)   the same where deletion happens under the lock
//!   s.read::<T>(&id), s.find::<T>(&id), s.write(&record), s.remove(&id), s.all::<T>(kind, &region),
//!   s.check_unused(&id)
//! state.begin / get / update / list_page                       the same, async, one call a lock
//! state.lock_resource(&id).await -> Result<ResourceLock>       for work of seconds on one resource, across processes
//! state.data_dir(&id), state.check_up(&region), state.check_id(&id, kind)
//! ```
//! Every one of these fails with `Unavailable` while the region is down, except [`State::data_dir`] and what runs in
//! [`State::locked_while_down`].
//!
//! # A create that survives a crash
//! `begin` persists the record with the status `Creating` before there is any effect. After the effect, the service writes it
//! with its final status. A record left at `Creating` by a crash comes back as [`Begun::Unfinished`] when the same token is
//! used again, and the service completes it; a delete removes whatever there is of it. Services whose resources are
//! nothing but a record set [`NewRecord::status`] to `Running` and are done in one write.
//!
//! A deleted resource leaves nothing, its token included: a create with that token makes a new one.

mod files;
mod locked;

use std::{
    collections::HashMap,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use cloud_core::{
    ClientToken, CloudId, Error, ErrorKind, Region, ResourceId, ResourceKind, ResourceStatus,
    Result, Tags,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    config::{LocalConfig, LocalRegion},
    error::{corrupt, io_error, join_error},
};

pub(crate) use files::{lock_file, make_dir, read_dir, read_json, remove_if_there, write_json};
pub(crate) use locked::Locked;

/// The version of the layout that this code writes.
const FORMAT: u32 = 1;

/// What every resource has, and what is peculiar to its kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record<T> {
    pub(crate) id: ResourceId,
    pub(crate) name: String,
    pub(crate) status: ResourceStatus,
    pub(crate) tags: Tags,
    pub(crate) token: ClientToken,
    pub(crate) fingerprint: String,
    /// The resources that must not be deleted while this one exists; of any region.
    pub(crate) uses: Vec<ResourceId>,
    pub(crate) created_at: Timestamp,
    pub(crate) body: T,
}

/// A resource that is to be recorded.
#[derive(Clone, Debug)]
pub(crate) struct NewRecord<T> {
    pub(crate) kind: ResourceKind,
    pub(crate) region: Region,
    pub(crate) name: String,
    pub(crate) token: ClientToken,
    /// From [`fingerprint`].
    pub(crate) fingerprint: String,
    pub(crate) tags: Tags,
    /// See [`Record::uses`]; they must exist.
    pub(crate) uses: Vec<ResourceId>,
    /// `Creating`, or `Running` if the record is all there is.
    pub(crate) status: ResourceStatus,
    pub(crate) body: T,
}

/// What a create with a token meets.
#[derive(Debug)]
pub(crate) enum Begun<T> {
    /// Nothing was there; it is recorded now.
    New(Record<T>),
    /// A create with this token began earlier and has not ended: it runs elsewhere or was broken off.
    Unfinished(Record<T>),
    /// A create with this token made it earlier.
    Done(Record<T>),
}

/// What tells two specs apart. Secrets in it are redacted by their own serialisation.
pub(crate) fn fingerprint(spec: &impl Serialize) -> Result<String> {
    let text = serde_json::to_vec(spec)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("cannot encode the spec: {e}")))?;
    Ok(Uuid::new_v5(&Uuid::NAMESPACE_OID, &text).to_string())
}

/// The lock of one resource, across processes; released when it is dropped.
#[derive(Debug)]
pub(crate) struct ResourceLock(#[allow(dead_code)] File);

type Known = HashMap<PathBuf, (String, ClientToken)>;

/// The state of one cloud.
#[derive(Debug)]
pub(crate) struct State {
    id: CloudId,
    folder: PathBuf,
    regions: Vec<LocalRegion>,
    max_page_size: u32,
    /// Lets one task of this process wait for the file lock, not a thread for each.
    gate: Arc<tokio::sync::Mutex<()>>,
    /// Name and token by record file. Neither ever changes, so this never has to be invalidated.
    known: Mutex<Known>,
}

#[derive(Serialize, Deserialize)]
struct Format {
    format: u32,
}

impl State {
    /// Opens or makes the folders.
    pub(crate) async fn open(id: CloudId, config: &LocalConfig) -> Result<Arc<Self>> {
        let state = Arc::new(Self {
            folder: config.root.join(id.as_str()),
            id,
            regions: config.regions.clone(),
            max_page_size: config.max_page_size,
            gate: Arc::default(),
            known: Mutex::default(),
        });
        let (root, opened) = (config.root.clone(), state.clone());
        tokio::task::spawn_blocking(move || opened.make_folders(&root))
            .await
            .map_err(join_error)??;
        Ok(state)
    }

    fn make_folders(&self, root: &Path) -> Result<()> {
        make_dir(root)?;
        let _lock = lock_file(&root.join("lock"))?;
        check_format(root)?;
        make_dir(&self.tmp())?;
        for region in &self.regions {
            make_dir(&self.region_dir(&region.name))?;
        }
        let _lock = lock_file(&self.folder.join("lock"))?;
        for left in read_dir(&self.tmp())? {
            fs::remove_file(&left).map_err(io_error("remove", &left))?;
        }
        Ok(())
    }

    pub(crate) fn id(&self) -> &CloudId {
        &self.id
    }

    pub(crate) fn regions(&self) -> &[LocalRegion] {
        &self.regions
    }

    pub(crate) fn max_page_size(&self) -> u32 {
        self.max_page_size
    }

    /// The configuration of a region.
    pub(crate) fn region(&self, region: &Region) -> Result<&LocalRegion> {
        let found = self.regions.iter().find(|r| r.name == *region);
        found.ok_or_else(|| {
            let names: Vec<_> = self.regions.iter().map(|r| r.name.as_str()).collect();
            Error::invalid("region", format_args!("is '{region}'"), names.join(", "))
        })
    }

    pub(crate) fn region_dir(&self, region: &Region) -> PathBuf {
        self.folder.join(region.as_str())
    }

    /// Where files are written before they are put in place.
    pub(crate) fn tmp(&self) -> PathBuf {
        self.folder.join("tmp")
    }

    /// The file whose presence says that a region is down.
    pub(crate) fn down_mark(&self, region: &Region) -> PathBuf {
        self.region_dir(region).join("down")
    }

    /// Refuses a region that is unknown or down. One look at the file system, so cheap enough for every call.
    pub(crate) fn check_up(&self, region: &Region) -> Result<()> {
        self.region(region)?;
        let mark = self.down_mark(region);
        if !mark.try_exists().map_err(io_error("look for", &mark))? {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unavailable, format!("region {region} of {} is down", self.id))
            .with_resource(region.as_str()))
    }

    /// Refuses an id of another kind, and a region that is unknown or down.
    pub(crate) fn check_id(&self, id: &ResourceId, kind: ResourceKind) -> Result<()> {
        id.expect_kind(kind)?;
        self.check_up(&id.region)
    }

    /// The folder that belongs to a resource; it exists from `insert` to `remove`.
    ///
    /// # Errors
    /// `NotFound` for an id that this cloud cannot have given out.
    pub(crate) fn data_dir(&self, id: &ResourceId) -> Result<PathBuf> {
        let file = file_name(id)?;
        Ok(self.kind_dir("data", id.kind, &id.region).join(file))
    }

    fn kind_dir(&self, part: &str, kind: ResourceKind, region: &Region) -> PathBuf {
        self.region_dir(region).join(part).join(kind.as_str())
    }

    fn record_file(&self, id: &ResourceId) -> Result<PathBuf> {
        let dir = self.kind_dir("records", id.kind, &id.region);
        Ok(dir.join(format!("{}.json", file_name(id)?)))
    }

    /// Runs `work` on the blocking pool while no other task or process changes this cloud's records. Dropping the
    /// future does not stop `work`.
    pub(crate) async fn locked<R, F>(self: &Arc<Self>, work: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnOnce(&Locked<'_>) -> Result<R> + Send + 'static,
    {
        self.locked_as(false, work).await
    }

    /// [`locked`](Self::locked), for what takes a region down and brings it up.
    pub(crate) async fn locked_while_down<R, F>(self: &Arc<Self>, work: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnOnce(&Locked<'_>) -> Result<R> + Send + 'static,
    {
        self.locked_as(true, work).await
    }

    async fn locked_as<R, F>(self: &Arc<Self>, while_down: bool, work: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnOnce(&Locked<'_>) -> Result<R> + Send + 'static,
    {
        let turn = self.gate.clone().lock_owned().await;
        let state = self.clone();
        self.blocking(move || {
            let _turn = turn;
            let _lock = lock_file(&state.folder.join("lock"))?;
            work(&Locked { state: &state, while_down })
        })
        .await
    }

    /// Runs file work that may be slow on the blocking pool.
    pub(crate) async fn blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<R> + Send + 'static,
    ) -> Result<R> {
        tokio::task::spawn_blocking(work).await.map_err(join_error)?
    }

    /// [`Locked::begin`].
    pub(crate) async fn begin<T>(self: &Arc<Self>, new: NewRecord<T>) -> Result<Begun<T>>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
    {
        self.locked(|s| s.begin(new)).await
    }

    /// One record; needs no lock, because records are replaced in one piece.
    pub(crate) async fn get<T>(self: &Arc<Self>, id: &ResourceId) -> Result<Record<T>>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let (state, id) = (self.clone(), id.clone());
        self.blocking(move || state.read_up(&id)).await
    }

    /// Changes a record and returns it. Nothing is written if `change` fails.
    pub(crate) async fn update<T, F>(
        self: &Arc<Self>,
        id: &ResourceId,
        change: F,
    ) -> Result<Record<T>>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        F: FnOnce(&mut Record<T>) -> Result<()> + Send + 'static,
    {
        let id = id.clone();
        self.locked(move |s| {
            let mut record = s.read(&id)?;
            change(&mut record)?;
            s.write(&record)?;
            Ok(record)
        })
        .await
    }

    /// Waits until nobody else works on a resource, in this process or another.
    pub(crate) async fn lock_resource(&self, id: &ResourceId) -> Result<ResourceLock> {
        let (dir, file) = self.resource_lock_file(id)?;
        self.blocking(move || {
            make_dir(&dir)?;
            lock_file(&file).map(ResourceLock)
        })
        .await
    }

    /// [`lock_resource`](Self::lock_resource), for code that blocks anyway.
    pub(crate) fn lock_resource_blocking(&self, id: &ResourceId) -> Result<ResourceLock> {
        let (dir, file) = self.resource_lock_file(id)?;
        make_dir(&dir)?;
        lock_file(&file).map(ResourceLock)
    }

    fn resource_lock_file(&self, id: &ResourceId) -> Result<(PathBuf, PathBuf)> {
        let dir = self.kind_dir("locks", id.kind, &id.region);
        let file = dir.join(file_name(id)?);
        Ok((dir, file))
    }

    /// Whether there is a record. One look at the file system.
    pub(crate) fn exists(&self, id: &ResourceId) -> Result<bool> {
        let path = self.record_file(id)?;
        path.try_exists().map_err(io_error("look for", &path))
    }

    /// Reads a record of a region that is up.
    pub(crate) fn read_up<T: DeserializeOwned>(&self, id: &ResourceId) -> Result<Record<T>> {
        self.check_up(&id.region)?;
        self.find(id)?.ok_or_else(|| Error::not_found(id))
    }

    /// Reads a record, whether or not its region is up.
    pub(crate) fn find<T: DeserializeOwned>(&self, id: &ResourceId) -> Result<Option<Record<T>>> {
        match self.record_file(id) {
            Ok(path) => read_json(&path),
            Err(_) => Ok(None),
        }
    }

    /// The native ids of a kind, in order.
    pub(crate) fn natives(&self, kind: ResourceKind, region: &Region) -> Result<Vec<String>> {
        let files = read_dir(&self.kind_dir("records", kind, region))?;
        let mut natives: Vec<String> = files
            .iter()
            .filter_map(|path| path.file_name()?.to_str()?.strip_suffix(".json"))
            .map(str::to_owned)
            .collect();
        natives.sort_unstable();
        Ok(natives)
    }
}

/// Only what this cloud gives out is ever part of a path: a UUID in its simple form.
fn file_name(id: &ResourceId) -> Result<&str> {
    let ours =
        Uuid::try_parse(id.native()).is_ok_and(|uuid| uuid.simple().to_string() == id.native());
    if ours {
        return Ok(id.native());
    }
    Err(Error::not_found(id))
}

fn check_format(root: &Path) -> Result<()> {
    let path = root.join("format.json");
    match read_json::<Format>(&path)? {
        Some(Format { format: FORMAT }) => Ok(()),
        Some(Format { format }) if format > FORMAT => Err(Error::new(
            ErrorKind::Corrupt,
            format!(
                "the data folder {} was written by a newer version (format {format}; this one knows up to {FORMAT})",
                root.display()
            ),
        )
        .with_hint("use that version or a newer one")),
        Some(Format { format }) => Err(corrupt(&path, format_args!("has the unknown format {format}"))),
        None => {
            // A process that died in its first moment leaves a draft of the file, and no more.
            let draft = |p: &PathBuf| {
                p.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".tmp"))
            };
            if let Some(other) =
                read_dir(root)?.iter().find(|p| !p.ends_with("lock") && !draft(p))
            {
                let problem = format!("is missing, but {} is there", other.display());
                return Err(corrupt(&path, problem));
            }
            write_json(root, &path, &Format { format: FORMAT })
        }
    }
}
