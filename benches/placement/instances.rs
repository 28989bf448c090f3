//! Generates instances on a catalog: applications of linked components, with quotas that bind.
//!
//! Those that have to be feasible are drawn round a placement that is never written out.

use std::ops::Range;

use rand::{
    RngExt,
    rngs::ChaCha12Rng,
    seq::{IndexedRandom, index},
};

use super::{
    clash::{self, Clash},
    format::{Catalog, Component, INSTANCE_FORMAT, Instance, LatencyBound, Link, Quota},
    generate::{Made, random},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// No quotas, so that each application is decided alone.
    Easy,
    /// Quotas of regions and clouds that bind.
    Std,
    /// Tighter quotas, denser links with bounds of their own, stand-by pairs on different clouds.
    Hard,
    /// Nothing satisfies it, for this reason.
    Infeasible(Clash),
}

impl Profile {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Easy => "easy",
            Self::Std => "std",
            Self::Hard => "hard",
            Self::Infeasible(_) => "infeasible",
        }
    }

    /// What the quotas leave beyond the planted placement, as a share of all it uses.
    fn slack(self) -> Option<f64> {
        match self {
            Self::Easy => None,
            Self::Std => Some(0.6),
            Self::Hard => Some(0.25),
            Self::Infeasible(_) => Some(10.0),
        }
    }
}

/// Makes an instance of so many components.
pub(crate) fn instance(made: &Made, profile: Profile, count: usize, seed: u64) -> Instance {
    let catalog = &made.catalog;
    let mut random = random(&format!("instance {} {count}", profile.name()), seed);
    let mut draft = Draft::default();
    let crowds: Vec<f64> = catalog.targets.iter().map(|_| random.random::<f64>().powi(2)).collect();
    while draft.components.len() < count {
        draft.application(catalog, profile, count, &crowds, &mut random);
    }
    draft.relax(catalog);
    draft.plant(catalog, &mut random);
    let separate_clouds = match profile {
        Profile::Hard => {
            draft.bound_links(catalog, &mut random);
            draft.stand_by(catalog, &mut random)
        }
        _ => Vec::new(),
    };
    let quotas = draft.quotas(catalog, profile, &mut random);
    let mut instance = Instance {
        format: INSTANCE_FORMAT.into(),
        profile: profile.name().into(),
        seed,
        catalog_sha256: made.sha256.clone(),
        objective: "min_cost".into(),
        components: draft.components,
        links: draft.links,
        separate_clouds,
        quotas,
        budget: None,
    };
    if let Profile::Infeasible(clash) = profile {
        clash::bring_in(clash, catalog, &mut instance);
    }
    instance
}

#[derive(Default)]
struct Draft {
    components: Vec<Component>,
    links: Vec<Link>,
    applications: Vec<Range<usize>>,
    /// The region of each component in the placement that keeps the instance feasible.
    planted: Vec<usize>,
}

