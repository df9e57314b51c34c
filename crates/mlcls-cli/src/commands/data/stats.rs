//! `mlcls data stats`: numbers about a data set, for a terminal, a browser or a program.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use mlcls_data::{Quantiles, Stats};
use mlcls_report::stats_page;
use serde::Serialize;

use super::source::Source;
use crate::ui::progress::with_bar;
use crate::ui::{number, percent, table::Table};

/// Count what a data set holds: labels per image and split, labels that occur together, image sizes.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Write a page with plots; it needs nothing else and opens in any browser.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Read all image files too, and tell a hash of the annotations and one of everything.
    #[arg(long)]
    hash: bool,
}

/// The JSON.
#[derive(Serialize)]
struct Printed {
    #[serde(flatten)]
    stats: Stats,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_hash: Option<String>,
}

/// Pairs of labels that are printed.
const PAIRS: usize = 10;

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    let dataset = args.source.open()?;
    let stats = dataset.stats();
    let content_hash = match args.hash {
        true => Some(with_bar(|progress| dataset.content_hash(progress))?),
        false => None,
    };
    if let Some(file) = &args.html {
        std::fs::write(file, stats_page(&stats))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    let mut out = stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &Printed { stats, content_hash })?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&mut out, &stats)?;
    if let Some(content_hash) = content_hash {
        writeln!(out, "\nannotations {}\neverything  {content_hash}", stats.summary.fingerprint)?;
    }
    if let Some(file) = &args.html {
        writeln!(out, "\nplots: {}", file.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(out: &mut impl Write, stats: &Stats) -> Result<()> {
    let summary = &stats.summary;
    writeln!(
        out,
        "{}: {}, {} labels, {} images\n",
        summary.root.display(),
        summary.format,
        summary.labels.len(),
        stats.image_count()
    )?;
    writeln!(out, "{}\n{}\n{}", splits(stats), labels(stats), sizes(stats))?;
    let pairs = pairs(stats);
    if let Some(pairs) = pairs {
        writeln!(out, "{pairs}")?;
    }
    let drifting: Vec<_> = stats.drift.iter().filter(|drift| drift.is_significant()).collect();
    if !drifting.is_empty() {
        let mut table = Table::new(["differs", "in", "points", "from", "to", "p"]);
        for drift in drifting {
            let points = |v: f64| format!("{:.2}", 100.0 * v);
            let [low, high] = drift.interval.map(points);
            let name = summary.labels[drift.label].clone();
            let p = format!("{:.1e}", drift.p_value);
            table.row([name, drift.split.clone(), points(drift.difference), low, high, p]);
        }
        let base = &summary.splits[0].name;
        writeln!(out, "{table}(percentage points beside {base}, 95 % interval; p by Fisher and Holm)\n")?;
    }
    if let Some(mean) = stats.mean_imbalance() {
        writeln!(out, "imbalance: a label is {mean:.1} times rarer than the most frequent one, on average")?;
    }
    if stats.images.unreadable > 0 {
        writeln!(
            out,
            "{} images cannot be read; mlcls data check says which and why",
            stats.images.unreadable
        )?;
    }
    summary.notes.iter().try_for_each(|note| writeln!(out, "- {note}"))?;
    Ok(())
}

fn splits(stats: &Stats) -> Table {
    let longest = stats.labels_per_image.iter().map(Vec::len).max().unwrap_or(0);
    // The last column holds all that have more.
    let columns = longest.min(8);
    let mut header: Vec<String> = ["split", "images", "labels/image", "unknown"].map(str::to_owned).to_vec();
    let and_more = |n: usize| if n + 1 == columns && longest > columns { "+" } else { "" };
    header.extend((0..columns).map(|n| format!("with {n}{}", and_more(n))));
    let mut table = Table::new(header);
    for (split, counts) in stats.summary.splits.iter().zip(&stats.labels_per_image) {
        let mut row = vec![
            split.name.clone(),
            split.images.to_string(),
            format!("{:.2}", split.labels_per_image),
            split.unknown.to_string(),
        ];
        let count = |n: usize| match n + 1 {
            last if last == columns => counts.iter().skip(n).sum(),
            _ => counts.get(n).copied().unwrap_or(0),
        };
        row.extend((0..columns).map(|n| count(n).to_string()));
        table.row(row);
    }
    table
}

fn labels(stats: &Stats) -> Table {
    let summary = &stats.summary;
    let mut header = vec!["label".to_owned()];
    header.extend(summary.splits.iter().flat_map(|split| [split.name.clone(), "%".to_owned()]));
    header.extend(["unknown", "times rarer"].map(str::to_owned));
    let mut table = Table::new(header);
    for (label, name) in summary.labels.iter().enumerate() {
        let mut row = vec![name.clone()];
        for (split, prevalence) in summary.splits.iter().zip(&stats.prevalence) {
            row.extend([split.positives[label].to_string(), percent(prevalence[label])]);
        }
        row.push(summary.splits.iter().map(|split| split.unknowns[label]).sum::<usize>().to_string());
        row.push(number(stats.imbalance[label], 1));
        table.row(row);
    }
    table
}

fn sizes(stats: &Stats) -> Table {
    let mut table = Table::new(["images", "least", "5%", "median", "95%", "most"]);
    let mut row = |name: &str, quantiles: &Option<Quantiles>, decimals: usize, unit: f64| {
        if let Some(q) = quantiles {
            let values = [q.min, q.p5, q.median, q.p95, q.max].map(|v| format!("{:.decimals$}", v / unit));
            table.row(std::iter::once(name.to_owned()).chain(values));
        }
    };
    row("width", &stats.images.width, 0, 1.0);
    row("height", &stats.images.height, 0, 1.0);
    row("width / height", &stats.images.aspect, 2, 1.0);
    row("kB", &stats.images.bytes, 1, 1000.0);
    table
}

/// The pairs of labels that occur together most often.
fn pairs(stats: &Stats) -> Option<Table> {
    let names = &stats.summary.labels;
    let both = &stats.cooccurrence.both;
    let mut pairs: Vec<(usize, usize)> = (0..names.len())
        .flat_map(|a| (0..a).map(move |b| (b, a)))
        .filter(|(a, b)| both[*a][*b] > 0)
        .collect();
    pairs.sort_by_key(|(a, b)| std::cmp::Reverse(both[*a][*b]));
    let mut table = Table::new(["together", "", "images", "% of the first", "% of the second"]);
    for &(a, b) in pairs.iter().take(PAIRS) {
        let given = |row, column| percent(stats.cooccurrence.given(row, column));
        table.row([names[a].clone(), names[b].clone(), both[a][b].to_string(), given(a, b), given(b, a)]);
    }
    (!pairs.is_empty()).then_some(table)
}
