//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use sandtower_load::Slo;

use super::load::MOST_USERS;
use super::{Policy, Setup, Shape};

/// How to run the load test.
#[derive(Debug)]
pub struct Options {
    /// Scenarios with their loads.
    pub setups: Vec<Setup>,
    /// The policies.
    pub policies: Vec<Policy>,
    /// Whether the user chose the policies.
    pub chosen: bool,
    /// One run for each.
    pub seeds: std::ops::Range<u64>,
    /// The clock.
    pub clock: Clock,
    /// The target of the load, if not a simulator.
    pub target: Option<TargetOptions>,
    /// Where metrics of the stack are served, if they are.
    pub metrics: Option<SocketAddr>,
    /// The folder of the report.
    pub report: PathBuf,
    /// The objectives.
    pub slo: Option<Slo>,
}

/// The clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Minutes pass in milliseconds: the simulator is called in process.
    Virtual,
    /// Minutes take minutes: the simulator is called over loopback sockets.
    Real,
}

/// Another service than the simulator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetOptions {
    /// Its URL.
    pub url: String,
    /// The most concurrent sandboxes.
    pub sandboxes: u64,
    /// Whether the user confirmed that it may be remote.
    pub may_cost: bool,
}

/// The text of `--help`.
pub const USAGE: &str = "\
usage: cargo run --release --example load_test [-- OPTIONS]

  --scenario NAME     stress (default), outage, capacity-drop, overload, errors, rate-limit,
                      quota, zombies, lost-responses, noisy-neighbour, outage-held,
                      or all; may be repeated
  --variations        the stress scenario with each constant of its world halved and doubled
  --policy NAME       unprotected, classic or sandtower; may be repeated (default: all)
  --users N           a closed loop: so many users (stress: 6), each of whom
  --queries N           asks so many queries, one after the other (stress: 2)
  --rate N            an open loop: so many queries a second, at random
  --duration TIME       for so long, such as 90s or 5min
  --seeds N           runs with so many seeds: the median and the worst are shown (default 1)
  --seed N            the first seed (default 1)
  --clock NAME        virtual: in process, over in seconds (default)
                      real: over loopback sockets; minutes take minutes
  --metrics ADDR      serve the metrics of the stack for Prometheus, such as 127.0.0.1:9464,
                      while it runs in real time
  --report DIR        where report.json and report.html go (default target/load-test)
  --slo TEXT          such as 'success>=99%,p99<60s,leaked<=0': exit code 1 if a seed misses it.
                      It is for the policies that --policy names, else for sandtower

  --target URL        another service that speaks as E2B does, with the key in E2B_API_KEY,
                      in real time; all sandboxes are killed in the end and on Ctrl-C
  --max-sandboxes N   never more than so many at once there (default 10)
  --real-sandboxes-that-cost-money
                      needed for a target that is not on this machine
                      (https: cargo run --release --features tls --example load_test -- ...)
  --help              this text";

/// As they stand on the command line.
#[derive(Debug, Default)]
struct Given {
    scenarios: Vec<String>,
    policies: Vec<Policy>,
    users: Option<u32>,
    queries: Option<u64>,
    rate: Option<f64>,
    duration: Option<Duration>,
    seeds: Option<u64>,
    seed: Option<u64>,
    clock: Option<Clock>,
    metrics: Option<SocketAddr>,
    report: Option<PathBuf>,
    slo: Option<Slo>,
    target: Option<String>,
    max_sandboxes: Option<u64>,
    may_cost: bool,
    variations: bool,
}

impl Options {
    /// `None`: help was requested.
    ///
    /// # Errors
    ///
    /// The command line is invalid; the error says what would be valid.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Option<Self>, String> {
        match Given::parse(arguments)? {
            Some(given) => given.options().map(Some),
            None => Ok(None),
        }
    }
}

