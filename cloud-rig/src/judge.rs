//! The verdict of the provider's own contract on what was sent: `judge.py` reads the recordings by botocore's models.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;

use crate::server::installed;

/// What the judge says of all requests of some recordings.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Verdict {
    pub requests: usize,
    /// By names such as `ec2.RunInstances`.
    pub operations: BTreeMap<String, Operation>,
    pub complaints: Vec<Complaint>,
    /// Error codes that the model has for an operation seen, and the table has not; only if a table was given.
    #[serde(default)]
    pub missing_error_codes: Vec<String>,
    /// Patterns of the models that the judge cannot compile, and so did not check.
    #[serde(default)]
    pub unchecked_patterns: Vec<String>,
}

/// The requests for one operation.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Operation {
    pub requests: usize,
    /// How many of them each server answered with success. What the proxy answered counts for none.
    pub answered: BTreeMap<String, usize>,
    pub complaints: usize,
    /// The calls of the adapter that sent it, where the tests said so.
    #[serde(default)]
    pub calls: std::collections::BTreeSet<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Complaint {
    pub service: String,
    pub operation: String,
    pub complaint: String,
    /// How often; the example is of the first.
    pub times: usize,
    /// The request, shortened, without its credentials.
    pub example: String,
}

impl Verdict {
    /// Panics with everything there is to say, if there is anything.
    pub fn assert_clean(&self) {
        let complaints = self.complaints.iter().map(|complaint| {
            let Complaint { service, operation, complaint, times, example } = complaint;
            format!("{service}.{operation}: {complaint} ({times} times)\n    {example}")
        });
        let missing =
            self.missing_error_codes.iter().map(|code| format!("not in the error table: {code}"));
        let all: Vec<_> = complaints.chain(missing).collect();
        assert!(all.is_empty(), "{} requests judged:\n{}", self.requests, all.join("\n"));
        assert!(self.requests > 0, "nothing was recorded");
    }
}

/// Judges all recordings (`*.jsonl`) in a folder; with the adapter's table of errors (columns `service` and `code`), also
/// whether it knows each error that the model has. `None` if moto, whose venv has the models, is not installed.
pub fn judge(folder: &Path, errors: Option<&Path>) -> Option<Verdict> {
    let python = installed("moto", "bin/python")?;
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let mut command = Command::new(python);
    // Nothing compiled is left beside the sources.
    command.arg("-B").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python/judge.py"));
    if let Some(errors) = errors {
        command.arg("--errors").arg(errors);
    }
    let output = command.args(files).stderr(Stdio::inherit()).output().unwrap();
    // 0 says clean and 1 that there are complaints; anything else is a failure of the judge.
    assert!(matches!(output.status.code(), Some(0 | 1)), "judge.py: {}", output.status);
    Some(serde_json::from_slice(&output.stdout).unwrap())
}
