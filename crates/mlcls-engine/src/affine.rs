//! What a batch-norm comes to once its statistics are fixed.

/// `scale * x + shift` per channel: a batch-norm with its running statistics, ready to be folded into the layer in front.
///
/// A layer with weight rows `w[o]` and bias `b` followed by a batch-norm is the layer with rows `scale[o] * w[o]` and bias
/// `batch_norm(..).behind_bias(b).shift`.
///
/// ```
/// use mlcls_engine::Affine;
///
/// let norm = Affine::batch_norm(0.0, &[2.0], &[1.0], &[3.0], &[4.0]); // (x - 3) / sqrt(4) * 2 + 1
/// assert_eq!(norm, Affine { scale: vec![1.0], shift: vec![-2.0] });
/// assert_eq!(norm.behind_bias(&[0.5]).shift, [-1.5]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// Factor per channel.
    pub scale: Vec<f32>,
    /// What is added per channel.
    pub shift: Vec<f32>,
}

impl Affine {
    /// No change.
    pub fn identity(channels: usize) -> Self {
        Self { scale: vec![1.0; channels], shift: vec![0.0; channels] }
    }

    /// `(x - mean) / sqrt(variance + eps) * weight + bias`; the slices hold a value per channel. Computed in double
    /// precision, rounded once.
    pub fn batch_norm(eps: f32, weight: &[f32], bias: &[f32], mean: &[f32], variance: &[f32]) -> Self {
        let per_channel = weight.iter().zip(bias).zip(mean.iter().zip(variance));
        let (scale, shift) = per_channel
            .map(|((&weight, &bias), (&mean, &variance))| {
                let scale = f64::from(weight) / (f64::from(variance) + f64::from(eps)).sqrt();
                (scale as f32, (f64::from(bias) - f64::from(mean) * scale) as f32)
            })
            .unzip();
        Self { scale, shift }
    }

    /// The same where the layer in front has a bias, which is thereby taken in.
    #[must_use]
    pub fn behind_bias(mut self, bias: &[f32]) -> Self {
        self.shift.iter_mut().zip(bias).zip(&self.scale).for_each(|((shift, b), k)| *shift += b * k);
        self
    }
}
