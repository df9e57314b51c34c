//! What is known of one finished run: everything that a row of the table says, and by what it can be had again.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What makes two runs seeds of the same cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellKey {
    pub dataset: String,
    pub model: String,
    pub recipe: String,
    /// Settings that differ from the recipe's, as `--set` takes them.
    pub changes: Vec<String>,
    /// As `--device` takes it.
    pub device: String,
    /// As `--precision` takes it; nothing on a CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<String>,
}

impl CellKey {
    /// Where it computes, as flags of mlcls; nothing for a CPU.
    pub fn device_flags(&self) -> Vec<String> {
        let precision = self.precision.iter().flat_map(|name| ["--precision", name]);
        let device = ["--device", &self.device].into_iter().filter(|_| self.device != "cpu");
        device.chain(precision).map(str::to_owned).collect()
    }
}

/// One training with its evaluations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    #[serde(flatten)]
    pub key: CellKey,
    pub seed: u64,
    /// The training as one would type it; DATA and WORK stand for the folders of the bench.
    pub command: String,
    /// What mlcls was built from; several where the run was continued with another build.
    pub commits: Vec<String>,
    pub machine: String,
    pub data: DataCard,
    pub weights: WeightsCard,
    /// Epochs trained, of at most so many.
    pub epochs: usize,
    pub epochs_most: usize,
    /// Seconds of all epochs with their validations.
    pub train_seconds: f64,
    /// Training images per second, the median over epochs, without validation; nothing where nobody listened.
    pub images_per_second: Option<f64>,
    pub scores: Vec<Score>,
}

/// The data of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataCard {
    pub title: String,
    /// mlcls' hash of everything: annotations and the bytes of all images.
    pub content: String,
    /// mlcls' hash of the annotations as trained on: labels, splits, ids and label states.
    pub fingerprint: String,
    pub labels: usize,
    /// Images per split.
    pub images: Vec<(String, usize)>,
}

impl DataCard {
    /// From the summary that mlcls makes of a data set, as `mlcls data stats` prints and a run's `dataset.json` holds it.
    pub fn of(title: &str, content: &str, summary: &Value) -> Option<Self> {
        let split =
            |split: &Value| Some((split["name"].as_str()?.to_owned(), split["images"].as_u64()? as usize));
        Some(Self {
            title: title.to_owned(),
            content: content.to_owned(),
            fingerprint: summary["fingerprint"].as_str()?.to_owned(),
            labels: summary["labels"].as_array()?.len(),
            images: summary["splits"].as_array()?.iter().map(split).collect::<Option<_>>()?,
        })
    }
}

/// The first weights of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsCard {
    /// timm's name, the name of a file, or `none`.
    pub name: String,
    /// SHA-256 of the file; nothing for random weights.
    pub sha256: Option<String>,
}

/// One checkpoint, measured on one reading of a split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// `best`, `last` or `ema`.
    pub checkpoint: String,
    /// Epoch of the weights, from 1.
    pub epoch: usize,
    /// `raw` or `ema`.
    pub weights: String,
    pub split: String,
    pub difficult: String,
    /// What is measured, in words.
    pub about: String,
    /// mAP in its definitions, per cent.
    #[serde(rename = "mAP")]
    pub map: f64,
    #[serde(rename = "mAP_A")]
    pub map_a: f64,
    #[serde(rename = "mAP_B")]
    pub map_b: f64,
    #[serde(rename = "mAP_VOC07")]
    pub map_voc07: f64,
    /// F1 from mean precision and recall per label, and overall, per cent.
    #[serde(rename = "CF1")]
    pub cf1: f64,
    #[serde(rename = "OF1")]
    pub of1: f64,
    pub seconds: f64,
}

/// A cell without a run, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    #[serde(flatten)]
    pub key: CellKey,
    pub title: String,
    pub why: String,
}

/// All that is known, in the order in which cells were first asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    pub runs: Vec<Record>,
    pub missing: Vec<Missing>,
}

impl Results {
    /// What an earlier call wrote; nothing where there is no file.
    pub fn load(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| {
            format!("{} is not a file of bench-voc; name another with --results", path.display())
        })
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        format!("{:#}\n", serde_json::json!(self))
    }

    /// Adds a run, in place of an earlier one of the same cell and seed.
    pub fn add(&mut self, record: Record) {
        self.missing.retain(|m| m.key != record.key);
        match self.runs.iter_mut().find(|r| r.key == record.key && r.seed == record.seed) {
            Some(old) => *old = record,
            None => self.runs.push(record),
        }
    }

    /// Says why a cell has no run; one with runs keeps them instead.
    pub fn add_missing(&mut self, missing: Missing) {
        self.missing.retain(|m| m.key != missing.key);
        if !self.runs.iter().any(|r| r.key == missing.key) {
            self.missing.push(missing);
        }
    }
}

