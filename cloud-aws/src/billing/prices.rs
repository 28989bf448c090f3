//! List prices: products of the Price List, page by page, family by family and region by region.

use std::collections::BTreeMap;

use aws_sdk_pricing::types::{Filter, FilterType};
use cloud_core::{
    Currency, Error, ErrorKind, Money, Page, PageRequest, Price, PriceQuery, PriceUnit, Purchase,
    Region, ResourceType, Result,
};
use jiff::Timestamp;
use serde::Deserialize;

use super::{AwsBilling, amount};
use crate::{
    account::GLOBAL,
    error::{reads, unbuilt},
    listing,
};

/// The most products on a page of AWS.
const PAGE: i32 = 100;

/// What is asked of the Price List for a family.
#[derive(Debug)]
struct Family {
    resource_type: ResourceType,
    /// AWS's code of the service.
    service: &'static str,
    /// The attribute that is the item of a price.
    sku: &'static str,
    /// What is common to all its products.
    only: &'static [(&'static str, &'static str)],
}

/// All families ([attributes](https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/reading-service-price-list-file-for-services.html)).
const FAMILIES: &[Family] = &[
    Family {
        resource_type: ResourceType::Compute,
        service: "AmazonEC2",
        sku: "instanceType",
        only: &[
            ("operatingSystem", "Linux"),
            ("tenancy", "Shared"),
            ("preInstalledSw", "NA"),
            ("capacitystatus", "Used"),
            ("marketoption", "OnDemand"),
        ],
    },
    Family {
        resource_type: ResourceType::Storage,
        service: "AmazonS3",
        sku: "volumeType",
        only: &[("productFamily", "Storage")],
    },
    Family {
        resource_type: ResourceType::Database,
        service: "AmazonRDS",
        sku: "instanceType",
        only: &[
            ("productFamily", "Database Instance"),
            ("databaseEngine", "PostgreSQL"),
            ("deploymentOption", "Single-AZ"),
        ],
    },
];

impl AwsBilling {
    pub(super) async fn prices(
        &self,
        query: &PriceQuery,
        page: &PageRequest,
    ) -> Result<Page<Price>> {
        let regions = match &query.region {
            Some(region) => std::slice::from_ref(region),
            None => self.account.regions(),
        };
        let wanted = FAMILIES.iter().filter(|family| {
            query.resource_type.is_none_or(|wanted| wanted == family.resource_type)
        });
        let mut places = Vec::new();
        for family in wanted {
            for region in regions.iter().filter(|region| region.as_str() != GLOBAL) {
                places.push(Region::new(format!("{}_{region}", family.service))?);
            }
        }
        let size = listing::native_size(page, 1, PAGE);
        let found = listing::over(
            &places,
            page,
            |(key, _): &(String, Price)| key,
            |(_, price)| query.matches(price),
            |place, token| self.products(place, query.sku.as_deref(), size, token),
        );
        Ok(found.await?.map(|(_, price)| price))
    }

    /// One page of the products of a family in a region, which together are the place.
    async fn products(
        &self,
        place: Region,
        sku: Option<&str>,
        size: i32,
        token: Option<String>,
    ) -> Result<listing::NativePage<(String, Price)>> {
        let known = place.as_str().split_once('_').and_then(|(service, region)| {
            Some((FAMILIES.iter().find(|family| family.service == service)?, region))
        });
        let Some((family, region)) = known else {
            return Ok((Vec::new(), None));
        };
        let region = Region::new(region)?;
        let filters = family.only.iter().copied();
        let filters = filters.chain([("regionCode", region.as_str())]);
        let filters = filters.chain(sku.map(|sku| (family.sku, sku))).map(|(field, value)| {
            let filter = Filter::builder().r#type(FilterType::TermMatch);
            filter.field(field).value(value).build().map_err(unbuilt)
        });
        let filters = filters.collect::<Result<Vec<_>>>()?;
        let request = self.account.pricing(&region_of_the_list()?)?.get_products();
        let answer = request
            .service_code(family.service)
            .set_filters(Some(filters))
            .format_version("aws_v1")
            .max_results(size)
            .set_next_token(token)
            .send()
            .await
            .map_err(reads("pricing"))?;
        let mut prices = Vec::new();
        for text in answer.price_list.unwrap_or_default() {
            prices.extend(read(&text, family, &region)?);
        }
        Ok((prices, answer.next_token.filter(|token| !token.is_empty())))
    }
}

