//! Why there is no placement: a minimal set of requirements that cannot be met together, in words.
//!
//! Looked for from near to far: in one component, in components that go along with each other, in two that send to each other, in all
//! that are related, and last in everything with the quotas and the budget.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    fmt,
};

use cloud_core::{Error, ErrorKind, Result};

use super::{
    Request,
    clash::{Verdict, minimal},
    demand::Ways,
    draft::{Choice, Constraint},
    filter::{Bits, words},
    model::Model,
    solve::{self, Outcome, SolveOptions},
};
use crate::workload::{Within, spec::Typed};

/// Requirements that cannot be met together. None of them can be left out: without it, the rest can be met; unless it says
/// that this could not be proven.
///
/// ```
/// use cloud_patterns::place::Clash;
/// fn show(error: &cloud_core::Error) {
///     let source = std::error::Error::source(error);
///     if let Some(clash) = source.and_then(|source| source.downcast_ref::<Clash>()) {
///         clash.requirements.iter().for_each(|requirement| println!("{requirement}"));
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// The requirements, in words: `web: residency EU`, `quota vcpu of aws/eu-1: 32`.
    pub requirements: Vec<String>,
    /// The components that they concern.
    pub components: Vec<String>,
    /// Whether it is proven that none can be left out.
    pub minimal: bool,
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.requirements.join("; ");
        match (self.requirements.as_slice(), self.minimal) {
            ([], _) => f.write_str("nothing that could be loosened"),
            ([one], true) => write!(f, "this cannot be met: {one}"),
            (_, true) => write!(f, "these cannot be met together: {all}"),
            (_, false) => {
                write!(f, "these cannot be met together, perhaps without all of them: {all}")
            }
        }
    }
}

impl std::error::Error for Clash {}

/// A clash, and the constraints that it is made of.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) clash: Clash,
    pub(super) constraints: Vec<Constraint>,
    /// For the components that clash: each place and the reason against it.
    places: Vec<String>,
}

/// How much work goes into one question to the solver, and how many are asked to make a clash smaller.
const WORK: u64 = 200_000;
const QUESTIONS: u32 = 400;

/// Finds the clash of a model that has no placement.
pub(super) fn explain(model: &Model<'_>, request: &Request<'_>) -> Result<Found> {
    let search = Search::new(model, request);
    let constraints = match search.alone() {
        Some(found) => found?,
        None => search.together()?,
    };
    search.found(constraints)
}

/// Constraints that clash, and whether it is proven that each is needed.
type Needed = (Vec<Constraint>, bool);

struct Search<'m, 'a> {
    model: &'m Model<'a>,
    request: &'m Request<'a>,
    /// The ways of each part if no policy spoke.
    unpoliced: HashMap<u32, Ways>,
    asked: Cell<u32>,
}

impl<'m, 'a> Search<'m, 'a> {
    fn new(model: &'m Model<'a>, request: &'m Request<'a>) -> Self {
        let mut unpoliced = HashMap::new();
        if !model.policies.is_empty() {
            for part in &model.parts[..model.wanted] {
                let spec = &model.specs[part.spec as usize];
                unpoliced
                    .entry(part.ways)
                    .or_insert_with(|| model.fitter().ways(&part.demand, spec, None));
            }
        }
        Self { model, request, unpoliced, asked: Cell::new(0) }
    }

    /// The constraints of one part alone.
    fn own(&self, part: u32) -> Vec<Constraint> {
        let row = &self.model.parts[part as usize];
        let filters = 0..row.filters.len() as u32;
        let mut own: Vec<_> = filters.map(|nth| Constraint::Filter { part, nth }).collect();
        own.extend(row.able.as_ref().map(|_| Constraint::Able(part)));
        own.push(Constraint::Fit(part));
        if row.items.len() > 1 {
            own.push(Constraint::Spread(part));
        }
        own
    }

    /// The first part that has no place by itself.
    fn alone(&self) -> Option<Result<Needed>> {
        let model = self.model;
        let lonely = (0..model.wanted as u32).find(|p| {
            let part = &model.parts[*p as usize];
            part.mask.iter().all(|s| model.ways[part.ways as usize].at(s).is_empty())
        })?;
        let mut members = self.own(lonely);
        if !self.unpoliced.is_empty() {
            members.push(Constraint::Policies);
        }
        Some(self.reduce(&members, &|active| Ok(self.has_place(lonely, active))))
    }

