//! The solver's answer by trying everything: what tests compare with.

use crate::place::solve::{IMPOSSIBLE, Problem, Scope, Solution};

/// The cheapest valid assignment; `None` if there is none. For a few items with a few options each.
pub(in crate::place) fn brute(problem: &Problem) -> Option<Solution> {
    let mut search = Search { problem, taken: Vec::new(), best: None };
    let mut used = vec![0; problem.limits.len()];
    search.descend(0, &mut used);
    search.best.map(|(cost, taken)| Solution { taken, cost, bound: cost })
}

struct Search<'p> {
    problem: &'p Problem,
    taken: Vec<u32>,
    best: Option<(i64, Vec<u32>)>,
}

impl Search<'_> {
    fn descend(&mut self, cost: i64, used: &mut Vec<i64>) {
        let problem = self.problem;
        let most = self.best.as_ref().map_or(i64::MAX, |(best, _)| *best);
        if cost >= most || problem.ceiling.is_some_and(|ceiling| cost > ceiling) {
            return;
        }
        let item = self.taken.len();
        let Some(row) = problem.items.get(item) else {
            self.best = Some((cost, self.taken.clone()));
            return;
        };
        for (o, option) in row.options.iter().enumerate() {
            let fits = option
                .uses
                .iter()
                .all(|u| used[u.limit as usize] + u.amount <= problem.limits[u.limit as usize]);
            self.taken.push(o as u32);
            if let Some(links) = self.links(item).filter(|_| fits && self.related(item)) {
                option.uses.iter().for_each(|u| used[u.limit as usize] += u.amount);
                self.descend(cost + option.cost + links, used);
                option.uses.iter().for_each(|u| used[u.limit as usize] -= u.amount);
            }
            self.taken.pop();
        }
    }

    fn site(&self, item: u32) -> Option<usize> {
        let option = *self.taken.get(item as usize)?;
        Some(self.problem.items[item as usize].options[option as usize].site as usize)
    }

    fn scope(&self, item: u32, scope: Scope) -> Option<usize> {
        let site = self.site(item)?;
        Some(match scope {
            Scope::Site => site,
            Scope::Cloud => self.problem.sites[site].cloud as usize,
        })
    }

    /// What the links cost that the newest item completes; `None` if one of them cannot be.
    fn links(&self, newest: usize) -> Option<i64> {
        let problem = self.problem;
        let count = problem.sites.len();
        let mut sum = 0;
        for link in problem.links.iter().filter(|l| l.a.max(l.b) as usize == newest) {
            let (a, b) = (self.site(link.a)?, self.site(link.b)?);
            let (out, back) = (
                problem.tariffs[link.tariff_ab as usize].prices[a * count + b],
                problem.tariffs[link.tariff_ba as usize].prices[b * count + a],
            );
            if (out == IMPOSSIBLE && link.ab > 0) || (back == IMPOSSIBLE && link.ba > 0) {
                return None;
            }
            let rtt = problem.rtt.get(a * count + b).copied().unwrap_or(0);
            let minded = link.rtt_cost > 0;
            if link.max_rtt.is_some_and(|max| rtt > max) || (minded && rtt == u32::MAX) {
                return None;
            }
            sum += if minded { link.rtt_cost * i64::from(rtt) } else { 0 };
            sum += if link.ab > 0 { link.ab * out } else { 0 };
            sum += if link.ba > 0 { link.ba * back } else { 0 };
        }
        Some(sum)
    }

    fn related(&self, newest: usize) -> bool {
        let newest = newest as u32;
        let together = self.problem.together.iter().all(|t| {
            let mut places = t.items.iter().filter_map(|i| self.scope(*i, t.scope));
            let first = places.next();
            places.all(|place| Some(place) == first)
        });
        let spreads = self.problem.spreads.iter().filter(|s| s.items.contains(&newest));
        together
            && spreads.into_iter().all(|s| {
                let own = self.scope(newest, s.scope);
                let same = s.items.iter().filter(|i| self.scope(**i, s.scope) == own).count();
                same <= s.most as usize
            })
    }
}
