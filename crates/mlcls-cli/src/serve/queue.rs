//! From images of many requests to batches, and back.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::body::Bytes;
use crossbeam_channel::{Receiver, Sender, unbounded};
use mlcls_data::ImageProblem;
use mlcls_export::saliency::{Explained, Explainer, Method, normalise};
use mlcls_train::{Checkpoint, CheckpointInfo, Predictor};
use rayon::prelude::*;
use tokio::sync::oneshot;

use super::metrics::Metrics;

/// The most images whose maps are made at once: each takes the head once for every place.
const EXPLAINED: usize = 4;

/// What is said of an image.
pub type Answer = Result<Said, ImageProblem>;

/// Scores, and where the model looked if that was asked for.
pub struct Said {
    /// One per label, 0 to 1.
    pub scores: Vec<f32>,
    /// ReciproCAM.
    pub maps: Option<Maps>,
}

/// A map for each label, each from 0 to 1.
pub struct Maps {
    /// Rows of a map.
    pub rows: usize,
    /// Values by label, rows from the top.
    pub values: Vec<Vec<f32>>,
}

/// An image and who waits for it.
struct Job {
    image: Bytes,
    explain: bool,
    answer: oneshot::Sender<Answer>,
}

/// The way to the thread that answers. It ends when the last of these is gone and every job is done.
///
/// How many jobs there are is bounded by who may send: see [`Service`](super::api::Service).
#[derive(Clone)]
pub struct Queue(Sender<Job>);

impl Queue {
    /// Starts the thread. It waits for the first image, then up to `wait` for others, up to `batch` in all, and answers them.
    pub fn start(
        checkpoint: Arc<Checkpoint>,
        batch: usize,
        wait: Duration,
        max_pixels: u64,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, JoinHandle<Result<()>>)> {
        let (send, receive) = unbounded();
        let thread = std::thread::Builder::new().name("batches".to_owned());
        let worker = thread.spawn(move || answer(&checkpoint, batch, wait, max_pixels, &receive, &metrics));
        Ok((Self(send), worker.context("cannot start a thread")?))
    }

    /// Hands an image over. The receiver fails only where the thread has failed.
    pub fn push(&self, image: Bytes, explain: bool) -> oneshot::Receiver<Answer> {
        let (answer, receiver) = oneshot::channel();
        let _ = self.0.send(Job { image, explain, answer }); // a lost job closes the channel, which the receiver sees
        receiver
    }
}

/// Answers until nobody can ask any more.
fn answer(
    checkpoint: &Checkpoint,
    batch: usize,
    wait: Duration,
    max_pixels: u64,
    jobs: &Receiver<Job>,
    metrics: &Metrics,
) -> Result<()> {
    let info = &checkpoint.info;
    let mut predictor = Predictor::new(checkpoint, batch)?;
    let mut explainer = None; // made for the first who asks
    while let Ok(first) = jobs.recv() {
        let deadline = Instant::now() + wait;
        let mut gathered = vec![first];
        while gathered.len() < batch {
            let Ok(job) = jobs.recv_deadline(deadline) else { break };
            gathered.push(job);
        }
        gathered.retain(|job| !job.answer.is_closed()); // who asked has gone
        let decoded: Vec<_> = gathered.par_iter().map(|job| info.pixels(&job.image, max_pixels)).collect();
        let (mut plain, mut explained) = (vec![], vec![]);
        for (job, pixels) in gathered.into_iter().zip(decoded) {
            match pixels {
                Ok(pixels) if job.explain => explained.push((job, pixels)),
                Ok(pixels) => plain.push((job, pixels)),
                Err(problem) => drop(job.answer.send(Err(problem))),
            }
        }
        metrics.batch(plain.len());
        let (plain, pixels): (Vec<_>, Vec<_>) = plain.into_iter().unzip();
        for (job, scores) in plain.into_iter().zip(predictor.predict_pixels(pixels)?) {
            let _ = job.answer.send(Ok(Said { scores, maps: None }));
        }
        while !explained.is_empty() {
            let some = explained.split_off(explained.len().saturating_sub(EXPLAINED));
            metrics.batch(some.len());
            let explainer = match &mut explainer {
                Some(explainer) => explainer,
                None => {
                    let Checkpoint { model, weights, .. } = checkpoint;
                    explainer.insert(Explainer::new(model, weights, Method::ReciproCam, EXPLAINED)?)
                }
            };
            let (some, pixels): (Vec<_>, Vec<_>) = some.into_iter().unzip();
            let found = explainer.run(&pixels.concat(), some.len())?;
            for (image, job) in some.into_iter().enumerate() {
                let _ = job.answer.send(Ok(Said::of(info, &found, image)));
            }
        }
    }
    Ok(())
}

impl Said {
    fn of(info: &CheckpointInfo, found: &Explained, image: usize) -> Self {
        let labels = info.labels.len();
        Self {
            scores: info.scores(&found.logits[image * labels..][..labels]),
            maps: Some(Maps {
                rows: found.height,
                values: (0..labels).map(|label| normalise(found.map(image, label))).collect(),
            }),
        }
    }
}
