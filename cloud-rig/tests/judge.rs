//! The judge: it accepts what AWS's own client sends, and sees each way in which a request can be wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{collections::BTreeSet, io::Write, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use cloud_rig::*;
use serde_json::{Value, json};

/// A change of one recorded request, and what the judge must say of it.
struct Seed {
    operation: &'static str,
    part: &'static str,
    from: &'static str,
    to: &'static str,
    complaint: &'static str,
}

/// One for each way in which a request can be wrong, in each protocol.
#[rustfmt::skip]
const SEEDS: &[Seed] = &[
    seed("RunInstances", "body", "MinCount=1", "MinCount=one", "MinCount: 'one' is not an integer"),
    seed("RunInstances", "body", "&MaxCount=1", "", "missing required member MaxCount"),
    seed("RunInstances", "body", "MinCount=1", "MinCount=1&Nonsense.1.A=b", "unknown parameter Nonsense"),
    seed("RunInstances", "body", "Encrypted=true", "Encrypted=yes", "BlockDeviceMappings[].Ebs.Encrypted: 'yes' is not a boolean"),
    seed("RunInstances", "body", "Ebs.VolumeSize", "Ebs.VolumeSiez", "unknown parameter BlockDeviceMapping[].Ebs.VolumeSiez"),
    seed("RunInstances", "body", "HttpTokens=required", "HttpTokens=perhaps", "MetadataOptions.HttpTokens: 'perhaps' is not one of optional, required"),
    seed("RunInstances", "body", "BlockDeviceMapping.1.", "BlockDeviceMapping.2.", "BlockDeviceMapping is not numbered from 1 without gaps"),
    seed("RunInstances", "body", "Action=RunInstances", "Action=WalkInstances", "unknown operation WalkInstances"),
    seed("RunInstances", "body", "Version=2016-11-15", "Version=2001-01-01", "unknown API version '2001-01-01'"),
    seed("CreateDBInstance", "body", "AllocatedStorage=20", "AllocatedStorage=2e1", "AllocatedStorage: '2e1' is not an integer"),
    seed("CreateDBInstance", "body", "Tags.Tag.1", "Tags.member.1", "unknown parameter Tags.member"),
    seed("CreateDBInstance", "body", "Engine=postgres&", "", "missing required member Engine"),
    seed("GetResources", "body", "TagFilters", "TagFilter", "unknown member TagFilter"),
    seed("CreateBudget", "body", r#""COST""#, r#""PRICE""#, "Budget.BudgetType: 'PRICE' is not one of USAGE, COST"),
    seed("CreateBudget", "body", r#""123456789012""#, "123456789012", "AccountId: 123456789012 is not a string"),
    seed("PutParameter", "body", r#""Value""#, r#""Valeu""#, "missing required member Value"),
    seed("PutParameter", "header", "AmazonSSM.", "AmazonSMS.", "unknown target prefix 'AmazonSMS'"),
    seed("GetMetricData", "body", "Namespace", "Namespaec", "unknown member MetricDataQueries[].MetricStat.Metric.Namespaec"),
    seed("POST /clusters", "body", r#""subnetIds""#, r#""subnetIdz""#, "unknown member resourcesVpcConfig.subnetIdz"),
    seed("POST /clusters", "body", r#""rig""#, r#""-""#, "name: '-' does not match"),
    seed("POST /clusters", "path", "/clusters", "/clutters", "no operation has this method and path"),
    seed("GET /2015-03-31/functions", "query", "MaxItems=10", "MaxItems=0", "MaxItems: 0, allowed are 1..10000"),
    seed("GET /2015-03-31/functions", "query", "MaxItems=10", "MostItems=10", "unknown query parameter MostItems"),
    seed("POST /2013-04-01/hostedzone", "body", "CallerReference", "CallerReferenz", "unknown element CallerReferenz"),
    seed("POST /2013-04-01/hostedzone", "body", "https://route53", "https://route66", "the namespace of CreateHostedZoneRequest is https://route66"),
    seed("rrset", "body", "<TTL>60<", "<TTL>-1<", "ChangeBatch.Changes[].ResourceRecordSet.TTL: -1"),
    seed("PUT /rig-bucket?versioning", "body", "Enabled", "Ebanled", "Status: 'Ebanled' is not one of Enabled, Suspended"),
    seed("PUT /rig-bucket?versioning", "body", "Status>", "State>", "unknown element VersioningConfiguration.State"),
    seed("PUT /rig-bucket?tagging", "body", "<Value>v</Value>", "", "missing required member Tagging.TagSet[].Value"),
    seed("PUT /rig-bucket/a", "header", "x-amz-meta-owner", "x-amz-mate-owner", "unknown header x-amz-mate-owner"),
];

const fn seed(
    operation: &'static str,
    part: &'static str,
    from: &'static str,
    to: &'static str,
    complaint: &'static str,
) -> Seed {
    Seed { operation, part, from, to, complaint }
}

impl Seed {
    /// The recorded request, changed.
    fn plant(&self, lines: &[Value]) -> Value {
        let address = |line: &Value| {
            let text = |name: &str| line[name].as_str().unwrap().to_owned();
            let query = text("query");
            let mark = if query.is_empty() { "" } else { "?" };
            format!("{}{mark}{query}", text("operation"))
        };
        let fits = |line: &&Value| address(line).contains(self.operation);
        let mut line = lines.iter().find(fits).expect(self.operation).clone();
        let before = line.clone();
        match self.part {
            "body" => {
                let body = BASE64_STANDARD.decode(line["body"].as_str().unwrap()).unwrap();
                line["body"] = BASE64_STANDARD.encode(self.replace(&body)).into();
            }
            "header" => {
                let headers = self.replace(line["headers"].to_string().as_bytes());
                line["headers"] = serde_json::from_slice(&headers).unwrap();
            }
            part => {
                let text = self.replace(line[part].as_str().unwrap().as_bytes());
                line[part] = String::from_utf8(text).unwrap().into();
            }
        }
        assert_ne!(line, before, "{}: {} is not in it", self.operation, self.from);
        line
    }

    /// Everywhere: an element of XML is closed as it was opened. Bytes, as CBOR is no text; the lengths in it stay right
    /// if both texts are equally long.
    fn replace(&self, bytes: &[u8]) -> Vec<u8> {
        let from = self.from.as_bytes();
        match bytes.windows(from.len()).position(|part| part == from) {
            Some(at) => {
                let rest = self.replace(&bytes[at + from.len()..]);
                [&bytes[..at], self.to.as_bytes(), &rest].concat()
            }
            None => bytes.to_vec(),
        }
    }
}

fn lines(folder: &Path) -> Vec<Value> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.map(|file| std::fs::read_to_string(file).unwrap());
    texts
        .flat_map(|text| {
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn the_judge_accepts_what_boto3_sends_and_sees_what_is_wrong() {
    let Some(moto) = Emulator::shared(Kind::Moto) else { return };
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::recording("moto", moto.server().address(), Some(folder.path()));
    let output = moto.boto3(&proxy, moto.keys());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let verdict = judge(folder.path(), None).unwrap();
    verdict.assert_clean();
    assert_eq!(verdict.requests, proxy.requests().len());
    assert!(verdict.unchecked_patterns.is_empty(), "{:?}", verdict.unchecked_patterns);
    let services: BTreeSet<_> =
        verdict.operations.keys().map(|name| name.split_once('.').unwrap().0).collect();
    assert_eq!(services.len(), 19, "{services:?}");
    for name in ["ec2.RunInstances", "s3.CopyObject", "s3.UploadPart", "lambda.Invoke"] {
        assert_eq!(verdict.operations[name].answered["moto"], 1, "{name}");
    }
    assert_eq!(verdict.operations["globalaccelerator.CreateAccelerator"].answered["moto"], 0);

    let page = render(&proofs(&verdict));
    assert!(page.contains("| s3 | CopyObject | yes | yes |\n"), "{page}");
    assert!(page.contains("| globalaccelerator | CreateAccelerator | yes |  |\n"), "{page}");

    knows_the_errors_of_the_models(folder.path());
    sees_what_is_wrong(&lines(folder.path()));
}

/// The adapter's table of errors is compared with what the models have for the operations seen.
fn knows_the_errors_of_the_models(folder: &Path) {
    let mut table = tempfile::NamedTempFile::new().unwrap();
    write!(table, "service,code\nrds,DBInstanceAlreadyExists\n*,InvalidVPCNetworkStateFault\n")
        .unwrap();
    let missing = judge(folder, Some(table.path())).unwrap().missing_error_codes;
    let misses = |code: &str| missing.contains(&format!("rds.CreateDBInstance: {code}"));
    assert!(misses("StorageQuotaExceeded"), "{missing:?}");
    assert!(
        !misses("DBInstanceAlreadyExists") && !misses("InvalidVPCNetworkStateFault"),
        "{missing:?}"
    );
}

/// Judges requests that nobody sent.
fn judged(requests: &[Value]) -> Verdict {
    let planted = tempfile::tempdir().unwrap();
    let mut file = std::fs::File::create(planted.path().join("planted.jsonl")).unwrap();
    requests.iter().for_each(|request| writeln!(file, "{request}").unwrap());
    judge(planted.path(), None).unwrap()
}

/// CloudWatch by the Rust SDK speaks CBOR, which boto3 does not: `{"AlarmNames": ["a"]}`, and what may be wrong with it.
#[test]
fn the_judge_reads_cbor() {
    if installed("moto", "bin/python").is_none() {
        return;
    }
    let request = |operation: &str, body: &[u8]| {
        json!({
            "server": "none", "method": "POST", "query": "", "service": "monitoring", "operation": operation,
            "path": format!("/service/GraniteServiceVersion20100801/operation/{operation}"),
            "headers": [["smithy-protocol", "rpc-v2-cbor"], ["content-type", "application/cbor"]],
            "body": BASE64_STANDARD.encode(body), "status": null, "by_server": false,
        })
    };
    let good = request("DeleteAlarms", b"\xa1\x6aAlarmNames\x81\x61a");
    judged(&[good]).assert_clean();
    for (operation, body, complaint) in [
        ("DeleteAlarms", &b"\xa1\x6aAlarmNamez\x81\x61a"[..], "unknown member AlarmNamez"),
        ("DeleteAlarms", b"\xa0", "missing required member AlarmNames"),
        ("DeleteAlarms", b"\xa1\x6aAlarmNames\x81\x01", "AlarmNames[]: 1 is not a string"),
        ("DeleteAlarms", b"\xa1\x6aAlarmNames\x61a", "AlarmNames is not a list"),
        ("DeleteAlarms", b"\xa0\xa0", "something follows the CBOR item"),
        ("DeleteAlarmz", b"\xa0", "unknown operation DeleteAlarmz"),
    ] {
        let found = judged(&[request(operation, body)]).complaints;
        let said = found.iter().any(|found| found.complaint.contains(complaint));
        assert!(said, "{complaint} is not in {found:?}");
    }
}

fn sees_what_is_wrong(recorded: &[Value]) {
    let planted: Vec<_> = SEEDS.iter().map(|seed| seed.plant(recorded)).collect();
    let verdict = judged(&planted);
    assert_eq!(verdict.requests, SEEDS.len());
    let found: Vec<_> =
        verdict.complaints.iter().map(|complaint| complaint.complaint.as_str()).collect();
    for Seed { operation, complaint, .. } in SEEDS {
        assert!(
            found.iter().any(|found| found.contains(complaint)),
            "{operation}: {complaint} is not among {found:#?}"
        );
    }
    // One page for one set of proofs, and it says what was not accepted.
    let page = render(&proofs(&verdict));
    assert!(page.contains("| ec2 | RunInstances | NO |"), "{page}");
}

#[test]
fn a_page_that_is_not_what_the_run_proves_is_refused() {
    let proof = |operation: &str, server: &str| Proof {
        service: "ec2".into(),
        operation: operation.into(),
        answered: [server.to_owned()].into(),
        accepted: true,
    };
    let page = render(&[proof("StopInstances", "moto"), proof("RunInstances", "ministack")]);
    let sorted = render(&[proof("RunInstances", "ministack"), proof("StopInstances", "moto")]);
    assert_eq!(page, sorted);
    assert!(page.contains("| sent | 2 |") && page.contains("| answered by moto | 1 |"), "{page}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &page).unwrap();
    assert_eq!(difference(file.path(), &page), None);
    let why = difference(file.path(), &render(&[proof("RunInstances", "moto")])).unwrap();
    assert!(why.contains("UPDATE_DOCS=1") && why.contains("StopInstances"), "{why}");
}
