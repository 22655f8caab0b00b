//! Places that come, stay and go by a reload, and what a crash leaves in them.

use serde_json::json;

use super::world::{EU_KEY, Two};
use crate::process::Process;
use crate::support::{Caller, KEY, creation, until};

#[tokio::test]
async fn places_are_replaced_as_a_whole_and_those_that_stay_keep_what_they_know() {
    let two = Two::new(&["client_timeout=4s"]).await;
    let (id, token) = two.create_in_eu().await;
    two.home_is_down(true);
    // Enough for home's circuit breaker to open.
    for _ in 0..8 {
        two.create().await;
    }
    two.gateway.reload(two.settings(&["limits.control_body=1MiB"])).unwrap();
    let creations = || two.sent()[0].matches("POST /v2/sandboxes").count();
    let before = creations();
    two.create().await;
    assert_eq!(creations(), before, "home's circuit breaker is as it was, so home is not asked");
    assert_eq!(two.health(&id, &token).await.status(), 204);

    // Without the place its sandboxes are those of no place.
    two.home_is_down(false);
    two.gateway.reload(two.settings(&["places=[]"])).unwrap();
    let gone = two.health(&id, &token).await;
    assert_eq!(gone.status(), 502, "{:?}", gone.body());
    // And with it they are there again.
    two.gateway.reload(two.settings(&[])).unwrap();
    assert_eq!(two.health(&id, &token).await.status(), 204);
    let wrong = two.settings(&[]);
    std::fs::write(two.path("eu"), "").unwrap();
    let problem = two.gateway.reload(wrong).unwrap_err().to_string();
    assert!(
        problem.starts_with("places[0].keys.team: what is there must be an API key"),
        "{problem}"
    );
    assert_eq!(two.health(&id, &token).await.status(), 204);
}

#[tokio::test]
async fn a_check_says_what_places_are_for_and_shows_no_key() {
    let two = Two::new(&[]).await;
    let settings = two.all_settings();
    let other = format!("keys.upstream.other.file={}", two.path("home"));
    let all = settings.iter().chain([&other]).flat_map(|setting| ["--set", setting.as_str()]);
    let checked = crate::process::run(std::iter::once("check").chain(all));
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    for expected in [
        "[[places]]",
        "failover_after = \"1s\"",
        "# eu creates what home does not create for team, or not within 1s; those of other stay at home",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(!said.contains(KEY) && !said.contains(EU_KEY));
}

#[tokio::test]
async fn what_a_killed_gateway_left_in_another_place_is_swept() {
    let two = Two::new(&[]).await;
    let journal = two.path("journal");
    let settings = two.all_settings();
    let journal = format!("journal={journal}");
    let start = || {
        let all = settings.iter().chain([&journal]).flat_map(|setting| ["--set", setting.as_str()]);
        Process::start(all)
    };
    two.home_is_down(true);
    let stall = json!([{"name": "stall", "kind": "stall", "on": ["sandbox_create"], "lasting": "50s", "after_work": true}]);
    two.eu.set_faults(serde_json::from_value(stall).unwrap()).unwrap();
    let before = start();
    let mut open = tokio::net::TcpStream::connect(before.address).await.unwrap();
    let request = creation(r#"{"templateID":"base","timeout":3000}"#, "");
    tokio::io::AsyncWriteExt::write_all(&mut open, &request).await.unwrap();
    until("it is created", || two.eu.active() == 1).await;
    before.kill();
    two.eu.set_faults(Vec::new()).unwrap();
    two.home_is_down(false);
    let owned = Caller::new(two.eu_address(), EU_KEY).create().await.0;
    let _after = start();
    until("it is killed", || two.eu.active() == 1).await;
    let left = two.eu.ledger().sandboxes;
    assert!(left.iter().any(|it| it.id == owned && it.ended_at.is_none()), "{left:?}");
    let file = std::fs::read(two.path("journal")).unwrap();
    assert!(
        [KEY, EU_KEY].iter().all(|key| !file.windows(12).any(|it| it == &key.as_bytes()[..12]))
    );
}
