use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::mpsc;

use proptest::prelude::*;
use sandtower_core::{ByResult, GatedLayer, Operation, Outcome, Seed};
use sandtower_testkit::Contract;
use tower::Layer;
use tracing::span;

use super::*;

const CREATE: Operation = Operation::new(1, "sandbox_create");
const KILL: Operation = Operation::new(2, "sandbox_kill");
const READ: Operation = Operation::new(3, "file_read");
const SECOND: Duration = Duration::from_secs(1);
const START: Tick = Tick::from_nanos(1_000_000_000_000);

fn config() -> QuotaConfig {
    QuotaConfig::new("E2B").takes(CREATE).releases(KILL).seed(Seed::fixed(1))
}

#[expect(clippy::result_large_err, reason = "as the trait has it")]
fn acquire(quota: &Quota, operation: Operation, now: Tick) -> Result<QuotaPermit, No> {
    quota.try_acquire(&RequestInfo::new(operation), &Now::at(now), &mut Deferred::new())
}

fn record(quota: &Quota, operation: Operation, permit: QuotaPermit, done: &Completion) {
    let kept = quota.record(&RequestInfo::new(operation), permit, done, &mut Deferred::new());
    assert!(kept.is_none(), "a quota waits for no end of a stream");
}

fn call(quota: &Quota, operation: Operation, verdict: Verdict) {
    let permit = acquire(quota, operation, START).unwrap();
    record(quota, operation, permit, &Completion::new(verdict, START, START));
}

/// Two are in use, and the service is out of slots.
fn full() -> Quota {
    let quota = Quota::new(config()).unwrap();
    call(&quota, CREATE, Verdict::success());
    call(&quota, CREATE, Verdict::success());
    call(&quota, CREATE, Verdict::exhausted());
    quota
}

/// When the next probe may go.
fn probe_at(quota: &Quota) -> Tick {
    match quota.check(Some(&RequestInfo::new(CREATE)), &Now::at(START)) {
        Some(No::Wait { look_again, .. }) => look_again,
        other => panic!("{other:?}"),
    }
}

/// Counts notifications that the gate opened, and takes a snapshot of the gate each time.
struct Notified(Quota, AtomicU32);

impl Subscriber for Notified {
    fn changed(&self, change: Change) {
        assert_eq!(change, Change::Opened);
        let _ = self.0.snapshot();
        self.1.fetch_add(1, SeqCst);
    }
}

fn notified(quota: &Quota) -> Arc<Notified> {
    let notified = Arc::new(Notified(quota.clone(), AtomicU32::new(0)));
    let weak = Arc::downgrade(&notified);
    quota.subscribe(weak);
    notified
}

#[test]
fn keeps_the_tower_contract_in_a_layer_of_its_own() {
    // Requests of the probe are plain calls: here they are what takes a slot.
    let calls = || Quota::new(QuotaConfig::new("test").takes(Operation::CALL)).unwrap();
    let layer = GatedLayer::new(calls(), ByResult::default());
    Contract::of(move |inner| layer.layer(inner)).run();
}

#[test]
fn a_call_may_get_a_slot_at_any_time_and_looks_again_when_the_next_probe_may_go() {
    let quota = full();
    let no = |now| acquire(&quota, CREATE, now).unwrap_err();
    let No::Wait { earliest, look_again, why } = no(START) else { panic!("closed") };
    assert_eq!(earliest, START);
    assert!((START + SECOND..=START + 5 * SECOND).contains(&look_again), "{look_again:?}");
    assert_eq!(why.retry_after(), Some(look_again.since(START)));
    let reason = Reason::Exhausted { in_use: 2, limit: 2, lasting: Duration::ZERO };
    assert_eq!((why.reason(), why.operation()), (reason, Some(CREATE)));

    // While a probe is in flight callers check again when its lease expires, and see no retry time.
    let probe = acquire(&quota, CREATE, look_again).unwrap();
    let No::Wait { earliest, look_again: next, why } = no(look_again) else { panic!("closed") };
    assert_eq!((earliest, next), (look_again, look_again + 61 * SECOND));
    assert_eq!(why.retry_after(), None);
    record(&quota, CREATE, probe, &Completion::new(Verdict::success(), look_again, look_again));
    assert!(acquire(&quota, CREATE, look_again).is_ok());
}

