//! What a user sees of a call that goes through the whole stack.

use std::time::Duration;

use axum::response::IntoResponse;
use http_body_util::BodyExt;
use sandtower::E2b;
use sandtower::admission::Progress;
use sandtower::axum::sse;
use sandtower::core::{BoxError, Seed};
use sandtower::e2b::{Code, Config, Error, NewSandbox};
use sandtower::stack::Stack;
use sandtower_sim::{Fault, FaultKind};

#[tokio::test(start_paused = true)]
async fn a_run_is_seen_to_create_to_check_and_to_run() -> Result<(), BoxError> {
    let slow =
        Fault { lasting: Some(Duration::from_secs(2)), ..Fault::new("slow", FaultKind::Slow) };
    let sim = sandtower_sim::Config::new().seed(7).faults(vec![slow]).build()?;
    let stack = Stack::builder(Config::new("e2b_test")?).seed(Seed::fixed(7)).build()?;
    let e2b = E2b::new(&stack, sim.clone());

    let progress = Progress::new();
    let client = e2b.watched(progress.clone());
    let run = async move {
        let sandbox = client.create(&NewSandbox::new("code-interpreter-v1")).await?;
        let code = Code::new("import time\ntime.sleep(3)\nprint('hello')");
        let ran = client.run_code(&sandbox, &code).await?;
        client.kill(sandbox.id()).await?;
        Ok::<_, Error>(ran.stdout)
    };
    let body = sse(progress, run).into_response().into_body().collect().await?.to_bytes();
    let text = String::from_utf8(body.to_vec())?;
    let states = ["creating", "checking", "running"];
    let seen: Vec<_> =
        states.iter().map(|state| text.find(&format!("\"state\":\"{state}\""))).collect();
    assert!(seen.iter().all(Option::is_some) && seen.is_sorted(), "{text}");
    assert!(text.contains("event: result\ndata: \"hello\\n\""), "{text}");
    Ok(())
}
