//! Source, target and what was agreed last time, walked through side by side in the order of the keys.

use cloud_core::Result;

use super::{
    entry::{Agreed, Entry},
    listing::Ordered,
    state::StateReader,
};

/// One key and what is there under it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) source: Option<Entry>,
    pub(super) target: Option<Entry>,
    pub(super) agreed: Option<Agreed>,
}

impl Item {
    pub(super) fn key(&self) -> &str {
        let side = self.source.as_ref().or(self.target.as_ref()).map(|entry| &*entry.key);
        side.or(self.agreed.as_ref().map(|agreed| &*agreed.key)).unwrap_or_default()
    }
}

/// The three streams and the head of each.
#[derive(Debug)]
pub(super) struct Merge {
    source: Head<Ordered, Entry>,
    target: Head<Ordered, Entry>,
    agreed: Head<StateReader, Agreed>,
}

#[derive(Debug)]
struct Head<S, T> {
    stream: S,
    item: Option<T>,
    ended: bool,
}

impl<S, T> Head<S, T> {
    fn new(stream: S) -> Self {
        Self { stream, item: None, ended: false }
    }
}

/// Fills the head of a stream. If the future is dropped, nothing was taken from the stream.
macro_rules! fill {
    ($head:expr) => {
        if $head.item.is_none() && !$head.ended {
            $head.item = $head.stream.next().await?;
            $head.ended = $head.item.is_none();
        }
    };
}

impl Merge {
    pub(super) fn new(source: Ordered, target: Ordered, agreed: StateReader) -> Self {
        Self { source: Head::new(source), target: Head::new(target), agreed: Head::new(agreed) }
    }

    /// What is under the next key; `None` only if all three streams ended without an error. Cancellation-safe.
    ///
    /// # Errors
    /// That of a stream. Nothing follows it.
    pub(super) async fn next(&mut self) -> Result<Option<Item>> {
        fill!(self.source);
        fill!(self.target);
        fill!(self.agreed);
        let source = self.source.item.as_ref().map(|entry| &*entry.key);
        let target = self.target.item.as_ref().map(|entry| &*entry.key);
        let agreed = self.agreed.item.as_ref().map(|agreed| &*agreed.key);
        let Some(least) = [source, target, agreed].into_iter().flatten().min() else {
            return Ok(None);
        };
        let has = [source == Some(least), target == Some(least), agreed == Some(least)];
        Ok(Some(Item {
            source: self.source.item.take_if(|_| has[0]),
            target: self.target.item.take_if(|_| has[1]),
            agreed: self.agreed.item.take_if(|_| has[2]),
        }))
    }
}
