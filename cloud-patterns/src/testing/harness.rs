//! The harness itself: all cases, one run for each, and what they add up to.

use std::{fmt, future::Future, sync::Arc};

use async_trait::async_trait;
use cloud_core::{Cloud, DeleteOptions, Error, ErrorKind, Result, intercept::Stack};

use super::{
    audit::audit,
    faults::{AroundCalls, AroundStore, CallFault, Faults, WriteFault},
};
use crate::engine::{
    action::{ActionHandler, Applied, Call, Handlers},
    clouds::Clouds,
    plan::{Action, Plan, Step},
    saga::{Executor, ExecutorOptions, Outcome, Run},
    store::{CatalogChange, Store, StoreExt},
};

/// How often a run is resumed before it counts as unresumable.
const RESUMES: usize = 5;

/// What one run happens in. Store and clouds may be shared between worlds if each plan has a deployment and an id of
/// its own.
#[derive(Clone, Debug)]
pub struct World {
    /// Journal, catalog and leases.
    pub store: Arc<dyn Store>,
    /// The clouds that the plan acts on, without faults.
    pub clouds: Vec<Arc<dyn Cloud>>,
    /// The plan. Of the same shape in every world.
    pub plan: Plan,
}

/// What goes wrong in a run. Calls and writes are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Case {
    /// Nothing.
    Clean,
    /// A call that changes a cloud, on the way forwards.
    Call(usize, CallFault),
    /// A write of the journal, on the way forwards.
    Write(usize, WriteFault),
    /// A call that changes a cloud, while all is undone because the last step failed.
    UndoCall(usize, CallFault),
    /// A write of the journal, while all is undone because the last step failed.
    UndoWrite(usize, WriteFault),
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clean => f.write_str("clean"),
            Self::Call(n, fault) => write!(f, "call {n} {fault:?}"),
            Self::Write(n, fault) => write!(f, "write {n} {fault:?}"),
            Self::UndoCall(n, fault) => write!(f, "undo, call {n} {fault:?}"),
            Self::UndoWrite(n, fault) => write!(f, "undo, write {n} {fault:?}"),
        }
    }
}

impl Case {
    fn faults(self) -> Arc<Faults> {
        match self {
            Self::Clean => Faults::new(None, None),
            Self::Call(n, fault) | Self::UndoCall(n, fault) => Faults::new(Some((n, fault)), None),
            Self::Write(n, fault) | Self::UndoWrite(n, fault) => {
                Faults::new(None, Some((n, fault)))
            }
        }
    }

    fn undoes(self) -> bool {
        matches!(self, Self::UndoCall(..) | Self::UndoWrite(..))
    }
}

/// What all runs together showed.
///
/// ```
/// let report = cloud_patterns::testing::HarnessReport::default();
/// assert!(report.is_clean());
/// assert_eq!(report.to_string(), "0 runs: orphans 0, duplicates 0, unresumable 0, other findings 0");
/// ```
#[derive(Clone, Debug, Default)]
pub struct HarnessReport {
    /// How many runs there were.
    pub runs: usize,
    /// Of how many of them the fault struck.
    pub struck: usize,
    /// Resources that were left, or that the catalog does not know.
    pub orphans: usize,
    /// Resources that were made a second time.
    pub duplicates: usize,
    /// Runs that could not be brought to an end.
    pub unresumable: usize,
    /// Everything that was wrong, in words: the case first.
    pub findings: Vec<String>,
}

impl HarnessReport {
    /// Whether nothing was wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.orphans + self.duplicates + self.unresumable == 0
    }
}

impl fmt::Display for HarnessReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} runs: orphans {}, duplicates {}, unresumable {}, other findings {}",
            self.runs,
            self.orphans,
            self.duplicates,
            self.unresumable,
            self.findings.len()
        )?;
        self.findings.iter().try_for_each(|finding| write!(f, "\n  {finding}"))
    }
}

/// Carries out a plan with every fault at every place. See [the module](super).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
/// use cloud_core::{Cloud, Clouds, SystemClock};
/// use cloud_patterns::{
///     engine::{saga::ExecutorOptions, store::SqliteStore}, place::observe, planner::{PlanOptions, plan},
///     testing::{CrashHarness, World}, workload::{Format, Workload},
/// };
/// use cloud_testkit::sim::SimCloud;
/// use std::sync::Arc;
///
/// const SHOP: &str = "{name: shop, components: [{name: assets, type: storage}]}";
/// let world = |case: usize| async move {
///     let sim: Arc<dyn Cloud> = Arc::new(SimCloud::new("sim", case as u64));
///     let observation = observe(&Clouds::new([sim.clone()])?).await;
///     let plan = plan(&Workload::from_text(SHOP, Format::Yaml)?, &observation, &PlanOptions::new("shop"))?;
///     let store = Arc::new(SqliteStore::in_memory(Arc::new(SystemClock)).await?);
///     Ok(World { store, clouds: vec![sim], plan })
/// };
/// let report = CrashHarness::new(world, ExecutorOptions::default()).run().await?;
/// assert!(report.is_clean(), "{report}");
/// # Ok::<_, cloud_core::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct CrashHarness<W> {
    make_world: W,
    options: ExecutorOptions,
    made: usize,
    every: usize,
}

