use sandtower_core::{Effect, Outcome, Replay, RequestInfo, Verdict};

/// Which failures are worth an alternative.
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
    /// Transient and unknown failures, and rejections of layers below, such as an open breaker's. A
    /// service that throttles, is full or says a clear no is alive, and another would often say the
    /// same.
    pub const fn recommended() -> Self {
        Self::never().on(Outcome::Transient).on(Outcome::Unknown).on(Outcome::Rejected)
    }

    /// No failure: to [add](Self::on) those that are.
    pub const fn never() -> Self {
        Self { outcomes: 0 }
    }

    /// Failures of this outcome as well. A success is none, whatever is said here.
    #[must_use]
    pub const fn on(mut self, outcome: Outcome) -> Self {
        self.outcomes |= bit(outcome);
        self
    }

    /// Failures of this outcome not.
    #[must_use]
    pub const fn not_on(mut self, outcome: Outcome) -> Self {
        self.outcomes &= !bit(outcome);
        self
    }

    /// Whether failures of this outcome are worth an alternative.
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

/// Whether an attempt that ended in `verdict` may be made again elsewhere without harm.
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
    fn what_is_added_is_covered_and_what_is_taken_away_is_not() {
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
    fn what_may_have_had_an_effect_is_harmless_only_if_it_is_safe_to_replay() {
        let (none, maybe) = (Verdict::transient(Effect::None), Verdict::transient(Effect::Maybe));
        let safe = RequestInfo::default().replay(Replay::Safe);
        assert!(is_harmless(&RequestInfo::default(), &none));
        assert!(!is_harmless(&RequestInfo::default(), &maybe));
        assert!(is_harmless(&safe, &maybe));
    }
}
