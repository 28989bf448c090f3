//! Catalogs laid over one another, and a catalog of providers made one of registered clouds.

use std::{cmp::Ordering, collections::HashMap};

use cloud_core::{CloudId, Error, Provider, Result};

use super::{
    Catalog, CatalogCloud, CatalogRegion, CatalogType, City, InstanceOffer, LatencyTable, Source,
    UnitPrice, lookup::plain,
};

impl Catalog {
    /// Lays another catalog over this one: what both know is as the other says, whatever their dates; all else stays.
    /// Clouds, regions, types, cities and prices are matched by name; the egress prices of a region, its quotas, its
    /// compliance regimes and its blocs are each replaced as a whole. Laying the same over it again changes nothing.
    ///
    /// ```
    /// use cloud_patterns::catalog::Catalog;
    /// let builtin = Catalog::builtin().unwrap();
    /// let mut twice = builtin.clone();
    /// twice.overlay(builtin).unwrap();
    /// assert_eq!(&twice, builtin);
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for two currencies or one cloud of two providers; and whatever the
    /// result does not [`validate`](Self::validate). This one is then as it was.
    pub fn overlay(&mut self, over: &Self) -> Result<()> {
        self.combine(over, false)
    }

    /// As [`overlay`](Self::overlay), but of what both know the newer holds, by the dates of the sources. Undated counts as
    /// oldest; of two of one date the other's holds.
    ///
    /// ```
    /// use cloud_patterns::catalog::Catalog;
    /// let mut merged = Catalog::builtin().unwrap().clone();
    /// merged.merge(Catalog::builtin().unwrap()).unwrap();
    /// assert_eq!(&merged, Catalog::builtin().unwrap());
    /// ```
    ///
    /// # Errors
    /// As for [`overlay`](Self::overlay).
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.combine(other, true)
    }

    fn combine(&mut self, over: &Self, by_date: bool) -> Result<()> {
        if self.currency != over.currency {
            let problem = format_args!("is {} here and {} there", self.currency, over.currency);
            return Err(Error::invalid("currency", problem, "one currency"));
        }
        over.validate()?;
        let mut all = self.clone();
        let mut over = over.clone();
        let map: Vec<u16> =
            over.sources.iter().map(|s| all.add_source(s.clone())).collect::<Result<_>>()?;
        over.each_source_mut(|s| *s = map.get(usize::from(*s)).copied().unwrap_or(*s));
        let wins = Wins { sources: all.sources.clone(), by_date };

        let map = all.merge_types(&over.types, &wins);
        for offer in
            over.clouds.iter_mut().flat_map(|c| &mut c.regions).flat_map(|r| &mut r.instances)
        {
            offer.instance_type = map[offer.instance_type as usize];
        }
        for cloud in over.clouds {
            match all.clouds.iter_mut().find(|c| c.id == cloud.id) {
                Some(known) => known.merge(cloud, &all.types, &wins)?,
                None => all.clouds.push(cloud),
            }
        }
        all.latency.tables = wins.tables(all.latency.tables, over.latency.tables);
        for city in over.cities {
            match all.cities.iter_mut().find(|c| plain(&c.name) == plain(&city.name)) {
                Some(known) => known.merge(city, &wins),
                None => all.cities.push(city),
            }
        }
        all.sort();
        all.drop_unused_sources();
        all.validate()?;
        *self = all;
        Ok(())
    }

    /// Puts clouds, regions and offers into their order.
    pub(super) fn sort(&mut self) {
        self.clouds.sort_by(|a, b| a.id.cmp(&b.id));
        for cloud in &mut self.clouds {
            cloud.regions.sort_by(|a, b| a.region.cmp(&b.region));
            for region in &mut cloud.regions {
                region.instances.sort_by_key(|o| o.instance_type);
            }
        }
    }

    /// The index of a source, which is added if it is new. One of the same id that says something else gets a number.
    pub(super) fn add_source(&mut self, source: Source) -> Result<u16> {
        let mut wanted = source;
        let id = wanted.id.clone();
        for n in 2u32.. {
            match self.sources.iter().position(|s| s.id == wanted.id) {
                Some(i) if self.sources[i] == wanted => return index(i),
                Some(_) => wanted.id = format!("{id} ({n})"),
                None => break,
            }
        }
        self.sources.push(wanted);
        index(self.sources.len() - 1)
    }

    /// [`add_source`](Self::add_source) of another catalog's.
    pub(super) fn add_source_of(&mut self, other: &Self, source: u16) -> Result<u16> {
        match other.source(source) {
            Some(source) => self.add_source(source.clone()),
            None => {
                Err(Error::invalid("source", format_args!("is {source}"), "one of the catalog"))
            }
        }
    }

    pub(super) fn drop_unused_sources(&mut self) {
        let used = self.used_sources();
        let mut kept = 0u16;
        let map: Vec<u16> = used
            .iter()
            .map(|used| {
                let at = kept;
                kept += u16::from(*used);
                at
            })
            .collect();
        let mut used = used.into_iter();
        self.sources.retain(|_| used.next().unwrap_or(true));
        self.each_source_mut(|s| *s = map[usize::from(*s)]);
    }

    /// Adds types; answers where each stands.
    fn merge_types(&mut self, types: &[CatalogType], wins: &Wins) -> Vec<u32> {
        let key = |t: &CatalogType| CatalogType { source: 0, ..t.clone() };
        let mut known: HashMap<CatalogType, usize> =
            self.types.iter().enumerate().map(|(i, t)| (key(t), i)).collect();
        let place = |one: &CatalogType| {
            let i = *known.entry(key(one)).or_insert(self.types.len());
            match self.types.get_mut(i) {
                Some(same) if wins.over(one.source, same.source) => same.source = one.source,
                Some(_) => {}
                None => self.types.push(one.clone()),
            }
            i as u32
        };
        types.iter().map(place).collect()
    }

    /// The facts of these providers as facts of registered clouds: two accounts of one provider are two clouds with the
    /// same regions and prices. A cloud of this catalog that bears the id itself goes before another of its provider; a
    /// cloud of whose provider nothing is known has no regions.
    ///
    /// ```
    /// use cloud_core::{CloudId, Provider};
    /// use cloud_patterns::catalog::Catalog;
    /// let id = |text| CloudId::new(text).unwrap();
    /// let builtin = Catalog::builtin().unwrap();
    /// let ours = builtin.for_clouds(&[(id("prod"), Provider::Aws), (id("test"), Provider::Aws)]);
    /// assert_eq!(ours.clouds[0].regions, ours.clouds[1].regions);
    /// assert_eq!(ours.clouds[0].regions.len(), builtin.cloud(&id("aws")).unwrap().regions.len());
    /// ```
    pub fn for_clouds(&self, clouds: &[(CloudId, Provider)]) -> Self {
        let of = |id: &CloudId, provider: Provider| {
            let same = self.clouds.iter().filter(|c| c.provider == provider);
            same.clone().find(|c| c.id == *id).or_else(|| same.clone().next())
        };
        let mut all = Self { clouds: Vec::new(), ..self.clone() };
        // By which names each cloud here is known there.
        let mut names: HashMap<&CloudId, Vec<&CloudId>> = HashMap::new();
        for (id, provider) in clouds {
            if all.clouds.iter().any(|c| c.id == *id) {
                continue;
            }
            let cloud = match of(id, *provider) {
                Some(cloud) => {
                    names.entry(&cloud.id).or_default().push(id);
                    CatalogCloud { id: id.clone(), ..cloud.clone() }
                }
                None => CatalogCloud {
                    id: id.clone(),
                    provider: *provider,
                    regions: Vec::new(),
                    quotas: Vec::new(),
                    quota_source: None,
                },
            };
            all.clouds.push(cloud);
        }
        let names = |cloud: &CloudId| names.get(cloud).map_or(&[][..], Vec::as_slice);
        for table in &mut all.latency.tables {
            *table = table.renamed(&names);
        }
        all.latency.tables.retain(|table| !table.regions.is_empty());
        for city in &mut all.cities {
            let renamed = |r: &super::CityRoundTrip| {
                let clouds = names(&r.cloud).iter();
                let one = r.clone();
                clouds
                    .map(move |c| super::CityRoundTrip { cloud: (*c).clone(), ..one.clone() })
                    .collect::<Vec<_>>()
            };
            city.round_trips = city.round_trips.iter().flat_map(renamed).collect();
        }
        all.sort();
        all.drop_unused_types();
        all.drop_unused_sources();
        all
    }

    /// Drops the types of providers that have no cloud here.
    fn drop_unused_types(&mut self) {
        let keep: Vec<bool> = self
            .types
            .iter()
            .map(|t| self.clouds.iter().any(|c| c.provider == t.provider))
            .collect();
        let mut kept = 0u32;
        let map: Vec<u32> = keep
            .iter()
            .map(|keep| {
                let at = kept;
                kept += u32::from(*keep);
                at
            })
            .collect();
        let mut keep = keep.into_iter();
        self.types.retain(|_| keep.next().unwrap_or(true));
        for region in self.clouds.iter_mut().flat_map(|c| &mut c.regions) {
            for offer in &mut region.instances {
                offer.instance_type = map[offer.instance_type as usize];
            }
        }
    }
}

