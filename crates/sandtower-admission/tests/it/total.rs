//! The order in which calls of several operations go while a limit in total holds them.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandtower_admission::{AdmissionLayer, Config};
use sandtower_core::{
    Operation, Priority, RequestInfo, Tenant, TenantProfile, Tenants, TenantsConfig,
};
use sandtower_testkit::{Answer, Mock};
use tower::{Layer, Service};

use crate::support::Literal;

const CREATE: Operation = Operation::new(1, "sandbox_create");
const READ: Operation = Operation::new(2, "file_read");
const SECOND: Duration = Duration::from_secs(1);

/// All calls wait at the same time, and one goes each second: in which order, by name.
async fn order(config: Config, calls: &[(char, usize, RequestInfo)]) -> String {
    let config = config.concurrency_total(1).newest_first_after(Duration::MAX);
    let (mock, _handle) = Mock::<RequestInfo, u64>::new(|_, call| Answer::ok(call).after(SECOND));
    let mut service = AdmissionLayer::new(config).unwrap().classify(Literal).layer(mock);
    let first = tokio::spawn(service.call(RequestInfo::new(Operation::new(3, "another"))));
    tokio::task::yield_now().await;
    let order = Arc::new(Mutex::new(String::new()));
    let mut waiting = Vec::new();
    for &(name, number, info) in calls {
        for _ in 0..number {
            let (call, order) = (service.call(info), Arc::clone(&order));
            waiting.push(tokio::spawn(async move {
                call.await.unwrap();
                order.lock().unwrap().push(name);
            }));
            tokio::task::yield_now().await;
        }
    }
    first.await.unwrap().unwrap();
    for call in waiting {
        call.await.unwrap();
    }
    order.lock().unwrap().clone()
}

fn of(operation: Operation, tenant: u64, priority: Priority) -> RequestInfo {
    RequestInfo::new(operation).tenant(Tenant::new(tenant)).priority(priority)
}

#[tokio::test(start_paused = true)]
async fn tenants_take_turns_though_their_calls_wait_in_different_queues() {
    let calls = [
        ('c', 6, of(CREATE, 1, Priority::Interactive)),
        ('r', 3, of(READ, 2, Priority::Interactive)),
    ];
    assert_eq!(order(Config::new("test"), &calls).await, "crcrcrccc");
    let [c, r] = calls;
    assert_eq!(order(Config::new("test"), &[r, c]).await, "rcrcrcccc");
}

#[tokio::test(start_paused = true)]
async fn a_heavy_call_counts_for_more_and_a_heavy_tenant_gets_more() {
    let config = Config::new("test").weight_for(CREATE, NonZeroU32::new(2).unwrap());
    let calls = [
        ('c', 3, of(CREATE, 1, Priority::Interactive)),
        ('r', 6, of(READ, 2, Priority::Interactive)),
    ];
    assert_eq!(order(config, &calls).await, "crrcrrcrr");

    let twice = TenantProfile::new("twice").weight(NonZeroU32::new(2).unwrap());
    let tenants = Tenants::new(TenantsConfig::default().known("key", &twice));
    let tenant = tenants.id("key");
    let heavy = RequestInfo::new(CREATE).tenant(tenant);
    let calls = [('h', 6, heavy), ('r', 3, of(READ, 2, Priority::Interactive))];
    assert_eq!(order(Config::new("test").tenants(tenants), &calls).await, "hrhhrhhrh");
}

#[tokio::test(start_paused = true)]
async fn higher_classes_go_first_and_a_lower_class_in_another_queue_gets_a_twentieth() {
    let calls =
        [('b', 2, of(CREATE, 1, Priority::Batch)), ('i', 40, of(READ, 2, Priority::Interactive))];
    let order = order(Config::new("test"), &calls).await;
    let batch: Vec<_> = order.match_indices('b').map(|(at, _)| at).collect();
    assert_eq!(batch, [18, 37], "{order}");
}
