//! The cost of retries while everything fails, and their effect while little fails, compared with tower's
//! budget.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use sandtower_core::{
    BoxError, ByResult, ClassifiedError, Effect, Now, Outcome, Replay, RequestInfo, Rng, Scope,
    Seed, Tick, Verdict,
};
use sandtower_retry::{Budget, Config, RetryLayer};
use tokio::task::{JoinSet, LocalSet};
use tower::retry::Policy;
use tower::retry::budget::{Budget as _, TpsBudget};
use tower::{Layer, Service, ServiceExt};

const OUTAGE: Duration = Duration::from_secs(300);

/// A service that fails a fraction of its attempts.
#[derive(Clone)]
struct Failing {
    share: f64,
    rng: Rc<std::cell::RefCell<Rng>>,
    attempts: Rc<Cell<u64>>,
    early: Rc<Cell<u64>>,
    began: Tick,
}

impl Failing {
    fn new(share: f64, seed: u64) -> Self {
        let rng = Rc::new(std::cell::RefCell::new(Rng::with_seed(seed)));
        let (attempts, early) = Default::default();
        Self { share, rng, attempts, early, began: Tick::now() }
    }
}

impl Service<u64> for Failing {
    type Response = u64;
    type Error = BoxError;
    type Future = std::future::Ready<Result<u64, BoxError>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), BoxError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        self.attempts.set(self.attempts.get() + 1);
        if Tick::now().since(self.began) < Duration::from_secs(10) {
            self.early.set(self.early.get() + 1);
        }
        let fails = self.rng.borrow_mut().f64() < self.share;
        let failure = ClassifiedError::new(Verdict::transient(Effect::None), "scripted");
        std::future::ready(if fails { Err(failure.into()) } else { Ok(request) })
    }
}

/// Tower's retry, with as many attempts and the same waits.
#[derive(Clone)]
struct Tower {
    budget: std::sync::Arc<TpsBudget>,
    left: u32,
    seed: Seed,
}

impl Policy<u64, u64, BoxError> for Tower {
    type Future = tokio::time::Sleep;

    fn retry(
        &mut self,
        _: &mut u64,
        result: &mut Result<u64, BoxError>,
    ) -> Option<tokio::time::Sleep> {
        if result.is_ok() {
            self.budget.deposit();
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        self.budget.withdraw().then(|| {
            let bound = Duration::from_millis(250) * 2_u32.pow(2 - self.left.min(2));
            tokio::time::sleep(bound.mul_f64(self.seed.rng().f64()))
        })
    }

    fn clone_request(&mut self, request: &u64) -> Option<u64> {
        Some(*request)
    }
}

#[derive(Clone, Copy)]
struct Cost {
    attempts_a_call: f64,
    attempts_a_call_early: f64,
    succeeded: f64,
}

/// Calls `service` at this rate for the time of an outage, and waits for all responses.
async fn drive<S>(service: S, failing: Failing, rate: u64) -> Cost
where
    S: Service<u64, Response = u64> + Clone + 'static,
{
    let mut calls = JoinSet::new();
    let total = rate * OUTAGE.as_secs();
    for call in 0..total {
        calls.spawn_local(service.clone().oneshot(call).into_ok());
        tokio::time::sleep(Duration::from_secs(1) / u32::try_from(rate).unwrap()).await;
    }
    let succeeded = calls.join_all().await.into_iter().filter(|ok| *ok).count();
    let a_call = |attempts: u64, calls: u64| attempts as f64 / calls as f64;
    Cost {
        attempts_a_call: a_call(failing.attempts.get(), total),
        attempts_a_call_early: a_call(failing.early.get(), rate * 10),
        succeeded: 100.0 * succeeded as f64 / total as f64,
    }
}

trait IntoOk {
    fn into_ok(self) -> impl Future<Output = bool>;
}

impl<F: Future<Output = Result<T, E>>, T, E> IntoOk for F {
    async fn into_ok(self) -> bool {
        self.await.is_ok()
    }
}

const SEED: u64 = 0x5eed;

fn run(share: f64, rate: u64, ours: bool) -> Cost {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let failing = Failing::new(share, SEED);
        if ours {
            let classify = ByResult::new(RequestInfo::default().replay(Replay::Safe));
            let layer = RetryLayer::new(Config::recommended(), classify).seed(Seed::fixed(SEED));
            drive(layer.layer(failing.clone()), failing, rate).await
        } else {
            let policy = Tower { budget: Default::default(), left: 3, seed: Seed::fixed(SEED) };
            let layer = tower::retry::RetryLayer::new(policy);
            drive(layer.layer(failing.clone()), failing, rate).await
        }
    })
}

