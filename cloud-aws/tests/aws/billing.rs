//! Billing: budgets and costs at moto; the Price List, which no emulator has, by answers in its documented form.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use cloud_aws::{AwsBudgetAlert, AwsBudgetPeriod, AwsBudgetSpec, AwsSubscriber};
use cloud_core::{
    Billing, BillingExt, ClientToken, CostGroup, CostQuery, Effect, ErrorKind, Money, PriceQuery,
    PriceUnit, Purchase, ResourceType,
};
use serde_json::{Value, json};

use cloud_rig::{Fault, Kind, Reply, Seen, What};

use crate::harness::{Aws, REGIONS, open, region};

fn body(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body).unwrap()
}

fn answer(body: &Value) -> What {
    What::answer(Reply::new(200, "application/x-amz-json-1.1", body.to_string()))
}

/// The requests for an operation.
fn sent(aws: &Aws, operation: &str) -> Vec<Value> {
    let requests = aws.proxy.requests();
    requests.iter().filter(|seen| seen.operation == operation).map(body).collect()
}

fn budget(name: &str) -> AwsBudgetSpec {
    let mut spec = AwsBudgetSpec::new(name, Money::usd("99.5".parse().unwrap()));
    spec.period = AwsBudgetPeriod::Quarterly;
    let tell = vec![
        AwsSubscriber::Email("team@example.com".into()),
        AwsSubscriber::Sns("arn:aws:sns:us-east-1:123456789012:costs".into()),
    ];
    spec.alerts.push(AwsBudgetAlert { percent: 80, forecast: true, tell });
    spec
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_is_made_listed_and_deleted_once() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let (billing, token) = (aws.cloud.aws_billing(), ClientToken::random());
    let spec = budget(&format!("b-{}", &token.as_str()[..8]));
    billing.create_budget(&spec, &token).await.unwrap();
    let listed = billing.list_budgets().await.unwrap();
    let made = listed.iter().find(|budget| budget.name == spec.name).unwrap();
    assert_eq!((made.limit.as_ref(), made.period), (Some(&spec.limit), Some(spec.period)));
    assert_eq!(made.spent.as_ref().unwrap().to_string(), "0 USD");

    let request = &sent(&aws, "CreateBudget")[0];
    assert_eq!(request["AccountId"], "123456789012");
    let alert = &request["NotificationsWithSubscribers"][0];
    assert_eq!(alert["Notification"]["NotificationType"], "FORECASTED");
    assert_eq!(alert["Notification"]["Threshold"], 80.0);
    assert_eq!(alert["Subscribers"][1]["SubscriptionType"], "SNS");

    assert!(billing.delete_budget(&spec.name).await.unwrap());
    assert!(!billing.delete_budget(&spec.name).await.unwrap());
    assert_eq!(aws.proxy.requests().iter().filter(|seen| seen.service == "sts").count(), 1);
}

/// Moto keeps no tags of budgets, so what they say is answered in its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_that_is_there_is_ours_by_its_tag() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let (billing, token) = (aws.cloud.aws_billing(), ClientToken::random());
    let spec = budget(&format!("b-{}", &token.as_str()[..8]));
    billing.create_budget(&spec, &token).await.unwrap();
    let tags = sent(&aws, "CreateBudget")[0]["ResourceTags"].clone();
    assert_eq!(tags[0]["Key"], "multicloud-request");
    let of = |tags: &Value| {
        Fault::on("budgets", "ListTagsForResource", answer(&json!({"ResourceTags": tags})))
    };

    let elsewhere = open(&aws.proxy.url(), aws.emulator.keys()).await.aws_billing();
    aws.proxy.inject(of(&tags));
    elsewhere.create_budget(&spec, &token).await.unwrap();
    aws.proxy.inject(of(&tags));
    let mut other = spec.clone();
    other.alerts.clear();
    let elsewhere = open(&aws.proxy.url(), aws.emulator.keys()).await.aws_billing();
    let error = elsewhere.create_budget(&other, &token).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Conflict, Effect::None), "{error:?}");
    aws.proxy.inject(of(&json!([])));
    let error = billing.create_budget(&spec, &ClientToken::random()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::AlreadyExists, Effect::None),
        "{error:?}"
    );
    assert_eq!(aws.proxy.faults_left(), 0);
}

