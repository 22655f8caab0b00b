//! The budget that retries are paid from.

mod scopes;
mod sync;
mod tokens;

use std::num::NonZeroU32;
use std::sync::Arc;

use sandtower_core::{Now, Outcome, Scope, Tick};
use serde::{Deserialize, Serialize};

use self::scopes::Scopes;
use self::tokens::Tokens;

/// A budget that responses fund and retries spend: while the service works, failures are retried; when it
/// is down, the budget is soon empty, and a call costs little more than one attempt.
///
/// A budget starts full. Every response that [shows the service
/// alive](sandtower_core::Verdict::shows_service_alive) deposits a fraction of a token, be it a success or
/// a permanent error such as 404. Every retry withdraws a token before it is sent, and nothing is refunded
/// if it fails or is cancelled. Time deposits nothing, so that a long outage is not a slow retry storm.
///
/// Clones share one budget, and several layers may. Each [`Scope`] has its own. That of [`Scope::ALL`]
/// always exists; others are kept while they are not full and their scope had a call within 10 minutes,
/// at most 1,024 of them. When that many are active, further scopes share one budget, and a `WARN` event
/// with the target `sandtower::retry` is logged.
///
/// ```
/// use std::num::NonZeroU32;
/// use sandtower_core::{Now, Outcome, Scope, Tick};
/// use sandtower_retry::Budget;
///
/// let budget = Budget::new(0.2, NonZeroU32::new(2).unwrap())?;
/// let pay = || budget.withdraw(Scope::ALL, Outcome::Transient, Tick::now());
/// assert!(pay() && pay());
/// assert!(!pay());
/// for _ in 0..5 {
///     budget.deposit(Scope::ALL, &Now::new());
/// }
/// assert!(pay());
/// # Ok::<(), sandtower_retry::BudgetError>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
pub struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    terms: Terms,
    all: Tokens,
    scopes: Scopes,
}

/// In thousandths of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Terms {
    share: u64,
    cap: u64,
    /// Costs after transient failures, throttled and unknown ones.
    costs: [u64; 3],
}

impl Terms {
    fn cost(&self, outcome: Outcome) -> u64 {
        let [transient, throttled, unknown] = self.costs;
        match outcome {
            Outcome::Transient => transient,
            Outcome::Throttled | Outcome::Exhausted => throttled,
            _ => unknown,
        }
    }
}

/// One token. Fixed point: a share of 0.6 is 600, not rounded to nothing or to a whole.
const TOKEN: u64 = 1_000;

impl Budget {
    /// A fifth of a token for each response that shows the service alive, ten at most. In simulations of 1 to 100 calls a second
    /// this cures 99.8 % of calls when a tenth of attempts fail at random, and costs a call 1.03
    /// attempts in a total outage of five minutes.
    pub fn recommended() -> Self {
        Self::with(Terms { share: TOKEN / 5, cap: 10 * TOKEN, costs: [TOKEN; 3] })
    }

    /// `share` of a token for each response that shows the service alive, at most `cap` tokens.
    ///
    /// # Errors
    ///
    /// A share that is not between 0.001 and 1: less is nothing, and more would pay for more
    /// retries than there are responses.
    pub fn new(share: f64, cap: NonZeroU32) -> Result<Self, BudgetError> {
        if !(0.001..=1.0).contains(&share) {
            return Err(BudgetError::Share { share });
        }
        let share = thousandths(share);
        Ok(Self::with(Terms { share, cap: u64::from(cap.get()) * TOKEN, costs: [TOKEN; 3] }))
    }

    fn with(terms: Terms) -> Self {
        let (all, scopes) = (Tokens::new(terms.cap), Scopes::new(terms));
        Self { shared: Arc::new(Shared { terms, all, scopes }) }
    }

