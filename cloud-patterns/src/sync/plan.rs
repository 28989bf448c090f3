//! A run of a sync job as a [`Plan`], for approval, dry run and journal like any other change.

use std::fmt::Debug;

use async_trait::async_trait;
use cloud_core::{CloudId, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{job::RunOptions, report::SyncReport, service::SyncService};
use crate::engine::{
    action::{ActionHandler, Applied, Call},
    plan::{Action, Choice, Plan, Step},
    store::CatalogChange,
};

/// The action of a sync's step: one run of the job, by whoever carries the plan out, together with other workers.
///
/// Applying it again goes on where it broke off. Undoing it does nothing: what was overwritten or deleted is brought back from
/// the trash or from the bucket's versions, if there are any. Input: `job`. Outputs: `copied`, `deleted`, `bytes`.
///
/// ```
/// use cloud_patterns::{engine::action::ActionHandler, sync::{SyncObjects, SyncService}};
/// # fn example(service: SyncService) {
/// let handler = SyncObjects::new(service);
/// assert_eq!(handler.name(), "sync_objects");
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SyncObjects(SyncService);

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    job: String,
}

impl SyncObjects {
    const NAME: &'static str = "sync_objects";

    /// Runs the jobs of this service.
    pub fn new(service: SyncService) -> Self {
        Self(service)
    }
}

#[async_trait]
impl ActionHandler for SyncObjects {
    fn name(&self) -> &str {
        Self::NAME
    }

    async fn prepare(&self, call: &Call<'_>) -> Result<Value> {
        let input: Input = call.read()?;
        self.0.job(&input.job).await.map(|_| Value::Null)
    }

    async fn apply(&self, call: &Call<'_>) -> Result<Applied> {
        let input: Input = call.read()?;
        let report = self.0.run(&input.job, &RunOptions::default()).await?;
        report.check()?;
        let outputs = [
            ("copied", report.copied),
            ("deleted", report.deleted),
            ("bytes", report.bytes_written),
        ];
        let outputs = outputs.map(|(name, figure)| (name.to_owned(), figure.to_string()));
        Ok(Applied { outputs: outputs.into_iter().collect(), catalog: Vec::new() })
    }

    async fn undo(&self, _: &Call<'_>) -> Result<Vec<CatalogChange>> {
        Ok(Vec::new())
    }

    fn permissions(&self) -> Vec<&'static str> {
        vec![
            "storage.list_objects",
            "storage.get_object",
            "storage.put_object",
            "storage.delete_object",
        ]
    }
}

impl SyncService {
    /// Looks at both sides and returns what a run would do, as a plan of one step that the given cloud carries; without a
    /// step, if there is nothing to do. The executor needs [`SyncObjects`] among its handlers.
    ///
    /// # Errors
    /// As [`run`](Self::run) has them; too many deletions are refused here already.
    pub async fn plan(
        &self,
        job: &str,
        cloud: &CloudId,
        options: &RunOptions,
    ) -> Result<(Plan, SyncReport)> {
        let options = RunOptions { dry_run: true, ..options.clone() };
        let report = self.run(job, &options).await?;
        let kept = self.job(job).await?;
        let changes = report.copied + report.copied_back + report.deleted + report.conflicts.count;
        let step = Step {
            id: "sync".to_owned(),
            component: job.to_owned(),
            cloud: cloud.clone(),
            action: Action::Call {
                handler: SyncObjects::NAME.to_owned(),
                input: json!(Input { job: job.to_owned() }),
            },
            depends_on: Vec::new(),
            monthly_cost: None,
        };
        let figure = |name: &str, value: String| (name.to_owned(), value);
        let mut figures = vec![
            figure("objects to copy", report.copied.to_string()),
            figure("objects to copy back", report.copied_back.to_string()),
            figure("objects to delete", report.deleted.to_string()),
            figure("conflicts", report.conflicts.count.to_string()),
            figure("bytes to read", report.bytes_written.to_string()),
        ];
        figures.extend(report.egress_cost.map(|cost| figure("egress cost", cost.to_string())));
        let choice = Choice {
            component: job.to_owned(),
            places: Vec::new(),
            why: format!("{} differs from {}", kept.target, kept.source),
            monthly_cost: None,
            rejected: Vec::new(),
            figures: figures.into_iter().collect(),
        };
        let plan = Plan {
            id: Uuid::now_v7().to_string(),
            deployment: job.to_owned(),
            purpose: format!("sync {} to {}", kept.source, kept.target),
            created_at: self.now(),
            steps: if changes > 0 { vec![step] } else { Vec::new() },
            choices: vec![choice],
        };
        Ok((plan, report))
    }
}
