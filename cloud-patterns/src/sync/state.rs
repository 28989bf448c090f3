//! What source and target agreed on at the last sync, in the store: blocks of entries in the order of the keys.
//!
//! Every run of a shard that changes something writes a *generation*, a stream of its own: the blocks of the windows it has
//! finished, in order, and between them, as a safety net, single entries of windows that are not finished yet. A generation
//! that was finished replaces all before it, which are then removed. One that was broken off lies over the others like a
//! layer: it says all there is to say up to the last key of its last block, and for its single entries; what it does not
//! cover is read from the layer below.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use cloud_core::{Error, ErrorKind, PageRequest, PageToken, Result};
use serde::{Deserialize, Serialize};

use super::{block, entry::Agreed};
use crate::engine::store::{Fence, Record, Store, StoreExt};

/// Most entries in a block; with keys of 1,024 bytes it stays under the size that a record may have.
pub(super) const BLOCK: usize = 400;

/// Where a shard's state is kept.
#[derive(Clone, Debug)]
pub(super) struct StatePlace {
    pub(super) store: Arc<dyn Store>,
    pub(super) job: String,
    pub(super) shard: u16,
}

/// A record of a generation.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Written {
    /// All entries after the block before, through this key.
    Block { through: String, entries: String },
    /// Entries of windows that are not finished.
    Done { entries: String },
}

/// Which generations of a shard there are.
#[derive(Clone, Debug)]
struct Generations {
    finished: Option<u64>,
    /// Broken off, oldest first, all after the finished one.
    broken_off: Vec<u64>,
    next: u64,
}

impl StatePlace {
    /// Under this prefix is all of a generation: its blocks, and a mark if it was finished.
    fn prefix(&self, number: u64) -> String {
        format!("sync/{}/{:05}/state/{number:010}/", self.job, self.shard)
    }

    fn blocks(&self, number: u64) -> String {
        self.prefix(number) + "blocks"
    }

    async fn generations(&self) -> Result<Generations> {
        let mut found = Generations { finished: None, broken_off: Vec::new(), next: 1 };
        let all = format!("sync/{}/{:05}/state/", self.job, self.shard);
        for name in self.store.streams(&all).complete().await?.into_items() {
            let Some((number, what)) = name[all.len()..].split_once('/') else {
                return Err(corrupt(format!("'{name}' is none of its streams")));
            };
            let number = number.parse().map_err(|_| corrupt(format!("'{name}' has no number")))?;
            found.next = found.next.max(number + 1);
            match what {
                "finished" => found.finished = found.finished.max(Some(number)),
                _ => found.broken_off.push(number),
            }
        }
        found.broken_off.retain(|&number| Some(number) > found.finished);
        Ok(found)
    }

    /// What was agreed, from the first key on, and who writes what comes after it.
    ///
    /// # Errors
    /// Those of the store; [`Corrupt`](ErrorKind::Corrupt) if what it kept is unreadable.
    pub(super) async fn open(&self, fence: Fence) -> Result<(StateReader, StateWriter)> {
        let generations = self.generations().await?;
        let reader = StateReader::open(self, &generations).await?;
        let writer = StateWriter {
            place: self.clone(),
            fence,
            // What was broken off is to be written whole again, whether or not there are changes.
            unchanged: generations.broken_off.is_empty(),
            begun: false,
            unchanged_through: None,
            generations,
        };
        Ok((reader, writer))
    }
}

fn corrupt(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the state of a sync is unreadable: {what}"))
}

fn read(body: serde_json::Value) -> Result<Written> {
    serde_json::from_value(body).map_err(corrupt)
}

fn unpack(entries: &str) -> Result<Vec<Agreed>> {
    block::decode(&BASE64_STANDARD.decode(entries).map_err(corrupt)?)
}

fn pack(entries: &[Agreed]) -> Result<String> {
    Ok(BASE64_STANDARD.encode(block::encode(entries)?))
}

/// One generation, read page by page.
#[derive(Debug)]
struct Layer {
    stream: String,
    /// Of a layer that was broken off: the last key it covers; nothing if it has no block.
    covers: Option<Option<String>>,
    page: VecDeque<serde_json::Value>,
    after: Option<Option<PageToken>>,
    block: std::vec::IntoIter<Agreed>,
}

