//! Parts of the entries for cross-fitting: what is said about one is learned from the others.

use crate::{Answer, Scores};

/// The part of every entry, `[N, C]`. Of each label the positives and the negatives are dealt out in turns, so that rare labels are
/// in as many parts as they can be.
pub(crate) struct Folds {
    parts: Vec<usize>,
    count: usize,
}

impl Folds {
    /// At least two parts.
    pub fn deal(scores: &Scores<'_>, count: usize) -> Self {
        let count = count.max(2);
        let labels = scores.labels();
        let mut parts = vec![0; scores.images() * labels];
        for label in 0..labels {
            let (mut positives, mut negatives) = (0, 0);
            for (image, (_, answer)) in scores.label(label).enumerate() {
                let turn = match answer {
                    Answer::Present => &mut positives,
                    Answer::Absent => &mut negatives,
                    Answer::Unknown => continue,
                };
                parts[image * labels + label] = *turn % count;
                *turn += 1;
            }
        }
        Self { parts, count }
    }

    /// What `learn` makes of the others, applied by `say` to each entry (its place and its score).
    pub fn cross_fit<T>(
        &self,
        scores: &Scores<'_>,
        learn: impl Fn(&Scores<'_>) -> T,
        say: impl Fn(&T, usize, f32) -> f32,
    ) -> Vec<f32> {
        let mut said = vec![0.0; self.parts.len()];
        for fold in 0..self.count {
            let others = scores.mask_where(|place| self.parts[place] != fold);
            let learned = learn(&scores.with_mask(&others));
            let entries = (0..scores.images()).flat_map(|image| scores.image(image)).enumerate();
            for (place, (score, _)) in entries.filter(|(place, _)| self.parts[*place] == fold) {
                said[place] = say(&learned, place % scores.labels(), score);
            }
        }
        said
    }
}
