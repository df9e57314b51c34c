//! Findings about single image files.

use super::Inspection;
use super::finding::{Detail, Finding, FindingKind, ItemRef, Severity};
use crate::error::count;
use crate::image::ImageProblem;
use crate::inspect::{BadImage, ImageFacts};

/// Below this many pixels on the shorter side an image is tiny: backbones halve their input five times, so it holds
/// less than one pixel of their last map.
const TINY: u32 = 32;

/// From this many pixels on the shorter side an image is huge: over 9 times the 224 that most models look at.
const HUGE: u32 = 2048;

pub(super) fn findings(inspection: &Inspection) -> Vec<Finding> {
    let items = inspection.items();
    let mut findings = Vec::new();
    for (at, split) in inspection.dataset.splits.iter().enumerate() {
        let images = items.iter().zip(&inspection.images).filter(|((of, _), _)| *of == at);
        let mut kinds: Vec<(FindingKind, Vec<Detail>)> =
            ORDER.iter().map(|kind| (*kind, Vec::new())).collect();
        for ((_, item), image) in images {
            let (found, text): (Vec<FindingKind>, String) = match image {
                Ok(facts) => {
                    (odd(facts), format!("`{}`: {} x {} pixels", item.id, facts.width, facts.height))
                }
                Err(bad) => (vec![broken(bad)], format!("`{}`: {}", item.id, bad.problem())),
            };
            for (_, details) in kinds.iter_mut().filter(|(kind, _)| found.contains(kind)) {
                details.push(Detail::of([ItemRef::new(&split.name, item)], text.clone()));
            }
        }
        findings.extend(kinds.into_iter().filter_map(|(kind, details)| finding(kind, &split.name, details)));
    }
    findings
}

const ORDER: &[FindingKind] = &[
    FindingKind::MissingImage,
    FindingKind::UnreadableImage,
    FindingKind::TruncatedImage,
    FindingKind::TooLargeImage,
    FindingKind::TinyImage,
    FindingKind::BlankImage,
    FindingKind::HugeImage,
];

fn broken(bad: &BadImage) -> FindingKind {
    match bad.error.problem {
        _ if bad.is_missing() => FindingKind::MissingImage,
        ImageProblem::Truncated(_) => FindingKind::TruncatedImage,
        ImageProblem::TooLarge { .. } => FindingKind::TooLargeImage,
        _ => FindingKind::UnreadableImage,
    }
}

/// What is odd about an image that can be used.
fn odd(facts: &ImageFacts) -> Vec<FindingKind> {
    let side = facts.shorter_side();
    [
        (side < TINY, FindingKind::TinyImage),
        (facts.fingerprint.is_blank(), FindingKind::BlankImage),
        (side >= HUGE, FindingKind::HugeImage),
    ]
    .into_iter()
    .filter_map(|(is, kind)| is.then_some(kind))
    .collect()
}

fn finding(kind: FindingKind, split: &str, details: Vec<Detail>) -> Option<Finding> {
    use Severity::{Error, Note, Warning};
    let (severity, one, many, advice) = match kind {
        FindingKind::MissingImage => {
            (Error, "is not there", "are not there", "Put the files there, or correct their names.")
        }
        FindingKind::TruncatedImage => (
            Error,
            "is truncated",
            "are truncated",
            "Most likely a copy or a download was cut short: get them again.",
        ),
        FindingKind::TooLargeImage => {
            (Error, "is too large", "are too large", "Make them smaller; 134 million pixels are the limit.")
        }
        FindingKind::TinyImage => (
            Warning,
            "has a shorter side below 32 pixels",
            "have a shorter side below 32 pixels",
            "A model sees them as blur: get larger ones, or leave them out.",
        ),
        FindingKind::BlankImage => (
            Warning,
            "is of one colour and shows nothing",
            "are of one colour and show nothing",
            "Look at them: placeholders and broken exports look like this.",
        ),
        FindingKind::HugeImage => (
            Note,
            "has a shorter side of 2048 pixels or more",
            "have a shorter side of 2048 pixels or more",
            "Every epoch decodes all of these pixels, and a model sees 224 to 512 of them on a side: train on a smaller \
             copy to save most of that time.",
        ),
        _ => (Error, "cannot be read", "cannot be read", "Replace them."),
    };
    let what = if details.len() == 1 { one } else { many };
    let message = format!("{} of {split} {what}", count(details.len(), "image", "images"));
    let leave_out =
        if severity == Error { " `--fix OUT` writes a copy of the data set without them." } else { "" };
    Finding::of(severity, kind, &[split], message, &format!("{advice}{leave_out}"), details)
}
