//! One training with its evaluations. It may be interrupted anywhere, and goes on where it stopped.
//!
//! ```text
//! WORK/runs/voc2007/efficientnet_b0/table/seed0/
//!   plan.json      what is run; another plan does not continue it
//!   run/           the run folder of mlcls
//!   events.jsonl   the events of the training, of all processes that took part
//!   record.json    the result; written last
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::datasets::DataSet;
use super::mlcls::{Mlcls, Trained};
use super::places::Places;
use super::record::{CellKey, DataCard, Record, WeightsCard};
use crate::shell;

/// A data set that is ready to be trained on.
#[derive(Debug)]
pub struct Data {
    pub root: PathBuf,
    pub card: DataCard,
}

/// First weights that are ready.
#[derive(Debug)]
pub struct Weights {
    /// For `--pretrained`.
    pub flag: String,
    pub card: WeightsCard,
}

/// One seed of one cell.
#[derive(Debug)]
pub struct Run<'a> {
    pub mlcls: &'a Mlcls,
    pub places: &'a Places,
    pub set: &'a DataSet,
    pub data: &'a Data,
    pub weights: &'a Weights,
    pub key: CellKey,
    pub seed: u64,
}

/// How far it came.
#[derive(Debug)]
pub enum Outcome {
    Done(Box<Record>),
    Interrupted,
}

/// What must stay the same from the first step to the last.
#[derive(Debug, Serialize, Deserialize)]
pub struct Plan {
    pub command: String,
    /// The hash of annotations and images.
    pub data: String,
    pub weights: WeightsCard,
    /// Builds of mlcls that took part.
    pub commits: Vec<String>,
}

impl Run<'_> {
    /// Does what is left to do.
    pub fn finish(&self) -> Result<Outcome> {
        let folder = self.places.run_folder(&self.key, self.seed);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let run = folder.join("run");
        let args = self.train_args(&run);
        let plan = self.plan(&folder, &args)?;
        let record = folder.join("record.json");
        if record.exists() {
            println!("  finished in an earlier call");
            return Ok(Outcome::Done(read_json(&record)?));
        }
        if self.train(&args, &run, &folder.join("events.jsonl"))? == Trained::Interrupted {
            return Ok(Outcome::Interrupted);
        }
        let scores = self.evaluate(&run)?;
        let done = self.record(plan, &folder, scores)?;
        write_json(&record, &done)?;
        Ok(Outcome::Done(Box::new(done)))
    }

    fn train_args(&self, run: &Path) -> Vec<String> {
        let mut args = vec!["train".to_owned(), text(&self.data.root)];
        let mut flag = |name: &str, value: &str| args.extend([name.to_owned(), value.to_owned()]);
        flag("--model", &self.key.model);
        flag("--pretrained", &self.weights.flag);
        flag("--recipe", &self.key.recipe);
        flag("--seed", &self.seed.to_string());
        if self.set.difficult() != "unknown" {
            flag("--set", &format!("data.difficult={}", self.set.difficult()));
        }
        for change in &self.key.changes {
            flag("--set", change);
        }
        flag("--out", &text(run));
        args.extend(self.key.device_flags());
        args
    }

    /// The plan of this run; an earlier one must say the same, but for the build of mlcls.
    fn plan(&self, folder: &Path, args: &[String]) -> Result<Plan> {
        let path = folder.join("plan.json");
        let mut plan = Plan {
            command: self.places.shown(args),
            data: self.data.card.content.clone(),
            weights: self.weights.card.clone(),
            commits: vec![],
        };
        if path.exists() {
            let earlier: Plan = read_json(&path)?;
            let differs = [
                ("command", &earlier.command, &plan.command),
                ("data", &earlier.data, &plan.data),
                ("weights", &format!("{:?}", earlier.weights), &format!("{:?}", plan.weights)),
            ];
            if let Some((what, before, now)) = differs.into_iter().find(|(_, before, now)| before != now) {
                bail!(
                    "{} was begun with another {what}: {before}; now it is {now}. Remove that folder, or give another --work",
                    self.places.short(&text(folder))
                );
            }
            plan.commits = earlier.commits;
        }
        if !folder.join("record.json").exists() && plan.commits.last() != Some(&self.mlcls.commit) {
            plan.commits.push(self.mlcls.commit.clone());
        }
        write_json(&path, &plan)?;
        Ok(plan)
    }

    /// Starts the training, or continues it.
    fn train(&self, args: &[String], run: &Path, log: &Path) -> Result<Trained> {
        let show = |event: &Value| {
            let number = |key: &str| event[key].as_f64();
            if let ("epoch_end", Some(map)) = (event["event"].as_str().unwrap_or_default(), number("mAP")) {
                let average = number("ema_mAP").map_or(String::new(), |v| format!(", average {v:.2}"));
                let seconds = number("seconds").unwrap_or(0.0);
                println!("  epoch {}: mAP {map:.2}{average}, {seconds:.0} s", event["epoch"]);
            }
        };
        let json = "--json".to_owned();
        if run.join("config.yaml").exists() {
            let resume = ["train".to_owned(), "--resume".to_owned(), text(run), json];
            return match self.mlcls.train(&resume, log, show) {
                // It ended, and we did before we knew.
                Err(error) if error.to_string().contains("nothing to continue") => Ok(Trained::Finished),
                other => other,
            };
        }
        if run.exists() {
            // It was stopped before its first step.
            fs::remove_dir_all(run).with_context(|| format!("cannot remove {}", run.display()))?;
        }
        self.mlcls.train(&[args, &[json]].concat(), log, show)
    }
}

pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

pub fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_str(&read_text(path)?)
        .with_context(|| format!("{} is not what was written", path.display()))
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    shell::save(path, &format!("{:#}\n", serde_json::json!(value)))
}
