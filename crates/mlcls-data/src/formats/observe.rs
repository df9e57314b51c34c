//! Oddities of a data set that do not stop a run and should not pass unseen.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::dataset::{Dataset, LabelState};
use crate::error::{count, some_of};

/// What a user should know about a data set before training on it, one sentence each.
pub(super) fn observe(dataset: &Dataset) -> Vec<String> {
    [labels_without_positives(dataset), shared_images(dataset), labels_that_differ_in_case(dataset)].concat()
}

/// Labels that no train image shows: nothing can be learned about them.
fn labels_without_positives(dataset: &Dataset) -> Vec<String> {
    let Some(train) = dataset.split("train") else { return Vec::new() };
    let mut shown = vec![false; dataset.labels.len()];
    for item in &train.items {
        for (shown, state) in shown.iter_mut().zip(&item.states) {
            *shown |= *state == LabelState::Present;
        }
    }
    let never: Vec<&String> = dataset.labels.iter().zip(shown).filter(|(_, s)| !s).map(|(l, _)| l).collect();
    if never.is_empty() {
        return Vec::new();
    }
    let who = count(never.len(), "label is", "labels are");
    vec![format!("warning: {who} never positive in train and cannot be learned: {}", some_of(&never))]
}

/// Image files that two splits share: scores on the second split flatter a model trained on the first.
fn shared_images(dataset: &Dataset) -> Vec<String> {
    let mut notes = Vec::new();
    for (i, first) in dataset.splits.iter().enumerate() {
        let images: HashSet<&Path> = first.items.iter().map(|item| item.image.as_path()).collect();
        for second in &dataset.splits[i + 1..] {
            let shared: Vec<&String> = second
                .items
                .iter()
                .filter(|item| images.contains(item.image.as_path()))
                .map(|i| &i.id)
                .collect();
            if !shared.is_empty() {
                notes.push(format!(
                    "warning: {} and {} share {}: {}",
                    first.name,
                    second.name,
                    count(shared.len(), "image", "images"),
                    some_of(&shared)
                ));
            }
        }
    }
    notes
}

/// Labels that are most likely one label spelled in two ways.
fn labels_that_differ_in_case(dataset: &Dataset) -> Vec<String> {
    let mut spellings: HashMap<String, &String> = HashMap::new();
    dataset
        .labels
        .iter()
        .filter_map(|label| {
            let other = spellings.insert(label.trim().to_lowercase(), label)?;
            Some(format!("warning: the labels `{other}` and `{label}` differ only in case or white space"))
        })
        .collect()
}
