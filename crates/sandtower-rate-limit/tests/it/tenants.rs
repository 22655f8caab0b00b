//! A rate limit for each tenant, in bounded memory.

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use proptest::prelude::*;
use sandtower_core::{
    Completion, Deferred, Gate, Now, Reason, RequestInfo, Tenant, TenantProfile, Tenants,
    TenantsConfig, Tick, Verdict,
};
use sandtower_rate_limit::{ByTenant, Config, Pace, RateLimits, TenantPermit};

use crate::gate::Subscribed;
use crate::support::{CREATE, at, seconds};
use crate::told::told;

const HOUR: u64 = 3_600;

fn most(most: usize) -> ByTenant {
    ByTenant::new(NonZeroUsize::new(most).unwrap())
}

fn limits(config: Config, by_tenant: ByTenant) -> RateLimits {
    RateLimits::new(config, by_tenant).unwrap()
}

fn of(tenant: u64) -> RequestInfo {
    RequestInfo::new(CREATE).tenant(Tenant::new(tenant))
}

fn acquire(limits: &RateLimits, tenant: u64, now: Tick) -> Option<TenantPermit> {
    let checked = limits.check(Some(&of(tenant)), &Now::at(now)).is_none();
    let acquired = limits.try_acquire(&of(tenant), &Now::at(now), &mut Deferred::new()).ok();
    assert_eq!(checked, acquired.is_some(), "checking and acquiring agree");
    acquired
}

fn record(limits: &RateLimits, tenant: u64, permit: TenantPermit, verdict: Verdict, now: Tick) {
    let done = Completion::new(verdict, now, now);
    assert!(limits.record(&of(tenant), permit, &done, &mut Deferred::new()).is_none());
}

/// Whether it went; if so, it has ended with `verdict`.
fn send(limits: &RateLimits, tenant: u64, now: Tick, verdict: Verdict) -> bool {
    let permit = acquire(limits, tenant, now);
    permit.map(|permit| record(limits, tenant, permit, verdict, now)).is_some()
}

fn succeeds(limits: &RateLimits, tenant: u64, now: Tick) -> bool {
    send(limits, tenant, now, Verdict::success())
}

fn names(limits: &RateLimits) -> Vec<String> {
    limits.snapshots().into_iter().map(|tenant| tenant.name).collect()
}

#[test]
fn what_one_tenant_sends_does_not_count_for_another() {
    let limits = limits(Config::new("E2B").limit(CREATE, 2), ByTenant::default());
    assert!(succeeds(&limits, 1, at(0)) && succeeds(&limits, 1, at(0)));
    assert!(!succeeds(&limits, 1, at(0)));
    assert!(succeeds(&limits, 2, at(0)));
    let no = limits.try_acquire(&of(1), &Now::at(at(0)), &mut Deferred::new()).unwrap_err();
    assert_eq!(no.why().reason(), Reason::OverLimit { count: 2, limit: 2 });
    assert_eq!(no.why().name(), "E2B/0000000000000001", "it says whose limit it is");
}

#[test]
fn a_tenant_is_called_as_its_name_function_or_its_table_says() {
    let tenants = Tenants::new(TenantsConfig::default().limit(NonZeroU32::MIN));
    let acme = tenants.set("secret", TenantProfile::new("acme")).unwrap();
    let limits = limits(Config::new("E2B"), tenants.clone().into());
    assert_eq!(limits.of(acme).name(), "E2B/acme");
    let other = tenants.seen("another", "another");
    assert_eq!(limits.of(other).name(), "E2B/others", "there was no room in the table");
    assert_eq!(names(&limits), ["E2B/acme", "E2B/others"]);
    assert!(!format!("{limits:?}").contains("secret"));

    let named = ByTenant::default().named(|tenant| format!("number {}", tenant.id()));
    assert_eq!(self::limits(Config::new("E2B"), named).of(Tenant::new(7)).name(), "E2B/number 7");
}

