//! The page about a data set.

mod labels;
mod sizes;

use mlcls_data::Stats;

use crate::page::{Page, escape, table};

/// A page about a data set: the balance of its labels, which occur together, how splits differ, and the sizes of its
/// images.
///
/// ```no_run
/// use mlcls_data::{Dataset, ReadOptions};
///
/// let stats = Dataset::open("VOCdevkit/VOC2007", &ReadOptions::default())?.stats();
/// std::fs::write("stats.html", mlcls_report::stats_page(&stats))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn stats_page(stats: &Stats) -> String {
    let summary = &stats.summary;
    let name = summary.root.file_name().unwrap_or(summary.root.as_os_str()).to_string_lossy();
    let mut page = Page::new(&name);
    page.lead(&format!("{}, read from {}", summary.format, summary.root.display()));
    tiles(&mut page, stats);
    if !summary.notes.is_empty() {
        let notes = summary.notes.iter().map(|note| format!("<li>{}</li>\n", escape(note)));
        page.wide_card(
            "Worth knowing",
            "",
            &format!("<ul class=\"notes\">{}</ul>", notes.collect::<String>()),
        );
    }
    labels::positives(&mut page, stats);
    splits(&mut page, stats);
    labels::per_image(&mut page, stats);
    labels::drift(&mut page, stats);
    sizes::cards(&mut page, stats);
    labels::cooccurrence(&mut page, stats);
    labels::all(&mut page, stats);
    page.to_string()
}

fn tiles(page: &mut Page, stats: &Stats) {
    let summary = &stats.summary;
    let images = stats.image_count();
    let sum = |count: fn(&mlcls_data::SplitSummary) -> usize| summary.splits.iter().map(count).sum::<usize>();
    let positives: usize = stats.positives().iter().sum();
    page.tile(&images.to_string(), "images");
    page.tile(&summary.labels.len().to_string(), "labels");
    page.tile(&format!("{:.2}", positives as f64 / images.max(1) as f64), "labels per image");
    page.tile(&sum(|split| split.empty).to_string(), "images without a label");
    page.tile(&sum(|split| split.unknown).to_string(), "unknown states");
    let most = stats.imbalance.iter().flatten().copied().fold(1.0, f64::max);
    page.tile(&format!("{most:.0} : 1"), "most frequent to rarest label");
}

fn splits(page: &mut Page, stats: &Stats) {
    let rows = stats.summary.splits.iter().map(|split| {
        let mean = format!("{:.2}", split.labels_per_image);
        let counts = [split.images, split.empty, split.unknown].map(|n| n.to_string());
        let [images, empty, unknown] = counts;
        vec![split.name.clone(), images, mean, empty, unknown]
    });
    let body = table(&["split", "images", "labels / image", "no label", "unknown"], rows);
    page.card("Splits", "", &body);
}
