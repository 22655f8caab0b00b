//! Messages for users.

#![cfg_attr(
    feature = "e2b",
    expect(clippy::expect_used, reason = "helpers fail a test by panicking")
)]

use std::time::Duration;

use sandtower::Message;
use sandtower::core::{Reason, Rejection};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn rejected(reason: Reason, after: Option<u64>) -> Rejection {
    let rejection = Rejection::new("a layer", "E2B", reason);
    match after {
        Some(after) => rejection.come_back_in(seconds(after)),
        None => rejection,
    }
}

const OPEN: Reason = Reason::Open { failed: 7, of: 8 };
const EXHAUSTED: Reason = Reason::Exhausted { in_use: 20, limit: 20, lasting: seconds(3) };

#[test]
fn a_rejection_reads_its_cause_and_what_comes_next() {
    let cases = [
        (OPEN, Some(45), "E2B is not responding. Next attempt in 45 s."),
        (OPEN, None, "E2B is not responding. Try again later."),
        (Reason::Unhealthy, Some(5), "E2B is unhealthy. Next attempt in 5 s."),
        (
            Reason::Probing,
            Some(61),
            "E2B may have recovered and is being tested. Next attempt in 61 s.",
        ),
        (Reason::ForcedOpen, None, "Calls to E2B are stopped by an operator. Try again later."),
        (
            Reason::Throttled,
            Some(2),
            "E2B accepts no more requests at the moment. Try again in 2 s.",
        ),
        (
            Reason::OverLimit { count: 100, limit: 100 },
            Some(1_200),
            "The limit is reached (100 of 100 calls). Try again in 20 min.",
        ),
        (EXHAUSTED, Some(5), "All sandboxes are in use (20 of 20). Try again when one has ended."),
        (
            Reason::Exhausted { in_use: 0, limit: 0, lasting: seconds(0) },
            None,
            "All sandboxes are in use. Try again when one has ended.",
        ),
        (
            Reason::Full { limit: 64 },
            None,
            "64 calls are running already, the most at a time. Try again later.",
        ),
        (
            Reason::QueueFull { waiting: 1_024 },
            None,
            "Too many calls are waiting already (1024). Try again later.",
        ),
        (
            Reason::QueueFull { waiting: 1 },
            None,
            "Another call is waiting already. Try again later.",
        ),
        (
            Reason::TooLate { waited: seconds(120) },
            None,
            "Your request waited for 2 min and was not served in time. Try again later.",
        ),
        (
            Reason::NoTime { wait: seconds(95) },
            Some(95),
            "Your request would have to wait about 95 s, which is too long. Try again in 95 s.",
        ),
        (Reason::Draining, None, "This service is shutting down. Try again later."),
    ];
    for (reason, after, text) in cases {
        let message = Message::from(&rejected(reason, after));
        assert_eq!(message.as_str(), text, "{reason:?}");
        assert_eq!(message.retry_after(), after.map(seconds), "{reason:?}");
    }
}

#[test]
fn times_are_rounded_up() {
    let text = |after| Message::from(&rejected(OPEN, None).come_back_in(after)).to_string();
    assert!(text(Duration::from_millis(1)).ends_with("in 1 s."));
    assert!(text(Duration::from_millis(12_001)).ends_with("in 13 s."));
    assert!(text(seconds(121)).ends_with("in 3 min."));
    assert!(text(seconds(7_201)).ends_with("in 3 h."));
}

#[cfg(feature = "admission")]
mod queued {
    use sandtower::admission::QueuePosition;

    use super::*;

    fn text(ahead: usize, wait: Option<u64>, held_by: Option<Rejection>) -> String {
        let waiting = ahead + 1;
        let standing = QueuePosition::new(ahead, waiting, wait.map(seconds), held_by);
        Message::from(&standing).to_string()
    }

    #[test]
    fn a_queued_call_reads_its_position_and_the_cause() {
        let full = rejected(Reason::Full { limit: 2 }, None);
        assert_eq!(text(3, Some(12), Some(full)), "You are 4th in the queue; about 12 s left.");
        assert_eq!(text(0, None, None), "You are next in the queue.");
        let out = || Some(rejected(EXHAUSTED, Some(5)));
        let rejects = "All sandboxes are in use (20 of 20). Waiting for one to end";
        assert_eq!(text(3, None, out()), format!("{rejects}; 3 requests are ahead of you."));
        assert_eq!(text(0, None, out()), format!("{rejects}; you are next."));
        let open = || Some(rejected(OPEN, Some(45)));
        assert_eq!(text(0, None, open()), "E2B is not responding. Next attempt in 45 s.");
        assert_eq!(
            text(2, Some(40), open()),
            "E2B is not responding. Next attempt in 40 s. 2 requests are ahead of you."
        );
        let paced = || Some(rejected(Reason::OverLimit { count: 1, limit: 1 }, Some(2)));
        assert_eq!(text(0, None, paced()), "You are next in the queue; about 2 s left.");
        assert_eq!(text(2, Some(4), paced()), "You are 3rd in the queue; about 4 s left.");
        assert_eq!(text(2, None, paced()), "You are 3rd in the queue.");
        let throttled = Some(rejected(Reason::Throttled, None));
        assert_eq!(
            text(1, None, throttled),
            "E2B accepts no more requests at the moment. Continues as soon as possible. 1 request is \
             ahead of you."
        );
    }

