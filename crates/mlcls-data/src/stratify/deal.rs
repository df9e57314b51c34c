//! The first partition: algorithm 1 of Sechidis et al. 2011, with parts that are full taking no more.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use super::{Table, Unit};

/// Gives each unit its part, rarest label first; `room` holds the wanted size of each part.
pub(super) fn deal(units: &[Unit], table: &mut Table, mut room: Vec<i64>, rng: &mut impl Rng) -> Vec<usize> {
    let mut left = table.totals.clone();
    let mut with_label: Vec<Vec<usize>> = vec![Vec::new(); left.len()];
    for (i, unit) in units.iter().enumerate() {
        for &(label, _) in &unit.labels {
            with_label[label].push(i);
        }
    }
    let mut order: Vec<usize> = (0..left.len()).collect();
    order.shuffle(rng);

    let mut part_of = vec![usize::MAX; units.len()];
    while let Some(&rarest) = order.iter().filter(|l| left[**l] > 0).min_by_key(|l| left[**l]) {
        for &i in &with_label[rarest] {
            if part_of[i] != usize::MAX {
                continue;
            }
            let unit = &units[i];
            let part = neediest(&table.lacks[rarest], &room, unit.items.len() as i64, rng);
            part_of[i] = part;
            room[part] -= unit.items.len() as i64;
            table.add(unit, part);
            for &(label, count) in &unit.labels {
                left[label] -= count;
            }
        }
    }
    part_of
}

/// The part that lacks most among those with room for `size` items, or the one with most room if it fits nowhere.
fn neediest(lacks: &[f64], room: &[i64], size: i64, rng: &mut impl Rng) -> usize {
    let fits = room.iter().any(|r| *r >= size);
    lacks
        .iter()
        .zip(room)
        .enumerate()
        .filter(|(_, (_, room))| !fits || **room >= size)
        .map(|(part, (lack, room))| (if fits { *lack } else { 0.0 }, *room, rng.random::<u32>(), part))
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2))))
        .map_or(0, |(.., part)| part)
}