    /// Whether a part has a place by itself.
    fn has_place(&self, p: u32, active: &[Constraint]) -> Verdict {
        let model = self.model;
        let part = &model.parts[p as usize];
        let holds = |constraint| active.contains(&constraint);
        let mask = model.mask(p, part, &Choice { holds: Some(&holds), ..Choice::ALL });
        let ways = match holds(Constraint::Policies) {
            true => &model.ways[part.ways as usize],
            false => self.unpoliced.get(&part.ways).unwrap_or(&model.ways[part.ways as usize]),
        };
        let fit = holds(Constraint::Fit(p));
        match mask.iter().any(|s| !fit || !ways.at(s).is_empty()) {
            true => Verdict::Feasible,
            false => Verdict::Infeasible,
        }
    }

    /// Components that each have a place, but not together.
    fn together(&self) -> Result<Needed> {
        let model = self.model;
        for (parts, relations) in self.small_groups() {
            if let Some(found) = self.try_parts(&parts, relations)? {
                return Ok(found);
            }
        }
        for (parts, relations) in self.related() {
            if let Some(found) = self.try_parts(&parts, relations)? {
                return Ok(found);
            }
        }
        let parts: Vec<u32> = (0..model.parts.len() as u32).collect();
        let mut relations = self.relations_within(&|_| true);
        relations.extend((0..model.sites.limits.len() as u32).map(Constraint::Limit));
        relations.extend(model.max_share.map(|_| Constraint::MaxShare));
        relations.extend(model.budget.map(|_| Constraint::Budget));
        if !model.policies.is_empty() {
            relations.push(Constraint::Policies);
        }
        let members = self.members(&parts, relations);
        self.reduce(&members, &|active| self.ask(None, active))
    }

    /// Whoever goes along with each other, and pairs that send to each other or keep apart: the smallest groups first.
    fn small_groups(&self) -> Vec<(Vec<u32>, Vec<Constraint>)> {
        let model = self.model;
        let mut groups = Vec::new();
        for company in self.connected(&|c| matches!(c, Constraint::Tie(_))) {
            let masks = company.iter().map(|p| &model.parts[*p as usize].mask);
            let mut common = Bits::all(model.sites.sites.len());
            masks.for_each(|mask| common.keep(mask));
            let ties = self.relations_within(&|p| company.contains(&p));
            let ties: Vec<_> =
                ties.into_iter().filter(|c| matches!(c, Constraint::Tie(_))).collect();
            let near = ties.iter().all(|tie| match tie {
                Constraint::Tie(t) => model.ties[*t as usize].within == Within::Region,
                _ => false,
            });
            // Those that share a region somewhere are not worth a question.
            if !near
                || common.iter().all(|s| {
                    company.iter().any(|p| {
                        let part = &model.parts[*p as usize];
                        part.ways != u32::MAX && model.ways[part.ways as usize].at(s).is_empty()
                    })
                })
            {
                groups.push((company, ties));
            }
        }
        for (f, flow) in model.flows.iter().enumerate() {
            let f = f as u32;
            let apart = flow.max_ms.is_some() || flow.gib > 0.0;
            if apart && !self.share_a_site(flow.from, flow.to) {
                let both = vec![Constraint::FlowLatency(f), Constraint::FlowPrice(f)];
                groups.push((vec![flow.from, flow.to], both));
            }
        }
        for (n, apart) in model.apart.iter().enumerate() {
            let few = |p: u32| model.parts[p as usize].mask.iter().take(65).count() <= 64;
            if few(apart.a) && few(apart.b) && model.apart.len() <= 1000 {
                groups.push((vec![apart.a, apart.b], vec![Constraint::Apart(n as u32)]));
            }
        }
        groups
    }

    /// Whether two parts may be in one region, where traffic costs and takes next to nothing.
    fn share_a_site(&self, a: u32, b: u32) -> bool {
        let mut common = self.model.parts[a as usize].mask.clone();
        common.keep(&self.model.parts[b as usize].mask);
        !common.is_empty()
    }

