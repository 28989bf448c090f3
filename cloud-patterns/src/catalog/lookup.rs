//! Finding things in a catalog, with errors that list what there is.

use std::collections::BTreeSet;

use cloud_core::{CloudId, Error, ErrorKind, Location, Provider, Region, Result};

use super::{
    Catalog, CatalogCloud, CatalogRegion, CatalogType, City, KNOWN_REGIMES, Source,
    canonical_regime, great_circle_km, known_blocs,
};

/// How many names an error lists.
const LISTED: usize = 10;

/// Some names for an error: at most ten, then `…`.
pub(super) fn some_of<T: ToString>(names: impl IntoIterator<Item = T>) -> String {
    let mut names = names.into_iter();
    let mut listed: Vec<String> = names.by_ref().take(LISTED).map(|n| n.to_string()).collect();
    if names.next().is_some() {
        listed.push("…".into());
    }
    if listed.is_empty() { "none".into() } else { listed.join(", ") }
}

fn unknown(what: &str, name: &str, accepted: String) -> Error {
    let name: String = name.chars().take(100).collect();
    let message = format!("{what} '{}' is not in the catalog", name.escape_debug());
    Error::new(ErrorKind::NotFound, message).with_hint(format!("accepted: {accepted}"))
}

impl Catalog {
    /// A cloud.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), listing the clouds there are.
    pub fn cloud(&self, id: &CloudId) -> Result<&CatalogCloud> {
        self.clouds.iter().find(|c| c.id == *id).ok_or_else(|| {
            unknown("cloud", id.as_str(), some_of(self.clouds.iter().map(|c| &c.id)))
        })
    }

