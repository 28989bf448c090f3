//! A catalog whose prices are refreshed from the clouds' own price lists.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cloud_core::{
    BillingExt, Clock, Cloud, CloudId, Clouds, ErrorKind, Location, Price, PriceQuery, Provider,
    Result,
};
use futures::future;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use super::{
    Catalog, CatalogRegion, CatalogType, Warning,
    lookup::some_of,
    observed::{Draft, Place},
};

/// What a [`LiveCatalog`] knows, and what kept it from knowing more.
///
/// ```
/// # use cloud_patterns::catalog::Refreshed;
/// fn is_whole(refreshed: &Refreshed) -> bool { refreshed.warnings.is_empty() }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Refreshed {
    /// The catalog.
    pub catalog: Arc<Catalog>,
    /// What was left out, and which clouds could not be asked: those keep the prices they had.
    pub warnings: Vec<Warning>,
    /// When the clouds were asked.
    pub at: Timestamp,
}

/// A catalog with the prices that the clouds list, through [`Billing`](cloud_core::Billing): AWS's Price List, Azure's Retail Prices, Google's
/// Billing Catalog. Asked for at most once in a while, and by one caller at a time; the others wait for the answer.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::{sync::Arc, time::Duration};
/// use cloud_core::{Clouds, SystemClock};
/// use cloud_patterns::catalog::{Catalog, LiveCatalog};
///
/// let base = Catalog::builtin().unwrap();
/// let live = LiveCatalog::new(Clouds::default(), base, Arc::new(SystemClock), Duration::from_secs(6 * 3600));
/// let refreshed = live.get().await.unwrap();
/// assert!(refreshed.catalog.clouds.is_empty());
/// # });
/// ```
#[derive(Debug)]
pub struct LiveCatalog {
    clouds: Clouds,
    base: Catalog,
    clock: Arc<dyn Clock>,
    expiry: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The last complete listing of each cloud.
    listed: BTreeMap<CloudId, Catalog>,
    last: Option<Refreshed>,
    expires: Option<Timestamp>,
}

impl LiveCatalog {
    /// How much sooner than usual the clouds are asked again if one of them failed.
    const RETRY: u32 = 10;

    /// The facts of `base` for these clouds, under the prices that they list. `expiry` is how long an answer holds; if a
    /// cloud failed, a tenth of it.
    pub fn new(clouds: Clouds, base: &Catalog, clock: Arc<dyn Clock>, expiry: Duration) -> Self {
        let ids: Vec<_> = clouds.iter().map(|c| (c.id().clone(), c.provider())).collect();
        Self { clouds, base: base.for_clouds(&ids), clock, expiry, state: Mutex::default() }
    }

    /// The catalog, refreshed if what is known has expired. A cloud that fails, or whose list breaks off, keeps the prices
    /// of its last complete list, or else those of the base, and is named in the warnings.
    ///
    /// How long a cloud may take is the business of its time-out interceptor. Safe to drop: what was known stays, and the
    /// next caller asks again.
    ///
    /// # Errors
    /// As for [`Catalog::overlay`]; a cloud that fails is no error.
    pub async fn get(&self) -> Result<Refreshed> {
        let mut state = self.state.lock().await;
        let now = self.clock.now();
        match (&state.last, state.expires) {
            (Some(last), Some(expires)) if now < expires => Ok(last.clone()),
            _ => self.refresh(&mut state).await,
        }
    }

    /// Forgets nothing, but asks the clouds at the next [`get`](Self::get) however new what is known is. Safe to drop.
    pub async fn expire(&self) {
        self.state.lock().await.expires = None;
    }

    async fn refresh(&self, state: &mut State) -> Result<Refreshed> {
        let asked = self.clouds.iter().map(|cloud| ask(&**cloud));
        let answers = future::join_all(asked).await;
        // Nothing is awaited from here on: whoever drops this future leaves all of the state or none.
        let now = self.clock.now();
        let mut warnings = Vec::new();
        let mut failed = false;
        for (cloud, answer) in self.clouds.iter().zip(answers) {
            let id = cloud.id();
            match answer {
                Ok(prices) => {
                    let (listed, left_out) = self.listed(id, cloud.provider(), &prices, now)?;
                    warnings.extend(left_out);
                    state.listed.insert(id.clone(), listed);
                }
                // What is not offered is unknown, but nothing went wrong.
                Err(e) if e.kind() == ErrorKind::Unsupported => {}
                Err(e) => {
                    failed = true;
                    let reason = e.to_string();
                    warnings.push(Warning::Unread { cloud: id.clone(), region: None, reason });
                }
            }
        }
        let mut catalog = self.base.clone();
        for listed in state.listed.values() {
            catalog.overlay(listed)?;
        }
        let refreshed = Refreshed { catalog: Arc::new(catalog), warnings, at: now };
        let holds = if failed { self.expiry / Self::RETRY } else { self.expiry };
        let holds = SignedDuration::try_from(holds).unwrap_or(SignedDuration::MAX);
        state.expires = Some(now.checked_add(holds).unwrap_or(Timestamp::MAX));
        state.last = Some(refreshed.clone());
        Ok(refreshed)
    }

    /// A cloud's price list as a catalog of its own. The sizes of the instance types are the base's.
    fn listed(
        &self,
        cloud: &CloudId,
        provider: Provider,
        prices: &[Price],
        now: Timestamp,
    ) -> Result<(Catalog, Vec<Warning>)> {
        let mut draft = Draft::new(self.base.currency.clone());
        let source = draft.source(cloud, now)?;
        let place = Place { cloud, provider, source };
        let types: BTreeMap<&str, &CatalogType> = self
            .base
            .types
            .iter()
            .filter(|t| t.provider == provider)
            .map(|t| (t.name.as_str(), t))
            .collect();
        let mut sizes: BTreeMap<&str, u32> = BTreeMap::new();
        let mut nameless = std::collections::BTreeSet::new();
        for price in prices {
            let home = Location::new(cloud.clone(), price.region.clone());
            // Of the region itself the list says nothing: that stays as the base knows it, with its source.
            let region = match self.base.region(&home) {
                Ok(known) => {
                    let source = draft.add_source_of(&self.base, known.source)?;
                    CatalogRegion {
                        available: known.available,
                        ..CatalogRegion::new(price.region.clone(), source)
                    }
                }
                Err(_) => CatalogRegion::new(price.region.clone(), source),
            };
            let at = draft.region_mut(&place, region);
            let size = match (sizes.get(price.sku.as_str()), types.get(price.sku.as_str())) {
                (Some(size), _) => Some(*size),
                (None, Some(known)) => {
                    let source = draft.add_source_of(&self.base, known.source)?;
                    let size = draft.intern(CatalogType { source, ..(*known).clone() })?;
                    sizes.insert(&known.name, size);
                    Some(size)
                }
                (None, None) => None,
            };
            if !draft.price_at(&place, at, size, price) {
                nameless.insert(price.sku.as_str());
            }
        }
        if !nameless.is_empty() {
            let reason = format!(
                "the prices of {} instance types whose size is unknown: {}",
                nameless.len(),
                some_of(&nameless)
            );
            draft.warn(Warning::FactLeftOut { cloud: cloud.clone(), region: None, reason });
        }
        Ok(draft.finish())
    }
}

async fn ask(cloud: &dyn Cloud) -> Result<Vec<Price>> {
    let billing = cloud.billing()?;
    let prices = billing.list_prices(&PriceQuery::default()).complete().await?;
    Ok(prices.into_items())
}
