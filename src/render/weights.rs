//! Weights of the manifest are any numbers above zero; those of DNS engines are small whole ones.

/// Whole numbers from 1 to `most` in the proportions of `weights`, exact wherever that is possible, and how far the
/// worst share is off (as a fraction of all).
pub fn whole(weights: &[f64], most: u32) -> (Vec<u32>, f64) {
    let largest = weights.iter().copied().fold(0.0, f64::max);
    let total: f64 = weights.iter().sum();
    if weights.is_empty() || total <= 0.0 {
        return (Vec::new(), 0.0);
    }
    let error = |whole: &[u32]| {
        let sum: f64 = whole.iter().copied().map(f64::from).sum();
        let off = whole.iter().zip(weights).map(|(whole, weight)| (f64::from(*whole) / sum - weight / total).abs());
        off.fold(0.0, f64::max)
    };
    let scaled = |unit: f64| -> Vec<u32> {
        weights.iter().map(|weight| ((weight * unit).round() as u32).clamp(1, most)).collect()
    };
    // Small numbers that fit are best for readers: as they are, then in tenths, hundredths and thousandths.
    for unit in [1.0, 10.0, 100.0, 1000.0] {
        let whole = scaled(unit);
        if largest * unit <= f64::from(most) && error(&whole) < 1e-9 {
            return (whole, 0.0);
        }
    }
    // Else the finest scale there is, or a coarser one that happens to fit better (halves, thirds, …).
    let candidates = (0..64).map(|step| scaled((f64::from(most) - f64::from(step)).max(1.0) / largest));
    let best = candidates.map(|whole| (error(&whole), whole)).min_by(|(a, _), (b, _)| a.total_cmp(b));
    let (off, whole) = best.unwrap_or_default();
    (whole, off)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_whole_stays_as_it_is() {
        let check = |weights: &[f64], most, expect: &[u32]| assert_eq!(whole(weights, most).0, expect, "{weights:?}");
        check(&[25.0, 15.0], 255, &[25, 15]);
        check(&[1.0], 255, &[1]);
        check(&[0.5, 0.25], 255, &[50, 25]);
        check(&[2.5, 1.0], 255, &[25, 10]);
        check(&[1000.0, 500.0], 255, &[254, 127]);
        check(&[1_000_000.0, 0.1], 255, &[255, 1]);
        check(&[], 255, &[]);
    }

    proptest! {
        #[test]
        fn shares_stay_near(weights in proptest::collection::vec(0.01f64..1_000_000.0, 1..8)) {
            for most in [255, 1_048_575] {
                let (whole, off) = whole(&weights, most);
                prop_assert_eq!(whole.len(), weights.len());
                prop_assert!(whole.iter().all(|weight| (1..=most).contains(weight)));
                prop_assert!(off <= weights.len() as f64 / f64::from(most), "{whole:?} is off by {off}");
            }
        }
    }
}
