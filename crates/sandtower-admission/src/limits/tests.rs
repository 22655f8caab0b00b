use std::time::Duration;

use std::num::NonZeroU32;

use sandtower_core::{Deferred, Operation, RequestInfo, Tenant, TenantsConfig, Tick};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const OPERATION: Operation = Operation::new(1, "any");

fn at(millis: u64) -> Tick {
    Tick::ZERO + Duration::from_millis(1_000_000 + millis)
}

fn of(tenant: u64) -> RequestInfo {
    RequestInfo::new(OPERATION).tenant(Tenant::new(tenant))
}

#[test]
fn the_limit_that_has_room_last_is_the_one_that_counts() {
    let config = Config::new("test")
        .rate(Rate::pace("short", SECOND))
        .rate(Rate::pace("long", 10 * SECOND).per_tenant(true));
    let mut limits = Limits::new(&config);
    let demand = limits.demand(OPERATION, 1);
    let seat = limits.enter(&of(1), 1, at(0), &mut Deferred::new());
    assert_eq!(limits.check(seat, &demand, at(0)), None);
    limits.take(seat, &demand, at(0));
    let reached = limits.check(seat, &demand, at(0)).unwrap();
    assert_eq!((reached.until(), limits.is_wide(reached)), (Some(at(10_000)), false));
    let other = limits.enter(&of(2), 1, at(0), &mut Deferred::new());
    let reached = limits.check(other, &demand, at(0)).unwrap();
    assert_eq!((reached.until(), limits.is_wide(reached)), (Some(at(1_000)), true));
    limits.give_back(seat, &demand, false);
    assert_eq!(limits.check(seat, &demand, at(0)), None, "it was not sent");
}

#[test]
fn tenants_beyond_the_rows_share_one_and_rows_that_are_used_stay() {
    let config = Config::new("test").rate(Rate::pace("each", SECOND).per_tenant(true));
    let mut limits = Limits::new(&config);
    let demand = limits.demand(OPERATION, 1);
    let seats: Vec<_> = (1..=u64::from(rows::LIMIT) + 100)
        .map(|tenant| {
            let seat = limits.enter(&of(tenant), 1, at(0), &mut Deferred::new());
            limits.take(seat, &demand, at(0));
            seat
        })
        .collect();
    assert_eq!(limits.tenants_seen(), (rows::LIMIT + 1, 100));
    assert!(limits.check(seats[0], &demand, at(0)).is_some());
    for seat in seats {
        limits.give_back(seat, &demand, true);
        limits.leave(seat, at(500));
    }
    assert_eq!(
        limits.tenants_seen().0,
        rows::LIMIT + 1,
        "what was used of a rate is not forgotten"
    );
    let seat = limits.enter(&of(1_000_000), 1, at(200_000), &mut Deferred::new());
    assert_eq!(limits.check(seat, &demand, at(200_000)), None, "it has a row of its own");
    limits.leave(seat, at(200_000));
}

#[test]
fn what_is_not_limited_by_tenant_keeps_nothing_for_tenants() {
    let mut limits = Limits::new(&Config::new("test").rate(Rate::pace("all", SECOND)));
    let seat = limits.enter(&of(1), 1, at(0), &mut Deferred::new());
    assert_eq!((seat.row, limits.tenants_seen()), (RowId::NONE, (0, 0)));
    limits.leave(seat, at(0));
}

#[test]
fn an_idle_row_is_found_wherever_it_is_by_one_of_a_few_newcomers() {
    for idle in [0, 1, 63, 64, 99] {
        let tenants = TenantsConfig::default().limit(NonZeroU32::new(100).unwrap());
        let rate = Rate::pace("each", SECOND).per_tenant(true);
        let config = Config::new("test").rate(rate).tenants(Tenants::new(tenants));
        let mut limits = Limits::new(&config);
        let demand = limits.demand(OPERATION, 1);
        for tenant in 0..100 {
            let seat = limits.enter(&of(tenant), 1, at(0), &mut Deferred::new());
            limits.take(seat, &demand, at(0));
            if tenant == idle {
                limits.give_back(seat, &demand, true);
                limits.leave(seat, at(0));
            }
        }
        let mut finds = |newcomer: u64| {
            let before = limits.tenants_seen().1;
            limits.enter(&of(1_000 + newcomer), 1, at(2_000), &mut Deferred::new());
            limits.tenants_seen().1 == before
        };
        assert!((0..3).any(&mut finds), "{idle}");
        assert!(!(3..6).any(finds), "a tenant with a call in flight lost its row");
    }
}
