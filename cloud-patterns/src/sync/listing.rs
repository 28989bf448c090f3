//! The objects of one side in the order of their keys, read ahead in the background, of any number, in bounded memory.

use std::sync::Arc;

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
        let (to, chunks) = mpsc::channel(AHEAD);
        let reader = Reader {
            name: location.name.clone(),
            below: below(&location.prefix),
            meaning: location.traits.e_tag,
            range: range.clone(),
        };
        let metas = metas(location, range);
        let task = tokio::spawn(async move { reader.read(metas, to).await });
        Self { chunks, current: Vec::new().into_iter(), task, ended: false }
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
    name: String,
    below: String,
    meaning: cloud_core::ETagMeaning,
    range: KeyRange,
}

impl Reader {
    /// Sends chunks until the listing ends, fails or nobody listens any more. The last one is empty.
    async fn read(self, mut metas: Metas, to: mpsc::Sender<Result<Vec<Entry>>>) {
        let mut last = String::new();
        loop {
            let chunk = self.chunk(&mut metas, &mut last).await;
            let ends = chunk.as_ref().map_or(true, Vec::is_empty);
            if to.send(chunk).await.is_err() || ends {
                return;
            }
        }
    }

    async fn chunk(&self, metas: &mut Metas, last: &mut String) -> Result<Vec<Entry>> {
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
            if !last.is_empty() && key <= last.as_str() {
                return Err(self.out_of_order(last, key));
            }
            last.clear();
            last.push_str(key);
            chunk.push(Entry::new(key, &meta, self.meaning));
        }
        Ok(chunk)
    }

    fn failed(&self, error: object_store::Error) -> Error {
        Error::from(error).context(format_args!("listing {}", self.name))
    }

    fn out_of_order(&self, last: &str, key: &str) -> Error {
        let problem = match last == key {
            true => format!("lists the key '{key}' twice"),
            false => format!("lists '{key}' after '{last}', which is not the order of their bytes"),
        };
        Error::new(ErrorKind::Unsupported, format!("{} {problem}", self.name))
            .with_hint("two keys may differ in a way that the handle hides, as 'a' and 'a/' do; rename one of them")
    }
}

/// The objects as the store lists them, in order.
fn metas(location: &ObjectLocation, range: &KeyRange) -> Metas {
    let (store, prefix) = (&location.store, &location.prefix);
    let prefix = (!prefix.as_ref().is_empty()).then(|| prefix.clone());
    if !location.traits.list_ordered {
        return walk(store.clone(), prefix.unwrap_or_default());
    }
    match range.after.as_deref() {
        Some(after) if location.traits.list_from => {
            match Path::parse(format!("{}{after}", below(&location.prefix))) {
                Ok(offset) => store.list_with_offset(prefix.as_ref(), &offset),
                Err(_) => store.list(prefix.as_ref()),
            }
        }
        _ => store.list(prefix.as_ref()),
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
    let folders = listed.common_prefixes.into_iter().map(|path| (format!("{path}/"), Node::Folder(path)));
    let objects = listed.objects.into_iter();
    let objects = objects.map(|meta| (meta.location.to_string(), Node::Object(meta)));
    let mut nodes: Vec<_> = folders.chain(objects).collect();
    nodes.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
    nodes.into_iter().map(|(_, node)| node).collect()
}