impl Given {
    fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Option<Self>, String> {
        let mut given = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (argument, None),
            };
            match name.as_str() {
                "--help" | "-h" => return Ok(None),
                "--real-sandboxes-that-cost-money" if value.is_none() => given.may_cost = true,
                "--variations" if value.is_none() => given.variations = true,
                _ if !NAMES.contains(&name.as_str()) => {
                    return Err(format!("unknown option {name}"));
                }
                _ => {
                    let value = value.or_else(|| arguments.next());
                    given.set(&name, &value.ok_or(format!("{name} needs a value"))?)?;
                }
            }
        }
        Ok(Some(given))
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "--scenario" => self.scenarios.push(value.to_owned()),
            "--policy" => self.policies.push(value.parse().map_err(|e| format!("--policy: {e}"))?),
            "--users" => self.users = Some(at_most(name, value, MOST_USERS)?),
            "--queries" => self.queries = Some(positive(name, value)?),
            "--rate" => self.rate = Some(rate(value)?),
            "--duration" => self.duration = Some(duration(value)?),
            "--seeds" => self.seeds = Some(positive(name, value)?),
            "--seed" => self.seed = Some(number(name, value)?),
            "--clock" => self.clock = Some(clock(value)?),
            "--metrics" => self.metrics = Some(address(value)?),
            "--report" => self.report = Some(value.into()),
            "--slo" => self.slo = Some(value.parse().map_err(|e| format!("--slo: {e}"))?),
            "--target" => self.target = Some(value.to_owned()),
            // All are in `NAMES`.
            _ => self.max_sandboxes = Some(positive(name, value)?),
        }
        Ok(())
    }

    fn options(self) -> Result<Options, String> {
        if self.target.is_some() && self.clock == Some(Clock::Virtual) {
            return Err("--target runs in real time; remove --clock virtual".to_owned());
        }
        if self.target.is_none() && (self.may_cost || self.max_sandboxes.is_some()) {
            return Err("this option requires --target".to_owned());
        }
        if self.metrics.is_some() && self.target.is_none() && self.clock != Some(Clock::Real) {
            return Err("--metrics requires real time; add --clock real".to_owned());
        }
        let first = self.seed.unwrap_or(1);
        let seeds = first..first.saturating_add(self.seeds.unwrap_or(1));
        let real = if self.target.is_some() { Clock::Real } else { Clock::Virtual };
        let target = self.target.clone().map(|url| TargetOptions {
            url,
            sandboxes: self.max_sandboxes.unwrap_or(10),
            may_cost: self.may_cost,
        });
        let setups = self.setups()?;
        let chosen = !self.policies.is_empty();
        Ok(Options {
            setups,
            policies: if chosen { self.policies } else { Policy::ALL.to_vec() },
            chosen,
            seeds,
            clock: self.clock.unwrap_or(real),
            target,
            metrics: self.metrics,
            report: self.report.unwrap_or_else(|| "target/load-test".into()),
            slo: self.slo,
        })
    }

    fn setups(&self) -> Result<Vec<Setup>, String> {
        if self.variations && !self.scenarios.is_empty() {
            return Err("--variations are for the stress scenario; remove --scenario".to_owned());
        }
        if self.variations {
            return Setup::variations().into_iter().map(|setup| self.with_load(setup)).collect();
        }
        let mut names: Vec<&str> = self.scenarios.iter().map(String::as_str).collect();
        if names.is_empty() {
            names.push("stress");
        }
        if names.contains(&"all") {
            names = Setup::names().collect();
        }
        names.into_iter().map(|name| self.setup(name)).collect()
    }

    fn setup(&self, name: &str) -> Result<Setup, String> {
        let setup = Setup::named(name).ok_or_else(|| {
            let names: Vec<_> = Setup::names().collect();
            format!(
                "--scenario: unknown scenario {name:?}, expected one of {}, all",
                names.join(", ")
            )
        })?;
        self.with_load(setup)
    }

    fn with_load(&self, setup: Setup) -> Result<Setup, String> {
        let shape = self.shape(setup.load.shape)?;
        let most = self
            .max_sandboxes
            .map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        let sandboxes = most.min(setup.load.sandboxes);
        Ok(Setup { load: setup.load.with(shape, sandboxes)?, ..setup })
    }

    /// The scenario's own load, with the changes from the command line.
    fn shape(&self, own: Shape) -> Result<Shape, String> {
        let closed = self.users.is_some() || self.queries.is_some();
        let open = self.rate.is_some() || self.duration.is_some();
        if closed && open {
            return Err("--users and --queries are a closed loop, --rate and --duration an open \
                        one; use one of the two"
                .to_owned());
        }
        let most = self.max_sandboxes.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        Ok(match own {
            Shape::Users { users, queries, warm } if !open => Shape::Users {
                users: self.users.unwrap_or(users),
                queries: self.queries.unwrap_or(queries),
                warm: most.map_or(warm, |most| most.min(warm)),
            },
            Shape::Rate { per_second, lasting } if !closed => Shape::Rate {
                per_second: self.rate.unwrap_or(per_second),
                lasting: self.duration.unwrap_or(lasting),
            },
            Shape::Rate { .. } => Shape::Users {
                users: self.users.ok_or("--queries requires --users in this scenario")?,
                queries: self.queries.unwrap_or(2),
                warm: most.unwrap_or(10),
            },
            Shape::Users { .. } => Shape::Rate {
                per_second: self.rate.ok_or("--duration requires --rate in this scenario")?,
                lasting: self.duration.unwrap_or(Duration::from_secs(60)),
            },
        })
    }
}

