//! Which items of a data set must stay in one split.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use crate::dataset::{Item, Split};
use crate::disjoint_sets::DisjointSets;
use crate::stratify::StratifyError;

/// Which items belong together.
pub(super) struct Together {
    /// Groups of two or more, as positions in the pool.
    pub groups: Vec<Vec<usize>>,
    /// Items of the pool whose group has items in a kept split, with the name of the first such split.
    pub astride: Vec<(usize, String)>,
}

/// Joins what the groups name, and what shares an image file.
pub(super) fn together(
    all: &[(&Split, &Item)],
    pool: &[usize],
    groups: &[Vec<usize>],
) -> Result<Together, StratifyError> {
    let mut joined = DisjointSets::new(all.len());
    for (group, members) in groups.iter().enumerate() {
        for &item in members {
            if item >= all.len() {
                let problem = "which is not there";
                return Err(StratifyError::Group { group, item, problem, items: all.len() });
            }
            joined.join(members[0], item);
        }
    }
    let mut first_of_file: HashMap<&Path, usize> = HashMap::new();
    for (i, (_, item)) in all.iter().enumerate() {
        joined.join(*first_of_file.entry(item.image.as_path()).or_insert(i), i);
    }
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (place, &i) in pool.iter().enumerate() {
        members.entry(joined.root(i)).or_default().push(place);
    }
    let pooled: HashSet<&str> = pool.iter().map(|i| all[*i].0.name.as_str()).collect();
    let mut kept: HashMap<usize, &str> = HashMap::new();
    for (i, (split, _)) in all.iter().enumerate().filter(|(_, (split, _))| !pooled.contains(&*split.name)) {
        kept.entry(joined.root(i)).or_insert(&split.name);
    }
    let astride = pool.iter().filter_map(|&i| Some((i, (*kept.get(&joined.root(i))?).to_owned()))).collect();
    Ok(Together { groups: members.into_values().filter(|group| group.len() > 1).collect(), astride })
}