#[test]
fn check_says_what_try_acquire_would_and_takes_nothing() {
    let (request, now) = (RequestInfo::new(CREATE), Now::at(START));
    let quota = full();
    let no = acquire(&quota, CREATE, START).unwrap_err();
    assert_eq!(quota.check(Some(&request), &now), Some(no));
    assert_eq!(quota.check(None, &now), None, "other operations pass");
    quota.release(1);
    for _ in 0..3 {
        assert_eq!(quota.check(Some(&request), &now), None);
    }
    assert!(acquire(&quota, CREATE, START).is_ok());
    assert!(acquire(&quota, CREATE, START).is_err());
}

#[test]
fn operations_that_neither_take_nor_free_a_slot_cost_no_lock_and_no_reading_of_the_clock() {
    let quota = full();
    let (request, now, mut later) = (RequestInfo::new(READ), Now::new(), Deferred::new());
    let locked = quota.lock();
    assert_eq!(quota.check(Some(&request), &now), None);
    assert_eq!(quota.check(None, &now), None);
    let permit = quota.try_acquire(&request, &now, &mut later).unwrap();
    let done = Completion::new(Verdict::success(), START, Now::new());
    let unread = format!("{:?}", Now::new());
    assert!(format!("{done:?}").contains(&unread));
    assert!(quota.record(&request, permit, &done, &mut later).is_none());
    assert_eq!(format!("{now:?}"), unread, "the clock was read");
    assert!(format!("{done:?}").contains(&unread), "the clock was read");
    drop(locked);
}

#[test]
fn a_kill_that_failed_frees_no_slot() {
    let quota = full();
    for verdict in [Verdict::unknown(), Verdict::exhausted(), Verdict::cancelled()] {
        call(&quota, KILL, verdict);
    }
    let permit = acquire(&quota, KILL, START).unwrap();
    record(&quota, KILL, permit, &Completion::not_sent(START));
    assert_eq!(quota.snapshot().in_use, 2);
    assert!(acquire(&quota, CREATE, START).is_err());
}

