//! What a run has come to.

use std::path::PathBuf;

use mlcls_metrics::Report;
use serde::{Deserialize, Serialize};

use crate::checkpoint::MetricValue;
use crate::event::{Best, Outcome};

/// What a run has come to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunSummary {
    /// How it ended.
    pub outcome: Outcome,
    /// Its folder.
    pub dir: PathBuf,
    /// Epochs that are over.
    pub epochs: usize,
    /// The best checkpoint.
    pub best: Option<Best>,
    /// The metric that chose it, with its definition and the split.
    pub metric: Option<MetricValue>,
    /// The labels with the lowest average precision in that validation, worst first, at most five.
    pub weakest: Vec<WeakLabel>,
}

/// A label that is ranked badly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeakLabel {
    /// Its name.
    pub label: String,
    /// Its average precision (definition D), per cent.
    pub ap: f64,
    /// Its positives in the validation split.
    pub positives: usize,
}

impl WeakLabel {
    /// The five labels with the lowest average precision, worst first.
    pub(crate) fn of(labels: &[String], report: &Report) -> Vec<Self> {
        let known = labels.iter().zip(&report.per_label);
        let mut weak: Vec<Self> = known
            .filter_map(|(label, r)| {
                Some(Self { label: label.clone(), ap: 100.0 * r.ap?, positives: r.positives })
            })
            .collect();
        weak.sort_by(|a, b| a.ap.total_cmp(&b.ap));
        weak.truncate(5);
        weak
    }
}
