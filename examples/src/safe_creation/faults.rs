//! The faults: every way in which the result of a creation can be unknown.

use std::time::Duration;

use sandtower_sim::{Fault, FaultKind, FaultResponse};

/// The result of a fifth of all creations is unknown.
pub(super) fn unknown_results() -> Vec<Fault> {
    let create = |name: &str, kind, rate| Fault {
        on: vec![String::from("sandbox_create")],
        rate,
        ..Fault::new(name, kind)
    };
    let stall = |name: &str, after_work| Fault {
        lasting: Some(Duration::from_secs(300)),
        after_work,
        ..create(name, FaultKind::Stall, 0.02)
    };
    let respond = |name: &str, response, rate| Fault {
        response: Some(response),
        after_work: true,
        ..create(name, FaultKind::Respond, rate)
    };
    vec![
        create("reset before the work", FaultKind::Reset, 0.035),
        create("response lost after it", FaultKind::Lose, 0.045),
        create("response cut off", FaultKind::Cut, 0.02),
        stall("silence without work", false),
        stall("silence after it", true),
        respond("500 after it", FaultResponse::Internal500, 0.03),
        respond("502 after it", FaultResponse::Balancer502, 0.02),
        respond("504 after it", FaultResponse::Balancer504, 0.02),
        // 90 s after the send: as late as E2B can be.
        Fault {
            rate: 0.02,
            lasting: Some(Duration::from_secs(20)),
            ..Fault::new("commit after the deadline", FaultKind::LateCommit)
        },
    ]
}

/// Requests that look for the result fail as well.
pub(super) fn troubled_calls() -> Vec<Fault> {
    let on = |name: &str, requests: &[&str], kind, rate| Fault {
        on: requests.iter().map(ToString::to_string).collect(),
        rate,
        ..Fault::new(name, kind)
    };
    let after_work = |fault: Fault| Fault { after_work: true, ..fault };
    vec![
        on("look-ups reset", &["sandbox_list", "sandbox_connect"], FaultKind::Reset, 0.05),
        on("kills lost", &["sandbox_kill"], FaultKind::Lose, 0.05),
        after_work(Fault {
            response: Some(FaultResponse::Internal500),
            ..on("kills with 500", &["sandbox_kill"], FaultKind::Respond, 0.05)
        }),
        on("probes reset", &["envd_process"], FaultKind::Reset, 0.02),
        on("dead sandboxes", &[], FaultKind::Zombie, 0.01),
    ]
}

/// New sandboxes are missing from the listing, for up to 20 s.
pub(super) fn lagging_listing() -> Vec<Fault> {
    // Of several delays, the last one counts.
    [(3, 0.6), (10, 0.3), (20, 0.3)]
        .map(|(seconds, rate)| Fault {
            rate,
            lasting: Some(Duration::from_secs(seconds)),
            ..Fault::new(format!("listed after {seconds} s"), FaultKind::Lag)
        })
        .into()
}

/// Random 500s without an effect.
pub(super) fn random_500s(rate: f64) -> Vec<Fault> {
    vec![Fault {
        rate,
        response: Some(FaultResponse::Internal500),
        on: vec![String::from("control")],
        ..Fault::new("random 500", FaultKind::Respond)
    }]
}
