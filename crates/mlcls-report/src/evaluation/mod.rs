//! The page about what a model is worth and where it errs.

mod curves;
mod examples;
mod labels;
mod pairs;

use mlcls_data::Rgb;
use mlcls_metrics::{Report, Scores, SuspectedError, Threshold, calibration_error, reliability};

use crate::page::Page;

/// What [`evaluation_page`] shows.
#[derive(Clone, Debug)]
pub struct EvaluationReport<'a> {
    /// Title of the page.
    pub title: &'a str,
    /// One sentence: which checkpoint, which data.
    pub lead: &'a str,
    /// Label names, in the order of the scores.
    pub labels: &'a [String],
    /// Scores from 0 to 1, and answers.
    pub scores: Scores<'a>,
    /// From which score on a label counts as predicted.
    pub threshold: Threshold<'a>,
    /// All metrics of them.
    pub metrics: &'a Report,
    /// How training went; may be empty.
    pub curves: &'a [Curves<'a>],
    /// The worst decisions of each label, in the order in which they are shown.
    pub mistakes: &'a [Mistake],
    /// Answers that may be wrong, the most suspicious first; those with an example are shown.
    pub suspects: &'a [(SuspectedError, Option<Example>)],
    /// Where the list of them is, for people who look for it.
    pub suspects_file: &'a str,
}

/// Curves over epochs in one plot.
#[derive(Clone, Debug)]
pub struct Curves<'a> {
    /// Title of the plot.
    pub title: &'a str,
    /// What lies upwards.
    pub y: &'a str,
    /// Name and values by epoch.
    pub lines: Vec<(&'a str, Vec<(f64, f64)>)>,
}

/// An image in the page.
#[derive(Clone, Debug)]
pub struct Example {
    /// Its id.
    pub id: String,
    /// The image, as small as it is to be shown.
    pub picture: Rgb,
    /// The same with a saliency map over it.
    pub overlay: Rgb,
}

/// A wrong decision.
#[derive(Clone, Debug)]
pub struct Mistake {
    /// The label.
    pub label: usize,
    /// Whether the label was predicted; it is absent then, else present.
    pub predicted: bool,
    /// The score.
    pub score: f32,
    /// The image, with the map of this label.
    pub example: Example,
}

/// A page about an evaluation: training curves, average precision, precision and recall, scores, reliability, labels that
/// occur together, the worst mistakes, and answers that may be wrong. One file that loads nothing.
pub fn evaluation_page(report: &EvaluationReport<'_>) -> String {
    let mut page = Page::new(report.title);
    page.lead(report.lead);
    tiles(&mut page, report);
    curves::training(&mut page, report);
    labels::average_precision(&mut page, report);
    curves::calibration(&mut page, report);
    pairs::cooccurrence(&mut page, report);
    labels::multiples(&mut page, report);
    examples::mistakes(&mut page, report);
    examples::suspects(&mut page, report);
    labels::table(&mut page, report);
    page.to_string()
}

fn percent(share: impl Into<Option<f64>>) -> String {
    share.into().map_or_else(|| "-".to_owned(), |share| format!("{:.1}", 100.0 * share))
}

fn tiles(page: &mut Page, report: &EvaluationReport<'_>) {
    let Report { map, at_threshold: at, .. } = report.metrics;
    page.tile(&percent(*map), "mAP %");
    page.tile(&percent(at.macro_f1), "mean F1 %");
    page.tile(&percent(at.cf1), "CF1 %");
    page.tile(&percent(at.of1), "OF1 %");
    page.tile(&percent(calibration_error(&reliability(&report.scores, curves::BINS))), "calibration error %");
    page.tile(&report.metrics.images.to_string(), "images");
    page.tile(&report.labels.len().to_string(), "labels");
}

#[cfg(test)]
mod tests {
    use mlcls_metrics::{evaluate, suspected_label_errors};

    use super::*;

    fn page(labels: &[&str], scores: &[f32], targets: &[f32], mask: &[f32]) -> String {
        let labels: Vec<String> = labels.iter().map(|&l| l.to_owned()).collect();
        let scores = Scores::new(scores, targets, mask, labels.len()).unwrap();
        let threshold = Threshold::Same(0.5);
        let example = || Example { id: "<i>1".into(), picture: Rgb::black(3, 2), overlay: Rgb::black(3, 2) };
        let suspects = suspected_label_errors(&scores).into_iter().map(|s| (s, Some(example())));
        evaluation_page(&EvaluationReport {
            title: "<i>",
            lead: "<i>",
            labels: &labels,
            scores,
            threshold,
            metrics: &evaluate(&scores, threshold),
            curves: &[Curves {
                title: "Loss",
                y: "loss",
                lines: vec![("train", vec![(1.0, 0.5), (2.0, 0.2)])],
            }],
            mistakes: &[Mistake { label: 0, predicted: true, score: 0.9, example: example() }],
            suspects: &suspects.collect::<Vec<_>>(),
            suspects_file: "list.csv",
        })
    }

    #[test]
    fn all_cards_are_there_and_names_stay_text() {
        let (scores, targets) =
            ([0.9, 0.2, 0.8, 0.7, 0.1, 0.6, 0.85, 0.3], [1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        let html = page(&["<i>cat", "dog"], &scores, &targets, &[1.0; 8]);
        for part in [
            "</b><span>mAP %",
            "Loss",
            "Average precision",
            "Reliability",
            "predicted together",
            "Precision and recall",
            "Scores",
            "Worst mistakes",
            "predicted, not there",
            "may be wrong",
            "list.csv",
            "All labels",
            "src=\"data:image/jpeg",
        ] {
            assert!(html.contains(part), "no {part}");
        }
        assert!(!html.contains("<i>") && !html.contains("NaN") && !html.contains("http"), "{html}");
    }

    #[test]
    fn nothing_known_is_no_trouble() {
        let html = page(&["a"], &[0.5, 0.4], &[0.0; 2], &[0.0; 2]);
        assert!(html.contains("All labels") && !html.contains("NaN"));
        assert!(page(&["a", "b"], &[], &[], &[]).contains("<b>0</b><span>images"));
    }
}