fn index(i: usize) -> Result<u16> {
    let accepted = "at most 65535";
    u16::try_from(i).map_err(|_| Error::invalid("sources", "are too many", accepted))
}

/// Which of two facts holds.
struct Wins {
    sources: Vec<Source>,
    by_date: bool,
}

impl Wins {
    /// Whether the fact laid over holds against the one that was there.
    fn over(&self, over: u16, known: u16) -> bool {
        let date = |i: u16| self.sources.get(usize::from(i)).and_then(|s| s.as_of);
        // `None`, no date, is less than any date.
        !self.by_date || date(over).cmp(&date(known)) != Ordering::Less
    }

    /// Replaces a list and its source, unless there is nothing to replace it with.
    fn list<T>(
        &self,
        known: (&mut Vec<T>, &mut Option<u16>),
        over: (Vec<T>, Option<u16>),
        homes: (u16, u16),
    ) {
        let (over_source, known_source) = (over.1.unwrap_or(homes.0), known.1.unwrap_or(homes.1));
        if !over.0.is_empty() && (known.0.is_empty() || self.over(over_source, known_source)) {
            *known.0 = over.0;
            *known.1 = over.1;
        }
    }

    /// Replaces a price and its source.
    fn price<T>(
        &self,
        known: (&mut Option<T>, &mut Option<u16>),
        over: (Option<T>, u16),
        home: u16,
    ) {
        let known_source = known.1.unwrap_or(home);
        if over.0.is_some() && (known.0.is_none() || self.over(over.1, known_source)) {
            *known.0 = over.0;
            *known.1 = Some(over.1);
        }
    }

