//! The results as Markdown: the table beside OTX's, what its numbers mean, and by what each run can be had again.

use super::datasets::otx;
use super::record::{CellKey, Missing, Record, Results, Score};

/// What stands beside the numbers.
const DEFINITIONS: &str = "\
- mAP, in per cent, is the mean over labels of the average precision by definition D: the mean of the precision at each positive,
  ranks not interpolated, images of equal score entering together, unknown entries left out before ranking, labels without a
  positive left out of the mean. For labels that have one it is what OTX 1.x and mmcls compute. The JSON beside this file has
  definitions A, B and VOC07 too.
- `best` is the checkpoint with the highest mAP on the split `val`, of trained or averaged weights (OTX: the highest share of right
  cells); `last` the trained weights of the last epoch; `average` their exponential moving average at that time, where the run keeps
  one. Where the number is measured on `val` itself (VOC-2007 test, val2014, Aerial's valid), `best` was chosen by the very images
  that it is measured on and is too good by that choice; OTX's number most likely is of that kind. `last` and `average` are chosen
  by nothing, and no split called `test` chooses anything.
- OTX is the table of its documentation. It tells neither splits nor difficult handling nor spread; these are reconstructed: VOC-2007
  trainval to train and test to measure, COCO train2014 and val2014, Aerial Maritime's 52 images of train and 15 of valid with all its
  labels. With 15 or 7 images, one place in the ranking of one label can move mAP by points: read Aerial with its spread.
- VOC's difficult objects count as positives in training and in the number beside OTX's, since the paper's lists count them so. The
  line \"left out\" measures the same checkpoints with these entries unknown, as the official evaluation has it.
- COCO images without any of the 80 labels are kept, as all negative; crowd regions count as positives.
- First weights are timm's. MobileNetV3: `mobilenetv3_large_100.ra_in1k`, ImageNet-1k (OTX: d-li14's mobilenetv3-large-1cd25616,
  ImageNet-1k, which timm does not offer). EfficientNet-B0: `efficientnet_b0.ra_in1k` (OTX: imgclsmob's efficientnet_b0-0752, also
  ImageNet-1k). EfficientNet-V2-S: `tf_efficientnetv2_s.in21k`, ImageNet-21k, as OTX. Another choice stands in the line of its run.
- `±` is the sample standard deviation over seeds. images/s is the training pace without validation, median over epochs. `min per
  run` is all epochs with their validation, from the run's own `metrics.csv`, so that interruptions do not count. `cost` is these
  minutes and those of the evaluations, over all seeds: of one GPU, or of all cores of the CPU.
- `data` is the BLAKE3 hash of the annotations and of the bytes of all images (`mlcls data stats --hash`), `weights` the SHA-256 of the
  file of first weights (`mlcls weights fetch`). Whole hashes are in the JSON.
";

/// The whole document; `command` is what made the latest of it.
pub fn markdown(results: &Results, command: &str) -> String {
    let mut machines: Vec<&str> = results.runs.iter().map(|run| run.machine.as_str()).collect();
    machines.dedup();
    format!(
        "# mAP of models and data sets, beside OTX's\n\n```\n{command}\n```\n\n{}\n\
         {}\n## What the numbers mean\n\n{DEFINITIONS}\n## Runs\n\n{}\n\
         DATA is the folder of data sets (`--data`), WORK that of the bench (`--work`).\n\n```\n{}```\n",
        table(results),
        machines.iter().map(|m| format!("- machine: {m}\n")).collect::<String>(),
        runs(results),
        results.runs.iter().map(|run| format!("{}\n", run.command)).collect::<String>(),
    )
}

/// A line per cell and reading, then a line per cell that has no run.
pub fn table(results: &Results) -> String {
    let mut table = "| data set | model | recipe | measured on | best | last | average | OTX | best - OTX | seeds | images/s \
                     | min per run | cost |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    let mut seen: Vec<&CellKey> = vec![];
    for run in &results.runs {
        if !seen.contains(&&run.key) {
            seen.push(&run.key);
            let runs: Vec<&Record> = results.runs.iter().filter(|r| r.key == run.key).collect();
            table += &cell(&runs);
        }
    }
    for Missing { key, title, why } in &results.missing {
        // A cell ends at a bar or a line's end, and a message may have both.
        let why = why.replace('|', "/").replace('\n', " ");
        table += &format!("| {title} | {} | {} | not run: {why} |", key.model, recipe(key));
        table += &" - |".repeat(9);
        table.push('\n');
    }
    table
}

