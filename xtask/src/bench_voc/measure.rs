//! What a finished run came to: its checkpoints evaluated, its pace and its cost.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::cell::{Plan, Run, read_json, read_text, text};
use super::record::{DataCard, Record, Score};
use crate::{machine, venv};

impl Run<'_> {
    /// Measures every checkpoint in every reading of the annotations.
    pub fn evaluate(&self, run: &Path) -> Result<Vec<Score>> {
        let has = |split: &str| self.data.card.images.iter().any(|(name, _)| name == split);
        let mut scores = vec![];
        for checkpoint in ["best", "last", "ema"] {
            let path = run.join("checkpoints").join(format!("{checkpoint}.safetensors"));
            if !path.exists() {
                ensure!(checkpoint == "ema", "the run has no checkpoint `{checkpoint}`"); // not every run has an average
                continue;
            }
            for reading in self.set.readings.iter().filter(|r| has(r.split)) {
                let mut args: Vec<String> =
                    ["eval", &text(&path), &text(&self.data.root), "--split", reading.split, "--difficult"]
                        .map(str::to_owned)
                        .into();
                args.extend([reading.difficult.to_owned(), "--json".to_owned()]);
                args.extend(self.key.device_flags());
                let found = self.mlcls.json(&args)?;
                let number = |at: &str| -> Result<f64> {
                    found
                        .pointer(at)
                        .and_then(Value::as_f64)
                        .with_context(|| format!("`mlcls eval` gave no {at}"))
                };
                let percent =
                    |at: &str| Ok::<_, anyhow::Error>(rounded(100.0 * number(&format!("/report/{at}"))?));
                scores.push(Score {
                    checkpoint: checkpoint.to_owned(),
                    epoch: number("/epoch")? as usize,
                    weights: found["weights"].as_str().unwrap_or_default().to_owned(),
                    split: reading.split.to_owned(),
                    difficult: reading.difficult.to_owned(),
                    about: reading.about.to_owned(),
                    map: percent("mAP")?,
                    map_a: percent("mAP_A")?,
                    map_b: percent("mAP_B")?,
                    map_voc07: percent("mAP_VOC07")?,
                    cf1: percent("at_threshold/cf1")?,
                    of1: percent("at_threshold/of1")?,
                    seconds: rounded(number("/seconds")?),
                });
            }
        }
        Ok(scores)
    }

    pub fn record(&self, plan: Plan, folder: &Path, scores: Vec<Score>) -> Result<Record> {
        let config = folder.join("run/config.yaml");
        let config =
            self.mlcls.json(&["config", "show", "--config", &text(&config), "--json"].map(str::to_owned))?;
        let rows = read_text(&folder.join("run/metrics.csv"))?;
        let column = |name: &str| -> Result<Vec<f64>> {
            let head = rows.lines().next().unwrap_or_default();
            let place =
                head.split(',').position(|c| c == name).with_context(|| format!("no column {name}"))?;
            let cell = |line: &str| line.split(',').nth(place)?.parse().ok();
            rows.lines()
                .skip(1)
                .map(|l| cell(l).with_context(|| format!("metrics.csv: no {name} in {l}")))
                .collect()
        };
        Ok(Record {
            key: self.key.clone(),
            seed: self.seed,
            command: plan.command,
            commits: plan.commits,
            machine: machine_of(&read_json(&folder.join("run/environment.json"))?),
            // The run's own counts, since settings may leave out images.
            data: DataCard::of(
                &self.data.card.title,
                &self.data.card.content,
                &read_json(&folder.join("run/dataset.json"))?,
            )
            .context("dataset.json gives no counts")?,
            weights: plan.weights,
            epochs: column("epoch")?.last().map_or(0, |epoch| *epoch as usize),
            epochs_most: config["train"]["epochs"].as_u64().context("`mlcls config show` gave no epochs")?
                as usize,
            train_seconds: rounded(column("seconds")?.iter().sum()),
            images_per_second: pace(&read_text(&folder.join("events.jsonl"))?).map(rounded),
            scores,
        })
    }
}

/// Four decimals: more than anybody needs, and few enough that JSON gives the same number back.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// Training images per second by the events of a run, the median over epochs; nothing where no epoch's end was heard.
fn pace(events: &str) -> Option<f64> {
    // The last line of a process that was killed is cut off.
    let events = events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ends = events.filter(|e| e["event"] == "step" && e["step"] == e["steps"]);
    let rates: Vec<f64> = ends.filter_map(|e| e["images_per_second"].as_f64()).collect();
    (!rates.is_empty()).then(|| venv::median(rates))
}

/// What computed: the processor, and before it the GPU where one did the work, as the run's `environment.json` has it.
fn machine_of(environment: &Value) -> String {
    let gpu = environment["gpu"].as_str().map_or(String::new(), |gpu| format!("{gpu}; "));
    gpu + &machine::describe()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_the_median_of_whole_epochs() {
        let step = |step: usize, rate: f64| {
            format!("{{\"event\":\"step\",\"step\":{step},\"steps\":4,\"images_per_second\":{rate}}}\n")
        };
        let events = [step(2, 1.0), step(4, 10.0), step(4, 30.0), step(4, 20.0)].concat() + "{\"event\":\"st";
        assert_eq!(pace(&events), Some(20.0));
        assert_eq!(pace(&step(2, 1.0)), None);
    }

    #[test]
    fn the_gpu_that_computed_is_named() {
        assert_eq!(machine_of(&serde_json::json!({ "gpu": null })), machine::describe());
        assert!(machine_of(&serde_json::json!({ "gpu": "NVIDIA A10G" })).starts_with("NVIDIA A10G; "));
    }
}
