//! The simulator as a program: `sandtower-sim --help`.

mod args;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::SystemTime;

use sandtower_sim::Config;

use args::Args;

fn main() -> ExitCode {
    let Err(error) = run() else { return ExitCode::SUCCESS };
    // Without a standard error there is no one left to tell.
    drop(writeln!(io::stderr(), "sandtower-sim: {}", error.to_string().trim_end()));
    ExitCode::from(2)
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let args = args::parse(std::env::args_os().skip(1));
    let Some(args) = args.map_err(|error| format!("{error}\n\n{}", args::HELP))? else {
        return Ok(io::stdout().write_all(args::HELP.as_bytes())?);
    };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(listen(args))
}

async fn listen(args: Args) -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::new().seed(args.seed).scenario(args.scenario).epoch(today());
    let sim = args.plan.into_iter().fold(config, Config::plan).build()?;
    // Before the address is printed, so that its reader may end the program at once.
    let mut signals = Signals::new()?;
    let server = sim
        .listen(args.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    // The readiness line: connections are accepted from here on.
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {}", server.url())?;
    stdout.flush()?;
    signals.next().await;
    // The second signal does not wait for the requests in progress.
    tokio::select! {
        ended = server.shutdown() => ended?,
        () = signals.next() => {}
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "clients compare the dates in responses with their own calendar"
)]
fn today() -> SystemTime {
    SystemTime::now()
}

/// What asks the program to end.
#[cfg(unix)]
struct Signals(tokio::signal::unix::Signal, tokio::signal::unix::Signal);

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self(signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

/// What asks the program to end.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        drop(tokio::signal::ctrl_c().await);
    }
}
