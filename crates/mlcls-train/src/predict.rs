//! Scores of image files.

use std::convert::Infallible;
use std::path::PathBuf;

use mlcls_data::{ImageError, ImageProblem, decode_for, image_sides, load_image, resize};
use rayon::prelude::*;

use crate::checkpoint::{Checkpoint, CheckpointInfo};
use crate::device::{Device, Inference};
use crate::error::Result;

/// What a model says about one image file.
#[derive(Debug)]
pub struct Prediction {
    /// The file.
    pub path: PathBuf,
    /// One score from 0 to 1 per label, in the order of [`CheckpointInfo::labels`]; or why there are none.
    pub scores: std::result::Result<Vec<f32>, ImageError>,
}

/// A checkpoint made ready for prediction.
///
/// ```no_run
/// use std::path::Path;
/// use mlcls_train::{Checkpoint, Predictor};
///
/// let checkpoint = Checkpoint::load(Path::new("runs/train/checkpoints/best.safetensors"))?;
/// let mut predictor = Predictor::new(&checkpoint, 32)?;
/// for prediction in predictor.predict(&["photo.jpg".into()])? {
///     match prediction.scores {
///         Ok(scores) => println!("{:?}", checkpoint.info.predicted(&scores)),
///         Err(problem) => eprintln!("{problem}"),
///     }
/// }
/// # Ok::<(), mlcls_train::Error>(())
/// ```
#[derive(Debug)]
pub struct Predictor<'a> {
    info: &'a CheckpointInfo,
    plan: Inference,
    batch: usize,
}

impl<'a> Predictor<'a> {
    /// Compiles the checkpoint's model for batches of up to `batch` images (at least 1), on the processor.
    ///
    /// # Errors
    /// The memory for it cannot be had.
    pub fn new(checkpoint: &'a Checkpoint, batch: usize) -> Result<Self> {
        Self::on(Device::Cpu, checkpoint, batch)
    }

    /// The same on any device.
    ///
    /// # Errors
    /// There is no such device, it cannot run the model, or the memory for it cannot be had.
    pub fn on(device: Device, checkpoint: &'a Checkpoint, batch: usize) -> Result<Self> {
        let batch = batch.max(1);
        let plan = Inference::new(&checkpoint.model.graph, &checkpoint.weights, batch, device)?;
        Ok(Self { info: &checkpoint.info, plan, batch })
    }

    /// Scores of some files, in their order. A file that is no usable image is reported in its place, not fatal.
    ///
    /// Pass about as many as fit a batch, or all: images are read on all cores, a batch at a time.
    ///
    /// # Errors
    /// The model cannot run.
    pub fn predict(&mut self, paths: &[PathBuf]) -> Result<Vec<Prediction>> {
        let mut predictions = Vec::with_capacity(paths.len());
        for paths in paths.chunks(self.batch) {
            let (size, resize) = (self.info.image_size as u32, self.info.resize);
            let images = paths.par_iter().map(|path| load_image(path, size, resize)).collect();
            let all = paths.iter().cloned().zip(self.scores(images)?);
            predictions.extend(all.map(|(path, scores)| Prediction { path, scores }));
        }
        Ok(predictions)
    }

    /// Scores of images as [`CheckpointInfo::pixels`] gives them, in their order.
    ///
    /// # Errors
    /// The model cannot run.
    pub fn predict_pixels(&mut self, images: Vec<Vec<u8>>) -> Result<Vec<Vec<f32>>> {
        let mut images = images.into_iter();
        let mut predictions = Vec::with_capacity(images.len());
        while images.len() > 0 {
            let batch = images.by_ref().take(self.batch).map(Ok::<_, Infallible>).collect();
            predictions.extend(self.scores(batch)?.into_iter().flatten());
        }
        Ok(predictions)
    }

    /// Scores of up to a batch of images that were read, or could not be.
    fn scores<E>(
        &mut self,
        images: Vec<std::result::Result<Vec<u8>, E>>,
    ) -> Result<Vec<std::result::Result<Vec<f32>, E>>> {
        let pixels: Vec<u8> = images.iter().flatten().flatten().copied().collect();
        let readable = images.iter().filter(|image| image.is_ok()).count();
        let logits = if readable > 0 { self.plan.run(&pixels, readable)? } else { &[] };
        let mut rows = logits.chunks_exact(self.info.labels.len().max(1));
        let mut scores = |_| self.info.scores(rows.next().unwrap_or(&[]));
        Ok(images.into_iter().map(|image| image.map(&mut scores)).collect())
    }
}

