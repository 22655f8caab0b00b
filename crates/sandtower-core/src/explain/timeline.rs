//! The stages of one call as they come: pure data, the instant is an argument.

use std::time::Duration;

use super::explanation::{Explanation, MOST_STAGES, Rest};
use super::stage::{CallStage, StageKind};
use crate::{Outcome, Rejection, Tick};

/// A stage before a queue that is shorter is the way there, and counts as part of the queue.
const NOTHING: Duration = Duration::from_millis(1);

/// How the last stage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How it ended.
    pub outcome: Outcome,
    /// The HTTP status, if there was a response.
    pub status: Option<u16>,
}

impl Ended {
    /// Without a response that has a status.
    pub const fn new(outcome: Outcome) -> Self {
        Self { outcome, status: None }
    }
}

/// A call of which nothing but its beginning is known costs no allocation.
#[derive(Debug)]
pub(super) struct Timeline {
    began: Tick,
    more: Option<Box<More>>,
}

#[derive(Debug)]
struct More {
    stages: Vec<CallStage>,
    rest: Option<Box<Rest>>,
    /// The stage that the call is in; `None`: nothing that is known.
    open: Option<CallStage>,
    since: Tick,
    /// What a call goes on with when it leaves the queue.
    base: StageKind,
    attempt: u32,
}

impl Timeline {
    pub(super) fn new(began: Tick) -> Self {
        Self { began, more: None }
    }

    fn more(&mut self) -> &mut More {
        let began = self.began;
        self.more.get_or_insert_with(|| {
            Box::new(More {
                stages: Vec::new(),
                rest: None,
                open: Some(CallStage::new(StageKind::Attempt, 1)),
                since: began,
                base: StageKind::Attempt,
                attempt: 1,
            })
        })
    }

    /// The kind of the stage that the call is in.
    fn open(&self) -> Option<StageKind> {
        match &self.more {
            Some(more) => more.open.as_ref().map(|stage| stage.kind),
            None => Some(StageKind::Attempt),
        }
    }

    /// Whether what is reported belongs to a request that the call sends on its own behalf, such as a
    /// probe: its stage is listed as a whole.
    fn is_covered(&self) -> bool {
        matches!(self.open(), Some(StageKind::HealthCheck | StageKind::Reconcile | StageKind::Pool))
    }

    /// Does nothing to a call that is in a queue already.
    pub(super) fn joined_queue(&mut self, now: Tick) {
        if self.is_covered() || self.open() == Some(StageKind::Queue) {
            return;
        }
        let began = self.began;
        let more = self.more();
        if more.open.is_some() && now.since(more.since) >= NOTHING {
            more.close(began, now, None);
        }
        let since = if more.open.is_some() { more.since } else { now };
        more.open(StageKind::Queue, since);
    }

    /// The call is tried from the warm pool, before anything is sent for it.
    pub(super) fn pooled(&mut self, now: Tick) {
        let began = self.began;
        let more = self.more();
        if more.open.is_some() && now.since(more.since) >= NOTHING {
            more.close(began, now, None);
        }
        more.open(StageKind::Pool, now);
    }

    pub(super) fn held_by(&mut self, why: &Rejection) {
        if self.open() != Some(StageKind::Queue) {
            return;
        }
        if let Some(stage) = &mut self.more().open {
            match &mut stage.why {
                Some(before) => before.as_mut().clone_from(why),
                before => *before = Some(Box::new(why.clone())),
            }
        }
    }

    pub(super) fn left_queue(&mut self, now: Tick) {
        if self.open() != Some(StageKind::Queue) {
            return;
        }
        let began = self.began;
        let more = self.more();
        more.close(began, now, None);
        more.open(more.base, now);
    }

    /// The open stage ends as `ended` says, and the call goes on with `next`.
    pub(super) fn next(&mut self, ended: Option<Ended>, next: StageKind, now: Tick) {
        let began = self.began;
        let more = self.more();
        let looked = more.open.as_ref().is_some_and(|stage| stage.kind == StageKind::Reconcile);
        more.close(began, now, ended.filter(|_| !looked));
        if next == StageKind::Fallback {
            more.base = next;
        }
        more.open(next, now);
    }

