//! Which parameters decay, and how fast.

use std::ops::Range;

use mlcls_engine::{ParamKind, ParamSpec};

/// Weight decay of every element of a parameter vector, stored as runs of elements that share a coefficient.
///
/// ```
/// use mlcls_train::WeightDecay;
///
/// // What OTX's recipes do: everything decays, norms and biases included.
/// let decay = WeightDecay::uniform(1000, 5e-4);
/// assert_eq!(decay.len(), 1000);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct WeightDecay {
    runs: Vec<Run>,
}

/// Elements from the end of the run before it to `end`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    end: usize,
    decay: f32,
}

impl WeightDecay {
    /// The same coefficient for all `len` elements; 0 is no decay.
    pub fn uniform(len: usize, coefficient: f64) -> Self {
        Self { runs: vec![Run { end: len, decay: coefficient as f32 }] }
    }

    /// `coefficient` for convolution and linear weights; none for biases, norm scales and shifts, and PReLU slopes
    /// ("no bias decay", He et al., arXiv 1812.01187). `params` is what [`Graph::params`](mlcls_engine::Graph::params)
    /// gives.
    pub fn no_bias(params: &[ParamSpec], coefficient: f64) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for param in params {
            let decay = match param.kind {
                ParamKind::Weight => coefficient as f32,
                ParamKind::Bias | ParamKind::NormWeight | ParamKind::NormBias | ParamKind::Slope => 0.0,
            };
            let end = param.range().end;
            match runs.last_mut() {
                Some(last) if last.decay == decay => last.end = end,
                _ => runs.push(Run { end, decay }),
            }
        }
        Self { runs }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.runs.last().map_or(0, |run| run.end)
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The runs of the chunk of `len` elements from `start`: ranges inside the chunk, and their coefficients.
    pub(super) fn runs(&self, start: usize, len: usize) -> impl Iterator<Item = (Range<usize>, f32)> {
        let first = self.runs.partition_point(|run| run.end <= start);
        let mut at = 0;
        self.runs[first..].iter().map_while(move |run| {
            let range = at..(run.end - start).min(len);
            at = range.end;
            (!range.is_empty()).then_some((range, run.decay))
        })
    }
}

#[cfg(test)]
mod tests {
    use mlcls_engine::Init;

    use super::*;

    fn params() -> Vec<ParamSpec> {
        let kinds = [
            (3, ParamKind::Weight),
            (2, ParamKind::NormWeight),
            (2, ParamKind::NormBias),
            (4, ParamKind::Weight),
            (1, ParamKind::Weight),
            (1, ParamKind::Bias),
            (1, ParamKind::Slope),
        ];
        let mut offset = 0;
        let spec = |(len, kind): (usize, ParamKind)| {
            offset += len;
            let (name, init) = (format!("p{offset}"), Init::Constant(0.0));
            ParamSpec { name, shape: vec![len], offset: offset - len, kind, init }
        };
        kinds.into_iter().map(spec).collect()
    }

    #[test]
    fn only_weights_decay_and_neighbours_share_a_run() {
        let decay = WeightDecay::no_bias(&params(), 0.5);
        let whole: Vec<_> = decay.runs(0, decay.len()).collect();
        assert_eq!(whole, [(0..3, 0.5), (3..7, 0.0), (7..12, 0.5), (12..14, 0.0)]);
    }

    #[test]
    fn chunks_see_their_part_of_the_runs() {
        let decay = WeightDecay::no_bias(&params(), 0.5);
        let expand = |start: usize, len: usize| -> Vec<f32> {
            let runs = decay.runs(start, len);
            runs.flat_map(|(range, decay)| range.map(move |_| decay)).collect()
        };
        let whole = expand(0, decay.len());
        assert_eq!(whole.len(), decay.len());
        for start in 0..decay.len() {
            for len in 0..=decay.len() - start {
                assert_eq!(expand(start, len), whole[start..start + len], "{len} elements from {start}");
            }
        }
    }

    #[test]
    fn no_parameters_are_no_runs() {
        assert!(WeightDecay::no_bias(&[], 0.5).is_empty());
        assert_eq!(WeightDecay::uniform(0, 0.5).runs(0, 0).count(), 0);
    }
}
