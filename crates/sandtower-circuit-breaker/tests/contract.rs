//! The layer keeps the tower contract over any service.

use sandtower_circuit_breaker::{
    CircuitBreaker, CircuitBreakerLayer, CircuitBreakers, Config, Scopes, Trip, WhenOpen,
};
use sandtower_testkit::Contract;
use tower::Layer;

#[test]
fn it_keeps_the_contract() {
    Contract::of(|inner| {
        CircuitBreakerLayer::new(CircuitBreaker::classic("contract")).layer(inner)
    })
    .run();
}

#[test]
fn it_keeps_the_contract_when_the_first_failure_opens_it() {
    Contract::of(|inner| {
        let config = Config::new("contract").trip(Trip::ConsecutiveFailures(1));
        let breaker = config.build().unwrap();
        CircuitBreakerLayer::new(breaker).layer(inner)
    })
    .run();
}

#[test]
fn it_keeps_the_contract_when_it_would_rather_hold_calls() {
    Contract::of(|inner| {
        let breaker = Config::new("contract").when_open(WhenOpen::Hold).build().unwrap();
        CircuitBreakerLayer::new(breaker).layer(inner)
    })
    .run();
}

#[test]
fn it_keeps_the_contract_with_what_is_recommended() {
    Contract::of(|inner| {
        CircuitBreakerLayer::try_from(Config::new("contract")).unwrap().layer(inner)
    })
    .run();
}

#[test]
fn it_keeps_the_contract_with_a_breaker_for_each_scope() {
    Contract::of(|inner| {
        let breakers = CircuitBreakers::new(Config::classic("contract"), Scopes::new(1));
        CircuitBreakerLayer::scoped(breakers.unwrap()).layer(inner)
    })
    .run();
}