    #[test]
    fn positions_are_ordinals() {
        let places =
            [(1, "2nd"), (2, "3rd"), (10, "11th"), (12, "13th"), (20, "21st"), (111, "112th")];
        for (ahead, place) in places {
            assert_eq!(text(ahead, None, None), format!("You are {place} in the queue."));
        }
    }
}

#[cfg(feature = "e2b")]
mod errors {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::Full;
    use sandtower::core::{BoxError, ClassifiedError, Effect, Verdict};
    use sandtower::e2b::{Client, Code, Command, Config, Error, NewSandbox, Sandbox};
    use tower::service_fn;

    use super::*;

    type Reply = Result<(u16, &'static str), fn() -> BoxError>;

    async fn creating(reply: Reply) -> Error {
        let http = service_fn(move |_: Request<Full<Bytes>>| async move {
            let (status, body) = reply.map_err(|error| error())?;
            let body = Full::new(Bytes::from_static(body.as_bytes()));
            Ok::<_, BoxError>(Response::builder().status(status).body(body)?)
        });
        let client = Client::new(http, Config::new("e2b_0123").expect("a key"));
        client.create(&NewSandbox::new("base")).await.expect_err("no sandbox")
    }

    /// Responds to every request with this body; never without one.
    fn sandbox(body: Option<Vec<u8>>) -> Client<Responds> {
        Client::new(Responds(body), Config::new("e2b_0123").expect("a key"))
    }

    #[derive(Clone)]
    struct Responds(Option<Vec<u8>>);

    impl tower::Service<Request<Full<Bytes>>> for Responds {
        type Response = Response<Full<Bytes>>;
        type Error = BoxError;
        type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
            let body = self.0.clone();
            Box::pin(async move {
                match body {
                    Some(body) => Ok(Response::new(Full::new(body.into()))),
                    None => std::future::pending().await,
                }
            })
        }
    }

    /// The last envelope of a stream.
    fn last(message: &str) -> Vec<u8> {
        let length = u32::try_from(message.len()).expect("short");
        [&[2], &length.to_be_bytes()[..], message.as_bytes()].concat()
    }

    #[tokio::test(start_paused = true)]
    async fn failures_of_user_code_are_not_blamed_on_the_service() {
        let of = Sandbox::new("i0abc".parse().expect("an id"), None);
        let code = Code::new("print('x' * 99)").timeout(seconds(90));
        let late = sandbox(None).run_code(&of, &code).await.expect_err("it is late");
        let printed = br#"{"type":"stdout","text":"xxxxxxxxxxxxxxx"}"#.to_vec();
        let long = sandbox(Some(printed)).run_code(&of, &code.longest(9)).await;
        let file = sandbox(Some(b"content".to_vec())).read_file_up_to(&of, "a", 3).await;
        let killed = last(r#"{"error":{"code":"deadline_exceeded","message":"late"}}"#);
        let killed = sandbox(Some(killed)).run(&of, &Command::new("sleep 99")).await;
        let nowhere = last(r#"{"error":{"code":"invalid_argument","message":"no such cwd"}}"#);
        let nowhere = sandbox(Some(nowhere)).run(&of, &Command::new("ls").cwd("/no")).await;
        for (error, text) in [
            (late, "The code ran longer than 90 s. Allow more time, or do less at once."),
            (
                long.expect_err("it is long"),
                "The code printed more than 9 bytes. Reduce its output.",
            ),
            (file.expect_err("it is long"), "The file is longer than 3 bytes. Read it in parts."),
            (
                killed.expect_err("it was killed"),
                "The command was stopped after 60 s. Allow more time, or do less in one command.",
            ),
            (
                nowhere.expect_err("it is nowhere"),
                "The command could not be started. Check that the command, its user and its \
                 directory exist.",
            ),
        ] {
            assert_eq!(Message::from(&error).to_string(), text, "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_failure_says_what_to_do() {
        let slots = r#"{"code":429,"message":"you have reached the maximum number of concurrent E2B sandboxes (20)"}"#;
        let cases: [(Reply, &str); 8] = [
            (Ok((429, slots)), "All sandboxes are in use. Try again when one has ended."),
            (
                Ok((429, r#"{"code":429,"message":"Rate limit exceeded"}"#)),
                "E2B accepts no more requests at the moment. Try again.",
            ),
            (
                Ok((401, "")),
                "E2B does not accept the API key. Contact the operator of this service.",
            ),
            (
                Ok((404, r#"{"code":404,"message":"template 'base' not found"}"#)),
                "E2B does not know the template. Choose another one.",
            ),
            (
                Ok((500, "")),
                "E2B failed to create a sandbox. It may have worked; check before you try again.",
            ),
            (
                Ok((
                    503,
                    r#"{"code":503,"message":"no capacity","error_code":"sandbox_capacity_unavailable"}"#,
                )),
                "E2B failed to create a sandbox. Try again.",
            ),
            (
                Err(|| ClassifiedError::new(Verdict::transient(Effect::None), "rejected").into()),
                "E2B did not respond to the request to create a sandbox. Try again.",
            ),
            (
                Err(|| rejected(OPEN, Some(45)).into()),
                "E2B is not responding. Next attempt in 45 s.",
            ),
        ];
        for (reply, text) in cases {
            assert_eq!(Message::from(&creating(reply).await).to_string(), text);
        }
    }
}
