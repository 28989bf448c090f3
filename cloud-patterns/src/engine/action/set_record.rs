//! `set_record`: sets a DNS record.

use async_trait::async_trait;
use cloud_core::{DnsExt, Error, ErrorKind, RecordSet, ResourceId, ResourceKind, Result};
use futures::TryStreamExt;
use serde::Deserialize;
use serde_json::Value;

use super::{ActionHandler, Applied, Call, gone_is_fine};
use crate::engine::store::CatalogChange;

/// Sets a record set. Input: `zone` (a resource id), `record` (a [`RecordSet`]). Undone by setting what was there before, or by
/// deleting it. Output: `name`.
#[derive(Clone, Copy, Debug)]
pub struct SetRecord;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    zone: ResourceId,
    record: RecordSet,
}

fn read(call: &Call<'_>) -> Result<Input> {
    let input: Input = call.read()?;
    input.zone.expect_kind(ResourceKind::DnsZone)?;
    input.record.validate()?;
    Ok(input)
}

#[async_trait]
impl ActionHandler for SetRecord {
    fn name(&self) -> &str {
        "set_record"
    }

    async fn prepare(&self, call: &Call<'_>) -> Result<Value> {
        let input = read(call)?;
        let dns = call.cloud.dns()?;
        let mut records = dns.list_records(&input.zone);
        while let Some(there) = records.try_next().await? {
            if there.same_key(&input.record) {
                return serde_json::to_value(there)
                    .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()));
            }
        }
        Ok(Value::Null)
    }

    async fn apply(&self, call: &Call<'_>) -> Result<Applied> {
        let input = read(call)?;
        call.cloud.dns()?.set_record(&input.zone, &input.record).await?;
        Ok(Applied {
            outputs: [("name".to_owned(), input.record.name)].into(),
            ..Applied::default()
        })
    }

    async fn undo(&self, call: &Call<'_>) -> Result<Vec<CatalogChange>> {
        let input = read(call)?;
        let dns = call.cloud.dns()?;
        if call.before.is_null() {
            gone_is_fine(dns.delete_record(&input.zone, &input.record).await)?;
        } else {
            let before: RecordSet = serde_json::from_value(call.before.clone()).map_err(|e| {
                Error::new(ErrorKind::Corrupt, format!("journal: record set before: {e}"))
            })?;
            gone_is_fine(dns.set_record(&input.zone, &before).await)?;
        }
        Ok(Vec::new())
    }

    fn permissions(&self) -> Vec<&'static str> {
        vec!["dns.list_records_page", "dns.set_record", "dns.delete_record"]
    }
}
