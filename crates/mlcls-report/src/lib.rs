//! What people look at: self-contained HTML pages with plots as inline SVG (no script, no network, light and dark,
//! readable on a phone), and contact sheets of images.
//!
//! [`stats_page`] shows what [`Dataset::stats`](mlcls_data::Dataset::stats) counted, [`evaluation_page`] what a model is worth and where
//! it errs, [`learning_curve_page`] what more data may bring. Pages are made of a shell
//! ([`Page`]) and plots ([`plot`]), which take numbers and give SVG text. [`contact_sheet`] draws images as the
//! network gets them, [`overlay`] shows where it looks.
//!
//! ```
//! use mlcls_report::Page;
//! use mlcls_report::plot::{Histogram, Scale};
//!
//! let mut page = Page::new("Widths");
//! let histogram = Histogram { values: &[320.0, 500.0, 500.0], scale: Scale::Linear, bins: 10, x: "pixels" };
//! page.card("Widths of images", "of all splits", &histogram.to_svg());
//! assert!(page.to_string().contains("<svg"));
//! ```
#![deny(missing_docs)]

mod evaluation;
mod learning_curve;
mod overlay;
mod page;
mod picture;
pub mod plot;
mod sheet;
mod stats;

pub use evaluation::{Curves, EvaluationReport, Example, Mistake, evaluation_page};
pub use learning_curve::{LearningCurveReport, learning_curve_page};
pub use overlay::overlay;
pub use page::{Page, escape};
pub use picture::thumbnail;
pub use sheet::{SheetOptions, contact_sheet};
pub use stats::stats_page;
