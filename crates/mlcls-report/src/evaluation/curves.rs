//! Cards of curves: training, reliability.

use mlcls_metrics::reliability;

use super::EvaluationReport;
use crate::page::Page;
use crate::plot::{Line, Lines, Point, legend};

/// Ranges of scores in the reliability diagram.
pub(super) const BINS: usize = 15;

/// A range of scores with fewer decisions says little and is not drawn.
const LEAST: usize = 5;

pub(super) fn training(page: &mut Page, report: &EvaluationReport<'_>) {
    for curves in report.curves {
        let points: Vec<Vec<Point>> = curves
            .lines
            .iter()
            .map(|(_, line)| line.iter().map(|&(x, y)| Point { x, y }).collect())
            .collect();
        let lines: Vec<Line> = curves
            .lines
            .iter()
            .zip(&points)
            .enumerate()
            .map(|(colour, ((name, _), points))| Line { name, points, colour })
            .collect();
        let plot = Lines { lines: &lines, x: "epoch", y: curves.y, range: None, diagonal: false, mark: None }
            .to_svg();
        let names = curves.lines.iter().map(|(name, _)| *name).enumerate();
        page.card(curves.title, "", &(legend(names) + &plot));
    }
}

pub(super) fn calibration(page: &mut Page, report: &EvaluationReport<'_>) {
    let bins = reliability(&report.scores, BINS);
    let points: Vec<Point> = bins
        .iter()
        .filter(|bin| bin.count >= LEAST)
        .map(|bin| Point { x: 100.0 * bin.score, y: 100.0 * bin.present })
        .collect();
    let lines = [Line { name: "scores", points: &points, colour: 0 }];
    let range = Some([[0.0, 100.0]; 2]);
    let plot =
        Lines { lines: &lines, x: "mean score %", y: "label present %", range, diagonal: true, mark: None };
    let note = "Of all decisions with about the same score, how many labels are there. On the diagonal a score is a probability; below it the model is too sure.";
    page.card("Reliability", note, &plot.to_svg());
}
