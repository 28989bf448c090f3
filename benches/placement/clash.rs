//! Makes a feasible instance infeasible, for one reason at a time.

use super::{
    format::{Catalog, Instance, Quota},
    instances::regions,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clash {
    /// Labels that no region has together.
    Labels,
    /// Quotas below what all components need at least.
    Quota,
    /// More components apart from each other than there are clouds.
    Separation,
    /// A link with a bound between components that only run far from each other.
    LinkLatency,
    /// Less than the cheapest offers cost together.
    Budget,
}

impl Clash {
    pub(crate) const ALL: [Self; 5] =
        [Self::Labels, Self::Quota, Self::Separation, Self::LinkLatency, Self::Budget];
}

pub(crate) fn bring_in(clash: Clash, catalog: &Catalog, instance: &mut Instance) {
    match clash {
        Clash::Labels => {
            instance.components[0].labels = vec!["fedramp".into(), "gdpr".into()];
        }
        Clash::Quota => {
            let least = sum_of_least(catalog, instance, |catalog, region, kind, _| {
                catalog.vcpu(region, kind)
            });
            let clouds = catalog.clouds.len();
            let vcpu = (least - 1) / clouds as i64;
            instance.quotas = (0..clouds).map(|cloud| Quota::Cloud { cloud, vcpu }).collect();
        }
        Clash::Separation => {
            let apart = 0..=catalog.clouds.len();
            let pairs = apart.clone().flat_map(|a| (a + 1..=*apart.end()).map(move |b| (a, b)));
            instance.separate_clouds.extend(pairs);
        }
        Clash::LinkLatency => {
            let link = &mut instance.links[0];
            for (end, geo) in [(link.a, "EU"), (link.b, "OC")] {
                let component = &mut instance.components[end];
                component.labels.clear();
                component.latency = None;
                let there = 0..catalog.regions.len();
                let there = there.filter(|&region| catalog.regions[region].geo == geo);
                component.allowed_regions = Some(there.collect());
            }
            link.max_rtt = Some(300);
        }
        Clash::Budget => {
            instance.budget =
                Some(sum_of_least(catalog, instance, |_, _, _, price| price).saturating_sub(1));
        }
    }
}

/// What all components need at least of something that each replica on a type uses.
fn sum_of_least(
    catalog: &Catalog,
    instance: &Instance,
    need: impl Fn(&Catalog, usize, usize, i64) -> i64,
) -> i64 {
    let least = |component| {
        let places = regions(catalog, component).into_iter();
        let needs = places.flat_map(|region| {
            let offers = catalog.fitting(component, region);
            offers.map(|(kind, price)| need(catalog, region, kind, price)).min()
        });
        needs.min().unwrap_or(0) * component.replicas
    };
    instance.components.iter().map(least).sum()
}
