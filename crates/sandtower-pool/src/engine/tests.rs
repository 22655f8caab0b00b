use std::time::Duration;

use proptest::prelude::*;
use sandtower_core::{Tenant, Tick};
use sandtower_e2b::NewSandbox;

use super::*;
use crate::shape::Wanted;
use crate::target::{Cap, Term};
use crate::wall::Wall;

const SECOND: Duration = Duration::from_secs(1);
/// A Monday at 0 o'clock.
const MONDAY: i64 = 1_767_571_200;

fn at(second: u64) -> Tick {
    Tick::ZERO + SECOND * 1_000 + Duration::from_secs(second)
}

fn base() -> Wanted {
    Wanted::read(br#"{"templateID":"base"}"#).unwrap()
}

fn config() -> Config {
    Config::new().shape(&NewSandbox::new("base")).create_burst(10)
}

fn handed_out(engine: &mut Engine, hand_out: &HandOut, now: Tick) -> bool {
    let is_taken = engine.take(hand_out, now);
    if is_taken {
        engine.served(hand_out);
        engine.claimed(&hand_out.id, now);
    }
    is_taken
}

/// An engine whose orders come after a second, and whose kills take none.
struct Driven {
    engine: Engine,
    orders: Vec<(Tick, Order)>,
    created: u32,
    room: Room,
    wall: i64,
}

impl Driven {
    fn new(config: Config) -> Self {
        let engine = Engine::new(config, at(0)).unwrap();
        Self { engine, orders: Vec::new(), created: 0, room: Room::unknown(), wall: MONDAY }
    }

    fn to(&mut self, from: u64, to: u64) {
        for second in from..to {
            self.look(second);
        }
    }

    fn look(&mut self, second: u64) {
        let now = at(second);
        let (due, rest) = self.orders.drain(..).partition(|(due, _)| *due <= now);
        self.orders = rest;
        for (_, order) in Vec::from_iter::<Vec<(Tick, Order)>>(due) {
            self.created += 1;
            let id = format!("i{}", self.created).parse().unwrap();
            if !self.engine.created(&order, id, None, now) {
                panic!("it was ordered");
            }
        }
        let wall = Wall(self.wall + i64::try_from(second).unwrap());
        let work = self.engine.plan(self.room, wall, now);
        work.kill.iter().for_each(|id| self.engine.ended(id, now));
        self.orders.extend(work.create.into_iter().map(|order| (now + SECOND, order)));
    }

    fn ask(&mut self, second: u64) -> bool {
        let hand_out = self.engine.request(&base(), Tenant::ALL, None, at(second));
        hand_out.is_ok_and(|hand_out| handed_out(&mut self.engine, &hand_out, at(second)))
    }

    fn kind(&self, second: u64) -> KindSnapshot {
        self.engine.snapshot(at(second)).shapes.remove(0)
    }
}

#[test]
fn without_demand_there_is_no_stock() {
    let mut driven = Driven::new(config());
    driven.to(0, 600);
    assert_eq!(driven.engine.in_stock(), 0);
    assert_eq!(driven.kind(600).determined_by, Term::Nothing);
}

#[test]
fn stock_follows_demand_and_ends_with_it() {
    let mut driven = Driven::new(config());
    let mut hits = 0;
    for second in 0..600 {
        driven.look(second);
        hits += u32::from(second % 2 == 0 && driven.ask(second));
    }
    assert!(hits > 290, "{hits}");
    let busy = driven.kind(600);
    assert!((4..=7).contains(&busy.target), "{busy:?}");
    assert!((0.45..0.55).contains(&busy.rate), "{busy:?}");
    driven.to(600, 8_000);
    assert_eq!(driven.engine.in_stock(), 0, "{:?}", driven.kind(8_000));
}

#[test]
fn stock_is_replaced_before_it_ends() {
    let mut driven = Driven::new(config().min(3));
    driven.to(0, 10);
    let mut fewest = 3;
    for second in 10..2_000 {
        driven.look(second);
        fewest = fewest.min(driven.engine.idle());
    }
    assert_eq!(fewest, 3);
    assert!(driven.created < 3 * 2_000 / 200, "{}", driven.created);
}

#[test]
fn the_schedule_and_the_profile_add_to_what_demand_calls_for() {
    let row = crate::ScheduleRow::new("mon", "01:00", "02:00", 3);
    let mut driven = Driven::new(config().schedule(row));
    driven.to(0, 3_590);
    assert_eq!(driven.engine.idle(), 0);
    driven.to(3_590, 3_610);
    assert_eq!((driven.engine.idle(), driven.kind(3_610).determined_by), (3, Term::Schedule));

    // A week later the same hour is expected to bring what it brought.
    let mut driven = Driven::new(config());
    for second in 0..3_700 {
        driven.look(second);
        if (1_800..3_600).contains(&second) {
            driven.ask(second);
        }
    }
    driven.to(3_700, 7 * 86_400 - 600);
    assert_eq!(driven.engine.idle(), 0);
    driven.to(7 * 86_400 - 600, 7 * 86_400 - 60);
    let kind = driven.kind(7 * 86_400 - 60);
    assert!(kind.idle >= 3 && kind.determined_by == Term::Profile, "{kind:?}");
    driven.to(7 * 86_400 - 60, 7 * 86_400 + 3_700);
    let kind = driven.kind(7 * 86_400 + 3_700);
    assert_eq!((kind.forecast, kind.came), (Some(1_800.0), Some(0)));
    assert_eq!(kind.forecast_error, None, "no demand to compare with");
}

#[test]
fn what_keeps_stock_below_demand_is_named() {
    for (config, room, cap) in [
        (config().min(8).max(8).budget(0.35), Room::unknown(), Some(Cap::Budget)),
        (config().min(8).max(8), Room::unknown().free_slots(Some(2)), Some(Cap::Slots)),
        (config().min(8).max(8), Room::unknown().closed(false), Some(Cap::Breaker)),
        (config().min(8).max(8), Room::unknown().free_slots(Some(20)), None),
    ] {
        let mut driven = Driven::new(config);
        driven.room = room;
        driven.to(0, 60);
        assert_eq!(driven.kind(60).capped_by, cap, "{room:?}");
    }
}

#[test]
fn a_miss_counts_as_capped_only_where_a_larger_stock_would_have_served_it() {
    for (config, capped) in [
        (config().min(2).max(2), 3),
        (config().min(8).max(8).budget(0.2), 3),
        (config().min(2).max(8), 0),
    ] {
        let mut driven = Driven::new(config);
        driven.to(0, 60);
        // Demand beyond the two, all at once.
        (0..5).for_each(|_| drop(driven.engine.request(&base(), Tenant::ALL, None, at(60))));
        driven.look(60);
        (0..3).for_each(|_| driven.engine.missed(Some(&base()), Miss::Empty));
        driven.engine.missed(Some(&base()), Miss::Lifetime);
        driven.engine.missed(None, Miss::Unknown);
        let snapshot = driven.engine.snapshot(at(60));
        assert_eq!(snapshot.capped_misses, capped, "{snapshot:?}");
    }
}

#[test]
fn a_later_pool_takes_over_stock_and_demand_and_both_together_stay_below_max() {
    let mut before = Driven::new(config().min(4).max(6));
    before.to(0, 30);
    (0..3).for_each(|_| assert!(before.ask(30)));
    // One is with a hand-out, and creations are in flight.
    let leased = before.engine.request(&base(), Tenant::ALL, None, at(30)).unwrap();
    before.look(30);
    let orders = before.orders.len() as u32;
    assert!(orders > 0);
    let mut after = Driven::new(config().min(5).max(5));
    after.engine.take_over(&mut before.engine, at(31));
    assert_eq!((before.engine.idle(), before.engine.in_stock()), (0, 1 + orders));
    let rate = |driven: &mut Driven| driven.engine.snapshot(at(31)).shapes[0].rate;
    assert!(after.engine.idle() > 0 || orders >= 4, "what was idle is here");
    assert!(rate(&mut after) > 0.0, "demand is known");
    // What the earlier one still has counts here.
    for second in 31..60 {
        after.room = Room::unknown().beside(before.engine.in_stock());
        after.look(second);
        let both = after.engine.in_stock() + before.engine.in_stock();
        assert!(both <= 6, "{both} at {second}");
        if second == 40 {
            assert!(before.engine.take(&leased, at(40)), "the hand-out goes on");
            before.engine.claimed(&leased.id, at(40));
        }
        // Creations that were in flight end, and what they created is not wanted any more.
        for (_, order) in before.orders.drain(..) {
            assert!(!before.engine.created(&order, "late".parse().unwrap(), None, at(second)));
        }
        before.look(second);
        assert!(!before.ask(second), "it returns nothing more");
    }
    assert_eq!((before.engine.in_stock(), after.engine.idle()), (0, 5));
}

#[test]
fn stock_that_a_later_pool_has_no_use_for_is_killed_by_the_earlier_one() {
    for (next, kept) in [
        (Config::new().learn(0).shape(&NewSandbox::new("other")), 0),
        // It would be learned now.
        (Config::new().shape(&NewSandbox::new("other")), 4),
        (config().max(2), 2),
        (config().budget(0.3), 3),
    ] {
        let mut before = Driven::new(config().min(4));
        before.to(0, 30);
        let mut after = Driven::new(next);
        after.engine.take_over(&mut before.engine, at(30));
        assert_eq!(after.engine.idle(), kept);
        let work = before.engine.plan(Room::unknown(), Wall(MONDAY + 30), at(30));
        assert_eq!((work.kill.len() as u32, work.create.len()), (4 - kept, 0));
    }
}

#[test]
fn without_a_later_pool_stock_waits_until_it_is_old_or_ends_at_once() {
    for (ends, killed_at_once) in [(true, 3), (false, 0)] {
        let mut driven = Driven::new(config().min(3));
        driven.to(0, 30);
        driven.engine.close(ends, at(30));
        let work = driven.engine.plan(Room::unknown(), Wall(MONDAY + 30), at(30));
        assert_eq!((work.kill.len(), work.create.len()), (killed_at_once, 0));
        driven.to(31, 400);
        assert_eq!((driven.engine.in_stock(), driven.ask(400)), (0, false));
    }
}

#[test]
fn a_new_template_retires_older_stock() {
    let mut driven = Driven::new(config().min(3));
    driven.to(0, 10);
    driven.engine.template_changed("base");
    assert!(!driven.ask(10), "the old one is not returned");
    driven.to(10, 20);
    assert_eq!((driven.engine.idle(), driven.engine.snapshot(at(20)).retired), (3, 3));
    // An alias that stands for another template.
    let now = at(20);
    assert!(driven.ask(20));
    let mut work = driven.engine.plan(Room::unknown(), Wall(MONDAY + 20), now);
    let order = work.create.pop().unwrap();
    driven.engine.created(&order, "x1".parse().unwrap(), Some("template-1"), now);
    assert!(driven.ask(20));
    let mut work = driven.engine.plan(Room::unknown(), Wall(MONDAY + 20), now);
    let order = work.create.pop().unwrap();
    driven.engine.created(&order, "x2".parse().unwrap(), Some("template-2"), now);
    driven.to(21, 22);
    assert_eq!(driven.engine.idle(), 1);
}

#[test]
fn a_lost_lease_is_killed_when_its_lease_expires() {
    let mut driven = Driven::new(config().min(1));
    driven.to(0, 10);
    let hand_out = driven.engine.request(&base(), Tenant::ALL, None, at(10)).unwrap();
    driven.to(10, 45);
    assert!(!driven.engine.take(&hand_out, at(45)), "it is too late");
    assert_eq!(driven.engine.snapshot(at(45)).retired, 1);
    assert_eq!(driven.engine.idle(), 2, "one request a minute ago calls for two");
}

#[test]
fn old_stock_does_not_serve_what_is_to_live_longer_than_it_can() {
    let mut driven = Driven::new(config().min(1));
    driven.to(0, 100);
    let hour = Wanted::read(br#"{"templateID":"base","timeout":3600}"#).unwrap();
    let missed = driven.engine.request(&hour, Tenant::ALL, None, at(100)).unwrap_err();
    assert_eq!(missed, Miss::Lifetime);
    assert!(driven.ask(100));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask,
    AskAndLeave,
    Dead,
    Create,
    Fail { unknown: bool },
    Kill,
    Yield,
    Pass(u64),
    Retire,
    Bounds(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Ask),
        1 => Just(Step::AskAndLeave),
        1 => Just(Step::Dead),
        6 => Just(Step::Create),
        1 => any::<bool>().prop_map(|unknown| Step::Fail { unknown }),
        4 => Just(Step::Kill),
        1 => Just(Step::Yield),
        4 => (0..120_u64).prop_map(Step::Pass),
        1 => Just(Step::Retire),
        1 => (0..12_u32).prop_map(Step::Bounds),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_stock_and_cost_are_bounded_and_nothing_is_returned_twice(
        steps in prop::collection::vec(step(), 1..200),
        max in 1..8_u32,
        budget in 1..10_u32,
    ) {
        let config = config().max(max).min(max.min(2)).budget(f64::from(budget) / 10.0);
        let most = max.min(budget);
        let mut engine = Engine::new(config, at(0)).unwrap();
        let (mut now, mut orders, mut kills) = (at(0), Vec::new(), Vec::new());
        let (mut created, mut taken) = (0, std::collections::BTreeSet::new());
        for step in steps {
            match step {
                Step::Ask => {
                    if let Ok(hand_out) = engine.request(&base(), Tenant::ALL, None, now)
                        && handed_out(&mut engine, &hand_out, now)
                    {
                        prop_assert!(taken.insert(hand_out.id), "returned twice");
                    }
                }
                Step::AskAndLeave => drop(engine.request(&base(), Tenant::ALL, None, now)),
                Step::Dead => {
                    if let Ok(hand_out) = engine.request(&base(), Tenant::ALL, None, now) {
                        engine.dead(&hand_out.id, now);
                        prop_assert!(!engine.take(&hand_out, now), "returned dead");
                    }
                }
                Step::Create => if let Some(order) = orders.pop() {
                    created += 1;
                    engine.created(&order, format!("i{created}").parse().unwrap(), None, now);
                },
                Step::Fail { unknown } => if let Some(order) = orders.pop() {
                    engine.failed(&order, unknown, now);
                },
                Step::Kill => if let Some(id) = kills.pop() {
                    engine.ended(&id, now);
                },
                Step::Yield => {
                    engine.yield_slot(None, now);
                }
                Step::Pass(seconds) => now += SECOND * u32::try_from(seconds).unwrap(),
                Step::Retire => engine.template_changed("base"),
                Step::Bounds(bound) => engine.set_bounds(bound.min(2), bound.min(max)),
            }
            let work = engine.plan(Room::unknown(), Wall(MONDAY), now);
            orders.extend(work.create);
            kills.extend(work.kill);
            prop_assert!(engine.in_stock() <= most, "{} in stock", engine.in_stock());
            let hours = now.since(at(0)).as_secs_f64() / 3_600.0;
            prop_assert!(engine.spent(now) <= f64::from(budget) / 10.0 * hours + 1e-9);
        }
    }
}
