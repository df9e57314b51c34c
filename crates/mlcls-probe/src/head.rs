//! Heads on features: how strongly each is held back is chosen by cross-validation, and what it says of images without a say
//! comes with it.

use candle_core::{Device, Tensor};
use mlcls_data::{LabelState, stratify};
use mlcls_loss::{Aam, Bce, Loss};
use mlcls_metrics::{Definition, Scores, Threshold, evaluate};
use mlcls_models::{COSINE_SCALE, Head};
use rayon::prelude::*;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::features::Features;
use crate::minimize::Minimizer;
use crate::objective::{Form, HeadObjective, length};

/// Which head is trained on the features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeHead {
    /// Logistic regression for each label on standardised features: [`Head::Linear`] with binary cross-entropy and a penalty on
    /// the square of the vector. `strength` is scikit-learn's `C`.
    #[default]
    Logistic,
    /// [`Head::Cosine`] with the asymmetric angular margin loss. A cosine does not know the length of its vector, so what is
    /// limited is how far it goes: `strength` is the number of evaluations that it has.
    Cosine,
}

/// Strengths that are tried, the weakest first; the search ends when three in a row brought nothing.
const LOGISTIC: [f64; 11] = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0];
const COSINE: [f64; 9] = [3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 50.0, 80.0, 130.0];

/// Largest element of the gradient of the mean loss at which a head counts as trained.
const TOLERANCE: f32 = 3e-5;

/// Evaluations until a logistic head is taken as it is; they end long before, unless features are degenerate.
const MOST: usize = 1000;

impl ProbeHead {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Logistic, Self::Cosine];

    /// Its name on the command line and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Logistic => "logistic",
            Self::Cosine => "cosine",
        }
    }

    /// The same as a head of a checkpoint.
    pub fn head(self) -> Head {
        match self {
            Self::Logistic => Head::Linear,
            Self::Cosine => Head::Cosine,
        }
    }

    /// What is minimised.
    pub fn loss(self) -> Loss {
        match self {
            Self::Logistic => Loss::Bce(Bce::default()),
            Self::Cosine => Loss::Aam(Aam::default()).with_scale(COSINE_SCALE.into()),
        }
    }

    fn form(self) -> Form {
        match self {
            Self::Logistic => Form::Linear,
            Self::Cosine => Form::Cosine(COSINE_SCALE),
        }
    }

    fn strengths(self) -> &'static [f64] {
        match self {
            Self::Logistic => &LOGISTIC,
            Self::Cosine => &COSINE,
        }
    }
}

/// A trained head.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// `head.weight` `[C, D]`, for features as the backbone gives them.
    pub weight: Vec<f32>,
    /// `head.bias` `[C]`; none for a cosine.
    pub bias: Option<Vec<f32>>,
}

impl Fitted {
    /// Logits `[N, C]` of features.
    ///
    /// # Errors
    /// The features have another width than those it was trained on.
    pub fn logits(&self, features: &Features) -> Result<Vec<f32>> {
        let (n, d) = (features.len(), features.width);
        let rows = match self.bias {
            Some(_) => features.rows.clone(),
            None => features.rows.par_chunks_exact(d).flat_map_iter(unit).collect(),
        };
        let rows = Tensor::from_vec(rows, (n, d), &Device::Cpu)?;
        let weight = Tensor::from_slice(&self.weight, (self.weight.len() / d.max(1), d), &Device::Cpu)?;
        let mut logits = rows.matmul(&weight.t()?)?;
        logits = match &self.bias {
            Some(bias) => logits.broadcast_add(&Tensor::from_slice(bias, bias.len(), &Device::Cpu)?)?,
            None => (logits * f64::from(COSINE_SCALE))?,
        };
        Ok(logits.flatten_all()?.to_vec1()?)
    }
}

/// One strength of a [`CrossValidation`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tried {
    /// See [`ProbeHead`].
    pub strength: f64,
    /// mAP (definition D) of the scores that images got from heads which had not seen them, a fraction; `None` where no label has a positive.
    pub map: Option<f64>,
}

/// What cross-validation found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CrossValidation {
    /// Parts that took turns in having no say.
    pub folds: usize,
    /// Every strength that was tried.
    pub tried: Vec<Tried>,
    /// The one with the highest mAP.
    pub strength: f64,
    /// Logits `[N, C]` at that strength, each of a head that had not seen the image.
    #[serde(skip)]
    pub logits: Vec<f32>,
}

/// Features as a head is trained on them: standardised for [`ProbeHead::Logistic`], of length 1 for [`ProbeHead::Cosine`].
struct Prepared {
    rows: Tensor,
    /// Mean and standard deviation of each number; a number that never changes has 1.
    standard: Option<(Vec<f64>, Vec<f64>)>,
}

