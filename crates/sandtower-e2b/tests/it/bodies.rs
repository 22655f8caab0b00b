//! Bodies that break off: what is repeated, how often, and which layers hear of it.

use std::time::Duration;

use sandtower_core::{Classify, Effect, Tick, Verdict, judge};
use sandtower_e2b::{
    Client, Command, E2bClassify, E2bInterpret, Error, Hint, ListSandboxes, NewSandbox, Timeouts,
    operation as op,
};
use sandtower_http::InterpretLayer;
use tower::{Layer, ServiceExt};

use super::support::{Piece, Reply, Script, client, config, data, ok, sandbox};

/// Responses that break off, in each possible way.
fn broken(whole: &str) -> [Reply; 4] {
    let half = whole[..whole.len() / 2].to_owned();
    [
        ok([data(half.clone()), Piece::Break]),
        ok([Piece::Break]),
        ok([data(half), Piece::Silence]),
        ok([data(whole[..whole.len() - 1].to_owned())]),
    ]
}

async fn all_reads(client: &Client<Script>) -> [(&'static str, &'static str, bool); 7] {
    let (it, id) = (sandbox(), sandbox().id().clone());
    [
        ("list", "[]", client.list(&ListSandboxes::default()).await.is_ok()),
        ("info", r#"{"sandboxID":"i0"}"#, client.info(&id).await.is_ok()),
        ("stat", r#"{"entry":{}}"#, client.stat(&it, "/a").await.is_ok()),
        ("list_dir", r#"{"entries":[]}"#, client.list_dir(&it, "/a", 1).await.is_ok()),
        ("processes", r#"{"processes":[]}"#, client.processes(&it).await.is_ok()),
        ("contexts", "[]", client.contexts(&it).await.is_ok()),
        ("write_file", "[]", client.write_file(&it, "/a", "text").await.is_ok()),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_safe_to_repeat_is_repeated_when_its_body_breaks_off() {
    // One scripted reply for each kind of call.
    let names = all_reads(&client([Reply::Responds(500, vec![])])).await;
    for (at, (name, whole, _)) in names.iter().enumerate() {
        for cut in broken(whole) {
            // The other calls get a body that they cannot parse, which is not repeated.
            let mut replies = vec![Reply::Responds(500, vec![]); at];
            replies.extend([cut.clone(), ok([data(*whole)])]);
            let client = client(replies);
            assert!(all_reads(&client).await[at].2, "{name}: {cut:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_is_read_again_when_its_content_breaks_off_and_no_more_than_three_times() {
    let cut = ok([data("half"), Piece::Break]);
    let whole = client([cut.clone(), cut.clone(), ok([data("half and half")])]);
    assert_eq!(whole.read_file(&sandbox(), "/a").await.unwrap(), "half and half");
    assert_eq!(whole.service().sent(), 3);
    let never = client([cut]);
    let error = never.read_file(&sandbox(), "/a").await.unwrap_err();
    assert!(matches!(error, Error::BrokenResponse { .. }), "{error}");
    assert_eq!((never.service().sent(), error.hint()), (3, Hint::Again { after: None }));
    assert!(error.to_string().contains("connection reset"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_safe_to_repeat_is_sent_once_however_its_body_breaks_off() {
    let created = r#"{"sandboxID":"i0abc"}"#;
    for cut in broken(created) {
        let client = client([cut.clone()]);
        client.create(&NewSandbox::new("base")).await.unwrap_err();
        client.make_dir(&sandbox(), "/a").await.unwrap_err();
        client.create_context(&sandbox(), None, None).await.unwrap_err();
        client.run(&sandbox(), &Command::new("x")).await.unwrap_err();
        assert_eq!(client.service().sent(), 4, "{cut:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_complete_but_invalid_response_is_not_requested_again() {
    for body in ["{}", "<html>", "7", r#"[{"no":"id"}]"#] {
        let client = client([ok([data(body)])]);
        client.list(&ListSandboxes::default()).await.unwrap_err();
        assert_eq!(client.service().sent(), 1, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_repetition_begins_after_the_deadline_of_the_call() {
    let timeouts = Timeouts::default().attempt(op::SANDBOX_LIST, Duration::from_secs(4));
    let timeouts = timeouts.call(op::SANDBOX_LIST, Duration::from_secs(6));
    let script = Script::new([ok([data("["), Piece::Silence])]);
    let client = Client::new(script.clone(), config().timeouts(timeouts));
    let begin = Tick::now();
    let error = client.list(&ListSandboxes::default()).await.unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error}");
    assert_eq!((Tick::now().since(begin), script.sent()), (Duration::from_secs(6), 2));
}

#[tokio::test]
async fn the_layers_above_the_interpreter_hear_of_a_broken_body() {
    let verdict = async |path: &str, reply: Reply| {
        let layer = InterpretLayer::new(E2bInterpret::default());
        let request = || {
            let request = http::Request::get(path).header("e2b-sandbox-id", "i0");
            request.body(http_body_util::Full::default()).unwrap()
        };
        let classifier = E2bClassify.classify(&request());
        let response = layer.layer(Script::new([reply])).oneshot(request()).await.unwrap();
        judge(&classifier, Ok(&response))
    };
    for path in ["/v2/sandboxes", "/sandboxes/i0", "/snapshots", "/sandboxes/metrics"] {
        let cut = ok([data("[{"), Piece::Break]);
        assert_eq!(verdict(path, cut).await, Verdict::transient(Effect::Maybe), "{path}");
        assert_eq!(verdict(path, ok([data("[]")])).await, Verdict::success(), "{path}");
        let long = ok([data(vec![b' '; 100_000]), Piece::Silence]);
        assert_eq!(verdict(path, long).await, Verdict::success(), "{path}: not read to its end");
    }
}