/// Tells moto what its next answer of Cost Explorer is.
fn prepare(aws: &Aws, results: &Value) {
    let text = json!({ "results": [results] }).to_string();
    let mut stream = TcpStream::connect(aws.emulator.server().address()).unwrap();
    write!(
        stream,
        "POST /moto-api/static/ce/cost-and-usage-results HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    )
    .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 2"), "{reply}");
}

fn month(start: &str, estimated: bool, groups: &[(&[&str], &str)]) -> Value {
    let groups: Vec<_> = groups
        .iter()
        .map(|(keys, amount)| {
            json!({"Keys": keys, "Metrics": {"UnblendedCost": {"Amount": amount, "Unit": "USD"}}})
        })
        .collect();
    json!({"TimePeriod": {"Start": start, "End": "2026-03-01"}, "Total": {}, "Groups": groups, "Estimated": estimated})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn costs_are_summed_over_months_and_pages() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let billing = aws.cloud.aws_billing();
    let query = CostQuery {
        from: "2026-01-15T13:00:00Z".parse().unwrap(),
        to: "2026-03-01T00:00:00Z".parse().unwrap(),
        group_by: vec![CostGroup::Service, CostGroup::Tag("team".into())],
    };
    let january = month(
        "2026-01-15",
        false,
        &[(&["Amazon EC2", "team$orders"], "10.10"), (&["Amazon S3", "team$"], "1")],
    );
    let february = month("2026-02-01", true, &[(&["Amazon EC2", "team$orders"], "0.0000000001")]);
    let wanted =
        [("Amazon EC2", "orders", "10.1000000001 USD", true), ("Amazon S3", "", "1 USD", false)];
    // In one answer of moto, and on two pages of the documented form.
    let pages = |seen: &Seen| seen.operation == "GetCostAndUsage";
    for paged in [false, true] {
        match paged {
            false => prepare(&aws, &json!({"ResultsByTime": [january, february]})),
            true => {
                let first = json!({"ResultsByTime": [january], "NextPageToken": "next"});
                aws.proxy.inject(Fault::when(pages, answer(&first)));
                aws.proxy.inject(Fault::when(pages, answer(&json!({"ResultsByTime": [february]}))));
            }
        }
        let items = billing.query_costs(&query).await.unwrap();
        let read: Vec<_> = items
            .iter()
            .map(|i| {
                (
                    i.group["service"].as_str(),
                    i.group["team"].as_str(),
                    i.cost.to_string(),
                    i.estimated,
                )
            })
            .collect();
        let wanted = wanted
            .map(|(service, team, cost, estimated)| (service, team, cost.to_owned(), estimated));
        assert_eq!(read, wanted);
        assert!(items.iter().all(|item| item.cloud.as_str() == "aws"));
    }
    let requests = sent(&aws, "GetCostAndUsage");
    assert_eq!(requests[0]["TimePeriod"], json!({"Start": "2026-01-15", "End": "2026-03-01"}));
    assert_eq!(requests[0]["GroupBy"][1], json!({"Type": "TAG", "Key": "team"}));
    assert_eq!((requests.len(), &requests[2]["NextPageToken"]), (3, &json!("next")));

    let total = json!({"ResultsByTime": [{
        "TimePeriod": {"Start": "2026-01-15", "End": "2026-02-01"},
        "Total": {"UnblendedCost": {"Amount": "3.5", "Unit": "USD"}}, "Groups": [], "Estimated": false
    }]});
    prepare(&aws, &total);
    let items =
        billing.query_costs(&CostQuery { group_by: Vec::new(), ..query.clone() }).await.unwrap();
    assert_eq!((items.len(), items[0].cost.to_string().as_str()), (1, "3.5 USD"));

    let group_by = vec![CostGroup::Service, CostGroup::Region, CostGroup::Tag("team".into())];
    let error = billing.query_costs(&CostQuery { group_by, ..query }).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::InvalidInput && error.to_string().contains("at most 2"),
        "{error}"
    );
}

