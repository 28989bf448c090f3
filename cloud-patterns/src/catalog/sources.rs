//! Which figures bear which source.

use super::Catalog;

/// A walk over every source index in a catalog, by reference or by mutable reference.
macro_rules! each_source {
    ($(#[$doc:meta])* $name:ident, $iter:ident $(, $mut:tt)?) => {
        $(#[$doc])*
        pub(super) fn $name(&$($mut)? self, mut call: impl FnMut(&$($mut)? u16)) {
            for cloud in self.clouds.$iter() {
                cloud.quota_source.$iter().for_each(&mut call);
                for region in cloud.regions.$iter() {
                    call(&$($mut)? region.source);
                    region.place_source.$iter().for_each(&mut call);
                    region.coordinates_source.$iter().for_each(&mut call);
                    region.compliance_source.$iter().for_each(&mut call);
                    region.residency_source.$iter().for_each(&mut call);
                    region.quota_source.$iter().for_each(&mut call);
                    if !region.egress.is_empty() {
                        call(&$($mut)? region.egress.source);
                    }
                    for offer in region.instances.$iter() {
                        call(&$($mut)? offer.source);
                        offer.spot_source.$iter().for_each(&mut call);
                        offer.reserved_source.$iter().for_each(&mut call);
                    }
                    for prices in [&$($mut)? region.storage, &$($mut)? region.database, &$($mut)? region.other] {
                        prices.$iter().for_each(|price| call(&$($mut)? price.source));
                    }
                }
            }
            self.types.$iter().for_each(|t| call(&$($mut)? t.source));
            self.latency.tables.$iter().for_each(|t| call(&$($mut)? t.source));
            for city in self.cities.$iter() {
                call(&$($mut)? city.source);
                city.round_trips.$iter().for_each(|r| call(&$($mut)? r.source));
            }
        }
    };
}

impl Catalog {
    each_source! {
        /// Calls with every source index that a figure bears.
        each_source, iter
    }
    each_source! {
        /// Calls with every source index that a figure bears, to change it.
        each_source_mut, iter_mut, mut
    }
}
