//! Which part of the backbone keeps its weights.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which part of the backbone keeps its weights; as text `none`, `backbone`, or `backbone:3` for its stem and its first three
/// stages (timm's `blocks.0` to `blocks.2`).
///
/// What is frozen runs as in inference, with batch-norm's running statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Freeze {
    /// Everything trains.
    #[default]
    None,
    /// Only the head trains.
    Backbone,
    /// The stem and so many stages are frozen, at least 1.
    Stages(usize),
}

impl fmt::Display for Freeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Backbone => f.write_str("backbone"),
            Self::Stages(n) => write!(f, "backbone:{n}"),
        }
    }
}

impl FromStr for Freeze {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "none" => Ok(Self::None),
            "backbone" => Ok(Self::Backbone),
            _ => {
                let stages = s.strip_prefix("backbone:").and_then(|n| n.parse().ok()).filter(|n| *n > 0);
                let expected = "expected `none`, `backbone`, or `backbone:N` with a number of stages from 1";
                stages.map(Self::Stages).ok_or_else(|| format!("`{s}`: {expected}"))
            }
        }
    }
}

impl TryFrom<String> for Freeze {
    type Error = String;

    fn try_from(s: String) -> Result<Self, String> {
        s.parse()
    }
}

impl From<Freeze> for String {
    fn from(freeze: Freeze) -> Self {
        freeze.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_others_are_refused() {
        for freeze in [Freeze::None, Freeze::Backbone, Freeze::Stages(4)] {
            assert_eq!(freeze.to_string().parse(), Ok(freeze));
        }
        for wrong in ["", "head", "backbone:", "backbone:0", "backbone:-1", "backbone: 2", "Backbone"] {
            let message = wrong.parse::<Freeze>().unwrap_err();
            assert!(message.contains(wrong) && message.contains("backbone:N"), "{message}");
        }
    }
}
