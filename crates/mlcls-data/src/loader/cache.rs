//! Reduced images in memory, up to a limit.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::image::Rgb;

/// One place per image. First come, first kept; when the limit is reached nothing more is stored and nothing is
/// thrown out, so that every epoch finds the same images here (an epoch visits each image once: evicting the
/// oldest would leave nothing to find).
#[derive(Debug)]
pub(super) struct Cache {
    slots: Vec<OnceLock<Rgb>>,
    limit: u64,
    used: AtomicU64,
}

impl Cache {
    pub(super) fn new(images: usize, limit: u64) -> Self {
        Self { slots: (0..images).map(|_| OnceLock::new()).collect(), limit, used: AtomicU64::new(0) }
    }

    pub(super) fn get(&self, index: usize) -> Option<&Rgb> {
        self.slots[index].get()
    }

    /// Stores the image if there is room for it.
    pub(super) fn offer(&self, index: usize, image: &Rgb) {
        let bytes = image.data().len() as u64;
        let reserve = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= self.limit);
        if self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserve).is_ok()
            && self.slots[index].set(image.clone()).is_err()
        {
            // Another copy of the same image was faster.
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Bytes in use.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}