impl Layer {
    fn new(stream: String, covers: Option<Option<String>>) -> Self {
        let (page, block) = (VecDeque::new(), Vec::new().into_iter());
        Self { stream, covers, page, after: Some(None), block }
    }

    async fn next(&mut self, store: &dyn Store) -> Result<Option<Agreed>> {
        loop {
            if let Some(agreed) = self.block.next() {
                return Ok(Some(agreed));
            }
            if let Some(body) = self.page.pop_front() {
                if let Written::Block { entries, .. } = read(body)? {
                    self.block = unpack(&entries)?.into_iter();
                }
                continue;
            }
            let Some(after) = self.after.take() else {
                return Ok(None);
            };
            let request = PageRequest { size: Some(16), after };
            let page = store.read_page(&self.stream, &request).await?;
            self.page = page.items.into_iter().map(|entry| entry.record.body).collect();
            self.after = page.next.map(Some);
        }
    }
}

/// Reads what was agreed in the order of the keys.
#[derive(Debug)]
pub(super) struct StateReader {
    store: Arc<dyn Store>,
    /// Newest first.
    layers: VecDeque<Layer>,
    /// Entries that were done in windows that nobody finished.
    done: BTreeMap<Box<str>, Agreed>,
    /// Keys up to here were said by the layers that are through.
    said: Option<String>,
    head: Option<Agreed>,
}

impl StateReader {
    async fn open(place: &StatePlace, generations: &Generations) -> Result<Self> {
        let (mut layers, mut done) = (VecDeque::new(), BTreeMap::new());
        let mut covered: Option<String> = None;
        for &number in generations.broken_off.iter().rev() {
            let stream = place.blocks(number);
            let mut covers = None;
            let mut single: BTreeMap<Box<str>, Agreed> = BTreeMap::new();
            let mut listing = place.store.read(&stream);
            while let Some(entry) = futures::TryStreamExt::try_next(&mut listing).await? {
                match read(entry.record.body)? {
                    Written::Block { through, .. } => {
                        single.retain(|key, _| **key > *through);
                        covers = Some(through);
                    }
                    Written::Done { entries } => {
                        single.extend(unpack(&entries)?.into_iter().map(|a| (a.key.clone(), a)));
                    }
                }
            }
            covered = covered.max(covers.clone());
            for (key, agreed) in single {
                if covered.as_deref().is_none_or(|covered| *key > *covered) {
                    done.entry(key).or_insert(agreed);
                }
            }
            layers.push_back(Layer::new(stream, Some(covers)));
        }
        if let Some(number) = generations.finished {
            layers.push_back(Layer::new(place.blocks(number), None));
        }
        Ok(Self { store: place.store.clone(), layers, done, said: None, head: None })
    }

    /// The next entry; `None` after the last.
    ///
    /// # Errors
    /// Those of the store; [`Corrupt`](ErrorKind::Corrupt).
    pub(super) async fn next(&mut self) -> Result<Option<Agreed>> {
        if self.head.is_none() {
            self.head = self.next_of_layers().await?;
        }
        let single = self.done.first_key_value().map(|(key, _)| &**key);
        match (single, self.head.as_ref().map(|agreed| &*agreed.key)) {
            (Some(single), head) if head.is_none_or(|head| single <= head) => {
                if head == Some(single) {
                    self.head = None;
                }
                Ok(self.done.pop_first().map(|(_, agreed)| agreed))
            }
            _ => Ok(self.head.take()),
        }
    }

    async fn next_of_layers(&mut self) -> Result<Option<Agreed>> {
        while let Some(layer) = self.layers.front_mut() {
            while let Some(agreed) = layer.next(&*self.store).await? {
                if self.said.as_deref().is_none_or(|said| *agreed.key > *said) {
                    return Ok(Some(agreed));
                }
            }
            if let Some(covers) = layer.covers.take() {
                self.said = self.said.take().max(covers);
            }
            self.layers.pop_front();
        }
        Ok(None)
    }
}