    fn tables(&self, known: Vec<LatencyTable>, over: Vec<LatencyTable>) -> Vec<LatencyTable> {
        let mut tables: Vec<_> = over;
        let (before, after): (Vec<_>, Vec<_>) = known
            .into_iter()
            .filter(|k| !tables.contains(k))
            .partition(|k| tables.iter().any(|o| !self.over(o.source, k.source)));
        tables.splice(0..0, before);
        tables.extend(after);
        tables
    }
}

impl CatalogCloud {
    fn merge(&mut self, over: Self, types: &[CatalogType], wins: &Wins) -> Result<()> {
        if self.provider != over.provider {
            let problem = format_args!("is {} here and {} there", self.provider, over.provider);
            let field = format!("provider of cloud '{}'", self.id);
            return Err(Error::invalid(&field, problem, "one provider"));
        }
        let known = (&mut self.quotas, &mut self.quota_source);
        wins.list(known, (over.quotas, over.quota_source), (0, 0));
        for region in over.regions {
            match self.regions.iter_mut().find(|r| r.region == region.region) {
                Some(known) => known.merge(region, types, wins),
                None => self.regions.push(region),
            }
        }
        Ok(())
    }
}

impl CatalogRegion {
    fn source_of_place(&self) -> u16 {
        self.place_source.unwrap_or(self.source)
    }

    pub(super) fn source_of_coordinates(&self) -> u16 {
        self.coordinates_source.unwrap_or(self.source)
    }

    fn merge_place(&mut self, over: &Self, wins: &Wins) {
        let mut home = self.source_of_place();
        let known = self.name.is_some() || self.city.is_some() || self.country.is_some();
        let over_wins = wins.over(over.source_of_place(), home);
        let mut taken = take(&mut self.name, &over.name, over_wins);
        taken |= take(&mut self.city, &over.city, over_wins);
        taken |= take(&mut self.country, &over.country, over_wins);
        if taken && (over_wins || !known) {
            home = over.source_of_place();
        }
        self.place_source = Some(home).filter(|_| known || taken);

        let mut home = self.source_of_coordinates();
        let over_wins = wins.over(over.source_of_coordinates(), home);
        if take(&mut self.coordinates, &over.coordinates, over_wins) {
            home = over.source_of_coordinates();
        }
        self.coordinates_source = Some(home).filter(|_| self.coordinates.is_some());
    }

    fn merge(&mut self, over: Self, types: &[CatalogType], wins: &Wins) {
        let homes = (over.source, self.source);
        self.merge_place(&over, wins);
        if wins.over(over.source, self.source) {
            self.source = over.source;
            self.available = over.available;
            if !over.zones.is_empty() {
                self.zones = over.zones;
            }
        }
        self.place_source = self.place_source.filter(|s| *s != self.source);
        self.coordinates_source = self.coordinates_source.filter(|s| *s != self.source);
        wins.list(
            (&mut self.compliance, &mut self.compliance_source),
            (over.compliance, over.compliance_source),
            homes,
        );
        wins.list(
            (&mut self.residency, &mut self.residency_source),
            (over.residency, over.residency_source),
            homes,
        );
        wins.list(
            (&mut self.quotas, &mut self.quota_source),
            (over.quotas, over.quota_source),
            homes,
        );
        if !over.egress.is_empty()
            && (self.egress.is_empty() || wins.over(over.egress.source, self.egress.source))
        {
            self.egress = over.egress;
        }
        for (known, over) in [
            (&mut self.storage, over.storage),
            (&mut self.database, over.database),
            (&mut self.other, over.other),
        ] {
            merge_prices(known, over, wins);
        }
        self.merge_offers(over.instances, types, wins);
    }

