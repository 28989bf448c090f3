//! The table of everything that a simulated cloud holds, with the indexes that keep each call cheap.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map},
    ops::Bound,
    time::Duration,
};

use cloud_core::{
    ClientToken, Error, ErrorKind, ListQuery, Page, PageRequest, PageToken, Region, ResourceId,
    ResourceKind, ResourceStatus, Result, Scope,
};
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, rngs::StdRng};
use tokio::time::Instant;

use super::{
    billing::PriceBook,
    config::{NO_TIME, Span, quota_name},
    entry::{CallRecord, Common, Draft, Entry, Request},
    faults::Faults,
    views::{AnyView, StoredView},
};

/// Everything that a simulated cloud holds.
#[derive(Debug)]
pub(super) struct State {
    pub(super) origin: Instant,
    start: Timestamp,
    pub(super) rng: StdRng,
    pub(super) faults: Faults,
    pub(super) prices: PriceBook,
    pub(super) samples: super::metrics::Samples,
    entries: BTreeMap<u64, Entry>,
    next: u64,
    by_kind: HashMap<ResourceKind, BTreeSet<u64>>,
    by_name: HashMap<String, BTreeSet<u64>>,
    by_tag: HashMap<(String, String), BTreeSet<u64>>,
    /// The living resource that each token made.
    by_token: HashMap<ClientToken, u64>,
    /// Everything that each token ever made.
    made: HashMap<ClientToken, Vec<ResourceId>>,
    pub(super) duplicates: BTreeSet<ClientToken>,
    /// Who depends on what.
    users: HashMap<u64, BTreeSet<u64>>,
    /// The addresses of the networks of each region, where overlaps are refused.
    pub(super) blocks: BTreeMap<(Region, std::net::IpAddr), IpNet>,
    used: HashMap<(Region, &'static str), u64>,
    pub(super) limits: Vec<(String, Option<Region>, u64)>,
    leaving: BTreeSet<(Instant, u64)>,
    pub(super) provisioning: BTreeMap<ResourceKind, Span>,
    pub(super) deletion: BTreeMap<ResourceKind, Span>,
    pub(super) window: Duration,
    pub(super) stale_gets: bool,
    pub(super) idempotent: bool,
    pub(super) max_page: u32,
    pub(super) calls: BTreeMap<&'static str, u64>,
    pub(super) trace: Option<Vec<CallRecord>>,
}

impl State {
    pub(super) fn new(builder: &super::SimBuilder, rng: StdRng, prices: PriceBook) -> Self {
        Self {
            origin: Instant::now(),
            start: builder.start,
            rng,
            faults: Faults::default(),
            prices,
            samples: super::metrics::Samples::default(),
            entries: BTreeMap::new(),
            next: 1,
            by_kind: HashMap::new(),
            by_name: HashMap::new(),
            by_tag: HashMap::new(),
            by_token: HashMap::new(),
            made: HashMap::new(),
            duplicates: BTreeSet::new(),
            users: HashMap::new(),
            blocks: BTreeMap::new(),
            used: HashMap::new(),
            limits: builder.quotas.clone(),
            leaving: BTreeSet::new(),
            provisioning: builder.provisioning.clone(),
            deletion: builder.deletion.clone(),
            window: builder.window,
            stale_gets: builder.stale_gets,
            idempotent: builder.idempotent,
            max_page: builder.capabilities.max_page_size,
            calls: BTreeMap::new(),
            trace: builder.traced.then(Vec::new),
        }
    }

    /// What the wall clock of this cloud shows.
    pub(super) fn timestamp(&self, now: Instant) -> Timestamp {
        let elapsed = now.saturating_duration_since(self.origin);
        SignedDuration::try_from(elapsed)
            .ok()
            .and_then(|elapsed| self.start.checked_add(elapsed).ok())
            .unwrap_or(Timestamp::MAX)
    }

    /// A random time in the span. A span of one value costs no random number.
    pub(super) fn draw(&mut self, span: &Span) -> Duration {
        let width = span.end().saturating_sub(*span.start());
        if width.is_zero() {
            return *span.start();
        }
        *span.start() + width.mul_f64(self.rng.random())
    }

    fn lag(&mut self) -> Duration {
        let window = Duration::ZERO..=self.window;
        self.draw(&window)
    }

    /// Forgets what is gone and no longer listed.
    pub(super) fn sweep(&mut self, now: Instant) {
        while let Some((at, seq)) = self.leaving.first().copied().filter(|(at, _)| *at <= now) {
            self.leaving.remove(&(at, seq));
            let Some(entry) = self.entries.remove(&seq) else {
                continue;
            };
            let view = &entry.view;
            drop_from(&mut self.by_kind, view.id().kind, seq);
            drop_from(&mut self.by_name, view.name().to_owned(), seq);
            for (key, value) in view.tags() {
                drop_from(&mut self.by_tag, (key.clone(), value.clone()), seq);
            }
        }
    }

