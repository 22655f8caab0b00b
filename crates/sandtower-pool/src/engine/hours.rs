use std::time::Duration;

use sandtower_core::Tick;

use crate::wall::Wall;

/// Which hour it is, and whether it was seen from its beginning.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hours {
    last: Option<(Wall, Tick)>,
    is_whole: bool,
}

/// What became of the hour since the look before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// It goes on.
    Nothing,
    /// It has ended; it had this number in its week.
    Ended(usize),
    /// It has ended, or goes on at another time: what came in it counts for no hour.
    Broken { jumped: bool },
}

/// Wall time that runs this much apart from the monotonic clock has jumped.
const JUMP: u64 = 60;
const HOUR: i64 = 3_600;
/// Seen from this early on, an hour is whole.
const EARLY: i64 = 60;

impl Hours {
    pub(super) fn pass(&mut self, wall: Wall, now: Tick) -> Passed {
        let Some((before, at)) = self.last.replace((wall, now)) else {
            self.is_whole = wall.0.rem_euclid(HOUR) < EARLY;
            return Passed::Nothing;
        };
        let ran = i64::try_from(now.since(at).as_secs()).unwrap_or(i64::MAX);
        if wall.0.saturating_sub(before.0).saturating_sub(ran).unsigned_abs() > JUMP {
            self.is_whole = false;
            return Passed::Broken { jumped: true };
        }
        match wall.0.div_euclid(HOUR) - before.0.div_euclid(HOUR) {
            0 => Passed::Nothing,
            1 if self.is_whole => Passed::Ended(before.hour_of_week()),
            hours => {
                self.is_whole = hours == 1;
                Passed::Broken { jumped: false }
            }
        }
    }

    /// The hour of the week `ahead` of now; `None`: wall time is not known yet.
    pub(super) fn ahead(&self, ahead: Duration) -> Option<usize> {
        let (wall, _) = self.last?;
        let ahead = i64::try_from(ahead.as_secs()).unwrap_or(0);
        Some(Wall(wall.0.saturating_add(ahead)).hour_of_week())
    }

    pub(super) fn wall(&self) -> Option<Wall> {
        self.last.map(|(wall, _)| wall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Tick {
        Tick::ZERO + Duration::from_secs(second)
    }

    #[test]
    fn whole_hours_end_and_the_first_is_seldom_whole() {
        let mut hours = Hours::default();
        assert_eq!(hours.pass(Wall(1_800), at(0)), Passed::Nothing);
        assert_eq!(hours.pass(Wall(3_600), at(1_800)), Passed::Broken { jumped: false });
        assert_eq!(hours.pass(Wall(7_199), at(5_399)), Passed::Nothing);
        // Thursday, 1 o'clock.
        assert_eq!(hours.pass(Wall(7_200), at(5_400)), Passed::Ended(73));
    }

    #[test]
    fn a_clock_that_jumps_breaks_the_hour() {
        let mut hours = Hours::default();
        hours.pass(Wall(0), at(0));
        for (wall, second) in [(86_400, 10), (0, 20), (i64::MAX, 30), (i64::MIN, 40)] {
            assert_eq!(hours.pass(Wall(wall), at(second)), Passed::Broken { jumped: true });
        }
    }
}
