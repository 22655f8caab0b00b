//! The policies that are compared.

use std::collections::VecDeque;
use std::time::Duration;

use sandtower_core::Tick;
use sandtower_e2b::NewSandbox;
use sandtower_pool::Config;
use sandtower_pool::engine::Engine;

use super::model::Service;

/// A policy: how large the stock is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// The engine of this crate decides.
    Sandtower,
    /// Always the same.
    Fixed(u32),
    /// As the autoscaler of Kubernetes: every 15 s, size x utilisation / 70 %; it shrinks to the largest
    /// recommendation of 5 minutes.
    Hpa,
    /// As the autoscaler of Knative: what 60 s call for; what 6 s call for, if that is twice as much.
    Knative,
}

/// The most that any of them may have in stock.
pub(crate) const MOST: u32 = 30;

impl Policy {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Sandtower => "sandtower".to_owned(),
            Self::Fixed(size) => format!("fixed-{size}"),
            Self::Hpa => "hpa".to_owned(),
            Self::Knative => "knative".to_owned(),
        }
    }

    /// The engine that it sets the bounds of, and its rule.
    pub(crate) fn build(self, service: Service, now: Tick) -> (Engine, Rule) {
        let config = Config::new()
            .max(MOST)
            .budget(f64::from(MOST))
            .shape(&NewSandbox::new("base"))
            .create_every(service.create_every)
            .create_burst(service.create_burst);
        let config = match self {
            Self::Fixed(size) => config.max(size.max(1)).min(size),
            _ => config,
        };
        let engine = Engine::new(config, now).expect("a valid config");
        (
            engine,
            Rule {
                policy: self,
                calls: VecDeque::new(),
                wanted: VecDeque::new(),
                size: 1,
                next: now,
            },
        )
    }
}

/// What sets the bounds of an engine.
pub(crate) struct Rule {
    policy: Policy,
    /// In the last minute.
    calls: VecDeque<Tick>,
    wanted: VecDeque<(Tick, u32)>,
    size: u32,
    next: Tick,
}

const SYNC: Duration = Duration::from_secs(15);
const STABLE: Duration = Duration::from_secs(300);
const MINUTE: Duration = Duration::from_secs(60);
const PANIC: Duration = Duration::from_secs(6);
/// How many seconds of demand are kept in stock by the rule of Knative.
const KEPT: f64 = 10.0;

impl Rule {
    pub(crate) fn called(&mut self, now: Tick) {
        self.calls.push_back(now);
        while self.calls.front().is_some_and(|at| now.since(*at) > MINUTE) {
            self.calls.pop_front();
        }
    }

    fn calls_within(&self, window: Duration, now: Tick) -> f64 {
        self.calls.iter().filter(|at| now.since(**at) <= window).count() as f64
    }

    pub(crate) fn apply(&mut self, engine: &mut Engine, now: Tick) {
        let wanted = match self.policy {
            Policy::Sandtower | Policy::Fixed(_) => return,
            Policy::Hpa if now < self.next => return,
            Policy::Hpa => {
                self.next = now + SYNC;
                let utilisation = self.calls_within(SYNC, now) / f64::from(self.size);
                (f64::from(self.size) * utilisation / 0.7).ceil() as u32
            }
            Policy::Knative => {
                let stable = self.calls_within(MINUTE, now) / MINUTE.as_secs_f64() * KEPT;
                let panic = self.calls_within(PANIC, now) / PANIC.as_secs_f64() * KEPT;
                if panic >= 2.0 * stable { panic.ceil() as u32 } else { stable.ceil() as u32 }
            }
        };
        self.wanted.push_back((now, wanted));
        let window = if self.policy == Policy::Hpa { STABLE } else { MINUTE };
        while self.wanted.front().is_some_and(|(at, _)| now.since(*at) > window) {
            self.wanted.pop_front();
        }
        let most = self.wanted.iter().map(|(_, wanted)| *wanted).max().unwrap_or(1);
        self.size = most.clamp(1, MOST);
        engine.set_bounds(self.size, self.size);
    }
}
