//! Responses that begin and then stall: no caller waits forever.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::Full;
use sandtower_core::{Tick, find};
use sandtower_e2b::{
    Client, Code, Command, Config, Error, Hint, ListSandboxes, Sandbox, Silent, Timeouts,
    envelope::encode, operation as op,
};
use tower::{Service, service_fn};

/// The first chunk, then nothing, without an end.
struct Stuck(Option<Bytes>);

impl Body for Stuck {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.take().map_or(Poll::Pending, |piece| Poll::Ready(Some(Ok(Frame::data(piece)))))
    }
}

fn client(
    status: u16,
    begins: &Bytes,
) -> Client<
    impl Service<Request<Full<Bytes>>, Response = Response<Stuck>, Error = Infallible, Future: Send>
    + Clone,
> {
    let begins = begins.clone();
    let service = service_fn(move |_: Request<Full<Bytes>>| {
        let response =
            Response::builder().status(status).body(Stuck(Some(begins.clone()))).unwrap();
        std::future::ready(Ok(response))
    });
    let timeouts = Timeouts::default().attempt(op::SANDBOX_LIST, Duration::from_secs(7));
    Client::new(service, Config::new("e2b_key").unwrap().timeouts(timeouts))
}

fn sandbox() -> Sandbox {
    Sandbox::new("i0abc".parse().unwrap(), None)
}

#[tokio::test(start_paused = true)]
async fn a_response_that_stalls_for_the_timeout_of_an_attempt_is_an_error() {
    let start = Tick::now();
    let error = client(200, &"[".into()).list(&ListSandboxes::default()).await.unwrap_err();
    let silent = find::<Silent>(&error).copied().unwrap();
    assert_eq!(silent.after, Duration::from_secs(7));
    assert_eq!(error.hint(), Hint::Again { after: None }, "listing again is safe");
    assert!((21..27).contains(&Tick::now().since(start).as_secs()), "three times");

    let start = Tick::now();
    let error = client(200, &"half a f".into()).read_file(&sandbox(), "/tmp/x").await.unwrap_err();
    assert!(find::<Silent>(&error).is_some(), "{error:?}");
    assert!((9..15).contains(&Tick::now().since(start).as_secs()), "3 s each, as for a file");
}

#[tokio::test(start_paused = true)]
async fn an_error_status_is_reported_even_if_its_body_never_ends() {
    let error = client(503, &"{".into()).list(&ListSandboxes::default()).await.unwrap_err();
    assert_eq!(error.status().unwrap(), 503);
}

#[tokio::test(start_paused = true)]
async fn a_command_whose_envd_falls_silent_is_an_error_and_may_be_running() {
    let started = encode(br#"{"event":{"start":{"pid":28}}}"#).unwrap();
    let start = Tick::now();
    let command = Command::new("make").timeout(None);
    let error = client(200, &started).run(&sandbox(), &command).await.unwrap_err();
    assert!(find::<Silent>(&error).is_some(), "{error:?}");
    assert_eq!(error.hint(), Hint::Look);
    assert!(error.call().id.is_some(), "the process can be found by its name");
    let waited = Tick::now().since(start);
    assert!((100..120).contains(&waited.as_secs()), "keepalives are every 50 s: {waited:?}");
}

#[tokio::test(start_paused = true)]
async fn code_gets_its_own_timeout_and_no_more() {
    let line = "{\"type\":\"stdout\",\"text\":\"hi\"}\n".into();
    let code = Code::new("x").timeout(Duration::from_secs(20));
    let error = client(200, &line).run_code(&sandbox(), &code).await.unwrap_err();
    assert!(matches!(error, Error::CodeTimedOut { .. }), "{error:?}");
}
