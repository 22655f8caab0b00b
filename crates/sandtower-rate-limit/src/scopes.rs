use std::time::Duration;

use sandtower_core::{Scope, Seed, Tick};

use crate::{Learned, Pace, Shadow};

/// As many as one operation keeps apart: traffic cannot make it grow. One more takes the place of the
/// one that was silent for longest.
const MOST: usize = 64;

/// What is known of the server's limits on one operation, by scope.
#[derive(Debug)]
pub(crate) struct Scopes {
    known: Vec<(Scope, Shadow)>,
    seed: Seed,
    pace: Option<Pace>,
    longest_hold: Duration,
}

impl Scopes {
    pub(crate) fn new(seed: Seed, pace: Option<Pace>, longest_hold: Duration) -> Self {
        Self { known: Vec::new(), seed, pace, longest_hold }
    }

    /// What is known of `scope`; what was learned longer than `believed` ago is forgotten.
    #[inline]
    pub(crate) fn at(&mut self, scope: Scope, now: Tick, believed: Duration) -> &mut Shadow {
        let here = self.known.iter().position(|(other, _)| *other == scope);
        let here = match here {
            Some(here) => {
                let latest = self.known[here].1.latest();
                if latest > 0 && Tick::from_nanos(latest) + believed < now {
                    self.known[here].1 = self.fresh();
                }
                here
            }
            None => self.make_room(scope),
        };
        &mut self.known[here].1
    }

    /// The same, if anything is known and not forgotten.
    #[inline]
    pub(crate) fn known(
        &mut self,
        scope: Scope,
        now: Tick,
        believed: Duration,
    ) -> Option<&mut Shadow> {
        let shadow = self.get_mut(scope)?;
        (Tick::from_nanos(shadow.latest()) + believed >= now).then_some(shadow)
    }

    pub(crate) fn get(&self, scope: Scope) -> Option<&Shadow> {
        self.known.iter().find(|(other, _)| *other == scope).map(|(_, shadow)| shadow)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, scope: Scope) -> Option<&mut Shadow> {
        self.known.iter_mut().find(|(other, _)| *other == scope).map(|(_, shadow)| shadow)
    }

    /// All that was learned.
    pub(crate) fn learned(&self) -> impl Iterator<Item = (Scope, Learned)> {
        self.known.iter().filter_map(|(scope, shadow)| Some((*scope, shadow.learned()?)))
    }

    fn make_room(&mut self, scope: Scope) -> usize {
        let fresh = (scope, self.fresh());
        if self.known.len() < MOST {
            self.known.push(fresh);
            return self.known.len() - 1;
        }
        let silent = self.known.iter().enumerate().min_by_key(|(_, (_, shadow))| shadow.latest());
        let silent = silent.map_or(0, |(index, _)| index);
        self.known[silent] = fresh;
        silent
    }

    fn fresh(&self) -> Shadow {
        let shadow = Shadow::new(self.seed.rng().u64(..)).longest_hold(self.longest_hold);
        match self.pace {
            Some(pace) => shadow.knowing(pace),
            None => shadow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn museum_24_no_number_of_scopes_makes_it_grow() {
        let mut scopes = Scopes::new(Seed::fixed(1), None, HOUR);
        for id in 0..10_000 {
            let now = Tick::from_nanos(id);
            let _ = scopes.at(Scope::new(id), now, HOUR).took(now);
        }
        assert_eq!(scopes.known.len(), MOST);
        assert!(scopes.get(Scope::new(9_999)).is_some());
    }
}
