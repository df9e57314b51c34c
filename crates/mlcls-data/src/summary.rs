//! Counts of a data set, for the user's eye and for the run folder.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::dataset::{Dataset, Format, LabelState, Split};

/// What was found in a data set: counts per split and label. [`Display`](fmt::Display) gives a small table.
///
/// ```
/// use mlcls_data::{Dataset, Format, Item, LabelState, Split};
///
/// let item = Item { id: "a".into(), image: "a.jpg".into(), states: vec![LabelState::Present] };
/// let dataset = Dataset {
///     root: "pets".into(),
///     format: Format::Datumaro,
///     labels: vec!["cat".into()],
///     splits: vec![Split { name: "train".into(), items: vec![item] }],
///     notes: vec![],
/// };
/// let summary = dataset.summary();
/// assert_eq!(summary.splits[0].positives, [1]);
/// assert!(summary.to_string().starts_with("pets: Datumaro, 1 label, 1 image\n"));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// [`Dataset::root`].
    pub root: PathBuf,
    /// [`Dataset::format`].
    pub format: Format,
    /// [`Dataset::fingerprint`].
    pub fingerprint: String,
    /// [`Dataset::labels`].
    pub labels: Vec<String>,
    /// Counts per split, in the order of [`Dataset::splits`].
    pub splits: Vec<SplitSummary>,
    /// [`Dataset::notes`].
    pub notes: Vec<String>,
}

/// Counts of one split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitSummary {
    /// [`Split::name`].
    pub name: String,
    /// How many images it has.
    pub images: usize,
    /// Present labels per image, the mean over all images; 0 where there are none.
    pub labels_per_image: f64,
    /// Images with no present label.
    pub empty: usize,
    /// Unknown states, over all images and labels.
    pub unknown: usize,
    /// Images in which each label is present, in the order of [`Summary::labels`].
    pub positives: Vec<usize>,
    /// Images in which each label is unknown, in the order of [`Summary::labels`].
    pub unknowns: Vec<usize>,
}

impl Dataset {
    /// Counts what the data set holds.
    pub fn summary(&self) -> Summary {
        Summary {
            root: self.root.clone(),
            format: self.format,
            fingerprint: self.fingerprint(),
            labels: self.labels.clone(),
            splits: self.splits.iter().map(|split| SplitSummary::new(split, self.labels.len())).collect(),
            notes: self.notes.clone(),
        }
    }
}

impl SplitSummary {
    fn new(split: &Split, labels: usize) -> Self {
        let per_label = |state: LabelState| -> Vec<usize> {
            let count = |label| split.items.iter().filter(|i| i.states.get(label) == Some(&state)).count();
            (0..labels).map(count).collect()
        };
        let positives = per_label(LabelState::Present);
        let unknowns = per_label(LabelState::Unknown);
        let images = split.items.len();
        Self {
            name: split.name.clone(),
            images,
            labels_per_image: positives.iter().sum::<usize>() as f64 / images.max(1) as f64,
            empty: split.items.iter().filter(|item| item.count(LabelState::Present) == 0).count(),
            unknown: unknowns.iter().sum(),
            positives,
            unknowns,
        }
    }
}

/// Up to this many labels get a line each.
const LISTED_LABELS: usize = 30;

impl fmt::Display for Summary {
    /// One line on the whole, one per split, one per label (as far as they fit a screen), one per note.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
        let images = self.splits.iter().map(|split| split.images).sum();
        let (labels, images) = (plural(self.labels.len(), "label"), plural(images, "image"));
        writeln!(f, "{}: {}, {labels}, {images}", self.root.display(), self.format)?;
        writeln!(f)?;

        let header = ["split", "images", "labels/image", "empty", "unknown"].map(String::from);
        let rows = self.splits.iter().map(|split| {
            let mean = format!("{:.2}", split.labels_per_image);
            let counts = [split.images, split.empty, split.unknown].map(|n| n.to_string());
            let [images, empty, unknown] = counts;
            vec![split.name.clone(), images, mean, empty, unknown]
        });
        write_table(f, std::iter::once(header.to_vec()).chain(rows).collect())?;

        let mut header = vec!["positives of".to_owned()];
        header.extend(self.splits.iter().map(|split| split.name.clone()));
        let rows = self.labels.iter().enumerate().take(LISTED_LABELS).map(|(i, label)| {
            let counts = self.splits.iter().map(|split| split.positives[i].to_string());
            std::iter::once(label.clone()).chain(counts).collect()
        });
        writeln!(f)?;
        write_table(f, std::iter::once(header).chain(rows).collect())?;
        if self.labels.len() > LISTED_LABELS {
            writeln!(f, "  and {} more", plural(self.labels.len() - LISTED_LABELS, "label"))?;
        }

        if !self.notes.is_empty() {
            writeln!(f)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "- {note}"))
    }
}

/// Rows of as many columns as the first: the first column to the left, the others to the right.
fn write_table(f: &mut fmt::Formatter<'_>, rows: Vec<Vec<String>>) -> fmt::Result {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in &rows {
        write!(f, "  {:<1$}", row[0], widths[0])?;
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            write!(f, "  {cell:>width$}")?;
        }
        writeln!(f)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Item;
    use LabelState::{Absent, Present, Unknown};

    fn dataset() -> Dataset {
        let item = |id: &str, states| Item { id: id.into(), image: format!("{id}.jpg").into(), states };
        let train = vec![
            item("a", vec![Present, Present]),
            item("b", vec![Absent, Unknown]),
            item("c", vec![Present, Absent]),
            item("d", vec![Absent, Absent]),
        ];
        Dataset {
            root: "pets".into(),
            format: Format::Voc,
            labels: vec!["cat".into(), "elephant".into()],
            splits: vec![
                Split { name: "train".into(), items: train },
                Split { name: "test".into(), items: vec![item("e", vec![Unknown, Unknown])] },
            ],
            notes: vec!["trainval.txt is left out".into()],
        }
    }

    #[test]
    fn counts_are_per_split_and_label() {
        let summary = dataset().summary();
        let train = &summary.splits[0];
        assert_eq!((train.images, train.empty, train.unknown), (4, 2, 1));
        assert_eq!(train.labels_per_image, 0.75);
        assert_eq!((train.positives.as_slice(), train.unknowns.as_slice()), (&[2, 1][..], &[0, 1][..]));
        let test = &summary.splits[1];
        assert_eq!((test.images, test.empty, test.unknown, test.labels_per_image), (1, 1, 2, 0.0));
    }

    #[test]
    fn the_table_lines_up() {
        let expected = "\
pets: PASCAL VOC, 2 labels, 5 images

  split  images  labels/image  empty  unknown
  train       4          0.75      2        1
  test        1          0.00      1        2

  positives of  train  test
  cat               2     0
  elephant          1     0

- trainval.txt is left out
";
        assert_eq!(dataset().summary().to_string(), expected);
    }

    #[test]
    fn json_gives_the_summary_back() {
        let summary = dataset().summary();
        let json = serde_json::to_string(&summary).unwrap();
        assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), summary);
    }
}