#[test]
fn a_tenant_that_is_limited_held_paced_or_in_flight_is_never_forgotten() {
    type Busy = fn(&RateLimits) -> Option<TenantPermit>;
    let throttled = Verdict::throttled().retry_after(Duration::from_secs(30));
    let busy: [(Config, Busy); 3] = [
        (Config::new("E2B").limit(CREATE, 1), |limits| {
            assert!(succeeds(limits, 1, at(0)));
            None
        }),
        (Config::new("E2B").pace(CREATE, Pace::every(seconds(60))), |limits| {
            assert!(succeeds(limits, 1, at(0)));
            None
        }),
        (Config::new("E2B"), |limits| {
            let verdict = Verdict::throttled().retry_after(Duration::from_secs(30));
            assert!(send(limits, 1, at(0), verdict));
            None
        }),
    ];
    for (config, busy) in busy {
        let limits = limits(config, most(1).forget_after(Duration::from_nanos(1)));
        busy(&limits);
        for tenant in 2..100 {
            succeeds(&limits, tenant, at(1));
        }
        assert!(!succeeds(&limits, 1, at(1)), "it is still held back");
        assert_eq!((limits.len(), limits.forgotten()), (1, 0));
    }

    let limits = limits(Config::new("E2B"), most(1));
    let in_flight = acquire(&limits, 1, at(0)).unwrap();
    assert!(succeeds(&limits, 2, at(1)));
    record(&limits, 1, in_flight, throttled, at(2));
    assert!(!succeeds(&limits, 1, at(3)), "what came of it is not lost");
}

#[test]
fn an_idle_tenant_makes_room_the_longest_silent_first() {
    let limits = limits(Config::new("E2B"), most(3));
    for (second, tenant) in [(1, 1), (2, 2), (3, 3), (4, 1), (5, 4)] {
        assert!(succeeds(&limits, tenant, at(second)));
    }
    let kept = names(&limits);
    let expected = [1, 3, 4].map(|id| format!("E2B/{id:016x}"));
    assert_eq!((kept, limits.forgotten()), (expected.to_vec(), 1));
}

#[test]
fn those_that_find_no_room_share_one_rate_limit_and_it_is_logged_once() {
    let told = told(["level", "name", "max_tenants", "message"], || {
        let limits = limits(Config::new("E2B").limit(CREATE, 3).warn_at([]), most(2));
        assert!(succeeds(&limits, 1, at(0)) && succeeds(&limits, 2, at(0)));
        let admitted = (3..100).filter(|&tenant| succeeds(&limits, tenant, at(0)));
        assert_eq!(admitted.collect::<Vec<_>>(), [3, 4, 5], "three together");
        assert_eq!((limits.len(), names(&limits).len()), (2, 3));
        assert_eq!(names(&limits)[2], "E2B/others");
    });
    let message = "rate limit table full: new tenants share one rate limit";
    assert_eq!(told, [["WARN", "E2B", "2", message]]);
}

#[test]
fn a_tenant_leaves_the_shared_rate_limit_only_once_it_is_not_held_back_there() {
    let config = Config::new("E2B").window(seconds(60)).limit(CREATE, 1);
    let limits = limits(config, most(1));
    assert!(succeeds(&limits, 1, at(0)));
    assert!(succeeds(&limits, 2, at(50)));
    assert!(!succeeds(&limits, 2, at(51)));
    assert!(!succeeds(&limits, 2, at(70)), "there is room, and what it sent still counts");
    assert!(succeeds(&limits, 2, at(120)));
    assert!(succeeds(&limits, 3, at(121)) && !succeeds(&limits, 3, at(121)));
    assert_eq!(names(&limits), ["E2B/0000000000000002", "E2B/others"]);
}

