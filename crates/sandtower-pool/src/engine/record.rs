//! What is recorded of the stock, and what an earlier process recorded.

use std::time::Duration;

use sandtower_core::Tick;
use sandtower_e2b::{CallId, SandboxId};

use super::Engine;
use crate::config::MARGIN;
use crate::items::{Item, ItemState, Key};
use crate::stock::{Life, Step};
use crate::wall::Wall;

/// Whether the stock can be recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Recording {
    /// It is not to be.
    #[default]
    Off,
    Available,
    /// What an earlier process left was not read yet.
    Unread,
    /// That cannot be read, another process has it, or it cannot be written.
    Unavailable,
}

/// A creation that an earlier process sent, or was about to send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inherited {
    call: CallId,
    /// After that its sandbox no longer appears.
    until: Tick,
}

/// How long after its process ended a creation can still appear in a listing: the service gives up after 90 s,
/// and a listing may lag for 20 s.
const APPEARS_WITHIN: Duration = Duration::from_secs(150);

/// A moment by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Tick,
    pub(crate) wall: Wall,
}

impl Moment {
    fn wall_of(self, at: Tick) -> Wall {
        let seconds =
            |time: Duration| i64::try_from(time.as_millis().div_ceil(1_000)).unwrap_or(i64::MAX);
        Wall(match at >= self.now {
            true => self.wall.0.saturating_add(seconds(at.since(self.now))),
            false => self.wall.0.saturating_sub(seconds(self.now.since(at))),
        })
    }

    fn until(self, wall: Wall) -> Duration {
        Duration::from_secs(u64::try_from(wall.0.saturating_sub(self.wall.0)).unwrap_or(0))
    }

    fn since(self, wall: Wall) -> Duration {
        Duration::from_secs(u64::try_from(self.wall.0.saturating_sub(wall.0)).unwrap_or(0))
    }
}

impl Engine {
    /// From here on [`take_steps`](Self::take_steps) has what happened.
    pub(crate) fn begin_recording(&mut self) {
        self.stock.remember();
        self.recording = Recording::Unread;
    }

    pub(crate) fn set_recording(&mut self, available: bool) {
        self.recording = match available {
            true => Recording::Available,
            false => Recording::Unavailable,
        };
    }

    /// Whether new steps can be recorded, or need not be.
    pub(super) fn is_recorded(&self) -> bool {
        matches!(self.recording, Recording::Off | Recording::Available)
    }

    /// What happened since the last time.
    pub(crate) fn take_steps(&mut self, moment: Moment) -> Vec<Step> {
        let changed = self.stock.take_changed();
        changed.into_iter().map(|key| self.step(key, moment)).collect()
    }

    fn step(&self, key: Key, moment: Moment) -> Step {
        let id = match key {
            Key::Sandbox(id) => id,
            Key::Creation(call) => {
                let ordered = self.orders.values().find(|order| order.call == Some(call));
                let ordered = ordered.map(|order| order.appears_until);
                let unknown = || self.unknown.iter().find(|unknown| unknown.call == Some(call));
                let left = || self.inherited.iter().find(|left| left.call == call);
                let until = ordered
                    .or_else(|| unknown().map(|unknown| unknown.until))
                    .or_else(|| left().map(|left| left.until));
                return match until {
                    Some(until) => Step::Ordered { call, until: moment.wall_of(until) },
                    None => Step::Completed { call },
                };
            }
        };
        let Some(item) = self.stock.get(&id) else { return Step::Ended { id } };
        let life =
            Life { created: moment.wall_of(item.created), ends_by: moment.wall_of(item.ends_by) };
        match item.state {
            ItemState::Idle => Step::Idle { id, life },
            ItemState::Leased(lease) => {
                Step::Leased { id, life, owner: lease.owner, until: moment.wall_of(lease.until) }
            }
            ItemState::Taken(_) => Step::Taken { id },
            ItemState::Ending => Step::Ending { id, life },
        }
    }

