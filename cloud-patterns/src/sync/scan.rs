//! Compares both sides key by key and hands out what is to be done, window by window.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
};

use cloud_core::{ClockSkew, Result};
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{
    conflict_name::conflict_name,
    decide::{Action, Clocks, Decision, Rules, Sides, decide},
    entry::{Agreed, Entry, Seen},
    filter::Filter,
    merge::{Item, Merge},
    report::{Named, SideTotal},
};

/// Most keys in a window.
const WINDOW: usize = 1000;

/// An object to be copied.
#[derive(Debug)]
pub(super) struct Work {
    /// Its place among the window's slots.
    pub(super) slot: usize,
    pub(super) entry: Entry,
    /// From target to source.
    pub(super) back: bool,
    /// What is at the other side now, which is to be overwritten.
    pub(super) over: Option<Entry>,
    /// First the target's object is kept under this name.
    pub(super) keep_as: Option<String>,
}

/// What is known of a key before or after the work on it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) agreed: Option<Agreed>,
}

/// Consecutive keys.
#[derive(Debug)]
pub(super) struct Window {
    /// The last of its keys.
    pub(super) through: String,
    pub(super) slots: Vec<Slot>,
    pub(super) work: Vec<Work>,
    /// Whether what is agreed on changes even without the work.
    pub(super) changed: bool,
    pub(super) decided: Vec<(Box<str>, Decision, u64)>,
    pub(super) refused: Named,
    pub(super) keys: u64,
    pub(super) unchanged: u64,
    pub(super) filtered: u64,
}

/// An object that is to be deleted once everything was listed.
#[derive(Debug)]
pub(super) struct Doomed {
    pub(super) entry: Entry,
    pub(super) at_source: bool,
}

/// What a scan comes to when both listings ended without an error; nothing else makes one. Deletions need it.
#[derive(Debug)]
pub(super) struct CompleteScan {
    pub(super) doomed: Vec<Doomed>,
    /// Of these there were more than are kept.
    pub(super) doomed_count: [u64; 2],
    pub(super) source: SideTotal,
    pub(super) target: SideTotal,
    _only_here: (),
}

#[derive(Debug)]
pub(super) enum Scanned {
    Window(Window),
    End(CompleteScan),
}

/// What a scan goes by.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) rules: Rules,
    /// Of source and target. They are measured when a store first answers, so not before the listings are under way.
    pub(super) clocks: [ClockSkew; 2],
    pub(super) filter: Filter,
    pub(super) now: Timestamp,
    /// Names at the target are not those of the source: what was agreed tells what is there.
    pub(super) renamed: bool,
    /// A folder of the target that takes no part.
    pub(super) trash: Option<String>,
    /// Keys that differ only in case are one object at the target.
    pub(super) ignores_case: bool,
    /// More deletions than these are only counted: they will be refused.
    pub(super) max_deletions: u64,
    /// Whether decisions other than those that the report needs are to be told.
    pub(super) tell: bool,
}

impl Scan {
    /// Goes through all keys. Ends early if nobody listens any more.
    ///
    /// # Errors
    /// What a listing or the state came to. What was handed out before it stays right.
    pub(super) async fn run(mut self, mut merge: Merge, to: mpsc::Sender<Result<Scanned>>) {
        let mut end = CompleteScan {
            doomed: Vec::new(),
            doomed_count: [0; 2],
            source: SideTotal::default(),
            target: SideTotal::default(),
            _only_here: (),
        };
        let mut cases = self.ignores_case.then(Cases::default);
        loop {
            let mut window = Window::new();
            let ended = loop {
                match merge.next().await {
                    Ok(Some(item)) => self.take(item, &mut window, &mut end, cases.as_mut()),
                    Ok(None) => break true,
                    Err(error) => {
                        let _ = to.send(Err(error)).await;
                        return;
                    }
                }
                if window.keys as usize >= WINDOW {
                    break false;
                }
            };
            if window.keys > 0 && to.send(Ok(Scanned::Window(window))).await.is_err() {
                return;
            }
            if ended {
                let _ = to.send(Ok(Scanned::End(end))).await;
                return;
            }
        }
    }

