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

/// Runs a contestant, which prints its median last, for at most `limit`. What it prints stays in `logs` until the next run.
pub fn measure(command: &mut Command, logs: &Path, limit: Duration) -> Result<Sample> {
    let (printed, peak_mb) = watch(command, logs, limit)?;
    let images_per_second = median(&printed).context("printed no median")?;
    Ok(Sample { images_per_second, peak_mb })
}

/// Runs a program to its end; returns what it printed and its peak memory in MB. The error is short enough for a table.
pub fn watch(command: &mut Command, logs: &Path, limit: Duration) -> Result<(String, f64)> {
    let line = shell::words(command);
    // Files rather than pipes: nobody has to empty them, and a child's child that lives on does not hold them open.
    let [out, err] = ["stdout.log", "stderr.log"].map(|name| logs.join(name));
    let create = |path: &Path| File::create(path).with_context(|| format!("cannot write {}", path.display()));
    command.stdout(create(&out)?).stderr(create(&err)?);
    let began = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start {line}"))?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak_mb = 0f64;
    let ended = loop {
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        // The kernel's own high-water mark, so that a look now and then misses only the last moments.
        peak_mb = peak_mb.max(high_water_mb(&std::fs::read_to_string(&status).unwrap_or_default()));
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
    Ok((read(&out)?, peak_mb))
}

/// `VmHWM` of a process's status file in MB of 10^6 bytes; 0 once the process has ended.
fn high_water_mb(status: &str) -> f64 {
    let kb = status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    kb.map_or(0.0, |kb: f64| kb * 1024.0 / 1e6)
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

/// The number of the last line that has a median.
fn median(printed: &str) -> Option<f64> {
    let value =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?["median_img_per_s"].as_f64();
    printed.lines().rev().find_map(value)
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
    fn the_last_median_counts_and_memory_is_seen() {
        let script = r#"echo '{"img_per_s": 3}'; echo noise; echo '{"median_img_per_s": 2.5}'; sleep 0.3"#;
        let sample = sh(script, Duration::from_secs(20)).unwrap();
        assert_eq!(sample.images_per_second, 2.5);
        assert!(sample.peak_mb > 0.1, "{sample:?}");
    }

    #[test]
    fn a_failure_says_why_in_one_line() {
        let message = |script: &str| sh(script, Duration::from_secs(20)).unwrap_err().to_string();
        let traceback = "echo 'ImportError: no torch' >&2; echo hint: get one >&2; exit 1";
        assert_eq!(message(traceback), "ImportError: no torch");
        assert_eq!(message("echo what a pity >&2; exit 3"), "what a pity");
        assert_eq!(message("exit 3"), "exit status: 3");
        assert_eq!(message("true"), "printed no median");
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

    #[test]
    fn the_high_water_mark_is_read_in_megabytes() {
        assert_eq!(high_water_mb("Name:\tx\nVmHWM:\t    1000 kB\nVmRSS:\t 10 kB\n"), 1.024);
        assert_eq!(high_water_mb(""), 0.0);
    }
}
