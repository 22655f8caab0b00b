//! Reconciling before the next attempt.

use std::time::Duration;

use sandtower_core::Outcome;
use sandtower_e2b::{Error, Hint, NewSandbox};
use tokio::time::sleep;

use super::fake::{Fake, Fate, is_lost, retried};

const LONG: Duration = Duration::from_secs(1_000);

#[tokio::test(start_paused = true)]
async fn a_sandbox_whose_response_was_lost_is_adopted_with_its_token() {
    let fake = Fake::with([Fate::Lost]);
    let (client, creations) = retried(&fake);
    let sandbox = client.create(&NewSandbox::new("base")).await.unwrap();
    assert_eq!(sandbox.access_token().unwrap().expose(), "tok_secret");
    sleep(LONG).await;
    assert_eq!((fake.alive(), fake.world().created), (vec![sandbox.id().to_string()], 1));
    let seen = creations.snapshot();
    assert_eq!((seen.watched, seen.adopted, seen.open, seen.killed), (1, 1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn of_two_sandboxes_one_is_kept() {
    let fake = Fake::with([Fate::Late(Duration::from_millis(1)), Fate::Lost]);
    let (client, creations) = retried(&fake);
    let sandbox = client.create(&NewSandbox::new("base")).await.unwrap();
    creations.drain_within(LONG).await.unwrap();
    assert_eq!((fake.alive(), fake.world().created), (vec![sandbox.id().to_string()], 2));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_cannot_find_out_ends_with_its_error_and_its_sandbox_is_killed() {
    let fake = Fake::with([Fate::Lost]);
    fake.world().is_blind = true;
    let (client, creations) = retried(&fake);
    let error = client.create(&NewSandbox::new("base")).await.unwrap_err();
    let Error::NoResponse { source, .. } = &error else { panic!("{error}") };
    assert!(is_lost(source), "{error}");
    assert_eq!((error.hint(), fake.world().listed), (Hint::Again { after: None }, 3));
    assert!(error.to_string().ends_with("it is removed in the background"), "{error}");
    assert!(error.to_string().contains(&error.call().id.unwrap().to_string()), "{error}");
    fake.world().is_blind = false;
    creations.drain_within(LONG).await.unwrap();
    assert_eq!((fake.alive().len(), creations.snapshot().killed), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_with_a_known_failure_is_not_reconciled() {
    let fake = Fake::with([Fate::Full; 4]);
    let (client, creations) = retried(&fake);
    let error = client.create(&NewSandbox::new("base")).await.unwrap_err();
    assert_eq!(error.verdict().outcome, Outcome::Transient);
    assert_eq!((fake.world().listed, creations.snapshot().watched), (0, 0));
}
