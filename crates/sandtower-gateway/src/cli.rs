//! The command line.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use sandtower::core::BoxError;

use crate::admin::{self, Admin, Signals};
use crate::config::{Config, ConfigError, Source};
use crate::generation::Generation;
use crate::stacks::Stacks;
use crate::{Gateway, demo};

/// A gateway to E2B for the official SDKs.
#[derive(Debug, Parser)]
#[command(name = "sandtower", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves requests of SDKs.
    Serve {
        /// Serves a simulated E2B in place of the real one.
        #[arg(long)]
        demo: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// Checks a configuration and shows what it does.
    Check {
        #[command(flatten)]
        settings: Settings,
    },
}

#[derive(Args, Debug)]
struct Settings {
    /// The file with the settings.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen for SDKs: `listen`.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where to listen for operators: `admin.listen`.
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// Sets one setting, such as `--set limits.keys=100`; may be repeated.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
}

impl Settings {
    fn source(&self) -> Result<Source, ConfigError> {
        let mut source = Source::new().environment(std::env::vars_os());
        if let Some(file) = &self.config {
            source = source.file(file);
        }
        let listen = self.listen.map(|address| format!("listen=\"{address}\""));
        let admin = self.admin.map(|address| format!("admin.listen=\"{address}\""));
        let all = listen.iter().chain(&admin).chain(&self.set);
        all.into_iter().try_fold(source, |source, setting| source.set(setting))
    }
}

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let log =
        tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(tracing::Level::INFO);
    // A program that embeds this one may log already.
    drop(log.try_init());
    let done = match &cli.command {
        Command::Serve { demo, settings } => run(*demo, settings),
        Command::Check { settings } => check(settings),
    };
    let Err(error) = done else { return ExitCode::SUCCESS };
    // Without a standard error there is no one left to tell.
    drop(writeln!(io::stderr(), "sandtower: {error}"));
    ExitCode::from(2)
}

fn check(settings: &Settings) -> Result<(), BoxError> {
    let config = settings.source()?.read()?;
    let generation = Generation::new(config.clone())?;
    let mut out = io::stdout();
    writeln!(out, "{}", toml::to_string_pretty(&config)?)?;
    writeln!(out, "# {}", summary(&config))?;
    writeln!(out, "# {}", keys_summary(&generation))?;
    for place in &generation.others {
        writeln!(out, "# {}", place_summary(&generation, place))?;
    }
    Ok(())
}

/// What a configuration does, in a line.
fn summary(config: &Config) -> String {
    let upstream = match (&config.upstream.api_url, &config.upstream.sandbox_url) {
        (Some(api), Some(sandboxes)) => format!("{api} and {sandboxes}"),
        _ => format!("api.{0} and <port>-<sandbox>.{0}", config.upstream.domain),
    };
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let admin = match config.admin.listen {
        Some(address) => format!("operators at http://{address}"),
        None => String::from("no listener for operators"),
    };
    format!(
        "SDKs at {scheme}://{}, {} threads, {admin}; E2B at {upstream}",
        config.listen,
        config.worker_count()
    )
}

/// What it does with another place, in a line.
fn place_summary(generation: &Generation, place: &Stacks) -> String {
    let with: Vec<_> = place.own.names().collect();
    let without = generation.upstreams.names().filter(|name| place.own.get(name).is_none());
    let without: Vec<_> = without.collect();
    let without = match without.is_empty() {
        true => String::new(),
        false => format!("; those of {} stay at home", without.join(", ")),
    };
    format!(
        "{} creates what home does not create for {}, or not within {:?}{without}",
        place.place.name,
        with.join(", "),
        generation.config.failover_after
    )
}

/// What it does with the keys of callers, in a line.
fn keys_summary(generation: &Generation) -> String {
    let keys = &generation.config.keys;
    let own = match keys.pass_through {
        true => "callers' own keys of E2B work",
        false => "callers' own keys of E2B are rejected",
    };
    let upstreams: Vec<_> = generation.upstreams.names().collect();
    if upstreams.is_empty() {
        return format!("no virtual keys: `keys.upstream` names no key of E2B; {own}");
    }
    let kept = match &keys.store {
        Some(store) => format!("kept in {}", store.display()),
        None => String::from("kept in memory, and lost at a restart"),
    };
    let declared = generation.declared.len();
    format!(
        "virtual keys are sent on as {}; {declared} in the file; {kept}; {own}",
        upstreams.join(", ")
    )
}

fn run(with_demo: bool, settings: &Settings) -> Result<(), BoxError> {
    let source = settings.source()?;
    let mut config = source.read()?;
    // Operators, signals and the simulator; requests are served in threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let _simulator = match with_demo {
            true => Some(demo::start(&mut config).await?),
            false => None,
        };
        let upstream = config.upstream.clone();
        // Before anything is said, so that its reader may end the program at once.
        let mut signals = Signals::new()?;
        let gateway = Arc::new(Gateway::start(config.clone())?);
        let read = move || {
            let mut config = source.read()?;
            if with_demo {
                config.upstream = upstream.clone();
            }
            Ok(config)
        };
        if config.journal.is_none() && !with_demo {
            tracing::warn!(
                "no `journal` is set: what creations in flight leave behind at a crash lives until its timeout"
            );
        }
        let admin = admin::start(&gateway, config.admin.clone(), read).await?;
        greet(&config, &gateway, &admin)?;
        tokio::select! {
            () = signals.until_end(|| admin.reload()) => {}
            () = admin.drain_requested() => {}
        }
        // The second signal does not wait.
        tokio::select! {
            _ = gateway.drain() => {}
            () = signals.end() => {}
        }
        gateway.stop();
        Ok(())
    })
}

/// What a newcomer does next.
fn greet(config: &Config, gateway: &Gateway, admin: &Admin) -> io::Result<()> {
    let mut err = io::stderr();
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let address = gateway.address();
    writeln!(err, "listening on {scheme}://{address}")?;
    if let Some(address) = admin.address() {
        writeln!(err, "operators: http://{address}")?;
        if let Some(token) = admin.made_token() {
            // Behind the `#`, where no browser sends it anywhere and no log of requests has it.
            writeln!(err, "to change things: http://{address}/login#{}", token.expose())?;
        }
    }
    if config.tls.is_none() {
        writeln!(err, "export E2B_API_URL=http://{address} E2B_SANDBOX_URL=http://{address}")?;
    }
    err.flush()
}
