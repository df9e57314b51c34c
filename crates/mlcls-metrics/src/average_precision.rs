//! Average precision of one label, in the definitions that papers and tools use, and its mean over labels.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Answer, Scores};

/// Which average precision. The same model has different numbers in each, so a number is nothing without its name.
///
/// All of them rank the images by the score for one label, highest first. With `P` positives, let the positives stand
/// at ranks `r₁ < … < r_P`; the precision at rank `r` is the number of positives among the first `r`, divided by `r`.
///
/// | | average precision | unknown entries | used by |
/// |---|---|---|---|
/// | A | mean of the precision at each `rᵢ` | ranked, as absent | ASL, ML-Decoder, deep-object-reid |
/// | B | mean over `i` of the best precision at `rᵢ` or any later rank | ranked, as absent | Query2Label; VOC from 2010 |
/// | D | as A | removed before ranking | mmcls, mmpretrain, OTX 1.x; CSRA; scikit-learn |
/// | VOC07 | mean over t in 0, 0.1, …, 1 of the best precision at recall ≥ t | removed before ranking | VOC 2007 |
///
/// A and D agree where nothing is unknown. B is never below A. A label without positives has no average precision in
/// any of them. There we differ from all the tools named, which give it 0 (and so a lower mean) or NaN. They also add a
/// small number to a denominator, which we need not, so they differ from us after the seventh digit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Definition {
    /// Not interpolated, unknown counts as absent.
    A,
    /// Area under the precision made monotone, unknown counts as absent.
    B,
    /// Not interpolated, unknown left out. The one to report, and the default.
    #[default]
    D,
    /// The 11-point average of PASCAL VOC 2007, unknown left out. Recall is compared exactly, as a fraction.
    #[serde(rename = "VOC07")]
    Voc07,
}

impl Definition {
    /// All definitions.
    pub const ALL: [Self; 4] = [Self::A, Self::B, Self::D, Self::Voc07];

    /// The letter or name to print next to a number.
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::D => "D",
            Self::Voc07 => "VOC07",
        }
    }

    /// What it is, in one line for a person.
    pub fn describe(self) -> &'static str {
        match self {
            Self::A => "mean precision at the positives, unknown counted as absent",
            Self::B => "area under the monotone precision envelope, unknown counted as absent",
            Self::D => "mean precision at the positives, unknown left out",
            Self::Voc07 => "11-point interpolated precision of VOC 2007, unknown left out",
        }
    }
}

impl fmt::Display for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How images of equal score are ranked.
///
/// The tools sort one by one and leave equal scores in whatever order their sort makes, so their numbers change with
/// the order of the images, and a model that gives every image the same score can have any average precision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ties {
    /// Images of equal score enter together and share the precision after the last of them, as in scikit-learn's
    /// `average_precision_score`. Independent of the order of the images. The default.
    #[default]
    Together,
    /// One by one, in the order given: what the tools would compute with a stable sort.
    RowOrder,
}

/// Mean average precision.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeanAp {
    /// The mean over labels with an average precision; `None` if there is none.
    pub mean: Option<f64>,
    /// The average precision of each label; `None` for a label without positives.
    pub per_label: Vec<Option<f64>>,
    /// How many labels were left out of the mean because they have no positives.
    pub left_out: usize,
}

impl MeanAp {
    pub(crate) fn of(per_label: Vec<Option<f64>>) -> Self {
        let defined = per_label.iter().flatten();
        let (count, sum) = defined.fold((0, 0.0), |(count, sum), ap| (count + 1, sum + ap));
        let mean = (count > 0).then(|| sum / f64::from(count));
        Self { mean, left_out: per_label.iter().filter(|ap| ap.is_none()).count(), per_label }
    }
}

/// The average precision of one label, from 0 to 1; `None` if the label has no positives.
///
/// # Panics
/// If there is no such label.
pub fn average_precision(
    scores: &Scores<'_>,
    label: usize,
    definition: Definition,
    ties: Ties,
) -> Option<f64> {
    Ranking::new(scores, label).average_precision(definition, ties)
}

/// The mean of [`average_precision`] over the labels that have one. Multiply by 100 for the customary mAP.
pub fn mean_ap(scores: &Scores<'_>, definition: Definition, ties: Ties) -> MeanAp {
    MeanAp::of((0..scores.labels()).map(|label| average_precision(scores, label, definition, ties)).collect())
}

/// The images in the order of their score for one label, sorted once for all definitions.
pub(crate) struct Ranking {
    /// Highest score first, equal scores in the order of the images.
    ranked: Vec<(f32, Answer)>,
}

/// The curve at one score at which positives were found.
struct Point {
    /// Positives found before this point.
    before: usize,
    /// Positives found up to here.
    found: usize,
    /// The part of all images up to here that is positive.
    precision: f64,
}

impl Ranking {
    pub(crate) fn new(scores: &Scores<'_>, label: usize) -> Self {
        // Adding 0 makes −0 the same score as 0.
        let mut ranked: Vec<_> = scores.label(label).map(|(score, answer)| (score + 0.0, answer)).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0)); // stable
        Self { ranked }
    }

    /// Runs of equal scores, highest first.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &[(f32, Answer)]> {
        self.ranked.chunk_by(|a, b| a.0 == b.0)
    }

    pub(crate) fn average_precision(&self, definition: Definition, ties: Ties) -> Option<f64> {
        let unknown_is_absent = matches!(definition, Definition::A | Definition::B);
        let curve = self.curve(unknown_is_absent, ties);
        let positives = curve.last()?.found;
        Some(match definition {
            Definition::A | Definition::D => area(&curve) / positives as f64,
            Definition::B => area(&envelope(curve)) / positives as f64,
            Definition::Voc07 => eleven_points(&curve, positives),
        })
    }

    /// The points at which the number of positives found grows.
    fn curve(&self, unknown_is_absent: bool, ties: Ties) -> Vec<Point> {
        let (mut ranks, mut before, mut found) = (0, 0, 0);
        let mut curve = Vec::new();
        let enters_together = |a: &(f32, Answer), b: &(f32, Answer)| ties == Ties::Together && a.0 == b.0;
        for group in self.ranked.chunk_by(enters_together) {
            for (_, answer) in group {
                found += usize::from(*answer == Answer::Present);
                ranks += usize::from(*answer != Answer::Unknown || unknown_is_absent);
            }
            if found > before {
                curve.push(Point { before, found, precision: found as f64 / ranks as f64 });
                before = found;
            }
        }
        curve
    }
}

/// The sum of the precision at every positive.
fn area(curve: &[Point]) -> f64 {
    curve.iter().map(|point| (point.found - point.before) as f64 * point.precision).sum()
}

/// Lifts every precision to the best one at or after it.
fn envelope(mut curve: Vec<Point>) -> Vec<Point> {
    let mut best = 0.0;
    for point in curve.iter_mut().rev() {
        best = point.precision.max(best);
        point.precision = best;
    }
    curve
}

/// The mean over 11 recalls of the best precision at that recall or beyond.
fn eleven_points(curve: &[Point], positives: usize) -> f64 {
    let best_from = |tenths: usize| {
        let reached = curve.iter().filter(|point| 10 * point.found >= tenths * positives);
        reached.map(|point| point.precision).fold(0.0, f64::max)
    };
    (0..=10).map(best_from).sum::<f64>() / 11.0
}
