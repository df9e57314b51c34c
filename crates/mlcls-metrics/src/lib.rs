//! Multi-label metrics on plain slices: average precision in its named definitions, CP/CR/CF1, OP/OR/OF1, Hamming
//! loss, subset accuracy.
//!
//! The input is always [`Scores`]: a score, a target and a mask for each of `N` images and `C` labels. An entry whose
//! mask is 0 is *unknown*: nobody said whether the label is present. Every metric here says what it does with unknown
//! entries; unless a definition demands otherwise, they are left out.
//!
//! All results are fractions from 0 to 1. What is undefined is `None`, not 0: the average precision of a label without
//! a single positive, for example. Such labels are left out of the mean, and the mean says how many they were.
//!
//! # Example
//! ```
//! use mlcls_metrics::{Definition, Scores, Ties, evaluate, mean_ap};
//!
//! // Four images, one label; then the same with the second image unknown.
//! let (scores, targets) = ([0.9, 0.8, 0.7, 0.6], [1.0, 0.0, 1.0, 0.0]);
//! let all = Scores::new(&scores, &targets, &[1.0; 4], 1)?;
//! let three = Scores::new(&scores, &targets, &[1.0, 0.0, 1.0, 1.0], 1)?;
//!
//! assert_eq!(mean_ap(&all, Definition::D, Ties::Together).mean, Some((1.0 + 2.0 / 3.0) / 2.0));
//! assert_eq!(mean_ap(&three, Definition::D, Ties::Together).mean, Some(1.0));
//!
//! let report = evaluate(&all, 0.65);
//! assert_eq!(report.at_threshold.op, 2.0 / 3.0); // two of the three images above the threshold have the label
//! # Ok::<(), mlcls_metrics::Error>(())
//! ```
#![deny(missing_docs)]

mod average_precision;
mod calibration;
mod choose;
mod counts;
mod error;
mod folds;
mod label_errors;
mod pr_curve;
mod report;
mod scores;
mod threshold;

pub use average_precision::{Definition, MeanAp, Ties, average_precision, mean_ap};
pub use calibration::{Bin, Calibration, calibration_error, cross_fit_calibration, log_loss, reliability};
pub use choose::{ChosenThreshold, Goal, ThresholdOptions, choose_thresholds, cross_fit_thresholds};
pub use counts::Counts;
pub use error::Error;
pub use label_errors::{SuspectedError, suspected_label_errors};
pub use pr_curve::{PrPoint, precision_recall_curve};
pub use report::{LabelReport, Report, evaluate};
pub use scores::{Answer, Scores};
pub use threshold::{AtThreshold, Threshold, at_threshold};
