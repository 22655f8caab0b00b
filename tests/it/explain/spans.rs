//! Spans of calls and attempts, as a subscriber gets them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use sandtower::core::TraceParent;
use sandtower::e2b::Client;
use sandtower::http::{PropagateTrace, Traces};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use super::*;

/// A span: its name, that of its parent, and its fields.
#[derive(Clone, Debug, Default)]
struct Seen {
    name: &'static str,
    parent: Option<&'static str>,
    follows: Option<&'static str>,
    fields: BTreeMap<&'static str, String>,
}

/// All spans of this target, in the order in which they were closed.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Seen>>>);

struct Fields<'a>(&'a mut Seen);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.fields.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl<S> tracing_subscriber::Layer<S> for Spans
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        if span.metadata().target() != "sandtower::trace" {
            return;
        }
        let parent = span.parent().map(|parent| parent.name());
        let mut seen = Seen { name: span.name(), parent, ..Seen::default() };
        attributes.record(&mut Fields(&mut seen));
        span.extensions_mut().insert(seen);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(seen) = context.span(id).unwrap().extensions_mut().get_mut::<Seen>() {
            values.record(&mut Fields(seen));
        }
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, context: Context<'_, S>) {
        let name = context.span(follows).unwrap().name();
        if let Some(seen) = context.span(id).unwrap().extensions_mut().get_mut::<Seen>() {
            seen.follows = Some(name);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if let Some(seen) = context.span(&id).unwrap().extensions_mut().remove::<Seen>() {
            self.0.lock().unwrap().push(seen);
        }
    }
}

impl Spans {
    fn begin(&self) -> DefaultGuard {
        let subscriber = tracing_subscriber::registry().with(self.clone());
        tracing::subscriber::set_default(subscriber)
    }

    fn named(&self, name: &str) -> Vec<Seen> {
        self.0.lock().unwrap().iter().filter(|span| span.name == name).cloned().collect()
    }
}

