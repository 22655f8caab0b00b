//! What becomes of one creation, given the world and how busy it is.

use std::time::Duration;

use fastrand::Rng;

use crate::dice::{happens, normal};
use crate::response::ApiError;
use crate::world::World;

/// The fate of one creation, decided when it starts.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    /// How long the work takes, whether it succeeds or not.
    pub(crate) latency: Duration,
    /// Why it fails, if it does.
    pub(crate) failure: Option<Failure>,
    /// Whether it commits even if no caller waits for it any more.
    pub(crate) commits_late: bool,
    /// Whether the sandbox is dead from the start.
    pub(crate) zombie: bool,
}

/// How a placement fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    CreateFailed,
    NoCapacity,
    PlacementTimeout,
}

impl Placement {
    /// Throws the dice for a creation that makes `in_flight` with itself.
    pub(crate) fn draw(world: &World, in_flight: u32, dice: &mut Rng) -> Self {
        let load = (f64::from(in_flight) / f64::from(world.create_parallel.get())).max(1.0);
        let spread = (world.create_spread * normal(dice)).exp();
        let seconds = world.create_median.as_secs_f64() * spread * load.powf(world.create_exponent);
        let survives =
            (1.0 - world.create_failure) * (-world.overload_failure * (load - 1.0)).exp();
        let fails = happens(dice, 1.0 - survives);
        let kind = Failure::draw(world, dice);
        Self {
            latency: Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX),
            failure: fails.then_some(kind),
            commits_late: happens(dice, world.late_commit),
            zombie: happens(dice, world.zombie),
        }
    }
}

impl Failure {
    fn draw(world: &World, dice: &mut Rng) -> Self {
        let rest = world.capacity_share + world.placement_timeout_share;
        let drawn = dice.f64() * (world.create_failed_share + rest);
        if drawn >= rest {
            Self::CreateFailed
        } else if drawn >= world.placement_timeout_share {
            Self::NoCapacity
        } else {
            Self::PlacementTimeout
        }
    }
}

impl Failure {
    /// How the API tells of it.
    pub(crate) fn error(self) -> ApiError {
        match self {
            Self::CreateFailed => {
                let message = "Failed to place sandbox: all nodes refused it";
                ApiError::new(500, message).code("sandbox_create_failed")
            }
            Self::NoCapacity => {
                let message = "Failed to place sandbox: no capacity available, try again shortly";
                ApiError::new(503, message).code("sandbox_capacity_unavailable")
            }
            Self::PlacementTimeout => {
                let message = "Failed to place sandbox: timed out";
                ApiError::new(504, message).code("sandbox_placement_timeout")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::{Subject, dice};

    fn draws(world: &World, in_flight: u32) -> Vec<Placement> {
        (0..4_000)
            .map(|n| Placement::draw(world, in_flight, &mut dice(1, Subject::Creation, n)))
            .collect()
    }

    fn median(placements: &[Placement]) -> f64 {
        let mut seconds: Vec<_> = placements.iter().map(|p| p.latency.as_secs_f64()).collect();
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    }

    fn failing(placements: &[Placement]) -> f64 {
        placements.iter().filter(|p| p.failure.is_some()).count() as f64 / placements.len() as f64
    }

    #[test]
    fn latency_and_failures_grow_as_documented() {
        let world = World::stress();
        for (in_flight, load) in [(1, 1.0), (2, 1.0), (4, 2.0), (6, 3.0_f64)] {
            let placements = draws(&world, in_flight);
            let latency = 3.0 * load.powi(2);
            assert!((median(&placements) / latency - 1.0).abs() < 0.05, "{in_flight} in flight");
            let expected = 1.0 - 0.995 * (-2.0 * (load - 1.0)).exp();
            assert!((failing(&placements) - expected).abs() < 0.03, "{in_flight} in flight");
        }
    }

    #[test]
    fn each_kind_of_failure_has_its_share() {
        let world = World { create_failure: 1.0, ..World::calm() };
        let placements = draws(&world, 1);
        let share =
            |kind| placements.iter().filter(|p| p.failure == Some(kind)).count() as f64 / 4_000.0;
        assert!((share(Failure::CreateFailed) - 0.6).abs() < 0.03);
        assert!((share(Failure::NoCapacity) - 0.3).abs() < 0.03);
        assert!((share(Failure::PlacementTimeout) - 0.1).abs() < 0.03);
    }

    #[test]
    fn the_steepest_world_takes_forever() {
        let world = World { create_exponent: 1e300, ..World::stress() };
        assert!(draws(&world, 100).iter().all(|p| p.latency == Duration::MAX));
    }
}
