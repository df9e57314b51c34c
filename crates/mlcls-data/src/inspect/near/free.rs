//! Images without a group, found by their hashes: multi-index hashing.

use super::super::fingerprint::Fingerprint;

/// Two images are compared if their hashes differ in at most this many of 63 bits.
pub(super) const MAX_DISTANCE: u32 = 11;
/// The images that have no place in a group yet, found by their hashes.
pub(super) struct Free {
    is_free: Vec<bool>,
    /// For each 16-bit part of the hash.
    parts: [Part; 4],
    /// All ways to change at most 2 of 16 bits.
    neighbours: Vec<u16>,
}

/// Images by one part of their hash: a bucket for each of its values, one behind the other.
struct Part {
    entries: Vec<(u64, u32)>,
    starts: Vec<u32>,
    /// Entries of each bucket that may still be free; taken ones are dropped when somebody comes by.
    lengths: Vec<u32>,
}

impl Free {
    pub fn new(prints: &[&Fingerprint]) -> Self {
        let is_free: Vec<bool> = prints.iter().map(|print| !print.is_blank()).collect();
        let hashes: Vec<(u64, u32)> =
            (0..prints.len()).filter(|&i| is_free[i]).map(|i| (prints[i].hash, i as u32)).collect();
        let mut neighbours: Vec<u16> = (0..=u16::MAX).filter(|bits| bits.count_ones() <= 2).collect();
        neighbours.sort_by_key(|bits| bits.count_ones());
        Self { is_free, parts: std::array::from_fn(|part| Part::new(&hashes, part)), neighbours }
    }

    /// Takes one image; `false` if it was taken before, or is blank.
    pub fn take(&mut self, image: usize) -> bool {
        std::mem::replace(&mut self.is_free[image], false)
    }

    /// Takes all images whose hash is near `hash` and that `alike` accepts, in their order.
    pub fn take_near(&mut self, hash: u64, alike: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut found = Vec::new();
        for (part, table) in self.parts.iter_mut().enumerate() {
            let key = part_of(hash, part);
            for change in &self.neighbours {
                let bucket = usize::from(key ^ change);
                let start = table.starts[bucket] as usize;
                let mut at = start;
                while at < start + table.lengths[bucket] as usize {
                    let (other, image) = table.entries[at];
                    let image = image as usize;
                    let near = self.is_free[image] && (hash ^ other).count_ones() <= MAX_DISTANCE;
                    if near && alike(image) {
                        self.is_free[image] = false;
                        found.push(image);
                    }
                    if self.is_free[image] {
                        at += 1;
                    } else {
                        table.lengths[bucket] -= 1;
                        table.entries[at] = table.entries[start + table.lengths[bucket] as usize];
                    }
                }
            }
        }
        found.sort_unstable();
        found
    }
}

impl Part {
    fn new(hashes: &[(u64, u32)], part: usize) -> Self {
        let mut entries = hashes.to_vec();
        entries.sort_by_key(|(hash, _)| part_of(*hash, part));
        let mut lengths = vec![0; 1 << 16];
        for (hash, _) in hashes {
            lengths[usize::from(part_of(*hash, part))] += 1;
        }
        let ends = lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        });
        let starts = ends.zip(&lengths).map(|(end, length)| end - length).collect();
        Self { entries, starts, lengths }
    }
}

fn part_of(hash: u64, part: usize) -> u16 {
    (hash >> (16 * part)) as u16
}
