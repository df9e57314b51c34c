//! A data set divided anew: some of its splits are pooled and dealt out again, the others stay.

mod together;

use std::collections::{HashMap, HashSet};

use crate::dataset::{Dataset, Item, LabelState, Split};
use crate::error::{Error, some_of};
use crate::formats::rank;
use crate::split_distance::{SplitDistance, split_distance};
use crate::stratify::{StratifyError, stratify};
use together::together;

/// What [`Dataset::resplit`] shall do.
#[derive(Clone, Debug, PartialEq)]
pub struct ResplitOptions {
    /// The splits to pool, by name. A split that is not named is kept as it is.
    pub from: Vec<String>,
    /// Names of the new splits with their fractions of the pool, together 1.
    pub parts: Vec<(String, f64)>,
    /// Decides what is left to chance.
    pub seed: u64,
}

/// A data set that was divided anew, and how well that went.
#[derive(Clone, Debug, PartialEq)]
pub struct Resplit {
    /// The same images under their new splits, in the order of the pool; ids that came twice are prefixed with
    /// the name of the old split.
    pub dataset: Dataset,
    /// How far the new splits are from the pool.
    pub distance: SplitDistance,
    /// Images of the pool that were left out because another split of it has the same file with the same
    /// labels.
    pub repeated: usize,
    /// Groups of two or more images of the pool that were kept in one split.
    pub groups: usize,
    /// Images of the pool whose group reaches into a split that is kept, as (id in the pool, kept split). They
    /// could not be put on one side.
    pub astride: Vec<(String, String)>,
}

/// Why a data set cannot be divided anew.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResplitError {
    /// A split to pool is not there.
    #[error(transparent)]
    NoSuchSplit(#[from] Error),
    /// The fractions or groups are unsound.
    #[error(transparent)]
    Partition(#[from] StratifyError),
    /// A new split has the name of one that is kept.
    #[error(
        "the new split `{name}` would have the name of one that is kept; pool `{name}` too, or leave the new one out"
    )]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The pool has too few images for a split to get any.
    #[error(
        "no image is left for {}: {images} in the pool are too few for these fractions and groups",
        some_of(parts)
    )]
    EmptyPart {
        /// The splits without an image.
        parts: Vec<String>,
        /// Images in the pool.
        images: usize,
    },
}

