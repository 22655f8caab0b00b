/// At which parts of a limit to warn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Levels<'a> {
    /// In percent of the limit, rising.
    pub(crate) percent: &'a [u8],
    /// By how many percent of the limit the count has to fall below a level before that level can
    /// warn again.
    pub(crate) margin: u8,
}

/// Warns once when a count rises to a level, and not again before it has clearly fallen: a count
/// that moves up and down around a level does not fill the logs.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// How many of the levels, from the lowest, have warned and not been armed again.
    warned: usize,
    /// Below this count no level is reached that has not warned. Of one limit, as is the next.
    quiet_below: u64,
    /// From this count on no level is armed again.
    armed_below: u64,
}

/// Has looked at no limit yet: it will at the next count, whatever that is.
impl Default for Alarm {
    fn default() -> Self {
        Self { warned: 0, quiet_below: 0, armed_below: u64::MAX }
    }
}

impl Alarm {
    /// Arms the levels again from which `count` has fallen by the margin.
    #[inline]
    pub(crate) fn fell(&mut self, levels: Levels<'_>, count: u64, limit: u64) {
        if count < self.armed_below {
            self.arm(levels, count, limit);
            self.remember(levels, limit);
        }
    }

    /// Whether [`rose`](Self::rose) may have news of `count`.
    #[inline]
    pub(crate) fn may_rise(&self, count: u64) -> bool {
        count >= self.quiet_below
    }

    /// The highest level that `count` has reached, if that is news.
    pub(crate) fn rose(&mut self, levels: Levels<'_>, count: u64, limit: u64) -> Option<u8> {
        if !self.may_rise(count) {
            return None;
        }
        let reached = levels.percent.iter().take_while(|&&level| count >= part(limit, level));
        let reached = reached.count();
        let rises = reached > self.warned;
        self.warned = self.warned.max(reached);
        self.remember(levels, limit);
        if rises { levels.percent.get(reached - 1).copied() } else { None }
    }

    fn arm(&mut self, levels: Levels<'_>, count: u64, limit: u64) {
        let highest = |warned: usize| levels.percent.get(warned.checked_sub(1)?).copied();
        while let Some(percent) = highest(self.warned) {
            if count >= part(limit, percent.saturating_sub(levels.margin)) {
                return;
            }
            self.warned -= 1;
        }
    }

    fn remember(&mut self, levels: Levels<'_>, limit: u64) {
        let next = levels.percent.get(self.warned);
        self.quiet_below = next.map_or(u64::MAX, |&level| part(limit, level));
        let last = self.warned.checked_sub(1).and_then(|last| levels.percent.get(last));
        self.armed_below =
            last.map_or(0, |&level| part(limit, level.saturating_sub(levels.margin)));
    }
}

/// The least count that is so many percent of `limit`.
fn part(limit: u64, percent: u8) -> u64 {
    let part = (u128::from(limit) * u128::from(percent)).div_ceil(100);
    u64::try_from(part).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels() -> Levels<'static> {
        Levels { percent: &[80, 100], margin: 5 }
    }

    /// What an alarm says while the count takes these values.
    fn told(limit: u64, counts: impl IntoIterator<Item = u64>) -> Vec<(u64, u8)> {
        let mut alarm = Alarm::default();
        let tell = |count| {
            alarm.fell(levels(), count, limit);
            alarm.rose(levels(), count, limit).map(|level| (count, level))
        };
        counts.into_iter().filter_map(tell).collect()
    }

    #[test]
    fn each_level_warns_once_on_the_way_up() {
        assert_eq!(told(100, 0..=150), [(80, 80), (100, 100)]);
    }

    #[test]
    fn a_count_that_trembles_around_a_level_warns_once() {
        assert_eq!(told(100, [79, 80, 79, 80, 76, 80, 75, 80]), [(80, 80)]);
    }

    #[test]
    fn a_count_that_clearly_fell_may_warn_again() {
        assert_eq!(told(100, [80, 74, 80]), [(80, 80), (80, 80)]);
        assert_eq!(told(100, [100, 94, 100, 0, 100]), [(100, 100), (100, 100), (100, 100)]);
    }

    #[test]
    fn a_jump_over_several_levels_warns_once_of_the_highest() {
        assert_eq!(told(1, [0, 1]), [(1, 100)]);
        assert_eq!(told(u64::MAX, [0, u64::MAX]), [(u64::MAX, 100)]);
    }
}
