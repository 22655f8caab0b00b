//! The counts against a plain model of everything that ever happened, over a time of the test's own.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sandtower::e2b::SandboxId;

use super::{NOON, sandbox};
use crate::virtual_keys::Limits;
use crate::virtual_keys::account::{Account, Exceeded, Millis, SlotId};
use crate::virtual_keys::limits::Limit;

const DAY: Millis = 86_400_000;

#[derive(Clone, Debug)]
enum Step {
    Wait(Millis),
    /// A creation that succeeds, for so long; or that has no end that is known.
    Create(Option<Millis>),
    /// One that has failed without effect.
    Fail,
    /// One of the sandboxes is killed.
    Kill(prop::sample::Index),
    SetEnd(prop::sample::Index, Millis),
}

fn step() -> impl Strategy<Value = Step> {
    let wait = prop_oneof![
        4 => 0_u64..5_000,
        2 => 5_000_u64..70_000,
        1 => 70_000_u64..10_000_000,
        1 => Just(DAY / 2),
    ];
    prop_oneof![
        3 => wait.prop_map(Step::Wait),
        4 => prop::option::weighted(0.8, 1_u64..3_600_000).prop_map(Step::Create),
        1 => Just(Step::Fail),
        2 => any::<prop::sample::Index>().prop_map(Step::Kill),
        1 => (any::<prop::sample::Index>(), 0_u64..100_000)
            .prop_map(|(which, end)| Step::SetEnd(which, end)),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    let limit = |most: u64| prop::option::of(0..most);
    (limit(5), limit(5), limit(30), limit(10_000)).prop_map(|(at_once, minute, day, seconds)| {
        Limits {
            concurrent_sandboxes: at_once,
            creations_per_minute: minute,
            creations_per_day: day,
            sandbox_seconds_per_day: seconds,
        }
    })
}

/// All that ever happened.
#[derive(Default)]
struct Model {
    created: Vec<Millis>,
    /// From when until when each sandbox ran, or will run.
    ran: BTreeMap<SandboxId, (Millis, Millis)>,
}

impl Model {
    fn running(&self, now: Millis) -> Vec<SandboxId> {
        let runs = |(_, end): &(Millis, Millis)| *end > now;
        self.ran.iter().filter(|(_, ran)| runs(ran)).map(|(id, _)| id.clone()).collect()
    }

    fn of_minute(&self, now: Millis) -> u64 {
        self.created.iter().filter(|at| **at + 60_000 > now).count() as u64
    }

    fn of_day(&self, now: Millis) -> u64 {
        self.created.iter().filter(|at| **at / DAY == now / DAY).count() as u64
    }

    fn ran_today(&self, now: Millis) -> Millis {
        let midnight = now / DAY * DAY;
        let today =
            |(from, to): &(Millis, Millis)| (*to).min(now).saturating_sub((*from).max(midnight));
        self.ran.values().map(today).sum()
    }

    fn admits(&self, limits: &Limits, now: Millis) -> Result<(), Limit> {
        let over = |limit: Option<u64>, used: u64| limit.is_some_and(|limit| used >= limit);
        let seconds = limits.sandbox_seconds_per_day.map(|limit| limit * 1_000);
        if over(limits.creations_per_minute, self.of_minute(now)) {
            Err(Limit::CreationsPerMinute)
        } else if over(limits.creations_per_day, self.of_day(now)) {
            Err(Limit::CreationsPerDay)
        } else if over(seconds, self.ran_today(now)) {
            Err(Limit::SandboxSecondsPerDay)
        } else if over(limits.concurrent_sandboxes, self.running(now).len() as u64) {
            Err(Limit::ConcurrentSandboxes)
        } else {
            Ok(())
        }
    }
}

struct Both {
    model: Model,
    account: Account,
    limits: Limits,
    now: Millis,
    next: SlotId,
}

impl Both {
    fn create(&mut self, lifetime: Option<Millis>, succeeds: bool) {
        let id = self.next;
        self.next += 1;
        let admitted = self.account.create(id, &self.limits, self.now);
        assert_eq!(admitted.map_err(|it| it.limit), self.model.admits(&self.limits, self.now));
        if let Err(Exceeded { free_in: Some(free_in), limit, .. }) = admitted {
            self.check_free(free_in, limit);
        }
        match (admitted, succeeds) {
            (Err(_), _) => {}
            (Ok(()), false) => self.account.undo(id, true),
            (Ok(()), true) => {
                let (new, ends) = (sandbox(id as usize), lifetime.map(|it| self.now + it));
                self.account.runs(id, &new, ends, self.now);
                self.model.created.push(self.now);
                self.model.ran.insert(new, (self.now, ends.unwrap_or(Millis::MAX)));
            }
        }
    }

    /// When it is said to be free, it is, and not a millisecond before.
    fn check_free(&self, free_in: Millis, limit: Limit) {
        let mut later = self.account.clone();
        later.advance(self.now + free_in - 1);
        let still = later.create(SlotId::MAX, &self.limits, self.now + free_in - 1);
        assert_eq!(still.map_err(|it| it.limit), Err(limit));
        later.advance(self.now + free_in);
        let then = later.create(SlotId::MAX, &self.limits, self.now + free_in);
        assert_ne!(then.map_err(|it| it.limit), Err(limit));
    }

    fn step(&mut self, step: &Step) {
        self.account.advance(self.now);
        let running = self.model.running(self.now);
        match step {
            Step::Wait(time) => self.now += time,
            Step::Create(lifetime) => self.create(*lifetime, true),
            Step::Fail => self.create(None, false),
            Step::Kill(which) | Step::SetEnd(which, _) if !running.is_empty() => {
                let id = which.get(&running);
                let slot = self.account.slot_of(id).unwrap();
                let ran = self.model.ran.get_mut(id).unwrap();
                if let Step::SetEnd(_, left) = step {
                    self.account.set_end(slot, Some(self.now + left));
                    ran.1 = self.now + left;
                } else {
                    self.account.slots.remove(&slot);
                    ran.1 = self.now;
                }
            }
            Step::Kill(_) | Step::SetEnd(..) => {}
        }
        self.account.advance(self.now);
        let usage = self.account.usage(&self.limits);
        let expected = (
            self.model.running(self.now).len() as u64,
            self.model.of_minute(self.now),
            self.model.of_day(self.now),
            self.model.ran_today(self.now),
        );
        let used = (
            usage.concurrent_sandboxes.used,
            usage.creations_per_minute.used,
            usage.creations_per_day.used,
            self.account.ran,
        );
        assert_eq!(used, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn it_counts_as_the_model_does(
        limits in limits(),
        steps in prop::collection::vec(step(), 1..80),
        start in 0..DAY,
    ) {
        let (model, account) = (Model::default(), Account::default());
        let mut both = Both { model, account, limits, now: NOON + start, next: 0 };
        steps.iter().for_each(|step| both.step(step));
    }

    /// The clock of the wall goes back at any moment: in no real minute are there more creations than the
    /// limit, and at no moment more sandboxes.
    #[test]
    fn a_clock_that_goes_back_admits_no_more(
        limit in 1_u64..5,
        steps in prop::collection::vec((0_u64..20_000, prop::option::weighted(0.2, 0_u64..10_000_000)), 1..100),
    ) {
        let limits = Limits {
            creations_per_minute: Some(limit),
            concurrent_sandboxes: Some(limit + 1),
            ..Limits::default()
        };
        let mut account = Account::default();
        let (mut real, mut back) = (NOON, 0);
        let mut created: Vec<Millis> = Vec::new();
        for (at, (wait, jump)) in steps.into_iter().enumerate() {
            real += wait;
            back += jump.unwrap_or(0);
            let now = real - back;
            account.advance(now);
            if account.create(at as SlotId, &limits, now).is_ok() {
                account.runs(at as SlotId, &sandbox(at), Some(now + 30_000), now);
                created.push(real);
            }
            prop_assert!(account.slots.len() as u64 <= limit + 1);
            let of_minute = created.iter().filter(|time| **time + 60_000 > real).count() as u64;
            prop_assert!(of_minute <= limit, "{of_minute} of {limit}");
        }
    }
}

#[test]
fn after_a_year_too_far_a_key_is_free_again_within_its_windows() {
    let limits =
        Limits { creations_per_minute: Some(1), creations_per_day: Some(1), ..Limits::default() };
    let mut account = Account::default();
    account.advance(NOON + 365 * DAY);
    account.create(0, &limits, NOON + 365 * DAY).unwrap();
    // The clock is set right.
    account.advance(NOON);
    assert_eq!(account.create(1, &limits, NOON).unwrap_err().free_in, Some(60_000));
    let next_day = NOON + DAY / 2;
    account.advance(next_day - 1);
    assert_eq!(account.create(1, &limits, next_day - 1).unwrap_err().free_in, Some(1));
    account.advance(next_day);
    account.create(1, &limits, next_day).unwrap();
}

#[test]
fn a_sandbox_that_is_known_already_frees_the_place_of_the_call() {
    let mut account = Account::default();
    let limits = Limits::default();
    account.advance(NOON);
    account.create(0, &limits, NOON).unwrap();
    account.runs(0, &sandbox(7), Some(NOON + 1_000), NOON);
    account.create(1, &limits, NOON).unwrap();
    assert_eq!(account.runs(1, &sandbox(7), Some(NOON + 5_000), NOON), 0);
    assert_eq!(account.slots.len(), 1);
    account.advance(NOON + 1_000);
    assert_eq!(account.slots.len(), 1, "it runs until the later end");
    account.advance(NOON + 5_000);
    assert_eq!((account.slots.len(), account.ran), (0, 5_000));
}