impl<W, Fut> CrashHarness<W>
where
    W: FnMut(usize) -> Fut,
    Fut: Future<Output = Result<World>>,
{
    /// A harness that gets its worlds from `make_world`, by the number of the run.
    ///
    /// The options' holder is what makes a crashed run resumable at once: each executor of a run has it.
    pub fn new(make_world: W, options: ExecutorOptions) -> Self {
        Self { make_world, options, made: 0, every: 1 }
    }

    /// Runs only every `n`th case, for clouds on which a run takes long. The faults of one place follow each other in
    /// their order, so an `n` that is no multiple of their number meets all of them.
    pub fn every(mut self, n: usize) -> Self {
        self.every = n.max(1);
        self
    }

    /// All cases: first those that are counted in a clean run, then those of the way back.
    ///
    /// # Errors
    /// If a world cannot be made, or the plan fails without any fault: there is nothing to be learnt then.
    pub async fn run(&mut self) -> Result<HarnessReport> {
        let mut report = HarnessReport::default();
        let forward = self.counted(false, &mut report).await?;
        let there_and_back = self.counted(true, &mut report).await?;
        let mut cases = Vec::new();
        for n in 0..forward.calls {
            cases.extend(CallFault::ALL.map(|fault| Case::Call(n, fault)));
        }
        for n in 0..forward.writes {
            cases.extend(WriteFault::ALL.map(|fault| Case::Write(n, fault)));
        }
        for n in forward.calls..there_and_back.calls {
            cases.extend(CallFault::ALL.map(|fault| Case::UndoCall(n, fault)));
        }
        // The way forwards writes fewer times with the step that fails, so some cases come twice; none is missed.
        for n in forward.writes.saturating_sub(4)..there_and_back.writes {
            cases.extend(WriteFault::ALL.map(|fault| Case::UndoWrite(n, fault)));
        }
        for case in cases.into_iter().step_by(self.every) {
            tracing::debug!(%case, "crash harness");
            self.case(case, &mut report).await?;
        }
        Ok(report)
    }

    /// One case; what was wrong is added to the report.
    ///
    /// # Errors
    /// If the world cannot be made or looked at.
    pub async fn case(&mut self, case: Case, report: &mut HarnessReport) -> Result<()> {
        self.one(case, case.undoes(), report).await.map(drop)
    }

    async fn counted(&mut self, undo: bool, report: &mut HarnessReport) -> Result<Counts> {
        let before = report.findings.len();
        let counts = self.one(Case::Clean, undo, report).await?;
        match report.findings.get(before) {
            None => Ok(counts),
            Some(finding) => Err(Error::new(
                ErrorKind::Conflict,
                format!("the plan is not carried out even without a fault: {finding}"),
            )),
        }
    }

    async fn one(&mut self, case: Case, undo: bool, report: &mut HarnessReport) -> Result<Counts> {
        let mut world = (self.make_world)(self.made).await?;
        self.made += 1;
        if undo {
            let last = failing_step(&world.plan)?;
            world.plan.steps.push(last);
        }
        let faults = case.faults();
        let stage = Stage::new(&world, &faults, &self.options)?;
        let outcome = stage.to_its_end().await;
        let counts = Counts { calls: faults.calls_seen(), writes: faults.writes_seen() };
        report.runs += 1;
        let struck = faults.struck();
        report.struck += usize::from(struck.is_some());
        let mut say = |words: &dyn fmt::Display| {
            let at = struck.as_deref().unwrap_or("nothing struck");
            report.findings.push(format!("{case} ({at}): {words}"));
        };
        let there = match &outcome {
            Ok(Outcome::Succeeded { .. }) => true,
            Ok(Outcome::RolledBack { .. }) => false,
            Ok(other) => {
                say(other);
                report.unresumable += 1;
                return Ok(counts);
            }
            Err(error) => {
                say(error);
                report.unresumable += 1;
                return Ok(counts);
            }
        };
        if there && undo {
            say(&"the failing step succeeded");
        }
        if case == Case::Clean && !there && !undo {
            outcome.iter().for_each(|rolled_back| say(rolled_back));
        }
        let seen = audit(&*world.store, &stage.bare, &world.plan, there).await?;
        seen.words.iter().for_each(|words| say(words));
        report.orphans += seen.orphans;
        report.duplicates += seen.duplicates;
        if there {
            let removed = stage.remove_all().await?;
            let seen = audit(&*world.store, &stage.bare, &world.plan, false).await?;
            if !removed.is_success() {
                say(&format_args!("afterwards, removing it all: {removed}"));
            }
            seen.words.iter().for_each(|words| say(&format_args!("after its removal: {words}")));
            report.orphans += seen.orphans;
        }
        Ok(counts)
    }
}