/// A way in which a slot becomes free: what is in flight before, and what happens.
type Way = (&'static str, fn() -> (Quota, Option<QuotaPermit>), fn(&Quota, Option<QuotaPermit>));

fn ends(quota: &Quota, permit: Option<QuotaPermit>, done: Completion) {
    record(quota, CREATE, permit.unwrap(), &done);
}

fn ends_in(quota: &Quota, permit: Option<QuotaPermit>, verdict: Verdict) {
    ends(quota, permit, Completion::new(verdict, START, START));
}

/// A seen end admitted a call.
fn one_went() -> (Quota, Option<QuotaPermit>) {
    let quota = full();
    quota.release(1);
    let permit = acquire(&quota, CREATE, START).unwrap();
    (quota, Some(permit))
}

fn probe_went() -> (Quota, Option<QuotaPermit>) {
    let quota = full();
    let at = probe_at(&quota);
    let permit = acquire(&quota, CREATE, at).unwrap();
    (quota, Some(permit))
}

/// One went alone, at a limit that is known.
fn one_went_alone() -> (Quota, Option<QuotaPermit>) {
    let quota = Quota::new(config().limit(1)).unwrap();
    call(&quota, CREATE, Verdict::success());
    let permit = acquire(&quota, CREATE, START).unwrap();
    (quota, Some(permit))
}

const WAYS: [Way; 12] = [
    ("a kill", || (full(), None), |quota, _| call(quota, KILL, Verdict::success())),
    ("release", || (full(), None), |quota, _| quota.release(1)),
    ("reset", || (full(), None), |quota, _| quota.reset(None).unwrap()),
    ("not sent", one_went, |quota, permit| ends(quota, permit, Completion::not_sent(START))),
    ("cancelled", one_went, |quota, permit| ends_in(quota, permit, Verdict::cancelled())),
    ("failed", one_went, |quota, permit| ends_in(quota, permit, Verdict::unknown())),
    ("a probe not sent", probe_went, |quota, permit| {
        ends(quota, permit, Completion::not_sent(START));
    }),
    ("a probe that found one", probe_went, |quota, permit| {
        ends_in(quota, permit, Verdict::success());
    }),
    ("a probe that found none", probe_went, |quota, permit| {
        // The next goes before the lease would have expired.
        ends_in(quota, permit, Verdict::exhausted());
    }),
    ("alone, not sent", one_went_alone, |quota, permit| {
        ends(quota, permit, Completion::not_sent(START));
    }),
    ("alone, found one", one_went_alone, |quota, permit| {
        ends_in(quota, permit, Verdict::success());
    }),
    ("alone, failed", one_went_alone, |quota, permit| ends_in(quota, permit, Verdict::unknown())),
];

#[test]
fn whatever_frees_a_slot_notifies_callers_that_were_held_meanwhile_and_no_others() {
    for (name, before, happens) in WAYS {
        for turned_away in [false, true] {
            let (quota, permit) = before();
            let notified = notified(&quota);
            if turned_away {
                assert!(acquire(&quota, CREATE, START).is_err(), "{name}");
            }
            happens(&quota, permit);
            assert_eq!(notified.1.load(SeqCst), u32::from(turned_away), "{name}");
        }
    }
}

#[test]
fn a_probe_that_was_not_sent_is_left_to_the_next_caller() {
    let quota = full();
    let at = probe_at(&quota);
    let permit = acquire(&quota, CREATE, at).unwrap();
    assert!(acquire(&quota, CREATE, at).is_err());
    record(&quota, CREATE, permit, &Completion::not_sent(at));
    assert_eq!(quota.snapshot().probes, 0);
    assert!(acquire(&quota, CREATE, at).is_ok());
}

#[test]
fn a_caller_that_only_checked_is_notified_too() {
    let quota = full();
    let notified = notified(&quota);
    assert!(quota.check(Some(&RequestInfo::new(CREATE)), &Now::at(START)).is_some());
    quota.release(1);
    assert_eq!(notified.1.load(SeqCst), 1);
}

/// A `tracing` subscriber that reads the quota, as one that exports metrics does.
struct SnapshotOnEvent(Quota, mpsc::Sender<String>);

impl tracing::Subscriber for SnapshotOnEvent {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let exhausted = self.0.snapshot().exhausted;
        let level = *event.metadata().level();
        self.1.send(format!("{level} after {exhausted}")).unwrap();
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn a_tracing_subscriber_may_take_a_snapshot() {
    let (events, seen) = mpsc::channel();
    // In a thread of its own, so that a deadlock fails the test instead of hanging it.
    let _running = std::thread::spawn(move || {
        let quota = Quota::new(config()).unwrap();
        let reader = SnapshotOnEvent(quota.clone(), events.clone());
        tracing::subscriber::with_default(reader, || {
            let notified = notified(&quota);
            call(&quota, CREATE, Verdict::exhausted());
            let probe = acquire(&quota, CREATE, probe_at(&quota)).unwrap();
            record(&quota, CREATE, probe, &Completion::new(Verdict::success(), START, START));
            call(&quota, CREATE, Verdict::exhausted());
            assert!(acquire(&quota, CREATE, START).is_err());
            quota.reset(None).unwrap();
            events.send(format!("notified {}", notified.1.load(SeqCst))).unwrap();
        });
    });
    let next = || seen.recv_timeout(30 * SECOND).unwrap();
    let events = [(); 5].map(|()| next());
    assert_eq!(
        events,
        ["WARN after 1", "INFO after 1", "WARN after 2", "INFO after 2", "notified 1"]
    );
}

#[test]
fn notifications_of_a_change_are_deferred() {
    let quota = full();
    let notified = notified(&quota);
    assert!(acquire(&quota, CREATE, START).is_err());
    let mut later = Deferred::new();
    let (kill, now) = (RequestInfo::new(KILL), Now::at(START));
    let permit = quota.try_acquire(&kill, &now, &mut later).unwrap();
    quota.record(&kill, permit, &Completion::new(Verdict::success(), START, START), &mut later);
    assert_eq!(notified.1.load(SeqCst), 0);
    drop(later);
    assert_eq!(notified.1.load(SeqCst), 1);
}

#[test]
fn an_invalid_setting_is_rejected_and_the_error_says_what_would_be_valid() {
    let error = |config: QuotaConfig| Quota::new(config).unwrap_err().to_string();
    assert!(error(config().limit(0)).contains("must be at least 1"));
    assert!(error(config().releases(CREATE)).contains("sandbox_create is in both"));
    assert!(error(config().probe(Duration::ZERO, SECOND)).contains("greater than zero"));
    assert!(error(config().probe(2 * SECOND, SECOND)).contains("at most the longest"));
    assert!(error(config().lease(Duration::ZERO)).contains("greater than zero"));
    assert_eq!(full().reset(Some(0)), Err(QuotaConfigError::NoSlots));
}

#[test]
fn bounds_hold_at_their_edges() {
    let least = Duration::from_nanos(1);
    for limit in [1, u32::MAX] {
        for (first, most) in
            [(least, least), (least, Duration::MAX), (Duration::MAX, Duration::MAX)]
        {
            for lease in [least, Duration::MAX] {
                Quota::new(config().limit(limit).probe(first, most).lease(lease)).unwrap();
            }
        }
    }
    // No pause is zero: the call after the one that found no slot does not follow at once.
    let quota = Quota::new(config().probe(least, least)).unwrap();
    call(&quota, CREATE, Verdict::exhausted());
    assert_eq!(probe_at(&quota), START + least);
    // A limit of 1 lets one go, a second alone, and no third.
    let quota = Quota::new(config().limit(1)).unwrap();
    let _permits = [(); 2].map(|()| acquire(&quota, CREATE, START).unwrap());
    assert!(acquire(&quota, CREATE, START).is_err());
}

fn extreme() -> impl Strategy<Value = Duration> {
    let edges = [0, 1, 1_000_000_000, u64::MAX / 2, u64::MAX - 1, u64::MAX];
    let edges = proptest::sample::select(edges.map(Duration::from_nanos).to_vec());
    prop_oneof![edges, Just(Duration::MAX), Just(Duration::MAX - SECOND), any::<Duration>()]
}

fn count() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..4, Just(u32::MAX - 1), Just(u32::MAX)]
}

