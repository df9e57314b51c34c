//! Cards about labels.

use mlcls_data::Stats;

use crate::page::{Page, table};
use crate::plot::{Bar, Cell, Columns, HeatMap, Interval, Intervals, StackedBars, legend};

/// Labels that have a row of their own in a plot; the table has all.
const ROWS: usize = 60;

/// Labels in the table of those that occur together.
const CELLS: usize = 60;

/// Labels, most frequent first.
fn by_frequency(stats: &Stats) -> Vec<usize> {
    let positives = stats.positives();
    let mut order: Vec<usize> = (0..positives.len()).collect();
    order.sort_by_key(|label| std::cmp::Reverse(positives[*label]));
    order
}

/// The first and the last of a long list, and a note where some are left out.
fn ends(order: &[usize], most: usize) -> (Vec<usize>, String) {
    if order.len() <= most {
        return (order.to_vec(), String::new());
    }
    let half = most / 2;
    let shown = [&order[..half], &order[order.len() - half..]].concat();
    (shown, format!(" The {half} most frequent and the {half} rarest of {} labels.", order.len()))
}

fn split_names(stats: &Stats) -> Vec<String> {
    stats.summary.splits.iter().map(|split| split.name.clone()).collect()
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.2}%", 100.0 * share))
}

pub(super) fn positives(page: &mut Page, stats: &Stats) {
    let (shown, note) = ends(&by_frequency(stats), ROWS);
    let series = split_names(stats);
    let bar = |&label: &usize| Bar {
        name: stats.summary.labels[label].clone(),
        parts: stats.summary.splits.iter().map(|split| split.positives[label] as f64).collect(),
    };
    let bars: Vec<Bar> = shown.iter().map(bar).collect();
    let plot = StackedBars { series: &series, bars: &bars, x: "images with the label" }.to_svg();
    page.card("Labels", &format!("Positives of each label, by split.{note}"), &(legend(&series) + &plot));
}

pub(super) fn per_image(page: &mut Page, stats: &Stats) {
    let series = split_names(stats);
    let longest = stats.labels_per_image.iter().map(Vec::len).max().unwrap_or(0);
    let groups: Vec<String> = (0..longest).map(|n| n.to_string()).collect();
    let share = |counts: &Vec<usize>| {
        let images: usize = counts.iter().sum();
        (0..longest)
            .map(|n| 100.0 * counts.get(n).copied().unwrap_or(0) as f64 / images.max(1) as f64)
            .collect()
    };
    let values: Vec<Vec<f64>> = stats.labels_per_image.iter().map(share).collect();
    let x = "labels in an image";
    let plot = Columns { series: &series, groups: &groups, values: &values, x, y: "% of the split" }.to_svg();
    page.card("Labels per image", "", &(legend(&series) + &plot));
}

pub(super) fn drift(page: &mut Page, stats: &Stats) {
    let Some(base) = stats.summary.splits.first().filter(|_| !stats.drift.is_empty()) else { return };
    let others: Vec<String> = split_names(stats).split_off(1);
    let (shown, note) = ends(&by_frequency(stats), ROWS);
    let rows: Vec<String> = shown.iter().map(|label| stats.summary.labels[*label].clone()).collect();
    let values: Vec<Interval> = stats
        .drift
        .iter()
        .filter_map(|drift| {
            let name = &stats.summary.labels[drift.label];
            let [low, high] = drift.interval.map(|v| 100.0 * v);
            Some(Interval {
                row: shown.iter().position(|label| *label == drift.label)?,
                series: others.iter().position(|split| *split == drift.split)?,
                value: 100.0 * drift.difference,
                range: [low, high],
                strong: drift.is_significant(),
                title: format!(
                    "{name}, {}: {:+.2} points ({low:+.2} to {high:+.2}), p = {:.2e}",
                    drift.split,
                    100.0 * drift.difference,
                    drift.p_value
                ),
            })
        })
        .collect();
    let x = "percentage points";
    let plot = Intervals { rows: &rows, values: &values, series: others.len(), x }.to_svg();
    let text = format!(
        "Prevalence of each label minus that in {}, with 95% intervals. Strong colour: chance is a bad explanation (p < 0.05 for all labels together).{note}",
        base.name
    );
    page.card("Difference between splits", &text, &(legend(&others) + &plot));
}

pub(super) fn cooccurrence(page: &mut Page, stats: &Stats) {
    let mut frequent = by_frequency(stats);
    let all = frequent.len();
    frequent.retain(|label| stats.cooccurrence.both[*label][*label] > 0);
    frequent.truncate(CELLS);
    if frequent.is_empty() {
        return;
    }
    let note =
        if all > CELLS { format!(" The {CELLS} most frequent of {all} labels.") } else { String::new() };
    let order = chain(stats, frequent);
    let names: Vec<String> = order.iter().map(|label| stats.summary.labels[*label].clone()).collect();
    let cell = |row: usize, column: usize| {
        let (both, known) = (&stats.cooccurrence.both, &stats.cooccurrence.known);
        let (r, c) = (order[row], order[column]);
        let value = stats.cooccurrence.given(r, c);
        let (counts, share) = (format!("{} of {}", both[r][c], known[r][c]), percent(value));
        Cell { value, title: format!("{} given {}: {share} ({counts})", names[column], names[row]) }
    };
    let cells: Vec<Vec<Cell>> =
        (0..names.len()).map(|row| (0..names.len()).map(|column| cell(row, column)).collect()).collect();
    let plot = HeatMap { names: &names, cells: &cells }.to_svg();
    let text = format!(
        "The share of images with the row's label that have the column's too, where that is known. Labels that occur together stand together.{note}"
    );
    page.wide_card("Labels that occur together", &text, &format!("<div class=\"scroll\">{plot}</div>"));
}

/// An order in which labels that overlap are neighbours: from the most frequent on, the next is the one that overlaps
/// most with the last.
fn chain(stats: &Stats, mut left: Vec<usize>) -> Vec<usize> {
    let mut order = vec![left.remove(0)];
    while !left.is_empty() {
        let last = order[order.len() - 1];
        let overlap = |label: &usize| stats.cooccurrence.overlap(last, *label);
        // Of equals the most frequent, which comes first.
        let best = (0..left.len()).rev().max_by(|a, b| overlap(&left[*a]).total_cmp(&overlap(&left[*b])));
        order.push(left.remove(best.unwrap_or(0)));
    }
    order
}

pub(super) fn all(page: &mut Page, stats: &Stats) {
    let summary = &stats.summary;
    let names: Vec<String> =
        summary.splits.iter().flat_map(|s| [s.name.clone(), format!("% {}", s.name)]).collect();
    let mut header = vec!["label"];
    header.extend(names.iter().map(String::as_str));
    header.extend(["unknown", "times rarer"]);
    let rows = by_frequency(stats).into_iter().map(|label| {
        let mut row = vec![summary.labels[label].clone()];
        for (split, prevalence) in summary.splits.iter().zip(&stats.prevalence) {
            row.extend([split.positives[label].to_string(), percent(prevalence[label])]);
        }
        row.push(summary.splits.iter().map(|split| split.unknowns[label]).sum::<usize>().to_string());
        row.push(stats.imbalance[label].map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.1}")));
        row
    });
    let body = table(&header, rows.collect::<Vec<_>>());
    let note = "Positives, and their share of the images where the label is known. Times rarer: than the most frequent label.";
    page.wide_card("All labels", note, &body);
}