/// The lines of one cell: one per reading, the first beside OTX's number and with what the cell cost.
fn cell(runs: &[&Record]) -> String {
    let Some(first) = runs.first() else { return String::new() };
    let same = |a: &Score, b: &Score| a.split == b.split && a.difficult == b.difficult;
    let readings = first.scores.iter().filter(|score| score.checkpoint == first.scores[0].checkpoint);
    let mut lines = String::new();
    for (place, reading) in readings.enumerate() {
        let maps = |checkpoint: &str| -> Vec<f64> {
            let scores = runs.iter().flat_map(|run| &run.scores);
            scores.filter(|s| s.checkpoint == checkpoint && same(s, reading)).map(|s| s.map).collect()
        };
        let [best, last, ema] = ["best", "last", "ema"].map(maps);
        let otx = otx(&first.key.dataset, &first.key.model).filter(|_| place == 0);
        let difference = otx.zip(mean(&best)).map(|(otx, ours)| format!("{:+.2}", ours - otx));
        let dash = || "-".to_owned();
        let mut cells = vec![
            first.data.title.clone(),
            first.key.model.clone(),
            recipe(&first.key),
            reading.about.clone(),
            spread(&best),
            spread(&last),
            spread(&ema),
            otx.map_or_else(dash, |otx| format!("{otx:.2}")),
            difference.unwrap_or_else(dash),
            runs.len().to_string(),
        ];
        cells.extend(if place == 0 { cost(runs) } else { [dash(), dash(), dash()] });
        lines += &format!("| {} |\n", cells.join(" | "));
    }
    lines
}

/// Images per second, minutes per run, and minutes of everything.
fn cost(runs: &[&Record]) -> [String; 3] {
    let of = |value: fn(&Record) -> f64| runs.iter().map(|run| value(run)).collect::<Vec<f64>>();
    let train = of(|run| run.train_seconds / 60.0);
    let evaluation = of(|run| run.scores.iter().map(|s| s.seconds).sum::<f64>() / 60.0);
    let device = if runs.iter().any(|run| run.key.device != "cpu") { "GPU" } else { "CPU" };
    let all: f64 = train.iter().chain(&evaluation).sum();
    [
        tenths(mean(&runs.iter().filter_map(|run| run.images_per_second).collect::<Vec<_>>())),
        tenths(mean(&train)),
        format!("{all:.1} {device} min"),
    ]
}

/// A line per run.
fn runs(results: &Results) -> String {
    let mut table = "| data set | model | recipe | seed | best of | best | last | average | epochs | images/s | min | commit \
                     | data | weights |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for run in &results.runs {
        let first = |checkpoint: &str| run.scores.iter().find(|s| s.checkpoint == checkpoint);
        let map = |checkpoint: &str| first(checkpoint).map_or("-".to_owned(), |s| format!("{:.2}", s.map));
        let hash = |text: &str| text.chars().take(12).collect::<String>();
        let cells = [
            run.data.title.clone(),
            run.key.model.clone(),
            recipe(&run.key),
            run.seed.to_string(),
            first("best").map_or("-".to_owned(), |s| format!("epoch {}, {}", s.epoch, s.weights)),
            map("best"),
            map("last"),
            map("ema"),
            format!("{} of {}", run.epochs, run.epochs_most),
            tenths(run.images_per_second),
            format!("{:.1}", run.train_seconds / 60.0),
            run.commits.join(", "),
            hash(&run.data.content),
            match &run.weights.sha256 {
                Some(sha256) => format!("{} {}", run.weights.name, hash(sha256)),
                None => run.weights.name.clone(),
            },
        ];
        table += &format!("| {} |\n", cells.join(" | "));
    }
    table
}

/// The recipe with what differs from it.
fn recipe(key: &CellKey) -> String {
    let device = (key.device != "cpu").then(|| match &key.precision {
        Some(precision) => format!("{} {precision}", key.device),
        None => key.device.clone(),
    });
    let all: Vec<String> =
        [key.recipe.clone()].into_iter().chain(device).chain(key.changes.clone()).collect();
    all.join(", ")
}

