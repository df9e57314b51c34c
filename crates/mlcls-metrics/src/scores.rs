//! The one input of every metric: scores with what is known about the truth.

use crate::Error;

/// What is known about one label of one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The label is there.
    Present,
    /// The label is not there.
    Absent,
    /// Nobody said.
    Unknown,
}

/// Scores, targets and mask of `N` images and `C` labels, checked once.
///
/// All arrays are row-major `[N, C]`. A higher score means "rather present". Average precision looks only at the order
/// of the scores; the metrics at a threshold compare the score with it, so probabilities and logits are both fine as
/// long as the threshold is of the same kind. Infinite scores are allowed.
#[derive(Debug, Clone, Copy)]
pub struct Scores<'a> {
    scores: &'a [f32],
    targets: &'a [f32],
    mask: &'a [f32],
    labels: usize,
}

impl<'a> Scores<'a> {
    /// Borrows and checks the arrays. `mask` is 1 where the answer is known and 0 where it is not.
    ///
    /// # Errors
    /// Lengths that differ or are no multiple of `labels`, NaN scores, targets or masks other than 0 and 1. The score
    /// must be a number at unknown entries too (definitions A and B rank them); the target there may be anything.
    pub fn new(scores: &'a [f32], targets: &'a [f32], mask: &'a [f32], labels: usize) -> Result<Self, Error> {
        for (array, found) in [("the targets array", targets.len()), ("the mask", mask.len())] {
            if found != scores.len() {
                return Err(Error::Length { array, found, expected: scores.len() });
            }
        }
        if labels == 0 || !scores.len().is_multiple_of(labels) {
            return Err(Error::Rows { scores: scores.len(), labels });
        }
        for (index, ((score, &target), &known)) in scores.iter().zip(targets).zip(mask).enumerate() {
            let (image, label) = (index / labels, index % labels);
            if score.is_nan() {
                return Err(Error::NanScore { image, label });
            }
            if known != 0.0 && known != 1.0 {
                return Err(Error::NotBinary { array: "the mask", image, label, found: known });
            }
            if known == 1.0 && target != 0.0 && target != 1.0 {
                return Err(Error::NotBinary { array: "the targets array", image, label, found: target });
            }
        }
        Ok(Self { scores, targets, mask, labels })
    }

    /// The same answers to other scores, which are as many and not NaN.
    pub(crate) fn with_scores<'b>(&self, scores: &'b [f32]) -> Scores<'b>
    where
        'a: 'b,
    {
        debug_assert_eq!(scores.len(), self.scores.len());
        Scores { scores, ..*self }
    }

    /// The same with another mask of zeros and ones, which knows no more than this one.
    pub(crate) fn with_mask<'b>(&self, mask: &'b [f32]) -> Scores<'b>
    where
        'a: 'b,
    {
        debug_assert_eq!(mask.len(), self.mask.len());
        Scores { mask, ..*self }
    }

    /// The mask, with zeros where `keep` says no of an entry's place.
    pub(crate) fn mask_where(&self, keep: impl Fn(usize) -> bool) -> Vec<f32> {
        self.mask.iter().enumerate().map(|(place, &known)| if keep(place) { known } else { 0.0 }).collect()
    }

    /// `N`, the number of images.
    pub fn images(&self) -> usize {
        self.scores.len() / self.labels
    }

    /// `C`, the number of labels.
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// Score and answer of every label of one image, in order.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn image(&self, image: usize) -> impl Iterator<Item = (f32, Answer)> + '_ {
        let start = image * self.labels;
        (start..start + self.labels).map(|index| self.entry(index))
    }

    /// Score and answer of one label in every image, in order.
    ///
    /// # Panics
    /// If there is no such label.
    pub fn label(&self, label: usize) -> impl Iterator<Item = (f32, Answer)> + '_ {
        assert!(label < self.labels, "label {label} of {}", self.labels);
        (label..self.scores.len()).step_by(self.labels).map(|index| self.entry(index))
    }

    fn entry(&self, index: usize) -> (f32, Answer) {
        let answer = match (self.mask[index] == 1.0, self.targets[index] == 1.0) {
            (false, _) => Answer::Unknown,
            (true, true) => Answer::Present,
            (true, false) => Answer::Absent,
        };
        (self.scores[index], answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(scores: &[f32], targets: &[f32], mask: &[f32], labels: usize) -> String {
        Scores::new(scores, targets, mask, labels).unwrap_err().to_string()
    }

    #[test]
    fn rows_and_columns() {
        let scores =
            Scores::new(&[0.1, 0.2, 0.3, 0.4], &[1.0, 0.0, 7.0, 1.0], &[1.0, 1.0, 0.0, 1.0], 2).unwrap();
        assert_eq!((scores.images(), scores.labels()), (2, 2));
        assert!(scores.image(1).eq([(0.3, Answer::Unknown), (0.4, Answer::Present)]));
        assert!(scores.label(1).eq([(0.2, Answer::Absent), (0.4, Answer::Present)]));
    }

    #[test]
    fn no_images_is_fine() {
        assert_eq!(Scores::new(&[], &[], &[], 3).unwrap().images(), 0);
    }

    #[test]
    fn wrong_input_is_refused_with_its_place() {
        let (zero, one) = ([0.0; 4], [1.0; 4]);
        assert_eq!(
            error(&zero, &zero[..3], &one, 2),
            "the targets array has 3 entries where the scores have 4; all three arrays are [images, labels]"
        );
        assert!(error(&zero, &zero, &[], 2).starts_with("the mask has 0 entries"));
        assert_eq!(error(&zero, &zero, &one, 3), "4 scores are no whole number of rows of 3 labels");
        assert_eq!(error(&[], &[], &[], 0), "0 scores are no whole number of rows of 0 labels");
        assert!(
            error(&[0.0, 0.0, 0.0, f32::NAN], &zero, &one, 2)
                .starts_with("the score of image 1 for label 1 is NaN")
        );
        assert!(
            error(&zero, &[0.0, -1.0, 0.0, 0.0], &one, 2)
                .starts_with("the targets array has -1 at image 0, label 1; expected 0 or 1")
        );
        assert!(
            error(&zero, &zero, &[1.0, 1.0, f32::NAN, 1.0], 2)
                .starts_with("the mask has NaN at image 1, label 0")
        );
    }
}
