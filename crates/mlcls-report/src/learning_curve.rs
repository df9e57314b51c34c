//! The page about a learning curve.

use crate::page::{Page, table};
use crate::plot::{Line, Lines, Point, legend};

/// What [`learning_curve_page`] shows.
#[derive(Clone, Copy, Debug)]
pub struct LearningCurveReport<'a> {
    /// Title of the page.
    pub title: &'a str,
    /// The sentence below it.
    pub lead: &'a str,
    /// Number of training images with the mAP of each draw, per cent; the fewest images first.
    pub points: &'a [(usize, Vec<f64>)],
    /// What it suggests.
    pub suggestion: &'a str,
}

/// A page with mAP by the number of training images: mean over draws, lowest and highest.
pub fn learning_curve_page(report: &LearningCurveReport<'_>) -> String {
    let mut page = Page::new(report.title);
    page.lead(report.lead);
    let line = |of: fn(&[f64]) -> f64| -> Vec<Point> {
        report.points.iter().map(|(images, maps)| Point { x: *images as f64, y: of(maps) }).collect()
    };
    let (low, mean, high) = (line(lowest), line(mean), line(highest));
    if let Some((images, maps)) = report.points.last() {
        page.tile(&format!("{:.1}", self::mean(maps)), "mAP with all images, %");
        page.tile(&images.to_string(), "training images");
    }
    let lines = [
        Line { name: "mean", points: &mean, colour: 0 },
        Line { name: "lowest draw", points: &low, colour: 3 },
        Line { name: "highest draw", points: &high, colour: 3 },
    ];
    let plot =
        Lines { lines: &lines, x: "training images", y: "mAP, %", range: None, diagonal: false, mark: None };
    let legend = legend([(0, "mean over draws"), (3, "lowest and highest draw")]);
    page.card("Learning curve", report.suggestion, &format!("{legend}{}", plot.to_svg()));
    let rows = report.points.iter().map(|(images, maps)| {
        let number = |v: f64| format!("{v:.2}");
        let [mean, low, high] = [self::mean, lowest, highest].map(|of: fn(&[f64]) -> f64| number(of(maps)));
        vec![images.to_string(), mean, low, high, maps.len().to_string()]
    });
    let head = ["training images", "mAP, %", "lowest", "highest", "draws"];
    page.card("Numbers", "", &table(&head, rows));
    page.to_string()
}

fn mean(maps: &[f64]) -> f64 {
    maps.iter().sum::<f64>() / maps.len() as f64
}

fn lowest(maps: &[f64]) -> f64 {
    maps.iter().copied().fold(f64::INFINITY, f64::min)
}

fn highest(maps: &[f64]) -> f64 {
    maps.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}
