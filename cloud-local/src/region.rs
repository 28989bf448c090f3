//! Outages: taking a region down and bringing it up again.

use cloud_core::{Effect, Region, Result};

use crate::{
    LocalCloud, compute, database,
    error::io_error,
    functions,
    state::{Locked, remove_if_there, write_json},
};

impl LocalCloud {
    /// Takes a region down, for every process that shares the data folder and until [`bring_up`](Self::bring_up): its
    /// instances, functions and database servers are killed without warning, and every call that concerns it fails with
    /// [`Unavailable`](cloud_core::ErrorKind::Unavailable), scope [`Region`](cloud_core::Scope::Region). Its data stays.
    /// Nothing if it is down already. If the future is dropped, repeat the call.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for an unknown region, or any of this machine's. The region
    /// is then down, but something in it may still run: repeat the call.
    ///
    /// ```
    /// # use cloud_core::{Region, Result};
    /// # use cloud_local::LocalCloud;
    /// async fn outage(cloud: &LocalCloud) -> Result<()> {
    ///     let region = Region::new("eu-1")?;
    ///     cloud.take_down(&region).await?;
    ///     assert!(cloud.is_down(&region)?);
    ///     cloud.bring_up(&region).await
    /// }
    /// ```
    pub async fn take_down(&self, region: &Region) -> Result<()> {
        let marked = region.clone();
        self.state()
            .locked_while_down(move |s| {
                s.state().region(&marked)?;
                let mark = s.state().down_mark(&marked);
                write_json(&s.state().tmp(), &mark, &jiff::Timestamp::now())?;
                kill_all(s, &marked)
            })
            .await?;
        database::stop_all(self.state(), region).await
    }

    /// Ends an outage, and starts the database servers that it stopped; instances stay dead until they are started. The data is
    /// what it was. In a region that is up it starts the servers that died otherwise, when the machine was restarted for one.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for an unknown region, or any of this machine's. The region is then
    /// up, but a server in it may still be stopped: repeat the call.
    pub async fn bring_up(&self, region: &Region) -> Result<()> {
        let marked = region.clone();
        self.state()
            .locked_while_down(move |s| {
                s.state().region(&marked)?;
                remove_if_there(&s.state().down_mark(&marked)).map(drop)
            })
            .await?;
        self.databases().start_all(region).await
    }

    /// Whether a region is down.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for an unknown region, or any of this machine's.
    pub fn is_down(&self, region: &Region) -> Result<bool> {
        self.state().region(region)?;
        let mark = self.state().down_mark(region);
        mark.try_exists().map_err(|e| io_error("look for", &mark)(e).with_effect(Effect::None))
    }
}

/// Kills the processes of a region's instances and functions, as many of them as can be.
fn kill_all(s: &Locked<'_>, region: &Region) -> Result<()> {
    let instances = compute::kill_region(s, region);
    let functions = functions::kill_region(s, region);
    instances.and(functions)
}
