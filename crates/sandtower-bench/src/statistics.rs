//! Many samples in a few numbers.

/// The smallest sample: what it costs when nothing disturbs. Infinite if there is none.
pub fn min(samples: &[f64]) -> f64 {
    samples.iter().copied().fold(f64::INFINITY, f64::min)
}

/// As many samples are smaller as are greater; the mean of the middle two if there are two. Infinite
/// if there is none.
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.as_slice() {
        [] => f64::INFINITY,
        even if even.len() % 2 == 0 => f64::midpoint(even[half - 1], even[half]),
        odd => odd[half],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_samples_does_not_matter() {
        for samples in [[1.0, 2.0, 9.0], [9.0, 1.0, 2.0]] {
            assert_eq!((min(&samples), median(&samples)), (1.0, 2.0));
        }
    }

    #[test]
    fn of_an_even_number_the_median_lies_between_the_middle_two() {
        assert_eq!(median(&[4.0, 1.0, 2.0, 100.0]), 3.0);
    }

    #[test]
    fn without_samples_nothing_is_fast() {
        assert_eq!((min(&[]), median(&[])), (f64::INFINITY, f64::INFINITY));
    }
}
