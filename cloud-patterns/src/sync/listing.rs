//! The objects of one side in the order of their keys, read ahead in the background, of any number, in bounded memory.

use std::{collections::VecDeque, sync::Arc};

use cloud_core::{Error, ErrorKind, ObjectLocation, Result};
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use object_store::{ListResult, ObjectMeta, ObjectStore, path::Path};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{entry::Entry, range::KeyRange};

/// How many entries travel together from the listing to whoever merges it.
const CHUNK: usize = 1000;

/// How many chunks are read ahead.
const AHEAD: usize = 2;

/// How many folders are listed at once.
const FOLDERS: usize = 8;

type Metas = BoxStream<'static, object_store::Result<ObjectMeta>>;

/// An ordered listing of a location, at work in a task of its own. Dropping it ends the task.
///
/// It ends with `Ok(None)` only if everything was listed: see [`super::deletion`].
#[derive(Debug)]
pub(super) struct Ordered {
    chunks: mpsc::Receiver<Result<Vec<Entry>>>,
    current: std::vec::IntoIter<Entry>,
    task: JoinHandle<()>,
    ended: bool,
}

impl Ordered {
    /// Begins to list the objects whose keys below the prefix are in the range.
    pub(super) fn begin(location: &ObjectLocation, range: &KeyRange) -> Self {
        Self::begin_in(location, location.prefix.clone(), range, location.traits.list_ordered)
    }

    /// Begins to list a folder of the location; if it `splits`, with folders of it listed ahead where there are many objects in few.
    fn begin_in(location: &ObjectLocation, folder: Path, range: &KeyRange, splits: bool) -> Self {
        let (to, chunks) = mpsc::channel(AHEAD);
        let below = below(&location.prefix);
        let (location, range) = (location.clone(), range.clone());
        let reader = Reader { location, folder, below, range, splits, last: String::new(), to };
        let task = tokio::spawn(reader.read());
        Self { chunks, current: Vec::new().into_iter(), task, ended: false }
    }

    /// What is left of the current chunk or else the next one.
    async fn next_chunk(&mut self) -> Result<Option<Vec<Entry>>> {
        Ok(match self.next().await? {
            Some(first) => Some(std::iter::once(first).chain(self.current.by_ref()).collect()),
            None => None,
        })
    }

    /// The next entry; `None` after the last one. Cancellation-safe.
    ///
    /// # Errors
    /// What the store answered. Nothing follows an error.
    pub(super) async fn next(&mut self) -> Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.current.next() {
                return Ok(Some(entry));
            }
            if self.ended {
                return Ok(None);
            }
            match self.chunks.recv().await {
                Some(Ok(chunk)) if chunk.is_empty() => self.ended = true,
                Some(chunk) => self.current = chunk?.into_iter(),
                // The task sends an empty chunk as its last: without it, it was ended from outside.
                None => return Err(Error::new(ErrorKind::Cancelled, "the listing was broken off")),
            }
        }
    }
}

impl Drop for Ordered {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The prefix as keys begin with it.
pub(super) fn below(prefix: &Path) -> String {
    match prefix.as_ref() {
        "" => String::new(),
        prefix => format!("{prefix}/"),
    }
}

struct Reader {
    location: ObjectLocation,
    /// What is listed: the prefix of the location or a folder below it.
    folder: Path,
    /// The prefix as keys begin with it.
    below: String,
    range: KeyRange,
    splits: bool,
    /// The last key that was listed.
    last: String,
    to: mpsc::Sender<Result<Vec<Entry>>>,
}

impl Reader {
    /// Sends chunks until the listing ends, fails or nobody listens any more. The last one is empty.
    async fn read(mut self) {
        let end = self.send_all().await.map(|()| Vec::new());
        let _ = self.to.send(end).await;
    }

