//! Findings about images that are the same, or nearly.

use std::collections::BTreeMap;

use super::Inspection;
use super::finding::{Detail, Finding, FindingKind, ItemRef, Severity};
use crate::dataset::{Item, LabelState};
use crate::error::{count, some_of};
use crate::inspect::Likeness;

pub(super) fn findings(inspection: &Inspection) -> Vec<Finding> {
    let copies = Copies::new(inspection);
    let splits = 0..inspection.dataset.splits.len();
    let mut findings = Vec::new();
    for second in splits.clone() {
        for first in 0..second {
            findings.extend(copies.across(first, second));
        }
    }
    findings.extend(copies.contradictions());
    for split in splits {
        findings.extend(copies.inside(split));
    }
    findings
}

struct Copies<'a> {
    inspection: &'a Inspection<'a>,
    items: Vec<(usize, &'a Item)>,
    groups: Vec<Vec<usize>>,
    exact: Vec<Vec<usize>>,
    /// The images that each was found beside.
    beside: BTreeMap<usize, Vec<(usize, Likeness)>>,
}

impl<'a> Copies<'a> {
    fn new(inspection: &'a Inspection<'a>) -> Self {
        let duplicates = &inspection.duplicates;
        let mut beside: BTreeMap<usize, Vec<(usize, Likeness)>> = BTreeMap::new();
        for pair in &duplicates.pairs {
            beside.entry(pair.first).or_default().push((pair.second, pair.likeness));
            beside.entry(pair.second).or_default().push((pair.first, pair.likeness));
        }
        let (groups, exact) = (duplicates.groups(), duplicates.exact_groups());
        Self { inspection, items: inspection.items(), groups, exact, beside }
    }

    /// Images of the split `second` that are in `first` too, and those that look like one there.
    fn across(&self, first: usize, second: usize) -> Vec<Finding> {
        let partners = |groups: &[Vec<usize>]| -> BTreeMap<usize, usize> {
            let mut partners = BTreeMap::new();
            for group in groups {
                if let Some(partner) = group.iter().copied().find(|&i| self.items[i].0 == first) {
                    let others = group.iter().filter(|i| self.items[**i].0 == second);
                    partners.extend(others.map(|&other| (other, partner)));
                }
            }
            partners
        };
        let exact = partners(&self.exact);
        let mut near = partners(&self.groups);
        near.retain(|image, _| !exact.contains_key(image));
        let (first_name, second_name) = (self.split(first), self.split(second));
        let splits = [first_name, second_name];
        let same = exact.iter().map(|(&image, &partner)| {
            let how =
                if self.item(image).image == self.item(partner).image { "is the file of" } else { "is" };
            self.detail(image, partner, how)
        });
        let alike = near.iter().map(|(&image, &partner)| match self.neighbour_in(image, first) {
            Some((direct, Likeness::Mirrored)) => {
                self.detail(image, direct, "looks like the mirror image of")
            }
            Some((direct, _)) => self.detail(image, direct, "looks like"),
            None => self.detail(image, partner, "looks, through others, like"),
        });
        let same_message =
            format!("{} of {second_name} {} also in {first_name}", images(exact.len()), are(exact.len()));
        let alike_message =
            format!("{} of {second_name} {} like one in {first_name}", images(near.len()), look(near.len()));
        let advice = "A model trained on the one is tested on what it has seen, and its numbers are too good. `--fix OUT` \
                      writes a copy that keeps them in one split.";
        let warning =
            |kind, message, details| Finding::of(Severity::Warning, kind, &splits, message, advice, details);
        let same = warning(FindingKind::DuplicateAcrossSplits, same_message, same.collect());
        let alike = warning(FindingKind::NearDuplicateAcrossSplits, alike_message, alike.collect());
        same.into_iter().chain(alike).collect()
    }

