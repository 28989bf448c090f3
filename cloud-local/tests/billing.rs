//! List prices come from the configuration alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use cloud_core::{BillingExt, Cloud, CostQuery, ErrorKind, PriceQuery, PriceUnit, ResourceType};
use common::{Folder, region};

#[tokio::test]
async fn prices_are_those_of_the_configuration() {
    let folder = Folder::new();
    let mut config = folder.config();
    config.prices = serde_json::from_str(
        r#"{"vcpu_hour": "0.02", "gib_hour": "0.005", "storage_gib_month": "0.023"}"#,
    )
    .unwrap();
    let cloud = folder.open_with(config).await;
    assert!(cloud.capabilities().billing.as_ref().unwrap().prices);
    let billing = cloud.billing().unwrap();
    let all = billing.list_prices(&PriceQuery::default()).complete().await.unwrap();
    // Four instance types and storage, in two regions; databases have no known price.
    assert_eq!(all.items().len(), 10);
    let query = PriceQuery {
        region: Some(region("us-1")),
        resource_type: Some(ResourceType::Compute),
        sku: Some("local.2x4".into()),
    };
    let one = billing.list_prices(&query).complete().await.unwrap();
    let price = &one.items()[0];
    assert_eq!((one.items().len(), price.unit), (1, PriceUnit::Hour));
    assert_eq!(price.price.to_string(), "0.060 USD");
    let query = CostQuery {
        from: jiff::Timestamp::UNIX_EPOCH,
        to: jiff::Timestamp::now(),
        group_by: Vec::new(),
    };
    let error = billing.query_costs(&query).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn without_prices_none_are_declared() {
    let folder = Folder::new();
    let cloud = folder.open().await;
    assert!(!cloud.capabilities().billing.as_ref().unwrap().prices);
    let billing = cloud.billing().unwrap();
    let listed = billing.list_prices(&PriceQuery::default()).complete().await;
    assert_eq!(listed.unwrap_err().kind(), ErrorKind::Unsupported);
}