    async fn send_all(&mut self) -> Result<()> {
        let mut metas = metas(&self.location, &self.folder, self.range.after.as_deref());
        loop {
            let chunk = self.chunk(&mut metas).await?;
            if chunk.is_empty() {
                return Ok(());
            }
            let crowded = crowded_folder(&chunk).filter(|_| self.splits);
            // A stream that has ended must not be asked again.
            let is_last = chunk.len() < CHUNK;
            self.send(chunk).await?;
            if is_last {
                return Ok(());
            }
            let Some(folder) = crowded else { continue };
            let folder = Path::parse(format!("{}{folder}", self.below))
                .map_err(|e| self.failed(e.into()))?;
            let whole = folder == self.folder;
            if !whole && !self.location.traits.list_from {
                continue;
            }
            self.splits = false;
            self.folders(&folder).await?;
            if whole {
                return Ok(());
            }
            // After the last key that the folder can have.
            let end = format!("{folder}/{}", char::MAX);
            metas = metas_from(&self.location, &self.folder, end.strip_prefix(&self.below));
        }
    }

    async fn send(&self, chunk: Vec<Entry>) -> Result<()> {
        let gone = |_| Error::new(ErrorKind::Cancelled, "nobody listens any more");
        self.to.send(Ok(chunk)).await.map_err(gone)
    }

    /// Lists what is left of a folder, several of its folders at once.
    async fn folders(&mut self, folder: &Path) -> Result<()> {
        let prefix = (!folder.as_ref().is_empty()).then_some(folder);
        let listed =
            self.location.store.list_with_delimiter(prefix).await.map_err(|e| self.failed(e))?;
        let mut nodes = nodes(listed);
        let mut ahead: VecDeque<Opened> = VecDeque::new();
        loop {
            while ahead.len() < FOLDERS
                && let Some(node) = nodes.pop()
            {
                ahead.extend(self.open(node));
            }
            match ahead.pop_front() {
                None => return Ok(()),
                Some(Opened::Object(entry)) => {
                    self.follows(&entry.key)?;
                    self.send(vec![entry]).await?;
                }
                Some(Opened::Folder(mut listing)) => {
                    while let Some(chunk) = listing.next_chunk().await? {
                        for entry in &chunk {
                            self.follows(&entry.key)?;
                        }
                        self.send(chunk).await?;
                    }
                }
            }
        }
    }

    /// What is to be listed of a node: nothing if it was listed before, or is not in the range.
    fn open(&self, node: Node) -> Option<Opened> {
        match node {
            Node::Object(meta) => {
                let key = meta.location.as_ref().strip_prefix(&self.below)?;
                let wanted = key > self.last.as_str() && self.range.contains(key);
                wanted.then(|| Opened::Object(Entry::new(key, &meta, self.location.traits.e_tag)))
            }
            Node::Folder(path) => {
                let first = format!("{path}/");
                let first = first.strip_prefix(&self.below)?;
                let over = self.last.as_str() > first && !self.last.starts_with(first);
                if over || self.range.is_past(first) {
                    return None;
                }
                let after = self.range.after.clone().max(Some(self.last.clone()));
                let range = KeyRange { after, through: self.range.through.clone() };
                Some(Opened::Folder(Ordered::begin_in(&self.location, path, &range, false)))
            }
        }
    }

    async fn chunk(&mut self, metas: &mut Metas) -> Result<Vec<Entry>> {
        let mut chunk = Vec::new();
        while chunk.len() < CHUNK {
            let Some(meta) = metas.try_next().await.map_err(|e| self.failed(e))? else {
                break;
            };
            let Some(key) = meta.location.as_ref().strip_prefix(&self.below) else {
                continue;
            };
            if self.range.is_before(key) {
                continue;
            }
            if self.range.is_past(key) {
                break;
            }
            self.follows(key)?;
            chunk.push(Entry::new(key, &meta, self.location.traits.e_tag));
        }
        Ok(chunk)
    }

    /// Takes down that a key was listed.
    fn follows(&mut self, key: &str) -> Result<()> {
        if !self.last.is_empty() && key <= self.last.as_str() {
            return Err(self.out_of_order(&self.last, key));
        }
        self.last.clear();
        self.last.push_str(key);
        Ok(())
    }