impl Dataset {
    /// Pools splits and divides the pool anew, each label and image count in its share: see [`stratify`].
    ///
    /// `groups` names images that stay together, such as near-duplicates
    /// ([`Duplicates::groups`](crate::Duplicates::groups)): positions in the items of all splits in order, overlapping groups are
    /// one. Items that share an image file stay together anyway.
    ///
    /// ```
    /// use mlcls_data::{Dataset, Format, Item, LabelState::Present, ResplitOptions, Split};
    ///
    /// let item = |i| Item { id: format!("{i}"), image: format!("{i}.jpg").into(), states: vec![Present] };
    /// let dataset = Dataset {
    ///     root: "pets".into(),
    ///     format: Format::Datumaro,
    ///     labels: vec!["cat".into()],
    ///     splits: vec![Split { name: "all".into(), items: (0..10).map(item).collect() }],
    ///     notes: vec![],
    /// };
    /// let options = ResplitOptions {
    ///     from: vec!["all".into()],
    ///     parts: vec![("train".into(), 0.8), ("val".into(), 0.2)],
    ///     seed: 7,
    /// };
    /// let divided = dataset.resplit(&options, &[vec![0, 9]])?.dataset;
    /// assert_eq!(divided.require_split("val")?.items.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`ResplitError`].
    pub fn resplit(&self, options: &ResplitOptions, groups: &[Vec<usize>]) -> Result<Resplit, ResplitError> {
        for name in &options.from {
            self.require_split(name)?;
        }
        let pooled = |name: &String| options.from.contains(name);
        let taken = |name: &&String| !pooled(name) && self.split(name).is_some();
        if let Some(name) = options.parts.iter().map(|(name, _)| name).find(taken) {
            return Err(ResplitError::NameTaken { name: name.clone() });
        }
        let all: Vec<(&Split, &Item)> =
            self.splits.iter().flat_map(|split| split.items.iter().map(move |item| (split, item))).collect();
        let pool = pool(&all, |split| pooled(&split.name));
        let states: Vec<&[LabelState]> = pool.iter().map(|i| all[*i].1.states.as_slice()).collect();
        let together = together(&all, &pool, groups)?;

        let fractions: Vec<f64> = options.parts.iter().map(|(_, fraction)| *fraction).collect();
        let parts = stratify(&states, &together.groups, &fractions, options.seed)?;
        let ids = unique_ids(pool.iter().map(|i| all[*i]));
        let mut splits: Vec<Split> = self.splits.iter().filter(|s| !pooled(&s.name)).cloned().collect();
        let mut new: Vec<Split> =
            options.parts.iter().map(|(name, _)| Split { name: name.clone(), items: Vec::new() }).collect();
        for ((&i, id), &part) in pool.iter().zip(ids).zip(&parts) {
            new[part].items.push(Item { id, ..all[i].1.clone() });
        }
        let empty: Vec<String> = new.iter().filter(|s| s.items.is_empty()).map(|s| s.name.clone()).collect();
        if !empty.is_empty() {
            return Err(ResplitError::EmptyPart { parts: empty, images: pool.len() });
        }
        splits.extend(new);
        splits.sort_by_key(|split| rank(&split.name));
        Ok(Resplit {
            dataset: Dataset { splits, notes: Vec::new(), ..self.clone() },
            distance: split_distance(&states, &parts, &fractions),
            repeated: all.iter().filter(|(split, _)| pooled(&split.name)).count() - pool.len(),
            groups: together.groups.len(),
            astride: together.astride.into_iter().map(|(i, split)| (all[i].1.id.clone(), split)).collect(),
        })
    }
}

/// Positions of the pooled items; of items with the same file and states only the first.
fn pool(all: &[(&Split, &Item)], pooled: impl Fn(&Split) -> bool) -> Vec<usize> {
    let mut seen = HashSet::new();
    (0..all.len())
        .filter(|i| pooled(all[*i].0) && seen.insert((&all[*i].1.image, &all[*i].1.states)))
        .collect()
}

