//! Price lists as CSV, laid over a catalog.

use std::collections::{BTreeSet, HashMap};

use cloud_core::{ByteSize, CloudId, Currency, Decimal, Error, Location, Region, Result};
use csv::StringRecord;

use super::{
    Architecture, Catalog, CatalogCloud, CatalogRegion, CatalogType, InstanceOffer, Source,
    validate::check_price,
};

/// The columns; the first three must be there.
const COLUMNS: [&str; 11] = [
    "cloud",
    "region",
    "instance_type",
    "vcpu",
    "memory_gib",
    "gpu",
    "architecture",
    "on_demand",
    "spot",
    "reserved",
    "currency",
];

impl Catalog {
    /// Lays the prices of a CSV file over it, all of them or, on an error, none. They win over what is there.
    ///
    /// Columns, by the names in the first line: `cloud`, `region`, `instance_type`; for instance types that the catalog does
    /// not know `vcpu`, `memory_gib`, and if need be `gpu` and `architecture`; the hourly prices `on_demand`, `spot`,
    /// `reserved`, empty where unknown; `currency`, by default the catalog's. `file` is for errors only.
    ///
    /// ```
    /// use cloud_patterns::catalog::{Catalog, Source};
    /// let mut catalog = Catalog::builtin().unwrap().clone();
    /// let ours = Source { as_of: "2026-11-01T00:00:00Z".parse().ok(), ..Source::new("our contract") };
    /// catalog.overlay_prices("prices.csv", "cloud,region,instance_type,on_demand\naws,eu-west-1,m5.large,0.08\n", ours.clone()).unwrap();
    /// let error = catalog.overlay_prices("prices.csv", "cloud,region,instance_type,on_demand\naws,eu-west-1,m5.large,-1\n", ours);
    /// assert!(error.unwrap_err().to_string().contains("prices.csv, line 2: on_demand is -1; accepted: 0 to 10000"));
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) with file, line and field for what cannot be read, a price that is
    /// negative or over 10,000, another currency, or an offer that comes twice;
    /// [`NotFound`](cloud_core::ErrorKind::NotFound) for a cloud or region that the catalog does not have.
    pub fn overlay_prices(&mut self, file: &str, text: &str, source: Source) -> Result<()> {
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let columns = Columns::new(reader.headers().map_err(|e| unreadable(file, &e))?)
            .map_err(|e| e.context(format_args!("{file}, line 1")))?;
        let mut over = Catalog { sources: vec![source], ..Catalog::new(self.currency.clone()) };
        let mut draft =
            Draft { base: self, over: &mut over, types: HashMap::new(), seen: BTreeSet::new() };
        for record in reader.records() {
            let record = record.map_err(|e| unreadable(file, &e))?;
            let line = record.position().map_or(0, csv::Position::line);
            let row = Row { columns: &columns, record: &record };
            draft.add(&row).map_err(|e| e.context(format_args!("{file}, line {line}")))?;
        }
        over.sort();
        self.overlay(&over)
    }
}

fn unreadable(file: &str, error: &csv::Error) -> Error {
    Error::invalid(file, format_args!("cannot be read: {error}"), "comma-separated UTF-8 text")
}

/// Where each column stands in a line.
struct Columns([Option<usize>; COLUMNS.len()]);

impl Columns {
    fn new(header: &StringRecord) -> Result<Self> {
        let mut at = [None; COLUMNS.len()];
        for (i, name) in header.iter().enumerate() {
            let known = COLUMNS.iter().position(|c| *c == name);
            let problem = match known {
                Some(column) if at[column].is_none() => {
                    at[column] = Some(i);
                    continue;
                }
                Some(_) => "comes twice",
                None => "is unknown",
            };
            let field = format!("column '{}'", name.escape_debug());
            return Err(Error::invalid(&field, problem, COLUMNS.join(", ")));
        }
        match at.iter().zip(COLUMNS).take(3).find(|(at, _)| at.is_none()) {
            None => Ok(Self(at)),
            Some((_, name)) => {
                let field = format!("column '{name}'");
                Err(Error::invalid(&field, "is missing", COLUMNS.join(", ")))
            }
        }
    }
}

struct Row<'a> {
    columns: &'a Columns,
    record: &'a StringRecord,
}

impl<'a> Row<'a> {
    /// What stands in a column; `None` if it is empty or not there.
    fn get(&self, column: &str) -> Option<&'a str> {
        let at = COLUMNS.iter().position(|c| *c == column)?;
        self.record.get(self.columns.0[at]?).filter(|text| !text.is_empty())
    }

    fn need(&self, column: &str) -> Result<&'a str> {
        self.get(column).ok_or_else(|| Error::invalid(column, "is empty", "a value"))
    }

    fn number<T: std::str::FromStr>(&self, column: &str) -> Result<Option<T>> {
        let Some(text) = self.get(column) else {
            return Ok(None);
        };
        let problem = || format!("is '{}'", text.escape_debug());
        text.parse().map(Some).map_err(|_| Error::invalid(column, problem(), "a number"))
    }

    fn price(&self, column: &str) -> Result<Option<Decimal>> {
        let price = self.number::<Decimal>(column)?;
        price.map_or(Ok(()), |price| check_price(column, price))?;
        Ok(price)
    }
}

