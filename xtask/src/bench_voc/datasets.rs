//! The data sets of the table: what the published ones hold, what is measured on them, and OTX's numbers.

use std::path::{Path, PathBuf};

use super::layout::{self, Layout};

/// A data set that the table has a column of rows for.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSet {
    /// Its name on the command line, and of its folder under `--data`.
    pub name: String,
    /// What a person calls it.
    pub title: String,
    /// How its makers lay it out.
    pub layout: Layout,
    /// Images per split as they are trained on; empty where any number is right.
    pub images: Vec<(&'static str, usize)>,
    /// What is measured; splits that the data set lacks are left out. The first that is left is the number to compare.
    pub readings: Vec<Reading>,
    /// How to get it.
    pub advice: String,
}

/// One way to read a split's annotations, and so one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    pub split: &'static str,
    /// What an object marked `difficult` says about its label.
    pub difficult: &'static str,
    /// For the table.
    pub about: &'static str,
}

const fn reading(split: &'static str, difficult: &'static str, about: &'static str) -> Reading {
    Reading { split, difficult, about }
}

/// The data sets of OTX's table.
pub const PUBLISHED: [&str; 3] = ["voc2007", "coco2014", "aerial"];

impl DataSet {
    /// A data set by its name: a published one, or any other folder under `--data` that mlcls reads.
    pub fn named(name: &str) -> Self {
        let new =
            |title: &str, layout, images: &[(&'static str, usize)], readings: &[Reading], advice: &str| {
                Self {
                    name: name.to_owned(),
                    title: title.to_owned(),
                    layout,
                    images: images.to_vec(),
                    readings: readings.to_vec(),
                    advice: advice.to_owned(),
                }
            };
        match name {
            "voc2007" => new(
                "PASCAL VOC 2007",
                Layout::VocTrainvalTest,
                &[("train", 5011), ("val", 4952)],
                &[
                    reading("val", "positive", "VOC-2007 test, difficult objects count"),
                    reading("val", "unknown", "VOC-2007 test, difficult objects left out"),
                ],
                "mlcls data fetch voc2007 --to DATA/voc2007 (911 MB)",
            ),
            "coco2014" => new(
                "COCO 2014",
                Layout::AnyForm(&["", "coco"]),
                &[("train", 82_783), ("val", 40_504)],
                &[reading("val", "unknown", "val2014")],
                "mlcls data fetch coco2014 --to DATA/coco2014 (20 GB)",
            ),
            "aerial" => new(
                "Aerial Maritime",
                Layout::AnyForm(&[]),
                &[("train", 52), ("val", 15), ("test", 7)],
                &[
                    reading("val", "unknown", "valid (15 images)"),
                    reading("test", "unknown", "test (7 images)"),
                ],
                "export \"Aerial Maritime\" (74 images, jacob-solawetz) from Roboflow Public as COCO or Multi-Class \
                 CSV and unpack it as DATA/aerial, with train, valid and test in it",
            ),
            own => new(
                own,
                Layout::AnyForm(&[]),
                &[],
                &[reading("test", "unknown", "test"), reading("val", "unknown", "val")],
                &format!(
                    "it is none of {}; a data set of your own is a folder DATA/{own} with splits train and val",
                    PUBLISHED.join(", ")
                ),
            ),
        }
    }

    /// The folder to give to mlcls, made ready under `work`; an error says what is missing.
    pub fn prepare(&self, data: &Path, work: &Path) -> anyhow::Result<PathBuf> {
        layout::prepare(self, data, &work.join("data").join(&self.name))
    }

    /// The setting of training for difficult objects: that of the number to compare.
    pub fn difficult(&self) -> &'static str {
        self.readings[0].difficult
    }
}

/// OTX's mAP for one of our models, per cent.
///
/// Source: the table of OTX's documentation on multi-label classification, unchanged since release 1.2; it tells no
/// split, no difficult handling and no spread.
pub fn otx(dataset: &str, model: &str) -> Option<f64> {
    let row = match model {
        "mobilenet_v3_large" => [86.14, 67.94, 69.61],
        "efficientnet_b0" => [86.07, 67.87, 73.83],
        "efficientnet_v2_s" => [91.91, 77.28, 71.52],
        _ => return None,
    };
    PUBLISHED.iter().position(|name| *name == dataset).map(|column| row[column])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sets_are_known_and_others_are_folders() {
        for name in PUBLISHED {
            let set = DataSet::named(name);
            assert!(set.images.len() >= 2 && set.advice.contains(&format!("DATA/{name}")), "{set:?}");
        }
        assert_eq!(DataSet::named("voc2007").difficult(), "positive");
        let own = DataSet::named("voc2008");
        assert_eq!((own.images.len(), own.difficult()), (0, "unknown"));
        assert!(own.advice.contains("none of voc2007, coco2014, aerial"));
    }

    #[test]
    fn the_numbers_of_the_table_have_its_means() {
        // The means of OTX's table, as it prints them.
        for (model, mean) in
            [("mobilenet_v3_large", 74.56), ("efficientnet_b0", 75.92), ("efficientnet_v2_s", 80.24)]
        {
            let all: Vec<f64> = PUBLISHED.iter().filter_map(|set| otx(set, model)).collect();
            assert!((all.iter().sum::<f64>() / 3.0 - mean).abs() < 0.0051, "{model}");
        }
        assert_eq!((otx("voc2007", "efficientnet_lite0"), otx("voc_mini", "efficientnet_b0")), (None, None));
    }
}
