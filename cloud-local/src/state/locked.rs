//! The records while the lock of the cloud is held.

use std::sync::PoisonError;

use cloud_core::{
    ClientToken, Error, ErrorKind, Region, ResourceId, ResourceKind, ResourceStatus, Result,
};
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{
    Begun, NewRecord, Record, State,
    files::{make_dir, read_json, remove_if_there, remove_tree, write_json},
};

/// The records while the lock is held. All of it blocks.
#[derive(Debug)]
pub(crate) struct Locked<'a> {
    pub(super) state: &'a State,
    pub(super) while_down: bool,
}

impl Locked<'_> {
    pub(crate) fn state(&self) -> &State {
        self.state
    }

    fn check_up(&self, region: &Region) -> Result<()> {
        if self.while_down {
            return self.state.region(region).map(drop);
        }
        self.state.check_up(region)
    }

    /// What was made with the token of `new`.
    ///
    /// # Errors
    /// `Conflict` if that had another spec; `AlreadyExists` if the name is taken by something else.
    pub(crate) fn lookup<T: DeserializeOwned>(
        &self,
        new: &NewRecord<T>,
    ) -> Result<Option<Record<T>>> {
        self.check_up(&new.region)?;
        let mut named = None;
        for native in self.state.natives(new.kind, &new.region)? {
            let id = ResourceId::new(new.kind, new.region.clone(), native)?;
            let Some((name, token)) = self.identity(&id)? else {
                continue;
            };
            if token == new.token {
                return self.made_before(&id, new).map(Some);
            }
            if name == new.name {
                named = Some(id);
            }
        }
        match named {
            None => Ok(None),
            Some(id) => {
                let (kind, name, region) = (new.kind, &new.name, &new.region);
                let message = format!("{region} has a {kind} named '{name}' already: {id}");
                Err(Error::new(ErrorKind::AlreadyExists, message).with_resource(id.to_string()))
            }
        }
    }

    fn made_before<T: DeserializeOwned>(
        &self,
        id: &ResourceId,
        new: &NewRecord<T>,
    ) -> Result<Record<T>> {
        let record: Record<T> = self.read(id)?;
        if record.fingerprint == new.fingerprint {
            // It may have been broken off between the record and the folder.
            make_dir(&self.state.data_dir(id)?)?;
            return Ok(record);
        }
        let message = format!("the token of '{}' made {id} from another spec", new.name);
        Err(Error::new(ErrorKind::Conflict, message)
            .with_code("IdempotentParameterMismatch")
            .with_resource(id.to_string())
            .with_hint("use a new token for a new spec"))
    }

    /// Name and token of a record, read once.
    fn identity(&self, id: &ResourceId) -> Result<Option<(String, ClientToken)>> {
        let path = self.state.record_file(id)?;
        let mut known = self.state.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(identity) = known.get(&path) {
            return Ok(Some(identity.clone()));
        }
        let Some(record) = read_json::<Record<serde_json::Value>>(&path)? else {
            return Ok(None);
        };
        let identity = (record.name, record.token);
        known.insert(path, identity.clone());
        Ok(Some(identity))
    }

    /// Records what [`lookup`](Self::lookup) did not find, and makes its data folder.
    ///
    /// # Errors
    /// `NotFound` for something in `uses` that does not exist.
    pub(crate) fn insert<T: Serialize>(&self, new: NewRecord<T>) -> Result<Record<T>> {
        self.check_up(&new.region)?;
        for used in &new.uses {
            self.check_up(&used.region)?;
            if self.find::<serde_json::Value>(used)?.is_none() {
                return Err(Error::not_found(used));
            }
        }
        let native = Uuid::now_v7().simple().to_string();
        let record = Record {
            id: ResourceId::new(new.kind, new.region, native)?,
            name: new.name,
            status: new.status,
            tags: new.tags,
            token: new.token,
            fingerprint: new.fingerprint,
            uses: new.uses,
            created_at: Timestamp::now(),
            body: new.body,
        };
        self.write(&record)?;
        if let Err(error) = make_dir(&self.state.data_dir(&record.id)?) {
            self.remove(&record.id)?;
            return Err(error);
        }
        Ok(record)
    }

    /// [`lookup`](Self::lookup), for services that delete under the lock: a record that still says `Deleting` is of a
    /// deletion that was broken off. `finish` ends what there still is of it, and it is removed and not there.
    pub(crate) fn lookup_finishing<T: DeserializeOwned>(
        &self,
        new: &NewRecord<T>,
        finish: impl FnOnce(&Record<T>) -> Result<()>,
    ) -> Result<Option<Record<T>>> {
        match self.lookup(new)? {
            Some(record) if record.status == ResourceStatus::Deleting => {
                finish(&record)?;
                self.remove(&record.id)?;
                Ok(None)
            }
            other => Ok(other),
        }
    }

    /// [`lookup`](Self::lookup), and [`insert`](Self::insert) if there is nothing.
    pub(crate) fn begin<T>(&self, new: NewRecord<T>) -> Result<Begun<T>>
    where
        T: Serialize + DeserializeOwned,
    {
        let found = self.lookup(&new)?;
        self.begun(found, new)
    }

    /// [`begin`](Self::begin) by [`lookup_finishing`](Self::lookup_finishing).
    pub(crate) fn begin_finishing<T>(
        &self,
        new: NewRecord<T>,
        finish: impl FnOnce(&Record<T>) -> Result<()>,
    ) -> Result<Begun<T>>
    where
        T: Serialize + DeserializeOwned,
    {
        let found = self.lookup_finishing(&new, finish)?;
        self.begun(found, new)
    }

    fn begun<T: Serialize>(&self, found: Option<Record<T>>, new: NewRecord<T>) -> Result<Begun<T>> {
        match found {
            None => self.insert(new).map(Begun::New),
            Some(old) if old.status == ResourceStatus::Creating => Ok(Begun::Unfinished(old)),
            Some(old) => Ok(Begun::Done(old)),
        }
    }

    /// One record, or `NotFound`.
    pub(crate) fn read<T: DeserializeOwned>(&self, id: &ResourceId) -> Result<Record<T>> {
        self.find(id)?.ok_or_else(|| Error::not_found(id))
    }

    /// One record, if it is there.
    pub(crate) fn find<T: DeserializeOwned>(&self, id: &ResourceId) -> Result<Option<Record<T>>> {
        self.check_up(&id.region)?;
        self.state.find(id)
    }

    /// Replaces a record, or makes it.
    pub(crate) fn write<T: Serialize>(&self, record: &Record<T>) -> Result<()> {
        let path = self.state.record_file(&record.id)?;
        write_json(&self.state.tmp(), &path, record)
    }

    /// Records that a removal has begun. A full disk does not stop it: what is removed is what frees the space.
    pub(crate) fn mark_deleting<T: Serialize>(&self, record: &mut Record<T>) -> Result<()> {
        record.status = ResourceStatus::Deleting;
        match self.write(record) {
            Err(error) if error.kind() == ErrorKind::StorageFull => Ok(()),
            other => other,
        }
    }

    /// Removes a record and its data folder; the record last, so that a removal that was broken off can be
    /// repeated. `true` if it was there.
    pub(crate) fn remove(&self, id: &ResourceId) -> Result<bool> {
        self.check_up(&id.region)?;
        let Ok(path) = self.state.record_file(id) else {
            return Ok(false);
        };
        remove_tree(&self.state.data_dir(id)?)?;
        let lock = self.state.kind_dir("locks", id.kind, &id.region).join(id.native());
        remove_if_there(&lock)?;
        let mut known = self.state.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(&path);
        remove_if_there(&path)
    }

    /// Every record of a kind in a region.
    pub(crate) fn all<T: DeserializeOwned>(
        &self,
        kind: ResourceKind,
        region: &Region,
    ) -> Result<Vec<Record<T>>> {
        self.check_up(region)?;
        let mut all = Vec::new();
        for native in self.state.natives(kind, region)? {
            let id = ResourceId::new(kind, region.clone(), native)?;
            all.extend(self.state.find(&id)?);
        }
        Ok(all)
    }

    /// Refuses with `Conflict`, naming a resource that uses this one. Regions that are down count too: what is in
    /// them comes back.
    pub(crate) fn check_unused(&self, id: &ResourceId) -> Result<()> {
        for region in self.state.regions() {
            for kind in ResourceKind::ALL {
                for native in self.state.natives(kind, &region.name)? {
                    let user = ResourceId::new(kind, region.name.clone(), native)?;
                    let record = self.state.find::<serde_json::Value>(&user)?;
                    if let Some(record) = record
                        && record.uses.contains(id)
                    {
                        let message =
                            format!("{id} is used by the {kind} '{}' ({user})", record.name);
                        return Err(Error::new(ErrorKind::Conflict, message)
                            .with_resource(id.to_string())
                            .with_hint("delete what uses it first"));
                    }
                }
            }
        }
        Ok(())
    }
}
