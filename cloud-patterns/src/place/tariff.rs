//! What traffic costs between sites, in the solver's units.

use std::collections::HashMap;

use cloud_core::Decimal;

use super::{
    amount::micro,
    model::Model,
    solve::{IMPOSSIBLE, Tariff},
};

/// The tariffs of a problem: one for all volumes within the first step of every price, and one for each other volume.
pub(super) struct Tariffs<'m, 'a> {
    model: &'m Model<'a>,
    pub(super) all: Vec<Tariff>,
    /// The tariff per GiB, and up to how many GiB it holds.
    first: Option<(u32, f64)>,
    volumes: HashMap<u64, u32>,
    zones: HashMap<u32, u32>,
}

/// How many volumes may have a tariff of their own; of more, volumes are rounded up to two digits.
const OWN_TARIFFS: usize = 256;

impl<'m, 'a> Tariffs<'m, 'a> {
    pub(super) fn new(model: &'m Model<'a>) -> Self {
        let (volumes, zones) = (HashMap::new(), HashMap::new());
        Self { model, all: Vec::new(), first: None, volumes, zones }
    }

    fn count(&self) -> usize {
        self.model.sites.sites.len()
    }

    fn add(&mut self, prices: Vec<i64>) -> u32 {
        self.all.push(Tariff { prices });
        self.all.len() as u32 - 1
    }

    /// How many units of which tariff so many GiB are.
    pub(super) fn of(&mut self, gib: f64) -> (i64, u32) {
        if gib <= 0.0 {
            return (0, self.apart_in_zones(0));
        }
        let (first, up_to) = match self.first {
            Some(first) => first,
            None => self.per_gib(),
        };
        if gib.fract() == 0.0 && gib <= up_to {
            return (gib as i64, first);
        }
        let gib = if self.volumes.len() < OWN_TARIFFS { gib } else { two_digits(gib) };
        if let Some(own) = self.volumes.get(&gib.to_bits()) {
            return (1, *own);
        }
        let volume = Decimal::from_f64_retain(gib).unwrap_or(Decimal::MAX);
        let count = self.count();
        let price = |i: usize| {
            let egress = self.model.sites.egress(i / count, i % count)?;
            micro(egress.cost(volume))
        };
        let prices = (0..count * count).map(|i| price(i).unwrap_or(IMPOSSIBLE)).collect();
        let own = self.add(prices);
        self.volumes.insert(gib.to_bits(), own);
        (1, own)
    }

    fn per_gib(&mut self) -> (u32, f64) {
        let count = self.count();
        let mut up_to = Decimal::from(1u64 << 40);
        let mut prices = Vec::with_capacity(count * count);
        for i in 0..count * count {
            let first = self.model.sites.egress(i / count, i % count).map(|egress| egress.first());
            let price = first.and_then(|(price, _)| micro(price));
            prices.push(price.unwrap_or(IMPOSSIBLE));
            up_to = first.and_then(|(_, bound)| bound).map_or(up_to, |bound| up_to.min(bound));
        }
        let tariff = self.add(prices);
        let bound = up_to.trunc().mantissa() as f64;
        self.first = Some((tariff, bound));
        (tariff, bound)
    }

    /// Free, but impossible within a site of fewer zones.
    pub(super) fn apart_in_zones(&mut self, needed: u32) -> u32 {
        if let Some(known) = self.zones.get(&needed) {
            return *known;
        }
        let count = self.count();
        let few = |s: usize| self.model.sites.sites[s].free_zones.len() < needed as usize;
        let price = |i: usize| match i / count == i % count && few(i % count) {
            true => IMPOSSIBLE,
            false => 0,
        };
        let prices = (0..count * count).map(price).collect();
        let tariff = self.add(prices);
        self.zones.insert(needed, tariff);
        tariff
    }
}

/// Rounded up to two digits.
fn two_digits(gib: f64) -> f64 {
    if gib <= 0.0 {
        return 0.0;
    }
    let step = 10f64.powf(gib.log10().floor() - 1.0);
    (gib / step).ceil() * step
}
