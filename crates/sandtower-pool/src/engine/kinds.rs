use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use sandtower_core::Tick;

use super::Engine;
use crate::config::Config;
use crate::demand::{Peak, Profile, Rate, stock_for};
use crate::refill::Backoff;
use crate::shape::Shape;
use crate::target::{Cap, Term};

/// A shape of which stock is kept, and what was asked of it.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) number: u32,
    pub(super) shape: Shape,
    pub(super) is_configured: bool,
    pub(super) rate: Rate,
    pub(super) peak: Peak,
    pub(super) profile: Profile,
    /// Arrivals in this hour.
    pub(super) came: u32,
    /// How long a creation takes, decaying mean.
    pub(super) lead: Duration,
    pub(super) last_asked: Tick,
    /// The longest timeout that was asked for.
    pub(super) longest: Duration,
    /// Whether a creation of it has succeeded.
    pub(super) is_proven: bool,
    pub(super) backoff: Backoff,
    /// The id of the template that its alias stood for.
    pub(super) template_id: Option<String>,
    /// The build of its template when it was seen last, while there was stock.
    pub(super) build: Option<String>,
    pub(super) version: u32,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) target: u32,
    pub(super) term: Term,
    pub(super) cap: Option<Cap>,
}

/// Assumed before the first creation: that of E2B under light load, with the check.
const FIRST_LEAD: Duration = Duration::from_millis(1_500);
/// The weight of the newest creation in the lead time.
const NEWEST_LEAD: f64 = 0.2;
/// Demand below this many requests in the lifetime of a warm sandbox is not worth one.
const WORTH: f64 = 0.1;
/// How far the profile looks ahead, besides the lead time: so that an hour begins with its stock.
const LOOK_AHEAD: Duration = Duration::from_secs(120);

impl Kind {
    fn new(number: u32, shape: Shape, is_configured: bool, now: Tick) -> Self {
        Self {
            number,
            shape,
            is_configured,
            rate: Rate::new(now),
            peak: Peak::new(now),
            profile: Profile::new(),
            came: 0,
            lead: FIRST_LEAD,
            last_asked: now,
            longest: Duration::ZERO,
            is_proven: false,
            backoff: Backoff::default(),
            template_id: None,
            build: None,
            version: 0,
            hits: 0,
            misses: 0,
            target: 0,
            term: Term::Nothing,
            cap: None,
        }
    }

    pub(super) fn asked(&mut self, config: &Config, timeout: Duration, now: Tick) {
        self.rate.arrived(now);
        let pace = (self.lead, config.create_every, config.create_burst);
        self.peak.arrived(pace, config.peak_half_life, config.max, now);
        self.came = self.came.saturating_add(1);
        self.last_asked = self.last_asked.max(now);
        if timeout <= config.max_lifetime {
            self.longest = self.longest.max(timeout);
        }
    }

    pub(super) fn created_in(&mut self, took: Duration) {
        let before = self.lead.as_secs_f64();
        let mean = before + NEWEST_LEAD * (took.as_secs_f64() - before);
        self.lead = Duration::from_secs_f64(mean.clamp(0.05, 120.0));
        self.is_proven = true;
    }

    /// The stock for this many arrivals a second.
    pub(super) fn stock_at(&self, per_second: f64, config: &Config) -> u32 {
        if per_second * config.idle_for.as_secs_f64() < WORTH {
            return 0;
        }
        stock_for(per_second * self.lead.as_secs_f64(), config.served)
    }

    /// How far ahead its profile is read.
    pub(super) fn looks_ahead(&self) -> Duration {
        LOOK_AHEAD + self.lead
    }
}

/// Shapes that were asked for once: of those that are asked for again, stock is kept.
#[derive(Debug, Default)]
pub(super) struct Seen(VecDeque<Shape>);

const MOST_SEEN: usize = 64;

impl Seen {
    /// Whether it was seen before.
    fn again(&mut self, shape: &Shape) -> bool {
        if let Some(at) = self.0.iter().position(|seen| seen == shape) {
            self.0.remove(at);
            return true;
        }
        if self.0.len() == MOST_SEEN {
            self.0.pop_front();
        }
        self.0.push_back(shape.clone());
        false
    }
}

impl Engine {
    pub(super) fn kind_of(&self, shape: &Shape) -> Option<&Kind> {
        self.kinds.iter().find(|kind| kind.shape == *shape)
    }

    pub(super) fn kind(&mut self, number: u32) -> Option<&mut Kind> {
        self.kinds.iter_mut().find(|kind| kind.number == number)
    }

    pub(super) fn add(&mut self, shape: Shape, is_configured: bool, now: Tick) -> &mut Kind {
        let at = self.kinds.len();
        self.kinds.push(Kind::new(self.next_kind, shape, is_configured, now));
        self.next_kind += 1;
        &mut self.kinds[at]
    }

    /// A caller's creation of `shape` succeeded after `took`. The second time, stock of it is kept from here
    /// on, if shapes are learned. One with metadata is not: what it tells is about one sandbox.
    pub fn learn(&mut self, shape: &Shape, took: Duration, now: Tick) {
        if let Some(number) = self.kind_of(shape).map(|kind| kind.number) {
            if let Some(kind) = self.kind(number) {
                kind.created_in(took);
                kind.backoff.succeeded();
            }
            return;
        }
        if self.config.learn == 0 || shape.has_metadata() || !self.seen.again(shape) {
            return;
        }
        let learned = self.kinds.iter().filter(|kind| !kind.is_configured).count();
        if learned >= self.config.learn as usize {
            let learned = self.kinds.iter().enumerate().filter(|(_, kind)| !kind.is_configured);
            let oldest = learned.min_by_key(|(_, kind)| kind.last_asked).map(|(at, _)| at);
            oldest.map(|at| self.kinds.remove(at));
        }
        let config = Arc::clone(&self.config);
        let kind = self.add(shape.clone(), false, now);
        kind.created_in(took);
        kind.asked(&config, Duration::ZERO, now);
    }
}
