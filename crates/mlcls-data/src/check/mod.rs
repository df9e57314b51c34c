//! Everything about a data set that would break or spoil a run, found before it does.

mod copies;
mod finding;
mod images;
mod labels;
mod mend;
mod places;
mod report;

pub use finding::{Detail, Finding, FindingKind, ItemRef, Severity};
pub use mend::Mended;
pub use report::{CheckReport, CheckedSplit};

use crate::dataset::{Dataset, Item};
use crate::inspect::{BadImage, Duplicates, ImageFacts, find_duplicates, inspect_images};

/// A data set whose images have all been looked at.
///
/// ```no_run
/// use mlcls_data::{Dataset, Inspection, ReadOptions};
///
/// let dataset = Dataset::open("VOCdevkit/VOC2007", &ReadOptions::default())?;
/// let inspection = Inspection::new(&dataset, &|done, total| eprint!("\r{done}/{total}"));
/// print!("{}", inspection.report());
/// # Ok::<(), mlcls_data::Error>(())
/// ```
#[derive(Debug)]
pub struct Inspection<'a> {
    dataset: &'a Dataset,
    images: Vec<Result<ImageFacts, BadImage>>,
    duplicates: Duplicates,
}

impl<'a> Inspection<'a> {
    /// Reads and decodes every image on all cores ([`inspect_images`], which explains `progress`), and finds those
    /// that are alike ([`find_duplicates`]).
    pub fn new(dataset: &'a Dataset, progress: &(dyn Fn(usize, usize) + Sync)) -> Self {
        let images = inspect_images(dataset, progress);
        let duplicates = find_duplicates(&images);
        Self { dataset, images, duplicates }
    }

    /// What was seen of each image, in the order of the data set: all items of the first split, then the next.
    pub fn images(&self) -> &[Result<ImageFacts, BadImage>] {
        &self.images
    }

    /// Which images are alike, by their positions in [`images`](Self::images).
    pub fn duplicates(&self) -> &Duplicates {
        &self.duplicates
    }

    /// What is wrong with the data set, the worst first.
    pub fn report(&self) -> CheckReport {
        let mut findings = images::findings(self);
        findings.extend(copies::findings(self));
        findings.extend(labels::findings(self.dataset));
        findings.extend(places::findings(self.dataset));
        findings.extend(report::notes(self.dataset));
        CheckReport::new(self.dataset, findings)
    }

    /// All items with the position of their splits, in the order of [`images`](Self::images).
    fn items(&self) -> Vec<(usize, &'a Item)> {
        let splits = self.dataset.splits.iter().enumerate();
        splits.flat_map(|(at, split)| split.items.iter().map(move |item| (at, item))).collect()
    }
}
