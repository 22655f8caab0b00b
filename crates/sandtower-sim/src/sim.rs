//! The handle to a simulator.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::body::Reserve;
use crate::clock;
use crate::config::Config;
use crate::error::InvalidConfig;
use crate::fault::{Fault, FaultPlan};
use crate::files::Budget;
use crate::ledger::Ledger;
use crate::state::{Shared, State};

/// A simulated E2B: control plane and sandboxes behind one [`Service`](tower_service::Service).
///
/// A clone is another handle to the same simulator. Its clock is tokio's: in a current-thread
/// runtime with a paused clock, hours pass in seconds.
#[derive(Clone)]
pub struct Sim {
    pub(crate) shared: Arc<Shared>,
}

impl Config {
    /// The simulator. Its time begins now: build it inside the runtime whose clock it shall share.
    ///
    /// # Errors
    ///
    /// If a constant of the world or a fault is invalid.
    pub fn build(mut self) -> Result<Sim, InvalidConfig> {
        self.world.check()?;
        let faults = FaultPlan::new(std::mem::take(&mut self.faults), clock::now())?;
        let shared = Shared {
            state: Mutex::new(State::new(self.ledger_capacity, faults)),
            config: self,
            began: clock::now(),
            disk: Budget::default(),
            bodies: Reserve::default(),
        };
        Ok(Sim { shared: Arc::new(shared) })
    }
}

impl Sim {
    /// The truth up to now.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.shared.ledger()
    }

    /// How long ago the simulator began, on its clock.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.shared.since_began(clock::now())
    }

    /// How many sandboxes run, zombies included; those that are paused do not.
    #[must_use]
    pub fn active(&self) -> usize {
        self.shared.state().running()
    }

    /// The template of this name is built anew: it keeps its id, and `GET /templates` has another build.
    pub fn rebuild(&self, template: impl Into<String>) {
        *self.shared.state().builds.entry(template.into()).or_default() += 1;
    }

    /// The faults as they are now.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        self.shared.state().faults.rules().to_vec()
    }

    /// Replaces all faults; their times count from now.
    ///
    /// # Errors
    ///
    /// Names the first fault that is invalid.
    pub fn set_faults(&self, faults: Vec<Fault>) -> Result<(), InvalidConfig> {
        let faults = FaultPlan::new(faults, clock::now())?;
        self.shared.state().faults = faults;
        Ok(())
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").field("config", &self.shared.config).finish_non_exhaustive()
    }
}
