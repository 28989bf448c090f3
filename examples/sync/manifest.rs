//! The Kubernetes Indexed Job, as YAML.

use cloud_patterns::sync::IndexedJob;

use crate::{
    Result,
    arguments::{Arguments, Manifest},
};

pub(crate) fn yaml(arguments: &Arguments, wanted: &Manifest) -> Result<String> {
    let policy = arguments.policy()?;
    let job = IndexedJob {
        name: wanted.name.clone(),
        image: wanted.image.clone(),
        secret: wanted.secret.clone(),
        workers: wanted.workers,
        arguments: vec![
            wanted.source.clone(),
            wanted.target.clone(),
            "--quiet".to_owned(),
            "--shards".to_owned(),
            policy.shards.0.max(wanted.workers.saturating_mul(4)).to_string(),
        ],
    };
    Ok(serde_saphyr::to_string(&job.manifest()?)?)
}
