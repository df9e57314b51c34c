//! Curves for TensorBoard, where `log.tensorboard` asks for them.
//!
//! Below the folder `tensorboard` of a run lie up to three runs in TensorBoard's sense, so that equal series of training and
//! validation share a plot, all over the number of steps done:
//!
//! | run | series | when |
//! |---|---|---|
//! | `train` | `loss` of the step, per image and known label; `lr`; `images_per_second` | every `log.every` steps and at the end of an epoch |
//! | `train` | `images/0` to `images/7`: the first images of the first batch, as the network gets them | once, at step 0 |
//! | `val`, `val_ema` | `loss`, `mAP`, `CF1`, `OF1`, `accuracy`, as in `metrics.csv`, of the trained and the averaged weights | every validation |
//! | `val`, `val_ema` | PR curves of 101 points: `PR/micro` over all labels, `PR_of_label/<label>` of the 20 labels with the most positives | every validation |
//!
//! A run that continues begins new files. They begin with the step that is done next, by which readers drop what an interrupted
//! process had already said about later steps, so that no step is there twice.

mod events;
mod pr_curve;
mod proto;
mod record;
#[cfg(test)]
pub(crate) mod tests;

use std::path::{Path, PathBuf};

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use mlcls_data::Batch;
use mlcls_metrics::{Answer, Scores};

use crate::ema::WeightsKind;
use crate::error::Result;
use crate::history::Validation;
use events::EventFile;
use proto::{Content, Image, Value};

/// The most images of the first batch that are shown.
const IMAGES: usize = 8;

/// The most labels that have a PR curve of their own.
const LABELS: usize = 20;

/// Where a run stands, as far as its events go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Steps done.
    pub steps: u64,
    /// Whether the validation of this very step, if there is one, is over and saved.
    pub validated: bool,
}

/// The event files of one process.
#[derive(Debug)]
pub(crate) struct TensorBoard {
    folder: PathBuf,
    train: EventFile,
    /// Of the trained and the averaged weights; the second is made when it is needed.
    val: [Option<EventFile>; 2],
    /// First step whose validation is not over.
    validate_from: u64,
}

impl TensorBoard {
    /// Begins the files.
    pub fn open(folder: &Path, standing: Standing) -> Result<Self> {
        let Standing { steps, validated } = standing;
        // The images belong to step 0; a step's own numbers to its number, from 1, and they were written before the state.
        let train_from = if steps == 0 { 0 } else { steps + 1 };
        let mut all = Self {
            folder: folder.to_owned(),
            train: EventFile::create(&folder.join("train"), train_from)?,
            val: [None, None],
            validate_from: steps + u64::from(validated),
        };
        // Now, and not at the next validation: until then a reader would show what is done again.
        for kind in [WeightsKind::Raw, WeightsKind::Ema] {
            if all.folder.join(run_of(kind)).exists() {
                all.val(kind)?;
            }
        }
        Ok(all)
    }

    fn val(&mut self, kind: WeightsKind) -> Result<&mut EventFile> {
        let slot = &mut self.val[usize::from(kind == WeightsKind::Ema)];
        match slot {
            Some(file) => Ok(file),
            None => Ok(slot.insert(EventFile::create(&self.folder.join(run_of(kind)), self.validate_from)?)),
        }
    }

    /// The first images of a batch of `side` x `side` pixels.
    pub fn images(&mut self, batch: &Batch, side: usize) -> Result<()> {
        let mut values = vec![];
        for (i, pixels) in batch.pixels.chunks_exact(side * side * 3).take(IMAGES).enumerate() {
            let mut png = vec![];
            let side = side as u32;
            // Only a side of 0 or a wrong length can fail here.
            if PngEncoder::new(&mut png).write_image(pixels, side, side, ExtendedColorType::Rgb8).is_ok() {
                let (height, width) = (side as i32, side as i32);
                let image = Image { height, width, colorspace: 3, encoded_image_string: png };
                let (tag, content) = (format!("images/{i}"), Some(Content::Image(image)));
                values.push(Value { tag, metadata: None, content });
            }
        }
        self.train.add(0, values)
    }

    /// The numbers of a step, the last of `steps`.
    pub fn step(&mut self, steps: u64, loss: Option<f64>, lr: f64, images_per_second: f64) -> Result<()> {
        let mut values = vec![scalar("lr", lr), scalar("images_per_second", images_per_second)];
        values.extend(loss.map(|loss| scalar("loss", loss)));
        self.train.add(steps, values)
    }

    /// A validation after so many steps.
    pub fn validated(
        &mut self,
        steps: u64,
        validation: &Validation,
        scores: &Scores<'_>,
        labels: &[String],
    ) -> Result<()> {
        let v = validation;
        let numbers =
            [("loss", v.loss), ("mAP", v.map), ("CF1", v.cf1), ("OF1", v.of1), ("accuracy", v.accuracy)];
        let mut values: Vec<Value> = numbers.map(|(tag, value)| scalar(tag, value)).into();
        let everything = (0..scores.labels()).flat_map(|label| scores.label(label));
        values.push(pr_curve::value("PR/micro".to_owned(), &pr_curve::pr_curve(everything)));
        for label in commonest(scores) {
            let curve = pr_curve::pr_curve(scores.label(label));
            values.push(pr_curve::value(format!("PR_of_label/{}", labels[label]), &curve));
        }
        self.val(v.weights)?.add(steps, values)
    }

    /// Forces everything to disk; what a saved state follows on must be there before it.
    pub fn flush(&mut self) -> Result<()> {
        self.train.flush()?;
        self.val.iter_mut().flatten().try_for_each(EventFile::flush)
    }
}

/// The labels with the most positives, in the order of the labels.
fn commonest(scores: &Scores<'_>) -> Vec<usize> {
    let positives =
        |label: usize| scores.label(label).filter(|(_, answer)| *answer == Answer::Present).count();
    let mut labels: Vec<(usize, usize)> =
        (0..scores.labels()).map(|label| (positives(label), label)).collect();
    labels.sort_by_key(|&(positives, label)| (std::cmp::Reverse(positives), label));
    let mut labels: Vec<usize> = labels.into_iter().take(LABELS).map(|(_, label)| label).collect();
    labels.sort_unstable();
    labels
}

fn run_of(kind: WeightsKind) -> &'static str {
    match kind {
        WeightsKind::Raw => "val",
        WeightsKind::Ema => "val_ema",
    }
}

fn scalar(tag: &str, value: f64) -> Value {
    Value { tag: tag.to_owned(), metadata: None, content: Some(Content::SimpleValue(value as f32)) }
}
