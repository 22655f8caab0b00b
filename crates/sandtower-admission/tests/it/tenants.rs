//! Many tenants, three classes, and limits that operations share.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandtower_admission::{Admission, AdmissionControl, AdmissionLayer, Config, ConfigError, Rate};
use sandtower_core::{
    BoxError, Gate, Operation, Patience, Priority, Reason, Rejection, RequestInfo, Rng, Tenant,
    TenantProfile, Tenants, Tick, find,
};
use sandtower_testkit::{Answer, Contract, Handle, Mock};
use tokio::task::{JoinHandle, yield_now};
use tokio_test::task::spawn;
use tower::{Layer, Service};

use crate::support::{Literal, Pace};

const CREATE: Operation = Operation::new(1, "sandbox_create");
const READ: Operation = Operation::new(2, "file_read");
const SECOND: Duration = Duration::from_secs(1);

type Limited<G = ()> = Admission<Mock<RequestInfo, u64>, G, Literal>;

/// Every call takes a second.
fn gated<G: Gate>(
    config: Config,
    gates: G,
) -> (Limited<G>, AdmissionControl<G>, Handle<RequestInfo, u64>) {
    let (mock, handle) = Mock::new(|_, call| Answer::ok(call).after(SECOND));
    let layer = AdmissionLayer::with_gates(config, gates).unwrap().classify(Literal);
    let control = layer.control().clone();
    (layer.layer(mock), control, handle)
}

fn limited(config: Config) -> (Limited, AdmissionControl, Handle<RequestInfo, u64>) {
    gated(config, ())
}

fn of(tenant: u64) -> RequestInfo {
    RequestInfo::default().tenant(Tenant::new(tenant))
}

fn rejection(error: &BoxError) -> Rejection {
    find::<Rejection>(&**error).expect("not a rejection").clone()
}

/// Sends a call; when it is done, its name is in the list.
fn send(
    service: &mut Limited,
    info: RequestInfo,
    name: &'static str,
    done: &Arc<Mutex<Vec<&'static str>>>,
) -> JoinHandle<Result<u64, BoxError>> {
    let (call, done) = (service.call(info), Arc::clone(done));
    tokio::spawn(async move {
        let result = call.await;
        if result.is_ok() {
            done.lock().unwrap().push(name);
        }
        result
    })
}

#[test]
fn keeps_the_tower_contract_with_limits_that_operations_share() {
    Contract::of(|inner| {
        let rate = Rate::new("any", 100, SECOND).per_tenant(true);
        let config = Config::new("test").concurrency_total(2).concurrency_per_tenant(1).rate(rate);
        AdmissionLayer::new(config).unwrap().layer(inner)
    })
    .run();
}

