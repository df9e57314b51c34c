//! Findings about labels; they need no images.

use super::finding::{Detail, Finding, FindingKind, Severity};
use crate::dataset::{Dataset, Split};
use crate::error::count;
use crate::oddities::{spellings, without_positives};

pub(super) fn findings(dataset: &Dataset) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        dataset.splits.iter().filter_map(|split| never_positive(&dataset.labels, split)).collect();
    let spelt_twice: Vec<Detail> = spellings(&dataset.labels)
        .iter()
        .map(|group| {
            let names: Vec<String> =
                group.iter().map(|&label| format!("`{}`", dataset.labels[label])).collect();
            Detail::of([], names.join(", "))
        })
        .collect();
    let message = format!(
        "{} in several ways, apart only in case or white space",
        count(spelt_twice.len(), "label is spelt", "labels are spelt")
    );
    let advice = "The model takes them for different things. `--fix OUT` writes a copy with one of each.";
    findings.extend(Finding::of(
        Severity::Warning,
        FindingKind::LabelSpelling,
        &[],
        message,
        advice,
        spelt_twice,
    ));
    findings
}

fn never_positive(labels: &[String], split: &Split) -> Option<Finding> {
    let never = without_positives(labels, split);
    let (severity, advice) = match (split.name.as_str(), never.len() == labels.len()) {
        // What is not divided yet is trained on once it is.
        ("train" | "all", _) => (
            Severity::Warning,
            "What no image shows cannot be learned: add images that show it, or take the label out.",
        ),
        ("val", true) => (
            Severity::Error,
            "No mAP can be computed, so no checkpoint can be chosen: label some images of val.",
        ),
        (_, true) => (Severity::Warning, "No mAP can be computed on this split: label some of its images."),
        _ => (Severity::Note, "The mAP of this split is that of the other labels."),
    };
    let message =
        format!("{} never positive in {}", count(never.len(), "label is", "labels are"), split.name);
    let details = never.into_iter().map(|label| Detail::label(label)).collect();
    Finding::of(severity, FindingKind::LabelWithoutPositives, &[&split.name], message, advice, details)
}
