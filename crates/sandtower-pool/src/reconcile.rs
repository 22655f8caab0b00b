//! Listing the stock: what has ended meanwhile, and what an earlier process left behind.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sandtower_core::Tick;
use sandtower_e2b::{CALL_KEY, ListSandboxes, OWNER_KEY, POOL_KEY, SandboxInfo};

use crate::OnShutdown;
use crate::below::Below;
use crate::mark::Mark;
use crate::pool::Shared;
use crate::shape::Shape;
use crate::wall::Wall;

/// When listings are due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reconcile {
    next: Tick,
    count: u32,
    /// When the builds of templates are looked at next.
    builds: Tick,
}

/// The interval of listings. Stock is checked by these alone: a connect or a command would extend lifetimes.
const EVERY: Duration = Duration::from_secs(60);
/// Creations in flight when the process before ended can appear for this long.
const SWEEPS: u32 = 4;
/// The interval while creations that an earlier process recorded have not been found, and for how many listings.
const SOON: Duration = Duration::from_secs(10);
const LOOKS: u32 = 18;

impl Reconcile {
    pub(crate) fn new(now: Tick) -> Self {
        Self { next: now, count: 0, builds: now }
    }

    pub(crate) fn next(&self) -> Tick {
        self.next
    }

    pub(crate) fn is_due(&self, now: Tick) -> bool {
        self.next <= now
    }

    pub(crate) fn begin(
        &mut self,
        shared: Arc<Shared>,
        below: Below,
        now: Tick,
    ) -> impl Future<Output = ()> + use<> {
        self.count = self.count.saturating_add(1);
        let looks = shared.engine().looks_for_some();
        self.next = now + if looks && self.count <= LOOKS { SOON } else { EVERY };
        let sweeps = looks || self.count <= SWEEPS;
        let builds = self.builds <= now && shared.engine().idle() > 0;
        if builds {
            self.builds = now + EVERY;
        }
        async move {
            // There is nothing to find. While a breaker is not closed, a listing is its probe: creations for
            // the stock wait for it, and there may be no callers.
            let is_empty = shared.engine().in_stock() == 0;
            if !sweeps && is_empty && (shared.room)().is_closed {
                return;
            }
            list(&shared, &below, sweeps, now).await;
            if builds {
                crate::builds::look(&shared, &below).await;
            }
        }
    }
}

/// What is written into the metadata of a sandbox in stock.
pub(crate) fn mark(shape: &Shape, shared: &Shared) -> String {
    Mark::write(shape, shared.config.idle_for, &shared.instance)
}

async fn list(shared: &Shared, below: &Below, sweeps: bool, asked: Tick) {
    let owner = shared.e2b.owner_name().as_str();
    let which = ListSandboxes::default().metadata(OWNER_KEY, owner);
    let client = shared.client(below);
    let Ok(all) = client.list_all(which).await else { return };
    // Services that ignore the filter list everything.
    let ours =
        all.into_iter().filter(|info| info.metadata.get(OWNER_KEY).is_some_and(|of| of == owner));
    let ours: Vec<_> = ours.collect();
    let now = Tick::now();
    // Before what has not appeared is forgotten.
    if sweeps {
        sweep(shared, &ours, now);
    }
    let gone = shared.engine().listed(|id| ours.iter().any(|info| info.id == *id), asked, now);
    for id in gone {
        let error = "it is not listed any more";
        tracing::warn!(target: "sandtower::pool", sandbox_id = %id, error, "a warm sandbox was dead");
    }
}

/// Kills stock of an earlier process, or adopts it.
fn sweep(shared: &Shared, ours: &[SandboxInfo], now: Tick) {
    let (mut killed, mut adopted) = (0_u32, 0_u32);
    for info in ours {
        let call = info.metadata.get(CALL_KEY).and_then(|call| call.parse().ok());
        let is_recorded = shared.engine().found(&info.id, call, now);
        let left = match is_recorded {
            true => Some(LeftBehind::of(info, shared)),
            false => left_behind(info, shared),
        };
        let Some(left) = left else { continue };
        let adopts = shared.config.on_shutdown == OnShutdown::Keep
            && shared.engine().adopt(info.id.clone(), &left.shape, (left.age, left.lives), now);
        if adopts {
            adopted += 1;
        } else {
            shared.engine().left_behind(info.id.clone(), left.lives, now);
            killed += 1;
        }
    }
    if killed + adopted > 0 {
        tracing::info!(
            target: "sandtower::pool", killed, adopted, "stock of an earlier process was found"
        );
        shared.work.notify_one();
    }
}

/// Stock that another process of this owner left behind.
struct LeftBehind {
    shape: String,
    age: Duration,
    /// How long it still lives.
    lives: Duration,
}

impl LeftBehind {
    /// One that a record has.
    fn of(info: &SandboxInfo, shared: &Shared) -> Self {
        let mark = info.metadata.get(POOL_KEY).and_then(|mark| Mark::read(mark));
        let date = |text: &Option<String>| Wall::parse(text.as_deref()?);
        let now = (shared.wall)();
        let (start, end) = (date(&info.started_at), date(&info.end_at));
        Self {
            shape: mark.map_or_else(String::new, |mark| mark.shape.to_owned()),
            age: start.map_or(Duration::ZERO, |start| between(start, now)),
            lives: end.map_or(shared.config.idle_for, |end| between(now, end)),
        }
    }
}

fn between(from: Wall, to: Wall) -> Duration {
    Duration::from_secs(u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0))
}

/// `None`: it is not stock of another process, or a caller took it. The lifetime of a sandbox that was
/// taken was changed, so that it does not end when stock ends.
fn left_behind(info: &SandboxInfo, shared: &Shared) -> Option<LeftBehind> {
    let engine = shared.engine();
    if !engine.finds_by_marks() || engine.holds(&info.id) {
        return None;
    }
    drop(engine);
    let mark = Mark::read(info.metadata.get(POOL_KEY)?)?;
    let (start, end) =
        (Wall::parse(info.started_at.as_deref()?)?, Wall::parse(info.end_at.as_deref()?)?);
    let is_it = mark.instance != shared.instance && mark.is_untaken(start, end);
    is_it.then(|| LeftBehind::of(info, shared))
}
