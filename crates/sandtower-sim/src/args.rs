//! The program's arguments.

use std::{ffi::OsString, net::SocketAddr};

use sandtower_sim::{Plan, Scenario};

/// What `--help` says.
pub(crate) const HELP: &str = "\
Simulates E2B: control plane and sandboxes on one port.

usage: sandtower-sim [--listen ADDRESS] [--scenario NAME|FILE] [--seed N] [--plan PLAN]

  --listen ADDRESS  where to listen [127.0.0.1:3900]; port 0 takes a free one
  --seed N          where all chance comes from [0]
  --plan PLAN       the limits of each API key: hobby, pro [the scenario's, or hobby]
  --scenario WHICH  what the service is like, by name or from a TOML file [calm]
  --help            this

scenarios: calm, stress, capacity-drop, cut-bodies, early-deaths, errors, kill-500, late-commits,
           listing-lag, lost-responses, no-rate-headers, outage, overload, quota, rate-limit, resets,
           sandbox-proxy, stalls, unauthorized-burst, zombies

Point a client at it with E2B_API_URL and E2B_SANDBOX_URL, and any API key that begins with e2b_.
GET /_sim/ledger tells what really happened; PUT /_sim/faults changes what goes wrong.
";

/// How to run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Args {
    pub(crate) listen: SocketAddr,
    pub(crate) seed: u64,
    pub(crate) plan: Option<Plan>,
    pub(crate) scenario: Scenario,
}

/// Reads arguments, the program's own name not among them. The last of two equal ones counts.
/// `None` is for help.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Args>, String> {
    let mut args = Args {
        listen: SocketAddr::from(([127, 0, 0, 1], 3900)),
        seed: 0,
        plan: None,
        scenario: scenario("calm")?,
    };
    let mut arguments = arguments.into_iter().map(|a| a.to_string_lossy().into_owned());
    while let Some(argument) = arguments.next() {
        let (option, inline) = match argument.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        if matches!(option, "--help" | "-h") {
            return Ok(None);
        }
        if !matches!(option, "--listen" | "--seed" | "--plan" | "--scenario" | "--world") {
            return Err(format!("unknown argument {argument:?}"));
        }
        let value = inline.or_else(|| arguments.next());
        let value = value.ok_or_else(|| format!("{option} needs a value"))?;
        args.set(option, &value)?;
    }
    Ok(Some(args))
}

impl Args {
    fn set(&mut self, option: &str, value: &str) -> Result<(), String> {
        let invalid = |expected| format!("{option} is {value:?}, not {expected}");
        match option {
            "--listen" => {
                let expected = "an address with a port, such as 127.0.0.1:3900";
                self.listen = value.parse().map_err(|_| invalid(expected))?;
            }
            "--seed" => {
                self.seed = value.parse().map_err(|_| invalid("a whole number, 0 or more"))?;
            }
            "--plan" => self.plan = Some(value.parse().map_err(|_| invalid("hobby or pro"))?),
            // The second name is what the first one was called before there were files.
            _ => self.scenario = scenario(value)?,
        }
        Ok(())
    }
}

/// The scenario that is called so, or else the one in the file of that path.
fn scenario(which: &str) -> Result<Scenario, String> {
    if let Some(scenario) = Scenario::named(which) {
        return Ok(scenario);
    }
    let problem = |problem: String| format!("scenario {which:?}: {problem}");
    let text = std::fs::read_to_string(which).map_err(|error| problem(error.to_string()))?;
    Scenario::parse(&text).map_err(|error| problem(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Option<Args>, String> {
        parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn every_option_is_read_in_both_forms() {
        let expected = Some(Args {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            seed: 7,
            plan: Some(Plan::Pro),
            scenario: Scenario::named("stress").unwrap(),
        });
        let apart =
            ["--listen", "127.0.0.1:0", "--seed", "7", "--plan", "pro", "--scenario", "stress"];
        assert_eq!(parsed(&apart).unwrap(), expected);
        let joined = ["--listen=127.0.0.1:0", "--seed=7", "--plan=pro", "--scenario=stress"];
        assert_eq!(parsed(&joined).unwrap(), expected);
        assert_eq!(parsed(&["--help", "--nope"]).unwrap(), None);
    }

    #[test]
    fn every_scenario_is_in_the_help() {
        let told: Vec<_> = HELP.split([' ', ',', '\n']).collect();
        assert!(Scenario::names().all(|name| told.contains(&name)));
    }

    #[test]
    fn a_scenario_that_is_not_there_is_named() {
        let error = parsed(&["--scenario", "no/such.toml"]).unwrap_err();
        assert!(error.starts_with("scenario \"no/such.toml\": "), "{error}");
    }

    #[test]
    fn mistakes_are_named() {
        for (arguments, says) in [
            (&["--sede", "1"][..], "unknown argument \"--sede\""),
            (&["--seed"], "--seed needs a value"),
            (&["--seed", "-1"], "--seed is \"-1\", not a whole number, 0 or more"),
            (&["--plan", "free"], "--plan is \"free\", not hobby or pro"),
            (
                &["--listen", "3900"],
                "--listen is \"3900\", not an address with a port, such as 127.0.0.1:3900",
            ),
        ] {
            assert_eq!(parsed(arguments).unwrap_err(), says);
        }
    }
}