    /// The region of a place; its zone does not count.
    ///
    /// ```
    /// use cloud_core::{CloudId, Location, Region};
    /// let catalog = cloud_patterns::catalog::Catalog::builtin().unwrap();
    /// let place = |region| Location::new(CloudId::new("aws").unwrap(), Region::new(region).unwrap());
    /// assert_eq!(catalog.region(&place("eu-central-1")).unwrap().country.as_deref(), Some("DE"));
    /// let error = catalog.region(&place("eu-central-9")).unwrap_err().to_string();
    /// assert!(error.contains("region 'aws/eu-central-9' is not in the catalog; accepted: af-south-1,"), "{error}");
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), listing the clouds or the regions there are.
    pub fn region(&self, place: &Location) -> Result<&CatalogRegion> {
        let cloud = self.cloud(&place.cloud)?;
        cloud.regions.iter().find(|r| r.region == place.region).ok_or_else(|| {
            let name = format!("{}/{}", place.cloud, place.region);
            unknown("region", &name, some_of(cloud.regions.iter().map(|r| &r.region)))
        })
    }

    /// Every region as a place, in the order of [`regions`](Self::regions).
    pub fn locations(&self) -> Vec<Location> {
        self.regions().map(|(c, r)| Location::new(c.id.clone(), r.region.clone())).collect()
    }

    /// The regions of this code: of several clouds, if they use the same.
    ///
    /// ```
    /// let catalog = cloud_patterns::catalog::Catalog::builtin().unwrap();
    /// let found = catalog.regions_named(&"westeurope".parse().unwrap());
    /// assert_eq!(found[0].to_string(), "azure/westeurope");
    /// ```
    pub fn regions_named(&self, code: &Region) -> Vec<Location> {
        let found = self.regions().filter(|(_, r)| r.region == *code);
        found.map(|(c, r)| Location::new(c.id.clone(), r.region.clone())).collect()
    }

    /// A city, by its name; upper and lower case are one, as are `São Paulo` and `sao paulo`.
    ///
    /// ```
    /// let catalog = cloud_patterns::catalog::Catalog::builtin().unwrap();
    /// assert_eq!(catalog.city("sao-paulo").unwrap().name, "São Paulo");
    /// assert!(catalog.city("Atlantis").is_err());
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), listing cities that begin alike, or else the first of all.
    pub fn city(&self, name: &str) -> Result<&City> {
        let wanted = plain(name);
        self.cities.iter().find(|c| plain(&c.name) == wanted).ok_or_else(|| {
            let first = wanted.chars().next();
            let alike: Vec<_> =
                self.cities.iter().filter(|c| plain(&c.name).chars().next() == first).collect();
            let listed = if alike.is_empty() { self.cities.iter().collect() } else { alike };
            unknown("city", name, some_of(listed.into_iter().map(|c| &c.name)))
        })
    }

    /// The regions closest to a point (latitude and longitude in degrees), the closest first, with the distance in km.
    /// Those without coordinates are not among them.
    ///
    /// ```
    /// let catalog = cloud_patterns::catalog::Catalog::builtin().unwrap();
    /// let zurich = (47.37, 8.54);
    /// let (place, km) = &catalog.nearest(zurich, 3)[0];
    /// assert!(*km < 20.0, "{place} {km}");
    /// ```
    pub fn nearest(&self, point: (f64, f64), count: usize) -> Vec<(Location, f64)> {
        let mut found: Vec<_> = self
            .regions()
            .filter_map(|(c, r)| Some((c, r, great_circle_km(point, r.coordinates?))))
            .collect();
        found.sort_by(|a, b| a.2.total_cmp(&b.2));
        let places = found.into_iter().take(count);
        places.map(|(c, r, km)| (Location::new(c.id.clone(), r.region.clone()), km)).collect()
    }

    /// The regimes that requirements may name: [`KNOWN_REGIMES`] and all that a region attests.
    pub fn known_regimes(&self) -> BTreeSet<&str> {
        let attested = self.regions().flat_map(|(_, r)| r.compliance.iter().map(String::as_str));
        attested.chain(KNOWN_REGIMES).collect()
    }

    /// The blocs that requirements may name: those [known](known_blocs) and all that a region counts to.
    pub fn known_blocs(&self) -> BTreeSet<&str> {
        let named = self.regions().flat_map(|(_, r)| r.residency.iter().map(String::as_str));
        named.chain(known_blocs().iter().copied()).collect()
    }

    /// The countries that regions lie in, by ISO 3166-1 alpha-2 code.
    pub fn known_countries(&self) -> BTreeSet<&str> {
        self.regions().filter_map(|(_, r)| r.country.as_deref()).collect()
    }

    /// The [canonical name](canonical_regime) of a regime.
    ///
    /// ```
    /// let catalog = cloud_patterns::catalog::Catalog::builtin().unwrap();
    /// assert_eq!(catalog.regime("pci dss").unwrap(), "PCI-DSS");
    /// assert!(catalog.regime("GDRP").unwrap_err().to_string().contains("accepted: FEDRAMP,"));
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for one that is not among [`known_regimes`](Self::known_regimes), listing them.
    pub fn regime(&self, text: &str) -> Result<String> {
        let name = canonical_regime(text);
        let known = self.known_regimes();
        if known.contains(name.as_str()) {
            return Ok(name);
        }
        Err(unknown("compliance regime", text, some_of(known)))
    }

    /// The name of a bloc or of a country (ISO 3166-1 alpha-2) as regions bear it, in upper case.
    ///
    /// ```
    /// let catalog = cloud_patterns::catalog::Catalog::builtin().unwrap();
    /// assert_eq!(catalog.residency("eu").unwrap(), "EU");
    /// assert_eq!(catalog.residency("de").unwrap(), "DE");
    /// assert!(catalog.residency("Europe").is_err());
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for what is neither among [`known_blocs`](Self::known_blocs) nor
    /// [`known_countries`](Self::known_countries), listing both.
    pub fn residency(&self, text: &str) -> Result<String> {
        let wanted = text.trim();
        let (blocs, countries) = (self.known_blocs(), self.known_countries());
        let mut known = blocs.iter().chain(&countries);
        match known.find(|name| name.eq_ignore_ascii_case(wanted)) {
            Some(name) => Ok((*name).to_owned()),
            None => Err(unknown("residency", text, some_of(blocs.into_iter().chain(countries)))),
        }
    }

    /// A provider's instance type by its name, with its index. Several clouds of one provider share it.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), listing names that begin alike.
    pub fn instance_type(&self, provider: Provider, name: &str) -> Result<(u32, &CatalogType)> {
        let theirs = || self.types.iter().enumerate().filter(|(_, t)| t.provider == provider);
        let found = theirs().find(|(_, t)| t.name == name);
        found.map(|(i, t)| (i as u32, t)).ok_or_else(|| {
            let head: String = name.chars().take(2).collect();
            let alike = theirs().filter(|(_, t)| t.name.starts_with(&head)).map(|(_, t)| &t.name);
            unknown(&format!("{provider} instance type"), name, some_of(alike))
        })
    }

    /// A source by the index that figures bear.
    pub fn source(&self, index: u16) -> Option<&Source> {
        self.sources.get(usize::from(index))
    }
}

/// A name without case, accents of the Latin letters that cities bear, and punctuation.
pub(super) fn plain(name: &str) -> String {
    let folded = name.chars().flat_map(char::to_lowercase).map(|c| match c {
        'á' | 'à' | 'â' | 'ã' | 'ä' | 'å' => 'a',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'í' | 'ì' | 'î' | 'ï' => 'i',
        'ó' | 'ò' | 'ô' | 'õ' | 'ö' | 'ø' => 'o',
        'ú' | 'ù' | 'û' | 'ü' => 'u',
        'ç' => 'c',
        'ñ' => 'n',
        c => c,
    });
    folded.filter(|c| c.is_alphanumeric()).collect()
}