    /// Creates a resource, or finds what the token made before.
    pub(super) fn create<S, V>(
        &mut self,
        now: Instant,
        request: &Request<'_, S>,
        make: impl FnOnce(&mut Self, Common) -> Result<Draft<V>>,
    ) -> Result<V>
    where
        S: PartialEq + Clone + Send + 'static,
        V: StoredView,
    {
        let earlier = self.by_token.get(request.token).copied();
        if let Some(entry) =
            earlier.filter(|_| self.idempotent).and_then(|seq| self.entries.get(&seq))
        {
            if entry.view.id().kind == V::KIND
                && entry.spec.downcast_ref::<S>() == Some(request.spec)
            {
                return entry.view(now).typed();
            }
            let message =
                format!("the client token was used for {} with another request", entry.view.id());
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        if request.unique
            && let Some(other) = self.named(V::KIND, request.region, request.name, now)
        {
            let message = format!("{other} is already named '{}'", request.name);
            return Err(Error::new(ErrorKind::AlreadyExists, message).with_resource(request.name));
        }
        let seq = self.next;
        let native = format!("{}-{seq:08x}", V::KIND);
        let common = Common {
            id: ResourceId::new(V::KIND, request.region.clone(), native)?,
            name: request.name.to_owned(),
            tags: request.tags.clone(),
            created_at: Some(self.timestamp(now)),
        };
        self.check_quota(quota_name(V::KIND), 1, request.region)?;
        self.check_quota(Some(cloud_core::Quota::VCPU), request.vcpu, request.region)?;
        let depends = request
            .needs
            .iter()
            .map(|id| self.find(id, now).map(|(seq, _)| seq))
            .collect::<Result<Vec<_>>>()?;
        // Last of what can fail, because it may claim something.
        let draft = make(self, common)?;

        self.next += 1;
        let takes = self.provisioning.get(&V::KIND).cloned().unwrap_or(NO_TIME);
        let ready_at = now + self.draw(&takes);
        let shown_at = now + self.lag();
        let dies_at = if draft.mortal { self.faults.death(now, &mut self.rng) } else { None };
        let entry = Entry {
            view: draft.view.wrap(),
            extra: draft.extra,
            token: request.token.clone(),
            spec: Box::new(request.spec.clone()),
            depends,
            ready_at,
            shown_at,
            gone_at: None,
            dies_at,
            failed: None,
            stopped: false,
            vcpu: request.vcpu,
        };
        let answer = entry.view(now).typed();
        let made = self.made.get(request.token).into_iter().flatten();
        let repeated =
            made.flat_map(|id| self.find(id, now)).any(|(_, entry)| entry.gone_at.is_none());
        self.index(seq, entry, repeated);
        answer
    }

    fn index(&mut self, seq: u64, entry: Entry, repeated: bool) {
        let id = entry.view.id();
        for (key, value) in entry.view.tags() {
            self.by_tag.entry((key.clone(), value.clone())).or_default().insert(seq);
        }
        self.by_kind.entry(id.kind).or_default().insert(seq);
        self.by_name.entry(entry.view.name().to_owned()).or_default().insert(seq);
        for needed in &entry.depends {
            self.users.entry(*needed).or_default().insert(seq);
        }
        for (name, amount) in
            [(quota_name(id.kind), 1), (Some(cloud_core::Quota::VCPU), entry.vcpu)]
        {
            if let Some(name) = name.filter(|_| amount > 0) {
                *self.used.entry((id.region.clone(), name)).or_default() += amount;
            }
        }
        self.made.entry(entry.token.clone()).or_default().push(id.clone());
        if repeated {
            self.duplicates.insert(entry.token.clone());
        }
        self.by_token.insert(entry.token.clone(), seq);
        self.entries.insert(seq, entry);
    }

    fn named(
        &self,
        kind: ResourceKind,
        region: &Region,
        name: &str,
        now: Instant,
    ) -> Option<ResourceId> {
        self.by_name.get(name)?.iter().find_map(|seq| {
            let entry = self.entries.get(seq)?;
            let id = entry.view.id();
            let same = id.kind == kind && id.region == *region;
            (same && entry.status(now) != ResourceStatus::Deleted).then(|| id.clone())
        })
    }

    fn check_quota(&self, counted: Option<&str>, wanted: u64, region: &Region) -> Result<()> {
        for (name, place, limit) in &self.limits {
            let applies = wanted > 0
                && counted == Some(name)
                && place.as_ref().is_none_or(|place| place == region);
            let used = if applies { self.used(name, place.as_ref()) } else { 0 };
            if applies && used.saturating_add(wanted) > *limit {
                let message =
                    format!("{used} of {limit} {name} are in use and {wanted} more are asked for");
                let scope = if place.is_some() { Scope::Region } else { Scope::Account };
                return Err(Error::new(ErrorKind::QuotaExceeded, message).with_scope(scope));
            }
        }
        Ok(())
    }

    /// How much of a quota is in use, in a region or in all.
    pub(super) fn used(&self, name: &str, region: Option<&Region>) -> u64 {
        let counted = self.used.iter().filter(|((place, counted), _)| {
            *counted == name && region.is_none_or(|region| region == place)
        });
        counted.map(|(_, amount)| amount).sum()
    }

    /// A resource that exists, and its number.
    pub(super) fn find(&self, id: &ResourceId, now: Instant) -> Result<(u64, &Entry)> {
        let number =
            id.native().rsplit_once('-').and_then(|(_, hex)| u64::from_str_radix(hex, 16).ok());
        let found = number.and_then(|seq| Some((seq, self.entries.get(&seq)?)));
        found
            .filter(|(_, entry)| {
                entry.view.id() == id && entry.status(now) != ResourceStatus::Deleted
            })
            .ok_or_else(|| Error::not_found(id))
    }

    pub(super) fn find_mut(&mut self, id: &ResourceId, now: Instant) -> Result<&mut Entry> {
        let (seq, _) = self.find(id, now)?;
        self.entries.get_mut(&seq).ok_or_else(|| Error::not_found(id))
    }

    /// [`find`](Self::find), as a caller from outside sees it.
    pub(super) fn get(&self, id: &ResourceId, now: Instant) -> Result<AnyView> {
        let (_, entry) = self.find(id, now)?;
        if self.stale_gets && entry.shown_at > now {
            return Err(Error::not_found(id));
        }
        Ok(entry.view(now))
    }

    /// What is in service; `Conflict` if it is not ready.
    pub(super) fn ready(&mut self, id: &ResourceId, now: Instant) -> Result<&mut Entry> {
        let entry = self.find_mut(id, now)?;
        match entry.status(now) {
            ResourceStatus::Running => Ok(entry),
            status => {
                let message = format!("{id} is {status}, not running");
                Err(Error::new(ErrorKind::Conflict, message).with_resource(id.to_string()))
            }
        }
    }

    /// One page of what matches, in the order of creation. A page token is the number of the last item before it, so
    /// that what comes and goes meanwhile moves nothing else.
    pub(super) fn list<T>(
        &self,
        wants: impl Fn(ResourceKind) -> bool,
        only: Option<ResourceKind>,
        query: &ListQuery,
        page: &PageRequest,
        now: Instant,
        mut show: impl FnMut(AnyView) -> Result<T>,
    ) -> Result<Page<T>> {
        let size = self.page_size(page)?;
        let after = match &page.after {
            None => 0,
            Some(token) => token.as_str().parse::<u64>().map_err(|_| {
                Error::invalid(
                    "page token",
                    format_args!("is '{token}'"),
                    "what the page before said",
                )
            })?,
        };
        let mut items = Vec::new();
        let mut last = after;
        for seq in self.candidates(only, query, after) {
            let Some(entry) = self.entries.get(&seq) else {
                continue;
            };
            let id = entry.view.id();
            let matches = entry.shown_at <= now
                && wants(id.kind)
                && query.region.as_ref().is_none_or(|r| *r == id.region)
                && query.matches(entry.view.name(), entry.view.tags());
            if !matches {
                continue;
            }
            if items.len() == size {
                let next = Some(PageToken::new(last.to_string())?);
                return Ok(Page { items, next });
            }
            items.push(show(entry.view(now))?);
            last = seq;
        }
        Ok(Page::last(items))
    }

    pub(super) fn page_size(&self, page: &PageRequest) -> Result<usize> {
        match page.size {
            Some(0) => Err(Error::invalid("page size", "is 0", "1 or more")),
            size => Ok(size.unwrap_or(self.max_page).min(self.max_page) as usize),
        }
    }

    /// The shortest index that has all that can match, from there on.
    fn candidates(
        &self,
        only: Option<ResourceKind>,
        query: &ListQuery,
        after: u64,
    ) -> Box<dyn Iterator<Item = u64> + '_> {
        static NOTHING: BTreeSet<u64> = BTreeSet::new();
        let tags = query.tags.iter().map(|(k, v)| self.by_tag.get(&(k.clone(), v.clone())));
        let name = query.name.as_ref().map(|name| self.by_name.get(name));
        let kind = only.map(|kind| self.by_kind.get(&kind));
        let shortest = tags
            .chain(name)
            .chain(kind)
            .map(|set| set.unwrap_or(&NOTHING))
            .min_by_key(|set| set.len());
        let range = (Bound::Excluded(after), Bound::Unbounded);
        match shortest {
            Some(set) => Box::new(set.range(range).copied()),
            None => Box::new(self.entries.range(range).map(|(seq, _)| *seq)),
        }
    }

