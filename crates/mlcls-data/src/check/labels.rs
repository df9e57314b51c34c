//! Findings about labels; they need no images.

use std::collections::HashMap;

use super::finding::{Detail, Finding, FindingKind, Severity};
use crate::dataset::{Dataset, LabelState, Split};
use crate::error::count;

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
    let (severity, advice) = match split.name.as_str() {
        "train" => {
            (Severity::Warning, "They cannot be learned: add images that show them, or take the labels out.")
        }
        "val" if never.len() == labels.len() => (
            Severity::Error,
            "No mAP can be computed, so no checkpoint can be chosen: label some images of val.",
        ),
        _ => (Severity::Note, "They are left out of this split's mAP."),
    };
    let message =
        format!("{} never positive in {}", count(never.len(), "label is", "labels are"), split.name);
    let details = never.into_iter().map(|label| Detail::label(label)).collect();
    Finding::of(severity, FindingKind::LabelWithoutPositives, &[&split.name], message, advice, details)
}

/// The labels that no image of a split shows.
pub(crate) fn without_positives<'a>(labels: &'a [String], split: &Split) -> Vec<&'a String> {
    let mut shown = vec![false; labels.len()];
    for item in &split.items {
        for (shown, state) in shown.iter_mut().zip(&item.states) {
            *shown |= *state == LabelState::Present;
        }
    }
    labels.iter().zip(shown).filter(|(_, shown)| !shown).map(|(label, _)| label).collect()
}

/// Labels that are most likely one label spelt in several ways: positions of those that are equal but for case and
/// white space, groups of two or more in the order of their first members.
pub(crate) fn spellings(labels: &[String]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut group_of: HashMap<String, usize> = HashMap::new();
    for (at, label) in labels.iter().enumerate() {
        let plain: String = label.to_lowercase().split_whitespace().collect();
        let group = *group_of.entry(plain).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(at);
    }
    groups.retain(|group| group.len() > 1);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_equal_but_for_case_and_white_space() {
        let labels = ["traffic light", "Cat", "dog", "Traffic Light", " cat", "TrafficLight", "cats"];
        let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
        assert_eq!(spellings(&labels), [vec![0, 3, 5], vec![1, 4]]);
    }
}
