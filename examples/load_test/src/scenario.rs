//! Scenarios: the behaviour of the service, and the load that shows it.

use std::time::Duration;

use sandtower::stack::Plan;
use sandtower_sim::{Scenario, World};

use super::load::ALL_OFFER;
use super::{Callers, Load, Shape};

/// A scenario of the simulator with its default load.
///
/// Each load was chosen from the purpose of its scenario before anything was run: about half of the
/// service's capacity where something else is tested, and more than that where it is.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Its name.
    pub name: String,
    /// The service and its faults.
    pub scenario: Scenario,
    /// The load.
    pub load: Load,
}

/// Scenario; queries per second; duration in seconds; seconds that each computes.
type Row = (&'static str, f64, u64, u64);

const OPEN: &[Row] = &[
    // Nothing responds from 30 s to 90 s.
    ("outage", 0.5, 180, 4),
    // At most three sandboxes from 60 s to 180 s; at 4.1 s each they carry 0.73 a second.
    ("capacity-drop", 0.6, 240, 4),
    // The stress cluster starts two in 3 s: 0.67 a second. This is half as much again.
    ("overload", 1.0, 120, 4),
    ("errors", 0.5, 300, 4),
    // One creation per second is allowed, and five at once after a pause.
    ("rate-limit", 1.5, 120, 4),
    // Twenty sandboxes at 30 s each carry 0.67 a second.
    ("quota", 0.9, 120, 30),
    ("zombies", 0.5, 300, 4),
    ("lost-responses", 0.5, 300, 4),
    // Five creations a second are allowed, of which each of ten tenants has a tenth as its share.
    (NOISY, 5.0 * ALL_OFFER, 120, 4),
    // As `outage`, but of batch jobs, which may wait two minutes: longer than the outage.
    (HELD, 0.5, 180, 4),
];

const NOISY: &str = "noisy-neighbour";
const HELD: &str = "outage-held";

/// The service of a scenario: one of the simulator's.
fn service(name: &str) -> Option<Scenario> {
    match name {
        NOISY => {
            let mut service = Scenario::named("calm")?;
            service.plan = Some(sandtower_sim::Plan::Pro);
            Some(service)
        }
        HELD => Scenario::named("outage"),
        name => Scenario::named(name),
    }
}

fn callers(name: &str) -> Callers {
    match name {
        NOISY => Callers::Tenants,
        HELD => Callers::Batch,
        _ => Callers::People,
    }
}

impl Setup {
    /// The names of all scenarios of the load test.
    pub fn names() -> impl Iterator<Item = &'static str> {
        std::iter::once("stress").chain(OPEN.iter().map(|row| row.0))
    }

    /// The scenario with this name.
    pub fn named(name: &str) -> Option<Self> {
        let scenario = service(name)?;
        let load = match OPEN.iter().find(|row| row.0 == name) {
            Some(&(_, rate, seconds, computes)) => Load {
                shape: Shape::Rate { per_second: rate, lasting: Duration::from_secs(seconds) },
                computes: Duration::from_secs(computes),
                callers: callers(name),
                ..Load::default()
            },
            None if name == "stress" => Load::default(),
            None => return None,
        };
        Some(Self { name: name.to_owned(), scenario, load })
    }

    /// The stress scenario in another world.
    pub fn stress_in(world: World) -> Option<Self> {
        let mut setup = Self::named("stress")?;
        setup.scenario.world = world;
        Some(setup)
    }

    /// The stress scenario with each constant of its world halved or doubled in turn.
    pub fn variations() -> Vec<Self> {
        let world = World::stress();
        let varied = world.variations().filter_map(|(name, world)| {
            Some(Self { name: format!("stress, {name}"), ..Self::stress_in(world)? })
        });
        varied.collect()
    }

    /// When the first temporary fault ends.
    pub fn fault_ends(&self) -> Option<Duration> {
        self.scenario.faults.iter().filter_map(|fault| fault.until).min()
    }

    pub(crate) fn plan(&self) -> Plan {
        match self.scenario.plan {
            Some(sandtower_sim::Plan::Pro) => Plan::Pro,
            _ => Plan::Hobby,
        }
    }
}
