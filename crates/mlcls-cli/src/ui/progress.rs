//! A run as it is seen: a bar and lasting lines on a terminal, plain lines elsewhere, or JSON lines.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use mlcls_train::{Event, EventSink, Row, StepInfo};

use super::{duration, number};

/// The best sink for where the output goes.
pub fn sink(json: bool) -> Box<dyn EventSink> {
    match (json, stdout().is_terminal() && stderr().is_terminal()) {
        (true, _) => Box::new(JsonLines),
        (false, true) => Box::new(Lines::new(Some(bar()))),
        (false, false) => Box::new(Lines::new(None)),
    }
}

/// Does work on image files that says how many of how many are done, behind a bar where somebody sees it.
pub fn with_bar<T>(work: impl FnOnce(&(dyn Fn(usize, usize) + Sync)) -> T) -> T {
    if !stderr().is_terminal() {
        return work(&|_, _| ());
    }
    let style = ProgressStyle::with_template("images {bar:24} {pos}/{len} {per_sec}, ETA {eta}");
    let bar = ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let done = work(&|done, total| {
        bar.set_length(total as u64);
        bar.set_position(bar.position().max(done as u64)); // Threads may be late to say.
    });
    bar.finish_and_clear();
    done
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:24} {pos}/{len} {msg}");
    let bar = ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

/// Every event as one JSON object per line.
struct JsonLines;

impl EventSink for JsonLines {
    fn event(&mut self, event: &Event) {
        if let Ok(line) = serde_json::to_string(event) {
            print_line(&line);
        }
    }
}

/// Lines for a person. With a bar they scroll by above it; without, the bar's numbers come as lines, ten per epoch.
struct Lines {
    bar: Option<ProgressBar>,
    header_printed: bool,
    /// Tenth of the epoch that was printed last, without a bar.
    tenth: usize,
}

/// Columns of the table of epochs.
const HEADER: &str = "epoch  train loss  val loss     mAP  EMA mAP     CF1     OF1        lr     time";

impl Lines {
    fn new(bar: Option<ProgressBar>) -> Self {
        Self { bar, header_printed: false, tenth: 0 }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| print_line(text)),
            None => print_line(text),
        }
    }

    fn step(&mut self, info: &StepInfo) {
        let numbers = step_numbers(info);
        if let Some(bar) = &self.bar {
            bar.set_length(info.steps as u64);
            bar.set_position(info.step as u64);
            bar.set_message(numbers);
        } else if info.step * 10 / info.steps.max(1) != self.tenth && info.step < info.steps {
            self.tenth = info.step * 10 / info.steps.max(1);
            self.line(&format!("  epoch {} step {}/{}: {numbers}", info.epoch, info.step, info.steps));
        }
    }

    fn row(&mut self, row: &Row) {
        if !self.header_printed {
            self.header_printed = true;
            self.line(HEADER);
        }
        self.line(&row_line(row));
    }
}

impl EventSink for Lines {
    fn event(&mut self, event: &Event) {
        match event {
            Event::DataFound { summary, train, val } => {
                self.line(summary.to_string().trim_end());
                self.line(&format!("\ntraining on `{train}`, validating on `{val}`"));
            }
            Event::Chosen { choices } => {
                for choice in choices {
                    let why =
                        if choice.why.is_empty() { String::new() } else { format!(" ({})", choice.why) };
                    self.line(&format!("  {:<17} {}{why}", choice.what, choice.value));
                }
                self.line("");
            }
            Event::Warning { message } => self.line(&format!("warning: {message}")),
            Event::Download { done, total } => match &self.bar {
                Some(bar) => {
                    bar.set_prefix("weights");
                    bar.set_length(*total);
                    bar.set_position(*done);
                    bar.set_message("bytes");
                }
                None if done == total => self.line(&format!("downloaded {total} bytes of weights")),
                None => {}
            },
            Event::Resumed { epoch, steps_done } => {
                self.line(&format!("continuing in epoch {epoch}, after step {steps_done}"));
            }
            Event::EpochStart { epoch, epochs, steps } => {
                self.tenth = 0;
                if let Some(bar) = &self.bar {
                    bar.set_prefix(format!("epoch {epoch}/{epochs}"));
                    bar.set_length(*steps as u64);
                    bar.set_position(0);
                    bar.set_message(String::new());
                }
            }
            Event::Step(info) => self.step(info),
            Event::EpochEnd(row) => self.row(row),
            Event::Finished { .. } => {
                if let Some(bar) = &self.bar {
                    bar.finish_and_clear();
                }
            }
            // The row says these too; files are named at the end. Later versions may add events.
            Event::Validated(_) | Event::NewBest(_) | Event::Saved { .. } => {}
            _ => {}
        }
    }
}

/// A reader that went away does not end the training.
fn print_line(text: &str) {
    let _ = writeln!(stdout().lock(), "{text}");
}

fn step_numbers(info: &StepInfo) -> String {
    format!(
        "{:.1} img/s, loss {:.4}, lr {:.2e}, waited {:.1}s for data, ETA {}",
        info.images_per_second,
        info.loss,
        info.lr,
        info.data_wait_seconds,
        duration(info.eta_seconds)
    )
}

fn row_line(row: &Row) -> String {
    format!(
        "{:>5}  {:>10}  {:>8}  {:>6}  {:>7}  {:>6}  {:>6}  {:>8.2e}  {:>7}{}",
        row.epoch,
        number(row.train_loss, 4),
        number(row.val_loss, 4),
        number(row.map, 2),
        number(row.ema_map, 2),
        number(row.cf1, 2),
        number(row.of1, 2),
        row.lr,
        duration(row.seconds),
        if row.best { "  best" } else { "" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_under_their_header() {
        let row = Row {
            epoch: 12,
            train_loss: Some(0.12345),
            val_loss: None,
            map: Some(100.0),
            cf1: Some(9.5),
            of1: Some(88.125),
            lr: 0.0049,
            seconds: 75.0,
            best: true,
            ..Row::default()
        };
        let line = row_line(&row);
        assert_eq!(
            line,
            "   12      0.1235         -  100.00        -    9.50   88.12   4.90e-3   1m 15s  best"
        );
        assert_eq!(line.trim_end_matches("  best").len(), HEADER.len());
    }
}
