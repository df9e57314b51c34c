//! Losses for multi-label classification: asymmetric angular margin, asymmetric, focal, binary cross-entropy.
//!
//! Every image has every label as its own yes-or-no question, and an answer may be unknown. So a loss takes three
//! `[N, C]` arrays (`N` images, `C` labels, row-major): the logits `z`, the targets in {0, 1}, and a mask in {0, 1}
//! whose zeros are the unknown answers. A masked entry adds exactly nothing to the value and to the gradient.
//!
//! All four losses are one expression, `−κ · B^γ · ln A`, where `A` is the probability given to the true answer, `B`
//! the one given to the wrong answer, and κ, γ depend on whether the label is present. The losses differ only in how
//! `A` and `B` come from the logit; each has its own file that says how. Logarithms are taken of the logit, not of the
//! probability, so value and gradient are finite for every finite logit and exact where γ is 0.
//!
//! The objective is the **sum** over images and labels divided by the scale of the head: with the cosine head
//! (`logits = scale · cos`) the division cancels the factor that the gradient gets on its way to the cosine. Learning
//! rates of the recipes assume this sum, and it is not divided by the batch size.
//!
//! # Example
//! ```
//! use mlcls_loss::Loss;
//!
//! // Two images, two labels: the last answer is unknown. Logits come from a cosine head of scale 7.
//! let (logits, targets, mask) = ([3.5, 0.0, -2.1, 7.0], [1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 0.0]);
//! let mut dlogits = [0.0; 4];
//! let loss = Loss::default(); // asymmetric angular margin, as OTX trains with it
//! let value = loss.value_and_grad(&logits, &targets, &mask, &mut dlogits)?;
//!
//! assert!((value.objective - (0.003400 + 0.008541 + 0.000190)).abs() < 1e-5);
//! assert_eq!(value.known, 3);
//! assert!(dlogits[0] < 0.0 && dlogits[1] > 0.0 && dlogits[3] == 0.0);
//! # Ok::<(), mlcls_loss::Error>(())
//! ```
//!
//! With candle, [`Loss::forward`] gives the objective as a scalar tensor that knows its gradient.
#![deny(missing_docs)]

mod aam;
mod asl;
mod bce;
mod candle;
mod error;
mod focal;
mod focused;
mod loss;

pub use aam::Aam;
pub use asl::Asl;
pub use bce::Bce;
pub use error::Error;
pub use focal::Focal;
pub use loss::{Loss, LossValue};
