//! Bugs of queues.

use std::time::Duration;

use sandtower_testkit::{Contract, Exchange, Scenario};

use super::{
    assert_says, message_of,
    room::{Fault, Queued, Request, Room},
};

fn contract(fault: Fault) -> Contract<Request, u64, Queued> {
    Exchange::new(|_| Duration::ZERO, |number| number)
        .returning(|ago| ago)
        .contract(move |inner| Room::new(fault).before(inner), |response| response)
        .shared(move |first, second| {
            let room = Room::new(fault);
            (room.before(first), room.before(second))
        })
}

#[test]
fn a_queue_that_wakes_every_call_that_can_continue_keeps_the_contract() {
    contract(Fault::None)
        .require(Scenario::ReturningArrivals)
        .require(Scenario::UnpolledGrants)
        .require(Scenario::SharedGates)
        .run();
}

#[test]
fn a_returning_attempt_that_is_next_and_not_woken_strands_the_queue() {
    assert_says(
        &message_of(&contract(Fault::JoinsUnseen)),
        &[
            "rule `no-lost-wake-ups`: a queued call, after the call in flight ended (Completed) and \
             an attempt with an older arrival time joined (BetweenWakeAndPoll, Stays)",
            "(scenario `returning-arrivals`)",
        ],
    );
}

#[test]
fn a_returning_attempt_that_leaves_when_it_is_woken_strands_the_queue() {
    assert_says(
        &message_of(&contract(Fault::LeavesUnseen)),
        &["(Before, LeavesWhenWoken)", "(scenario `returning-arrivals`)"],
    );
}

#[test]
fn a_grant_that_waits_for_a_call_that_is_not_polled_is_found() {
    let message = message_of(&contract(Fault::GrantsForEver));
    assert_says(&message, &["rule `capacity-is-passed-on`", "(scenario `unpolled-grants`)"]);
    assert!(!message.contains("(scenario `returning-arrivals`)"), "{message}");
}

#[test]
fn a_permit_of_a_call_that_was_not_sent_has_to_reach_the_other_service() {
    let message = message_of(&contract(Fault::FreesUnseen));
    assert_says(&message, &["gave back what it held (DroppedBeforeItWasSent)"]);
    assert_says(&message, &["rule `no-lost-wake-ups`", "(scenario `shared-gates`)"]);
}

#[test]
fn a_required_scenario_without_an_occasion_is_a_failure() {
    let contract = Contract::of(|inner| inner)
        .require(Scenario::ReturningArrivals)
        .require(Scenario::SharedGates);
    assert_says(
        &message_of(&contract),
        &[
            "scenario `returning-arrivals` has no occasion: the layer queues no call while another",
            "scenario `shared-gates` has no occasion: the contract has no services that share",
            "\nno occasion: scenario `unpolled-grants`: the layer queues no call",
        ],
    );
}
