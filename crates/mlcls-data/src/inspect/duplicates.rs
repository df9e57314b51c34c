//! Images that are the same, to the byte or to the eye.

use std::collections::HashMap;

use super::{BadImage, ImageFacts, near_duplicates};
use crate::disjoint_sets::DisjointSets;

/// How alike two images are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    /// The files have the same bytes.
    Exact,
    /// They look alike; see [`near_duplicates`].
    Near,
    /// One looks like the other mirrored left to right.
    Mirrored,
}

/// Two images that are alike, by their positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DuplicatePair {
    /// The earlier image.
    pub first: usize,
    /// The later image.
    pub second: usize,
    /// How alike they are.
    pub likeness: Likeness,
}

/// Which of some images are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicates {
    /// How many images were looked at.
    pub images: usize,
    /// Pairs that connect all images that are alike: `n - 1` for a group of `n`; sorted.
    pub pairs: Vec<DuplicatePair>,
}

/// Finds the images that have the same bytes, or look alike as [`near_duplicates`] has it. Positions are those of
/// `images`, as [`inspect_images`](crate::inspect_images) gives them; images that cannot be used are like no other.
pub fn find_duplicates(images: &[Result<ImageFacts, BadImage>]) -> Duplicates {
    let mut pairs = Vec::new();
    let mut first_with: HashMap<[u8; 32], usize> = HashMap::new();
    let mut distinct = Vec::new();
    for (second, facts) in images.iter().enumerate().filter_map(|(i, image)| Some((i, image.as_ref().ok()?)))
    {
        let first = *first_with.entry(facts.hash).or_insert(second);
        if first == second {
            distinct.push((second, &facts.fingerprint));
        } else {
            pairs.push(DuplicatePair { first, second, likeness: Likeness::Exact });
        }
    }
    pairs.extend(near_duplicates(distinct.iter().map(|(_, print)| *print)).into_iter().map(|pair| {
        let likeness = if pair.mirrored { Likeness::Mirrored } else { Likeness::Near };
        DuplicatePair { first: distinct[pair.first].0, second: distinct[pair.second].0, likeness }
    }));
    pairs.sort_unstable();
    Duplicates { images: images.len(), pairs }
}

impl Duplicates {
    /// The images that are alike, directly or through others: groups of two or more in the order of their first
    /// members, members in order. Images of one group belong on one side of a split.
    pub fn groups(&self) -> Vec<Vec<usize>> {
        self.groups_by(|_| true)
    }

    /// The images whose files have the same bytes, as groups of two or more in the same order.
    pub fn exact_groups(&self) -> Vec<Vec<usize>> {
        self.groups_by(|likeness| likeness == Likeness::Exact)
    }

    fn groups_by(&self, counts: impl Fn(Likeness) -> bool) -> Vec<Vec<usize>> {
        let mut sets = DisjointSets::new(self.images);
        for pair in self.pairs.iter().filter(|pair| counts(pair.likeness)) {
            sets.join(pair.first, pair.second);
        }
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); self.images];
        for image in 0..self.images {
            members[sets.root(image)].push(image);
        }
        members.retain(|group| group.len() > 1);
        members
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_what_pairs_connect() {
        let pair = |first, second, likeness| DuplicatePair { first, second, likeness };
        let pairs = vec![
            pair(0, 6, Likeness::Near),
            pair(2, 4, Likeness::Exact),
            pair(3, 6, Likeness::Mirrored),
            pair(4, 5, Likeness::Exact),
        ];
        let duplicates = Duplicates { images: 8, pairs };
        assert_eq!(duplicates.groups(), [vec![0, 3, 6], vec![2, 4, 5]]);
        assert_eq!(duplicates.exact_groups(), [vec![2, 4, 5]]);
    }
}