impl CheckpointInfo {
    /// What the network gets of an image as its file holds it, JPEG or other: the bytes that
    /// [`load_image`](mlcls_data::load_image) gives of the file. Images of more than `max_pixels` are refused by their header.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub fn pixels(&self, encoded: &[u8], max_pixels: u64) -> std::result::Result<Vec<u8>, ImageProblem> {
        let (width, height) = image_sides(encoded)?;
        if u64::from(width) * u64::from(height) > max_pixels {
            return Err(ImageProblem::TooLarge { width, height, limit: max_pixels });
        }
        let side = self.image_size as u32;
        let image = decode_for(encoded, Some(side))?;
        Ok(resize(&image, side, side, self.resize).into_data())
    }

    /// Scores of the logits of an image, 0 to 1.
    pub fn scores(&self, logits: &[f32]) -> Vec<f32> {
        self.calibration.scores(logits, self.labels.len())
    }

    /// The labels whose score reaches its threshold, best first, with their scores.
    pub fn predicted<'a>(&'a self, scores: &[f32]) -> Vec<(&'a str, f32)> {
        let labels = self.predicted_labels(scores).into_iter();
        labels.map(|label| (self.labels[label].as_str(), scores[label])).collect()
    }

    /// The same as indices of [`labels`](Self::labels).
    pub fn predicted_labels(&self, scores: &[f32]) -> Vec<usize> {
        let threshold = |label: usize| self.thresholds.as_ref().map_or(self.threshold, |t| t[label]);
        let mut hits: Vec<usize> =
            (0..self.labels.len()).filter(|&label| scores[label] >= threshold(label)).collect();
        hits.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        hits
    }
}

#[cfg(test)]
mod tests {
    use mlcls_loss::Loss;

    use super::*;
    use crate::evaluate::{EvalOptions, evaluate_checkpoint};
    use crate::testing;

    #[test]
    fn scores_are_those_of_evaluation_and_a_bad_image_harms_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = testing::dataset(folder.path(), 1, 7);
        let checkpoint = testing::checkpoint();
        let options = EvalOptions::default();
        let expected = evaluate_checkpoint(&checkpoint, &dataset, "val", &options).unwrap().scores;

        let mut paths: Vec<PathBuf> = dataset.splits[1].items.iter().map(|i| i.image.clone()).collect();
        let text = folder.path().join("notes.txt");
        std::fs::write(&text, "no image").unwrap();
        paths.insert(2, text);
        paths.push(folder.path().join("absent.jpg"));
        for batch in [1, 3, 100] {
            let found = Predictor::new(&checkpoint, batch).unwrap().predict(&paths).unwrap();
            let given: Vec<&PathBuf> = found.iter().map(|p| &p.path).collect();
            assert_eq!(given, paths.iter().collect::<Vec<_>>());
            let bad: Vec<usize> = (0..found.len()).filter(|&i| found[i].scores.is_err()).collect();
            assert_eq!(bad, [2, 8]);
            let scores: Vec<f32> = found.into_iter().filter_map(|p| p.scores.ok()).flatten().collect();
            assert_eq!(scores, expected, "batches of {batch}");

            let encoded = paths.iter().filter_map(|path| std::fs::read(path).ok());
            let pixels: Vec<_> = encoded.map(|bytes| checkpoint.info.pixels(&bytes, 32 * 32)).collect();
            assert!(matches!(pixels[2], Err(ImageProblem::UnknownFormat(_))));
            let pixels = pixels.into_iter().flatten().collect();
            let scores = Predictor::new(&checkpoint, batch).unwrap().predict_pixels(pixels).unwrap();
            assert_eq!(scores.concat(), expected, "from memory, batches of {batch}");
        }
        let image = std::fs::read(&paths[0]).unwrap();
        let problem = checkpoint.info.pixels(&image, 32 * 32 - 1).unwrap_err();
        assert!(
            matches!(problem, ImageProblem::TooLarge { width: 32, height: 32, limit: 1023 }),
            "{problem}"
        );
    }

    #[test]
    fn each_label_has_its_threshold() {
        let model = testing::model();
        let labels = testing::LABELS.map(str::to_owned).into();
        let mut info = CheckpointInfo::new(&model, labels, Loss::default());
        assert_eq!(info.predicted(&[0.5, 0.49, 0.9]), [("blue", 0.9), ("red", 0.5)]);
        info.thresholds = Some(vec![0.6, 0.1, 0.95]);
        assert_eq!(info.predicted(&[0.5, 0.49, 0.9]), [("green", 0.49)]);
    }
}