/// A product in the form that the documentation of GetProducts shows.
fn product(sku: &str, attributes: &Value, unit: &str, usd: &str) -> String {
    json!({
        "product": {"productFamily": "any", "attributes": attributes, "sku": sku},
        "serviceCode": "any",
        "terms": {"OnDemand": {"T": {
            "priceDimensions": {"R": {"unit": unit, "beginRange": "0", "endRange": "Inf", "pricePerUnit": {"USD": usd}}},
            "sku": sku, "effectiveDate": "2026-01-01T00:00:00Z", "termAttributes": {}
        }}},
        "version": "1"
    })
    .to_string()
}

fn filters(request: &Value) -> Vec<(String, String)> {
    let text = |filter: &Value, field: &str| filter[field].as_str().unwrap().to_owned();
    let filters = request["Filters"].as_array().unwrap().iter();
    filters.map(|filter| (text(filter, "Field"), text(filter, "Value"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prices_are_listed_family_by_family_and_page_by_page() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let billing = aws.cloud.aws_billing();
    let on = |body: Value| Fault::on("pricing", "GetProducts", answer(&body));
    let instance =
        |sku: &str, name: &str| product(sku, &json!({"instanceType": name}), "Hrs", "0.01");
    aws.proxy.inject(on(json!({"FormatVersion": "aws_v1", "PriceList": [instance("S1", "t3.micro")], "NextToken": "more"})));
    aws.proxy
        .inject(on(json!({"FormatVersion": "aws_v1", "PriceList": [instance("S2", "t3.small")]})));
    let storage = product("S3", &json!({"volumeType": "Standard"}), "GB-Mo", "0.023");
    aws.proxy.inject(on(json!({"FormatVersion": "aws_v1", "PriceList": [storage]})));
    let database = product("S4", &json!({"instanceType": "db.t3.micro"}), "Hrs", "0.018");
    aws.proxy.inject(on(json!({"FormatVersion": "aws_v1", "PriceList": [database]})));
    let query = PriceQuery { region: Some(region(REGIONS[1])), ..PriceQuery::default() };
    let prices = billing.list_prices(&query).complete().await.unwrap().into_items();
    let read: Vec<_> = prices
        .iter()
        .map(|p| (p.sku.as_str(), p.resource_type, p.unit, p.price.to_string()))
        .collect();
    let wanted = [
        ("t3.micro", ResourceType::Compute, PriceUnit::Hour, "0.01 USD"),
        ("t3.small", ResourceType::Compute, PriceUnit::Hour, "0.01 USD"),
        ("Standard", ResourceType::Storage, PriceUnit::GibMonth, "0.023 USD"),
        ("db.t3.micro", ResourceType::Database, PriceUnit::Hour, "0.018 USD"),
    ];
    assert_eq!(read, wanted.map(|(sku, kind, unit, price)| (sku, kind, unit, price.to_owned())));
    assert!(
        prices.iter().all(|p| p.region.as_str() == REGIONS[1] && p.purchase == Purchase::OnDemand)
    );

    let requests = sent(&aws, "GetProducts");
    let services: Vec<_> =
        requests.iter().map(|request| request["ServiceCode"].as_str().unwrap()).collect();
    assert_eq!(services, ["AmazonEC2", "AmazonEC2", "AmazonS3", "AmazonRDS"]);
    assert_eq!(requests[1]["NextToken"], "more");
    let has = |request: &Value, field: &str, value: &str| {
        filters(request).contains(&(field.to_owned(), value.to_owned()))
    };
    assert!(
        has(&requests[0], "regionCode", REGIONS[1])
            && has(&requests[0], "operatingSystem", "Linux")
    );

    // One item of one family is one request, for it alone.
    aws.proxy.inject(on(json!({"PriceList": [instance("S1", "t3.micro")]})));
    let query = PriceQuery {
        resource_type: Some(ResourceType::Compute),
        sku: Some("t3.micro".into()),
        ..query
    };
    assert_eq!(billing.list_prices(&query).complete().await.unwrap().items().len(), 1);
    let requests = sent(&aws, "GetProducts");
    assert!(requests.len() == 5 && has(&requests[4], "instanceType", "t3.micro"));

    aws.proxy.inject(Fault::on("pricing", "GetProducts", What::throttled()));
    let error = billing.list_prices(&query).complete().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.operation()),
        (ErrorKind::RateLimited, Some("billing.list_prices"))
    );
}