impl Draft {
    /// Adds an application: a front end near its users and what stands behind it, linked as a tree and a little more.
    fn application(
        &mut self,
        catalog: &Catalog,
        profile: Profile,
        count: usize,
        crowds: &[f64],
        random: &mut ChaCha12Rng,
    ) {
        const SIZES: [usize; 10] = [3, 4, 5, 6, 8, 10, 12, 16, 24, 40];
        const REGIMES: [&[&str]; 7] = [
            &["gdpr"],
            &["gdpr", "iso27001"],
            &["hipaa"],
            &["hipaa", "pci"],
            &["iso27001"],
            &["iso27001", "pci"],
            &["pci"],
        ];
        let first = self.components.len();
        let size = pick(&SIZES, random).min(count - first);
        let users = weighted(crowds, random);
        let labels = if random.random_bool(0.55) { &[][..] } else { pick(&REGIMES, random) };
        for member in 0..size {
            let mut component = component(member == 0, users, random);
            component.id = format!("c{}", first + member);
            component.labels = labels.iter().map(|&label| label.into()).collect();
            if random.random_bool(0.08) {
                let amount = random.random_range(25..=60).min(catalog.regions.len());
                let mut allowed = index::sample(random, catalog.regions.len(), amount).into_vec();
                allowed.sort_unstable();
                component.allowed_regions = Some(allowed);
            }
            self.components.push(component);
        }
        let degree = if profile == Profile::Hard { 1.8 } else { 1.15 };
        let mut pairs: Vec<(usize, usize)> = (1..size)
            .map(|member| (random.random_range(member.saturating_sub(6)..member), member))
            .collect();
        for _ in 0..(size as f64 * (degree - 1.0)) as usize {
            if size > 2 {
                let pair = index::sample(random, size, 2);
                let (a, b) = (pair.index(0), pair.index(1));
                pairs.push((a.min(b), a.max(b)));
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        let mut traffic = || 10f64.powf(random.random_range(-0.7..1.5)) as i64;
        self.links.extend(pairs.into_iter().map(|(a, b)| Link {
            a: first + a,
            b: first + b,
            gib_ab: traffic(),
            gib_ba: traffic(),
            max_rtt: None,
        }));
        self.applications.push(first..first + size);
    }

    /// Takes from each component what leaves it no region.
    fn relax(&mut self, catalog: &Catalog) {
        for component in &mut self.components {
            let steps: [fn(&mut Component); 3] = [
                |component| component.allowed_regions = None,
                |component| component.latency = None,
                |component| component.labels.clear(),
            ];
            for step in steps {
                if regions(catalog, component).is_empty() {
                    step(component);
                }
            }
        }
    }

    /// Gathers each application round a region of its own.
    fn plant(&mut self, catalog: &Catalog, random: &mut ChaCha12Rng) {
        for application in &self.applications {
            let home = random.random_range(0..catalog.regions.len());
            for component in &self.components[application.clone()] {
                let mut near = regions(catalog, component);
                near.sort_by_key(|&region| catalog.rtt[home][region]);
                let steps = -(1.0 - random.random::<f64>()).ln() / 0.6;
                self.planted.push(near[(steps as usize).min(near.len() - 1)]);
            }
        }
    }

    /// Gives a fifth of the links a bound that the planted placement keeps.
    fn bound_links(&mut self, catalog: &Catalog, random: &mut ChaCha12Rng) {
        for link in &mut self.links {
            if random.random_bool(0.2) {
                let planted = catalog.rtt[self.planted[link.a]][self.planted[link.b]];
                link.max_rtt =
                    [150, 300, 600, 1000, 2000].into_iter().find(|&most| most >= planted);
            }
        }
    }

    /// Pairs that have to be on different clouds, as they are in the planted placement.
    fn stand_by(&self, catalog: &Catalog, random: &mut ChaCha12Rng) -> Vec<(usize, usize)> {
        let cloud = |component: usize| catalog.regions[self.planted[component]].cloud;
        let mut pairs = Vec::new();
        for application in &self.applications {
            if application.len() < 6 || !random.random_bool(0.4) {
                continue;
            }
            let apart: Vec<_> = (application.clone())
                .flat_map(|a| (a + 1..application.end).map(move |b| (a, b)))
                .filter(|&(a, b)| cloud(a) != cloud(b))
                .collect();
            pairs.extend(apart.choose(random));
        }
        pairs
    }

    /// Quotas that leave the planted placement room, and some more here and there.
    fn quotas(&self, catalog: &Catalog, profile: Profile, random: &mut ChaCha12Rng) -> Vec<Quota> {
        let Some(slack) = profile.slack() else { return Vec::new() };
        let mut used = vec![0; catalog.regions.len()];
        for (component, &region) in self.components.iter().zip(&self.planted) {
            let vcpu =
                catalog.fitting(component, region).map(|(kind, _)| catalog.vcpu(region, kind));
            used[region] += vcpu.min().unwrap_or(0) * component.replicas;
        }
        let spare = used.iter().sum::<i64>() as f64 * slack;
        let shares: Vec<f64> = used.iter().map(|_| pick(&[1.0, 2.0, 4.0, 8.0], random)).collect();
        let all: f64 = shares.iter().sum();
        let regions = used.iter().zip(&shares).enumerate().map(|(region, (used, share))| {
            Quota::Region { region, vcpu: (used + (spare * share / all) as i64).max(16) }
        });
        let mut quotas: Vec<_> = regions.collect();
        for cloud in 0..catalog.clouds.len() {
            let inside =
                catalog.regions.iter().zip(&used).filter(|(region, _)| region.cloud == cloud);
            let used: i64 = inside.map(|(_, used)| used).sum();
            let share = 0.12 * pick(&[0.5, 1.0, 2.0], random);
            quotas.push(Quota::Cloud { cloud, vcpu: (used + (spare * share) as i64).max(64) });
        }
        quotas
    }
}

/// A component without a name: what it needs, and where its users are.
fn component(front: bool, users: usize, random: &mut ChaCha12Rng) -> Component {
    const ROLES: [&str; 4] = ["service", "database", "batch", "gpu"];
    let role = if front { "front" } else { ROLES[weighted(&[0.66, 0.2, 0.12, 0.02], random)] };
    let vcpu = [1, 2, 4, 8, 16, 32][weighted(&[0.15, 0.28, 0.28, 0.17, 0.09, 0.03], random)];
    let vcpu = if role == "gpu" { vcpu.max(8) } else { vcpu };
    let ratio = match role {
        "service" => pick(&[1, 2, 2, 4], random),
        "database" => pick(&[4, 8], random),
        "gpu" => 4,
        _ => 2,
    };
    let bounds: &[i64] = match role {
        "front" => &[300, 400, 600, 800, 1200],
        "service" if random.random_bool(0.3) => &[600, 800, 1200, 1800],
        _ => &[],
    };
    Component {
        id: String::new(),
        vcpu,
        mem_gib: vcpu * ratio,
        gpu: i64::from(role == "gpu"),
        replicas: [1, 2, 3, 4, 6][weighted(&[0.4, 0.25, 0.2, 0.1, 0.05], random)],
        arch: if role == "gpu" || random.random_bool(0.7) { "x86_64" } else { "any" }.into(),
        labels: Vec::new(),
        allowed_regions: None,
        latency: bounds.choose(random).map(|&max_rtt| LatencyBound { target: users, max_rtt }),
    }
}

/// The regions where a component can run.
pub(crate) fn regions(catalog: &Catalog, component: &Component) -> Vec<usize> {
    let can = |&region: &usize| {
        component.admits(catalog, region) && catalog.fitting(component, region).next().is_some()
    };
    (0..catalog.regions.len()).filter(can).collect()
}

fn pick<T: Copy>(from: &[T], random: &mut ChaCha12Rng) -> T {
    from[random.random_range(0..from.len())]
}

fn weighted(weights: &[f64], random: &mut ChaCha12Rng) -> usize {
    let mut left = random.random::<f64>() * weights.iter().sum::<f64>();
    let reached = |weight: &f64| {
        left -= weight;
        left < 0.0
    };
    weights.iter().position(reached).unwrap_or(weights.len() - 1)
}
