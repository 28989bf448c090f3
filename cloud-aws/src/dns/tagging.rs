//! Tags of zones and health checks, which Route 53 keeps apart from them.

use std::collections::HashMap;

use aws_sdk_route53::types::{Tag, TagResourceType};
use cloud_core::{Effect, ErrorKind, Result, Tags};

use super::AwsDns;
use crate::{
    error::{reads, writes},
    tags,
};

/// The most resources whose tags one request asks for.
pub(super) const MOST: i32 = 10;

impl AwsDns {
    /// Sets the tags of what was just created. Where that fails, the thing is there without them: the repeated create completes it.
    /// It is not deleted again, as Route 53 never takes the caller reference of a deleted health check a second time.
    pub(super) async fn tag(
        &self,
        kind: TagResourceType,
        id: &str,
        tags: impl IntoIterator<Item = (&str, &str)>,
    ) -> Result<()> {
        let tags: Vec<_> =
            tags.into_iter().map(|(k, v)| Tag::builder().key(k).value(v).build()).collect();
        if tags.is_empty() {
            return Ok(());
        }
        let request = self.client()?.change_tags_for_resource().resource_type(kind).resource_id(id);
        let done = request.set_add_tags(Some(tags)).send().await.map_err(writes("route53"));
        done.map(drop).map_err(|e| {
            e.context(format_args!("{id} is there, but without tags"))
                .with_effect(Effect::Unknown)
                .with_hint("repeat the create with the same token: it sets the tags")
        })
    }

    /// The tags of one.
    pub(super) async fn tags_of(&self, kind: &TagResourceType, id: &str) -> Result<Tags> {
        let request = self.client()?.list_tags_for_resource().resource_type(kind.clone());
        let answer = request.resource_id(id).send().await.map_err(reads("route53"))?;
        Ok(read(answer.resource_tag_set.and_then(|set| set.tags)))
    }

    /// The tags of those of these, at most [`MOST`], that are still there.
    pub(super) async fn tags_of_all(
        &self,
        kind: &TagResourceType,
        ids: Vec<String>,
    ) -> Result<HashMap<String, Tags>> {
        let mut all = HashMap::new();
        if ids.is_empty() {
            return Ok(all);
        }
        let request = self.client()?.list_tags_for_resources().resource_type(kind.clone());
        let answer = request.set_resource_ids(Some(ids.clone())).send().await;
        match answer.map_err(reads("route53")) {
            Ok(answer) => {
                for set in answer.resource_tag_sets {
                    let id = set.resource_id.unwrap_or_default();
                    all.insert(id, read(set.tags));
                }
            }
            // One of them is gone meanwhile, and the answer does not say which.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                for id in ids {
                    match self.tags_of(kind, &id).await {
                        Ok(tags) => drop(all.insert(id, tags)),
                        Err(error) if error.kind() == ErrorKind::NotFound => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(error) => return Err(error),
        }
        Ok(all)
    }
}

fn read(pairs: Option<Vec<Tag>>) -> Tags {
    let pairs = pairs.unwrap_or_default().into_iter();
    tags::read(pairs.map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default()))).0
}
