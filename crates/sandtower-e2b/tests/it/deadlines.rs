//! How long calls may take, and that no duration is too long for arithmetic.

use std::time::Duration;

use proptest::prelude::*;
use sandtower_core::Tick;
use sandtower_e2b::{
    Client, Code, Command, Error, ListSandboxes, NewSandbox, SandboxTracker, Timeouts, Timing,
    operation as op,
};
use sandtower_http::Deadline;

use super::support::{Reply, Script, client, config, sandbox};

const SECOND: Duration = Duration::from_secs(1);

/// How long `call` took, and the deadline that the layers below got.
async fn took<T: std::fmt::Debug>(
    client: &Client<Script>,
    call: impl Future<Output = Result<T, Error>>,
) -> (Duration, Option<Duration>, Error) {
    let begin = Tick::now();
    let error = call.await.unwrap_err();
    let deadline = client.service().last().extensions().get::<Deadline>().copied();
    (Tick::now().since(begin), deadline.map(|Deadline(at)| at.since(begin)), error)
}

#[tokio::test(start_paused = true)]
async fn every_call_of_the_control_plane_and_every_short_call_ends_within_two_minutes() {
    let client = client([Reply::Never]);
    let (it, id) = (sandbox(), sandbox().id().clone());
    let two_minutes = 120 * SECOND;
    let expected = (two_minutes, Some(two_minutes));
    macro_rules! all {
        ($($call:expr),* $(,)?) => { $({
            let (took, deadline, error) = took(&client, $call).await;
            assert_eq!((took, deadline), expected, "{error}");
            assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error}");
            assert!(error.to_string().contains("did not end within 120 s"), "{error}");
        })* };
    }
    all![
        client.create(&NewSandbox::new("base")),
        client.kill(&id),
        client.info(&id),
        client.list(&ListSandboxes::default()),
        client.connect(&id, None),
        client.resume(&id, None),
        client.pause(&id),
        client.set_timeout(&id, SECOND),
        client.health(),
        client.envd_health(&it),
        client.processes(&it),
        client.kill_process(&it, 3),
        client.send_stdin(&it, 3, b"x"),
        client.read_file(&it, "/a"),
        client.write_file(&it, "/a", "short"),
        client.stat(&it, "/a"),
        client.contexts(&it),
    ];
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_a_command_or_of_code_counts_the_queue() {
    for seconds in [1, 5, 90] {
        let (limit, client) = (seconds * SECOND, client([Reply::Never]));
        let expected = (limit, Some(limit));
        let command = Command::new("x").timeout(limit);
        let (time, deadline, error) = took(&client, client.run(&sandbox(), &command)).await;
        assert_eq!((time, deadline), expected);
        assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error}");
        let code = Code::new("x").timeout(limit);
        let (time, deadline, _) = took(&client, client.run_code(&sandbox(), &code)).await;
        assert_eq!((time, deadline), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn streams_without_a_timeout_have_no_deadline() {
    let client = client([Reply::Never]);
    let day = 86_400 * SECOND;
    let (command, code) = (Command::new("x").timeout(None), Code::new("x").timeout(None));
    let it = sandbox();
    assert!(tokio::time::timeout(day, client.run(&it, &command)).await.is_err());
    assert_eq!(client.service().last().extensions().get::<Deadline>(), None);
    assert!(tokio::time::timeout(day, client.run_code(&it, &code)).await.is_err());
    assert_eq!(client.service().last().extensions().get::<Deadline>(), None);
    assert!(tokio::time::timeout(day, client.connect_process(&it, 3)).await.is_err());
    assert_eq!(client.service().last().extensions().get::<Deadline>(), None);
}

#[tokio::test(start_paused = true)]
async fn a_long_upload_has_more_time_than_a_short_one() {
    let client = client([Reply::Never]);
    let it = sandbox();
    let upload = client.write_file(&it, "/a", vec![0; 24 << 20]);
    let (time, ..) = took(&client, upload).await;
    assert_eq!(time, (120 + 384) * SECOND);
    let timeouts = Timeouts::default().call(op::FILE_WRITE, 10 * SECOND);
    let client = Client::new(Script::new([Reply::Never]), config().timeouts(timeouts));
    let upload = client.write_file(&it, "/a", vec![0; 24 << 20]);
    assert_eq!(took(&client, upload).await.0, 10 * SECOND, "the configured timeout");
}

fn any_duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::MAX),
        Just(Duration::ZERO),
        Just(Duration::from_secs(u64::MAX)),
        Just(Duration::from_nanos(1)),
        Just(Duration::from_secs(1 << 40)),
        any::<u64>().prop_map(Duration::from_nanos),
        any::<u64>().prop_map(Duration::from_secs),
    ]
}

proptest! {
    #[test]
    fn no_duration_overflows(limits in prop::collection::vec(any_duration(), 6)) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let timeouts = op::ALL.iter().fold(Timeouts::default(), |timeouts, it| {
                timeouts.attempt(*it, limits[0]).call(*it, limits[1])
            });
            let service = Script::new([super::support::ok([])]);
            let client = Client::new(service, config().timeouts(timeouts));
            let new = NewSandbox::new("base").timeout(limits[2]);
            let _ = client.create(&new).await;
            let _ = client.list(&ListSandboxes::default()).await;
            let _ = client.write_file(&sandbox(), "/a", "x").await;
            let _ = client.set_timeout(sandbox().id(), limits[2]).await;
            let _ = client.run(&sandbox(), &Command::new("x").timeout(limits[3])).await;
            let _ = client.run_code(&sandbox(), &Code::new("x").timeout(limits[3])).await;
            let timing = Timing::default()
                .commit_within(limits[0])
                .listing_lag(limits[1])
                .look_within(limits[3])
                .sweep_every(limits[4])
                .abandon_after(limits[5]);
            if let Ok(tracker) = SandboxTracker::with_timing(&config(), timing) {
                tracker.drain_within(limits[2]).await.unwrap();
            }
        });
    }
}
