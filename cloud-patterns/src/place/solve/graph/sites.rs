//! What is known of the sites, whatever the problem.

use crate::place::solve::problem::{IMPOSSIBLE, Problem, Tariff};

/// The price of what cannot be, as a factor: times 0 it is 0.
const FAR: f64 = 1e18;

/// What is known of the sites.
#[derive(Clone, Debug, Default)]
pub(in crate::place::solve) struct Sites {
    pub(in crate::place::solve) cloud: Vec<u32>,
    pub(in crate::place::solve) rtt: Vec<u32>,
    /// Prices of each tariff, row by row.
    pub(in crate::place::solve) prices: Vec<Vec<i64>>,
    /// Sites of one class cost the same from anywhere else.
    pub(in crate::place::solve) class: Vec<u32>,
    pub(in crate::place::solve) classes: usize,
    /// The cloud of each class.
    pub(in crate::place::solve) class_cloud: Vec<u32>,
    /// For each tariff: the price from each site to each class.
    pub(in crate::place::solve) class_price: Vec<Vec<f64>>,
}

impl Sites {
    pub(super) fn new(problem: &Problem) -> Self {
        // Relations without traffic ask for a price too.
        let free = [Tariff { prices: vec![0; problem.sites.len() * problem.sites.len()] }];
        let tariffs = if problem.tariffs.is_empty() { &free[..] } else { &problem.tariffs };
        let mut sites = Self {
            cloud: problem.sites.iter().map(|site| site.cloud).collect(),
            rtt: problem.rtt.clone(),
            prices: tariffs.iter().map(|tariff| tariff.prices.clone()).collect(),
            ..Self::default()
        };
        sites.classify(tariffs);
        sites
    }

    /// Sites to which everybody pays the same are one class: the solver then looks at classes instead of pairs of sites.
    fn classify(&mut self, tariffs: &[Tariff]) {
        let n = self.cloud.len();
        let alike = |s: usize, t: usize| {
            self.cloud[s] == self.cloud[t]
                && tariffs.iter().all(|tariff| {
                    let price = |r: usize, s: usize| tariff.prices[r * n + s];
                    (0..n).all(|r| r == s || r == t || price(r, s) == price(r, t))
                        && price(s, s) <= price(s, t)
                        && price(t, t) <= price(t, s)
                })
        };
        let mut first: Vec<usize> = Vec::new();
        let mut class = Vec::with_capacity(n);
        for site in 0..n {
            // Being alike carries over from one to the next, but for what they pay to each other: that is compared with all.
            let found = first.iter().position(|&f| {
                alike(f, site)
                    && (0..site).filter(|s| class[*s] == class[f]).all(|s| alike(s, site))
            });
            class.push(found.unwrap_or(first.len()) as u32);
            if found.is_none() {
                first.push(site);
            }
        }
        self.classes = first.len();
        self.class_cloud = first.iter().map(|s| self.cloud[*s]).collect();
        self.class_price = tariffs
            .iter()
            .map(|tariff| {
                let mut prices = vec![FAR; n * first.len()];
                for r in 0..n {
                    for s in (0..n).filter(|s| *s != r) {
                        let price = tariff.prices[r * n + s];
                        if price != IMPOSSIBLE {
                            prices[r * first.len() + class[s] as usize] = price as f64;
                        }
                    }
                }
                prices
            })
            .collect();
        self.class = class;
    }
}