    /// The same budget with other costs, in tokens, for retries after transient failures, throttled and
    /// unknown ones; the default is one token each. Starts full.
    ///
    /// # Errors
    ///
    /// A cost that is not between 0.001 and 1,000.
    pub fn costs(&self, transient: f64, throttled: f64, unknown: f64) -> Result<Self, BudgetError> {
        let costs = [transient, throttled, unknown];
        if let Some(&cost) = costs.iter().find(|cost| !(0.001..=1_000.0).contains(*cost)) {
            return Err(BudgetError::Cost { cost });
        }
        let costs = costs.map(thousandths);
        Ok(Self::with(Terms { costs, ..self.shared.terms }))
    }

    /// A response showed the service alive. A full budget is only read; the clock is read for a scope
    /// that has spent something.
    #[inline]
    pub fn deposit(&self, scope: Scope, now: &Now) {
        let Shared { terms, all, scopes } = &*self.shared;
        match scope {
            Scope::ALL => {
                all.deposit(terms.share, terms.cap);
            }
            scope => scopes.deposit(scope, now),
        }
    }

    /// Pays for one retry after `outcome`; `false` if there is not enough.
    pub fn withdraw(&self, scope: Scope, outcome: Outcome, now: Tick) -> bool {
        let cost = self.shared.terms.cost(outcome);
        if scope == Scope::ALL {
            return self.shared.all.withdraw(cost);
        }
        let withdrawal = self.shared.scopes.withdraw(scope, cost, now);
        if withdrawal.tell_overflow {
            tracing::warn!(
                target: crate::TARGET,
                scopes = scopes::MOST,
                "retry budgets are full of active scopes: further scopes share one"
            );
        }
        withdrawal.paid
    }

    /// The tokens left.
    pub fn snapshot(&self) -> BudgetSnapshot {
        BudgetSnapshot {
            thousandths: self.shared.all.left(),
            cap: self.shared.terms.cap / TOKEN,
            scopes_in_use: self.shared.scopes.len(),
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::recommended()
    }
}

/// The settings of a [`Budget`] in a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    ratio: f64,
    cap: NonZeroU32,
    /// Costs after transient failures, throttled and unknown ones.
    #[serde(default = "one_each")]
    costs: [f64; 3],
}

fn one_each() -> [f64; 3] {
    [1.0; 3]
}

impl TryFrom<Form> for Budget {
    type Error = BudgetError;

    fn try_from(form: Form) -> Result<Self, BudgetError> {
        let [transient, throttled, unknown] = form.costs;
        Self::new(form.ratio, form.cap)?.costs(transient, throttled, unknown)
    }
}

impl From<Budget> for Form {
    fn from(budget: Budget) -> Self {
        let Terms { share, cap, costs } = budget.shared.terms;
        let tokens = |thousandths: u64| thousandths as f64 / TOKEN as f64;
        // The cap came from a `NonZeroU32`.
        let cap = u32::try_from(cap / TOKEN).ok().and_then(NonZeroU32::new);
        let cap = cap.unwrap_or(NonZeroU32::MIN);
        Self { ratio: tokens(share), cap, costs: costs.map(tokens) }
    }
}

/// A snapshot of a [`Budget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BudgetSnapshot {
    /// The tokens left in the budget of [`Scope::ALL`], in thousandths.
    pub thousandths: u64,
    /// The capacity, in tokens.
    pub cap: u64,
    /// Other scopes whose budget is not full.
    pub scopes_in_use: usize,
}

/// Rounds; all numbers were validated as small and positive.
fn thousandths(tokens: f64) -> u64 {
    (tokens * TOKEN as f64).round() as u64
}

/// Invalid terms of a budget.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// The share of a token for each response.
    #[error("`ratio` is {share} of a token for each response; it must be 0.001 to 1")]
    Share {
        /// The value.
        share: f64,
    },
    /// The cost of a retry.
    #[error("the cost of a retry is {cost} tokens; it must be 0.001 to 1,000")]
    Cost {
        /// The value.
        cost: f64,
    },
}
