//! DNS on Route 53: conformance, and what only Route 53 has or only its failures show.

use std::{sync::Arc, time::Duration};

use cloud_aws::{AwsAlias, AwsHealthCheck, AwsVpc};
use cloud_core::{
    ClientToken, Dns, DnsExt, DnsZone, Effect, ErrorKind, HealthCheckSpec, HealthProtocol,
    ListQuery, PageRequest, RecordSet, RecordType, ResourceId, Routing, Tags, WaitOptions,
    ZoneSpec,
};

use cloud_rig::{Fault, Kind, Reply, Seen, What};

use crate::harness::{Aws, Excluded, conform, open, region};
use crate::overview::of_group;

/// What moto 5.2.5 does not as Route 53 does.
const MOTO: Excluded = &[
    // models.py, delete_health_check: `self.health_checks.pop(health_check_id, None)`.
    (
        "health_check.delete_twice",
        "deletes a health check that is not there without NoSuchHealthCheck",
    ),
    // models.py, RecordSet.__init__ reads no GeoProximityLocation.
    ("dns.routing", "keeps no GeoProximityLocation; routings are proved one by one below"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moto_conforms() {
    let Some(aws) = Aws::alone_at(Kind::Moto).await else { return };
    conform(&aws, MOTO, |name| of_group("dns", name)).await;
}

/// A domain that no other test has.
fn domain(start: &str) -> String {
    format!("{start}-{}.example.com", &ClientToken::random().as_str()[..8])
}

fn zone_spec(start: &str) -> ZoneSpec {
    ZoneSpec::new(domain(start), region("global"))
}

async fn zone(aws: &Aws, start: &str) -> DnsZone {
    aws.cloud.aws_dns().create_zone(&zone_spec(start), &ClientToken::random()).await.unwrap()
}

fn check_spec(name: &str) -> HealthCheckSpec {
    HealthCheckSpec::new(name, region("global"), HealthProtocol::Http, "192.0.2.7", 8080)
}

fn creates(seen: &Seen) -> bool {
    seen.method == "POST" && seen.path == "/2013-04-01/hostedzone"
}

fn tags(seen: &Seen) -> bool {
    seen.method == "POST" && seen.path.contains("/tags/hostedzone/")
}

/// Between the create and its tags: the zone is there, and the repetition completes it, in whatever process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_that_breaks_off_before_its_tags_is_completed_by_its_repetition() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let (dns, token) = (aws.cloud.aws_dns(), ClientToken::random());
    let mut spec = zone_spec("torn");
    spec.tags = Tags::new([("team", "orders"), ("of", token.as_str())]).unwrap();
    aws.proxy.inject(Fault::when(tags, What::internal_error()));
    let error = dns.create_zone(&spec, &token).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Unavailable, Effect::Unknown),
        "{error:?}"
    );
    let query = ListQuery::tagged(spec.tags.clone());
    assert!(dns.list_zones(&query).complete().await.unwrap().items().is_empty());

    let elsewhere = open(&aws.proxy.url(), aws.emulator.keys()).await;
    let made = elsewhere.aws_dns().create_zone(&spec, &token).await.unwrap();
    assert_eq!(made.tags, spec.tags);
    assert_eq!(aws.proxy.count(creates), 1);
    assert_eq!(dns.list_zones(&query).complete().await.unwrap().items(), [made]);
    // What the token was used for is known in every process.
    spec.tags = Tags::default();
    let error = elsewhere.aws_dns().create_zone(&spec, &token).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Conflict, Effect::None), "{error:?}");
}

/// Two creates with one token at once, of which Route 53 refuses the second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_that_route_53_knows_is_the_zone_that_it_made() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let (spec, token) = (zone_spec("raced"), ClientToken::random());
    let made = aws.cloud.aws_dns().create_zone(&spec, &token).await.unwrap();
    let nothing = "<ListHostedZonesByNameResponse xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><HostedZones/><IsTruncated>false</IsTruncated><MaxItems>100</MaxItems></ListHostedZonesByNameResponse>";
    let none = What::answer(Reply::new(200, "text/xml", nothing));
    aws.proxy.inject(Fault::when(|seen| seen.path.ends_with("/hostedzonesbyname"), none));
    aws.proxy.inject(Fault::when(creates, What::error(409, "HostedZoneAlreadyExists", "there")));
    let elsewhere = open(&aws.proxy.url(), aws.emulator.keys()).await;
    let again = elsewhere.aws_dns().create_zone(&spec, &token).await.unwrap();
    assert_eq!((again.id, aws.proxy.faults_left()), (made.id, 0));
}