    /// Deletes a resource; `false` if it is gone or going.
    pub(super) fn delete(&mut self, id: &ResourceId, now: Instant) -> Result<bool> {
        let Ok((seq, entry)) = self.find(id, now) else {
            return Ok(false);
        };
        if entry.gone_at.is_some() {
            return Ok(false);
        }
        if let Some(user) = self
            .users
            .get(&seq)
            .and_then(|users| users.first())
            .and_then(|user| self.entries.get(user))
        {
            let message = format!("{id} is in use by {}", user.view.id());
            return Err(Error::new(ErrorKind::Conflict, message).with_resource(id.to_string()));
        }
        let takes = self.deletion.get(&id.kind).cloned().unwrap_or(NO_TIME);
        let gone_at = now + self.draw(&takes);
        let hidden_at = gone_at + self.lag();
        self.leaving.insert((hidden_at, seq));
        self.release(seq, gone_at);
        self.sweep(now);
        Ok(true)
    }

    /// Gives back what a resource that is being deleted held of others.
    fn release(&mut self, seq: u64, gone_at: Instant) {
        let Some(entry) = self.entries.get_mut(&seq) else {
            return;
        };
        entry.gone_at = Some(gone_at);
        let id = entry.view.id();
        for needed in entry.depends.drain(..) {
            drop_from(&mut self.users, needed, seq);
        }
        for (name, amount) in
            [(quota_name(id.kind), 1), (Some(cloud_core::Quota::VCPU), entry.vcpu)]
        {
            if let Some(used) = name.and_then(|name| self.used.get_mut(&(id.region.clone(), name)))
            {
                *used = used.saturating_sub(amount);
            }
        }
        if let AnyView::Network(network) = &entry.view {
            self.blocks.remove(&(id.region.clone(), network.cidr.addr()));
        }
        if let hash_map::Entry::Occupied(living) = self.by_token.entry(entry.token.clone())
            && *living.get() == seq
        {
            living.remove();
        }
    }

