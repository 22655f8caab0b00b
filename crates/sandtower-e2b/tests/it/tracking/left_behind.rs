//! Callers that go away, and responses that are never claimed.

use std::time::Duration;

use sandtower_e2b::{Client, NewSandbox, TrackingLayer};
use sandtower_testkit::cancel_at_every_poll;
use tokio::time::{sleep, timeout};
use tower::{Layer, Service, ServiceExt};

use super::fake::{Fake, Fate, Req, attempts, config, retried};

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(1_000);

#[tokio::test(start_paused = true)]
async fn a_creation_that_succeeds_at_once_is_owned_and_needs_no_cleanup() {
    let fake = Fake::default();
    let (client, creations) = attempts(&fake);
    let sandbox = client.create(&NewSandbox::new("base")).await.unwrap();
    sleep(LONG).await;
    assert_eq!(fake.alive(), [sandbox.id().as_str()]);
    assert_eq!(creations.snapshot(), Default::default());
    assert_eq!(fake.world().listed, 0);
}

#[tokio::test(start_paused = true)]
async fn a_late_sandbox_of_a_caller_that_went_away_is_killed() {
    let fake = Fake::with([Fate::Late(60 * SECOND)]);
    let (client, creations) = retried(&fake);
    // The look finds nothing, and the next attempt is on its way.
    fake.world().fates.push(Fate::Created(100 * SECOND));
    let result = timeout(30 * SECOND, client.create(&NewSandbox::new("base"))).await;
    assert!(result.is_err());
    assert_eq!(creations.snapshot().open, 2);
    sleep(20 * SECOND).await;
    assert_eq!((fake.alive().len(), creations.snapshot().killed), (0, 1));
    creations.drain_within(LONG).await.unwrap();
    assert_eq!((fake.alive().len(), fake.world().created), (0, 2));
    assert_eq!(creations.snapshot().killed, 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_before_it_was_sent_is_not_watched() {
    let fake = Fake::default();
    let (client, creations) = attempts(&fake);
    drop(client.create(&NewSandbox::new("base")));
    assert_eq!(creations.snapshot().watched, 0);
    sleep(LONG).await;
    let world = fake.world();
    assert_eq!((world.created, world.listed), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_sandbox_of_a_response_that_a_layer_drops_is_killed() {
    let fake = Fake::default();
    let (client, creations) = attempts(&fake);
    let dropper = client.service().clone().and_then(async |response| {
        drop(response);
        Err::<super::fake::Res, _>("changed its mind".into())
    });
    let dropper = Client::new(Boxed(tower::util::BoxCloneSyncService::new(dropper)), config());
    dropper.create(&NewSandbox::new("base")).await.unwrap_err();
    creations.drain_within(LONG).await.unwrap();
    assert_eq!((fake.alive().len(), creations.snapshot().killed), (0, 1));
}

/// Names the type.
#[derive(Clone)]
struct Boxed<B: http_body::Body>(
    tower::util::BoxCloneSyncService<Req, http::Response<B>, sandtower_core::BoxError>,
);

impl<B: http_body::Body> Service<Req> for Boxed<B> {
    type Response = http::Response<B>;
    type Error = sandtower_core::BoxError;
    type Future = std::pin::Pin<
        Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send + 'static>,
    >;

    fn poll_ready(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        self.0.call(request)
    }
}

#[test]
fn no_sandbox_without_an_owner_stays_alive_wherever_a_call_is_dropped() {
    let fates = [
        vec![],
        vec![Fate::Created(2 * SECOND)],
        vec![Fate::Lost],
        vec![Fate::Late(SECOND), Fate::Late(30 * SECOND)],
        vec![Fate::Full, Fate::Lost, Fate::Created(SECOND)],
    ];
    for fates in fates {
        let (mut finished, mut went) = (0, 0);
        cancel_at_every_poll(
            || {
                let fake = Fake::with(fates.clone());
                let (client, creations) = retried(&fake);
                let call = async move { client.create(&NewSandbox::new("base")).await };
                (call, (fake, creations))
            },
            async |cancelled, (fake, creations)| {
                creations.drain_within(LONG).await.unwrap();
                sleep(LONG).await;
                let held = usize::from(cancelled.finished);
                assert_eq!(fake.alive().len(), held, "{cancelled}: {fates:?}");
                finished += held;
                went += 1 - held;
            },
        );
        assert!(finished > 0 && went > 0, "{fates:?}: {finished} and {went}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_while_its_body_is_read_is_cleaned_up() {
    // Without an interpreter the client reads the body itself.
    let fake = Fake::default();
    let (config, creations) = (config(), sandtower_e2b::SandboxTracker::new(&config()));
    let slow = fake.mock().map_response(|response| response.map(Slow));
    let service = TrackingLayer::new(creations.clone()).layer(slow);
    let client = Client::new(service, config);
    assert!(timeout(5 * SECOND, client.create(&NewSandbox::new("base"))).await.is_err());
    assert_eq!((fake.alive().len(), creations.snapshot().open), (1, 1));
}

/// A body that never comes.
struct Slow(http_body_util::Full<bytes::Bytes>);

impl http_body::Body for Slow {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        let _never = &self.0;
        std::task::Poll::Pending
    }
}

#[test]
fn a_service_and_its_tracker_are_send_and_sync() {
    fn is_shared(_: &(impl Send + Sync + 'static)) {}
    let (client, creations) = attempts(&Fake::default());
    is_shared(client.service());
    is_shared(&creations);
}