#[derive(Clone, Debug)]
enum Step {
    Call(u8),
    /// The oldest attempt ends.
    End(u8),
    Release(u32),
    Reset(Option<u32>),
    Pass(Duration),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..2).prop_map(Step::Call),
        4 => (0_u8..5).prop_map(Step::End),
        1 => count().prop_map(Step::Release),
        1 => proptest::option::of(count()).prop_map(Step::Reset),
        2 => extreme().prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn no_setting_and_no_history_overflows(
        limit in proptest::option::of(count()),
        first in extreme(),
        most in extreme(),
        lease in extreme(),
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let config = limit.into_iter().fold(config(), QuotaConfig::limit);
        let Ok(quota) = Quota::new(config.probe(first, most).lease(lease)) else {
            let is_valid = limit != Some(0) && !first.is_zero() && first <= most && !lease.is_zero();
            prop_assert!(!is_valid);
            return Ok(());
        };
        let (mut now, mut permits) = (START, Vec::new());
        for step in steps {
            match step {
                Step::Call(which) => {
                    let operation = [CREATE, KILL][usize::from(which)];
                    match acquire(&quota, operation, now) {
                        Ok(permit) => permits.push((operation, permit)),
                        Err(No::Wait { earliest, look_again, .. }) => {
                            prop_assert_eq!(earliest, now);
                            prop_assert!(look_again > now);
                        }
                        Err(closed) => panic!("{closed:?}"),
                    }
                }
                Step::End(how) if !permits.is_empty() => {
                    let (operation, permit) = permits.remove(0);
                    let verdict = match how {
                        0 => Verdict::success(),
                        1 => Verdict::exhausted(),
                        2 => Verdict::cancelled(),
                        3 => Verdict::unknown(),
                        _ => Verdict::rejected(),
                    };
                    let done = match verdict.outcome {
                        Outcome::Rejected => Completion::not_sent(now),
                        _ => Completion::new(verdict, START, now),
                    };
                    record(&quota, operation, permit, &done);
                }
                Step::End(_) => {}
                Step::Release(slots) => quota.release(slots),
                Step::Reset(limit) => drop(quota.reset(limit)),
                Step::Pass(time) => now += time,
            }
            let seen = quota.snapshot();
            prop_assert!(seen.limit.is_none_or(|limit| limit == u32::MAX || seen.in_use <= limit));
            prop_assert_eq!(seen.out_of_slots_ms.is_some(), seen.next_probe_in_ms.is_some());
        }
    }
}
