//! What users read.

#![cfg_attr(
    feature = "e2b",
    expect(clippy::expect_used, reason = "what helps a test fails it by a panic")
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
fn a_rejection_says_what_happens_and_what_comes_next() {
    let told = [
        (OPEN, Some(45), "E2B is not responding; the next attempt is in 45 s"),
        (OPEN, None, "E2B is not responding; try again later"),
        (Reason::Unhealthy, Some(5), "E2B is unhealthy; the next attempt is in 5 s"),
        (
            Reason::Probing,
            Some(61),
            "E2B may have recovered and is being tested; the next attempt is in 61 s",
        ),
        (Reason::ForcedOpen, None, "Calls of E2B are stopped by an operator; try again later"),
        (Reason::Throttled, Some(2), "E2B takes no more requests for now; try again in 2 s"),
        (
            Reason::OverLimit { count: 100, limit: 100 },
            Some(1_200),
            "The limit is used up (100 of 100 calls); try again in 20 min",
        ),
        (
            EXHAUSTED,
            Some(5),
            "E2B rejects new sandboxes (20 of 20 in use); try again when one has ended",
        ),
        (
            Reason::Exhausted { in_use: 0, limit: 0, lasting: seconds(0) },
            None,
            "E2B rejects new sandboxes (all are in use); try again when one has ended",
        ),
        (
            Reason::Full { limit: 64 },
            None,
            "64 calls are running already, the most at a time; try again later",
        ),
        (
            Reason::QueueFull { waiting: 1_024 },
            None,
            "Too many calls are waiting already (1024); try again later",
        ),
        (
            Reason::QueueFull { waiting: 1 },
            None,
            "Another call is waiting already; try again later",
        ),
        (
            Reason::TooLate { waited: seconds(120) },
            None,
            "Your turn did not come in time, after 2 min; try again later",
        ),
        (
            Reason::NoTime { wait: seconds(95) },
            Some(95),
            "Your turn would come in about 95 s, which is too late; try again in 95 s",
        ),
        (Reason::Draining, None, "This service is shutting down; try again later"),
    ];
    for (reason, after, text) in told {
        let message = Message::from(&rejected(reason, after));
        assert_eq!(message.as_str(), text, "{reason:?}");
        assert_eq!(message.retry_after(), after.map(seconds), "{reason:?}");
    }
}

#[test]
fn times_are_rounded_up() {
    let told = |after| Message::from(&rejected(OPEN, None).come_back_in(after)).to_string();
    assert!(told(Duration::from_millis(1)).ends_with("in 1 s"));
    assert!(told(Duration::from_millis(12_001)).ends_with("in 13 s"));
    assert!(told(seconds(121)).ends_with("in 3 min"));
    assert!(told(seconds(7_201)).ends_with("in 3 h"));
}

#[cfg(feature = "admission")]
mod queued {
    use sandtower::admission::QueuePosition;

    use super::*;

    fn told(ahead: usize, wait: Option<u64>, held_by: Option<Rejection>) -> String {
        let waiting = ahead + 1;
        let standing = QueuePosition::new(ahead, waiting, wait.map(seconds), held_by);
        Message::from(&standing).to_string()
    }

    #[test]
    fn who_waits_is_told_the_place_and_what_for() {
        let full = rejected(Reason::Full { limit: 2 }, None);
        assert_eq!(told(3, Some(12), Some(full)), "You are 4th in the queue, about 12 s");
        assert_eq!(told(0, None, None), "You are next in the queue");
        let out = || Some(rejected(EXHAUSTED, Some(5)));
        let rejects = "E2B rejects new sandboxes (20 of 20 in use); waiting for one to end";
        assert_eq!(told(3, None, out()), format!("{rejects}, 3 ahead of you"));
        assert_eq!(told(0, None, out()), format!("{rejects}, you are next"));
        let open = || Some(rejected(OPEN, Some(45)));
        assert_eq!(told(0, None, open()), "E2B is not responding; the next attempt is in 45 s");
        assert_eq!(
            told(2, Some(40), open()),
            "E2B is not responding; the next attempt is in 40 s, 2 ahead of you"
        );
        let paced = || Some(rejected(Reason::OverLimit { count: 1, limit: 1 }, Some(2)));
        assert_eq!(told(0, None, paced()), "You are next in the queue, about 2 s");
        assert_eq!(told(2, Some(4), paced()), "You are 3rd in the queue, about 4 s");
        assert_eq!(told(2, None, paced()), "You are 3rd in the queue");
        let throttled = Some(rejected(Reason::Throttled, None));
        assert_eq!(
            told(1, None, throttled),
            "E2B takes no more requests for now; it goes on as soon as possible, 1 ahead of you"
        );
    }

