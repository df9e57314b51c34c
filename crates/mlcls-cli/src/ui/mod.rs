//! What the user sees: errors, numbers, tables, progress.

pub mod progress;
pub mod table;

/// An error and its causes on one line; a cause that its parent already quotes is not said twice.
pub fn describe(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// A duration as `4s`, `3m 05s` or `2h 07m`.
pub fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m {:02}s", s / 60, s % 60),
        _ => format!("{}h {:02}m", s / 3600, s / 60 % 60),
    }
}

/// A number, or `-` where there is none.
pub fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |v| format!("{v:.decimals$}"))
}

/// A fraction in per cent, or `-`.
pub fn percent(fraction: Option<f64>) -> String {
    number(fraction.map(|f| 100.0 * f), 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn causes_are_said_once() {
        let twice = anyhow!("disk full").context("cannot save a.bin: disk full");
        assert_eq!(describe(&twice), "cannot save a.bin: disk full");
        let once = anyhow!("disk full").context("cannot save a.bin");
        assert_eq!(describe(&once), "cannot save a.bin: disk full");
    }

    #[test]
    fn durations_have_two_units() {
        assert_eq!(
            [0.4, 59.4, 59.6, 185.0, 7625.0].map(duration),
            ["0s", "59s", "1m 00s", "3m 05s", "2h 07m"]
        );
    }

    #[test]
    fn a_missing_number_is_a_dash() {
        assert_eq!((percent(Some(0.12345)), percent(None)), ("12.35".to_owned(), "-".to_owned()));
    }
}
