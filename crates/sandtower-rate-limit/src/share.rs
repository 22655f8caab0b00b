use sandtower_core::{Allowance, Rng};

/// Steered more finely, the answers of clients under way together would be taken twice.
const STEER: f64 = 0.4;

/// How much of an error makes the period longer, in intervals, ...
const SLOWER: f64 = 0.08;

/// ... and how much makes it shorter, as a part of it. A sum up and a product down bring the shares
/// of all clients together.
const FASTER: f64 = 0.008;

/// Below this burst what remains says too little to be steered by.
pub(crate) const COARSE: u64 = 3;

/// What remains is steered to this part of the burst: more wastes some of the rate when little is
/// asked for, less lets more attempts meet a 429.
const WANTED: f64 = 0.55;

/// Who waited for no longer than this is as good as fresh, in nanoseconds.
const MOMENT: u64 = 250_000_000;

/// The share of one client in a limit that others use too: one attempt a period.
///
/// All clients see what remains. Too little, and each goes later, by an interval for each that is
/// missing; the period follows slowly. Too much, and each goes sooner. They need to know neither
/// how many they are nor each other.
#[derive(Debug)]
pub(crate) struct Share {
    /// Nanoseconds; 0 as long as nothing is shared.
    period: u64,
    /// When the next attempt goes.
    next: u64,
    rng: Rng,
}

impl Share {
    pub(crate) fn new(rng: Rng) -> Self {
        Self { period: 0, next: 0, rng }
    }

    /// Others were seen.
    pub(crate) fn begin(&mut self, interval: u64, now: u64) {
        if self.period == 0 {
            self.period = interval.saturating_mul(4);
        }
        self.next = self.next.max(now.saturating_add(self.part()));
    }

    /// A random part of a period.
    fn part(&mut self) -> u64 {
        self.rng.u64(..self.period.max(1))
    }

    pub(crate) fn took(&mut self, now: u64) {
        if self.period > 0 {
            // What was not used is saved up, half an attempt at most.
            let saved = now.saturating_sub(self.period / 2);
            self.next = self.next.max(saved).saturating_add(self.period);
        }
    }

    pub(crate) fn give_back(&mut self) {
        self.next = self.next.saturating_sub(self.period);
    }

    pub(crate) fn passed(&mut self, told: &Allowance, interval: u64) {
        if self.period == 0 {
            return;
        }
        let (interval, period) = (interval as f64, self.period as f64);
        let wanted = told.limit as f64 * WANTED;
        let error = told.remaining as f64 + 0.5 - wanted;
        let shift = STEER * interval * error;
        self.next = (self.next as f64 - shift.min(period * 0.5)).max(0.0) as u64;
        let mut period = match error < 0.0 {
            true => period - SLOWER * interval * error,
            false => period * (1.0 - FASTER * error),
        };
        if told.remaining + 1 >= told.limit {
            // The server was full when it came: capacity is going to waste.
            period *= 0.75;
        }
        self.set_period(period, interval);
    }

    pub(crate) fn throttled(&mut self, interval: u64, held: u64) {
        if self.period == 0 {
            return;
        }
        self.set_period(self.period as f64 * 1.1, interval as f64);
        let part = self.part();
        self.next = self.next.max(held.saturating_add(part));
    }

    fn set_period(&mut self, period: f64, interval: f64) {
        self.period = period.clamp(interval * 0.5, interval * 1e4) as u64;
    }

    /// When the next goes, of one who has been in line since `arrived`. Who waits for longer than a
    /// moment leaves what was saved up to those who come fresh, as long as nothing is lost by it.
    pub(crate) fn opens(&self, arrived: u64) -> u64 {
        let stale = self.next.saturating_sub(arrived) > MOMENT;
        match stale {
            true => self.next.saturating_add(self.period / 4 * 3),
            false => self.next,
        }
    }
}