    fn take(
        &mut self,
        mut item: Item,
        window: &mut Window,
        end: &mut CompleteScan,
        cases: Option<&mut Cases>,
    ) {
        if window.keys == 0 {
            let [source_ahead, target_ahead] = self.clocks.each_ref().map(ClockSkew::get);
            self.rules.clocks = Clocks { source_ahead, target_ahead };
        }
        window.keys += 1;
        window.through.clear();
        window.through.push_str(item.key());
        if self.trash.as_deref().is_some_and(|trash| item.key().starts_with(trash)) {
            return;
        }
        if self.renamed {
            item.target = item.agreed.as_ref().map(expected);
        }
        for (side, total) in [(&item.source, &mut end.source), (&item.target, &mut end.target)] {
            if let Some(entry) = side {
                total.objects += 1;
                total.bytes = total.bytes.saturating_add(entry.size);
            }
        }
        if self.filter.admits_key(item.key()).is_err() {
            return window.leave_out(item);
        }
        let decision = decide(
            &Sides {
                source: item.source.as_ref(),
                target: item.target.as_ref(),
                agreed: item.agreed.as_ref(),
            },
            &self.rules,
        );
        // Size and age are those of the object that something is to be done about.
        let concerned = match decision.action {
            Action::CopyToTarget | Action::KeepBoth | Action::DeleteSource => &item.source,
            Action::CopyToSource | Action::DeleteTarget => &item.target,
            Action::Nothing | Action::Record | Action::Forget | Action::Report => &None,
        };
        let admits = |e: &Entry| self.filter.admits(&e.key, e.size, e.modified, self.now).is_ok();
        if !concerned.as_ref().is_none_or(admits) {
            return window.leave_out(item);
        }
        let clash = cases.is_some_and(|cases| cases.clash(item.key()));
        if clash && matches!(decision.action, Action::CopyToTarget | Action::KeepBoth) {
            let why = "the target already has a key that differs from it only in case";
            window.refused.add(item.key(), why);
            window.slots.push(Slot { agreed: item.agreed });
            return;
        }
        self.act(item, decision, window, end);
    }

    fn act(&self, item: Item, decision: Decision, window: &mut Window, end: &mut CompleteScan) {
        let Item { source, target, agreed } = item;
        let told = match decision.action {
            Action::Nothing | Action::Record | Action::Forget => false,
            Action::Report => true,
            _ => self.tell,
        };
        if told {
            let entry = source.as_ref().or(target.as_ref());
            let moved = match decision.action {
                Action::CopyToTarget | Action::KeepBoth => source.as_ref().map_or(0, |e| e.size),
                Action::CopyToSource => target.as_ref().map_or(0, |e| e.size),
                _ => 0,
            };
            window.decided.extend(entry.map(|entry| (entry.key.clone(), decision, moved)));
        }
        let slot = window.slots.len();
        match (decision.action, source, target) {
            (Action::Record, Some(source), Some(target)) => {
                window.unchanged += 1;
                window.changed = true;
                let (seen, there) = (Seen::from(&source), Seen::from(&target));
                window.slots.push(Slot {
                    agreed: Some(Agreed { key: source.key, source: seen, target: there }),
                });
            }
            (Action::CopyToTarget, Some(entry), over) => {
                window.work.push(Work { slot, entry, back: false, over, keep_as: None });
                window.slots.push(Slot { agreed });
            }
            (Action::KeepBoth, Some(entry), Some(over)) => {
                let keep_as = Some(conflict_name(&over.key, over.modified));
                window.work.push(Work { slot, entry, back: false, over: Some(over), keep_as });
                window.slots.push(Slot { agreed });
            }
            (Action::CopyToSource, over, Some(entry)) => {
                window.work.push(Work { slot, entry, back: true, over, keep_as: None });
                window.slots.push(Slot { agreed });
            }
            (Action::DeleteTarget, _, Some(entry)) => {
                end.doom(entry, false, self.max_deletions);
                window.slots.push(Slot { agreed });
            }
            (Action::DeleteSource, Some(entry), _) => {
                end.doom(entry, true, self.max_deletions);
                window.slots.push(Slot { agreed });
            }
            (Action::Forget, ..) => window.changed = true,
            (_, source, target) => {
                window.unchanged += u64::from(source.is_some() && target.is_some());
                window.slots.push(Slot { agreed });
            }
        }
    }
}

/// The target's side of what was agreed, as if it had been listed.
fn expected(agreed: &Agreed) -> Entry {
    let Seen { size, modified, tag } = agreed.target.clone();
    Entry { key: agreed.key.clone(), size, modified, tag }
}

impl CompleteScan {
    fn doom(&mut self, entry: Entry, at_source: bool, most: u64) {
        let count = &mut self.doomed_count[usize::from(at_source)];
        *count += 1;
        if *count <= most {
            self.doomed.push(Doomed { entry, at_source });
        }
    }
}

impl Window {
    /// The filter leaves it out: what is known of it stays.
    fn leave_out(&mut self, item: Item) {
        self.filtered += 1;
        self.slots.push(Slot { agreed: item.agreed });
    }

    fn new() -> Self {
        Self {
            through: String::new(),
            slots: Vec::new(),
            work: Vec::new(),
            changed: false,
            decided: Vec::new(),
            refused: Named::default(),
            keys: 0,
            unchanged: 0,
            filtered: 0,
        }
    }
}

/// The keys of a run without their case, as hashes: 8 bytes for each key of a target that ignores case.
#[derive(Debug, Default)]
struct Cases {
    hasher: RandomState,
    seen: HashSet<u64>,
}

impl Cases {
    /// Whether another key was the same but for case.
    fn clash(&mut self, key: &str) -> bool {
        !self.seen.insert(self.hasher.hash_one(key.to_lowercase()))
    }
}