struct Row(u64, f64, Cost, Cost);

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(rate, share, ours, towers) = self;
        write!(f, "{rate:>4}/s, {:>3} % fail |", share * 100.0)?;
        for outcome in [ours, towers] {
            write!(
                f,
                " {:>5.3} attempts a call ({:>5.3} in 10 s), {:>7.3} % succeed |",
                outcome.attempts_a_call, outcome.attempts_a_call_early, outcome.succeeded
            )?;
        }
        Ok(())
    }
}

#[test]
fn an_outage_costs_little_more_than_one_attempt_per_call_and_random_failures_are_retried() {
    println!("seed {SEED}\n{:>18} | ours {:>52} | tower's", "", "");
    for rate in [1, 10, 100] {
        for share in [1.0, 0.1] {
            let row = Row(rate, share, run(share, rate, true), run(share, rate, false));
            println!("{row}");
            let ours = row.2;
            if share == 1.0 {
                assert!(ours.attempts_a_call <= 1.05, "{row}");
                assert!(ours.attempts_a_call_early <= 2.0, "{row}");
            } else {
                assert!(ours.succeeded >= 99.8, "{row}");
            }
        }
    }
}

const NOW: Tick = Tick::from_nanos(1_000_000_000_000);

#[test]
fn fractions_of_a_token_are_not_rounded() {
    let budget = Budget::new(0.6, NonZeroU32::new(3).unwrap()).unwrap();
    let pay = || budget.withdraw(Scope::ALL, Outcome::Transient, NOW);
    while pay() {}
    budget.deposit(Scope::ALL, &Now::at(NOW));
    assert!(!pay(), "0.6 was taken for a whole");
    budget.deposit(Scope::ALL, &Now::at(NOW));
    assert!(pay(), "0.6 was taken for nothing");
    assert_eq!(budget.snapshot().thousandths, 200);
}

#[test]
fn a_full_budget_holds_no_more_than_its_cap() {
    let budget = Budget::new(1.0, NonZeroU32::new(2).unwrap()).unwrap();
    (0..100).for_each(|_| budget.deposit(Scope::ALL, &Now::at(NOW)));
    let paid = (0..100).filter(|_| budget.withdraw(Scope::ALL, Outcome::Transient, NOW)).count();
    assert_eq!(paid, 2);
}

#[test]
fn clones_share_one_budget_and_scopes_have_their_own() {
    let budget = Budget::new(0.2, NonZeroU32::MIN).unwrap();
    let clone = budget.clone();
    assert!(budget.withdraw(Scope::ALL, Outcome::Transient, NOW));
    assert!(!clone.withdraw(Scope::ALL, Outcome::Transient, NOW));
    assert!(clone.withdraw(Scope::of("eu"), Outcome::Transient, NOW));
    assert!(!budget.withdraw(Scope::of("eu"), Outcome::Transient, NOW));
}

#[test]
fn costs_differ_by_the_outcome() {
    let budget = Budget::new(0.2, NonZeroU32::new(2).unwrap()).unwrap();
    let budget = budget.costs(1.0, 0.5, 2.0).unwrap();
    assert!(budget.withdraw(Scope::ALL, Outcome::Throttled, NOW));
    assert!(!budget.withdraw(Scope::ALL, Outcome::Unknown, NOW));
    assert!(budget.withdraw(Scope::ALL, Outcome::Transient, NOW));
    assert_eq!(budget.snapshot().thousandths, 500);
}

#[test]
fn invalid_terms_are_rejected_with_what_would_be_valid() {
    for share in [0.0, -1.0, 1.5, f64::NAN, f64::INFINITY] {
        let error = Budget::new(share, NonZeroU32::MIN).unwrap_err();
        assert!(error.to_string().contains("it must be 0.001 to 1"), "{error}");
    }
    assert!(Budget::recommended().costs(0.0, 1.0, 1.0).is_err());
}
