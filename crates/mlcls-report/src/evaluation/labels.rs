//! Cards with something for each label.

use mlcls_metrics::{Answer, precision_recall_curve};

use super::{EvaluationReport, percent};
use crate::page::{self, Page, escape};
use crate::plot::{Bar, Line, Lines, Point, StackedBars, legend};

/// Labels that have a plot of their own; the table has all.
const PLOTS: usize = 40;

/// Ranges of scores in a histogram.
const BINS: usize = 20;

/// Labels, best average precision first; those without one last.
pub(super) fn by_precision(report: &EvaluationReport<'_>) -> Vec<usize> {
    let ap = |label: &usize| report.metrics.per_label[*label].ap.unwrap_or(-1.0);
    let mut order: Vec<usize> = (0..report.labels.len()).collect();
    order.sort_by(|a, b| ap(b).total_cmp(&ap(a)));
    order
}

pub(super) fn average_precision(page: &mut Page, report: &EvaluationReport<'_>) {
    let bar = |label: usize| {
        let of = &report.metrics.per_label[label];
        let ap = (1000.0 * of.ap?).round() / 10.0;
        Some(Bar { name: format!("{} ({})", report.labels[label], of.positives), parts: vec![ap] })
    };
    let bars: Vec<Bar> = by_precision(report).into_iter().filter_map(bar).collect();
    let mut note = "In brackets how many images have the label.".to_owned();
    if report.metrics.labels_without_positives > 0 {
        note += &format!(" {} labels without an image have none.", report.metrics.labels_without_positives);
    }
    let series = ["AP %".to_owned()];
    let plot = StackedBars { series: &series, bars: &bars, x: "average precision %" }.to_svg();
    page.card("Average precision", &note, &plot);
}

/// Precision against recall, and where scores lie, for each label.
pub(super) fn multiples(page: &mut Page, report: &EvaluationReport<'_>) {
    let mut order = by_precision(report);
    order.retain(|label| report.metrics.per_label[*label].ap.is_some());
    let note = match order.len() {
        n if n > PLOTS => format!(" The {PLOTS} labels with the most images of {n}."),
        _ => String::new(),
    };
    if order.len() > PLOTS {
        order.sort_by_key(|label| std::cmp::Reverse(report.metrics.per_label[*label].positives));
        order.truncate(PLOTS);
    }
    if order.is_empty() {
        return;
    }
    let cell = |title: String, plot: String| format!("<div><h3>{}</h3>{plot}</div>\n", escape(&title));
    let curves: String =
        order.iter().map(|&label| cell(report.labels[label].clone(), curve(report, label))).collect();
    page.wide_card(
        "Precision and recall",
        &format!("At every threshold; the ring is the one in use.{note}"),
        &format!("<div class=\"grid\">{curves}</div>"),
    );
    let histograms: String =
        order.iter().map(|&label| cell(report.labels[label].clone(), scores(report, label))).collect();
    page.wide_card(
        "Scores",
        &format!("The share of images by score, with the label and without it.{note}"),
        &(legend([(1, "with the label"), (0, "without it")])
            + &format!("<div class=\"grid\">{histograms}</div>")),
    );
}

fn curve(report: &EvaluationReport<'_>, label: usize) -> String {
    let point = |recall: f64, precision: f64| Point { x: 100.0 * recall, y: 100.0 * precision };
    let points: Vec<Point> =
        precision_recall_curve(&report.scores, label).iter().map(|p| point(p.recall, p.precision)).collect();
    let of = &report.metrics.per_label[label];
    let mark = of.precision.zip(of.recall).map(|(precision, recall)| point(recall, precision));
    let lines = [Line { name: "precision", points: &points, colour: 0 }];
    let range = Some([[0.0, 100.0]; 2]);
    Lines { lines: &lines, x: "recall %", y: "precision %", range, diagonal: false, mark }.to_small_svg()
}

fn scores(report: &EvaluationReport<'_>, label: usize) -> String {
    let shares = |wanted: Answer| -> Vec<Point> {
        let mut counts = [0usize; BINS];
        for (score, answer) in report.scores.label(label) {
            if answer == wanted {
                counts[((f64::from(score) * BINS as f64) as usize).min(BINS - 1)] += 1;
            }
        }
        let all = counts.iter().sum::<usize>().max(1) as f64;
        let place = |i: usize| (i as f64 + 0.5) * 100.0 / BINS as f64;
        counts.iter().enumerate().map(|(i, n)| Point { x: place(i), y: 100.0 * *n as f64 / all }).collect()
    };
    let (present, absent) = (shares(Answer::Present), shares(Answer::Absent));
    let lines = [
        Line { name: "without it", points: &absent, colour: 0 },
        Line { name: "with the label", points: &present, colour: 1 },
    ];
    let range = Some([[0.0, 100.0]; 2]);
    Lines { lines: &lines, x: "score %", y: "images %", range, diagonal: false, mark: None }.to_small_svg()
}

pub(super) fn table(page: &mut Page, report: &EvaluationReport<'_>) {
    let rows = by_precision(report).into_iter().map(|label| {
        let of = &report.metrics.per_label[label];
        vec![
            report.labels[label].clone(),
            percent(of.ap),
            of.positives.to_string(),
            of.negatives.to_string(),
            of.unknowns.to_string(),
            format!("{:.3}", report.threshold.of(label)),
            percent(of.precision),
            percent(of.recall),
            percent(of.f1),
        ]
    });
    let header =
        ["label", "AP %", "with", "without", "unknown", "threshold", "precision %", "recall %", "F1 %"];
    page.wide_card("All labels", "", &page::table(&header, rows.collect::<Vec<_>>()));
}
