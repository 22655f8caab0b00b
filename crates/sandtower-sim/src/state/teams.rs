//! Teams: what each has used up of its limits.

use super::*;
use crate::gcra::{Answer, Gcra};
use crate::plan::Limits;

/// Teams that are remembered at a time; further ones are turned away as the balancer would.
const MAX_TEAMS: usize = 10_000;

/// All teams that have something to remember.
#[derive(Debug, Default)]
pub(crate) struct Teams {
    by_key: BTreeMap<Arc<str>, Team>,
}

#[derive(Debug, Default)]
struct Team {
    limiters: BTreeMap<&'static str, Gcra>,
    sandboxes: u32,
}

/// There are too many teams to remember another.
#[derive(Debug)]
pub(crate) struct TooManyTeams;

impl Teams {
    /// Asks a team's limiter for one request on a route. `creates` says which rate holds.
    pub(crate) fn take(
        &mut self,
        key: &Arc<str>,
        route: &'static str,
        creates: bool,
        limits: &Limits,
        now: Instant,
    ) -> Result<Answer, TooManyTeams> {
        if !self.by_key.contains_key(key) && self.by_key.len() >= MAX_TEAMS {
            self.forget_idle(now);
            if self.by_key.len() >= MAX_TEAMS {
                return Err(TooManyTeams);
            }
        }
        let team = self.by_key.entry(Arc::clone(key)).or_default();
        let rate = if creates { limits.create } else { limits.manage };
        Ok(team.limiters.entry(route).or_default().take(rate, now))
    }

    /// Reserves a sandbox for a team; false if it has as many as it may.
    pub(crate) fn reserve(&mut self, key: &Arc<str>, limits: &Limits) -> bool {
        let team = self.by_key.entry(Arc::clone(key)).or_default();
        if team.sandboxes >= limits.concurrent_sandboxes {
            return false;
        }
        team.sandboxes += 1;
        true
    }

    /// Gives a reserved sandbox back.
    pub(crate) fn release(&mut self, key: &str) {
        if let Some(team) = self.by_key.get_mut(key) {
            team.sandboxes = team.sandboxes.saturating_sub(1);
        }
    }

    fn forget_idle(&mut self, now: Instant) {
        self.by_key.retain(|_, team| {
            team.sandboxes > 0 || !team.limiters.values().all(|limiter| limiter.is_full(now))
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{clock, plan::Plan};

    #[test]
    fn idle_teams_are_forgotten_and_busy_ones_are_not() {
        let (mut teams, limits, now) = (Teams::default(), Plan::Hobby.limits(), clock::now());
        let key = |n: usize| -> Arc<str> { format!("e2b_{n}").into() };
        for n in 0..MAX_TEAMS {
            teams.take(&key(n), "create", true, &limits, now).unwrap();
        }
        assert!(teams.reserve(&key(3), &limits));
        assert!(teams.take(&key(MAX_TEAMS), "create", true, &limits, now).is_err());
        let later = now + Duration::from_secs(60);
        assert!(teams.take(&key(MAX_TEAMS), "create", true, &limits, later).is_ok());
        assert_eq!(teams.by_key.len(), 2);
    }
}
