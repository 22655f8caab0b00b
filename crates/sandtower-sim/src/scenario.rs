//! Scenarios: a world and its faults, by name or from a file.

use serde::Deserialize;

use crate::{Fault, InvalidConfig, Plan, World};

/// What a service is like and what goes wrong with it, as a file tells it.
///
/// ```toml
/// about = "A slow cluster, down for a minute after half a minute."
/// plan = "hobby"                  # whose limits hold; may be left out
/// base = "calm"                   # or "stress": what `world` changes
///
/// [world]                         # constants of a `World`
/// create_median = "2s"            # times are texts, or numbers of seconds
///
/// [[fault]]                       # any number of faults
/// name = "outage"
/// kind = "refuse"
/// on = ["control"]
/// from = "30s"
/// until = "90s"
/// rate = 1.0
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Scenario {
    /// What it is for.
    pub about: String,
    /// The plan whose limits hold, if it says one.
    pub plan: Option<Plan>,
    /// What the service is like.
    pub world: World,
    /// What goes wrong besides.
    pub faults: Vec<Fault>,
}

impl Scenario {
    /// The scenario in a file's text.
    ///
    /// # Errors
    ///
    /// If the text is no scenario; what it says names the place.
    pub fn parse(text: &str) -> Result<Self, InvalidConfig> {
        let file: File = toml::from_str(text).map_err(InvalidConfig::new)?;
        let base = match file.base.as_deref() {
            None | Some("calm") => World::calm(),
            Some("stress") => World::stress(),
            Some(other) => {
                return Err(InvalidConfig::new(format!("base is {other:?}, not calm or stress")));
            }
        };
        let plan = file.plan.map(|plan| plan.parse()).transpose()?;
        Ok(Self {
            about: file.about,
            plan,
            world: changed(&base, &file.world).map_err(InvalidConfig::new)?,
            faults: file.fault,
        })
    }

    /// The scenario of that name that ships with the simulator.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (_, text) = SHIPPED.iter().find(|(shipped, _)| *shipped == name)?;
        Self::parse(text).ok()
    }

    /// The names of the scenarios that ship with the simulator.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|(name, _)| *name)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    about: String,
    plan: Option<String>,
    base: Option<String>,
    #[serde(default)]
    world: toml::Table,
    #[serde(default)]
    fault: Vec<Fault>,
}

/// A world with some of its constants changed.
fn changed(base: &World, changes: &toml::Table) -> Result<World, serde_json::Error> {
    let mut constants = serde_json::to_value(base)?;
    let changes = serde_json::to_value(changes)?;
    if let (Some(constants), Some(changes)) = (constants.as_object_mut(), changes.as_object()) {
        constants.extend(changes.clone());
    }
    serde_json::from_value(constants)
}

macro_rules! shipped {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../scenarios/", $name, ".toml")))),*]
    };
}

const SHIPPED: &[(&str, &str)] = shipped!(
    "calm" "stress" "capacity-drop" "cut-bodies" "early-deaths" "errors" "kill-500" "late-commits"
    "listing-lag" "lost-responses" "no-rate-headers" "outage" "overload" "quota" "rate-limit" "resets"
    "sandbox-proxy" "stalls" "unauthorized-burst" "zombies"
);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Config;

    #[test]
    fn every_scenario_that_ships_makes_sense() {
        for (name, text) in SHIPPED {
            let scenario = Scenario::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!scenario.about.is_empty(), "{name}");
            Config::new().scenario(scenario).build().unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        assert_eq!(Scenario::names().count(), SHIPPED.len());
        assert_eq!(Scenario::named("nope"), None);
    }

    #[test]
    fn the_worlds_that_have_names_are_scenarios_without_faults() {
        for (name, world) in [("calm", World::calm()), ("stress", World::stress())] {
            let scenario = Scenario::named(name).unwrap();
            assert_eq!((scenario.world, scenario.faults), (world, vec![]));
        }
    }

    #[test]
    fn a_file_changes_its_base_only_where_it_says_so() {
        let text = "about = 'x'\nbase = 'stress'\nplan = 'pro'\n[world]\ncreate_median = '250ms'\nzombie = 0.5";
        let scenario = Scenario::parse(text).unwrap();
        let world =
            World { create_median: Duration::from_millis(250), zombie: 0.5, ..World::stress() };
        assert_eq!((scenario.world, scenario.plan), (world, Some(Plan::Pro)));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, says) in [
            ("", "about"),
            ("about = 'x'\nbase = 'mad'", "base is \"mad\""),
            ("about = 'x'\nplan = 'free'", "no such plan"),
            ("about = 'x'\n[world]\nzombi = 1", "zombi"),
            ("about = 'x'\n[world]\ncreate_median = '1 year'", "1 year"),
            ("about = 'x'\n[[fault]]\nname = 'a'\nkind = 'explode'", "explode"),
            ("about = 'x'\n[[fault]]\nname = 'a'\nkind = 'refuse'\nrat = 1", "rat"),
        ] {
            let error = Scenario::parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