    /// The parts that are related, group by group, with their relations.
    fn related(&self) -> Vec<(Vec<u32>, Vec<Constraint>)> {
        let groups = self.connected(&|_| true);
        let with = |group: Vec<u32>| {
            let members: std::collections::HashSet<u32> = group.iter().copied().collect();
            let relations = self.relations_within(&|p| members.contains(&p));
            (group, relations)
        };
        groups.into_iter().map(with).collect()
    }

    /// The relations between parts that pass a test.
    fn relations_within(&self, member: &dyn Fn(u32) -> bool) -> Vec<Constraint> {
        let relations = self.relations();
        let within = relations.into_iter().filter(|(_, a, b)| member(*a) && member(*b));
        within.map(|(constraint, ..)| constraint).collect()
    }

    /// All relations, and the two parts of each.
    fn relations(&self) -> Vec<(Constraint, u32, u32)> {
        let model = self.model;
        let ties = model.ties.iter().enumerate();
        let mut all: Vec<_> =
            ties.map(|(t, tie)| (Constraint::Tie(t as u32), tie.a, tie.b)).collect();
        let apart = model.apart.iter().enumerate();
        all.extend(apart.map(|(n, apart)| (Constraint::Apart(n as u32), apart.a, apart.b)));
        for (f, flow) in model.flows.iter().enumerate() {
            let f = f as u32;
            if flow.max_ms.is_some() {
                all.push((Constraint::FlowLatency(f), flow.from, flow.to));
            }
            if flow.gib > 0.0 {
                all.push((Constraint::FlowPrice(f), flow.from, flow.to));
            }
        }
        all
    }

    /// The groups of at least two parts, or of several items, that relations of a kind connect.
    fn connected(&self, kind: &dyn Fn(Constraint) -> bool) -> Vec<Vec<u32>> {
        let count = self.model.parts.len();
        let mut root: Vec<u32> = (0..count as u32).collect();
        fn find(root: &mut [u32], mut p: u32) -> u32 {
            while root[p as usize] != p {
                root[p as usize] = root[root[p as usize] as usize];
                p = root[p as usize];
            }
            p
        }
        for (constraint, a, b) in self.relations() {
            if kind(constraint) {
                let (a, b) = (find(&mut root, a), find(&mut root, b));
                root[a as usize] = b;
            }
        }
        let mut groups: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for p in 0..count as u32 {
            let root = find(&mut root, p);
            groups.entry(root).or_default().push(p);
        }
        let several = |group: &Vec<u32>| {
            group.len() > 1 || group.iter().any(|p| self.model.parts[*p as usize].items.len() > 1)
        };
        let mut groups: Vec<_> = groups.into_values().filter(several).collect();
        groups.sort_by_key(Vec::len);
        groups
    }

    fn members(&self, parts: &[u32], relations: Vec<Constraint>) -> Vec<Constraint> {
        // What is common comes last: it is then needed only if the rest does not do.
        let own = parts.iter().filter(|p| (**p as usize) < self.model.wanted);
        own.flat_map(|p| self.own(*p)).chain(relations).collect()
    }

    /// The clash within some parts, if there is one.
    fn try_parts(&self, parts: &[u32], mut relations: Vec<Constraint>) -> Result<Option<Needed>> {
        if !self.model.policies.is_empty() {
            relations.push(Constraint::Policies);
        }
        let items = parts.iter().flat_map(|p| self.model.parts[*p as usize].items.clone());
        let items: Vec<u32> = items.collect();
        let members = self.members(parts, relations);
        let oracle = |active: &[Constraint]| self.ask(Some(&items), active);
        if self.solve(Some(&items), &members)? != Verdict::Infeasible {
            return Ok(None);
        }
        self.reduce(&members, &oracle).map(Some)
    }

    /// Asks the solver whether some constraints on some items can be met.
    fn ask(&self, items: Option<&[u32]>, active: &[Constraint]) -> Result<Verdict> {
        match self.asked.replace(self.asked.get() + 1) > QUESTIONS {
            true => Ok(Verdict::Unknown),
            false => self.solve(items, active),
        }
    }

