//! What readers tell in passing and a check reports in full: labels that nothing shows, and labels spelt in two ways.

use std::collections::HashMap;

use crate::dataset::{LabelState, Split};

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