#[test]
fn tenants_that_are_silent_are_forgotten_and_so_is_what_they_shared() {
    let limits = limits(Config::new("E2B"), most(2).forget_after(seconds(60)));
    let held = [1, 2].map(|tenant| acquire(&limits, tenant, at(0)).unwrap());
    assert!(succeeds(&limits, 3, at(0)));
    assert_eq!((limits.len(), limits.is_empty(), limits.snapshots().len()), (2, false, 3));
    held.into_iter().zip(1..).for_each(|(permit, tenant)| {
        record(&limits, tenant, permit, Verdict::success(), at(1));
    });
    // The first sweep is due by the clock of the process.
    let later = Tick::now() + seconds(600);
    assert!(succeeds(&limits, 4, later));
    assert_eq!(names(&limits), ["E2B/0000000000000004"]);
    assert_eq!(limits.forgotten(), 2);
}

#[test]
fn all_of_them_share_their_mode_and_their_subscribers() {
    let limits = limits(Config::new("E2B").limit(CREATE, 1), ByTenant::default());
    let subscribed = Subscribed::to(&limits);
    assert!(succeeds(&limits, 1, at(0)) && !succeeds(&limits, 1, at(0)));
    limits.of(Tenant::new(1)).set_limit(CREATE, None).unwrap();
    assert_eq!(subscribed.times(), 1);
    assert!(succeeds(&limits, 2, at(0)) && !succeeds(&limits, 2, at(0)));
    limits.set_shadow(true);
    assert_eq!(subscribed.times(), 1);
    assert!(limits.is_shadow() && succeeds(&limits, 2, at(0)) && succeeds(&limits, 3, at(0)));
    assert!(limits.of(Tenant::new(4)).is_shadow(), "and those to come");
}

#[test]
fn snapshots_are_by_tenant_in_the_order_of_their_names() {
    let named = ByTenant::default().named(|tenant| ["", "b", "a"][tenant.id() as usize].into());
    let limits = limits(Config::new("E2B").limit(CREATE, 5), named);
    let now = Tick::now();
    [1, 1, 2].iter().for_each(|&tenant| assert!(succeeds(&limits, tenant, now)));
    let json = serde_json::to_value(limits.snapshots()).unwrap();
    let row = |index: usize| (json[index]["name"].clone(), json[index]["total"].clone());
    assert_eq!([row(0), row(1)], [("E2B/a".into(), 1.into()), ("E2B/b".into(), 2.into())]);
    assert_eq!(json[1]["by_operation"][0]["limit"], 5);
}

#[test]
fn it_is_checked_as_any_other_config() {
    let error = RateLimits::new(Config::new("E2B").limit(CREATE, 0), ByTenant::default());
    assert!(error.unwrap_err().to_string().contains("must be at least 1"));
    let none = limits(Config::new("E2B"), ByTenant::default());
    assert!(none.is_empty() && none.check(None, &Now::at(at(0))).is_none());
}

proptest! {
    #[test]
    fn no_traffic_makes_the_table_grow_or_gives_a_tenant_more_than_its_limit_and_the_shared_one(
        rows in 1..6_usize,
        steps in prop::collection::vec((1..20_u64, 0..400_u64, 0..3_u8), 1..300),
    ) {
        const LIMIT: u64 = 3;
        let config = Config::new("E2B").limit(CREATE, LIMIT).longest_hold(Duration::ZERO);
        let limits = limits(config, most(rows).forget_after(seconds(600)));
        let mut now = at(HOUR);
        let mut sent = HashMap::<u64, Vec<Tick>>::new();
        for (tenant, pause, end) in steps {
            now += seconds(pause);
            let Some(permit) = acquire(&limits, tenant, now) else { continue };
            if end == 0 {
                let done = Completion::not_sent(now);
                drop(limits.record(&of(tenant), permit, &done, &mut Deferred::new()));
                continue;
            }
            record(&limits, tenant, permit, Verdict::success(), now);
            let mine = sent.entry(tenant).or_default();
            mine.push(now);
            let lately = mine.iter().filter(|&&at| now.since(at) < seconds(HOUR)).count() as u64;
            prop_assert!(lately <= 2 * LIMIT, "{lately} of {tenant} within the hour");
            prop_assert!(limits.len() <= rows);
        }
    }
}
