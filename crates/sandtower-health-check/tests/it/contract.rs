use sandtower_core::BoxError;
use sandtower_core::Verdict;
use sandtower_health_check::{Config, HealthCheckLayer, check_fn};
use sandtower_testkit::{Contract, Mock};
use tower::{Layer, Service, ServiceExt};

#[test]
fn it_keeps_the_tower_contract_when_there_is_nothing_to_check() {
    Contract::of(|inner| {
        let never = check_fn(
            |_: Mock<u64, u64>, _: &u64| None::<std::future::Ready<Verdict>>,
            |_: Mock<u64, u64>, _: &u64| std::future::ready(()),
        );
        HealthCheckLayer::classic(never.only(&[])).layer(inner)
    })
    .run();
}

#[test]
fn it_keeps_the_tower_contract_when_each_response_passes() {
    Contract::of(|inner| {
        let passes = check_fn(
            |_: Mock<u64, u64>, _: &u64| Some(std::future::ready(Verdict::success())),
            |_: Mock<u64, u64>, _: &u64| std::future::ready(()),
        );
        HealthCheckLayer::new(passes, Config::new("any")).unwrap().layer(inner)
    })
    .run();
}

#[test]
fn it_keeps_the_tower_contract_when_probes_go_through_the_service_below() {
    Contract::of(|inner| {
        let asks = check_fn(
            |inner: Mock<u64, u64>, response: &u64| Some(classify(inner, *response)),
            |_: Mock<u64, u64>, _: &u64| std::future::ready(()),
        );
        HealthCheckLayer::new(asks, Config::new("any")).unwrap().layer(inner)
    })
    .run();
}

async fn classify(
    inner: impl Service<u64, Response = u64, Error = BoxError>,
    response: u64,
) -> Verdict {
    match inner.oneshot(response).await {
        Ok(_) => Verdict::success(),
        Err(_) => Verdict::unknown(),
    }
}