    #[test]
    fn places_are_counted_as_people_do() {
        let places =
            [(1, "2nd"), (2, "3rd"), (10, "11th"), (12, "13th"), (20, "21st"), (111, "112th")];
        for (ahead, place) in places {
            assert_eq!(told(ahead, None, None), format!("You are {place} in the queue"));
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

    type Answer = Result<(u16, &'static str), fn() -> BoxError>;

    async fn creating(answer: Answer) -> Error {
        let http = service_fn(move |_: Request<Full<Bytes>>| async move {
            let (status, body) = answer.map_err(|error| error())?;
            let body = Full::new(Bytes::from_static(body.as_bytes()));
            Ok::<_, BoxError>(Response::builder().status(status).body(body)?)
        });
        let client = Client::new(http, Config::new("e2b_0123").expect("a key"));
        client.create(&NewSandbox::new("base")).await.expect_err("no sandbox")
    }

    /// Answers each path with its body; never where there is none.
    fn sandbox(body: Option<Vec<u8>>) -> Client<Answers> {
        Client::new(Answers(body), Config::new("e2b_0123").expect("a key"))
    }

    #[derive(Clone)]
    struct Answers(Option<Vec<u8>>);

    impl tower::Service<Request<Full<Bytes>>> for Answers {
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
    async fn what_users_do_themselves_is_not_blamed_on_the_service() {
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
            (late, "The code ran longer than 90 s; give it more time, or less to do"),
            (
                long.expect_err("it is long"),
                "The code printed more than 9 bytes; let it print less",
            ),
            (
                file.expect_err("it is long"),
                "The file is longer than 3 bytes; read less of it at once",
            ),
            (
                killed.expect_err("it was killed"),
                "The command was stopped after 60 s; give it more time, or less to do",
            ),
            (
                nowhere.expect_err("it is nowhere"),
                "The sandbox cannot do that; see whether the command, its user and its directory \
                 are there",
            ),
        ] {
            assert_eq!(Message::from(&error).to_string(), text, "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_failure_says_what_to_do() {
        let slots = r#"{"code":429,"message":"you have reached the maximum number of concurrent E2B sandboxes (20)"}"#;
        let told: [(Answer, &str); 8] = [
            (
                Ok((429, slots)),
                "E2B rejects new sandboxes (all are in use); try again when one has ended",
            ),
            (
                Ok((429, r#"{"code":429,"message":"Rate limit exceeded"}"#)),
                "E2B takes no more requests for now; try again",
            ),
            (Ok((401, "")), "E2B does not accept the API key; whoever runs this has to look at it"),
            (
                Ok((404, r#"{"code":404,"message":"template 'base' not found"}"#)),
                "E2B does not know the template; choose another",
            ),
            (
                Ok((500, "")),
                "E2B failed to create a sandbox; it may have been done all the same, look before \
                 trying again",
            ),
            (
                Ok((
                    503,
                    r#"{"code":503,"message":"no room","error_code":"sandbox_capacity_unavailable"}"#,
                )),
                "E2B failed to create a sandbox; try again",
            ),
            (
                Err(|| ClassifiedError::new(Verdict::transient(Effect::None), "rejected").into()),
                "E2B did not respond when asked to create a sandbox; try again",
            ),
            (
                Err(|| rejected(OPEN, Some(45)).into()),
                "E2B is not responding; the next attempt is in 45 s",
            ),
        ];
        for (answer, text) in told {
            assert_eq!(Message::from(&creating(answer).await).to_string(), text);
        }
    }
}