    /// Images that a split holds more than once, and those that look like another of the split.
    fn inside(&self, split: usize) -> Vec<Finding> {
        let name = self.split(split);
        let (mut same, mut alike) = (Vec::new(), Vec::new());
        for pair in &self.inspection.duplicates.pairs {
            if [pair.first, pair.second].iter().any(|&i| self.items[i].0 != split) {
                continue;
            }
            match pair.likeness {
                Likeness::Exact => same.push(self.detail(pair.second, pair.first, "is")),
                Likeness::Near => alike.push(self.detail(pair.second, pair.first, "looks like")),
                Likeness::Mirrored => {
                    alike.push(self.detail(pair.second, pair.first, "looks like the mirror image of"));
                }
            }
        }
        let same_message = format!("{name} holds {} more than once", images(same.len()));
        let alike_message =
            format!("{} of {name} {} like another one", images(alike.len()), look(alike.len()));
        let merge = "They count more than others. `--fix OUT` writes a copy that holds each once.";
        let keep = "When this data is divided anew they belong together; `mlcls data split` keeps them so.";
        let note = |kind, message, advice, details| {
            Finding::of(Severity::Note, kind, &[name], message, advice, details)
        };
        let same = note(FindingKind::DuplicateInSplit, same_message, merge, same);
        let alike = note(FindingKind::NearDuplicateInSplit, alike_message, keep, alike);
        same.into_iter().chain(alike).collect()
    }

    /// Copies of one image of which one says that a label is present and another that it is absent.
    fn contradictions(&self) -> Option<Finding> {
        let detail = |group: &Vec<usize>| {
            let labels = self.contradicting(group);
            let items: Vec<ItemRef> = group.iter().map(|&image| self.item_ref(image)).collect();
            let who = items.iter().map(ItemRef::to_string).collect::<Vec<_>>().join(", ");
            (!labels.is_empty()).then(|| Detail::of(items, format!("{who}: on {}", some_of(&labels))))
        };
        let details: Vec<Detail> = self.exact.iter().filter_map(detail).collect();
        let images = count(details.len(), "image that is", "images that are");
        let message = format!("the annotations of {images} there more than once contradict each other");
        let advice = "Correct the wrong one. `--fix OUT` writes a copy where such a label is unknown.";
        Finding::of(Severity::Warning, FindingKind::ContradictingLabels, &[], message, advice, details)
    }

    /// The labels that are present in one and absent in another of these images.
    fn contradicting(&self, images: &[usize]) -> Vec<&'a String> {
        let some =
            |label: usize, state| images.iter().any(|&i| self.items[i].1.states.get(label) == Some(&state));
        let labels = self.inspection.dataset.labels.iter().enumerate();
        let both = |at: &usize| some(*at, LabelState::Present) && some(*at, LabelState::Absent);
        labels.filter(|(at, _)| both(at)).map(|(_, label)| label).collect()
    }

    /// An image of `split` that `image` was found beside.
    fn neighbour_in(&self, image: usize, split: usize) -> Option<(usize, Likeness)> {
        self.beside.get(&image)?.iter().copied().find(|(other, _)| self.items[*other].0 == split)
    }

    fn detail(&self, image: usize, other: usize, how: &str) -> Detail {
        let (image_ref, other_ref) = (self.item_ref(image), self.item_ref(other));
        let mut text = format!("{image_ref} {how} {other_ref}");
        let labels = self.contradicting(&[image, other]);
        if !labels.is_empty() {
            text += &format!(", and its labels differ: {}", some_of(&labels));
        }
        Detail::of([image_ref, other_ref], text)
    }

    fn item(&self, image: usize) -> &'a Item {
        self.items[image].1
    }

    fn item_ref(&self, image: usize) -> ItemRef {
        ItemRef::new(self.split(self.items[image].0), self.item(image))
    }

    fn split(&self, at: usize) -> &'a str {
        &self.inspection.dataset.splits[at].name
    }
}

fn images(n: usize) -> String {
    count(n, "image", "images")
}

fn are(n: usize) -> &'static str {
    if n == 1 { "is" } else { "are" }
}

fn look(n: usize) -> &'static str {
    if n == 1 { "looks" } else { "look" }
}