struct Draft<'a> {
    base: &'a Catalog,
    over: &'a mut Catalog,
    /// Index in `over` by cloud and name.
    types: HashMap<(CloudId, String), u32>,
    seen: BTreeSet<(CloudId, Region, u32)>,
}

impl Draft<'_> {
    fn add(&mut self, row: &Row<'_>) -> Result<()> {
        let cloud = CloudId::new(row.need("cloud")?)?;
        let place = Location::new(cloud.clone(), Region::new(row.need("region")?)?);
        // Of the region itself the list says nothing: that stays as it is, with its source.
        let known = self.base.region(&place)?;
        let source = self.over.add_source_of(self.base, known.source)?;
        if let Some(text) = row.get("currency")
            && Currency::new(text)? != self.base.currency
        {
            let accepted = format_args!("{}, the catalog's", self.base.currency);
            return Err(Error::invalid("currency", format_args!("is {text}"), accepted));
        }
        let instance_type = self.instance_type(&cloud, row)?;
        if !self.seen.insert((cloud.clone(), place.region.clone(), instance_type)) {
            let problem = format_args!("comes twice for {place}");
            return Err(Error::invalid("instance_type", problem, "each offer once"));
        }
        let offer = InstanceOffer {
            on_demand: row.price("on_demand")?,
            spot: row.price("spot")?,
            reserved: row.price("reserved")?,
            ..InstanceOffer::new(instance_type, 0)
        };
        let provider = self.base.cloud(&cloud)?.provider;
        let clouds = &mut self.over.clouds;
        let i = clouds.iter().position(|c| c.id == cloud).unwrap_or_else(|| {
            let regions = Vec::new();
            clouds.push(CatalogCloud {
                id: cloud,
                provider,
                regions,
                quotas: Vec::new(),
                quota_source: None,
            });
            clouds.len() - 1
        });
        let regions = &mut clouds[i].regions;
        let i = regions.iter().position(|r| r.region == place.region).unwrap_or_else(|| {
            let available = known.available;
            regions.push(CatalogRegion { available, ..CatalogRegion::new(place.region, source) });
            regions.len() - 1
        });
        regions[i].instances.push(offer);
        Ok(())
    }

    /// The row's type in the draft: as the row says, or else as the catalog knows it.
    fn instance_type(&mut self, cloud: &CloudId, row: &Row<'_>) -> Result<u32> {
        let name = row.need("instance_type")?;
        let provider = self.base.cloud(cloud)?.provider;
        let (vcpu, memory) = (row.number::<u32>("vcpu")?, row.number::<Decimal>("memory_gib")?);
        let stated = match (vcpu, memory) {
            (Some(vcpu), Some(memory)) => Some(CatalogType {
                provider,
                name: name.into(),
                vcpu,
                memory: gib(memory)?,
                gpu: row.number("gpu")?.unwrap_or(0),
                architecture: row.get("architecture").map(|a| Architecture::from(a.to_owned())),
                source: 0,
            }),
            (None, None) => None,
            (None, _) => {
                return Err(Error::invalid("vcpu", "is empty", "a number, as there is memory_gib"));
            }
            (_, None) => {
                return Err(Error::invalid("memory_gib", "is empty", "a number, as there is vcpu"));
            }
        };
        if let Some(stated) = &stated {
            stated.check()?;
        }
        let key = (cloud.clone(), name.to_owned());
        if let Some(index) = self.types.get(&key) {
            let known = &self.over.types[*index as usize];
            if stated.as_ref().is_some_and(|stated| !stated.same(known)) {
                return Err(Error::invalid(
                    "instance_type",
                    "has another size in a line before",
                    "one size",
                ));
            }
            return Ok(*index);
        }
        let one = match stated {
            Some(stated) => stated,
            None => match self.base.instance_type(provider, name) {
                Ok((_, known)) => {
                    let source = self.over.add_source_of(self.base, known.source)?;
                    CatalogType { source, ..known.clone() }
                }
                Err(e) => {
                    return Err(e.with_hint(
                        "state vcpu and memory_gib for a type that the catalog does not know",
                    ));
                }
            },
        };
        let index = self.over.types.len() as u32;
        self.over.types.push(one);
        self.types.insert(key, index);
        Ok(index)
    }
}

fn gib(memory: Decimal) -> Result<ByteSize> {
    let bytes = memory.checked_mul(Decimal::from(1u64 << 30)).map(|b| b.trunc());
    let bytes = bytes.and_then(|b| u64::try_from(b).ok());
    bytes
        .map(ByteSize::from_bytes)
        .ok_or_else(|| Error::invalid("memory_gib", format_args!("is {memory}"), "0 to 1000000"))
}
