//! From samples to Markdown: one line per contestant and case, and one verdict per case.

use std::path::Path;

use anyhow::Result;

use super::cases::{Case, MEMORY_GOAL, Mode};
use super::contestants::{Contestant, OURS};
use super::measure::{Sample, quantiles};
use crate::shell;

/// How a contestant did.
#[derive(Debug)]
pub enum Outcome {
    /// One sample per round.
    Ran(Vec<Sample>),
    /// Why there is none.
    Out(String),
}

/// One case and everybody's outcome.
#[derive(Debug)]
pub struct Measured {
    pub case: Case,
    /// This project's samples, one per round.
    pub ours: Vec<Sample>,
    pub rivals: Vec<(Contestant, Outcome)>,
}

/// The rival to beat.
#[derive(Debug, PartialEq)]
struct Fastest {
    /// The one with the highest median.
    who: Contestant,
    images_per_second: f64,
    /// Ours over the fastest of the round, whoever that was; the median over rounds.
    ratio: f64,
}

impl Measured {
    /// The rivals that have a sample for each finished round.
    fn ran(&self) -> impl Iterator<Item = (Contestant, &[Sample])> {
        self.rivals.iter().filter_map(|(who, outcome)| match outcome {
            Outcome::Ran(samples) if !samples.is_empty() => Some((*who, &samples[..])),
            _ => None,
        })
    }

    fn fastest(&self) -> Option<Fastest> {
        let median = |samples: &[Sample]| Some(quantiles(samples.iter().map(|s| s.images_per_second))?[1]);
        let (who, images_per_second) = self
            .ran()
            .filter_map(|(who, samples)| Some((who, median(samples)?)))
            .max_by(|a, b| a.1.total_cmp(&b.1))?;
        let best = |round: usize| {
            let of_round = self.ran().filter_map(|(_, samples)| samples.get(round));
            of_round.map(|s| s.images_per_second).max_by(f64::total_cmp)
        };
        let ratios = self.ours.iter().enumerate().filter_map(|(i, s)| Some(s.images_per_second / best(i)?));
        Some(Fastest { who, images_per_second, ratio: quantiles(ratios)?[1] })
    }

    /// Our peak memory over that of the PyTorch that takes least.
    fn memory(&self) -> Option<f64> {
        let torch = self.ran().filter(|(who, _)| who.is_torch()).filter_map(|(_, s)| median_peak(s));
        Some(median_peak(&self.ours)? / torch.min_by(f64::total_cmp)?)
    }

    fn verdict(&self, speed: Option<f64>, memory: Option<f64>) -> &'static str {
        let slow = speed.zip(self.case.goal()).map(|(ratio, goal)| ratio < goal);
        let large =
            if self.case.mode == Mode::Infer { Some(false) } else { memory.map(|part| part > MEMORY_GOAL) };
        match (slow, large) {
            (Some(true), Some(true)) => "no: speed, memory",
            (Some(true), _) => "no: speed",
            (_, Some(true)) => "no: memory",
            (Some(false), Some(false)) => "yes",
            _ => "-",
        }
    }

    /// What the project asks of itself, in words.
    fn goal(&self) -> Option<String> {
        let speed = self.case.goal()?;
        Some(match self.case.mode {
            Mode::Infer => format!("{speed:.1}x"),
            Mode::Train | Mode::Sam => format!("{speed:.1}x, memory at most {MEMORY_GOAL:.1}x"),
        })
    }
}

fn median_peak(samples: &[Sample]) -> Option<f64> {
    Some(quantiles(samples.iter().map(|s| s.peak_mb))?[1])
}

/// The verdicts: a line per case.
pub fn summary(all: &[Measured]) -> String {
    let mut table =
        "| case | ours, images/s | fastest rival | ours is | memory over PyTorch's | goal | met? |\n\
                     |---|---|---|---|---|---|---|\n"
            .to_owned();
    for one in all {
        let ours = quantiles(one.ours.iter().map(|s| s.images_per_second));
        let fastest = one.fastest();
        let ratio = fastest.as_ref().map(|f| f.ratio);
        let memory = one.memory();
        let cells = [
            one.case.to_string(),
            ours.map_or("-".to_owned(), |[_, median, _]| format!("{median:.1}")),
            fastest.map_or("-".to_owned(), |f| format!("{} {:.1}", f.who, f.images_per_second)),
            ratio.map_or("-".to_owned(), |r| format!("{r:.2}x")),
            memory.map_or("-".to_owned(), |m| format!("{m:.2}x")),
            one.goal().unwrap_or("-".to_owned()),
            one.verdict(ratio, memory).to_owned(),
        ];
        table += &format!("| {} |\n", cells.join(" | "));
    }
    table
}

