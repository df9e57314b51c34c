//! Numbers about the server, in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;

/// Upper ends of the classes of durations, seconds.
const SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<Requests>,
    images: AtomicU64,
    batches: AtomicU64,
    places: AtomicUsize,
    free: AtomicUsize,
}

/// Answered requests.
#[derive(Debug, Default)]
struct Requests {
    by_status: BTreeMap<u16, u64>,
    /// How many of the successful ones took up to each of [`SECONDS`].
    within: [u64; SECONDS.len()],
    count: u64,
    seconds: f64,
}

impl Metrics {
    /// How many requests may be under way.
    pub fn set_places(&self, places: usize) {
        self.places.store(places, Relaxed);
        self.set_free(places);
    }

    /// How many more may come now.
    pub fn set_free(&self, free: usize) {
        self.free.store(free, Relaxed);
    }

    /// A batch was answered.
    pub fn batch(&self, images: usize) {
        self.batches.fetch_add(1, Relaxed);
        self.images.fetch_add(images as u64, Relaxed);
    }

    /// A request was answered.
    pub fn request(&self, status: StatusCode, time: Duration) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.by_status.entry(status.as_u16()).or_default() += 1;
        if status.is_success() {
            let seconds = time.as_secs_f64();
            requests.count += 1;
            requests.seconds += seconds;
            for (within, limit) in requests.within.iter_mut().zip(SECONDS) {
                *within += u64::from(seconds <= limit);
            }
        }
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = |f: &mut fmt::Formatter<'_>, name: &str, kind: &str, help: &str| {
            writeln!(f, "# HELP {name} {help}\n# TYPE {name} {kind}")
        };
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        head(f, "mlcls_requests_total", "counter", "Requests to /predict that were answered, by status.")?;
        for (status, count) in &requests.by_status {
            writeln!(f, "mlcls_requests_total{{status=\"{status}\"}} {count}")?;
        }
        head(f, "mlcls_request_seconds", "histogram", "From the head of a request to its labels.")?;
        for (limit, count) in SECONDS.iter().zip(requests.within) {
            writeln!(f, "mlcls_request_seconds_bucket{{le=\"{limit}\"}} {count}")?;
        }
        writeln!(f, "mlcls_request_seconds_bucket{{le=\"+Inf\"}} {}", requests.count)?;
        writeln!(f, "mlcls_request_seconds_sum {}", requests.seconds)?;
        writeln!(f, "mlcls_request_seconds_count {}", requests.count)?;
        head(f, "mlcls_batches_total", "counter", "Batches that the model has run.")?;
        writeln!(f, "mlcls_batches_total {}", self.batches.load(Relaxed))?;
        head(f, "mlcls_images_total", "counter", "Images in them.")?;
        writeln!(f, "mlcls_images_total {}", self.images.load(Relaxed))?;
        let places = self.places.load(Relaxed);
        head(f, "mlcls_queue_length", "gauge", "Requests that are accepted and not yet answered.")?;
        writeln!(f, "mlcls_queue_length {}", places.saturating_sub(self.free.load(Relaxed)))?;
        head(f, "mlcls_queue_limit", "gauge", "The most that are accepted.")?;
        writeln!(f, "mlcls_queue_limit {places}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_prometheus() {
        let metrics = Metrics::default();
        metrics.set_places(8);
        metrics.set_free(6);
        metrics.batch(3);
        metrics.request(StatusCode::OK, Duration::from_millis(30));
        metrics.request(StatusCode::OK, Duration::from_secs(60));
        metrics.request(StatusCode::SERVICE_UNAVAILABLE, Duration::ZERO);
        let text = metrics.to_string();
        for line in [
            "mlcls_requests_total{status=\"200\"} 2",
            "mlcls_requests_total{status=\"503\"} 1",
            "mlcls_request_seconds_bucket{le=\"0.025\"} 0",
            "mlcls_request_seconds_bucket{le=\"0.05\"} 1",
            "mlcls_request_seconds_bucket{le=\"30\"} 1",
            "mlcls_request_seconds_bucket{le=\"+Inf\"} 2",
            "mlcls_request_seconds_sum 60.03",
            "mlcls_request_seconds_count 2",
            "mlcls_batches_total 1",
            "mlcls_images_total 3",
            "mlcls_queue_length 2",
            "mlcls_queue_limit 8",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line:?} in:\n{text}");
        }
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            assert!(
                text.contains(&format!(
                    "# TYPE {}",
                    line.split(['{', ' '])
                        .next()
                        .unwrap()
                        .trim_end_matches("_bucket")
                        .trim_end_matches("_sum")
                        .trim_end_matches("_count")
                )),
                "{line}"
            );
        }
    }
}
