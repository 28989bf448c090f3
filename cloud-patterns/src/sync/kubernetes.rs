//! The workers of a sync as a Kubernetes Indexed Job.

use cloud_core::{Error, Result};
use serde_json::{Value, json};

/// A Job of the completion mode `Indexed`, whose pods are the workers of one sync: each begins with the shard of its index
/// (`JOB_COMPLETION_INDEX`), then takes whatever nobody else has.
///
/// Of the secret, the key `store` is the URL of the PostgreSQL store; all its keys become environment variables of the
/// workers, which is where the providers' default chains look for credentials.
///
/// Source: [Kubernetes, Jobs, completion mode](https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode).
///
/// ```
/// use cloud_patterns::sync::IndexedJob;
///
/// let job = IndexedJob {
///     name: "photos".into(),
///     image: "registry.example.com/sync:1".into(),
///     secret: "photos-sync".into(),
///     workers: 8,
///     arguments: vec!["s3://photos".into(), "gs://backup".into(), "--shards".into(), "32".into()],
/// };
/// let manifest = job.manifest()?;
/// assert_eq!(manifest["spec"]["completionMode"], "Indexed");
/// assert_eq!(manifest["spec"]["completions"], 8);
/// # Ok::<(), cloud_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexedJob {
    /// The name of the job: a DNS label of at most 63 characters.
    pub name: String,
    /// The image, whose entry point is the worker.
    pub image: String,
    /// The secret with the store's URL and the credentials.
    pub secret: String,
    /// Number of workers, all at once.
    pub workers: u16,
    /// What every worker is started with.
    pub arguments: Vec<String>,
}

impl IndexedJob {
    /// The manifest, to be written as JSON or YAML.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for a name that Kubernetes does not take, or no workers.
    pub fn manifest(&self) -> Result<Value> {
        check_label("name", &self.name)?;
        check_label("secret", &self.secret)?;
        if self.workers == 0 {
            return Err(Error::invalid("workers", "is 0", "1 or more"));
        }
        if self.image.is_empty() || self.image.chars().any(char::is_whitespace) {
            return Err(Error::invalid(
                "image",
                format_args!("'{}' is none", self.image),
                "a reference of an image",
            ));
        }
        let labels = json!({ "app.kubernetes.io/name": "multicloud-sync", "app.kubernetes.io/instance": self.name });
        Ok(json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": { "name": self.name, "labels": labels },
            "spec": {
                "completionMode": "Indexed",
                "completions": self.workers,
                "parallelism": self.workers,
                // A worker that dies loses nothing: another pod of its index goes on.
                "backoffLimitPerIndex": 5,
                "template": {
                    "metadata": { "labels": labels },
                    "spec": {
                        "restartPolicy": "Never",
                        "automountServiceAccountToken": false,
                        "containers": [{
                            "name": "sync",
                            "image": self.image,
                            "args": self.arguments,
                            "env": [{
                                "name": "MULTICLOUD_STORE",
                                "valueFrom": { "secretKeyRef": { "name": self.secret, "key": "store" } },
                            }],
                            "envFrom": [{ "secretRef": { "name": self.secret } }],
                            "resources": {
                                "requests": { "cpu": "1", "memory": "128Mi" },
                                "limits": { "memory": "256Mi" },
                            },
                            "securityContext": {
                                "allowPrivilegeEscalation": false,
                                "readOnlyRootFilesystem": true,
                                "runAsNonRoot": true,
                                "capabilities": { "drop": ["ALL"] },
                            },
                        }],
                    },
                },
            },
        }))
    }
}

/// [RFC 1123](https://www.rfc-editor.org/rfc/rfc1123) labels, which names of objects in Kubernetes are.
fn check_label(field: &str, name: &str) -> Result<()> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let ends = |b: Option<&u8>| b.is_some_and(|b| *b != b'-');
    let bytes = name.as_bytes();
    let fine = bytes.len() <= 63
        && bytes.iter().copied().all(good)
        && ends(bytes.first())
        && ends(bytes.last());
    match fine {
        true => Ok(()),
        false => Err(Error::invalid(
            field,
            format_args!("'{name}' is no label"),
            "1 to 63 of a-z, 0-9 and '-', not '-' at either end",
        )),
    }
}
