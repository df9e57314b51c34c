//! A data set without the faults that can be mended without asking.

use std::collections::BTreeMap;

use super::Inspection;
use crate::dataset::{Dataset, Item, LabelState, Split};
use crate::error::{count, some_of};
use crate::oddities::spellings;

/// What [`Inspection::mended`] gives.
#[derive(Clone, Debug)]
pub struct Mended {
    /// The data set; its images lie where they lay.
    pub dataset: Dataset,
    /// What was done, a sentence each; empty where nothing had to be.
    pub done: Vec<String>,
}

impl Inspection<'_> {
    /// The data set with its faults mended, as far as this can be done without a person:
    ///
    /// 1. Images that cannot be used are left out.
    /// 2. Images that are the same or look alike in several splits stay in the one that matters most for the numbers
    ///    (test before val, val before all others, train last) and are left out of the others.
    /// 3. Copies of one image within a split become one item, the first. A label that is present in one and absent
    ///    in another is unknown from then on; a state that is known beats one that is not.
    /// 4. Labels that differ only in case or white space become one, under the name with most positives (the first,
    ///    where these are equal): present if one of them is, else unknown if one of them is, else absent.
    /// 5. Splits that lost all their items are left out.
    pub fn mended(&self) -> Mended {
        let mut mending = Mending::new(self);
        mending.leave_out_broken();
        mending.keep_in_one_split();
        mending.merge_copies();
        mending.merge_labels();
        mending.finish()
    }
}

struct Mending<'a> {
    inspection: &'a Inspection<'a>,
    items: Vec<(usize, Item)>,
    keep: Vec<bool>,
    labels: Vec<String>,
    done: Vec<String>,
}

impl<'a> Mending<'a> {
    fn new(inspection: &'a Inspection<'a>) -> Self {
        let items: Vec<(usize, Item)> =
            inspection.items().into_iter().map(|(split, item)| (split, item.clone())).collect();
        let keep = vec![true; items.len()];
        Self { inspection, items, keep, labels: inspection.dataset.labels.clone(), done: Vec::new() }
    }

    fn leave_out_broken(&mut self) {
        for split in 0..self.inspection.dataset.splits.len() {
            let broken: Vec<usize> = (0..self.items.len())
                .filter(|&i| self.items[i].0 == split && self.inspection.images[i].is_err())
                .collect();
            self.leave_out(&broken, "cannot be used");
        }
    }

    fn keep_in_one_split(&mut self) {
        // By the split that loses them and the one that keeps them.
        let mut moved: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
        for group in self.inspection.duplicates.groups() {
            let Some(keeper) = group.iter().map(|&i| self.items[i].0).max_by_key(|&split| self.weight(split))
            else {
                continue;
            };
            for image in group {
                let split = self.items[image].0;
                if split != keeper {
                    moved.entry((split, keeper)).or_default().push(image);
                }
            }
        }
        for ((_, keeper), images) in moved {
            let keeper = &self.inspection.dataset.splits[keeper].name;
            self.leave_out(&images, &format!("also in {keeper}, or alike one there"));
        }
    }

    /// How much the numbers of a run depend on a split: it keeps what others hold too.
    fn weight(&self, split: usize) -> (usize, usize) {
        let weight = match self.inspection.dataset.splits[split].name.as_str() {
            "test" => 3,
            "val" => 2,
            "train" => 0,
            _ => 1,
        };
        (weight, split)
    }

    fn merge_copies(&mut self) {
        let mut merged: BTreeMap<usize, (Vec<usize>, usize)> = BTreeMap::new();
        for group in self.inspection.duplicates.exact_groups() {
            let kept: Vec<usize> = group.into_iter().filter(|&image| self.keep[image]).collect();
            let Some((&first, copies)) = kept.split_first().filter(|(_, copies)| !copies.is_empty()) else {
                continue;
            };
            let says = |label: usize, state| kept.iter().any(|&i| self.items[i].1.states[label] == state);
            let mut contradicting = 0;
            let mut states = Vec::new();
            for label in 0..self.labels.len() {
                states.push(match (says(label, LabelState::Present), says(label, LabelState::Absent)) {
                    (true, false) => LabelState::Present,
                    (false, true) => LabelState::Absent,
                    (both, _) => {
                        contradicting += usize::from(both);
                        LabelState::Unknown
                    }
                });
            }
            self.items[first].1.states = states;
            let (all, contradictions) = merged.entry(self.items[first].0).or_default();
            all.extend(copies);
            *contradictions += contradicting;
        }
        for (_, (copies, contradictions)) in merged {
            self.leave_out(&copies, "copies; the first has the labels of all of them now");
            if contradictions > 0 {
                let states = count(
                    contradictions,
                    "label state that contradicted another is",
                    "label states that contradicted others are",
                );
                self.done.push(format!("{states} unknown now"));
            }
        }
    }

    fn merge_labels(&mut self) {
        let groups = spellings(&self.labels);
        let mut gone = Vec::new();
        for group in &groups {
            let positives = |label: usize| {
                self.items
                    .iter()
                    .zip(&self.keep)
                    .filter(|((_, i), keep)| **keep && i.states[label] == LabelState::Present)
                    .count()
            };
            // `max_by_key` gives the last of equals.
            let Some(&name) = group.iter().rev().max_by_key(|label| positives(**label)) else { continue };
            let (first, others) = (group[0], &group[1..]);
            for (_, item) in &mut self.items {
                let one_is = |state| group.iter().any(|&label| item.states[label] == state);
                item.states[first] = [LabelState::Present, LabelState::Unknown]
                    .into_iter()
                    .find(|state| one_is(*state))
                    .unwrap_or(LabelState::Absent);
            }
            let names: Vec<&String> = group.iter().map(|&label| &self.labels[label]).collect();
            self.done.push(format!("made one label `{}` of {}", self.labels[name], some_of(&names)));
            self.labels[first] = self.labels[name].clone();
            gone.extend(others);
        }
        let stays = |label: usize| !gone.contains(&label);
        self.labels = (0..self.labels.len()).filter(|l| stays(*l)).map(|l| self.labels[l].clone()).collect();
        for (_, item) in &mut self.items {
            item.states = (0..item.states.len()).filter(|l| stays(*l)).map(|l| item.states[l]).collect();
        }
    }

    fn leave_out(&mut self, images: &[usize], because: &str) {
        let Some(&first) = images.first() else { return };
        images.iter().for_each(|&image| self.keep[image] = false);
        let split = &self.inspection.dataset.splits[self.items[first].0].name;
        let ids: Vec<&String> = images.iter().map(|&image| &self.items[image].1.id).collect();
        let images = count(images.len(), "image", "images");
        self.done.push(format!("left out {images} of {split} ({because}): {}", some_of(&ids)));
    }

    fn finish(mut self) -> Mended {
        let dataset = self.inspection.dataset;
        let mut splits: Vec<Split> =
            dataset.splits.iter().map(|s| Split { name: s.name.clone(), items: Vec::new() }).collect();
        for ((split, item), keep) in self.items.into_iter().zip(self.keep) {
            if keep {
                splits[split].items.push(item);
            }
        }
        for split in splits.iter().filter(|split| split.items.is_empty()) {
            self.done.push(format!("left out the split {}: it lost all its images", split.name));
        }
        splits.retain(|split| !split.items.is_empty());
        let dataset = Dataset { labels: self.labels, splits, notes: Vec::new(), ..dataset.clone() };
        Mended { dataset, done: self.done }
    }
}
