//! From images of many requests to batches, and back.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::body::Bytes;
use crossbeam_channel::{Receiver, Sender, unbounded};
use mlcls_data::ImageProblem;
use mlcls_train::{Checkpoint, Predictor};
use tokio::sync::oneshot;

use super::metrics::Metrics;

/// What is said of an image.
pub type Answer = Result<Vec<f32>, ImageProblem>;

/// An image and who waits for it.
struct Job {
    image: Bytes,
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
        pixels: u64,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, JoinHandle<Result<()>>)> {
        let (send, receive) = unbounded();
        let thread = std::thread::Builder::new().name("batches".to_owned());
        let worker = thread.spawn(move || answer(&checkpoint, batch, wait, pixels, &receive, &metrics));
        Ok((Self(send), worker.context("cannot start a thread")?))
    }

    /// Hands an image over. The receiver fails only where the thread has failed.
    pub fn push(&self, image: Bytes) -> oneshot::Receiver<Answer> {
        let (answer, receiver) = oneshot::channel();
        let _ = self.0.send(Job { image, answer }); // a lost job closes the channel, which the receiver sees
        receiver
    }
}

/// Answers until nobody can ask any more.
fn answer(
    checkpoint: &Checkpoint,
    batch: usize,
    wait: Duration,
    pixels: u64,
    jobs: &Receiver<Job>,
    metrics: &Metrics,
) -> Result<()> {
    let mut predictor = Predictor::new(checkpoint, batch)?.with_max_pixels(pixels);
    while let Ok(first) = jobs.recv() {
        let deadline = Instant::now() + wait;
        let mut batch_jobs = vec![first];
        while batch_jobs.len() < batch {
            let Ok(job) = jobs.recv_deadline(deadline) else { break };
            batch_jobs.push(job);
        }
        batch_jobs.retain(|job| !job.answer.is_closed()); // who asked has gone
        let images: Vec<&[u8]> = batch_jobs.iter().map(|job| &*job.image).collect();
        let answers = predictor.predict_encoded(&images)?;
        metrics.batch(answers.len());
        for (job, answer) in batch_jobs.into_iter().zip(answers) {
            let _ = job.answer.send(answer);
        }
    }
    Ok(())
}