    fn solve(&self, items: Option<&[u32]>, active: &[Constraint]) -> Result<Verdict> {
        let active: std::collections::HashSet<Constraint> = active.iter().copied().collect();
        let holds = |constraint| active.contains(&constraint);
        let weight = 0.0;
        let draft = self.model.draft(&Choice { items, holds: Some(&holds), weight, ceiling: true });
        if draft.problem.items.iter().any(|item| item.options.is_empty()) {
            return Ok(Verdict::Infeasible);
        }
        let options = SolveOptions {
            // Any valid assignment will do.
            gap: f64::INFINITY,
            time: None,
            work: Some(WORK),
            start: None,
            ..self.request.solve.clone()
        };
        Ok(match solve::solve(&draft.problem, &options, &mut |_| {})? {
            Outcome::Solved(_) => Verdict::Feasible,
            Outcome::Infeasible => Verdict::Infeasible,
            Outcome::Unknown { .. } => Verdict::Unknown,
        })
    }

    fn reduce(
        &self,
        members: &[Constraint],
        judge: &dyn Fn(&[Constraint]) -> Result<Verdict>,
    ) -> Result<Needed> {
        let all: Vec<usize> = (0..members.len()).collect();
        let found = minimal(&all, &mut |chosen| {
            let active: Vec<Constraint> = chosen.iter().map(|m| members[*m]).collect();
            judge(&active)
        })?;
        Ok((found.members.into_iter().map(|m| members[m]).collect(), found.minimal))
    }

    /// The clash in words.
    fn found(&self, (constraints, minimal): Needed) -> Result<Found> {
        let model = self.model;
        let mut parts: Vec<u32> = constraints.iter().flat_map(|c| self.concerned(*c)).collect();
        parts.sort_unstable();
        parts.dedup();
        let name = |p: &u32| model.parts[*p as usize].name.to_owned();
        let requirements = constraints.iter().map(|c| self.words(*c)).collect();
        let clash = Clash { requirements, components: parts.iter().map(name).collect(), minimal };
        let blamed = parts.iter().filter(|p| (**p as usize) < model.wanted).take(5);
        let mut places: BTreeMap<String, String> = BTreeMap::new();
        for p in blamed {
            let part = &model.parts[*p as usize];
            let resource_name = &self.request.wanted[*p as usize].resource_name;
            for (s, site) in model.sites.sites.iter().enumerate() {
                if let Some(reason) = model.static_reason(part, resource_name, s) {
                    places.entry(site.place.to_string()).or_insert_with(|| reason.to_string());
                }
            }
        }
        let places = places.into_iter().map(|(place, why)| format!("{place}: {why}")).collect();
        Ok(Found { clash, constraints, places })
    }

    /// The parts that a constraint is on.
    fn concerned(&self, constraint: Constraint) -> Vec<u32> {
        let model = self.model;
        match constraint {
            Constraint::Filter { part, .. }
            | Constraint::Able(part)
            | Constraint::Fit(part)
            | Constraint::Spread(part) => vec![part],
            Constraint::Tie(t) => vec![model.ties[t as usize].a, model.ties[t as usize].b],
            Constraint::Apart(n) => vec![model.apart[n as usize].a, model.apart[n as usize].b],
            Constraint::FlowLatency(f) | Constraint::FlowPrice(f) => {
                vec![model.flows[f as usize].from, model.flows[f as usize].to]
            }
            _ => Vec::new(),
        }
    }