    fn failed(&self, error: object_store::Error) -> Error {
        Error::from(error).context(format_args!("listing {}", self.location.name))
    }

    fn out_of_order(&self, last: &str, key: &str) -> Error {
        let problem = match last == key {
            true => format!("lists the key '{key}' twice"),
            false => format!("lists '{key}' after '{last}', which is not the order of their bytes"),
        };
        Error::new(ErrorKind::Unsupported, format!("{} {problem}", self.location.name))
            .with_hint("two keys may differ in a way that the handle hides, as 'a' and 'a/' do; rename one of them")
    }
}

enum Opened {
    Object(Entry),
    Folder(Ordered),
}

/// The folder that all of a full chunk is in, if it has few folders of many objects each: then it pays to list them side by side.
fn crowded_folder(chunk: &[Entry]) -> Option<String> {
    /// Folders in a chunk at most.
    const FEW: usize = 20;
    let (first, last) = (chunk.first()?, chunk.last()?);
    if chunk.len() < CHUNK {
        return None;
    }
    let same = first.key.bytes().zip(last.key.bytes()).take_while(|(a, b)| a == b).count();
    let folder =
        first.key[..first.key.floor_char_boundary(same)].rfind('/').map_or(0, |slash| slash + 1);
    let mut folders: Vec<_> =
        chunk.iter().filter_map(|entry| Some(entry.key[folder..].split_once('/')?.0)).collect();
    let in_folders = folders.len();
    folders.dedup();
    let crowded = in_folders * 2 > CHUNK && folders.len() <= FEW;
    crowded.then(|| first.key[..folder].trim_end_matches('/').to_owned())
}

/// The objects of a folder as the store lists them, in order, from a key below the location's prefix on.
fn metas(location: &ObjectLocation, folder: &Path, after: Option<&str>) -> Metas {
    match location.traits.list_ordered {
        true => metas_from(location, folder, after),
        false => walk(location.store.clone(), folder.clone()),
    }
}

fn metas_from(location: &ObjectLocation, folder: &Path, after: Option<&str>) -> Metas {
    let (store, prefix) = (&location.store, (!folder.as_ref().is_empty()).then_some(folder));
    let offset = after.filter(|_| location.traits.list_from);
    match offset.map(|after| Path::parse(format!("{}{after}", below(&location.prefix)))) {
        Some(Ok(offset)) => store.list_with_offset(prefix, &offset),
        _ => store.list(prefix),
    }
}

/// Goes through the folders one after the other, in the order of the keys: what is open in memory is one listing of each
/// folder on the way to the current one.
fn walk(store: Arc<dyn ObjectStore>, root: Path) -> Metas {
    let open = vec![vec![Node::Folder(root)]];
    stream::try_unfold((store, open), |(store, mut open)| async move {
        loop {
            let Some(level) = open.last_mut() else {
                return Ok(None);
            };
            match level.pop() {
                None => drop(open.pop()),
                Some(Node::Object(meta)) => return Ok(Some((meta, (store, open)))),
                Some(Node::Folder(path)) => {
                    let prefix = (!path.as_ref().is_empty()).then_some(&path);
                    open.push(nodes(store.list_with_delimiter(prefix).await?));
                }
            }
        }
    })
    .boxed()
}

enum Node {
    Object(ObjectMeta),
    Folder(Path),
}

/// What is in a folder, the first last. The keys in a folder begin with its name and a slash, which is what it is ordered by.
fn nodes(listed: ListResult) -> Vec<Node> {
    let folders =
        listed.common_prefixes.into_iter().map(|path| (format!("{path}/"), Node::Folder(path)));
    let objects = listed.objects.into_iter();
    let objects = objects.map(|meta| (meta.location.to_string(), Node::Object(meta)));
    let mut nodes: Vec<_> = folders.chain(objects).collect();
    nodes.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
    nodes.into_iter().map(|(_, node)| node).collect()
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt, memory::InMemory};
    use proptest::prelude::*;

