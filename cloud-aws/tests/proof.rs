//! What is proved of which operation: everything that the tests before this one sent, judged by AWS's own models, as a page of the documentation.
//!
//! `./test` has all requests recorded (RECORD_REQUESTS), and cargo runs this after `aws`, by the alphabet. On its own, it has nothing to judge.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use cloud_rig::{Verdict, check, installed, judge, proofs, render};

#[test]
fn what_was_sent_is_what_aws_defines() {
    let Some(folder) = std::env::var_os("RECORD_REQUESTS").map(PathBuf::from) else {
        assert!(std::env::var_os("CI").is_none(), "RECORD_REQUESTS is not set; ./test sets it");
        println!("skipped: nothing was recorded, as RECORD_REQUESTS is not set; ./test sets it");
        return;
    };
    // Without one of them, the page would lack what it proves.
    let servers =
        [("moto", "bin/python"), ("ministack", "bin/ministack"), ("s3s-fs", "bin/s3s-fs")];
    if servers.iter().any(|(server, program)| installed(server, program).is_none()) {
        return;
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(verdict) = judge(&folder, Some(&here.join("data/errors.csv"))) else { return };
    println!("{} requests, {} operations", verdict.requests, verdict.operations.len());
    verdict.assert_clean();
    assert!(
        verdict.missing_error_codes.is_empty(),
        "no row in errors.csv: {:?}",
        verdict.missing_error_codes
    );
    compare(&here.join("docs/proved.md"), &render(&proofs(&verdict)), '|', 4);
    compare(&here.join("data/permissions.csv"), &permissions(&verdict), ',', 1);
}

/// Writes a page with UPDATE_DOCS=1, else compares the first columns of its rows with those of the committed one: which operations and which
/// calls there are does not change from run to run, while a call that was broken off may be noted for the one after it.
fn compare(file: &Path, page: &str, separator: char, columns: usize) {
    if std::env::var("UPDATE_DOCS").as_deref() == Ok("1") {
        return check(file, page);
    }
    let rows = |text: &str| -> BTreeSet<String> {
        let row = |line: &str| line.split(separator).take(columns).collect::<Vec<_>>().join("|");
        text.lines().filter(|line| line.contains(separator)).map(row).collect()
    };
    let (committed, now) = (rows(&std::fs::read_to_string(file).unwrap()), rows(page));
    // The totals are of the rows that follow.
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| -> Vec<String> {
        a.difference(b).filter(|row| !row.contains("answered by")).cloned().collect()
    };
    let (gone, new) = (only(&committed, &now), only(&now, &committed));
    assert!(
        gone.is_empty() && new.is_empty(),
        "{} is not what this run proves: gone {gone:?}, new {new:?}; UPDATE_DOCS=1 ./test -p cloud-aws writes it",
        file.display(),
    );
}

/// Which actions of IAM each call needs, by what was sent for it while no other call was under way.
fn permissions(verdict: &Verdict) -> String {
    let mut rows = BTreeSet::new();
    for (name, operation) in &verdict.operations {
        for call in &operation.calls {
            // As plans name them: a listing is one call, whatever its pages.
            let call = call.strip_suffix("_page").unwrap_or(call);
            let actions = action(name).into_iter().chain(implied(name).iter().map(|a| (*a).into()));
            rows.extend(actions.map(|action: String| format!("{call},{action}")));
        }
    }
    let rows: Vec<_> = rows.into_iter().collect();
    format!("call,action\n{}\n", rows.join("\n"))
}

/// What IAM asks for besides, where tags are set in the same call or a role is handed on.
fn implied(operation: &str) -> &'static [&'static str] {
    let (service, name) = operation.split_once('.').unwrap();
    let makes =
        ["Create", "Run", "Allocate", "Copy", "Restore"].iter().any(|verb| name.starts_with(verb));
    match (service, name) {
        ("ec2", "CreateTags" | "CreateRoute" | "CreateVpnConnectionRoute") => &[],
        ("ec2", _) if makes => &["ec2:CreateTags"],
        ("rds", _) if makes => &["rds:AddTagsToResource"],
        ("eks", _) if makes => &["eks:TagResource", "iam:PassRole"],
        ("lambda", _) if makes => &["lambda:TagResource", "iam:PassRole"],
        ("s3", "CreateBucket") => &["s3:TagResource"],
        ("secretsmanager", "CreateSecret") => &["secretsmanager:TagResource"],
        _ => &[],
    }
}

/// The action of IAM that an operation needs: mostly of the same name
/// ([Service Authorization Reference](https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html)).
fn action(operation: &str) -> Option<String> {
    let (service, name) = operation.split_once('.').unwrap();
    let prefix = match service {
        "elbv2" => "elasticloadbalancing",
        "resourcegroupstaggingapi" => "tag",
        "service-quotas" => "servicequotas",
        other => other,
    };
    let name = match (service, name) {
        // Whoever may sign may ask who he is.
        ("sts", "GetCallerIdentity" | "AssumeRole") => return None,
        ("s3", "ListBuckets") => "ListAllMyBuckets",
        ("s3", "HeadBucket" | "ListObjectsV2" | "ListObjects") => "ListBucket",
        ("s3", "ListObjectVersions") => "ListBucketVersions",
        ("s3", "ListMultipartUploads") => "ListBucketMultipartUploads",
        ("s3", "HeadObject") => "GetObject",
        ("s3", "DeleteObjects") => "DeleteObject",
        (
            "s3",
            "CopyObject" | "CreateMultipartUpload" | "UploadPart" | "CompleteMultipartUpload",
        ) => "PutObject",
        ("s3", "PutPublicAccessBlock") => "PutBucketPublicAccessBlock",
        ("s3", "GetPublicAccessBlock") => "GetBucketPublicAccessBlock",
        ("s3", "PutBucketEncryption") => "PutEncryptionConfiguration",
        ("s3", "GetBucketEncryption") => "GetEncryptionConfiguration",
        ("s3", "PutBucketLifecycleConfiguration" | "DeleteBucketLifecycle") => {
            "PutLifecycleConfiguration"
        }
        ("s3", "GetBucketLifecycleConfiguration") => "GetLifecycleConfiguration",
        ("s3", "PutBucketReplication" | "DeleteBucketReplication") => "PutReplicationConfiguration",
        ("s3", "GetBucketReplication") => "GetReplicationConfiguration",
        ("s3", "DeletePublicAccessBlock") => "PutBucketPublicAccessBlock",
        ("lambda", "Invoke") => "InvokeFunction",
        ("budgets", "CreateBudget" | "DeleteBudget") => "ModifyBudget",
        ("budgets", "DescribeBudgets") => "ViewBudget",
        (_, name) => name,
    };
    Some(format!("{prefix}:{name}"))
}
