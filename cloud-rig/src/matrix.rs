//! The table of proof in the documentation: which operation which server answered, and whether the contract accepted it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::Path,
};

use crate::judge::Verdict;

/// The name of a server that only says what the test has put into its mouth: it proves nothing but what it is asked.
pub const CANNED: &str = "canned";

/// What is proved of one operation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Proof {
    /// The service, such as `ec2`.
    pub service: String,
    /// The operation, such as `RunInstances`.
    pub operation: String,
    /// The servers that answered with success.
    pub answered: BTreeSet<String>,
    /// Whether the contract accepted every request.
    pub accepted: bool,
}

/// What the judged recordings prove, in order.
pub fn proofs(verdict: &Verdict) -> Vec<Proof> {
    let of = |(name, operation): (&String, &crate::judge::Operation)| {
        let (service, operation_name) = name.split_once('.').unwrap();
        let answered = operation.answered.iter();
        let answered = answered.filter(|(server, times)| **times > 0 && *server != CANNED);
        Proof {
            service: service.to_owned(),
            operation: operation_name.to_owned(),
            answered: answered.map(|(server, _)| server.clone()).collect(),
            accepted: operation.complaints == 0,
        }
    };
    let mut proofs: Vec<_> = verdict.operations.iter().map(of).collect();
    proofs.sort();
    proofs
}

/// The page in Markdown: totals, then a row per operation. The same proofs give the same page.
pub fn render(proofs: &[Proof]) -> String {
    let servers: BTreeSet<_> = proofs.iter().flat_map(|proof| &proof.answered).collect();
    let mut page = String::from(
        "# What is proved\n\nWritten by the tests from the requests they recorded; do not edit. Each operation that the adapter sends, the servers of\nothers that answered it with success, and whether the provider's own model (botocore's) accepts every request.\nWithout a server, the model alone is the proof.\n\n",
    );
    let sum = |of: &dyn Fn(&Proof) -> bool| proofs.iter().filter(|proof| of(proof)).count();
    let mut totals = BTreeMap::new();
    for server in &servers {
        totals.insert(server.as_str(), sum(&|proof| proof.answered.contains(*server)));
    }
    writeln!(page, "| operations | number |\n|---|---|\n| sent | {} |", proofs.len()).unwrap();
    writeln!(page, "| accepted by the model | {} |", sum(&|proof| proof.accepted)).unwrap();
    writeln!(page, "| answered by any server | {} |", sum(&|proof| !proof.answered.is_empty()))
        .unwrap();
    for (server, number) in totals {
        writeln!(page, "| answered by {server} | {number} |").unwrap();
    }
    write!(page, "\n| service | operation | model |").unwrap();
    servers.iter().for_each(|server| write!(page, " {server} |").unwrap());
    writeln!(page, "\n|---|---|---|{}", "---|".repeat(servers.len())).unwrap();
    let mut sorted: Vec<_> = proofs.iter().collect();
    sorted.sort();
    for Proof { service, operation, answered, accepted } in sorted {
        let accepted = if *accepted { "yes" } else { "NO" };
        write!(page, "| {service} | {operation} | {accepted} |").unwrap();
        for server in &servers {
            write!(page, " {} |", if answered.contains(*server) { "yes" } else { "" }).unwrap();
        }
        page.push('\n');
    }
    page
}

/// Compares a generated page with the committed one; with UPDATE_DOCS=1 in the environment, writes it instead.
pub fn check(file: &Path, page: &str) {
    if std::env::var("UPDATE_DOCS").as_deref() == Ok("1") {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, page).unwrap();
        return;
    }
    let difference = difference(file, page);
    assert!(difference.is_none(), "{}", difference.unwrap_or_default());
}

/// In which lines a committed page differs from a generated one, and what to do about it.
pub fn difference(file: &Path, page: &str) -> Option<String> {
    let committed = std::fs::read_to_string(file).unwrap_or_default();
    let only = |here: &str, there: &str| {
        let there: BTreeSet<_> = there.lines().collect();
        here.lines().filter(|line| !there.contains(line)).collect::<Vec<_>>().join("\n")
    };
    (committed != page).then(|| {
        format!(
            "{} is not what this run proves; run the test again with UPDATE_DOCS=1 to write it.\nonly there:\n{}\nonly in this run:\n{}",
            file.display(),
            only(&committed, page),
            only(page, &committed),
        )
    })
}
