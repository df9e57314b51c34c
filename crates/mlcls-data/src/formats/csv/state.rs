//! What one cell says about one label.

use crate::dataset::LabelState;

/// The words that a cell may hold, for messages.
pub(super) const WORDS: &str = "1, true or yes (present), 0, false or no (absent), or nothing, -1, ?, NA, nan, null or unknown (unknown)";

/// The state that a cell stands for: a word of [`WORDS`] in any case, or its number written otherwise (`1.0`).
pub(in crate::formats) fn state(cell: &str) -> Option<LabelState> {
    use LabelState::{Absent, Present, Unknown};
    let cell = cell.trim();
    match cell {
        "1" => return Some(Present),
        "0" => return Some(Absent),
        "" => return Some(Unknown),
        _ => {}
    }
    match cell.to_ascii_lowercase().as_str() {
        "true" | "yes" => Some(Present),
        "false" | "no" => Some(Absent),
        "?" | "na" | "n/a" | "nan" | "null" | "unknown" => Some(Unknown),
        number => match number.parse::<f64>() {
            Ok(1.0) => Some(Present),
            Ok(0.0) => Some(Absent),
            Ok(-1.0) => Some(Unknown),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_are_states_and_nothing_else_is() {
        for (words, expected) in [
            ("1 1.0 true Yes TRUE +1 1e0", Some(LabelState::Present)),
            ("0 0.0 false No -0 00", Some(LabelState::Absent)),
            ("-1 -1.0 ? nan NaN NA n/a null unknown", Some(LabelState::Unknown)),
            ("2 0.5 cat y inf 1x --1 tru", None),
        ] {
            for word in words.split(' ') {
                assert_eq!(state(word), expected, "{word}");
            }
        }
        assert_eq!((state("  "), state(" 1 ")), (Some(LabelState::Unknown), Some(LabelState::Present)));
    }
}