/// The emulator of others that keeps Route 53's promise about caller references, and refuses to delete twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_checks_are_made_once_and_deleted_once() {
    let Some(aws) = Aws::at(Kind::Ministack).await else { return };
    let (spec, token) = (check_spec("once"), ClientToken::random());
    let made = aws.cloud.aws_dns().create_health_check(&spec, &token).await.unwrap();
    let elsewhere = open(&aws.proxy.url(), aws.emulator.keys()).await.aws_dns();
    let again = elsewhere.create_health_check(&spec, &token).await.unwrap();
    assert_eq!(again, made);
    let error = elsewhere.create_health_check(&check_spec("other"), &token).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    assert_eq!(elsewhere.get_health_check(&made.id).await.unwrap(), made);
    assert!(elsewhere.delete_health_check(&made.id).await.unwrap());
    assert!(!elsewhere.delete_health_check(&made.id).await.unwrap());
    assert_eq!(elsewhere.get_health_check(&made.id).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_route_53_has_of_a_health_check_is_sent() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let dns = aws.cloud.aws_dns();
    let mut spec = check_spec("searching");
    let regions = ["us-east-1", "eu-west-1", "ap-southeast-1"].map(region);
    let settings = AwsHealthCheck {
        search_string: Some("all <well>".into()),
        inverted: true,
        measure_latency: true,
        checker_regions: regions.into(),
    };
    spec.overrides.set(&settings).unwrap();
    let made = dns.create_health_check(&spec, &ClientToken::random()).await.unwrap();
    let body = aws
        .proxy
        .requests()
        .into_iter()
        .find(|seen| seen.path.ends_with("/healthcheck") && seen.method == "POST");
    let body = String::from_utf8(body.unwrap().body.to_vec()).unwrap();
    for part in [
        "HTTP_STR_MATCH",
        "all &lt;well&gt;",
        "<Inverted>true",
        "<MeasureLatency>true",
        "<Region>eu-west-1",
    ] {
        assert!(body.contains(part), "{part}: {body}");
    }
    assert_eq!((made.target.as_str(), made.port), ("192.0.2.7", 8080));
    assert!(dns.delete_health_check(&made.id).await.unwrap());
}

/// One of each routing that moto keeps, each read back whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routings_are_kept() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let (dns, zone) = (aws.cloud.aws_dns(), zone(&aws, "routed").await);
    let id = || "a".to_owned();
    let routings = [
        Routing::Weighted { id: id(), weight: 255 },
        Routing::Failover { id: id(), primary: true },
        Routing::Failover { id: id(), primary: false },
        Routing::Latency { id: id(), region: region("eu-central-1") },
    ];
    let mut wanted = Vec::new();
    for (i, routing) in routings.into_iter().enumerate() {
        let mut record =
            RecordSet::new(format!("r{i}.{}", zone.name), RecordType::A, ["192.0.2.1"]);
        record.routing = routing;
        dns.set_record(&zone.id, &record).await.unwrap();
        wanted.push(record);
    }
    let listed = dns.list_records(&zone.id).complete().await.unwrap().into_items();
    let kept: Vec<_> =
        listed.into_iter().filter(|record| record.record_type == RecordType::A).collect();
    assert_eq!(kept, wanted);
    assert!(dns.delete_zone(&zone.id).await.unwrap());
}

/// An answer of ListResourceRecordSets in its documented form.
fn records_answer(sets: &str) -> What {
    let text = format!(
        "<ListResourceRecordSetsResponse xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ResourceRecordSets>{sets}</ResourceRecordSets><IsTruncated>false</IsTruncated><MaxItems>300</MaxItems></ListResourceRecordSetsResponse>"
    );
    What::answer(Reply::new(200, "text/xml", text))
}

