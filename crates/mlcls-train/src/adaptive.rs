//! What a run decides from the size of its data set, by OTX 1.6's formulas.

/// How often to validate, and how patient to be, from the number of steps per epoch: short epochs are validated less often.
///
/// ```text
/// cap                     = min(5, epochs)
/// interval                = max(round(cap * exp(-0.025 * steps_per_epoch)), 1)     (epochs; half to even)
/// plateau_patience        = max(ceil(5 / interval), 2)                             (validations)
/// early_stopping_patience = max(ceil(10 / interval), 3)                            (validations)
/// ```
///
/// | steps per epoch, repeats included | to 4 | 5 to 14 | 15 to 27 | 28 to 48 | from 49 |
/// |---|---|---|---|---|---|
/// | `interval` | 5 | 4 | 3 | 2 | 1 |
/// | `plateau_patience` | 2 | 2 | 2 | 3 | 5 |
/// | `early_stopping_patience` | 3 | 3 | 4 | 5 | 10 |
///
/// Early stopping counts from epoch `interval`, which is the first validation.
///
/// ```
/// use mlcls_train::AdaptiveInterval;
///
/// let adaptive = AdaptiveInterval::new(20, 90);
/// assert_eq!((adaptive.interval, adaptive.plateau_patience, adaptive.early_stopping_patience), (3, 2, 4));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveInterval {
    /// Epochs between two validations.
    pub interval: usize,
    /// Validations without improvement before the plateau schedule lowers the rate.
    pub plateau_patience: usize,
    /// Validations without improvement before the run ends.
    pub early_stopping_patience: usize,
}

impl AdaptiveInterval {
    /// For a run of `epochs` epochs of `steps_per_epoch` steps, repeats included.
    pub fn new(steps_per_epoch: usize, epochs: usize) -> Self {
        let cap = epochs.clamp(1, 5) as f64;
        let interval = (cap * (-0.025 * steps_per_epoch as f64).exp()).round_ties_even();
        let interval = (interval as usize).max(1);
        Self {
            interval,
            plateau_patience: 5usize.div_ceil(interval).max(2),
            early_stopping_patience: 10usize.div_ceil(interval).max(3),
        }
    }
}

/// How many times each image is used per epoch, from the number of batches that the images make: small sets are repeated,
/// so that an epoch is worth a validation.
///
/// `floor(max(5 - 0.7 * sqrt(ceil(images / batch_size) - 1), 1))`:
///
/// | batches | 1 | 2 to 3 | 4 to 9 | 10 to 19 | from 20 |
/// |---|---|---|---|---|---|
/// | repeats | 5 | 4 | 3 | 2 | 1 |
///
/// ```
/// assert_eq!(mlcls_train::adaptive_repeats(500, 64), 3); // 8 batches
/// ```
pub fn adaptive_repeats(images: usize, batch_size: usize) -> usize {
    let batches = images.div_ceil(batch_size.max(1)).max(1);
    (5.0 - 0.7 * ((batches - 1) as f64).sqrt()).max(1.0) as usize
}
