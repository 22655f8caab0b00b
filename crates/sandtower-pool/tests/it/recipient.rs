//! A layer above that marks what it creates hears of a sandbox from stock before its caller does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::Full;
use sandtower_core::BoxError;
use sandtower_e2b::{RawCreation, Sandbox, SandboxId, Unclaimed};
use sandtower_pool::{Assigned, Receive, Recipient};
use sandtower_sim::FaultKind;
use tower::ServiceExt as _;

use super::world::{World, base, fault, pass, three};

const MARK: &str = "owner_of_it";

/// What it heard, in order.
#[derive(Default)]
struct Notes {
    heard: Mutex<Vec<(&'static str, String)>>,
    refuses: AtomicBool,
}

impl Notes {
    fn hear(&self, what: &'static str, sandbox: &SandboxId) {
        self.heard.lock().unwrap().push((what, sandbox.to_string()));
    }

    fn heard(&self) -> Vec<(&'static str, String)> {
        self.heard.lock().unwrap().clone()
    }

    /// Whether each sandbox that was assigned was then withdrawn or delivered, once.
    fn is_even(&self) -> bool {
        let heard = self.heard();
        let count = |of: &str, id: &str| heard.iter().filter(|it| it.0 == of && it.1 == id).count();
        heard
            .iter()
            .all(|(_, id)| count("assigned", id) == count("withdrawn", id) + count("delivered", id))
    }
}

impl Receive for Notes {
    fn assigned<'a>(&'a self, sandbox: &'a SandboxId) -> Assigned<'a> {
        self.hear("assigned", sandbox);
        Box::pin(async {
            // As long as a slow disk takes.
            tokio::time::sleep(Duration::from_millis(10)).await;
            !self.refuses.load(Ordering::Relaxed)
        })
    }

    fn withdrawn(&self, sandbox: &SandboxId) {
        self.hear("withdrawn", sandbox);
    }

    fn delivered(&self, sandbox: &SandboxId, lives: Duration) {
        assert_eq!(lives, Duration::from_secs(600));
        self.hear("delivered", sandbox);
    }
}

impl World {
    /// Creates a sandbox with a mark, as the gateway does.
    async fn marked(&self, to: &Arc<Notes>) -> Result<Response<()>, BoxError> {
        let request =
            self.e2b.control_request(Method::POST, "/v2/sandboxes", Bytes::default()).unwrap();
        let mut body = serde_json::to_value(base()).unwrap();
        body["metadata"] = serde_json::json!({ MARK: "one" });
        let mut request = request.map(|_| Bytes::from(body.to_string()));
        request.extensions_mut().insert(Recipient::new(MARK, Arc::<Notes>::clone(to)));
        let (creation, request) = RawCreation::begin::<Full<Bytes>>(&self.e2b, request);
        let result = self.service.clone().oneshot(request).await;
        creation.unwrap().end(&result);
        result.map(|response| response.map(drop))
    }
}

fn claim(response: &Response<()>) -> SandboxId {
    response.extensions().get::<Unclaimed>().unwrap().clone().claim();
    response.extensions().get::<Sandbox>().unwrap().id().clone()
}

#[tokio::test(start_paused = true)]
async fn a_hit_has_no_mark_and_its_owner_is_notified_before_anything_touches_it() {
    let world = World::new(three()).stocked(10).await;
    let notes = Arc::new(Notes::default());
    let id = claim(&world.marked(&notes).await.unwrap());
    assert_eq!(notes.heard(), [("assigned", id.to_string()), ("delivered", id.to_string())]);
    assert_eq!(world.snapshot().hits, 1);
    assert!(!world.client.info(&id).await.unwrap().metadata.contains_key(MARK));
    // Without stock, one is created with the mark.
    for _ in 0..2 {
        claim(&world.marked(&notes).await.unwrap());
    }
    let id = claim(&world.marked(&notes).await.unwrap());
    assert_eq!(world.client.info(&id).await.unwrap().metadata[MARK], "one");
    assert_eq!((world.snapshot().hits, world.snapshot().misses["empty"]), (3, 1));
    assert!(notes.is_even());
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_be_noted_down_is_not_given_and_stays_in_stock() {
    let world = World::new(three()).stocked(10).await;
    let notes = Arc::new(Notes::default());
    notes.refuses.store(true, Ordering::Relaxed);
    let id = claim(&world.marked(&notes).await.unwrap());
    assert_eq!(world.client.info(&id).await.unwrap().metadata[MARK], "one");
    let heard: Vec<_> = notes.heard().into_iter().map(|it| it.0).collect();
    assert_eq!(heard, ["assigned", "withdrawn"]);
    assert_eq!((world.snapshot().hits, world.snapshot().idle), (0, 3));
    let connects = world.sim.ledger().requests.get("sandbox_connect").copied();
    assert_eq!(connects, None, "it was not touched");
}

#[tokio::test(start_paused = true)]
async fn what_is_dead_or_left_by_its_caller_is_withdrawn() {
    let world = World::new(three()).stocked(10).await;
    let notes = Arc::new(Notes::default());
    for millis in (0..120).step_by(7) {
        let call = tokio::time::timeout(Duration::from_millis(millis), world.marked(&notes)).await;
        if let Ok(Ok(response)) = call {
            claim(&response);
        }
        assert!(notes.is_even(), "{millis}: {:?}", notes.heard());
        pass(30).await;
    }
    world.sim.set_faults(vec![fault(FaultKind::Zombie, "sandbox_create")]).unwrap();
    pass(400).await;
    world.sim.set_faults(Vec::new()).unwrap();
    let before = notes.heard().len();
    claim(&world.marked(&notes).await.unwrap());
    let heard = notes.heard();
    assert!(heard[before..].iter().any(|it| it.0 == "withdrawn"), "{heard:?}");
    assert!(notes.is_even());
}
