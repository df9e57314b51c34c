//! Images that look alike, found among many.

mod alike;
mod free;

use std::collections::VecDeque;

use super::fingerprint::Fingerprint;
use alike::{look_alike, mirrored};
use free::Free;

/// Two images that look alike, by their positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NearPair {
    /// The earlier image.
    pub first: usize,
    /// The later image.
    pub second: usize,
    /// Whether one looks like the other seen in a mirror.
    pub mirrored: bool,
}

/// Finds the images that show the same picture, or the same mirrored left to right: saved again at another
/// quality or size, a little brighter, darker or cropped, flipped by an export with augmentation, or taken a
/// moment later.
///
/// Two images look alike if their hashes differ in at most 11 of 63 bits, their thumbnails have a correlation
/// of at least 0.75, and the differences between neighbouring pixels of the thumbnails, across and down, one
/// of at least 0.6 (for these the mean is not taken off). Blank images look like no other.
///
/// The pairs connect all images that look alike, directly or through others, and no more: a group of `n` such
/// images gives `n - 1` pairs, each an image beside one that it was compared with, so that a group of 50,000
/// does not give a billion. They are sorted, and do not depend on threads or timing.
///
/// # How good
/// Measured by `examples/near_duplicates.rs` on 4,823 photos (VOC, COCO; 256 pixels on the shorter side), every
/// seventh of them changed and compared with itself:
///
/// | change | found |
/// |---|---|
/// | JPEG quality 95, 70, 50, 30 | 100 % each |
/// | resized to 0.5, 0.7, 1.5, 2 times | 100 % each |
/// | brightness or contrast 15 % up or down | 100 % each |
/// | mirrored | 100 % |
/// | 2 % of each side cut off, half of it at each end | 100 % |
/// | 5 % of each side, the same | 99.0 % |
/// | 3 % of each side, all of it at one end | 97.1 % |
/// | 5 % of each side, the same | 50 % |
/// | 3 % cut off, resized to 0.6 times, 10 % brighter, quality 50 | 100 % |
///
/// Among the 11.6 million pairs of these photos it finds three, and all three show one scene twice. Of a million
/// pairs of quarters of different photos, which hold more sky and less to tell them apart, it finds 0.18.
///
/// A hash of gradients (dHash) finds as many changed photos within 11 of 64 bits, and lets 177 of a million pairs of
/// different photos through to the second test; this one lets 1.6 through.
///
/// # How fast
/// 120,000 different images take 1.5 s on one core of an AMD EPYC, 120,000 of one scene 0.2 s. Hashes that
/// differ in at most 11 bits differ in at most 2 in one of their four parts of 16 bits, so that only images in such a
/// neighbourhood are compared (multi-index hashing: Norouzi, Punjani and Fleet, *Fast exact search in Hamming
/// space*, 2014), and none that has its place in a group.
///
/// ```
/// use mlcls_data::{Fingerprint, Resize, Rgb, near_duplicates, resize};
///
/// let scene = |phase: f32| {
///     let byte = |i: usize| {
///         let (x, y) = ((i / 3 % 96) as f32 / 96.0, (i / 3 / 96) as f32 / 64.0);
///         (127.0 + 60.0 * (9.0 * x + phase).sin() + 60.0 * (7.0 * y * y + 4.0 * phase * x).cos()) as u8
///     };
///     Rgb::new(96, 64, (0..96 * 64 * 3).map(byte).collect()).unwrap()
/// };
/// let (first, second) = (scene(0.0), scene(2.0));
/// let smaller = resize(&first, 60, 40, Resize::Antialias);
/// let prints: Vec<Fingerprint> = [&first, &second, &smaller].into_iter().map(Fingerprint::new).collect();
/// let pairs = near_duplicates(prints.iter());
/// assert_eq!(pairs.len(), 1);
/// assert_eq!((pairs[0].first, pairs[0].second, pairs[0].mirrored), (0, 2, false));
/// ```
pub fn near_duplicates<'a>(prints: impl IntoIterator<Item = &'a Fingerprint>) -> Vec<NearPair> {
    let prints: Vec<&Fingerprint> = prints.into_iter().collect();
    let mut free = Free::new(&prints);
    let mut pairs = Vec::new();
    let mut waiting = VecDeque::new();
    for seed in 0..prints.len() {
        if free.take(seed) {
            waiting.push_back(seed);
        }
        // Breadth first: everything that looks like the seed, then what looks like that.
        while let Some(image) = waiting.pop_front() {
            let print = prints[image];
            let mirrored_thumb = mirrored(&print.thumb);
            for (mirrored, hash, thumb) in
                [(false, print.hash, &print.thumb), (true, print.mirrored_hash, &mirrored_thumb)]
            {
                for other in free.take_near(hash, |other| look_alike(thumb, &prints[other].thumb)) {
                    let (first, second) = (image.min(other), image.max(other));
                    pairs.push(NearPair { first, second, mirrored });
                    waiting.push_back(other);
                }
            }
        }
    }
    pairs.sort_unstable();
    pairs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::alike::Thumb;
    use super::free::MAX_DISTANCE;
    use super::*;

    /// All pairs, compared one by one.
    fn linked(prints: &[Fingerprint], a: usize, b: usize) -> bool {
        let near = |hash: u64, thumb: &Thumb| {
            (hash ^ prints[b].hash).count_ones() <= MAX_DISTANCE && look_alike(thumb, &prints[b].thumb)
        };
        let (print, blank) = (&prints[a], prints[a].is_blank() || prints[b].is_blank());
        !blank && (near(print.hash, &print.thumb) || near(print.mirrored_hash, &mirrored(&print.thumb)))
    }

    /// The smallest member of each image's group.
    fn roots(count: usize, linked: impl Fn(usize, usize) -> bool) -> Vec<usize> {
        let mut root: Vec<usize> = (0..count).collect();
        for (a, b) in (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))) {
            if linked(a, b) {
                let (low, high) = (root[a].min(root[b]), root[a].max(root[b]));
                root.iter_mut().filter(|r| **r == high).for_each(|r| *r = low);
            }
        }
        root
    }

    /// Images around few scenes, some mirrored: a hash with some bits flipped, and a thumbnail with noise.
    fn print() -> impl Strategy<Value = Fingerprint> {
        let flips = proptest::collection::vec(0..63, 0..9);
        (0..4u64, flips, any::<bool>(), 0..60u8, any::<u64>()).prop_map(
            |(scene, flips, mirror, noise, seed)| {
                let random = |i: u64| (i ^ scene << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
                let hash = flips.iter().fold(random(1), |hash, bit| hash ^ 1u64 << bit);
                let mirrored_hash = hash ^ 0xaaaa_aaaa_aaaa_aaaa;
                let thumb = std::array::from_fn(|i| {
                    let noise = (i as u64 + seed % 97).wrapping_mul(seed) >> 8 & u64::from(noise);
                    (random(i as u64) % 190 + noise) as u8
                });
                if mirror {
                    Fingerprint { hash: mirrored_hash, mirrored_hash: hash, thumb: mirrored(&thumb) }
                } else {
                    Fingerprint { hash, mirrored_hash, thumb }
                }
            },
        )
    }

    proptest! {
        #[test]
        fn groups_are_those_of_comparing_all_with_all(prints in proptest::collection::vec(print(), 0..40)) {
            let pairs = near_duplicates(&prints);
            let expected = roots(prints.len(), |a, b| linked(&prints, a, b));
            let found = roots(prints.len(), |a, b| pairs.iter().any(|p| (p.first, p.second) == (a, b)));
            prop_assert_eq!(&found, &expected);
            let groups = expected.iter().enumerate().filter(|(i, root)| i == *root).count();
            prop_assert_eq!(pairs.len(), prints.len() - groups, "one pair less than images, per group");
            prop_assert!(pairs.iter().all(|p| linked(&prints, p.first, p.second)));
        }
    }

    #[test]
    fn many_equal_images_take_no_longer_than_others() {
        let one =
            Fingerprint { hash: 77, mirrored_hash: 77, thumb: std::array::from_fn(|i| (i * 89 % 256) as u8) };
        let blank = Fingerprint { hash: 0, mirrored_hash: 0, thumb: [0; 256] };
        let prints: Vec<Fingerprint> =
            (0..100_000).map(|i| if i < 50_000 { one.clone() } else { blank.clone() }).collect();
        let pairs = near_duplicates(&prints);
        assert_eq!(pairs.len(), 49_999);
        assert!(pairs.iter().all(|pair| pair.first == 0 && !pair.mirrored));
    }
}