/// Where the Price List is; the client knows it, and ignores what it is given.
fn region_of_the_list() -> Result<Region> {
    Region::new("us-east-1")
}

#[derive(Debug, Deserialize)]
struct Item {
    product: Product,
    #[serde(default)]
    terms: Terms,
}

#[derive(Debug, Deserialize)]
struct Product {
    sku: String,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
struct Terms {
    #[serde(rename = "OnDemand", default)]
    on_demand: BTreeMap<String, Term>,
    #[serde(rename = "Reserved", default)]
    reserved: BTreeMap<String, Term>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Term {
    effective_date: Timestamp,
    #[serde(default)]
    term_attributes: BTreeMap<String, String>,
    price_dimensions: BTreeMap<String, Rate>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rate {
    unit: String,
    #[serde(default)]
    begin_range: Option<String>,
    price_per_unit: BTreeMap<String, String>,
}

/// The prices of a product, each with a key that orders them. What has no unit of ours is left out.
fn read(text: &str, family: &Family, region: &Region) -> Result<Vec<(String, Price)>> {
    let item: Item = serde_json::from_str(text).map_err(|e| {
        Error::new(ErrorKind::Internal, format!("a product of the Price List cannot be read: {e}"))
    })?;
    let Some(sku) = item.product.attributes.get(family.sku) else {
        return Ok(Vec::new());
    };
    let on_demand = item.terms.on_demand.values().map(|term| (Purchase::OnDemand, term));
    let reserved = item.terms.reserved.values().filter(|term| is_plain_year(term));
    let reserved = reserved.map(|term| (Purchase::Reserved, term));
    let mut prices = Vec::new();
    for (purchase, term) in on_demand.chain(reserved) {
        for rate in term.price_dimensions.values().filter(|rate| is_first_tier(rate)) {
            let (Some(unit), Some(price)) = (unit(&rate.unit), money(&rate.price_per_unit)?) else {
                continue;
            };
            let key = format!("{} {purchase:?} {unit:?}", item.product.sku);
            prices.push((
                key,
                Price {
                    sku: sku.clone(),
                    resource_type: family.resource_type,
                    region: region.clone(),
                    unit,
                    price,
                    purchase,
                    as_of: term.effective_date,
                },
            ));
        }
    }
    Ok(prices)
}

/// Reserved for a year, nothing paid in advance, not convertible.
fn is_plain_year(term: &Term) -> bool {
    let is = |key: &str, value: &str| term.term_attributes.get(key).is_some_and(|v| v == value);
    is("LeaseContractLength", "1yr")
        && is("PurchaseOption", "No Upfront")
        && term.term_attributes.get("OfferingClass").is_none_or(|class| class == "standard")
}

fn is_first_tier(rate: &Rate) -> bool {
    rate.begin_range.as_deref().is_none_or(|begin| begin == "0")
}

fn unit(unit: &str) -> Option<PriceUnit> {
    match unit {
        "Hrs" | "hrs" | "Hours" => Some(PriceUnit::Hour),
        "GB-Mo" | "GB-month" => Some(PriceUnit::GibMonth),
        "GB" => Some(PriceUnit::Gib),
        _ => None,
    }
}

/// In US dollars where there are some; in China there are none.
fn money(prices: &BTreeMap<String, String>) -> Result<Option<Money>> {
    let usd = prices.get_key_value("USD");
    let Some((currency, text)) = usd.or_else(|| prices.iter().next()) else {
        return Ok(None);
    };
    let amount = amount(text)?.normalize();
    Ok(Some(Money { amount, currency: Currency::new(currency.as_str())? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the form that the documentation of GetProducts shows.
    const INSTANCE: &str = r#"{
        "product": {
            "productFamily": "Compute Instance",
            "attributes": {"instanceType": "t3.micro", "regionCode": "eu-central-1", "operatingSystem": "Linux"},
            "sku": "SKU1"
        },
        "serviceCode": "AmazonEC2",
        "terms": {
            "OnDemand": {"SKU1.A": {
                "priceDimensions": {"SKU1.A.1": {
                    "unit": "Hrs", "endRange": "Inf", "description": "per hour", "appliesTo": [],
                    "rateCode": "SKU1.A.1", "beginRange": "0", "pricePerUnit": {"USD": "0.0120000000"}
                }},
                "sku": "SKU1", "effectiveDate": "2026-01-01T00:00:00Z", "offerTermCode": "A", "termAttributes": {}
            }},
            "Reserved": {
                "SKU1.B": {
                    "priceDimensions": {"SKU1.B.1": {"unit": "Hrs", "beginRange": "0", "pricePerUnit": {"USD": "0.0075"}}},
                    "effectiveDate": "2025-06-01T00:00:00Z",
                    "termAttributes": {"LeaseContractLength": "1yr", "OfferingClass": "standard", "PurchaseOption": "No Upfront"}
                },
                "SKU1.C": {
                    "priceDimensions": {"SKU1.C.1": {"unit": "Quantity", "beginRange": "0", "pricePerUnit": {"USD": "60"}}},
                    "effectiveDate": "2025-06-01T00:00:00Z",
                    "termAttributes": {"LeaseContractLength": "1yr", "OfferingClass": "standard", "PurchaseOption": "All Upfront"}
                },
                "SKU1.D": {
                    "priceDimensions": {"SKU1.D.1": {"unit": "Hrs", "beginRange": "0", "pricePerUnit": {"USD": "0.005"}}},
                    "effectiveDate": "2025-06-01T00:00:00Z",
                    "termAttributes": {"LeaseContractLength": "3yr", "OfferingClass": "standard", "PurchaseOption": "No Upfront"}
                }
            }
        },
        "version": "1", "publicationDate": "2026-01-01T00:00:00Z"
    }"#;

    const STORAGE: &str = r#"{
        "product": {"attributes": {"volumeType": "Standard"}, "sku": "SKU2"},
        "terms": {"OnDemand": {"SKU2.A": {
            "effectiveDate": "2026-01-01T00:00:00Z",
            "priceDimensions": {
                "SKU2.A.1": {"unit": "GB-Mo", "beginRange": "51200", "endRange": "512000", "pricePerUnit": {"USD": "0.0235"}},
                "SKU2.A.2": {"unit": "GB-Mo", "beginRange": "0", "endRange": "51200", "pricePerUnit": {"USD": "0.0245"}}
            }
        }}}
    }"#;

    fn read_all(text: &str, family: usize) -> Vec<(String, String, PriceUnit, Purchase, String)> {
        let region = Region::new("eu-central-1").unwrap();
        let prices = read(text, &FAMILIES[family], &region).unwrap();
        let row = |price: Price| {
            (
                price.sku,
                price.price.to_string(),
                price.unit,
                price.purchase,
                price.as_of.to_string(),
            )
        };
        prices.into_iter().map(|(_, price)| row(price)).collect()
    }

    #[test]
    fn an_instance_has_its_price_on_demand_and_for_a_plain_year() {
        let wanted = [
            ("0.012 USD", Purchase::OnDemand, "2026-01-01T00:00:00Z"),
            ("0.0075 USD", Purchase::Reserved, "2025-06-01T00:00:00Z"),
        ];
        let wanted = wanted.map(|(price, purchase, at)| {
            ("t3.micro".to_owned(), price.to_owned(), PriceUnit::Hour, purchase, at.to_owned())
        });
        assert_eq!(read_all(INSTANCE, 0), wanted);
    }

    #[test]
    fn of_tiers_the_first_counts() {
        let prices = read_all(STORAGE, 1);
        assert_eq!(prices.len(), 1);
        assert_eq!((prices[0].1.as_str(), prices[0].2), ("0.0245 USD", PriceUnit::GibMonth));
    }

    #[test]
    fn what_is_no_product_is_an_error_and_what_has_no_item_is_left_out() {
        let region = Region::new("eu-central-1").unwrap();
        assert!(read("{}", &FAMILIES[0], &region).is_err());
        assert!(read(STORAGE, &FAMILIES[0], &region).unwrap().is_empty());
    }

    #[test]
    fn other_currencies_are_kept() {
        let yuan = BTreeMap::from([("CNY".to_owned(), "1.50".to_owned())]);
        assert_eq!(money(&yuan).unwrap().unwrap().to_string(), "1.5 CNY");
        assert!(money(&BTreeMap::new()).unwrap().is_none());
    }
}