#[cfg(test)]
pub mod testing {
    use super::*;

    pub fn key(dataset: &str, model: &str) -> CellKey {
        let [dataset, model, recipe, device] = [dataset, model, "table", "cpu"].map(str::to_owned);
        CellKey { dataset, model, recipe, changes: vec![], device, precision: None }
    }

    /// A run whose best, last and averaged weights have these mAPs; with difficult objects left out one point less.
    pub fn record(key: CellKey, seed: u64, maps: [f64; 3]) -> Record {
        let score = |checkpoint: &str, map: f64, difficult: &str| Score {
            checkpoint: checkpoint.to_owned(),
            epoch: 7,
            weights: if checkpoint == "ema" { "ema" } else { "raw" }.to_owned(),
            split: "val".to_owned(),
            difficult: difficult.to_owned(),
            about: format!("test, difficult {difficult}"),
            map,
            map_a: map,
            map_b: map,
            map_voc07: map,
            cf1: 50.0,
            of1: 60.0,
            seconds: 6.0,
        };
        let both =
            |(checkpoint, map)| [score(checkpoint, map, "positive"), score(checkpoint, map - 1.0, "unknown")];
        Record {
            key,
            seed,
            command: format!("mlcls train WORK/data/voc2007 --seed {seed}"),
            commits: vec!["abc1234".to_owned()],
            machine: "2 x processor".to_owned(),
            data: DataCard {
                title: "PASCAL VOC 2007".to_owned(),
                content: "0123456789abcdef".to_owned(),
                fingerprint: "123456789abcdef0".to_owned(),
                labels: 20,
                images: vec![("train".to_owned(), 5011), ("val".to_owned(), 4952)],
            },
            weights: WeightsCard {
                name: "a.ra_in1k".to_owned(),
                sha256: Some("fedcba9876543210".to_owned()),
            },
            epochs: 9,
            epochs_most: 90,
            train_seconds: 564.0,
            images_per_second: Some(100.0 + seed as f64),
            scores: ["best", "last", "ema"].into_iter().zip(maps).flat_map(both).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{key, record};
    use super::*;

    #[test]
    fn a_later_run_replaces_an_earlier_one_and_what_was_missing() {
        let mut results = Results::default();
        let missing =
            |why: &str| Missing { key: key("voc2007", "m"), title: "VOC".to_owned(), why: why.to_owned() };
        results.add_missing(missing("no data"));
        results.add_missing(missing("no weights"));
        assert_eq!(results.missing, [missing("no weights")]);
        results.add(record(key("voc2007", "m"), 0, [1.0, 2.0, 3.0]));
        results.add(record(key("voc2007", "m"), 1, [1.0, 2.0, 3.0]));
        results.add(record(key("voc2007", "m"), 0, [4.0, 5.0, 6.0]));
        results.add_missing(missing("the data are gone"));
        assert_eq!((results.runs.len(), results.missing.len()), (2, 0));
        assert_eq!(results.runs[0].scores[0].map, 4.0);
    }

    #[test]
    fn devices_and_precisions_are_cells_of_their_own() {
        let mut results = Results::default();
        let on = |device: &str, precision: Option<&str>| CellKey {
            device: device.to_owned(),
            precision: precision.map(str::to_owned),
            ..key("voc2007", "m")
        };
        let cells =
            [on("cpu", None), on("cuda", Some("bf16")), on("cuda", Some("fp32")), on("cuda:1", Some("bf16"))];
        for cell in &cells {
            results.add(record(cell.clone(), 0, [1.0, 2.0, 3.0]));
        }
        assert_eq!(results.runs.len(), 4);
        assert_eq!(cells[0].device_flags(), Vec::<String>::new());
        assert_eq!(cells[3].device_flags(), ["--device", "cuda:1", "--precision", "bf16"]);
        let before = r#"{"dataset":"voc2007","model":"m","recipe":"table","changes":[],"device":"cpu"}"#;
        assert_eq!(
            serde_json::from_str::<CellKey>(before).unwrap(),
            cells[0],
            "from before there were precisions"
        );
    }

    #[test]
    fn json_gives_the_results_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("voc.json");
        assert_eq!(Results::load(&path).unwrap(), Results::default());
        let mut results = Results::default();
        results.add(record(key("voc2007", "m"), 0, [81.25, 2.0, 3.0]));
        std::fs::write(&path, results.to_json()).unwrap();
        assert_eq!(Results::load(&path).unwrap(), results);
        std::fs::write(&path, "[]").unwrap();
        assert!(format!("{:#}", Results::load(&path).unwrap_err()).contains("--results"));
    }
}