/// How many calls and writes a run made.
#[derive(Clone, Copy, Debug)]
struct Counts {
    calls: usize,
    writes: usize,
}

/// One run: a world with its faults.
struct Stage<'w> {
    world: &'w World,
    faults: &'w Faults,
    options: &'w ExecutorOptions,
    bare: Clouds,
    faulty: Clouds,
    store: Arc<dyn Store>,
}

impl<'w> Stage<'w> {
    fn new(
        world: &'w World,
        faults: &'w Arc<Faults>,
        options: &'w ExecutorOptions,
    ) -> Result<Self> {
        let around = Stack::builder().guard(AroundCalls(Arc::clone(faults))).build();
        let faulty = world.clouds.iter().map(|c| around.wrap(Arc::clone(c)));
        Ok(Self {
            world,
            faults,
            options,
            bare: Clouds::new(world.clouds.iter().cloned())?,
            faulty: Clouds::new(faulty)?,
            store: Arc::new(AroundStore {
                inner: Arc::clone(&world.store),
                faults: Arc::clone(faults),
            }),
        })
    }

    /// A process of its own: nothing but store and clouds outlives it.
    fn executor(&self) -> Result<Executor> {
        let mut handlers = Handlers::default();
        handlers.register(Arc::new(AlwaysFails))?;
        let store = Arc::clone(&self.store);
        let executor = Executor::new(store, self.faulty.clone(), self.options.clone());
        Ok(executor.with_handlers(handlers))
    }

    /// Applies the plan, then resumes it until it is over.
    async fn to_its_end(&self) -> Result<Outcome> {
        let plan = &self.world.plan;
        let executor = self.executor()?;
        let run = Run::default();
        let mut last = tokio::select! {
            biased;
            () = self.faults.crash.cancelled() => Err(Error::new(ErrorKind::Cancelled, "crashed")),
            ended = executor.apply(plan, &run) => ended,
        };
        for _ in 0..RESUMES {
            if let Ok(Outcome::Succeeded { .. } | Outcome::RolledBack { .. }) = &last {
                return last;
            }
            let executor = self.executor()?;
            last = match executor.resume(&plan.id, &Run::default()).await {
                // It crashed before the plan was saved, so it is as if it had never been asked for.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    executor.apply(plan, &Run::default()).await
                }
                ended => ended,
            };
        }
        last
    }

    /// Removes what the plan has made, dependants first.
    async fn remove_all(&self) -> Result<Outcome> {
        let plan = &self.world.plan;
        let store = &*self.world.store;
        let owned = store.catalog(Some(&plan.deployment)).complete().await?;
        let mut steps: Vec<Step> = Vec::new();
        for made in plan.steps.iter().rev() {
            let Some(owned) = owned.items().iter().find(|o| o.step == made.id) else {
                continue;
            };
            let depends_on = steps.last().map(|s| s.id.clone()).into_iter().collect();
            steps.push(Step {
                action: Action::Delete {
                    id: owned.id.clone(),
                    options: DeleteOptions { with_contents: true },
                },
                depends_on,
                ..made.clone()
            });
        }
        let removal = Plan {
            id: format!("{}-removal", plan.id),
            purpose: format!("remove {}", plan.deployment),
            steps,
            choices: Vec::new(),
            ..plan.clone()
        };
        let store = Arc::clone(&self.world.store);
        let executor = Executor::new(store, self.bare.clone(), self.options.clone());
        executor.apply(&removal, &Run::default()).await
    }
}

/// A step after all others that always fails.
fn failing_step(plan: &Plan) -> Result<Step> {
    let cloud = match plan.steps.first() {
        Some(step) => step.cloud.clone(),
        None => {
            return Err(Error::invalid("plan.steps", "is empty", "one step at least"));
        }
    };
    Ok(Step {
        id: "always-fails".into(),
        component: "harness".into(),
        cloud,
        action: Action::Call { handler: AlwaysFails.name().into(), input: serde_json::Value::Null },
        depends_on: plan.steps.iter().map(|s| s.id.clone()).collect(),
        monthly_cost: None,
    })
}

#[derive(Debug)]
struct AlwaysFails;

#[async_trait]
impl ActionHandler for AlwaysFails {
    fn name(&self) -> &str {
        "harness_always_fails"
    }

    async fn apply(&self, _: &Call<'_>) -> Result<Applied> {
        Err(Error::new(ErrorKind::InvalidInput, "the crash harness wants it all undone"))
    }

    async fn undo(&self, _: &Call<'_>) -> Result<Vec<CatalogChange>> {
        Ok(Vec::new())
    }
}
