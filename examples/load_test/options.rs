//! What the user asked for.

/// How the load test is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) clock: Clock,
    pub(crate) seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// Minutes pass in milliseconds: the simulator is called in process.
    Virtual,
    /// Minutes take minutes: the simulator is called over loopback sockets.
    Real,
}

pub(crate) const USAGE: &str = "\
usage: cargo run --release --example load_test [-- OPTIONS]

  --clock virtual|real   virtual: in process, done at once (default)
                         real: over loopback sockets, takes a quarter of an hour
  --seed N               the seed of all chance (default 1)
  --help                 this text";

impl Options {
    /// `None`: help is wanted.
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = String>,
    ) -> Result<Option<Self>, String> {
        let mut options = Self { clock: Clock::Virtual, seed: 1 };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (argument, None),
            };
            if name == "--help" || name == "-h" {
                return Ok(None);
            }
            let mut value = || {
                value.clone().or_else(|| arguments.next()).ok_or(format!("{name} needs a value"))
            };
            match name.as_str() {
                "--clock" => options.clock = clock(&value()?)?,
                "--seed" => {
                    let seed = value()?;
                    options.seed = seed
                        .parse()
                        .map_err(|_| format!("--seed is {seed:?}; it must be a whole number"))?;
                }
                _ => return Err(format!("{name} is no option")),
            }
        }
        Ok(Some(options))
    }
}

fn clock(name: &str) -> Result<Clock, String> {
    match name {
        "virtual" => Ok(Clock::Virtual),
        "real" => Ok(Clock::Real),
        _ => Err(format!("--clock is {name:?}; it must be virtual or real")),
    }
}
