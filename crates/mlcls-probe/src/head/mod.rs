//! Heads on features: which there are, and how one is trained.

mod cross_validation;
mod path;
mod prepared;
#[cfg(test)]
mod tests;

use candle_core::{Device, Tensor};
use mlcls_loss::{Aam, Bce, Loss};
use mlcls_models::{COSINE_SCALE, Head};
use rayon::prelude::*;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::features::Features;
use crate::objective::{Form, unit};
pub use cross_validation::{CrossValidation, Tried, cross_validate};
pub(crate) use cross_validation::{deal, mean_ap};
use path::Path;
use prepared::Prepared;

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

/// Strengths that are tried, the weakest first; the search ends when half have been tried and the last three brought nothing.
const LOGISTIC: [f64; 11] = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0];
const COSINE: [f64; 9] = [3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 50.0, 80.0, 130.0];

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

    /// Largest element of the gradient of the mean loss at which a head counts as trained. scikit-learn stops at 1e-4. The angular
    /// margin loss is a fiftieth of the other: its focus and the scale divide it.
    fn tolerance(self) -> f32 {
        match self {
            Self::Logistic => 3e-5,
            Self::Cosine => 6e-7,
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
