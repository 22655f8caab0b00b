use sandtower_core::Rng;

/// So many slots of one attempt each come round again and again, at every client alike.
const SLOTS: usize = 24;

/// A slot is longer than the interval by this part of it, so that one attempt may be on the way a
/// little longer than the one before.
const SPARE: u64 = 80;

/// What an attempt answered with a success pays towards one that is answered 429: fewer than one in a
/// hundred.
const FUNDING: f64 = 0.006;

/// So many may fail in a row before the first has succeeded.
const FUNDS: f64 = 6.0;

/// The share of one client in a limit of one at once that others use too.
///
/// Nothing tells what remains of one: it is all or nothing, and every look costs an attempt. So time
/// is a round of slots, as long for each client; one that passed comes again at the same point of
/// the round, since the others keep to theirs. Now and then, as far as successes pay for it, a
/// client tries another point, or comes a little sooner, which closes gaps.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Nanoseconds; 0 as long as nothing is shared.
    interval: u64,
    slots: Vec<Slot>,
    funds: f64,
    trial: Option<u64>,
    /// How often in a row it found no room.
    failures: u32,
    rng: Rng,
}

#[derive(Debug)]
struct Slot {
    next: u64,
    /// By how much to come sooner when that is tried.
    step: u64,
    /// By how much its attempt under way came sooner.
    sooner: u64,
    /// By how much its next attempt comes sooner.
    will_be_sooner: u64,
    /// The attempt that it had last, and whether it was tried there for the first time.
    attempt: u64,
    tried: bool,
    strikes: u8,
}

impl Frame {
    pub(crate) fn new(rng: Rng) -> Self {
        Self { interval: 0, slots: Vec::new(), funds: FUNDS, trial: None, failures: 0, rng }
    }

    pub(crate) fn begin(&mut self, interval: u64) {
        self.interval = interval;
    }

    fn length(&self) -> u64 {
        (self.interval + self.interval / SPARE).saturating_mul(SLOTS as u64)
    }

    fn spare(&self) -> u64 {
        self.interval / SPARE
    }

    /// When the next attempt goes.
    pub(crate) fn opens(&mut self, now: u64) -> u64 {
        let (length, grace) = (self.length().max(1), self.spare() / 2);
        let slot_length = length / SLOTS as u64;
        for slot in &mut self.slots {
            if slot.next.saturating_add(grace) < now {
                let rounds = (now - slot.next - grace).div_ceil(length);
                slot.next = slot.next.saturating_add(rounds.saturating_mul(length));
            }
        }
        if self.slots.len() < SLOTS && (self.funds >= 1.0 || self.slots.is_empty()) {
            let mut part = self.rng.u64(..length << self.failures.min(8));
            if self.rng.bool()
                && self.failures < 8
                && let Some(slot) = self.slots.get(self.failures as usize)
            {
                // Right behind one of its own there is no gap to lose.
                part = slot.next.saturating_add(slot_length).saturating_sub(now) % length;
            }
            let at = *self.trial.get_or_insert(now.saturating_add(part));
            if at.saturating_add(self.interval) < now {
                self.trial = Some(now.saturating_add(part));
            }
        } else {
            self.trial = None;
        }
        let slots = self.slots.iter().map(|slot| slot.next);
        slots.chain(self.trial).min().unwrap_or(u64::MAX)
    }

    /// The attempt of this number goes.
    #[inline]
    pub(crate) fn took(&mut self, now: u64, attempt: u64) {
        if self.interval > 0 {
            self.took_a_slot(now, attempt);
        }
    }

    fn took_a_slot(&mut self, now: u64, attempt: u64) {
        let (length, spare) = (self.length(), self.spare());
        let first = self.slots.iter_mut().min_by_key(|slot| slot.next);
        let Some(first) = first.filter(|slot| slot.next <= now) else {
            if self.trial.is_some_and(|trial| trial <= now) {
                self.open(now, attempt);
            }
            return;
        };
        first.sooner = std::mem::take(&mut first.will_be_sooner);
        (first.attempt, first.tried) = (attempt, false);
        first.next = first.next.saturating_add(length);
        if self.funds >= 1.0 && first.step > spare && self.rng.bool() {
            first.will_be_sooner = first.step;
            first.next -= first.step;
        }
    }

    /// Tries whether there is room here.
    fn open(&mut self, now: u64, attempt: u64) {
        self.trial = None;
        if self.slots.len() < SLOTS {
            let next = now.saturating_add(self.length());
            let step = self.interval / 4;
            self.slots.push(Slot {
                next,
                step,
                sooner: 0,
                will_be_sooner: 0,
                attempt,
                tried: true,
                strikes: 0,
            });
        }
    }

    pub(crate) fn give_back(&mut self, attempt: u64) {
        self.slots.retain(|slot| !(slot.attempt == attempt && slot.tried));
    }

    pub(crate) fn passed(&mut self, attempt: u64) {
        self.funds = (self.funds + FUNDING).min(FUNDS);
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.attempt == attempt) {
            if std::mem::take(&mut slot.tried) {
                self.failures = 0;
            }
            slot.strikes = 0;
        }
    }

    pub(crate) fn throttled(&mut self, attempt: u64) {
        self.funds = (self.funds - 1.0).max(-FUNDS);
        let spare = self.spare();
        let Some(here) = self.slots.iter().position(|slot| slot.attempt == attempt) else { return };
        let slot = &mut self.slots[here];
        slot.strikes += 1;
        if slot.tried || slot.strikes > 2 {
            self.failures += u32::from(slot.tried);
            self.slots.swap_remove(here);
            return;
        }
        match std::mem::take(&mut slot.sooner) {
            0 => slot.next = slot.next.saturating_add(spare),
            sooner => {
                // It was free where it was before.
                (slot.next, slot.step, slot.strikes) =
                    (slot.next.saturating_add(sooner), sooner / 2, 0);
            }
        }
    }
}