/// The id of each item, behind the name of its split where several items have it.
fn unique_ids<'a>(items: impl Iterator<Item = (&'a Split, &'a Item)> + Clone) -> Vec<String> {
    let mut uses: HashMap<&str, usize> = HashMap::new();
    for (_, item) in items.clone() {
        *uses.entry(&item.id).or_default() += 1;
    }
    let mut taken: HashSet<String> = HashSet::new();
    items
        .map(|(split, item)| {
            let mut id = item.id.clone();
            while uses.get(id.as_str()).is_some_and(|n| *n > 1) || taken.contains(&id) {
                id = format!("{}_{id}", split.name);
            }
            taken.insert(id.clone());
            id
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use LabelState::{Absent, Present, Unknown};

    use crate::dataset::Format;

    fn item(id: &str, image: &str, states: [LabelState; 2]) -> Item {
        Item { id: id.into(), image: image.into(), states: states.to_vec() }
    }

    /// Twelve images to train on and six to test on; some ids come twice.
    fn dataset() -> Dataset {
        let states = |i: usize| [[Present, Absent], [Absent, Present], [Absent, Unknown]][i % 3];
        let items = |split: &str, n| {
            (0..n).map(|i| item(&format!("i{i}"), &format!("{split}/{i}.jpg"), states(i))).collect()
        };
        Dataset {
            root: "here".into(),
            format: Format::Voc,
            labels: vec!["cat".into(), "dog".into()],
            splits: vec![
                Split { name: "train".into(), items: items("train", 12) },
                Split { name: "test".into(), items: items("test", 6) },
            ],
            notes: vec![],
        }
    }

    fn options(from: &[&str], parts: &[(&str, f64)]) -> ResplitOptions {
        ResplitOptions {
            from: from.iter().map(|s| (*s).to_owned()).collect(),
            parts: parts.iter().map(|(name, f)| ((*name).to_owned(), *f)).collect(),
            seed: 7,
        }
    }

    fn images(dataset: &Dataset, split: &str) -> HashSet<String> {
        let items = &dataset.split(split).unwrap().items;
        items.iter().map(|i| i.image.display().to_string()).collect()
    }

    #[test]
    fn a_split_that_is_not_pooled_stays_as_it_is() {
        let before = dataset();
        let after = before.resplit(&options(&["train"], &[("train", 0.75), ("val", 0.25)]), &[]).unwrap();
        let names: Vec<&str> = after.dataset.splits.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["train", "val", "test"]);
        assert_eq!(after.dataset.split("test"), before.split("test"));
        assert_eq!((after.dataset.splits[0].items.len(), after.dataset.splits[1].items.len()), (9, 3));
        assert_eq!(after.distance, SplitDistance { labels: Some(0.0), examples: 0.0 });
    }

    #[test]
    fn pooled_ids_stay_unique_and_every_image_is_there_once() {
        let mut before = dataset();
        before.splits[0].items[11].id = "test_i0".into();
        let parts = options(&["train", "test"], &[("train", 0.5), ("val", 0.3), ("test", 0.2)]);
        let after = before.resplit(&parts, &[]).unwrap().dataset;
        let items: Vec<&Item> = after.splits.iter().flat_map(|s| &s.items).collect();
        assert_eq!(items.iter().map(|i| &i.id).collect::<HashSet<_>>().len(), 18);
        assert_eq!(items.iter().map(|i| &i.image).collect::<HashSet<_>>().len(), 18);
        let old: HashMap<_, _> =
            before.splits.iter().flat_map(|s| &s.items).map(|i| (&i.image, &i.states)).collect();
        assert!(items.iter().all(|i| old[&i.image] == &i.states), "states went astray");
    }

    #[test]
    fn groups_and_shared_files_stay_together() {
        let mut before = dataset();
        before.splits[1].items[5].image = "train/5.jpg".into(); // the same states: one image
        before.splits[1].items[4].image = "train/5.jpg".into(); // other states: one group
        let parts = options(&["train", "test"], &[("train", 0.7), ("val", 0.3)]);
        let after = before.resplit(&parts, &[vec![0, 1, 2], vec![2, 17]]).unwrap();
        assert_eq!((after.repeated, after.groups), (1, 1));
        let val = images(&after.dataset, "val");
        let inside = ["train/0.jpg", "train/1.jpg", "train/2.jpg", "train/5.jpg"].map(|i| val.contains(i));
        assert!(inside.iter().all(|x| *x == inside[0]), "{inside:?}");
    }

    #[test]
    fn a_group_that_reaches_into_a_kept_split_is_told() {
        let parts = options(&["train"], &[("train", 0.5), ("val", 0.5)]);
        let after = dataset().resplit(&parts, &[vec![3, 12], vec![4, 5]]).unwrap();
        assert_eq!((after.groups, after.astride), (1, vec![("i3".to_owned(), "test".to_owned())]));
    }

    #[test]
    fn what_cannot_be_divided_is_said() {
        let message = |from: &[&str], parts: &[(&str, f64)], groups: &[Vec<usize>]| {
            dataset().resplit(&options(from, parts), groups).unwrap_err().to_string()
        };
        let half = [("train", 0.5), ("test", 0.5)];
        assert!(message(&["tset"], &half, &[]).ends_with("did you mean `test`?"));
        assert!(message(&["train"], &half, &[]).starts_with("the new split `test` would have the name"));
        assert!(message(&["test"], &[("val", 0.9), ("a", 0.01), ("b", 0.09)], &[]).contains("`a`"));
        assert!(message(&["train"], &[("train", 0.5), ("val", 0.6)], &[]).contains("[0.5, 0.6]"));
        assert!(message(&["train"], &[("train", 0.5), ("val", 0.5)], &[vec![99]]).contains("item 99"));
    }
}
