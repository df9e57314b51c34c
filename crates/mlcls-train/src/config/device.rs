//! Where networks run, as it is written in settings and on the command line.

use std::fmt;
use std::str::FromStr;

use mlcls_engine::Precision;
use serde::{Deserialize, Serialize};

use super::templates::nearest;

/// Where a network runs; as text `cpu`, `cuda` for the first NVIDIA GPU, or `cuda:1` for the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceName {
    /// The processor.
    #[default]
    Cpu,
    /// The NVIDIA GPU of this number, from 0.
    Cuda(usize),
}

/// The number format of a device; as text `auto`, or a name of [`Precision`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PrecisionName {
    /// The device's own: `bf16` on a GPU, `fp32` on a processor.
    #[default]
    Auto,
    /// This one.
    Fixed(Precision),
}

/// What is said of a precision that [`fits_processors`](PrecisionName::fits_processors) refuses.
pub(crate) const NOT_ON_PROCESSORS: &str =
    "processors compute in fp32; expected `auto` or `fp32`, or device cuda";

impl PrecisionName {
    /// The format on GPUs.
    pub(crate) fn on_gpus(self) -> Precision {
        match self {
            Self::Auto => Precision::default(),
            Self::Fixed(precision) => precision,
        }
    }

    /// Whether processors compute in it.
    pub(crate) fn fits_processors(self) -> bool {
        matches!(self, Self::Auto | Self::Fixed(Precision::Fp32))
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(0) => f.write_str("cuda"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => {
                let number = s.strip_prefix("cuda:").and_then(|n| n.parse().ok());
                let expected = "expected `cpu`, `cuda`, or `cuda:N` with the number of a GPU from 0";
                number.map(Self::Cuda).ok_or_else(|| unknown(s, expected, &["cpu", "cuda"]))
            }
        }
    }
}

impl fmt::Display for PrecisionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Fixed(precision) => precision.name(),
        })
    }
}

impl FromStr for PrecisionName {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        if s == "auto" {
            return Ok(Self::Auto);
        }
        let precision = Precision::ALL.into_iter().find(|precision| precision.name() == s);
        precision.map(Self::Fixed).ok_or_else(|| {
            let names = Precision::ALL.map(Precision::name);
            let quoted = names.map(|name| format!("`{name}`")).join(", ");
            unknown(s, &format!("expected `auto` or one of {quoted}"), &names)
        })
    }
}

/// What is said of a word that is none of the known.
fn unknown(found: &str, expected: &str, known: &[&str]) -> String {
    let hint = nearest(found, known.iter().copied());
    let hint = hint.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
    format!("`{found}`: {expected}{hint}")
}

macro_rules! as_text {
    ($($name:ident),+) => {
        $(
            impl TryFrom<String> for $name {
                type Error = String;

                fn try_from(s: String) -> Result<Self, String> {
                    s.parse()
                }
            }

            impl From<$name> for String {
                fn from(name: $name) -> Self {
                    name.to_string()
                }
            }
        )+
    };
}

as_text!(DeviceName, PrecisionName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_others_are_refused() {
        for device in [DeviceName::Cpu, DeviceName::Cuda(0), DeviceName::Cuda(3)] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        assert_eq!("cuda:0".parse(), Ok(DeviceName::Cuda(0)));
        for wrong in ["", "gpu", "cuda:", "cuda:-1", "cuda: 1", "CUDA", "1"] {
            let message = wrong.parse::<DeviceName>().unwrap_err();
            assert!(message.contains(wrong) && message.contains("cuda:N"), "{message}");
        }
        for precision in Precision::ALL.map(PrecisionName::Fixed).into_iter().chain([PrecisionName::Auto]) {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        assert_eq!(
            "bf61".parse::<PrecisionName>().unwrap_err(),
            "`bf61`: expected `auto` or one of `fp32`, `tf32`, `bf16`, `fp16`; did you mean `bf16`?"
        );
    }
}
