//! Spans of calls and attempts, sent to an OpenTelemetry collector at `OTEL_EXPORTER_OTLP_ENDPOINT`, or at
//! port 4317 of this machine.
//!
//! ```sh
//! cargo run -p otlp_traces --example otlp_traces
//! ```
//!
//! A simulated E2B has no machine for a moment, so that the creation needs more than one attempt.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::trace::SdkTracerProvider;
use sandtower::E2b;
use sandtower::core::{BoxError, TraceParent};
use sandtower::e2b::{Command, Config, NewSandbox};
use sandtower::http::PropagateTrace;
use sandtower::stack::Stack;
use sandtower_sim::{Fault, FaultKind, FaultResponse};
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Names spans as the subscriber of `tracing-opentelemetry` does.
struct OpenTelemetry;

impl PropagateTrace for OpenTelemetry {
    fn begin(&self, span: &Span, parent: TraceParent) {
        let parent = SpanContext::new(
            TraceId::from_bytes(parent.trace_id().to_be_bytes()),
            SpanId::from_bytes(parent.span_id().to_be_bytes()),
            if parent.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED },
            true,
            TraceState::NONE,
        );
        // It fails where no OpenTelemetry layer wants the span: then there is no trace either.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    }

    fn context(&self, span: &Span) -> Option<TraceParent> {
        let context = span.context();
        let context = context.span().span_context().clone();
        let trace = u128::from_be_bytes(context.trace_id().to_bytes());
        let id = u64::from_be_bytes(context.span_id().to_bytes());
        TraceParent::new(trace, id, context.is_sampled())
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let exporter = SpanExporter::builder().with_tonic().build()?;
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("sandtower"));
    tracing_subscriber::registry().with(layer).init();

    let failing = Fault {
        on: vec![String::from("sandbox_create")],
        response: Some(FaultResponse::Capacity503),
        until: Some(Duration::from_millis(100)),
        ..Fault::new("no machine", FaultKind::Respond)
    };
    let sim = sandtower_sim::Config::new().faults(vec![failing]).build()?;
    let stack = Stack::builder(Config::new("e2b_0000000000000000000000000000000000000000")?)
        .traces(|traces| traces.propagate(Arc::new(OpenTelemetry)))
        .build()?;
    let e2b = E2b::new(&stack, sim);

    let work = async {
        let sandbox = e2b.create(&NewSandbox::new("base")).await?;
        e2b.run(&sandbox, &Command::new("echo hi")).await?;
        e2b.kill(sandbox.id()).await
    };
    work.instrument(tracing::info_span!("job")).await?;
    e2b.drain().await?;
    provider.shutdown()?;
    Ok(())
}
