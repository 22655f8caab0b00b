//! A custom API for the layers: the info of its requests, and the meaning of its responses.
//!
//! ```sh
//! cargo run -p examples --example custom_classify
//! ```
//!
//! The API of this example sells tickets. It always responds with 200 and reports errors in the body; and a
//! request with an `x-order` header may be sent again, although it is a POST, since an order is filled only
//! once.
//!
//! Two hooks teach this to every layer: a [`Classify`] for requests, and an innermost [`Interpret`] for bodies,
//! which puts its verdict into the extensions of the response, where all layers above find it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, response::Parts};
use http_body_util::{BodyExt, Full};
use sandtower::circuit_breaker::{CircuitBreaker, CircuitBreakerLayer};
use sandtower::core::{Backoff, BoxError, Classify, Effect, Operation, Replay, Verdict};
use sandtower::http::{
    Excerpt, Http, HttpClassifier, Interpret, InterpretLayer, is_idempotent, request_info,
};
use sandtower::retry::{Config, RetryLayer};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

/// The operations, numbered without gaps: layers index their counters by these.
const BUY: Operation = Operation::new(1, "ticket_buy");
const LIST: Operation = Operation::new(2, "ticket_list");

/// Classifies the operation, and whether a request may be sent again.
#[derive(Clone, Copy)]
struct Tickets;

impl<B> Classify<Request<B>> for Tickets {
    // Responses follow HTTP semantics, unless the interpreter found something else.
    type Classifier = HttpClassifier;

    fn classify(&self, request: &Request<B>) -> HttpClassifier {
        let operation = match *request.method() {
            Method::POST => BUY,
            _ => LIST,
        };
        let once = request.headers().contains_key("x-order");
        let replay = match is_idempotent(request.method()) || once {
            true => Replay::Safe,
            false => Replay::Unsafe,
        };
        HttpClassifier::new(request_info(operation, request).replay(replay))
    }
}

/// Interprets the body of a 200.
#[derive(Clone, Copy)]
struct Says;

impl Interpret for Says {
    type Memo = ();

    fn remember<B>(&self, _request: &Request<B>) {}

    fn reads(&self, (): &(), _head: &Parts) -> bool {
        true
    }

    fn read(&self, (): &(), head: &mut Parts, body: Excerpt<'_>) {
        let verdict = match body.bytes {
            b"busy" => Verdict::transient(Effect::None),
            b"try later" => Verdict::throttled().retry_after(Duration::from_millis(20)),
            b"lost track" => Verdict::transient(Effect::Maybe),
            b"sold out" => Verdict::permanent(),
            // Otherwise the HTTP status counts.
            _ => return,
        };
        head.extensions.insert(verdict);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    for (what, order, replies) in [
        ("busy at first", None, &["busy", "try later", "ticket 7"][..]),
        ("sold out", None, &["sold out"]),
        ("an order, lost track of", Some("o-1"), &["lost track", "ticket 8"]),
        ("no order, lost track of", None, &["lost track", "ticket 9"]),
    ] {
        let sent = Arc::new(AtomicUsize::new(0));
        let breaker = CircuitBreaker::recommended("the ticket office");
        let quick = Backoff::constant(Duration::from_millis(1));
        let retry = RetryLayer::new(Config::recommended().transient(quick), Tickets);
        let service = ServiceBuilder::new()
            // `Http` copies requests, and reads the rest of discarded responses.
            .layer(retry.resend(Http).response_hooks(Http))
            .layer(CircuitBreakerLayer::from_breaker(breaker.clone()).classify(Tickets))
            .layer(InterpretLayer::new(Says))
            .service(office(replies, Arc::clone(&sent)));

        let mut request = Request::post("http://tickets.test/");
        if let Some(order) = order {
            request = request.header("x-order", order);
        }
        let response = service.oneshot(request.body(Full::default())?).await?;
        let body = response.into_body().collect().await?.to_bytes();
        let said = String::from_utf8_lossy(&body);
        let (sent, failed) = (sent.load(Ordering::Relaxed), breaker.snapshot().counters.failed);
        say(&format!(
            "{what}: sent {sent} times, then {said:?}; the breaker counts {failed} failed"
        ));
    }
    Ok(())
}

/// The API: it responds with these bodies in turn, always with 200.
fn office(
    replies: &'static [&'static str],
    sent: Arc<AtomicUsize>,
) -> impl Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = BoxError, Future: Send>
+ Clone {
    service_fn(move |_: Request<Full<Bytes>>| {
        let number = sent.fetch_add(1, Ordering::Relaxed).min(replies.len() - 1);
        async move { Ok(Response::new(Full::from(replies[number]))) }
    })
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn say(text: &str) {
    println!("{text}");
}
