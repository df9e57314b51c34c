//! Numbers about a data set: how labels are spread, occur together and differ between splits, and what the image
//! files are like.

mod cooccurrence;
mod drift;
mod sizes;

use serde::Serialize;

use crate::dataset::{Dataset, LabelState};
use crate::summary::Summary;

pub use cooccurrence::Cooccurrence;
pub use drift::Drift;
pub use sizes::{ImageSize, ImageSizes, Quantiles};

/// What [`Dataset::stats`] counts. Label lists are in the order of [`Dataset::labels`], split lists in that of
/// [`Dataset::splits`]. As JSON it is the fields of [`Summary`] and those of its own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stats {
    /// Images, positives and unknown states per split.
    #[serde(flatten)]
    pub summary: Summary,
    /// Images by number of present labels, `[split][number of labels]`; each row ends with its last image.
    pub labels_per_image: Vec<Vec<usize>>,
    /// The share of positives among the images where the label is known, `[split][label]`; `None` where it is
    /// known of none.
    pub prevalence: Vec<Vec<Option<f64>>>,
    /// How many times rarer each label is than the most frequent one, over all splits: IRLbl of Charte et al. 2015,
    /// 1 or more; `None` for a label without positives.
    pub imbalance: Vec<Option<f64>>,
    /// Which labels occur together, over all splits.
    pub cooccurrence: Cooccurrence,
    /// Differences of prevalence between the first split and each other: all labels of the second split, then
    /// of the third, and so on.
    pub drift: Vec<Drift>,
    /// Sides, shapes and file sizes of the images, over all splits.
    pub images: ImageSizes,
}

impl Dataset {
    /// Counts everything; reads the header of each image file, on all cores.
    ///
    /// ```no_run
    /// use mlcls_data::{Dataset, ReadOptions};
    ///
    /// let stats = Dataset::open("VOCdevkit/VOC2007", &ReadOptions::default())?.stats();
    /// println!("{:?} of all images are wider than {:?} pixels", 0.95, stats.images.width.map(|q| q.p5));
    /// # Ok::<(), mlcls_data::Error>(())
    /// ```
    pub fn stats(&self) -> Stats {
        let summary = self.summary();
        let share = |positives: usize, known: usize| (known > 0).then(|| positives as f64 / known as f64);
        let prevalence = summary
            .splits
            .iter()
            .map(|split| {
                let counts = split.positives.iter().zip(&split.unknowns);
                counts.map(|(positives, unknown)| share(*positives, split.images - unknown)).collect()
            })
            .collect();
        let totals: Vec<usize> = (0..self.labels.len())
            .map(|label| summary.splits.iter().map(|split| split.positives[label]).sum())
            .collect();
        let most = totals.iter().copied().max().unwrap_or(0) as f64;
        Stats {
            labels_per_image: self.splits.iter().map(|split| labels_per_image(&split.items)).collect(),
            prevalence,
            imbalance: totals.iter().map(|total| (*total > 0).then(|| most / *total as f64)).collect(),
            cooccurrence: Cooccurrence::of(self),
            drift: drift::between(&summary),
            images: ImageSizes::of(self.splits.iter().flat_map(|split| &split.items)),
            summary,
        }
    }
}

fn labels_per_image(items: &[crate::dataset::Item]) -> Vec<usize> {
    let mut histogram = Vec::new();
    for item in items {
        let present = item.count(LabelState::Present);
        histogram.resize(histogram.len().max(present + 1), 0);
        histogram[present] += 1;
    }
    histogram
}

impl Stats {
    /// Images over all splits.
    pub fn image_count(&self) -> usize {
        self.summary.splits.iter().map(|split| split.images).sum()
    }

    /// Positives of each label over all splits.
    pub fn positives(&self) -> Vec<usize> {
        let sum = |label: usize| self.summary.splits.iter().map(|split| split.positives[label]).sum();
        (0..self.summary.labels.len()).map(sum).collect()
    }

    /// The mean of [`Stats::imbalance`] over the labels that have positives: MeanIR of Charte et al. 2015.
    pub fn mean_imbalance(&self) -> Option<f64> {
        let ratios: Vec<f64> = self.imbalance.iter().copied().flatten().collect();
        (!ratios.is_empty()).then(|| ratios.iter().sum::<f64>() / ratios.len() as f64)
    }
}
