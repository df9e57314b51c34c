//! The batches of one epoch: jobs on the pool, handed over in order.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use rayon::prelude::*;

use super::order::epoch_order;
use super::{Batch, LoadError, Loader, Shared};

/// An iterator over the batches of an epoch, from [`Loader::epoch`].
///
/// A batch with broken images comes as an error that names all of them; the batches after it still follow.
/// At any time the next `prefetch` batches are being prepared or wait to be taken. Dropping it ends the work on
/// them after the images that are being decoded.
#[derive(Debug)]
pub struct Batches {
    epoch: Arc<Epoch>,
    /// The batches under way, the next one first.
    under_way: VecDeque<Receiver<Result<Batch, LoadError>>>,
    /// The next batch to be put under way.
    next: usize,
    waited: Duration,
}

/// What the jobs of an epoch have in common.
#[derive(Debug)]
struct Epoch {
    shared: Arc<Shared>,
    number: u64,
    samples: Vec<usize>,
    cancelled: AtomicBool,
    /// Pixel buffers to be used again.
    spare: Mutex<Vec<Vec<u8>>>,
}

impl Batches {
    pub(super) fn start(loader: &Loader, epoch: u64, start_batch: usize) -> Self {
        let shared = Arc::clone(&loader.0);
        let options = &shared.options;
        let mut samples =
            epoch_order(shared.items.len(), options.repeats, options.shuffle, options.seed, epoch);
        samples.truncate(loader.samples_per_epoch());
        let epoch = Epoch {
            shared,
            number: epoch,
            samples,
            cancelled: AtomicBool::new(false),
            spare: Mutex::default(),
        };
        let mut batches = Self {
            epoch: Arc::new(epoch),
            under_way: VecDeque::new(),
            next: start_batch.min(loader.batches_per_epoch()),
            waited: Duration::ZERO,
        };
        batches.fill();
        batches
    }

    /// How long the caller has waited for batches so far. Little against the time of the epoch: the data keep up.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Gives a batch back whose pixels are no longer needed; its memory serves a later batch of the epoch.
    pub fn recycle(&self, batch: Batch) {
        self.epoch.spare.lock().unwrap_or_else(PoisonError::into_inner).push(batch.pixels);
    }

    /// Puts batches under way up to the prefetch limit.
    fn fill(&mut self) {
        while self.under_way.len() < self.epoch.shared.options.prefetch && self.next < self.epoch.batches() {
            let (sender, receiver) = bounded(1);
            let (epoch, number) = (Arc::clone(&self.epoch), self.next);
            // First in, first out: the plain `spawn` would start with the newest when called on a worker.
            rayon::spawn_fifo(move || {
                // Nobody listens when the iterator has been dropped.
                let _ = sender.send(epoch.load(number));
            });
            self.under_way.push_back(receiver);
            self.next += 1;
        }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, LoadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let receiver = self.under_way.pop_front()?;
        let start = Instant::now();
        let batch = wait(&receiver);
        self.waited += start.elapsed();
        self.fill();
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.under_way.len() + self.epoch.batches() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Batches {}

impl Drop for Batches {
    fn drop(&mut self) {
        self.epoch.cancelled.store(true, Ordering::Relaxed);
    }
}

/// Waits for a batch. A worker of the pool works meanwhile: with one thread, nobody else would.
fn wait(receiver: &Receiver<Result<Batch, LoadError>>) -> Result<Batch, LoadError> {
    const LOST: &str = "a job always sends its batch";
    const NAP: Duration = Duration::from_micros(100);
    loop {
        match rayon::yield_now() {
            None => return receiver.recv().expect(LOST),
            Some(rayon::Yield::Executed) => {
                if let Ok(batch) = receiver.try_recv() {
                    return batch;
                }
            }
            Some(rayon::Yield::Idle) => match receiver.recv_timeout(NAP) {
                Ok(batch) => return batch,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => panic!("{LOST}"),
            },
        }
    }
}

impl Epoch {
    fn batches(&self) -> usize {
        self.samples.len().div_ceil(self.shared.options.batch)
    }

    /// Prepares batch `number`. Its images are spread over the pool one by one, as their costs differ.
    fn load(&self, number: usize) -> Result<Batch, LoadError> {
        let Shared { options, .. } = &*self.shared;
        let first = number * options.batch;
        let whole = &self.samples[first..self.samples.len().min(first + options.batch)];
        let samples = &whole[options.part.range(whole.len())];
        let image_bytes = self.shared.image_bytes();
        let mut pixels = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        pixels.resize(samples.len() * image_bytes, 0);
        let mut failures: Vec<_> = pixels
            .par_chunks_exact_mut(image_bytes)
            .zip(samples)
            .with_max_len(1)
            .filter(|_| !self.cancelled.load(Ordering::Relaxed))
            .filter_map(|(out, &sample)| self.shared.load_sample(self.number, sample, out).err())
            .collect();
        failures.dedup_by(|a, b| a.path == b.path); // Copies of one image follow each other.
        if !failures.is_empty() {
            return Err(LoadError { epoch: self.number, batch: number, failures });
        }
        let indices: Vec<usize> = samples.iter().map(|sample| sample / options.repeats).collect();
        let (targets, mask) = self.shared.targets(&indices);
        Ok(Batch { indices, size: options.size, pixels, targets, mask })
    }
}