/// Everything measured: a line per case and contestant.
pub fn details(all: &[Measured]) -> String {
    let mut table = "| model | mode | batch | size | threads | contestant | images/s | peak MB | ours is |\n\
                     |---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for Measured { case, ours, rivals } in all {
        let Case { model, mode, batch, size, threads } = case;
        let mut row = |who: Contestant, cells: &str| {
            table += &format!("| {model} | {mode} | {batch} | {size} | {threads} | {who} | {cells} |\n");
        };
        row(OURS, &numbers(ours, ours));
        for (who, outcome) in rivals {
            match outcome {
                Outcome::Ran(samples) => row(*who, &numbers(ours, samples)),
                // A cell ends at a bar, and a message may quote one.
                Outcome::Out(why) => row(*who, &format!("{} | - | -", why.replace('|', "/"))),
            }
        }
    }
    table
}

/// The last three cells of a contestant's line.
fn numbers(ours: &[Sample], samples: &[Sample]) -> String {
    let speed = quantiles(samples.iter().map(|s| s.images_per_second));
    let ratios = ours.iter().zip(samples).map(|(a, b)| a.images_per_second / b.images_per_second);
    match (speed, median_peak(samples), quantiles(ratios)) {
        (Some([least, median, most]), Some(peak), Some([_, ratio, _])) => {
            format!("{median:.1} ({least:.1} to {most:.1}) | {peak:.0} | {ratio:.2}x")
        }
        _ => "not measured yet | - | -".to_owned(),
    }
}

/// Writes the whole report, under another name first, so that the file is always whole.
pub fn save(path: &Path, preface: &str, all: &[Measured]) -> Result<()> {
    let text = format!("{preface}\n{}\n## All contestants\n\n{}", summary(all), details(all));
    shell::save(path, &text)
}

#[cfg(test)]
mod tests {
    use super::super::cases::Mode;
    use super::*;

    fn samples(rates: &[f64], peak_mb: f64) -> Vec<Sample> {
        rates.iter().map(|&images_per_second| Sample { images_per_second, peak_mb }).collect()
    }

    fn measured(ours: &[f64]) -> Measured {
        let who = |name: &str| name.parse::<Contestant>().unwrap();
        Measured {
            case: Case {
                model: "mobilenetv3_large_100".to_owned(),
                mode: Mode::Train,
                batch: 32,
                size: 224,
                threads: 2,
            },
            ours: samples(ours, 700.0),
            rivals: vec![
                (who("torch"), Outcome::Ran(samples(&[10.0, 20.0, 30.0], 2000.0))),
                (who("torch+kept"), Outcome::Ran(samples(&[20.0, 25.0, 20.0], 3000.0))),
                (who("torch-compile"), Outcome::Out("stopped | after 600 s".to_owned())),
            ],
        }
    }

    #[test]
    fn the_headline_is_against_the_fastest_of_each_round() {
        // Best of the rounds: 20, 25, 30; of the medians 20 and 20 the later one counts.
        let fastest = measured(&[40.0, 40.0, 45.0]).fastest().unwrap();
        assert_eq!((fastest.images_per_second, fastest.ratio), (20.0, 1.6));
        assert_eq!(fastest.who.to_string(), "PyTorch, memory kept");
    }

    #[test]
    fn the_summary_says_what_was_missed() {
        let line = |ours: &[f64]| summary(&[measured(ours)]).lines().last().unwrap().to_owned();
        assert_eq!(
            line(&[40.0, 40.0, 45.0]),
            "| mobilenetv3_large_100 train, batch 32, 224 px, 2 threads | 40.0 | PyTorch, memory kept 20.0 | 1.60x | 0.35x \
             | 1.5x, memory at most 0.5x | yes |"
        );
        assert!(line(&[30.0, 30.0, 30.0]).ends_with("| no: speed |"));
    }

    #[test]
    fn without_rivals_there_is_no_verdict() {
        let alone = Measured { rivals: vec![], ..measured(&[40.0]) };
        assert!(summary(&[alone]).ends_with("| 40.0 | - | - | - | 1.5x, memory at most 0.5x | - |\n"));
    }

    #[test]
    fn every_contestant_has_a_line_also_one_that_failed() {
        let table = details(&[measured(&[40.0, 40.0, 45.0])]);
        let lines: Vec<&str> = table.lines().skip(2).collect();
        let start = "| mobilenetv3_large_100 | train | 32 | 224 | 2 |";
        assert_eq!(lines[0], format!("{start} mlcls | 40.0 (40.0 to 45.0) | 700 | 1.00x |"));
        assert_eq!(lines[1], format!("{start} PyTorch | 20.0 (10.0 to 30.0) | 2000 | 2.00x |"));
        assert_eq!(lines[3], format!("{start} PyTorch, compiled | stopped / after 600 s | - | - |"));
    }

    #[test]
    fn the_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cpu.md");
        save(&path, "# Title\n", &[]).unwrap();
        save(&path, "# Title\n", &[measured(&[40.0, 40.0, 45.0])]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# Title\n\n| case") && text.contains("## All contestants"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