    /// By the names of the types: a type of a name is one, even where its size was told anew.
    fn merge_offers(&mut self, over: Vec<InstanceOffer>, types: &[CatalogType], wins: &Wins) {
        let name = |o: &InstanceOffer| types[o.instance_type as usize].name.as_str();
        let mut at: HashMap<&str, usize> =
            self.instances.iter().enumerate().map(|(i, o)| (name(o), i)).collect();
        for offer in over {
            match at.get(name(&offer)) {
                Some(i) => self.instances[*i].merge(offer, types, wins),
                None => {
                    at.insert(name(&offer), self.instances.len());
                    self.instances.push(offer);
                }
            }
        }
    }
}

/// Takes what is laid over, if there is something and it holds or nothing was known. Whether it did.
fn take<T: Clone>(known: &mut Option<T>, over: &Option<T>, wins: bool) -> bool {
    let take = over.is_some() && (wins || known.is_none());
    if take {
        known.clone_from(over);
    }
    take
}

fn merge_prices(known: &mut Vec<UnitPrice>, over: Vec<UnitPrice>, wins: &Wins) {
    for price in over {
        let same = |k: &&mut UnitPrice| {
            (k.resource_type, &k.sku, k.unit, k.purchase)
                == (price.resource_type, &price.sku, price.unit, price.purchase)
        };
        match known.iter_mut().find(same) {
            Some(known) if wins.over(price.source, known.source) => *known = price,
            Some(_) => {}
            None => known.push(price),
        }
    }
}

impl InstanceOffer {
    fn merge(&mut self, over: Self, types: &[CatalogType], wins: &Wins) {
        let (home, over_home) = (self.source, over.source);
        let mut source = Some(home);
        wins.price((&mut self.on_demand, &mut source), (over.on_demand, over_home), home);
        let spot = (over.spot, over.spot_source.unwrap_or(over_home));
        let (mut spot_source, mut reserved_source) = (self.spot_source, self.reserved_source);
        wins.price((&mut self.spot, &mut spot_source), spot, home);
        let reserved = (over.reserved, over.reserved_source.unwrap_or(over_home));
        wins.price((&mut self.reserved, &mut reserved_source), reserved, home);
        // What came with `source` must not seem to come with the new one.
        self.source = source.unwrap_or(home);
        let other = |price: bool, told: Option<u16>| {
            Some(told.unwrap_or(home)).filter(|s| price && *s != self.source)
        };
        self.spot_source = other(self.spot.is_some(), spot_source);
        self.reserved_source = other(self.reserved.is_some(), reserved_source);
        let size = |t: u32| types[t as usize].source;
        if wins.over(size(over.instance_type), size(self.instance_type)) {
            self.instance_type = over.instance_type;
        }
    }
}

impl CatalogType {
    /// Whether it states the same size, wherever from.
    pub(super) fn same(&self, other: &Self) -> bool {
        *self == Self { source: self.source, ..other.clone() }
    }
}

impl City {
    fn merge(&mut self, over: Self, wins: &Wins) {
        let over_wins = wins.over(over.source, self.source);
        take(&mut self.country, &over.country, over_wins);
        take(&mut self.coordinates, &over.coordinates, over_wins);
        if over_wins {
            self.source = over.source;
            self.name = over.name;
        }
        for one in over.round_trips {
            let same =
                |k: &&mut super::CityRoundTrip| (&k.cloud, &k.region) == (&one.cloud, &one.region);
            match self.round_trips.iter_mut().find(same) {
                Some(known) if wins.over(one.source, known.source) => *known = one,
                Some(_) => {}
                None => self.round_trips.push(one),
            }
        }
    }
}

impl LatencyTable {
    /// The same with each cloud under other names: none, one or several.
    fn renamed<'a>(&self, names: &impl Fn(&CloudId) -> &'a [&'a CloudId]) -> Self {
        let rows: Vec<(usize, CloudId)> = self
            .regions
            .iter()
            .enumerate()
            .flat_map(|(i, (cloud, _))| names(cloud).iter().map(move |name| (i, (*name).clone())))
            .collect();
        let cell =
            |a: usize, b: usize| self.tenths.get(a).and_then(|row| row.get(b).copied()).flatten();
        let row = |a: usize| rows.iter().map(|(b, _)| cell(a, *b)).collect();
        Self {
            source: self.source,
            regions: rows
                .iter()
                .map(|(i, name)| (name.clone(), self.regions[*i].1.clone()))
                .collect(),
            tenths: rows.iter().map(|(a, _)| row(*a)).collect(),
        }
    }
}