/// Those that take a value.
const NAMES: &[&str] = &[
    "--metrics",
    "--scenario",
    "--policy",
    "--users",
    "--queries",
    "--rate",
    "--duration",
    "--seeds",
    "--seed",
    "--clock",
    "--report",
    "--slo",
    "--target",
    "--max-sandboxes",
];

fn number<T: FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name} is {value:?}; it must be a whole number"))
}

/// More of anything than this is a typo.
const MOST: u64 = 1_000_000;

fn positive<T: FromStr + TryInto<u64> + Copy>(name: &str, value: &str) -> Result<T, String> {
    at_most(name, value, MOST)
}

fn at_most<T>(name: &str, value: &str, most: u64) -> Result<T, String>
where
    T: FromStr + TryInto<u64> + Copy,
{
    let read: T = number(name, value)?;
    match read.try_into() {
        Ok(number) if (1..=most).contains(&number) => Ok(read),
        _ => Err(format!("{name} is {value}; it must be 1 to {most}")),
    }
}

fn rate(value: &str) -> Result<f64, String> {
    let rate = value.parse().ok().filter(|rate| (0.001..=10_000.0).contains(rate));
    rate.ok_or_else(|| format!("--rate is {value:?}; it must be queries a second, 0.001 to 10000"))
}

fn duration(value: &str) -> Result<Duration, String> {
    let units = [("min", 60.0), ("s", 1.0), ("h", 3_600.0)];
    let read = units.iter().find_map(|(unit, seconds)| {
        let number: f64 = value.strip_suffix(unit)?.trim().parse().ok()?;
        Some(number * seconds)
    });
    let seconds = read.filter(|seconds| (1.0..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| {
        format!("--duration is {value:?}; it must be a time such as 90s or 5min, 24h at most")
    })
}

fn clock(name: &str) -> Result<Clock, String> {
    match name {
        "virtual" => Ok(Clock::Virtual),
        "real" => Ok(Clock::Real),
        _ => Err(format!("--clock is {name:?}; it must be virtual or real")),
    }
}

fn address(value: &str) -> Result<SocketAddr, String> {
    value
        .parse()
        .map_err(|_| format!("--metrics: {value:?} is no address and port, such as 127.0.0.1:9464"))
}

#[cfg(test)]
mod tests;