impl Seen {
    fn of(&self, field: &str) -> Option<&str> {
        self.fields.get(field).map(String::as_str)
    }
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test(start_paused = true)]
async fn a_call_and_its_attempts_have_spans_with_the_names_of_opentelemetry() {
    let spans = Spans::default();
    let _tracing = spans.begin();
    let (http, _) = script(&[(TENTH, 503)]);
    let stack = builder()
        .rate_limit(|limit| limit.pace(op::SANDBOX_LIST, Pace::every(2 * SECOND).burst(1)));
    let service: StackService = stack.traces(|traces| traces).build().unwrap().layer(http);
    service.oneshot(list()).await.unwrap();

    let [call] = &spans.named("call")[..] else { panic!("{:?}", spans.0) };
    assert_eq!((call.of("operation"), call.of("attempts")), (Some("sandbox_list"), Some("2")));
    assert_eq!((call.of("outcome"), call.of("otel.status_code")), (Some("success"), None));
    assert!(call.of("explanation").unwrap().starts_with("attempt 1 failed (503)"), "{call:?}");

    let attempts = spans.named("attempt");
    let [first, second] = &attempts[..] else { panic!("{attempts:?}") };
    for attempt in &attempts {
        assert_eq!(attempt.parent, Some("call"), "the context is kept across the retry");
        assert_eq!(attempt.of("otel.kind"), Some("client"));
        assert_eq!(attempt.of("http.request.method"), Some("GET"));
        assert_eq!(attempt.of("url.template"), Some("/sandboxes"));
        assert_eq!(attempt.of("otel.name"), Some("GET /sandboxes"));
        assert_eq!(attempt.of("server.address"), Some("api.e2b.app"));
    }
    assert_eq!(first.of("http.request.resend_count"), None, "on retries only");
    assert_eq!(first.of("http.response.status_code"), Some("503"));
    assert_eq!((first.of("error.type"), first.of("verdict")), (Some("503"), Some("transient")));
    assert_eq!(second.of("http.request.resend_count"), Some("1"));
    assert_eq!((second.of("error.type"), second.of("verdict")), (None, Some("success")));
    assert_eq!(second.of("queue.held_by"), Some("rate limit"));
    let queued: u64 = second.of("queue.duration_ms").unwrap().parse().unwrap();
    assert!((1_600..1_700).contains(&queued), "the rest of 2 s: {queued}");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_without_a_response_says_why() {
    let spans = Spans::default();
    let _tracing = spans.begin();
    let http = BoxCloneSyncService::new(service_fn(async |_: Request<Full<Bytes>>| {
        pending::<Result<Response<Full<Bytes>>, BoxError>>().await
    }));
    let stack = builder().timeouts(|times| times.attempt(op::SANDBOX_LIST, SECOND));
    let stack = stack.traces(|traces| traces).disable(Component::Retry).build().unwrap();
    let service: StackService = stack.layer(http);
    assert!(service.clone().oneshot(list()).await.is_err());
    assert!(timeout(TENTH, service.oneshot(list())).await.is_err());
    let types: Vec<_> = spans
        .named("attempt")
        .iter()
        .map(|span| span.of("error.type").map(str::to_owned))
        .collect();
    assert_eq!(types, [Some("timeout".to_owned()), Some("cancelled".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_valid_trace_is_passed_on_and_an_invalid_one_is_removed() {
    for (came, expected) in [
        (Some(PARENT), Some(PARENT)),
        (Some("00-not-a-trace"), None),
        (Some("00-00000000000000000000000000000000-b7ad6b7169203331-01"), None),
        (None, None),
    ] {
        let (http, sent) = script(&[(TENTH, 503)]);
        let stack = builder().traces(|traces| traces).build().unwrap();
        let service: StackService = stack.layer(http);
        let mut request = list();
        if let Some(came) = came {
            request.headers_mut().insert("traceparent", came.parse().unwrap());
            request.headers_mut().insert("tracestate", "a=1".parse().unwrap());
        }
        service.oneshot(request).await.unwrap();
        let sent = sent.lock().unwrap();
        assert_eq!(sent.len(), 2);
        for fields in sent.iter() {
            let trace = fields.get("traceparent").map(|trace| trace.to_str().unwrap());
            assert_eq!(trace, expected, "{came:?}");
            assert_eq!(fields.contains_key("tracestate"), expected.is_some());
        }
    }
}

/// Numbers the spans that requests are sent in, within the trace that came.
#[derive(Default)]
struct Numbering {
    trace: Mutex<Option<TraceParent>>,
    spans: AtomicU64,
}

impl PropagateTrace for Numbering {
    fn begin(&self, _span: &tracing::Span, parent: TraceParent) {
        *self.trace.lock().unwrap() = Some(parent);
    }

    fn context(&self, _span: &tracing::Span) -> Option<TraceParent> {
        let trace = (*self.trace.lock().unwrap())?;
        TraceParent::new(trace.trace_id(), self.spans.fetch_add(1, SeqCst) + 1, true)
    }
}

#[derive(Default)]
struct TracesSeen(Mutex<Vec<Option<TraceParent>>>);

impl ObserveCalls for TracesSeen {
    fn call_ended(&self, call: &CallEnd<'_>) {
        self.0.lock().unwrap().push(call.trace);
    }
}

#[tokio::test(start_paused = true)]
async fn each_attempt_sends_an_id_of_its_own_within_the_trace_that_came() {
    let spans = Spans::default();
    let _tracing = spans.begin();
    let (http, sent) = script(&[(TENTH, 503)]);
    let (propagate, traces) = (Arc::new(Numbering::default()), Arc::new(TracesSeen::default()));
    let stack = builder().traces(|traces: Traces| traces.propagate(propagate));
    let service: StackService = stack.observe_calls(traces.clone()).build().unwrap().layer(http);
    let mut request = list();
    request.headers_mut().insert("traceparent", PARENT.parse().unwrap());
    service.oneshot(request).await.unwrap();
    let sent: Vec<TraceParent> = sent.lock().unwrap().iter().map(trace_of).collect();
    let came: TraceParent = PARENT.parse().unwrap();
    let ids: Vec<_> = sent.iter().map(TraceParent::span_id).collect();
    assert_eq!(ids, [1, 2]);
    assert!(sent.iter().all(|trace| trace.trace_id() == came.trace_id()));
    let [Some(observed)] = traces.0.lock().unwrap()[..] else { panic!("no trace was observed") };
    assert_eq!(observed.trace_id(), came.trace_id(), "an exemplar names the trace");
}

fn trace_of(fields: &HeaderMap) -> TraceParent {
    fields["traceparent"].to_str().unwrap().parse().unwrap()
}

/// What an orphan is killed by belongs to the trace of its call, and its span follows from that of the
/// call, which has ended by then.
#[tokio::test(start_paused = true)]
async fn an_orphan_is_killed_in_the_trace_of_its_call() {
    let spans = Spans::default();
    let _tracing = spans.begin();
    let kills = Sent::default();
    let (sim, seen) = (sandtower_sim::Config::new().build().unwrap(), Arc::clone(&kills));
    let http = service_fn(move |request: Request<Full<Bytes>>| {
        if request.method() == http::Method::DELETE {
            seen.lock().unwrap().push(request.headers().clone());
        }
        // The service goes on with what it was sent, whether or not its caller waits.
        let response = tokio::spawn(sim.clone().oneshot(request));
        async move {
            sleep(TENTH).await;
            response.await.unwrap()
        }
    });
    let config = Config::new("e2b_0000000000000000000000000000000000000000").unwrap();
    let stack = Stack::builder(config).seed(Seed::fixed(1)).traces(|traces| traces);
    let stack = stack.build().unwrap();
    let service: StackService = stack.layer(http);
    let traced = service.map_request(|mut request: Request<Full<Bytes>>| {
        request.headers_mut().insert("traceparent", PARENT.parse().unwrap());
        request
    });
    let client = Client::new(traced, stack.config().clone());
    let new = NewSandbox::new("base");
    assert!(timeout(TENTH / 2, client.create(&new)).await.is_err(), "its caller has gone");
    let calls = spans.named("call");
    assert_eq!(calls.len(), 1, "the span of the call ends with it");
    stack.handles().tracker.drain_within(300 * SECOND).await.unwrap();

    let sent = kills.lock().unwrap();
    let [kill] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(trace_of(kill).to_string(), PARENT);
    let [cleanup] = &spans.named("cleanup")[..] else { panic!("{:?}", spans.0) };
    assert_eq!((cleanup.parent, cleanup.follows), (None, Some("call")));
    assert!(cleanup.of("call_id").is_some(), "{cleanup:?}");
    let attempts = spans.named("attempt");
    let of_kill = attempts.iter().find(|span| span.of("http.request.method") == Some("DELETE"));
    assert_eq!(of_kill.unwrap().parent, Some("cleanup"));
}
