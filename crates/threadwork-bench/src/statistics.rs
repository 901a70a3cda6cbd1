//! Medians, spreads and ratios. No means: one bad sample out of twenty on a shared
//! machine would decide them.

use serde::Serialize;

/// A distribution in five numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The least.
    pub minimum: f64,
    /// One in ten is below.
    pub p10: f64,
    /// The middle.
    pub median: f64,
    /// One in ten is above.
    pub p90: f64,
    /// The greatest.
    pub maximum: f64,
}

impl Summary {
    /// Of the given values; `None` if there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (&minimum, &maximum) = (sorted.first()?, sorted.last()?);
        let at = |fraction| quantile(&sorted, fraction);
        Some(Summary {
            minimum,
            p10: at(0.1),
            median: at(0.5),
            p90: at(0.9),
            maximum,
        })
    }
}

/// The value below which `fraction` of the sorted values lie, linear between two of
/// them: Hyndman and Fan, "Sample quantiles in statistical packages", type 7, as in
/// R and NumPy.
///
/// # Panics
///
/// If there are no values.
pub fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let position = fraction.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (below, above) = (position.floor(), position.ceil());
    let (low, high) = (sorted[below as usize], sorted[above as usize]);
    low + (high - low) * (position - below)
}

/// The ratios of two contestants, round by round.
pub fn ratios(contestant: &[f64], baseline: &[f64]) -> Vec<f64> {
    contestant
        .iter()
        .zip(baseline)
        .map(|(value, base)| value / base)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_numpy() {
        // numpy.percentile([15, 20, 35, 40, 50], [0, 10, 40, 50, 90, 100])
        let values = [15.0, 20.0, 35.0, 40.0, 50.0];
        for (fraction, want) in [
            (0.0, 15.0),
            (0.1, 17.0),
            (0.4, 29.0),
            (0.5, 35.0),
            (0.9, 46.0),
            (1.0, 50.0),
        ] {
            assert!(
                (quantile(&values, fraction) - want).abs() < 1e-9,
                "{fraction}"
            );
        }
    }

    #[test]
    fn a_summary_sorts_first() {
        let summary = Summary::of([4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(
            (summary.minimum, summary.median, summary.maximum),
            (1.0, 2.5, 4.0)
        );
        assert_eq!(Summary::of([7.0]).unwrap().p90, 7.0);
        assert_eq!(Summary::of([]), None);
    }

    #[test]
    fn one_outlier_does_not_move_the_median_of_the_ratios() {
        // The machine was twice as slow in the second round, for both: no effect.
        // In the third only the baseline was disturbed: one ratio out of three.
        let ratios = ratios(&[10.0, 20.0, 10.0], &[100.0, 200.0, 900.0]);
        assert_eq!(Summary::of(ratios).unwrap().median, 0.1);
    }

    #[test]
    fn a_round_without_its_partner_does_not_count() {
        assert_eq!(ratios(&[1.0, 2.0], &[1.0]), [1.0]);
    }
}
