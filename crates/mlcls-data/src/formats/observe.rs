//! Oddities of a data set that do not stop a run and should not pass unseen.

use std::collections::HashSet;
use std::path::Path;

use crate::dataset::Dataset;
use crate::error::{count, some_of};
use crate::oddities::{spellings, without_positives};

/// What a user should know about a data set before training on it, one sentence each.
pub(crate) fn observe(dataset: &Dataset) -> Vec<String> {
    [labels_without_positives(dataset), shared_images(dataset), labels_that_differ_in_case(dataset)].concat()
}

/// Labels that no train image shows: nothing can be learned about them.
fn labels_without_positives(dataset: &Dataset) -> Vec<String> {
    let Some(train) = dataset.split("train") else { return Vec::new() };
    let never = without_positives(&dataset.labels, train);
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

/// Labels that are most likely one label spelt in several ways.
fn labels_that_differ_in_case(dataset: &Dataset) -> Vec<String> {
    let quoted = |group: &Vec<usize>| {
        let names: Vec<String> = group.iter().map(|&label| format!("`{}`", dataset.labels[label])).collect();
        names.join(" and ")
    };
    let sentence =
        |group| format!("warning: the labels {} differ only in case or white space", quoted(group));
    spellings(&dataset.labels).iter().map(sentence).collect()
}