/// Mean and sample standard deviation.
fn spread(values: &[f64]) -> String {
    let Some(mean) = mean(values) else { return "-".to_owned() };
    if values.len() < 2 {
        return format!("{mean:.2}");
    }
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    format!("{mean:.2} ± {:.2}", (squares / (values.len() - 1) as f64).sqrt())
}

fn tenths(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |v| format!("{v:.1}"))
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::super::record::testing::{key, record};
    use super::*;

    /// The lines of a table below its head.
    fn lines(table: &str) -> Vec<&str> {
        table.lines().skip(2).collect()
    }

    #[test]
    fn a_cell_has_a_line_per_reading_with_mean_spread_and_difference() {
        let mut results = Results::default();
        for (seed, best) in [86.0, 87.0, 88.0].into_iter().enumerate() {
            results.add(record(key("voc2007", "mobilenet_v3_large"), seed as u64, [best, 85.0, 84.5]));
        }
        // Of 86, 87, 88: mean 87, deviation 1; 564 s are 9.4 min; six evaluations of 6 s are 0.6 min a run.
        assert_eq!(
            lines(&table(&results)),
            [
                "| PASCAL VOC 2007 | mobilenet_v3_large | table | test, difficult positive | 87.00 ± 1.00 | 85.00 ± 0.00 \
                 | 84.50 ± 0.00 | 86.14 | +0.86 | 3 | 101.0 | 9.4 | 30.0 CPU min |",
                "| PASCAL VOC 2007 | mobilenet_v3_large | table | test, difficult unknown | 86.00 ± 1.00 | 84.00 ± 0.00 \
                 | 83.50 ± 0.00 | - | - | 3 | - | - | - |",
            ]
        );
    }

    #[test]
    fn one_seed_has_no_spread_and_a_run_without_average_a_dash() {
        let mut results = Results::default();
        let mut one = record(key("mine", "efficientnet_lite0"), 0, [50.0, 40.0, 0.0]);
        one.scores.retain(|s| s.checkpoint != "ema");
        one.key.changes = vec!["train.epochs=9".to_owned()];
        (one.key.device, one.key.precision) = ("cuda:1".to_owned(), Some("fp32".to_owned()));
        results.add(one);
        let table = table(&results);
        assert!(lines(&table)[0].contains("| table, cuda:1 fp32, train.epochs=9 |"), "{table}");
        assert!(lines(&table)[0].contains("| 50.00 | 40.00 | - | - | - | 1 | 100.0 |"), "{table}");
        assert!(lines(&table)[0].ends_with(" GPU min |"), "{table}");
    }

    #[test]
    fn a_cell_that_did_not_run_says_why_in_as_many_cells_as_the_head() {
        let mut results = Results::default();
        let why = "there is no DATA/coco2014: a | b\nc".to_owned();
        results.add_missing(Missing { key: key("coco2014", "m"), title: "COCO 2014".to_owned(), why });
        let table = table(&results);
        assert!(table.contains("| not run: there is no DATA/coco2014: a / b c | - |"), "{table}");
        let bars: Vec<usize> = table.lines().map(|line| line.matches('|').count()).collect();
        assert_eq!(bars, [14, 14, 14]);
    }

    #[test]
    fn the_document_has_definitions_hashes_and_commands() {
        let mut results = Results::default();
        results.add(record(key("voc2007", "efficientnet_b0"), 2, [86.0, 85.0, 84.0]));
        let text = markdown(&results, "cargo xtask bench-voc --data voc");
        for part in [
            "```\ncargo xtask bench-voc --data voc\n```",
            "by definition D",
            "highest mAP on the split `val`",
            "difficult objects count as positives",
            "| 2 | epoch 7, raw | 86.00 | 85.00 | 84.00 | 9 of 90 | 102.0 | 9.4 | abc1234 | 0123456789ab \
             | a.ra_in1k fedcba987654 |",
            "mlcls train WORK/data/voc2007 --seed 2\n",
            "- machine: 2 x processor\n",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        assert!(text.lines().all(|line| !line.ends_with(' ')));
    }
}
