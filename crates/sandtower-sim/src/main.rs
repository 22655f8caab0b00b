//! The simulator as a program: `sandtower-sim --help`.

mod args;

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::SystemTime,
};

use sandtower_sim::{Config, Sim, serve};
use tokio::net::TcpListener;

use args::{Args, Asked};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => complain(&format!("sandtower-sim: {error}")),
    }
}

fn run() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let args = match args::parse(std::env::args_os().skip(1)) {
        Ok(Asked::Run(args)) => args,
        Ok(Asked::Help) => {
            io::stdout().write_all(args::HELP.as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => return Ok(complain(&format!("sandtower-sim: {error}\n\n{}", args::HELP))),
    };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(listen(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn listen(args: Args) -> Result<(), Box<dyn std::error::Error>> {
    let sim = simulator(&args)?;
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    // Before the address is told, so that whoever reads it may end the program at once.
    let stopped = stopped()?;
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on http://{}", listener.local_addr()?)?;
    stdout.flush()?;
    serve(listener, sim, stopped).await?;
    Ok(())
}

fn simulator(args: &Args) -> Result<Sim, Box<dyn std::error::Error>> {
    let mut config = Config::new().seed(args.seed).scenario(args.scenario.clone());
    if let Some(plan) = args.plan {
        config = config.plan(plan);
    }
    Ok(config.epoch(today()).build()?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "clients compare the dates in answers with their own calendar"
)]
fn today() -> SystemTime {
    SystemTime::now()
}

/// Done when the program is asked to end.
#[cfg(unix)]
fn stopped() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Done when the program is asked to end.
#[cfg(not(unix))]
fn stopped() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        drop(tokio::signal::ctrl_c().await);
    })
}

fn complain(complaint: &str) -> ExitCode {
    // Without a standard error there is no one left to tell.
    drop(writeln!(io::stderr(), "{}", complaint.trim_end()));
    ExitCode::from(2)
}
