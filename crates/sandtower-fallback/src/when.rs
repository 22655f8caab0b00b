use sandtower_core::{Effect, Outcome, Replay, RequestInfo, Verdict};

/// For which failures an alternative is used.
///
/// ```
/// use sandtower_core::Outcome;
/// use sandtower_fallback::When;
///
/// // Another region has limits and templates of its own.
/// let when = When::recommended().on(Outcome::Throttled).on(Outcome::Permanent);
/// assert!(when.covers(Outcome::Throttled));
/// assert!(!when.covers(Outcome::Success));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    outcomes: u16,
}

impl When {
    /// Transient and unknown failures, and rejections of layers below, such as an open breaker's. A service
    /// that throttles, is full or returns a permanent error is up, and another would often respond the
    /// same.
    pub const fn recommended() -> Self {
        Self::never().on(Outcome::Transient).on(Outcome::Unknown).on(Outcome::Rejected)
    }

    /// No failures; [add](Self::on) some.
    pub const fn never() -> Self {
        Self { outcomes: 0 }
    }

    /// Adds failures with this outcome. A success is never one.
    #[must_use]
    pub const fn on(mut self, outcome: Outcome) -> Self {
        self.outcomes |= bit(outcome);
        self
    }

    /// Removes failures with this outcome.
    #[must_use]
    pub const fn not_on(mut self, outcome: Outcome) -> Self {
        self.outcomes &= !bit(outcome);
        self
    }

    /// Whether it includes failures with this outcome.
    pub const fn covers(self, outcome: Outcome) -> bool {
        self.outcomes & bit(outcome) != 0 && !matches!(outcome, Outcome::Success)
    }
}

impl Default for When {
    fn default() -> Self {
        Self::recommended()
    }
}

const fn bit(outcome: Outcome) -> u16 {
    1 << outcome as u16
}

/// Whether an attempt with this `verdict` may be repeated elsewhere without harm.
pub(crate) fn is_harmless(info: &RequestInfo, verdict: &Verdict) -> bool {
    verdict.effect == Effect::None || info.replay == Replay::Safe
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Outcome; 8] = [
        Outcome::Success,
        Outcome::Transient,
        Outcome::Throttled,
        Outcome::Exhausted,
        Outcome::Permanent,
        Outcome::Unknown,
        Outcome::Rejected,
        Outcome::Cancelled,
    ];

    #[test]
    fn added_outcomes_are_covered_and_removed_ones_are_not() {
        for outcome in ALL {
            let failure = outcome != Outcome::Success;
            assert_eq!(When::never().on(outcome).covers(outcome), failure, "{outcome}");
            assert!(!When::recommended().on(outcome).not_on(outcome).covers(outcome), "{outcome}");
            let others = ALL.into_iter().filter(|other| *other != outcome);
            let covered = |other| When::never().on(outcome).covers(other);
            assert!(!others.into_iter().any(covered), "{outcome}");
        }
    }

    #[test]
    fn an_attempt_that_may_have_had_an_effect_is_harmless_only_if_safe_to_replay() {
        let (none, maybe) = (Verdict::transient(Effect::None), Verdict::transient(Effect::Maybe));
        let safe = RequestInfo::default().replay(Replay::Safe);
        assert!(is_harmless(&RequestInfo::default(), &none));
        assert!(!is_harmless(&RequestInfo::default(), &maybe));
        assert!(is_harmless(&safe, &maybe));
    }
}