    use super::*;

    async fn keys(location: &ObjectLocation, range: &KeyRange) -> Vec<String> {
        let mut listing = Ordered::begin(location, range);
        let mut keys = Vec::new();
        while let Some(entry) = listing.next().await.unwrap() {
            keys.push(entry.key.into());
        }
        keys
    }

    /// A store with these objects, and how it is listed.
    async fn location(keys: &[String], prefix: &str, ordered: bool, from: bool) -> ObjectLocation {
        let store = InMemory::new();
        for key in keys {
            store.put(&Path::parse(key).unwrap(), "".into()).await.unwrap();
        }
        let mut location = ObjectLocation::new("memory", Arc::new(store), prefix.into());
        (location.traits.list_ordered, location.traits.list_from) = (ordered, from);
        location
    }

    fn sorted(mut keys: Vec<String>, range: &KeyRange) -> Vec<String> {
        keys.retain(|key| range.contains(key));
        keys.sort();
        keys.dedup();
        keys
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn any_listing_is_in_the_order_of_the_keys(
            names in proptest::collection::vec("[ab.-]{1,2}(/[ab0-]{1,2}){0,3}", 0..60),
            after in proptest::option::of("[ab.-]{1,2}"),
            through in proptest::option::of("[ab.-]{1,2}/b"),
            (ordered, from) in any::<(bool, bool)>(),
        ) {
            // A key that is a folder of another cannot be in a folder of a disk, but in a bucket it can.
            let names: Vec<_> = names.into_iter().filter(|n| !n.split('/').any(|p| p == "." || p == "..")).collect();
            let range = KeyRange { after, through };
            let below: Vec<_> = names.iter().map(|name| format!("in/{name}")).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let listed = runtime.block_on(async {
                keys(&location(&below, "in", ordered, from).await, &range).await
            });
            prop_assert_eq!(listed, sorted(names, &range));
        }
    }

    #[tokio::test]
    async fn many_objects_in_few_folders_are_listed_side_by_side_and_in_order() {
        let mut all: Vec<_> = (0..9000).map(|n| format!("data/{:02}/{n:05}", n % 12)).collect();
        all.extend((0..50).map(|n| format!("data/{n:02}.txt")));
        all.extend(["a", "data-old/x", "data.txt", "zoo/last"].map(str::to_owned));
        for after in [None, Some("data/03/00603"), Some("data/04"), Some("data/zz")] {
            let range = KeyRange { after: after.map(str::to_owned), through: Some("zoo/z".into()) };
            for from in [true, false] {
                let location = location(&all, "", true, from).await;
                assert_eq!(
                    keys(&location, &range).await,
                    sorted(all.clone(), &range),
                    "{after:?} {from}"
                );
            }
        }
        let chunk = (0..CHUNK).map(|n| Entry {
            key: format!("a/b/{}/{n}", n / 100).into(),
            size: 0,
            modified: jiff::Timestamp::UNIX_EPOCH,
            tag: super::super::entry::Tag::None,
        });
        let chunk: Vec<_> = chunk.collect();
        assert_eq!(crowded_folder(&chunk).as_deref(), Some("a/b"));
        assert_eq!(crowded_folder(&chunk[1..]), None, "not a full chunk");
    }

    #[tokio::test]
    async fn a_store_that_only_claims_to_be_ordered_is_found_out() {
        let mut reader = Reader {
            location: location(&[], "", true, true).await,
            folder: Path::default(),
            below: String::new(),
            range: KeyRange::default(),
            splits: false,
            last: "b".into(),
            to: mpsc::channel(1).0,
        };
        assert!(reader.follows("a").unwrap_err().to_string().contains("order"));
        assert!(reader.follows("b").unwrap_err().to_string().contains("twice"));
        assert!(reader.follows("c").is_ok());
    }
}
