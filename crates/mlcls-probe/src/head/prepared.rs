//! Features as a head is trained on them, and the way back.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::{Fitted, ProbeHead};
use crate::error::{Error, Result};
use crate::features::Features;
use crate::objective::unit;

/// Features as a head is trained on them: standardised for [`ProbeHead::Logistic`], of length 1 for [`ProbeHead::Cosine`].
pub(super) struct Prepared {
    pub rows: Tensor,
    /// Mean and standard deviation of each number; a number that never changes has 1.
    standard: Option<(Vec<f64>, Vec<f64>)>,
}

impl Prepared {
    pub fn new(features: &Features, head: ProbeHead) -> Result<Self> {
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
    pub fn unprepared(&self, place: &[f32]) -> Result<Fitted> {
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
