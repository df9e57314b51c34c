//! Training from weak to strong.

use candle_core::{Device, Tensor};

use super::ProbeHead;
use super::prepared::Prepared;
use crate::error::Result;
use crate::minimize::Minimizer;
use crate::objective::{HeadObjective, unit};

/// Evaluations until a logistic head is taken as it is; they end long before, unless features are degenerate.
const MOST: usize = 1000;

/// Heads on their way from the weakest strength to the strongest, each starting where the last one ended.
pub(super) struct Path<'a> {
    prepared: &'a Prepared,
    head: ProbeHead,
    targets: &'a [f32],
    mask: &'a [f32],
    /// `[problems, D]`, with the offset `[problems, D + 1]`.
    pub place: Vec<f32>,
    spent: usize,
}

impl<'a> Path<'a> {
    pub fn new(prepared: &'a Prepared, head: ProbeHead, targets: &'a [f32], mask: &'a [f32]) -> Result<Self> {
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

    pub fn objective(&self, strength: f64) -> Result<HeadObjective<'a>> {
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
    pub fn go_to(&mut self, strength: f64) -> Result<()> {
        let objective = self.objective(strength)?;
        let most = match self.head {
            ProbeHead::Logistic => MOST,
            ProbeHead::Cosine => strength as usize - self.spent,
        };
        let mut minimizer =
            Minimizer::new(&objective, std::mem::take(&mut self.place), self.head.tolerance())?;
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
