use std::time::Duration;

use sandtower::e2b::{Client, EVENTS, NewSandbox};
use sandtower::stack::{Plan, Stack};
use sandtower_sim::{Fault, FaultKind, FaultResponse};
use tokio::time::sleep;

use super::config;
use super::log::Log;

const SECOND: Duration = Duration::from_secs(1);

/// The events about creations, one per line, without their time.
fn events(log: &Log) -> Vec<String> {
    let text = log.text();
    let lines = text.lines().filter_map(|line| line.split_once(&format!("{EVENTS}: ")));
    lines.map(|(_, event)| event.to_owned()).collect()
}

fn failing(until: Option<Duration>) -> Fault {
    let mut fault = Fault::new("errors", FaultKind::Respond);
    fault.on = vec!["sandbox_create".to_owned()];
    (fault.response, fault.until) = (Some(FaultResponse::CreateFailed500), until);
    fault
}

#[tokio::test(start_paused = true)]
async fn a_creation_is_reported_from_its_start_to_its_success_with_each_failed_attempt() {
    let sim = sandtower_sim::Config::new().faults(vec![failing(Some(SECOND / 10))]).build();
    let stack = Stack::recommended(config(), Plan::Hobby);
    let client = stack.client(sim.unwrap());
    let log = Log::default();
    let logging = log.begin();
    let new = NewSandbox::new("base").framework("nextjs");
    let sandbox = client.create(&new).await.unwrap();
    drop(logging);

    let events = events(&log);
    let [start, failure, success] = &events[..] else { panic!("{events:#?}") };
    let call = start.split_once("call_id=").unwrap().1.split(' ').next().unwrap();
    for event in [start, failure, success] {
        for field in [
            &format!("call_id={call}"),
            "template=\"base\"",
            "framework=\"nextjs\"",
            "circuit_breaker_state=\"closed\"",
        ] {
            assert!(event.contains(field), "{field} in {event}");
        }
    }
    assert!(start.starts_with("sandbox_create_start "), "{start}");
    assert!(failure.starts_with("sandbox_create_failure "), "{failure}");
    for field in ["attempt=1", "error=500 sandbox_create_failed: ", "duration_ms=", "left_out=0"] {
        assert!(failure.contains(field), "{field} in {failure}");
    }
    assert!(success.starts_with("sandbox_create_success "), "{success}");
    for field in [&format!("sandbox_id={}", sandbox.id()), "attempt=2", "duration_ms="] {
        assert!(success.contains(field), "{field} in {success}");
    }
    let counts = stack.handles().events.snapshot();
    assert_eq!((counts.started, counts.succeeded), (1, 1));
    assert_eq!((counts.failed_attempts, counts.failed), (1, 0));
    assert_eq!(stack.handles().snapshot().events, counts);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_for_good_is_critical_after_all_its_attempts() {
    let sim = sandtower_sim::Config::new().faults(vec![failing(None)]).build().unwrap();
    let client = Stack::recommended(config(), Plan::Hobby).client(sim);
    let log = Log::default();
    let logging = log.begin();
    client.create(&NewSandbox::new("base")).await.unwrap_err();
    drop(logging);
    let events = events(&log);
    let last = events.last().unwrap();
    assert!(last.starts_with("sandbox_create_critical_failure "), "{events:#?}");
    assert!(last.contains("attempt=4") && last.contains("sandbox_create_failed"), "{last}");
    assert!(events[1].starts_with("sandbox_create_failure "), "{events:#?}");
}

/// 200 calls that all fail: what they have in common is logged once in ten seconds.
#[tokio::test(start_paused = true)]
async fn an_outage_does_not_fill_the_log_and_the_counts_have_all_of_it() {
    let sim = sandtower_sim::Config::new().faults(vec![failing(None)]).build().unwrap();
    let config = config();
    let reported = config.creation_events().clone();
    let client = Client::new(sim, config);
    let log = Log::default();
    let logging = log.begin();
    for _ in 0..200 {
        client.create(&NewSandbox::new("base")).await.unwrap_err();
        sleep(SECOND / 10).await;
    }
    drop(logging);
    let logged = events(&log);
    for name in ["sandbox_create_failure ", "sandbox_create_critical_failure "] {
        let of_kind: Vec<_> = logged.iter().filter(|event| event.starts_with(name)).collect();
        assert!((2..=4).contains(&of_kind.len()), "{of_kind:#?}");
        let left_out = of_kind[1].split_once("left_out=").unwrap().1;
        assert!(left_out.trim().parse::<u32>().unwrap() > 20, "{left_out}");
    }
    let counts = reported.snapshot();
    assert_eq!((counts.started, counts.failed, counts.failed_attempts), (200, 200, 200));
    assert!(counts.left_out > 380, "{counts:?}");
}
