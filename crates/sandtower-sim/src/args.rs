//! The program's arguments.

use std::{ffi::OsString, fmt, net::SocketAddr};

use sandtower_sim::{Plan, World};

/// What `--help` says.
pub(crate) const HELP: &str = "\
Simulates E2B: control plane and sandboxes on one port.

usage: sandtower-sim [--listen ADDRESS] [--seed N] [--plan PLAN] [--world WORLD]

  --listen ADDRESS  where to listen [127.0.0.1:3900]; port 0 takes a free one
  --seed N          where all chance comes from [0]
  --plan PLAN       the limits of each API key: hobby, pro [hobby]
  --world WORLD     what the service is like: calm, stress [calm]
  --help            this

Point a client at it with E2B_API_URL and E2B_SANDBOX_URL, and any API key that begins with e2b_.
GET /_sim/ledger tells what really happened.
";

/// What the program is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Asked {
    Run(Args),
    Help,
}

/// How to run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Args {
    pub(crate) listen: SocketAddr,
    pub(crate) seed: u64,
    pub(crate) plan: Plan,
    pub(crate) world: World,
}

/// Why the arguments make no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ArgsError {
    Unknown(String),
    NoValue(String),
    Invalid { option: &'static str, value: String, expected: &'static str },
}

impl fmt::Display for ArgsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(argument) => write!(f, "unknown argument {argument:?}"),
            Self::NoValue(option) => write!(f, "{option} needs a value"),
            Self::Invalid { option, value, expected } => {
                write!(f, "{option} is {value:?}, not {expected}")
            }
        }
    }
}

/// Reads arguments, the program's own name not among them. The last of two equal ones counts.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, ArgsError> {
    let mut args = Args {
        listen: SocketAddr::from(([127, 0, 0, 1], 3900)),
        seed: 0,
        plan: Plan::Hobby,
        world: World::calm(),
    };
    let mut arguments = arguments.into_iter().map(|a| a.to_string_lossy().into_owned());
    while let Some(argument) = arguments.next() {
        let (option, inline) = match argument.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        if matches!(option, "--help" | "-h") {
            return Ok(Asked::Help);
        }
        if !matches!(option, "--listen" | "--seed" | "--plan" | "--world") {
            return Err(ArgsError::Unknown(argument));
        }
        let value = inline.or_else(|| arguments.next());
        let value = value.ok_or_else(|| ArgsError::NoValue(option.to_owned()))?;
        args.set(option, value)?;
    }
    Ok(Asked::Run(args))
}

impl Args {
    fn set(&mut self, option: &str, value: String) -> Result<(), ArgsError> {
        let invalid =
            |option, expected| ArgsError::Invalid { option, value: value.clone(), expected };
        match option {
            "--listen" => {
                let expected = "an address with a port, such as 127.0.0.1:3900";
                self.listen = value.parse().map_err(|_| invalid("--listen", expected))?;
            }
            "--seed" => {
                let expected = "a whole number, 0 or more";
                self.seed = value.parse().map_err(|_| invalid("--seed", expected))?;
            }
            "--plan" => {
                self.plan = value.parse().map_err(|_| invalid("--plan", "hobby or pro"))?;
            }
            _ => {
                self.world = world(&value).ok_or_else(|| invalid("--world", "calm or stress"))?;
            }
        }
        Ok(())
    }
}

fn world(name: &str) -> Option<World> {
    match name {
        "calm" => Some(World::calm()),
        "stress" => Some(World::stress()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Asked, ArgsError> {
        parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn every_option_is_read_in_both_forms() {
        let expected = Asked::Run(Args {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            seed: 7,
            plan: Plan::Pro,
            world: World::stress(),
        });
        let apart =
            ["--listen", "127.0.0.1:0", "--seed", "7", "--plan", "pro", "--world", "stress"];
        assert_eq!(parsed(&apart).unwrap(), expected);
        let joined = ["--listen=127.0.0.1:0", "--seed=7", "--plan=pro", "--world=stress"];
        assert_eq!(parsed(&joined).unwrap(), expected);
        assert_eq!(parsed(&["--help", "--nope"]).unwrap(), Asked::Help);
    }

    #[test]
    fn mistakes_are_named() {
        for (arguments, says) in [
            (&["--sede", "1"][..], "unknown argument \"--sede\""),
            (&["--seed"], "--seed needs a value"),
            (&["--seed", "-1"], "--seed is \"-1\", not a whole number, 0 or more"),
            (&["--plan", "free"], "--plan is \"free\", not hobby or pro"),
            (&["--world", "mad"], "--world is \"mad\", not calm or stress"),
            (
                &["--listen", "3900"],
                "--listen is \"3900\", not an address with a port, such as 127.0.0.1:3900",
            ),
        ] {
            assert_eq!(parsed(arguments).unwrap_err().to_string(), says);
        }
    }
}