    pub(super) fn attempt(&mut self, number: u32, now: Tick) {
        let began = self.began;
        let more = self.more();
        let no_backoff = more.since == now;
        match &more.open {
            Some(stage) if stage.kind == StageKind::Backoff && no_backoff => more.open = None,
            _ => more.close(began, now, None),
        }
        (more.attempt, more.base) = (number, StageKind::Attempt);
        more.open(StageKind::Attempt, now);
    }

    /// The queue that the attempt that begins now has left.
    pub(super) fn last_queue(&self) -> Option<CallStage> {
        let more = self.more.as_ref()?;
        more.stages.last().filter(|stage| stage.kind == StageKind::Queue).cloned()
    }

    /// A call within this one has ended, and is explained already.
    pub(super) fn absorb(&mut self, began: Tick, explanation: &Explanation, now: Tick) {
        if self.is_covered() {
            return;
        }
        let offset = began.since(self.began);
        let own = self.began;
        let more = self.more();
        if began.since(more.since) >= NOTHING {
            more.close(own, began, None);
        }
        for stage in explanation.stages() {
            more.push(CallStage { start: stage.start + offset, ..stage.clone() });
        }
        (more.open, more.since) = (None, now);
    }

    pub(super) fn end(
        mut self,
        ended: Ended,
        why: Option<&Rejection>,
        now: Tick,
    ) -> (Tick, Explanation) {
        let (began, total) = (self.began, now.since(self.began));
        let Ended { outcome, status } = ended;
        if outcome == Outcome::Rejected {
            self.more().reject(began, why, now);
        }
        let Some(mut more) = self.more else {
            let stage = CallStage { took: total, ..CallStage::new(StageKind::Attempt, 1) };
            let stage = CallStage { outcome: Some(outcome), status, ..stage };
            return (began, Explanation::one(total, outcome, stage));
        };
        more.close_last(began, now, ended);
        let absorbed = more.stages.last().and_then(|stage| stage.outcome);
        let outcome = match outcome {
            Outcome::Unknown => absorbed.unwrap_or(outcome),
            known => known,
        };
        (began, Explanation::many(total, outcome, more.stages, more.rest))
    }
}

impl More {
    fn open(&mut self, kind: StageKind, since: Tick) {
        (self.open, self.since) = (Some(CallStage::new(kind, self.attempt)), since);
    }

    fn closed(&mut self, began: Tick, now: Tick, ended: Option<Ended>) -> Option<CallStage> {
        let mut stage = self.open.take()?;
        (stage.start, stage.took) = (self.since.since(began), now.since(self.since));
        if let Some(Ended { outcome, status }) = ended {
            stage.outcome = Some(outcome);
            // What a look or a check ends with is the response of the attempt before it.
            let is_exchange = matches!(stage.kind, StageKind::Attempt | StageKind::Fallback);
            stage.status = status.filter(|_| is_exchange);
        }
        Some(stage)
    }

    fn close(&mut self, began: Tick, now: Tick, ended: Option<Ended>) {
        if let Some(stage) = self.closed(began, now, ended) {
            self.push(stage);
        }
    }

    /// The last stage is always listed.
    fn close_last(&mut self, began: Tick, now: Tick, ended: Ended) {
        if let Some(stage) = self.closed(began, now, Some(ended)) {
            self.stages.push(stage);
        }
    }

    /// The attempt that was to begin was not sent.
    fn reject(&mut self, began: Tick, why: Option<&Rejection>, now: Tick) {
        let is_attempt = |kind| matches!(kind, StageKind::Attempt | StageKind::Fallback);
        if self.open.as_ref().is_some_and(|stage| !is_attempt(stage.kind)) {
            self.close(began, now, None);
        }
        self.open(StageKind::Rejected, now);
        if let Some(stage) = &mut self.open {
            stage.why = why.cloned().map(Box::new);
        }
    }

    fn push(&mut self, stage: CallStage) {
        if self.stages.len() + 1 < MOST_STAGES {
            self.stages.push(stage);
            return;
        }
        let rest = self.rest.get_or_insert_default();
        rest.stages = rest.stages.saturating_add(1);
        rest.took[stage.kind.index()] += stage.took;
    }
}