    /// Ends what a resource needs of another: a promoted replica, its primary.
    pub(super) fn independent(&mut self, id: &ResourceId, now: Instant) -> Result<()> {
        let (seq, _) = self.find(id, now)?;
        if let Some(entry) = self.entries.get_mut(&seq) {
            for needed in entry.depends.drain(..) {
                drop_from(&mut self.users, needed, seq);
            }
        }
        Ok(())
    }

    /// Lets every living instance die that the test picks.
    pub(super) fn kill(
        &mut self,
        now: Instant,
        reason: &str,
        picks: impl Fn(&cloud_core::Instance) -> bool,
    ) {
        for entry in self.entries.values_mut() {
            let alive = entry.gone_at.is_none() && entry.failed.is_none();
            if let AnyView::Instance(instance) = &entry.view
                && alive
                && entry.status(now) != ResourceStatus::Failed
                && picks(instance)
            {
                entry.failed = Some(reason.to_owned());
            }
        }
    }

    /// Everything that exists and is not on its way out.
    pub(super) fn living(&self, now: Instant) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(move |entry| !entry.status(now).is_gone())
    }

    pub(super) fn made(&self, token: &ClientToken) -> &[ResourceId] {
        self.made.get(token).map_or(&[], Vec::as_slice)
    }

    /// Whether a resource of this id was ever there.
    pub(super) fn ever_was(&self, id: &ResourceId) -> bool {
        let number =
            id.native().rsplit_once('-').and_then(|(_, hex)| u64::from_str_radix(hex, 16).ok());
        number.is_some_and(|seq| seq > 0 && seq < self.next)
    }

    /// The number that the next resource gets.
    pub(super) fn next_number(&self) -> u64 {
        self.next
    }

    pub(super) fn tokens_made(&self) -> usize {
        self.made.len()
    }
}

fn drop_from<K: std::hash::Hash + Eq>(index: &mut HashMap<K, BTreeSet<u64>>, key: K, seq: u64) {
    if let hash_map::Entry::Occupied(mut set) = index.entry(key) {
        set.get_mut().remove(&seq);
        if set.get().is_empty() {
            set.remove();
        }
    }
}
