//! Running one contestant to its end: its speed, its peak memory, or why there is neither.

use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::shell;

/// One process's result.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sample {
    pub images_per_second: f64,
    pub peak_mb: f64,
}

/// Runs a contestant for at most `limit`. What it prints stays in `logs` until the next run.
pub fn measure(command: &mut Command, logs: &Path, limit: Duration) -> Result<Sample> {
    result(&finish(command, logs, limit)?).context("printed no result")
}

/// Runs a program to its end and returns what it printed. The error is short enough for a table.
pub fn finish(command: &mut Command, logs: &Path, limit: Duration) -> Result<String> {
    // Files rather than pipes: nobody has to empty them, and a child's child that lives on does not hold them open.
    let [out, err] = ["stdout.log", "stderr.log"].map(|name| logs.join(name));
    let create = |path: &Path| File::create(path).with_context(|| format!("cannot write {}", path.display()));
    command.stdout(create(&out)?).stderr(create(&err)?);
    let began = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start {}", shell::words(command)))?;
    let ended = loop {
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        if began.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("stopped after {} s", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let read = |path: &Path| std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if !ended.success() {
        bail!("{}", reason(ended, &read(&err)?));
    }
    Ok(read(&out)?)
}

/// Why a program failed, in one line: the last thing it said (of a Python traceback, the error), or how it ended.
fn reason(ended: ExitStatus, errors: &str) -> String {
    let is_error = |l: &&str| {
        let word = l.split([':', ' ']).next().unwrap_or_default();
        l.contains(": ") && (word.ends_with("Error") || word.ends_with("Exception") || word == "error")
    };
    let last = || errors.lines().rev().map(str::trim).find(|l| !l.is_empty());
    let said = errors.lines().rev().find(is_error).or_else(last).unwrap_or_default();
    let mut short: String = said.chars().take(120).collect();
    if short.len() < said.len() {
        short.push_str("...");
    }
    if short.is_empty() { ended.to_string() } else { short }
}

/// The last line that is a result. Contestants report their own peak, since a watcher would miss that of a short run.
fn result(printed: &str) -> Option<Sample> {
    printed.lines().rev().find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let number = |name: &str| line[name].as_f64();
        Some(Sample { images_per_second: number("median_img_per_s")?, peak_mb: number("peak_mb")? })
    })
}

/// Least, median and most; none of nothing.
pub fn quantiles(values: impl Iterator<Item = f64>) -> Option<[f64; 3]> {
    let mut all: Vec<f64> = values.collect();
    all.sort_by(f64::total_cmp);
    let (least, most) = (*all.first()?, *all.last()?);
    let middle = all[(all.len() - 1) / 2] + all[all.len() / 2];
    Some([least, middle / 2.0, most])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Result<Sample> {
        let logs = tempfile::tempdir().unwrap();
        measure(Command::new("sh").args(["-c", script]), logs.path(), limit)
    }

    #[test]
    fn the_last_result_counts() {
        let script = r#"echo '{"img_per_s": 3}'; echo noise; echo '{"median_img_per_s": 2.5, "peak_mb": 70.1}'; echo bye"#;
        let sample = sh(script, Duration::from_secs(20)).unwrap();
        assert_eq!(sample, Sample { images_per_second: 2.5, peak_mb: 70.1 });
    }

    #[test]
    fn a_failure_says_why_in_one_line() {
        let message = |script: &str| sh(script, Duration::from_secs(20)).unwrap_err().to_string();
        let traceback = "echo 'ImportError: no torch' >&2; echo hint: get one >&2; exit 1";
        assert_eq!(message(traceback), "ImportError: no torch");
        assert_eq!(message("echo what a pity >&2; exit 3"), "what a pity");
        assert_eq!(message("exit 3"), "exit status: 3");
        assert_eq!(message("true"), "printed no result");
        assert!(message("printf 'a%.0s' $(seq 500) >&2; exit 1").ends_with("aaa..."));
    }

    #[test]
    fn what_takes_too_long_is_stopped() {
        let began = Instant::now();
        let error = sh("exec sleep 60", Duration::from_millis(100)).unwrap_err();
        assert_eq!(error.to_string(), "stopped after 0 s");
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn quantiles_of_odd_and_even_counts() {
        let of = |values: &[f64]| quantiles(values.iter().copied());
        assert_eq!(of(&[3.0, 1.0, 2.0]), Some([1.0, 2.0, 3.0]));
        assert_eq!(of(&[4.0, 1.0]), Some([1.0, 2.5, 4.0]));
        assert_eq!(of(&[5.0]), Some([5.0; 3]));
        assert_eq!(of(&[]), None);
    }
}