    fn words(&self, constraint: Constraint) -> String {
        let model = self.model;
        let name = |p: u32| model.parts[p as usize].name;
        match constraint {
            Constraint::Filter { part, nth } => {
                let filter = model.parts[part as usize].filters[nth as usize];
                let said = words(&model.filters[filter as usize].0, &model.sites.targets);
                format!("{}: {said}", name(part))
            }
            Constraint::Able(part) => format!("{}: what the clouds can do", name(part)),
            Constraint::Fit(part) => format!("{}: {}", name(part), self.demand(part)),
            Constraint::Spread(part) => {
                let row = &model.parts[part as usize];
                let spread = row.component.requirements.spread;
                let said = spread.map_or(String::new(), |spread| {
                    format!("at most {} of {} in one", spread.at_most, spread.across)
                });
                format!("{}: {} replicas, spread: {said}", name(part), row.replicas)
            }
            Constraint::Tie(t) => {
                let tie = &model.ties[t as usize];
                match tie.by_network {
                    true => format!("{}: network '{}'", name(tie.a), name(tie.b)),
                    false => {
                        format!(
                            "{}: affinity with '{}' within a {}",
                            name(tie.a),
                            name(tie.b),
                            tie.within
                        )
                    }
                }
            }
            Constraint::Apart(n) => {
                let apart = &model.apart[n as usize];
                let (a, b) = (name(apart.a), name(apart.b));
                format!("{a}: anti_affinity with '{b}' within a {}", apart.within)
            }
            Constraint::FlowLatency(f) => {
                let flow = &model.flows[f as usize];
                let max = flow.max_ms.unwrap_or_default();
                format!("{}: traffic to '{}', max_latency_ms {max}", name(flow.from), name(flow.to))
            }
            Constraint::FlowPrice(f) => {
                let flow = &model.flows[f as usize];
                format!("{}: traffic to '{}' at a known price", name(flow.from), name(flow.to))
            }
            Constraint::Limit(l) => {
                let limit = &model.sites.limits[l as usize];
                let place = match limit.site {
                    Some(site) => model.sites.sites[site as usize].place.to_string(),
                    None => model.sites.clouds[limit.cloud as usize].id.to_string(),
                };
                format!("quota {} of {place}: {} left", limit.name, limit.left)
            }
            Constraint::Policies => {
                let names: Vec<_> = model.policies.iter().map(|p| p.name()).collect();
                format!("deployment_policies: {}", names.join(", "))
            }
            Constraint::MaxShare => {
                let most = model.max_share.unwrap_or_default();
                format!("deployment_policies: max_share, at most {most} on one cloud")
            }
            Constraint::Budget => match &self.request.budget {
                Some(budget) => format!("budget: {budget} a month"),
                None => "budget".into(),
            },
        }
    }

    fn demand(&self, part: u32) -> String {
        let row = &self.model.parts[part as usize];
        let mut said = match &self.model.specs[row.spec as usize] {
            Typed::Instance(instance) => match &instance.size {
                cloud_core::InstanceSize::Exact(name) => format!("size {name}"),
                cloud_core::InstanceSize::AtLeast { vcpu, memory, gpu: 0 } => {
                    format!("size at least {vcpu} vCPU, {memory}")
                }
                cloud_core::InstanceSize::AtLeast { vcpu, memory, gpu } => {
                    format!("size at least {vcpu} vCPU, {memory}, {gpu} GPU")
                }
            },
            _ => format!("its spec as a {}", row.component.component_type),
        };
        if let Some(architecture) = row.demand.architecture {
            said.push_str(&format!(", architecture {architecture}"));
        }
        if row.demand.priced {
            said.push_str(", at a known price");
        }
        said
    }
}

impl Found {
    /// The error that the caller gets; its source is the clash.
    pub(super) fn into_error(self, model: &Model<'_>) -> Error {
        let mut components = self.clash.components.clone();
        if components.is_empty() {
            components.extend(model.parts[..model.wanted].iter().map(|part| part.name.to_owned()));
        }
        let shown: Vec<_> = components.iter().take(5).map(|name| format!("'{name}'")).collect();
        let more = if components.len() > shown.len() { " and others" } else { "" };
        let mut message = format!("there is no place for {}{more}", shown.join(" and "));
        if model.sites.sites.is_empty() {
            message.push_str(": no cloud has a region");
        } else {
            message.push_str(&format!(": {}", self.clash));
        }
        if !self.places.is_empty() {
            message.push_str(&format!("; {}", self.places.join("; ")));
        }
        let kind = match self.constraints.contains(&Constraint::Budget) {
            true => ErrorKind::BudgetExceeded,
            false => ErrorKind::CapacityUnavailable,
        };
        Error::new(kind, message)
            .with_code("no_place")
            .with_hint("loosen one of the requirements, or register another cloud")
            .with_source(self.clash)
    }
}