impl Prepared {
    fn new(features: &Features, head: ProbeHead) -> Result<Self> {
        let (n, d) = (features.len(), features.width);
        let tensor = |rows| Ok::<_, Error>(Tensor::from_vec(rows, (n, d), &Device::Cpu)?);
        if head == ProbeHead::Cosine {
            let rows = features.rows.par_chunks_exact(d).flat_map_iter(unit).collect();
            return Ok(Self { rows: tensor(rows)?, standard: None });
        }
        let (mut mean, mut std) = (vec![0.0; d], vec![0.0; d]);
        for row in features.rows.chunks_exact(d) {
            mean.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v) / n as f64);
        }
        for row in features.rows.chunks_exact(d) {
            let apart = row.iter().zip(&mean).map(|(v, m)| (f64::from(*v) - m).powi(2) / n as f64);
            std.iter_mut().zip(apart).for_each(|(s, a)| *s += a);
        }
        // A spread that rounding alone would make is none.
        let sound = |(s, m): (&f64, &f64)| if s.sqrt() > 1e-6 * m.abs() { s.sqrt() } else { 1.0 };
        let std: Vec<f64> = std.iter().zip(&mean).map(sound).collect();
        let scaled = |row: &[f32]| {
            let all = row.iter().zip(&mean).zip(&std);
            all.map(|((v, m), s)| ((f64::from(*v) - m) / s) as f32).collect::<Vec<f32>>()
        };
        let rows = features.rows.par_chunks_exact(d).flat_map_iter(scaled).collect();
        Ok(Self { rows: tensor(rows)?, standard: Some((mean, std)) })
    }

    /// The head that does with features as they are what these rows of numbers do with prepared ones.
    fn unprepared(&self, place: &[f32]) -> Result<Fitted> {
        let d = self.rows.dim(1)?;
        let Some((mean, std)) = &self.standard else {
            return Ok(Fitted { weight: place.chunks_exact(d).flat_map(unit).collect(), bias: None });
        };
        let (mut weight, mut bias) = (vec![], vec![]);
        for row in place.chunks_exact(d + 1) {
            let scaled: Vec<f64> = row.iter().zip(std).map(|(v, s)| f64::from(*v) / s).collect();
            let shift: f64 = scaled.iter().zip(mean).map(|(w, m)| w * m).sum();
            weight.extend(scaled.iter().map(|w| *w as f32));
            bias.push((f64::from(row[d]) - shift) as f32);
        }
        Ok(Fitted { weight, bias: Some(bias) })
    }
}

/// Trains a head at the given strength on all of the features.
///
/// # Errors
/// There is nothing to learn from.
pub fn fit(features: &Features, head: ProbeHead, strength: f64) -> Result<Fitted> {
    require(features, 1)?;
    let prepared = Prepared::new(features, head)?;
    let labels = features.labels();
    let (targets, mask) = (turned(&features.targets, labels), turned(&features.mask, labels));
    let mut path = Path::new(&prepared, head, &targets, &mask)?;
    if head == ProbeHead::Cosine {
        // Where a cosine is depends on the way there, so it goes the way that cross-validation went.
        for &before in head.strengths().iter().filter(|before| **before < strength) {
            path.go_to(before)?;
        }
    }
    path.go_to(strength)?;
    prepared.unprepared(&path.place)
}

/// Finds the strength by cross-validation over so many folds, at least 2, in each of which every label has its share.
///
/// # Errors
/// There are fewer images than folds.
pub fn cross_validate(
    features: &Features,
    head: ProbeHead,
    folds: usize,
    seed: u64,
) -> Result<CrossValidation> {
    let folds = folds.max(2);
    require(features, folds)?;
    let (n, labels) = (features.len(), features.labels());
    let fold_of = deal(features, &vec![1.0 / folds as f64; folds], seed)?;
    let prepared = Prepared::new(features, head)?;
    let (targets, mask) = (turned(&features.targets, labels), turned(&features.mask, labels));
    // One problem per fold and label, without a say for the images of the fold.
    let targets = targets.repeat(folds);
    let without = |fold: usize| {
        let (mask, fold_of) = (&mask, &fold_of);
        mask.iter().enumerate().map(move |(i, known)| if fold_of[i % n] == fold { 0.0 } else { *known })
    };
    let masks: Vec<f32> = (0..folds).flat_map(without).collect();
    let mut path = Path::new(&prepared, head, &targets, &masks)?;

    let (mut tried, mut best, mut since) = (vec![], None::<(f64, f64, Vec<f32>)>, 0);
    for &strength in head.strengths() {
        path.go_to(strength)?;
        let all = path.objective(1.0)?.logits(&path.place)?;
        let held_out =
            (0..n * labels).map(|i| all[(fold_of[i / labels] * labels + i % labels) * n + i / labels]);
        let logits: Vec<f32> = held_out.collect();
        let map = mean_ap(features, &logits)?;
        tried.push(Tried { strength, map });
        let value = map.unwrap_or(0.0);
        if best.as_ref().is_none_or(|(most, ..)| value > *most) {
            (best, since) = (Some((value, strength, logits)), 0);
        } else {
            since += 1;
            if since == 3 {
                break;
            }
        }
    }
    let (_, strength, logits) = best.unwrap_or_default();
    Ok(CrossValidation { folds, tried, strength, logits })
}