/// Geoproximity, which no emulator keeps: what is sent, and what Route 53's documented answer is read as.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn geoproximity_is_sent_and_read_as_documented() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let (dns, zone) = (aws.cloud.aws_dns(), zone(&aws, "near").await);
    let mut record = RecordSet::new(format!("near.{}", zone.name), RecordType::A, ["192.0.2.1"]);
    let routing =
        Routing::Geoproximity { id: "a".into(), region: region("eu-central-1"), bias: -20 };
    record.routing = routing;
    dns.set_record(&zone.id, &record).await.unwrap();
    let sent = aws.proxy.requests().into_iter().rfind(|seen| seen.method == "POST").unwrap();
    let sent = String::from_utf8(sent.body.to_vec()).unwrap();
    let place = "<GeoProximityLocation><AWSRegion>eu-central-1</AWSRegion><Bias>-20</Bias></GeoProximityLocation>";
    assert!(sent.contains(place), "{sent}");
    let set = format!(
        "<ResourceRecordSet><Name>{}.</Name><Type>A</Type><SetIdentifier>a</SetIdentifier>{place}<TTL>300</TTL><ResourceRecords><ResourceRecord><Value>192.0.2.1</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>",
        record.name
    );
    let lists = |seen: &Seen| seen.method == "GET" && seen.path.contains("/rrset");
    aws.proxy.inject(Fault::when(lists, records_answer(&set)));
    assert_eq!(dns.list_records(&zone.id).complete().await.unwrap().items(), [record]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_texts_come_back_as_they_were_given() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let (dns, zone) = (aws.cloud.aws_dns(), zone(&aws, "texts").await);
    let set = |name: &str, kind, values: &[&str]| {
        RecordSet::new(format!("{name}.{}", zone.name), kind, values.to_vec())
    };
    let long = "long ".repeat(120);
    let mut wanted = vec![
        set("*", RecordType::A, &["192.0.2.1"]),
        set("mail", RecordType::Mx, &["10 mx1.example.net", "20 mx2.example.net"]),
        set("text", RecordType::Txt, &["v=spf1 -all", "say \"größe\"\\", &long]),
        set("_sip._tcp", RecordType::Srv, &["0 5 5060 sip.example.net"]),
        set("sub", RecordType::Ns, &["ns1.example.net", "ns2.example.net"]),
    ];
    let change = dns.set_records(&zone.id, &wanted).await.unwrap();
    dns.wait_in_sync(&change, &WaitOptions::default()).await.unwrap();
    let own = |record: &RecordSet| record.name != zone.name;
    let listed = dns.list_records(&zone.id).complete().await.unwrap().into_items();
    assert_eq!(listed.len(), wanted.len() + 1, "its name servers are listed too");
    let mut listed: Vec<_> = listed.into_iter().filter(own).collect();
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    wanted.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(listed, wanted);

    // Page by page, each once.
    let mut paged = Vec::new();
    let mut page = PageRequest::of_size(2);
    loop {
        let answer = dns.list_records_page(&zone.id, &page).await.unwrap();
        assert!(answer.items.len() <= 2);
        paged.extend(answer.items.into_iter().filter(own));
        match answer.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    paged.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(paged, wanted);
    assert!(dns.delete_record(&zone.id, &wanted[0]).await.unwrap());
    assert!(dns.delete_zone(&zone.id).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aliases_are_listed_apart_and_deleted_like_any_record() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let (dns, zone) = (aws.cloud.aws_dns(), zone(&aws, "alias").await);
    let alias = AwsAlias {
        name: zone.name.clone(),
        record_type: RecordType::A,
        target: "web-1.eu-central-1.elb.amazonaws.com".into(),
        target_zone: "Z215JYRZR1TBD5".into(),
        evaluate_target_health: true,
        routing: Routing::Simple,
    };
    dns.set_alias(&zone.id, &alias).await.unwrap();
    assert_eq!(dns.list_aliases(&zone.id).await.unwrap(), [alias]);
    let listed = dns.list_records(&zone.id).complete().await.unwrap().into_items();
    assert!(listed.iter().all(|record| record.record_type == RecordType::Ns), "{listed:?}");
    let key = RecordSet::new(&zone.name, RecordType::A, ["any"]);
    assert!(dns.delete_record(&zone.id, &key).await.unwrap());
    assert!(!dns.delete_record(&zone.id, &key).await.unwrap());
    assert!(dns.list_aliases(&zone.id).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_zone_may_have_the_name_of_a_public_one() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let (dns, public) = (aws.cloud.aws_dns(), zone(&aws, "both").await);
    let spec = ZoneSpec::new(&public.name, region("global"));
    let home = region("us-east-1");
    let vpc = AwsVpc { id: aws.emulator.network("us-east-1").vpc.clone(), region: home };
    let token = ClientToken::random();
    let private = dns.create_private_zone(&spec, &vpc, &token).await.unwrap();
    assert_eq!(dns.create_private_zone(&spec, &vpc, &token).await.unwrap().id, private.id);
    assert!(private.name_servers.is_empty() && private.id != public.id);
    let error = dns.create_zone(&spec, &ClientToken::random()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::AlreadyExists, Effect::None),
        "{error:?}"
    );
    let query = ListQuery { name: Some(public.name.clone()), ..ListQuery::default() };
    assert_eq!(dns.list_zones(&query).complete().await.unwrap().items().len(), 2);
}

/// More records than one answer lists and one request changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_is_deleted_with_all_its_records() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let (dns, zone) = (aws.cloud.aws_dns(), zone(&aws, "full").await);
    let record = |i: usize| {
        let values = (0..5).map(|j| format!("192.0.2.{j}"));
        RecordSet::new(format!("r{i}.{}", zone.name), RecordType::A, values)
    };
    for part in 0..4 {
        let records: Vec<_> = (part * 100..part * 100 + 100).map(record).collect();
        dns.set_records(&zone.id, &records).await.unwrap();
    }
    let records: Vec<_> = (0..101).map(record).collect();
    let error = dns.set_records(&zone.id, &records).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
    assert!(dns.delete_zone(&zone.id).await.unwrap());
    assert_eq!(dns.get_zone(&zone.id).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!dns.delete_zone(&zone.id).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_route_53_says_is_told_as_it_is_meant() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let (dns, zone) = (aws.cloud.aws_dns(), zone(&aws, "errors").await);
    let record = RecordSet::new(format!("www.{}", zone.name), RecordType::A, ["192.0.2.1"]);
    let changes = |seen: &Seen| seen.method == "POST" && seen.path.contains("/rrset");
    let cases = [
        (What::error(400, "PriorRequestNotComplete", "wait"), ErrorKind::RateLimited, Effect::None),
        (What::throttled(), ErrorKind::RateLimited, Effect::None),
        (What::error(404, "NoSuchHealthCheck", "gone"), ErrorKind::NotFound, Effect::None),
        (What::error(400, "InvalidChangeBatch", "bad"), ErrorKind::InvalidInput, Effect::None),
        (What::bad_gateway(), ErrorKind::Unavailable, Effect::Unknown),
    ];
    for (what, kind, effect) in cases {
        aws.proxy.inject(Fault::when(changes, what));
        let error = dns.set_record(&zone.id, &record).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (kind, effect), "{error:?}");
        assert_eq!(error.operation(), Some("dns.set_record"));
    }
    // In the words of Route 53, which are kept.
    dns.set_record(&zone.id, &record).await.unwrap();
    let words = "[Tried to delete resource record set but the values provided do not match]";
    let refused = || Fault::when(changes, What::error(400, "InvalidChangeBatch", words));
    aws.proxy.inject(refused());
    let error = dns.delete_record(&zone.id, &record).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::InvalidInput && error.message().contains(words),
        "{error:?}"
    );
    // Another changes or deletes the record between our look and our delete.
    let looks = |seen: &Seen| seen.method == "GET" && seen.path.contains("/rrset");
    let found = |address: &str| {
        let set = format!(
            "<ResourceRecordSet><Name>{}.</Name><Type>A</Type><TTL>300</TTL><ResourceRecords><ResourceRecord><Value>{address}</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>",
            record.name
        );
        records_answer(if address.is_empty() { "" } else { &set })
    };
    for (after, wanted) in [("192.0.2.9", Err(ErrorKind::Conflict)), ("", Ok(false))] {
        aws.proxy.inject(Fault::when(looks, found("192.0.2.1")));
        aws.proxy.inject(refused());
        aws.proxy.inject(Fault::when(looks, found(after)));
        let answer = dns.delete_record(&zone.id, &record).await;
        assert_eq!(answer.map_err(|error| error.kind()), wanted);
    }
    assert!(dns.delete_record(&zone.id, &record).await.unwrap());

    // An answer that is lost: the repetition finds what the first has made.
    let (spec, token) = (zone_spec("lost"), ClientToken::random());
    aws.proxy.inject(Fault::when(creates, What::DelayAnswer(Duration::from_secs(30))));
    let patient: Arc<dyn Dns> = aws.within(Duration::from_secs(1)).dns().unwrap();
    let error = patient.create_zone(&spec, &token).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown), "{error:?}");
    let before = aws.proxy.count(creates);
    dns.create_zone(&spec, &token).await.unwrap();
    assert_eq!(aws.proxy.count(creates), before, "nothing is created twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_the_rules_is_refused_before_any_call() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let dns = aws.cloud.aws_dns();
    let token = ClientToken::random();
    let mut elsewhere = zone_spec("x");
    elsewhere.region = region("us-east-1");
    let mut tagged = zone_spec("x");
    tagged.tags = Tags::new((0..11).map(|i| (format!("k{i}"), "v"))).unwrap();
    for (spec, words) in [(elsewhere, "the one place of Route 53"), (tagged, "at most 10")] {
        let error = dns.create_zone(&spec, &token).await.unwrap_err();
        assert!(
            error.kind() == ErrorKind::InvalidInput && error.to_string().contains(words),
            "{error}"
        );
    }
    let mut named = check_spec("x");
    named.tags = Tags::new([("Name", "y")]).unwrap();
    let mut slow = check_spec("x");
    slow.interval_seconds = 20;
    for (spec, words) in [(named, "it is the check's name"), (slow, "10 or 30")] {
        let error = dns.create_health_check(&spec, &token).await.unwrap_err();
        assert!(
            error.kind() == ErrorKind::InvalidInput && error.to_string().contains(words),
            "{error}"
        );
    }
    let other: ResourceId = "dns_zone/us-east-1/Z1".parse().unwrap();
    assert_eq!(dns.get_zone(&other).await.unwrap_err().kind(), ErrorKind::NotFound);
    let query = ListQuery::in_region(region("us-east-1"));
    assert!(dns.list_zones(&query).complete().await.unwrap().items().is_empty());
    assert_eq!(aws.proxy.requests().len(), 0);
}
