//! Cards about image files.

use mlcls_data::{ImageSize, Quantiles, Stats};

use crate::page::{Page, table};
use crate::plot::{Histogram, Point, Scale, Scatter};

pub(super) fn cards(page: &mut Page, stats: &Stats) {
    let images = &stats.images;
    let points: Vec<Point> = images
        .each
        .iter()
        .map(|size| Point { x: f64::from(size.width), y: f64::from(size.height) })
        .collect();
    let plot = Scatter { points: &points, of: "images", x: "width in pixels", y: "height in pixels" };
    let body = plot.to_svg() + &quantiles(stats);
    let unreadable = match images.unreadable {
        0 => String::new(),
        n => format!(" {n} images cannot be read and are left out."),
    };
    let note = format!("As shown, after EXIF orientation. A larger dot stands for more images.{unreadable}");
    page.card("Image sizes", &note, &body);

    let histogram = |value: fn(&ImageSize) -> f64, x: &str| {
        let values: Vec<f64> = images.each.iter().map(value).collect();
        Histogram { values: &values, scale: Scale::Log, bins: 40, x }.to_svg()
    };
    let aspect = histogram(|i| f64::from(i.width) / f64::from(i.height), "width / height");
    page.card("Aspect ratios", "1 is a square; the axis is logarithmic.", &aspect);
    let bytes = histogram(|i| i.bytes as f64 / 1000.0, "kB");
    page.card("File sizes", "The axis is logarithmic.", &bytes);
}

fn quantiles(stats: &Stats) -> String {
    let images = &stats.images;
    let row = |name: &str, quantiles: &Option<Quantiles>, decimals: usize, unit: f64| {
        let q = (*quantiles)?;
        let values = [q.min, q.p5, q.median, q.p95, q.max].map(|v| format!("{:.decimals$}", v / unit));
        Some(std::iter::once(name.to_owned()).chain(values).collect::<Vec<String>>())
    };
    let rows = [
        row("width", &images.width, 0, 1.0),
        row("height", &images.height, 0, 1.0),
        row("width / height", &images.aspect, 2, 1.0),
        row("kB", &images.bytes, 0, 1000.0),
    ];
    table(&["", "least", "5%", "median", "95%", "most"], rows.into_iter().flatten())
}