/// mAP (definition D) of logits or scores `[N, C]`, a fraction.
pub(crate) fn mean_ap(features: &Features, logits: &[f32]) -> Result<Option<f64>> {
    let scores = Scores::new(logits, &features.targets, &features.mask, features.labels())?;
    Ok(evaluate(&scores, Threshold::from(0.0)).mean_ap(Definition::D))
}

/// The part of each image, with each label shared out as the fractions are.
pub(crate) fn deal(features: &Features, fractions: &[f64], seed: u64) -> Result<Vec<usize>> {
    let labels = features.labels();
    let state = |(target, known): (&f32, &f32)| match (*known == 1.0, *target == 1.0) {
        (false, _) => LabelState::Unknown,
        (true, true) => LabelState::Present,
        (true, false) => LabelState::Absent,
    };
    let states: Vec<LabelState> = features.targets.iter().zip(&features.mask).map(state).collect();
    let rows: Vec<&[LabelState]> = states.chunks_exact(labels.max(1)).collect();
    Ok(stratify(&rows, &[], fractions, seed)?)
}

/// A vector made 1 long.
fn unit(row: &[f32]) -> Vec<f32> {
    let long = length(row);
    row.iter().map(|v| v / long).collect()
}

fn require(features: &Features, least: usize) -> Result<()> {
    if features.len() >= least && features.labels() > 0 {
        return Ok(());
    }
    let reason =
        format!("{} images cannot train a head; at least {least} with labels are needed", features.len());
    Err(Error::TooFew { reason })
}

/// `[N, C]` as `[C, N]`.
fn turned(rows: &[f32], labels: usize) -> Vec<f32> {
    (0..labels).flat_map(|label| rows[label..].iter().step_by(labels).copied()).collect()
}

/// Heads on their way from the weakest strength to the strongest, each starting where the last one ended.
struct Path<'a> {
    prepared: &'a Prepared,
    head: ProbeHead,
    targets: &'a [f32],
    mask: &'a [f32],
    /// `[problems, D]`, with the offset `[problems, D + 1]`.
    place: Vec<f32>,
    spent: usize,
}

impl<'a> Path<'a> {
    fn new(prepared: &'a Prepared, head: ProbeHead, targets: &'a [f32], mask: &'a [f32]) -> Result<Self> {
        let mut path = Self { prepared, head, targets, mask, place: vec![], spent: 0 };
        let objective = path.objective(1.0)?;
        let problems = objective.penalty.len();
        path.place = match head {
            ProbeHead::Logistic => vec![0.0; problems * objective.width()?],
            ProbeHead::Cosine => path.towards_positives(problems)?,
        };
        Ok(path)
    }

    /// A cosine's start: the mean of the images that have the label, less the mean of those that do not.
    fn towards_positives(&self, problems: usize) -> Result<Vec<f32>> {
        let rows = &self.prepared.rows;
        let (n, d) = rows.dims2()?;
        let share = |target: f32| {
            let shares = self.targets.chunks_exact(n).zip(self.mask.chunks_exact(n)).flat_map(|(t, m)| {
                let chosen = move |(t, m): (&f32, &f32)| f32::from(u8::from(*m == 1.0 && *t == target));
                let count: f32 = t.iter().zip(m).map(chosen).sum();
                t.iter().zip(m).map(move |both| chosen(both) / count.max(1.0))
            });
            shares.collect::<Vec<f32>>()
        };
        let difference = share(1.0).iter().zip(share(0.0)).map(|(a, b)| a - b).collect();
        let start = Tensor::from_vec(difference, (problems, n), &Device::Cpu)?.matmul(rows)?;
        let mut start: Vec<f32> = start.flatten_all()?.to_vec1::<f32>()?;
        for row in start.chunks_exact_mut(d).filter(|row| row.iter().all(|v| *v == 0.0)) {
            row.fill(1.0); // There is no such image; any direction will do.
        }
        Ok(start.chunks_exact(d).flat_map(unit).collect())
    }

    fn objective(&self, strength: f64) -> Result<HeadObjective<'a>> {
        let n = self.prepared.rows.dim(0)?;
        let penalty = self.mask.chunks_exact(n).map(|mask| match self.head {
            // scikit-learn minimises |w|^2 / 2 + C * sum of losses; ours is a mean.
            ProbeHead::Logistic => {
                1.0 / (strength * mask.iter().map(|m| f64::from(*m)).sum::<f64>().max(1.0))
            }
            ProbeHead::Cosine => 0.0,
        });
        Ok(HeadObjective {
            features: &self.prepared.rows,
            form: self.head.form(),
            loss: self.head.loss(),
            targets: self.targets,
            mask: self.mask,
            penalty: penalty.collect(),
        })
    }

    /// Trains on to a strength, which is not below the last.
    fn go_to(&mut self, strength: f64) -> Result<()> {
        let objective = self.objective(strength)?;
        let most = match self.head {
            ProbeHead::Logistic => MOST,
            ProbeHead::Cosine => strength as usize - self.spent,
        };

        let mut minimizer = Minimizer::new(&objective, std::mem::take(&mut self.place), TOLERANCE)?;
        for _ in 0..most {
            if !minimizer.advance()? {
                break;
            }
        }
        self.spent += most;
        self.place = minimizer.place().to_vec();
        Ok(())
    }
}
