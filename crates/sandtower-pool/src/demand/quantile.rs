//! The smallest stock that serves nearly all arrivals of a Poisson process.

/// Above this mean the normal approximation is used: its error is below one sandbox there, and the exact sum
/// would underflow at 745.
const EXACT_BELOW: f64 = 200.0;

/// The smallest stock of which an arrival finds one left with probability `served`, if each hand-out is
/// replaced after a lead time, in which `mean` others arrive on average.
///
/// A stock of `s` runs out when `s` or more are being replaced, and that number is Poisson distributed
/// (a base-stock policy; Axsäter, Inventory Control, section 5.6).
pub(crate) fn stock_for(mean: f64, served: f64) -> u32 {
    if !mean.is_finite() || mean <= 0.0 {
        return 0;
    }
    if mean > EXACT_BELOW {
        // 3.3 standard deviations: 99.95 %.
        return (mean + 3.3 * mean.sqrt()).ceil() as u32;
    }
    let mut term = (-mean).exp();
    let mut sum = term;
    let mut stock = 1;
    while sum < served && stock < 1_000 {
        term *= mean / f64::from(stock);
        sum += term;
        stock += 1;
    }
    stock
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_quantile_of_the_poisson_distribution() {
        // P(N <= 3) = 0.99825 and P(N <= 4) = 0.99983 for a mean of 0.5.
        assert_eq!(stock_for(0.5, 0.998), 4);
        assert_eq!(stock_for(0.5, 0.999), 5);
        assert_eq!(stock_for(0.0, 0.999), 0);
        assert_eq!(stock_for(f64::NAN, 0.999), 0);
        assert_eq!(stock_for(1e-9, 0.999), 1);
        assert!((244..250).contains(&stock_for(199.0, 0.9995)), "{}", stock_for(199.0, 0.9995));
        assert!((246..251).contains(&stock_for(201.0, 0.9995)), "{}", stock_for(201.0, 0.9995));
    }
}
