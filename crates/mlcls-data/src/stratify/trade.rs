//! The last touch: pairs of units trade places while that brings the parts closer to their shares.

use super::{Table, Unit};

/// Rounds over all pairs of parts after which it ends; the gain of a round falls fast.
const ROUNDS: usize = 200;

/// Lets units of equal size trade parts as long as the departure falls: the sum over labels and parts of
/// `(count - share)^2 / share`. Sizes stay as they are.
pub(super) fn trade(units: &[Unit], table: &mut Table, part_of: &mut [usize]) {
    let parts = table.shares.first().map_or(0, Vec::len);
    for _ in 0..ROUNDS {
        let mut traded = false;
        for a in 0..parts {
            for b in 0..parts {
                traded |= a != b && trade_best(units, table, part_of, a, b);
            }
        }
        if !traded {
            break;
        }
    }
}

/// Moves the unit from `a` to `b` that gains most or costs least, and the best of its size back.
fn trade_best(units: &[Unit], table: &mut Table, part_of: &mut [usize], a: usize, b: usize) -> bool {
    let best = |table: &Table, part_of: &[usize], from: usize, to: usize, size: Option<usize>| {
        (0..units.len())
            .filter(|i| part_of[*i] == from && size.is_none_or(|s| s == units[*i].items.len()))
            .map(|i| (change(table, &units[i], from, to), i))
            .min_by(|a, b| a.0.total_cmp(&b.0))
    };
    let Some((out, i)) = best(table, part_of, a, b, None) else { return false };
    shift(units, table, part_of, i, b);
    match best(table, part_of, b, a, Some(units[i].items.len())) {
        Some((back, j)) if out + back < -1e-9 => {
            shift(units, table, part_of, j, a);
            true
        }
        _ => {
            shift(units, table, part_of, i, a);
            false
        }
    }
}

fn shift(units: &[Unit], table: &mut Table, part_of: &mut [usize], i: usize, to: usize) {
    table.remove(&units[i], part_of[i]);
    table.add(&units[i], to);
    part_of[i] = to;
}

/// By how much the departure grows when the unit goes from one part to another.
fn change(table: &Table, unit: &Unit, from: usize, to: usize) -> f64 {
    let per_label = |&(label, count): &(usize, usize)| {
        let (lacks, shares) = (&table.lacks[label], &table.shares[label]);
        let n = count as f64;
        n * (n + 2.0 * lacks[from]) / shares[from] + n * (n - 2.0 * lacks[to]) / shares[to]
    };
    unit.labels.iter().map(per_label).sum()
}