#[tokio::test(start_paused = true)]
async fn operations_share_the_limit_in_total_and_a_free_slot_goes_to_either() {
    let (mut service, control, handle) = limited(Config::new("test").concurrency_total(3));
    let start = Tick::now();
    let calls: Vec<_> = (0..12)
        .map(|n| tokio::spawn(service.call(RequestInfo::new([CREATE, READ][n % 2]))))
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(handle.counts().in_flight_max, 3);
    assert_eq!(Tick::now().since(start), 4 * SECOND);
    let snapshot = control.snapshot();
    assert_eq!((snapshot.in_flight, snapshot.tenants), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn other_tenants_overtake_one_at_its_limit() {
    let config = Config::new("test").concurrency(8).concurrency_per_tenant(2);
    let (mut service, _control, handle) = limited(config);
    let start = Tick::now();
    let greedy: Vec<_> = (0..6).map(|_| tokio::spawn(service.call(of(1)))).collect();
    yield_now().await;
    let others: Vec<_> = (2..5).map(|tenant| tokio::spawn(service.call(of(tenant)))).collect();
    for call in others {
        call.await.unwrap().unwrap();
    }
    assert_eq!(Tick::now().since(start), SECOND, "other tenants waited for the greedy one");
    for call in greedy {
        call.await.unwrap().unwrap();
    }
    assert_eq!(Tick::now().since(start), 3 * SECOND);
    assert_eq!(handle.counts().in_flight_max, 5);
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_a_tenant_applies_across_operations() {
    let (mut service, _control, handle) = limited(Config::new("test").concurrency_per_tenant(1));
    let start = Tick::now();
    let calls = [CREATE, READ, CREATE, READ].map(|operation| {
        tokio::spawn(service.call(RequestInfo::new(operation).tenant(Tenant::new(7))))
    });
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!((handle.counts().in_flight_max, Tick::now().since(start)), (1, 4 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn operations_share_a_rate_and_others_do_not_wait_for_it() {
    let rate = Rate::pace("writes", SECOND).operation(CREATE);
    let (mut service, ..) = limited(Config::new("test").rate(rate));
    let start = Tick::now();
    let calls: Vec<_> =
        (0..4).map(|_| tokio::spawn(service.call(RequestInfo::new(CREATE)))).collect();
    service.call(RequestInfo::new(READ)).await.unwrap();
    assert_eq!(Tick::now().since(start), SECOND);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(Tick::now().since(start), 4 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_names_the_limit_the_tenant_and_when_to_retry() {
    let tenants = Tenants::default();
    let acme = tenants.set("key", TenantProfile::new("ACME")).unwrap();
    let rate = Rate::new("creations", 2, 60 * SECOND).per_tenant(true);
    let (mut service, control, _handle) = limited(Config::new("test").rate(rate).tenants(tenants));
    let info = || RequestInfo::default().tenant(acme);
    for _ in 0..2 {
        service.call(info()).await.unwrap();
    }
    let soon = info().deadline(Some(Tick::now() + 5 * SECOND));
    let error = service.call(soon).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "admission `test` is over its limit: 2 of 2 used (limit `creations`, tenant `ACME`); \
         retry in 28 s",
    );
    assert_eq!(control.snapshot().queues[0].rejected_by_limit, 1);
    service.call(of(5).deadline(Some(Tick::now() + 5 * SECOND))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_heavy_call_takes_more_of_the_total_and_one_beyond_it_is_admitted_alone() {
    let heavy = NonZeroU32::new(3).unwrap();
    let config = Config::new("test").concurrency_total(4).weight_for(CREATE, heavy);
    let (mut service, _control, handle) = limited(config);
    let calls = [CREATE, CREATE, READ]
        .map(|operation| tokio::spawn(service.call(RequestInfo::new(operation))));
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(handle.counts().in_flight_max, 2);
    let beyond = RequestInfo::new(READ).weight(NonZeroU32::new(100));
    service.call(beyond).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_higher_class_goes_first_and_tenants_take_turns() {
    let (mut service, ..) =
        limited(Config::new("test").concurrency(1).newest_first_after(Duration::MAX));
    let done = Arc::default();
    let classed = |tenant, priority| of(tenant).priority(priority);
    let calls = [
        (of(1), "inside"),
        (classed(1, Priority::Background), "background"),
        (classed(1, Priority::Batch), "batch a1"),
        (classed(1, Priority::Batch), "batch a2"),
        (classed(2, Priority::Batch), "batch b1"),
        (of(1), "interactive"),
    ];
    let mut sent = Vec::new();
    for (info, name) in calls {
        sent.push(send(&mut service, info, name, &done));
        yield_now().await;
    }
    for call in sent {
        call.await.unwrap().unwrap();
    }
    let expected = ["inside", "interactive", "batch a1", "batch b1", "batch a2", "background"];
    assert_eq!(*done.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_call_of_a_higher_class_or_of_a_tenant_with_less_queued_displaces_one_of_a_full_queue() {
    let (mut service, control, _handle) = limited(Config::new("test").concurrency(1).queue(2));
    let mut inside = spawn(service.call(of(1)));
    assert!(inside.poll().is_pending());
    let mut greedy = [(); 2].map(|()| spawn(service.call(of(1).priority(Priority::Batch))));
    greedy.iter_mut().for_each(|call| assert!(call.poll().is_pending()));

    let mut other = spawn(service.call(of(2).priority(Priority::Batch)));
    assert!(other.poll().is_pending());
    assert!(greedy[1].is_woken(), "the newest call of the greedy tenant was not displaced");
    let [first, second] = greedy;
    let error = second.await.unwrap_err();
    assert!(matches!(rejection(&error).reason(), Reason::QueueFull { waiting: 2 }), "{error}");

    let mut interactive = spawn(service.call(of(3)));
    assert!(interactive.poll().is_pending());
    let queue = control.snapshot().queues[0];
    assert_eq!((queue.waiting_by_priority, queue.shed, queue.rejected_full), ([1, 1, 0], 2, 2));

    let error = service.call(of(1).priority(Priority::Background)).await.unwrap_err();
    assert_eq!(rejection(&error).limit(), Some("background"), "{error}");
    drop((inside, first, other, interactive));
    assert_eq!(control.snapshot().queues[0].waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_position_behind_other_tenants_is_marked_as_an_estimate() {
    use sandtower_admission::{CallState, Progress, Watch};
    #[derive(Clone)]
    struct First(Progress);
    impl Watch<RequestInfo> for First {
        fn progress(&self, info: &RequestInfo) -> Option<Progress> {
            (info.tenant == Tenant::new(9)).then(|| self.0.clone())
        }
    }
    let (mock, _handle) = Mock::<RequestInfo, u64>::new(|_, call| Answer::ok(call).after(SECOND));
    let progress = Progress::new();
    let layer = AdmissionLayer::new(Config::new("test").concurrency(1)).unwrap();
    let mut service = layer.classify(Literal).watch(First(progress.clone())).layer(mock);
    let mut calls: Vec<_> = (0..5).map(|_| spawn(service.call(of(1)))).collect();
    calls.push(spawn(service.call(of(9))));
    calls.iter_mut().for_each(|call| assert!(call.poll().is_pending()));
    let CallState::Queued(position) = progress.snapshot() else { panic!("{progress:?}") };
    assert_eq!((position.ahead, position.waiting, position.about), (1, 5, true));
    assert!(position.to_string().starts_with("about 1 ahead of you"), "{position}");
}

#[tokio::test(start_paused = true)]
async fn limits_change_while_calls_wait_and_none_is_lost() {
    let rate = Rate::pace("all", 100 * SECOND);
    let config = Config::new("test").concurrency_total(1).concurrency_per_tenant(1).rate(rate);
    let (mut service, control, _handle) = limited(config);
    let start = Tick::now();
    let calls: Vec<_> = (0..4).map(|_| tokio::spawn(service.call(of(1)))).collect();
    yield_now().await;
    control.set_rate(&Rate::new("all", 1_000, SECOND)).unwrap();
    control.set_concurrency_per_tenant(None).unwrap();
    control.set_concurrency_total(Some(4)).unwrap();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert!(Tick::now().since(start) <= SECOND + SECOND / 10, "{:?}", Tick::now().since(start));
    let error = control.set_rate(&Rate::pace("none", SECOND)).unwrap_err();
    assert_eq!(error, ConfigError::UnknownRate { name: "none".to_owned() });
    assert!(control.set_concurrency_total(Some(0)).is_err());
}

#[tokio::test(start_paused = true)]
async fn in_shadow_mode_limits_count_and_admit() {
    let config = Config::new("test").concurrency(1).concurrency_total(2).shadow(true);
    let (mut service, control, handle) = limited(config.rate(Rate::pace("all", 10 * SECOND)));
    let start = Tick::now();
    let calls: Vec<_> = (0..5).map(|_| tokio::spawn(service.call(of(1)))).collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!((handle.counts().in_flight_max, Tick::now().since(start)), (5, SECOND));
    let snapshot = control.snapshot();
    assert!(snapshot.shadow && snapshot.queues[0].beyond_limit >= 4, "{snapshot:?}");
    control.set_shadow(false);
    tokio::time::sleep(50 * SECOND).await;
    let [one, two] = [(); 2].map(|()| tokio::spawn(service.call(of(1))));
    one.await.unwrap().unwrap();
    two.await.unwrap().unwrap();
    assert_eq!(handle.counts().in_flight_max, 5);
}

#[tokio::test(start_paused = true)]
async fn in_any_order_of_arrivals_and_departures_all_that_stay_are_served_and_nothing_leaks() {
    for seed in 0..60 {
        println!("seed {seed}");
        let mut rng = Rng::with_seed(seed);
        let mut config = Config::new("test").concurrency(3).queue(200).longest_wait(Duration::MAX);
        if rng.bool() {
            config = config.concurrency_total(4);
        }
        if rng.bool() {
            config = config.concurrency_per_tenant(1 + rng.u32(0..2));
        }
        if rng.bool() {
            config = config.rate(Rate::new("all", 20, SECOND).burst(2));
        }
        if rng.bool() {
            config = config.rate(Rate::new("each", 5, SECOND).burst(1).per_tenant(true));
        }
        let (mut service, control, _handle) = gated(config, Pace::new(SECOND / 50));
        let mut calls = Vec::new();
        for _ in 0..80 {
            tokio::time::sleep(Duration::from_millis(rng.u64(0..60))).await;
            let operation = [CREATE, READ][rng.usize(0..2)];
            let info = RequestInfo::new(operation)
                .tenant(Tenant::new(rng.u64(0..5)))
                .priority(Priority::ALL[rng.usize(0..3)])
                .patience(rng.bool().then_some(Patience::Hold))
                .weight(NonZeroU32::new(rng.u32(0..3)));
            let call = service.call(info);
            let patience = Duration::from_millis(rng.u64(0..20_000));
            let leaves = rng.u8(0..3) == 0;
            calls.push(tokio::spawn(async move {
                match leaves {
                    true => tokio::time::timeout(patience, call).await.map_or(Ok(0), |done| done),
                    false => call.await,
                }
            }));
        }
        for call in calls {
            let done = tokio::time::timeout(600 * SECOND, call).await;
            let done = done.unwrap_or_else(|_| panic!("seed {seed}: a call sleeps")).unwrap();
            // Background calls make way while interactive ones wait for too long.
            if let Err(error) = done {
                let reason = rejection(&error).reason();
                assert!(matches!(reason, Reason::QueueFull { .. }), "seed {seed}: {error}");
            }
        }
        let snapshot = control.snapshot();
        assert_eq!(snapshot.in_flight, 0, "seed {seed}");
        for queue in &snapshot.queues {
            assert_eq!((queue.in_flight, queue.waiting), (0, 0), "seed {seed}");
        }
        let (acquired, not_sent, recorded) = control.gates().counts();
        assert_eq!(acquired, not_sent + recorded, "seed {seed}: a permit was lost");
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_calls_are_listed_by_tenant_oldest_first_with_the_reason() {
    let (mut service, control, _handle) = limited(Config::new("test").concurrency(1));
    let done = Arc::default();
    let low = of(2).priority(Priority::Batch);
    let mut calls = vec![send(&mut service, of(1), "first", &done)];
    yield_now().await;
    for info in [low, of(3), low] {
        calls.push(send(&mut service, info, "waits", &done));
        yield_now().await;
        tokio::time::advance(SECOND / 10).await;
    }
    let waiting = control.waiting(9);
    let [batch, other] = &waiting[..] else { panic!("{waiting:?}") };
    assert_eq!((batch.tenant, batch.priority, batch.calls), (Tenant::new(2), Priority::Batch, 2));
    assert_eq!((other.tenant, other.calls, other.longest), (Tenant::new(3), 1, SECOND / 5));
    assert_eq!(batch.longest, 3 * SECOND / 10);
    let why = batch.held_by.as_ref().map(Rejection::reason);
    assert_eq!(why, Some(Reason::Full { limit: 1 }));
    assert_eq!(control.waiting(1), waiting[..1]);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(control.waiting(9), []);
}
