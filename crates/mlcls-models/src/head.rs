//! What stands between the pooled features and the logits.

use std::fmt;
use std::str::FromStr;

use mlcls_engine::{GraphBuilder, Init, NodeId, Result};
use serde::{Deserialize, Serialize};

use crate::error::{Error, nearest};

/// OTX's factor on the cosine.
pub const COSINE_SCALE: f32 = 7.0;

/// Width of the hidden layer of [`Head::NonLinear`].
const HIDDEN: usize = 1280;

/// A head: pooled features `[n, d]` in, logits `[n, classes]` out.
///
/// In every head the tensor `head.weight` has one row per class, which is what lets a model start from another one with
/// other classes ([`transfer`](crate::transfer)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Head {
    /// `scale * cos(features, class vector)`, clamped to [-scale, scale]; OTX's head of the EfficientNets.
    ///
    /// Tensor: `head.weight` `[classes, d]`, rows of unit length at the start.
    Cosine,
    /// A linear layer to 1280, batch-norm, PReLU with one slope, then [`Head::Cosine`]; OTX's head of MobileNetV3.
    ///
    /// Tensors: `head.hidden.weight` `[1280, d]` (normal, standard deviation 0.01), `head.hidden.bias`,
    /// `head.bn.{weight, bias, running_mean, running_var}` `[1280]` (eps 1e-5, momentum 0.1), `head.act.weight` `[1]`
    /// (0.25), `head.weight` `[classes, 1280]`.
    NonLinear,
    /// `W features + b`, for losses without a scale.
    ///
    /// Tensors: `head.weight` `[classes, d]` (normal, standard deviation 0.01), `head.bias` `[classes]` (0).
    Linear,
}

impl Head {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cosine, Self::NonLinear, Self::Linear];

    /// Its name in configurations and checkpoints.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::NonLinear => "nonlinear",
            Self::Linear => "linear",
        }
    }

    /// Appends the head to a graph; `dropout` acts just before the class vectors.
    pub(crate) fn append(
        self,
        b: &mut GraphBuilder,
        features: NodeId,
        classes: usize,
        scale: f32,
        dropout: f32,
    ) -> Result<NodeId> {
        let small = Init::Normal(0.01);
        let mut x = features;
        if self == Self::NonLinear {
            x = b.linear("head.hidden", x, HIDDEN, small)?;
            x = b.batch_norm("head.bn", x, 1e-5, 0.1)?;
            x = b.prelu("head.act", x);
        }
        if dropout > 0.0 {
            x = b.dropout(x, dropout);
        }
        match self {
            Self::Cosine | Self::NonLinear => b.cosine_linear("head", x, classes, scale),
            Self::Linear => b.linear("head", x, classes, small),
        }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Head {
    type Err = Error;

    fn from_str(s: &str) -> std::result::Result<Self, Error> {
        let names = Self::ALL.map(Self::name);
        Self::ALL.into_iter().find(|h| h.name() == s).ok_or_else(|| Error::Unknown {
            what: "head",
            name: s.to_owned(),
            hint: nearest(s, names),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_a_misspelt_one_is_corrected() {
        for head in Head::ALL {
            assert_eq!(head.to_string().parse::<Head>().unwrap(), head);
            assert_eq!(serde_json::to_string(&head).unwrap(), format!("\"{head}\""));
        }
        let message = "cosin".parse::<Head>().unwrap_err().to_string();
        assert_eq!(message, "unknown head `cosin`: did you mean `cosine`? Known: cosine, nonlinear, linear");
    }
}
