//! The recommended stack over reqwest, for those who have a configured reqwest client already.
//!
//! ```sh
//! cargo run -p examples --example reqwest_client
//! ```
//!
//! The feature `reqwest` makes a reqwest client a service, with reqwest's own retries and redirects disabled:
//! retrying is up to the stack, which alone knows what may be sent twice. E2B is simulated and without TLS;
//! for TLS enable the features of reqwest.

use examples::simulated;
use sandtower::E2b;
use sandtower::core::BoxError;
use sandtower::e2b::{Client, Command, NewSandbox};
use sandtower::http::Reqwest;
use sandtower::stack::{Plan, Stack};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let sim = sandtower_sim::Config::new().build()?;
    let config = simulated::config(&simulated::serve(sim.clone()).await?)?;
    let stack = Stack::builder(config).plan(Plan::Hobby).build()?;

    let e2b = E2b::new(&stack, Reqwest::new()?);
    // In a task, as in a service with many users.
    let create = tokio::spawn({
        let e2b = e2b.clone();
        async move { e2b.create(&NewSandbox::new("base")).await }
    });
    let sandbox = create.await??;
    let output = e2b.run(&sandbox, &Command::new("echo hello")).await?;
    say(&format!("the sandbox says {}", output.stdout_text().trim()));
    e2b.kill(sandbox.id()).await?;
    e2b.drain().await?;
    say(&format!("sandboxes left behind: {}", sim.active()));

    // No server listens on a port that was just released.
    let closed = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let bare = Client::new(Reqwest::new()?, simulated::config(&format!("http://{closed}"))?);
    if let Err(error) = bare.create(&NewSandbox::new("base")).await {
        say(&format!("on a closed port: {}, {:?}", error.verdict().outcome, error.hint()));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn say(text: &str) {
    println!("{text}");
}
