use std::path::PathBuf;
use std::time::Duration;

use sandtower_e2b::NewSandbox;
use serde_json::{Map, Value};

use super::{Config, OnShutdown, ScheduleRow};

impl Config {
    /// The most warm sandboxes at a time, of all shapes, those being created and those being killed included.
    pub fn max(self, max: u32) -> Self {
        Self { max, ..self }
    }

    /// The number of warm sandboxes of each configured shape that are kept whatever the demand.
    pub fn min(self, min: u32) -> Self {
        Self { min, ..self }
    }

    /// What warm sandboxes may cost, in dollars an hour.
    pub fn budget(self, dollars: f64) -> Self {
        Self { budget: dollars, ..self }
    }

    /// What one sandbox costs, in dollars an hour. The default is that of E2B for 2 CPUs and 0.5 GiB.
    pub fn price(self, dollars: f64) -> Self {
        Self { price: dollars, ..self }
    }

    /// Adds a shape: sandboxes that are created as `new` says, without its timeout, are kept warm. It may
    /// have metadata: requests with the same metadata then match.
    pub fn shape(self, new: &NewSandbox) -> Self {
        let body = match serde_json::to_value(new) {
            Ok(Value::Object(body)) => body,
            // A new sandbox is a JSON object.
            _ => Map::new(),
        };
        self.shape_of(body)
    }

    /// Adds a shape by the body of a request of E2B's API: `templateID`, `secure`, `envVars` and so on.
    pub fn shape_of(mut self, body: Map<String, Value>) -> Self {
        self.shapes.push(body);
        self
    }

    /// How many shapes are learned from successful creations, beside those that are configured. Of more,
    /// the one that was not asked for the longest is forgotten.
    pub fn learn(self, shapes: u32) -> Self {
        Self { learn: shapes, ..self }
    }

    /// The share of requests that the target is to serve while demand is steady; at least 0.5 and below 1.
    pub fn served(self, share: f64) -> Self {
        Self { served: share, ..self }
    }

    /// The half-life of the highest recent demand.
    pub fn peak_half_life(self, half_life: Duration) -> Self {
        Self { peak_half_life: half_life, ..self }
    }

    /// Whether demand is forecast from the same hour of earlier weeks.
    pub fn profile(self, on: bool) -> Self {
        Self { profile: on, ..self }
    }

    /// Adds a row to the schedule.
    pub fn schedule(mut self, row: ScheduleRow) -> Self {
        self.schedule.push(row);
        self
    }

    /// The lifetime of a warm sandbox: one that is not used by then ends by itself, whatever becomes of this
    /// process. 30 s to [`max_lifetime`](Self::max_lifetime).
    pub fn idle_for(self, lifetime: Duration) -> Self {
        Self { idle_for: lifetime, ..self }
    }

    /// The longest lifetime that the plan allows, age included. A request with a longer timeout than a warm
    /// sandbox can still live is a miss.
    pub fn max_lifetime(self, lifetime: Duration) -> Self {
        Self { max_lifetime: lifetime, ..self }
    }

    /// The interval of creations for the pool.
    pub fn create_every(self, interval: Duration) -> Self {
        Self { create_every: interval, ..self }
    }

    /// How many creations for the pool may be sent at once after a pause.
    pub fn create_burst(self, creations: u32) -> Self {
        Self { create_burst: creations, ..self }
    }

    /// The number of the plan's slots that warm sandboxes leave free.
    pub fn spare_slots(self, slots: u32) -> Self {
        Self { spare_slots: slots, ..self }
    }

    /// How long a call may try to get a warm sandbox before one is created for it.
    pub fn hand_out_within(self, limit: Duration) -> Self {
        Self { hand_out_within: limit, ..self }
    }

    /// What becomes of warm sandboxes at shutdown.
    pub fn on_shutdown(self, on_shutdown: OnShutdown) -> Self {
        Self { on_shutdown, ..self }
    }

    /// How often one sandbox may be used. With more than 1, a sandbox that its caller kills is cleaned and
    /// kept for the same [session](crate::Session) of the same tenant, and for no other.
    pub fn reuse(self, uses: u32) -> Self {
        Self { reuse: uses, ..self }
    }

    /// Records the stock in the SQLite database at `path`, which is created if it is not there; its folder must
    /// exist. With it, `max` and `budget` hold across a crash: the next process with the same
    /// [owner](sandtower_e2b::Config::owner), which must be set, counts what this one left behind until it has
    /// ended. Pools with other owners or API keys may use the same file. Needs the feature `sqlite`.
    pub fn store(self, path: impl Into<PathBuf>) -> Self {
        Self { store: Some(path.into()), ..self }
    }

    /// The number of sandboxes that the plan allows at a time, if it is known.
    pub fn slots(self, slots: Option<u32>) -> Self {
        Self { slots, ..self }
    }

    /// Takes what no file sets from `base`.
    pub fn inherit(self, base: &Self) -> Self {
        Self { slots: base.slots, ..self }
    }
}