/// What a window of a run came to.
#[derive(Debug)]
pub(super) enum Commit {
    /// Nothing changed up to this key.
    Unchanged { through: String },
    /// The entries after the window before, through this key.
    Window { through: String, entries: Vec<Agreed> },
    /// Objects of windows that are not finished.
    Done { entries: Vec<Agreed> },
}

/// Writes a generation. Nothing is written as long as nothing has changed.
#[derive(Debug)]
pub(super) struct StateWriter {
    place: StatePlace,
    fence: Fence,
    generations: Generations,
    unchanged: bool,
    begun: bool,
    unchanged_through: Option<String>,
}

impl StateWriter {
    /// Whether windows in which nothing changed have to be given with their entries.
    pub(super) fn wants_all(&self) -> bool {
        !self.unchanged
    }

    /// Writes what a run has finished, durably before it returns.
    ///
    /// # Errors
    /// Those of the store; a stale epoch if another worker has taken the shard over.
    pub(super) async fn write(&mut self, commits: Vec<Commit>) -> Result<()> {
        let mut records = Vec::new();
        for commit in commits {
            match commit {
                Commit::Unchanged { through } => self.unchanged_through = Some(through),
                Commit::Window { through, entries } => {
                    self.begin().await?;
                    blocks(&mut records, through, &entries)?;
                }
                Commit::Done { mut entries } => {
                    self.begin().await?;
                    // They come in the order in which they arrived.
                    entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
                    for entries in entries.chunks(BLOCK) {
                        records.push(record(&Written::Done { entries: pack(entries)? })?);
                    }
                }
            }
        }
        self.append(records).await
    }

    async fn append(&self, records: Vec<Record>) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let stream = self.place.blocks(self.generations.next);
        self.place.store.append(&self.fence, &stream, records).await.map(drop)
    }

    async fn begin(&mut self) -> Result<()> {
        if self.begun {
            return Ok(());
        }
        (self.begun, self.unchanged) = (true, false);
        match self.unchanged_through.take() {
            Some(through) => self.copy(through).await,
            None => Ok(()),
        }
    }

    /// Writes what the generations before say up to a key.
    async fn copy(&self, through: String) -> Result<()> {
        let mut reader = StateReader::open(&self.place, &self.generations).await?;
        let (mut entries, mut records) = (Vec::new(), Vec::new());
        while let Some(agreed) = reader.next().await?.filter(|agreed| *agreed.key <= *through) {
            entries.push(agreed);
            if entries.len() == BLOCK * 10 {
                let last = entries.last().map(|a: &Agreed| a.key.to_string()).unwrap_or_default();
                blocks(&mut records, last, &entries)?;
                self.append(std::mem::take(&mut records)).await?;
                entries.clear();
            }
        }
        blocks(&mut records, through, &entries)?;
        self.append(records).await
    }

    /// Makes the generation the one that counts, and removes those before it.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn finish(mut self) -> Result<()> {
        if self.unchanged {
            return Ok(());
        }
        self.begin().await?;
        let mark = self.place.prefix(self.generations.next) + "finished";
        self.place.store.append(&self.fence, &mark, vec![Record::new("finished")]).await?;
        for &number in self.generations.broken_off.iter().chain(&self.generations.finished) {
            self.place.store.forget(&self.fence, &self.place.prefix(number)).await?;
        }
        Ok(())
    }
}

fn record(written: &Written) -> Result<Record> {
    let body = serde_json::to_value(written)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("state cannot be written: {e}")))?;
    Ok(Record::new(body))
}

/// The entries as blocks; the last of them reaches through the given key.
fn blocks(records: &mut Vec<Record>, through: String, entries: &[Agreed]) -> Result<()> {
    let mut chunks = entries.chunks(BLOCK).peekable();
    while let Some(chunk) = chunks.next() {
        let last = match (chunks.peek(), chunk.last()) {
            (Some(_), Some(last)) => last.key.to_string(),
            _ => through.clone(),
        };
        records.push(record(&Written::Block { through: last, entries: pack(chunk)? })?);
    }
    if entries.is_empty() {
        records.push(record(&Written::Block { through, entries: pack(&[])? })?);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
