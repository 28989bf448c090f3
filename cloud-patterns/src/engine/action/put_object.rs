//! `put_object`: puts an object into a bucket.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use cloud_core::{Error, ErrorKind, ResourceId, ResourceKind, Result};
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, path::Path};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ActionHandler, Applied, Call, gone_is_fine};
use crate::engine::store::CatalogChange;

/// The largest file that is put in one request; larger ones belong into a data sync.
const LARGEST_FILE: u64 = 256 << 20;

/// Puts an object. Input: `bucket` (a resource id), `key`, and either `text` or `file` (a path on this machine, at most
/// 256 MiB); `overwrite` (default: no) lets it replace an object with other contents, which is then not brought
/// back by undoing. Undone by deleting the object, if it was not there before. Output: `key`.
#[derive(Clone, Copy, Debug)]
pub struct PutObject;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    bucket: ResourceId,
    key: String,
    text: Option<String>,
    file: Option<PathBuf>,
    #[serde(default)]
    overwrite: bool,
}

impl Input {
    fn path(&self) -> Result<Path> {
        self.bucket.expect_kind(ResourceKind::Bucket)?;
        Path::parse(&self.key).ok().filter(|path| !path.as_ref().is_empty()).ok_or_else(|| {
            let problem = format!("is '{}'", self.key.escape_debug());
            Error::invalid("input.key", problem, "a relative path without '..'")
        })
    }

    async fn contents(&self) -> Result<Bytes> {
        match (&self.text, &self.file) {
            (Some(text), None) => Ok(Bytes::copy_from_slice(text.as_bytes())),
            (None, Some(file)) => {
                let file = file.clone();
                tokio::task::spawn_blocking(move || read_file(&file))
                    .await
                    .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?
            }
            _ => Err(Error::invalid(
                "input",
                "has both or neither of text and file",
                "one of the two",
            )),
        }
    }
}

fn read_file(file: &std::path::Path) -> Result<Bytes> {
    let field = format!("input.file {}", file.display());
    let unreadable = |e: std::io::Error| {
        Error::invalid(&field, format_args!("is unreadable: {e}"), "a readable file")
    };
    let size = std::fs::metadata(file).map_err(unreadable)?.len();
    if size > LARGEST_FILE {
        let problem = format!("has {size} bytes");
        let accepted = format!("at most {LARGEST_FILE} bytes");
        return Err(Error::invalid(&field, problem, accepted));
    }
    Ok(std::fs::read(file).map_err(unreadable)?.into())
}

async fn open(call: &Call<'_>) -> Result<(Input, Path, Arc<dyn ObjectStore>)> {
    let input: Input = call.read()?;
    let path = input.path()?;
    let objects = call.cloud.storage()?.object_store(&input.bucket).await?;
    Ok((input, path, objects))
}

#[async_trait]
impl ActionHandler for PutObject {
    fn name(&self) -> &str {
        "put_object"
    }

    async fn prepare(&self, call: &Call<'_>) -> Result<Value> {
        let (_, path, objects) = open(call).await?;
        let there = gone_is_fine(objects.head(&path).await.map_err(Error::from))?;
        Ok(json!({ "existed": there.is_some() }))
    }

    async fn apply(&self, call: &Call<'_>) -> Result<Applied> {
        let (input, path, objects) = open(call).await?;
        let contents = input.contents().await?;
        if input.overwrite {
            objects.put(&path, contents.into()).await?;
        } else {
            let mode = PutOptions::from(PutMode::Create);
            match objects.put_opts(&path, contents.clone().into(), mode).await {
                Ok(_) => {}
                // Either an attempt of ours before, or somebody else's.
                Err(object_store::Error::AlreadyExists { .. }) => {
                    let there = objects.get(&path).await?.bytes().await?;
                    if there != contents {
                        let message =
                            format!("{}: '{path}' is there with other contents", input.bucket);
                        return Err(Error::new(ErrorKind::AlreadyExists, message)
                            .with_hint("set overwrite: true to replace it"));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Applied { outputs: [("key".to_owned(), path.to_string())].into(), ..Applied::default() })
    }

    async fn undo(&self, call: &Call<'_>) -> Result<Vec<CatalogChange>> {
        if call.before["existed"] == json!(false)
            && let Some((_, path, objects)) = gone_is_fine(open(call).await)?
        {
            gone_is_fine(objects.delete(&path).await.map_err(Error::from))?;
        }
        Ok(Vec::new())
    }

    fn permissions(&self) -> Vec<&'static str> {
        vec!["objects.put", "objects.get", "objects.delete"]
    }
}
