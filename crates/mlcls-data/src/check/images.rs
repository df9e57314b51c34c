//! Findings about single image files.

use super::Inspection;
use super::finding::{Detail, Finding, FindingKind, ItemRef, Severity};
use crate::error::count;
use crate::image::{ImageProblem, MAX_PIXELS};
use crate::inspect::{BadImage, ImageFacts};

/// Below this many pixels on the shorter side an image is tiny: backbones halve their input five times, so it holds
/// less than one pixel of their last map.
const TINY: u32 = 32;

/// From this many pixels on the shorter side an image is huge: over 9 times the 224 that most models look at.
const HUGE: u32 = 2048;

pub(super) fn findings(inspection: &Inspection) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, split) in inspection.dataset.splits.iter().enumerate() {
        let items = inspection.items();
        let images = items.iter().zip(&inspection.images).filter(|((of, _), _)| *of == at);
        let mut kinds: Vec<(FindingKind, Vec<Detail>)> = ORDER.iter().map(|kind| (*kind, Vec::new())).collect();
        for ((_, item), image) in images {
            let (found, text): (Vec<FindingKind>, String) = match image {
                Ok(facts) => (odd(facts), format!("`{}`: {} x {} pixels", item.id, facts.width, facts.height)),
                Err(bad) => (vec![broken(bad)], format!("`{}`: {}", item.id, bad.problem())),
            };
            for (_, details) in kinds.iter_mut().filter(|(kind, _)| found.contains(kind)) {
                details.push(Detail::of([ItemRef::new(&split.name, item)], text.clone()));
            }
        }
        kinds.retain(|(_, details)| !details.is_empty());
        findings.extend(kinds.into_iter().map(|(kind, details)| finding(kind, &split.name, details)));
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

fn finding(kind: FindingKind, split: &str, details: Vec<Detail>) -> Finding {
    const LEAVE_OUT: &str = "`--fix OUT` writes a copy of the data set without them.";
    let images = |one: &str, many: &str| {
        format!("{} of {split} {}", count(details.len(), "image", "images"), if details.len() == 1 { one } else { many })
    };
    let (severity, message, advice) = match kind {
        FindingKind::MissingImage => {
            let advice = format!("Put the files there, or correct their names. {LEAVE_OUT}");
            (Severity::Error, images("is not there", "are not there"), advice)
        }
        FindingKind::TruncatedImage => {
            let advice = format!("Most likely a copy or download was cut short: get them again. {LEAVE_OUT}");
            (Severity::Error, images("is truncated", "are truncated"), advice)
        }
        FindingKind::TooLargeImage => {
            let message = images("is too large", "are too large");
            let limit = MAX_PIXELS / 1_000_000;
            (Severity::Error, message, format!("Make them smaller: {limit} million pixels are the limit. {LEAVE_OUT}"))
        }
        FindingKind::TinyImage => {
            let message = images("is tiny", "are tiny") + &format!(": shorter side below {TINY} pixels");
            (Severity::Warning, message, "A model sees them as blur; get larger ones, or leave them out.".to_owned())
        }
        FindingKind::BlankImage => {
            let message = images("is of one colour and shows nothing", "are of one colour and show nothing");
            (Severity::Warning, message, "Look at them: placeholders and broken exports look like this.".to_owned())
        }
        FindingKind::HugeImage => {
            let message = images("is huge", "are huge") + &format!(": shorter side {HUGE} pixels or more");
            let advice = "Training reads each in every epoch and uses a small part of its pixels: a copy with a shorter \
                          side of 512 trains as well, and much faster.";
            (Severity::Note, message, advice.to_owned())
        }
        _ => (Severity::Error, images("cannot be read", "cannot be read"), LEAVE_OUT.to_owned()),
    };
    Finding { severity, kind, splits: vec![split.to_owned()], message, advice, details }
}