    /// What an earlier process recorded last; `None`: nothing. All of it counts until it is known to have ended.
    /// Its sandboxes are killed by the next [plan](Self::plan); with `keep`, a listing tells which are
    /// [adopted](Self::adopt). Returns how many creations and sandboxes there are.
    pub(crate) fn inherit(&mut self, left: Option<Vec<Step>>, keep: bool, moment: Moment) -> usize {
        let Some(steps) = left else { return 0 };
        // What is not in the record is not stock: a mark that looks like it is not enough.
        self.finds_by_marks = false;
        self.pay(moment.now);
        // A clock that was wrong once must not count for longer than anything lives.
        let longest = self.config.max_lifetime.max(Duration::from_secs(3_600));
        for step in steps {
            let (is_idle, id, life) = match step {
                Step::Ordered { call, until } => {
                    let until = moment.now + moment.until(until).min(APPEARS_WITHIN);
                    self.inherited.push(Inherited { call, until });
                    continue;
                }
                Step::Idle { id, life } => (true, id, life),
                Step::Leased { id, life, .. } | Step::Ending { id, life } => (false, id, life),
                Step::Completed { .. } | Step::Taken { .. } | Step::Ended { .. } => continue,
            };
            let ends_by = moment.now + moment.until(life.ends_by).min(longest);
            let age = moment.since(life.created);
            let created = Tick::ZERO + moment.now.since(Tick::ZERO).saturating_sub(age);
            if keep && is_idle {
                self.adoptable.insert(id.clone());
            } else {
                self.doomed.push(id.clone());
            }
            self.stock.put(useless(id, created, ends_by));
        }
        self.note_stock();
        self.stock.items().len() + self.inherited.len()
    }

    /// Whether stock of an earlier process is found by its marks, since no record has it.
    pub(crate) fn finds_by_marks(&self) -> bool {
        self.finds_by_marks
    }

    /// Creations and sandboxes of an earlier process of which a listing is to tell.
    pub(crate) fn looks_for_some(&self) -> bool {
        !self.inherited.is_empty() || !self.adoptable.is_empty()
    }

    /// A sandbox was found in a listing. Whether it is one of an earlier process, in stock or by its `call`.
    pub(crate) fn found(&mut self, id: &SandboxId, call: Option<CallId>, now: Tick) -> bool {
        self.pay(now);
        if self.adoptable.remove(id) {
            self.stock.remove(id);
            return true;
        }
        let Some(call) = call else { return false };
        let is_it = |left: &Inherited| left.call == call;
        if self.inherited.iter().any(is_it) {
            self.inherited.retain(|left| !is_it(left));
            self.stock.change(|| Key::Creation(call));
            self.late.insert(call);
            return !self.holds(id);
        }
        self.late.contains(&call) && !self.holds(id)
    }

    /// A complete listing that was asked for at `asked` was read: what can no longer appear is not there.
    pub(super) fn forget_inherited(&mut self, asked: Option<Tick>, now: Tick) {
        // Whatever appeared has ended by then, though no listing succeeded.
        let lives = self.config.idle_for + MARGIN;
        let is_over = |left: &Inherited| {
            asked.is_some_and(|asked| asked > left.until) || left.until + lives <= now
        };
        let over: Vec<_> = self.inherited.iter().filter(|left| is_over(left)).copied().collect();
        for left in over {
            self.inherited.retain(|other| other.call != left.call);
            self.late.insert(left.call);
            self.stock.change(|| Key::Creation(left.call));
        }
    }
}

/// A sandbox that is of no use, and counts until it has ended.
pub(super) fn useless(id: SandboxId, created: Tick, ends_by: Tick) -> Item {
    Item {
        id,
        shape: u32::MAX,
        created,
        until: ends_by,
        ends_by,
        version: 0,
        session: None,
        uses: 0,
        doubts: 0,
        state: ItemState::Ending,
    }
}
